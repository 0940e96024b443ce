"""Counts of the structure of the package: files, lines, import circles, small helpers, and ambiguous names.

    python scripts/house.py [--list]

``--list`` names the small helpers, too. It ends with 1 if modules import each other, or a class name means two things.
"""

from __future__ import annotations

import ast
import re
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from itertools import combinations
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1] / "onnxcost"
SMALL = 5
"""A helper of at most this many lines may as well be inlined if it is used once."""


def read_modules(root: Path = ROOT) -> dict[str, tuple[str, ast.Module]]:
    """The text and the tree of each module, by its name below the package; "" is the package itself."""
    found = {}
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        text = path.read_text()
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = text, ast.parse(text)
    return found


def list_imports(tree: ast.AST) -> Iterator[str]:
    """All that is imported in the tree, lazily, by ``import_module`` and for types too."""
    if isinstance(tree, ast.Import):
        yield from (alias.name for alias in tree.names)
    elif isinstance(tree, ast.ImportFrom) and tree.module:
        yield from (f"{tree.module}.{alias.name}" for alias in tree.names)
    elif isinstance(tree, ast.Call) and ast.unparse(tree.func).endswith("import_module") and tree.args:
        yield from (str(name.value) for name in tree.args[:1] if isinstance(name, ast.Constant))
    for child in ast.iter_child_nodes(tree):
        yield from list_imports(child)


def find_circle(modules: Mapping[str, tuple[str, ast.Module]]) -> list[str]:
    """A cycle of modules that import each other; empty if there is none."""
    graph: dict[str, set[str]] = {}
    for module, (_, tree) in modules.items():
        names = [name.removeprefix("onnxcost.") for name in list_imports(tree) if name.startswith("onnxcost.")]
        targets = {name if name in modules else name.rpartition(".")[0] for name in names}
        graph[module] = targets - {module, ""}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def list_small_helpers(modules: Mapping[str, tuple[str, ast.Module]]) -> list[str]:
    """The private functions of a few lines that are used once."""
    found = []
    for module, (text, tree) in modules.items():
        words = Counter(re.findall(r"\w+", text))
        for node in tree.body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("_") and words[node.name] == 2:
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                found += [f"{module}.{node.name}"] if lines <= SMALL else []
    return found


def list_repeated_classes(modules: Mapping[str, tuple[str, ast.Module]]) -> list[str]:
    """Names of classes that several modules define."""
    names = Counter(node.name for _, tree in modules.values() for node in tree.body if isinstance(node, ast.ClassDef))
    return sorted(name for name, times in names.items() if times > 1)


def list_similar_modules(modules: Mapping[str, tuple[str, ast.Module]]) -> list[str]:
    """Neighbors whose names differ by a suffix: ``budget`` and ``budget_file``, ``profile`` and ``profiled``."""
    pairs = combinations(sorted(filter(None, modules)), 2)
    return [
        f"{one} / {other}"
        for one, other in pairs
        if one.rpartition(".")[0] == other.rpartition(".")[0] and re.fullmatch(rf"{re.escape(one)}(_\w+|e?d|ing|ed_\w+)", other)
    ]


def main() -> int:
    """Print the counts."""
    modules = read_modules()
    circle, helpers, classes = find_circle(modules), list_small_helpers(modules), list_repeated_classes(modules)
    similar = list_similar_modules(modules)
    lines = sum(len(text.splitlines()) for text, _ in modules.values())
    print(f"files {len(modules)}, lines {lines:,}")
    print(f"import circle: {' -> '.join(circle) or 'none'}")
    print(f"private helpers of {SMALL} lines or less that are used once: {len(helpers)}")
    print(f"class names with two meanings: {', '.join(classes) or 'none'}")
    print(f"modules whose names differ by a suffix: {', '.join(similar) or 'none'}")
    if "--list" in sys.argv[1:]:
        print(*helpers, sep="\n")
    return int(bool(circle or classes))


if __name__ == "__main__":
    sys.exit(main())
