"""Small decoders of many families with random weights, by four exporters, without their weights: tests/data/decoders.tar.xz.

    python -m scripts.export.decoders weights FOLDER [NAME ...]     Hugging Face folders with random weights
    python -m scripts.export.decoders torch FOLDER OUTPUT [NAME ...]    torch.onnx.export, both kinds
    optimum-cli export onnx -m FOLDER/NAME --task TASK-with-past OUTPUT/opt_NAME
    python -m onnxruntime_genai.models.builder -i FOLDER/NAME -o OUTPUT/genai_NAME -p PRECISION -e PROVIDER [--extra_options …]
    python -m scripts.export.decoders pack OUTPUT    one archive of all model.onnx, under the names of their folders
    python -m scripts.export.decoders flops [NAME ...]    what torch's FlopCounterMode counts

Set-up: ``pip install torch transformers onnx onnxscript onnxruntime-genai optimum-onnx`` (Optimum wants transformers 4.57, the
builder 5). tests/generation/test_exports.py has the figures that follow from these configurations by hand.
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
    """The model and a tokenizer of as many words, as Hugging Face has them."""
    from tokenizers import Tokenizer, models

    model_of(name).save_pretrained(folder / name)  # type: ignore[operator]
    words = {f"t{number}": number for number in range(VOCABULARY - 1)} | {"<unk>": VOCABULARY - 1}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    marks = {"unk_token": "<unk>", "bos_token": "t1", "eos_token": "t2", "pad_token": "t0"}
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **marks).save_pretrained(folder / name)


class Decoder(nn.Module):
    """A model whose cache goes in and comes out as plain tensors: key and value, layer by layer."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor, *past: torch.Tensor) -> tuple[torch.Tensor, ...]:
        cache = transformers.DynamicCache(config=self.model.config)
        for layer in range(len(past) // 2):
            cache.update(past[2 * layer], past[2 * layer + 1], layer)
        out = self.model(input_ids, attention_mask=attention_mask, past_key_values=cache, use_cache=True)
        return out.logits, *(part for layer in out.past_key_values.layers for part in (layer.keys, layer.values))


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
    """By one of torch's exporters, the older one or (``newer``) that of torch.export; its cache has names that say nothing."""
    batch, new, held = 2, 1 if name == "mamba" else 3, 5
    if name == "mamba":
        torch.manual_seed(0)
        module: nn.Module = Mamba()
        states = [part for _ in module.layers for part in (torch.randn(batch, 192, 3), torch.randn(batch, 192, 16))]  # type: ignore[union-attr]
        inputs = (torch.randint(VOCABULARY, (batch, new)), *states)
        names, axes = ["token"], {0: "batch"}
    else:
        model = model_of(name)
        model.config._experts_implementation = "batched_mm"  # type: ignore[union-attr]
        config: Any = model.config
        width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        heads = getattr(config, "num_key_value_heads", config.num_attention_heads)
        states = [torch.randn(batch, heads, held, width) for _ in range(2 * config.num_hidden_layers)]
        module = Decoder(model)
        inputs = (torch.randint(VOCABULARY, (batch, new)), torch.ones(batch, held + new, dtype=torch.int64), *states)
        names, axes = ["input_ids", "attention_mask"], {0: "batch", 2: "past"}
    cached = [f"a{number}" for number in range(len(states))]
    made = ["logits", *(f"b{number}" for number in range(len(states)))]
    path = output / f"torch_{name}_{'dynamo' if newer else 'script'}" / "model.onnx"
    path.parent.mkdir(parents=True, exist_ok=True)
    options: dict[str, Any] = {"input_names": [*names, *cached], "output_names": made, "dynamo": newer}
    if newer:
        free = torch.export.Dim.DYNAMIC
        whole = [{0: free, 1: free}] * len(names)
        options["dynamic_shapes"] = (*whole, tuple(dict.fromkeys(axes, free) for _ in states))
    else:
        rest = {} if name == "mamba" else {"input_ids": {0: "batch", 1: "seq"}, "attention_mask": {0: "batch", 1: "total"}}
        options |= {"dynamic_axes": {names[0]: {0: "batch"}, **rest, **dict.fromkeys(cached, axes)}, "opset_version": 18}
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
    """Twice the MACs of a step, as torch's counter has them; attention is spelled out for it."""
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    model, cache = model_of(name), transformers.DynamicCache()
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
        if past:
            model(torch.randint(VOCABULARY, (batch, past)), past_key_values=cache, use_cache=True)
        with FlopCounterMode(display=False) as counter:
            model(torch.randint(VOCABULARY, (batch, new)), past_key_values=cache, use_cache=True)
    return counter.get_total_flops()


def main(arguments: Sequence[str]) -> None:
    """Do what the arguments say."""
    verb, *rest = arguments
    if verb == "weights":
        for name in rest[1:] or CONFIGS:
            save(name, Path(rest[0]))
    elif verb == "torch":
        for name in rest[2:] or ("llama", "qwen3", "mixtral", "mamba"):
            export_torch(name, Path(rest[1]), newer=name != "mamba")
            if name == "llama":
                export_torch(name, Path(rest[1]), newer=False)
    elif verb == "pack":
        pack(Path(rest[0]))
    else:
        for name in rest or ("llama", "qwen3", "mistral", "gpt2", "phi3", "opt"):
            print(name, count(name, 2, 100, 0), count(name, 2, 1, 255))


if __name__ == "__main__":
    main(sys.argv[1:])
