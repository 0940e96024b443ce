"""The README's output is what the commands print, and its set-up commands are those that CI runs."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
sys.path.insert(0, str(ROOT / "scripts"))

import readme  # noqa: E402


@pytest.mark.parametrize("match", list(readme.BLOCK.finditer(README)), ids=lambda match: match["command"])
def test_a_block_is_what_its_command_prints(match: re.Match[str]) -> None:
    assert readme.block(match) == match[0]


def test_the_two_set_up_commands_are_those_of_ci() -> None:
    ci = (ROOT / ".ci" / "run").read_text().replace(" --quiet", "")
    for command in ("pip install . && onnxcost models/resnet50_pytorch.onnx", "pip install '.[test]' && pytest"):
        assert command in README.splitlines()
        assert command in ci.splitlines()


def test_every_script_that_is_named_exists() -> None:
    named = set(re.findall(r"(?:scripts|tests)/[\w./-]+\.\w+", README))
    assert named
    assert {name for name in named if not (ROOT / name).exists()} == set()
