"""What the user declared: `flyball.toml` and `pipeline.py` as frozen records, or every finding with file, line and mend."""
