"""All formulas: the union of the families' tables, and what has none."""

from __future__ import annotations

from collections.abc import Mapping

from onnxcost.formulas import (
    activation,
    attention,
    classical,
    contraction,
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
from onnxcost.formulas.contrib import catalogue as contrib
from onnxcost.formulas.table import FormulaTable, union

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
