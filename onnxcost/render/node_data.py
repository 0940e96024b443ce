"""The costs of nodes for graph viewers: node data for Google's Model Explorer, and notes for the metadata of nodes."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from onnxcost.conventions import FLOPS, MACS, Convention
from onnxcost.costs import Counted, NodeCost
from onnxcost.documents import to_json
from onnxcost.graph import Node
from onnxcost.report import CostReport
from onnxcost.runtime.profile import Profile, ProfiledNode

WHITE_TO_RED = ({"stop": 0, "bgColor": "#ffffff"}, {"stop": 0.5, "bgColor": "#fdbb84"}, {"stop": 1, "bgColor": "#d7301f"})
"""The colors of values in Model Explorer, from the least to the most."""


def report_node_data(report: CostReport, convention: Convention = FLOPS, calls: Collection[str] = ()) -> str:
    """Node data with the count of each node under a convention, by the name of its first output."""
    return _document(count_by_output(report, convention, calls), f"{convention.name} (onnxcost)", report.graph.name)


def count_by_output(report: CostReport, convention: Convention, calls: Collection[str] = ()) -> dict[str, int]:
    """The count of each node under a convention, by the name of its first output.

    ``calls`` are the outputs of function calls, which are several nodes and therefore have no count.
    """
    values: dict[str, int] = {}
    for cost in report.counted:
        if (name := _output(cost.node)) and name not in calls:
            values[name] = values.get(name, 0) + convention.number(cost.node, cost.work)
    return values


def profile_node_data(profile: Profile, original: CostReport, calls: Collection[str] = ()) -> str:
    """Node data with the milliseconds of each node of the file in one inference; fused nodes count at their main node."""
    outputs = {cost.node.name: _output(cost.node) for cost in original.costs}
    values: dict[str, float] = {}
    for node, main in _mains(profile, original):
        if (name := outputs.get(main, "")) and name not in calls:
            values[name] = values.get(name, 0) + 1e3 * node.seconds
    return _document(values, "ms (onnxcost profile)", original.graph.name)


def _document(values: Mapping[str, float], name: str, graph: str) -> str:
    data: dict[str, Any] = {
        "results": {key: {"value": value} for key, value in values.items()},
        "name": name,
        "gradient": list(WHITE_TO_RED),
    }
    # Model Explorer would interpret a file whose results have the key "results" as one by graph.
    return to_json({graph: data} if "results" in values else data, 1) + "\n"


def _output(node: Node) -> str:
    return node.first_output.name if node.first_output else ""


def _mains(profile: Profile, original: CostReport) -> list[tuple[ProfiledNode, str]]:
    """The executed nodes that correspond to nodes of the file, and the name of the one with the most work."""
    work = {cost.node.name: FLOPS.number(cost.node, cost.work) for cost in original.counted}
    return [(node, max(node.origins, key=lambda name: work.get(name, 0))) for node in profile.nodes if node.origins]


def report_notes(report: CostReport, calls: Collection[str] = ()) -> dict[str, dict[str, str]]:
    """The costs of each node as texts, by the name of its first output: integers, for all its executions."""
    return {name: _notes(cost) for cost in report.costs if (name := _output(cost.node)) and name not in calls}


def _notes(cost: NodeCost) -> dict[str, str]:
    if not isinstance(cost, Counted):
        return {"uncounted": cost.reason}
    numbers = {
        "macs": MACS.number(cost.node, cost.work),
        "flops": FLOPS.number(cost.node, cost.work),
        "parameters": cost.parameters,
        "read_bytes": cost.traffic.read_bytes,
        "write_bytes": cost.traffic.write_bytes,
    }
    return {key: str(value) for key, value in numbers.items()}


def profile_notes(profile: Profile, original: CostReport, calls: Collection[str] = ()) -> dict[str, dict[str, str]]:
    """``report_notes``, with the time at the main node of fused nodes; the other nodes name that one."""
    notes = report_notes(original, calls)
    outputs = {cost.node.name: _output(cost.node) for cost in original.costs}
    for node, main in _mains(profile, original):
        for name in node.origins:
            own = notes.get(outputs.get(name, ""))
            if own is None:
                continue
            own["runs_as"] = f"{node.op_type} {node.name}"
            if name != main:
                own["fused_into"] = main
                continue
            own["seconds"] = f"{float(own.get('seconds', 0)) + node.seconds:.9f}"
            own["share"] = f"{float(own.get('share', 0)) + profile.share((node,)):.6f}"
            if node.flops_per_second is not None:
                own["flops_per_second"] = f"{node.flops_per_second:.6g}"
    return notes


def model_notes(report: CostReport) -> dict[str, str]:
    """The totals of the model, as texts."""
    numbers = {"macs": report.macs, "flops": report.flops, "parameters": report.parameters}
    peak = report.memory.peak_activation_bytes
    return {key: str(value) for key, value in numbers.items()} | ({} if peak is None else {"peak_activation_bytes": str(peak)})
