"""Documents of a comparison: the models, their outputs, and why their costs differ."""

# No `from __future__ import annotations`: Python 3.11 would take the keys that are NotRequired for required ones.
from typing import NotRequired, TypedDict

from onnxcost.schema.runs import BoundName, HeaderDict


class FedDict(TypedDict):
    """An input of a model, and the input of the first model whose array it was fed."""

    name: str
    source: str
    is_transposed: bool


class OutputDifferenceDict(TypedDict):
    """An output of the first model compared with its counterpart; a difference is null if it would not be finite."""

    name: str
    other: str
    shape: list[int]
    absolute: float | None
    relative: float | None
    largest: float | None
    elements: int
    unequal: int
    not_finite: int
    apart: int
    is_transposed: bool
    reason: str


class AgreementDict(TypedDict):
    """A model's outputs compared with those of the first model."""

    reference: str
    reason: str | None
    inputs: list[FedDict]
    outputs: list[OutputDifferenceDict]
    alone: list[str]


class CandidateDict(TypedDict):
    """A compared model; ``pareto`` and ``outputs`` are present if they were requested."""

    label: str
    bound: BoundName
    metrics: dict[str, float]
    relative: dict[str, float | None]
    best: list[str]
    pareto: NotRequired[bool]
    latency_ratio: float | None
    latency_ratio_ci95: list[float] | None
    not_measured: str | None
    interrupted: bool
    outputs: NotRequired[AgreementDict | None]
    conditions: list[str]
    warnings: list[str]


class BrokenDict(TypedDict):
    """A model that could not be compared."""

    label: str
    reason: str


class OperatorDifferenceDict(TypedDict):
    """Figures of an operator in the first model and in this one."""

    op_type: str
    nodes: list[int]
    count: list[int]
    parameters: list[int]
    traffic_bytes: list[int]


class AlikeDict(TypedDict):
    """How many layers correspond, and how many each model has."""

    alike: int
    of: list[int]
    correspond: bool


class ChangeDict(TypedDict):
    """Nodes that differ, summed over all places where they differ in the same way."""

    left: list[str]
    right: list[str]
    reason: str
    layer: str | None
    first: str
    places: int
    count: int
    traffic: int


class ParameterChangeDict(TypedDict):
    """Parameters that only one of the models stores."""

    node: str
    operator: str
    count: int
    reason: str


class ComparedNodeDict(TypedDict):
    """A node of one of the models."""

    name: str
    op_type: str
    output: list[int]
    macs: int
    count: int


class LayerDifferenceDict(TypedDict):
    """A node of each model in layers that differ; null for a model that lacks it."""

    nodes: list[ComparedNodeDict | None]
    count: int


class DifferencesDict(TypedDict):
    """Why the cost of a model differs from the first one's: its figures minus those of the first."""

    model: str
    count: int
    parameters: int
    traffic_bytes: int
    operators: list[OperatorDifferenceDict]
    layers: AlikeDict
    changes: list[ChangeDict]
    parameter_changes: list[ParameterChangeDict]
    different_layers: list[LayerDifferenceDict]


class ComparisonDocument(HeaderDict):
    """Compared models, from ``onnxcost compare``."""

    convention: str
    baseline: str
    models: list[CandidateDict]
    broken: list[BrokenDict]
    differences: NotRequired[list[DifferencesDict]]
