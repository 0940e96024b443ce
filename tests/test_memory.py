"""Parameters, weight bytes and the peak of live activations, on graphs small enough to follow by hand."""

from __future__ import annotations

import pytest

from onnxcost.graph import Graph, Tensor
from onnxcost.memory import memory
from onnxcost.parameters import weights_by_node
from tests.graphs import graph, node, tensor

X, Y, Z = (tensor(name, 10) for name in "xyz")  # 40 bytes each


def weight(name: str, *dims: int, dtype: str = "float32") -> Tensor:
    return tensor(name, *dims, dtype=dtype, constant=True)


def consumed(op_type: str, *inputs: Tensor | None) -> Graph:
    return graph([X], [Y], node(op_type, [X, *inputs], [Y]))


# graph, parameters, running statistics, weight bytes
PARAMETERS = {
    "a matrix": (consumed("MatMul", weight("w", 10, 10)), 100, 0, 400),
    "a matrix and a bias": (consumed("Gemm", weight("w", 10, 10), weight("b", 10)), 110, 0, 440),
    "half precision": (consumed("MatMul", weight("w", 10, 10, dtype="float16")), 100, 0, 200),
    "4-bit weights are packed": (consumed("MatMul", weight("w", 5, 5, dtype="int4")), 25, 0, 13),
    "running statistics apart": (consumed("BatchNormalization", *(weight(n, 10) for n in "abcd")), 20, 20, 160),
    "a scalar factor is none": (consumed("Mul", weight("w", 1)), 0, 0, 4),
    "a learnt scalar is one": (consumed("PRelu", weight("w", 1)), 1, 0, 4),
    "a target shape is none": (consumed("Reshape", weight("s", 2, dtype="int64")), 0, 0, 16),
    "scales of a Resize are none": (consumed("Resize", None, weight("s", 4)), 0, 0, 16),
    "quantized weights": (
        graph(
            [X],
            [Y],
            node("DequantizeLinear", [weight("q", 10, 10, dtype="int8"), weight("s", 10), weight("z0", 10, dtype="int8")], [Z]),
            node("MatMul", [X, Z], [Y]),
        ),
        100,
        0,
        150,
    ),
    "a quantized bias": (
        graph([X], [Y], node("DequantizeLinear", [weight("b", 10, dtype="int32"), weight("s", 1)], [Y])), 10, 0, 44
    ),
    "shared weights count once": (
        graph([X], [Z], node("Add", [X, weight("w", 10)], [Y]), node("Add", [Y, weight("w", 10)], [Z])), 10, 0, 40
    ),
    "what nobody reads is no weight": (Graph("g", (X,), (X,), (), {"w": weight("w", 10)}), 0, 0, 0),
}  # fmt: skip


@pytest.mark.parametrize(("model", "parameters", "statistics", "nbytes"), PARAMETERS.values(), ids=PARAMETERS.keys())
def test_weights(model: Graph, parameters: int, statistics: int, nbytes: int) -> None:
    found = memory(model, weights_by_node(model))
    assert (found.parameters, found.running_statistics, found.weight_bytes) == (parameters, statistics, nbytes)
    assert sum(found.weight_bytes_by_dtype.values()) == nbytes


def test_shared_weights_belong_to_the_first_node_that_reads_them() -> None:
    model = graph([X], [Z], node("Add", [X, weight("w", 10)], [Y]), node("Add", [Y, weight("w", 10)], [Z]))
    assert [own.parameters for own in weights_by_node(model)] == [10, 0]


A, B, C, D = (tensor(name, 10) for name in "abcd")
BIG = tensor("big", 100)  # 400 bytes

# graph, peak: the comment says what is alive at the peak
PEAKS = {
    "no nodes": (graph([X], [X]), 40),
    "one node": (graph([X], [Y], node("Softsign", [X], [Y])), 80),  # x, y: the caller's input is not written over
    "a chain in place": (graph([X], [C], node("Relu", [X], [A]), node("Relu", [A], [B]), node("Relu", [B], [C])), 80),
    "a chain that cannot be in place": (graph([X], [B], node("MatMul", [X, X], [A]), node("MatMul", [A, A], [B])), 120),
    "a residual": (  # x, a, b: the sum is written over b
        graph([X], [C], node("MatMul", [X, X], [A]), node("MatMul", [A, A], [B]), node("Add", [A, B], [C])),
        120,
    ),
    "a view takes no room": (graph([X], [A], node("Reshape", [X], [A])), 40),
    "a view keeps its source alive": (  # x, a (alive in its view b), c, d
        graph(
            [X],
            [D],
            node("MatMul", [X, X], [A]),
            node("Reshape", [A], [B]),
            node("MatMul", [X, X], [C]),
            node("MatMul", [C, B], [D]),
        ),
        160,
    ),
    "what nobody reads dies at once": (graph([X], [B], node("MatMul", [X], [A, BIG]), node("MatMul", [A], [B])), 480),
    "the peak lies inside": (graph([X], [A], node("Expand", [X], [BIG]), node("ReduceSum", [BIG], [A])), 480),
    "outputs live to the end": (graph([X], [A, B], node("MatMul", [X], [A]), node("MatMul", [X], [B])), 120),
    "constants are no activations": (graph([X], [A], node("MatMul", [X, weight("w", 100)], [A])), 80),
    "an open shape": (graph([X], [A], node("NonZero", [X], [tensor("a", None)])), None),
}


@pytest.mark.parametrize(("model", "peak"), PEAKS.values(), ids=PEAKS.keys())
def test_peak_of_live_activations(model: Graph, peak: int | None) -> None:
    assert memory(model, weights_by_node(model)).peak_activation_bytes == peak
