"""The facts and the sums of a report as labelled text, for the terminal and for Markdown."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePath
from typing import NamedTuple

from onnxcost.graph import Graph, Tensor
from onnxcost.render.glyphs import Glyphs
from onnxcost.render.units import binary, exact, plural, ratio, shape, si
from onnxcost.render.view import View, other_conventions, reasons
from onnxcost.report import CostReport

MOST_TENSORS = 6
MOST_REASONS = 8


class Entry(NamedTuple):
    """One line of the summary: ``number`` and ``unit`` apart, so that they can be aligned, and a ``note`` behind them."""

    label: str
    number: str
    unit: str = ""
    note: str = ""


def title(graph: Graph) -> str:
    """The file's name; the graph's for a model that came from no file."""
    return PurePath(graph.path).name or graph.name or "model"


def facts(graph: Graph) -> list[str]:
    """What is known about the model before anything is counted: graph, producer, opsets, size of the file."""
    used = {node.domain for node in graph.nodes}
    opsets = [f"{domain or 'opset'} {version}" for domain, version in sorted(graph.opsets.items()) if domain in used]
    name = graph.name if graph.path else ""
    size = f"{binary(graph.file_bytes)} file" if graph.file_bytes else ""
    return [fact for fact in (name, graph.producer, ", ".join(opsets), size) if fact]


def tensors(values: Iterable[Tensor], glyphs: Glyphs) -> list[tuple[str, str]]:
    """(name, dtype and shape) of the first few; a last pair says how many more there are."""
    all_values = list(values)
    listed = all_values if len(all_values) <= MOST_TENSORS + 1 else all_values[:MOST_TENSORS]
    lines = [(tensor.name, f"{tensor.dtype} {shape(tensor, glyphs.times)}") for tensor in listed]
    return lines + ([(f"and {len(all_values) - len(listed)} more", "")] if len(listed) < len(all_values) else [])


def dims(graph: Graph, source: str) -> list[str]:
    """The open dims that were given or assumed, ``batch = 1``; an assumed one with the option that changes it."""
    return [
        f"{dim.name} = {dim.value}" + (f" ({dim.option})" if source == "assumed" else "")
        for dim in graph.dims
        if dim.source == source
    ]


def quantity(label: str, text: str, note: str = "", *, bound: str = "") -> Entry:
    """An entry of a number with its unit, ``97.49 MiB``."""
    number, _, unit = text.partition(" ")
    return Entry(label, bound + number, unit, note)


def _weights_note(report: CostReport) -> str:
    by_dtype = report.memory.weight_bytes_by_dtype
    if len(by_dtype) == 1:
        return next(iter(by_dtype))
    dearest_first = sorted(by_dtype.items(), key=lambda item: -item[1])
    return ", ".join(f"{dtype} {binary(size)}" for dtype, size in dearest_first)


def _peak(peak: int | None, bound: str) -> Entry:
    if peak is None:
        return Entry("Activations", "unknown", "", "while a shape is open")
    return quantity("Activations", binary(peak), "at their peak", bound=bound)


def _nodes(report: CostReport) -> Entry:
    uncounted = len(report.uncounted)
    counted = f"{exact(len(report.costs) - uncounted)} counted, {exact(uncounted)} not" if uncounted else "all counted"
    return Entry("Nodes", exact(len(report.costs)), "", counted)


def summary(report: CostReport, view: View, glyphs: Glyphs) -> list[Entry]:
    """The totals. What is no exact number but a bound says so: while a node is uncounted, or data decides a shape."""
    memory, traffic = report.memory, report.whole.traffic
    bound = glyphs.bound(report.bound)
    least = bound.strip() + " " if bound else ""
    own = [(view.convention.name, report.total(view.convention))] if view.has_own_count else []
    statistics = f", and {exact(memory.running_statistics)} running statistics" if memory.running_statistics else ""
    return [
        *(quantity(name, si(total), least + exact(total), bound=bound) for name, total in counts(report) + own),
        quantity("Parameters", si(memory.parameters), least + exact(memory.parameters) + statistics, bound=bound),
        quantity("Weights", binary(memory.weight_bytes), _weights_note(report), bound=bound),
        _peak(memory.peak_activation_bytes, bound),
        quantity(
            "Traffic",
            binary(traffic.total),
            f"{binary(traffic.read_bytes)} read, {binary(traffic.write_bytes)} written",
            bound=bound,
        ),
        quantity(
            "Intensity", ratio(report.intensity), "FLOPs per byte" + ("" if report.complete else ", of the counted nodes")
        ),
        _nodes(report),
    ]


def counts(report: CostReport) -> list[tuple[str, int]]:
    """The two counts that every output has."""
    return [("MACs", report.macs), ("FLOPs", report.flops)]


def conventions(report: CostReport, view: View, glyphs: Glyphs) -> list[str]:
    """The same model under the other conventions, ``torch 8.178 G``."""
    bound = glyphs.bound(report.bound)
    return [f"{name} {bound}{si(total)}" for name, total in other_conventions(report, view)]


def types(report: CostReport, view: View) -> list[str]:
    """The convention's number by the type it is computed in, ``int8 3.629 G``; nothing where float32 has (nearly) all."""
    counts = {group.key[0]: group.total(view.convention) for group in report.by_dtype()}
    total = sum(counts.values())
    shown = sorted(((count, dtype) for dtype, count in counts.items() if 1000 * count > total), reverse=True)
    return [f"{dtype} {si(count)}" for count, dtype in shown] if {dtype for _, dtype in shown} - {"float32"} else []


def not_counted(report: CostReport, glyphs: Glyphs) -> list[str]:
    """A sentence, then one line for each operator and reason; nothing where all was counted."""
    if report.complete:
        return []
    found = reasons(report)
    lines = [f"{number} {glyphs.times} {op_type}: {reason}" for number, op_type, reason in found[:MOST_REASONS]]
    more = (
        [f"and {plural(len(found) - MOST_REASONS, 'more reason')} (--format json has them all)"] if found[MOST_REASONS:] else []
    )
    which = f"{exact(len(report.uncounted))} of {plural(len(report.costs), 'node')}"
    return [f"Not counted: {which}, so every total is a lower bound", *lines, *more]
