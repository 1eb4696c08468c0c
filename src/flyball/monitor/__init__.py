"""Is the world still the one the model was trained on, and is it still right? Windows, verdicts, daily metrics."""
