"""Tables as comma-separated values: plain numbers in base units, one header line."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from onnxcost.render.escaping import cell
from onnxcost.render.units import shape
from onnxcost.render.view import Row, View, module_rows, node_name, node_rows
from onnxcost.report import CostReport, Counted, Uncounted

if TYPE_CHECKING:
    from onnxcost.measurement import Measurement


def csv_text(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """The lines, quoted where needed; None is an empty cell. A text that a spreadsheet would run gets a leading ``'``."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerows([*map(cell, row)] for row in (header, *rows))
    return out.getvalue()


def report_csv(report: CostReport, view: View) -> str:
    """One line a node, or a module where the view has a depth. A node that is not counted has its reason and no numbers."""
    return _nodes(report, view) if view.depth is None else _modules(report, view)


def _nodes(report: CostReport, view: View) -> str:
    own = [view.convention.name] if view.has_own_count else []
    identity = ["name", "op_type", "domain", "scope", "dtype", "repeat", "output_shape"]
    header = [*identity, "macs", "flops", *own, "parameters", "read_bytes", "write_bytes", "not_counted"]
    return csv_text(header, (_node(row, bool(own)) for row in node_rows(report, view)))


def _node(row: Row, has_own_count: bool) -> list[object]:
    cost = row.cost
    assert cost is not None  # a row of a node has one
    node = cost.node
    dtype = cost.dtype if isinstance(cost, Counted) else None
    output = next((tensor for tensor in node.outputs if tensor is not None), None)
    identity = [node_name(cost), node.op_type, node.domain, "/".join(node.scope), dtype, node.repeat, shape(output, "x")]
    if isinstance(cost, Uncounted):
        return [*identity, *[None] * (2 + has_own_count), row.parameters, None, None, cost.reason]
    return [*identity, *_numbers(row, has_own_count), None]


def _numbers(row: Row, has_own_count: bool) -> list[int]:
    own = [row.count] if has_own_count else []
    return [row.macs, row.flops, *own, row.parameters, row.traffic.read_bytes, row.traffic.write_bytes]


def _modules(report: CostReport, view: View) -> str:
    own = [view.convention.name] if view.has_own_count else []
    header = ["level", "module", "nodes", "macs", "flops", *own, "parameters", "read_bytes", "write_bytes", "not_counted"]
    path: list[str] = []
    lines = []
    for row in module_rows(report, view):
        path[row.level :] = [row.label]
        lines.append([row.level, "/".join(path), row.nodes, *_numbers(row, bool(own)), row.uncounted])
    return csv_text(header, lines)


def samples_csv(measurement: Measurement) -> str:
    """One line a run, in their order."""
    return csv_text(("run", "seconds"), enumerate(measurement.samples.tolist(), 1))


def batches_csv(measurements: Sequence[Measurement]) -> str:
    """One line a batch size."""
    statistics = ("min", "mean", "median", "std", "p90", "p95", "p99", "max")
    own = ("fps", "flops", "flops_per_second", "session_seconds", "first_run_seconds")
    header = ("batch", "runs", *statistics, "median_ci95_low", "median_ci95_high", *own, "peak_rss_bytes", "arena_peak_bytes")
    return csv_text(
        header,
        (
            [
                each.batch,
                each.runs,
                *(getattr(each.latency, name) for name in statistics),
                *(each.latency.median_ci95 or (None, None)),
                *(getattr(each, name) for name in own),
                each.memory.peak_rss_bytes,
                each.memory.arena_peak_bytes,
            ]
            for each in measurements
        ),
    )
