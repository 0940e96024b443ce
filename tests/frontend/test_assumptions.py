"""Open dims: what is given is taken, what is open is assumed by role, what does not fit is refused."""

from __future__ import annotations

import pytest
from onnx import helper

from onnxcost import estimate
from onnxcost.errors import InputError
from onnxcost.frontend.assumptions import OpenDims
from tests.modeltext import model

FLOAT, INT64 = 1, 7


def inputs(**declared: tuple[int, list[int | str | None]]) -> list[helper.ValueInfoProto]:
    return [helper.make_tensor_value_info(name, dtype, dims) for name, (dtype, dims) in declared.items()]


def shapes_of(values: list[helper.ValueInfoProto]) -> dict[str, list[int]]:
    return {value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim] for value in values}


ASSUMED = {
    "image, NCHW": ({"x": (FLOAT, ["N", 3, "H", "W"])}, {"x": [1, 3, 224, 224]}),
    "image, NHWC": ({"x": (FLOAT, [None, None, None, 3])}, {"x": [1, 224, 224, 3]}),
    "image, unnamed NCHW": ({"x": (FLOAT, [None, 3, None, None])}, {"x": [1, 3, 224, 224]}),
    "image, exporter's names": ({"x": (FLOAT, ["unk__1", "unk__2", "unk__3", 3])}, {"x": [1, 224, 224, 3]}),
    "CHW": ({"x": (FLOAT, [3, None, None])}, {"x": [3, 224, 224]}),
    "height alone": ({"x": (FLOAT, [1, 3, "height", 640])}, {"x": [1, 3, 640, 640]}),
    "tokens": ({"ids": (INT64, ["batch", "sequence"])}, {"ids": [1, 128]}),
    "tokens, unnamed": ({"ids": (INT64, [None, None])}, {"ids": [1, 128]}),
    "features of a sequence": ({"x": (FLOAT, [None, None, 80])}, {"x": [1, 128, 80]}),
    "features of one sequence": ({"x": (FLOAT, [1, None, 80])}, {"x": [1, 128, 80]}),
    "a recurrent state": ({"state": (FLOAT, [None, None, 64])}, {"state": [1, 1, 64]}),
    "a recurrent state of two layers": ({"x": (FLOAT, [2, None, 64])}, {"x": [2, 1, 64]}),
    "h and c": ({"h0": (FLOAT, [1, None, 64]), "c_n": (FLOAT, [1, None, 64])}, {"h0": [1, 1, 64], "c_n": [1, 1, 64]}),
    "a name that names nothing": ({"x": (FLOAT, ["?", 3, "?", "?"])}, {"x": [1, 3, 224, 224]}),
    "what is no expression": ({"x": (FLOAT, ["1()", "a" * 5000])}, {"x": [1, 128]}),
    "no role": ({"x": (FLOAT, ["a", "b"])}, {"x": [1, 128]}),
    "an exporter's -1": ({"x": (FLOAT, [-1, 10])}, {"x": [1, 10]}),
    "an expression": (
        {
            "mask": (INT64, ["batch", "past + sequence"]),
            "past": (FLOAT, [1, "past", 64]),
            "ids": (INT64, ["batch", "sequence"]),
        },
        {"mask": [1, 128], "past": [1, 0, 64], "ids": [1, 128]},
    ),
    "a total": (
        {
            "ids": (INT64, ["b", "sequence"]),
            "past": (FLOAT, ["b", 8, "past_sequence", 64]),
            "m": (INT64, ["b", "total_sequence"]),
        },
        {"ids": [1, 128], "past": [1, 8, 0, 64], "m": [1, 128]},
    ),
    "a volume": ({"x": (FLOAT, ["N", 1, "D", "H", "W"])}, {"x": [1, 1, 96, 96, 96]}),
    "a video": ({"x": (FLOAT, ["N", 3, "T", "H", "W"])}, {"x": [1, 3, 16, 224, 224]}),
    "a video, images in front": ({"x": (FLOAT, ["b", None, 3, None, None])}, {"x": [1, 16, 3, 224, 224]}),
    "a letter elsewhere": ({"x": (FLOAT, ["a", "b", "c", "d"])}, {"x": [1, 3, 224, 224]}),
    "a square image": ({"x": (FLOAT, [1, 3, None, 416])}, {"x": [1, 3, 416, 416]}),
    "a line of text": ({"x": (FLOAT, [None, 1, 32, None])}, {"x": [1, 1, 32, 320]}),
    "samples by name": ({"waveforms": (FLOAT, ["batch", "N"])}, {"waveforms": [1, 16000]}),
    "samples by a rate": ({"input": (FLOAT, [None, None]), "sr": (INT64, [])}, {"input": [1, 16000], "sr": []}),
    "samples of channels": ({"audio": (FLOAT, ["batch", 1, "time"])}, {"audio": [1, 1, 16000]}),
    "features are no samples": ({"audio_features": (FLOAT, ["batch", 80, "time"])}, {"audio_features": [1, 80, 128]}),
    "a graph": (
        {"x": (FLOAT, [None, 16]), "edge_index": (INT64, [2, None]), "edge_attr": (FLOAT, [None, 4]), "batch": (INT64, [None])},
        {"x": [32, 16], "edge_index": [2, 128], "edge_attr": [128, 4], "batch": [32]},
    ),
    "a graph by names": (
        {"x": (FLOAT, ["num_nodes", 16]), "e": (INT64, [2, "num_edges"])},
        {"x": [32, 16], "e": [2, 128]},
    ),
    "graphs of a batch": (
        {"x": (FLOAT, ["num_nodes", 8]), "edge_index": (INT64, [2, "num_edges"]), "slots": (INT64, ["num_graphs"])},
        {"x": [32, 8], "edge_index": [2, 128], "slots": [1]},
    ),
    "vectors alone are sequences": (
        {"durations": (INT64, ["N"]), "pitches": (FLOAT, [None])},
        {"durations": [128], "pitches": [128]},
    ),
    "a vector beside a matrix has one number for each row": (
        {"ids": (INT64, ["N", "s"]), "speaker": (INT64, ["N"]), "speed": (FLOAT, [None])},
        {"ids": [1, 128], "speaker": [1], "speed": [1]},
    ),
    "a chunk of a stream": (
        {"input": (FLOAT, [None, None]), "state": (FLOAT, [2, None, 128]), "sr": (INT64, [])},
        {"input": [1, 512], "state": [2, 1, 128], "sr": []},
    ),
    "frames and features": ({"x": (FLOAT, [None, None, None])}, {"x": [1, 128, 128]}),
    "points": ({"points": (FLOAT, ["b", None, 3])}, {"points": [1, 1024, 3]}),
    "points of a prompt": ({"point_coords": (FLOAT, [1, "num_points", 2])}, {"point_coords": [1, 2, 2]}),
    "latents": ({"latent_sample": (FLOAT, ["b", 4, "height", "width"])}, {"latent_sample": [1, 4, 64, 64]}),
    "a cache is no image": (
        {"past_key_values.0.key": (FLOAT, ["b", None, None, None])},
        {"past_key_values.0.key": [1, 8, 128, 64]},
    ),
    "a cache, its length in the middle": ({"past_key_0": (FLOAT, ["b", None, 8, 64])}, {"past_key_0": [1, 128, 8, 64]}),
    "a cache of an encoder": (
        {
            "decoder_input_ids": (INT64, ["b", "decoder_sequence_length"]),
            "past_key_values.0.encoder.key": (FLOAT, ["b", 8, "encoder_sequence_length_out", 64]),
        },
        {"decoder_input_ids": [1, 128], "past_key_values.0.encoder.key": [1, 8, 128, 64]},
    ),
    "a decoder behind its first step": (
        {
            "input_ids": (INT64, ["b", "decoder_sequence_length"]),
            "past_key_values.0.decoder.key": (FLOAT, ["b", 4, "past_decoder_sequence_length", 16]),
            "past_key_values.0.encoder.key": (FLOAT, ["b", 4, "encoder_sequence_length", 16]),
        },
        {
            "input_ids": [1, 1],
            "past_key_values.0.decoder.key": [1, 4, 128, 16],
            "past_key_values.0.encoder.key": [1, 4, 128, 16],
        },
    ),
    "a total of the decoder's lengths, not of the encoder's": (
        {
            "encoder_ids": (INT64, ["b", "encoder_sequence_length"]),
            "input_ids": (INT64, ["b", "decoder_sequence_length"]),
            "past_key_values.0.decoder.key": (FLOAT, ["b", 4, "past_decoder_sequence_length", 16]),
            "mask": (INT64, ["b", "total_sequence_length"]),
        },
        {
            "encoder_ids": [1, 128],
            "input_ids": [1, 128],
            "past_key_values.0.decoder.key": [1, 4, 0, 16],
            "mask": [1, 128],
        },
    ),
    "a total of something else": (
        {
            "ids": (INT64, ["b", "sequence"]),
            "past": (FLOAT, ["b", 8, "past_sequence", 64]),
            "x": (FLOAT, ["total_boxes", 2, 7]),
        },
        {"ids": [1, 128], "past": [1, 8, 0, 64], "x": [100, 2, 7]},
    ),
    "which samples count": (
        {"audio": (FLOAT, ["b", "t"]), "padding_mask": (INT64, ["b", "m"])},
        {"audio": [1, 16000], "padding_mask": [1, 16000]},
    ),
    "a mask of other dims beside samples": (
        {"audio": (FLOAT, ["b", "t"]), "mask": (FLOAT, ["b", "m", 80])},
        {"audio": [1, 16000], "mask": [1, 128, 80]},
    ),
    "an image without channels": ({"x": (FLOAT, ["height", "width"])}, {"x": [224, 224]}),
    "an image with transparency": ({"x": (FLOAT, [None, None, None, 4])}, {"x": [1, 224, 224, 4]}),
    "the past of a series is no cache": ({"past_values": (FLOAT, ["b", "s", 3])}, {"past_values": [1, 128, 3]}),
    "an operand that no input has": ({"x": (FLOAT, ["batch", "encoder_sequence_length / 2", 8])}, {"x": [1, 64, 8]}),
    "a hyphen makes no expression": ({"x": (INT64, ["batch-size", "seq-len"])}, {"x": [1, 128]}),
    "a product": ({"x": (FLOAT, ["batch*seq", 8]), "ids": (INT64, ["batch", "seq"])}, {"x": [128, 8], "ids": [1, 128]}),
    "scalar": ({"x": (FLOAT, [])}, {"x": []}),
    "zero is a size": ({"x": (FLOAT, [0, 4])}, {"x": [0, 4]}),
}


