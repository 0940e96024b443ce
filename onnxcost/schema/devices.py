"""Documents of devices: their figures, a prediction, a budget, a calibrated machine."""

# No `from __future__ import annotations`: Python 3.11 would take the keys that are NotRequired for required ones.
from typing import Literal, NotRequired, TypedDict

from onnxcost.schema.counts import PathDict
from onnxcost.schema.language import LanguageDict, PipelineDict
from onnxcost.schema.runs import BoundName, HeaderDict, MeasurementDict, RangeDict, UnmeasuredDict

Level = Literal["fits", "marginal", "unknown", "does not fit"]
DeviceKind = Literal["microcontroller", "accelerator", "board", "phone", "laptop", "cpu", "gpu", "cloud"]
FigureBasis = Literal["published", "derived", "reported", "unverified", "given"]


class FigureDict(TypedDict):
    """A figure in its base unit, and its source."""

    value: float
    basis: FigureBasis
    source: str
    url: str
    date: str
    how: str


class PeakDict(FigureDict):
    """The peak rate in a type, in operations per second, and the type in which products are summed."""

    dtype: str
    accumulate: str | None


class PartDict(TypedDict):
    """A processor of a device; clocks are Hz."""

    kind: Literal["cpu", "gpu", "npu", "dla"]
    title: str
    clock: FigureDict | None
    clock_basis: Literal["base", "boost", "maximum"] | None
    boost: FigureDict | None
    peaks: list[PeakDict]


class DeviceDict(TypedDict):
    """A device: bytes, bytes per second, watts, dollars, dollars per hour; null if a figure is unknown."""

    name: str
    title: str
    vendor: str
    kind: DeviceKind
    note: str
    memory: FigureDict | None
    bandwidth: FigureDict | None
    sram: FigureDict | None
    sram_bandwidth: FigureDict | None
    flash: FigureDict | None
    flash_bandwidth: FigureDict | None
    power: FigureDict | None
    price: FigureDict | None
    hourly: FigureDict | None
    parts: list[PartDict]


class DevicesDocument(HeaderDict):
    """Devices and the sources of their figures, from ``onnxcost devices``."""

    devices: list[DeviceDict]


class LeastTimeDict(TypedDict):
    """A lower bound of the latency."""

    seconds: float
    basis: Literal["bound"]


class SpanDict(TypedDict):
    """A range of seconds."""

    low: float
    high: float


class EstimateBoundDict(TypedDict):
    """A lower bound of the latency if convolutions use an algorithm."""

    seconds: float
    products: Literal["winograd", "direct"]


class EstimateDict(TypedDict):
    """The latency with a runtime, and the evidence for it."""

    runtime: str
    dtype: str
    latency: SpanDict
    evidence: str
    coverage: float | None
    detail: str
    source: str | None
    bound: EstimateBoundDict


class FiguresDict(TypedDict):
    """The predicted latency of one inference on a device in seconds, and items per second."""

    batch: int
    bound: LeastTimeDict | None
    latency: RangeDict | None
    fps: RangeDict | None
    limit: str | None
    runtime: str | None
    estimates: list[EstimateDict]
    compute_bound_nodes: int
    memory_bound_nodes: int
    runs_as: dict[str, str]
    unsupported: list[str]
    not_known: list[str]
    notes: list[str]


class NodeTimeDict(TypedDict):
    """A step of the predicted run, in seconds."""

    name: str
    op_type: str
    dtype: str
    merged: int
    compute: float
    transfer: float | None
    overhead: float
    span: RangeDict
    limit: Literal["compute", "memory"]


class PredictionDocument(HeaderDict, FiguresDict):
    """A model on a device, from ``onnxcost.predict``."""

    device: str
    nodes: list[NodeTimeDict]


class CheckDict(TypedDict):
    """A limit in base units, how well it is met, and the values that were compared with it."""

    what: str
    level: Level
    limit: float | None
    low: float | None
    high: float | None
    basis: str
    detail: str


class FitDict(TypedDict):
    """The bytes that a model needs of a memory, by purpose."""

    what: Literal["memory", "flash"]
    needed_bytes: int
    parts: dict[str, int]
    available_bytes: int | None
    headroom_bytes: int | None
    basis: str


class CacheDict(TypedDict):
    """A decoder's KV cache in bytes, and the largest context and batch that fit."""

    token_bytes: int
    batch: int
    context: int
    most_context: int | None
    most_batch: int | None
    sequence_bytes: int


