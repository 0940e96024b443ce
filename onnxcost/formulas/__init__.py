"""One formula an operator, in a file for each family; FORMULAS is the union of their tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from onnxcost.formulas import (
    activation,
    attention,
    contraction,
    convolution,
    elementwise,
    movement,
    normalization,
    pooling,
    quantized,
    recurrent,
    reduction,
    resampling,
)
from onnxcost.formulas.table import Formula, FormulaTable, formula, no_arithmetic, per_input, per_output
from onnxcost.graph import Node
from onnxcost.work import Work

__all__ = [
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


def union(*tables: FormulaTable) -> FormulaTable:
    """The tables in one; raises ValueError where two of them count the same operator."""
    merged: dict[str, Callable[[Node], Work]] = {}
    for table in tables:
        if twice := sorted(merged.keys() & table.keys()):
            raise ValueError(f"more than one formula for {', '.join(twice)}")
        merged.update(table)
    return merged


FAMILIES: dict[str, FormulaTable] = {
    "contraction": contraction.TABLE,
    "convolution": convolution.TABLE,
    "attention": attention.TABLE,
    "recurrent": recurrent.TABLE,
    "quantized": quantized.TABLE,
    "normalization": normalization.TABLE,
    "activation": activation.TABLE,
    "elementwise": elementwise.TABLE,
    "reduction": reduction.TABLE,
    "pooling": pooling.TABLE,
    "resampling": resampling.TABLE,
    "movement": movement.TABLE,
}
"""The tables by family, in the order in which ``onnxcost formulas`` prints them."""

FORMULAS: FormulaTable = union(*FAMILIES.values())

UNCOUNTABLE: Mapping[str, str] = {}
"""Operators whose work no graph can tell, each with the reason."""
