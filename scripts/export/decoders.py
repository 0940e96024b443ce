"""Small decoders of many families with random weights, by five exporters, without their weights: tests/data/decoders.tar.xz.

    python -m scripts.export.decoders weights FOLDER [NAME ...]     Hugging Face folders with random weights
    python -m scripts.export.decoders torch FOLDER OUTPUT [NAME ...]    torch.onnx.export, both kinds
    python -m scripts.export.keras_decoder OUTPUT/tf_decoder    tf2onnx
    optimum-cli export onnx -m FOLDER/NAME --task TASK-with-past OUTPUT/opt_NAME
    python -m onnxruntime_genai.models.builder -i FOLDER/NAME -o OUTPUT/genai_NAME -p PRECISION -e PROVIDER [--extra_options …]
    python -m scripts.export.decoders pack OUTPUT    one archive of all model.onnx, under the names of their folders
    python -m scripts.export.decoders flops [NAME ...]    what torch's FlopCounterMode counts

Set-up: ``pip install torch transformers onnx onnxscript onnxruntime-genai optimum-onnx`` (Optimum needs transformers 4.57, the
builder 5). tests/generation/test_exports.py has figures computed by hand from these configurations.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import onnx
import torch
import transformers
from torch import nn

from scripts.export import skeletons

ARCHIVE = Path(__file__).parents[2] / "tests" / "data" / "decoders.tar.xz"
VOCABULARY = 320
BASE = {
    "vocab_size": VOCABULARY, "hidden_size": 96, "intermediate_size": 160, "num_hidden_layers": 3, "num_attention_heads": 6,
    "num_key_value_heads": 2, "max_position_embeddings": 512, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0,
}  # fmt: skip
OLD = {"vocab_size": VOCABULARY, "n_embd": 96, "n_layer": 3, "n_head": 6, "n_positions": 512}
PAIR = {
    "vocab_size": VOCABULARY, "d_model": 96, "encoder_layers": 2, "decoder_layers": 3, "encoder_attention_heads": 6,
    "decoder_attention_heads": 6, "encoder_ffn_dim": 160, "decoder_ffn_dim": 160,
}  # fmt: skip
EXPERTS = {"num_local_experts": 4, "num_experts_per_tok": 2}
SLIDING = {"sliding_window": 64, "head_dim": 32}
MAMBA2 = {"mamba_n_heads": 12, "mamba_d_head": 16, "mamba_d_state": 16, "mamba_n_groups": 1, "mamba_chunk_size": 32}
HYBRIDS = ("qwen3_next", "granite_hybrid", "jamba", "falcon_h1")
"""Models with states, which have different graphs for steps of one token and of many: here the graph for one."""
# fmt: off
CONFIGS: Mapping[str, tuple[str, str, Mapping[str, Any]]] = {
    "llama": ("LlamaForCausalLM", "LlamaConfig", BASE | {"head_dim": 16}),
    "llama_tied": ("LlamaForCausalLM", "LlamaConfig", BASE | {"head_dim": 16, "tie_word_embeddings": True}),
    "qwen2": ("Qwen2ForCausalLM", "Qwen2Config", BASE),
    "qwen3": ("Qwen3ForCausalLM", "Qwen3Config", BASE | {"head_dim": 32}),
    "gemma2": ("Gemma2ForCausalLM", "Gemma2Config", BASE | SLIDING | {"num_hidden_layers": 4, "query_pre_attn_scalar": 32}),
    "gemma3": ("Gemma3ForCausalLM", "Gemma3TextConfig", BASE | SLIDING | {"num_hidden_layers": 6, "query_pre_attn_scalar": 32}),
    "mistral": ("MistralForCausalLM", "MistralConfig", BASE | {"head_dim": 16, "sliding_window": 64}),
    "mixtral": ("MixtralForCausalLM", "MixtralConfig", BASE | EXPERTS | {"head_dim": 16}),
    "gpt_oss": ("GptOssForCausalLM", "GptOssConfig", BASE | EXPERTS | SLIDING | {
        "num_hidden_layers": 4, "intermediate_size": 96,
    }),
    "lfm2": ("Lfm2ForCausalLM", "Lfm2Config", BASE | {
        "num_hidden_layers": 4, "layer_types": ["conv", "conv", "full_attention", "conv"], "block_multiple_of": 32,
    }),
    "lfm2_moe": ("Lfm2MoeForCausalLM", "Lfm2MoeConfig", BASE | {
        "num_hidden_layers": 4, "layer_types": ["conv", "conv", "full_attention", "conv"], "num_dense_layers": 1,
        "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 64,
    }),
    "phi3": ("Phi3ForCausalLM", "Phi3Config", BASE | {"original_max_position_embeddings": 512}),
    "gpt2": ("GPT2LMHeadModel", "GPT2Config", OLD),
    "gpt_bigcode": ("GPTBigCodeForCausalLM", "GPTBigCodeConfig", OLD),
    "bloom": ("BloomForCausalLM", "BloomConfig", {"vocab_size": VOCABULARY, "hidden_size": 96, "n_layer": 3, "n_head": 6}),
    "t5": ("T5ForConditionalGeneration", "T5Config", {
        "vocab_size": VOCABULARY, "d_model": 96, "d_kv": 16, "d_ff": 160, "num_layers": 3, "num_heads": 6,
        "decoder_start_token_id": 0,
    }),
    "bart": ("BartForConditionalGeneration", "BartConfig", PAIR | {"max_position_embeddings": 512}),
    "qwen3_next": ("Qwen3NextForCausalLM", "Qwen3NextConfig", BASE | {
        "num_hidden_layers": 4, "head_dim": 32, "linear_num_value_heads": 4, "linear_num_key_heads": 2,
        "linear_key_head_dim": 16, "linear_value_head_dim": 16, "num_experts": 4, "num_experts_per_tok": 2,
        "moe_intermediate_size": 64, "shared_expert_intermediate_size": 64,
    }),
    "granite_hybrid": ("GraniteMoeHybridForCausalLM", "GraniteMoeHybridConfig", BASE | MAMBA2 | {
        "num_hidden_layers": 4, "layer_types": ["mamba", "mamba", "attention", "mamba"], "num_local_experts": 0,
        "num_experts_per_tok": 0, "shared_intermediate_size": 160, "mamba_expand": 2,
    }),
    "jamba": ("JambaForCausalLM", "JambaConfig", BASE | {
        "num_hidden_layers": 4, "attn_layer_period": 4, "attn_layer_offset": 2, "expert_layer_period": 2,
        "expert_layer_offset": 1, "num_experts": 2, "num_experts_per_tok": 1, "mamba_d_state": 8, "mamba_dt_rank": 6,
    }),
    "falcon_h1": ("FalconH1ForCausalLM", "FalconH1Config", BASE | MAMBA2 | {"head_dim": 16, "mamba_d_ssm": 192}),
    "whisper": ("WhisperForConditionalGeneration", "WhisperConfig", PAIR | {
        "num_mel_bins": 80, "max_source_positions": 1500, "max_target_positions": 448, "pad_token_id": 0, "bos_token_id": 1,
        "eos_token_id": 2, "decoder_start_token_id": 1, "begin_suppress_tokens": [1],
    }),
}
# fmt: on


def model_of(name: str) -> nn.Module:
    """The model, from a fixed seed."""
    kind, config, sizes = CONFIGS[name]
    torch.manual_seed(0)
    return getattr(transformers, kind)(getattr(transformers, config)(**sizes)).eval()  # type: ignore[no-any-return]


def save(name: str, folder: Path) -> None:
    """The model and a tokenizer with as many words, in Hugging Face's format."""
    from tokenizers import Tokenizer, models

    model_of(name).save_pretrained(folder / name)  # type: ignore[operator]
    words = {f"t{number}": number for number in range(VOCABULARY - 1)} | {"<unk>": VOCABULARY - 1}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    marks = {"unk_token": "<unk>", "bos_token": "t1", "eos_token": "t2", "pad_token": "t0"}
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **marks).save_pretrained(folder / name)


