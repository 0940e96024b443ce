"""onnxruntime's own operators: the families of its domains com.microsoft and com.microsoft.nchwc."""

from __future__ import annotations

from collections.abc import Mapping

from onnxcost.formulas.contrib import (
    activation,
    attention,
    experts,
    fused,
    generation,
    movement,
    nchwc,
    normalization,
    ordered,
    packed,
    packed_weights,
    quantized,
    recurrent,
    signal,
    speculative,
    state,
    weight_only,
)
from onnxcost.formulas.table import FormulaTable

FAMILIES: dict[str, FormulaTable] = {
    f"contrib_{name}": table
    for name, table in {
        "fused": fused.TABLE,
        "activation": activation.TABLE,
        "normalization": normalization.TABLE,
        "attention": attention.TABLE,
        "packed": packed.TABLE,
        "generation": generation.TABLE,
        "state": state.TABLE,
        "speculative": speculative.TABLE,
        "recurrent": recurrent.TABLE,
        "experts": experts.TABLE,
        "weight_only": weight_only.TABLE,
        "packed_weights": packed_weights.TABLE,
        "quantized": quantized.TABLE,
        "ordered": ordered.TABLE,
        "signal": signal.TABLE,
        "movement": movement.TABLE,
        "nchwc": nchwc.TABLE,
    }.items()
}

_SEARCH = "its decoder runs until the text that it generates ends, which the graph does not say"
_COMPILED = "its work is compiled into a blob that only its execution provider can read"
_SELECTED = "which positions take part is in the elements of its indices and lengths"
_GLOBAL = "how many tokens attend to all others is in the elements of its input 'global'"
_BLOCKS = "the layout of block floating point is up to the execution provider"

UNCOUNTABLE: Mapping[str, str] = {
    f"com.microsoft.{name}": reason
    for reason, names in {
        _SEARCH: "BeamSearch GreedySearch Sampling WhisperBeamSearch",
        _COMPILED: "EPContext Snpe",
        _SELECTED: "SparseAttention DynamicSparseAttention SparsePagedAttention "
        "SparseAttentionIndexer PackedSparseAttentionIndexer PackedSparseAttentionIndexerMerge",
        "how many cached positions a token attends to is in the elements of its lengths": "PagedAttention",
        _GLOBAL: "LongformerAttention QOrderedLongformerAttention",
        "how many elements of its sparse matrix are not zero is not part of the type": "SparseToDenseMatMul",
        "how many tokens it compares depends on the tokens": "BifurcationDetector",
        _BLOCKS: "QuantizeBFP DequantizeBFP",
    }.items()
    for name in names.split()
}
"""Operators whose work no graph can tell, each with the reason."""
