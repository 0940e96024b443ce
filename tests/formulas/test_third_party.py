"""Operators of other tools and of the first opsets: what they keep of the shape, and what is behind them."""

from __future__ import annotations

from typing import Any

import pytest

import onnxcost
from onnxcost.formulas import FORMULAS, Formula
from onnxcost.graph import Work
from tests.formulas.contrib import Row, check, label, node_of
from tests.modeltext import model

X, OFFSETS, MASK, WEIGHT = (1, 3, 6, 6), (1, 18, 4, 4), (1, 9, 4, 4), (2, 3, 3, 3)
ALIGN = {"output_height": 2, "output_width": 4, "sampling_ratio": 2, "mode": "avg"}


def of(op_type: str, inputs: list[tuple[int, ...] | None], out: tuple[int, ...], attributes: dict[str, Any]) -> Work:
    """The work of a standard operator."""
    return FORMULAS[op_type](node_of((op_type, inputs, [out], attributes, None)))


DEFORMED = of("DeformConv", [X, WEIGHT, OFFSETS, None, MASK], (1, 2, 4, 4), {"offset_group": 1})
ALIGNED = of("RoiAlign", [X, (5, 4), (5,)], (5, 3, 2, 4), ALIGN)
SAMPLED = of("GridSample", [X, (1, 2, 2, 2)], (1, 3, 2, 2), {})

CASES: list[Row] = []  # ONNX's reference evaluator has none of them

BOXES = [(2, 50, 4), (2, 50, 8)]
BY_HAND: list[Row] = [
    # 12 elements: divided, shifted, rounded and bounded, shifted back, multiplied
    *[
        (f"{domain}.{name}", [(1, 3, 4), (), (), ()], [(1, 3, 4)], {}, 12 * each)
        for domain in ("qonnx.custom_op.general", "finn.custom_op.general", "onnx.brevitas")
        for name, each in {
            "Quant": Work(divs=1, adds=2, compares=3, muls=1),
            "IntQuant": Work(divs=1, adds=2, compares=3, muls=1),
            "FloatQuant": Work(divs=1, compares=3, muls=1),
            "BipolarQuant": Work(compares=1, muls=1),
            "BinaryQuant": Work(compares=1, muls=1),
            "Trunc": Work(divs=2, adds=2, compares=3, muls=1),
        }.items()
    ],
    # 100 boxes of 8 scores, 9 kept: each of these against all others, by 7 operations
    *[
        (f"{domain}{name}", BOXES, [(2, 1)], {"max_output_boxes": 9}, Work(compares=800 + 2700, adds=1800, divs=900, muls=900))
        for domain in ("", "TRT.", "mmdeploy.")
        for name in ("EfficientNMS_TRT", "EfficientNMS_ONNX_TRT", "YOLO_NMS_TRT", "BatchedNMS_TRT", "BatchedNMSDynamic_TRT",
                     "TRTBatchedNMS")
    ],
    *[
        row
        for domain in ("mmdeploy", "mmcv")
        for row in (
            # as DeformConv, whose weight comes second and mask last
            (f"{domain}.MMCVModulatedDeformConv2d", [X, OFFSETS, MASK, WEIGHT], [(1, 2, 4, 4)], {}, DEFORMED),
            (f"{domain}.MMCVRoiAlign", [X, (5, 4), (5,)], [(5, 3, 2, 4)], ALIGN, ALIGNED),
            (f"{domain}.grid_sampler", [X, (1, 2, 2, 2)], [(1, 3, 2, 2)], {}, SAMPLED),
        )
    ],
    # 12 elements: scaled, shifted, a function of each
    ("Affine", [(1, 3, 4)], [(1, 3, 4)], {}, 12 * Work(muls=1, adds=1)),
    ("ImageScaler", [(1, 3, 4)], [(1, 3, 4)], {}, 12 * Work(muls=1, adds=1)),
    ("ScaledTanh", [(1, 3, 4)], [(1, 3, 4)], {}, 12 * Work(muls=2, transcendentals=1)),
    ("ParametricSoftplus", [(1, 3, 4)], [(1, 3, 4)], {}, 12 * Work(muls=2, adds=1, transcendentals=2)),
    ("Crop", [(1, 3, 6, 6)], [(1, 3, 4, 4)], {}, Work()),
    *[(f"ai.onnx.contrib.{name}", [(3,)], [(3,)], {}, Work()) for name in ("StringLower", "StringUpper")],
]  # fmt: skip


@pytest.mark.parametrize("row", BY_HAND, ids=label)
def test_by_hand(row: Row) -> None:
    check(row)


@pytest.mark.parametrize("row", [row for row in BY_HAND if row[0].startswith("mm") and "NMS" not in row[0]], ids=label)
def test_shapes(row: Row) -> None:
    formula = FORMULAS[row[0]]
    assert isinstance(formula, Formula)
    assert formula.shapes is not None
    assert [*formula.shapes(node_of(row))] == [("float32", row[2][0])]