Part = tuple[int, str]
"""A part of a cache: the layer, and the kind of tensor."""


def parts_of(cache: transformers.DynamicCache) -> dict[Part, torch.Tensor]:
    """The tensors of a cache: keys, values, the last inputs of a convolution, and a state, as far as a layer has them."""
    found = {}
    for index, layer in enumerate(cache.layers):
        states = {kind: getattr(layer, kind, {}).get(0) for kind in ("conv_states", "recurrent_states")}
        held = {"keys": getattr(layer, "keys", None), "values": getattr(layer, "values", None), **states}
        found |= {(index, kind): tensor for kind, tensor in held.items() if tensor is not None}
    return found


class Decoder(nn.Module):
    """A model whose cache is passed as plain tensors, ``parts`` layer by layer; ``masked``: with a mask after the tokens."""

    def __init__(self, model: nn.Module, parts: Sequence[Part], *, masked: bool) -> None:
        super().__init__()
        self.model, self.parts, self.masked = model, parts, masked

    def forward(self, input_ids: torch.Tensor, *given: torch.Tensor) -> tuple[torch.Tensor, ...]:
        mask, past = (given[0], given[1:]) if self.masked else (None, given)
        cache = transformers.DynamicCache(config=self.model.config)
        held = dict(zip(self.parts, past, strict=True))
        for (index, kind), tensor in held.items():
            layer = cache.layers[index]
            if kind == "values":
                layer.update(held[index, "keys"], tensor)
            elif kind != "keys":
                getattr(layer, kind)[0] = tensor.clone()
                getattr(layer, f"is_{kind}_initialized")[0] = layer.has_previous_state[0] = True
                layer.dtype, layer.device = tensor.dtype, tensor.device
            if kind == "conv_states":
                layer.conv_kernel_size[0] = tensor.shape[-1]
        out = self.model(input_ids, attention_mask=mask, past_key_values=cache, use_cache=True)
        made = parts_of(out.past_key_values)
        return out.logits, *(made[part] for part in self.parts)


