"""A profile as terminal text, Markdown, CSV and JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from onnxcost.render.escaping import html, markdown
from onnxcost.render.formats import (
    Entry,
    Table,
    TableField,
    build_table,
    csv_text,
    entries_html,
    entries_markdown,
    entry_lines,
    heading_html,
    join_blocks,
    model_facts,
    quantity_entry,
    space_blocks,
    table_html,
    table_lines,
    table_markdown,
)
from onnxcost.render.layout import UNICODE, Column, Glyphs, Line, Screen, paragraph, spell_out
from onnxcost.render.measurement import achieved_text, memory_entry, where_lines, where_markdown
from onnxcost.render.overview import concentration_text, speed_text, sum_up
from onnxcost.render.report import MOST_REASONS
from onnxcost.render.tables import node_label, pad_unit, top_field
from onnxcost.render.units import TimeUnit, exact, plural, share, si, time_unit
from onnxcost.runtime.profile import Profile, Spent

SORTS: Mapping[str, Callable[[Spent], Any]] = {
    "time": lambda spent: -spent.total_seconds,
    "flops": lambda spent: -spent.flops,
    "rate": lambda spent: -(spent.flops_per_second or 0),
    "order": lambda spent: 0,
}
"""The orders of the tables; ``order`` is that of execution, which the stable sort keeps."""


@dataclass(frozen=True, slots=True)
class ProfileView:
    """What to show: the tables ``by`` "operator" and "node", ``top`` nodes (None for all), and a name in SORTS."""

    by: tuple[str, ...] = ("operator", "node")
    top: int | None = 10
    sort: str = "time"


def reconcile(profile: Profile, glyphs: Glyphs) -> list[Entry]:
    """The times and how they add up, the share that is counted, and the memory with its estimate."""
    counted = f"{exact(len(profile.nodes) - len(profile.uncounted))} of {plural(len(profile.nodes), 'node')} counted"
    coverage = quantity_entry("Coverage", share(profile.coverage, 1), f"of the nodes' time, {counted}")
    shown = [*_times(profile), coverage, *_memory(profile)]
    return [Entry(*(spell_out(text, glyphs) for text in entry)) for entry in shown]


def _times(profile: Profile) -> list[Entry]:
    latency, nodes, run = profile.latency, profile.node_seconds, profile.profiled_seconds
    unit = time_unit(run)
    against = "" if latency is None else f", {_more(nodes, latency)} vs. the latency"
    stop = " (interrupted)" if profile.interrupted else ""
    beyond = f", {_more(run, nodes)} vs. the nodes" if nodes else ""
    return [
        *([] if latency is None else [quantity_entry("Latency", unit.text(latency), "median, not profiled")]),
        quantity_entry("Nodes", unit.text(nodes), f"sum of all nodes{against}"),
        quantity_entry("Profiled", unit.text(run), f"mean of {plural(profile.runs, 'profiled run')}{stop}{beyond}"),
    ]


def _more(value: float, base: float) -> str:
    """How much larger or smaller one value is than another: ``+3.4 %``."""
    return f"{100 * (value / base - 1):+.1f} %".replace("-", "−")


def _memory(profile: Profile) -> list[Entry]:
    estimated = profile.report.memory.peak_activation_bytes
    return [
        memory_entry("Arena", profile.memory.peak_bytes, "peak of onnxruntime's arena"),
        memory_entry("Activations", profile.peak_activation_bytes, "at peak", estimated),
    ]


@dataclass(frozen=True, slots=True)
class ProfileContext:
    """What the cells of a table need in addition to their row."""

    profile: Profile
    glyphs: Glyphs
    unit: TimeUnit


ProfileField = TableField[Any, ProfileContext]


def _bounded_si(spent: Spent, context: ProfileContext, amount: float | None) -> str:
    if amount is None or not spent.costs.counted:
        return "?"
    return ("" if spent.complete else context.glyphs.at_least) + pad_unit(si(amount))


GROUP: ProfileField = (
    Column("Operator", right=False, style="name", shrinks_to=16),
    lambda group, _: ".".join(filter(None, group.key)),
)
MODULE: ProfileField = (
    Column("Module", right=False, style="name", shrinks_to=16),
    lambda group, _: "/".join(group.key) or "(no module)",
)
NODES: ProfileField = (Column("Nodes", drop=1), lambda group, _: exact(len(group.nodes)))
NODE: ProfileField = (
    Column("Node", right=False, style="name", shrinks_to=14),
    lambda node, _: next((node_label(cost) for cost in node.costs.costs[:1] if cost.node.name == node.name), node.name),
)
OPERATOR: ProfileField = (
    Column("Operator", right=False, shrinks_to=10),
    lambda node, context: (
        node.op_type + (f" {context.glyphs.times}{node.executions_per_run:.3g}" if node.executions_per_run != 1 else "")
    ),
)
PROVIDER: ProfileField = (Column("Provider", right=False), lambda node, _: node.provider.removesuffix("ExecutionProvider"))
TIME: ProfileField = (Column("Time"), lambda spent, context: spell_out(context.unit.text(spent.seconds), context.glyphs))
SHARE: ProfileField = (Column("Share"), lambda spent, context: share(context.profile.share((spent,)), 1))
FLOPS: ProfileField = (Column("FLOPs", drop=4), lambda spent, context: _bounded_si(spent, context, spent.flops))
ACHIEVED: ProfileField = (Column("FLOP/s"), lambda spent, context: _bounded_si(spent, context, spent.flops_per_second))
BYTES: ProfileField = (Column("Bytes/s", drop=3), lambda spent, context: _bounded_si(spent, context, spent.bytes_per_second))
BAR: ProfileField = (Column("", style="bar", is_bar=True, drop=5), lambda spent, context: str(context.profile.share((spent,))))
AMOUNTS = (FLOPS, ACHIEVED, BYTES)


def profile_table(profile: Profile, by: str, view: ProfileView, glyphs: Glyphs) -> Table:
    """One row per operator, module or node, of nodes the first ``view.top``; shares add up."""
    rows: Sequence[Any]
    first: list[ProfileField]
    if by == "node":
        rows = sorted(profile.nodes, key=SORTS[view.sort])[: view.top]
        node = top_field(NODE, len(rows), len(profile.nodes), "First" if view.sort == "order" else "Top")
        first = [node, OPERATOR, *([PROVIDER] if len({node.provider for node in profile.nodes}) > 1 else [])]
    else:
        groups = profile.by_operator() if by == "operator" else profile.by_scope()
        rows = sorted(groups, key=SORTS[view.sort])
        first = [GROUP if by == "operator" else MODULE, NODES]
    sums = iter(profile.cumulative_shares(rows))
    cumulative: ProfileField = (Column("Cumul.", drop=1), lambda *_: share(next(sums), 1))
    context = ProfileContext(profile, glyphs, time_unit(max((row.seconds for row in rows), default=0)))
    rest = AMOUNTS if by == "node" else (*AMOUNTS, BAR)
    return build_table([*first, TIME, SHARE, cumulative, *rest], rows, context)


def describe_uncounted_nodes(profile: Profile) -> list[str]:
    """A sentence, then a line for each node whose cost is not known; nothing if all are."""
    lost = profile.uncounted
    if not lost:
        return []
    which = f"{exact(len(lost))} of {plural(len(profile.nodes), 'node')}, {share(profile.share(lost), 1)} of the time"
    lines = [f"{node.op_type} '{node.name}': {node.reason}" for node in lost[:MOST_REASONS]]
    more = [f"and {len(lost) - MOST_REASONS} more (--format json has them all)"] if lost[MOST_REASONS:] else []
    return [f"Not counted: {which}", *lines, *more]


TITLE = "Profiled"


def profile_lines(profile: Profile, view: ProfileView, screen: Screen) -> list[Line]:
    """How the times add up, what is not counted, and the tables."""
    lost = [part for line in describe_uncounted_nodes(profile) for part in paragraph(line, screen.width, "caution")]
    return space_blocks(
        [
            [] if profile.measurement is None else where_lines(TITLE, profile.measurement, screen),
            entry_lines(reconcile(profile, screen.glyphs), screen.width),
            lost,
            *(table_lines(profile_table(profile, name, view, screen.glyphs), screen) for name in view.by),
            _verdict(profile, screen),
        ]
    )


def _verdict(profile: Profile, screen: Screen) -> list[Line]:
    """The result in one line: the latency, and the fewest nodes that take half of the nodes' time."""
    measured, nodes = profile.measurement, profile.nodes
    rate = achieved_text(measured, screen.glyphs) if measured and measured.flops_per_second else ""
    few = concentration_text([node.seconds for node in nodes], "time", len(nodes))
    return sum_up([speed_text(measured) if measured else "", few, rate], screen)


