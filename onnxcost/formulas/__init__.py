"""One formula an operator, in a file for each family; FORMULAS is the union of their tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from onnxcost.formulas import (
    activation,
    attention,
    classical,
    contraction,
    contrib,
    convolution,
    elementwise,
    features,
    generators,
    legacy,
    losses,
    movement,
    normalization,
    pooling,
    quantized,
    recurrent,
    reduction,
    resampling,
    selection,
    signal,
    text,
    training,
    trees,
)
from onnxcost.formulas.table import Formula, FormulaTable, formula, no_arithmetic, per_input, per_output
from onnxcost.graph import Node
from onnxcost.work import Work

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


def union(*tables: FormulaTable) -> dict[str, Callable[[Node], Work]]:
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
    "signal": signal.TABLE,
    "selection": selection.TABLE,
    "losses": losses.TABLE,
    "training": training.TABLE,
    "classical": classical.TABLE,
    "trees": trees.TABLE,
    "features": features.TABLE,
    "generators": generators.TABLE,
    "text": text.TABLE,
    "movement": movement.TABLE,
    **contrib.FAMILIES,
}
"""The tables by family, in the order in which ``onnxcost formulas`` prints them."""

FORMULAS: FormulaTable = legacy.with_rules(union(*FAMILIES.values()))

UNCOUNTABLE: Mapping[str, str] = {
    "ImageDecoder": "the size and the coding of an image are in its bytes",
    "ai.onnx.preview.training.Gradient": "it names a part of the graph to differentiate, and not how",
    **contrib.UNCOUNTABLE,
}
"""Operators whose work no graph can tell, each with the reason."""

CONTROL_FLOW: frozenset[str] = frozenset({"If", "Loop", "Scan", "SequenceMap"})
"""Operators that are counted through the nodes of their bodies."""
