"""The documented command, `mlflow models serve`, with one worker, in an environment that is there already, its access
log off, on a model saved to answer `predict_proba`, without a signature, which spares it a check of every request.
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
    mlflow.sklearn.save_model(
        model,
        place,
        pyfunc_predict_fn="predict_proba",
        serialization_format="cloudpickle",
        pip_requirements=["mlflow"],  # or MLflow spends seconds on inferring them
    )
    os.environ["UVICORN_ACCESS_LOG"] = "0"
    serve = ("mlflow", "models", "serve", "-m", str(place), "-p", port, "-h", "127.0.0.1", "--env-manager", "local")
    os.execvp("mlflow", (*serve, "--workers", "1"))
