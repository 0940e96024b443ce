"""Files are written whole or not at all."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

import onnxcost
from onnxcost.errors import InputError
from onnxcost.files import models_in, replace_file


@pytest.mark.skipif(os.name != "posix", reason="the bits are those of POSIX")
@pytest.mark.parametrize("mode", [0o444, 0o400, 0o555, 0o000])
def test_a_read_only_file_is_not_replaced(tmp_path: Path, mode: int) -> None:
    """Also not by root, who may write to any, nor by who may write to its folder alone."""
    target, link = tmp_path / "kept.txt", tmp_path / "link.txt"
    target.write_text("as it was")
    link.symlink_to(target)
    target.chmod(mode)
    for path in (target, link):
        with pytest.raises(InputError, match=rf"^cannot write '.*{path.name}': it is read-only$"):
            replace_file(path, b"new")
    target.chmod(0o644)
    assert target.read_text() == "as it was"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kept.txt", "link.txt"]


@pytest.mark.skipif(os.name != "posix", reason="the bits are those of POSIX")
def test_a_file_keeps_its_mode_and_a_link_its_target(tmp_path: Path) -> None:
    target, link = tmp_path / "kept.txt", tmp_path / "link.txt"
    target.write_text("as it was")
    target.chmod(0o600)
    link.symlink_to(target)
    replace_file(link, b"new")
    assert (target.read_text(), target.stat().st_mode & 0o777, link.is_symlink()) == ("new", 0o600, True)


def test_a_folder_that_cannot_be_listed_is_not_taken_for_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "locked").mkdir()
    (tmp_path / "model.onnx").touch()
    listed = os.scandir

    def scandir(path: str) -> object:
        if "locked" in str(path):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return listed(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(InputError, match=r"cannot read the folder '.*locked': Permission denied"):
        models_in(str(tmp_path))


def test_a_missing_file_is_what_people_catch_for_it(tmp_path: Path) -> None:
    calls: list[Callable[[], object]] = [
        lambda: onnxcost.estimate(tmp_path / "no.onnx"),
        lambda: onnxcost.measure(str(tmp_path / "no.onnx")),
        lambda: onnxcost.budget(tmp_path / "no.onnx", fps=30),
        lambda: onnxcost.devices([str(tmp_path / "no.toml")]),
    ]
    for call in calls:
        with pytest.raises(FileNotFoundError, match=r"cannot read .*No such file") as caught:
            call()
        assert isinstance(caught.value, onnxcost.InputError)
        assert (caught.value.exit_code, str(caught.value).count("\n")) == (2, 0)


@pytest.mark.skipif(os.name != "posix", reason="links need no rights on POSIX alone")
def test_a_link_to_itself_is_not_replaced(tmp_path: Path) -> None:
    first, second = tmp_path / "first.txt", tmp_path / "second.txt"
    first.symlink_to(second)
    second.symlink_to(first)
    with pytest.raises(InputError, match=r"^cannot write '.*first.txt': Too many levels of symbolic links$"):
        replace_file(first, b"new")
    assert first.is_symlink()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["first.txt", "second.txt"]
