"""A report as terminal text, Markdown, CSV, JSON and HTML: the totals, what is not counted, and the tables."""

from __future__ import annotations

from collections import Counter

from onnxcost.conventions import CONVENTIONS, FLOPS, MACS
from onnxcost.estimator import NO_FORMULA
from onnxcost.graph import UNKNOWN_SHAPE, option_text
from onnxcost.render.escaping import html, markdown, plain
from onnxcost.render.formats import (
    Entry,
    csv_text,
    entries_html,
    entries_markdown,
    entry_lines,
    header_blocks,
    header_lines,
    heading_html,
    join_blocks,
    label_of,
    model_facts,
    model_title,
    quantity_entry,
    space_blocks,
    table_html,
    table_lines,
    table_markdown,
)
from onnxcost.render.layout import UNICODE, Glyphs, Line, Screen, wrap, wrap_pieces
from onnxcost.render.tables import View, group_table, module_rows, node_rows, node_table
from onnxcost.render.units import binary, count_text, exact, plural, ratio, shape, si
from onnxcost.report import CostReport, record_of


def reasons(report: CostReport) -> list[tuple[int, str, str]]:
    """(number, operator, reason) of the nodes that are not counted, the most frequent first, with the option that helps."""
    shapes = {
        UNKNOWN_SHAPE.format(name=tensor.name): f" ({option_text('--shape', tensor.name, '1x8')})"
        for cost in report.uncounted
        for tensor in (cost.node.outputs if cost.reason.startswith(NO_FORMULA) else ())
        if tensor is not None
    }

    def remedy(reason: str) -> str:
        return " (--formulas FILE.py)" if reason.startswith(NO_FORMULA) else shapes.get(reason, "")

    groups = Counter((cost.node.key, cost.reason + remedy(cost.reason)) for cost in report.uncounted)
    return [(number, *key) for key, number in groups.most_common()]


def other_conventions(report: CostReport, view: View) -> list[tuple[str, int]]:
    """(name, total) under each convention that the summary does not show."""
    shown = {FLOPS.name, MACS.name, view.convention.name}
    return [(name, report.total(convention)) for name, convention in CONVENTIONS.items() if name not in shown]


MOST_REASONS = 8


def _weights_note(report: CostReport) -> str:
    by_dtype = report.memory.weight_bytes_by_dtype
    if len(by_dtype) == 1:
        return next(iter(by_dtype))
    largest_first = sorted(by_dtype.items(), key=lambda item: -item[1])
    return ", ".join(f"{dtype} {binary(size)}" for dtype, size in largest_first)


def summary_entries(report: CostReport, view: View, glyphs: Glyphs) -> list[Entry]:
    """The totals. Bounds are marked: if a node is uncounted, or data decides a shape."""
    memory, traffic = report.memory, report.whole.traffic
    bound = glyphs.bound(report.bound)
    stored = "" if report.has_all_weights else glyphs.at_least
    own = [(view.convention.name, view.convention)] if view.has_own_count else []
    nodes, uncounted, peak = len(report.costs), len(report.uncounted), memory.peak_activation_bytes
    statistics = f", and {exact(memory.running_statistics)} running statistics" if memory.running_statistics else ""
    statistics += f", and {exact(memory.buffers)} in buffers" if memory.buffers else ""
    counts = []
    for name, convention in (("MACs", MACS), ("FLOPs", FLOPS), *own):
        total, sign = report.total(convention), glyphs.bound(report.bound_of(convention))
        weights = report.whole.work.dequantizations if convention is FLOPS else 0
        apart = f", and {si(weights)} to dequantize weights" if weights else ""
        counts.append(quantity_entry(name, si(total), sign + exact(total) + apart, bound=sign))
    return [
        *counts,
        quantity_entry("Parameters", si(memory.parameters), stored + exact(memory.parameters) + statistics, bound=stored),
        quantity_entry("Weights", binary(memory.weight_bytes), _weights_note(report), bound=stored),
        Entry("Activations", "unknown", "", "because a shape is unknown")
        if peak is None
        else quantity_entry("Activations", binary(peak), _peak_note(report), bound=bound),
        quantity_entry(
            "Traffic",
            binary(traffic.total),
            f"{binary(traffic.read_bytes)} read, {binary(traffic.write_bytes)} written",
            bound=bound,
        ),
        quantity_entry(
            "Intensity", ratio(report.intensity), "FLOPs per byte" + ("" if report.whole.complete else ", of the counted nodes")
        ),
        Entry(
            "Nodes",
            exact(nodes),
            "",
            f"{exact(nodes - uncounted)} counted, {exact(uncounted)} not" if uncounted else "all counted",
        ),
    ]


SHOWN_TENSORS = 3


def _peak_note(report: CostReport) -> str:
    """The node at the peak of the activations, and the largest tensors in memory."""
    peak = report.memory.peak
    if peak is None or peak.node is None:
        return "at peak"
    sizes = list(peak.tensors.items())
    held = [f"{binary(nbytes)} {plain(name)}" for name, nbytes in sizes[:SHOWN_TENSORS] if nbytes]
    rest = sizes[SHOWN_TENSORS:]
    held += [f"{binary(sum(nbytes for _, nbytes in rest))} in {plural(len(rest), 'other')}"] if rest else []
    held += [f"{binary(peak.workspace)} workspace"] if peak.workspace else []
    name = plain(peak.node.name or peak.node.out.name)
    return f"at peak, while {plain(peak.node.op_type)} {name} runs: {', '.join(held)}"


