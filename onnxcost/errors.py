"""What can go wrong, each with the exit code that the command ends with."""

from __future__ import annotations


class OnnxCostError(Exception):
    """Base of all errors: one line that says what is wrong, where, and what to do about it."""

    exit_code = 2


class ModelError(OnnxCostError):
    """The file is not a usable ONNX model, or the model contradicts itself."""


class InputError(OnnxCostError):
    """An argument (a shape, a dim, a value, a name of a convention or format) does not fit."""


class UnknownShape(OnnxCostError):
    """A shape was asked for that could not be derived; what needs it stays uncounted."""


class CheckFailed(OnnxCostError):
    """A check that the user asked for did not hold (``--strict``, a budget)."""

    exit_code = 1


class MeasurementError(OnnxCostError):
    """The model could not be run or timed; what was counted stands."""

    exit_code = 3
