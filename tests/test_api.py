"""The public functions and results of the package: each is there, says what it does, and takes the arguments of its kind."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

import onnxcost
from onnxcost.results import Result

FUNCTIONS = {name for name in onnxcost.__all__ if inspect.isfunction(getattr(onnxcost, name)) and not name.startswith("_")}
OF_A_MODEL = ("shapes", "dims", "values", "trips")
DOCS = Path(__file__).parents[1] / "docs" / "python.md"


def test_what_there_is_to_call() -> None:
    assert {
        "budget", "calibrate", "compare", "devices", "download", "estimate", "json_schema", "llm", "measure", "measure_batches",
        "pipeline", "predict", "profile", "run_llm", "scaling", "scan", "strip", "sweep", "trace",
    } == FUNCTIONS  # fmt: skip


@pytest.mark.parametrize("name", onnxcost.__all__)
def test_each_public_name_exists(name: str) -> None:
    value = getattr(onnxcost, name)
    assert isinstance(value, str) or inspect.getdoc(value)


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_each_function_is_in_the_documents(name: str) -> None:
    assert f"`onnxcost.{name}(" in DOCS.read_text()


@pytest.mark.parametrize(
    "name", ["estimate", "measure", "measure_batches", "predict", "profile", "trace", "budget", "llm", "scaling", "sweep"]
)
def test_what_runs_or_counts_one_model_takes_what_estimate_takes(name: str) -> None:
    parameters = inspect.signature(getattr(onnxcost, name)).parameters
    assert next(iter(parameters)) == "model"
    assert {*OF_A_MODEL, "formulas"} <= parameters.keys()
    assert all(parameters[each].kind is inspect.Parameter.KEYWORD_ONLY for each in OF_A_MODEL)


@pytest.mark.parametrize(
    "name",
    [
        "Calibration",
        "Comparison",
        "CostReport",
        "LanguageCost",
        "Measurement",
        "Pipeline",
        "Prediction",
        "Profile",
        "Scaling",
        "Scanned",
        "Sweep",
    ],
)
def test_what_they_return_is_a_result(name: str) -> None:
    result = getattr(onnxcost, name)
    assert issubclass(result, Result)
    assert result.__dataclass_params__.frozen
