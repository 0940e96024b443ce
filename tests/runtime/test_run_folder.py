"""The temporary folders of runs: gone with their process, however that ends; nobody else's are touched."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from onnxcost.errors import MeasurementError
from onnxcost.runtime import run_folder as folders
from onnxcost.runtime.run_folder import LOCK, PREFIX, run_folder

pytestmark = pytest.mark.skipif(os.name != "posix", reason="locks and signals")
HOLDS = """
import os, sys, time
from pathlib import Path
from onnxcost.runtime.run_folder import run_folder
with run_folder() as folder:
    Path(folder, "weights").write_bytes(b"0")
    print(folder, flush=True)
    if sys.argv[1] == "dies":
        os.kill(os.getpid(), 9)
    sys.stdin.read()
"""


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A temporary folder of its own, nothing swept yet."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    folders._sweep.cache_clear()
    return tmp_path


def process(what: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", HOLDS, what]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_a_folder_is_private_and_removed_with_the_block(temporary: Path) -> None:
    with run_folder() as folder:
        assert Path(folder).parent == temporary
        assert Path(folder).stat().st_mode & 0o777 == 0o700
        assert Path(folder, LOCK).stat().st_mode & 0o777 == 0o600
        (Path(folder) / "some" / "where").mkdir(parents=True)
    assert list(temporary.iterdir()) == []


def test_folders_of_dead_processes_go_and_those_of_living_ones_stay(temporary: Path) -> None:
    with process("lives") as living:
        assert living.stdout is not None
        kept = Path(living.stdout.readline().strip())
        dead = process("dies")
        left = Path(dead.communicate()[0].strip())
        assert dead.returncode == -signal.SIGKILL
        assert left.is_dir()
        with run_folder():
            assert not left.exists()
            assert (kept / "weights").exists()
        living.communicate()
    assert list(temporary.iterdir()) == []


def test_other_files_are_not_removed(temporary: Path) -> None:
    elsewhere = temporary / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / LOCK).touch()
    (temporary / f"{PREFIX}symbol__").symlink_to(elsewhere)
    (temporary / f"{PREFIX}afile___").touch()
    for name in ("onnxcost-results", f"{PREFIX}longer_name", f"{PREFIX}nolock__"):
        (temporary / name).mkdir()
        (temporary / name / "results.json").touch()
    for name, target in (("link____", elsewhere / LOCK), ("nothing_", temporary / "none")):
        (temporary / f"{PREFIX}{name}").mkdir()
        (temporary / f"{PREFIX}{name}" / LOCK).symlink_to(target)
    (temporary / f"{PREFIX}pipe____").mkdir()
    os.mkfifo(temporary / f"{PREFIX}pipe____" / LOCK)
    before = sorted(temporary.rglob("*"))
    with run_folder():
        pass
    assert sorted(temporary.rglob("*")) == before


def test_an_empty_folder_without_a_lock_is_removed(temporary: Path) -> None:
    (temporary / f"{PREFIX}unlocked").mkdir()
    with run_folder():
        assert len(list(temporary.iterdir())) == 1


@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() != 0, reason="only root can make another user's folder")
def test_another_users_folder_is_kept(temporary: Path) -> None:
    other = temporary / f"{PREFIX}another_"
    other.mkdir()
    (other / LOCK).touch()
    os.chown(other, 12345, 12345)
    with run_folder():
        pass
    assert other.exists()


def test_a_folder_that_is_swept_before_it_is_locked_is_made_again(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usual, swept = tempfile.mkdtemp, []

    def made(*arguments: str, **more: str) -> str:
        folder = usual(*arguments, **more)
        if len(swept) < 2:
            swept.append(folder)
            Path(folder).rmdir()
        return folder

    monkeypatch.setattr(tempfile, "mkdtemp", made)
    with run_folder() as folder:
        assert Path(folder, LOCK).exists()
        assert folder not in swept
    assert len(swept) == 2


def test_no_temporary_folder_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(folders, "temporary_folders", lambda: [str(tmp_path / "none"), str(tmp_path / "nor this")])
    with (
        pytest.raises(MeasurementError, match=r"none' to run the model: No such file or directory; set TMPDIR to a"),
        run_folder(),
    ):
        pass


def test_a_missing_temporary_folder_is_skipped(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(folders, "temporary_folders", lambda: [str(tmp_path / "none"), str(tmp_path)])
    with run_folder() as folder:
        assert Path(folder).parent == tmp_path


@pytest.mark.parametrize("error", [28, 24, 30])
def test_a_folder_that_the_system_refuses_is_one_line(error: int, temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> str:
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr(tempfile, "mkdtemp", refused)
    with pytest.raises(MeasurementError, match=os.strerror(error)), run_folder():
        pass
    monkeypatch.undo()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    monkeypatch.setattr(folders, "_lock", refused)
    with pytest.raises(MeasurementError, match=os.strerror(error)), run_folder():
        pass
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_second_signal_waits_until_all_is_removed(number: int, temporary: Path) -> None:
    code = f"""
import os, shutil, sys
from onnxcost.runtime.run_folder import run_folder
from onnxcost.processes import end_on_signals
end_on_signals()
usual = shutil.rmtree
def removed(*arguments, **more):
    os.kill(os.getpid(), {int(number)})
    usual(*arguments, **more)
shutil.rmtree = removed
with run_folder():
    os.kill(os.getpid(), {int(number)})
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == (128 + number if number != signal.SIGINT else -number), done.stderr
    assert list(temporary.iterdir()) == []
