"""One formula an operator, in a file for each family; FORMULAS is the union of their tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from onnxcost.formulas.table import Formula, FormulaTable, formula, no_arithmetic, per_input, per_output, union

if TYPE_CHECKING:
    from onnxcost.formulas.catalogue import FAMILIES as FAMILIES
    from onnxcost.formulas.catalogue import FORMULAS as FORMULAS
    from onnxcost.formulas.catalogue import UNCOUNTABLE as UNCOUNTABLE


CONTROL_FLOW: frozenset[str] = frozenset({"If", "Loop", "Scan", "SequenceMap"})
"""Operators that are counted through the nodes of their bodies."""

__all__ = [
    "CONTROL_FLOW",
    "FAMILIES",
    "FORMULAS",
    "UNCOUNTABLE",
    "Formula",
    "FormulaTable",
    "formula",
    "no_arithmetic",
    "per_input",
    "per_output",
    "union",
]


def __getattr__(name: str) -> Any:
    """The whole catalogue is imported when it is asked for: most models need a few families of it."""
    if name not in ("FAMILIES", "FORMULAS", "UNCOUNTABLE"):
        raise AttributeError(f"module 'onnxcost.formulas' has no attribute '{name}'")
    from onnxcost.formulas import catalogue

    return getattr(catalogue, name)
