"""The key ``profile`` of the schema ``onnxcost/1``. Counts are integers, or fractions where shapes change from run to run."""

from __future__ import annotations

from typing import Any

from onnxcost.conventions import MACS
from onnxcost.profiled import Profile, ProfiledGroup, ProfiledNode, Spent
from onnxcost.schema import measured_to_dict


def profile_to_dict(profile: Profile) -> dict[str, Any]:
    """The document of a profile: the graph that was executed, what was measured without profiling, and the profile."""
    groups = profile.by_operator()
    return {
        **measured_to_dict(profile.report.graph, profile.measurement),
        "profile": {
            "runs": profile.runs,
            "run_seconds": list(profile.run_seconds),
            "profiled_seconds": profile.profiled_seconds,
            "node_seconds": profile.node_seconds,
            "overhead_seconds": profile.overhead,
            "latency_seconds": profile.latency,
            "added_seconds_per_execution": profile.added_seconds,
            "coverage": profile.coverage,
            "warnings": list(profile.warnings),
            "arena_peak_bytes": profile.memory.peak_bytes,
            "peak_activation_bytes": profile.peak_activation_bytes,
            "estimated_peak_activation_bytes": profile.report.memory.peak_activation_bytes,
            "weight_bytes": profile.report.memory.weight_bytes,
            "by_operator": [
                {**_operator(group, profile), "cumulative_share": share}
                for group, share in zip(groups, profile.cumulative_shares(groups), strict=True)
            ],
            "nodes": [_node(node, profile) for node in profile.nodes],
        },
    }


def _operator(group: ProfiledGroup, profile: Profile) -> dict[str, Any]:
    domain, op_type = group.key
    return {"op_type": op_type, "domain": domain, "nodes": len(group.nodes), **_spent(group, profile)}


def _node(node: ProfiledNode, profile: Profile) -> dict[str, Any]:
    counted = node.costs.costs[0].node
    return {
        "name": node.name,
        "op_type": node.op_type,
        "domain": node.domain,
        "scope": list(counted.scope),
        "provider": node.provider,
        **_spent(node, profile),
        "uncounted": node.reason or None,
    }


def _spent(spent: Spent, profile: Profile) -> dict[str, Any]:
    return {
        "executions": spent.executions_per_run,
        "seconds": spent.seconds,
        "share": profile.share((spent,)),
        "complete": spent.complete,
        "macs": spent.count(MACS),
        "flops": spent.flops,
        "read_bytes": spent.read_bytes,
        "write_bytes": spent.write_bytes,
        "flops_per_second": spent.flops_per_second,
        "bytes_per_second": spent.bytes_per_second,
    }
