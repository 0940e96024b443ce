"""The steps of a decoder in the child: what each is fed with, and the cache that one step leaves for the next."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import ModelProto, numpy_helper

from onnxcost.generation import run
from onnxcost.generation.run import run_llm
from onnxcost.measurement import Settings
from onnxcost.runtime import generate
from onnxcost.runtime.generate import BASE_PAST, GenerationRequest, Leg, LegTimes, StepInput
from onnxcost.runtime.inputs.input_roles import Repeated
from onnxcost.runtime.protocol import Channel, Feed, Progress, RunState
from onnxcost.runtime.session import open_session
from tests.generation.small import DECODER, SHARED, randomize


class Fed(generate._Generation):
    """Keeps what each step is fed with."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.steps: list[dict[str, Any]] = []

    def _arrays(self, new: int) -> Iterator[tuple[str, Any]]:
        found = dict(super()._arrays(new))
        self.steps.append(found)
        yield from found.items()


def request_for(path: Path, monkeypatch: pytest.MonkeyPatch, **settings: Any) -> GenerationRequest:
    """What the parent asks of the child for a prompt of 5 tokens and 4 more, and for 4 at 9."""
    asked: list[GenerationRequest] = []

    def answers(request: GenerationRequest, on_progress: object) -> Iterator[object]:
        asked.append(request)
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "answers", answers)
    with pytest.raises(KeyboardInterrupt):
        run_llm(path, prompt=5, contexts=[9], tokens=4, **settings)
    return asked[0]


def save(proto: ModelProto, folder: Path, *, shares: bool = False) -> tuple[Path, dict[str, np.ndarray[Any, Any]]]:
    made = randomize(proto)
    (folder / "model.onnx").write_bytes(made.SerializeToString())
    if shares:
        config = {"model": {"decoder": {}}, "search": {"past_present_share_buffer": True}}
        (folder / "genai_config.json").write_text(json.dumps(config))
    return folder / "model.onnx", {each.name: numpy_helper.to_array(each) for each in made.graph.initializer}


def keys(weights: dict[str, np.ndarray[Any, Any]], ids: Any, name: str, size: int) -> Any:
    """The keys of tokens, (batch, heads, tokens, size)."""
    return (weights["table"][ids] @ weights[name]).reshape(*ids.shape, 2, size).transpose(0, 2, 1, 3)


@pytest.mark.parametrize("batch", [1, 3])
def test_the_cache_of_a_step_is_the_past_of_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch: int) -> None:
    path, weights = save(DECODER, tmp_path)
    request = request_for(path, monkeypatch, batch=batch)
    assert not request.shares_buffer
    steps = Fed(open_session(request.model, Settings()), request, Leg(5, True, 4), Channel([].append, bool), 0)
    steps._start(0)
    for new in (5, 1, 1, 1):
        steps._step(new)
    ids = np.concatenate([step["input_ids"] for step in steps.steps], axis=1)
    assert ids.shape == (batch, 8)
    assert steps.held.keys() == {"past_key", "past_value"}
    np.testing.assert_allclose(steps.held["past_key"].numpy(), keys(weights, ids, "wq", 4), rtol=1e-4, atol=1e-5)


def test_a_shared_buffer_is_written_in_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, weights = save(SHARED, tmp_path, shares=True)
    request = request_for(path, monkeypatch)
    assert request.shares_buffer
    steps = Fed(open_session(request.model, Settings()), request, request.legs[0], Channel([].append, bool), 0)
    steps._start(0)
    buffer = steps.held["past_key"]
    assert buffer.shape() == [1, 2, 13, 8]
    for new in (5, 1, 1):
        steps._step(new)
    assert steps.held["past_key"] is buffer
    ids = np.concatenate([step["input_ids"] for step in steps.steps], axis=1)
    np.testing.assert_allclose(buffer.numpy()[:, :, :7], keys(weights, ids, "wk", 8), rtol=1e-4, atol=1e-5)
    lengths = [(step["seqlens_k"].tolist(), step["total_sequence_length"].tolist()) for step in steps.steps]
    assert lengths == [([4], 5), ([5], 6), ([6], 7)]


def test_a_synthetic_cache_has_the_tokens_of_the_context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    request = request_for(save(DECODER, tmp_path)[0], monkeypatch)
    steps = Fed(open_session(request.model, Settings()), request, request.legs[1], Channel([].append, bool), 1)
    steps._start(9)
    assert steps.held["past_key"].shape() == [1, 2, 9, 4]
    steps._step(1)
    assert steps.held["past_key"].shape() == [1, 2, 10, 4]


@pytest.mark.parametrize(
    ("kind", "dtype", "shape", "by_past", "by_new", "numbers", "expected"),
    [
        ("positions", "int64", (1, 1), (0, 0), (0, 1), None, [[20, 21, 22]]),
        ("positions", "int32", (1,), (0,), (1,), None, [20, 21, 22]),
        ("positions", "int64", (3, 1, 1), (0, 0, 0), (0, 0, 1), None, [[[20, 21, 22]]] * 3),
        ("fill", "int64", (1, 17), (0, 1), (0, 1), None, [[1] * 23]),
        ("numbers", "int32", (1,), (0,), (0,), (np.array([16]), np.array([1]), np.array([1])), [22]),
        ("switch", "bool", (1,), (0,), (0,), None, [True]),
    ],
)
def test_what_a_step_is_fed_with(
    kind: str, dtype: str, shape: Any, by_past: Any, by_new: Any, numbers: Any, expected: Any
) -> None:
    """Three new tokens on twenty."""
    feed = Feed("x", dtype, shape, Repeated((1,)), "")
    step = StepInput(feed, by_past, by_new, kind, numbers)
    request = GenerationRequest("generate", "", (), Settings(), "", (step,), (), (Leg(20, False, 1),))

    class Session:
        def get_outputs(self) -> list[Any]:
            return []

    generation = generate._Generation(Session(), request, request.legs[0], Channel([].append, bool), 0)
    generation.past = 20
    ((_, array),) = generation._arrays(3)
    assert array.tolist() == expected
    assert str(array.dtype) == dtype
    assert BASE_PAST == 16


def test_the_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[Any] = []
    request = request_for(save(DECODER, tmp_path)[0], monkeypatch, runs=2)
    generate.run_generation(request, Channel(said.append, bool))
    assert {message.phase for message in said if isinstance(message, Progress)} == {"loading", "first run", "measuring"}
    assert all(message.done is None or 0 <= message.done <= 1 for message in said if isinstance(message, Progress))
    kinds = [type(message).__name__ for message in said if not isinstance(message, Progress)]
    assert kinds == ["LegTimes", "RunState"] * 2
    first, second = (message for message in said if isinstance(message, LegTimes))
    assert (len(first.prompts), len(first.tokens)) == (2, 4)
    assert (len(second.prompts), len(second.tokens), second.first_prompt) == (0, 4, None)
    assert isinstance(said[-1], RunState)
    assert [used.name for used in said[-1].inputs] == ["input_ids"]


def test_a_call_ends_it_with_what_there_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[Any] = []
    request = request_for(save(DECODER, tmp_path)[0], monkeypatch)
    generate.run_generation(request, Channel(said.append, bool, lambda: True))
    (times,) = (message for message in said if isinstance(message, LegTimes))
    assert (len(times.prompts), len(times.tokens)) == (1, 1)
    assert isinstance(said[-1], RunState)
