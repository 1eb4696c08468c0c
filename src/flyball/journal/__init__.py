"""What was asked and answered, and what came true: journal segments, the Parquet lake, outcomes and their join."""