ROWS = {
    "Scaler<offset=[0.0,0.0,0.0], scale=[1.0,1.0,1.0]>": 3,
    "LinearRegressor<coefficients=[1.0,2.0,3.0,4.0], targets=2>": 2,
    "LinearClassifier<coefficients=[1.0,2.0,3.0,4.0,5.0,6.0], intercepts=[0.0,1.0], classlabels_ints=[0,1]>": 3,
    "SVMRegressor<coefficients=[1.0,-1.0], n_supports=2, support_vectors=[1.0,2.0,3.0,4.0,5.0,6.0,7.0,8.0], rho=[0.5], "
    'kernel_type="LINEAR">': 4,
    "TreeEnsembleRegressor<n_targets=1, nodes_treeids=[0,0,0], nodes_nodeids=[0,1,2], nodes_featureids=[6,0,0], "
    'nodes_values=[0.5,0.0,0.0], nodes_modes=["BRANCH_LEQ","LEAF","LEAF"], nodes_truenodeids=[1,0,0], '
    "nodes_falsenodeids=[2,0,0], target_treeids=[0,0], target_nodeids=[1,2], target_ids=[0,0], target_weights=[1.0,2.0]>": 7,
}


@pytest.mark.parametrize(("node", "features"), ROWS.items(), ids=[node.partition("<")[0] for node in ROWS])
def test_features_of_a_classical_model(node: str, features: int) -> None:
    """Behind a Cast, too; no shape inference compares them with the input."""
    outputs = "y, scores" if "Classifier" in node else "y"
    text = f"(float[a,b] x) => (float y) {{ c = Cast<to=1>(x) {outputs} = ai.onnx.ml.{node}(c) }}"
    proto = model(text, domains=', "ai.onnx.ml" : 3')
    assert estimate(proto).graph.inputs[0].dims == (1, features)


