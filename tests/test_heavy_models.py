"""Files of less than 150 KB that ask for minutes or gigabytes: each ends in a report or in one clear line, in bounded work."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
SCRIPT = ROOT / "scripts" / "heavy_models.py"
sys.path.insert(0, str(SCRIPT.parent))

import heavy_models  # noqa: E402

REFUSED = {
    "a chain of 1,500 functions": "call each other more than 100 levels deep",
    "functions that double 17 times": "inlining the model's functions would result in 131,072 nodes",
    "functions that double 30 times": "inlining the model's functions would result in 1,073,741,824 nodes",
    "functions that double 10 times, of 200 nodes": "inlining the model's functions would result in 204,800 nodes",
    "towers of Ifs": "nest subgraphs deeper than a file can store",
    "towers of many Ifs": "nest subgraphs deeper than a file can store",
    "towers of Ifs, both branches, more": "inlining the model's functions would result in 131,071 nodes",
    "a long name that functions repeat": "inlining the model's functions would result in 32,000 nodes of 1,6",
    "an STFT": "would be -999999999",
    "strings normalized": "dims: the maximum is 64",
    "a Unique": "dims: the maximum is 64",
    "a long chain of shape arithmetic": "6 elements cannot be reshaped to [6002, 9003]",
    "1,024 elements 2,000 times": "6 elements cannot be reshaped to [4002, 4002]",
    "scalars of large arrays": "6 elements cannot be reshaped to [2]",
    "Loops nested 28 deep that grow": "is invalid",
    "Loops nested 10 deep, twice each": "Integer overflow computing Concat output length",
    "bodies where none belong": "Unrecognized attribute: g for operator Relu",
    "1,200 constants of 1,024 elements": "6 elements cannot be reshaped to [1228800]",
    "1,900 open dims that fit nothing": "13300 elements cannot be reshaped to [1, 5]",
    "an open dim and 3,000 nodes before what cannot be": "were tried, and none fits",
    "a large attribute that a function repeats": "inlining the model's functions would result in 1,500 nodes of 12",
}
"""What the error says of those that are not counted."""


@pytest.fixture(scope="module")
def results() -> dict[str, dict[str, Any]]:
    """All in one process that forks for each, so that the modules are loaded once."""
    ran = subprocess.run([sys.executable, str(SCRIPT)], capture_output=True, text=True, cwd=ROOT, env={"PYTHONPATH": str(ROOT)})
    return {result["name"]: result for result in map(json.loads, ran.stdout.splitlines())}


@pytest.mark.parametrize("name", heavy_models.HEAVY)
def test_a_heavy_model_ends_in_a_report_or_in_one_line(name: str, results: dict[str, dict[str, Any]]) -> None:
    result = results[name]
    assert result["ok"], result
    assert result["seconds"] < heavy_models.SECONDS
    assert result["memory"] < heavy_models.MEMORY
    assert "\n" not in result["outcome"]
    assert REFUSED.get(name, "counted") in result["outcome"]
