"""The layers of the architecture, read from the imports: a module imports from its own package or from a lower one."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import onnxcost

ROOT = Path(onnxcost.__file__).parent
ORDER = (
    *(
        "version",
        "errors",
        "registers",
        "results",
        "files",
        "documents",
        "schema",
        "remote",
        "processes",
        "spec",
        "graph",
        "formulas",
        "operators",
        "conventions",
        "ort_optimizer",
    ),
    *(
        "analysis",
        "latency",
        "measurement",
        "costs",
        "report",
        "frontend",
        "estimator",
        "hardware",
        "runtime",
        "symbolic",
        "generation",
        "comparison",
        "scanning",
        "fleet",
    ),
    *("render", "cli", "__init__", "__main__"),
)
LAYERS = {package: number for number, package in enumerate(ORDER)}
EXCEPTIONS: Mapping[tuple[str, str], str] = {}
HOMES = {
    "onnx": "frontend",
    "google.protobuf": "frontend",
    "onnxruntime": "runtime",
    "distributed": "scanning",
    "fsspec": "remote",
    "aiohttp": "remote",
    "platformdirs": "remote",
    "click": "cli",
    "rich": "render",
}
PATHS = sorted(ROOT.rglob("*.py"))


def module(path: Path) -> str:
    """The name below onnxcost; "" for the package itself."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__").removesuffix("__init__")


MODULES = {module(path): path for path in PATHS}


def package(name: str) -> str:
    return name.split(".")[0] or "__init__"


def imports(path: Path, *, for_types: bool = False) -> Iterator[tuple[str, int]]:
    """Every module that the file imports, wherever in it, by a statement or by ``import_module``, and the line; what only
    types need is left out but for ``for_types``."""
    tree = ast.parse(path.read_text())
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in typing_only and not for_types:
            continue
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            inside = [f"{node.module}.{alias.name}" for alias in node.names]
            modules = [name for name in inside if name.removeprefix("onnxcost.") in MODULES]
            yield from ((name, node.lineno) for name in modules)
            if len(modules) < len(inside):
                yield node.module or "", node.lineno
        elif isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] == "import_module":
            yield from ((node.args[0].value, node.lineno) for _ in "1" if isinstance(node.args[0], ast.Constant))


def own_imports(path: Path, *, for_types: bool = False) -> Iterator[tuple[str, int]]:
    """The modules of this package that the file imports, below onnxcost."""
    for name, line in imports(path, for_types=for_types):
        if name == "onnxcost" or name.startswith("onnxcost."):
            yield name.removeprefix("onnxcost").removeprefix("."), line


def test_every_package_has_a_layer() -> None:
    assert {package(name) for name in MODULES} == LAYERS.keys()


@pytest.mark.parametrize("name", MODULES)
def test_imports_go_down(name: str) -> None:
    for target, line in own_imports(MODULES[name]):
        if package(target) == package(name) or (name, target) in EXCEPTIONS:
            continue
        assert LAYERS[package(target)] < LAYERS[package(name)], f"{name}:{line} imports {target}, which lies above it"


def test_no_import_circle() -> None:
    graph = {
        name: {target for target, _ in own_imports(path, for_types=True)} - {name, ""} for name, path in MODULES.items() if name
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"modules import each other: {' -> '.join(error.args[1])}")


def test_each_exception_is_still_one() -> None:
    assert {(name, target) for name, target in EXCEPTIONS if target in {t for t, _ in own_imports(MODULES[name])}} == set(
        EXCEPTIONS
    )


@pytest.mark.parametrize("name", MODULES)
def test_each_library_is_imported_only_in_its_home(name: str) -> None:
    for target, line in imports(MODULES[name]):
        for library, home in HOMES.items():
            if target == library or target.startswith(f"{library}."):
                assert package(name) == home, f"{name}:{line} imports {target}, which belongs in {home}"


@pytest.mark.parametrize("command", ["import onnxcost", "import onnxcost.__main__ as m; m.main(['--help'])"])
def test_start_up_imports_nothing_heavy(command: str) -> None:
    code = f"import sys, atexit\natexit.register(lambda: print(*sorted(sys.modules), file=sys.stderr))\n{command}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"onnx", "onnxruntime", "numpy", "rich"} & set(done.stderr.split())
