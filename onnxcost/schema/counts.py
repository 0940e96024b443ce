"""Documents of counts: a report, a scan, how cost scales, the formulas."""

# No `from __future__ import annotations`: Python 3.11 would take the keys that are NotRequired for required ones.
from typing import Literal, NotRequired, TypedDict

from onnxcost.schema.runs import BoundName, HeaderDict, MeasurementDict, ModelHeaderDict, TensorDict, UnmeasuredDict


class WorkDict(TypedDict):
    """Operations by kind; ``dequantizations`` expand quantized weights, and no convention counts them."""

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
    """MACs and FLOPs; ``count`` is present if another convention was chosen."""

    macs: int
    flops: int
    count: NotRequired[int]


class TotalsDict(CountDict):
    """Sums over the model; sizes are bytes, ``intensity`` is FLOPs per byte. Null if a shape is unknown."""

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
    """The bytes of activations while an executed node runs, including its kernel's workspace of ``workspace_bytes``."""

    bytes: int
    workspace_bytes: int


class MemoryDict(TypedDict):
    """The peak activation memory in bytes: the node that runs at that time, and the tensors that are then in memory."""

    peak_bytes: int
    node: NodeIdentityDict | None
    workspace_bytes: int
    tensors: list[LiveTensorDict]
    curve: NotRequired[list[CurvePointDict]]


class DtypeDict(CountDict):
    """The counted nodes that compute in a type."""

    dtype: str
    nodes: int


class OperatorDict(CountDict):
    """The nodes of an operator; sums exclude the ``uncounted`` ones."""

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
    """The keys of a report in addition to those of its model."""

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
    """What a model costs, from ``onnxcost MODEL`` and ``CostReport.to_dict``."""


class FileStampDict(TypedDict):
    """The size of a scanned file in bytes, and when it was last written, in nanoseconds since 1970; for a URL, ``mark`` is
    the server's identifier of its content, such as an ETag.
    """

    bytes: NotRequired[int]
    modified_ns: NotRequired[int]
    mark: NotRequired[str]


class ScanRowDict(TypedDict):
    """A model of a scan; ``seconds`` is how long it took. ``reason`` says why its status is not "ok"."""

    path: str
    status: Literal["ok", "unmeasured", "failed", "unfinished"]
    reason: str | None
    seconds: float
    file: FileStampDict | None
    options: dict[str, object]


class ScannedDocument(ReportDocument, ScanRowDict):
    """A row of a scan: a model that was counted, with the keys of a report without ``nodes``."""


class NotScannedDocument(HeaderDict, ScanRowDict):
    """A row of a scan: a model that could not be counted."""


class ScanDocument(HeaderDict):
    """The rows of a scan, from ``onnxcost scan``."""

    models: list[ScannedDocument | NotScannedDocument]


class TermDict(TypedDict):
    """A term of a polynomial: the exponents of the dims, in their order, and the coefficient as a string like "3/2"."""

    coefficient: str
    exponents: list[int]


class PolynomialDict(TypedDict):
    """A polynomial as text and as terms; ``exponents`` are those of the dims and, after them, of the floors."""

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
    """From the size ``least`` on, the piece of ``peak_activation_bytes`` at the index ``piece`` is the largest."""

    least: int
    piece: int


class ScalingDict(TypedDict):
    """Polynomials of the cost in the sizes of ``dims``, the others ``fixed``; each entry of ``by_operator`` and
    ``by_module`` has one per metric.
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
    """How cost scales with the open dims, from ``onnxcost scale``; ``at`` has the sizes and the totals of points."""

    model: PathDict
    scaling: ScalingDict
    at: NotRequired[list[dict[str, int]]]


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
    """The formulas, from ``onnxcost formulas``."""

    formulas: list[FormulaDict]
