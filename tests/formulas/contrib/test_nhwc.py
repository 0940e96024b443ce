"""Operators with channels last: each does what the standard operator does on channels first, and makes the same shape."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from onnxruntime.capi.onnxruntime_pybind11_state import get_all_operator_schema

import onnxcost
from onnxcost.errors import UnknownShape
from onnxcost.formulas import FORMULAS
from onnxcost.formulas.contrib.nhwc import DOMAIN
from onnxcost.graph import Node, Tensor, Work
from tests.formulas.contrib import Row, check, label, node_of
from tests.modeltext import graph_of, model

SCALAR = Tensor("s", "float32", ())

# the standard node on x of 1×4×6×8, and its weights
NODES: dict[str, tuple[str, dict[str, tuple[int, ...]]]] = {
    "Conv": ("y = Conv <strides = [2, 2], pads = [1, 1, 1, 1], group = 2> (x, w, b)", {"w": (6, 2, 3, 3), "b": (6,)}),
    "ConvTranspose": ("y = ConvTranspose <strides = [2, 2], pads = [1, 0, 1, 0]> (x, w)", {"w": (4, 3, 3, 3)}),
    "ConvTranspose of a size": ("y = ConvTranspose <strides = [2, 2], output_shape = [12, 16]> (x, w)", {"w": (4, 3, 3, 3)}),
    "MaxPool": ("y = MaxPool <kernel_shape = [3, 3], strides = [2, 2], ceil_mode = 1> (x)", {}),
    "AveragePool": ("y = AveragePool <kernel_shape = [2, 3], pads = [1, 1, 1, 1]> (x)", {}),
    "LpPool": ("y = LpPool <kernel_shape = [2, 2], strides = [2, 2]> (x)", {}),
    "GlobalAveragePool": ("y = GlobalAveragePool(x)", {}),
    "GlobalMaxPool": ("y = GlobalMaxPool(x)", {}),
    "GlobalLpPool": ("y = GlobalLpPool(x)", {}),
    "BatchNormalization": ("y = BatchNormalization(x, w, b, m, v)", dict.fromkeys("wbmv", (4,))),
    "InstanceNormalization": ("y = InstanceNormalization(x, w, b)", dict.fromkeys("wb", (4,))),
    "LRN": ("y = LRN <size = 3> (x)", {}),
    "GridSample": ("y = GridSample(x, g)", {"g": (1, 5, 7, 2)}),
    "DepthToSpace": ("y = DepthToSpace <blocksize = 2> (x)", {}),
    "SpaceToDepth": ("y = SpaceToDepth <blocksize = 2> (x)", {}),
    "MaxUnpool": ("i = Cast <to = 7> (x) y = MaxUnpool <kernel_shape = [2, 2], strides = [2, 2]> (x, i)", {}),
    "QLinearConv": (
        "q = Cast <to = 3> (x) k = Cast <to = 3> (w) z = Cast <to = 3> (s) y = QLinearConv(q, s, z, k, s, z, s, z)",
        {"w": (6, 4, 3, 3), "s": ()},
    ),
    "Resize": ("y = Resize <mode = \"linear\"> (x, , f)", {}),
}  # fmt: skip


CASES: list[Row] = []  # ONNX's reference evaluator has none of them

BY_HAND: list[Row] = [
    *[(f"{DOMAIN}.{name.split()[0]}", [], [], {}, None) for name in NODES],
    (f"{DOMAIN}.QLinearAveragePool", [(1, 6, 6, 2), (), None, (), None], [(1, 3, 3, 2)], {"kernel_shape": (2, 2)},
     FORMULAS["com.microsoft.QLinearAveragePool"](
         Node("", "", "", (Tensor("x", "float32", (1, 2, 6, 6)), SCALAR, None, SCALAR), (Tensor("y", "float32", (1, 2, 3, 3)),),
              {"kernel_shape": (2, 2)}))),
    # 2·2 places of 3 channels by 4·2·2 weights reach 4·4·4 outputs; each times its scale, rounded, two bounds; a·b/y once
    (f"{DOMAIN}.QLinearConvTranspose", [(1, 2, 2, 3), (), None, (3, 4, 2, 2), (), None, (), None], [(1, 4, 4, 4)],
     {"strides": (2, 2)}, Work(macs=12 * 16, accumulators=64, muls=64 + 1, compares=64 * 3, divs=1)),
    # and a bias for each output
    (f"{DOMAIN}.QLinearConvTranspose", [(1, 2, 2, 3), (), None, (3, 4, 2, 2), (), None, (), None, (4,)], [(1, 4, 4, 4)],
     {"strides": (2, 2)}, Work(macs=12 * 16, accumulators=64, bias_adds=64, muls=64 + 1, compares=64 * 3, divs=1)),
]  # fmt: skip
"""Those of NODES are held against the standard operators."""


@pytest.mark.parametrize("row", [row for row in BY_HAND if row[1]], ids=label)
def test_by_hand(row: Row) -> None:
    check(row)


def last(tensor: Tensor | None) -> Tensor | None:
    if tensor is None or tensor.rank < 3:
        return tensor
    batch, channels, *space = tensor.shape
    return replace(tensor, dims=(batch, *space, channels))


def standard(text: str, weights: dict[str, tuple[int, ...]]) -> Node:
    made = model(f"(float[1,4,6,8] x) => (float y) <float[4] f = {{1, 1, 2, 2}}> {{ {text} }}", opset=19, **weights)
    return graph_of(made).nodes[-1]


@pytest.mark.parametrize(("text", "weights"), NODES.values(), ids=NODES.keys())
def test_as_the_standard_operator(text: str, weights: dict[str, tuple[int, ...]]) -> None:
    node = standard(text, weights)
    turned = replace(
        node, domain=DOMAIN, inputs=(last(node.input(0)), *node.inputs[1:]), outputs=tuple(map(last, node.outputs))
    )
    if node.op_type == "Resize":
        scales = replace(node.required(2), value=(1.0, 2.0, 2.0, 1.0))
        turned = replace(turned, inputs=(turned.x, None, scales))
    formula = FORMULAS[turned.key]
    assert formula(turned) == FORMULAS[node.key](node)
    open_node = replace(turned, outputs=tuple(each and replace(each, dims=None) for each in turned.outputs))
    assert formula.shapes is not None  # type: ignore[attr-defined]
    made = formula.shapes(open_node)[0]  # type: ignore[attr-defined]
    assert made == (node.out.dtype, turned.out.shape)


SIZES, HALVES = np.array([1, 12, 4, 4]), np.array([2.0, 0.5], np.float32)
# an operator, its inputs, attributes; the dims of its output, channels last
DIMS: list[tuple[str, list[Any], dict[str, Any], tuple[int, ...]]] = [
    ("Resize", [(1, 6, 8, 4), None, None, SIZES], {}, (1, 12, 4, 4)),
    ("Resize", [(1, 6, 8, 4), None, None, SIZES[1:3]], {"axes": (1, 2)}, (1, 12, 4, 4)),
    ("Resize", [(1, 6, 8, 4), None, HALVES], {"axes": (-3, -2)}, (1, 12, 4, 4)),
    ("GlobalAveragePool", [(1, 6, 4)], {}, (1, 1, 4)),
    ("GlobalMaxPool", [(1, 2, 3, 4, 5)], {}, (1, 1, 1, 1, 5)),
    ("MaxUnpool", [(1, 3, 4, 2), (1, 3, 4, 2), np.array([1, 7, 9, 2])], {"kernel_shape": (2, 2)}, (1, 7, 9, 2)),
    # 2 steps of 1 and a window of 2, less a row in front; 3 steps of 2 and a window of 3, less a column behind
    ("MaxUnpool", [(1, 3, 4, 2), (1, 3, 4, 2)], {"kernel_shape": (2, 3), "strides": (1, 2), "pads": (1, 0, 0, 1)},
     (1, 3, 8, 2)),
    ("MaxUnpool", [(1, 3, 4, 2), (1, 3, 4, 2)], {"kernel_shape": (2, 3)}, (1, 4, 6, 2)),
]  # fmt: skip


@pytest.mark.parametrize(("name", "inputs", "attributes", "dims"), DIMS)
def test_dims(name: str, inputs: list[Any], attributes: dict[str, Any], dims: tuple[int, ...]) -> None:
    formula = FORMULAS[f"{DOMAIN}.{name}"]
    assert formula.shapes is not None  # type: ignore[attr-defined]
    assert formula.shapes(node_of((f"{DOMAIN}.{name}", inputs, [None], attributes, None))) == [("float32", dims)]  # type: ignore[attr-defined]


def test_scales_that_are_not_known() -> None:
    node = node_of((f"{DOMAIN}.Resize", [(1, 6, 8, 4), None, (4,)], [None], {}, None))
    with pytest.raises(UnknownShape):
        FORMULAS[node.key].shapes(node)  # type: ignore[attr-defined]


def test_every_operator_of_the_domain_is_counted() -> None:
    names = {each.name for each in get_all_operator_schema() if each.domain == DOMAIN}
    assert {f"{DOMAIN}.{name}" for name in names} <= FORMULAS.keys()


def test_a_model_with_channels_last() -> None:
    """6·8 places of 9·4 products for 5 channels, and a comparison each for the Relu behind it."""
    text = '(float[1,6,8,4] x) => (float y) { y = com.ms.internal.nhwc.Conv <pads = [1, 1, 1, 1], activation = "Relu"> (x, w) }'
    report = onnxcost.estimate(model(text, domains=f', "{DOMAIN}" : 1', w=(5, 4, 3, 3)))
    assert (report.macs, report.parameters, report.complete) == (48 * 5 * 36, 180, True)
    assert report.graph.outputs[0].shape == (1, 6, 8, 5)
    assert report.whole.work.compares == 240
