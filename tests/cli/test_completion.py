"""What the shells are told to complete, as click's completion classes ask for it; and their scripts, where there is a bash."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

import onnxcost
from onnxcost.cli.app import COMMANDS, COMPLETE, cli
from onnxcost.cli.completion import COMPLETERS, BashWords, FishWords, ZshWords
from onnxcost.hardware.catalogue import catalogue
from tests.modeltext import model

LOOP = (
    "(float[batch,2] x, int64 n, bool go) => (float[batch,2] y)"
    " { y = Loop (n, go, x) <body = body (int64 i, bool c, float[batch,2] a) => (bool d, float[batch,2] b)"
    " { d = Identity(c) b = Relu(a) }> }"
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with models, other files and folders."""
    (tmp_path / "model.onnx").write_bytes(model(LOOP).SerializeToString())
    for name in ("broken.onnx", "cat.npy", "notes.txt", "saved.json", "board.toml", ".hidden.onnx", "mine.py"):
        (tmp_path / name).write_text("no model")
    for name in ("models", ".git"):
        (tmp_path / name).mkdir()
    (tmp_path / "models" / "small one.onnx").touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def completed(line: str, shell: type[click.shell_completion.ShellComplete] = ZshWords) -> list[str]:
    *args, incomplete = line.split(" ")
    return [item.value for item in shell(cli, {}, "onnxcost", COMPLETE).get_completions(args, incomplete)]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("m", ["measure", "model.onnx", "models/"]),
        ("mo", ["model.onnx", "models/"]),
        (".", [".git/", ".hidden.onnx"]),
        ("./b", ["./broken.onnx"]),
        ("models/", ["models/small one.onnx"]),
        ("nowhere/", []),
        ("estimate b", ["broken.onnx"]),
        ("compare model.onnx s", ["saved.json"]),
        ("scan mod", ["model.onnx", "models/"]),
        ("strip mo", ["model.onnx", "models/"]),
        ("model.onnx --dim ", ["batch="]),
        ("model.onnx --dim=b", ["batch="]),
        ("estimate model.onnx --no-run --dim b", ["batch="]),
        ("measure model.onnx --shape ", ["go=", "n=", "x="]),
        ("compare model.onnx --value n", ["n="]),
        ("scan model.onnx --dim ", ["batch="]),
        ("budget model.onnx --dim b", ["batch="]),
        ("model.onnx --dim batch=", []),
        ("--dim b", []),
        ("broken.onnx --dim b", []),
        ("nosuch.onnx --dim b", []),
        ("model.onnx --input x=", ["x=cat.npy", "x=models/"]),
        ("model.onnx --input g", ["go="]),
        ("model.onnx --provider tens", ["tensorrt"]),
        ("model.onnx --formulas m", ["mine.py", "models/"]),
        ("model.onnx --convention f", ["flops", "fvcore"]),
        ("model.onnx --format j", ["json"]),
        ("model.onnx --sort tr", ["traffic"]),
        ("compare model.onnx --sort w", ["weight_bytes"]),
        ("scan model.onnx --sort peak_a", ["peak_activation_bytes"]),
        ("compare model.onnx --pareto la", ["latency"]),
        ("model.onnx --dep", ["--depth"]),
        ("--dep", ["--depth"]),
        ("--vers", ["--version"]),
        ("budget model.onnx --device h100", ["h100-nvl", "h100-pcie", "h100-sxm"]),
        ("budget model.onnx --device-file b", ["board.toml"]),
        ("devices h100-s", ["h100-sxm"]),
        ("devices cal", ["calibrate"]),
        ("formulas ConvT", ["ConvTranspose"]),
        ("formulas Conv com.microsoft.FusedC", ["com.microsoft.FusedConv"]),
    ],
)
def test_what_completes_a_word(folder: Path, line: str, expected: list[str]) -> None:
    assert sorted(completed(line)) == expected


def test_all_commands_and_devices_are_offered(folder: Path) -> None:
    assert set(completed("")) >= {*COMMANDS, "model.onnx", "models/"}
    assert set(completed("budget model.onnx --device ")) == catalogue().keys()


def test_a_loop_is_completed_by_its_name(folder: Path) -> None:
    (node,) = (found := model(LOOP)).graph.node
    node.name = "again"
    (folder / "model.onnx").write_bytes(found.SerializeToString())
    assert completed("model.onnx --trips ") == ["again="]


