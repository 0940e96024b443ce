"""Assumed dims fit the graph: what a weight, a table, a Reshape or a cache says of an open dim decides it."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from onnx import ModelProto, save

from onnxcost import estimate
from onnxcost.errors import InputError, ModelError, OnnxCostError
from onnxcost.frontend.dims import name_shape
from tests.generation.small import DECODER
from tests.modeltext import model

SYMBOLS = {
    "BLOCKS": "8*h",
    "ODD": "2*s1 + 1",
    "MORE": "32*(h + 1)",
    "Total": "past_sequence_length + sequence_length",
    "PastPlus1": "past_sequence_length + 1",
}
"""What the textual syntax has no words for: expressions, and names with dots (written with ``DOT``)."""

_LM = """(int64[batch,sequence_length] input_ids, int64[batch,{mask}] attention_mask,
  float[batch,4,past_sequence_length,16] past_key_valuesDOT0DOTkey) => (float y) <int64[4] s = {{0,0,4,16}}> {{
  h = Gather(table, input_ids) q0 = Reshape(h, s) q = Transpose<perm=[0,2,1,3]>(q0)
  k = Concat<axis=2>(past_key_valuesDOT0DOTkey, q) kt = Transpose<perm=[0,1,3,2]>(k) scores = MatMul(q, kt)
  m = Cast<to=1>(attention_mask) y = Add(scores, m) }}"""
_GQA = """(int64[b,s] input_ids, int32[b] lengths, int32 total, float[b,heads,past_len,size] past_key_valuesDOT0DOTkey,
  float[b,heads,past_len,size] past_key_valuesDOT0DOTvalue) => (float y) { h = Gather(table, input_ids)
  q = MatMul(h, wq) k = MatMul(h, wk) v = MatMul(h, wk)
  y, p, r = com.microsoft.GroupQueryAttention<num_heads=4, kv_num_heads=2>(q, k, v, past_key_valuesDOT0DOTkey,
    past_key_valuesDOT0DOTvalue, lengths, total) }"""
_VIT = """(float[batch,3,height,width] pixel_values) => (float y) <int64[3] s = {0,32,-1}> {
  c = Conv<strides=[16,16]>(pixel_values, w) r = Reshape(c, s) t = Transpose<perm=[0,2,1]>(r)
  k = Concat<axis=1>(cls, t) y = Add(k, pos) }"""
_YOLO = """(float[batch,3,height,width] images) => (float[batch,84,anchors] output0)
  <float[4] scales = {1,1,2,2}, int64[3] s = {0,84,-1}> { a = Conv<strides=[2,2],pads=[1,1,1,1]>(images, w)
  u = Resize(a, , scales) k = Concat<axis=1>(u, images) c = Conv(k, v) output0 = Reshape(c, s) }"""
_AUDIO = """(float[N,T] x) => (float y) <int64[1] axis = {1}> {
  u = Unsqueeze(x, axis) c = Conv<strides=[4]>(u, w) y = Relu(c) }"""

_CLIP = """(float[N,T,C,H,W] pixel_values) => (float y) <int64[3] s = {0,32,-1}> {
  p = Transpose<perm=[0,2,1,3,4]>(pixel_values) c = Conv<strides=[2,16,16]>(p, w) r = Reshape(c, s)
  t = Transpose<perm=[0,2,1]>(r) k = Concat<axis=1>(cls, t) y = Add(k, pos) }"""

Shapes = dict[str, tuple[int, ...]]
FITTED: dict[str, tuple[str, Shapes, Shapes]] = {
    "channels of a weight": (
        "(float[N,C,H,W] x) => (float y) { y = Conv(x, w) }", {"w": (8, 5, 3, 3)}, {"x": (1, 5, 224, 224)},
    ),
    "a clip of fewer frames and smaller images": (
        _CLIP, {"w": (32, 3, 2, 16, 16), "cls": (1, 0, 32), "pos": (1, 16, 32)}, {"pixel_values": (1, 8, 3, 32, 32)},
    ),
    "a clip with a token for its class": (
        _CLIP, {"w": (32, 3, 2, 16, 16), "cls": (1, 1, 32), "pos": (1, 65, 32)}, {"pixel_values": (1, 8, 3, 64, 64)},
    ),
    "channels without names": (
        "(float[a,b,c,d] x) => (float y) { y = Conv(x, w) }", {"w": (8, 5, 3, 3)}, {"x": (1, 5, 224, 224)},
    ),
    "channels last, by a Transpose": (
        "(float[a,b,c,d] x) => (float y) { t = Transpose<perm = [0, 3, 1, 2]>(x) y = Conv(t, w) }",
        {"w": (8, 3, 3, 3)}, {"x": (1, 224, 224, 3)},
    ),
    "channels first, whatever else is transposed": (
        "(float[a,b,c,d] x) => (float y) { t = Transpose<perm = [0, 1, 3, 2]>(x) y = Conv(t, w) }",
        {"w": (8, 3, 3, 3)}, {"x": (1, 3, 224, 224)},
    ),
    "channels of a transposed convolution": (
        "(float[N,?,H,W] x) => (float y) { y = ConvTranspose(x, w) }", {"w": (24, 8, 2, 2)}, {"x": (1, 24, 512, 512)},
    ),
    "features of a Gemm": ("(float[N,f] x) => (float y) { y = Gemm<transB=1>(x, w) }", {"w": (4, 29)}, {"x": (1, 29)}),
    "features of an LSTM and of its state": (
        "(float[T,B,?] x, float[1,B,?] h0) => (float y) { y, h = LSTM<hidden_size=16>(x, w, r, , , h0) }",
        {"w": (1, 64, 24), "r": (1, 64, 16)}, {"x": (128, 1, 24), "h0": (1, 1, 16)},
    ),
    "states of two layers, none of whose dims has a name": (
        """(float[a,b,c] x, float[d,e,f] h0) => (float y) <int64[1] z = {0}, int64[1] one = {1}, int64[1] two = {2}> {
            h1 = Slice(h0, z, one, z) h2 = Slice(h0, one, two, z) p, q = GRU<hidden_size=16>(x, w, r, , , h1)
            u = Squeeze(p, one) y, v = GRU<hidden_size=16>(u, k, r, , , h2) }""",
        {"w": (1, 48, 24), "k": (1, 48, 16), "r": (1, 48, 16)}, {"x": (128, 1, 24), "h0": (2, 1, 16)},
    ),
    "a batch under another name than that of the state": (
        "(float[seq,n,24] x, float[1,m,16] h0) => (float y) { y, h = GRU<hidden_size=16>(x, w, r, , , h0) }",
        {"w": (1, 48, 24), "r": (1, 48, 16)}, {"x": (128, 1, 24), "h0": (1, 1, 16)},
    ),
    "rows of a Gemm that no square image makes": (  # 64 · 96 = 6,144 pixels, 16 to a feature of 8
        "(float[N,3,H,W] x) => (float y) { c = Conv<strides=[4,4]>(x, w) f = Flatten(c) y = Gemm<transB=1>(f, v, b) }",
        {"w": (8, 3, 4, 4), "v": (5, 8 * 16 * 24), "b": (5,)}, {"x": (1, 3, 64, 96)},
    ),
    "a height of 1 behind convolutions": (  # 4 × 32 rows: the Squeeze is in the branch that is taken at a height of 1
        """(float[N,1,H,W] x) => (float y) <int64[1] two = {2}, int64 i = {2}, int64 one = {1}> {
            c = Conv<strides=[4,1]>(x, w) k = Conv(c, v) s = Shape(k) h = Gather(s, i) is = Equal(h, one)
            q = If (is) <then_branch = t () => (float a) { a = Squeeze(k, two) },
                         else_branch = e () => (float b) { b = Identity(k) }>
            y = Transpose<perm = [0, 2, 1]>(q) }""",
        {"w": (8, 1, 4, 1), "v": (8, 8, 8, 1)}, {"x": (1, 1, 32, 320)},
    ),
    **{
        f"a cache with the dims {dims}": (
            f"(float[{dims}] past_key, float[1,4,7,16] k) => (float y) {{ y = Concat<axis={axis}>(past_key, k) }}",
            {}, {"past_key": (1, 4, 128, 16) if axis == 2 else (1, 128, 7, 16)},
        )
        for dims, axis in {"a,b,c,d": 2, "n,h,t,d": 2, "b,s,n,h": 1}.items()
    },
    **{
        f"a side of {SYMBOLS[dim]}": (
            f"(float[N,3,{dim},640] x) => (float y) {{ y = Conv(x, w) }}", {"w": (8, 3, 3, 3)}, {"x": (1, 3, size, 640)},
        )
        for dim, size in {"BLOCKS": 640, "ODD": 641, "MORE": 640}.items()
    },
    "edges of a graph, none of whose dims has a name": (
        """(float[a,16] x, int64[b,c] edge_index) => (float y) <int64 one = {1}> { e = Gather(edge_index, one)
            y = Gather(x, e) }""",
        {}, {"x": (32, 16), "edge_index": (2, 128)},
    ),
    "a mask of samples": (
        """(float[a,b] input_values, int64[c,d] attention_mask) => (float y) { u = Cast<to=1>(attention_mask)
            y = Mul(u, input_values) }""",
        {}, {"input_values": (1, 16000), "attention_mask": (1, 16000)},
    ),
    "both halves of a batch": ("(float[batch,n] x) => (float y, float z) { y, z = Split<axis=0>(x) }", {}, {"x": (2, 128)}),
    "a length cut into equal parts": (
        "(float[batch,sequence] x) => (float y, float z, float v) { y, z, v = Split<axis=1>(x) }", {}, {"x": (1, 129)},
    ),
    "channels cut into given parts": (
        "(float[N,C,H,W] x) => (float y, float z) <int64[2] s = {48, 80}> { y, z = Split<axis=1>(x, s) }",
        {}, {"x": (1, 128, 224, 224)},
    ),
    "blocks of an image": (
        "(float[N,3,H,W] x) => (float y) { y = SpaceToDepth<blocksize=3>(x) }", {}, {"x": (1, 3, 225, 225)},
    ),
    "channels that become pixels": (
        "(float[N,C,H,W] x) => (float y) { y = DepthToSpace<blocksize=2>(x) }", {}, {"x": (1, 4, 224, 224)},
    ),
    "channels that become pixels of large blocks": (
        "(float[N,C,H,W] x) => (float y) { y = DepthToSpace<blocksize=16>(x) }", {}, {"x": (1, 256, 224, 224)},
    ),
    "a cache that has to be empty": (
        "(float[1,4,past,16] past_key, float[1,4,128,16] k) => (float y) { c = Concat<axis=2>(past_key, k) y = Add(c, p) }",
        {"p": (128, 16)}, {"past_key": (1, 4, 0, 16)},
    ),
    # 1,365 is 3 · 5 · 7 · 13: three channels, and 13 is the divisor of 455 below its root.
    "elements that all dims share": (
        "(float[a,b,c,d] x) => (float y) <int64[2] s = {21, 65}> { y = Reshape(x, s) }", {}, {"x": (1, 3, 13, 35)},
    ),
    "rows of a Gemm": (
        "(float[N,3,H,W] x) => (float y) { c = Conv<strides=[8,8]>(x, w) f = Flatten(c) y = Gemm(f, v) }",
        {"w": (4, 3, 8, 8), "v": (4 * 12 * 12, 10)}, {"x": (1, 3, 96, 96)},
    ),
    "a table of positions": (
        "(int64[b,s] input_ids) => (float y) { e = Gather(table, input_ids) y = Add(e, p) }",
        {"table": (1000, 16), "p": (64, 16)}, {"input_ids": (1, 64)},
    ),
    "a table of positions that are counted up": (
        "(int64[b,s] input_ids) => (float y) <int64 zero = {0}, int64 one = {1}, int64[1] last = {1}> {"
        " e = Gather(table, input_ids) sh = Shape(input_ids) n = Gather(sh, last) m = Squeeze(n) r = Range(zero, m, one)"
        " q = Gather(p, r) y = Add(e, q) }",
        {"table": (1000, 16), "p": (77, 16)}, {"input_ids": (1, 77)},
    ),
    "a table of positions that are counted up from 2": (
        "(int64[b,s] input_ids) => (float y) <int64 zero = {0}, int64 one = {1}, int64[1] last = {1}, int64 two = {2}> {"
        " e = Gather(table, input_ids) sh = Shape(input_ids) n = Gather(sh, last) m = Squeeze(n) r = Range(zero, m, one)"
        " x = Expand(r, sh) i = Add(x, two) q = Gather(p, i) y = Add(e, q) }",
        {"table": (1000, 16), "p": (66, 16)}, {"input_ids": (1, 64)},
    ),
    "a stored row that is expanded": (
        "(float[b,s] x) => (float y) { sh = Shape(x) e = Expand(row, sh) y = Mul(x, e) }", {"row": (1, 48)}, {"x": (1, 48)},
    ),
    "features of a mean": ("(float[n,f] x) => (float y) { y = Sub(x, mean) }", {"mean": (4,)}, {"x": (1, 4)}),
    "features of a normalization": (
        "(float[b,t,f] x) => (float y) { y = LayerNormalization(x, g, s) }", {"g": (64,), "s": (64,)}, {"x": (1, 128, 64)},
    ),
    "channels of a slope": (
        "(float[N,C,H,W] x) => (float y) { y = PRelu(x, a) }", {"a": (16, 1, 1)}, {"x": (1, 16, 224, 224)},
    ),
    "a label of Einsum": (
        """(float[b,t,f] x) => (float y) { y = Einsum <equation = "btf, fk -> btk"> (x, w) }""", {"w": (24, 12)},
        {"x": (1, 128, 24)},
    ),
    "features of two inputs in a row": (
        "(float[b,p] x, float[b,q] z) => (float y) { c = Concat<axis=1>(x, z) y = MatMul(c, w) }", {"w": (10, 4)},
        {"x": (1, 5), "z": (1, 5)},
    ),
    "pairs of vectors that have to be longer than 1": (
        "(float[p] x, int64[q] z) => (float y) <int64[1] a = {0}, int64[1] b = {-1}, int64[1] c = {1}, int64[1] e = {200}> {"
        " u = Slice(x, a, b) v = Slice(z, c, e) w = Cast<to=1>(v) y = Mul(u, w) }", {}, {"x": (128,), "z": (128,)},
    ),
    "patches and a class token": (
        _VIT, {"w": (32, 3, 16, 16), "cls": (1, 1, 32), "pos": (1, 577, 32)}, {"pixel_values": (1, 3, 384, 384)},
    ),
    "positions of a spectrogram": (
        "(float[batch,80,encoder_sequence_length] input_features) => (float y) { "
        "c = Conv<pads=[1,1],strides=[2]>(input_features, w) t = Transpose<perm=[0,2,1]>(c) y = Add(t, p) }",
        {"w": (16, 80, 3), "p": (1500, 16)}, {"input_features": (1, 80, 3000)},
    ),
    "rows of a Reshape": ("(float[1,n] x) => (float y) <int64[2] s = {5, -1}> { y = Reshape(x, s) }", {}, {"x": (1, 130)}),
    "what is expanded": ("(float[b,s] x) => (float y) <int64[3] e = {2,5,48}> { y = Expand(x, e) }", {}, {"x": (1, 48)}),
    "what a number is expanded to": (
        "(float[b,s] x) => (float y) <int64[3] e = {2,1,48}> { n = ReduceMax(x) k = Expand(n, e) y = Add(k, x) }", {},
        {"x": (1, 48)},
    ),
    "windows of a Reshape": (
        "(float[N,3,H,W] x) => (float y) <int64[3] s = {1,8,-1}, int64[4] t = {1,8,13,-1}> {"
        " c = Conv<strides=[4,4]>(x, w) f = Reshape(c, s) y = Reshape(f, t) }",
        {"w": (8, 3, 4, 4)}, {"x": (1, 3, 208, 208)},
    ),
    "heads and their size": (
        _GQA, {"table": (1000, 64), "wq": (64, 96), "wk": (64, 48)},
        {"past_key_values.0.key": (1, 2, 0, 24), "past_key_values.0.value": (1, 2, 0, 24), "input_ids": (1, 128)},
    ),
    "a detector": (_YOLO, {"w": (8, 3, 3, 3), "v": (84, 11, 1, 1)}, {"images": (1, 3, 640, 640)}),
    "a window of samples": (_AUDIO, {"w": (8, 1, 400)}, {"x": (1, 16000)}),
    "latents": (
        "(float[batch,channels,height,width] sample) => (float y) { y = Conv(sample, w) }",
        {"w": (8, 4, 3, 3)}, {"sample": (1, 4, 64, 64)},
    ),
    "a prefill": (
        _LM.format(mask="total_sequence_length"), {"table": (100, 64)},
        {"input_ids": (1, 128), "past_key_values.0.key": (1, 4, 0, 16), "attention_mask": (1, 128)},
    ),
    "a prefill, its mask of another name": (
        _LM.format(mask="mask_length"), {"table": (100, 64)}, {"input_ids": (1, 128), "attention_mask": (1, 128)},
    ),
    "a decode step": (
        _LM.format(mask="PastPlus1"), {"table": (100, 64)},
        {"input_ids": (1, 1), "past_key_values.0.key": (1, 4, 128, 16), "attention_mask": (1, 129)},
    ),
    "an image without a rank": ("(float[] x) => (float y) { y = Conv(x, w) }", {"w": (8, 3, 3, 3)}, {"x": (1, 3, 224, 224)}),
    "tokens without a rank": ("(int64[] ids) => (float y) { y = Gather(table, ids) }", {"table": (100, 8)}, {"ids": (1, 128)}),
    "features without a rank": ("(float[] x) => (float y) { y = MatMul(x, w) }", {"w": (29, 4)}, {"x": (1, 29)}),
    "a line of text": (
        "(float[N,3,H,W] x) => (float[N,T,96] y) { a = Conv<strides=[2,1]>(x, w) b = GlobalAveragePool(a) y = Relu(b) }",
        {"w": (8, 3, 3, 3)}, {"x": (1, 3, 48, 320)},
    ),
}  # fmt: skip


def written(text: str, **weights: tuple[int, ...]) -> ModelProto:
    """The model, with the names that its text cannot have."""
    made = model(text, domains=', "com.microsoft" : 1', **weights)
    for value in made.graph.input:
        value.name = value.name.replace("DOT", ".")
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param:
                dim.dim_param = SYMBOLS.get(dim.dim_param, dim.dim_param)
    for node in made.graph.node:
        node.input[:] = [name.replace("DOT", ".") for name in node.input]
    return made


def shapes_of(made: ModelProto, **given: Any) -> dict[str, tuple[int, ...]]:
    return {tensor.name: tensor.shape for tensor in estimate(made, **given).graph.inputs}


@pytest.mark.parametrize("name", FITTED)
def test_what_is_assumed_fits_the_graph(name: str) -> None:
    text, weights, expected = FITTED[name]
    found = shapes_of(written(text, **weights))
    assert {key: found[key] for key in expected} == expected


def test_the_reason_names_the_node_that_decided() -> None:
    text, weights, _ = FITTED["rows of a Gemm"]
    dims = {dim.name: (dim.value, dim.source, dim.reason) for dim in estimate(written(text, **weights)).graph.dims}
    assert dims == {
        "N": (1, "assumed", ""),
        "H": (96, "assumed", "the first that fits Gemm_2"),
        "W": (96, "assumed", "the first that fits Gemm_2"),
    }


GIVEN: dict[str, tuple[str, dict[str, Any], Shapes]] = {
    "an input of the same role follows": (
        "(int64[a,b] ids, int64[c,d] mask) => (int64 y) { y = Mul(ids, mask) }",
        {"shapes": {"ids": (2, 16)}}, {"mask": (2, 16)},
    ),
    "a given size of inputs that are numbered follows": (
        "(float[1,?] x1, float[1,?] x2, float[1,?] other) => (float y) { y = Neg(x2) }", {"shapes": {"x1": (1, 48)}},
        {"x2": (1, 48), "other": (1, 128)},
    ),
    "an unnamed batch follows": (
        "(float[N,3,8,8] x, int64[?,2] sizes) => (float y) { y = Relu(x) }", {"dims": {"N": 4}}, {"sizes": (4, 2)},
    ),
    "a fixed length is followed": (
        "(int64[1,16] ids, int64[1,?] mask) => (int64 y) { y = Mul(ids, mask) }", {}, {"mask": (1, 16)},
    ),
    "a cache that is given makes a decode step": (
        _LM.format(mask="total_sequence_length"), {"dims": {"past_sequence_length": 255}},
        {"input_ids": (1, 1), "attention_mask": (1, 256)},
    ),
    "a total is the sum of the cache and of new tokens": (
        _LM.format(mask="total_sequence_length"), {"dims": {"past_sequence_length": 255, "sequence_length": 3}},
        {"attention_mask": (1, 258)},
    ),
    "a total of something else is no sum": (
        "(int64[b,sequence] ids, float[b,total_frames,8] x) => (float y) { y = Relu(x) }", {"dims": {"sequence": 7}},
        {"x": (1, 128, 8)},
    ),
    "a total that is given leaves the cache": (
        _LM.format(mask="total_sequence_length"), {"dims": {"total_sequence_length": 256, "sequence_length": 1}},
        {"past_key_values.0.key": (1, 4, 255, 16)},
    ),
    "an expression that is given leaves its part": (
        _LM.format(mask="Total"), {"dims": {SYMBOLS["Total"]: 256, "sequence_length": 1}},
        {"past_key_values.0.key": (1, 4, 255, 16)},
    ),
    "what is given is not moved": (_VIT, {"dims": {"height": 768}}, {"pixel_values": (1, 3, 768, 192)}),
}  # fmt: skip
WEIGHTS = {"table": (100, 64), "w": (32, 3, 16, 16), "cls": (1, 1, 32), "pos": (1, 577, 32)}


@pytest.mark.parametrize("name", GIVEN)
def test_what_is_given_moves_what_is_assumed(name: str) -> None:
    text, given, expected = GIVEN[name]
    found = shapes_of(
        written(text, **{key: dims for key, dims in WEIGHTS.items() if f"{key})" in text or f"{key}," in text}), **given
    )
    assert {key: found[key] for key in expected} == expected


def test_what_follows_from_given_dims_is_derived() -> None:
    made = written(_LM.format(mask="Total"), table=(100, 64))
    dims = estimate(made, dims={"batch": 1, "sequence_length": 1, "past_sequence_length": 7}).graph.dims
    assert {(dim.name, dim.value, dim.source) for dim in dims if dim.source != "given"} == {(SYMBOLS["Total"], 8, "derived")}


def test_the_phase_that_is_counted_is_said() -> None:
    report = estimate(written(_LM.format(mask="Total"), table=(100, 64)))
    text = "a prefill of 128 tokens is counted; use --dim sequence_length=1 --dim past_sequence_length=128 for a decode step"
    assert [caveat.text for caveat in report.caveats if caveat.kind == "note"] == [text]


@pytest.mark.parametrize("unnamed", [["past_sequence_length"], ["past_sequence_length", "sequence_length"]])
def test_a_phase_without_names_has_no_option(unnamed: list[str]) -> None:
    text = _LM.format(mask="mask_length")
    for name in unnamed:
        text = text.replace(name, "?")
    report = estimate(written(text, table=(100, 64)))
    assert [caveat.text for caveat in report.caveats if caveat.kind == "note"] == ["a prefill of 128 tokens is counted"]


def test_what_no_size_fits_is_refused_and_says_so() -> None:
    made = model("(float[N,3,H,W] x) => (float y) { a = Conv(x, w) y = Conv(a, v) }", w=(8, 3, 3, 3), v=(8, 9, 3, 3))
    with pytest.raises(
        ModelError, match=r"for 9 channels, not 8 .*\d+ other sizes were tried, and none fits\. Assumed sizes: N = 1"
    ):
        estimate(made)


def test_a_model_without_open_dims_is_refused_immediately() -> None:
    made = model("(float[1,4,8,8] x) => (float y) { y = Conv(x, w) }", w=(8, 3, 3, 3))
    with pytest.raises(ModelError, match=r"for 3 channels, not 4 \([^)]*\)$"):
        estimate(made)


DOCUMENTS: dict[str, tuple[str, dict[str, Any], dict[str, int]]] = {
    "config.json": (_VIT, {"image_size": 384}, {"height": 384, "width": 384}),
    "preprocessor_config.json": (_VIT, {"size": {"height": 384, "width": 384}}, {"height": 384, "width": 384}),
    "genai_config.json": (_GQA, {"model": {"decoder": {"num_key_value_heads": 2, "head_size": 24}}}, {"heads": 2, "size": 24}),
}


@pytest.mark.parametrize("folder", ["", "onnx"])
@pytest.mark.parametrize("name", DOCUMENTS)
def test_documents_next_to_the_model_are_used(name: str, folder: str, tmp_path: Path) -> None:
    text, document, expected = DOCUMENTS[name]
    (tmp_path / folder).mkdir(exist_ok=True)
    (tmp_path / name).write_text(json.dumps(document))
    weights = {**WEIGHTS, "table": (1000, 64), "wq": (64, 96), "wk": (64, 48)}
    used = {key: dims for key, dims in weights.items() if f"{key})" in text or f"{key}," in text}
    save(written(text, **used), tmp_path / folder / "model.onnx")
    dims = {dim.name: dim for dim in estimate(tmp_path / folder / "model.onnx").graph.dims}
    assert {key: dims[key].value for key in expected} == expected
    assert all(dims[key].reason.endswith(f" in {name}") for key in expected)


@pytest.mark.parametrize(
    "content", ["", "{", "[1]", '{"image_size": "large", "size": [1, 2, 3, 4]}', '{"image_size": -1}', "[" * 9999]
)
def test_a_document_that_says_nothing_is_passed_over(content: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(content)
    save(model("(float[N,3,H,W] x) => (float y) { y = Relu(x) }"), tmp_path / "model.onnx")
    assert [dim.value for dim in estimate(tmp_path / "model.onnx").graph.dims] == [1, 224, 224]


STATED = {
    "(int64[b,s] input_ids, float[b,encoder_len,16] encoder_hidden_states) => (float y) { y = Relu(encoder_hidden_states) }": (
        {"max_source_positions": 1500}, {"encoder_len": 1500},
    ),
    "(float[b,encoder_len_by_2,16] encoder_hidden_states) => (float y) { y = Relu(encoder_hidden_states) }": (
        {"max_source_positions": 1500}, {"encoder_len / 2": 1500, "encoder_len": 3000},
    ),
    "(float[b,s,3] past_values) => (float y) { y = Relu(past_values) }": ({"context_length": 64}, {"s": 64}),
}  # fmt: skip


@pytest.mark.parametrize(("text", "document", "expected"), [(text, *rest) for text, rest in STATED.items()])
def test_lengths_that_a_configuration_states(
    text: str, document: dict[str, int], expected: dict[str, int], tmp_path: Path
) -> None:
    made = model(text)
    for value in made.graph.input:
        for dim in value.type.tensor_type.shape.dim:
            dim.dim_param = dim.dim_param.replace("_by_", " / ")
    (tmp_path / "config.json").write_text(json.dumps(document))
    save(made, tmp_path / "model.onnx")
    dims = {dim.name: dim.value for dim in estimate(tmp_path / "model.onnx").graph.dims}
    assert expected.items() <= dims.items()


def test_the_size_in_the_metadata_is_believed() -> None:
    made = written(_YOLO, w=(8, 3, 3, 3), v=(84, 11, 1, 1))
    made.metadata_props.add(key="imgsz", value="[320, 416]")
    dims = {dim.name: (dim.value, dim.reason) for dim in estimate(made).graph.dims}
    assert (dims["height"], dims["width"]) == ((320, "imgsz in the model's metadata"), (416, "imgsz in the model's metadata"))


UNKNOWN = "(float[1,3,8,8] x) => (float y) { a = local.Mystery(x) y = Conv(a, w) }"


def test_the_shape_of_an_unknown_operators_output_can_be_given() -> None:
    made = model(UNKNOWN, domains=', "local" : 1', w=(4, 3, 1, 1))
    assert [cost.node.op_type for cost in estimate(made).uncounted] == ["Mystery", "Conv"]
    report = estimate(made, shapes={"a": (1, 3, 8, 8)})
    assert [cost.node.op_type for cost in report.uncounted] == ["Mystery"]
    assert report.macs == 4 * 3 * 64
    assert [(dim.name, dim.value, dim.source) for dim in report.graph.dims] == [
        (f"a[{i}]", n, "given") for i, n in enumerate((1, 3, 8, 8))
    ]


def test_the_shape_of_what_the_graph_knows_cannot() -> None:
    made = model("(float[1,3] x) => (float y) { a = Relu(x) y = Relu(a) }")
    with pytest.raises(InputError, match="the model has no input 'a': it has 'x'"):
        estimate(made, shapes={"a": (1, 3)})


def test_no_size_is_tried_that_no_tensor_can_have() -> None:
    made = model(f"(float[1,1,height,8] x) => (float y) {{ s = Constant<value_ints = [{2**63 - 1}, 3]>() y = Reshape(x, s) }}")
    with pytest.raises(ModelError, match=r"product overflow in Reshape .* none fits"):
        estimate(made)


def test_a_shape_without_a_name_fits_inputs_of_the_same_symbols() -> None:
    text = "(int64[{0}] ids, int64[{0}] mask, float[{0},4] x) => (int64[M,N] y) {{ y = Add(ids, mask) }}"
    named = model(text.format("b,s"))
    report = estimate(named, shapes=name_shape(named, {"": (2, 17)}))
    assert [tensor.dims for tensor in report.graph.inputs] == [(2, 17), (2, 17), (2, 17, 4)]
    for other in (text.format("?,?"), text.format("b,s").replace("int64[b,s] mask", "int64[b,t] mask")):
        with pytest.raises(InputError, match=r"--shape 2x17 fits 2 inputs: 'ids' \(\?x\?\), 'mask'"):
            name_shape(model(other), {"": (2, 17)})


LAYOUTS = {
    "N,H,W,C": "t = Transpose<perm = [0, 3, 1, 2]>(x) y = Conv(t, w)",
    "N,H,W,3": "t = Transpose<perm = [0, 3, 1, 2]>(x) y = Conv(t, w)",
    "N,C,H,W": "y = Conv(x, w)",
    "N,3,H,W": "y = Conv(x, w)",
    "H,W,3": "u = Unsqueeze<axes = [0]>(x) t = Transpose<perm = [0, 3, 1, 2]>(u) y = Conv(t, w)",
}
WRONG = {
    "N,H,W,C": ("1x3x16x24", "last", "1x16x24x3"),
    "N,H,W,3": ("1x3x16x24", "last", "1x16x24x3"),
    "N,C,H,W": ("1x16x24x3", "first", "1x3x16x24"),
    "N,3,H,W": ("1x16x24x3", "first", "1x3x16x24"),
    "H,W,3": ("3x16x24", "last", "16x24x3"),
}


@pytest.mark.parametrize("name", ["x", ""])
@pytest.mark.parametrize("dims", LAYOUTS)
def test_a_shape_in_the_other_layout_gets_a_hint(dims: str, name: str) -> None:
    given, where, wanted = WRONG[dims]
    made = model(f"(float[{dims}] x) => (float y) {{ {LAYOUTS[dims]} }}", opset=11, w=(8, 3, 3, 3))
    with pytest.raises(OnnxCostError, match=f"; its channels come {where}: --shape x={wanted}$"):
        estimate(made, shapes=name_shape(made, {name: tuple(map(int, given.split("x")))}))
    assert estimate(made, shapes={"x": tuple(map(int, wanted.split("x")))}).macs == 8 * 14 * 22 * 27


@pytest.mark.parametrize("sizes", [(0, 4), (2, 0), (0, 0)])
def test_a_cache_of_no_elements_is_counted_or_refused(sizes: tuple[int, int]) -> None:
    made = ModelProto.FromString(DECODER.SerializeToString())
    for value in made.graph.input[1:]:
        for axis, size in zip((1, 3), sizes, strict=True):
            value.type.tensor_type.shape.dim[axis].dim_value = size
    with suppress(OnnxCostError):
        estimate(made)