class Mamba(nn.Module):
    """Steps of a Mamba (Gu and Dao, 2023): of each layer the last inputs of a convolution of 4 taps, and a state of 16 for each
    of 192 channels, go in and come out."""

    def __init__(self, layers: int = 3, width: int = 96, inner: int = 192, size: int = 16, taps: int = 4) -> None:
        super().__init__()
        self.embedding, self.head = nn.Embedding(VOCABULARY, width), nn.Linear(width, VOCABULARY, bias=False)
        self.layers = nn.ModuleList(
            nn.ModuleDict(
                {
                    "norm": nn.LayerNorm(width),
                    "into": nn.Linear(width, 2 * inner),
                    "taps": nn.Conv1d(inner, inner, taps, groups=inner),
                    "dt": nn.Linear(inner, inner),
                    "b": nn.Linear(inner, size),
                    "c": nn.Linear(inner, size),
                    "out": nn.Linear(inner, width),
                }
            )
            for _ in range(layers)
        )  # fmt: skip
        self.decay = nn.Parameter(-torch.rand(layers, inner, size))

    def forward(self, token: torch.Tensor, *states: torch.Tensor) -> tuple[torch.Tensor, ...]:
        x, made = self.embedding(token), []
        for index, layer in enumerate(self.layers):
            held, state = states[2 * index], states[2 * index + 1]
            inside, gate = layer["into"](layer["norm"](x)).chunk(2, -1)
            window = torch.cat([held, inside.transpose(1, 2)], 2)
            u = nn.functional.silu(layer["taps"](window)).transpose(1, 2)[:, 0]
            dt = nn.functional.softplus(layer["dt"](u))[..., None]
            state = torch.exp(dt * self.decay[index]) * state + dt * layer["b"](u)[:, None] * u[..., None]
            y = (state * layer["c"](u)[:, None]).sum(-1) * nn.functional.silu(gate[:, 0])
            x = x + layer["out"](y)[:, None]
            made += [window[:, :, 1:], state]
        return self.head(x), *made


