"""``run_llm``: a decoder that runs in a child process, what it gives, and how it fails."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from onnxcost.errors import InputError, MeasurementError
from onnxcost.frontend.strip import strip
from onnxcost.generation import run
from onnxcost.generation.decoder import StepSizes, read_decoder
from onnxcost.generation.run import DEFAULT_PROMPT, GenerationRun, plan_legs, predict_turns, run_llm
from onnxcost.hardware.roofline import Roofline
from onnxcost.processes import STOP
from onnxcost.results import Result
from onnxcost.runtime.generate import GenerationRequest, Leg, LegTimes
from onnxcost.runtime.protocol import RunState
from onnxcost.spec import ModelSpec
from tests.generation.exports import read_archive
from tests.generation.small import DECODER, ENCODER, SHARED, decoder, randomize
from tests.hardware.machines import machine
from tests.modeltext import model


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> GenerationRun:
    path = tmp_path_factory.mktemp("run") / "model.onnx"
    path.write_bytes(randomize(DECODER).SerializeToString())
    return run_llm(path, prompt=6, contexts=[20], tokens=5, runs=2, threads=1)


def test_a_decoder_that_runs(found: GenerationRun) -> None:
    prompt, later = found.turns
    assert (prompt.context, len(prompt.prompts), len(prompt.tokens)) == (6, 2, 5)
    assert (later.context, len(later.prompts), len(later.tokens)) == (20, 0, 5)
    assert prompt.ttft is not None
    assert later.ttft is None
    assert prompt.per_token is not None
    assert prompt.tokens_per_second(1) == 1 / prompt.per_token.median
    assert prompt.loop_seconds > prompt.tokens.sum()
    assert (found.weights, found.batch, found.threads[0], found.interrupted) == ("stored", 1, 1, False)


def test_it_is_a_result(found: GenerationRun) -> None:
    assert isinstance(found, Result)
    document = json.loads(json.dumps(found.to_dict()))["generation"]
    assert [each["context"] for each in document["contexts"]] == [6, 20]
    assert document["contexts"][0]["ttft"]["median"] == found.turns[0].ttft.median  # type: ignore[union-attr]
    assert document["contexts"][1]["ttft"] is None
    assert [row["context"] for row in found.to_records()] == [6, 20]
    assert "tokens/s at 6" in repr(found)


def test_absent_weights_are_synthetic(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(decoder(words=4096).SerializeToString())
    strip(tmp_path / "model.onnx", tmp_path / "stripped.onnx")
    assert run_llm(tmp_path / "stripped.onnx", prompt=3, tokens=2, runs=1).weights == "synthesised"


def test_a_model_in_memory(tmp_path: Path) -> None:
    assert len(run_llm(randomize(SHARED), prompt=3, tokens=2, runs=1, batch=2).turns[0].tokens) == 2


@pytest.mark.parametrize(
    ("prompt", "contexts", "tokens", "legs"),
    [
        (None, (), 64, [Leg(DEFAULT_PROMPT, True, 64)]),
        (100, (500, 2000), 8, [Leg(100, True, 8), Leg(500, False, 8), Leg(2000, False, 8)]),
    ],
)
def test_legs(prompt: int | None, contexts: tuple[int, ...], tokens: int, legs: list[Leg]) -> None:
    assert plan_legs(read_decoder(ModelSpec(DECODER)), prompt, contexts, tokens) == legs


LIMITED = model(
    """(int64[batch, sequence] input_ids, int64[batch, sequence] position_ids, float[batch, past_sequence, 4] past_state)
    => (float[batch, sequence, 4] logits, float[batch, total, 4] present_state) {
        x = Gather(table, input_ids)
        p = Gather(positions, position_ids)
        y = Add(x, p)
        present_state = Concat <axis = 1> (past_state, y)
        z = Transpose <perm = [0, 2, 1]> (present_state)
        s = MatMul(y, z)
        logits = MatMul(s, present_state)
    }""",
    table=(16, 4),
    positions=(48, 4),
)


@pytest.fixture
def limited(tmp_path: Path) -> Path:
    (tmp_path / "model.onnx").write_bytes(randomize(LIMITED).SerializeToString())
    (tmp_path / "config.json").write_text('{"max_position_embeddings": 48}')
    return tmp_path / "model.onnx"


def test_what_the_model_knows_limits_the_legs(limited: Path) -> None:
    known = read_decoder(ModelSpec(limited))
    assert plan_legs(known, None, (40,), 16) == [Leg(32, True, 16), Leg(40, False, 8)]
    with pytest.raises(InputError, match="a context of 48 leaves no room for a token: the model supports 48 positions"):
        plan_legs(known, None, (48,), 16)


def test_positions_go_on(limited: Path) -> None:
    """A Gather with a position beyond the table would fail."""
    assert len(run_llm(limited, prompt=40, tokens=64, runs=1).turns[0].tokens) == 8


def test_a_batch_that_was_given_by_its_dim() -> None:
    made = run_llm(randomize(DECODER), prompt=3, tokens=2, runs=1, dims={"batch": 4})
    assert made.batch == 4
    token = made.turns[0].per_token
    assert token is not None
    assert made.turns[0].tokens_per_second(made.batch) == 4 / token.median


def test_dims_that_differ_between_the_steps_are_not_given() -> None:
    with pytest.raises(InputError, match="--dim past_sequence: this dim changes from step to step"):
        run_llm(DECODER, dims={"past_sequence": 4})


def test_what_is_no_decoder() -> None:
    with pytest.raises(InputError, match="not a language model with a cache"):
        run_llm(ENCODER)


def test_a_decoder_that_cannot_run(tmp_path: Path) -> None:
    with pytest.raises(MeasurementError, match="received an index that is out of range"):
        run_llm(randomize(LIMITED), prompt=40, tokens=20, runs=1)


@pytest.mark.parametrize(
    ("legs", "error", "stops", "expected"),
    [
        (0, None, True, KeyboardInterrupt),
        (0, None, False, MeasurementError),
        (0, MeasurementError("it is too large"), False, MeasurementError),
        (1, None, True, (1, True, "")),
        (1, MeasurementError("it is too large"), False, (1, False, "it is too large")),
        (2, None, False, (2, False, "")),
    ],
)
def test_what_is_done_is_kept(
    monkeypatch: pytest.MonkeyPatch, legs: int, error: Exception | None, stops: bool, expected: Any, found: GenerationRun
) -> None:
    def answers(request: GenerationRequest, on_progress: object) -> Iterator[Any]:
        for leg in request.legs[:legs]:
            yield LegTimes(leg, 0.1, np.array([0.1]), np.array([0.01]), 0.02)
            yield RunState(1.0, (1, 1), (), found.device, found.environment, found.memory, None)
        monkeypatch.setattr(STOP, "is_made", stops)
        if error is not None:
            raise error

    monkeypatch.setattr(run, "answers", answers)
    if isinstance(expected, type):
        with pytest.raises(expected):
            run_llm(DECODER, prompt=4, contexts=[9], tokens=2)
        return
    made = run_llm(DECODER, prompt=4, contexts=[9], tokens=2)
    assert (len(made.turns), made.interrupted, made.failure) == expected


@pytest.mark.parametrize(
    ("name", "has_prompt", "shares"),
    [
        ("genai_llama_int4_cpu", True, False),
        ("genai_gemma2_fp16", True, True),
        ("genai_lfm2_fp32", True, False),
        ("opt_gpt2", True, False),
        ("opt_t5_model_merged", True, False),
        ("torch_qwen3_dynamo", True, False),
        ("torch_mamba_script", False, False),
        ("torch_granite_hybrid_dynamo", False, False),
        ("tf_decoder", True, False),
    ],
)
def test_decoders_of_several_exporters(name: str, has_prompt: bool, shares: bool) -> None:
    made = run_llm(read_archive()[name], prompt=20, contexts=[100], tokens=3, runs=1, warmup=1)
    assert [(len(turn.prompts), len(turn.tokens)) for turn in made.turns] == [(int(has_prompt), 3), (0, 3)]
    assert (made.weights, made.shares_buffer) == ("synthesised", shares)


def test_a_prediction_for_each_turn(found: GenerationRun) -> None:
    spec = ModelSpec(DECODER)
    speeds = predict_turns(found, read_decoder(spec), spec, Roofline(machine(bandwidth=1e10)), StepSizes(1, 1, 0))
    assert [speed.ttft is None for speed in speeds] == [False, True]
    assert all(speed.tokens_per_second for speed in speeds)
