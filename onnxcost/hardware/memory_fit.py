"""The memory that a model needs on a device: weights, activations, the runtime's copies and buffers, the KV cache."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from functools import lru_cache
from typing import NamedTuple

from onnxcost.analysis.batch import batch_of
from onnxcost.analysis.caches import KV, find_cache_pairs
from onnxcost.analysis.memory import attribute_bytes
from onnxcost.errors import MISFITS, UnknownShape
from onnxcost.graph import Graph
from onnxcost.hardware.device import keeps_weights_in_flash
from onnxcost.hardware.prediction import Cache, Fit, Predictor
from onnxcost.hardware.workload import Same, demand_of, nbytes
from onnxcost.ort_optimizer.fused_node import FusedNode
from onnxcost.ort_optimizer.fusion import fold_constants
from onnxcost.ort_optimizer.layout import BLOCK
from onnxcost.ort_optimizer.memory_plan import IN_PLACE, largest_live_sum, least_activation_bytes, plan_memory
from onnxcost.ort_optimizer.pipeline import optimize
from onnxcost.report import CostReport

PACKED: Mapping[str, tuple[int, ...]] = {
    **dict.fromkeys(("MatMul", "Gemm", "MatMulInteger", "ConvTranspose"), (1,)),
    **dict.fromkeys(("LSTM", "GRU"), (1, 2)),
}
"""The inputs that kernels copy into their own order while the session is created; the originals are released one by one
(SessionState::PrepackConstantInitializedTensors).
"""
_MULTIPLIES = frozenset({"BatchNormalization", "Mul", "Div"})
"""Operators that fuse into a convolution by changing its weights, which are then new values in memory."""


TABLE_SHARE = 0.3
"""The share in memory of a table in mapped external data whose rows are gathered: the pages of the rows and those around them.
Measured: 0.2 to 0.8 of seven embeddings.
"""
TREES: Mapping[str, float] = {
    "ai.onnx.ml.TreeEnsemble": 11.0,
    **dict.fromkeys(("ai.onnx.ml.TreeEnsembleRegressor", "ai.onnx.ml.TreeEnsembleClassifier"), 6.5),
}
"""The bytes that a session takes for each byte of the attributes, which are copied as protobuf, as vectors and as nodes.
Measured: 6.1 to 6.6 and 11.4.
"""


class Running(NamedTuple):
    """Bytes that are held while the model runs.

    ``weights`` are held once, as stored or in a kernel's own order, or as ensembles of trees are. ``first`` are the buffers of
    the first run, which the arena allocates one by one, and ``later`` the one block that it allocates for all of them from the
    second run on, when they are known (OrtApi::EnableMemPattern); it keeps both.
    """

    weights: int
    first: int
    later: int


class Loading(NamedTuple):
    """Bytes that malloc holds in a running session of what was freed while it was created: copies of the weights of
    ``convolutions`` and of other ``products``, and values that others were ``computed`` from.

    Malloc keeps between none and all of the freed bytes: these are the shares that fit 400 models best.
    """

    convolutions: int
    products: int
    computed: int


KEPT: Mapping[str, float] = {
    "convolution": 1.5,
    "mapped convolution": 0.5,
    "product": 0.75,
    "computed product": 0.3,
    "largest mapped product": 0.5,
    "intermediate": 1.0,
}
"""The shares of bytes, by kind of weight: those that are in memory while the session is created, or mapped from external data
until they are converted. Fitted to half of the models that ``scripts/benchmark/peak_memory.py`` measures, they leave the same
errors on the other half.
"""


class Process(NamedTuple):
    """The memory of a process without the runtime itself."""

    running: Running
    loading: Loading

    @property
    def peak(self) -> int:
        """The peak in bytes."""
        return sum(self.running) + sum(self.loading)


def process_of(report: CostReport, block: int = BLOCK) -> Process:
    """The process that runs the model of a report, cached for each report; ``block`` as for ``plan_memory``. Raises
    UnknownShape.
    """
    return _process(Same(report), block)


@lru_cache(maxsize=32)
def _process(key: Same, block: int) -> Process:
    graph = key.report.graph
    try:
        folded = fold_constants(graph)
        read = (tensor for node in folded.nodes for tensor in node.inputs if tensor is not None)
        stored = graph.unfolded
        weights = {t.name: t.nbytes for t in read if t.is_shaped and (t.is_constant or t.name in stored)}
        plan = plan_memory(graph, block)
        later = largest_live_sum(buffer for buffer in plan.buffers if not buffer.is_returned)
        # Data in other files are mapped, and read only when the kernels read them.
        inside = graph.file_bytes >= sum(tensor.nbytes for tensor in graph.constants.values() if tensor.is_shaped)
        held = sum(weights.values())
        if not inside:
            held -= int((1 - TABLE_SHARE) * sum(weights[name] for name in _gathered_tables(folded)))
        held += sum(int(TREES[node.key] * attribute_bytes(node).total()) for node in folded.nodes if node.key in TREES)
        running = Running(held, plan.peak.nbytes, later)
        return Process(running, _loading(graph, folded, block, inside=inside))
    except MISFITS as error:
        raise UnknownShape("a node does not fit its operator") from error


def _gathered_tables(graph: Graph) -> Set[str]:
    """The stored tables that only Gathers read."""
    uses = graph.uses
    found = {node.x.name for node in graph.nodes if node.key == "Gather" and node.x.is_constant and node.x.is_shaped}
    return {name for name in found if all(use.node.key == "Gather" and use.place == 0 for use in uses.reads(name))}


def _loading(graph: Graph, folded: Graph, block: int, *, inside: bool) -> Loading:
    """NchwcTransformer converts the weights of convolutions, which ConvBNFusion and its like have multiplied before; products
    are packed one by one, each in addition to its original.
    """
    steps = optimize(graph, blocked=block > 0, block=block, casts=True)
    blocked, packed = _read((step for step in steps if step.is_blocked), {"Conv": (1,)}), _read(steps, PACKED)
    # What fusions change is new, and in memory.
    changed = _read((step for step in steps if any(node.op_type in _MULTIPLIES for node in step.absorbed)), {"Conv": (1,)})
    kinds = {name: "convolution" if name in changed else "mapped convolution" for name in blocked}
    computed = packed.keys() - graph.constants.keys()
    products = sum(KEPT["computed product"] * packed[name] for name in computed)
    products += KEPT["largest mapped product"] * max((packed[name] for name in packed.keys() - computed), default=0)
    if inside:
        kinds, products = dict.fromkeys(blocked, "convolution"), KEPT["product"] * sum(packed.values())
    intermediate = _intermediate_bytes(graph, folded, blocked.keys() | packed.keys())
    convolutions = sum(KEPT[kinds[name]] * size for name, size in blocked.items())
    return Loading(int(convolutions), int(products), int(KEPT["intermediate"] * intermediate))


def _intermediate_bytes(graph: Graph, folded: Graph, names: Set[str]) -> int:
    """The bytes of all values from which onnxruntime computes these weights while the session is created."""
    runs = {node.out.name for node in folded.nodes}
    makers = {node.out.name: node for node in graph.nodes if node.out.name not in runs}
    found: dict[str, int] = {}
    waiting = [makers[name] for name in names if name in makers]
    while waiting:
        for tensor in waiting.pop().inputs:
            if tensor is not None and tensor.name in makers and tensor.name not in found and tensor.is_shaped:
                found[tensor.name] = tensor.nbytes
                waiting.append(makers[tensor.name])
    return sum(found.values())


def _read(steps: Iterable[FusedNode], places: Mapping[str, tuple[int, ...]]) -> dict[str, int]:
    """The constants, with their bytes, that operators read at these places."""
    tensors = (step.node.input(place) for step in steps for place in places.get(step.node.op_type, ()))
    return {tensor.name: tensor.nbytes for tensor in tensors if tensor is not None and tensor.is_constant and tensor.is_shaped}


KI, MI = 2**10, 2**20


class Runtime(NamedTuple):
    """What a runtime needs in addition to the model: bytes of memory and of flash, and the sources of the numbers."""

    memory: int
    flash: int
    reasoning: str


RUNTIMES: Mapping[str, Runtime] = {
    "microcontroller": Runtime(
        0,
        37 * KI,
        "STM32 model zoo, STM32Cube.AI 10, 24 models in int8: 37 KiB of code, 610 bytes a step and 5 a channel, theirs "
        "0.94 to 1.23 times that; 560 bytes of RAM a step, theirs 0.77 to 1.27 times that",
    ),
    "microcontroller float32": Runtime(
        0,
        10 * KI,
        "STM32 model zoo, STM32Cube.AI 10, 4 models in float32: 10 KiB of code and 610 bytes a step, theirs 0.95 to "
        "1.00 times that; 560 bytes of RAM a step, theirs 0.58 to 0.76 times that",
    ),
    "board gpu": Runtime(1536 * MI, 0, "onnxruntime issue 14038: 1750 MiB with CUDA on a Jetson Xavier NX; issue 4259: 2 GB"),
    "gpu": Runtime(350 * MI, 0, "onnxruntime issue 9138: 345 MiB with CUDA for a ResNet-18"),
    "cloud npu": Runtime(350 * MI, 0, "as for the GPUs; not verified"),
    "accelerator": Runtime(0, 0, "the runtime is in host memory"),
    "cpu": Runtime(72 * MI, 0, "measured: a Python process that has run a small model with onnxruntime 1.32"),
}
"""By the kind of the device and the part or type that computes, by the kind, or by the part; others are as "cpu"."""
STEP_MEMORY, STEP_FLASH, CHANNEL_FLASH = 560, 610, 5
"""What a microcontroller's runtime needs in addition: bytes for each step, and for the scale and zero point of a channel. For
families of models other than those used for the fit, the median error is 5 KiB for code and 0.5 KiB for RAM.
"""


def runtime_of(predictor: Predictor, report: CostReport) -> Runtime:
    """What the runtime needs on the device, for a report in the device's types."""
    demand, kind = demand_of(report), predictor.kind
    part = predictor.part_of(demand.dtype)
    keys = (f"{kind} {part}", f"{kind} {demand.dtype}", kind, part, "cpu")
    known = RUNTIMES[next(key for key in keys if key in RUNTIMES)]
    if kind != "microcontroller":
        return known
    steps, channels = len(demand.steps), report.memory.weight_bytes_by_dtype.get("int32", 0) // 4
    flash = known.flash + STEP_FLASH * steps + CHANNEL_FLASH * channels
    return known._replace(memory=known.memory + STEP_MEMORY * steps, flash=flash)


