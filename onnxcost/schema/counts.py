"""Documents of what is counted: a report, how cost grows, a pipeline, a language model, the formulas."""

# No `from __future__ import annotations`: Python 3.11 would take the keys that are NotRequired for required ones.
from typing import Literal, NotRequired, TypedDict

from onnxcost.schema.runs import (
    BoundName,
    GenerationDict,
    HeaderDict,
    MeasurementDict,
    ModelHeaderDict,
    SpeedDict,
    TensorDict,
    UnmeasuredDict,
)


class WorkDict(TypedDict):
    """Operations by kind. ``dequantizations`` expand quantized weights and belong to no convention."""

    macs: int
    accumulators: int
    bias_adds: int
    adds: int
    muls: int
    divs: int
    compares: int
    transcendentals: int
    dequantizations: int


class CountDict(TypedDict):
    """MACs and FLOPs; ``count`` is there if another convention than these was chosen."""

    macs: int
    flops: int
    count: NotRequired[int]


class TotalsDict(CountDict):
    """Sums over the model; sizes are bytes, ``intensity`` is FLOPs per byte. Null where a shape is not known."""

    parameters: int
    running_statistics: int
    buffers: int
    buffer_bytes: int
    weight_bytes: int
    weight_bytes_by_dtype: dict[str, int]
    peak_activation_bytes: int | None
    read_bytes: int
    write_bytes: int
    intensity: float | None
    dequantization_flops: int
    work: WorkDict


class NodeIdentityDict(TypedDict):
    """A node; ``domain`` is "" for ONNX's own operators."""

    name: str
    op_type: str
    domain: str


class LiveTensorDict(TypedDict):
    """A tensor that is in memory at the peak, and its bytes."""

    name: str
    bytes: int


class CurvePointDict(NodeIdentityDict):
    """The bytes of activations while an executed node runs, and those of its kernel's workspace among them."""

    bytes: int
    workspace_bytes: int


class MemoryDict(TypedDict):
    """The peak of the activations in bytes: the node that runs then, and the tensors that are there."""

    peak_bytes: int
    node: NodeIdentityDict | None
    workspace_bytes: int
    tensors: list[LiveTensorDict]
    curve: NotRequired[list[CurvePointDict]]


class DtypeDict(CountDict):
    """The counted nodes by the type of their arithmetic."""

    dtype: str
    nodes: int


class OperatorDict(CountDict):
    """The nodes of an operator; sums leave out the ``uncounted`` ones."""

    op_type: str
    domain: str
    nodes: int
    uncounted: int
    parameters: int
    read_bytes: int
    write_bytes: int


class NodeDict(NodeIdentityDict, CountDict):
    """A counted node; the counts are those of all its ``repeat`` executions. An omitted input is null."""

    scope: list[str]
    dtype: str
    repeat: int
    inputs: list[TensorDict | None]
    outputs: list[TensorDict | None]
    work: WorkDict
    parameters: int
    read_bytes: int
    write_bytes: int


class UncountedDict(NodeIdentityDict):
    """A node without a count, and why."""

    reason: str


class CountsDict(TypedDict):
    """The keys of a report beside those of its model."""

    complete: bool
    bound: BoundName
    macs_bound: BoundName
    convention: str
    totals: TotalsDict
    memory: MemoryDict | None
    conventions: dict[str, int]
    by_dtype: list[DtypeDict]
    by_operator: list[OperatorDict]
    nodes: NotRequired[list[NodeDict]]
    uncounted: list[UncountedDict]
    warnings: list[str]
    measurement: MeasurementDict | UnmeasuredDict | None
    batches: NotRequired[list[MeasurementDict | UnmeasuredDict]]


class ReportDocument(ModelHeaderDict, CountsDict):
    """What a model costs, of ``onnxcost MODEL`` and ``CostReport.to_dict``."""


class FileStampDict(TypedDict):
    """The size of a scanned file in bytes, and when it was last written, in nanoseconds since 1970; at a URL the server's mark
    for its content, as an ETag.
    """

    bytes: NotRequired[int]
    modified_ns: NotRequired[int]
    mark: NotRequired[str]


class ScanRowDict(TypedDict):
    """A model of a scan; ``seconds`` is what it took. ``reason`` says why its status is not "ok"."""

    path: str
    status: Literal["ok", "unmeasured", "failed", "unfinished"]
    reason: str | None
    seconds: float
    file: FileStampDict | None
    options: dict[str, object]


class ScannedDocument(ReportDocument, ScanRowDict):
    """A row of a scan: a model that was counted, with the keys of a report but ``nodes``."""


