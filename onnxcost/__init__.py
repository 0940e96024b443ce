"""Count what an ONNX model costs to run, before it is deployed."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from onnxcost.results import HTML, PLOT
from onnxcost.version import __version__

if TYPE_CHECKING:
    from onnxcost.comparison.api import compare as compare
    from onnxcost.comparison.candidates import Candidate as Candidate
    from onnxcost.comparison.candidates import Comparison as Comparison
    from onnxcost.conventions import CONVENTIONS as CONVENTIONS
    from onnxcost.conventions import Convention as Convention
    from onnxcost.costs import Counted as Counted
    from onnxcost.costs import Uncounted as Uncounted
    from onnxcost.errors import InputError as InputError
    from onnxcost.errors import MeasurementError as MeasurementError
    from onnxcost.errors import ModelError as ModelError
    from onnxcost.errors import OnnxCostError as OnnxCostError
    from onnxcost.errors import UnknownShape as UnknownShape
    from onnxcost.estimator import estimate as estimate
    from onnxcost.formulas import FORMULAS as FORMULAS
    from onnxcost.frontend.strip import strip as strip
    from onnxcost.generation.language import LanguageCost as LanguageCost
    from onnxcost.generation.language import llm as llm
    from onnxcost.generation.pipeline import Pipeline as Pipeline
    from onnxcost.generation.pipeline import pipeline as pipeline
    from onnxcost.generation.run import GenerationRun as GenerationRun
    from onnxcost.generation.run import run_llm as run_llm
    from onnxcost.generation.stages import StageSpec as StageSpec
    from onnxcost.graph import Work as Work
    from onnxcost.hardware.budget import budget as budget
    from onnxcost.hardware.calibration.model import Calibration as Calibration
    from onnxcost.hardware.calibration.predictor import predict as predict
    from onnxcost.hardware.catalogue import devices as devices
    from onnxcost.hardware.prediction import Prediction as Prediction
    from onnxcost.latency import Latency as Latency
    from onnxcost.measurement import Measurement as Measurement
    from onnxcost.measurement import Settings as Settings
    from onnxcost.remote.downloads import download as download
    from onnxcost.report import CostReport as CostReport
    from onnxcost.runtime.api import measure as measure
    from onnxcost.runtime.api import measure_batches as measure_batches
    from onnxcost.runtime.api import profile as profile
    from onnxcost.runtime.api import trace as trace
    from onnxcost.runtime.calibrate import calibrate as calibrate
    from onnxcost.runtime.profile import Profile as Profile
    from onnxcost.scanning.api import scan as scan
    from onnxcost.scanning.results import Scanned as Scanned
    from onnxcost.schema import json_schema as json_schema
    from onnxcost.symbolic.scaling import Scaling as Scaling
    from onnxcost.symbolic.scaling import scaling as scaling
    from onnxcost.symbolic.sweep import Sweep as Sweep
    from onnxcost.symbolic.sweep import sweep as sweep


_HOMES = {
    "CONVENTIONS": "conventions",
    "Calibration": "hardware.calibration.model",
    "Candidate": "comparison.candidates",
    "Comparison": "comparison.candidates",
    "Convention": "conventions",
    "CostReport": "report",
    "Counted": "costs",
    "FORMULAS": "formulas",
    "GenerationRun": "generation.run",
    "InputError": "errors",
    "LanguageCost": "generation.language",
    "Latency": "latency",
    "Measurement": "measurement",
    "MeasurementError": "errors",
    "ModelError": "errors",
    "OnnxCostError": "errors",
    "Pipeline": "generation.pipeline",
    "Prediction": "hardware.prediction",
    "Profile": "runtime.profile",
    "Scaling": "symbolic.scaling",
    "Scanned": "scanning.results",
    "Settings": "measurement",
    "StageSpec": "generation.stages",
    "Sweep": "symbolic.sweep",
    "Uncounted": "costs",
    "UnknownShape": "errors",
    "Work": "graph",
    "budget": "hardware.budget",
    "calibrate": "runtime.calibrate",
    "compare": "comparison.api",
    "devices": "hardware.catalogue",
    "download": "remote.downloads",
    "estimate": "estimator",
    "json_schema": "schema",
    "llm": "generation.language",
    "measure": "runtime.api",
    "measure_batches": "runtime.api",
    "pipeline": "generation.pipeline",
    "predict": "hardware.calibration.predictor",
    "profile": "runtime.api",
    "run_llm": "generation.run",
    "scaling": "symbolic.scaling",
    "scan": "scanning.api",
    "strip": "frontend.strip",
    "sweep": "symbolic.sweep",
    "trace": "runtime.api",
}

__all__ = ["__version__", *_HOMES]  # noqa: PLE0604  # the names are strings


HTML[:] = [lambda result: str(import_module("onnxcost.render").to_html(result))]
PLOT[:] = [lambda result, kind: import_module("onnxcost.render.plots").draw(result, kind)]


def __getattr__(name: str) -> Any:
    """The public names, each imported on first use: start-up time is a feature."""
    if name not in _HOMES:
        raise AttributeError(f"module 'onnxcost' has no attribute '{name}'")
    return getattr(import_module(f"onnxcost.{_HOMES[name]}"), name)
