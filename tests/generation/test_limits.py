"""Budgets of decoders: the time to the first token, tokens per second, the memory at a context."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

import onnxcost
from onnxcost.cli.app import cli
from onnxcost.errors import InputError
from onnxcost.generation.limits import DecoderAssessment, assess_decoder
from onnxcost.hardware.budget import predictors
from onnxcost.hardware.limits import limits_of
from onnxcost.hardware.prediction import FITS, NO

MODEL = str(Path(__file__).parents[2] / "models" / "llama_1b_pytorch.onnx")


def assessed(device: str, **limits: str) -> DecoderAssessment:
    language = onnxcost.llm(MODEL, context=4096)
    return assess_decoder("llama", language, predictors([device]), limits_of(limits), are_named=True)


@pytest.mark.parametrize(
    ("device", "limits", "level", "what"),
    [
        ("rtx-4090", {"tokens_per_second": "20", "ttft": "500ms"}, FITS, None),
        ("rtx-4090", {"tokens_per_second": "300"}, NO, ("tokens_per_second", "bound")),
        ("rtx-4090", {"ttft": "1ms"}, NO, ("ttft", "bound")),
        ("raspberry-pi-5-8gb", {"tokens_per_second": "20"}, NO, ("tokens_per_second", "bound")),
        ("raspberry-pi-5-4gb", {}, NO, ("memory", "estimate")),
    ],
)
def test_limits_of_tokens(device: str, limits: dict[str, str], level: str, what: tuple[str, str] | None) -> None:
    made = assessed(device, **limits)
    (verdict,) = made.verdicts
    assert verdict.level == level
    assert (verdict.cause and (verdict.cause.what, verdict.cause.basis)) == what
    assert made.to_dict()["llm"]["context"] == 4096
    (speed,) = made.language.speeds
    assert verdict.prediction.latency == speed.step
    assert verdict.prediction.bound == speed.step_bound


def test_the_memory_has_the_cache_at_the_context() -> None:
    (verdict,) = assessed("rtx-4090").verdicts
    (fit,) = verdict.fits
    assert fit.parts["cache"] == 2 * 4096 * 2 * 16 * 8 * 64 * 4  # past and present


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["--tokens-per-second", "20", "--device", "rtx-4090"], 0, "budget: 20 tokens/s"),
        (["--ttft", "500ms", "--context", "8192", "--device", "raspberry-pi-5-8gb"], 1, "first token after"),
        (["--context", "8192", "--explain", "rtx-4090"], 2, "--explain shows one run"),
        (["--ttft", "soon"], 2, "ttft expects a quantity such as 500ms, not 'soon'"),
        (["--tokens-per-second", "0"], 2, "tokens_per_second expects"),
    ],
)
def test_on_the_command_line(arguments: list[str], code: int, text: str) -> None:
    done = CliRunner(env={"COLUMNS": "200"}).invoke(cli, ["budget", MODEL, *arguments])
    assert done.exit_code == code
    assert text in done.output


def test_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = f'[budget]\ndevices = ["raspberry-pi-5-8gb"]\n[budget.models."{MODEL}"]\ntokens_per_second = 20\n'
    Path("onnxcost.toml").write_text(text)
    done = CliRunner(env={"COLUMNS": "200"}).invoke(cli, ["budget", "--check"])
    assert done.exit_code == 1
    assert "3.3 tokens/s at the very most" in done.output


def test_one_run_has_no_such_limits() -> None:
    with pytest.raises(InputError, match="ttft does not apply to a single run"):
        onnxcost.budget(MODEL, ttft="1s")
