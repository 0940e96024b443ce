"""``onnxcost devices calibrate``, without timing anything: what it is asked, and the file that it leaves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from onnxcost.cli.devices import DevicesCommand, calibrate
from onnxcost.hardware.calibration.model import Calibration, load
from tests.hardware.calibration.test_predictor import HERE


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the command asks to be calibrated; it gets HERE."""
    calls: list[dict[str, Any]] = []

    def made(settings: Any, **arguments: Any) -> Calibration:
        calls.append({"provider": settings.provider, "name": arguments["name"], "threads": tuple(arguments["threads"])})
        return HERE

    monkeypatch.setattr("onnxcost.runtime.calibrate.calibrate", made)
    return calls


def test_the_file_can_be_read_back(tmp_path: Path, asked: list[dict[str, Any]]) -> None:
    path = tmp_path / "here.toml"
    done = CliRunner().invoke(calibrate, ["-o", str(path), "--name", "here"])
    assert done.exit_code == 0, done.output
    assert load(path) == HERE
    assert asked == [{"provider": "cpu", "name": "here", "threads": (1, None)}]


def test_the_numbers_of_threads_can_be_chosen(tmp_path: Path, asked: list[dict[str, Any]]) -> None:
    CliRunner().invoke(calibrate, ["-o", str(tmp_path / "x.toml"), "--threads", "2", "--threads", "4"])
    assert asked[0]["threads"] == (2, 4)


def test_it_is_a_command_of_devices() -> None:
    @click.command(cls=DevicesCommand)
    @click.argument("words", nargs=-1)
    def devices(words: tuple[str, ...]) -> None:
        click.echo(f"words {' '.join(words)}")

    assert "Measure the speed of this machine" in CliRunner().invoke(devices, ["calibrate", "--help"]).output
    assert CliRunner().invoke(devices, ["jetson"]).output == "words jetson\n"
