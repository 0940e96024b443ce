"""``onnxcost compare`` as people use it: what it prints where, and how it ends."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from onnxcost.cli.app import cli, run
from onnxcost.cli.sources import labels
from tests.modeltext import model

SMALL = model("(float[batch,16] x) => (float y) { y = MatMul(x, w) }", w=(16, 8))
LARGE = model("(float[batch,16] x) => (float y) { h = MatMul(x, w)  y = Relu(h) }", w=(16, 12))
SMALL_FLOPS, LARGE_FLOPS = 8 * 31, 12 * 31 + 12


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with models in folders, a broken one, and a saved report."""
    (tmp_path / "zoo" / "old").mkdir(parents=True)
    (tmp_path / "small.onnx").write_bytes(SMALL.SerializeToString())
    (tmp_path / "zoo" / "large.onnx").write_bytes(LARGE.SerializeToString())
    (tmp_path / "zoo" / "old" / "small.onnx").write_bytes(SMALL.SerializeToString())
    (tmp_path / "broken.onnx").write_bytes(b"nothing")
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    assert invoke("small.onnx", "--no-run", "-o", "base.json", command="estimate").exit_code == 0
    return tmp_path


def invoke(*arguments: str, command: str = "compare") -> Result:
    return CliRunner(env={"COLUMNS": "80"}).invoke(cli, [command, *arguments])


def rows(*arguments: str) -> list[dict[str, str]]:
    result = invoke(*arguments, "--no-run", "--format", "csv")
    assert result.exit_code == 0, result.stderr
    return list(csv.DictReader(io.StringIO(result.stdout)))


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (["small.onnx", "zoo/large.onnx"], ["small", "large"]),
        (["zoo"], ["large", "small"]),
        (["small.onnx", "zoo"], ["small.onnx", "large", "old/small.onnx"]),
        (["zoo/old/small.onnx", "zoo"], ["small", "large"]),
        (["zoo/**/*.onnx"], ["large", "small"]),
        (["*.json", "zoo/l*.onnx"], ["base", "large"]),
        (["small.onnx", "small.onnx"], ["small", "small (2)"]),
        (["base.json", "zoo", "small.onnx"], ["base", "large", "old/small.onnx", "small.onnx"]),
    ],
)
def test_files_folders_patterns_and_saved_reports(folder: Path, given: list[str], found: list[str]) -> None:
    assert [row["model"] for row in rows(*given)] == found


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (["a.onnx", "b.json", "c.bin"], ["a", "b", "c.bin"]),
        (["a.onnx", "a.json"], ["a.onnx", "a.json"]),
        (["x/a.onnx", "y/a.onnx", "y/b.onnx"], ["x/a.onnx", "y/a.onnx", "b"]),
        (["m/x/a.onnx", "n/x/a.onnx"], ["m/x/a.onnx", "n/x/a.onnx"]),
        (["a.onnx", "x/a.onnx"], ["a.onnx", "x/a.onnx"]),
        (["x/a.onnx"] * 3, ["a", "a (2)", "a (3)"]),
    ],
)
def test_labels_are_short_and_all_different(paths: list[str], expected: list[str]) -> None:
    assert [label.replace("\\", "/") for label in labels(paths)] == expected


def test_the_table(folder: Path) -> None:
    result = invoke("small.onnx", "zoo/large.onnx", "--no-run", "--quiet")
    assert (result.exit_code, result.stderr) == (0, "")
    assert re.search(rf"^  FLOPs +{SMALL_FLOPS} +\* +{LARGE_FLOPS} +\+54.8 %$", result.stdout, re.M)
    assert "large against small\n  +136 FLOPs (+54.8 %), +64 parameters (+50.0 %)" in result.stdout
    assert "Relu after MatMul, only in large" in result.stdout


def test_json_and_files(folder: Path) -> None:
    assert invoke("small.onnx", "zoo/large.onnx", "--no-run", "-o", "out.json").exit_code == 0
    document = json.loads((folder / "out.json").read_text())
    assert [each["metrics"]["flops"] for each in document["models"]] == [SMALL_FLOPS, LARGE_FLOPS]
    assert invoke("small.onnx", "zoo/large.onnx", "--no-run", "-o", "out.md").exit_code == 0
    assert "| FLOPs | 248\\* | 384 (+54.8 %) |" in (folder / "out.md").read_text()


def test_a_saved_report_is_as_good_as_its_model(folder: Path) -> None:
    fresh, saved = (
        json.loads(invoke(name, "zoo/large.onnx", "--no-run", "--format", "json").stdout)
        for name in ("small.onnx", "base.json")
    )
    assert fresh["models"][0] | {"label": "base"} == saved["models"][0]
    assert fresh["differences"] == saved["differences"]


def test_dims_are_for_all_models(folder: Path) -> None:
    found = rows("small.onnx", "zoo/large.onnx", "base.json", "--dim", "batch=3")
    assert [int(row["flops"]) for row in found] == [3 * SMALL_FLOPS, 3 * LARGE_FLOPS, SMALL_FLOPS]


def test_sort_and_pareto(folder: Path) -> None:
    found = rows("zoo", "--sort", "flops", "--pareto", "flops,weight_bytes")
    assert [(row["model"], row["pareto"]) for row in found] == [("small", "1"), ("large", "0")]


