"""The traits of operators, against onnx's reference evaluator and its schemas."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from onnx import defs
from onnx.reference import ReferenceEvaluator

from onnxcost.formulas import FORMULAS, UNCOUNTABLE
from onnxcost.operators import traits
from tests.modeltext import model

SETS: Mapping[str, frozenset[str]] = {
    name: frozenset(operators) for name, operators in vars(traits).items() if name.isupper() and not name.startswith("_")
}
X = np.random.default_rng(0).permutation(np.arange(1, 17, dtype=np.float32)).reshape(1, 4, 2, 2) / 17
UNARY = {name for name in SETS["POINTWISE"] if "." not in name and len(defs.get_schema(name).inputs) == 1}


def run(text: str, x: np.ndarray, opset: int = 21) -> np.ndarray:
    return ReferenceEvaluator(model(f"(float[1,4,2,2] x) => (y) {{ {text} }}", opset=opset)).run(None, {"x": x})[0]


@pytest.mark.parametrize("name", SETS)
def test_its_operators_are_known(name: str) -> None:
    assert SETS[name] <= FORMULAS.keys() | UNCOUNTABLE.keys()
