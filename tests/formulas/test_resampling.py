"""Resize and GridSample against the oracle."""

import numpy as np
import pytest

from onnxcost.work import Work
from tests.oracle import Case, by_hand, case, check


def scales(*factors: float) -> np.ndarray:
    return np.array(factors, np.float64)


def weighted(outputs: int, neighbours: int) -> Work:
    return outputs * Work(muls=neighbours, adds=neighbours - 1)


PASSES = "the evaluator resizes one axis after the other"
NEAREST = "the evaluator copies by a sum weighted with 0 and 1, one axis after the other"

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
    case("Resize", (1, 1, 4, 4), None, scales(1, 1, 2, 2), why=NEAREST, artefact=weighted(32, 2) + weighted(64, 2)),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=str)
def test_oracle(case: Case) -> None:
    check(case)


BY_HAND = [
    # the evaluator's Upsample knows the nearest neighbour only, and repeats it
    ("Upsample", [(1, 1, 4, 4), (4,)], [(1, 1, 8, 8)], {"opset": 9, "mode": "linear"}, Work(muls=256, adds=192)),
    ("Upsample", [(1, 1, 4, 4), (4,)], [(1, 1, 8, 8)], {"opset": 9}, Work()),
    ("Resize", [(1, 1, 4, 4)], [(1, 1, 4, 4)], {"mode": "linear"}, Work()),
    # the evaluator forces the positions into float32: 36 positions of 2 coordinates, 3 channels, 4 neighbours or 16
    ("GridSample", [(1, 3, 8, 8), (1, 6, 6, 2)], [(1, 3, 6, 6)], {}, Work(muls=72 + 432, adds=144 + 324, divs=72)),
    ("GridSample", [(1, 3, 8, 8), (1, 6, 6, 2)], [(1, 3, 6, 6)], {"mode": "cubic", "align_corners": 1},
     Work(muls=72 + 1728, adds=72 + 1620, divs=72)),
    ("GridSample", [(1, 3, 8, 8), (1, 6, 6, 2)], [(1, 3, 6, 6)], {"mode": "nearest"}, Work(muls=72, adds=144, divs=72)),
    ("Resize", [(0, 1, 4, 4)], [(0, 1, 8, 8)], {"mode": "linear"}, Work()),
]  # fmt: skip


@pytest.mark.parametrize(("op_type", "inputs", "outputs", "attributes", "work"), BY_HAND)
def test_by_hand(op_type, inputs, outputs, attributes, work) -> None:
    assert by_hand(op_type, inputs, outputs, **attributes) == work
