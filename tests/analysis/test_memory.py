"""Parameters and weight bytes, on graphs small enough to follow by hand."""

from __future__ import annotations

import pytest

from onnxcost.analysis.memory import memory
from onnxcost.analysis.weights import weights_by_node
from onnxcost.graph import Graph, Tensor
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
    "scales of what is to be upsampled are none": (consumed("Upsample", weight("s", 4)), 0, 0, 16),
    "sines and cosines are none": (consumed("RotaryEmbedding", weight("c", 5, 2), weight("s", 5, 2)), 0, 0, 80),
    "the two values of a OneHot are none": (consumed("OneHot", None, weight("v", 2)), 0, 0, 8),
    "a kernel of one element is one": (consumed("Conv", weight("w", 1)), 1, 0, 4),
    "zeros are none": (consumed("ConvInteger", weight("w", 5, dtype="int8"), None, weight("z", 5, dtype="int8")), 5, 0, 10),
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
