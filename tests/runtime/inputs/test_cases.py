"""onnx's own single-node test models: those that onnxruntime runs with their own data, it runs with synthetic data."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnx.backend.test.case.node import collect_testcases

from onnxcost import estimate
from onnxcost.errors import OnnxCostError
from onnxcost.runtime.inputs.feeds import arrays, feeds_of

OPEN = {
    "Col2Im": "the blocks of an image cannot be told from its columns",
    "SequenceInsert": "tensors of a sequence of which not even the rank is known",
    "Identity": "tensors of a sequence of which not even the rank is known",
}
"""Operators of cases that do not run yet, and why."""


def opened(case: Any) -> onnxruntime.InferenceSession | None:
    """The model in onnxruntime, where that runs it on data of numpy's types."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 4, 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        session = onnxruntime.InferenceSession(case.model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        session.run(None, dict(zip((info.name for info in case.model.graph.input), case.data_sets[0][0], strict=False)))
    except Exception:
        return None
    return session


def failure_of(case: Any, session: onnxruntime.InferenceSession) -> str:
    try:
        session.run(None, arrays(feeds_of(estimate(case.model).graph, {}, {}), 0)[0])
    except OnnxCostError as error:
        return str(error)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


@pytest.fixture(scope="module")
def failures() -> dict[str, str]:
    """What each case that onnxruntime can run fails with; empty where it runs."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        cases = [case for case in collect_testcases(None) if not case.name.endswith("_expanded")]
        found = ((case, opened(case)) for case in cases)
        return {f"{case.model.graph.node[0].op_type} {case.name}": failure_of(case, s) for case, s in found if s is not None}


def test_there_are_many(failures: dict[str, str]) -> None:
    assert len(failures) > 1000


def test_all_but_the_known_ones_run(failures: dict[str, str]) -> None:
    failed = {name: why for name, why in failures.items() if why}
    assert {name: why for name, why in failed.items() if name.split()[0] not in OPEN} == {}
    assert {name.split()[0] for name in failed} == OPEN.keys()
