"""The result of a profile: time, work and traffic of each executed node."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from statistics import fmean
from typing import TYPE_CHECKING, Any

from onnxcost.conventions import FLOPS, MACS, Convention
from onnxcost.costs import Group, Uncounted
from onnxcost.report import CostReport, measurements_to_dict
from onnxcost.results import Result, group_by
from onnxcost.runtime.protocol import ArenaUse, Slice

if TYPE_CHECKING:
    from onnxcost.measurement import Measurement


NOT_TOLD = ArenaUse()
MODULE_DEPTH = 2
"""How many levels of modules are distinguished."""
DISTORTED = 1.25
"""From this ratio of the nodes' times to the latency on, profiling distorts the shares."""


@dataclass(frozen=True)
class Spent:
    """Time and work of all ``executions`` in the ``runs`` that were profiled; the properties are the mean of one inference.

    ``costs`` are those of the executions: the ``repeat`` of a cost's node is the number of executions that it represents.
    """

    runs: int
    executions: int
    total_seconds: float
    costs: Group

    @property
    def seconds(self) -> float:
        """Time in one inference."""
        return self.total_seconds / self.runs

    @property
    def executions_per_run(self) -> float:
        """Executions in one inference."""
        return _mean(self.executions, self.runs)

    @property
    def complete(self) -> bool:
        """Whether all of it was counted; otherwise counts and rates are lower bounds."""
        return self.costs.complete

    def count(self, convention: Convention) -> float:
        """The number of one inference under a convention."""
        return _mean(self.costs.total(convention), self.runs)

    @property
    def flops(self) -> float:
        """The number in the convention ``flops``."""
        return self.count(FLOPS)

    @property
    def read_bytes(self) -> float:
        """Bytes read in one inference."""
        return _mean(self.costs.traffic.read_bytes, self.runs)

    @property
    def write_bytes(self) -> float:
        """Bytes written in one inference."""
        return _mean(self.costs.traffic.write_bytes, self.runs)

    @property
    def flops_per_second(self) -> float | None:
        """Achieved FLOP/s; None if nothing was counted, or if it was too fast for onnxruntime's clock."""
        return self._rate(self.flops)

    @property
    def bytes_per_second(self) -> float | None:
        """Achieved bytes/s, read and written; None as for ``flops_per_second``."""
        return self._rate(self.read_bytes + self.write_bytes)

    def _rate(self, amount: float) -> float | None:
        return amount / self.seconds if self.costs.counted and self.total_seconds else None


def _mean(total: int, runs: int) -> float:
    """An integer if it is one: shapes may change from run to run."""
    return total / runs if total % runs else total // runs


@dataclass(frozen=True)
class ProfiledNode(Spent):
    """A node as it was executed. Its time excludes that of the nodes in its bodies.

    ``costs`` has one cost for each combination of shapes that it was executed with. ``origins`` are the names of the nodes of
    the file that it computes: several if nodes were fused, none if onnxruntime added it. ``scope`` is the module of the origin
    with the most work.
    """

    name: str
    op_type: str
    domain: str
    provider: str
    origins: tuple[str, ...] = ()
    scope: tuple[str, ...] = ()

    @property
    def reason(self) -> str:
        """Why it, or part of it, was not counted; "" if it was."""
        return next((cost.reason for cost in self.costs.costs if isinstance(cost, Uncounted)), "")


@dataclass(frozen=True)
class ProfiledGroup(Spent):
    """The sum of some nodes; ``key`` is the tuple that names the group: (domain, op_type)."""

    key: tuple[str, ...]
    nodes: tuple[ProfiledNode, ...]


def sum_group(key: tuple[str, ...], nodes: tuple[ProfiledNode, ...]) -> ProfiledGroup:
    """The sum of nodes of one profile, at least one."""
    executions = sum(node.executions for node in nodes)
    total_seconds = sum(node.total_seconds for node in nodes)
    costs = Group(key, tuple(cost for node in nodes for cost in node.costs.costs))
    return ProfiledGroup(nodes[0].runs, executions, total_seconds, costs, key, nodes)


