"""The documented report of data drift, `Report([DataDriftPreset()]).run`, with its defaults, on two pandas frames; it
decides which column is of which kind, and draws its plots, which it always does. Not written to a page.
"""

import json
import sys
import time

import pandas as pd
from evidently import Report
from evidently.presets import DataDriftPreset

if __name__ == "__main__":
    reference, window = (pd.read_parquet(file) for file in sys.argv[1:])
    start = time.perf_counter()
    snapshot = Report([DataDriftPreset()]).run(window, reference)
    seconds = time.perf_counter() - start
    judged = [metric for metric in snapshot.dict()["metrics"] if metric["metric_name"].startswith("ValueDrift")]
    print(json.dumps({"seconds": seconds, "columns": len(judged)}))
