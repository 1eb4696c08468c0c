"""FastAPI as one writes it by hand: pydantic checks names and types of all 30 features, the handler is a coroutine
(a thread pool would only add a hand-over to work that holds the interpreter), uvicorn runs on uvloop and httptools,
the model takes a plain array. Many rows go to a route of their own as a list of lists: one check, one array, one call.
"""

import sys
from pathlib import Path
from typing import Annotated, Any

import joblib
import numpy as np
import uvicorn
from annotated_types import Len
from fastapi import FastAPI
from pydantic import BaseModel, create_model

FEATURES = [f"Column_{index}" for index in range(30)]
Row: Any = create_model("Row", **dict.fromkeys(FEATURES, (float, ...)))


class Rows(BaseModel):
    data: list[Annotated[list[float], Len(30, 30)]]


class One(BaseModel):
    prediction: float


class Many(BaseModel):
    predictions: list[float]


def application(model: Any) -> FastAPI:
    app = FastAPI()

    async def predict(row: Row) -> One:
        array = np.array([list(row.__dict__.values())], dtype=np.float32)
        return One(prediction=model.predict_proba(array)[0, 1])

    async def predict_many(rows: Rows) -> Many:
        array = np.array(rows.data, dtype=np.float32)
        return Many(predictions=model.predict_proba(array)[:, 1].tolist())

    app.post("/predict")(predict)
    app.post("/predict_many")(predict_many)
    return app


if __name__ == "__main__":
    folder, name, port = sys.argv[1:]
    loaded = joblib.load(Path(folder, f"{name}.joblib"))
    uvicorn.run(
        application(loaded), port=int(port), http="httptools", loop="uvloop", access_log=False, log_level="error"
    )
