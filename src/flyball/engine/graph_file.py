"""An ONNX graph as a step returns it: an `onnx.ModelProto`, or the `pathlib.Path` of an .onnx file that it wrote.

onnx is imported when there is one.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from flyball.errors import Mistake

_INSIDE = "save it with its weights inside: onnx.save(model, path, save_as_external_data=False)"


def is_graph(result: Any) -> bool:
    """Whether a step's result is an ONNX graph. Of a path its name decides; the file may not be there."""
    if isinstance(result, Path):
        return result.suffix == ".onnx"
    onnx = sys.modules.get("onnx")  # what is not imported has made nothing
    return onnx is not None and isinstance(result, onnx.ModelProto)


def graph_bytes(graph: Any) -> bytes:
    """The graph with all of its weights inside; those in files beside its own are read in.

    Raises `Mistake` for what holds no graph, or not all of it.
    """
    model, what = _loaded(graph) if isinstance(graph, Path) else (graph, "the ONNX model")
    from onnx.external_data_helper import uses_external_data  # slow

    if any(uses_external_data(item) for item in model.graph.initializer):
        raise Mistake(f"{what} lacks its weights, which lie in other files; {_INSIDE}")
    try:
        content: bytes = model.SerializeToString(deterministic=True)
    except Exception as error:  # protobuf's own
        raise Mistake(f"{what} is over the 2 GB that one ONNX file may have; make it smaller") from error
    return content


def graph_of(content: bytes) -> Any:
    """The `onnx.ModelProto` again."""
    import onnx  # slow

    return onnx.load_from_string(content)


def _loaded(path: Path) -> tuple[Any, str]:
    import onnx  # slow

    what = f"the ONNX file {path.name}"
    if not path.is_file():
        raise Mistake(f"{what} does not exist; return the path of a file that the step has written")
    try:
        model = onnx.load(path, load_external_data=False)
    except Exception as error:  # protobuf's own
        raise Mistake(f"{what} holds no ONNX graph; write it again, and return its path when it is whole") from error
    try:
        onnx.load_external_data_for_model(model, str(path.parent))
    except Exception as error:  # the checker's, or the system's
        raise Mistake(f"{what} has weights in other files that cannot be read; {_INSIDE}") from error
    return model, what
