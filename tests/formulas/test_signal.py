"""Fourier transforms, windows and mel weights. The evaluator makes windows of plain numbers and uses numpy's FFT."""

import numpy as np
import pytest

from onnxcost.formulas.signal import ceil_log2, fourier
from onnxcost.graph import Work
from tests.oracle import by_hand


def one(number: int) -> np.ndarray:
    return np.array([number], np.int64)


CASES: tuple[()] = ()
# 8 points: 4 butterflies in each of 3 steps, 5·8·3 = 120 operations
EIGHT = Work(muls=48, adds=72)
FREQUENCY = Work(muls=3, divs=2, adds=2, transcendentals=1, compares=1)

BY_HAND = [
    ("HannWindow", [one(10)], [(10,)], {}, Work(muls=20, divs=10, transcendentals=10, adds=10)),
    ("HammingWindow", [one(10)], [(10,)], {}, Work(muls=20, divs=10, transcendentals=10, adds=10)),
    ("BlackmanWindow", [one(10)], [(10,)], {}, Work(muls=40, divs=20, transcendentals=20, adds=20)),
    ("DFT", [(3, 8, 2)], [(3, 8, 2)], {}, 3 * EIGHT),
    ("DFT", [(3, 8, 1)], [(3, 8, 2)], {}, 3 * Work(muls=24, adds=36)),
    # of a onesided transform 5 of 8 points are shown; the length is that of the signal, or input 1
    ("DFT", [(3, 8, 1)], [(3, 5, 2)], {"onesided": 1}, 3 * Work(muls=24, adds=36)),
    ("DFT", [(3, 6, 1), one(8)], [(3, 5, 2)], {"onesided": 1}, 3 * Work(muls=24, adds=36)),
    ("DFT", [(3, 8, 2)], [(3, 8, 2)], {"inverse": 1}, 3 * EIGHT + Work(divs=48)),
    # back from 5 points to 8 real numbers
    ("DFT", [(3, 5, 2)], [(3, 8, 1)], {"inverse": 1, "onesided": 1}, 3 * Work(muls=24, adds=36) + Work(divs=24)),
    ("DFT", [(8, 3, 2), None, one(0)], [(8, 3, 2)], {}, 3 * EIGHT),
    ("DFT", [(8, 3, 2)], [(8, 3, 2)], {"axis": 0, "opset": 17}, 3 * EIGHT),
    # 5 points as 5/2·⌈log₂ 5⌉ = 7½ butterflies, rounded up
    ("DFT", [(1, 5, 2)], [(1, 5, 2)], {}, Work(muls=32, adds=48)),
    ("DFT", [(0, 8, 2)], [(0, 8, 2)], {}, Work()),
    # 15 frames of 8 real numbers
    ("STFT", [(1, 64, 1), one(4), None, one(8)], [(1, 15, 5, 2)], {}, 15 * Work(muls=24, adds=36)),
    ("STFT", [(1, 64, 1), one(4), (8,)], [(1, 15, 5, 2)], {}, 15 * Work(muls=24 + 8, adds=36)),
    ("STFT", [(1, 64), one(4), (8,)], [(1, 15, 5, 2)], {}, 15 * Work(muls=24 + 8, adds=36)),
    ("STFT", [(2, 64, 2), one(4), (8,)], [(2, 15, 8, 2)], {"onesided": 0}, 30 * (EIGHT + Work(muls=16))),
    # 8 mel bins are 10 frequencies; two edges; a step; 9 spectrogram bins on two slopes
    ("MelWeightMatrix", [one(8), one(16), one(8192), (), ()], [(9, 8)], {},
     10 * FREQUENCY + 2 * Work(divs=2, adds=1, muls=1, transcendentals=1) + Work(adds=1, divs=1) + 18 * Work(adds=1, divs=1)),
]  # fmt: skip


@pytest.mark.parametrize(("op_type", "inputs", "outputs", "attributes", "work"), BY_HAND)
def test_by_hand(op_type, inputs, outputs, attributes, work) -> None:
    assert by_hand(op_type, inputs, outputs, **attributes) == work


@pytest.mark.parametrize("exponent", range(1, 12))
def test_a_transform_of_2_to_the_k_points_is_that_of_its_halves_and_a_butterfly_for_each_pair(exponent) -> None:
    points = 1 << exponent
    halves = fourier(2, points // 2, is_real=False)
    assert fourier(1, points, is_real=False) == halves + points // 2 * Work(muls=4, adds=6)


def test_rounded_logarithm() -> None:
    assert [ceil_log2(count) for count in (0, 1, 2, 3, 4, 5, 8, 9)] == [0, 0, 1, 2, 2, 3, 3, 4]
