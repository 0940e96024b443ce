"""``onnxcost strip`` as people use it."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from click.testing import CliRunner, Result

from onnxcost.cli.app import cli, run
from tests.modeltext import model

GRAPH = "(float[batch, 16] x) => (float[batch, 800] y) { y = MatMul(x, secret) }"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a model of 50 KiB."""
    (tmp_path / "model.onnx").write_bytes(model(GRAPH, secret=(16, 800)).SerializeToString())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["strip", *arguments])


def test_it_says_in_one_line_what_it_made(folder: Path) -> None:
    result = invoke("model.onnx", "-o", "skeleton.onnx")
    size = (folder / "skeleton.onnx").stat().st_size
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == f"model.onnx: 50.11 KiB, skeleton.onnx: {size} B\n"


@pytest.mark.parametrize(("options", "name"), [([], "secret"), (["--anonymize"], "v")])
def test_names_are_kept_unless_they_must_not_be(options: list[str], name: str, folder: Path) -> None:
    assert invoke("model.onnx", "-o", "skeleton.onnx", *options).exit_code == 0
    assert onnx.load(folder / "skeleton.onnx", load_external_data=False).graph.initializer[0].name == name


WRONG = {
    "onto itself": (["model.onnx", "-o", "model.onnx"], "'model.onnx' is the model itself"),
    "no such file": (["modle.onnx", "-o", "s.onnx"], "there is no file 'modle.onnx'; did you mean 'model.onnx'?"),
    "no such folder": (["model.onnx", "-o", "none/s.onnx"], "cannot write 'none/s.onnx': No such file or directory"),
    "nowhere": (["model.onnx"], "Missing option '-o' / '--output'"),
    "no model": ([__file__, "-o", "s.onnx"], "is not a readable ONNX model"),
}


@pytest.mark.parametrize(("arguments", "says"), WRONG.values(), ids=WRONG.keys())
def test_what_cannot_be_done_is_said_in_one_line(
    arguments: list[str], says: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (folder / "model.onnx").read_bytes()
    assert run(["strip", *arguments]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert says in said.err
    assert [path.name for path in folder.iterdir()] == ["model.onnx"]
    assert (folder / "model.onnx").read_bytes() == before
