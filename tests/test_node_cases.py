"""onnx's own single-node test models, all of them: nothing fails, nothing is left uncounted, every shape is as expected.

What the models say of the shapes of their outputs is taken away before, so that what is found has been derived.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import pytest
from onnx.backend.test.case.node import collect_testcases

import onnxcost
from onnxcost.formulas import UNCOUNTABLE
from tests.operators.test_defaults import differences

SMALL = 64
BY_DATA = {
    "Compress", "NonMaxSuppression", "NonZero", "Range", "Slice", "StringNormalizer", "StringSplit", "TopK", "Unique",
    "If", "Loop",
}  # fmt: skip
"""The operators whose output shapes are in the elements of their inputs."""

SEQUENCES = "the length of a sequence, or what an optional holds, is data that cannot be given"


@dataclass
class Outcome:
    """What became of one case. ``shapes`` are pairs of found and expected dims, ``operators`` those of the model; ``changed``
    says what differs if attributes with the default of their schema are left out.
    """

    name: str
    operators: set[str]
    error: str = ""
    uncounted: dict[str, str] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    has_bounds: bool = False
    changed: dict[str, Any] = field(default_factory=dict)


def values_of(model: onnx.ModelProto, inputs: list[Any]) -> dict[str, Any]:
    """What among the inputs may decide shapes: sequences, and small vectors and numbers (axes, sizes, indices, strings)."""
    given = {}
    for info, data in zip(model.graph.input, inputs, strict=False):
        if not info.type.HasField("tensor_type"):
            given[info.name] = data
            continue
        array = np.asarray(data) if isinstance(data, np.ndarray | np.generic) else None
        if array is not None and (
            array.ndim == 0 or (array.ndim == 1 and array.size <= SMALL and may_decide(info.name, array))
        ):
            given[info.name] = array
    return given


def may_decide(name: str, array: np.ndarray) -> bool:
    return array.dtype.kind in "iubO" or name in ("roi", "scales")


def forget_shapes(model: onnx.ModelProto) -> None:
    del model.graph.value_info[:]
    for info in model.graph.output:
        if info.type.HasField("tensor_type"):
            info.type.tensor_type.ClearField("shape")


def fits(found: Any, expected: tuple[int, ...]) -> bool:
    """Equal, or an upper bound where data decides."""
    if not found.is_bound or found.dims is None or len(found.dims) != len(expected):
        return found.dims == expected
    return found.is_shaped and all(most >= size for most, size in zip(found.dims, expected, strict=True))


def outcome_of(case: Any) -> Outcome:
    inputs, outputs = case.data_sets[0]
    outcome = Outcome(case.name, {node.op_type for node in case.model.graph.node})
    forget_shapes(case.model)
    try:
        report = onnxcost.estimate(case.model, values=values_of(case.model, inputs))
    except onnxcost.OnnxCostError as error:
        outcome.error = str(error)
        return outcome
    outcome.uncounted = {each.node.key: each.reason for each in report.uncounted}
    for node in report.graph.nodes:
        outcome.changed |= differences(node)
    for found, expected in zip(report.graph.outputs, outputs, strict=True):
        if isinstance(expected, np.ndarray | np.generic):
            outcome.has_bounds |= found.is_bound
            if not fits(found, expected.shape):
                outcome.wrong.append(f"{found.name}: {found.dims}, expected {expected.shape}")
    return outcome


@pytest.fixture(scope="module")
def outcomes() -> Iterator[list[Outcome]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield [outcome_of(case) for case in collect_testcases(None)]


OPEN: dict[str, str] = {}
"""Cases that are not as they should be yet, with the reason."""


def test_there_are_all_of_them(outcomes) -> None:
    assert len(outcomes) > 1300
    assert len(set().union(*(outcome.operators for outcome in outcomes))) > 180


def test_no_case_fails(outcomes) -> None:
    assert {outcome.name: outcome.error for outcome in outcomes if outcome.error and outcome.name not in OPEN} == {}


def test_nothing_is_left_uncounted(outcomes) -> None:
    left = {
        outcome.name: outcome.uncounted
        for outcome in outcomes
        if outcome.uncounted.keys() - UNCOUNTABLE.keys() and outcome.name not in OPEN
    }
    assert left == {}


def test_shapes_are_as_expected(outcomes) -> None:
    wrong = {
        outcome.name: outcome.wrong
        for outcome in outcomes
        if outcome.wrong and not outcome.operators & UNCOUNTABLE.keys() and outcome.name not in OPEN
    }
    assert wrong == {}


def test_shapes_are_bounds_only_where_data_decides(outcomes) -> None:
    assert [outcome.name for outcome in outcomes if outcome.has_bounds and not outcome.operators & BY_DATA] == []


def test_attributes_that_are_left_out_have_the_defaults_of_onnx(outcomes) -> None:
    assert {outcome.name: outcome.changed for outcome in outcomes if outcome.changed} == {}


def test_what_is_open_is_open_still(outcomes) -> None:
    names = {o.name for o in outcomes if o.error or o.wrong or (o.uncounted.keys() - UNCOUNTABLE.keys())}
    assert {name for name in OPEN if name not in names} == set()