@pytest.mark.parametrize(("declared", "expected"), ASSUMED.values(), ids=ASSUMED.keys())
def test_open_dims_are_assumed_by_role(declared: dict, expected: dict) -> None:
    values = inputs(**declared)
    bound = OpenDims(values, {}, {}).bind()
    assert shapes_of(values) == expected
    assert {dim.source for dim in bound} <= {"assumed", "derived"}


def test_a_given_symbol_is_bound_in_all_places() -> None:
    values = inputs(a=(FLOAT, ["n", 3]), b=(FLOAT, ["n", "m"]))
    bound = OpenDims(values, {}, {"n": 8, "m": 5}).bind()
    assert shapes_of(values) == {"a": [8, 3], "b": [8, 5]}
    assert [(dim.name, dim.value, dim.source) for dim in bound] == [("n", 8, "given"), ("m", 5, "given")]


def test_an_expression_that_is_given_binds_its_symbol() -> None:
    values = inputs(x=(FLOAT, ["h", 3]), y=(FLOAT, ["(h + 1)//2", 8]), z=(FLOAT, ["h - k", 8]))
    bound = {dim.name: (dim.value, dim.source) for dim in OpenDims(values, {}, {"(h + 1)//2": 112, "h - k": 220}).bind()}
    assert shapes_of(values) == {"x": [223, 3], "y": [112, 8], "z": [220, 8]}
    assert bound["h"] == (223, "derived")


