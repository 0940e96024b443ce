"""One hostile string in every place of a model, of a report and of a device, through every command and format.

No control character but the line's end comes out, no row breaks, no cell is a formula, no text is markup.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from onnx import ModelProto, TensorProto, helper

import onnxcost
from onnxcost.cli.app import cli
from onnxcost.render.report import report_html
from tests.generation.small import DECODER
from tests.modeltext import model

STEERING = "\x1b]8;;https://example.org\x07\x1b[2J\r\n\t\x00\x7f\x9b31m\x85"
UNSEEN = "\u202e\u2066\u200b\u200d\ufeff\u2028\u00ad\ue000\u0378\u3164\ufe0f\U000e0041" + "e" + "\u0301" * 40
MARKUP = "[/x][link=x]|`<script>alert(1)</script>&lt;![i](u)$x$ '\"$(id)"
HOSTILE = f"=cmd|' /C calc'!A0{STEERING}{UNSEEN}{MARKUP}"
LONG = HOSTILE + "a" * 150_000 + " b" * 10_000
STRINGS = {"hostile": HOSTILE, "long": LONG, "minus": f"-1+1{STEERING}", "at": f"@SUM(1){MARKUP}", "tab": f"\t=1+1{UNSEEN}"}
FORMATS = ("table", "json", "csv", "markdown")
LONGEST_LINE = 5000


def named(text: str, *, runs: bool = False) -> ModelProto:
    """A model with the text in every place that has a name; one that ``runs`` has operators of ONNX alone."""
    made = model("(float[n,4] x) => (float[n,8] y) { h = MatMul(x, w) y = Relu(h) }", w=(4, 8))
    graph = made.graph
    names = {each: f"{text}{each}" for each in ("x", "y", "h", "w", "o")}
    for node in graph.node:
        node.input[:], node.output[:] = [names[each] for each in node.input], [names[each] for each in node.output]
    for value in (*graph.input, *graph.output, *graph.initializer):
        value.name = names[value.name]
    if not runs:
        graph.node.append(helper.make_node(f"{text}Op", [names["y"]], [names["o"]], domain=f"{text}.domain"))
        graph.node.append(helper.make_node(f"{text}F", [names["o"]], [names["o"] + "2"], domain=f"{text}.f"))
        body = [helper.make_node(f"{text}Inner", ["a"], ["b"], domain=f"{text}.domain")]
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid(f"{text}.domain", 1)]
        made.functions.append(helper.make_function(f"{text}.f", f"{text}F", ["a"], ["b"], body, opsets))
        made.opset_import.extend([opsets[1], helper.make_opsetid(f"{text}.f", 1)])
        loop = model(
            "(float[2] a) => (float[2] b) { go = Constant<value=bool{1}>() m = ReduceSum<keepdims=0>(a) k = Cast<to=7>(m)"
            " b = Loop(k, go, a) <body = l (int64 i, bool c, float[2] s) => (bool d, float[2] t)"
            " { d = Identity(c) t = Relu(s) }> }"
        )
        for node in loop.graph.node:
            node.name = f"{text[:1000]}{node.op_type}"  # longer ones are refused around nodes
        graph.node.extend(loop.graph.node)
        graph.input.extend(loop.graph.input)
        graph.output.append(helper.make_tensor_value_info(names["o"] + "2", TensorProto.FLOAT, None))
    for number, node in enumerate(graph.node):
        node.name = node.name or f"/{text}/{text}.{number}/{text}"
        node.doc_string = text
        node.metadata_props.add(key="pkg.torch.onnx.name_scopes", value=repr(["", text, f"{text}.{number}", "n"]))
    for dim in (graph.input[0].type.tensor_type.shape.dim[0], graph.output[0].type.tensor_type.shape.dim[0]):
        dim.dim_param = f"{text}dim"
    graph.name = made.producer_name = made.producer_version = made.domain = made.doc_string = graph.doc_string = text
    made.metadata_props.add(key=text, value=text)
    return made


def hostile_path(folder: Path, suffix: str) -> Path:
    """A path with all that a file's name can hold: bytes that are no UTF-8, too. A slash in the text makes it a folder."""
    path = Path(f"{folder}/{HOSTILE.replace(chr(0), '')[:150]}{os.fsdecode(bytes([0xFF]))}{suffix}")
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def safe(text: str) -> None:
    """Nothing in it steers a terminal or is unseen; no line is a flood; nothing went wrong inside."""
    assert not re.findall(r"[^\n\x20-\x7e\xa0-\uffff\U00010000-\U0010ffff]", text)
    assert not [char for char in text if not char.isprintable() and char not in "\n\xa0"]
    assert not re.search("[\u3164\ufe0f]|\u0301{4}", text)
    assert "bug in onnxcost" not in text