class NotScannedDocument(HeaderDict, ScanRowDict):
    """A row of a scan: a model that could not be counted."""


class ScanDocument(HeaderDict):
    """The rows of a scan, of ``onnxcost scan``."""

    models: list[ScannedDocument | NotScannedDocument]


class TermDict(TypedDict):
    """A term of a polynomial: the exponents of the dims, in their order, and the coefficient as a text like "3/2"."""

    coefficient: str
    exponents: list[int]


class PolynomialDict(TypedDict):
    """A polynomial, for people and as terms; ``exponents`` are those of the dims and, after them, of the floors."""

    formula: str
    terms: list[TermDict]


class DomainDict(TypedDict):
    """The sizes for which the formulas hold: from ``least`` to ``most`` in multiples of ``step``."""

    base: int
    least: int
    most: int
    step: int
    reasons: list[str]


class FloorDict(TypedDict):
    """⌊(``factor`` · ``dim`` + ``offset``) / ``divisor``⌋."""

    text: str
    dim: str
    factor: int
    offset: int
    divisor: int


class CrossingDict(TypedDict):
    """From the size ``least`` on, the ``piece`` at this place in ``peak_activation_bytes`` is the largest."""

    least: int
    piece: int


class ScalingDict(TypedDict):
    """Polynomials of the cost in the sizes of ``dims``, the others ``fixed``; entries of ``by_operator`` and ``by_module`` have
    one a metric.
    """

    dims: dict[str, DomainDict]
    fixed: NotRequired[dict[str, int]]
    floors: NotRequired[list[FloorDict]]
    bound: BoundName
    verified: int
    evaluations: int
    totals: dict[str, PolynomialDict]
    by_operator: list[dict[str, str | PolynomialDict]]
    by_module: list[dict[str, str | PolynomialDict]]
    peak_activation_bytes: list[PolynomialDict]
    crossings: NotRequired[dict[str, list[CrossingDict]]]
    notes: list[str]


class PathDict(TypedDict):
    """The file of a model."""

    path: str


class ScalingDocument(HeaderDict):
    """How cost grows with the open dims, of ``onnxcost scale``; ``at`` are totals at points, beside the sizes of the dims."""

    model: PathDict
    scaling: ScalingDict
    at: NotRequired[list[dict[str, int]]]


class StageDimDict(TypedDict):
    """The size of an open dim of a stage, and where it is from."""

    name: str
    value: int
    source: str


class GrowthDict(TypedDict):
    """A dim that differs between the runs of a stage."""

    dim: str
    first: int
    last: int
    assumed: bool


class StageDict(TypedDict):
    """A model of a pipeline; counts are summed over its runs, sizes are bytes, ``seconds`` are those of all runs."""

    name: str
    path: str
    runs: int
    dims: list[StageDimDict]
    grows: list[GrowthDict]
    runs_counted: int
    bound: BoundName
    macs: int
    flops: int
    read_bytes: int
    write_bytes: int
    parameters: int
    weight_bytes: int
    peak_activation_bytes: int | None
    seconds: float | None
    measurement: MeasurementDict | UnmeasuredDict | None


class SharedDimDict(TypedDict):
    """A dim of a stage that has the size of one in an earlier stage, the ``origin``."""

    name: str
    value: int
    stage: str
    origin: str
    tensor: str


class PipelineTotalDict(TypedDict):
    """The sums over all stages; ``peak_bytes`` are the weights of all files and the largest activations."""

    runs: int
    bound: BoundName
    macs: int
    flops: int
    read_bytes: int
    write_bytes: int
    parameters: int
    weight_bytes: int
    peak_activation_bytes: int | None
    peak_bytes: int | None
    seconds: float | None


class PipelineDict(TypedDict):
    """What several models cost together."""

    stages: list[StageDict]
    shared: list[SharedDimDict]
    total: PipelineTotalDict
    notes: list[str]


class PipelineDocument(HeaderDict):
    """A pipeline, of the option ``--pipeline``."""

    pipeline: PipelineDict


class PhaseDict(TypedDict):
    """A prefill or a decode step: what it computes and which bytes it reads and writes."""

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
    """A language model, of ``onnxcost llm``; with ``--run`` also what was measured."""

    llm: LanguageDict
    generation: NotRequired[GenerationDict | UnmeasuredDict]


class FormulaDict(TypedDict):
    """How an operator is counted, in words."""

    operator: str
    family: str
    maths: str
    macs: str
    flops: str
    classic: str
    about: str


class FormulasDocument(HeaderDict):
    """The formulas, of ``onnxcost formulas``."""

    formulas: list[FormulaDict]
