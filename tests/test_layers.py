"""The layers of the architecture, read from the imports: a module imports from its own layer or from a lower one."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import onnxcost

ROOT = Path(onnxcost.__file__).parent
LAYERS = {
    "errors": 0,
    "documents": 0,
    "files": 0,
    "processes": 0,
    "graph": 0,
    "work": 0,
    "version": 0,
    "formulas": 1,
    "operands": 1,
    "traffic": 1,
    "conventions": 1,
    "report": 2,
    "schema": 2,
    "fusion": 2,
    "memory": 2,
    "parameters": 2,
    "dtypes": 2,
    "frames": 2,
    "latency": 2,
    "measurement": 2,
    "profiled": 2,
    "profiled_schema": 2,
    "traced": 2,
    "comparison": 2,
    "prediction": 2,
    "retyped": 2,
    "scanned": 2,
    "frontend": 3,
    "scanning": 3,
    "estimator": 3,
    "hardware": 3,
    "measuring": 3,
    "comparing": 3,
    "contest": 3,
    "render": 4,
    "cli": 5,
    "__init__": 5,
    "__main__": 5,
}
HOMES = {"onnx": "frontend", "google.protobuf": "frontend", "onnxruntime": "measuring", "click": "cli", "rich": "render"}
MODULES = sorted(ROOT.rglob("*.py"))


def room(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imports(path: Path) -> Iterator[tuple[str, int]]:
    """Every module that the file imports, wherever in it, and the line; what only types need is left out."""
    tree = ast.parse(path.read_text())
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            yield node.module or "", node.lineno


def test_every_module_has_a_layer() -> None:
    assert {room(path) for path in MODULES} <= LAYERS.keys()


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_down(path: Path) -> None:
    for name, line in imports(path):
        if not name.startswith("onnxcost"):
            continue
        target = name.split(".")[1] if "." in name else "__init__"
        same_room = target == room(path)
        assert same_room or LAYERS[target] <= LAYERS[room(path)], f"{path}:{line} imports {name}, which lies above it"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_each_library_is_imported_in_its_home_alone(path: Path) -> None:
    for name, line in imports(path):
        for library, home in HOMES.items():
            if name == library or name.startswith(f"{library}."):
                assert room(path) == home, f"{path}:{line} imports {name}, which belongs in {home}"


@pytest.mark.parametrize("command", ["import onnxcost", "import onnxcost.__main__ as m; m.main(['--help'])"])
def test_start_up_imports_nothing_heavy(command: str) -> None:
    code = f"import sys, atexit\natexit.register(lambda: print(*sorted(sys.modules), file=sys.stderr))\n{command}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"onnx", "onnxruntime", "numpy", "rich"} & set(done.stderr.split())