@pytest.mark.parametrize("domain", ["mmdeploy", "mmcv"])
def test_a_convolution_with_the_attributes_of_pytorch(domain: str) -> None:
    """As torch.nn.Conv2d of 3×3 with stride 2 and padding 1: 7×7 → 4×4, 3·4·9 products each."""
    text = f"""(float[1,4,7,7] x, float[1,18,4,4] o, float[1,9,4,4] m) => (float y) {{ y = {domain}.MMCVModulatedDeformConv2d
        <stride = [2, 2], padding = [1, 1], dilation = [1, 1], groups = 1, deform_groups = 1> (x, o, m, w) }}"""
    report = onnxcost.estimate(model(text, domains=f', "{domain}" : 1', w=(6, 4, 3, 3)))
    assert report.graph.outputs[0].shape == (1, 6, 4, 4)
    assert report.macs == 6 * 16 * 4 * 9


@pytest.mark.parametrize(
    ("attributes", "shape"), [("border = [1, 2, 3, 1]", (5, 5)), ("border = [1, 2, 0, 0], scale = [4, 6]", (4, 6))]
)
def test_an_image_that_is_cropped(attributes: str, shape: tuple[int, int]) -> None:
    report = onnxcost.estimate(model(f"(float[1,3,8,9] x) => (float y) {{ y = Crop <{attributes}> (x) }}", opset=1))
    assert report.graph.outputs[0].shape == (1, 3, *shape)


COUNT, KEPT_BOXES, SCORES = ("int32", (2, 1)), ("float32", (2, 9, 4)), ("float32", (2, 9))


@pytest.mark.parametrize(
    ("name", "attribute", "types"),
    [
        ("EfficientNMS_TRT", "max_output_boxes", [COUNT, KEPT_BOXES, SCORES, ("int32", (2, 9))]),
        ("YOLO_NMS_TRT", "max_output_boxes_per_class", [COUNT, KEPT_BOXES, SCORES, ("int32", (2, 9))]),
        ("BatchedNMS_TRT", "keepTopK", [COUNT, KEPT_BOXES, SCORES, SCORES]),
        ("BatchedNMSDynamic_TRT", "keepTopK", [COUNT, KEPT_BOXES, SCORES, SCORES]),
        ("TRTBatchedNMS", "keep_topk", [("float32", (2, 9, 5)), ("int64", (2, 9))]),
    ],
)
def test_types_of_detections(name: str, attribute: str, types: list[tuple[str, tuple[int, ...]]]) -> None:
    formula = FORMULAS[name]
    assert isinstance(formula, Formula)
    assert formula.shapes is not None
    assert [*formula.shapes(node_of((name, BOXES, [None] * len(types), {attribute: 9}, None)))] == types


QONNX = ', "qonnx.custom_op.general" : 1'

# nodes and domains, shape of y, FLOPs (Quant: /s, +z, rounding, two bounds, -z, *s: 7 an element), parameters
KEPT = {
    "Quant": ("y = qonnx.custom_op.general.Quant(x, s, z, n)", QONNX, (1, 3, 4), 12 * 7, 0),
    "BipolarQuant": ("y = qonnx.custom_op.general.BipolarQuant(x, s)", QONNX, (1, 3, 4), 12 * 2, 0),
    "Trunc": ("y = qonnx.custom_op.general.Trunc(x, s, z, n, n)", QONNX, (1, 3, 4), 12 * 8, 0),
    "FloatQuant": ("y = qonnx.custom_op.general.FloatQuant(x, s, n, n, n, n, n)", QONNX, (1, 3, 4), 12 * 5, 0),
    "a scale a channel": ("y = qonnx.custom_op.general.Quant(x, c, z, n)", QONNX, (1, 3, 4), 12 * 7, 0),
    "a tokenizer's": ("y = ai.onnx.contrib.StringLower(x)", ', "ai.onnx.contrib" : 1', (1, 3, 4), 0, 0),
}


@pytest.mark.parametrize(("node", "domains", "shape", "flops", "parameters"), KEPT.values(), ids=KEPT.keys())
def test_the_shape_is_kept(node: str, domains: str, shape: tuple[int, ...], flops: int, parameters: int) -> None:
    text = f"(float[1,3,4] x) => (float y) <float s = {{1}}, float z = {{0}}, float n = {{4}}> {{ {node} }}"
    report = onnxcost.estimate(model(text, domains=domains, c=(3, 1)))
    assert report.graph.outputs[0].shape == shape
    assert (report.flops, report.parameters, report.complete) == (flops, parameters, True)


def test_a_quantized_weight_is_a_parameter() -> None:
    text = """(float[1,8] x) => (float y) <float s = {1}, float z = {0}, float n = {4}> {
        q = qonnx.custom_op.general.Quant(w, s, z, n) y = MatMul(x, q) }"""
    report = onnxcost.estimate(model(text, domains=QONNX, w=(8, 6)))
    assert (report.macs, report.parameters, report.complete) == (48, 48, True)


@pytest.mark.parametrize("key", ["EfficientNMS_TRT", "TRT.EfficientNMS_TRT"])
def test_detections_of_a_plugin(key: str) -> None:
    text = f"(float[2,50,4] b, float[2,50,8] s) => (int32 n, float d, float p, int32 c) {{ n, d, p, c = {key} <max_output_boxes = 9> (b, s) }}"  # noqa: E501
    report = onnxcost.estimate(model(text, domains=', "TRT" : 1'))
    assert [tensor.shape for tensor in report.graph.outputs] == [(2, 1), (2, 9, 4), (2, 9), (2, 9)]
    assert (report.macs, report.complete, report.bound) == (0, True, "upper")
