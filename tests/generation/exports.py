"""The exports of small decoders in the archive, each with what follows from its configuration by hand."""

from __future__ import annotations

import tarfile
from functools import cache
from pathlib import Path
from typing import NamedTuple

ARCHIVE = Path(__file__).parents[1] / "data" / "decoders.tar.xz"
FLOAT, HALF, BYTE, NIBBLE = 4.0, 2.0, 1.0, 0.5


class Export(NamedTuple):
    """The layers with a cache, their heads of keys and values and the elements of each, and bytes of an element.

    ``state`` are the bytes of a sequence's states, ``macs`` those of a prefill of 2 × 100, if a step can take as many, and of a
    step behind 2 × 255, by torch's FlopCounterMode under sdpa_kernel(MATH); scripts/export/decoders.py prints twice as many.
    Those of TensorFlow's decoder are by hand.
    """

    layers: int
    heads: int
    size: int
    width: float
    state: int = 0
    macs: tuple[int, ...] = ()
    source: bool = False

    @property
    def token(self) -> float:
        """Bytes of a token in the cache: keys and values."""
        return 2 * self.layers * self.heads * self.size * self.width


LLAMA, QWEN3, GPT2 = (60_057_600, 780_288), (86_323_200, 1_222_656), (84_019_200, 1_019_904)
KERAS = 3 * (4 * 96 * 96 + 2 * 96 * 160) + 96 * 320  # for each token but attention's
DELTA, MAMBA2 = 128 * 4 + 4 * 16 * 16, 224 * 4 + 12 * 16 * 16  # a layer's convolution of 4 taps, and its heads' states
CONV = 3 * 96 * 2  # three layers, 96 channels, the last two inputs of a convolution of three taps
EXPORTS = {
    "genai_llama_fp32": Export(3, 2, 16, FLOAT, macs=LLAMA),
    "genai_llama_fp16_cuda": Export(3, 2, 16, HALF, macs=LLAMA),
    "genai_llama_int4_cpu": Export(3, 2, 16, FLOAT, macs=LLAMA),
    "genai_llama_tied_int4": Export(3, 2, 16, FLOAT, macs=LLAMA),
    "genai_llama_int4_paged": Export(3, 2, 16, HALF, macs=LLAMA),
    "genai_llama_dml": Export(3, 2, 16, HALF, macs=LLAMA),
    "genai_llama_webgpu": Export(3, 2, 16, HALF, macs=LLAMA),
    "genai_llama_int8kv_tensor": Export(3, 2, 16, BYTE, macs=LLAMA),
    "genai_llama_fp8kv_tensor": Export(3, 2, 16, BYTE, macs=LLAMA),
    "genai_llama_int4kv_tensor": Export(3, 2, 16, NIBBLE, macs=LLAMA),
    "genai_qwen2_fp32": Export(3, 2, 16, FLOAT, macs=LLAMA),
    "genai_qwen3_int4": Export(3, 2, 32, FLOAT, macs=QWEN3),
    "genai_mistral_fp16": Export(3, 2, 16, HALF, macs=LLAMA),
    "genai_phi3_int4": Export(3, 2, 16, FLOAT, macs=LLAMA),
    "genai_gemma2_fp16": Export(4, 2, 32, HALF),
    "genai_gpt_oss_int4_cpu": Export(4, 2, 32, FLOAT),
    "genai_lfm2_fp32": Export(1, 2, 16, FLOAT, state=CONV * 4),
    "genai_lfm2_int4": Export(1, 2, 16, HALF, state=CONV * 2),
    "genai_lfm2_moe": Export(1, 2, 16, FLOAT, state=CONV * 4),
    "genai_whisper": Export(3, 6, 16, FLOAT, source=True),
    "opt_llama": Export(3, 2, 16, FLOAT),
    "opt_qwen3": Export(3, 2, 32, FLOAT),
    "opt_gemma3": Export(6, 2, 32, FLOAT),
    "opt_mistral": Export(3, 2, 16, FLOAT),
    "opt_phi3": Export(3, 2, 16, FLOAT),
    "opt_gpt2": Export(3, 6, 16, FLOAT, macs=GPT2),
    "opt_bloom": Export(3, 6, 16, FLOAT),
    "opt_gpt_bigcode": Export(3, 1, 16, FLOAT),
    "opt_t5_model_merged": Export(3, 6, 16, FLOAT, source=True),
    "opt_t5_with_past_model": Export(3, 6, 16, FLOAT, source=True),
    "opt_bart_model_merged": Export(3, 6, 16, FLOAT, source=True),
    "opt_whisper_model_merged": Export(3, 6, 16, FLOAT, source=True),
    "opt_whisper_with_past_model": Export(3, 6, 16, FLOAT, source=True),
    "torch_llama_script": Export(3, 2, 16, FLOAT, macs=LLAMA),
    "torch_llama_dynamo": Export(3, 2, 16, FLOAT, macs=LLAMA),
    "torch_qwen3_dynamo": Export(3, 2, 32, FLOAT, macs=QWEN3),
    "torch_mixtral_dynamo": Export(3, 2, 16, FLOAT),
    "torch_mamba_script": Export(0, 0, 0, FLOAT, state=3 * 192 * (3 + 16) * 4),
    "torch_qwen3_next_dynamo": Export(1, 2, 32, FLOAT, state=3 * DELTA * 4, macs=(997_632,)),
    "torch_qwen3_next_script": Export(1, 2, 32, FLOAT, state=3 * DELTA * 4, macs=(997_632,)),
    "torch_granite_hybrid_dynamo": Export(1, 2, 16, FLOAT, state=3 * MAMBA2 * 4, macs=(963_840,)),
    "torch_granite_hybrid_script": Export(1, 2, 16, FLOAT, state=3 * MAMBA2 * 4, macs=(963_840,)),
    "torch_jamba_dynamo": Export(1, 2, 16, FLOAT, state=3 * 192 * (4 + 8) * 4, macs=(960_768,)),
    "torch_falcon_h1_dynamo": Export(3, 2, 16, FLOAT, state=3 * MAMBA2 * 4, macs=(1_166_592,)),
    "tf_decoder": Export(3, 6, 16, FLOAT, macs=(200 * (KERAS + 2 * 3 * 96 * 100), 2 * (KERAS + 2 * 3 * 96 * 256))),
}
"""By the exporter (onnxruntime-genai's builder, Optimum, PyTorch's two, tf2onnx) and the family."""


@cache
def read_archive() -> dict[str, bytes]:
    """The models by name."""
    with tarfile.open(ARCHIVE) as archive:
        return {entry.name.removesuffix(".onnx"): archive.extractfile(entry).read() for entry in archive}  # type: ignore[union-attr]
