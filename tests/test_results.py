"""What every result can do: plain data, a data frame, a table in a notebook, one line of ``repr``."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

import onnxcost
from onnxcost.comparison.candidates import Candidate, Comparison
from onnxcost.hardware.budget import assess
from onnxcost.hardware.limits import limits_of
from onnxcost.hardware.roofline import Roofline
from onnxcost.measurement import Unmeasured
from onnxcost.results import Result
from onnxcost.runtime.profile import Profile
from onnxcost.scanning.results import Scanned
from tests.cli.test_llm_run import RUN
from tests.fleet.test_results import FLEET
from tests.generation.exports import read_archive
from tests.hardware.calibration.test_predictor import HERE
from tests.hardware.machines import machine
from tests.measurements import MEASUREMENT
from tests.modeltext import model

MODELS = Path(__file__).parents[1] / "models"
RELU = model("(float[2,3] x) => (float[2,3] y) { y = Relu(x) }")
CANDIDATE = Candidate("relu", {"flops": 6})


def results() -> dict[str, Result]:
    report = onnxcost.estimate(RELU)
    box = Roofline(machine(memory=1e10, bandwidth=1e10, price=249, power=20))
    return {
        "report": report,
        "measurement": MEASUREMENT,
        "no measurement": Unmeasured("failed", "no <memory>"),
        "profile": Profile(report, (), (0.5,)),
        "pipeline": onnxcost.pipeline([onnxcost.StageSpec(str(MODELS / "mnist_cnn_pytorch.onnx"), runs=3)]),
        "generation run": RUN,
        "comparison": Comparison(CANDIDATE, (CANDIDATE, CANDIDATE)),
        "sweep": onnxcost.sweep(MODELS / "mnist_cnn_pytorch.onnx", dims={"batch": [1, 2]}, devices=["jetson-nano"]),
        "prediction": onnxcost.predict(RELU, HERE),
        "calibration": HERE,
        "fleet": FLEET,
        "scan": Scanned("a\n.onnx", "ok", report=report.to_dict()),
        "scan of a broken model": Scanned("a.onnx", "failed", "a.onnx is <empty>"),
        "language model": onnxcost.llm(read_archive()["genai_llama_fp32"]),
        "budget": assess(
            "<model>",
            report,
            [box],
            limits_of({"fps": 30}),
            are_named=True,
        ),
    }


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
    rows = {
        "measurement": 20,
        "profile": 0,
        "comparison": 2,
        "calibration": 22,
        "generation run": 2,
        "pipeline": 2,
        "sweep": 2,
        "language model": 2,
        "fleet": 2,
    }
    assert len(frame) == rows.get(name, 1)
