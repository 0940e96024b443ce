"""Documents of what was run: a measurement, a profile, a comparison, a decoder's tokens; and what all documents begin with."""

# No `from __future__ import annotations`: Python 3.11 would take the keys that are NotRequired for required ones.
from typing import Literal, NotRequired, TypedDict

BoundName = Literal["", "lower", "upper", "mixed"]


class HeaderDict(TypedDict):
    """What every document begins with: ``version`` is that of the onnxcost that wrote it."""

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
    """The size that an open dim has in the counts; ``option`` sets another one, ``reason`` is that of an assumed size."""

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
    """What an input was fed with."""

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
    """Bytes that the process and onnxruntime's arena took at most."""

    peak_rss_bytes: int | None
    baseline_rss_bytes: int | None
    arena_peak_bytes: int | None
    arena_activation_bytes: int | None


class CopiesDict(TypedDict):
    """Median seconds of copying inputs to the device and outputs from it."""

    host_to_device: float
    device_to_host: float


class SessionDict(MemoryUseDict):
    """What ran a model."""

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
    """What a model takes, of ``onnxcost measure``; ``batches`` is there if several batch sizes were asked for."""

    measurement: MeasurementDict | UnmeasuredDict | None
    batches: NotRequired[list[MeasurementDict | UnmeasuredDict]]


class SpentDict(TypedDict):
    """The time of executed nodes in a run, in seconds, their work and their rates; null where it is not known."""

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
    """The executed nodes of a module, which is the list of its name's parts."""

    module: list[str]
    nodes: int
    cumulative_share: float


class ProfiledNodeDict(SpentDict):
    """An executed node, and the nodes of the file that it runs."""

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
    """Where the time goes, of ``onnxcost profile``."""

    profile: ProfileDict


class FedDict(TypedDict):
    """An input of a model, and the input of the first model whose array it got."""

    name: str
    source: str
    is_transposed: bool


class OutputDifferenceDict(TypedDict):
    """An output of the first model beside its counterpart; differences are null where there is none that is finite."""

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
    """A model's outputs beside those of the first model."""

    reference: str
    reason: str | None
    inputs: list[FedDict]
    outputs: list[OutputDifferenceDict]
    alone: list[str]


class CandidateDict(TypedDict):
    """A compared model; ``pareto`` and ``outputs`` are there if they were asked for."""

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
    """An operator in the first model and in this one."""

    op_type: str
    nodes: list[int]
    count: list[int]
    parameters: list[int]
    traffic_bytes: list[int]


class AlikeDict(TypedDict):
    """How many layers correspond, of how many that each model has."""

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
    """The nodes of a layer that differs; null in the model that lacks it."""

    nodes: list[ComparedNodeDict | None]
    count: int


class DifferencesDict(TypedDict):
    """Why a model costs something else than the first one: its figures minus those of the first."""

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
    """Models beside each other, of ``onnxcost compare``."""

    convention: str
    baseline: str
    models: list[CandidateDict]
    broken: list[BrokenDict]
    differences: NotRequired[list[DifferencesDict]]


class RangeDict(TypedDict):
    """A range, and what it rests on."""

    low: float
    high: float
    basis: str


class AtMostDict(TypedDict):
    """An upper bound."""

    at_most: float
    basis: Literal["bound"]


class SpeedDict(TypedDict):
    """A decoder on a device: seconds to the first token, and tokens per second of one sequence and of all."""

    device: str
    batch: int
    ttft: RangeDict | None
    ttft_bound: float | None
    tokens_per_second: RangeDict | None
    tokens_per_second_bound: AtMostDict | None
    throughput: RangeDict | None
    limit: str | None
    not_known: list[str]


class ContextDict(TypedDict):
    """A decoder at a length of its context; times are seconds. ``predicted`` is there with a device."""

    context: int
    prompts: int
    first_prompt_seconds: float | None
    ttft: LatencyDict | None
    tokens: int
    time_per_token: LatencyDict | None
    tokens_per_second: float | None
    loop_seconds: float
    samples: list[float]
    predicted: NotRequired[SpeedDict]


class GenerationDict(SessionDict):
    """What a decoder took on one machine."""

    status: Literal["ok", "failed"]
    reason: str | None
    shares_buffer: bool
    contexts: list[ContextDict]


class GenerationDocument(HeaderDict):
    """A decoder that ran, of ``run_llm``."""

    generation: GenerationDict


class SaidDict(TypedDict):
    """A message of a board."""

    kind: Literal["error", "warning", "advice", "note"]
    text: str


class BoardDict(TypedDict):
    """A board: ``about`` is what it says of itself, ``result`` the document of the command, null where there is none."""

    board: str
    address: str
    status: Literal["ok", "failed"]
    failure: str | None
    reason: str | None
    about: dict[str, object]
    messages: list[SaidDict]
    result: dict[str, object] | None


class FleetDocument(HeaderDict):
    """A command on several boards, of ``--on`` and of ``onnxcost fleet check``."""

    command: str
    boards: list[BoardDict]
