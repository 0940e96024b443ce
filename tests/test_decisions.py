"""Every operator that the installed onnx defines is decided upon: a formula, a reason why not, or a body that is walked.

A new onnx release shows here what is new in it.
"""

import onnx
import pytest

from onnxcost.formulas import CONTROL_FLOW, FAMILIES, FORMULAS, UNCOUNTABLE

DOMAINS = ("", "ai.onnx.ml", "ai.onnx.preview", "ai.onnx.preview.training")


def key(schema: onnx.defs.OpSchema) -> str:
    return f"{schema.domain}.{schema.name}" if schema.domain else schema.name


DEFINED = {key(schema): schema.domain for schema in onnx.defs.get_all_schemas_with_history()}
"""Every operator of every opset, with its domain."""

RUNTIME = {name for family, table in FAMILIES.items() if family.startswith(("contrib", "third_party")) for name in table}
"""Operators of onnxruntime and other tools, some of which are put into domains of onnx's own."""


def test_every_domain_is_known() -> None:
    assert set(DEFINED.values()) == set(DOMAINS)


def test_every_operator_has_a_decision() -> None:
    decided = FORMULAS.keys() | UNCOUNTABLE.keys() | CONTROL_FLOW
    assert sorted(DEFINED.keys() - decided) == []


def test_an_operator_has_one_decision() -> None:
    assert not FORMULAS.keys() & UNCOUNTABLE.keys()
    assert not FORMULAS.keys() & CONTROL_FLOW
    assert not UNCOUNTABLE.keys() & CONTROL_FLOW


def test_no_decision_is_about_an_operator_that_does_not_exist() -> None:
    ours = (FORMULAS.keys() | UNCOUNTABLE.keys() | CONTROL_FLOW) - RUNTIME
    stale = {name for name in ours - DEFINED.keys() if name.rpartition(".")[0] in DOMAINS}
    assert sorted(stale) == []


@pytest.mark.parametrize("name", UNCOUNTABLE)
def test_what_is_not_counted_says_why_in_one_line(name) -> None:
    assert UNCOUNTABLE[name]
    assert "\n" not in UNCOUNTABLE[name]