def fits_of(predictor: Predictor, report: CostReport) -> tuple[Fit, ...]:
    """What the model needs of the device's memory, and of its flash if that holds the weights."""
    report = predictor.as_run(report)
    took, available = runtime_of(predictor, report), _whole(predictor.figure("memory"))
    weights, activations = report.memory.weight_bytes, activations_of(predictor, report)
    if keeps_weights_in_flash(predictor.figure):
        flash = Fit("flash", {"weights": weights, "code": took.flash}, _whole(predictor.figure("flash")))
        return (flash, Fit("memory", {"activations": activations, "runtime": took.memory}, available))
    if predictor.part_of(demand_of(report).dtype) == "cpu" and predictor.kind != "microcontroller":
        return (Fit("memory", memory_on_cpu(report, predictor.block), available),)
    return (Fit("memory", {"weights": weights, "activations": activations, "runtime": took.memory}, available),)


def activations_of(predictor: Predictor, report: CostReport) -> int:
    """The peak of the activations in bytes, as far as they are known.

    Runtimes of microcontrollers do not write a sum over its residual: Vela needs exactly these bytes more than onnxruntime.
    What is not a CPU has kernels for float16.
    """
    if predictor.kind == "microcontroller":
        return _with_sums_apart(Same(report))
    graph = report.graph
    if any(tensor.dtype == "float16" for tensor in (*graph.inputs, *graph.outputs, *graph.constants.values())):
        return _without_casts(Same(report))
    return report.memory.peak_activation_bytes or 0


