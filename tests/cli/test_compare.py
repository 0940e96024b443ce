"""``onnxcost compare`` as people use it: what it prints where, and how it ends."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from onnxcost.cli.app import cli, run
from onnxcost.comparison import agreement
from onnxcost.comparison.agreement import Agreement, differences
from onnxcost.comparison.candidates import label_paths
from onnxcost.measurement import Advice, MeasurementResult, Settings, Unmeasured
from onnxcost.runtime import interleaved
from onnxcost.runtime.interleaved import InterleavedResults, Ratio
from onnxcost.spec import ModelSpec
from tests.measurements import MEASUREMENT, at_batch
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
    assert [label.replace("\\", "/") for label in label_paths(paths)] == expected


def test_the_table(folder: Path) -> None:
    result = invoke("small.onnx", "zoo/large.onnx", "--no-run", "--quiet")
    assert (result.exit_code, result.stderr) == (0, "")
    assert re.search(rf"^  FLOPs +{SMALL_FLOPS} +\* +{LARGE_FLOPS} +\+54.8 %$", result.stdout, re.M)
    assert "large vs. small\n  +368 B traffic (+60.5 %), +136 FLOPs (+54.8 %), +64 parameters (+50.0 %),\n" in result.stdout
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
def test_differences_are_explained_for_few_models(folder: Path, explain: list[str], number: int) -> None:
    result = invoke("small.onnx", "zoo/large.onnx", *explain, "--no-run", "--format", "json")
    assert len(json.loads(result.stdout)["differences"]) == number


def test_assumptions_are_said_on_stderr(folder: Path) -> None:
    result = invoke("small.onnx", "base.json", "--no-run")
    assert result.stderr == "onnxcost: note: small, base: assumed batch = 1 (--dim batch=N)\n"


GREW = f"--max-increase: large: FLOPs grew from {SMALL_FLOPS} to {LARGE_FLOPS}, by 136 (+54.8 %), more than"


@pytest.mark.parametrize(
    ("limits", "code", "says"),
    [
        (["flops=1%"], 1, [f"{GREW} 1%"]),
        (["flops=60%"], 0, []),
        (["flops=136"], 0, []),
        (
            ["flops=135", "weight_bytes=1KiB", "nodes=0"],
            1,
            [f"{GREW} 135; large: Nodes grew from 1 to 2, by 1 (2.00×), more than 0"],
        ),
        (["latency=5%"], 2, ["--max-increase latency: base, large has no Latency: nothing was measured"]),
        (
            ["latency=5%", "flops=1%"],
            1,
            [f"{GREW} 1%", "--max-increase latency: base, large has no Latency: nothing was measured"],
        ),
    ],
)
def test_the_gate(folder: Path, limits: list[str], code: int, says: list[str]) -> None:
    options = [word for limit in limits for word in ("--max-increase", limit)]
    result = invoke("base.json", "zoo/large.onnx", "--no-run", "--quiet", *options)
    assert (result.exit_code, result.stderr.splitlines()) == (code, [f"onnxcost: error: {line}" for line in says])
    assert "FLOPs" in result.stdout


def test_a_broken_model_does_not_stop_the_comparison(folder: Path) -> None:
    result = invoke("small.onnx", "broken.onnx", "zoo/large.onnx", "--no-run", "--quiet")
    assert result.exit_code == 2
    assert "Not compared: broken.onnx is not a readable ONNX model" in result.stdout
    assert "large vs. small" in result.stdout
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
    assert "1 of 3 models could not be compared: broken; the others are compared with small" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("small.onnx", "compare needs at least two models: for a single model, run 'onnxcost small.onnx'"),
        ("small.onnx smal.onnx", "there is no file 'smal.onnx'; did you mean 'small.onnx'?"),
        ("small.onnx empty", "there is no .onnx file in the folder 'empty'"),
        ("small.onnx n*.onnx", "there is no file 'n*.onnx'"),
        ("broken.onnx broken.onnx", "no model could be read; broken.onnx is not a readable ONNX model"),
        ("small.onnx zoo --sort speed", "there is no metric 'speed'"),
        ("small.onnx zoo --pareto macs,nodes", "--pareto: more 'nodes' is neither better nor worse"),
        ("small.onnx zoo --max-increase flops", "--max-increase expects flops=1%, not 'flops'"),
        ("small.onnx zoo --max-increase flops=x", "--max-increase flops=x: expected a limit such as"),
        ("small.onnx zoo --dim nosuch=1", "--dim nosuch: not found in any model that could be read"),
        ("small.onnx zoo --format xml", "Invalid value for '--format'"),
        ("small.onnx zoo -o nosuch/out.json", "cannot write 'nosuch/out.json': No such file or directory"),
        ("small.onnx zoo --sort latency", "no model has a known 'latency'"),
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


class Stand:
    """In the place of what runs models: ``results`` are those of the models, ``ratio`` is that of all but the first."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.results: list[MeasurementResult | BaseException] = [at_batch(1, 0.010), at_batch(1, 0.011)]
        self.ratio: Ratio | None = Ratio(1.1, (1.05, 1.15))
        self.outputs: Agreement | BaseException = differences({"y": np.array([1.0, -4.0])}, {"z": np.array([1.0, -3.0])})
        self.asked: list[tuple[list[str], Settings]] = []
        monkeypatch.setattr(interleaved, "measure_interleaved", self.alternated)
        monkeypatch.setattr(agreement, "check_outputs", self.checked)

    def alternated(self, specs: Sequence[ModelSpec], settings: Settings, **others: Any) -> InterleavedResults:
        self.asked.append(([str(spec.source) for spec in specs], settings))
        results = [self._raised(result) for result in self.results[-len(specs) :]]
        ratios = [None, *(None if isinstance(each, Unmeasured) else self.ratio for each in results[1:])]
        return InterleavedResults(tuple(results), tuple(ratios), (tuple(range(len(results))),))

    def checked(self, specs: Sequence[ModelSpec], settings: Settings, **others: Any) -> list[Agreement]:
        self.asked.append(([str(spec.source) for spec in specs], settings))
        return [self._raised(self.outputs)] * (len(specs) - 1)

    @staticmethod
    def _raised(result: Any) -> Any:
        if isinstance(result, BaseException):
            raise result
        return result


