"""Models of transformers in published sizes, with random weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple

import torch
import transformers

from scripts.export.from_pytorch import Decoder
from scripts.unseen.from_timm import export_module

Inputs = Callable[[], Mapping[str, torch.Tensor]]


class Plain(torch.nn.Module):
    """A model whose inputs are taken by position, and whose first output is the only one."""

    def __init__(self, model: torch.nn.Module, names: Sequence[str]) -> None:
        super().__init__()
        self.model, self.names = model, names

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        return self.model(**dict(zip(self.names, inputs, strict=True)), return_dict=True)[0]


class Case(NamedTuple):
    """A row of the table: a model's class, its config's class, changes from the config's defaults, and the inputs."""

    model: str
    config: str
    sizes: Mapping[str, Any]
    inputs: Inputs
    outputs: Sequence[str] = ("output",)


def tokens(length: int) -> Inputs:
    return lambda: {"input_ids": torch.randint(1000, (1, length))}


def masked(length: int) -> Inputs:
    return lambda: {**tokens(length)(), "attention_mask": torch.ones(1, length, dtype=torch.int64)}


def floats(name: str, *shape: int) -> Inputs:
    return lambda: {name: torch.randn(shape)}


def image(size: int = 224) -> Inputs:
    return floats("pixel_values", 1, 3, size, size)


def cached(past: int, layers: int, heads: int, width: int) -> Inputs:
    """One token after ``past`` tokens in the cache."""
    return lambda: {
        **tokens(1)(),
        "attention_mask": torch.ones(1, past + 1, dtype=torch.int64),
        **{f"past_key_values.{part}": torch.randn(1, heads, past, width) for part in cache(layers)},
    }


def cache(layers: int) -> list[str]:
    return [f"{layer}.{part}" for layer in range(layers) for part in ("key", "value")]


def encoder(layers: int, hidden: int, heads: int) -> dict[str, int]:
    sizes = {"num_hidden_layers": layers, "hidden_size": hidden, "num_attention_heads": heads}
    return sizes | {"intermediate_size": 4 * hidden}


