"""The child's side of a trace: one run, unoptimized and profiled, as a tree."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

import onnxcost
from onnxcost.errors import MeasurementError
from onnxcost.frontend.trace import Trace, name_of
from onnxcost.measurement import Settings
from onnxcost.runtime import profiler_tasks
from onnxcost.runtime.inputs.feeds import feeds_of
from onnxcost.runtime.protocol import Channel, Feed, Progress, Request
from onnxcost.runtime.supervisor import answers
from tests.modeltext import model

BRANCHES = """(float[4] x, bool c, int64[2] k) => (float[N] y) {
    y = If (c) <then_branch = t () => (float[N] a) { a = Relu(x) }, else_branch = e () => (float[N] b) { b = Reshape(x, k) }>
    }"""


def request(folder: Path, proto: ModelProto, fed: dict[str, Any], **settings: Any) -> Request:
    path = folder / "model.onnx"
    path.write_bytes(proto.SerializeToString())
    feeds: tuple[Feed, ...] = feeds_of(onnxcost.estimate(path).graph, fed, {})
    return Request("trace", str(path), feeds, Settings(**settings), str(folder))


def said(asked: Request) -> list[object]:
    messages: list[object] = []
    profiler_tasks.run_traced(asked, Channel(messages.append, bool))
    return messages


def test_says_what_it_is_at_and_then_the_trace(tmp_path: Path) -> None:
    *progress, trace = said(request(tmp_path, model(BRANCHES), {"c": False, "k": [2, 2]}))
    assert [each.phase for each in progress if isinstance(each, Progress)] == ["loading", "tracing"]
    assert isinstance(trace, Trace)
    chosen = trace.main.executions["y"]
    assert chosen.outputs == (("float32", (2, 2)),)
    assert chosen.bodies.keys() == {"else_branch"}
    assert [used.name for used in trace.inputs] == ["x", "c", "k"]


def test_says_the_values_of_the_inputs_that_may_decide(tmp_path: Path) -> None:
    trace = said(request(tmp_path, model(BRANCHES), {"c": False, "k": [2, 2]}))[-1]
    assert isinstance(trace, Trace)
    assert {name: np.asarray(value).tolist() for name, value in trace.values.items()} == {"c": False, "k": [2, 2]}


def test_says_sequences_but_no_large_tensors(tmp_path: Path) -> None:
    ids = helper.make_tensor_value_info("ids", TensorProto.INT64, (100,))
    held = helper.make_tensor_sequence_value_info("held", TensorProto.FLOAT, (2, 3))
    made = [
        helper.make_tensor_value_info("n", TensorProto.INT64, ()),
        helper.make_tensor_value_info("y", TensorProto.INT64, (100,)),
    ]
    nodes = [helper.make_node("SequenceLength", ["held"], ["n"]), helper.make_node("Abs", ["ids"], ["y"])]
    proto = helper.make_model(helper.make_graph(nodes, "g", [ids, held], made), opset_imports=[helper.make_opsetid("", 17)])
    proto.ir_version = 8
    trace = said(request(tmp_path, proto, {"held": [np.ones((2, 3), np.float32)]}))[-1]
    assert isinstance(trace, Trace)
    assert [np.shape(item) for item in trace.values["held"]] == [(2, 3)]
    assert trace.values.keys() == {"held"}


def test_comes_through_the_pipe_of_the_child(tmp_path: Path) -> None:
    asked = request(tmp_path, model(BRANCHES), {"c": True, "k": [2, 2]})
    (trace,) = (each for each in answers(asked, None) if isinstance(each, Trace))
    report = onnxcost.estimate(asked.model, trace=trace)
    assert (report.flops, report.bound, report.uncounted) == (4, "", ())


def test_a_run_that_fails_is_told_as_one_line(tmp_path: Path) -> None:
    asked = request(tmp_path, model(BRANCHES), {"c": False, "k": [3, 3]})
    with pytest.raises(MeasurementError, match="If 'y' failed: The input tensor cannot be reshaped"):
        list(answers(asked, None))


class Recorder:
    """In the place of a session: notes how it was opened and writes the profile that it is told to."""

    def __init__(self, profile: Path, events: list[dict[str, Any]]) -> None:
        self.profile, self.events, self.opened = profile, events, dict[str, Any]()

    def open(self, proto: bytes, settings: Settings, **arguments: Any) -> Recorder:
        self.opened = {"settings": settings, **arguments}
        return self

    def run(self, outputs: None, feed: dict[str, Any]) -> None: ...

    def end_profiling(self) -> str:
        self.profile.write_text(json.dumps(self.events))
        return str(self.profile)


NODE = {"cat": "Node", "name": f"{name_of(('', 'y'))}_kernel_time", "args": {"output_type_shape": [{"float": [4]}]}}
OTHERS = [
    {"cat": "Node", "name": "InsertedCast_kernel_time", "args": {"output_type_shape": [{"float16": [4]}]}},
    {"cat": "Session", "name": "SequentialExecutor::Execute", "args": {}},
]
END = {"cat": "Session", "name": "model_run", "args": {}}


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Recorder:
    made = Recorder(tmp_path / "profile.json", [NODE, *OTHERS, END])
    monkeypatch.setattr(profiler_tasks, "open_session", made.open)
    return made


def test_nodes_that_the_runtime_added_are_left_out(tmp_path: Path, recorder: Recorder) -> None:
    trace = said(request(tmp_path, model(BRANCHES), {}))[-1]
    assert isinstance(trace, Trace)
    assert {name: each.outputs for name, each in trace.main.executions.items()} == {"y": (("float32", (4,)),)}


def test_runs_unoptimized_on_the_cpu_one_node_after_the_other(tmp_path: Path, recorder: Recorder) -> None:
    said(
        request(tmp_path, model(BRANCHES), {}, provider="cuda", provider_options={"device_id": "1"}, inter_threads=4, threads=2)
    )
    settings = recorder.opened["settings"]
    assert (settings.provider, settings.provider_options, settings.optimization) == ("cpu", {}, "none")
    assert (settings.inter_threads, settings.threads) == (None, 2)
    assert Path(recorder.opened["profile_prefix"]).parent == tmp_path


def test_a_profile_that_breaks_off_is_no_trace(tmp_path: Path, recorder: Recorder) -> None:
    recorder.events = [NODE] * 3
    with pytest.raises(MeasurementError, match=r"more nodes than onnxruntime's profiler can record \(3\)"):
        said(request(tmp_path, model(BRANCHES), {}))


def test_weights_are_found_in_the_folder_of_the_model(tmp_path: Path) -> None:
    import onnx

    weight = np.arange(8, dtype=np.float32).reshape(4, 2)
    proto = model("(float[1,4] x) => (float[N] y) { m = MatMul(x, w) n = NonZero(m) y = Cast <to = 1> (n) }")
    proto.graph.initializer.append(numpy_helper.from_array(weight, "w"))
    (tmp_path / "origin").mkdir()
    onnx.save(proto, tmp_path / "origin" / "m.onnx", save_as_external_data=True, location="w.bin", size_threshold=0)
    asked = request(tmp_path, proto, {"x": np.eye(1, 4, dtype=np.float32)})
    trace = said(Request("trace", str(tmp_path / "origin" / "m.onnx"), asked.feeds, Settings(), str(tmp_path)))[-1]
    assert isinstance(trace, Trace)
    assert trace.main.executions["n"].outputs == (("int64", (2, 1)),)


@pytest.mark.skipif(os.name != "posix", reason="links")
def test_a_linked_model_is_traced_with_the_weights_next_to_its_target(tmp_path: Path) -> None:
    """As in the caches of model hubs, where names are links to files whose names are hashes."""
    proto = model(
        """(float[1,2] x, bool c) => (float[1,2] y) {
        z = Add(x, w)
        y = If (c) <then_branch = t () => (float[1,2] a) { a = Add(z, v) }, else_branch = e () => (float[1,2] b) { b = Neg(z) }>
        }"""
    )
    for name, graph in (("w", proto.graph), ("v", proto.graph.node[1].attribute[0].g)):
        weight = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[2], data_location=TensorProto.EXTERNAL)
        weight.external_data.add(key="location", value="data.bin")
        graph.initializer.append(weight)
    for folder in ("blobs", "snapshot"):
        (tmp_path / folder).mkdir()
    (tmp_path / "blobs" / "a1").write_bytes(proto.SerializeToString())
    (tmp_path / "blobs" / "b2").write_bytes(bytes(8))
    (tmp_path / "snapshot" / "model.onnx").symlink_to("../blobs/a1")
    (tmp_path / "snapshot" / "data.bin").symlink_to("../blobs/b2")
    report = onnxcost.trace(tmp_path / "snapshot" / "model.onnx", values={"c": True})
    assert [node.op_type for node in report.graph.nodes] == ["Add", "Add", "If"]
