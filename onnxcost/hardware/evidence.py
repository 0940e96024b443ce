"""The latency of a model with a runtime on a device, estimated from the nearest published measurements.

A fit is for a runtime and a type: the time is ``level × sum(coefficient × term)``, where a term is the work of a kind at the
device's peak, bytes at its bandwidth, or the number of steps. The level is specific to the device and comes from its published
figures. Bands contain 90 % of the errors of figures that were left out of the fit. scripts/evidence/fit.py writes
evidence.json.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import resources
from math import exp, inf, log, prod
from statistics import median
from typing import NamedTuple

from onnxcost.graph import BITS
from onnxcost.hardware.backends import BACKENDS, SAME_AS, Backend, PeakRates, backends_of, isa_of, peaks_of, rates_of
from onnxcost.hardware.catalogue import catalogue
from onnxcost.hardware.device import Device
from onnxcost.hardware.prediction import Estimate, Prediction
from onnxcost.hardware.roofline import Roofline, on_chip
from onnxcost.hardware.workload import WorkloadStep, demand_of
from onnxcost.operators.traits import CONVOLUTIONS, RECURRENT
from onnxcost.ort_optimizer.quantities import weight_of
from onnxcost.report import CostReport


class Counts(NamedTuple):
    """The quantities that the time of a model depends on: MACs by kind of contraction, elements of weights and activations, and
    steps.

    ``winograd`` are those of 3×3 convolutions with stride 1, for which Winograd's algorithm needs fewer multiplications.
    """

    winograd: float = 0.0
    convolution: float = 0.0
    pointwise: float = 0.0
    depthwise: float = 0.0
    matmul: float = 0.0
    weights: float = 0.0
    activations: float = 0.0
    steps: float = 0.0

    @property
    def macs(self) -> float:
        """All multiply-accumulates."""
        return sum(self[:5])


def count(report: CostReport) -> Counts:
    """The counts of one inference."""
    found = dict.fromkeys(Counts._fields, 0.0)
    for step in demand_of(report).steps:
        size = BITS.get(step.dtype, 32) / 8
        if step.macs:
            found[kind_of(step)] += step.times * step.macs
        found["weights"] += step.times * step.weights / size
        found["activations"] += step.times * step.activations / size
        found["steps"] += step.times
    return Counts(**found)


def kind_of(step: WorkloadStep) -> str:
    """The kind of the step's contraction: a field of Counts."""
    node = step.node
    if step.is_depthwise:
        return "depthwise"
    if node.key not in CONVOLUTIONS and node.op_type != "ConvTranspose":
        return "matmul"
    _, channels, *window = node.required(weight_of(node)).shape
    if prod(window) == 1:
        return "pointwise"
    attributes = node.attributes
    moves = {*attributes.get("strides", (1,)), *attributes.get("dilations", (1,)), attributes.get("group", 1)}
    is_direct = node.key not in CONVOLUTIONS or window != [3, 3] or moves != {1} or channels < LEAST_CHANNELS
    return "convolution" if is_direct else "winograd"


LEAST_CHANNELS = 8
"""With fewer input channels runtimes multiply directly: the transforms would cost more than they save."""


def terms(counts: Counts, rates: PeakRates) -> list[float]:
    """Seconds at the peak by kind of contraction, at the bandwidth for weights and for activations, and 1 µs for each step."""
    size = BITS.get(rates.dtype, 32) / 8
    work = [2 * macs / rates.peak for macs in counts[:5]]
    return [*work, size * counts.weights / rates.bandwidth, size * counts.activations / rates.bandwidth, 1e-6 * counts.steps]


class Band(NamedTuple):
    """The range of most logarithms of measured over estimated times.

    ``by_device`` and ``by_family`` are the shares of figures inside the band of the others, with all figures of their device or
    of their architecture family left out; None if there is only one device or family.
    """

    low: float
    high: float
    by_device: float | None
    by_family: float | None

    @property
    def coverage(self) -> float | None:
        """The mean of both shares."""
        known = [share for share in (self.by_device, self.by_family) if share is not None]
        return sum(known) / len(known) if known else None


