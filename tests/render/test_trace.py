"""The trace of a profile: what the format of chrome://tracing asks for, and the sums of the profile."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

import onnxcost
from onnxcost.render.trace import ARENA, PLANNED, chrome_trace
from onnxcost.runtime.protocol import Slice
from tests.modeltext import model
from tests.render.test_profile import PROFILE

US = 1e-6
LINE = (
    Slice(run=0, node=0, thread=0, start=0.0, seconds=100 * US, own=40 * US, in_use=1000),
    Slice(run=0, node=1, thread=0, start=20 * US, seconds=60 * US, own=60 * US, in_use=3000),
    Slice(run=1, node=1, thread=1, start=200 * US, seconds=50 * US, own=50 * US),
)


def events(phase: str, **changes: Any) -> list[dict[str, Any]]:
    document = json.loads(chrome_trace(replace(PROFILE, timeline=LINE, **changes), PROFILE.report))
    return [event for event in document["traceEvents"] if event["ph"] == phase]


def test_slices_are_executions_on_the_tracks_of_their_threads() -> None:
    slices = events("X")
    assert [(each["ts"], each["dur"], each["tid"], each["args"]["run"]) for each in slices] == [
        (0, 100, 1, 0),
        (20, 60, 1, 0),
        (200, 50, 2, 1),
    ]
    assert [each["cat"] for each in slices] == ["node with bodies", "node", "node"]
    assert sum(each["args"]["own_us"] for each in slices) == 150
    assert [each["args"]["name"] for each in events("M")] == [events("M")[0]["args"]["name"], "thread 0", "thread 1"]


def test_a_slice_has_its_cost_and_its_origin() -> None:
    node = replace(PROFILE.nodes[0], origins=("conv1", "relu1"))
    first = events("X", nodes=(node, *PROFILE.nodes[1:]))[0]["args"]
    assert first["origins"] == "conv1, relu1"
    assert first["op_type"] == node.op_type
    assert first["flops"] == pytest.approx(node.flops / node.executions_per_run)
    assert first["read_bytes"] == pytest.approx(node.read_bytes / node.executions_per_run)


def test_the_counter_has_the_memory_after_each_node() -> None:
    measured = [each for each in events("C") if each["name"] == ARENA]
    assert [(each["ts"], each["args"]["bytes"]) for each in measured] == [(100, 1000), (80, 3000)]


def test_the_other_counter_has_the_estimate_while_each_node_runs() -> None:
    report = onnxcost.estimate(model("(float[1,8] x) => (float[1,8] y) { h = MatMul(x, w) y = Relu(h) }", w=(8, 8)))
    names = [cost.node.name for cost in report.costs]
    nodes = tuple(replace(node, name=name) for node, name in zip(PROFILE.nodes, names, strict=False))
    plan = report.memory.plan
    assert plan is not None
    curve = dict(zip([node.name for node in plan.nodes], plan.curve, strict=True))
    expected = [(round(each.start / US), curve[nodes[each.node].name]) for each in LINE]
    found = [each for each in events("C", report=report, nodes=nodes) if each["name"] == PLANNED]
    assert [(each["ts"], each["args"]["bytes"]) for each in found] == expected
    assert len({used for _, used in expected}) > 1


@pytest.mark.parametrize("name", ['"}]}</script>', "\x00\x1b[2J\r\n", "\u2028\u202eé", "\ud800"])
def test_names_are_json_strings(name: str) -> None:
    node = replace(PROFILE.nodes[0], name=name, origins=(name,), scope=(name,))
    found = events("X", nodes=(node, *PROFILE.nodes[1:]))[0]
    assert (found["name"], found["args"]["origins"], found["args"]["module"]) == (name, name, name)
    assert chrome_trace(replace(PROFILE, nodes=(node, *PROFILE.nodes[1:]), timeline=LINE), PROFILE.report).isascii()


def test_a_profile_without_a_time_line_is_an_empty_trace() -> None:
    document = json.loads(chrome_trace(PROFILE, PROFILE.report))
    assert {event["ph"] for event in document["traceEvents"]} == {"M"}
    assert document["otherData"]["node_seconds"] == PROFILE.node_seconds
