"""The mathematics: metrics, distances, intervals, profiles, drift verdicts. Pure functions on arrays and counts."""