def profile_markdown(profile: Profile, view: ProfileView) -> str:
    """The same as Markdown."""
    return join_blocks(
        [
            *([] if profile.measurement is None else where_markdown(TITLE, profile.measurement)),
            entries_markdown(TITLE, reconcile(profile, UNICODE)),
            [f"- {markdown(line)}" for line in describe_uncounted_nodes(profile)],
            *(table_markdown(profile_table(profile, name, view, UNICODE)) for name in view.by),
        ]
    )


def profile_csv(profile: Profile, view: ProfileView) -> str:
    """One line per node, or per operator or module if that is the only table of the view."""
    document = profile.to_dict()["profile"]
    if view.by == ("module",):
        rows: list[tuple[Spent, Mapping[str, Any]]] = [*zip(profile.by_scope(), document["by_module"], strict=True)]
    elif view.by == ("operator",):
        rows = [*zip(profile.by_operator(), document["by_operator"], strict=True)]
    else:
        rows = [*zip(profile.nodes, document["nodes"], strict=True)]
    rows.sort(key=lambda row: SORTS[view.sort](row[0]))
    records = [record for _, record in rows[: view.top]]
    separators = {"origins": "; ", "scope": "/", "module": "/"}
    cells = (
        [separators[key].join(value) if key in separators else value for key, value in record.items()] for record in records
    )
    return csv_text(list(records[0]) if records else [], cells)


def profile_html(profile: Profile) -> str:
    """How the times add up, what is not counted, and the slowest operators and nodes."""
    view = ProfileView()
    return "\n".join(
        [
            heading_html("Profiled", model_facts(profile.report.graph)),
            entries_html(reconcile(profile, UNICODE)),
            *(f"<p>{html(line)}</p>" for line in describe_uncounted_nodes(profile)),
            *(table_html(profile_table(profile, name, view, UNICODE)) for name in view.by),
        ]
    )
