"""Feeding a graph's columns from the two blocks of a `Table`, which are the inputs that a session gives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from onnx import TensorProto, helper

from flyball.engine.contract import Layout
from flyball.engine.session import CATEGORIES, NUMBERS

#: the standard operators where a graph has none yet; LightGBM's converter refuses a newer ai.onnx.ml.
OPSET = {"": 21, "ai.onnx.ml": 3}


def split_blocks(model: Any, layout: Layout, inner: Mapping[str, str]) -> None:
    """Make the blocks that `layout` has the graph's inputs, and split them, before all else, into columns (rows, 1).

    `inner`: feature -> the tensor its column becomes. The runtime spends 2 us on each input of a call, and next to none
    on a Split.
    """
    graph = model.graph
    opset = opset_of(model)
    del graph.input[:]
    blocks = ((NUMBERS, TensorProto.FLOAT, layout.numbers), (CATEGORIES, TensorProto.STRING, layout.categories))
    for block, element, names in blocks:
        if not names:
            continue
        graph.input.append(helper.make_tensor_value_info(block, element, [None, len(names)]))
        outputs = [inner[name] for name in names]
        if len(names) == 1:
            graph.node.insert(0, helper.make_node("Identity", [block], outputs, name=f"take_{block}"))
            continue
        sizes = [1] * len(names)
        if opset >= 13:  # since then Split takes its sizes as an input
            graph.initializer.append(helper.make_tensor(f"{block}_sizes", TensorProto.INT64, [len(names)], sizes))
            split = helper.make_node("Split", [block, f"{block}_sizes"], outputs, name=f"split_{block}", axis=1)
        else:
            split = helper.make_node("Split", [block], outputs, name=f"split_{block}", axis=1, split=sizes)
        graph.node.insert(0, split)


def opset_of(model: Any) -> int:
    """The version of the standard operators; where the graph has none yet, ours is added."""
    for item in model.opset_import:
        if item.domain in ("", "ai.onnx"):
            return int(item.version)
    model.opset_import.append(helper.make_opsetid("", OPSET[""]))
    return OPSET[""]
