"""What an Einsum does in onnxruntime: transposes, sums and products of matrices, as nodes.

einsum_compute_preprocessor.cc, einsum_typed_compute_processor.cc: each operand gets a dim for every label, in the order in
which the labels occur, of length 1 where it lacks the label. Two operands at a time are multiplied, after their dims were
brought into the order that a product of matrices needs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from math import prod

from onnxcost.formulas.contraction import einsum_terms
from onnxcost.graph import Node, Tensor

Lengths = Mapping[str, int]
"""The dims of a tensor by their labels, in the order in which they are stored."""


def einsum_nodes(node: Node) -> Iterator[Node]:
    """The nodes that an Einsum amounts to, in the order in which they run. An Expand to the same shape is a copy."""
    given = [tensor for tensor in node.inputs if tensor is not None]
    terms, output = einsum_terms(str(node.attributes["equation"]), [tensor.rank for tensor in given])
    labels = list(dict.fromkeys("".join(terms)))
    last = {label: place for place, term in enumerate(terms) for label in term if label not in output}
    dtype, operands = node.x.dtype, []
    for term, tensor in zip(terms, given, strict=True):
        stored = dict(zip(term, tensor.shape, strict=True))
        ordered = [label for label in labels if label in stored]
        if list(stored) != ordered:
            yield _move(stored, ordered, dtype)
        operands.append({label: stored.get(label, 1) for label in labels})
    result = operands[0]
    if alone := [label for label in labels if last.get(label) == 0]:
        yield _total(result, alone, dtype)
        result |= dict.fromkeys(alone, 1)
    for place, right in enumerate(operands[1:], start=1):
        summed = [label for label in labels if last.get(label) == place]
        own = []
        for operand, other in ((result, right), (right, result)):
            if alone := [label for label in summed if operand[label] > 1 == other[label]]:
                yield _total(operand, alone, dtype)
                operand |= dict.fromkeys(alone, 1)
                own.append(operand)
        kept = [label for label in labels if label not in summed]
        batch = [label for label in kept if result[label] > 1 < right[label]]
        rows = [label for label in kept if result[label] > 1 == right[label]]
        columns = [label for label in kept if result[label] == 1]
        for operand, order in ((result, batch + rows + summed + columns), (right, batch + summed + columns + rows)):
            moved = _move(operand, order, dtype)
            # A tensor of its own is only given another shape where others are copied.
            if order != labels and not (moved.op_type == "Expand" and any(operand is each for each in own)):
                yield moved
        count, height = (prod(result[label] for label in each) for each in (batch, rows))
        depth, width = (prod(right[label] for label in each) for each in (summed, columns))
        shapes = ((count, height, depth), (count, depth, width), (count, height, width))
        tensors = [Tensor("", dtype, shape) for shape in shapes]
        yield Node("", "MatMul", "", tuple(tensors[:2]), (tensors[2],))
        made = batch + rows + summed + columns
        result = {label: 1 if label in summed else max(result[label], right[label]) for label in made}
        if place < len(terms) - 1:
            if made != labels:
                yield _move(result, labels, dtype)
            result = {label: result[label] for label in labels}
    if [label for label in result if label in output] != list(output):
        yield _move({label: length for label, length in result.items() if label in output}, output, dtype)
    yield _copy(tuple(result[label] for label in output), dtype)


def _move(lengths: Lengths, order: Iterable[str], dtype: str) -> Node:
    """The dims in another order: only a copy where no dim longer than 1 moves past another."""
    stored, order = list(lengths), list(order)
    shape = tuple(lengths.values())
    if [label for label in stored if lengths[label] > 1] == [label for label in order if lengths[label] > 1]:
        return _copy(shape, dtype)
    moved = tuple(lengths[label] for label in order)
    perm = [stored.index(label) for label in order]
    return Node("", "Transpose", "", (Tensor("", dtype, shape),), (Tensor("", dtype, moved),), {"perm": perm})


def _copy(shape: tuple[int, ...], dtype: str) -> Node:
    tensor = Tensor("", dtype, shape)
    return Node("", "Expand", "", (tensor,), (tensor,))


def _total(lengths: Lengths, labels: Iterable[str], dtype: str) -> Node:
    """The sum over some dims, which stay as dims of 1."""
    axes = [place for place, label in enumerate(lengths) if label in set(labels)]
    shape = tuple(1 if place in axes else length for place, length in enumerate(lengths.values()))
    inputs, out = Tensor("", dtype, tuple(lengths.values())), Tensor("", dtype, shape)
    return Node("", "ReduceSum", "", (inputs,), (out,), {"axes": axes})
