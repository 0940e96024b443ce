"""All formulas: the union of the families' tables, onnxruntime's own operators included, and the operators without one."""

from __future__ import annotations

from collections.abc import Mapping

from onnxcost.formulas import (
    activation,
    attention,
    contraction,
    convolution,
    elementwise,
    ml,
    movement,
    normalization,
    quantized,
    recurrent,
    reduction,
    resampling,
    selection,
    shapes,
    signal,
    third_party,
    training,
    trees,
)
from onnxcost.formulas.contrib import activation as contrib_activation
from onnxcost.formulas.contrib import attention as contrib_attention
from onnxcost.formulas.contrib import experts as contrib_experts
from onnxcost.formulas.contrib import fused as contrib_fused
from onnxcost.formulas.contrib import generation as contrib_generation
from onnxcost.formulas.contrib import movement as contrib_movement
from onnxcost.formulas.contrib import nhwc as contrib_nhwc
from onnxcost.formulas.contrib import packed_weights as contrib_packed_weights
from onnxcost.formulas.contrib import quantized as contrib_quantized
from onnxcost.formulas.table import FormulaTable, union

CONTRIB_FAMILIES: dict[str, FormulaTable] = {
    f"contrib_{name}": table
    for name, table in {
        "fused": contrib_fused.TABLE,
        "activation": contrib_activation.TABLE,
        "normalization": contrib_activation.NORMALIZATION,
        "attention": contrib_attention.TABLE,
        "packed": contrib_attention.PACKED,
        "generation": contrib_generation.TABLE,
        "state": contrib_attention.STATE,
        "speculative": contrib_generation.SPECULATIVE,
        "recurrent": contrib_fused.RECURRENT,
        "experts": contrib_experts.TABLE,
        "weight_only": contrib_packed_weights.WEIGHT_ONLY,
        "packed_weights": contrib_packed_weights.TABLE,
        "quantized": contrib_quantized.TABLE,
        "ordered": contrib_quantized.ORDERED,
        "signal": contrib_movement.SIGNAL,
        "movement": contrib_movement.TABLE,
        "nchwc": contrib_fused.NCHWC,
        "nhwc": contrib_nhwc.TABLE,
    }.items()
}


FAMILIES: dict[str, FormulaTable] = {
    "contraction": contraction.TABLE,
    "convolution": convolution.TABLE,
    "attention": attention.TABLE,
    "recurrent": recurrent.TABLE,
    "quantized": quantized.TABLE,
    "normalization": normalization.TABLE,
    "activation": activation.TABLE,
    "elementwise": elementwise.TABLE,
    "reduction": reduction.REDUCTIONS,
    "pooling": reduction.POOLING,
    "resampling": resampling.TABLE,
    "signal": signal.TABLE,
    "selection": selection.TABLE,
    "losses": training.LOSSES,
    "training": training.TABLE,
    "classical": ml.CLASSICAL,
    "trees": trees.TREES,
    "features": ml.FEATURES,
    "generators": elementwise.GENERATORS,
    "text": ml.TEXT,
    "movement": movement.TABLE,
    **CONTRIB_FAMILIES,
    "third_party": third_party.TABLE,
}
"""The tables by family, in the order in which ``onnxcost formulas`` prints them."""

_SEARCH = "its decoder runs until the text that it generates ends, which the graph does not say"
_COMPILED = "its work is compiled into a blob that only its execution provider can read"
_SELECTED = "which positions take part is in the elements of its indices and lengths"
_GLOBAL = "how many tokens attend to all others is in the elements of its input 'global'"
_BLOCKS = "the layout of block floating point is up to the execution provider"

CONTRIB_UNCOUNTABLE: Mapping[str, str] = {
    f"com.microsoft.{name}": reason
    for reason, names in {
        _SEARCH: "BeamSearch GreedySearch Sampling WhisperBeamSearch",
        _COMPILED: "EPContext Snpe",
        _SELECTED: "SparseAttention DynamicSparseAttention SparsePagedAttention "
        "SparseAttentionIndexer PackedSparseAttentionIndexer PackedSparseAttentionIndexerMerge",
        _GLOBAL: "LongformerAttention QOrderedLongformerAttention",
        "how many elements of its sparse matrix are not zero is not part of the type": "SparseToDenseMatMul",
        "how many tokens it compares depends on the tokens": "BifurcationDetector",
        _BLOCKS: "QuantizeBFP DequantizeBFP",
    }.items()
    for name in names.split()
}
"""Operators whose work cannot be known from a graph, each with the reason."""

FORMULAS: FormulaTable = shapes.with_rules(union(*FAMILIES.values()))

UNCOUNTABLE: Mapping[str, str] = {
    "ImageDecoder": "the size and the coding of an image are in its bytes",
    "ai.onnx.preview.training.Gradient": "it names a part of the graph to differentiate, and not how",
    **CONTRIB_UNCOUNTABLE,
}
"""Operators whose work cannot be known from a graph, each with the reason."""
