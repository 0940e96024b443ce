"""What every result can do: plain data, a data frame, a table in a notebook, one line of ``repr``."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import pytest

import onnxcost
from onnxcost.hardware.budget import Limits, assess
from onnxcost.measurement import Unmeasured
from onnxcost.results import Result
from onnxcost.runtime.profile import ArenaUse, Profile
from onnxcost.scanning.results import Scanned
from tests.measurements import MEASUREMENT
from tests.modeltext import model

RELU = model("(float[2,3] x) => (float[2,3] y) { y = Relu(x) }")


def results() -> dict[str, Result]:
    report = onnxcost.estimate(RELU)
    found = {
        "report": report,
        "measurement": MEASUREMENT,
        "no measurement": Unmeasured("failed", "no <memory>"),
        "profile": Profile(report, (), (0.5,), None, ArenaUse(None, None)),
        "comparison": onnxcost.compare([RELU, RELU], run=False),
        "scan": Scanned("a\n.onnx", "ok", report=report.to_dict()),
        "scan of a broken model": Scanned("a.onnx", "failed", "a.onnx is <empty>"),
    }
    return found


@pytest.mark.parametrize("name", results())
def test_every_result_can_do_it(name: str) -> None:
    result = results()[name]
    assert json.dumps(result.to_dict())
    assert repr(result).startswith(f"<{type(result).__name__}: ")
    assert repr(result).isprintable()
    assert len(repr(result)) < 200
    ElementTree.fromstring(f"<div>{result._repr_html_()}</div>")


@pytest.mark.parametrize("name", results())
def test_every_result_is_a_data_frame(name: str) -> None:
    pytest.importorskip("pandas")
    frame = results()[name].to_pandas()
    assert len(frame) == {"measurement": 20, "profile": 0, "comparison": 2}.get(name, 1)