def export_torch(name: str, output: Path, *, newer: bool) -> None:
    """Export with torch's older exporter or (``newer``) with that of torch.export; names of caches have no meaning."""
    batch, held, is_hybrid = 2, 5, name in HYBRIDS
    new = 1 if name == "mamba" or is_hybrid else 3
    tokens = torch.randint(VOCABULARY, (batch, new))
    if name == "mamba":
        torch.manual_seed(0)
        module: nn.Module = Mamba()
        states = [part for _ in module.layers for part in (torch.randn(batch, 192, 3), torch.randn(batch, 192, 16))]  # type: ignore[union-attr]
        names, axes = ["token"], [{0: "batch"}] * len(states)
        inputs = (tokens, *states)
    else:
        model: Any = model_of(name)
        model.config._experts_implementation = "batched_mm"
        with torch.no_grad():
            made = model(torch.randint(VOCABULARY, (batch, held)), use_cache=True)
        parts = parts_of(made.past_key_values)
        states = list(parts.values())
        module = Decoder(model, list(parts), masked=not is_hybrid)
        names = ["input_ids"] if is_hybrid else ["input_ids", "attention_mask"]
        axes = [{0: "batch", 2: "past"} if kind in ("keys", "values") else {0: "batch"} for _, kind in parts]
        inputs = (tokens, *([] if is_hybrid else [torch.ones(batch, held + new, dtype=torch.int64)]), *states)
    cached = [f"a{number}" for number in range(len(states))]
    returned = ["logits", *(f"b{number}" for number in range(len(states)))]
    path = output / f"torch_{name}_{'dynamo' if newer else 'script'}" / "model.onnx"
    path.parent.mkdir(parents=True, exist_ok=True)
    options: dict[str, Any] = {"input_names": [*names, *cached], "output_names": returned, "dynamo": newer}
    whole = {"input_ids": {0: "batch"} if is_hybrid else {0: "batch", 1: "seq"}, "attention_mask": {0: "batch", 1: "total"}}
    open_dims = [whole.get(each, {0: "batch"}) for each in names] + axes
    if newer:
        free = torch.export.Dim.DYNAMIC
        first, *others = (dict.fromkeys(each, free) for each in open_dims)
        options["dynamic_shapes"] = (first, tuple(others))
    else:
        options |= {"dynamic_axes": dict(zip([*names, *cached], open_dims, strict=True)), "opset_version": 18}
    torch.onnx.export(module.eval(), inputs, str(path), **options)


def pack(output: Path) -> None:
    """The models in the folders of ``output``, without their weights."""
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for path in sorted(output.glob("*/*.onnx")):
            if path.stem in ("encoder", "encoder_model", "decoder_model"):
                continue
            stem = path.parent.name + ("" if path.stem in ("model", "decoder") else path.stem.removeprefix("decoder"))
            paths.append(Path(folder) / f"{stem}.onnx")
            model = skeletons.skeleton(onnx.load(path, load_external_data=False))
            paths[-1].write_bytes(model.SerializeToString(deterministic=True))
        skeletons.pack(ARCHIVE, paths)


def count(name: str, batch: int, new: int, past: int) -> int:
    """Twice the MACs of a step from torch's counter; attention is decomposed for it."""
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    model: Any = model_of(name)
    model.config._experts_implementation = "batched_mm"
    cache = transformers.DynamicCache(config=model.config)
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
        if past:
            model(torch.randint(VOCABULARY, (batch, past)), past_key_values=cache, use_cache=True)
        with FlopCounterMode(display=False) as counter:
            model(torch.randint(VOCABULARY, (batch, new)), past_key_values=cache, use_cache=True)
    return counter.get_total_flops()


def main(arguments: Sequence[str]) -> None:
    """Parse the arguments and run the command."""
    verb, *rest = arguments
    if verb == "weights":
        for name in rest[1:] or CONFIGS:
            save(name, Path(rest[0]))
    elif verb == "torch":
        for name in rest[2:] or ("llama", "qwen3", "mixtral", "mamba", *HYBRIDS):
            export_torch(name, Path(rest[1]), newer=name != "mamba")
            if name in ("llama", "qwen3_next", "granite_hybrid"):
                export_torch(name, Path(rest[1]), newer=False)
    elif verb == "pack":
        pack(Path(rest[0]))
    else:
        for name in rest or ("llama", "qwen3", "mistral", "gpt2", "phi3", *HYBRIDS):
            print(name, count(name, 2, 100, 0), count(name, 2, 1, 255))


if __name__ == "__main__":
    main(sys.argv[1:])
