"""onnxruntime's domains as a whole: each operator decided, none that a bad node can break; what its inputs hold."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
import onnxruntime
import pytest
from onnxruntime.capi.onnxruntime_pybind11_state import get_all_operator_schema

from onnxcost.analysis.weights import weights_by_node
from onnxcost.errors import UnknownShape
from onnxcost.estimator import count_graph
from onnxcost.formulas import FORMULAS, UNCOUNTABLE
from onnxcost.formulas.table import Formula
from onnxcost.graph import Graph, Node, Tensor
from onnxcost.operators.traffic import traffic
from tests.formulas.contrib import MS, Row, i32, node_of, u8

DOMAINS = ("com.microsoft", "com.microsoft.nchwc")
INSTALLED = tuple(map(int, onnxruntime.__version__.split(".")[:2]))
DECIDED = (1, 32)
"""The newest onnxruntime whose operators were gone through."""
OPERATORS = sorted({f"{each.domain}.{each.name}" for each in get_all_operator_schema() if each.domain in DOMAINS})


@pytest.mark.parametrize("key", OPERATORS)
def test_every_operator_of_the_installed_runtime_is_decided(key: str) -> None:
    if INSTALLED > DECIDED and key not in FORMULAS and key not in UNCOUNTABLE:
        pytest.skip(f"{key} is newer than what was decided, onnxruntime {DECIDED}")
    assert (key in FORMULAS) != (key in UNCOUNTABLE)


JUNK = {
    "nothing": ((), {}),
    "scalars": (((),) * 12, {}),
    "vectors": (((3,),) * 12, {}),
    "a text for a number": (
        ((2, 3, 4),) * 12,
        dict.fromkeys(("axis", "num_heads", "K", "N", "activation", "kernel_shape"), "a"),
    ),
    "zeros": (((0, 0, 0, 0),) * 12, dict.fromkeys(("num_heads", "kv_num_heads", "K", "N", "bits", "groups", "size", "dim"), 0)),
    "huge": (((2**40, 2**40, 2**40),) * 12, {"num_heads": 2**62, "kv_num_heads": -(2**62), "kernel_shape": (2**62,)}),
}


LEAVES_A_NODE_OPEN = (UnknownShape, ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


@pytest.mark.parametrize("junk", JUNK.values(), ids=JUNK.keys())
def test_a_node_that_does_not_fit_its_operator_ends_nothing(
    junk: tuple[tuple[tuple[int, ...], ...], dict[str, object]],
) -> None:
    dims, attributes = junk
    inputs = tuple(Tensor(f"x{index}", "float32", each, True) for index, each in enumerate(dims))
    constants = {tensor.name: tensor for tensor in inputs}
    for key in (*OPERATORS, "SimplifiedLayerNormalization"):
        domain, _, op_type = key.rpartition(".")
        node = Node("n", op_type, domain, inputs, (Tensor("y", "float32", (2, 3)),), attributes)
        assert count_graph(Graph("g", (), (), (node,), constants), FORMULAS).costs[0].node is not None
        formula = FORMULAS.get(key)
        for rule in filter(None, (formula.shapes, formula.bounds) if isinstance(formula, Formula) else ()):
            with suppress(*LEAVES_A_NODE_OPEN):
                rule(node)


# N · K weights of 4 bits are half as many bytes; scales and zero points are none
PACKED: list[tuple[Row, int]] = [
    ((MS + "MatMulNBits", [None, u8(5, 2, 16), np.ones((5, 2), np.float32), u8(5, 1), None, np.ones(5, np.float32)], [(2, 5)],
      {"K": 64, "N": 5}, None), 320 + 5),
    ((MS + "MatMulNBits", [None, u8(5, 2, 32), np.ones((5, 2), np.float32)], [(2, 5)],
      {"K": 64, "N": 5, "bits": 8}, None), 320),
    ((MS + "MatMulBnb4", [None, u8(160), np.ones(10, np.float32)], [(2, 5)], {"K": 64, "N": 5}, None), 320),
    ((MS + "MatMulFpQ4", [None, u8(200), i32(64, 5)], [(2, 5)], {}, None), 320),
    ((MS + "MatMulBlockQuantizedFp4Weight", [None, u8(5, 32), u8(5, 4)], [(2, 5)], {}, None), 320),
    ((MS + "MatMulNBitsQkv",
      [None, None, np.ones(64, np.float32), u8(5, 2, 16), None, None, u8(2, 2, 16), None, None, u8(2, 2, 16)], [(6, 5)],
      {"K": 64, "Nq": 5, "Nkv": 2}, None), 64 + 64 * 9),
    ((MS + "GatherBlockQuantized", [u8(9, 16), None, np.ones((9, 2), np.float32)], [(3, 32)], {}, None), 9 * 32),
    ((MS + "QMoE", [None, None, u8(3, 6, 2), np.ones((3, 6), np.float32), None, u8(3, 4, 3)], [(5, 4)], {}, None), 72 + 72),
    ((MS + "MatMulPacked", [None, u8(5, 36), np.ones(1, np.float32)], [(2, 5)], {"K": 64, "N": 5}, None), 320),
    ((MS + "GatherPacked", [u8(9, 144), None], [(3, 256)], {"K": 256}, None), 9 * 256),
    ((MS + "MoEPacked", [None, None, u8(4, 64, 18), u8(4, 64, 34), u8(4, 32, 36)], [(1, 32)], {}, None), 3 * 4 * 64 * 32),
    ((MS + "MatMulNBitsQLoRA", [None, u8(5, 2, 16), np.ones((5, 2), np.float32), u8(3, 2, 32), np.ones((3, 2), np.float32),
                                u8(5, 1, 32), np.ones((5, 1), np.float32)], [(2, 5)], {"K": 64, "N": 5}, None), 320 + 192 + 15),
    ((MS + "MatMulNBitsQLoRA", [None, u8(5, 2, 16), np.ones((5, 2), np.float32), u8(0, 2, 32), np.ones((3, 2), np.float32),
                                u8(5, 0, 32), np.ones((5, 1), np.float32)], [(2, 5)], {"K": 64, "N": 5}, None), 320),
    ((MS + "QGemm", [None, None, None, u8(5, 3), np.ones(5, np.float32), u8(5), i32(1, 2, 3, 4, 5)], [(4, 5)],
      {}, None), 15 + 5),
    ((MS + "QMoE", [None, None, u8(3, 6, 2)], [(5, 4)], {"expert_weight_bits": 0}, None), 36),  # as stored, where nothing fits
]  # fmt: skip


@pytest.mark.parametrize(("row", "parameters"), PACKED, ids=[row[0] for row, _ in PACKED])
def test_parameters(row: Row, parameters: int) -> None:
    node = node_of(row)
    constants = {tensor.name: tensor for tensor in node.inputs if tensor is not None}
    assert weights_by_node(Graph("g", (), (), (node,), constants))[0].parameters == parameters


def test_of_embeddings_only_the_rows_that_are_looked_up_are_read() -> None:
    tables = [(30_000, 4), (512, 4), (2, 4), (4,), (4,)]
    node = node_of((MS + "EmbedLayerNormalization", [(1, 2), (1, 2), *tables], [(1, 2, 4)], {}, None))
    assert traffic(node).read_bytes == 4 * (3 * 2 * 4 + 2 + 2 + 4 + 4)  # three rows for each of two tokens; ids, γ and β whole


def test_of_a_quantized_table_a_part_is_read() -> None:
    node = node_of((MS + "GatherBlockQuantized", [u8(9, 16), i32(1, 2, 3), (9, 2)], [(3, 32)], {}, None))
    assert traffic(node).read_bytes == 3 * 16 + 3 * 2 * 4 + 3 * 4
    node = node_of((MS + "GatherPacked", [u8(9, 144), i32(1, 2, 3)], [(3, 256)], {}, None))
    assert traffic(node).read_bytes == 3 * 144 + 3 * 4