def safe_message(text: str) -> None:
    safe(text)
    assert all(len(line) < LONGEST_LINE for line in text.splitlines())


def safe_csv(text: str) -> None:
    safe(text)
    rows = list(csv.reader(io.StringIO(text)))
    assert len(rows) == text.count("\n")
    assert len({len(row) for row in rows}) == 1
    for value in (value for row in rows for value in row):
        assert re.fullmatch(r"-?[\d.]+(e[-+]?\d+)?", value) or not re.match(r"\s*[-=+@\t\r]", value)


def safe_markdown(text: str) -> None:
    safe_message(text)
    columns = None
    for line in text.splitlines():
        bars = len(re.findall(r"(?<!\\)(?:\\\\)*\|", line))
        columns = bars if columns is None and line.startswith("| ") else columns if line.startswith("| ") else None
        assert columns is None or bars == columns
        assert not re.search(r"(?<!\\)(?:\\\\)*(<script|\[/x\]|!\[)", line)
        assert not re.search(r"(?<!\\)(?:\\\\)*(`|\$(?!\d))", line)


def safe_json(text: str) -> None:
    safe(text)
    for line in text.splitlines() if text.startswith('{"schema') else [text]:
        json.loads(line)


CHECKS: dict[str, Callable[[str], None]] = {
    "table": safe_message, "json": safe_json, "jsonl": safe_json, "csv": safe_csv, "markdown": safe_markdown,
}  # fmt: skip


def invoke(format_: str, *arguments: object) -> Result:
    """What the command printed, each stream checked."""
    result = CliRunner(env={"COLUMNS": "100"}).invoke(cli, [*map(os.fspath, map(str, arguments)), "--format", format_])
    safe_message(result.stderr)
    if result.stdout:
        CHECKS[format_](result.stdout)
    return result


