"""LitServe with one API server and one worker on the CPU, its access log off, its batching on: requests that wait go
to the model in one call, which makes the forest several times as fast and costs the other models nothing.
"""

import sys
from pathlib import Path

import joblib
import litserve
import numpy as np


class Probabilities(litserve.LitAPI):
    def __init__(self, file, **settings):
        super().__init__(**settings)
        self.file = file

    def setup(self, device):
        del device  # there is the CPU only
        self.model = joblib.load(self.file)

    def decode_request(self, request):
        return np.array(request["rows"], dtype=np.float32)

    def batch(self, inputs):
        return inputs

    def predict(self, tables):
        answers = self.model.predict_proba(np.concatenate(tables))[:, 1]
        return np.split(answers, np.cumsum([len(table) for table in tables])[:-1])

    def unbatch(self, output):
        return output

    def encode_response(self, output):
        return {"predictions": output.tolist()}


if __name__ == "__main__":
    folder, name, port = sys.argv[1:]
    api = Probabilities(Path(folder, f"{name}.joblib"), max_batch_size=16, batch_timeout=0.002)
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=1, timeout=30)
    server.run(host="127.0.0.1", port=int(port), num_api_servers=1, log_level="error", access_log=False)
