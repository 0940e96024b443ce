"""Operators that move data do nothing to a counting scalar."""

import numpy as np
import pytest

from onnxcost.errors import UnknownShape
from onnxcost.formulas import movement
from onnxcost.graph import Node, Tensor, Work
from tests.oracle import Case, by_hand, case, check


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


X = (2, 4, 4)
PAIRS = np.array([[0, 0], [1, 1]])
PLACES = np.array([[1, 0, 2], [0, 2, 1]])

CASES = [
    case("Reshape", X, ints(8, 4)),
    case("Flatten", X),
    case("Squeeze", (2, 1, 3), ints(1)),
    case("Unsqueeze", X, ints(0)),
    case("Identity", X),
    case("Transpose", X, perm=[2, 0, 1]),
    case("DepthToSpace", (1, 4, 2, 2), blocksize=2),
    case("SpaceToDepth", (1, 1, 4, 4), blocksize=2),
    case("Expand", (3, 1), ints(3, 4), artefact=Work(muls=12), why="the evaluator multiplies with ones of the new shape"),
    case("Tile", (2, 3), ints(2, 2)),
    case("Pad", (2, 3), ints(0, 1, 0, 1)),
    case("Trilu", (3, 3)),
    case("CenterCropPad", (4, 4), ints(2, 6)),
    case("ReverseSequence", (4, 4), ints(1, 2, 3, 4)),
    case("Concat", X, X, axis=0),
    case("Split", X, num_outputs=2, outputs=2),
    case("Slice", X, ints(0), ints(1)),
    case("Gather", X, ints(0, 1)),
    case("GatherElements", (2, 2), PAIRS),
    case("GatherND", (2, 2), PAIRS),
    case("TensorScatter", (1, 4, 2), (1, 2, 2)),
    case("Constant", value_float=1.0),
    case("ConstantOfShape", ints(2, 3)),
    case("EyeLike", (3, 3)),
    case("OneHot", ints(0, 1), np.array(3), np.array([0.0, 1.0])),
    case("Shape", X),
    case("Size", X),
    case("Cast", X, to=1),
    case("CastLike", X, (2,)),
    case("ScatterElements", (3, 3), PLACES, (2, 3)),
    case("ScatterND", (4, 2), ints(1, 2).reshape(2, 1), (2, 2)),
    *(case("ScatterElements", (3, 3), PLACES, (2, 3), reduction=name) for name in ("add", "mul", "max", "min")),
    *(case("ScatterND", (4, 2), ints(1, 2).reshape(2, 1), (2, 2), reduction=name) for name in ("add", "mul", "max", "min")),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_oracle(case: Case) -> None:
    check(case)


NO_SHAPES = "sequences and optionals have no shape, and no numbers are involved"
BY_HAND = [
    (
        "Scatter",
        [(3, 3), PLACES, (2, 3)],
        {"opset": 10},
        Work(),
        "the evaluator has no Scatter, which ScatterElements replaced",
    ),
    ("BitCast", [(3, 3)], {"to": 1}, Work(), "bits of a scalar are not defined"),
    ("Range", [(), (), ()], {}, Work(adds=9), "numpy.arange takes no objects"),
    *((name, [(3, 3)], {}, Work(), NO_SHAPES) for name in movement.CONTAINERS),
]


@pytest.mark.parametrize(("op_type", "inputs", "attributes", "work", "why"), BY_HAND, ids=lambda each: str(each)[:20])
def test_by_hand(op_type, inputs, attributes, work, why) -> None:
    assert by_hand(op_type, inputs, [(3, 3)], **attributes) == work, why


def ranging(*ends: int | float | None) -> Node:
    """Each end is known, unknown (None), or absent behind the last one."""
    inputs = (Tensor(f"x{place}", "int16", (), value=None if end is None else (end,)) for place, end in enumerate(ends))
    return Node("", "Range", "", tuple(inputs), (), {})


@pytest.mark.parametrize(
    ("ends", "count"),
    [((3, 11, 2), 4), ((3, 12, 2), 5), ((3, 11), 8), ((5, 0, -2), 3), ((5, 0, 2), 0), ((0, 0, 1), 0), ((0.0, 1.0, 0.3), 4)],
)
def test_the_length_of_a_range(ends: tuple[int, ...], count: int) -> None:
    assert [*movement.range_rule(ranging(*ends))] == [("int16", (count,))]


@pytest.mark.parametrize(
    "unknown", [(None, 4, 1), (0, None, 1), (0, 4, None), (None, None, 1), (None, 4, None), (0, None, None)]
)
def test_a_range_of_an_unknown_end_has_no_length(unknown: tuple[int | None, ...]) -> None:
    with pytest.raises(UnknownShape):
        movement.range_rule(ranging(*unknown))
