"""Tables as comma-separated values: plain integers in base units, one header line."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

from onnxcost.render.units import shape
from onnxcost.render.view import Row, View, module_rows, node_rows
from onnxcost.report import Counted, CostReport, Uncounted


def csv_text(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """The lines, quoted where needed; None is an empty cell."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return out.getvalue()


def report_csv(report: CostReport, view: View) -> str:
    """One line a node, or a module where the view has a depth. A node that is not counted has its reason and no numbers."""
    return _nodes(report, view) if view.depth is None else _modules(report, view)


def _nodes(report: CostReport, view: View) -> str:
    own = [view.convention.name] if view.has_own_count else []
    header = ["name", "op_type", "domain", "scope", "dtype", "repeat", "output_shape", "macs", "flops", *own, "parameters"]
    header += ["read_bytes", "write_bytes", "not_counted"]
    return csv_text(header, (_node(row, bool(own)) for row in node_rows(report, view)))


def _node(row: Row, has_own_count: bool) -> list[object]:
    cost = row.cost
    assert cost is not None  # a row of a node has one
    node = cost.node
    output = next((tensor for tensor in node.outputs if tensor is not None), None)
    identity: list[object] = [row.label, node.op_type, node.domain, "/".join(node.scope)]
    if isinstance(cost, Uncounted):
        return [*identity, None, node.repeat, shape(output, "x"), None, None, *[None] * has_own_count, cost.parameters, None, None, cost.reason]
    return [*identity, cost.dtype, node.repeat, shape(output, "x"), *_numbers(row, cost, has_own_count), None]


def _numbers(row: Row, cost: Counted, has_own_count: bool) -> list[object]:
    traffic = cost.traffic
    return [row.macs, row.flops, *[row.count] * has_own_count, row.parameters, traffic.read_bytes, traffic.write_bytes]


def _modules(report: CostReport, view: View) -> str:
    own = [view.convention.name] if view.has_own_count else []
    header = ["level", "module", "nodes", "not_counted", "macs", "flops", *own, "parameters", "traffic_bytes"]
    rows = module_rows(report, view)
    return csv_text(
        header,
        (
            [row.level, row.label, row.nodes, row.uncounted, row.macs, row.flops, *[row.count] * len(own), row.parameters, row.traffic]
            for row in rows
        ),
    )
