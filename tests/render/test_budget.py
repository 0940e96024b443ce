from __future__ import annotations

import csv
import io
import json
from functools import cache
from pathlib import Path

import pytest

import onnxcost
from onnxcost.hardware.budget import Assessment, assess, predictors
from onnxcost.hardware.limits import limits_of
from onnxcost.hardware.prediction import Check, Interval, Verdict
from onnxcost.hardware.roofline import Roofline
from onnxcost.render.budget import budget_csv, budget_lines, budget_markdown, check_lines
from onnxcost.render.formats import dumps
from onnxcost.render.layout import ASCII, Screen, text_of
from onnxcost.render.steps import explanation_lines
from onnxcost.render.verdict import (
    cause_text,
    failure_text,
    interval_text,
    latency_text,
    limits_text,
    need_text,
    remedy_text,
    rough_text,
    tightest,
)
from tests.hardware.machines import MATMUL, machine, part
from tests.hardware.test_memory_fit import decoder

MODELS = Path(__file__).parents[2] / "models"
NARROW = Screen(80)
BOX = machine(memory=1e10, bandwidth=1e10, sram=0, price=249, power=20)
CHIP = machine({"cpu": part("cpu", float32=1e9)}, "microcontroller", name="chip", memory=2**20, flash=2**21)
TPU = machine({"npu": part("npu", int8=4e12)}, "accelerator", name="tpu", price=60)


@cache
def whole_catalogue(name: str = "mobilenetv2_pytorch", **limits: object) -> Assessment:
    return assess(name, onnxcost.estimate(MODELS / f"{name}.onnx"), predictors(), limits_of(limits), are_named=False)


def named(*devices: object, **limits: object) -> Assessment:
    return assess("m.onnx", MATMUL, [Roofline(each) for each in devices], limits_of(limits), are_named=True)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.346, "0.35"), (6.61, "6.6"), (9.96, "10"), (40.4, "40"), (157.4, "157"), (1612, "1,610"), (0.00012, "0.00012")],
)
def test_numbers_are_no_more_exact_than_an_estimate(value: float, text: str) -> None:
    assert rough_text(value) == text


def test_spans() -> None:
    assert interval_text(Interval(40, 157, "estimate")) == "40–157"
    assert interval_text(Interval(40, 40.2, "estimate")) == "40"
    assert interval_text(None) == "–"
    assert [latency_text(Interval(low, 3 * low, "estimate")) for low in (2e-5, 2e-3, 2.0)] == ["20–60 µs", "2–6 ms", "2–6 s"]


@pytest.mark.parametrize(
    ("check", "text"),
    [
        (Check("dtype", "does not fit", detail="float32"), "has no float32"),
        (Check("fps", "does not fit", 30, 5, 5, "bound"), "5 FPS at the very most"),
        (Check("fps", "does not fit", 30, 5, 8, "estimate"), "8 FPS at best"),
        (Check("fps", "unknown", 30, detail="bandwidth"), "bandwidth not known"),
        (Check("latency", "does not fit", 0.03, 0.1, 0.1, "bound"), "100 ms at the very least"),
        (Check("memory", "does not fit", 2**20, 2**21, 2**21, "estimate"), "memory 2 MiB of 1 MiB"),
        (Check("flash", "unknown", None, 1, 1, "estimate", "its flash is not known"), "its flash is not known"),
        (Check("macs", "does not fit", 5e8, 6e8, 6e8, "counted"), "MACs 600 M of 500 M"),
    ],
)
def test_causes(check: Check, text: str) -> None:
    assert cause_text(check) == text


def test_limits_and_needs() -> None:
    assert limits_text(limits_of({"fps": 30, "latency": "33ms", "memory": "512MiB", "macs": "500M"})) == (
        "30 FPS, latency 33 ms, memory 512 MiB, MACs 500 M"
    )
    assert limits_text(limits_of({})) == "memory only"
    fits = named(CHIP).verdicts[0].fits
    assert [need_text(fit) for fit in fits] == ["191 %", "<1 %"]
    assert tightest(fits).what == "flash"


def test_what_to_buy_is_on_one_screen() -> None:
    lines = text_of(budget_lines(whole_catalogue(fps=30), NARROW)).splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 80
    text = " ".join(" ".join(lines).split())
    assert "Cheapest that fits: Raspberry Pi 5 4 GB, $60, " in text
    assert " FPS with " in text
    assert "Evidence: " in text
    assert "int8: " in text


def test_all_devices_where_they_are_asked_for() -> None:
    shown = text_of(budget_lines(whole_catalogue(fps=30), NARROW, shows_all=True))
    assert all(verdict.name in shown for verdict in whole_catalogue(fps=30).verdicts)
    assert "more:" not in shown


def test_devices_that_were_named_are_all_shown_with_the_reasons() -> None:
    text = text_of(budget_lines(named(BOX, CHIP, TPU, fps=2000), Screen(120)))
    assert "box " in text
    assert "chip" in text
    assert "flash 3.825 MiB of 2 MiB" in text
    assert "has no float32 perhaps int8: " in " ".join(text.split())
    assert "Cheapest" not in text