# fmt: off
NO_CACHE = {"use_cache": False}
ALBERT = encoder(12, 768, 12)
DINOV2 = {"hidden_size": 384, "num_attention_heads": 6, "image_size": 224}
CONVNEXT_ATTO = {"hidden_sizes": [40, 80, 160, 320], "depths": [2, 2, 6, 2]}
CONVNEXT_NANO = {"hidden_sizes": [80, 160, 320, 640], "depths": [2, 2, 8, 2]}
RESNET18 = {"hidden_sizes": [64, 128, 256, 512], "depths": [2, 2, 2, 2], "layer_type": "basic"}
SMOLLM = {
    "vocab_size": 49152, "hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30, "num_attention_heads": 9,
    "num_key_value_heads": 3, "head_dim": 64, "max_position_embeddings": 2048, "tie_word_embeddings": True,
}
WHISPER = {
    "d_model": 384, "encoder_layers": 4, "encoder_attention_heads": 6, "encoder_ffn_dim": 1536, "max_source_positions": 500,
}
CACHED = ("logits", *(f"present.{part}" for part in cache(30)))
DEBERTA_V3_SMALL = encoder(6, 768, 12) | {
    "vocab_size": 128100, "type_vocab_size": 0, "relative_attention": True, "position_buckets": 256,
    "norm_rel_ebd": "layer_norm", "share_att_key": True, "pos_att_type": ["p2c", "c2p"], "position_biased_input": False,
}
DISTILROBERTA = encoder(6, 768, 12) | {"max_position_embeddings": 514, "type_vocab_size": 1}
FLAN_T5_SMALL = {"d_ff": 1024, "num_layers": 8, "num_heads": 6, "feed_forward_proj": "gated-gelu"}
LEVIT_128S = {"num_attention_heads": [4, 6, 8], "depths": [2, 3, 4]}
PYTHIA_70M = encoder(6, 512, 8) | {"vocab_size": 50304, "use_cache": False}
WHISPER_BASE = {
    "d_model": 512, "encoder_layers": 6, "encoder_attention_heads": 8, "encoder_ffn_dim": 2048, "max_source_positions": 250,
}
YOLOS = encoder(12, 192, 3) | {"image_size": [224, 224], "use_mid_position_embeddings": False}
CASES: Mapping[str, Case] = {
    "hf_bert_tiny": Case("BertModel", "BertConfig", encoder(2, 128, 2), masked(128)),
    "hf_bert_mini": Case("BertModel", "BertConfig", encoder(4, 256, 4), masked(128)),
    "hf_minilm_l6": Case("BertModel", "BertConfig", encoder(6, 384, 12), masked(128)),
    "hf_segformer_b0": Case("SegformerForSemanticSegmentation", "SegformerConfig", {"num_labels": 150}, image()),
    "hf_convnextv2_atto": Case("ConvNextV2ForImageClassification", "ConvNextV2Config", CONVNEXT_ATTO, image()),
    "hf_gpt2": Case("GPT2LMHeadModel", "GPT2Config", NO_CACHE, tokens(32)),
    "hf_distilbert_base": Case("DistilBertModel", "DistilBertConfig", {}, masked(64)),
    "hf_albert_base": Case("AlbertModel", "AlbertConfig", ALBERT, masked(64)),
    "hf_electra_small": Case("ElectraModel", "ElectraConfig", {}, masked(128)),
    "hf_mobilebert": Case("MobileBertModel", "MobileBertConfig", {}, masked(64)),
    "hf_t5_small_encoder": Case("T5EncoderModel", "T5Config", {}, masked(64)),
    "hf_whisper_tiny_encoder_10s": Case(
        "models.whisper.modeling_whisper.WhisperEncoder", "WhisperConfig", WHISPER, floats("input_features", 1, 80, 1000),
    ),
    "hf_smollm_135m_cached": Case("LlamaForCausalLM", "LlamaConfig", SMOLLM, cached(64, 30, 3, 64), CACHED),
    "hf_opt_125m": Case("OPTForCausalLM", "OPTConfig", NO_CACHE, masked(16)),
    "hf_clip_b32_text": Case("CLIPTextModel", "CLIPTextConfig", {}, masked(77)),
    "hf_deit_tiny": Case("DeiTForImageClassification", "DeiTConfig", encoder(12, 192, 3), image()),
    "hf_mobilevit_small": Case("MobileViTForImageClassification", "MobileViTConfig", {"num_labels": 1000}, image(256)),
    "hf_wav2vec2_base_half_second": Case("Wav2Vec2Model", "Wav2Vec2Config", {}, floats("input_values", 1, 8000)),
    "hf_yolos_tiny": Case("YolosForObjectDetection", "YolosConfig", YOLOS, image()),
    "hf_resnet18": Case("ResNetForImageClassification", "ResNetConfig", RESNET18, image()),
    "hf_convnextv2_nano": Case("ConvNextV2ForImageClassification", "ConvNextV2Config", CONVNEXT_NANO, image()),
    "hf_dinov2_small": Case("Dinov2Model", "Dinov2Config", DINOV2, image()),
}
HELD_OUT: Mapping[str, Case] = {
    "hf_bert_small": Case("BertModel", "BertConfig", encoder(4, 512, 8), masked(128)),
    "hf_distilroberta": Case("RobertaModel", "RobertaConfig", DISTILROBERTA, masked(64)),
    "hf_deberta_v3_small": Case("DebertaV2Model", "DebertaV2Config", DEBERTA_V3_SMALL, masked(64)),
    "hf_mpnet_base": Case("MPNetModel", "MPNetConfig", {"max_position_embeddings": 514}, masked(64)),
    "hf_flan_t5_small_encoder": Case("T5EncoderModel", "T5Config", FLAN_T5_SMALL, masked(64)),
    "hf_pythia_70m": Case("GPTNeoXForCausalLM", "GPTNeoXConfig", PYTHIA_70M, masked(16)),
    "hf_clip_b32_vision": Case("CLIPVisionModel", "CLIPVisionConfig", {}, image()),
    "hf_poolformer_s12": Case("PoolFormerForImageClassification", "PoolFormerConfig", {"num_labels": 1000}, image()),
    "hf_levit_128s": Case("LevitForImageClassification", "LevitConfig", LEVIT_128S | {"num_labels": 1000}, image()),
    "hf_squeezebert": Case("SqueezeBertModel", "SqueezeBertConfig", {}, masked(64)),
    "hf_whisper_base_encoder_5s": Case(
        "models.whisper.modeling_whisper.WhisperEncoder", "WhisperConfig", WHISPER_BASE, floats("input_features", 1, 80, 500),
    ),
}
# fmt: on


def export(name: str, path: Path) -> None:
    case = {**CASES, **HELD_OUT}[name]
    torch.manual_seed(0)
    model = attrgetter(case.model)(transformers)(getattr(transformers, case.config)(**case.sizes)).eval()
    inputs = case.inputs()
    names = {"input_names": list(inputs), "output_names": list(case.outputs)}
    wrapped = Plain(model, list(inputs)) if len(case.outputs) == 1 else Decoder(model)
    export_module(wrapped.eval(), tuple(inputs.values()), path, **names)
