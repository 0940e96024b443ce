"""A profile of two runs, whose every number can be worked out in the head."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from onnxcost.analysis.memory import Memory
from onnxcost.conventions import MACS
from onnxcost.costs import Counted, Group, NodeCost, Uncounted
from onnxcost.graph import Node, Work
from onnxcost.latency import Latency
from onnxcost.operators.traffic import Traffic
from onnxcost.ort_optimizer.memory_plan import MemoryPlan
from onnxcost.report import CostReport
from onnxcost.runtime.profile import Profile, ProfiledNode
from onnxcost.runtime.protocol import ArenaUse
from tests.graphs import graph, node, tensor

X, Y = tensor("x", 1, 8), tensor("y", 1, 8)


def counted(op_type: str, executions: int, adds: int = 0, macs: int = 0, read: int = 0, written: int = 0) -> Counted:
    made = replace(node(op_type, [X], [Y]), repeat=executions)
    # A sum of one product each, so that there are as many FLOPs as MACs.
    return Counted(made, Work(macs=macs, accumulators=macs, adds=adds), Traffic(read, written), "float32")


def timed(name: str, op_type: str, seconds: float, executions: int, *costs: NodeCost) -> ProfiledNode:
    return ProfiledNode(2, executions, seconds, Group(("", op_type), costs), name, op_type, "", "CPUExecutionProvider")


CONV = timed("conv", "Conv", 6.0, 2, counted("Conv", 2, macs=30, read=40, written=20))
ADD = timed(
    "loop/add", "Add", 1.0, 6, counted("Add", 4, adds=10, read=8, written=4), counted("Add", 2, adds=20, read=16, written=8)
)
OTHER = timed("other", "Add", 0.5, 2, counted("Add", 2, adds=8, read=8, written=8))
BRANCH = timed("if/neg", "Neg", 0.5, 1, counted("Neg", 1, adds=5))
LOST = timed("lost", "Mine", 2.0, 2, Uncounted(Node("lost", "Mine", "", (X,), (Y,)), "no formula"))
QUICK = timed("quick", "Relu", 0.0, 2, counted("Relu", 2, adds=8))


def profile_of(*nodes: ProfiledNode, **others: Any) -> Profile:
    made = graph([X, tensor("unread", 99)], [Y], node("Conv", [X], [Y]))
    report = CostReport(made, (), Memory(0, 0, 0, {}, lambda: MemoryPlan({"x": 96}, (), (), ())))
    return Profile(report, nodes, (6.0, 7.0), **others)


PROFILE = profile_of(CONV, ADD, OTHER, BRANCH, LOST)


@pytest.mark.parametrize(
    ("spent", "seconds", "executions", "flops", "moved"),
    [(CONV, 3.0, 1, 30, 60), (ADD, 0.5, 3, 40, 48), (OTHER, 0.25, 1, 8, 16), (BRANCH, 0.25, 0.5, 2.5, 0), (LOST, 1.0, 1, 0, 0)],
    ids=lambda spent: getattr(spent, "name", None),
)
def test_a_node_in_one_inference(spent: ProfiledNode, seconds: float, executions: float, flops: float, moved: float) -> None:
    assert (spent.seconds, spent.executions_per_run, spent.flops) == (seconds, executions, flops)
    assert spent.read_bytes + spent.write_bytes == moved
    assert spent.flops_per_second == (flops / seconds if spent.complete else None)
    assert spent.bytes_per_second == (moved / seconds if spent.complete else None)


def test_numbers_under_other_conventions() -> None:
    assert CONV.count(MACS) == 30
    assert isinstance(CONV.count(MACS), int)


def test_a_node_too_quick_for_the_clock_has_no_rate() -> None:
    assert QUICK.flops == 8
    assert QUICK.flops_per_second is None
    assert profile_of(QUICK).share((QUICK,)) == 0


def test_why_a_node_was_not_counted() -> None:
    assert (LOST.reason, CONV.reason) == ("no formula", "")


def test_times_are_reconciled() -> None:
    assert PROFILE.node_seconds == 5.0
    assert PROFILE.profiled_seconds == 6.5
    assert PROFILE.overhead == 1.5
    assert PROFILE.coverage == 0.8
    assert PROFILE.uncounted == (LOST,)
    assert PROFILE.latency is None


def test_a_profile_without_nodes_is_covered() -> None:
    empty = profile_of()
    assert (empty.coverage, empty.node_seconds, empty.by_operator()) == (1.0, 0, ())


def test_operators_slowest_first_with_their_cumulative_share() -> None:
    groups = PROFILE.by_operator()
    assert [(group.key, group.seconds, group.executions_per_run, group.flops) for group in groups] == [
        (("", "Conv"), 3.0, 1, 30), (("", "Mine"), 1.0, 1, 0), (("", "Add"), 0.75, 4, 48), (("", "Neg"), 0.25, 0.5, 2.5)
    ]  # fmt: skip
    assert PROFILE.cumulative_shares(groups) == pytest.approx((0.6, 0.8, 0.95, 1.0))
    assert [group.complete for group in groups] == [True, False, True, True]
    assert groups[2].nodes == (ADD, OTHER)
    assert groups[2].flops_per_second == 64


def test_modules_slowest_first() -> None:
    """A fused node belongs to the module of its origin with the most work; with a depth of 1 all are in one."""
    deep = [replace(node, scope=("net", place)) for node, place in ((CONV, "a"), (ADD, "b"), (OTHER, "b"))]
    found = [(group.key, group.seconds) for group in profile_of(*deep, LOST).by_scope()]
    assert found == [(("net", "a"), 3.0), ((), 1.0), (("net", "b"), 0.75)]
    assert [group.key for group in profile_of(*deep).by_scope(1)] == [("net",)]
    assert profile_of(*deep).to_dict()["profile"]["by_module"][1]["module"] == ["net", "b"]


def test_nodes_slowest_first() -> None:
    assert PROFILE.by_time() == (CONV, LOST, ADD, OTHER, BRANCH)


@pytest.mark.parametrize(("told", "expected"), [(64, 64 + 32), (None, None)])
def test_the_inputs_are_among_the_activations(told: int | None, expected: int | None) -> None:
    """The one that is read is of 8 floats."""
    assert profile_of(CONV, memory=ArenaUse(1024, told)).peak_activation_bytes == expected


class Measured:
    """What a profile reads of a measurement."""

    latency = Latency(np.array([3.0, 4.0, 11.0]))


def test_the_latency_is_the_median_without_profiling() -> None:
    assert profile_of(CONV, measurement=Measured()).latency == 4.0


@pytest.mark.parametrize(("nodes", "expected"), [((CONV, ADD, LOST), 0.1), ((CONV, ADD), None), ((), None)])
def test_what_profiling_adds_to_each_execution(nodes: tuple[ProfiledNode, ...], expected: float | None) -> None:
    """4.5 seconds instead of 4 in 1 + 3 + 1 executions; less than 4 seconds in the others."""
    assert profile_of(*nodes, measurement=Measured()).added_seconds == expected
    assert profile_of(*nodes).added_seconds is None


def test_as_plain_data() -> None:
    document = json.loads(json.dumps(profile_of(CONV, ADD, LOST, memory=ArenaUse(1024, 64)).to_dict()))
    assert document["schema"] == "onnxcost/1"
    assert document["measurement"] is None
    assert [each["name"] for each in document["inputs"]] == ["x", "unread"]
    profile = document["profile"]
    assert (profile["runs"], profile["node_seconds"], profile["profiled_seconds"]) == (2, 4.5, 6.5)
    assert (profile["arena_peak_bytes"], profile["peak_activation_bytes"]) == (1024, 96)
    assert profile["estimated_peak_activation_bytes"] == 96
    conv, add, lost = profile["nodes"]
    assert conv == {
        "name": "conv", "op_type": "Conv", "domain": "", "scope": [], "origins": [], "provider": "CPUExecutionProvider",
        "executions": 1, "seconds": 3.0, "share": pytest.approx(2 / 3), "complete": True, "macs": 30, "flops": 30,
        "read_bytes": 40, "write_bytes": 20, "flops_per_second": 10.0, "bytes_per_second": 20.0, "uncounted": None,
    }  # fmt: skip
    assert (add["executions"], add["flops"]) == (3, 40)
    assert (lost["complete"], lost["flops_per_second"], lost["uncounted"]) == (False, None, "no formula")
    assert [(each["op_type"], each["nodes"]) for each in profile["by_operator"]] == [("Conv", 1), ("Mine", 1), ("Add", 1)]
    assert [(each["module"], each["nodes"], each["share"]) for each in profile["by_module"]] == [([], 3, 1.0)]
    assert profile["by_operator"][-1]["cumulative_share"] == pytest.approx(1.0)


@pytest.mark.parametrize(("latency", "warns"), [(5.0, False), (4.0, False), (3.9, True), (1.0, True)])
def test_nodes_slower_than_the_model_are_warned_of(latency: float, warns: bool) -> None:
    """The nodes take 5 s together: 1.25 times 4 s."""
    measured = SimpleNamespace(latency=Latency(np.array([latency])))
    assert bool(replace(PROFILE, measurement=measured).warnings) == warns
