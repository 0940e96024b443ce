"""The command as people use it: what it prints where, and how it ends."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy
import pytest
from click.testing import CliRunner, Result
from onnx import TensorProto, helper

import onnxcost.estimator
from onnxcost.cli.app import COMMANDS, cli, run
from onnxcost.cli.estimate import estimate
from onnxcost.conventions import CONVENTIONS

MACS, FLOPS = 2 * 16 * 8, 2 * 8 * 31 + 16  # 2 rows: 8 dot products of 16 terms each, then a Relu of 2 × 8


def model_of(*nodes: object, batch: int | str = "batch") -> bytes:
    graph = helper.make_graph(
        list(nodes),
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 16])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [helper.make_tensor("w", TensorProto.FLOAT, [16, 8], [0.0] * 128)],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.acme", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()


PRODUCT = helper.make_node("MatMul", ["x", "w"], ["h"], name="product")
RELU = helper.make_node("Relu", ["h"], ["y"], name="relu")
CUSTOM = helper.make_node("Mine", ["h"], ["y"], name="mine", domain="com.acme")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with three models."""
    (tmp_path / "model.onnx").write_bytes(model_of(PRODUCT, RELU))
    (tmp_path / "fixed.onnx").write_bytes(model_of(PRODUCT, RELU, batch=2))
    (tmp_path / "custom.onnx").write_bytes(model_of(PRODUCT, CUSTOM, batch=2))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def invoke(*arguments: str, stdin: bytes | None = None) -> Result:
    """The command; a model is only counted."""
    takes_model = arguments and arguments[0] not in (*COMMANDS.keys() - {"estimate"}, "-h", "--help", "--version")
    only_count = ["--no-run"] if takes_model else []
    return CliRunner(env={"COLUMNS": "80"}).invoke(cli, [*arguments, *only_count], input=stdin)


def summary(result: Result) -> dict[str, list[str]]:
    """The words behind each label of the table's summary."""
    lines = result.stdout.split("\n\n")[1].splitlines()
    pairs = [re.split(r"\s{2,}", part.strip()) for line in lines for part in re.split(r"(?<=\S)\s{4,}(?=[A-Z])", line)]
    return {label: number.split() for label, number in (pair for pair in pairs if len(pair) == 2)}


def counted(*arguments: str) -> dict[str, int]:
    result = invoke(*arguments, "--format", "json")
    assert result.exit_code == 0, result.stderr
    totals = json.loads(result.stdout)["totals"]
    assert isinstance(totals, dict)
    return totals