@pytest.fixture(params=STRINGS.values(), ids=STRINGS.keys())
def text(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize("options", [[], ["--depth", "4", "--nodes"]], ids=["nodes", "modules"])
def test_a_model_is_estimated(text: str, options: list[str], format_: str, tmp_path: Path) -> None:
    path = hostile_path(tmp_path, ".onnx")
    path.write_bytes(named(text).SerializeToString())
    result = invoke(format_, "estimate", path, "--no-run", *options)
    assert result.exit_code == 0
    if format_ == "json":
        document = json.loads(result.stdout)
        assert document["model"]["path"] == str(path)
        assert {node["op_type"] for node in document["uncounted"]} == {f"{text}Op", f"{text}Inner"}
    elif format_ == "csv" and not options:
        assert len(list(csv.reader(io.StringIO(result.stdout)))) == 1 + len(onnxcost.estimate(path).costs)


@pytest.mark.parametrize("format_", FORMATS)
def test_models_and_saved_reports_are_compared(text: str, format_: str, tmp_path: Path) -> None:
    path, saved = hostile_path(tmp_path, ".onnx"), hostile_path(tmp_path, ".json")
    path.write_bytes(named(text).SerializeToString())
    saved.write_text(json.dumps(replaced(onnxcost.estimate(path).to_dict(), text)))
    other = tmp_path / "other.onnx"
    other.write_bytes(model("(float[1,4] x) => (float[1,9] y) { y = MatMul(x, w) }", w=(4, 9)).SerializeToString())
    assert invoke(format_, "compare", path, saved, other, "--no-run", "--explain").exit_code == 0
    damaged = tmp_path / "damaged.json"
    damaged.write_text(json.dumps(json.loads(saved.read_text()) | {"bound": text}))
    assert invoke(format_, "compare", damaged, other, "--no-run").exit_code == 2
    assert invoke(format_, "compare", *[path] * 5, saved, "--no-run", "--sort", "macs", "--explain").exit_code == 0


def replaced(document: Any, text: str) -> Any:
    """The document with the text in place of all its strings but those that a reader goes by."""
    if isinstance(document, dict):
        return {
            key: value if key in ("schema", "convention", "bound") else replaced(value, text) for key, value in document.items()
        }
    if isinstance(document, list):
        return [replaced(value, text) for value in document]
    return [text] if document == [] else text if isinstance(document, str) else document


@pytest.mark.parametrize("format_", [*FORMATS, "jsonl"])
def test_models_are_scanned(text: str, format_: str, tmp_path: Path) -> None:
    path, damaged, kept = (hostile_path(tmp_path / each, ".onnx") for each in ("good", "bad", "kept"))
    path.write_bytes(named(text).SerializeToString())
    damaged.write_bytes(named(text).SerializeToString()[:200])
    for _ in range(2):
        result = invoke(format_, "scan", path, damaged, "-j", 1, "--resume", kept)
        assert result.exit_code == 2
        safe_json(kept.read_text())
    lines = {line["path"] for line in map(json.loads, kept.read_text().splitlines())}
    assert lines == {str(path), str(damaged)}
    if format_ == "csv":
        assert len(list(csv.reader(io.StringIO(result.stdout)))) == 3


DEVICE = """
title = {text}
vendor = {text}
name = "board"
kind = "board"
note = {text}
source = "sheet"
memory = "1 KiB"
bandwidth = {{ value = "10 GB/s", how = {text} }}
cpu = {{ title = {text}, peak.float32 = "50 GFLOP/s" }}
[sources.sheet]
title = {text}
url = {text}
date = 2026-01-02
"""


def toml(text: str) -> str:
    return '"' + re.sub(r"[^a-z ]", lambda char: f"\\U{ord(char[0]):08x}", text) + '"'


@pytest.mark.parametrize("format_", FORMATS)
def test_a_budget_is_kept_on_a_device_of_ones_own(text: str, format_: str, tmp_path: Path) -> None:
    path, file, budgets = (hostile_path(tmp_path, suffix) for suffix in (".onnx", "d.toml", "b.toml"))
    path = path.with_name("=m.onnx")  # TOML is UTF-8
    path.write_bytes(named(text).SerializeToString())
    file.write_text(DEVICE.format(text=toml(text)))
    own = ("--device-file", file)
    assert invoke(format_, "devices", *own).exit_code == 0
    assert invoke(format_, "devices", "board", *own).exit_code == 0
    for options in (["--device", "board"], ["--explain", "board"], []):
        assert invoke(format_, "budget", path, "--macs", "1", *own, *options).exit_code in (0, 1)
    budgets.write_text(f"[budget]\ndevices = ['board']\n[budget.models.{toml(path.name)}]\nfps = 30\n")
    assert invoke(format_, "budget", "--check", budgets, *own).exit_code == 1
    budgets.write_text(f"[budget]\n{toml(text)} = 1\n[budget.models.{toml(text)}]\n{toml(text)} = {toml(text)}\n")
    assert invoke(format_, "budget", "--check", budgets).exit_code == 2
    file.write_text(DEVICE.format(text=toml(text)) + f"[{toml(text)}]\n{toml(text)} = 1")
    assert invoke(format_, "devices", *own).exit_code == 2


def test_a_skeleton_is_written(text: str, tmp_path: Path) -> None:
    path, target = hostile_path(tmp_path, ".onnx"), hostile_path(tmp_path, ".stripped")
    path.write_bytes(named(text).SerializeToString())
    result = CliRunner().invoke(cli, ["strip", str(path), "-o", str(target)])
    assert result.exit_code == 0
    safe_message(result.output)
    assert result.output.count("\n") == 1


def decoder(text: str) -> ModelProto:
    """A language model with the text in its nodes, dims and all values that it does not return."""
    made = ModelProto.FromString(DECODER.SerializeToString())
    graph = made.graph
    for value in (*graph.input, *graph.output):
        for dim in value.type.tensor_type.shape.dim:
            dim.dim_param = dim.dim_param and f"{text}{dim.dim_param}"
    inner = {name for node in graph.node for name in node.output} - {value.name for value in graph.output}
    names = {name: f"{text}{name}" for name in inner | {tensor.name for tensor in graph.initializer}}
    for node in graph.node:
        node.name = f"/{text}/{text}.{node.op_type}"
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    for tensor in graph.initializer:
        tensor.name = names[tensor.name]
    graph.name = made.producer_name = text
    return made


COMMANDS: dict[str, list[str]] = {
    "scale": ["scale", "MODEL", "--at", "DIM=1,2"],
    "llm": ["llm", "DECODER", "--memory", "8GiB", "--device", "rtx-4090"],
    "pipeline": ["estimate", "--pipeline", "MODEL*2,DECODER*3", "--no-run"],
    "budget of a pipeline": ["budget", "--pipeline", "MODEL,DECODER*3", "--device", "rtx-4090"],
    "tokens": ["budget", "DECODER", "--device", "rtx-4090", "--tokens-per-second", "1"],
    "runtime": ["budget", "MODEL", "--device", "jetson-nano", "--runtime", "ncnn", "--anchor", "resnet18=30ms"],
}


@pytest.mark.parametrize("format_", [*FORMATS, "html"])
@pytest.mark.parametrize("arguments", COMMANDS.values(), ids=COMMANDS)
def test_growth_language_models_and_pipelines_are_shown(
    arguments: list[str], format_: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = HOSTILE.replace("\0", "")
    monkeypatch.setitem(CHECKS, "html", safe_page)
    folder = hostile_path(tmp_path, "").parent
    paths = {"MODEL": str(folder / f"{UNSEEN}m.onnx"), "DECODER": str(folder / "=d.onnx")}
    Path(paths["MODEL"]).write_bytes(named(text).SerializeToString())
    Path(paths["DECODER"]).write_bytes(decoder(text).SerializeToString())
    monkeypatch.chdir(folder)
    names = {"MODEL": f"{UNSEEN}m.onnx", "DECODER": "=d.onnx", "DIM": f"{text}dim"}
    given = [argument.replace("MODEL", names["MODEL"]).replace("DECODER", names["DECODER"]) for argument in arguments]
    given = [argument.replace("DIM", names["DIM"]) for argument in given]
    result = invoke(format_, *given)
    assert result.exit_code in ((0, 1) if given[0] == "budget" else (0,))


def safe_page(text: str) -> None:
    """No control character, no element of a model: the scripts of the page are the last, and in them its data is escaped."""
    text = re.sub(r"<(style|script)>.*?</\1>", "", text, flags=re.DOTALL)
    safe(text)
    assert text.count("<script") == text.count("</script>") == 1
    assert "<script>alert" not in text
    json.loads(text.partition('id="data">')[2].partition("</script>")[0])


OUTPUTS = {
    "annotate": (["annotate", "MODEL"], "annotated.onnx"),
    "node data": (["estimate", "MODEL", "--no-run"], "x.nodedata.json"),
    "page": (["estimate", "MODEL", "--no-run"], "x.html"),
    "a chart of shares": (["plot", "MODEL"], "x.svg"),
    "a chart of memory": (["plot", "DECODER", "--kind", "memory"], "x.svg"),
    "a chart of the roofline": (["plot", "DECODER", "--kind", "roofline"], "x.pdf"),
}


@pytest.mark.parametrize(("arguments", "output"), OUTPUTS.values(), ids=OUTPUTS)
def test_a_file_for_another_program_is_written(arguments: list[str], output: str, tmp_path: Path) -> None:
    path = hostile_path(tmp_path, ".onnx")
    path.write_bytes((decoder if "DECODER" in arguments else named)(HOSTILE).SerializeToString())
    target = hostile_path(tmp_path, output)
    result = CliRunner().invoke(
        cli, [*(str(path) if each in ("MODEL", "DECODER") else each for each in arguments), "-o", str(target)]
    )
    assert result.exit_code == 0, result.output
    safe_message(result.output)
    if output.endswith("html"):
        safe_page(target.read_text())
    elif output.endswith("json"):
        safe_json(target.read_text())
    elif output.endswith("svg"):
        safe(target.read_text())
        assert "<script" not in target.read_text()
    elif output.endswith("onnx"):
        assert onnxcost.estimate(target).macs == onnxcost.estimate(path).macs


def test_a_page_is_viewed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    path = hostile_path(tmp_path, ".onnx")
    path.write_bytes(named(HOSTILE).SerializeToString())
    result = CliRunner().invoke(cli, ["view", str(path), "--no-browser"])
    assert result.exit_code == 0
    safe_message(result.output)
    safe_page(next(tmp_path.glob("onnxcost-view-*/report.html")).read_text())


WRONG = {
    "no such command": lambda text: [text],
    "no such file": lambda text: ["estimate", text],
    "no such option": lambda text: ["estimate", "model.onnx", f"--{text}"],
    "no such dim": lambda text: ["estimate", "model.onnx", "--no-run", "--dim", f"{text}=3"],
    "no dim at all": lambda text: ["estimate", "model.onnx", "--no-run", "--dim", text],
    "no such shape": lambda text: ["estimate", "model.onnx", "--no-run", "--shape", f"{text}x=2x3"],
    "no such value": lambda text: ["estimate", "model.onnx", "--no-run", "--value", f"x={text}"],
    "no such format": lambda text: ["estimate", "model.onnx", "--no-run", "--format", text],
    "no such suffix": lambda text: ["estimate", "model.onnx", "--no-run", "-o", text],
    "no such folder": lambda text: ["estimate", "model.onnx", "--no-run", "-o", f"{text[:150]}/none/x.csv"],
    "no such device": lambda text: ["budget", "model.onnx", "--device", text],
    "no such limit": lambda text: ["budget", "model.onnx", "--fps", text],
    "no such word": lambda text: ["devices", text],
    "no such operator": lambda text: ["formulas", text],
    "no such metric": lambda text: ["compare", "model.onnx", "model.onnx", "--no-run", "--sort", text],
    "no such increase": lambda text: ["compare", "model.onnx", "model.onnx", "--no-run", "--max-increase", text],
    "nothing to scan": lambda text: ["scan", text[:150]],
    "no such provider": lambda text: ["measure", "model.onnx", "--provider", text],
    "no such input": lambda text: ["measure", "model.onnx", "--input", f"{text}={text}"],
    "no report": lambda text: ["compare", "model.onnx", "report.json"],
    "no formulas": lambda text: ["estimate", "model.onnx", "--formulas", text[:150]],
    "nowhere": lambda text: ["strip", "model.onnx", "-o", f"{text[:150]}/none/x"],
}


@pytest.mark.parametrize("arguments", WRONG.values(), ids=WRONG.keys())
def test_an_error_is_one_short_line(
    arguments: Callable[[str], list[str]], text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.onnx").write_bytes(named(text).SerializeToString())
    (tmp_path / "report.json").write_text(json.dumps({"schema": text}))
    result = CliRunner().invoke(cli, arguments(text.replace("\0", "")))
    assert result.exit_code == 2
    safe_message(result.stderr)
    assert len(re.findall("^onnxcost: error: ", result.stderr, re.MULTILINE)) >= 1
    assert all(line.startswith("onnxcost: ") for line in result.stderr.splitlines())


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize("command", ["measure", "profile"])
def test_a_model_is_run(command: str, format_: str, tmp_path: Path) -> None:
    path = tmp_path / f"{MARKUP.replace('/', '')}{UNSEEN}.onnx"
    path.write_bytes(named(HOSTILE.replace("\0", ""), runs=True).SerializeToString())
    assert invoke(format_, command, path, "--runs", 1, "--warmup", 0).exit_code == 0


def test_outputs_are_compared(tmp_path: Path) -> None:
    path = tmp_path / f"{MARKUP.replace('/', '')}{UNSEEN}.onnx"
    path.write_bytes(named(HOSTILE.replace("\0", ""), runs=True).SerializeToString())
    assert invoke("table", "compare", path, path, "--no-run", "--check-outputs").exit_code == 0


def test_a_notebook_shows_no_markup_of_a_model(text: str) -> None:
    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: object) -> None:
            assert tag in ("p", "b", "table", "tr", "td", "th")

    page = report_html(onnxcost.estimate(named(text)))
    safe(page)
    assert len(page) < 100_000
    Reader().feed(page)


@pytest.mark.parametrize("arguments", [["--no-run", "--nodes"], ["scan"], ["scan", "--run", "--runs", "1"]], ids=" ".join)
def test_a_terminal_gets_no_sequence_of_a_model(arguments: list[str], tmp_path: Path) -> None:
    """Progress, with colors, on a real terminal: the only sequences are those of styles and of the cursor."""
    path = tmp_path / f"{MARKUP.replace('/', '')}{UNSEEN}.onnx"
    path.write_bytes(named(HOSTILE.replace("\0", ""), runs=True).SerializeToString())
    pid, terminal = pytest.importorskip("pty", reason="there are no such terminals").fork()
    if pid == 0:
        os.environ |= {"TERM": "xterm-256color", "COLUMNS": "100", "LINES": "40"}
        os.execv(sys.executable, [sys.executable, "-m", "onnxcost", *arguments, str(path)])
    seen = b"".join(iter(lambda: read(terminal), b""))
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    text = re.sub(r"\x1b\[[0-9;]*[mKA]|\x1b\[\?25[lh]|\r", "", seen.decode())
    safe(text)
    assert "?]8;;https://example.org" in text


def read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # how Linux says that the other end is closed
        return b""


@pytest.mark.parametrize("fails", ["onnxcost.render.page.build_page", "onnxcost.cli.output.replace_file"])
def test_a_page_that_cannot_be_written_leaves_no_folder(fails: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    (tmp_path / "model.onnx").write_bytes(named("x").SerializeToString())

    def fail(*arguments: object) -> None:
        raise MemoryError

    monkeypatch.setattr(fails, fail)
    with pytest.raises(SystemExit):
        cli.main(["view", str(tmp_path / "model.onnx"), "--no-browser"])
    assert not [*(tmp_path / "tmp").iterdir()]
