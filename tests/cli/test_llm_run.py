"""``onnxcost llm --run`` as people use it: what it prints where, and how it ends."""

from __future__ import annotations

import csv
import io
import json
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from onnxcost.cli.app import cli
from onnxcost.errors import MeasurementError
from onnxcost.generation import run as running
from onnxcost.generation.run import GenerationRun, Turn
from onnxcost.measurement import Settings
from tests.generation.small import DECODER, decoder
from tests.measurements import MEASUREMENT

RUN = GenerationRun(
    (
        Turn(32, np.array([0.5, 0.4, 0.6]), np.array([0.02, 0.01, 0.03]), 0.9, 0.1),
        Turn(96, np.array([]), np.array([0.05, 0.05]), None, 0.2),
    ),
    Settings(), 1, "synthesised", True, 1.5, (2, 1), (), MEASUREMENT.device, MEASUREMENT.environment, MEASUREMENT.memory,
)  # fmt: skip
SIZES = ("--prompt", "32", "--context", "100", "--tokens", "4")


class RunStand:
    """In the place of ``run_decoder``."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.answer: GenerationRun | BaseException = RUN

    def run(self, *arguments: Any) -> GenerationRun:
        self.asked.append(arguments)
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer


@pytest.fixture
def stand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunStand:
    made = RunStand()
    monkeypatch.setattr(running, "run_decoder", made.run)
    monkeypatch.setattr("onnxcost.runtime.supervisor.start_early", nullcontext)
    (tmp_path / "model.onnx").write_bytes(DECODER.SerializeToString())
    monkeypatch.chdir(tmp_path)
    return made


def invoke(*arguments: str, columns: int = 100) -> Result:
    return CliRunner(env={"COLUMNS": str(columns)}).invoke(cli, ["llm", "model.onnx", *arguments])


def test_the_table(stand: RunStand) -> None:
    done = invoke("--run", *SIZES, "--threads", "2")
    assert done.exit_code == 0, done.output
    rows = [line.split() for line in done.stdout.splitlines()]
    at = next(index for index, row in enumerate(rows) if row[:1] == ["Measured"])
    assert rows[at + 1] == ["Context", "First", "token", "Per", "token", "p95", "Tokens/s", "Tokens"]
    assert rows[at + 2] == ["32", "500.0", "ms", "20.00", "ms", "29.00", "ms", "50.00", "3"]
    assert rows[at + 3] == ["96", "–", "50.00", "ms", "50.00", "ms", "20.00", "2"]
    text = " ".join(done.stdout.split())
    assert "3 prompts of 32, synthetic cache at 96, batch 1" in text
    assert "past and present share a buffer" in text
    assert "Synthetic tokens, weights" in text
    _, settings, prompt, contexts, tokens, batch, *_ = stand.asked[0]
    assert (settings.threads, prompt, contexts, tokens, batch) == (2, 32, (96,), 4, 1)


def test_predictions_are_in_the_table(stand: RunStand) -> None:
    done = invoke("--run", *SIZES, "--device", "raspberry-pi-5-8gb", columns=120)
    assert done.stdout.count("Predicted") == 3
    assert "estimate for raspberry-pi-5-8gb" in done.stdout
    found = json.loads(invoke("--run", *SIZES, "--device", "raspberry-pi-5-8gb", "--format", "json").stdout)
    first, later = found["generation"]["contexts"]
    assert first["predicted"]["device"] == "raspberry-pi-5-8gb"
    assert first["predicted"]["ttft"]
    assert later["predicted"]["ttft"] is None


@pytest.mark.parametrize("columns", [24, 40, 60, 80])
def test_lines_fit_the_width(stand: RunStand, columns: int) -> None:
    done = invoke("--run", *SIZES, "--device", "raspberry-pi-5-8gb", columns=columns)
    measured = done.stdout[done.stdout.index("Measured") :]
    assert all(len(line) <= columns for line in measured.splitlines())


def test_other_formats(stand: RunStand, tmp_path: Path) -> None:
    document = json.loads(invoke("--run", *SIZES, "--format", "json").stdout)
    assert document["llm"]["prompt"] == 32
    generation = document["generation"]
    assert (generation["status"], generation["weights"]) == ("ok", "synthesised")
    assert [each["tokens_per_second"] for each in generation["contexts"]] == [50.0, 20.0]
    assert generation["contexts"][0]["samples"] == [0.02, 0.01, 0.03]
    rows = list(csv.DictReader(io.StringIO(invoke("--run", *SIZES, "--format", "csv").stdout)))
    assert [row["context"] for row in rows] == ["32", "96"]
    assert rows[1]["ttft"] == ""
    invoke("--run", *SIZES, "-o", "out.md")
    text = (tmp_path / "out.md").read_text()
    assert "### Measured" in text
    assert "| 32 | 500.0 ms | 20.00 ms |" in text


def test_without_run_nothing_is_run(stand: RunStand) -> None:
    assert invoke(*SIZES[:4]).exit_code == 0
    assert stand.asked == []
    done = invoke("--tokens", "4")
    assert done.exit_code == 2
    assert "--tokens needs --run" in done.stderr


@pytest.mark.parametrize(
    ("answer", "code", "says"),
    [
        (MeasurementError("it has no kernel"), 3, "not measured: it has no kernel"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (replace(RUN, turns=RUN.turns[:1], failure="it is too large"), 3, "measured only in part: it is too large"),
    ],
)
def test_what_was_counted_is_printed(stand: RunStand, answer: Any, code: int, says: str) -> None:
    stand.answer = answer
    done = invoke("--run", *SIZES)
    assert done.exit_code == code
    assert says in done.stderr
    assert "Prefill" in done.stdout
    assert ("Measured" in done.stdout) == isinstance(answer, GenerationRun)
    generation = json.loads(invoke("--run", *SIZES, "--format", "json").stdout)["generation"]
    assert (generation["status"], bool(generation["reason"])) == ("failed", True)


def test_a_decoder_really_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model.onnx").write_bytes(decoder(words=64).SerializeToString())
    monkeypatch.chdir(tmp_path)
    done = invoke("--run", *SIZES, "--runs", "1", "--format", "json")
    assert done.exit_code == 0, done.output
    contexts = json.loads(done.stdout)["generation"]["contexts"]
    assert [(each["context"], each["prompts"], each["tokens"]) for each in contexts] == [(32, 1, 4), (96, 0, 4)]