@pytest.fixture
def stand(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Stand:
    return Stand(monkeypatch)


BOTH = ("small.onnx", "zoo/large.onnx", "--no-explain")


def test_the_models_are_timed_interleaved(stand: Stand) -> None:
    result = invoke(*BOTH, "--quiet")
    assert (result.exit_code, result.stderr) == (0, "")
    assert stand.asked == [(["small.onnx", "zoo/large.onnx"], Settings())]
    assert re.search(r"^  Latency +10.00 ms +\* +11.00 ms +\+10.0 %$", result.stdout, re.M)
    assert re.search(r"^  Ratio +1.100× \(1.050–1.150\)$", result.stdout, re.M)
    assert "No difference in latency found" not in result.stdout


def test_an_interval_that_contains_1_means_no_difference(stand: Stand) -> None:
    stand.ratio = Ratio(1.02, (0.99, 1.05))
    assert "  No difference in latency found from small: large\n" in invoke(*BOTH).stdout
    assert invoke(*BOTH, "--max-increase", "latency=1%").exit_code == 0


def test_options_of_measuring_are_settings(stand: Stand, folder: Path) -> None:
    np.save(folder / "x.npy", np.zeros((5, 16), np.float32))
    result = invoke(*BOTH, "--runs", "5", "--threads", "1", "--seed", "3", "--input", "x=x.npy", "--format", "json")
    assert stand.asked[0][1] == Settings(runs=5, threads=1, seed=3)
    assert [each["metrics"]["flops"] for each in json.loads(result.stdout)["models"]] == [5 * SMALL_FLOPS, 5 * LARGE_FLOPS]


def test_no_run_runs_nothing(stand: Stand) -> None:
    assert "Latency" not in invoke(*BOTH, "--no-run").stdout
    assert stand.asked == []


def test_a_saved_report_keeps_the_latency_that_it_was_saved_with(stand: Stand, folder: Path) -> None:
    document = json.loads((folder / "base.json").read_text())
    (folder / "then.json").write_text(json.dumps({**document, "measurement": MEASUREMENT.to_dict()}))
    result = invoke("then.json", "small.onnx", "zoo/large.onnx", "--no-explain")
    assert stand.asked[0][0] == ["small.onnx", "zoo/large.onnx"]
    assert "  Not measured at the same time as then: small, large\n" in result.stdout
    assert "Ratio" not in result.stdout
    found = invoke("then.json", "small.onnx", "zoo/large.onnx", "--format", "json").stdout
    assert [each["metrics"]["latency"] for each in json.loads(found)["models"]] == [0.0195, 0.010, 0.011]


REASON = "the file with the model's weights is missing"


def test_one_that_cannot_be_run_is_counted(stand: Stand) -> None:
    stand.results[1] = Unmeasured("failed", REASON)
    result = invoke(*BOTH, "--quiet")
    assert (result.exit_code, result.stderr) == (3, f"onnxcost: error: not measured: large: {REASON}\n")
    assert re.search(r"^  Latency +10.00 ms +not measured$", result.stdout, re.M)
    assert f"  Not measured: large: {REASON}\n" in result.stdout
    assert re.search(rf"^  FLOPs +{SMALL_FLOPS} +\* +{LARGE_FLOPS} ", result.stdout, re.M)


def test_one_line_says_that_no_model_can_be_run(stand: Stand) -> None:
    stand.results = [Unmeasured("failed", REASON)] * 2
    result = invoke(*BOTH, "--quiet", "--sort", "latency", "--pareto", "macs,latency")
    assert (result.exit_code, result.stderr) == (3, f"onnxcost: error: not measured: small, large: {REASON}\n")


def test_counts_are_printed_after_an_interrupt(stand: Stand) -> None:
    stand.results[1] = KeyboardInterrupt()
    result = invoke(*BOTH, "--quiet", "--sort", "latency", "--max-increase", "latency=1%", "--max-increase", "flops=0")
    assert (result.exit_code, result.stderr) == (130, "onnxcost: error: not measured: interrupted\n")
    assert f" {LARGE_FLOPS} " in result.stdout
    assert "Not measured: small, large: interrupted" in result.stdout


def test_an_interrupt_while_outputs_are_checked_leaves_the_latencies(stand: Stand) -> None:
    stand.outputs = KeyboardInterrupt()
    result = invoke(*BOTH, "--quiet", "--check-outputs")
    assert result.exit_code == 130
    assert "10.00 ms" in result.stdout


@pytest.mark.parametrize(
    ("ratio", "limit", "code", "says"),
    [
        (
            Ratio(1.1, (1.05, 1.15)),
            "5%",
            1,
            "large: Latency grew from 10.00 ms to 11.00 ms, by 1.000 ms (+10.0 %), more than 5%",
        ),
        (Ratio(1.1, (1.05, 1.15)), "11%", 0, ""),
        (Ratio(1.1, (1.05, 1.15)), "0.5ms", 1, "more than 0.5ms"),
        (Ratio(1.1, (0.95, 1.25)), "5%", 0, ""),
        (None, "5%", 1, "more than 5%"),
    ],
)
def test_the_gate_on_latency(stand: Stand, ratio: Ratio | None, limit: str, code: int, says: str) -> None:
    stand.ratio = ratio
    result = invoke(*BOTH, "--quiet", "--max-increase", f"latency={limit}")
    assert result.exit_code == code
    assert says in result.stderr
    assert result.stderr.count("\n") == bool(says)


def test_a_gate_on_a_latency_that_could_not_be_measured_ends_with_3(stand: Stand) -> None:
    stand.results[1] = Unmeasured("failed", REASON)
    result = invoke(*BOTH, "--quiet", "--max-increase", "latency=5%")
    assert result.exit_code == 3
    assert result.stderr.endswith("onnxcost: error: --max-increase latency: large has no Latency\n")
    assert invoke(*BOTH, "--quiet", "--max-increase", "latency=5%", "--max-increase", "flops=1%").exit_code == 1


def test_a_gate_on_a_latency_that_was_not_saved_is_bad_input(stand: Stand) -> None:
    result = invoke("base.json", "zoo/large.onnx", "--no-explain", "--quiet", "--max-increase", "latency=5%")
    assert result.exit_code == 2
    assert result.stderr.endswith("latency: base has no Latency: save the report again without --no-run\n")


def test_bad_input_comes_before_a_missing_measurement(stand: Stand) -> None:
    stand.results[1] = Unmeasured("failed", REASON)
    result = invoke(*BOTH, "broken.onnx", "--quiet")
    assert (result.exit_code, result.stderr.count("\n")) == (2, 2)


def test_advice_that_matters_is_given_once(stand: Stand) -> None:
    said = [Advice("load", "other work"), Advice("variation", "the times vary")]
    stand.results = [replace(MEASUREMENT, advice=tuple(said)), replace(MEASUREMENT, advice=tuple(said[:1]))]
    assert invoke(*BOTH).stderr.splitlines()[:1] == ["onnxcost: advice: small, large: other work"]


@pytest.mark.parametrize(("ratio", "is_said"), [(Ratio(1.0, (0.9, 1.1)), True), (Ratio(1.0, (0.97, 1.03)), False)])
def test_a_wide_interval_is_said(stand: Stand, ratio: Ratio, is_said: bool) -> None:
    stand.ratio = ratio
    assert ("advice: large: the ratio's interval is wider than 10 %: measure longer" in invoke(*BOTH).stderr) == is_said


def test_check_outputs_compares_outputs(stand: Stand) -> None:
    result = invoke(*BOTH, "--quiet", "--check-outputs")
    assert (result.exit_code, len(stand.asked)) == (0, 2)
    assert "\nOutputs compared with small, on the same inputs\n" in result.stdout
    assert re.search(r"^  large +y +2 +4.00e\+00 +1.00e\+00 +2.50e-01  is z$", result.stdout, re.M)
    (found,) = json.loads(invoke(*BOTH, "--check-outputs", "--format", "json").stdout)["models"][1]["outputs"]["outputs"]
    assert (found["absolute"], found["relative"], found["shape"]) == (1.0, 0.25, [2])
    row = next(csv.DictReader(io.StringIO(invoke(*reversed(BOTH), "--check-outputs", "--format", "csv").stdout)))
    assert "output_relative_difference" in row


@pytest.mark.parametrize(("limit", "code"), [("0.25", 0), ("0.2", 1)])
def test_the_gate_on_outputs(stand: Stand, limit: str, code: int) -> None:
    result = invoke(*BOTH, "--quiet", "--no-run", "--max-difference", limit)
    assert (result.exit_code, len(stand.asked)) == (code, 1)
    assert result.stderr == (
        "onnxcost: error: --max-difference: large: output 'y' differs by 2.50e-01, more than 0.2\n" if code else ""
    )


def test_outputs_that_could_not_be_compared_end_with_3(stand: Stand) -> None:
    stand.outputs = Agreement(reason="too bad")
    result = invoke(*BOTH, "--quiet", "--no-run", "--max-difference", "1")
    assert (result.exit_code, result.stderr) == (3, "onnxcost: error: outputs not compared: large: too bad\n")
    assert "Outputs of large not compared: too bad" in result.stdout


def test_outputs_of_a_saved_report_are_refused(folder: Path) -> None:
    result = invoke("base.json", "small.onnx", "--check-outputs")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "comparing outputs needs two models that can be run; saved reports have no outputs" in result.stderr


def test_really_run(folder: Path) -> None:
    (folder / "unknown.onnx").write_bytes(
        model("(float[1,16] x) => (float[1,8] y) { y = com.acme.Mine(x) }", domains=', "com.acme" : 1').SerializeToString()
    )
    arguments = ["small.onnx", "zoo/old/small.onnx", "unknown.onnx", "--runs", "3", "--seconds", "0", "--check-outputs"]
    result = invoke(*arguments, "--format", "json")
    first, second, unknown = json.loads(result.stdout)["models"]
    assert result.exit_code == 3
    assert (first["metrics"]["latency"] > 0, second["latency_ratio"] > 0, second["latency_ratio_ci95"]) == (True, True, None)
    assert [each["absolute"] for each in second["outputs"]["outputs"]] == [0.0]
    assert "com.acme" in unknown["not_measured"]
    assert "com.acme" in unknown["outputs"]["reason"]
    assert [line.split(": ")[1:4] for line in result.stderr.splitlines() if ": error: " in line] == [
        ["error", "not measured", "unknown"],
        ["error", "outputs not compared", "unknown"],
    ]


@pytest.mark.parametrize("arguments", [["compare", "--help"], ["compare", "a.onnx", "b.onnx", "--sort", "speed"]])
def test_nothing_heavy_is_imported_before_it_is_needed(arguments: list[str]) -> None:
    code = (
        f"import sys\nfrom onnxcost.cli.app import run\nrun({arguments!r})\n"
        "sys.exit(' '.join({'numpy', 'onnx', 'onnxruntime', 'rich'} & sys.modules.keys()) or 0)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0
