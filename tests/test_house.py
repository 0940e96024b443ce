"""The script that counts what a stranger meets in the package."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[1] / "scripts" / "house.py"


def test_there_is_no_circle_and_no_class_name_twice() -> None:
    done = subprocess.run([sys.executable, SCRIPT], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "import circle: none" in done.stdout
    assert "class names with two meanings: none" in done.stdout


def test_it_sees_what_it_looks_for() -> None:
    import importlib.util

    spec = importlib.util.spec_from_file_location("house", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    house = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(house)
    texts = {
        "a": "from onnxcost.b import f\nclass C: ...\ndef _g(): ...\n_g()\n",
        "b": "def f():\n    import_module('onnxcost.a')\nclass C: ...\n",
        "a_file": "if TYPE_CHECKING:\n    from onnxcost.a import C\n",
    }
    modules = {name: (text, ast.parse(text)) for name, text in texts.items()}
    assert set(house.find_circle(modules)) == {"a", "b"}
    assert house.list_repeated_classes(modules) == ["C"]
    assert house.list_small_helpers(modules) == ["a._g"]
    assert house.list_similar_modules(modules) == ["a / a_file"]