class EnergyDict(TypedDict):
    """An upper bound of the energy of an inference in joules."""

    joules_at_most: float
    basis: str


class RemedyDict(TypedDict):
    """A change to the model, and how well it would then fit."""

    change: str
    level: Level
    fps: RangeDict | None


class StageFiguresDict(FiguresDict):
    """One run of a stage of a pipeline on a device."""

    name: str
    runs: int


class VerdictDict(FiguresDict):
    """Whether a model meets a budget on a device; prices are dollars, power is watts."""

    device: str
    title: str
    kind: DeviceKind
    level: Level
    checks: list[CheckDict]
    memory: list[FitDict]
    cache: CacheDict | None
    price: float | None
    hourly: float | None
    cost_per_million: RangeDict | None
    power: float | None
    energy: EnergyDict | None
    remedies: list[RemedyDict]
    nodes: NotRequired[list[NodeTimeDict]]


class PipelineVerdictDict(VerdictDict):
    """The same for a pipeline."""

    stages: list[StageFiguresDict]


class LimitsDict(TypedDict, total=False):
    """Limits in base units: seconds, bytes, counts, per second."""

    fps: float
    latency: float
    memory: float
    flash: float
    macs: float
    params: float
    ttft: float
    tokens_per_second: float


class BudgetedModelDict(TypedDict):
    """The model that has the budget."""

    path: str
    macs: int
    parameters: int
    bound: BoundName


class BudgetDict(TypedDict):
    """A model, its limits, and the verdicts on devices."""

    model: BudgetedModelDict
    limits: LimitsDict
    checks: list[CheckDict]
    devices: list[VerdictDict]


class BudgetDocument(HeaderDict, BudgetDict):
    """A budget, from ``onnxcost budget MODEL``; for a decoder, also the counts of ``onnxcost llm``."""

    llm: NotRequired[LanguageDict]


class BudgetsDocument(HeaderDict):
    """Several budgets, from ``onnxcost budget`` with a budget file."""

    budgets: list[BudgetDict]


class PipelineBudgetDocument(HeaderDict):
    """The budget of a pipeline, from ``onnxcost budget`` with its stages."""

    pipeline: PipelineDict
    limits: LimitsDict
    checks: list[CheckDict]
    devices: list[PipelineVerdictDict]


class MachineDict(TypedDict):
    """The calibrated machine; ``memory`` is bytes, 0 if unknown."""

    device: str
    memory: int
    cores: float
    onnxruntime: str
    platform: str
    provider: str
    blocked: bool
    block: int


class ThreadSpeedDict(TypedDict):
    """The speed with a number of threads: the seconds that a run takes in addition to its kernels, and FLOP/s by type."""

    threads: int
    run_seconds: float
    peak_flops_per_second: dict[str, float]


class KernelDict(TypedDict):
    """A kernel that was timed: the quantities that its time depends on, and the seconds."""

    threads: int
    family: str
    quantities: list[float]
    seconds: float


class CalibrationDocument(HeaderDict):
    """How fast a machine runs kernels, from ``onnxcost.calibrate``."""

    device: str
    machine: MachineDict
    date: str
    noise: float
    interrupted: bool
    spread: float
    unsettled: float
    load: float | None
    threads: list[ThreadSpeedDict]
    kernels: list[KernelDict]


class PointDict(TypedDict):
    """Sizes: of dims, and of whole inputs."""

    dims: dict[str, int]
    shapes: dict[str, list[int]]


class SweepPointDict(PointDict):
    """A model at some sizes; if they do not fit the model, its counts are null and ``reason`` says why."""

    status: Literal["ok", "failed"]
    reason: str | None
    batch: int | None
    macs: int | None
    flops: int | None
    parameters: int | None
    weight_bytes: int | None
    peak_activation_bytes: int | None
    read_bytes: int | None
    write_bytes: int | None
    uncounted: int | None
    bound: BoundName | None
    measurement: MeasurementDict | UnmeasuredDict | None
    devices: list[VerdictDict]


class BestPointDict(PointDict):
    """The sizes of the best batch; ``device`` is null if it was measured on this machine."""

    device: str | None


class SweepDict(TypedDict):
    """A model at all combinations of sizes."""

    dims: dict[str, list[int]]
    shapes: dict[str, list[list[int]]]
    limits: LimitsDict
    points: list[SweepPointDict]
    best: list[BestPointDict]


class SweepDocument(HeaderDict):
    """A model at several sizes, from ``onnxcost.sweep``."""

    model: PathDict
    sweep: SweepDict
