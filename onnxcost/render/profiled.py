"""A profile as labelled text and tables, for the terminal and Markdown."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from onnxcost.render.glyphs import Glyphs, spelled
from onnxcost.render.layout import Column
from onnxcost.render.measured import stored
from onnxcost.render.summary import MOST_REASONS, Entry, quantity
from onnxcost.render.tables import Table, padded_si
from onnxcost.render.units import TimeUnit, exact, plural, share, time_unit
from onnxcost.render.view import node_label

if TYPE_CHECKING:
    from onnxcost.profiled import Profile, ProfiledGroup, ProfiledNode, Spent

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


def reconciled(profile: Profile, glyphs: Glyphs) -> list[Entry]:
    """The times that must fit each other, how much of them is explained, and the memory beside its estimate."""
    shown = [*_times(profile), _coverage(profile), *_memory(profile)]
    return [Entry(*(spelled(text, glyphs) for text in entry)) for entry in shown]


def _times(profile: Profile) -> list[Entry]:
    latency, nodes, run = profile.latency, profile.node_seconds, profile.profiled_seconds
    unit = time_unit(run)
    against = "" if latency is None else f", {_more(nodes, latency)} against the latency"
    beyond = f", {_more(run, nodes)} against the nodes" if nodes else ""
    return [
        *([] if latency is None else [quantity("Latency", unit.text(latency), "median, not profiled")]),
        quantity("Nodes", unit.text(nodes), f"sum of all nodes{against}"),
        quantity("Profiled", unit.text(run), f"mean of {plural(profile.runs, 'profiled run')}{beyond}"),
    ]


def _more(value: float, base: float) -> str:
    """By how much a value is more or less than another: ``+3.4 %``."""
    return f"{100 * (value / base - 1):+.1f} %".replace("-", "−")


def _coverage(profile: Profile) -> Entry:
    counted = len(profile.nodes) - len(profile.uncounted)
    note = f"of the nodes' time, {exact(counted)} of {plural(len(profile.nodes), 'node')} counted"
    return quantity("Coverage", share(profile.coverage, 1), note)


def _memory(profile: Profile) -> list[Entry]:
    estimated = profile.report.memory.peak_activation_bytes
    return [
        stored("Arena", profile.memory.peak_bytes, "peak of onnxruntime's arena"),
        stored("Activations", profile.peak_activation_bytes, "at their peak", estimated),
    ]


@dataclass(frozen=True, slots=True)
class Context:
    """What a cell needs to know besides its row."""

    profile: Profile
    glyphs: Glyphs
    unit: TimeUnit


Field = tuple[Column, Callable[[Any, Context], str]]


def _bounded(spent: Spent, context: Context, amount: float | None) -> str:
    if amount is None or not spent.costs.counted:
        return "?"
    return ("" if spent.complete else context.glyphs.at_least) + padded_si(amount or 0)


def _share(spent: Spent, context: Context) -> str:
    return share(context.profile.share((spent,)), 1)


def _operator(node: ProfiledNode, context: Context) -> str:
    times = node.executions_per_run
    return node.op_type if times == 1 else f"{node.op_type} {context.glyphs.times}{times:.3g}"


def _node(node: ProfiledNode, context: Context) -> str:
    cost = node.costs.costs[0] if node.costs.costs else None
    return node_label(cost) if cost is not None and cost.node.name == node.name else node.name


GROUP: Field = (
    Column("Operator", right=False, style="name", shrinks_to=16),
    lambda group, _: ".".join(filter(None, group.key)),
)
NODES: Field = (Column("Nodes", drop=1), lambda group, _: exact(len(group.nodes)))
NODE: Field = (Column("Node", right=False, style="name", shrinks_to=14), _node)
OPERATOR: Field = (Column("Operator", right=False, shrinks_to=10), _operator)
PROVIDER: Field = (Column("Provider", right=False), lambda node, _: node.provider.removesuffix("ExecutionProvider"))
TIME: Field = (Column("Time"), lambda spent, context: spelled(context.unit.text(spent.seconds), context.glyphs))
SHARE: Field = (Column("Share"), _share)
FLOPS: Field = (Column("FLOPs", drop=4), lambda spent, context: _bounded(spent, context, spent.flops))
ACHIEVED: Field = (Column("FLOP/s"), lambda spent, context: _bounded(spent, context, spent.flops_per_second))
BYTES: Field = (Column("Bytes/s", drop=3), lambda spent, context: _bounded(spent, context, spent.bytes_per_second))
BAR: Field = (Column("", style="bar", is_bar=True, drop=5), lambda spent, context: str(context.profile.share((spent,))))
CUMULATIVE = Column("Cumul.", drop=1)


def operator_table(profile: Profile, view: ProfileView, glyphs: Glyphs) -> Table:
    """One row an operator."""
    groups = sorted(profile.by_operator(), key=SORTS[view.sort])
    return _table([GROUP, NODES, TIME, SHARE], [FLOPS, ACHIEVED, BYTES, BAR], groups, _context(profile, groups, glyphs))


def node_table(profile: Profile, view: ProfileView, glyphs: Glyphs) -> Table:
    """The first ``view.top`` nodes; the header says how many of how many."""
    nodes = sorted(profile.nodes, key=SORTS[view.sort])[: view.top]
    which = "First" if view.sort == "order" else "Top"
    heading = f"{which} {exact(len(nodes))} of {exact(len(profile.nodes))} nodes" if len(nodes) < len(profile.nodes) else "Node"
    node = (NODE[0]._replace(title=heading), NODE[1])
    provider = [PROVIDER] if len({node.provider for node in profile.nodes}) > 1 else []
    first = [node, OPERATOR, *provider, TIME, SHARE]
    return _table(first, [FLOPS, ACHIEVED, BYTES], nodes, _context(profile, nodes, glyphs))


def _context(profile: Profile, rows: Sequence[Spent], glyphs: Glyphs) -> Context:
    return Context(profile, glyphs, time_unit(max((row.seconds for row in rows), default=0)))


def _table(
    first: Sequence[Field], rest: Sequence[Field], rows: Sequence[ProfiledNode | ProfiledGroup], context: Context
) -> Table:
    """A table in which the shares are added up, row by row, behind the first fields."""
    sums = context.profile.cumulative_shares(rows)
    cells = [
        (*(cell(row, context) for _, cell in first), share(total, 1), *(cell(row, context) for _, cell in rest))
        for row, total in zip(rows, sums, strict=True)
    ]
    return Table((*(column for column, _ in first), CUMULATIVE, *(column for column, _ in rest)), cells)


TABLES: Mapping[str, Callable[[Profile, ProfileView, Glyphs], Table]] = {"operator": operator_table, "node": node_table}


def not_counted(profile: Profile) -> list[str]:
    """A sentence, then a line for each node whose cost is not known; nothing where all are."""
    lost = profile.uncounted
    if not lost:
        return []
    which = f"{exact(len(lost))} of {plural(len(profile.nodes), 'node')}, {share(profile.share(lost), 1)} of the time"
    lines = [f"{node.op_type} '{node.name}': {node.reason}" for node in lost[:MOST_REASONS]]
    more = [f"and {len(lost) - MOST_REASONS} more (--format json has them all)"] if lost[MOST_REASONS:] else []
    return [f"Not counted: {which}", *lines, *more]
