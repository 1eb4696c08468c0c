"""A graph as it came becomes one that takes the blocks of a `Table` and gives the one answer that a session expects."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from onnx import TensorProto, helper

from flyball.engine.blocks import opset_of, split_blocks
from flyball.engine.contract import Contract
from flyball.engine.given_reading import Reading
from flyball.engine.session import CATEGORIES, NUMBERS, OUTPUT

#: what we call our own tensors, and nobody else may.
_PREFIX = "flyball/"
_OURS = (NUMBERS, CATEGORIES, OUTPUT, f"{NUMBERS}_sizes", f"{CATEGORIES}_sizes")
#: since then weights need not be listed as inputs.
_IR_VERSION = 4


def wrap_graph(model: Any, reading: Reading, contract: Contract, *, columns: int | None) -> bytes:
    """The wrapped graph's bytes, the same for the same graph. `columns` of its answer; None: its shape is [rows].

    One column of a binary model is the probability of `positive`: the other class's is put beside it. Labels, ZipMaps
    and what only they need are left out, and so is every shape that the exporter wrote down.
    """
    model.ir_version = max(model.ir_version, _IR_VERSION)
    opset_of(model)
    graph = model.graph
    _rename(graph, {name: f"{_PREFIX}{name}" for name in _OURS})
    kept = f"{_PREFIX}{reading.tensor}" if reading.tensor in _OURS else reading.tensor
    del graph.value_info[:]
    del graph.output[:]
    head = _head(model, reading, contract)
    tail = list(_tail(graph, reading, contract, kept, columns))
    nodes = _needed([*head, *graph.node, *tail])
    del graph.node[:]
    graph.node.extend(nodes)
    _feed(model, reading, contract)
    graph.output.append(helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, [None, max(len(contract.classes), 1)]))
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def _head(model: Any, reading: Reading, contract: Contract) -> list[Any]:
    """From what `_feed` gives (a block, or a column of one) to what each input of the graph was."""
    nodes = []
    whole = _takes_blocks(reading, contract)
    for item in reading.inputs:
        text = item.element == TensorProto.STRING
        source = (CATEGORIES if text else NUMBERS) if whole else f"{_PREFIX}column/{item.features[0]}"
        target = f"{_PREFIX}{item.name}" if item.name in _OURS else item.name
        if not text and item.element != TensorProto.FLOAT:
            cast = f"{_PREFIX}cast/{item.name}" if item.flat else target
            nodes.append(helper.make_node("Cast", [source], [cast], to=item.element))
            source = cast
        if item.flat:
            nodes.append(helper.make_node("Reshape", [source, _constant(model.graph, "row", [-1])], [target]))
        elif source != target:
            nodes.append(helper.make_node("Identity", [source], [target]))
    return nodes


def _feed(model: Any, reading: Reading, contract: Contract) -> None:
    """Give the graph its new inputs: the blocks, cut into columns where its own inputs are features."""
    if _takes_blocks(reading, contract):
        blocks = ((NUMBERS, TensorProto.FLOAT), (CATEGORIES, TensorProto.STRING))
        widths = (len(contract.layout.numbers), len(contract.layout.categories))
        del model.graph.input[:]
        model.graph.input.extend(
            helper.make_tensor_value_info(name, element, [None, width])
            for (name, element), width in zip(blocks, widths, strict=True)
            if width
        )
    else:
        split_blocks(model, contract.layout, {name: f"{_PREFIX}column/{name}" for name in contract.layout.names})


def _takes_blocks(reading: Reading, contract: Contract) -> bool:
    """Whether its inputs are whole blocks; else each is one column."""
    layout = contract.layout
    return all(item.features in (layout.numbers, layout.categories) for item in reading.inputs)


def _tail(graph: Any, reading: Reading, contract: Contract, tensor: str, columns: int | None) -> Iterator[Any]:
    """From the answer as it came to float32 of shape (rows, classes), or (rows, 1) of a regression."""
    if reading.element != TensorProto.FLOAT:
        yield helper.make_node("Cast", [tensor], [f"{_PREFIX}float"], to=TensorProto.FLOAT)
        tensor = f"{_PREFIX}float"
    if columns is None:
        yield helper.make_node("Reshape", [tensor, _constant(graph, "column", [-1, 1])], [f"{_PREFIX}tall"])
        tensor = f"{_PREFIX}tall"
    if contract.task == "binary" and columns in (None, 1):
        graph.initializer.append(helper.make_tensor(f"{_PREFIX}one", TensorProto.FLOAT, [], [1.0]))
        other = f"{_PREFIX}other"
        yield helper.make_node("Sub", [f"{_PREFIX}one", tensor], [other])
        both = [tensor, other] if contract.positive == contract.classes[0] else [other, tensor]
        yield helper.make_node("Concat", both, [OUTPUT], axis=1)
    else:
        yield helper.make_node("Identity", [tensor], [OUTPUT])


def _constant(graph: Any, name: str, values: list[int]) -> str:
    full = f"{_PREFIX}{name}"
    if all(item.name != full for item in graph.initializer):
        graph.initializer.append(helper.make_tensor(full, TensorProto.INT64, [len(values)], values))
    return full


def _needed(nodes: list[Any]) -> list[Any]:
    """Those that the answer hangs on, in their order."""
    wanted = {OUTPUT}
    kept = []
    for node in reversed(nodes):
        if wanted.intersection(node.output):
            kept.append(node)
            wanted.update(_uses(node))
    return kept[::-1]


def _uses(node: Any) -> Iterator[str]:
    yield from node.input
    for graph in _inside(node):
        yield from (item.name for item in graph.output)
        for inner in graph.node:
            yield from _uses(inner)


def _inside(node: Any) -> Iterator[Any]:
    """The graphs of its branches or its loop."""
    for item in node.attribute:
        if item.HasField("g"):
            yield item.g
        yield from item.graphs


def _rename(graph: Any, names: dict[str, str]) -> None:
    """Other names for these tensors, inside branches and loops too."""
    for item in (*graph.input, *graph.output, *graph.initializer, *graph.value_info):
        item.name = names.get(item.name, item.name)
    for item in graph.sparse_initializer:
        item.values.name = names.get(item.values.name, item.values.name)
    for node in graph.node:
        for some in (node.input, node.output):
            for index, name in enumerate(some):
                if name in names:
                    some[index] = names[name]
        for inner in _inside(node):
            _rename(inner, names)
