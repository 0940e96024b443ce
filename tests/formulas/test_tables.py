"""The tables as a whole: each operator once, with its text, and each tested in its family."""

import ast
from importlib import import_module
from pathlib import Path
from typing import Any

import onnx
import pytest

import onnxcost
from onnxcost.errors import UnknownShape
from onnxcost.formulas import FAMILIES, FORMULAS, Formula, union
from onnxcost.graph import Node, Tensor


def mirror_of(family: str) -> Any:
    """The module that mirrors a family's."""
    _, _, name = family.rpartition("contrib_")
    return import_module(f"tests.formulas.{'contrib.' if 'contrib_' in family else ''}test_{name}")


def test_an_operator_with_two_formulas_is_refused() -> None:
    with pytest.raises(ValueError, match=r"more than one formula for Add, Mul$"):
        union(FAMILIES["elementwise"], {"Mul": FORMULAS["Mul"], "Add": FORMULAS["Add"], "mine.Op": FORMULAS["Add"]})


@pytest.mark.parametrize("name", FORMULAS)
def test_a_formula_is_of_an_operator_that_exists_and_says_what_it_counts(name) -> None:
    domain, _, op_type = name.rpartition(".")
    is_of_the_runtime = domain.startswith(("com.microsoft", "com.ms.internal")) or name == "SimplifiedLayerNormalization"
    assert onnx.defs.has(op_type, domain) or is_of_the_runtime or name in FAMILIES["third_party"]
    formula = FORMULAS[name]
    assert isinstance(formula, Formula)
    assert formula.maths
    assert formula.macs
    assert formula.flops


@pytest.mark.parametrize("family", FAMILIES)
def test_every_formula_is_held_against_the_oracle_or_a_number_worked_out_by_hand(family) -> None:
    tests = mirror_of(family)
    tested = {case.op_type for case in tests.CASES} | {row[0] for row in getattr(tests, "BY_HAND", ())}
    assert tested == set(FAMILIES[family])


@pytest.mark.parametrize("family", FAMILIES)
def test_an_artefact_has_its_reason(family) -> None:
    cases = mirror_of(family).CASES
    assert [str(case) for case in cases if bool(case.artefact) != bool(case.why)] == []


MOST = (
    "Conv ConvTranspose Gemm MatMul Relu Softmax Add Clip ReduceMean MaxPool BatchNormalization LayerNormalization LSTM Resize"
)


@pytest.mark.parametrize("op_type", MOST.split())
def test_an_open_dim_leaves_a_node_uncounted(op_type) -> None:
    open_ = tuple(Tensor(name, "float32", ("batch", 3, 8, 8)) for name in "xwb")
    node = Node("n", op_type, "", open_, open_[:1], {"axes": (1,), "kernel_shape": (2, 2), "mode": "linear", "hidden_size": 4})
    with pytest.raises(UnknownShape, match="batch"):
        FORMULAS[op_type](node)


def test_words_of_a_row() -> None:
    sigmoid = FORMULAS["Sigmoid"]
    assert isinstance(sigmoid, Formula)
    assert (sigmoid.maths, sigmoid.macs, sigmoid.flops) == ("Y = σ(X)", "0", "4·out")


FILES = [path for path in sorted(Path(onnxcost.formulas.__file__).parent.rglob("*.py")) if "@formula" in path.read_text()]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_formula_names_the_page_of_its_operator_or_its_file_does(path) -> None:
    tree = ast.parse(path.read_text())
    functions = [each for each in ast.walk(tree) if isinstance(each, ast.FunctionDef) and is_formula(each)]
    assert functions
    page = ast.get_docstring(tree) or ""
    assert [each.name for each in functions if "https://" not in page + (ast.get_docstring(each) or "")] == []


def is_formula(function: ast.FunctionDef) -> bool:
    return any(ast.unparse(each).startswith("formula(") for each in function.decorator_list)
