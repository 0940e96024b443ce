"""The result of ``llm``: sizes, memory, what fits, notes, speeds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import onnxcost
from onnxcost.errors import InputError
from onnxcost.generation.language import LanguageCost, describe_decoder
from onnxcost.spec import ModelSpec
from scripts.export.decoder_layouts import LAYOUTS, build
from tests.generation.exports import read_archive
from tests.modeltext import model

LLAMA = Path(__file__).parents[2] / "models" / "llama_1b_pytorch.onnx"
GIB = 2**30


@pytest.fixture(scope="module")
def llama() -> LanguageCost:
    return onnxcost.llm(LLAMA, memory="8GiB")


def test_the_usual_sizes(llama: LanguageCost) -> None:
    assert [(phase.name, phase.sizes.new, phase.sizes.past) for phase in llama.phases] == [
        ("prefill", 1024, 0),
        ("decode", 1, 4095),
    ]
    assert llama.parameters == llama.active_parameters == 1_235_814_400
    document = llama.to_dict()["llm"]
    assert json.dumps(document)
    assert document["kv_bytes_per_token"] == 2 * 16 * 8 * 64 * 4
    assert document["kv_bytes"] == 4096 * document["kv_bytes_per_token"]
    assert document["state_bytes"] == 0
    assert {"macs", "flops", "weight_bytes_read", "kv_bytes_read", "kv_bytes_written"} <= document["decode"].keys()


def test_the_head_on_all_tokens_is_noted(llama: LanguageCost) -> None:
    """1,023 of 1,024 tokens · 2,048 · 128,256 of 1.334 · 10^12 MACs."""
    assert round(100 * 1023 * 2048 * 128256 / 1334124216320) == 20
    assert (
        "the LM head runs on all 1,024 prompt tokens, though the next token needs one: 20 % of the prefill's MACs"
        in llama.notes
    )
    pruned = onnxcost.llm(read_archive()["genai_llama_fp32_prune"])
    assert not any("LM head" in note for note in pruned.notes)


def test_what_fits_a_memory(llama: LanguageCost) -> None:
    """Past and present are apart: each token counts twice, and one more than the longest context does not fit."""
    need, token = llama.memory, 2 * llama.kv_bytes.token
    assert need.copied == need.cache == 4096 * llama.kv_bytes.token
    left = 8 * GIB - need.weights - need.activations
    assert llama.most_context == left // token
    assert llama.most_batch == (8 * GIB - need.weights) // (4096 * token + need.activations)
    assert onnxcost.llm(LLAMA, memory=1000).most_context == 0


def test_a_shared_buffer_holds_the_cache_once(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(read_archive()["genai_llama_fp16_cuda"])
    assert onnxcost.llm(path, context=256).memory.copied == 256 * 384
    settings = {"model": {"context_length": 300}, "search": {"past_present_share_buffer": True, "max_length": 300}}
    (tmp_path / "genai_config.json").write_text(json.dumps(settings))
    shared = onnxcost.llm(path)
    assert shared.memory.copied == 0
    assert (shared.decode.sizes.total, shared.prefill and shared.prefill.sizes.new) == (300, 300)
    with pytest.raises(
        InputError, match=r"--context 301: the model knows 300 positions \(context_length in genai_config.json\)"
    ):
        onnxcost.llm(path, context=301)


def test_active_parameters_are_those_of_two_experts_of_four() -> None:
    """Three layers of four experts with three matrices of 96 × 64 and their biases."""
    found = onnxcost.llm(read_archive()["genai_lfm2_moe"])
    assert found.parameters - found.active_parameters == 3 * 2 * (3 * 96 * 64 + 2 * 64 + 96)


def test_experts_that_are_picked_from_a_table() -> None:
    """As PyTorch exports them: two of four, in three layers, each with matrices of 320 × 96 and 96 × 160."""
    found = onnxcost.llm(read_archive()["torch_mixtral_dynamo"])
    assert found.parameters - found.active_parameters == 3 * 2 * (320 * 96 + 96 * 160)
    unread = 3 * 2 * (320 * 96 + 96 * 160) + 319 * 96  # with all rows of the embedding but one
    assert found.decode.weight_bytes_read == pytest.approx(4 * (found.parameters - unread), rel=0.005)


def test_devices_at_several_batches() -> None:
    found = onnxcost.llm(read_archive()["genai_llama_fp16_cuda"], devices=["rtx-4090", "esp32-s3"])
    assert [(speed.device, speed.batch) for speed in found.speeds] == [
        (device, batch) for device in ("rtx-4090", "esp32-s3") for batch in (1, 4, 16, 64)
    ]
    assert all(speed.step is not None or speed.missing for speed in found.speeds)
    chosen = onnxcost.llm(read_archive()["genai_llama_fp16_cuda"], devices=["rtx-4090"], batch=4)
    (speed,) = chosen.speeds
    one, both = speed.tokens_per_second, speed.throughput
    assert one is not None
    assert both is not None
    assert (both.low, both.high) == (4 * one.low, 4 * one.high)
    assert speed.step_bound is not None
    assert one.high <= 1 / speed.step_bound


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"memory": "8 parsecs"}, "memory expects a quantity such as 8GiB"),
        ({"prompt": 5000, "context": 4096}, "--prompt 5000 is longer than --context 4096"),
        ({"devices": ["no-such-device"]}, "no-such-device"),
    ],
)
def test_what_cannot_be(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        onnxcost.llm(LLAMA, **arguments)  # type: ignore[arg-type]


def test_other_models_are_refused() -> None:
    relu = model("(float[2,3] x) => (float[2,3] y) { y = Relu(x) }")
    with pytest.raises(InputError, match="no language model with a cache"):
        onnxcost.llm(relu)
    report = onnxcost.estimate(relu)
    assert describe_decoder(ModelSpec(relu), report) is None


def test_a_model_of_70_billion_without_its_weights() -> None:
    """80 layers, 8 heads of 128 for keys and values in 16 bits; 4.5 bits a weight."""
    found = onnxcost.llm(build(LAYOUTS["Llama 3.1 70B"], 4).SerializeToString())
    assert found.kv_bytes.token == 2 * 80 * 8 * 128 * 2
    assert found.decode.weight_bytes_read == pytest.approx((found.parameters - 128256 * 8192) * 4.5 / 8, rel=0.001)