class LatencyFit(NamedTuple):
    """The fit of a runtime, a type and the instructions of a CPU.

    ``coefficients`` are logarithms, by the terms, ``bands`` by the evidence (prediction.BASES), and ``models`` the usual error
    of models that were run on several devices. ``points`` and ``devices`` are the numbers of fitted figures and devices,
    ``macs`` are those of its smallest and largest model, and ``most`` is the largest share of the time of any model, by term.
    """

    coefficients: tuple[float, ...]
    bands: Mapping[str, Band] = {}
    models: Mapping[str, float] = {}
    points: int = 0
    devices: int = 0
    macs: tuple[float, float] = (0.0, inf)
    most: tuple[float, ...] = (1.0,) * len(Counts._fields)

    def covers(self, counts: Counts, rates: PeakRates) -> bool:
        """Whether a model is similar to those of the fit: neither much larger nor smaller, and with the same kinds of work."""
        least, most = self.macs
        is_similar = all(share < top + BEYOND for share, top in zip(self.shares(counts, rates), self.most, strict=True))
        return least / FAR < counts.macs < most * FAR and is_similar

    def log_seconds(self, counts: Counts, rates: PeakRates) -> float:
        """The logarithm of the time at the level of the median device."""
        times = terms(counts, rates)
        return log(sum(exp(each) * time for each, time in zip(self.coefficients, times, strict=True)) or 1e-12)

    def shares(self, counts: Counts, rates: PeakRates) -> list[float]:
        """The share of each term in the time."""
        parts = [exp(each) * time for each, time in zip(self.coefficients, terms(counts, rates), strict=True)]
        return [part / (sum(parts) or 1.0) for part in parts]


BEYOND = 0.3
"""How much more of its time a model may spend on one kind of work than any model of a fit."""
FAR = 3.0
"""How many times larger or smaller than all models of a fit a model may be."""


class Reference(NamedTuple):
    """A model that has published figures: its counts, and the longest side of its input; 0 if only a benchmark has it."""

    counts: Counts
    side: int


@dataclass(frozen=True, slots=True)
class Evidence:
    """The data of evidence.json.

    ``fits`` are by runtime, type and instructions. ``figures`` are seconds by device, by runtime and type, by model, and
    ``sources`` name the document of each device and runtime.
    """

    fits: Mapping[tuple[str, str, str], LatencyFit]
    models: Mapping[str, Reference]
    figures: Mapping[str, Mapping[str, Mapping[str, float]]]
    sources: Mapping[str, Mapping[str, str]]

    def recognize(self, counts: Counts, side: int) -> str:
        """The name of the published model with these counts, "" for a model without published figures."""
        found = ((distance(counts, each.counts), name) for name, each in self.models.items() if each.side == side)
        closest, name = min(found, default=(1.0, ""))
        return name if closest < SAME else ""


SAME = 0.03
"""Models are considered equal if the MACs by kind, and the weights, differ by less than this share in sum."""


def distance(counts: Counts, other: Counts) -> float:
    """The summed difference of the kinds as a share of the MACs, or that of the weights."""
    macs = sum(abs(one - two) for one, two in zip(counts[:5], other[:5], strict=True))
    weights = abs(counts.weights - other.weights) / max(counts.weights, other.weights, 1.0)
    return max(macs / max(counts.macs, 1.0), weights)


@cache
def evidence() -> Evidence:
    """The evidence in the package."""
    document = json.loads(resources.files(__package__).joinpath("evidence.json").read_text("utf-8"))
    fits = {}
    for entry in document["fits"]:
        bands = {kind: Band(*band) for kind, band in entry["bands"].items()}
        fits[entry["runtime"], entry["dtype"], entry["isa"]] = LatencyFit(
            tuple(entry["coefficients"]), bands, entry["models"], entry["points"], entry["devices"], tuple(entry["macs"]),
            tuple(entry["most"]),
        )  # fmt: skip
    models = {name: Reference(Counts(*counts), side) for name, (side, *counts) in document["models"].items()}
    return Evidence(fits, models, document["figures"], document["sources"])


