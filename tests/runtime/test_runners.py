"""Runs by plain calls and with everything bound on a device: the latter by a stand-in, by the CPU as a device, and on a GPU."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate, chain, repeat
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from onnxcost.measurement import Copies, Placement, Settings
from onnxcost.runtime import providers
from onnxcost.runtime.machine import device_of
from onnxcost.runtime.providers import Provider
from onnxcost.runtime.session import COPIES_TIMED, Session, open_session, placement, runner
from tests.modeltext import model
from tests.runtime.standin import CPU, CUDA, Call, NodeArg, OrtValue, Runtime

X = np.arange(6, dtype=np.float32).reshape(2, 3)
DOUBLED = "(float[N,3] x) => (float[N,3] y, int64[2] s) { y = Add(x, x)  s = Shape(x) }"
needs_gpu = pytest.mark.skipif(
    CUDA not in onnxruntime.get_available_providers() or not device_of(Settings(provider="cuda")).name,
    reason="needs onnxruntime-gpu and an NVIDIA GPU",
)


def session_of(graph: str, folder: Path, settings: Settings = Settings()) -> Session:  # noqa: B008
    path = folder / "model.onnx"
    onnx.save(model(graph), path)
    return open_session(str(path), settings)


def on_cuda(runtime: Runtime) -> Session:
    session = open_session("model.onnx", Settings(provider="cuda", provider_options={"device_id": "1"}), runtime=runtime)
    runtime.calls.clear()
    return session


def test_a_plain_run_is_the_sessions_own_call(tmp_path: Path) -> None:
    session = session_of(DOUBLED, tmp_path)
    run = runner(session, [{"x": X}], "cpu").runs[0]
    assert (run.func, run.args, run.keywords) == (session.run, (["y", "s"], {"x": X}), {})  # type: ignore[attr-defined]


def test_each_set_of_inputs_has_its_run(tmp_path: Path) -> None:
    runs = runner(session_of(DOUBLED, tmp_path), [{"x": X}, {"x": X + 1}], "cpu").runs
    outputs: list[Any] = [run() for run in runs]
    assert [array.tolist() for array, _ in outputs] == [(2 * X).tolist(), (2 * X + 2).tolist()]


def test_plain_runs_have_no_copies_apart(tmp_path: Path) -> None:
    assert runner(session_of(DOUBLED, tmp_path), [{"x": X}], "cpu").copies() is None


def test_shapes_of_outputs_are_those_that_came_out(tmp_path: Path) -> None:
    graph = "(float[N,3] x) => (float[N,3] y, seq(float[N,3]) s) { y = Relu(x)  s = SequenceConstruct(x, x) }"
    assert runner(session_of(graph, tmp_path), [{"x": X}], "cpu").output_shapes() == [(2, 3), None]


PLACED: list[Call] = [("copy in", 1, "x", (2, 3)), ("inputs are there", 1), ("bind output", 1, "y", "cuda", 1)]


def test_inputs_are_on_the_device_before_the_runs_and_copied_once() -> None:
    runtime = Runtime()
    bound = runner(on_cuda(runtime), [{"x": X}], "cuda")
    assert runtime.calls == PLACED
    for _ in range(3):
        bound.runs[0]()
    assert runtime.calls == PLACED + 3 * [("run bound", 1), ("outputs are there", 1)]


def test_a_run_ends_when_the_device_is_done() -> None:
    runtime = Runtime()
    run = runner(on_cuda(runtime), [{"x": X}], "cuda").runs[0]
    runtime.calls.append(("clock starts",))
    run()
    runtime.calls.append(("clock stops",))
    assert runtime.calls[-4:] == [("clock starts",), ("run bound", 1), ("outputs are there", 1), ("clock stops",)]


def test_every_set_of_inputs_and_every_stream_has_buffers_of_its_own() -> None:
    runtime = Runtime()
    session = on_cuda(runtime)
    streams = [runner(session, [{"x": X}, {"x": X}], "cuda") for _ in range(2)]
    runtime.calls.clear()
    for run in chain.from_iterable(stream.runs for stream in streams):
        run()
    assert [call for call in runtime.calls if call[0] == "run bound"] == [("run bound", number) for number in (1, 2, 3, 4)]


def ticks(*durations: int) -> Iterator[int]:
    """Readings of a clock between whose pairs these nanoseconds pass."""
    return accumulate(chain.from_iterable(zip(repeat(0), durations, strict=False)))


def test_copies_are_timed_apart_and_their_medians_told() -> None:
    runtime = Runtime()
    there, back = [900, *range(100, 200, 10)], [9, *range(20, 30)]
    assert len(there) == len(back) == COPIES_TIMED
    bound = runner(on_cuda(runtime), [{"x": X}], "cuda", clock=ticks(*there, *back).__next__)
    runtime.calls.clear()
    assert bound.copies() == Copies(150e-9, 24e-9)
    assert runtime.calls == (
        [("run bound", 1), ("outputs are there", 1)]
        + COPIES_TIMED * [("copy in", 2, "x", (2, 3)), ("inputs are there", 2)]
        + COPIES_TIMED * [("copy out", 1)]
    )


def test_values_of_types_that_numpy_lacks_are_bound_as_they_are() -> None:
    runtime = Runtime()
    runner(on_cuda(runtime), [{"x": OrtValue((4,))}], "cuda")
    assert runtime.calls[0] == ("copy value in", 1, "x", (4,))


@pytest.mark.parametrize(
    "onnx_type", ["tensor(string)", "seq(tensor(float))", "optional(tensor(float))", "map(string,tensor(float))"]
)
def test_inputs_that_cannot_be_bound_are_fed_plainly(onnx_type: str) -> None:
    runtime = Runtime(inputs=[NodeArg("x"), NodeArg("z", onnx_type)])
    plain = runner(on_cuda(runtime), [{"x": X, "z": ["text"]}], "cuda")
    plain.runs[0]()
    assert runtime.calls == [("run", ("y",), ("x", "z"))]
    assert plain.copies() is None


def test_outputs_that_a_device_cannot_hold_stay_on_the_host() -> None:
    runtime = Runtime(outputs=[NodeArg("y"), NodeArg("s", "seq(tensor(float))")])
    runner(on_cuda(runtime), [{"x": X}], "cuda")
    assert runtime.calls[-2:] == [("bind output", 1, "y", "cuda", 1), ("bind output", 1, "s", "cpu", 0)]


@pytest.mark.parametrize("name", ["openvino", "coreml", "directml"])
def test_providers_without_a_device_of_their_own_are_called_plainly(name: str) -> None:
    runtime = Runtime(installed=[providers.PROVIDERS[name].key, CPU])
    opened = open_session("model.onnx", Settings(provider=name), runtime=runtime)
    assert runner(opened, [{"x": X}], name).copies() is None


@pytest.fixture
def cpu_as_a_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """onnxruntime binds inputs and outputs in the host's memory too: all but the copying is as on a GPU."""
    monkeypatch.setattr(providers, "PROVIDERS", {"cpu": Provider("cpu", CPU, "", "cpu")})


