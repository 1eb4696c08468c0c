"""From flights that have landed to a model that knows which will be late."""

from pathlib import Path

import lightgbm
import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OrdinalEncoder

from flyball import split, step

CATEGORIES = ["carrier", "origin", "dest"]
SCHEDULE = ["hour", "minute", "weekday", "distance"]
WEATHER = ["temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust", "precip", "pressure", "visib"]


@step(retries=1)
def collect(window, params):
    """Flights whose outcome was known when the window ended."""
    flights = Path(__file__).parent / params["flights"]
    columns = ["timestamp", "known_at", "arr_delay", *SCHEDULE, *WEATHER, *CATEGORIES]
    return pd.read_parquet(flights, columns=columns, filters=[("known_at", "<=", window.end)])


@step
def preprocess(collect, params):
    """Only what is known before departure, and the answer."""
    flights = collect[collect["origin"].isin(params["airports"].split())].reset_index(drop=True)
    late = (flights["arr_delay"] > params["late_minutes"]).astype("int8")
    return flights[["timestamp", *SCHEDULE, *WEATHER, *CATEGORIES]].assign(late=late)


@step(timeout_s=900)
def train(preprocess, run, params, seed):
    rows, _ = split(preprocess, run, newest="7d")
    model = lightgbm.LGBMClassifier(
        n_estimators=params["trees"],
        learning_rate=params["learning_rate"],
        num_leaves=24,
        max_bin=63,
        min_child_samples=200,
        colsample_bytree=0.6,
        subsample=0.7,
        subsample_freq=1,
        deterministic=True,
        force_row_wise=True,
        random_state=seed,
        n_jobs=1,  # the other core answers
        verbose=-1,
    )
    codes = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, dtype=np.float32)
    columns = ColumnTransformer([("codes", codes, CATEGORIES), ("numbers", "passthrough", SCHEDULE + WEATHER)])
    return Pipeline([("columns", columns), ("model", model)]).fit(rows[SCHEDULE + WEATHER + CATEGORIES], rows["late"])


@step
def validate(preprocess, run):
    """The newest week, which `train` does not see, nor has the live version: it is no younger than the cooldown."""
    _, held_out = split(preprocess, run, newest="7d")
    return held_out