def convention_texts(report: CostReport, view: View, glyphs: Glyphs, *, has_units: bool = False) -> list[str]:
    """The same model under the other conventions, ``torch 8.178 G``, or with units, ``torch 8.178 GFLOPs``."""
    texts = []
    for name, total in other_conventions(report, view):
        bound = glyphs.bound(report.bound_of(CONVENTIONS[name]))
        texts.append(f"{name} {bound}{count_text(total, CONVENTIONS[name].unit) if has_units else si(total)}")
    return texts


def type_texts(report: CostReport, view: View) -> list[str]:
    """The convention's number by the type of the arithmetic, ``int8 3.629 G``; empty if (nearly) all is float32."""
    counts = {group.key[0]: group.total(view.convention) for group in report.by_dtype()}
    total = sum(counts.values())
    shown = sorted(((count, dtype) for dtype, count in counts.items() if 1000 * count > total), reverse=True)
    return [f"{dtype} {si(count)}" for count, dtype in shown] if {dtype for _, dtype in shown} - {"float32"} else []


def describe_uncounted(report: CostReport, glyphs: Glyphs) -> list[str]:
    """A sentence, then one line for each operator and reason; nothing if all was counted."""
    if report.whole.complete:
        return []
    found = reasons(report)
    lines = [f"{number} {glyphs.times} {op_type}: {reason}" for number, op_type, reason in found[:MOST_REASONS]]
    more = (
        [f"and {plural(len(found) - MOST_REASONS, 'more reason')} (--format json has them all)"] if found[MOST_REASONS:] else []
    )
    which = f"{exact(len(report.uncounted))} of {plural(len(report.costs), 'node')}"
    so = "so every total is a lower bound" if report.bound == "lower" else "and excluded from all totals"
    return [f"Not counted: {which}, {so}", *lines, *more]


def report_lines(report: CostReport, view: View, screen: Screen) -> list[Line]:
    """The whole report: header, summary, what is not counted, the tables that the view asks for."""
    glyphs = screen.glyphs
    blocks = [header_lines(report, screen), _summary_lines(report, view, screen), _uncounted_lines(report, screen)]
    if view.has_groups:
        blocks.append(table_lines(group_table(report, view, glyphs), screen))
    if view.top != 0:
        blocks.append(table_lines(node_table(report, view, glyphs), screen))
    return space_blocks(blocks)


def _summary_lines(report: CostReport, view: View, screen: Screen) -> list[Line]:
    lines = entry_lines(summary_entries(report, view, screen.glyphs), screen.width)
    if each := type_texts(report, view):
        lines += wrap_pieces(label_of("Types"), each, f" {screen.glyphs.dot} ", screen.width)
    if others := convention_texts(report, view, screen.glyphs, has_units=True):
        lines += wrap_pieces(label_of("Conventions"), others, f" {screen.glyphs.dot} ", screen.width)
    return lines


def _uncounted_lines(report: CostReport, screen: Screen) -> list[Line]:
    lines = describe_uncounted(report, screen.glyphs)
    if not lines:
        return []
    folded = [wrap(plain(line), screen.width - 4, indent="  ") for line in lines[1:]]
    return [((f"  {lines[0]}", "caution"),), *((("    " + part, ""),) for parts in folded for part in parts)]


def report_csv(report: CostReport, view: View) -> str:
    """One line per node, or per module if the view has a depth. A node that is not counted has its reason and no numbers."""
    own = [view.convention.name] if view.has_own_count else []
    numbers = ["macs", "flops", *own, "parameters", "read_bytes", "write_bytes", "not_counted"]
    if view.depth is not None:
        path: list[str] = []
        lines = []
        for row in module_rows(report, view):
            path[row.level :] = [row.label]
            amounts = [row.macs, row.flops, *[row.count for _ in own], row.parameters]
            moved = [row.traffic.read_bytes, row.traffic.write_bytes]
            lines.append([row.level, "/".join(path), row.nodes, *amounts, *moved, row.uncounted])
        return csv_text(["level", "module", "nodes", *numbers], lines)
    header = ["name", "op_type", "domain", "scope", "dtype", "repeat", "output_shape", *numbers]
    records = []
    for row in node_rows(report, view):
        assert row.cost is not None  # a row of a node has one
        record = record_of(row.cost)
        record["output_shape"] = shape(row.cost.node.first_output, "x")
        record[view.convention.name] = None if row.uncounted else row.count
        records.append([record[name] for name in header])
    return csv_text(header, records)


def report_markdown(report: CostReport, view: View) -> str:
    """Header, summary, what is not counted, and the tables that the view asks for."""
    lost = describe_uncounted(report, UNICODE)
    blocks = [
        *header_blocks(report),
        _summary_markdown(report, view),
        [f"**{markdown(lost[0])}**", "", *(f"- {markdown(line)}" for line in lost[1:])] if lost else [],
        *([table_markdown(group_table(report, view, UNICODE))] if view.has_groups else []),
    ]
    if view.top != 0:
        blocks.append(table_markdown(node_table(report, view, UNICODE)))
    return join_blocks(blocks)


def _summary_markdown(report: CostReport, view: View) -> list[str]:
    shown = summary_entries(report, view, UNICODE)
    if each := type_texts(report, view):
        shown.append(Entry("Types", "", "", " · ".join(each)))
    if others := convention_texts(report, view, UNICODE):
        shown.append(Entry("Conventions", "", "", " · ".join(others)))
    return entries_markdown("Total", shown)


def report_html(report: CostReport) -> str:
    """The model, its totals, what is not counted, operators and the most expensive nodes."""
    view = View()
    return "\n".join(
        [
            heading_html(model_title(report.graph), model_facts(report.graph)),
            entries_html(summary_entries(report, view, UNICODE)),
            *(f"<p>{html(line)}</p>" for line in describe_uncounted(report, UNICODE)),
            table_html(group_table(report, view, UNICODE)),
            table_html(node_table(report, view, UNICODE)),
        ]
    )
