"""MODEL as folders, patterns and pipes."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from onnxcost import estimate, files, measure
from onnxcost.cli.app import cli
from onnxcost.cli.options import expand_sources, read_source
from onnxcost.errors import InputError
from onnxcost.files import models_in
from tests.modeltext import model

CONTENT = model("(float[2,3] x) => (float[2,3] y) { y = Relu(x) }").SerializeToString()
PLACES = {"m": "m.onnx", "n": "b.onnx/n.onnx"}


def invoke(*arguments: object) -> Result:
    return CliRunner(env={"COLUMNS": "80"}).invoke(cli, [*map(str, arguments)])


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two models among links that lead back, to themselves and nowhere, a pipe, and a folder with a model's name."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a" / "b.onnx").mkdir(parents=True)
    for place in PLACES.values():
        (tmp_path / "a" / place).write_bytes(CONTENT)
    for index in range(5):
        (tmp_path / "a" / f"up{index}").symlink_to("..")
        (tmp_path / "a" / f"here{index}").symlink_to(".")
    (tmp_path / "itself.onnx").symlink_to("itself.onnx")
    os.mkfifo(tmp_path / "pipe.onnx")
    return tmp_path


def test_a_folder_that_links_to_itself_has_each_model_once(folder: Path) -> None:
    assert models_in(str(folder)) == [str(folder / place) for place in ("a/b.onnx/n.onnx", "a/m.onnx", "itself.onnx")]
    (folder / "empty").mkdir()
    with pytest.raises(InputError, match=r"no \.onnx file"):
        models_in(str(folder / "empty"))


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("**/*.onnx", 2),
        ("**", 2),
        ("**/**/**/m.onnx", 1),
        ("a/**/*.onnx", 2),
        ("./a/**/n.onnx", 1),
        ("**/b.onnx/**", 1),
        ("a/*.onnx", 1),
        ("a/up0/a/*.onnx", 1),
        ("?/**/[mn].onnx", 2),
    ],
)
@pytest.mark.parametrize("is_absolute", [False, True])
def test_a_pattern_ends_in_a_folder_that_links_to_itself(pattern: str, found: int, is_absolute: bool, folder: Path) -> None:
    sources = expand_sources([f"{folder}/{pattern}" if is_absolute else pattern])
    assert len(sources) == found
    assert all(Path(source.path).samefile(folder / "a" / PLACES[source.label]) for source in sources)


def test_a_folder_with_brackets_in_its_name_is_searched_too(folder: Path) -> None:
    (folder / "a").rename(folder / "[a]")
    assert len(expand_sources(["**/*.onnx"])) == 2


def test_a_link_to_itself_is_a_row_that_failed(folder: Path) -> None:
    result = invoke("scan", folder, "--quiet", "-j", 1)
    assert "2 of 3 models counted" in result.stdout
    assert "bug" not in result.stdout + result.stderr


@pytest.fixture
def piped(folder: Path) -> Iterator[Path]:
    path = folder / "pipe.onnx"
    thread = threading.Thread(target=path.write_bytes, args=(CONTENT,))
    thread.start()
    yield path
    if thread.is_alive():
        path.read_bytes()
    thread.join()


def test_a_model_is_counted_from_a_pipe(piped: Path) -> None:
    result = invoke(piped, "--no-run", "--quiet")
    assert (result.exit_code, "FLOPs" in result.stdout) == (0, True), result.stderr


def test_a_model_is_stripped_from_a_pipe(piped: Path) -> None:
    assert invoke("strip", piped, "-o", piped.parent / "small.onnx").exit_code == 0
    assert invoke("small.onnx", "--no-run").exit_code == 0


@pytest.mark.parametrize("command", ["compare", "scan"])
def test_what_reads_a_model_twice_says_so_of_a_pipe(command: str, piped: Path) -> None:
    for given in (piped, "-"):
        result = invoke(command, given, "a/m.onnx")
        assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
        assert "can be read only once" in result.stderr


def test_a_pipe_that_nothing_is_written_to_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "WRITER_TIMEOUT", 0.1)
    result = invoke(folder / "pipe.onnx", "--no-run")
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert "nothing was written to it" in result.stderr


def test_a_file_on_standard_input_is_not_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model.onnx").write_bytes(CONTENT)
    with (tmp_path / "model.onnx").open() as file:
        monkeypatch.setattr("sys.stdin", file)
        assert read_source("-") is file.buffer
        assert estimate(file.buffer).graph.file_bytes == len(CONTENT)
        assert measure(file.buffer, runs=1, warmup=0, arena=False).flops == 6
        assert file.buffer.tell() == 0
