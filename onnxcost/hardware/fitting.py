"""Whether a model fits the memory of a device: weights, live activations, what the runtime takes, and a decoder's cache."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import NamedTuple

from onnxcost.errors import UnknownShape
from onnxcost.graph import Graph, Tensor
from onnxcost.hardware.process import process_of
from onnxcost.hardware.steps import Same, demand_of, nbytes
from onnxcost.measuring.inputs.batch import batch_of
from onnxcost.memory import IN_PLACE, peak_activation_bytes
from onnxcost.prediction import Cache, Fit, Predictor
from onnxcost.report import CostReport

KI, MI = 2**10, 2**20


class Runtime(NamedTuple):
    """What a runtime takes beside the model: bytes of memory and of flash, and where the numbers are from."""

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
    "cloud npu": Runtime(350 * MI, 0, "as the GPUs; not checked"),
    "accelerator": Runtime(0, 0, "the runtime is in the host's memory"),
    "cpu": Runtime(72 * MI, 0, "measured: a Python process that has run a small model with onnxruntime 1.32"),
}
"""By the kind of the device and the part or the type that it computes in, by the kind, or by the part; what is none of these
is as "cpu".
"""
STEP_MEMORY, STEP_FLASH, CHANNEL_FLASH = 560, 610, 5
"""What a microcontroller's runtime takes besides: bytes for each step, and for a channel's scale and zero point. In another
family of models than they were fitted to, code is 5 KiB off in the median, and RAM 0.5 KiB.
"""


def runtime(predictor: Predictor, report: CostReport) -> Runtime:
    """What it takes on the device for the model of a report in the device's types."""
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
    """What the model needs of the device's memory, and of its flash where that holds the weights."""
    report = predictor.as_run(report)
    took, available = runtime(predictor, report), _whole(predictor.figure("memory"))
    weights, activations = report.memory.weight_bytes, activations_of(predictor, report)
    if has_flash(predictor):
        flash = Fit("flash", {"weights": weights, "code": took.flash}, _whole(predictor.figure("flash")))
        return (flash, Fit("memory", {"activations": activations, "runtime": took.memory}, available))
    if predictor.part_of(demand_of(report).dtype) == "cpu" and predictor.kind != "microcontroller":
        return (Fit("memory", needed_on_cpu(report), available),)
    return (Fit("memory", {"weights": weights, "activations": activations, "runtime": took.memory}, available),)


def activations_of(predictor: Predictor, report: CostReport) -> int:
    """Bytes of the activations at their peak, as far as they are known.

    Runtimes of microcontrollers do not write a sum over its residual: Vela takes just that much more than onnxruntime would.
    """
    if predictor.kind == "microcontroller":
        return _with_sums_apart(Same(report))
    return report.memory.peak_activation_bytes or 0


@lru_cache(maxsize=32)
def _with_sums_apart(key: Same) -> int:
    try:
        return peak_activation_bytes(key.report.graph, {operator: place for operator, place in IN_PLACE.items() if not place})
    except UnknownShape:
        return 0


def needed_on_cpu(report: CostReport) -> Mapping[str, int]:
    """What a process with onnxruntime takes at its peak; "copies" is what it holds of weights and activations beside the least
    that there must be of them.
    """
    weights, activations = report.memory.weight_bytes, report.memory.peak_activation_bytes or 0
    try:
        copies = max(process_of(report).peak - weights - activations, 0)
    except UnknownShape:
        copies = 0
    return {"weights": weights, "activations": activations, "copies": copies, "runtime": RUNTIMES["cpu"].memory}


def has_flash(predictor: Predictor) -> bool:
    """Whether the weights stay in a flash."""
    return predictor.figure("flash") is not None or predictor.figure("flash_bandwidth") is not None


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)


_CACHED = r"past|cache|present"
_TELLING = r"past_key_values?|present_key_values?|past|present|updated|new|next|prev|inputs?|outputs?|in|out|cache"


class Pair(NamedTuple):
    """An input with what is cached, the output that it comes back as, and the axis along which it grows by each token."""

    past: Tensor
    present: Tensor
    axis: int

    @property
    def token_bytes(self) -> float:
        """Bytes per token, of all sequences."""
        return nbytes(self.present) / max(self.present.shape[self.axis], 1)


def cached_pairs(graph: Graph) -> list[Pair]:
    """The inputs whose contents come back as an output, with the new tokens' keys or values behind them."""
    presents = {_role(tensor.name): tensor for tensor in graph.outputs if re.search(_CACHED, tensor.name, re.IGNORECASE)}
    pasts = (tensor for tensor in graph.inputs if re.search(_CACHED, tensor.name, re.IGNORECASE))
    return [pair for past in pasts for pair in _pair(past, presents.get(_role(past.name)))]


def _role(name: str) -> str:
    """The name without what says which of the two it is: ``past_key_values.0.key`` and ``present.0.key`` are both ``0 key``."""
    words = re.sub(rf"(?i)(?<![a-z])({_TELLING})(?![a-z])", " ", name)
    return " ".join(re.findall(r"[A-Za-z]+|\d+", words)).lower()


def _pair(past: Tensor, present: Tensor | None) -> Iterator[Pair]:
    if (
        present is None
        or past.dtype != present.dtype
        or not (past.is_shaped and present.is_shaped)
        or past.rank != present.rank
    ):
        return
    grown = [axis for axis, sizes in enumerate(zip(past.shape, present.shape, strict=True)) if sizes[0] != sizes[1]]
    if past.rank >= 3 and len(grown) <= 1:
        yield Pair(past, present, grown[0] if grown else past.rank - 2)


def cache_of(predictor: Predictor, report: CostReport) -> Cache | None:
    """The cache of keys and values, and how far the device's memory goes; None for a model that has none.

    The past and the present are taken to share a buffer, and the other activations to stay as they are.
    """
    pairs = cached_pairs(predictor.as_run(report).graph)
    if not pairs:
        return None
    batch, context = batch_of(report.graph), max(pair.present.shape[pair.axis] for pair in pairs)
    token = sum(pair.token_bytes for pair in pairs) / batch
    cache = Cache(round(token), batch, context)
    fit = next(fit for fit in fits_of(predictor, report) if fit.what == "memory")
    if fit.available is None or not token:
        return cache
    held = sum(nbytes(pair.past) + nbytes(pair.present) for pair in pairs)
    rest = max(fit.parts["activations"] - held, 0)
    left = fit.available - (fit.needed - fit.parts["activations"])
    return cache._replace(
        most_context=max(int((left - rest) // (token * batch)), 0),
        most_batch=max(int(left // (token * context + rest / batch)), 0),
    )
