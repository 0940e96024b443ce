"""How a device's figures are computed, and the command that verifies them."""

from __future__ import annotations

from collections.abc import Iterator
from shlex import quote

from onnxcost.hardware.budget import Assessment
from onnxcost.hardware.device import PARTS, Device, Figure
from onnxcost.hardware.memory_fit import runtime_of
from onnxcost.hardware.prediction import BASES, Estimate, Interval, NodeTime, Prediction, Predictor, Verdict
from onnxcost.hardware.roofline import Bound, Range, Roofline, efficiency, lower_bound, products
from onnxcost.hardware.workload import Demand, demand_of
from onnxcost.render.budget import budget_lines
from onnxcost.render.devices import cite
from onnxcost.render.escaping import plain
from onnxcost.render.formats import TableField, build_table, table_lines
from onnxcost.render.layout import INDENT, Column, Line, Screen, spell_out_all, wrap
from onnxcost.render.units import binary, plural, rate, seconds, si
from onnxcost.render.verdict import LIMITED, interval_text, latency_text, rough_text

SLOWEST = 8
LABEL = 10
PROVIDERS = {
    ("cpu", ""): "cpu", ("gpu", "NVIDIA"): "cuda", ("dla", "NVIDIA"): "tensorrt", ("gpu", "AMD"): "migraphx",
    ("gpu", "Intel"): "openvino", ("npu", "Intel"): "openvino", ("gpu", "Apple"): "coreml", ("npu", "Apple"): "coreml",
}  # fmt: skip
"""onnxruntime's provider for a part of a vendor; its CPU provider runs on all CPUs."""


def explanation_lines(assessment: Assessment, predictor: Predictor, options: str, screen: Screen) -> list[Line]:
    """The verdict, and how each of its figures is computed."""
    verdict = assessment.verdicts[0]
    lines = budget_lines(assessment, screen)
    for label, texts in _sections(assessment, predictor, verdict, options):
        lines.append(())
        for text in texts:
            for part in wrap(plain(text), screen.width - INDENT - LABEL, indent="  "):
                lines.append(((f"  {'' if lines[-1] else label:<{LABEL}}", "label"), (part, "")))
    if verdict.prediction.nodes:
        nodes = sorted(verdict.prediction.nodes, key=lambda node: -node.span.high)[:SLOWEST]
        lines += [(), *table_lines(build_table(NODES, nodes, screen), screen)]
    return spell_out_all(lines, screen.glyphs)


def _sections(assessment: Assessment, predictor: Predictor, verdict: Verdict, options: str) -> Iterator[tuple[str, list[str]]]:
    prediction = verdict.prediction
    report = predictor.as_run(assessment.report)
    demand, took = demand_of(report), runtime_of(predictor, report)
    device = predictor.device if isinstance(predictor, Roofline) else None
    if estimate := prediction.estimate:
        products = "by Winograd's algorithm where it applies" if estimate.has_winograd else "computed directly"
        yield "Bound", [f"{seconds(estimate.bound)}: {BASES['bound']}, in {estimate.dtype}, products {products}"]
    elif device and prediction.bound is not None:
        yield "Bound", list(_bound(device, demand, lower_bound(device, demand)))
    if prediction.latency:
        yield "Latency", list(_latency(device, demand, verdict))
    memory = []
    for fit in verdict.fits:
        parts = " + ".join(f"{binary(size)} {what}" for what, size in fit.parts.items())
        there = "the device's memory is unknown" if fit.available is None else f"of {binary(fit.available)}"
        memory.append(f"{fit.what}: {parts} = {binary(fit.needed)}, {there} ({fit.basis})")
    yield "Memory", [*memory, f"the runtime: {took.reasoning}"]
    if verdict.cache:
        cache = verdict.cache
        text = f"{binary(cache.token_bytes)} per token and sequence × {cache.context:,} tokens = {binary(cache.sequence_bytes)}"
        yield "Cache", [f"{text} per sequence, stored once if the runtime lets past and present share a buffer"]
    if verdict.energy and verdict.power and prediction.latency:
        product = f"{rough_text(verdict.power)} W × {seconds(prediction.latency.high)} = {rough_text(verdict.energy)} J"
        yield "Energy", [f"at most {product}: an upper bound, assuming full power all the time"]
    yield "Verify", [_verification(assessment, predictor, demand, options)]
    if prediction.notes:
        yield "Note", list(prediction.notes)


def _evidence(prediction: Prediction, estimate: Estimate) -> Iterator[str]:
    """The evidence for the latency, and what is known about other runtimes."""
    yield f"{estimate.detail}{f' ({estimate.source})' if estimate.source else ''}"
    if estimate.coverage is not None:
        yield f"{100 * estimate.coverage:.0f} % of held-out results lie inside such a range"
    for other in prediction.estimates:
        if other is not estimate:
            span = latency_text(Interval(other.low, other.high, other.evidence))
            yield f"with {other.runtime}: {span}, {other.dtype}, {other.evidence}"


