"""What an operator is stands once: no other module names a set of standard operators.

A tuple, set, list or pattern of three names or more is one, and so is a text of names alone, and a dict that gives all of them
the same.
A dict that gives each operator something of its own is none.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from onnx import defs

import onnxcost
from onnxcost.operators import traits

ROOT = Path(onnxcost.__file__).parent
NAMES = {schema.name for schema in defs.get_all_schemas_with_history() if schema.domain == ""}
TRAITS = {
    name: {key for key in operators if "." not in key}
    for name, operators in vars(traits).items()
    if name.isupper() and not name.startswith("_")
}
HOMES = ("formulas", "operators")
EXCEPTIONS: Mapping[str, str] = {
    "ort_optimizer": "what onnxruntime's passes and kernels take",
    "analysis.dtypes": "what onnxruntime takes along into the integers",
    "hardware.memory_fit": "which weights onnxruntime's kernels copy",
    "comparison.differences": "nodes in a row, not a set",
    "conventions": "what the libraries that a convention reproduces have hooks for",
}


def sets_in(source: str) -> Iterator[tuple[int, frozenset[str]]]:
    """The line and the names of each set of standard operators."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Set(elts) | ast.Tuple(elts) | ast.List(elts):
                found = [each.value for each in elts if isinstance(each, ast.Constant)]
            case ast.Dict(keys, given) if len({ast.dump(each) for each in given}) == 1:
                found = [each.value for each in keys if isinstance(each, ast.Constant)]
            case ast.MatchOr(patterns):
                found = [each.value.value for each in patterns if isinstance(each, ast.MatchValue)]
            case ast.Constant(str(text)) if all(word.rpartition(".")[2] in NAMES for word in text.split()):
                found = list(text.split())
            case _:
                continue
        if len(own := frozenset(found) & NAMES) > 2:
            yield node.lineno, own


MODULES = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in sorted(ROOT.rglob("*.py"))}
OTHERS = {name: path for name, path in MODULES.items() if name.split(".")[0] not in HOMES}


def exception_for(name: str) -> str | None:
    return next((each for each in EXCEPTIONS if name == each or name.startswith(f"{each}.")), None)


@pytest.mark.parametrize("name", OTHERS)
def test_no_other_module_names_a_set(name: str) -> None:
    for line, found in sets_in(OTHERS[name].read_text()):
        assert exception_for(name), f"{name}:{line} names {', '.join(sorted(found))}: see operators/traits.py"


@pytest.mark.parametrize("name", [name for name in OTHERS if exception_for(name)])
def test_no_set_of_an_exception_is_mostly_a_trait(name: str) -> None:
    for line, found in sets_in(OTHERS[name].read_text()):
        for trait, operators in TRAITS.items():
            is_mostly = len(operators) >= 3 and operators <= found and 2 * len(operators) > len(found)
            assert not is_mostly, f"{name}:{line} repeats {trait}"


def test_each_exception_is_still_one() -> None:
    assert {exception_for(name) for name, path in OTHERS.items() if list(sets_in(path.read_text()))} == set(EXCEPTIONS)


@pytest.mark.parametrize(
    ("source", "is_seen"),
    [
        ('A = frozenset({"Relu", "Elu", "Selu"})', True),
        ('A = dict.fromkeys(("Relu", "Elu", "Selu"), 1)', True),
        ('A = {"Relu": 1, "Elu": 1, "Selu": 1}', True),
        ('A = "Relu Elu com.microsoft.Gelu Selu".split()', True),
        ('if node.op_type in ["Relu", "Elu", "Selu"]: ...', True),
        ('match node.op_type:\n    case "Relu" | "Elu" | "Selu": ...', True),
        ('A = {"Relu": 1, "Elu": 2, "Selu": 3}', False),
        ('A = {"Relu", "Elu"}', False),
        ('A = "Relu and Elu or Selu"', False),
    ],
)
def test_it_sees_what_it_looks_for(source: str, is_seen: bool) -> None:
    assert bool(list(sets_in(source))) == is_seen
