"""A profile as a trace of events, for Perfetto and chrome://tracing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from onnxcost.documents import to_json
from onnxcost.report import CostReport
from onnxcost.runtime.profile import Profile, ProfiledNode

MICROSECONDS = 1e6
NODE, BODY = "node", "node with bodies"
"""The categories of slices. The time of a node with bodies includes that of the nodes in them."""
ARENA, PLANNED = "arena in use, measured", "activations, estimated"
"""The counters."""


def chrome_trace(profile: Profile, original: CostReport) -> str:
    """The profiled runs as JSON in the format of chrome://tracing: a track for each thread of onnxruntime.

    A slice is an execution of a node, with its work, bytes and achieved rates, and the nodes of the file that it computes;
    ``own_us`` is its time without that of the nodes in its bodies. One counter has the bytes in use of the arena after each
    node, another those of the activations while it runs, as they are estimated from the executed graph.
    """
    graph = profile.report.graph
    others = {
        "model": original.graph.path or original.graph.name,
        "runs": len({each.run for each in profile.timeline}),
        "runs_profiled": profile.runs,
        "node_seconds": profile.node_seconds,
        "latency": profile.latency,
        "executed_nodes": len(graph.nodes),
    }
    events = [*_names(profile), *_slices(profile), *_counters(profile)]
    lines = ",\n".join(to_json(event) for event in events)
    return f'{{"displayTimeUnit": "ms", "otherData": {to_json(others)}, "traceEvents": [\n{lines}\n]}}\n'


def _names(profile: Profile) -> Iterator[dict[str, Any]]:
    """The names of the process and its threads."""
    label = profile.report.graph.path or profile.report.graph.name or "model"
    yield {"ph": "M", "name": "process_name", "pid": 1, "args": {"name": f"onnxruntime: {label}"}}
    for thread in sorted({each.thread for each in profile.timeline}):
        yield {"ph": "M", "name": "thread_name", "pid": 1, "tid": thread + 1, "args": {"name": f"thread {thread}"}}


def _slices(profile: Profile) -> Iterator[dict[str, Any]]:
    arguments = [_arguments(node, profile) for node in profile.nodes]
    for each in profile.timeline:
        node = profile.nodes[each.node]
        yield {
            "ph": "X",
            "name": node.name or node.op_type,
            "cat": NODE if each.own == each.seconds else BODY,
            "pid": 1,
            "tid": each.thread + 1,
            "ts": round(MICROSECONDS * each.start, 3),
            "dur": round(MICROSECONDS * each.seconds, 3),
            "args": {"run": each.run, "own_us": round(MICROSECONDS * each.own, 3), **arguments[each.node]},
        }


def _arguments(node: ProfiledNode, profile: Profile) -> dict[str, Any]:
    """The average cost of one execution of the node, and its identity."""
    times = node.executions_per_run or 1
    known = {
        "op_type": node.op_type,
        "domain": node.domain,
        "provider": node.provider,
        "module": "/".join(node.scope),
        "origins": ", ".join(node.origins),
        "flops": node.flops / times,
        "read_bytes": node.read_bytes / times,
        "write_bytes": node.write_bytes / times,
        "flops_per_second": node.flops_per_second,
        "bytes_per_second": node.bytes_per_second,
        "share_percent": round(100 * profile.share((node,)), 3),
        "uncounted": node.reason,
    }
    return {key: value for key, value in known.items() if value not in ("", None)}


def _counters(profile: Profile) -> Iterator[dict[str, Any]]:
    for each in profile.timeline:
        if each.in_use is not None:
            end = round(MICROSECONDS * (each.start + each.seconds), 3)
            yield {"ph": "C", "name": ARENA, "pid": 1, "ts": end, "args": {"bytes": each.in_use}}
    plan = profile.report.memory.plan
    if plan is None:
        return
    curve = {node.name: used for node, used in zip(plan.nodes, plan.curve, strict=False)}
    for each in profile.timeline:
        if (used := curve.get(profile.nodes[each.node].name)) is not None:
            start = round(MICROSECONDS * each.start, 3)
            yield {"ph": "C", "name": PLANNED, "pid": 1, "ts": start, "args": {"bytes": used}}