def refused(*arguments: str) -> str:
    """The one line on stderr of a command that must fail with 2."""
    result = invoke(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("onnxcost: error: ")
    assert result.stderr.count("\n") == 1
    return result.stderr.removeprefix("onnxcost: error: ").rstrip()


def test_estimate_is_the_default_command(folder: Path) -> None:
    short, long = invoke("fixed.onnx"), invoke("estimate", "fixed.onnx")
    assert short.stdout == long.stdout
    assert summary(short)["FLOPs"] == [str(FLOPS)]
    assert (short.exit_code, short.stderr) == (0, "")


def test_options_may_come_before_the_model(folder: Path) -> None:
    assert invoke("--format", "json", "fixed.onnx").stdout == invoke("fixed.onnx", "--format", "json").stdout


def test_standard_input(folder: Path) -> None:
    result = invoke("-", "--format", "json", stdin=(folder / "fixed.onnx").read_bytes())
    assert json.loads(result.stdout)["totals"]["macs"] == MACS


@pytest.mark.parametrize("given", [["--dim", "batch=2"], ["--shape", "x=2x16"], ["--shape", "x=2,16"], ["--shape", "2x16"]])
def test_dims_and_shapes(folder: Path, given: list[str]) -> None:
    totals = counted("model.onnx", *given)
    assert (totals["macs"], totals["flops"]) == (MACS, FLOPS)


def test_formats(folder: Path) -> None:
    assert json.loads(invoke("fixed.onnx", "--format", "json").stdout)["complete"]
    rows = list(csv.DictReader(io.StringIO(invoke("fixed.onnx", "--format", "csv").stdout)))
    assert [(row["name"], row["macs"]) for row in rows] == [("product", str(MACS)), ("relu", "0")]
    assert invoke("fixed.onnx", "--format", "markdown").stdout.startswith("## fixed.onnx\n")


@pytest.mark.parametrize(
    ("name", "start"), [("a.json", "{\n"), ("a.csv", "name,"), ("a.md", "## fixed"), ("a.txt", "fixed.onnx"), ("A.JSON", "{\n")]
)
def test_the_suffix_chooses_the_format(folder: Path, name: str, start: str) -> None:
    result = invoke("fixed.onnx", "-o", name)
    assert (result.exit_code, result.output) == (0, "")
    assert (folder / name).read_text(encoding="utf-8").startswith(start)


def test_format_beats_the_suffix(folder: Path) -> None:
    invoke("fixed.onnx", "-o", "a.txt", "--format", "json")
    assert json.loads((folder / "a.txt").read_text())["schema"] == "onnxcost/1"


def test_a_file_is_replaced_whole_and_keeps_its_mode(folder: Path) -> None:
    target = folder / "a.json"
    target.write_text("old")
    target.chmod(0o640)
    (folder / "link.json").symlink_to(target)
    assert invoke("fixed.onnx", "-o", "link.json").exit_code == 0
    assert json.loads(target.read_text())["complete"]
    assert target.stat().st_mode & 0o777 == 0o640
    assert sorted(path.name for path in folder.iterdir()) == ["a.json", "custom.onnx", "fixed.onnx", "link.json", "model.onnx"]


def test_a_failure_leaves_the_file_unchanged(folder: Path) -> None:
    (folder / "a.json").write_text("old")
    refused("model.onnx", "--dim", "nosuch=1", "-o", "a.json")
    assert (folder / "a.json").read_text() == "old"


def test_top_nodes_and_sort(folder: Path) -> None:
    assert "Top 1 of 2 nodes" in invoke("fixed.onnx", "--top", "1").stdout
    assert "  relu" not in invoke("fixed.onnx", "--top", "1").stdout
    assert "product" not in invoke("fixed.onnx", "--top", "0").stdout
    assert [line.split()[0] for line in invoke("fixed.onnx", "--nodes", "--sort", "name").stdout.splitlines()[-4:-2]] == [
        "product",
        "relu",
    ]


def test_depth_shows_the_modules(folder: Path) -> None:
    for asked in (["--depth", "2"], ["--by", "module"]):
        assert "  Module " in invoke("fixed.onnx", *asked).stdout


@pytest.mark.parametrize(
    ("by", "there", "absent"),
    [("operator", ["Operator  Nodes", "MatMul"], ["product"]), ("node", ["product"], ["Operator  Nodes", "Module"])],
)
def test_one_table_can_be_asked_for(folder: Path, by: str, there: list[str], absent: list[str]) -> None:
    for shown in (invoke("fixed.onnx", "--by", by).stdout, invoke("fixed.onnx", "--by", by, "--format", "markdown").stdout):
        text = shown.replace("| ", " ").replace(" |", " ")
        assert all(word.split()[-1] in text for word in there)
        assert not any(word in text for word in absent)


def test_verbose_shows_the_rest(folder: Path) -> None:
    brief, whole = invoke("fixed.onnx").stdout, invoke("fixed.onnx", "-v").stdout
    for only in ("Output ", "Conventions", "  Operator  ", f"{FLOPS}    {FLOPS}", "GFLOPs"[1:]):
        assert only in whole
    assert "Conventions" not in brief
    assert brief.splitlines()[-1] == whole.splitlines()[-1]


@pytest.mark.parametrize("name", list(CONVENTIONS))
def test_conventions(folder: Path, name: str) -> None:
    document = json.loads(invoke("fixed.onnx", "--format", "json", "--convention", name).stdout)
    assert document["convention"] == name
    assert document["totals"].get("count", document["conventions"][name]) == document["conventions"][name]
    assert invoke("fixed.onnx", "--convention", name).exit_code == 0


def test_values(folder: Path) -> None:
    numpy.save(folder / "x.npy", numpy.zeros((2, 16), numpy.float32))
    assert counted("model.onnx", "--value", "x=x.npy")["macs"] == MACS


def test_assumptions_are_in_the_table_or_on_stderr(folder: Path) -> None:
    table, document, quiet = (
        invoke("model.onnx"),
        invoke("model.onnx", "--format", "json"),
        invoke("model.onnx", "-o", "a.md", "--quiet"),
    )
    assert "Assumed      batch = 1 (--dim batch=N)" in table.stdout
    assert table.stderr == ""
    assert document.stderr == "onnxcost: assumed: batch = 1 (--dim batch=N)\n"
    assert quiet.stderr == ""


def test_strict_fails_after_the_report(folder: Path) -> None:
    assumed, uncounted = invoke("model.onnx", "--strict"), invoke("custom.onnx", "--strict", "--quiet")
    assert (assumed.exit_code, uncounted.exit_code) == (1, 1)
    assert assumed.stdout == invoke("model.onnx").stdout
    assert assumed.stderr == "onnxcost: error: --strict: assumed batch = 1 (--dim batch=N)\n"
    assert uncounted.stderr == "onnxcost: error: --strict: 1 of 2 nodes are not counted (com.acme.Mine)\n"
    assert invoke("model.onnx", "--strict", "--dim", "batch=2").exit_code == 0


def test_what_is_not_counted_makes_lower_bounds(folder: Path) -> None:
    result = invoke("custom.onnx")
    assert result.exit_code == 0
    assert summary(result)["MACs"] == ["≥", str(MACS)]
    assert "  1 × com.acme.Mine: " in result.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("nosuch.onnx", "there is no file 'nosuch.onnx'"),
        ("modle.onnx", "there is no file 'modle.onnx'; did you mean 'model.onnx'?"),
        ("formula", "'formula' is neither a file nor a command; did you mean 'formulas'?"),
        (".", "'.'"),
        ("model.onnx --dim nosuch=1", "the model has no dim 'nosuch': it has 'batch'"),
        ("model.onnx --dim batch=-1", "--dim expects SYMBOL=8, not 'batch=-1': a dim must be a whole number from 0"),
        ("model.onnx --dim batch", "--dim expects SYMBOL=8, not 'batch'"),
        ("model.onnx --dim batch=1 --dim batch=2", "--dim is given more than once for 'batch'"),
        ("model.onnx --shape nosuch=1", "the model has no input 'nosuch': it has 'x'"),
        ("model.onnx --shape x=1xx2", "--shape expects INPUT=1x3x224x224, not 'x=1xx2': a dim is missing"),
        ("model.onnx --shape 2x17", "--shape 2x17 fits no input of the model: 'x' (?x16)"),
        ("model.onnx --shape 2x16 --shape 3x16", "--shape is given twice without a name: add INPUT= to 3x16"),
        ("model.onnx --shape 2x16 --shape x=3x16", "is for the input 'x', which was also given a shape by name"),
        ("model.onnx --value x=many", "--value expects INPUT=16000, not 'x=many': 'many' is not a number"),
        ("model.onnx --value x=nosuch.npy", "cannot read 'nosuch.npy': No such file or directory"),
        ("model.onnx --value x=broken.npy", "cannot read 'broken.npy': it is not a .npy or .npz file of plain elements"),
        ("model.onnx --format xml", "Invalid value for '--format': 'xml' is not one of"),
        ("model.onnx --convention mac", "Invalid value for '--convention': 'mac' is not one of"),
        ("model.onnx --top -1", "Invalid value for '--top'"),
        ("model.onnx --nodes --top 3", "--nodes and --top cannot be used together"),
        ("model.onnx --nosuch", "there is no option '--nosuch'"),
        ("model.onnx another.onnx", "only one MODEL is allowed, but got 'another.onnx' too"),
        ("estmate model.onnx", "'estmate' is neither a file nor a command; did you mean 'estimate'?"),
        ("cmpare model.onnx fixed.onnx", "'cmpare' is neither a file nor a command; did you mean 'compare'?"),
        ("model.onnx --dpth 2", "there is no option '--dpth'; did you mean '--depth'? See 'onnxcost estimate --help'"),
        ("model.onnx --convention mcs", "'onnx-tool'; did you mean 'macs'? See 'onnxcost estimate --help'"),
        ("model.onnx --dim bach=2", "the model has no dim 'bach'; did you mean 'batch'?"),
        ("model.onnx --value x=brken.npy", "cannot read 'brken.npy': No such file or directory; did you mean 'broken.npy'?"),
        ("formulas Cnv", "there is no formula for 'Cnv'; did you mean 'Conv'?"),
        ("devices calibrte", "there is no device with 'calibrte'; did you mean 'calibrate'?"),
        ("budget model.onnx --device h100", "there is no device 'h100'; did you mean 'h100-nvl', 'h100-pcie' or 'h100-sxm'?"),
        ("fleet chekc", "there is no command 'chekc'; did you mean 'check'? See 'onnxcost fleet --help'"),
        ("model.onnx --hlep", "there is no option '--hlep'; did you mean '--help'? See 'onnxcost estimate --help'"),
        ("estimate", "Missing argument 'MODEL'; see 'onnxcost estimate --help'"),
        ("budget model.onnx --fps", "Option '--fps' requires an argument; see 'onnxcost budget --help'"),
        ("model.onnx -o cost.pdf", "'cost.pdf' has no known suffix: use .txt, .json, .csv, .md"),
        ("model.onnx -o nosuch/cost.json", "cannot write 'nosuch/cost.json': No such file or directory"),
        ("formulas Convv", "there is no formula for 'Convv'; did you mean 'Conv'"),
        ("formulas Xyzzy", "there is no formula for 'Xyzzy': run 'onnxcost formulas' for a list"),
    ],
)
def test_bad_usage_gets_one_line(folder: Path, arguments: str, says: str) -> None:
    (folder / "broken.npy").write_text("not numbers")
    assert says in refused(*arguments.split())