@lru_cache(maxsize=32)
def _without_casts(key: Same) -> int:
    try:
        return plan_memory(key.report.graph, casts=False).peak.nbytes
    except UnknownShape:
        return 0


@lru_cache(maxsize=32)
def _with_sums_apart(key: Same) -> int:
    try:
        return least_activation_bytes(key.report.graph, {operator: place for operator, place in IN_PLACE.items() if not place})
    except UnknownShape:
        return 0


def memory_on_cpu(report: CostReport, block: int = BLOCK) -> Mapping[str, int]:
    """The peak memory of a process with onnxruntime, by purpose: "weights" are those in memory, "copies" what it holds beyond
    them and the peak of the activations; ``block`` as for ``plan_memory``.
    """
    weights, activations = report.memory.weight_bytes, report.memory.peak_activation_bytes or 0
    try:
        process = process_of(report, block)
        weights, activations = min(weights, process.running.weights), process.running.first
        copies = max(process.peak - weights - activations, 0)
    except UnknownShape:
        copies = 0
    return {"weights": weights, "activations": activations, "copies": copies, "runtime": RUNTIMES["cpu"].memory}


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)


def cache_of(predictor: Predictor, report: CostReport) -> Cache | None:
    """The KV cache, and how large it can become in the device's memory; None for a model without one.

    It is assumed that the past and the present share a buffer, and that the other activations do not change.
    """
    pairs = [pair for pair in find_cache_pairs(predictor.as_run(report).graph) if pair.kind == KV and pair.present is not None]
    if not pairs:
        return None
    batch, context = batch_of(report.graph), max(pair.held.shape[pair.axis] for pair in pairs)
    token = sum(pair.position_bytes for pair in pairs) / batch
    cache = Cache(round(token), batch, context)
    fit = next(fit for fit in fits_of(predictor, report) if fit.what == "memory")
    if fit.available is None or not token:
        return cache
    held = sum(nbytes(pair.past) + nbytes(pair.held) for pair in pairs)
    rest = max(fit.parts["activations"] - held, 0)
    left = fit.available - (fit.needed - fit.parts["activations"])
    return cache._replace(
        most_context=max(int((left - rest) // (token * batch)), 0),
        most_batch=max(int(left // (token * context + rest / batch)), 0),
    )
