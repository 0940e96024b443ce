"""Normalizations against the oracle."""

import pytest

from onnxcost.graph import Work
from tests.oracle import Case, by_hand, case, check

SQUARES = "the evaluator squares with pow"
TWICE = "numpy.var computes the mean, and the differences from it, again"


def squares(count: int) -> Work:
    return count * Work(transcendentals=1, muls=-1)


def twice(elements: int, groups: int) -> Work:
    """A mean for each group and a subtraction for each element."""
    return Work(adds=elements - groups + elements, divs=groups)


CASES = [
    case("BatchNormalization", (2, 3, 4), (3,), (3,), (3,), (3,)),
    case("BatchNormalization", (2, 3, 4, 4), (3,), (3,), (3,), (3,)),
    case("BatchNormalization", (2, 3), (3,), (3,), (3,), (3,)),
    # 3 channels; 1 − momentum is of plain numbers
    case("BatchNormalization", (2, 3, 4), (3,), (3,), (3,), (3,), artefact=twice(24, 3), why=TWICE, training_mode=1, outputs=3),
    case("LayerNormalization", (2, 3, 4), (4,), (4,)),
    case("LayerNormalization", (2, 3, 4), (4,)),
    case("LayerNormalization", (2, 3, 4), (3, 4), (3, 4), axis=1),
    case("RMSNormalization", (2, 3, 4), (4,), artefact=squares(24), why=SQUARES),
    case("RMSNormalization", (2, 3, 4), (3, 4), artefact=squares(24), why=SQUARES, axis=-2),
    case("InstanceNormalization", (2, 3, 4), (3,), (3,), artefact=twice(24, 6), why=TWICE),
    case("InstanceNormalization", (2, 3, 4, 5), (3,), (3,), artefact=twice(120, 6), why=TWICE),
    case("GroupNormalization", (2, 4, 3), (4,), (4,), artefact=4 * Work(muls=1, adds=1), num_groups=2,
         why="the function's variance is mean(X²) − mean(X)²"),
    case("GroupNormalization", (1, 6, 2, 2), (6,), (6,), artefact=3 * Work(muls=1, adds=1), num_groups=3,
         why="the function's variance is mean(X²) − mean(X)²"),
    # windows of 2 + 3 + 3 + 3 + 2 channels, of 3 + 4 + 3 + 2 for an even size, each at 5·4 and 4·4 places
    case("LRN", (5, 5, 2, 2), artefact=Work(transcendentals=20 * 13, muls=-100), why=SQUARES + ", in each window", size=3),
    case("LRN", (4, 4, 2, 2), artefact=Work(transcendentals=16 * 12, muls=-64), why=SQUARES + ", in each window", size=4),
    case("LpNormalization", (2, 3, 4), artefact=squares(24) + Work(compares=6), why=SQUARES + " and asks for norms of 0"),
    case("LpNormalization", (2, 3, 4), artefact=Work(transcendentals=24 + 8, compares=8 - 24), p=1, axis=1,
         why="the evaluator takes powers and a root by 1 instead of |X|, and asks for norms of 0"),
    case("MeanVarianceNormalization", (2, 3, 4, 4), artefact=squares(96 + 3), why=SQUARES),
    case("MeanVarianceNormalization", (2, 3, 4, 4), artefact=squares(96 + 6), why=SQUARES, axes=[2, 3]),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=str)
def test_oracle(case: Case) -> None:
    check(case)


BY_HAND = [
    ("LayerNormalization", [(0, 4), (4,), (4,)], [(0, 4)], {}, Work()),
    ("GroupNormalization", [(0, 4, 2), (4,), (4,)], [(0, 4, 2)], {"num_groups": 2}, Work()),
    # one batch of 3 images: the evaluator goes through as many channels as the batch has images; 5·8 = 40 channels joined
    ("LRN", [(3, 8, 1, 1)], [(3, 8, 1, 1)], {"size": 5},
     Work(muls=2 * 24, adds=24 + 3 * (40 - 2 * (2 + 1) - 8), transcendentals=24, divs=24)),
]  # fmt: skip


@pytest.mark.parametrize(("op_type", "inputs", "outputs", "attributes", "work"), BY_HAND)
def test_by_hand(op_type, inputs, outputs, attributes, work) -> None:
    assert by_hand(op_type, inputs, outputs, **attributes) == work