@pytest.mark.parametrize(
    ("explain", "number"),
    [([], 1), (["--explain"], 1), (["--no-explain"], 0), (["small.onnx"] * 4, 0), (["small.onnx"] * 4 + ["--explain"], 5)],
)
def test_what_is_explained(folder: Path, explain: list[str], number: int) -> None:
    result = invoke("small.onnx", "zoo/large.onnx", *explain, "--no-run", "--format", "json")
    assert len(json.loads(result.stdout)["differences"]) == number


def test_assumptions_are_said_on_stderr(folder: Path) -> None:
    result = invoke("small.onnx", "base.json", "--no-run")
    assert result.stderr == "onnxcost: note: small, base: assumed batch = 1 (--dim batch=N)\n"


@pytest.mark.parametrize(
    ("limits", "code", "says"),
    [
        (
            ["flops=1%"],
            1,
            f"--max-increase: large: FLOPs grew from {SMALL_FLOPS} to {LARGE_FLOPS}, by 136 (+54.8 %), more than 1%",
        ),
        (["flops=60%"], 0, ""),
        (["flops=136"], 0, ""),
        (
            ["flops=135", "weight_bytes=1KiB", "nodes=0"],
            1,
            "more than 135; large: Nodes grew from 1 to 2, by 1 (2.00×), more than 0",
        ),
        (["latency=5%"], 2, "--max-increase latency: base, large has no Latency"),
    ],
)
def test_the_gate(folder: Path, limits: list[str], code: int, says: str) -> None:
    options = [word for limit in limits for word in ("--max-increase", limit)]
    result = invoke("base.json", "zoo/large.onnx", "--no-run", "--quiet", *options)
    assert result.exit_code == code
    assert says in result.stderr
    assert result.stderr.count("\n") == (1 if says else 0)
    assert "FLOPs" in result.stdout


def test_a_broken_model_does_not_keep_the_others_from_being_compared(folder: Path) -> None:
    result = invoke("small.onnx", "broken.onnx", "zoo/large.onnx", "--no-run", "--quiet")
    assert result.exit_code == 2
    assert "Not compared: broken.onnx is not a readable ONNX model" in result.stdout
    assert "large against small" in result.stdout
    assert result.stderr == "onnxcost: error: 1 of 3 models could not be compared: broken\n"


def test_a_gate_that_fails_wins_over_a_broken_model(folder: Path) -> None:
    result = invoke("small.onnx", "broken.onnx", "zoo/large.onnx", "--no-run", "--quiet", "--max-increase", "flops=1%")
    assert result.exit_code == 1
    broken, grown = result.stderr.splitlines()
    assert broken == "onnxcost: error: 1 of 3 models could not be compared: broken"
    assert grown.startswith("onnxcost: error: --max-increase: large: FLOPs grew")


def test_a_broken_baseline_is_replaced_and_fails_the_gate(folder: Path) -> None:
    result = invoke("broken.onnx", "small.onnx", "zoo/large.onnx", "--no-run", "--quiet", "--max-increase", "flops=90%")
    assert result.exit_code == 2
    assert "1 of 3 models could not be compared: broken; in the first one's place is small" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("small.onnx", "compare wants two models or more: 'onnxcost small.onnx' shows a single one"),
        ("small.onnx smal.onnx", "there is no file 'smal.onnx'; is 'small.onnx' meant?"),
        ("small.onnx empty", "there is no .onnx file in the folder 'empty'"),
        ("small.onnx n*.onnx", "there is no file 'n*.onnx'"),
        ("broken.onnx broken.onnx", "no model could be read; broken.onnx is not a readable ONNX model"),
        ("small.onnx zoo --sort speed", "there is no metric 'speed'"),
        ("small.onnx zoo --pareto macs,nodes", "--pareto: neither more nor less of 'nodes' is better"),
        ("small.onnx zoo --max-increase flops", "--max-increase wants flops=1%, not 'flops'"),
        ("small.onnx zoo --max-increase flops=x", "--max-increase flops=x: a limit is a number and a unit"),
        ("small.onnx zoo --dim nosuch=1", "--dim nosuch: no model that could be read has it"),
        ("small.onnx zoo --format xml", "Invalid value for '--format'"),
        ("small.onnx zoo -o nosuch/out.json", "cannot write 'nosuch/out.json': No such file or directory"),
        ("small.onnx zoo --sort latency", "'latency' is known of none of the models"),
    ],
)
def test_bad_usage_gets_one_line(folder: Path, arguments: str, says: str) -> None:
    result = invoke(*arguments.split(), "--no-run")
    assert (result.exit_code, result.stdout) == (2, "")
    assert says in result.stderr
    assert result.stderr.count("\n") == 1


def test_run_returns_the_exit_code(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gate = ["compare", "base.json", "zoo/large.onnx", "--no-run", "--max-increase"]
    assert [run([*gate, "flops=99%"]), run([*gate, "flops=1%"]), run([*gate, "flips=1%"])] == [0, 1, 2]


def test_help() -> None:
    text = invoke("--help").stdout
    assert "onnxcost compare baseline.json model.onnx --max-increase flops=1%" in text
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize("arguments", [["compare", "--help"], ["compare", "a.onnx", "b.onnx", "--sort", "speed"]])
def test_nothing_heavy_is_imported_before_it_is_needed(arguments: list[str]) -> None:
    code = (
        f"import sys\nfrom onnxcost.cli.app import run\nrun({arguments!r})\n"
        "sys.exit(' '.join({'numpy', 'onnx', 'onnxruntime', 'rich'} & sys.modules.keys()) or 0)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0
