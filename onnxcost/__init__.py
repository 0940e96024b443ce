"""What does this ONNX model cost to run, before it is deployed?"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from onnxcost.version import __version__

if TYPE_CHECKING:
    from onnxcost.conventions import CONVENTIONS as CONVENTIONS
    from onnxcost.conventions import Convention as Convention
    from onnxcost.errors import InputError as InputError
    from onnxcost.errors import ModelError as ModelError
    from onnxcost.errors import OnnxCostError as OnnxCostError
    from onnxcost.errors import UnknownShape as UnknownShape
    from onnxcost.estimator import estimate as estimate
    from onnxcost.formulas import FORMULAS as FORMULAS
    from onnxcost.report import CostReport as CostReport
    from onnxcost.report import Counted as Counted
    from onnxcost.report import Uncounted as Uncounted
    from onnxcost.work import Work as Work

_HOMES = {
    "CONVENTIONS": "conventions",
    "Convention": "conventions",
    "CostReport": "report",
    "Counted": "report",
    "FORMULAS": "formulas",
    "InputError": "errors",
    "ModelError": "errors",
    "OnnxCostError": "errors",
    "Uncounted": "report",
    "UnknownShape": "errors",
    "Work": "work",
    "estimate": "estimator",
}

__all__ = ["__version__", *_HOMES]  # noqa: PLE0604  # the names are strings


def __getattr__(name: str) -> Any:
    """The public names, each imported where it is first used: start-up time is a feature."""
    if name not in _HOMES:
        raise AttributeError(f"module 'onnxcost' has no attribute '{name}'")
    return getattr(import_module(f"onnxcost.{_HOMES[name]}"), name)
