"""What the parent asks of a worker and what that says: pickled, one after the other, over its pipes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

READY = "ready"
"""What a worker says first."""


class Given(NamedTuple):
    """What is said of the inputs of all models, as ``onnxcost.estimate`` takes it; each takes what it has a name for."""

    shapes: Mapping[str, Sequence[int]] = {}
    dims: Mapping[str, int] = {}
    values: Mapping[str, Any] = {}


class Task(NamedTuple):
    """A model to count, and what is said of the inputs of all models."""

    path: str
    given: Given


class Answer(NamedTuple):
    """What became of a task: the fields as in ``Scanned``."""

    status: str
    reason: str = ""
    seconds: float = 0.0
    report: Mapping[str, Any] | None = None
