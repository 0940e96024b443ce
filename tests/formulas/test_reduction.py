"""Reductions against the oracle."""

import numpy as np
import pytest

from onnxcost.errors import UnknownShape
from onnxcost.graph import Work
from tests.oracle import Case, by_hand, case, check

REDUCTIONS = [f"Reduce{kind}" for kind in ["Sum", "Mean", "Prod", "Max", "Min", "L1", "L2", "SumSquare", "LogSum", "LogSumExp"]]

CASES = [
    *(case(name, (2, 3, 4), np.array([1])) for name in REDUCTIONS),
    *(case(name, (2, 3, 4), np.array([0, -1]), keepdims=0) for name in REDUCTIONS),
    *(case(name, (2, 3)) for name in REDUCTIONS),
    *(case(name, (2, 3), noop_with_empty_axes=1) for name in REDUCTIONS),
    *(case(name, (2, 3, 4), opset=12, axes=[0, 2]) for name in REDUCTIONS),
    *(case(name, (2, 3, 4), axis=1) for name in ("ArgMax", "ArgMin")),
    *(case(name, (2, 3, 4), axis=-1, keepdims=0, select_last_index=1) for name in ("ArgMax", "ArgMin")),
    *(case(name, (2, 3, 4), np.array(axis)) for name in ("CumSum", "CumProd") for axis in (0, 1, -1)),
    *(case(name, (2, 3, 4), np.array(1), reverse=1) for name in ("CumSum", "CumProd")),
    *(case(name, (2, 3, 4), np.array(1), exclusive=1) for name in ("CumSum", "CumProd")),
    *(case(name, (5,), np.array(0), exclusive=1, reverse=1) for name in ("CumSum", "CumProd")),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_oracle(case: Case) -> None:
    check(case)


def test_a_sum_of_nothing_is_no_work() -> None:
    assert by_hand("ReduceSum", [(0, 3), np.array([0])], [(1, 3)]) == Work()


def test_an_axis_that_is_not_known_leaves_a_running_sum_uncounted() -> None:
    with pytest.raises(UnknownShape, match="the axis is not known: it is in the elements of 'x1'"):
        by_hand("CumSum", [(2, 3), ()], [(2, 3)])
    assert by_hand("CumSum", [(5,), ()], [(5,)]) == Work(adds=4)
