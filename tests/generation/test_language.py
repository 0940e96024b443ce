"""The result of ``llm``: sizes, memory, what fits, notes, speeds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import onnxcost
from onnxcost.errors import InputError
from onnxcost.generation.decoder import find_decoder
from onnxcost.generation.language import LanguageCost, describe_decoder
from onnxcost.spec import ModelSpec
from scripts.export.decoder_layouts import LAYOUTS, build
from tests.generation.exports import read_archive
from tests.generation.small import DECODER
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
    assert "the LM head runs on all 1,024 prompt tokens, but only one is needed: 20 % of the prefill's MACs" in llama.notes
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
    alone = onnxcost.llm(path, context=256)
    assert alone.memory.copied == 256 * 384
    assert alone.decode.executed is alone.decode.report
    settings = {"model": {"context_length": 300}, "search": {"past_present_share_buffer": True, "max_length": 300}}
    (tmp_path / "genai_config.json").write_text(json.dumps(settings))
    shared = onnxcost.llm(path)
    assert shared.memory.copied == 0
    as_run = [node.attributes for node in shared.decode.executed.graph.nodes if node.op_type == "GroupQueryAttention"]
    assert [attributes["past_present_share_buffer"] for attributes in as_run] == [1, 1, 1]
    assert (shared.decode.sizes.total, shared.prefill and shared.prefill.sizes.new) == (300, 300)
    with pytest.raises(
        InputError, match=r"--context 301: the model supports 300 positions \(context_length in genai_config.json\)"
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
    with pytest.raises(InputError, match="not a language model with a cache"):
        onnxcost.llm(relu)
    report = onnxcost.estimate(relu)
    assert describe_decoder(ModelSpec(relu), report) is None


def test_a_model_of_70_billion_without_its_weights() -> None:
    """80 layers, 8 heads of 128 for keys and values in 16 bits; 4.5 bits a weight."""
    found = onnxcost.llm(build(LAYOUTS["Llama 3.1 70B"], 4).SerializeToString())
    assert found.kv_bytes.token == 2 * 80 * 8 * 128 * 2
    assert found.decode.weight_bytes_read == pytest.approx((found.parameters - 128256 * 8192) * 4.5 / 8, rel=0.001)


ROWS = "x = Gather(emb, ids) k = MatMul(x, wk) v = MatMul(x, wv) q = MatMul(x, wq)"
HEADS = """s4 = Constant<value_ints = [0, 0, 2, 16]>() k4 = Reshape(k, s4) v4 = Reshape(v, s4) q4 = Reshape(q, s4)
    kt = Transpose<perm = [0, 2, 1, 3]>(k4) vt = Transpose<perm = [0, 2, 1, 3]>(v4) qt = Transpose<perm = [0, 2, 1, 3]>(q4)"""
OTHERS: dict[str, tuple[str, int, str]] = {
    "Attention of ONNX": (
        f"""(int64[B,S] ids, float[B,2,P,16] a, float[B,2,P,16] b)
        => (float[B,S,50] logits, float[B,2,T,16] c, float[B,2,T,16] d) {{ {ROWS}
        y, c, d = Attention<q_num_heads = 2, kv_num_heads = 2, is_causal = 1>(q, k, v, , a, b)
        logits = MatMul(y, wo) }}""",
        23,
        "",
    ),
    "keys and values in one tensor": (
        """(int32[B,S] ids, int32[B,T] mask, float[2,B,2,P,16] a) => (float[B,S,50] logits, float[2,B,2,T,16] c)
        { x = Gather(emb, ids) y, c = com.microsoft.Attention<num_heads = 2, unidirectional = 1>(x, w3, b3, mask, a)
        logits = MatMul(y, wo) }""",
        17,
        ', "com.microsoft" : 1',
    ),
    "written in place": (
        f"""(int64[B,S] ids, int64[1] at, float[B,2,256,16] a, float[B,2,256,16] b)
        => (float[B,S,50] logits, float[B,2,256,16] c, float[B,2,256,16] d)
        {{ {ROWS} {HEADS} c = TensorScatter<axis = 2>(a, kt, at) d = TensorScatter<axis = 2>(b, vt, at) y = Attention(qt, c, d)
        yt = Transpose<perm = [0, 2, 1, 3]>(y) s3 = Constant<value_ints = [0, 0, 32]>() y3 = Reshape(yt, s3)
        logits = MatMul(y3, wo) }}""",
        24,
        "",
    ),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_layouts(name: str) -> None:
    """Two heads of 16 in float32: 2 · 2 · 16 · 4 bytes a token. What is written in place has room for 256."""
    text, opset, domains = OTHERS[name]
    sizes = {"emb": (50, 32), "wk": (32, 32), "wv": (32, 32), "wq": (32, 32), "wo": (32, 50), "w3": (32, 96), "b3": (96,)}
    used = {key: dims for key, dims in sizes.items() if key in text}
    found = onnxcost.llm(model(text, opset, domains=domains, **used).SerializeToString())
    context = 256 if name == "written in place" else 4096
    assert found.kv_bytes.token == 256
    assert found.decode.sizes.total == context
    assert found.decode.kv_bytes_read == context * 256
    assert found.decode.report.macs == 3 * 32 * 32 + 32 * 50 + context * 2 * 32
    assert (found.memory.copied == 0) == (name == "written in place")


def test_a_recurrent_network_has_only_states() -> None:
    """An LSTM's two states of 64 in float32."""
    text = """(int64[B,S] ids, float[1,B,64] h, float[1,B,64] c) => (float[B,S,50] logits, float[1,B,64] hn, float[1,B,64] cn) {
        x = Gather(emb, ids) xt = Transpose<perm = [1, 0, 2]>(x) y, hn, cn = LSTM<hidden_size = 64>(xt, w, r, , , h, c)
        yt = Transpose<perm = [2, 0, 1, 3]>(y) s = Constant<value_ints = [0, 0, 64]>() y3 = Reshape(yt, s)
        logits = MatMul(y3, wo) }"""
    weights = {"emb": (50, 32), "w": (1, 256, 32), "r": (1, 256, 64), "wo": (64, 50)}
    found = onnxcost.llm(model(text, **weights).SerializeToString(), memory="1MiB")
    assert (found.kv_bytes.token, found.kv_bytes.state) == (0, 2 * 64 * 4)
    assert found.decode.state_bytes == 2 * 64 * 4


