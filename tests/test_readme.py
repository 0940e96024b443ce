"""The README's output is what the commands print, and its set-up commands are those that CI runs."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import onnx
import onnxruntime
import pytest

from onnxcost.cli.app import run
from tests.modeltext import model

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
sys.path.insert(0, str(ROOT / "scripts"))

import readme  # noqa: E402

INSTALLED = f"Of onnx {onnx.__version__}, all opsets, and onnxruntime {onnxruntime.__version__}."
COUNTED = [match for match in readme.BLOCK.finditer(README) if match["kind"] == "run"]


@pytest.mark.parametrize("match", COUNTED, ids=lambda match: match["command"])
def test_a_block_is_what_its_command_prints(match: re.Match[str]) -> None:
    if match["command"] == "python scripts/coverage.py" and not match["body"].rstrip().endswith(INSTALLED):
        pytest.skip(f"the block is of another version than {INSTALLED}")
    assert readme.block(match) == match[0]


def test_every_block_is_one_and_is_filled() -> None:
    blocks = list(readme.BLOCK.finditer(README))
    assert len(blocks) == README.count("<!-- run:") + README.count("<!-- measured:") == README.count("<!-- end -->")
    assert all(block["body"].strip() and "<!--" not in block["body"] for block in blocks)


def test_the_two_set_up_commands_are_those_of_ci() -> None:
    ci = (ROOT / ".ci" / "run").read_text().replace(" --quiet", "")
    for command in ("pip install . && onnxcost models/resnet50_pytorch.onnx", "pip install '.[test]' && pytest"):
        assert command in README.splitlines()
        assert command in ci.splitlines()


def test_every_script_that_is_named_exists() -> None:
    named = set(re.findall(r"(?:scripts|tests)/[\w./-]+\.\w+", README))
    assert named
    assert {name for name in named if not (ROOT / name).exists()} == set()


def test_the_example_of_own_formulas_works(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Gated: 6 elements of 5 operations; Scale: 6 of 2."""
    code = re.search(r"```python\n(# mine\.py\n.*?)```", README, re.S)
    assert code
    (tmp_path / "mine.py").write_text(code[1])
    custom = model("(float[2,6] x) => (float y) { h = my.domain.Gated(x) y = my.domain.Scale(h) }", domains=', "my.domain" : 1')
    (tmp_path / "model.onnx").write_bytes(custom.SerializeToString())
    options = ["--no-run", "--formulas", str(tmp_path / "mine.py"), "--format", "json", "--strict"]
    assert run([str(tmp_path / "model.onnx"), *options]) == 0
    assert json.loads(capsys.readouterr().out)["totals"]["flops"] == 6 * 5 + 6 * 2
