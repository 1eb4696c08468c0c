"""BentoML as its documentation serves such a model: one service with one worker, rows as a numpy array, in production
mode, its adaptive batching on (twice as fast here with it), its access log off.
"""

import os
import sys
from pathlib import Path

import bentoml
import joblib
import numpy as np


@bentoml.service(workers=1, traffic={"timeout": 30}, logging={"access": {"enabled": False}})
class Probabilities:
    def __init__(self):
        self.model = joblib.load(os.environ["BENCH_MODEL"])

    @bentoml.api(batchable=True, max_batch_size=16_000, max_latency_ms=30_000)
    def predict(self, rows: np.ndarray) -> np.ndarray:
        return self.model.predict_proba(rows.astype(np.float32))[:, 1]


if __name__ == "__main__":
    folder, name, port = sys.argv[1:]
    os.environ |= {"BENCH_MODEL": f"{folder}/{name}.joblib", "BENTOML_DO_NOT_TRACK": "True"}
    here = str(Path(__file__).resolve().parent)
    serve = ("bentoml", "serve", "serve:Probabilities", "--working-dir", here, "--host", "127.0.0.1", "--port", port)
    os.execvp("bentoml", serve)
