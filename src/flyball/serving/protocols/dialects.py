"""The table of protocols. A new one is a file with `decode`, an encoder and `describe`, and a row here."""

from __future__ import annotations

from dataclasses import replace

from flyball.serving.protocols import invocations, native_dialect, v1, v2
from flyball.serving.protocols.dialect import Dialect, as_error, as_problem

NATIVE = Dialect(
    name="native",
    summary="Predict rows with the live version.",
    paths=("/models/{model}/predict",),
    decode=native_dialect.decode,
    refuse=as_problem,
    describe=native_dialect.describe,
)
V1 = Dialect(
    name="v1",
    summary="Predict, as KServe V1 and TensorFlow Serving do.",
    paths=("/v1/models/{model}:predict", "/v1/models/{model}/versions/{version}:predict"),
    decode=v1.decode,
    refuse=as_error,
    describe=v1.describe,
)
V2 = Dialect(
    name="v2",
    summary="Predict, by the Open Inference Protocol v2.",
    paths=("/v2/models/{model}/infer", "/v2/models/{model}/versions/{version}/infer"),
    decode=v2.decode,
    refuse=as_error,
    describe=v2.describe,
)
INVOCATIONS = Dialect(
    name="invocations",
    summary="Predict, as MLflow's scoring server and SageMaker's containers do.",
    paths=("/invocations",),
    decode=invocations.decode,
    refuse=invocations.refuse,
    describe=invocations.describe,
    variant_header=b"x-amzn-invoked-production-variant",
)
#: V1 under the route that Vertex AI names (`routes.routes`).
VERTEX = replace(V1, name="vertex", summary="Predict, as Vertex AI's containers do.", paths=())

DIALECTS = (NATIVE, V1, V2, INVOCATIONS, VERTEX)


def spoken_at(path: str) -> Dialect:
    """The protocol in whose words a request to `path` is refused, whether there is such a path or not."""
    first = path[1:].partition("/")[0]
    return {"v1": V1, "v2": V2, "invocations": INVOCATIONS, "ping": INVOCATIONS}.get(first, NATIVE)