class Asked(NamedTuple):
    """The model to estimate: its counts, its type, and its name if it has published figures."""

    counts: Counts
    dtype: str
    name: str = ""


def ask(report: CostReport) -> Asked:
    """The model of a report; without counts if it has many recurrent layers, for which there are no published figures."""
    recurrent = sum(cost.work.macs for cost in report.counted if cost.node.op_type in RECURRENT)
    counts = count(report)
    if recurrent > LEAST_RECURRENT * counts.macs:
        return Asked(Counts(), "")
    sides = [side for tensor in report.graph.inputs if tensor.is_shaped for side in tensor.shape]
    return Asked(counts, demand_of(report).dtype, evidence().recognize(counts, max(sides, default=0)))


LEAST_RECURRENT = 0.1
"""The share of the MACs from which on recurrent layers count."""


def list_estimates(device: Device, asked: Asked, anchors: Mapping[str, float], runtime: str = "") -> Iterator[Estimate]:
    """An estimate for each runtime of the device with evidence, or only for ``runtime``.

    ``anchors`` are seconds that the user has measured on the device, by the name of a published model.
    """
    for name in backends_of(device) if asked.counts.macs else ():
        if runtime in ("", name) and (rates := rates_of(device, name, asked.dtype)):
            yield from _estimate(device, name, rates, asked, anchors)


def _estimate(device: Device, name: str, rates: PeakRates, asked: Asked, anchors: Mapping[str, float]) -> Iterator[Estimate]:
    """The tightest estimate of a runtime; none without a fit, and none for a compiled NPU without known figures."""
    known, backend, kept_as = evidence(), BACKENDS[name], SAME_AS.get(name, name)
    dtype = {"tf32": "float32"}.get(rates.dtype, rates.dtype)
    fit = known.fits.get((kept_as, dtype, isa_of(device, backend.part)))
    if fit is None or not fit.covers(asked.counts, rates):
        return
    key = f"{kept_as} {dtype}"
    home = find_twin(device, key)
    published = {} if anchors else known.figures.get(home, {}).get(key, {})
    figures = {model: seconds for model, seconds in (anchors or published).items() if model in known.models}
    bound = least_seconds(device, backend, rates, asked.counts)
    source = known.sources.get(home, {}).get(kept_as, "") if published else ""
    found = []
    for kind, center, detail in _centers(fit, known, backend.part, rates, asked, figures):
        if kind in fit.bands:
            band = fit.bands[kind]
            low, high = max(exp(center + band.low), bound), max(exp(center + band.high), bound)
            text = detail.replace("this device's", "your") if anchors else detail
            found.append(Estimate(
                name, asked.dtype, rates.dtype, low, high, kind, bound, backend.has_winograd, text, source, band.coverage
            ))  # fmt: skip
    if found:
        yield min(found, key=lambda each: (each.evidence != "published", each.high / each.low))


def _centers(
    fit: LatencyFit, known: Evidence, part: str, rates: PeakRates, asked: Asked, figures: Mapping[str, float]
) -> Iterator[tuple[str, float, str]]:
    """The available kinds of evidence, each with the logarithm of the expected seconds, and what was used."""
    if asked.name in figures:
        yield (
            "published",
            log(figures[asked.name]),
            f"this device's result for {asked.name}: {1e3 * figures[asked.name]:.3g} ms",
        )
        return
    center, own = fit.log_seconds(asked.counts, rates), fit.models.get(asked.name)
    errors = {model: log(figures[model]) - fit.log_seconds(known.models[model].counts, rates) for model in figures}
    others = f"{asked.name} on other devices"
    if own is not None and errors:
        ratio = median(error - fit.models.get(model, 0.0) for model, error in errors.items())
        yield "sister", center + own + ratio, f"{others}, and this device's {_plural(len(errors))} for other models"
    if errors:
        near = {model: nearness(fit, rates, asked.counts, known.models[model].counts) for model in errors}
        level = sum(near[model] * error for model, error in errors.items()) / sum(near.values())
        nearest = ", ".join(sorted(near, key=near.__getitem__)[: -NAMED - 1 : -1])
        kind = "single" if len(errors) == 1 and "single" in fit.bands else "nearest" if part == "npu" else "anchored"
        yield kind, center + level, f"this device's {_plural(len(errors))} for other models, the most similar being {nearest}"
        return
    if part == "npu":
        return
    if own is not None:
        yield "known", center + own, others
    yield "fitted", center, f"{_plural(fit.points)} on {fit.devices} other devices"