@dataclass(frozen=True, repr=False)
class Profile(Result):
    """The nodes of the graph that onnxruntime ran. ``report`` is the static cost of that graph; ``run_seconds`` are the
    profiled runs, which profiling makes longer. ``measurement`` was taken without profiling; None if there is none.
    ``interrupted``: Ctrl-C came before all runs were profiled. ``timeline`` are the executions of the nodes in these runs.
    """

    report: CostReport
    nodes: tuple[ProfiledNode, ...]
    run_seconds: tuple[float, ...]
    measurement: Measurement | None = None
    memory: ArenaUse = NOT_TOLD
    interrupted: bool = False
    timeline: tuple[Slice, ...] = ()

    @property
    def runs(self) -> int:
        """The number of profiled runs."""
        return len(self.run_seconds)

    @property
    def latency(self) -> float | None:
        """The median time of an inference without profiling."""
        return None if self.measurement is None else self.measurement.latency.median

    @property
    def profiled_seconds(self) -> float:
        """The mean time of a profiled run: the nodes, the gaps between them, and what profiling adds there."""
        return fmean(self.run_seconds)

    @cached_property
    def node_seconds(self) -> float:
        """The sum of the nodes' times in one inference. With nodes that run in parallel, it can be longer than the run."""
        return sum(node.seconds for node in self.nodes)

    @property
    def overhead(self) -> float:
        """The time of a profiled run outside its nodes."""
        return self.profiled_seconds - self.node_seconds

    @property
    def added_seconds(self) -> float | None:
        """The time that profiling adds to each execution of a node, on average: a few microseconds, most of the time of fast
        nodes. None if unknown: without a latency, or if other differences were larger.
        """
        executions = sum(node.executions_per_run for node in self.nodes)
        if self.latency is None or not executions or self.node_seconds <= self.latency:
            return None
        return (self.node_seconds - self.latency) / executions

    @property
    def warnings(self) -> tuple[str, ...]:
        """Reasons why the nodes' times may be unreliable."""
        if self.added_seconds is None or self.node_seconds <= DISTORTED * (self.latency or 0):
            return ()
        times = self.node_seconds / (self.latency or 1)
        return (
            f"with profiling, the nodes together take {times:.1f} times the model's latency: the time of short nodes is mostly "
            "profiling overhead, and their shares are unreliable",
        )

    @property
    def peak_activation_bytes(self) -> int | None:
        """The measured value of ``report.memory.peak_activation_bytes``; None if unknown."""
        return self.memory.peak_activation_bytes(self.report.graph)

    @property
    def uncounted(self) -> tuple[ProfiledNode, ...]:
        """The nodes whose cost is unknown, or known in part."""
        return tuple(node for node in self.nodes if not node.complete)

    @property
    def coverage(self) -> float:
        """The share of the nodes' time in nodes whose cost is known."""
        return 1 - self.share(self.uncounted)

    def share(self, spent: Iterable[Spent]) -> float:
        """The share of the nodes' time that they have together."""
        return sum(each.seconds for each in spent) / self.node_seconds if self.node_seconds else 0.0

    def cumulative_shares(self, spent: Iterable[Spent]) -> tuple[float, ...]:
        """For each, the share of it and all before it."""
        return tuple(accumulate(self.share((each,)) for each in spent))

    def by_time(self) -> tuple[ProfiledNode, ...]:
        """The nodes, slowest first."""
        return tuple(sorted(self.nodes, key=lambda node: -node.total_seconds))

    def by_operator(self) -> tuple[ProfiledGroup, ...]:
        """Groups keyed (domain, op_type), slowest first."""
        return self._grouped(lambda node: (node.domain, node.op_type))

    def by_scope(self, depth: int = MODULE_DEPTH) -> tuple[ProfiledGroup, ...]:
        """Groups keyed by the first ``depth`` parts of the module scope, slowest first; the empty key is for nodes without."""
        return self._grouped(lambda node: node.scope[:depth])

    def _grouped(self, key_of: Callable[[ProfiledNode], tuple[str, ...]]) -> tuple[ProfiledGroup, ...]:
        groups = [sum_group(key, tuple(nodes)) for key, nodes in group_by(self.nodes, key_of).items()]
        return tuple(sorted(groups, key=lambda group: -group.total_seconds))

    def to_dict(self) -> dict[str, Any]:
        """A document of the schema ``onnxcost/1``: the executed graph, the measurement without profiling, and the profile."""
        return {
            **measurements_to_dict(self.report.graph, self.measurement),
            "profile": {
                "interrupted": self.interrupted,
                "runs": self.runs,
                "run_seconds": list(self.run_seconds),
                "profiled_seconds": self.profiled_seconds,
                "node_seconds": self.node_seconds,
                "overhead_seconds": self.overhead,
                "latency_seconds": self.latency,
                "added_seconds_per_execution": self.added_seconds,
                "coverage": self.coverage,
                "warnings": list(self.warnings),
                "arena_peak_bytes": self.memory.peak_bytes,
                "peak_activation_bytes": self.peak_activation_bytes,
                "estimated_peak_activation_bytes": self.report.memory.peak_activation_bytes,
                "weight_bytes": self.report.memory.weight_bytes,
                "by_operator": self._rows(self.by_operator(), lambda key: {"op_type": key[1], "domain": key[0]}),
                "by_module": self._rows(self.by_scope(), lambda key: {"module": list(key)}),
                "nodes": [_node(node, self) for node in self.nodes],
            },
        }

    def _rows(self, groups: Sequence[ProfiledGroup], name: Callable[[tuple[str, ...]], dict[str, Any]]) -> list[dict[str, Any]]:
        """The entries of ``by_operator`` and ``by_module``, each with what ``name`` makes of its key."""
        return [
            {**name(group.key), "nodes": len(group.nodes), **spent_to_dict(group, self), "cumulative_share": share}
            for group, share in zip(groups, self.cumulative_shares(groups), strict=True)
        ]

    def to_records(self) -> list[dict[str, Any]]:
        """One row per node, in order of execution, under the keys of ``nodes`` of the JSON document."""
        return [{**_node(node, self), "scope": "/".join(node.scope), "origins": ", ".join(node.origins)} for node in self.nodes]

    def summary(self) -> str:
        """The model, its nodes' time, and how many runs were profiled."""
        graph = self.report.graph
        return f"{graph.path or graph.name}: {self.node_seconds:.6g} s in {len(self.nodes)} nodes, {self.runs} runs"


def _node(node: ProfiledNode, profile: Profile) -> dict[str, Any]:
    return {
        "name": node.name,
        "op_type": node.op_type,
        "domain": node.domain,
        "scope": list(node.scope),
        "origins": list(node.origins),
        "provider": node.provider,
        **spent_to_dict(node, profile),
        "uncounted": node.reason or None,
    }


def spent_to_dict(spent: Spent, profile: Profile) -> dict[str, Any]:
    """The time, the work and the rates, under the keys of an entry of ``nodes``."""
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
