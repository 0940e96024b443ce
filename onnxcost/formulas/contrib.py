"""onnxruntime's own operators: the families of its domains com.microsoft and com.microsoft.nchwc."""

from __future__ import annotations

from collections.abc import Mapping

from onnxcost.formulas import (
    contrib_activation,
    contrib_attention,
    contrib_experts,
    contrib_fused,
    contrib_generation,
    contrib_movement,
    contrib_nchwc,
    contrib_normalization,
    contrib_ordered,
    contrib_packed,
    contrib_quantized,
    contrib_recurrent,
    contrib_signal,
    contrib_state,
    contrib_weight_only,
)
from onnxcost.formulas.table import FormulaTable

FAMILIES: dict[str, FormulaTable] = {
    "contrib_fused": contrib_fused.TABLE,
    "contrib_activation": contrib_activation.TABLE,
    "contrib_normalization": contrib_normalization.TABLE,
    "contrib_attention": contrib_attention.TABLE,
    "contrib_packed": contrib_packed.TABLE,
    "contrib_generation": contrib_generation.TABLE,
    "contrib_state": contrib_state.TABLE,
    "contrib_recurrent": contrib_recurrent.TABLE,
    "contrib_experts": contrib_experts.TABLE,
    "contrib_weight_only": contrib_weight_only.TABLE,
    "contrib_quantized": contrib_quantized.TABLE,
    "contrib_ordered": contrib_ordered.TABLE,
    "contrib_signal": contrib_signal.TABLE,
    "contrib_movement": contrib_movement.TABLE,
    "contrib_nchwc": contrib_nchwc.TABLE,
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
        "SparseAttentionIndexer PackedSparseAttentionIndexer",
        "how many cached positions a token attends to is in the elements of its lengths": "PagedAttention",
        _GLOBAL: "LongformerAttention QOrderedLongformerAttention",
        "how many elements of its sparse matrix are not zero is not part of the type": "SparseToDenseMatMul",
        "how many tokens it compares depends on the tokens": "BifurcationDetector",
        _BLOCKS: "QuantizeBFP DequantizeBFP",
    }.items()
    for name in names.split()
}
"""Operators whose work no graph can tell, each with the reason."""