def test_a_shape_given_binds_the_symbols_in_it() -> None:
    values = inputs(a=(FLOAT, ["n", 3, None]), b=(FLOAT, ["n"]))
    bound = OpenDims(values, {"a": [4, 3, 7]}, {}).bind()
    assert shapes_of(values) == {"a": [4, 3, 7], "b": [4]}
    assert {dim.source for dim in bound} == {"given"}


def test_an_input_of_unknown_rank_takes_the_shape_given() -> None:
    values = [helper.make_tensor_value_info("x", FLOAT, None)]
    OpenDims(values, {"x": [2, 5]}, {}).bind()
    assert shapes_of(values) == {"x": [2, 5]}


def test_the_option_that_changes_an_assumption_is_named() -> None:
    values = inputs(a=(FLOAT, ["n", 3]), b=(FLOAT, [None, 5]))
    assert [dim.option for dim in OpenDims(values, {}, {}).bind()] == ["--dim n=N", "--shape b=Nx5"]


def test_the_places_of_a_dim_are_told() -> None:
    bound = OpenDims(inputs(a=(FLOAT, ["n", 3]), b=(INT64, [2, "n", None])), {}, {}).bind()
    assert {dim.name: dim.places for dim in bound} == {"n": (("a", 0), ("b", 1)), "b[2]": (("b", 2),)}


def test_a_sequence_has_no_shape() -> None:
    tensors = helper.make_tensor_type_proto(FLOAT, ["n"])
    with pytest.raises(InputError, match="'s' is a sequence or an optional, which has no shape"):
        OpenDims([helper.make_value_info("s", helper.make_sequence_type_proto(tensors))], {"s": [1]}, {})


REFUSED = {
    "unknown input": ({"z": [1]}, {}, "no input 'z': it has 'a', 'b'"),
    "unknown dim": ({}, {"z": 1}, "no dim 'z': it has 'n', 'm'"),
    "rank": ({"a": [1]}, {}, "'a' has 2 dims, but the given shape has 1"),
    "fixed dim": ({"a": [1, 4]}, {}, "dim 1 of input 'a' is fixed at 3 in the model, but 4 was given"),
    "channels first": ({"c": [1, 3, 8, 8]}, {}, "dim 3 of input 'c' is fixed at 3 .* --shape c=1x8x8x3"),
    "two values": ({"a": [1, 3], "b": [2, 5]}, {}, "dim 'n' was given as 1 and, through 'b', as 2"),
    "negative": ({}, {"n": -1}, "a dim must be a whole number from 0"),
    "of more than 64 bits": ({}, {"n": 2**63}, "a dim must be a whole number from 0 to 2"),
    "a fraction": ({}, {"n": 1.5}, "a dim must be a whole number"),
    "a truth value": ({}, {"n": True}, "a dim must be a whole number"),
    "a text": ({}, {"n": "1"}, "a dim must be a whole number"),
}


@pytest.mark.parametrize(("shapes", "dims", "says"), REFUSED.values(), ids=REFUSED.keys())
def test_what_does_not_fit_is_refused(shapes: dict, dims: dict, says: str) -> None:
    with pytest.raises(InputError, match=says):
        OpenDims(inputs(a=(FLOAT, ["n", 3]), b=(FLOAT, ["n", "m"]), c=(FLOAT, ["k", "h", "w", 3])), shapes, dims)


def test_an_output_that_is_a_copy_changes_no_assumption() -> None:
    """How many outputs there are says what an image is for: a mask, boxes."""
    node = "y = ConvTranspose<strides = [2, 2]>(x, w)"
    alone = model(f"(float[1,3,h,v] x) => (float[1,4,p,q] y) {{ {node} }}", w=(3, 4, 3, 3))
    copied = model(f"(float[1,3,h,v] x) => (float[1,4,p,q] y, float z) {{ {node} z = Identity(y) }}", w=(3, 4, 3, 3))
    assert estimate(copied).graph.inputs[0].dims == estimate(alone).graph.inputs[0].dims == (1, 3, 512, 512)


