"""Resize and GridSample against the oracle."""

import numpy as np
import pytest

from onnxcost.formulas import FORMULAS, Formula
from onnxcost.graph import Node, Tensor, Work
from tests.oracle import Case, by_hand, case, check


def scales(*factors: float) -> np.ndarray:
    return np.array(factors, np.float64)


def weighted(outputs: int, neighbors: int) -> Work:
    return outputs * Work(muls=neighbors, adds=neighbors - 1)


PASSES = "the evaluator resizes one axis after the other"
NEAREST = "the evaluator copies by a sum weighted with 0 and 1, one axis after the other"

# 4 edges scaled and shifted, width and height, bins; start + bin·size + (i + ½)·size/2, whether inside, the weights
REGION = Work(muls=4, adds=4 + 2, divs=2)
LINE = Work(muls=2, divs=1, adds=2 + 2, compares=4 + 1)
PLAIN = "the region is of plain numbers: it, its positions and their weights are not seen"
ROI = np.array([[0.5, 0.5, 4.5, 4.5]])

CASES = [
    case("Resize", (1, 2, 4), None, scales(1, 1, 2), mode="linear"),
    case("Resize", (1, 1, 4, 4), None, scales(1, 1, 2, 1), mode="linear"),
    case("Resize", (1, 1, 4, 4), None, None, np.array([1, 1, 4, 7]), mode="linear",
         coordinate_transformation_mode="align_corners"),
    case("Resize", (1, 1, 4, 4), None, scales(1, 1, 1, 0.5), mode="cubic"),
    case("Resize", (1, 1, 4, 4), None, scales(1, 1, 1, 0.5), mode="cubic", antialias=1),
    case("Resize", (1, 1, 4, 7), None, scales(1, 1, 1, 3 / 7), mode="linear", antialias=1),
    case("Resize", (1, 1, 4, 7), None, scales(1, 1, 1, 2), mode="linear", antialias=1),
    # 4×4 → 8×4 → 8×8
    case("Resize", (1, 1, 4, 4), None, scales(1, 1, 2, 2), mode="linear", why=PASSES,
         artefact=weighted(32, 2) + weighted(64, 2) + -1 * weighted(64, 4)),
    case("Resize", (1, 1, 4, 4), None, scales(1, 1, 2, 2), mode="cubic", why=PASSES,
         artefact=weighted(32, 4) + weighted(64, 4) + -1 * weighted(64, 16)),
    case("AffineGrid", (2, 2, 3), np.array([2, 3, 4, 5])),
    case("AffineGrid", (2, 3, 4), np.array([2, 3, 4, 5, 6]), align_corners=1),
    # 6 bins of 4 samples in 3 channels: each sum begins with 0, and the positions are of plain numbers
    case("RoiAlign", (1, 3, 6, 6), ROI, np.array([0]), why=PLAIN, sampling_ratio=2, output_height=2, output_width=3,
         artefact=Work(adds=18) + -1 * REGION + -10 * LINE + Work(muls=-96)),
    case("RoiAlign", (1, 3, 6, 6), ROI, np.array([0]), why=PLAIN, sampling_ratio=2, output_height=2, output_width=3, mode="max",
         artefact=-1 * REGION + -10 * LINE + Work(muls=-96)),
    case("Resize", (1, 1, 4, 4), None, scales(1, 1, 2, 2), why=NEAREST, artefact=weighted(32, 2) + weighted(64, 2)),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=str)
def test_oracle(case: Case) -> None:
    check(case)


