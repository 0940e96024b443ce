"""``onnxcost scan`` as people use it: what it prints where, how it ends, and how it goes on."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from onnxcost.cli.app import cli
from onnxcost.errors import MeasurementError
from tests.cli.conftest import Stand
from tests.modeltext import model

GOOD, BROKEN = 16, ("empty", "missing", "text", "truncated")
MANY = 80
"""So many that their lines do not fit into a pipe: who reads three of them knows that not all are done."""


def small(number: int) -> bytes:
    size = number + 1
    return model(f"(float[batch,{size}] x) => (float y) {{ y = MatMul(x, w) }}", w=(size, 4)).SerializeToString()


@pytest.fixture
def zoo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a folder of models, some of which are broken."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "zoo" / "old").mkdir(parents=True)
    for number in range(GOOD):
        (tmp_path / "zoo" / f"m{number:02}.onnx").write_bytes(small(number))
    (tmp_path / "zoo" / "old" / "empty.onnx").write_bytes(b"")
    (tmp_path / "zoo" / "old" / "text.onnx").write_bytes(b"<!DOCTYPE html>")
    (tmp_path / "zoo" / "old" / "truncated.onnx").write_bytes(small(1)[:-20])
    (tmp_path / "zoo" / "old" / "missing.onnx").symlink_to("nowhere")
    return tmp_path


def invoke(*arguments: str) -> Result:
    return CliRunner(env={"COLUMNS": "80", "TMPDIR": str(Path.cwd())}).invoke(cli, ["scan", *arguments])


def rows(*arguments: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(invoke(*arguments, "--format", "csv").stdout)))


def names(found: Sequence[dict[str, str]]) -> list[str]:
    return [Path(row["path"]).stem for row in found]


ALL = [*(f"m{number:02}" for number in range(GOOD)), *BROKEN]


def test_a_row_for_each_model_and_the_reason_for_one_that_is_broken(zoo: Path) -> None:
    result = invoke("zoo")
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["Model", "Input", "MACs", "FLOPs", "Parameters", "Weights", "Activations", "Traffic"]
    assert lines[1].split()[:7] == ["m00", "1×1", "4", "4", "4", "16", "B"]
    assert lines[16].split()[:7] == ["m15", "1×16", "64", "124", "64", "256", "B"]
    assert re.match(r"  empty +is empty \(0 bytes\)$", lines[17])
    assert re.match(r"  missing +cannot read 'zoo/old/missing.onnx': No such file or directory$", lines[18])
    assert re.match(r"  text +is not a readable ONNX model", lines[19])
    assert lines[-1] == "  16 of 20 models counted"
    assert result.stderr.splitlines() == [
        "onnxcost: assumed: batch = 1 (--dim batch=N) in 16 models",
        "onnxcost: error: 4 of 20 models could not be counted: empty, missing, text, truncated",
    ]
    assert result.exit_code == 2


def test_a_scan_without_failures_ends_with_0(zoo: Path) -> None:
    result = invoke("zoo/m0*.onnx", "--quiet", "--no-run")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.endswith("  10 models counted\n")


@pytest.mark.parametrize("jobs", ["1", "2", "5"])
def test_the_order_is_that_of_the_paths(zoo: Path, jobs: str) -> None:
    assert names(rows("zoo", "--jobs", jobs)) == ALL
    assert names(rows("zoo/old", "zoo", "-j", jobs)) == [*BROKEN, *ALL[:GOOD]]


def test_sorted_by_a_metric_with_the_best_first_and_missing_ones_last(zoo: Path) -> None:
    assert names(rows("zoo/old", "zoo", "--sort", "macs")) == ALL
    assert names(rows("zoo/m03.onnx", "zoo/m01.onnx", "zoo/m02.onnx", "--sort", "intensity")) == ["m01", "m02", "m03"]


def test_dims_are_for_all_models_that_have_them(zoo: Path) -> None:
    (zoo / "zoo" / "fixed.onnx").write_bytes(model("(float[3] x) => (float y) { y = Relu(x) }").SerializeToString())
    found = rows("zoo/fixed.onnx", "zoo/m02.onnx", "--dim", "batch=5", "--shape", "nowhere=1x2")
    assert [int(row["flops"]) for row in found] == [3, 5 * 4 * 5]
    result = invoke("zoo/fixed.onnx", "zoo/m02.onnx", "--dim", "batch=5", "--shape", "nowhere=1x2")
    assert result.exit_code == 2
    assert result.stderr == "onnxcost: error: --shape nowhere: no model that could be counted has it\n"
    assert "2 models counted" in result.stdout


def test_a_shape_without_a_name_is_for_all_models_that_it_fits(zoo: Path) -> None:
    found = rows("zoo/m02.onnx", "zoo/m03.onnx", "--shape", "5x3")
    assert [int(row["flops"]) for row in found] == [5 * 4 * 5, 1 * 4 * 7]
    result = invoke("zoo/m02.onnx", "zoo/m03.onnx", "--shape", "5x9")
    assert "onnxcost: error: --shape 5x9: no model that could be counted has it\n" in result.stderr


@pytest.mark.parametrize("suffix", ["json", "jsonl", "csv", "md", "txt"])
def test_a_file_has_what_is_printed(zoo: Path, suffix: str) -> None:
    format_ = {"md": "markdown", "txt": "table"}.get(suffix, suffix)
    printed = invoke("zoo", "--format", format_, "--resume", "state.jsonl")
    written = invoke("zoo", "-o", f"out.{suffix}", "--resume", "state.jsonl")
    assert (written.stdout, written.exit_code) == ("", 2)
    # Printed as they come, or when all are there.
    assert sorted(Path(f"out.{suffix}").read_text().splitlines()) == sorted(printed.stdout.splitlines())


def test_json_has_all_of_a_report_but_the_nodes(zoo: Path) -> None:
    document = json.loads(invoke("zoo", "--format", "json").stdout)
    assert document["schema"] == "onnxcost/1"
    assert [Path(each["path"]).stem for each in document["models"]] == ALL
    assert document["models"][3]["totals"]["macs"] == 16
    assert document["models"][3]["by_operator"][0]["op_type"] == "MatMul"
    assert "nodes" not in document["models"][3]
    assert document["models"][-1]["status"] == "failed"
    assert "totals" not in document["models"][-1]


def test_markdown_has_reasons_below_the_table(zoo: Path) -> None:
    text = invoke("zoo", "--format", "markdown").stdout
    assert text.startswith("| Model | Input | MACs | FLOPs | Parameters |")
    assert "| m02 | 1×3 | 12 | 20 | 12 | 48 B |" in text
    assert "- empty: is empty (0 bytes)\n" in text


def test_a_name_that_is_no_text_does_not_end_a_scan(zoo: Path) -> None:
    odd = os.fsdecode(b"zoo/\xff.onnx")
    Path(odd).write_bytes(small(3))
    for format_ in ("table", "json", "jsonl", "csv", "markdown"):
        assert invoke(odd, "--format", format_).exit_code == 0
        assert invoke(odd, "--format", format_, "-o", "out", "--resume", "state.jsonl").exit_code == 0


@pytest.mark.parametrize("source", ["list.txt", "-"])
def test_paths_may_stand_in_a_file(zoo: Path, source: str) -> None:
    lines = b"zoo/m03.onnx\n\nzoo/old\r\nzoo/m0[12].onnx"
    Path("list.txt").write_bytes(lines)
    arguments = ["scan", "zoo/m01.onnx", "--files-from", source, "--format", "csv"]
    result = CliRunner().invoke(cli, arguments, input=lines)
    assert names([*csv.DictReader(io.StringIO(result.stdout))]) == ["m01", "m03", *BROKEN, "m02"]


def test_merged_shards_are_one_scan(zoo: Path) -> None:
    whole = rows("zoo", "--dim", "batch=2")
    for number in range(1, 4):
        part = invoke("zoo", "--shard", f"{number}/3", "--dim", "batch=2", "--resume", f"{number}.jsonl", "--quiet")
        assert part.exit_code in (0, 2)
        assert "no model that could be counted has it" not in part.stderr
    files = [f"{number}.jsonl" for number in (3, 1, 2)]
    assert rows("--merge", *files) == whole
    assert names(rows("--merge", *files, "--sort", "macs")) == ALL
    merged = invoke("--merge", *files, "--format", "jsonl")
    assert (merged.exit_code, merged.stdout.count("\n")) == (2, 20)
    assert merged.stderr.endswith("onnxcost: error: 4 of 20 models could not be counted: empty, missing, text, truncated\n")
    Path("all.jsonl").write_text(merged.stdout)
    assert rows("zoo", "--dim", "batch=2", "--resume", "all.jsonl") == whole
    assert Path("all.jsonl").read_text() == merged.stdout


def test_a_shard_may_have_no_models(zoo: Path) -> None:
    for format_, size in (("table", 2), ("csv", 1), ("jsonl", 0)):
        result = invoke("zoo/m01.onnx", "--shard", "1/1000", "--format", format_, "--resume", "none.jsonl")
        assert (result.exit_code, result.stderr, len(result.stdout.splitlines())) == (0, "", size)
    assert invoke("--merge", "none.jsonl").exit_code == 0


def test_a_name_that_no_model_of_all_shards_has_is_found_by_the_merge(zoo: Path) -> None:
    assert invoke("zoo/m0*.onnx", "--shard", "1/2", "--dim", "n=3", "--resume", "1.jsonl", "--quiet").exit_code == 0
    result = invoke("--merge", "1.jsonl", "--quiet")
    assert (result.exit_code, result.stderr) == (2, "onnxcost: error: --dim n: no model that could be counted has it\n")


def test_a_scan_resumes_from_printed_lines(zoo: Path) -> None:
    lines = invoke("zoo", "--format", "jsonl").stdout.splitlines(keepends=True)
    Path("scan.jsonl").write_text("".join(lines[:7]) + lines[7][:100])
    assert names(rows("zoo", "--resume", "scan.jsonl")) == ALL
    after = Path("scan.jsonl").read_text().splitlines(keepends=True)
    assert after[:7] == lines[:7]
    assert len(after) == 20


def start(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "onnxcost", "scan", "many", "--format", "jsonl", *arguments]
    environment = {**os.environ, "TMPDIR": str(Path.cwd())}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


@pytest.fixture
def many(zoo: Path) -> int:
    (zoo / "many").mkdir()
    for number in range(MANY):
        (zoo / "many" / f"{number:03}.onnx").write_bytes(small(number) if number % 20 else b"broken")
    return MANY


def stopped(process: subprocess.Popen[str], number: int) -> str:
    """What it said on stderr when the signal came in the middle."""
    assert process.stdout is not None
    assert [bool(process.stdout.readline()) for _ in range(3)] == [True] * 3
    process.send_signal(number)
    return process.communicate(timeout=60)[1]


def test_a_cluster_needs_its_extra(zoo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    result = invoke("zoo", "--cluster", "local:2")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("onnxcost: error: --cluster needs Dask: pip install 'onnxcost[dask]' (")
    assert result.stderr.count("\n") == 1


def test_the_dashboard_of_a_cluster_is_named(zoo: Path) -> None:
    pytest.importorskip("distributed", reason="the extra 'dask' is not installed")
    done = subprocess.run(
        [sys.executable, "-m", "onnxcost", "scan", "zoo", "--cluster", "local:1", "--format", "csv", "--quiet"],
        capture_output=True,
        text=True,
    )
    first, *others = done.stderr.splitlines()
    assert re.fullmatch(r"onnxcost: note: the cluster's dashboard: http://\S+/status", first)
    assert others == ["onnxcost: error: 4 of 20 models could not be counted: empty, missing, text, truncated"]
    assert [*csv.DictReader(io.StringIO(done.stdout))] == rows("zoo")


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_a_killed_scan_resumes_without_repeating_work(zoo: Path, many: int) -> None:
    process = start("--resume", "scan.jsonl")
    stopped(process, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    before = Path("scan.jsonl").read_bytes()
    whole = before[: before.rfind(b"\n") + 1]
    assert 3 <= whole.count(b"\n") < many
    found = rows("many", "--resume", "scan.jsonl", "--no-run")
    after = Path("scan.jsonl").read_bytes()
    assert after.startswith(whole)
    paths = [json.loads(line)["path"] for line in after.splitlines()]
    assert sorted(paths) == [row["path"] for row in found] == [f"many/{number:03}.onnx" for number in range(many)]
    assert [row["status"] for row in found] == ["ok" if number % 20 else "failed" for number in range(many)]
    assert [row["macs"] for row in found if row["macs"]] == [str(4 * (number + 1)) for number in range(many) if number % 20]


def test_results_before_an_interrupt_are_kept(zoo: Path, many: int) -> None:
    process = start()
    said = stopped(process, signal.SIGINT)
    assert process.returncode == 130
    match = re.fullmatch(
        r"onnxcost: error: interrupted with (\d+) of 80 models done: "
        r"the same command with --resume (\S+) continues from there\n",
        said,
    )
    assert match
    assert 3 <= len(Path(match[2]).read_text().splitlines()) == int(match[1]) < many
    assert len(rows("many", "--resume", match[2])) == many


def test_a_terminated_scan_resumes_from_its_file(zoo: Path, many: int) -> None:
    process = start("--resume", "scan.jsonl")
    said = stopped(process, signal.SIGTERM)
    assert process.returncode == 128 + signal.SIGTERM
    assert re.search(r"interrupted with \d+ of 80 models done: the same command continues from there\n$", said)
    assert len(Path("scan.jsonl").read_text().splitlines()) >= 3


def test_a_closed_pipe_ends_the_scan(zoo: Path, many: int) -> None:
    process = start("--resume", "scan.jsonl")
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr is not None
    assert (process.stderr.read(), process.wait(timeout=60)) == ("", 0)
    process.stderr.close()
    assert len(Path("scan.jsonl").read_text().splitlines()) < many


def test_models_are_run_with_run(zoo: Path, stand: Stand) -> None:
    found = rows("zoo/m01.onnx", "zoo/m02.onnx", "zoo/old/text.onnx", "--run", "--runs", "7", "--timeout", "9")
    assert [row["status"] for row in found] == ["ok", "ok", "failed"]
    assert [bool(row["latency"]) for row in found] == [True, True, False]
    assert [(settings.runs, settings.timeout) for _, settings, _ in stand.asked] == [(7, 9)] * 2


def test_models_that_cannot_be_run_are_counted_and_end_with_3(zoo: Path, stand: Stand) -> None:
    stand.error = MeasurementError("there is not enough memory")
    result = invoke("zoo/m01.onnx", "zoo/m02.onnx", "--run", "--quiet")
    assert result.exit_code == 3
    assert "\n  Not measured: m01, m02: there is not enough memory\n  2 models counted\n" in result.stdout
    assert result.stderr == "onnxcost: error: 2 of 2 models could not be run: m01, m02\n"
    result = invoke("zoo/m01.onnx", "zoo/old/empty.onnx", "--run", "--quiet")
    assert result.exit_code == 2
    assert result.stderr == (
        "onnxcost: error: 1 of 2 models could not be run: m01\nonnxcost: error: 1 of 2 models could not be counted: empty\n"
    )


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("", "Missing argument 'PATH...'"),
        ("nowhere.onnx", "there is no file 'nowhere.onnx'"),
        ("zoo/n*.onnx", "there is no file 'zoo/n*.onnx'"),
        ("zoo --sort speed", "there is no metric 'speed'"),
        ("zoo --sort latency", "--sort latency needs --run"),
        ("zoo --threads 1", "--threads needs --run"),
        ("zoo --provider-option a=b", "--provider-option needs --run"),
        ("zoo --run --jobs 2", "models are timed one at a time"),
        ("zoo --jobs 0", "Invalid value for '-j' / '--jobs'"),
        ("zoo --format xml", "Invalid value for '--format'"),
        ("zoo -o out", "'out' has no known suffix"),
        ("zoo -o nowhere/out.csv", "cannot write 'nowhere/out.csv'"),
        ("zoo --resume nowhere/scan.jsonl", "cannot write 'nowhere/scan.jsonl'"),
        ("zoo --resume zoo/m01.onnx", "'zoo/m01.onnx' was not written by 'onnxcost scan --resume'"),
        ("zoo --dim batch", "--dim expects SYMBOL=8"),
        ("zoo --shard 3", "--shard expects I/N, as in 3/16, not '3'"),
        ("zoo --shard 4/3", "a shard must be from 1/3 to 3/3, not 4/3"),
        ("zoo --cluster local:2 --jobs 2", "--cluster uses its own workers and only counts"),
        ("zoo --cluster local:2 --run", "--cluster uses its own workers and only counts"),
        ("zoo --cluster local:none", "--cluster "),
        ("zoo --files-from nowhere", "cannot read 'nowhere'"),
        ("--files-from zoo/old/empty.onnx", "Missing argument 'PATH...'"),
        ("zoo --merge", "cannot read 'zoo'"),
        ("x.jsonl --merge", "cannot read 'x.jsonl'"),
        ("x.jsonl --merge --dim batch=1", "--dim has no effect with --merge"),
        ("x.jsonl --merge --sort speed", "there is no metric 'speed'"),
    ],
)
def test_bad_usage_gets_one_line(zoo: Path, arguments: str, says: str) -> None:
    result = invoke(*arguments.split())
    assert (result.exit_code, result.stdout) == (2, "")
    assert says in result.stderr
    assert result.stderr.count("\n") == 1


def test_other_options_want_another_file(zoo: Path) -> None:
    assert invoke("zoo/m01.onnx", "--resume", "scan.jsonl").exit_code == 0
    result = invoke("zoo", "--resume", "scan.jsonl", "--dim", "batch=3")
    assert result.exit_code == 2
    assert "'scan.jsonl' has results of a scan with a different --dim" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["zoo"], "'zoo' is a folder with 20 models, 'm00.onnx', 'm01.onnx', 'm02.onnx', …: use 'onnxcost scan zoo'"),
        (
            ["zoo/m01.onnx", "zoo/m02.onnx"],
            "only one MODEL is allowed, but got 'zoo/m02.onnx' too: for several, use 'onnxcost scan'",
        ),
        (["measure", "zoo/m01.onnx", "zoo/m02.onnx"], "only one MODEL is allowed"),
    ],
)
def test_commands_on_one_model_name_it(zoo: Path, arguments: list[str], says: str) -> None:
    result = CliRunner().invoke(cli, arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert says in result.stderr
    assert result.stderr.count("\n") == 1


def test_help() -> None:
    text = invoke("--help").stdout
    assert "onnxcost scan models/ --resume scan.jsonl --sort macs" in text
    assert (
        "Usage: onnxcost estimate [OPTIONS] MODEL\n"
        in CliRunner().invoke(cli, ["estimate", "--help"], prog_name="onnxcost").stdout
    )


def test_nothing_heavy_is_imported_by_the_process_that_only_waits(zoo: Path) -> None:
    code = (
        "import sys\nfrom onnxcost.cli.app import run\nrun(['scan', 'zoo', '-o', 'out.csv'])\n"
        "sys.exit(' '.join({'numpy', 'onnx', 'onnxruntime', 'rich'} & sys.modules.keys()) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, len(Path("out.csv").read_text().splitlines())) == (0, 21), done.stderr