def test_sizes_that_are_given_stay() -> None:
    data = read_archive()["opt_llama"]
    found = onnxcost.llm(data, dims={"sequence_length": 7})
    assert [(phase.name, phase.sizes.new) for phase in found.phases] == [("decode", 7)]
    assert "each step processes 7 tokens" in found.notes


@pytest.mark.parametrize(
    "stated", [0, -5, True, 3.7, 2**62, 10**3000, "8", None, [8], {"n": 8}], ids=lambda each: str(each)[:9]
)
def test_a_context_that_is_no_size_is_no_limit(stated: object, tmp_path: Path) -> None:
    path = tmp_path / "decoder.onnx"
    path.write_bytes(DECODER.SerializeToString())
    (tmp_path / "genai_config.json").write_text(json.dumps({"model": {"context_length": stated}}))
    found = onnxcost.llm(path, memory="1GiB")
    assert found.decoder.limit is None
    assert found.decode.sizes.total == 4096


SOUND = "float[1,5,64] x, float[1,8,p,16] a, float[1,8,p,16] b"
GROWN = """h = {} s = Constant<value_ints = [1, 5, 8, 16]>() k = MatMul(h, w) r = Reshape(k, s)
    t = Transpose<perm = [0, 2, 1, 3]>(r) c = Concat<axis = 2>(a, t) d = Concat<axis = 2>(b, t)
    u = Transpose<perm = [0, 1, 3, 2]>(c) m = MatMul(t, u) y = MatMul(m, d)"""


@pytest.mark.parametrize(("first", "is_decoder"), [("RMSNormalization(x, g)", True), ("MatMul(x, v)", False)])
def test_embeddings_are_normalized_and_features_of_sound_are_projected(first: str, is_decoder: bool) -> None:
    text = f"({SOUND}) => (float y, float[1,8,q,16] c, float[1,8,q,16] d) {{ {GROWN.format(first)} }}"
    graph = onnxcost.estimate(model(text, opset=23, w=(64, 128), v=(64, 64), g=(64,))).graph
    assert (find_decoder(graph) is not None) == is_decoder


def test_an_output_without_a_rank_is_no_cache() -> None:
    made = model(
        "(float[2,3] x) => (float y, float present) { y = Relu(x) present = local.Unknown(x) }", domains=', "local" : 1'
    )
    with pytest.raises(InputError, match="this is not a language model"):
        onnxcost.llm(made)