def test_a_name_that_could_steer_the_terminal_is_left_out(folder: Path) -> None:
    found = model("(float[batch,size] x) => (float[batch,size] y) { y = Relu(x) }")
    found.graph.input[0].type.tensor_type.shape.dim[1].dim_param = "size\nplain\nrm -r"
    (folder / "model.onnx").write_bytes(found.SerializeToString())
    assert completed("model.onnx --dim ") == ["batch="]


def test_every_option_that_takes_a_file_or_a_name_of_the_model_is_completed() -> None:
    context = click.Context(cli)
    for name in COMMANDS:
        command = cli.get_command(context, name)
        assert command is not None
        for param in command.params:
            if isinstance(param, click.Option) and (param.metavar or "").split("=")[0] in (
                "FILE",
                "INPUT",
                "SYMBOL",
                "LOOP",
                "NAME",
            ):
                assert COMPLETERS.keys() & {*param.opts}, (name, param.opts)


@pytest.mark.parametrize(
    ("words", "args", "incomplete", "before"),
    [
        (["onnxcost", "m.onnx", "--dim", "ba"], ["m.onnx", "--dim"], "ba", ""),
        (["onnxcost", "m.onnx", "--dim", "batch", "=", "8"], ["m.onnx", "--dim"], "batch=8", "batch="),
        (["onnxcost", "m.onnx", "--dim", "=", "ba"], ["m.onnx"], "--dim=ba", ""),
        (["onnxcost", "m.onnx", "--input", "=", "x", "=", "c"], ["m.onnx"], "--input=x=c", "x="),
        (["onnxcost", "m.onnx", "--dim", "batch", "=", ""], ["m.onnx", "--dim", "batch="], "", ""),
        (["onnxcost", "'my m"], [], "my m", ""),
        (["onnxcost", "my\\ model.onnx", ""], ["my model.onnx"], "", ""),
    ],
)
def test_bash_takes_words_apart_at_an_equals_sign(
    words: list[str], args: list[str], incomplete: str, before: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COMP_WORDS", "\n".join(words))
    monkeypatch.setenv("COMP_CWORD", str(len(words) - 1))
    shell = BashWords(cli, {}, "onnxcost", COMPLETE)
    assert (shell.get_completion_args(), shell.before) == ((args, incomplete), before)


@pytest.mark.parametrize(("shell", "words"), [("bash", BashWords), ("zsh", ZshWords), ("fish", FishWords)])
def test_the_scripts(shell: str, words: type[click.shell_completion.ShellComplete], tmp_path: Path) -> None:
    """Each is the one of the class, and its shell finds no fault in it, where there is that shell."""
    environment = {**os.environ, COMPLETE: f"{shell}_source", "PYTHONPATH": str(Path(onnxcost.__file__).parents[1])}
    code = "from onnxcost.cli.app import cli; cli.main([], 'onnxcost')"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.rstrip("\n") == words(cli, {}, "onnxcost", COMPLETE).source().rstrip("\n")
    if path := shutil.which(shell):
        (tmp_path / "script").write_text(done.stdout)
        subprocess.run([path, "-n", tmp_path / "script"], check=True, capture_output=True)


def test_bash_completes(folder: Path) -> None:
    if not (bash := shutil.which("bash")):
        pytest.skip("there is no bash")
    (folder / "onnxcost").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m onnxcost "$@"\n')
    (folder / "onnxcost").chmod(0o755)
    script = f"""
        eval "$({COMPLETE}=bash_source onnxcost)"
        compopt() {{ :; }}
        COMP_WORDS=(onnxcost model.onnx --dim b) COMP_CWORD=3
        _onnxcost_completion onnxcost
        printf '%s|' "${{COMPREPLY[@]}}"
    """
    environment = {**os.environ, "PYTHONPATH": str(Path(onnxcost.__file__).parents[1])}
    environment["PATH"] = f"{folder}{os.pathsep}{environment['PATH']}"
    done = subprocess.run([bash, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "batch=|"


def test_nothing_but_completions_is_printed_where_a_model_is_broken(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert completed("broken.onnx --dim ") == []
    assert capfd.readouterr() == ("", "")