def test_where_nothing_fits_that_is_said() -> None:
    text = text_of(budget_lines(whole_catalogue(fps=100000), NARROW))
    assert "No device in the catalog meets the budget." in text
    assert "at the very most" in text or "at best" in text


def test_a_cache_has_columns_of_its_own() -> None:
    made = assess("m.onnx", decoder(), [Roofline(BOX)], limits_of({}), are_named=True)
    text = text_of(budget_lines(made, NARROW))
    assert "Tokens" in text
    assert "Keys and values take 1.000 KiB per token" in " ".join(text.split())


def test_other_types_are_marked() -> None:
    phone = machine({"npu": part("npu", float16=1e12)}, "phone", name="phone", memory=1e10, bandwidth=1e10)
    text = text_of(budget_lines(named(phone), NARROW))
    assert "phone*" in text
    assert "* computes float32 as float16." in " ".join(text.split())


def test_ascii() -> None:
    text = text_of(budget_lines(whole_catalogue(fps=30), Screen(80, ASCII)))
    assert text.isascii()
    assert text_of(explanation_lines(named(BOX, fps=30), Roofline(BOX), "", Screen(80, ASCII))).isascii()


def test_the_computation_of_a_figure() -> None:
    text = " ".join(text_of(explanation_lines(named(BOX, fps=30), Roofline(BOX), " --dim batch=1", NARROW)).split())
    assert "2 × 1.000 M MACs of float32 / 1.000 TFLOP/s = 2.000 µs" in text
    assert "3.822 MiB of weights, inputs and outputs = 400.8 µs" in text
    assert "products computed directly" in text
    assert "3.815 MiB weights + 7.812 KiB activations + 350.0 MiB runtime = 353.8 MiB, of 9.313 GiB (estimate)" in text
    assert "at most 20 W × " in text
    assert "an upper bound" in text
    assert "onnxcost measure m.onnx --dim batch=1" not in text  # Acme's GPUs have no provider
    assert "use the vendor's compiler for cycles and memory" in text


def test_the_command_that_verifies_it() -> None:
    pi = predictors(["raspberry-pi-5-8gb"])
    made = assess("m.onnx", MATMUL, pi, limits_of({}), are_named=True)
    text = " ".join(text_of(explanation_lines(made, pi[0], " --dim batch=1", NARROW)).split())
    assert "onnxcost measure m.onnx --dim batch=1 --provider cpu (on the device)" in text


def test_json_says_what_every_figure_rests_on() -> None:
    document = json.loads(dumps(named(BOX, CHIP, TPU, fps=30, params="1k").to_dict(nodes=True)))
    assert document["limits"] == {"fps": 30, "params": 1000}
    assert document["checks"][0]["level"] == "does not fit"
    box = next(each for each in document["devices"] if each["device"] == "box")
    assert box["level"] == "fits"
    assert (box["bound"]["basis"], box["latency"]["basis"], box["memory"][0]["basis"]) == ("bound", "estimate", "estimate")
    assert box["nodes"][0]["limit"] == "memory"
    assert box["energy"]["joules_at_most"] == pytest.approx(20 * box["latency"]["high"])
    tpu = next(each for each in document["devices"] if each["device"] == "tpu")
    assert (tpu["latency"], tpu["unsupported"], tpu["remedies"][0]["change"]) == (None, ["float32"], "int8")
    assert named(BOX).document().keys() == {"model", "limits", "checks", "devices"}


def test_csv_and_markdown_have_a_row_for_each_device() -> None:
    made = named(BOX, CHIP, TPU, fps=30)
    rows = list(csv.DictReader(io.StringIO(budget_csv([made]))))
    assert {row["device"]: row["level"] for row in rows} == {"box": "fits", "chip": "does not fit", "tpu": "does not fit"}
    assert float(rows[0]["bound"]) == pytest.approx(400.8e-6)
    assert budget_markdown([made]).count("\n| ") == 5


def test_a_file_of_budgets_is_a_table_of_models_and_devices() -> None:
    text = text_of(check_lines([named(BOX, CHIP, fps=30, params="1k")], NARROW))
    assert [line.split()[1] for line in text.splitlines()] == ["Device", "–", "box", "chip"]
    assert "parameters 1 M of 1 k" in text


def test_failures_are_one_sentence_a_model() -> None:
    (text,) = failure_text(named(BOX, CHIP, fps=30, params="1k"))
    assert text.startswith("m.onnx: parameters 1 M of 1 k; chip does not fit: ")
    assert failure_text(named(BOX, fps=30)) == []


def test_a_remedy_that_is_only_marginal_says_so() -> None:
    verdict: Verdict = named(BOX, latency="110us").verdicts[0]
    assert remedy_text(verdict).startswith("perhaps ")
    assert remedy_text(named(BOX).verdicts[0]) == "–"
