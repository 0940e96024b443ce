"""What an open dim stands for: by its name, its input's name, type and other dims, and by what reads the input."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from onnx import TensorProto, ValueInfoProto, helper, save

from onnxcost import estimate
from onnxcost.frontend.assumptions import OpenDims
from onnxcost.frontend.dim_roles import ModelRoles
from onnxcost.frontend.node_index import NodeIndex
from onnxcost.frontend.stored_graphs import read_graphs
from tests.modeltext import model

FLOAT, UINT8, INT8, INT16, INT32, INT64, STRING = 1, 2, 3, 5, 6, 7, 8
Declared = dict[str, tuple[int, list[int | str | None]]]


def values_of(declared: Declared) -> list[ValueInfoProto]:
    return [helper.make_tensor_value_info(name, dtype, dims) for name, (dtype, dims) in declared.items()]


SYMBOLS = {
    "batch": "batch", "bs": "batch", "bsz": "batch", "num_graphs": "batch", "channels": "channels", "ch": "channels",
    "img_height": "height", "h": "height", "rows": "height", "width": "width", "w": "width", "cols": "width",
    "past_length": "past", "kv_len": "past", "kvseq": "past", "cache_size": "past", "num_samples": "samples",
    "num_nodes": "nodes", "n_atoms": "nodes", "n_edges": "edges", "num_voxels": "points", "num_keypoints0": "points",
    "num_patches": "patches", "num_rois": "other", "num_classes": "other", "n_res": "tokens", "n_graph": "batch",
    "mel_bins": "features", "n_mels": "features", "freq": "features", "head_dim": "head size", "headsize": "head size",
    "num_heads": "heads", "depth": "depth", "frames": "frames", "seq": "tokens", "length": "tokens", "time": "tokens",
    "phonemes": "tokens", "words": "tokens", "s": "tokens", "l": "tokens", "t": "tokens",
}  # fmt: skip


@pytest.mark.parametrize(("symbol", "kind"), SYMBOLS.items())
def test_a_name_says_what_a_dim_is(symbol: str, kind: str) -> None:
    """In an expression any other name is a length."""
    assert ModelRoles(NodeIndex(), []).role_of_symbol(symbol).kind == kind


def test_the_dims_of_a_cache_in_pages() -> None:
    read = ["q", "k", "v", "keys", "values", "starts", "pasts", "table"]
    node = helper.make_node("PagedAttention", read, ["y"], domain="com.microsoft", num_heads=8, kv_num_heads=2)
    declared: Declared = {
        "q": (FLOAT, ["tokens", 128]), "keys": (FLOAT, ["blocks", "block_size", 2, 16]),
        "starts": (INT32, ["seqs_1"]), "pasts": (INT32, ["seqs"]), "table": (INT32, ["seqs", "max_blocks"]),
    }  # fmt: skip
    inputs = values_of(declared)
    roles = ModelRoles(NodeIndex(read_graphs(helper.make_model(helper.make_graph([node], "g", inputs, [])))), inputs)
    places = [(value, axis, dim) for value in inputs for axis, dim in enumerate(declared[value.name][1])]
    found = {dim: roles.role(value, axis, dim).kind for value, axis, dim in places if isinstance(dim, str)}
    kinds = {"blocks": "other", "block_size": "page", "seqs": "batch", "seqs_1": "batch", "max_blocks": "other"}
    assert found == {"tokens": "tokens", **kinds}


IMAGE, VOLUME, CLIP = "an image of 224x224", "a volume of 96x96x96", "a clip of 16 images of 224x224"
TOKENS, SEQUENCE, NOTHING = "a text of 128 tokens", "a sequence of 128", "no further information"
CACHED, SECOND, HEADS, HEAD = "decode: 128 in the cache", "1 s of audio at 16 kHz", "heads of attention", "the size of a head"
POINTS, COLOR, LINE = "a point cloud", "a color image", "a line of text of {}x320"
NODES = "a graph of 32 nodes"
SQUARE, LATENTS = "a square image", "latents of an image of 512x512"

# The first input's type and dims, the inputs beside it; the size of each open dim, and its reason.
PLACES: dict[str, tuple[str, int, list[int | str | None], Declared, list[tuple[int, str]]]] = {
    "a cache of four dims": ("past", FLOAT, [None] * 4, {}, [(1, ""), (8, HEADS), (128, CACHED), (64, HEAD)]),
    "a cache of three dims": ("past", FLOAT, [None] * 3, {}, [(1, ""), (128, CACHED), (64, HEAD)]),
    "a cache of keys and values": ("past", FLOAT, [2, None, None, None, None], {},
                                   [(1, ""), (8, HEADS), (128, CACHED), (64, HEAD)]),
    "a cache of all layers": ("past", FLOAT, [None, 2, None, 8, None, 64], {}, [(1, ""), (1, ""), (128, CACHED)]),
    "a cache of integers": ("cache", INT8, [None] * 4, {}, [(1, ""), (8, HEADS), (128, CACHED), (64, HEAD)]),
    "a cache of unsigned integers": ("cache", UINT8, [1, 8, None, 64], {}, [(128, CACHED)]),
    "positions of a cache": ("cache_position", INT64, [1, None, 8], {}, [(128, TOKENS)]),
    "two dims are no cache": ("past", FLOAT, [1, None], {}, [(128, NOTHING)]),
    "a cache of which a length is open": ("present", FLOAT, [1, 8, None, 64], {}, [(128, CACHED)]),
    "a cache of which its heads are named": ("past", FLOAT, [1, "heads", None, "head_dim"], {},
                                             [(8, HEADS), (64, HEAD), (128, CACHED)]),
    "a cache of frames": ("past", FLOAT, [1, 8, "frames", 64], {}, [(128, CACHED)]),
    "a cache of a named length": ("past", FLOAT, [1, 8, "seq", 64], {}, [(128, CACHED)]),
    "a cache of another length": ("past", FLOAT, [1, 8, "width", 64], {}, [(1, NOTHING)]),
    "a cache of an encoder": ("past_encoder", FLOAT, [1, 8, None, 64], {}, [(128, SEQUENCE)]),
    "b for a batch": ("x", FLOAT, ["b", 3, 8, 8], {}, [(1, "")]),
    "b that is no batch": ("x", FLOAT, [1, "b", 8, 8], {}, [(3, COLOR)]),
    "b of a matrix": ("x", FLOAT, [1, "b"], {}, [(128, NOTHING)]),
    "n for a batch": ("x", FLOAT, ["n", 3], {}, [(1, "")]),
    "h of an image": ("x", FLOAT, [1, "h", 8, 3], {}, [(224, IMAGE)]),
    "h of a vector": ("x", FLOAT, ["h"], {}, [(128, SEQUENCE)]),
    "height of a vector": ("x", FLOAT, ["height"], {}, [(128, SEQUENCE)]),
    "t of a sequence": ("x", FLOAT, [1, "t", None], {}, [(128, SEQUENCE), (128, NOTHING)]),
    "frames of a clip": ("x", FLOAT, [1, 3, "frames", 64, 64], {}, [(16, "a clip")]),
    "a time of a clip": ("x", FLOAT, [1, 3, "time", 64, 64], {}, [(16, "a clip")]),
    "labels of points": ("point_labels", FLOAT, [1, None], {}, [(2, "a point and one of padding")]),
    "prompts of points": ("point_coords", FLOAT, ["n", 2, 2], {}, [(1, "")]),
    "points of four numbers": ("pts", FLOAT, [None, 4], {}, [(1024, POINTS)]),
    "points of two numbers": ("pts", FLOAT, [None, 2], {}, [(1024, POINTS)]),
    "points of nine numbers": ("lidar", FLOAT, [None, 9], {}, [(1024, POINTS)]),
    "ten numbers are no point": ("pts", FLOAT, [None, 10], {}, [(1, "")]),
    "one number is no point": ("pts", FLOAT, [None, 1], {}, [(1, "")]),
    "points of a batch": ("points", FLOAT, [1, None, 3], {}, [(1024, POINTS)]),
    "points, last": ("points", FLOAT, [1, 3, None], {}, [(1024, POINTS)]),
    "points of nine, last": ("points", FLOAT, [1, 9, None], {}, [(1024, POINTS)]),
    "a clip, channels last": ("x", FLOAT, [1, None, None, None, 3], {}, [(16, "a clip"), (224, CLIP), (224, CLIP)]),
    "a clip, channels first": ("x", FLOAT, [1, 3, None, None, None], {}, [(16, "a clip"), (224, CLIP), (224, CLIP)]),
    "a clip, images in front": ("x", FLOAT, [1, None, 1, None, None], {}, [(16, "a clip"), (224, CLIP), (224, CLIP)]),
    "a volume of one channel": ("x", FLOAT, [1, 1, None, None, None], {}, [(96, "a volume"), (96, VOLUME), (96, VOLUME)]),
    "a volume": ("x", FLOAT, [1, None, None, None, None], {}, [(3, COLOR), (96, "a volume"), (96, VOLUME), (96, VOLUME)]),
    "three channels in front": ("x", FLOAT, [3, None, None], {}, [(224, IMAGE), (224, IMAGE)]),
    "four channels in front": ("x", FLOAT, [4, None, None], {}, [(224, IMAGE), (224, IMAGE)]),
    "five layers of a state": ("x", FLOAT, [5, None, 64], {}, [(1, "")]),
    "a state by its name": ("h0", FLOAT, [1, None, 64], {}, [(1, "")]),
    "a state of open features": ("x", FLOAT, [2, None, None], {}, [(1, ""), (1, NOTHING)]),
    "a sequence of known features": ("x", FLOAT, [1, None, 80], {}, [(128, SEQUENCE)]),
    "frames of known features": ("x", FLOAT, [1, 80, None], {}, [(128, SEQUENCE)]),
    "a sequence of open features": ("x", FLOAT, [1, None, None], {}, [(128, SEQUENCE), (128, NOTHING)]),
    "words": ("x", STRING, [1, None], {}, [(128, TOKENS)]),
    "six dims": ("x", FLOAT, [1, None, 2, 2, 2, 2], {}, [(1, NOTHING)]),
    "a sound": ("audio", FLOAT, [None], {}, [(16000, SECOND)]),
    "a sound of 16 bits": ("audio", INT16, [1, None], {}, [(16000, SECOND)]),
    "a sound of two channels": ("audio", FLOAT, [None, 2, None], {}, [(1, ""), (16000, SECOND)]),
    "a sound of open channels": ("audio", FLOAT, [1, None, None], {}, [(1, NOTHING), (16000, SECOND)]),
    "three channels are no sound": ("audio", FLOAT, [1, 3, None], {}, [(128, SEQUENCE)]),
    "four dims are no sound": ("audio", FLOAT, [1, 1, 1, None], {}, [(320, LINE.format(1))]),
    "codes are no sound": ("audio", INT64, [1, None], {}, [(128, TOKENS)]),
    "a sound of a rate": ("x", FLOAT, [1, None], {"sampling_rate": (INT64, [])}, [(16000, SECOND)]),
    "three dims beside a rate": ("x", FLOAT, [1, None, None], {"sr": (INT64, [])}, [(128, SEQUENCE), (128, NOTHING)]),
    "a chunk": ("audio", FLOAT, [1, None], {"state": (FLOAT, [2, 1, 64])}, [(512, "a chunk of 32 ms at 16 kHz")]),
    "a vector is no state": ("audio", FLOAT, [1, None], {"state": (FLOAT, [2])}, [(16000, SECOND)]),
    "a known side": ("x", FLOAT, [1, 3, None, 65], {}, [(65, SQUARE)]),
    "a known height": ("x", FLOAT, [1, 3, 65, None], {}, [(65, SQUARE)]),
    "a known side, channels last": ("x", FLOAT, [1, None, 416, 3], {}, [(416, SQUARE)]),
    "a known height, channels last": ("x", FLOAT, [1, 416, None, 3], {}, [(416, SQUARE)]),
    "a line of text": ("x", FLOAT, [1, 3, 64, None], {}, [(320, LINE.format(64))]),
    "a narrow image": ("x", FLOAT, [1, 3, None, 64], {}, [(224, IMAGE)]),
    "latents": ("z", FLOAT, [1, 4, None, None], {}, [(64, LATENTS), (64, LATENTS)]),
    "an image by that name": ("sample", FLOAT, [1, 3, None, None], {}, [(224, IMAGE), (224, IMAGE)]),
    "nodes of a graph": ("x", FLOAT, [None, 16], {"edge_index": (INT64, [2, 8])}, [(32, "a graph of 32 nodes")]),
    "edges of a graph": ("edge_attr", FLOAT, [None, 16], {"edge_index": (INT64, [2, 8])}, [(128, "4 edges per node")]),
    "an adjacency matrix": ("adj", FLOAT, [None, None], {"x": (FLOAT, [None, 16])}, [(32, NODES)] * 3),
    "an adjacency matrix of one letter": ("A", FLOAT, ["n", "n"], {"x": (FLOAT, ["n", 16])}, [(32, NODES)]),
    "matrices of a batch": ("adjacency", FLOAT, [None] * 3, {"x": (FLOAT, [None, None, 16])},
                            [(1, ""), (32, NODES), (32, NODES), (1, ""), (32, NODES)]),
    "a matrix that is not square is none of a graph": ("adj", FLOAT, [1, None, 9], {}, [(128, SEQUENCE)]),
    "nodes by the ends of edges": ("h", FLOAT, [None, 16], {"src": (INT64, ["e"]), "dst": (INT64, ["e"])},
                                   [(128, "4 edges per node"), (32, NODES)]),
    "residues of a graph": ("kinds", INT64, ["residues"], {"edge_index": (INT64, [2, 8])}, [(32, NODES)]),
    "one source is no edge": ("src", INT64, [1, "t"], {}, [(128, TOKENS)]),
    "a batch by the count of its sounds": ("mel", FLOAT, ["n_audio", 80, 3000], {}, [(1, "")]),
    "frames of a spectrogram": ("feat_spec", FLOAT, [1, 2, None, 96], {}, [(128, SEQUENCE)]),
    "frames beside the bins of a transform": ("mix", FLOAT, [1, 257, None, 2], {}, [(128, SEQUENCE)]),
    "bins, then time": ("mel", FLOAT, [1, 1, "f", "t"], {}, [(80, "80 mel bins"), (128, SEQUENCE)]),
    "time, then bins": ("mel", FLOAT, [1, 1, "time", "x"], {}, [(128, SEQUENCE), (80, "80 mel bins")]),
    "features of three channels are an image": ("features", FLOAT, [1, 3, None, None], {}, [(224, IMAGE), (224, IMAGE)]),
    "features of an image": ("image_features", FLOAT, [1, 1, None, None], {}, [(224, IMAGE), (224, IMAGE)]),
    "parts of an image": ("x", FLOAT, [2, "num_parts", 512, 512], {}, [(1, NOTHING)]),
    "texts of several choices": ("ids", INT64, [1, None, None], {}, [(1, NOTHING), (128, TOKENS)]),
    "tokens of each codebook": ("codes", INT64, [1, "num_codebooks", "length"], {}, [(1, NOTHING), (128, TOKENS)]),
    "channels of a signal": ("x", FLOAT, [1, "channels", "times"], {}, [(1, "one channel"), (128, SEQUENCE)]),
    "channels of an image": ("x", FLOAT, [1, "channels", 8, 8], {}, [(3, COLOR)]),
    "frames of a skeleton": ("x", FLOAT, [1, 3, None, 17], {}, [(128, SEQUENCE)]),
    "frequencies in front": ("stft", FLOAT, [1, "f", "t", 2], {}, [(80, "80 mel bins"), (128, SEQUENCE)]),
    "patches that are denoised": ("hidden_states", FLOAT, [1, "length", 64], {"timestep": (FLOAT, [1])},
                                  [(1024, "an image of 512x512 in patches of 16x16")]),
    "a prompt": ("encoder_hidden_states", FLOAT, [1, "s", 768], {"timestep": (INT64, [])}, [(77, "a prompt of 77 tokens")]),
    "what an encoder makes": ("encoder_hidden_states", FLOAT, [1, "s", 768], {}, [(128, SEQUENCE)]),
    "three dims beside a graph": ("x", FLOAT, [None, 4, 16], {"edge_index": (INT64, [2, 8])}, [(1, "")]),
    "frames of two coordinates": ("x", FLOAT, [1, 2, None, 25], {}, [(128, SEQUENCE)]),
    "coordinates of sixteen points are an image": ("x", FLOAT, [1, 3, None, 16], {}, [(224, IMAGE)]),
    "four channels are no coordinates": ("x", FLOAT, [1, 4, None, 17], {}, [(224, IMAGE)]),
    "a batch by the count of its parts": ("x", FLOAT, ["num_parts", 3, 8, 8], {}, [(1, "")]),
    "the last dim is no count": ("x", FLOAT, [2, 3, 8, "num_parts"], {}, [(320, LINE.format(8))]),
    "a cache with its length in front": ("past", FLOAT, [1, "s", "q", 64], {}, [(128, CACHED), (64, HEAD)]),
    "a cache with its length behind": ("past", FLOAT, [1, "q", "s", 64], {}, [(8, HEADS), (128, CACHED)]),
    "a cache of n": ("past", FLOAT, ["n", 8, None, 64], {}, [(1, ""), (128, CACHED)]),
    "a cache of an open size of a head": ("past", FLOAT, [1, 8, "past_len", None], {}, [(128, CACHED), (64, HEAD)]),
    "a cache of four layers": ("past", FLOAT, [4, "batch_size", 8, None, 64], {}, [(1, ""), (128, CACHED)]),
    "ten channels are no points": ("points", FLOAT, [1, 10, None], {}, [(128, SEQUENCE)]),
    "one channel is no point": ("points", FLOAT, [1, 1, None], {}, [(128, SEQUENCE)]),
    "width of a vector": ("x", FLOAT, ["width"], {}, [(128, SEQUENCE)]),
    "a spectrogram of open dims": ("mel", FLOAT, [1, 1, None, None], {}, [(80, "80 mel bins"), (128, SEQUENCE)]),
    "a spectrogram of complex numbers": ("mel", FLOAT, [1, 2, None, None], {}, [(80, "80 mel bins"), (128, SEQUENCE)]),
    "time before known bins": ("mel", FLOAT, [1, 1, None, 80], {}, [(128, SEQUENCE)]),
    "time after known bins": ("mel", FLOAT, [1, 1, 80, None], {}, [(128, SEQUENCE)]),
    "four channels are no spectrogram": ("mel", FLOAT, [1, 4, None, None], {}, [(224, IMAGE), (224, IMAGE)]),
    "bins of the shortest transform": ("x", FLOAT, [1, 65, None, 1], {}, [(128, SEQUENCE)]),
    "65 rows are an image": ("x", FLOAT, [1, None, 65, 1], {}, [(65, SQUARE)]),
    "time before the bins of a transform": ("x", FLOAT, [1, 1, None, 129], {}, [(128, SEQUENCE)]),
    "a batch of sounds": ("audio", FLOAT, ["samples", 4], {}, [(1, "")]),
    "a sound of one channel": ("audio", FLOAT, [1, 1, None], {}, [(16000, SECOND)]),
    "the length of a sound": ("audio_len", FLOAT, [1, None], {}, [(128, NOTHING)]),
    "one letter, alone": ("x", FLOAT, ["n"], {}, [(128, SEQUENCE)]),
    "one letter of a matrix": ("x", FLOAT, ["n", None], {}, [(1, ""), (128, NOTHING)]),
    "a state of open dims": ("h", FLOAT, [None] * 3, {}, [(1, ""), (1, ""), (1, NOTHING)]),
    "a clip of three channels, images in front": ("x", FLOAT, [1, None, 3, 8, 8], {}, [(16, "a clip")]),
    "two channels are no clip": ("x", FLOAT, [1, 2, None, 8, 8], {}, [(96, "a volume")]),
    "a series": ("past_values", FLOAT, [1, None, 8], {}, [(128, SEQUENCE)]),
    "one number for each row": ("speed", FLOAT, [None], {"ids": (INT64, [1, 8])}, [(1, NOTHING)]),
}  # fmt: skip


@pytest.mark.parametrize(("name", "dtype", "dims", "others", "expected"), PLACES.values(), ids=PLACES.keys())
def test_the_place_says_what_a_dim_is(
    name: str, dtype: int, dims: list[int | str | None], others: Declared, expected: list[tuple[int, str]]
) -> None:
    bound = OpenDims(values_of({name: (dtype, dims), **others}), {}, {}).bind()
    assert [(dim.value, dim.reason) for dim in bound] == expected


ML = ', "ai.onnx.ml" : 3'
TREE = """ai.onnx.ml.TreeEnsembleClassifier<nodes_treeids = [0,0,0], nodes_nodeids = [0,1,2], nodes_featureids = [4,0,0],
    nodes_values = [0.5,0.0,0.0], nodes_modes = ["BRANCH_LEQ","LEAF","LEAF"], nodes_truenodeids = [1,0,0],
    nodes_falsenodeids = [2,0,0], class_treeids = [0,0], class_nodeids = [1,2], class_ids = [0,1], class_weights = [1.0,1.0],
    classlabels_int64s = [0,1]>(x)"""
SVM = """ai.onnx.ml.SVMClassifier<coefficients = [1.0,1.0,1.0], support_vectors = [1.0,1.0,1.0,1.0,1.0,1.0], rho = [0.5],
    vectors_per_class = [1,2], classlabels_ints = [0,1], kernel_type = "RBF", kernel_params = [0.5,0.0,3.0]>(x)"""
# The inputs, the outputs, the nodes, weights; the dims of the first input.
GRAPHS: dict[str, tuple[str, str, str, dict[str, tuple[int, ...]], tuple[int, ...]]] = {
    "an image of one dim less, channels last": (
        "float[?,?,3] x", "float y", "u = Unsqueeze(x, z) t = Transpose<perm = [0, 3, 1, 2]>(u) y = Conv(t, w)",
        {"w": (8, 3, 3, 3)}, (224, 224, 3),
    ),
    "an image of one dim less that is resized first": (
        "float[?,?,3] x", "float y", "y = Resize(x, , three)", {}, (224, 224, 3),
    ),
    "an image whose weight is a node's": (
        "float[?,?,3] x", "float y",
        "k = Constant<value = float[1,3,1,1] {1, 1, 1}>() u = Unsqueeze(x, z) t = Transpose<perm = [0, 3, 1, 2]>(u) "
        "y = Conv(t, k)", {}, (224, 224, 3),
    ),
    "three features that no image has": ("float[?,?,3] x", "float y", "y = MatMul(x, w)", {"w": (3, 8)}, (1, 128, 3)),
    "a sound that is convolved": ("float[1,?] x", "float y", "u = Unsqueeze(x, one) y = Conv(u, w)", {"w": (8, 1, 400)},
                                  (1, 16000)),
    "a sound of two channels that is convolved": ("float[1,2,?] x", "float y", "y = Conv(x, w)", {"w": (8, 2, 400)},
                                                  (1, 2, 16000)),
    "channels that are no sound": ("float[1,?,?] x", "float y", "y = Conv(x, w)", {"w": (8, 3, 4)}, (1, 3, 128)),
    "a sound that is transformed": ("float[1,?,1] x", "float y", "f = Squeeze(x, two) u = Unsqueeze(f, two) y = Relu(u)", {},
                                    (1, 128, 1)),
    "a line of text that is classified": (
        "float[N,3,H,W] x", "float[N,96] y", "a = Conv<strides = [2, 1]>(x, w) b = GlobalAveragePool(a) y = Flatten(b)",
        {"w": (96, 3, 3, 3)}, (1, 3, 48, 192),
    ),
    "a line of text that is read": (
        "float[N,3,H,W] x", "float[N,T,96] y", "a = MaxPool<strides = [2, 1], kernel_shape = [2, 1]>(x) y = Relu(a)", {},
        (1, 3, 48, 320),
    ),
    "an image whose width is halved": (
        "float[N,3,H,W] x", "float[N,96] y", "a = Conv<strides = [1, 2]>(x, w) b = GlobalAveragePool(a) y = Flatten(b)",
        {"w": (96, 3, 3, 3)}, (1, 3, 224, 224),
    ),
    "a line of text that a recurrent layer reads": (
        "float[N,3,H,W] x", "float[N,T,96] y",
        "a = MaxPool<strides = [2, 1], kernel_shape = [2, 1]>(x) c = Reshape(a, steps) l = LSTM<hidden_size = 8>(c, v, v) "
        "y = Relu(l)",
        {"v": (1, 32, 8)}, (1, 3, 32, 320),
    ),
    "a volume, channels last": (
        "float[N,?,?,?,1] x", "float y", "t = Transpose<perm = [0, 4, 1, 2, 3]>(x) y = Conv(t, w)", {"w": (8, 1, 3, 3, 3)},
        (1, 96, 96, 96, 1),
    ),
    "a depth map": (
        "float[N,3,H,W] x", "float[N,p,q] y",
        "a = Resize(x, , twice) c = Concat<axis = 1>(a, a) b = Conv(c, w) y = Squeeze(b, one)",
        {"w": (1, 6, 1, 1)}, (1, 3, 384, 384),
    ),
    "a depth map by its name": (
        "float[N,3,H,W] x", "float predicted_depth, float v", "predicted_depth = Relu(x) v = Neg(x)", {}, (1, 3, 384, 384),
    ),
    "codes of an image": ("int64[N,height,width] x", "float y", "y = Gather(w, x)", {"w": (50, 8)}, (1, 32, 32)),
    "latents that are made": ("float[N,?,H,W] sample", "float latents", "latents = Conv(sample, w)", {"w": (8, 3, 1, 1)},
                              (1, 3, 512, 512)),
    "an enlargement of what a matrix made, with its bias in front": (
        "float[N,3,H,W] x", "float[N,21,p,q] y",
        "c = Conv(x, w) t = Transpose<perm = [0, 2, 3, 1]>(c) m = MatMul(t, k) a = Add(b, m) "
        "s = Transpose<perm = [0, 3, 1, 2]>(a) u = Resize(s, , twice) y = Conv(u, v)",
        {"w": (8, 3, 1, 1), "k": (8, 8), "b": (8,), "v": (21, 8, 1, 1)}, (1, 3, 512, 512),
    ),
    "boxes of PaddleDetection": ("float[N,3,H,W] x, float[N,2] scale_factor", "float y, float v",
                                 "y = Relu(x) v = Neg(scale_factor)", {}, (1, 3, 640, 640)),
    "positions that are counted": (
        "int64[N,T] ids", "float y", "c = CumSum(ids, two) o = Add(c, one) y = Gather(w, o)", {"w": (66, 8)}, (1, 64),
    ),
    "positions that are counted, more than are usual": (
        "int64[N,T] ids", "float y", "c = CumSum(ids, two) o = Add(c, one) y = Gather(w, o)", {"w": (514, 8)}, (1, 128),
    ),
    "boxes": ("float[N,3,H,W] x", "float boxes, float v", "boxes = Relu(x) v = Neg(x)", {}, (1, 3, 640, 640)),
    "boxes alone": ("float[N,3,H,W] x", "float boxes", "boxes = Relu(x)", {}, (1, 3, 224, 224)),
    "two outputs": ("float[N,3,H,W] x", "float y, float v", "y = Relu(x) v = Neg(x)", {}, (1, 3, 224, 224)),
    "boxes that are suppressed": (
        "float[N,3,H,W] x, float[1,5,4] b, float[1,2,5] s", "float y, int64 k",
        "y = Relu(x) k = NonMaxSuppression(b, s)", {}, (1, 3, 640, 640),
    ),
    "a pyramid": (
        "float[N,3,H,W] x", "float y, float v",
        "u = Resize(x, , twice) d = MaxPool<kernel_shape = [1, 1]>(u) y = Concat<axis = 1>(u, d) v = Neg(x)", {},
        (1, 3, 640, 640),
    ),
    "an enlargement": ("float[N,3,H,W] x", "float[N,3,p,q] y", "u = Resize(x, , twice) y = Conv(u, w)", {"w": (3, 3, 1, 1)},
                       (1, 3, 224, 224)),
    "a mask whose rank the file does not say": (
        "float[N,3,H,W] x", "float y", "a = ConvTranspose(x, w) c = Identity(a) y = Sigmoid(c)", {"w": (3, 1, 2, 2)},
        (1, 3, 640, 640),
    ),
    "a line of text that is classified, by the weight of its Gemm": (
        "float[N,3,H,W] x", "float y",
        "a = Conv<strides = [2, 1]>(x, w) b = GlobalAveragePool(a) f = Flatten(b) g = Gemm(f, v) y = Softmax(g)",
        {"w": (96, 3, 3, 3), "v": (96, 2)}, (1, 3, 48, 192),
    ),
    "a table of positions that is resized to the image": (
        "float[N,3,H,W] x", "float[N,T,8] y",
        "c = Conv<strides = [16, 16]>(x, w) t = Transpose<perm = [0, 3, 1, 2]>(p) u = Resize(t, , twice) "
        "j = Concat<axis = 2>(c, u) f = Flatten<axis = 2>(j) y = Unsqueeze(f, z)",
        {"w": (8, 3, 16, 16), "p": (1, 7, 7, 8)}, (1, 3, 224, 224),
    ),
    "names that PyTorch makes of the input's": (
        "int64[tokens_dynamic_axes_1,tokens_dynamic_axes_2] tokens", "float y", "y = Gather(w, tokens)", {"w": (50, 8)},
        (1, 128),
    ),
    "a cache with such names": (
        "float[past_key_dynamic_axes_1,4,past_key_dynamic_axes_2,16] past_key, float[1,4,7,16] k", "float y",
        "y = Concat<axis = 2>(past_key, k)", {}, (1, 4, 128, 16),
    ),
    "sounds of several channels that are convolved one by one": (
        "float[N,?,T] x", "float y", "y = Conv<group = 16>(x, w)", {"w": (16, 1, 5)}, (1, 16, 128),
    ),
    "a signal that is none by its weight": ("float[N,?,T] signal", "float y", "y = Conv(signal, w)", {"w": (8, 64, 3)},
                                            (1, 64, 128)),
    "a clip by the channels of its weight": ("float[N,?,t,h,w] x", "float y", "y = Conv(x, w)", {"w": (8, 3, 3, 3, 3)},
                                             (1, 3, 16, 224, 224)),
    "an enlargement by the channels of its weight": (
        "float[N,?,H,W] x", "float y", "a = Conv(x, w) u = Resize(a, , twice) y = Conv(u, v)",
        {"w": (8, 3, 1, 1), "v": (3, 8, 1, 1)}, (1, 3, 224, 224),
    ),
    "points by the weight behind them": ("float[N,?,P] points", "float y", "y = Conv(points, w)", {"w": (8, 3, 1)},
                                         (1, 3, 1024)),
    "a window over all rows": (
        "float[N,1,?,?] x", "float y",
        "a = Conv(x, v) b = Conv(a, w) c = MaxPool<kernel_shape = [1, 8], strides = [1, 8]>(b) f = Flatten(c) y = Gemm(f, k)",
        {"v": (4, 1, 1, 65), "w": (8, 4, 22, 1), "k": (8 * 24, 4)}, (1, 1, 22, 256),
    ),
    "points by their coordinates": ("float[B,N,3] xyz", "float y", "y = MatMul(xyz, w)", {"w": (3, 8)}, (1, 1024, 3)),
    "an enlargement to classes": ("float[N,3,H,W] x", "float[N,c,p,q] y", "u = Resize(x, , twice) y = Conv(u, w)",
                                  {"w": (21, 3, 1, 1)}, (1, 3, 512, 512)),
    "a tree": ("float[N,f] x", "int64 y", f"y, p = {TREE}", {}, (1, 5)),
    "support vectors": ("float[N,f] x", "int64 y", f"y, p = {SVM}", {}, (1, 2)),
    "a scale that all features share": ("float[N,f] x", "float y", "y = ai.onnx.ml.Scaler<scale = [2.0], offset = [0.0]>(x)",
                                        {}, (1, 128)),
    "values for what is missing": ("float[N,f] x", "float y",
                                   "y = ai.onnx.ml.Imputer<imputed_value_floats = [1.0,2.0,3.0]>(x)", {}, (1, 3)),
    "indices behind a Cast": ("float[1,?] x", "float y", "c = Cast<to = 7>(x) y = Gather(w, c)", {"w": (50, 8)}, (1, 128)),
}  # fmt: skip
CONSTANTS = (
    "int64[1] z = {0}, int64[1] one = {1}, int64[1] two = {2}, float[3] three = {1, 1, 1}, float[4] twice = {1,1,2,2}, "
    "int64[3] steps = {-1,1,8}"
)


@pytest.mark.parametrize(("inputs", "outputs", "nodes", "weights", "dims"), GRAPHS.values(), ids=GRAPHS.keys())
def test_what_reads_an_input_says_what_its_dims_are(
    inputs: str, outputs: str, nodes: str, weights: dict[str, tuple[int, ...]], dims: tuple[int, ...]
) -> None:
    made = model(f"({inputs}) => ({outputs}) <{CONSTANTS}> {{ {nodes} }}", domains=ML, **weights)
    assert estimate(made).graph.inputs[0].dims == dims


@pytest.mark.parametrize(
    ("name", "dims", "document", "expected"),
    [
        ("encoder_hidden_states", "1,s,8", {"max_source_positions": 1500}, 1500),
        ("past_values", "1,s", {"context_length": 24}, 24),
        ("ids", "1,s", {"max_position_embeddings": 64}, 64),
        ("ids", "1,s", {"max_position_embeddings": 512}, 128),
        ("past", "1,heads,7,8", {"hidden_size": 96, "num_attention_heads": 6}, 6),
        ("past", "1,3,7,head_size", {"hidden_size": 96, "num_attention_heads": 6}, 16),
    ],
)
def test_a_document_next_to_the_model_states_a_length(
    name: str, dims: str, document: dict[str, int], expected: int, tmp_path: Path
) -> None:
    save(model(f"(float[{dims}] {name}) => (float y) {{ y = Relu({name}) }}"), tmp_path / "model.onnx")
    (tmp_path / "config.json").write_text(json.dumps(document))
    (dim,) = estimate(tmp_path / "model.onnx").graph.dims
    assert (dim.value, dim.reason.endswith(" in config.json")) == (expected, expected != 128)


def test_weights_of_16_bits_are_looked_up_where_they_are_dequantized() -> None:
    made = model("(float[a,b,c,d] x) => (float y) { f = Cast<to = 1>(w) y = Conv(x, f) }", w=(8, 5, 3, 3))
    made.graph.initializer[0].data_type = TensorProto.FLOAT16
    made.graph.initializer[0].raw_data = bytes(2 * 8 * 5 * 9)
    assert estimate(made).graph.inputs[0].dims == (1, 5, 224, 224)
