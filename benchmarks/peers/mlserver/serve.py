"""MLServer with its own runtimes for scikit-learn and LightGBM, as its documentation serves such models; inference in
the server's own process (`parallel_workers` 0), since one model on one core gains nothing from a hand-over; adaptive
batching for the forest, which it makes several times as fast (it slows the other two down).
"""

import json
import os
import shutil
import socket
import sys
import tempfile
from pathlib import Path

import joblib


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def write_settings(models: Path, name: str, port: int, folder: Path) -> None:
    ports = {"http_port": port, "grpc_port": free_port(), "metrics_port": free_port()}
    server = {"host": "127.0.0.1", "parallel_workers": 0, "debug": False, **ports}
    if name == "lightgbm":
        uri, implementation = folder / "model.bst", "mlserver_lightgbm.LightGBMModel"
        joblib.load(models / f"{name}.joblib").booster_.save_model(uri)
    else:
        uri, implementation = folder / "model.joblib", "mlserver_sklearn.SKLearnModel"
        shutil.copy(models / f"{name}.joblib", uri)
    # A call of the forest takes so long that gathering requests pays; the other models are slower for it.
    batching = {"max_batch_size": 16, "max_batch_time": 0.002} if name == "forest" else {}
    model = {"name": name, "implementation": implementation, "parameters": {"uri": str(uri)}, **batching}
    (folder / "settings.json").write_text(json.dumps(server))
    (folder / "model-settings.json").write_text(json.dumps(model))


if __name__ == "__main__":
    folder = Path(tempfile.mkdtemp(prefix="mlserver-"))
    write_settings(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), folder)
    os.execvp("mlserver", ("mlserver", "start", str(folder)))
