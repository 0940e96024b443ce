"""Documents of pipelines and language models: counts, speeds on devices, and runs."""

# No `from __future__ import annotations`: Python 3.11 would take the keys that are NotRequired for required ones.
from typing import Literal, NotRequired, TypedDict

from onnxcost.schema.runs import (
    BoundName,
    HeaderDict,
    LatencyDict,
    MeasurementDict,
    RangeDict,
    SessionDict,
    UnmeasuredDict,
)


class StageDimDict(TypedDict):
    """The size of an open dim of a stage, and its source."""

    name: str
    value: int
    source: str


class GrowthDict(TypedDict):
    """A dim that differs between the runs of a stage."""

    dim: str
    first: int
    last: int
    assumed: bool


class StageCostDict(TypedDict):
    """Counts summed over runs; sizes are bytes, ``seconds`` are those of all runs."""

    runs: int
    bound: BoundName
    macs: int
    flops: int
    read_bytes: int
    write_bytes: int
    parameters: int
    weight_bytes: int
    peak_activation_bytes: int | None
    seconds: float | None


class StageDict(StageCostDict):
    """A model of a pipeline; counts are summed over its runs, sizes are bytes, ``seconds`` are those of all runs."""

    name: str
    path: str
    dims: list[StageDimDict]
    grows: list[GrowthDict]
    runs_counted: int
    measurement: MeasurementDict | UnmeasuredDict | None


class SharedDimDict(TypedDict):
    """A dim of a stage that has the size of one in an earlier stage, the ``origin``."""

    name: str
    value: int
    stage: str
    origin: str
    tensor: str


class PipelineTotalDict(StageCostDict):
    """The sums over all stages; ``peak_bytes`` are the weights of all files and the largest activations."""

    peak_bytes: int | None


class PipelineDict(TypedDict):
    """What several models cost together."""

    stages: list[StageDict]
    shared: list[SharedDimDict]
    total: PipelineTotalDict
    notes: list[str]


class PipelineDocument(HeaderDict):
    """A pipeline, from the option ``--pipeline``."""

    pipeline: PipelineDict


class PhaseDict(TypedDict):
    """A prefill or a decode step: its operations, and the bytes that it reads and writes."""

    new_tokens: int
    past: int
    macs: int
    flops: int
    bound: BoundName
    weight_bytes_read: int
    kv_bytes_read: int
    kv_bytes_written: int
    state_bytes: int
    peak_activation_bytes: int | None
    intensity: float | None


class MemoryNeedDict(TypedDict):
    """Bytes that a decoder needs."""

    weights: int
    cache: int
    copied: int
    activations: int
    total: int


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
    """A decoder at one length of its context; times are seconds. ``predicted`` is present if a device was given."""

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
    """The times of a decoder on one machine."""

    status: Literal["ok", "failed"]
    reason: str | None
    shares_buffer: bool
    contexts: list[ContextDict]


class GenerationDocument(HeaderDict):
    """A decoder that ran, from ``run_llm``."""

    generation: GenerationDict


class LanguageDict(TypedDict):
    """A decoder's prefill of ``prompt`` tokens, and a decode step with ``context`` tokens in the cache."""

    path: str
    batch: int
    prompt: int | None
    context: int
    source: int
    kv_bytes_per_token: int
    source_bytes_per_token: int
    state_bytes: int
    kv_bytes: int
    parameters: int
    active_parameters: int
    prefill: PhaseDict | None
    decode: PhaseDict
    memory: MemoryNeedDict
    available_bytes: int | None
    most_context: int | None
    most_batch: int | None
    devices: list[SpeedDict]
    notes: list[str]


class LanguageDocument(HeaderDict):
    """A language model, from ``onnxcost llm``; with ``--run`` also the measurement."""

    llm: LanguageDict
    generation: NotRequired[GenerationDict | UnmeasuredDict]
