"""The documented profile of a frame, `whylogs.log`, with its defaults: of the window alone, as the reference's would be
stored. It counts and judges nothing; a drift report of it comes on top.
"""

import json
import sys
import time

import pandas as pd
import whylogs

if __name__ == "__main__":
    window = pd.read_parquet(sys.argv[2])
    start = time.perf_counter()
    view = whylogs.log(window).profile().view()
    seconds = time.perf_counter() - start
    print(json.dumps({"seconds": seconds, "columns": len(view.get_columns())}))
