"""Estimates held to what onnxruntime 1.32 was measured to take: tests/data/peak_memory.csv, of models of the repository."""

from __future__ import annotations

from functools import cache
from statistics import median

import onnxcost
from onnxcost.hardware.prediction import FITS, MARGINAL
from scripts.benchmark.peak_memory import DATA, SETS, Row, models_of, read_measured, row, set_name

EVERY = 10
"""Of all models so many-th are estimated here; the script holds all of them to what was measured."""


@cache
def rows() -> list[Row]:
    measured = read_measured(DATA / "peak_memory.csv")
    found = []
    for each in SETS:
        taken = sorted(name for of, name in measured if of == set_name(each))[::EVERY]
        found += [
            row(name, onnxcost.estimate(model), measured[set_name(each), name])
            for name, model in models_of(each)
            if name in taken
        ]
    return found


def test_there_are_models_of_each_set() -> None:
    measured = read_measured(DATA / "peak_memory.csv")
    assert len(measured) > 300
    assert {set_name(each) for each in SETS} <= {of for of, _ in measured}
    assert len(rows()) >= 20


def test_no_device_is_said_to_fit_that_does_not() -> None:
    """One with a byte less than the process was measured to take."""
    assert [each.name for each in rows() if each.level == FITS] == []


def test_a_device_is_only_said_to_be_too_small_with_a_share_of_what_is_needed() -> None:
    """With half as much again as was measured, at least nine in ten fit, if only just."""
    assert sum(each.budgeted <= 1.15 * each.took.process for each in rows()) >= 0.9 * len(rows())


def test_errors_of_the_peaks() -> None:
    errors = [abs(each.error) for each in rows()]
    assert median(errors) <= 0.001
    assert sum(error <= 0.1 for error in errors) >= 0.95 * len(errors)
    assert sum(abs(each.process_error) <= 0.15 for each in rows()) >= 0.95 * len(errors)
    assert MARGINAL in {each.level for each in rows()}
