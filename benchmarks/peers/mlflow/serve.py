"""The documented command, `mlflow models serve`, with one worker in an environment that is there already, on a model
logged with `predict_proba` and without a signature, which spares it the check and the table of columns.
"""

import os
import sys
import tempfile
from pathlib import Path

import joblib
import mlflow.sklearn

if __name__ == "__main__":
    folder, name, port = sys.argv[1:]
    place = Path(tempfile.mkdtemp(prefix="mlflow-")) / "model"
    model = joblib.load(Path(folder, f"{name}.joblib"))
    # Requirements are given, or MLflow spends seconds on inferring them.
    mlflow.sklearn.save_model(model, place, pyfunc_predict_fn="predict_proba", pip_requirements=["mlflow"])
    serve = ("mlflow", "models", "serve", "-m", str(place), "-p", port, "-h", "127.0.0.1", "--env-manager", "local")
    os.execvp("mlflow", (*serve, "--workers", "1"))