GRAPHS = {
    "tensors": (DOUBLED, {"x": X}, [(2 * X).tolist(), [2, 3]]),
    "a shape that depends on data": ("(float[N,3] x) => (int64[2,M] y) { y = NonZero(x) }", {"x": X}, [np.nonzero(X)]),
    "an empty output": ("(float[N,3] x) => (int64[2,M] y) { y = NonZero(x) }", {"x": 0 * X}, [[[], []]]),
    "two inputs, one on top of the other": (
        "(float[N,3] x, int64[K] i) => (float[K,3] y) { y = Gather<axis=0>(x, i) }",
        {"x": X, "i": np.array([1, 0])},
        [X[::-1].tolist()],
    ),
}


@pytest.mark.parametrize("graph", GRAPHS)
@pytest.mark.usefixtures("cpu_as_a_device")
def test_real_bound_runs_compute_what_plain_ones_do(graph: str, tmp_path: Path) -> None:
    text, feed, expected = GRAPHS[graph]
    bound: Any = runner(session_of(text, tmp_path), [feed], "cpu")
    for _ in range(2):
        bound.runs[0]()
    outputs = bound._bindings[0].copy_outputs_to_cpu()
    assert [array.tolist() for array in outputs] == [np.asarray(array).tolist() for array in expected]
    assert bound.output_shapes() == [np.shape(array) for array in outputs]
    assert min(bound.copies()) > 0


