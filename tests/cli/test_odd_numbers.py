"""Numbers that are none, too large or of another script, in every option and file that takes one: one line, exit code 2."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from onnxcost.cli.app import cli
from tests.modeltext import model

ODD = (
    "nan",
    "inf",
    "-1",
    "-0",
    "1e999",
    "1_000",
    "²",
    "١٢",
    "９",
    "9" * 400,
    "9" * 5000,
    "",
    " ",
    "0x10",
    "1.5",
    "true",
    "1e3",
)
WHOLE = ("100000000000000000000",)
NUMBERS = ("nan", "inf", "-inf", "-1", "1e999", "1_000", "²", "١٢", "9" * 400, "9" * 5000, "", "0x10", "true", "1e300")


def invoke(*arguments: str, env: Mapping[str, str] | None = None) -> Result:
    return CliRunner(env={"COLUMNS": "80", **(env or {})}).invoke(cli, arguments)


def assert_refused(result: Result, *names: str) -> None:
    assert result.exit_code == 2, (result.exit_code, result.stderr[:300])
    assert result.stderr.count("\n") == 1, result.stderr[:300]
    assert result.stderr.startswith("onnxcost: error: ")
    assert "bug in onnxcost" not in result.stderr
    assert all(name in result.stderr for name in names), result.stderr[:300]


WHOLE_OPTIONS = [
    *(("measure", option) for option in ("--threads", "--inter-threads", "--runs", "--warmup", "--concurrency", "--seed")),
    ("estimate", "--top"),
    ("estimate", "--depth"),
    ("profile", "--top"),
    ("scan", "--jobs"),
    ("budget", "--batch"),
]


@pytest.mark.parametrize(("command", "option"), WHOLE_OPTIONS, ids=[" ".join(each) for each in WHOLE_OPTIONS])
def test_options_that_take_a_whole_number(folder: Path, command: str, option: str) -> None:
    for text in (*ODD, *WHOLE):
        assert_refused(invoke(command, "model.onnx", f"{option}={text}"), option)


NUMBER_OPTIONS = [("measure", "--seconds"), ("measure", "--timeout"), ("scan", "--timeout")]


@pytest.mark.parametrize(("command", "option"), NUMBER_OPTIONS, ids=[" ".join(each) for each in NUMBER_OPTIONS])
def test_options_that_take_seconds(folder: Path, command: str, option: str) -> None:
    for text in NUMBERS:
        assert_refused(invoke(command, "model.onnx", f"{option}={text}"), option)


PAIRS = [
    ("--dim", "batch={}"), ("--shape", "x={}"), ("--shape", "x=2x{}"), ("--trips", "loop={}"), ("--batches", "1,{}"),
    ("--value", "x={}"), ("--value", "x=1,{}"),
]  # fmt: skip


@pytest.mark.parametrize(("option", "example"), PAIRS)
def test_options_that_take_a_name_and_a_number(folder: Path, option: str, example: str) -> None:
    texts = ("nan", "-inf", "1e999", "1_000", "²", "١٢", "9" * 400, "9" * 5000)
    for text in texts if option == "--value" else (*set(ODD) - {"", " ", "0x10"}, *WHOLE):
        assert_refused(invoke("model.onnx", "--no-run", f"{option}={example.format(text)}"), option)


@pytest.mark.parametrize("value", ["n=1e20", "n=18446744073709551615", "b=300,0", "b=-1,0", "x=1e300,0,0"])
def test_a_value_that_the_inputs_type_does_not_have(folder: Path, value: str) -> None:
    graph = "(int64[1] n, uint8[2] b, float[3] x) => (int64[1] y) { y = Identity(n) c = Identity(b) z = Identity(x) }"
    (folder / "typed.onnx").write_bytes(model(graph).SerializeToString())
    assert_refused(invoke("typed.onnx", "--no-run", "--value", value), f"input '{value[0]}' does not fit its type")


@pytest.mark.parametrize("option", ["--fps", "--latency", "--memory", "--flash", "--macs", "--params"])
def test_limits_of_a_budget(folder: Path, option: str) -> None:
    for text in (*set(ODD) - {"1.5"}, "0", "5 KB/s", "nan%", "infms", "9" * 400 + "ms"):
        assert_refused(invoke("budget", "model.onnx", f"{option}={text}"), option.strip("-"))


@pytest.mark.parametrize("limit", ["macs={}", "macs={}%", "weight_bytes={}KiB", "latency={}ms"])
def test_limits_of_a_gate(folder: Path, limit: str) -> None:
    for text in (*set(ODD) - {"1.5", "", " "}, "--"):
        arguments = ("compare", "model.onnx", "model.onnx", "--no-run", "--max-increase", limit.format(text))
        assert_refused(invoke(*arguments), "--max-increase")
    for text in NUMBERS[:-1]:
        assert_refused(
            invoke("compare", "model.onnx", "model.onnx", "--no-run", f"--max-difference={text}"), "--max-difference"
        )


@pytest.mark.parametrize("change", ["memory={} GiB", "bandwidth={} GB/s", "float32={} TFLOP/s", "price={} USD"])
def test_figures_of_a_device(folder: Path, change: str) -> None:
    for text in (*set(ODD) - {"1.5"}, "0" if "price" not in change else "-0", "0." + "0" * 400 + "1", "9" * 40):
        if text != "0." + "0" * 400 + "1" or "price" not in change:
            assert_refused(invoke("budget", "model.onnx", "--device", f"raspberry-pi-5-8gb,{change.format(text)}"), "--device")


def test_an_invalid_terminal_width_is_ignored(folder: Path) -> None:
    expected = invoke("model.onnx", "--no-run", env={"COLUMNS": ""}).stdout
    for text in (*set(ODD) - {"1e3"}, *WHOLE):
        result = invoke("model.onnx", "--no-run", env={"COLUMNS": text})
        assert (result.exit_code, result.stdout) == (0, expected), text
    assert len(max(invoke("model.onnx", "--no-run", env={"COLUMNS": "9" * 18}).stdout.splitlines(), key=len)) <= 1000


DEVICE = """
name = "mine"
kind = "board"
memory = "4 GiB"
cpu.peak.float32 = "50 GFLOP/s"
"""
BUDGET = """
[budget]
fps = 30
[budget.models."model.onnx"]
batch = 2
dims = {{ batch = 2 }}
shapes = {{ x = [2, 16] }}
{}
"""
VALUES = (
    "nan", "-inf", "0", "-1", "true", "1.5", "10000000000000000000000", "9" * 5000, "0x" + "f" * 5000, "[]", "{}", "{ a = 1 }",
    "'nan B'", "'0 B'", "'0 FLOP/s'", "'-1 GiB'", "'1e999 B'", f"'{'9' * 400} GiB'", "'² GiB'", "'١ GiB'", "''", "2026-01-01",
    "[" * 5000 + "]" * 5000, "{a = " * 5000 + "1" + "}" * 5000, "[[1]]",
)  # fmt: skip


@pytest.mark.parametrize(
    "key", ["memory", "bandwidth", "sram", "power", "price", "cpu.clock", "cpu.peak.int8", "cpu", "sources"]
)
def test_a_file_of_devices(folder: Path, key: str) -> None:
    text = re.sub(rf"(?m)^{re.escape(key)}\b.*\n", "", DEVICE)
    for value in VALUES:
        if (key, value) in {("sources", "{}")}:
            continue
        (folder / "mine.toml").write_text(f"{key} = {value}\n{text}")
        for arguments in (("devices", "--device-file", "mine.toml"), ("budget", "model.onnx", "--device-file", "mine.toml")):
            assert_refused(invoke(*arguments), "mine.toml")


@pytest.mark.parametrize("key", ["fps", "latency", "memory", "macs", "params", "batch", "dims", "shapes", "devices"])
def test_a_file_of_budgets(folder: Path, key: str) -> None:
    good = {
        ("batch", "1"),
        ("dims", "{}"),
        ("dims", "{ a = 1 }"),
        ("shapes", "{}"),
        ("macs", "1.5"),
        ("fps", "1.5"),
        ("params", "1.5"),
    }
    large = {(name, "10000000000000000000000") for name in ("fps", "macs", "memory", "params")}
    for value in VALUES:
        if (key, value) in good | large or (key, value) == ("memory", "1.5"):
            continue
        text = re.sub(rf"(?m)^{key} = .*\n", "", BUDGET.format("# own"))
        (folder / "onnxcost.toml").write_text(text.replace("# own", f"{key} = {value}"))
        assert_refused(invoke("budget", "--check"), "onnxcost.toml")


@pytest.mark.parametrize(
    "text", ["budget = 1", "tool = 1", "tool.onnxcost = []", "tool.onnxcost.budget = nan", "budget.models = 5"]
)
def test_a_file_of_budgets_that_has_something_else(folder: Path, text: str) -> None:
    (folder / "onnxcost.toml").write_text(text)
    assert_refused(invoke("budget", "--check"), "onnxcost.toml")


@pytest.fixture
def report(folder: Path) -> dict[str, Any]:
    invoke("model.onnx", "--no-run", "-o", "cost.json")
    document: dict[str, Any] = json.loads((folder / "cost.json").read_text())
    return document


GATED = {"macs": ("conventions", "macs"), "weight_bytes": ("totals", "weight_bytes"), "parameters": ("totals", "parameters")}


@pytest.mark.parametrize("metric", GATED)
def test_a_gate_fails_closed(folder: Path, report: dict[str, Any], metric: str) -> None:
    """Whichever of the two it is in, a figure that is none ends with 2, not with 0."""
    table, key = GATED[metric]
    (folder / "good.json").write_text(json.dumps(report))
    for value in ("NaN", "Infinity", "-Infinity", "1e999", "-1", "null", "true", '"7"', "[7]", "{}", "9" * 5000, "[" * 9999):
        (folder / "bad.json").write_text(json.dumps(report | {table: report[table] | {key: "HERE"}}).replace('"HERE"', value))
        for models in (("good.json", "bad.json"), ("bad.json", "good.json")):
            result = invoke("compare", *models, "--no-run", "--no-explain", "--max-increase", f"{metric}=1%")
            assert result.exit_code == 2, (value, models, result.stderr)
            assert "bug in onnxcost" not in result.stderr
    del report[table][key]
    (folder / "bad.json").write_text(json.dumps(report))
    assert invoke("compare", "good.json", "bad.json", "--no-explain", "--max-increase", f"{metric}=1%").exit_code == 2


def test_any_value_of_a_report_may_be_anything(folder: Path, report: dict[str, Any]) -> None:
    """Another value at each place: what is not needed may be passed over, but nothing ends in a bug or passes unseen."""
    (folder / "good.json").write_text(json.dumps(report))
    keys = (
        [(key,) for key in report] + [("totals", key) for key in report["totals"]] + [("model", key) for key in report["model"]]
    )
    for path, value in product(keys, (None, 7, -7, "7", [7], {"a": [7]}, True, [], {})):
        document = json.loads(json.dumps(report))
        table = document
        for key in path[:-1]:
            table = table[key]
        table[path[-1]] = value
        (folder / "bad.json").write_text(json.dumps(document))
        result = invoke("compare", "good.json", "bad.json", "--max-increase", "macs=0")
        assert result.exit_code in (0, 2), (path, value, result.stderr)
        assert "bug in onnxcost" not in result.stderr, (path, value, result.stderr)
