"""The documented calculator of univariate drift with its defaults (Jensen-Shannon distance, ten chunks), told which columns
are categories; it is fitted on the reference beforehand, which is not counted, as Flyball's reference is stored.
"""

import json
import sys
import time

import pandas as pd
from nannyml import UnivariateDriftCalculator

if __name__ == "__main__":
    reference, window = (pd.read_parquet(file) for file in sys.argv[1:])
    names = list(reference)
    texts = [name for name in names if not pd.api.types.is_numeric_dtype(reference[name])]
    calculator = UnivariateDriftCalculator(column_names=names, treat_as_categorical=texts).fit(reference)
    start = time.perf_counter()
    result = calculator.calculate(window)
    seconds = time.perf_counter() - start
    judged = set(result.to_df(multilevel=True).columns.get_level_values(0)) - {"chunk"}
    print(json.dumps({"seconds": seconds, "columns": len(judged)}))