MASKS = {
    "a map of classes": ("float[1,4,p,q] y", 4, 512),
    "a map of classes that is not declared": ("float[n,c,p,q] y", 4, 512),
    "a mask": ("float[n,c,p,q] y", 1, 640),
    "as many channels as come in": ("float[n,c,p,q] y", 3, 224),
}


@pytest.mark.parametrize(("output", "channels", "side"), MASKS.values(), ids=MASKS.keys())
def test_what_an_image_becomes_decides_its_size(output: str, channels: int, side: int) -> None:
    text = f"(float[1,3,h,v] x) => ({output}) {{ y = ConvTranspose<strides = [2, 2]>(x, w) }}"
    assert estimate(model(text, w=(3, channels, 3, 3))).graph.inputs[0].dims == (1, 3, side, side)


@pytest.mark.parametrize(
    ("nodes", "side"),
    [
        ("s = Concat<axis = 0>(one, sides) t = Reshape(p, s)", 224),
        ("k = Constant<value = float {2}>() t = Mul(p, k)", 224),
        ("k = ReduceMean<keepdims = 0>(x) t = Mul(p, k)", 512),
        ("t = Conv(x, v)", 512),
    ],
    ids=["reshaped", "scaled", "scaled by what is made", "features"],
)
def test_a_table_that_is_enlarged_makes_no_map(nodes: str, side: int) -> None:
    text = f"""(float[1,3,h,v] x) => (float[1,4,p,q] y) <int64[2] one = {{1, 1}}, int64[2] sides = {{16, 16}},
        float[4] twice = {{1, 1, 2, 2}}> {{ {nodes} e = Resize<mode = "linear">(t, , twice) m = ReduceMean<keepdims = 0>(e)
        c = Conv(x, w) y = Add(c, m) }}"""
    made = model(text, w=(4, 3, 1, 1), v=(4, 3, 1, 1), p=(1, 1, 16, 16))
    assert estimate(made).graph.inputs[0].dims == (1, 3, side, side)


def test_a_map_of_classes_by_its_declared_channels() -> None:
    """What is behind the convolution may have other channels."""
    text = """(float[1,3,h,v] x) => (float[1,4,p,q] y) <int64[4] i = {0, 1, 2, 3}> {
        c = ConvTranspose<strides = [2, 2]>(x, w) t = Gather<axis = 1>(c, i) y = Softmax<axis = 1>(t) }"""
    assert estimate(model(text, w=(3, 8, 3, 3))).graph.inputs[0].dims == (1, 3, 512, 512)


def test_the_head_size_of_a_cache_is_no_length_and_no_side() -> None:
    """As onnxruntime-genai's builder calls it: 8 heads of 16, of which 2 are of keys and values."""
    gqa = "com.microsoft.GroupQueryAttention<num_heads = 8, kv_num_heads = 2>"
    cache = "float[1,2,past_sequence_length,kv_cache_dim]"
    text = f"""(float[1,S,192] x, {cache} a, {cache} b, int32[1] n, int32 t)
        => (float[1,S,128] y, float p, float q) {{ y, p, q = {gqa}(x, , , a, b, n, t) }}"""
    dims = {dim.name: dim.value for dim in estimate(model(text, domains=', "com.microsoft" : 1')).graph.dims}
    assert dims == {"S": 128, "past_sequence_length": 0, "kv_cache_dim": 16}


def test_a_cache_is_known_by_what_continues_it() -> None:
    """Its names say nothing: it is no image of 224 × 224."""
    text = """(int64[1,S] ids, float[1,2,P,16] a) => (float[1,2,T,16] b) {
        x = Gather(w, ids) s = Constant<value_ints = [0,0,2,16]>()
        k = Reshape(x, s) kt = Transpose<perm = [0, 2, 1, 3]>(k) b = Concat<axis = 2>(a, kt) }"""
    assert {dim.name: dim.value for dim in estimate(model(text, w=(50, 32))).graph.dims} == {"S": 128, "P": 0}


def test_a_dim_without_a_name_is_given_by_its_place() -> None:
    """As ``report.graph.dims`` and ``Scaling.base`` call it; here a Conv gives the input its rank."""
    unnamed = model("(float x) => (float y) { y = Conv(x, w) }", w=(8, 3, 3, 3))
    unnamed.graph.input[0].type.tensor_type.ClearField("shape")
    report = estimate(unnamed, dims={"x[0]": 2, "x[2]": 10, "x[3]": 12})
    assert report.graph.inputs[0].shape == (2, 3, 10, 12)
    with pytest.raises(InputError, match=r"the model has no dim 'x\[4\]'"):
        estimate(unnamed, dims={"x[4]": 2})