def test_a_shape_of_nothing_is_that_of_a_scalar(folder: Path) -> None:
    assert "input 'x' has 2 dims" in refused("model.onnx", "--shape", "x=")


def test_a_command_wins_over_a_file_of_its_name_and_says_so(folder: Path) -> None:
    (folder / "formulas").write_bytes(model_of(PRODUCT, RELU))
    result = invoke("formulas", "Conv")
    assert result.stdout.startswith("Conv  ")
    assert result.stderr == "onnxcost: note: 'formulas' is also a file here: to open it as a model, write ./formulas\n"
    assert "MACs" in invoke("./formulas").stdout


def test_a_bug_is_one_line_and_a_traceback_on_request(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise KeyError("what nobody foresaw")

    monkeypatch.setattr(onnxcost.estimator, "estimate_spec", broken)
    says = refused("model.onnx")
    assert says.startswith("this is a bug in onnxcost: KeyError ('what nobody foresaw') at test_cli.py:")
    assert "ONNXCOST_DEBUG=1" in says
    monkeypatch.setenv("ONNXCOST_DEBUG", "1")
    assert isinstance(invoke("model.onnx").exception, KeyError)


def test_the_formulas(folder: Path) -> None:
    assert "  MACs     out·C_in/groups·k\n" in invoke("formulas", "conv").stdout
    document = json.loads(invoke("formulas", "--format", "json").stdout)
    texts = {record["operator"]: record for record in document["formulas"]}
    assert texts["Relu"]["flops"] == "out"
    assert len(texts) > 100
    assert invoke("formulas", "-o", "formulas.csv").exit_code == 0
    assert (folder / "formulas.csv").read_text(encoding="utf-8").count("\n") == len(texts) + 1
    for line in invoke("formulas").stdout.splitlines():
        assert len(line) <= 80


def test_help_and_version() -> None:
    for option in ("-h", "--help"):
        text = invoke(option).stdout
        assert [name for name in COMMANDS if name not in text] == []
        assert "onnxcost model.onnx --dim batch=8" in text
        assert max(map(len, text.splitlines())) <= 80
    options = {name for parameter in estimate.params for name in parameter.opts if name.startswith("--")}
    assert all(option in invoke("estimate", "--help").stdout for option in options)
    assert invoke("--version").stdout == f"onnxcost {onnxcost.__version__}\n"


@pytest.mark.parametrize("command", ["model.onnx", "measure model.onnx", "devices calibrate"])
def test_a_folder_that_takes_no_file_is_refused_before_the_work(
    folder: Path, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != "full" or mode != os.W_OK)
    monkeypatch.setattr("subprocess.Popen", None)
    Path("full").mkdir()
    result = invoke(*command.split(), "-o", "full/out.json")
    assert (result.exit_code, result.stderr) == (2, "onnxcost: error: cannot write 'full/out.json': Permission denied\n")


def test_without_arguments_there_is_help() -> None:
    result = invoke()
    assert result.exit_code == 2
    assert "Usage:" in result.stderr


def test_run_returns_the_exit_code(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    commands = (["fixed.onnx", "--no-run"], ["model.onnx", "--no-run", "--strict"], ["nosuch.onnx"])
    assert [run(command) for command in commands] == [0, 1, 2]


COMMAND = [sys.executable, "-m", "onnxcost"]
PACKAGE = {"PYTHONPATH": str(Path(onnxcost.__file__).parents[1])}  # found from every working directory, installed or not


def process(*command: str, stdout: object = subprocess.PIPE, **environment: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=stdout,  # type: ignore[arg-type]  # a pipe or a file
        stderr=subprocess.PIPE,
        env={**os.environ, **PACKAGE, **environment},
    )


def test_a_process_ends_with_the_code(folder: Path) -> None:
    with process(*COMMAND, "model.onnx", "--no-run", "--strict", COLUMNS="80") as done:
        output, errors = done.communicate(timeout=60)
    assert done.returncode == 1
    assert output.startswith(b"model.onnx")
    assert errors.startswith(b"onnxcost: error: --strict")


def test_output_fits_an_ascii_stream(folder: Path) -> None:
    with process(*COMMAND, "custom.onnx", "--no-run", PYTHONIOENCODING="ascii") as done:
        output, _ = done.communicate(timeout=60)
    assert done.returncode == 0
    assert f">= {MACS}".encode() in output
    assert output.isascii()


@pytest.mark.parametrize("arguments", [["--help"], *([name, "--help"] for name in COMMANDS)])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    code = (
        f"import sys\nfrom onnxcost.cli.app import run\nrun({arguments!r})\n"
        "heavy = {'numpy', 'onnx', 'onnxruntime', 'rich'} & sys.modules.keys()\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    with process(sys.executable, "-c", code) as done:
        _, errors = done.communicate(timeout=60)
    assert (done.returncode, errors) == (0, b"")


@pytest.mark.skipif(sys.platform == "win32", reason="pipes break otherwise there")
def test_a_closed_pipe_is_no_error(folder: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb") as broken, process(*COMMAND, "fixed.onnx", "--no-run", stdout=broken) as done:
        _, errors = done.communicate(timeout=60)
    assert (done.returncode, errors) == (0, b"")


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGINT to send")
def test_an_interrupt_ends_with_130() -> None:
    with process(*COMMAND, "-") as waiting:
        with pytest.raises(subprocess.TimeoutExpired):
            waiting.wait(3)  # for a model on standard input that does not come
        waiting.send_signal(signal.SIGINT)
        _, errors = waiting.communicate(timeout=60)
    assert waiting.returncode == 130
    assert b"Traceback" not in errors
