"""What should be done now: schedules, triggers, the governor, release of candidates, alerts, the tick."""
