"""Documents of runs: a measurement, a profile, several boards; and the header of all documents."""

# No `from __future__ import annotations`: Python 3.11 would take the keys that are NotRequired for required ones.
from typing import Literal, NotRequired, TypedDict

BoundName = Literal["", "lower", "upper", "mixed"]


class HeaderDict(TypedDict):
    """The keys that all documents have; ``version`` is that of the onnxcost that wrote it."""

    schema: Literal["onnxcost/1"]
    version: str


class ModelDict(TypedDict):
    """The file of the model."""

    path: str
    name: str
    producer: str
    ir_version: int
    opsets: dict[str, int]
    file_bytes: int
    nodes: int


class TensorDict(TypedDict):
    """A value of the graph; an open dim is its name or null, and an unknown rank a null ``shape``."""

    name: str
    dtype: str
    shape: list[int | str | None] | None


class DimDict(TypedDict):
    """The size of an open dim in the counts; ``option`` sets another one, ``reason`` explains an assumed size."""

    name: str
    value: int
    source: Literal["given", "derived", "assumed"]
    option: str
    reason: str


class ModelHeaderDict(HeaderDict):
    """The model that a document is about."""

    model: ModelDict
    inputs: list[TensorDict | None]
    outputs: list[TensorDict | None]
    dims: list[DimDict]


class ThreadsDict(TypedDict):
    """The threads of a session: within operators, and between them."""

    intra: int
    inter: int


class InputUsedDict(TypedDict):
    """The data that was fed to an input."""

    name: str
    dtype: str
    shape: list[int]
    source: str


class EnvironmentDict(TypedDict):
    """The machine; ``load`` is other work in cores, frequencies are Hz; ``date`` is the end of the runs, ISO 8601 in UTC."""

    cores: int
    usable_cores: float
    load: float | None
    frequency: float | None
    max_frequency: float | None
    platform: str
    governor: NotRequired[str | None]
    date: NotRequired[str | None]


class LatencyDict(TypedDict):
    """Statistics of run times in seconds; the interval holds the median with 95 % confidence."""

    min: float
    mean: float
    median: float
    std: float
    p90: float
    p95: float
    p99: float
    max: float
    median_ci95: list[float] | None


class MemoryUseDict(TypedDict):
    """The most bytes that the process and onnxruntime's arena used."""

    peak_rss_bytes: int | None
    baseline_rss_bytes: int | None
    arena_peak_bytes: int | None
    arena_activation_bytes: int | None


class CopiesDict(TypedDict):
    """Median seconds of copying inputs to the device and outputs from it."""

    host_to_device: float
    device_to_host: float


class SessionDict(MemoryUseDict):
    """A session that ran a model: its settings, machine, inputs and memory."""

    interrupted: bool
    provider: str
    device: str
    driver: str | None
    onnxruntime: str
    threads: ThreadsDict
    batch: int
    weights: Literal["stored", "synthesised"]
    inputs: list[InputUsedDict]
    session_seconds: float
    nodes_by_provider: dict[str, int] | None
    environment: EnvironmentDict


class MeasurementDict(SessionDict):
    """A model's time and memory on one machine; ``samples``, the seconds of each run, are left out of scans."""

    status: Literal["ok"]
    reason: None
    provider_options: dict[str, str]
    device_memory_bytes: int | None
    optimization: Literal["none", "basic", "extended", "all"]
    concurrency: int
    seed: int
    warmup_runs: int
    runs: int
    fallen_back: list[str]
    latency: LatencyDict
    samples: NotRequired[list[float]]
    wall_seconds: float
    fps: float
    flops: int | None
    bound: BoundName
    flops_per_second: float | None
    first_run_seconds: float
    copies: CopiesDict | None
    advice: list[str]


class UnmeasuredDict(TypedDict):
    """Why there is no measurement."""

    status: Literal["skipped", "failed"]
    reason: str


class MeasurementDocument(ModelHeaderDict):
    """A model's time and memory, from ``onnxcost measure``; ``batches`` is present if several batch sizes were requested."""

    measurement: MeasurementDict | UnmeasuredDict | None
    batches: NotRequired[list[MeasurementDict | UnmeasuredDict]]


class SpentDict(TypedDict):
    """The time of executed nodes in a run, in seconds, their work and their rates; null if unknown."""

    executions: float
    seconds: float
    share: float
    complete: bool
    macs: int
    flops: int
    read_bytes: int
    write_bytes: int
    flops_per_second: float | None
    bytes_per_second: float | None


class SpentByOperatorDict(SpentDict):
    """The executed nodes of an operator."""

    op_type: str
    domain: str
    nodes: int
    cumulative_share: float


class SpentByModuleDict(SpentDict):
    """The executed nodes of a module; ``module`` is the list of the parts of its name."""

    module: list[str]
    nodes: int
    cumulative_share: float


class ProfiledNodeDict(SpentDict):
    """An executed node, and the nodes of the file that it computes."""

    name: str
    op_type: str
    domain: str
    scope: list[str]
    origins: list[str]
    provider: str
    uncounted: str | None


class ProfileDict(TypedDict):
    """The executed graph and its times in seconds."""

    interrupted: bool
    runs: int
    run_seconds: list[float]
    profiled_seconds: float
    node_seconds: float
    overhead_seconds: float | None
    latency_seconds: float | None
    added_seconds_per_execution: float | None
    coverage: float
    warnings: list[str]
    arena_peak_bytes: int | None
    peak_activation_bytes: int | None
    estimated_peak_activation_bytes: int | None
    weight_bytes: int
    by_operator: list[SpentByOperatorDict]
    by_module: list[SpentByModuleDict]
    nodes: list[ProfiledNodeDict]


class ProfileDocument(MeasurementDocument):
    """Where the time goes, from ``onnxcost profile``."""

    profile: ProfileDict


class RangeDict(TypedDict):
    """A range, and the evidence for it."""

    low: float
    high: float
    basis: str


class SaidDict(TypedDict):
    """A message from a board."""

    kind: Literal["error", "warning", "advice", "note"]
    text: str


class BoardDict(TypedDict):
    """A board: ``about`` is its own description, ``result`` the document of the command, or null."""

    board: str
    address: str
    status: Literal["ok", "failed"]
    failure: str | None
    reason: str | None
    about: dict[str, object]
    messages: list[SaidDict]
    result: dict[str, object] | None


class FleetDocument(HeaderDict):
    """A command on several boards, from ``--on`` or ``onnxcost fleet check``."""

    command: str
    boards: list[BoardDict]
