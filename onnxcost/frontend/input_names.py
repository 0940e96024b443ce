"""The names that can be said of a model's inputs: theirs, and those of their open dims."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, TypeVar

from onnxcost.frontend.skeleton import ModelSource, read_skeleton

T = TypeVar("T")


class InputNames(NamedTuple):
    """The inputs of a model, and the symbols of its dims, lengths of sequences among them."""

    inputs: frozenset[str]
    dims: frozenset[str]


def named_in(source: ModelSource, given: Mapping[str, Mapping[str, T]]) -> dict[str, dict[str, T]]:  # type: ignore[valid-type]
    """What of ``given`` the model has a name for: in "dims" that of a dim, in what else there is that of an input."""
    inputs, dims = input_names(source)
    return {
        kind: {name: said for name, said in each.items() if name in (dims if kind == "dims" else inputs)}
        for kind, each in given.items()
    }


def input_names(source: ModelSource) -> InputNames:  # type: ignore[valid-type]
    """The names in the model at ``source``; raises as ``read_skeleton`` does."""
    graph = read_skeleton(source).model.graph
    stored = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in stored]
    symbols = {dim.dim_param for value in inputs for dim in value.type.tensor_type.shape.dim if dim.dim_param}
    lengths = {f"{value.name}.length" for value in inputs if value.type.HasField("sequence_type")}
    return InputNames(frozenset(value.name for value in inputs), frozenset(symbols | lengths))
