"""Driving skl2onnx: its converters where they are right, ours where they are not, and two inputs in place of dozens.

Slow to import (onnx, skl2onnx); only `engine.compile` does, when a model is compiled.
"""

from __future__ import annotations

import math
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from onnx import TensorProto
from skl2onnx import convert_sklearn
from skl2onnx.common import tree_ensemble
from skl2onnx.common._apply_operation import apply_cast, apply_concat
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from skl2onnx.operator_converters.ordinal_encoder import convert_sklearn_ordinal_encoder
from sklearn.preprocessing import OrdinalEncoder

from flyball.engine.blocks import OPSET, split_blocks
from flyball.engine.boosters import register_boosters
from flyball.engine.contract import Contract
from flyball.engine.session import CATEGORIES, NUMBERS, OUTPUT

_one_at_a_time = threading.Lock()


def build_graph(fitted: Any, contract: Contract, *, by_column: bool) -> bytes:
    """The graph's bytes, the same for the same model. `by_column`: the model picks columns by name or position.

    Raises whatever skl2onnx raises.
    """
    kinds = {NUMBERS: FloatTensorType, CATEGORIES: StringTensorType}
    layout = contract.layout
    if by_column:
        blocks = {name: NUMBERS if layout.place[name][0] else CATEGORIES for name in layout.names}
        inputs = [(name, kinds[blocks[name]]([None, 1])) for name in layout.names]
    else:
        inputs = [(NUMBERS, FloatTensorType([None, len(layout.numbers)]))]
    register_boosters(fitted)
    with _one_at_a_time, _mended_tree_nodes(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the converters warn about their own dependencies
        model = convert_sklearn(
            fitted,
            name=contract.model,
            initial_types=inputs,
            options={id(fitted): {"zipmap": False}} if contract.classes else None,
            target_opset=OPSET,
            custom_conversion_functions={OrdinalEncoder: _convert_ordinal_encoder},
        )
    if by_column:
        _join_inputs(model, contract)
    _keep_one_output(model, "probabilities" if contract.classes else model.graph.output[0].name)
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def _join_inputs(model: Any, contract: Contract) -> None:
    """Feed columns from two matrices."""
    # skl2onnx renames what is not a C identifier, and keeps the order.
    inner = dict(zip(contract.layout.names, [item.name for item in model.graph.input], strict=True))
    split_blocks(model, contract.layout, inner)


def _keep_one_output(model: Any, name: str) -> None:
    graph = model.graph
    kept = next(item for item in graph.output if item.name == name)
    for node in graph.node:
        for names in (node.input, node.output):
            for index, other in enumerate(names):
                if other == name:
                    names[index] = OUTPUT
    kept.name = OUTPUT
    for item in [item for item in graph.output if item.name != OUTPUT]:
        graph.output.remove(item)


@contextmanager
def _mended_tree_nodes() -> Iterator[None]:
    """skl2onnx 1.20 hands protobuf a boolean for HistGradientBoosting's missing values; protobuf 7 wants an integer."""
    original = tree_ensemble.add_node

    def add_node(*args: Any, nodes_missing_value_tracks_true: Any = 0, **options: Any) -> None:
        original(*args, nodes_missing_value_tracks_true=int(nodes_missing_value_tracks_true), **options)

    tree_ensemble.add_node = add_node
    try:
        yield
    finally:
        tree_ensemble.add_node = original


def _convert_ordinal_encoder(scope: Any, operator: Any, container: Any) -> None:
    """OrdinalEncoder over text: like skl2onnx's, but a missing category and `unknown_value=0` keep their codes."""
    encoder = operator.raw_operator
    infrequent = getattr(encoder, "_infrequent_enabled", False)
    if infrequent or not all(isinstance(item.type, StringTensorType) for item in operator.inputs):
        convert_sklearn_ordinal_encoder(scope, operator, container)
        return
    table = scope.get_unique_variable_name("table")
    apply_concat(scope, [item.full_name for item in operator.inputs], table, container, axis=1)
    codes = []
    for index, levels in enumerate(encoder.categories_):
        at = scope.get_unique_variable_name("at")
        column = scope.get_unique_variable_name("column")
        codes.append(scope.get_unique_variable_name("codes"))
        container.add_initializer(at, TensorProto.INT64, [1], [index])
        container.add_node("Gather", [table, at], column, axis=1, name=scope.get_unique_operator_name("Gather"))
        container.add_node(
            "LabelEncoder",
            column,
            codes[-1],
            op_domain="ai.onnx.ml",
            op_version=2,
            name=scope.get_unique_operator_name("LabelEncoder"),
            **_codes(encoder, levels),
        )
    joined = scope.get_unique_variable_name("codes")
    apply_concat(scope, codes, joined, container, axis=1)
    is_float = np.issubdtype(encoder.dtype, np.floating)
    apply_cast(
        scope, joined, operator.output_full_names, container, to=TensorProto.FLOAT if is_float else TensorProto.INT64
    )


def _codes(encoder: Any, levels: Any) -> dict[str, Any]:
    values = np.arange(len(levels), dtype=np.float32)
    # "" behind other levels is what compile has put for None and NaN; a level of that name would sort first.
    if len(levels) and levels[-1] == "":
        values[-1] = encoder.encoded_missing_value
    unknown = encoder.unknown_value if encoder.handle_unknown == "use_encoded_value" else math.nan
    return {
        "keys_strings": [str(level).encode() for level in levels],
        "values_floats": values,
        "default_float": float(unknown),
    }