@pytest.mark.usefixtures("cpu_as_a_device")
def test_real_bound_runs_take_what_numpy_lacks_and_give_sequences(tmp_path: Path) -> None:
    graph = "(bfloat16[N] x) => (float[N] y, seq(float[N]) s) { y = Cast<to=1>(x)  s = SequenceConstruct(y, y) }"
    bits = np.array([0x3F80, 0x4000], np.uint16)  # 1 and 2
    value = onnxruntime.OrtValue.ortvalue_from_numpy_with_onnx_type(bits, onnx.TensorProto.BFLOAT16)
    bound: Any = runner(session_of(graph, tmp_path), [{"x": value}], "cpu")
    bound.runs[0]()
    assert bound._bindings[0].get_outputs()[0].numpy().tolist() == [1, 2]
    assert bound.output_shapes() == [(2,), None]


class Part:
    """As onnxruntime.OrtEpAssignedSubgraph."""

    def __init__(self, ep_name: str, *nodes: tuple[str, str]) -> None:
        self.ep_name, self.nodes = ep_name, nodes

    def get_nodes(self) -> Sequence[Any]:
        return [type("Node", (), {"name": name, "op_type": op_type}) for name, op_type in self.nodes]


class Placed:
    """As a session of onnxruntime that tells where it placed its nodes."""

    def __init__(self, *parts: Part) -> None:
        self.parts = parts

    def get_provider_graph_assignment_info(self) -> Sequence[Part]:
        return self.parts


PARTS = (Part(CPU, ("shape", "Shape")), Part(CUDA, ("one", "Conv"), ("two", "Relu")), Part(CPU, ("", "NonZero")))


def test_nodes_are_counted_by_provider_and_those_that_fell_back_are_named() -> None:
    expected = Placement({CUDA: 2, CPU: 2}, ("shape", "NonZero"))
    assert placement(Placed(*PARTS), "cuda") == expected


def test_on_the_cpu_nothing_falls_back() -> None:
    assert placement(Placed(Part(CPU, ("one", "Conv"))), "cpu") == Placement({CPU: 1})


def test_versions_that_do_not_tell_have_no_placement() -> None:
    assert placement(on_cuda(Runtime()), "cuda") is None


@pytest.mark.skipif(not hasattr(onnxruntime, "OrtEpAssignedNode"), reason="onnxruntime before 1.24 does not tell")
def test_real_sessions_tell_where_their_nodes_are(tmp_path: Path) -> None:
    assert placement(session_of(DOUBLED, tmp_path), "cpu") == Placement({CPU: 2})


@needs_gpu
def test_a_gpu_runs_a_model_end_to_end(tmp_path: Path) -> None:
    settings = Settings(provider="cuda")
    session = session_of("(float[N,3] x) => (float[N,3] y) { h = Relu(x)  y = Add(h, x) }", tmp_path, settings)
    bound: Any = runner(session, [{"x": X}, {"x": X + 1}], "cuda")
    for run in bound.runs:
        run()
    outputs = [binding.copy_outputs_to_cpu()[0].tolist() for binding in bound._bindings]
    assert outputs == [(2 * X).tolist(), (2 * X + 2).tolist()]
    assert [binding.get_outputs()[0].device_name() for binding in bound._bindings] == ["cuda", "cuda"]
    assert min(bound.copies()) > 0
    placed = placement(session, "cuda")
    assert placed is None or placed == Placement({CUDA: 2})
