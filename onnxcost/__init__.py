"""What does this ONNX model cost to run, before it is deployed?"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from onnxcost.version import __version__

if TYPE_CHECKING:
    from onnxcost.comparison.candidates import Candidate as Candidate
    from onnxcost.comparison.candidates import Comparison as Comparison
    from onnxcost.contest import compare as compare
    from onnxcost.conventions import CONVENTIONS as CONVENTIONS
    from onnxcost.conventions import Convention as Convention
    from onnxcost.errors import InputError as InputError
    from onnxcost.errors import MeasurementError as MeasurementError
    from onnxcost.errors import ModelError as ModelError
    from onnxcost.errors import OnnxCostError as OnnxCostError
    from onnxcost.errors import UnknownShape as UnknownShape
    from onnxcost.estimator import estimate as estimate
    from onnxcost.formulas import FORMULAS as FORMULAS
    from onnxcost.frontend.stripping import strip as strip
    from onnxcost.latency import Latency as Latency
    from onnxcost.measurement import Measurement as Measurement
    from onnxcost.measurement import Settings as Settings
    from onnxcost.measuring.measuring import measure as measure
    from onnxcost.measuring.measuring import measure_batches as measure_batches
    from onnxcost.measuring.profiling import profile as profile
    from onnxcost.measuring.tracing import trace as trace
    from onnxcost.profiled import Profile as Profile
    from onnxcost.report import CostReport as CostReport
    from onnxcost.report import Counted as Counted
    from onnxcost.report import Uncounted as Uncounted
    from onnxcost.scanned import Scanned as Scanned
    from onnxcost.scanning.scanning import scan as scan
    from onnxcost.work import Work as Work

_HOMES = {
    "CONVENTIONS": "conventions",
    "Candidate": "comparison.candidates",
    "Comparison": "comparison.candidates",
    "Convention": "conventions",
    "CostReport": "report",
    "Counted": "report",
    "FORMULAS": "formulas",
    "InputError": "errors",
    "Latency": "latency",
    "Measurement": "measurement",
    "MeasurementError": "errors",
    "ModelError": "errors",
    "OnnxCostError": "errors",
    "Profile": "profiled",
    "Scanned": "scanned",
    "Settings": "measurement",
    "Uncounted": "report",
    "UnknownShape": "errors",
    "Work": "work",
    "compare": "contest",
    "estimate": "estimator",
    "measure": "measuring.measuring",
    "measure_batches": "measuring.measuring",
    "profile": "measuring.profiling",
    "scan": "scanning.scanning",
    "strip": "frontend.stripping",
    "trace": "measuring.tracing",
}

__all__ = ["__version__", *_HOMES]  # noqa: PLE0604  # the names are strings


def __getattr__(name: str) -> Any:
    """The public names, each imported where it is first used: start-up time is a feature."""
    if name not in _HOMES:
        raise AttributeError(f"module 'onnxcost' has no attribute '{name}'")
    return getattr(import_module(f"onnxcost.{_HOMES[name]}"), name)