NAMED = 2
"""The number of nearest models that are named."""
REACH = 0.4
"""How fast a figure loses weight with the distance of its model (``nearness``): by a factor of e over this distance."""
PER_SIZE = 0.3
"""The distance between models if one takes e times as long as the other."""


def nearness(fit: LatencyFit, rates: PeakRates, counts: Counts, other: Counts) -> float:
    """The weight of another model's figure: by how similar the two are in their shares of time and in their times."""
    apart = sum(abs(one - two) for one, two in zip(fit.shares(counts, rates), fit.shares(other, rates), strict=True))
    apart += PER_SIZE * abs(fit.log_seconds(counts, rates) - fit.log_seconds(other, rates))
    return exp(-apart / REACH)


def _plural(figures: int) -> str:
    return f"{figures} figure{'s' if figures > 1 else ''}"


def find_twin(device: Device, key: str) -> str:
    """The name of a device of the catalog with figures for the key, and with the same chip and memory; "" without one."""
    known = evidence().figures
    chip = device.bandwidth, peaks_of(device)
    for name in (device.name, *(name for name in known if name != device.name)):
        other = catalogue().get(name)
        if key in known.get(name, {}) and other is not None and chip == (other.bandwidth, peaks_of(other)):
            return name
    return ""


WINOGRAD = 324 / 64
"""By how much Winograd's algorithm reduces the multiplications of a 3×3 convolution, with tiles of 6×6 outputs, the largest in
use: 64 products instead of 6 · 6 · 9 (A. Lavin, S. Gray, Fast Algorithms for Convolutional Neural Networks, 2016).
"""


def least_seconds(device: Device, backend: Backend, rates: PeakRates, counts: Counts) -> float:
    """The least time of the multiplications at the peak and of reading the weights, except for those that the chip may keep."""
    part = device.parts[backend.part]
    peak = max(each.rate for each in part.peaks.values()) if backend.part == "npu" else rates.peak
    saved = counts.winograd * (1 - 1 / WINOGRAD) if backend.has_winograd else 0.0
    moved = counts.weights * BITS.get(rates.dtype, 32) / 8 - on_chip(device).most
    transfer = moved / device.bandwidth if device.bandwidth and moved > 0 else 0.0
    return max(2 * (counts.macs - saved) / (peak * part.headroom), transfer)


@dataclass(frozen=True, slots=True)
class Evidenced(Roofline):
    """Predicts latencies on a device of the catalog from published figures, or without any, by its roofline.

    ``runtime`` is the only one to use, "" for all. ``anchors`` are seconds that the user has measured on the device
    with it, by the names of published models.
    """

    runtime: str = ""
    anchors: Mapping[str, float] = field(default_factory=dict)

    def predict(self, report: CostReport) -> Prediction:
        """As for a roofline, with the estimates of the device's runtimes, which are for one item at a time."""
        found = Roofline(self.device).predict(report)
        if found.unsupported or found.batch > 1:
            return found
        known = tuple(list_estimates(self.device, ask(report), self.anchors, self.runtime))
        if self.runtime and not known:
            return replace(found, latency=None, missing=(f"figures of {self.runtime}",), runtime=self.runtime)
        return replace(found, estimates=known)