BY_HAND = [
    # the evaluator's Upsample knows the nearest neighbor only, and repeats it
    ("Upsample", [(1, 1, 4, 4), (4,)], [(1, 1, 8, 8)], {"opset": 9, "mode": "linear"}, Work(muls=256, adds=192)),
    ("Upsample", [(1, 1, 4, 4), (4,)], [(1, 1, 8, 8)], {"opset": 9}, Work()),
    ("Resize", [(1, 1, 4, 4)], [(1, 1, 4, 4)], {"mode": "linear"}, Work()),
    # the evaluator forces the positions into float32. 36 positions of 2 coordinates, each held against the border, its fraction
    # and 1 − it; 4 weights; 3 channels of 4 neighbors
    ("GridSample", [(1, 3, 8, 8), (1, 6, 6, 2)], [(1, 3, 6, 6)], {},
     72 * Work(muls=1, adds=2, divs=1, compares=2) + 72 * Work(compares=1, adds=2) + Work(muls=36 * 4) + weighted(108, 4)),
    # Keys' weights: 12 multiplications and 14 additions a coordinate, and 16 products of them
    ("GridSample", [(1, 3, 8, 8), (1, 6, 6, 2)], [(1, 3, 6, 6)], {"mode": "cubic", "align_corners": 1},
     72 * Work(muls=1, adds=1, divs=1, compares=2) + 72 * Work(compares=1, adds=14, muls=12) + Work(muls=36 * 16)
     + weighted(108, 16)),
    ("GridSample", [(1, 3, 8, 8), (1, 6, 6, 2)], [(1, 3, 6, 6)], {"mode": "nearest", "padding_mode": "reflection"},
     72 * Work(muls=1, adds=2, divs=1) + 72 * Work(compares=3, adds=4, muls=1, divs=1) + 72 * Work(compares=1)),
    # 8 products of three weights are 4 + 8 multiplications
    ("GridSample", [(1, 1, 4, 4, 4), (1, 2, 2, 2, 3)], [(1, 1, 2, 2, 2)], {},
     24 * Work(muls=1, adds=2, divs=1, compares=2) + 24 * Work(compares=1, adds=2) + Work(muls=8 * 12) + weighted(8, 8)),
    # 5 regions of 2·3 bins of 2·2 samples: 4 + 6 lines of samples, 24 positions; of X in whole 7·5 bins where none is given
    ("RoiAlign", [(1, 3, 14, 15), (5, 4), (5,)], [(5, 3, 2, 3)], {"sampling_ratio": 2},
     5 * (REGION + 10 * LINE) + Work(muls=480) + 90 * Work(muls=16, adds=15, divs=1)),
    ("RoiAlign", [(1, 3, 14, 15), (5, 4), (5,)], [(5, 3, 2, 3)], {}, 5 * (REGION + 29 * LINE) + Work(muls=5 * 14 * 15 * 4)
     + 90 * Work(muls=4 * 35, adds=4 * 35 - 1, divs=1)),
    # bins 0–2, 2–5, 5–7 of 7 rows in 3 with a shared row each; 8 columns in 4 without
    ("MaxRoiPool", [(1, 2, 7, 8), (5, 5)], [(5, 2, 3, 4)], {"pooled_shape": [3, 4]},
     5 * (Work(muls=4, compares=6, adds=4, divs=2) + 14 * Work(muls=1, adds=1, compares=3) + 2 * Work(compares=9 * 8 - 12))),
    ("Resize", [(0, 1, 4, 4)], [(0, 1, 8, 8)], {"mode": "linear"}, Work()),
]  # fmt: skip


@pytest.mark.parametrize(("op_type", "inputs", "outputs", "attributes", "work"), BY_HAND)
def test_by_hand(op_type, inputs, outputs, attributes, work) -> None:
    assert by_hand(op_type, inputs, outputs, **attributes) == work


def test_the_first_upsample_has_its_factors_as_attributes() -> None:
    formula = FORMULAS["Upsample"]
    assert isinstance(formula, Formula)
    assert formula.shapes is not None
    factors = {"height_scale": 2.0, "width_scale": 3.5}
    node = Node("", "Upsample", "", (Tensor("x", "float32", (1, 2, 4, 5)),), (None,), factors)
    assert list(formula.shapes(node)) == [("float32", (1, 2, 8, 17))]
