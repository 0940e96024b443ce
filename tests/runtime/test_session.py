"""Opening a model: the options that onnxruntime gets, and that no provider is quietly replaced by another."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
import pytest

import onnxcost
from onnxcost.errors import InputError, MeasurementError
from onnxcost.measurement import Settings
from onnxcost.runtime import session as session_module
from onnxcost.runtime.session import open_session, thread_counts
from tests.modeltext import model
from tests.runtime.standin import CPU, CUDA, Runtime

TENSORRT = "TensorrtExecutionProvider"
MISSING = (
    "\x1b[1;31m2026-01-02 03:04:05.6 [E:onnxruntime:Default, provider_bridge_ort.cc:2458 operator()] "
    "/onnxruntime_src/onnxruntime/core/session/provider_bridge_ort.cc:2043 onnxruntime::Provider& "
    "ProviderLibrary::Get() [ONNXRuntimeError] : 1 : FAIL : Failed to load library /x/libonnxruntime_providers_cuda.so "
    "with error: libcublasLt.so.13: cannot open shared object file: No such file or directory\n\x1b[m\n"
    "\x1b[0;93m2026-01-02 03:04:05.7 [W:onnxruntime:Default, onnxruntime_pybind_state.cc:1295 Create] Failed to create\x1b[m\n"
)


@pytest.fixture
def two_nodes(tmp_path: Path) -> str:
    path = tmp_path / "model.onnx"
    onnx.save(model("(float[N,4] x) => (float[N,3] y) { h = MatMul(x, w)  y = Relu(h) }", w=(4, 3)), path)
    return str(path)


class Opened(Exception):
    """Ends the opening where onnxruntime would begin."""


def options_for(settings: Settings, monkeypatch: pytest.MonkeyPatch, **arguments: str) -> Any:
    """The real SessionOptions that onnxruntime would get."""

    def stop(model: str, sess_options: Any, **_: Any) -> None:
        raise Opened(sess_options)

    monkeypatch.setattr(onnxruntime, "InferenceSession", stop)
    with pytest.raises(MeasurementError) as caught:
        open_session("model.onnx", settings, **arguments)
    assert isinstance(caught.value.__cause__, Opened)
    return caught.value.__cause__.args[0]


@pytest.mark.parametrize(
    ("name", "level"),
    [
        ("none", "ORT_DISABLE_ALL"),
        ("basic", "ORT_ENABLE_BASIC"),
        ("extended", "ORT_ENABLE_EXTENDED"),
        ("all", "ORT_ENABLE_ALL"),
    ],
)
def test_optimization_is_onnxruntimes_level(name: str, level: str, monkeypatch: pytest.MonkeyPatch) -> None:
    options = options_for(Settings(optimization=name), monkeypatch)
    assert options.graph_optimization_level == getattr(onnxruntime.GraphOptimizationLevel, level)


@pytest.mark.parametrize(
    ("settings", "intra", "inter", "mode"),
    [
        (Settings(), 0, 0, "ORT_SEQUENTIAL"),
        (Settings(threads=3), 3, 0, "ORT_SEQUENTIAL"),
        (Settings(inter_threads=1), 0, 0, "ORT_SEQUENTIAL"),
        (Settings(threads=1, inter_threads=2), 1, 2, "ORT_PARALLEL"),
    ],
)
def test_threads_are_set_only_where_they_are_given(
    settings: Settings, intra: int, inter: int, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = options_for(settings, monkeypatch)
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (intra, inter)
    assert options.execution_mode == getattr(onnxruntime.ExecutionMode, mode)


def test_nothing_is_profiled_or_written_unless_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    options = options_for(Settings(), monkeypatch)
    assert (options.enable_profiling, options.optimized_model_filepath) == (False, "")


@pytest.mark.parametrize("optimization", ["none", "all"])
def test_the_graph_that_runs_and_its_profile_are_written(optimization: str, two_nodes: str, tmp_path: Path) -> None:
    written = tmp_path / "optimized.onnx"
    settings = Settings(optimization=optimization)
    opened = open_session(two_nodes, settings, profile_prefix=str(tmp_path / "profile"), optimized_path=str(written))
    assert [node.op_type for node in onnx.load(written, load_external_data=False).graph.node] == ["MatMul", "Relu"]
    assert Path(opened.end_profiling()).parent == tmp_path


def test_large_weights_of_the_written_graph_are_next_to_it(tmp_path: Path) -> None:
    source, written = tmp_path / "model.onnx", tmp_path / "optimized.onnx"
    onnx.save(model("(float[N,100] x) => (float[N,100] y) { y = MatMul(x, w) }", w=(100, 100)), source)
    open_session(str(source), Settings(), optimized_path=str(written))
    assert written.stat().st_size < 1000
    assert (tmp_path / "optimized.onnx.weights").stat().st_size == 100 * 100 * 4


def test_a_model_with_weights_in_another_file_opens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model.onnx"
    proto = model("(float[N,100] x) => (float[N,100] y) { y = MatMul(x, w) }", w=(100, 100))
    onnx.save(proto, path, save_as_external_data=True, location="model.data")
    monkeypatch.chdir("/")
    assert open_session(str(path), Settings()).get_providers() == [CPU]


def test_opening_prints_nothing(two_nodes: str, capfd: pytest.CaptureFixture[str]) -> None:
    open_session(two_nodes, Settings())
    assert capfd.readouterr() == ("", "")


def test_what_onnxruntime_refuses_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"no model")
    with pytest.raises(MeasurementError, match=r"^the file is not a complete ONNX model$"):
        open_session(str(path), Settings())


@pytest.mark.parametrize(
    ("settings", "chain"),
    [
        (Settings(), [(CPU, {})]),
        (Settings(provider="cuda"), [(CUDA, {}), (CPU, {})]),
        (Settings(provider="cuda", provider_options={"device_id": "1"}), [(CUDA, {"device_id": "1"}), (CPU, {})]),
        (
            Settings(provider="tensorrt", provider_options={"trt_fp16_enable": "1", "device_id": "1"}),
            [(TENSORRT, {"trt_fp16_enable": "1", "device_id": "1"}), (CUDA, {"device_id": "1"}), (CPU, {})],
        ),
    ],
)
def test_nodes_are_offered_to_the_provider_first_with_its_options(settings: Settings, chain: list[Any]) -> None:
    opened = open_session("model.onnx", settings, runtime=Runtime(installed=[TENSORRT, CUDA, CPU]))
    assert opened.get_providers() == [key for key, _ in chain]
    assert [opened.options[key] for key, _ in chain] == [{"device_id": "0", **options} for _, options in chain]


def test_onnxruntime_is_not_to_fall_back_and_has_its_libraries() -> None:
    runtime = Runtime()
    open_session("model.onnx", Settings(provider="cuda"), runtime=runtime)
    assert runtime.calls == [("libraries loaded",), ("opened", "model.onnx", [CUDA, CPU], 0), ("no fall-back",)]


def test_real_sessions_do_not_fall_back_at_a_run(two_nodes: str) -> None:
    assert open_session(two_nodes, Settings())._enable_fallback is False


def test_a_provider_that_is_not_built_in_is_an_error() -> None:
    with pytest.raises(MeasurementError, match="pip install onnxruntime-gpu"):
        open_session("model.onnx", Settings(provider="cuda"), runtime=Runtime(installed=[CPU]))


def test_a_provider_that_cannot_be_started_is_an_error_with_onnxruntimes_reason() -> None:
    with pytest.raises(MeasurementError) as caught:
        open_session("model.onnx", Settings(provider="cuda"), runtime=Runtime(broken={CUDA: MISSING}))
    assert str(caught.value) == (
        "onnxruntime cannot start the provider 'cuda' (CUDAExecutionProvider): "
        "the shared library libcublasLt.so.13 is missing; "
        "it needs an NVIDIA driver, CUDA and cuDNN (pip install onnxruntime-gpu[cuda,cudnn])"
    )


def test_a_reason_is_looked_for_in_all_that_is_printed_and_raised(capfd: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        print("printed")
        os.write(2, b"logged")
        raise RuntimeError("raised")

    assert session_module._capture_output(fail).split() == ["logged", "printed", "raised"]
    os.write(2, b"after")
    assert capfd.readouterr() == ("", "after")


def test_options_that_the_cpu_does_not_have_are_refused() -> None:
    with pytest.raises(InputError, match="the provider 'cpu' accepts no options, but device_id was given"):
        open_session("model.onnx", Settings(provider_options={"device_id": "1"}))


def test_the_model_that_questions_are_asked_with_is_one() -> None:
    proto = onnx.load_from_string(session_module._IDENTITY)
    onnx.checker.check_model(proto, full_check=True)
    assert [node.op_type for node in proto.graph.node] == ["Identity"]


@pytest.mark.parametrize(
    ("settings", "threads"),
    [
        (Settings(threads=5), (5, 1)),
        (Settings(threads=1, inter_threads=3), (1, 3)),
        (Settings(threads=2, inter_threads=1), (2, 1)),
    ],
)
def test_threads_that_are_given_are_those_that_there_are(settings: Settings, threads: tuple[int, int]) -> None:
    assert thread_counts(settings) == threads


COUNT = """
import json, sys
import numpy as np
from onnxcost.runtime.session import open_session, thread_counts
from onnxcost.measurement import Settings
session = open_session(sys.argv[1], Settings(), profile_prefix=sys.argv[2])
session.run(None, {"x": np.zeros((64, 512), np.float32)})
events = json.load(open(session.end_profiling()))
pool = next(event["args"]["thread_scheduling_stats"] for event in events if event["name"].endswith("_kernel_time"))
print(1 + len(pool["sub_threads"]) if pool else 1, *thread_counts(Settings()))
"""


def test_the_threads_that_onnxruntime_chooses_are_those_of_its_profile(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(model("(float[N,512] x) => (float[N,512] y) { y = MatMul(x, w) }", w=(512, 512)), path)
    command = [sys.executable, "-c", COUNT, str(path), str(tmp_path / "profile")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    profiled, intra, inter = map(int, done.stdout.split())
    assert (intra, inter) == (profiled, 1)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere file names are Unicode")
def test_a_model_whose_name_is_not_utf8_is_not_measured_but_counted(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"m\xff.onnx")
    path.write_bytes(model("(float[2] x) => (float[2] y) { y = Relu(x) }").SerializeToString())
    assert onnxcost.estimate(path).macs == 0
    with pytest.raises(MeasurementError, match="only paths in UTF-8"):
        onnxcost.measure(path)
