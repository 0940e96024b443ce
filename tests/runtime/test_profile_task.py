"""How often a model is run to profile it, by a clock that only the runs move; and real models, profiled in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import repeat as forever
from pathlib import Path
from typing import Any

import pytest

import onnxcost
from onnxcost.errors import MeasurementError
from onnxcost.measurement import Settings
from onnxcost.runtime import profiler_tasks, session
from onnxcost.runtime.inputs.feeds import feeds_of
from onnxcost.runtime.node_matching import match_nodes
from onnxcost.runtime.profile import Profile
from onnxcost.runtime.profiler_tasks import open_profiled, repeat, run_profiled, serialize_kernels, warm_up
from onnxcost.runtime.protocol import Channel, Profiled, Progress, Request
from tests.test_models import MODELS


class Runs:
    """A clock, and runs that each take so many seconds of it."""

    def __init__(self, seconds: float) -> None:
        self.now = 0.0
        self.seconds = seconds

    def __iter__(self) -> Iterator[Callable[[], object]]:
        return forever(self._run)

    def _run(self) -> None:
        self.now += self.seconds

    def clock(self) -> float:
        return self.now


def ignored(message: object) -> None:
    """Nobody listens."""


@pytest.mark.parametrize(
    ("settings", "seconds", "expected"),
    [
        (Settings(), 2**-6, 20),  # 0.3 seconds
        (Settings(), 0.125, 10),
        (Settings(), 1.0, 5),  # 5 seconds
        (Settings(), 60.0, 3),
        (Settings(), 2**-20, 300),
        (Settings(runs=7), 2**-20, 7),
        (Settings(runs=1), 60.0, 1),
        (Settings(runs=1000), 2**-20, 1000),
        (Settings(seconds=1.0), 2**-5, 32),
        (Settings(seconds=1.0), 2.0, 10),
        (Settings(seconds=0.0), 2**-10, 10),
        (Settings(runs=5, seconds=1.0), 0.125, 8),
        (Settings(runs=5, seconds=1.0), 0.5, 5),
    ],
)
def test_runs_that_are_profiled(settings: Settings, seconds: float, expected: int) -> None:
    runs = Runs(seconds)
    assert repeat(iter(runs), settings, ignored, runs.clock) == expected


@pytest.mark.parametrize(
    ("settings", "seconds", "expected"),
    [
        (Settings(), 2**-6, 3),
        (Settings(), 0.5, 2),
        (Settings(), 60.0, 1),
        (Settings(warmup=5), 60.0, 5),
        (Settings(warmup=0), 2**-6, 1),
    ],
)
def test_runs_before_those_that_count(settings: Settings, seconds: float, expected: int) -> None:
    runs = Runs(seconds)
    assert warm_up(iter(runs), settings, ignored, runs.clock) == expected


def test_progress_goes_from_0_towards_1() -> None:
    said: list[Any] = []
    runs = Runs(0.125)
    repeat(iter(runs), Settings(runs=4), said.append, runs.clock)
    assert said == [Progress("profiling", share) for share in (0.0, 0.25, 0.5, 0.75)]


def request(model: Path, folder: Path, **changes: Any) -> Request:
    feeds = feeds_of(onnxcost.estimate(model).graph, {}, {})
    return Request("profile", str(model), feeds, Settings(runs=3, warmup=1, **changes), str(folder))


def profile(model: Path, folder: Path, **changes: Any) -> Profile:
    said: list[Any] = []
    run_profiled(request(model, folder, **changes), Channel(said.append, bool))
    found = said[-1]
    assert isinstance(found, Profiled)
    report = onnxcost.estimate(found.optimized or model)
    return Profile(report, match_nodes(found, report, onnxcost.estimate(model)), found.run_seconds, None, found.memory)


STORED = [MODELS / f"{name}_pytorch.onnx" for name in ("mnist_cnn", "text_transformer")]


@pytest.mark.parametrize("optimization", ["none", "basic", "extended", "all"])
@pytest.mark.parametrize("model", STORED, ids=lambda path: path.stem)
def test_all_time_is_in_nodes_whose_cost_is_known(model: Path, optimization: str, tmp_path: Path) -> None:
    found = profile(model, tmp_path, optimization=optimization)
    assert found.coverage == 1
    assert sum(node.flops for node in found.nodes) == found.report.flops
    assert found.runs == 3
    assert 0 < found.node_seconds < found.profiled_seconds


def test_activations_are_those_that_the_report_expects(tmp_path: Path) -> None:
    """onnxruntime blocks the channels of this model: the report of the graph that it writes says so."""
    found = profile(STORED[0], tmp_path)
    assert found.peak_activation_bytes in (None, found.report.memory.peak_activation_bytes)


def test_side_by_side(tmp_path: Path) -> None:
    assert profile(STORED[1], tmp_path, inter_threads=2, threads=1).coverage == 1


def test_only_the_graph_is_left_in_the_folder(tmp_path: Path) -> None:
    profile(STORED[1], tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["optimized.onnx"]


def test_a_graph_that_cannot_be_written_is_profiled_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = session.open_session

    def refuses_to_write(*arguments: Any, optimized_path: str = "", **others: Any) -> Any:
        if optimized_path:
            raise MeasurementError("Unable to serialize model as it contains compiled nodes")
        return real(*arguments, **others)

    monkeypatch.setattr(profiler_tasks, "open_session", refuses_to_write)
    found = profile(STORED[0], tmp_path)
    assert found.report.graph.path == str(STORED[0])
    assert 0 < found.coverage < 1
    assert {node.reason for node in found.uncounted} == {"it is not in the graph that onnxruntime wrote"}


def test_a_model_that_cannot_be_opened_says_so(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"no model")
    with pytest.raises(MeasurementError, match="not a complete ONNX model"):
        open_profiled(Request("profile", str(path), (), Settings(), str(tmp_path)))


@pytest.mark.parametrize(
    ("provider", "expected"),
    [
        ("cpu", {}),
        ("cuda", {"CUDA_LAUNCH_BLOCKING": "1"}),
        ("CUDAExecutionProvider", {"CUDA_LAUNCH_BLOCKING": "1"}),
        ("rocm", {"HIP_LAUNCH_BLOCKING": "1"}),
    ],
)
def test_kernels_of_a_device_run_one_after_the_other(
    provider: str, expected: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    environment: dict[str, str] = {}
    monkeypatch.setattr("os.environ", environment)
    serialize_kernels(provider)
    assert environment == expected