def _bound(device: Device, demand: Demand, bound: Bound) -> Iterator[str]:
    """How the bound is computed."""
    yield f"{seconds(bound.seconds)}, the longer of the two: {BASES['bound']}, products computed directly"
    for dtype, macs in demand.macs.items():
        peak, total = products(device, dtype), bound.rates[dtype]
        assert peak is not None
        others = " with all its parts at their highest clocks" if total > 1.001 * peak.rate else ""
        speed = rate(total, "OP/s" if peak.dtype.startswith("int") else "FLOP/s")
        yield f"work: 2 × {si(macs)} MACs of {dtype} / {speed}{others} = {seconds(2 * macs / total)}"
        yield f"peak: {PARTS[peak.part]}, {peak.dtype}, {_figure(peak.figure)}"
    if device.bandwidth is None:
        yield "traffic: not included, because the bandwidth is unknown"
        return
    what = "weights" if bound.moved == demand.operands else "weights, inputs and outputs"
    kept = f", less {binary(bound.kept)} that may stay on the chip," if bound.kept else ""
    yield f"traffic: {binary(bound.moved)} of {what}{kept} = {seconds(bound.transfer)}"
    yield f"bandwidth: {rate(device.bandwidth, 'B/s')}, {_figure(device.figures['bandwidth'])}"


def _figure(figure: Figure) -> str:
    """The basis of a device's figure, its derivation and its source."""
    return ", ".join(filter(None, (figure.basis, figure.how, cite(figure.source))))


def _latency(device: Device | None, demand: Demand, verdict: Verdict) -> Iterator[str]:
    prediction = verdict.prediction
    latency = prediction.latency
    assert latency is not None
    kinds = prediction.nodes_by_limit
    with_runtime = f" with {prediction.runtime}" if prediction.runtime else ""
    yield f"{latency_text(latency)}{with_runtime}, {latency.basis}: {BASES[latency.basis]}"
    if estimate := prediction.estimate:
        yield from _evidence(prediction, estimate)
    if device is None or estimate:
        return
    part = next((peak.part for dtype in demand.macs if (peak := products(device, dtype))), next(iter(device.parts)))
    shares = efficiency(device, part)
    yield (
        f"{plural(len(prediction.nodes), 'step')}, each a node with the elementwise ones after it: "
        f"{kinds.get('compute', 0)} are compute-bound, {kinds.get('memory', 0)} memory-bound"
    )
    ranges = (shares.products, shares.depthwise, shares.traffic)
    dense, depthwise, traffic = (f"{100 * each.worst:.0f}–{100 * each.best:.0f} %" for each in ranges)
    yield (
        f"products at {dense} of the peak (depthwise {depthwise}), traffic at {traffic} of the bandwidth, "
        f"{range_text(shares.start)} to launch a step"
    )
    yield f"these shares: {shares.reasoning}"


def range_text(range_: Range) -> str:
    """``1–20 µs``."""
    return f"{rough_text(1e6 * range_.best)}–{rough_text(1e6 * range_.worst)} µs"


def _verification(assessment: Assessment, predictor: Predictor, demand: Demand, options: str) -> str:
    """The command that measures it on the device itself."""
    part = predictor.part_of(demand.dtype)
    vendor = predictor.device.vendor if isinstance(predictor, Roofline) else ""
    provider = PROVIDERS.get((part, vendor)) or PROVIDERS.get((part, ""))
    if predictor.kind == "microcontroller" or provider is None:
        return "onnxruntime has no provider for this device: use the vendor's compiler for cycles and memory"
    return f"onnxcost measure {quote(assessment.label)}{options} --provider {provider}   (on the device)"


NODES: tuple[TableField[NodeTime, Screen], ...] = (
    (Column("Most expensive steps", right=False, style="name", shrinks_to=16), lambda node, _: node.name),
    (Column("Operator", right=False, shrinks_to=8), lambda node, _: node.op_type + (f" +{node.merged}" if node.merged else "")),
    (Column("Type", right=False, drop=2), lambda node, _: node.dtype),
    (Column("At peak, µs"), lambda node, _: rough_text(1e6 * node.compute)),
    (Column("At bandwidth", drop=1), lambda node, _: "–" if node.transfer is None else rough_text(1e6 * node.transfer)),
    (Column("Expected, µs"), lambda node, _: interval_text(node.span, 1e6)),
    (Column("Limited by", right=False, drop=3), lambda node, _: LIMITED[node.limit]),
)
