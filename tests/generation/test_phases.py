"""Prefill and decode of a decoder whose figures follow from its configuration."""

from __future__ import annotations

from pathlib import Path

import pytest

from onnxcost.generation.decoder import BATCH, NEW, PAST, TOTAL, StepSizes, read_decoder
from onnxcost.generation.phases import DECODE, PREFILL, KvBytes, count_phase
from onnxcost.spec import ModelSpec

LLAMA = ModelSpec(str(Path(__file__).parents[2] / "models" / "llama_1b_pytorch.onnx"))
"""16 layers of 2,048, 32 heads of 64 and 8 of keys and values, 8,192 between, 128,256 tokens tied to the embedding."""
PRODUCTS = 16 * (2048 * 2048 * 2 + 2 * 2048 * 512 + 3 * 2048 * 8192) + 2048 * 128256
"""MACs for each token but attention's."""


def test_what_a_decoder_is() -> None:
    decoder = read_decoder(LLAMA)
    assert (decoder.tokens.name, decoder.token_axis) == ("input_ids", 1)
    assert decoder.logits is not None
    assert decoder.logits.name == "logits"
    assert decoder.roles == {"batch": BATCH, "sequence": NEW, "total_sequence": TOTAL, "past_sequence": PAST}
    assert [(cache.past.name, cache.held.name) for cache in decoder.caches] == [
        (f"past_key_values.{layer}.{part}", f"present.{layer}.{part}") for layer in range(16) for part in ("key", "value")
    ]


@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        (PREFILL, StepSizes(1, 1024, 0)),
        (DECODE, StepSizes(1, 1, 4095)),
        (DECODE, StepSizes(8, 1, 1023)),
        ("chunk", StepSizes(2, 64, 64)),
    ],
)
def test_figures_of_a_step(name: str, sizes: StepSizes) -> None:
    decoder = read_decoder(LLAMA)
    phase = count_phase(decoder, LLAMA, name, sizes)
    attention = 16 * 32 * 2 * 64 * sizes.batch * sizes.new * sizes.total
    assert phase.report.macs == sizes.batch * sizes.new * PRODUCTS + attention
    token = 2 * 16 * 8 * 64 * 4
    assert KvBytes.of(decoder).token == token
    assert phase.kv_bytes_read == sizes.batch * sizes.total * token
    assert phase.kv_bytes_written == sizes.batch * sizes.new * token
    assert phase.state_bytes == 0
    weights = 4 * (PRODUCTS + 33 * 2048 + sizes.batch * sizes.new * 2048)
    assert phase.weight_bytes_read == pytest.approx(weights, rel=1e-4)
