"""Profiles written by hand, whose every time can be added up in the head: the clock counts microseconds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from onnxcost.errors import MeasurementError
from onnxcost.runtime.ort_profile import Recorded, read_profile
from onnxcost.runtime.protocol import ArenaUse

Event = dict[str, Any]


def event(name: str, start: int, duration: int, category: str = "Session", thread: int = 1, **arguments: Any) -> Event:
    return {"cat": category, "tid": thread, "ts": start, "dur": duration, "name": name, "args": arguments}


def run(start: int, duration: int) -> Event:
    return event("model_run", start, duration)


def a_pass(start: int, duration: int, thread: int = 1) -> Event:
    return event("SequentialExecutor::Execute", start, duration, thread=thread)


def node(name: str, start: int, duration: int, thread: int = 1, **arguments: Any) -> Event:
    op_type, _, index = name.partition("_")
    known = {"op_name": op_type, "node_index": index or "0", "provider": "CPUExecutionProvider", **arguments}
    return event(f"{name}_kernel_time", start, duration, "Node", thread, **known)


def read(folder: Path, *events: Event, warmup: int = 0) -> Recorded:
    path = folder / "profile.json"
    path.write_text(json.dumps(events))
    return read_profile(str(path), warmup)


def microseconds(found: Recorded) -> dict[str, list[int]]:
    """The own times of the nodes, each by its name behind those of the nodes around it and the numbers of their bodies."""
    return {
        "/".join([*(f"{name}:{body}" for name, body in each.around), each.name]): [round(t * 1e6) for t in each.durations]
        for each in found.executed
    }


TWO_RUNS = [
    event("model_loading_uri", 0, 5),
    run(10, 20), a_pass(11, 18), node("Conv_3", 12, 9), node("Relu_1", 22, 5),
    run(40, 15), a_pass(41, 13), node("Conv_3", 42, 6), node("Relu_1", 49, 4),
]  # fmt: skip


@pytest.mark.parametrize(
    ("warmup", "seconds", "expected"),
    [(0, [20, 15], {"Conv_3": [9, 6], "Relu_1": [5, 4]}), (1, [15], {"Conv_3": [6], "Relu_1": [4]})],
)
def test_the_first_runs_can_be_left_out(
    tmp_path: Path, warmup: int, seconds: list[int], expected: dict[str, list[int]]
) -> None:
    found = read(tmp_path, *TWO_RUNS, warmup=warmup)
    assert microseconds(found) == expected
    assert [round(each * 1e6) for each in found.run_seconds] == seconds


def test_the_time_line_has_each_execution_on_its_thread(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        run(10, 20), a_pass(11, 18), node("Conv_3", 12, 9), node("Relu_1", 22, 5, 7, mem_bytes_in_use="64"),
        run(40, 15), a_pass(41, 13), node("Conv_3", 42, 6), node("Relu_1", 49, 4),
    )  # fmt: skip
    assert [
        (each.run, each.node, each.thread, round(each.start * 1e6), round(each.seconds * 1e6), each.in_use)
        for each in found.timeline
    ] == [(0, 0, 0, 2, 9, None), (0, 1, 1, 12, 5, 64), (1, 0, 0, 32, 6, None), (1, 1, 0, 39, 4, None)]
    assert sum(each.own for each in found.timeline) == pytest.approx(24e-6)


@pytest.mark.parametrize(("share", "kept"), [(1.0, [30, 10, 20]), (0.5, [10, 20]), (0.3, [10])])
def test_the_fastest_of_the_runs_can_be_kept(tmp_path: Path, share: float, kept: list[int]) -> None:
    """Of three runs behind one to warm up; half of three is two."""
    events = [
        [run(at, each), a_pass(at, each), node("Add_0", at, each - 1)] for at, each in ((0, 5), (100, 30), (200, 10), (300, 20))
    ]
    path = tmp_path / "profile.json"
    path.write_text(json.dumps([event for each in events for event in each]))
    found = read_profile(str(path), 1, share)
    assert [round(seconds * 1e6) for seconds in found.run_seconds] == kept
    assert microseconds(found) == {"Add_0": [each - 1 for each in kept]}


def test_what_is_told_of_a_node(tmp_path: Path) -> None:
    told = {"input_type_shape": [{"float": [2, 3]}, {"int64": []}], "output_type_shape": [{"double": [6]}]}
    (found,) = read(tmp_path, run(0, 9), a_pass(1, 7), node("Cast_7", 2, 3, **told, mem_in_use_peak="100",
                    mem_bytes_requested_in_use="50", mem_requested_in_use_delta="48")).executed  # fmt: skip
    assert (found.name, found.op_type, found.index, found.provider) == ("Cast_7", "Cast", 7, "CPUExecutionProvider")
    assert found.inputs == ((("float32", (2, 3)), ("int64", ())),)
    assert found.outputs == ((("float64", (6,)),),)
    assert found.in_use_peak == 100


@pytest.mark.parametrize(
    ("named", "dtype"), [("Float8E4M3FN", "float8e4m3fn"), ("Int4x2", "int4"), ("UInt2x4", "uint2"), ("bfloat16", "bfloat16")]
)
def test_element_types_have_our_names(tmp_path: Path, named: str, dtype: str) -> None:
    (found,) = read(tmp_path, run(0, 9), node("Cast", 2, 3, output_type_shape=[{named: [4]}])).executed
    assert found.outputs == (((dtype, (4,)),),)


LOOP = [
    run(0, 100), a_pass(1, 95), node("Loop_1", 2, 60),
    a_pass(5, 20), node("Add_0", 6, 8), node("Relu_2", 15, 6),
    a_pass(30, 25), node("Add_0", 31, 9), node("Relu_2", 45, 7),
    node("Relu_2", 70, 10),
]  # fmt: skip
NESTED = [
    run(0, 100), a_pass(1, 95), node("If_0", 2, 80), a_pass(4, 70), node("If_0", 6, 50), a_pass(7, 40), node("Add_0", 8, 30),
]  # fmt: skip
BRANCHES = [
    run(0, 40), a_pass(1, 38), node("If_0", 2, 30), a_pass(3, 20), node("Add_0", 4, 10),
    run(50, 40), a_pass(51, 38), node("If_0", 52, 30), a_pass(53, 25), node("Mul_0", 54, 11), node("Add_0", 66, 5),
    run(100, 40), a_pass(101, 38), node("If_0", 102, 30), a_pass(103, 22), node("Add_0", 104, 12),
]  # fmt: skip
SIDE_BY_SIDE = [
    run(0, 50), a_pass(1, 45), node("Conv_0", 2, 30), node("Conv_1", 3, 35, thread=2),
    node("If_2", 4, 40, thread=3), a_pass(5, 30, thread=3), node("Add_0", 6, 20, thread=3),
]  # fmt: skip


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        (LOOP, {"Loop_1": [15], "Loop_1:0/Add_0": [8, 9], "Loop_1:0/Relu_2": [6, 7], "Relu_2": [10]}),
        (NESTED, {"If_0": [10], "If_0:0/If_0": [10], "If_0:0/If_0:0/Add_0": [30]}),
        (BRANCHES, {"If_0": [10, 5, 8], "If_0:0/Add_0": [10, 12], "If_0:1/Mul_0": [11], "If_0:1/Add_0": [5]}),
        (SIDE_BY_SIDE, {"Conv_0": [30], "Conv_1": [35], "If_2": [10], "If_2:0/Add_0": [20]}),
    ],
    ids=["loop", "nested", "branches", "side by side"],
)
def test_the_time_of_a_body_is_not_that_of_its_node(
    tmp_path: Path, events: list[Event], expected: dict[str, list[int]]
) -> None:
    assert microseconds(read(tmp_path, *events)) == expected


def test_nodes_too_quick_for_the_clock_lie_side_by_side(tmp_path: Path) -> None:
    events = [run(0, 20), a_pass(1, 15), node("Relu_0", 2, 0), node("Relu_1", 2, 3), node("Relu_2", 5, 0), node("Relu_3", 5, 1)]
    assert microseconds(read(tmp_path, *events)) == {"Relu_0": [0], "Relu_1": [3], "Relu_2": [0], "Relu_3": [1]}


def test_a_run_that_was_not_recorded_to_its_end_is_left_out(tmp_path: Path) -> None:
    found = read(tmp_path, *TWO_RUNS, node("Conv_3", 70, 6))
    assert microseconds(found)["Conv_3"] == [9, 6]


def memory(requested: int, delta: int, peak: int, provider: str = "CPUExecutionProvider") -> dict[str, str]:
    told = {"mem_bytes_requested_in_use": requested, "mem_requested_in_use_delta": delta, "mem_in_use_peak": peak}
    return {"provider": provider} | {name: str(value) for name, value in told.items()}


def test_memory_is_that_of_the_first_run_above_what_was_there_before_it(tmp_path: Path) -> None:
    """Before the first node 1,000 bytes were in use. The second run has all its tensors before its first node."""
    first = [node("Conv_0", 2, 3, **memory(1400, 400, 2048)), node("Relu_1", 6, 3, **memory(1500, 100, 4096))]
    second = [node("Conv_0", 22, 3, **memory(1900, 0, 4096)), node("Relu_1", 26, 3, **memory(1910, 10, 8192))]
    assert read(tmp_path, run(0, 20), *first, run(21, 20), *second, warmup=1).memory == ArenaUse(8192, 500)


def test_memory_of_the_largest_arena(tmp_path: Path) -> None:
    nodes = [
        node("Conv_0", 2, 3, **memory(900, 900, 1024, "CUDAExecutionProvider")),
        node("Relu_1", 6, 3, **memory(64, 64, 256)),
    ]
    assert read(tmp_path, run(0, 20), *nodes).memory == ArenaUse(1024, 900)


def exact(requested: int, delta: int, peak: int) -> dict[str, str]:
    return memory(requested, delta, peak) | {"mem_bytes_in_use": str(requested + 20), "mem_in_use_delta": str(delta)}


def test_what_a_node_takes_while_it_runs_counts(tmp_path: Path) -> None:
    """In use were 20 bytes more than were requested; the first node's peak may be one of the time before it."""
    nodes = [node("Relu_0", 2, 3, **exact(1100, 100, 2020)), node("Conv_1", 6, 3, **exact(1200, 100, 3020))]
    assert read(tmp_path, run(0, 20), *nodes).memory == ArenaUse(3020, 2000)
    assert read(tmp_path, run(0, 20), *nodes[:1]).memory == ArenaUse(2020, 1000)
    after = node("Neg_1", 6, 3, **exact(1200, 100, 2020))
    assert read(tmp_path, run(0, 20), nodes[0], after).memory == ArenaUse(2020, 200, hidden_bytes=1000)


def test_memory_is_unknown_without_a_source(tmp_path: Path) -> None:
    assert read(tmp_path, *TWO_RUNS).memory == ArenaUse(None, None)


def test_a_profile_without_a_whole_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MeasurementError, match="no complete run"):
        read(tmp_path, *TWO_RUNS, warmup=2)


def test_a_profile_that_is_no_json_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "profile.json"
    path.write_text('[{"cat": "Ses')
    with pytest.raises(MeasurementError, match="is incomplete"):
        read_profile(str(path))
