"""Weights that are absent: which they are, and the synthetic ones with which models run instead."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import GraphProto, ModelProto, TensorProto, helper, numpy_helper

from onnxcost.errors import MeasurementError, ModelError
from onnxcost.frontend.file_kinds import NOT_STORED
from onnxcost.frontend.strip import strip
from onnxcost.frontend.synthetic_weights import fill as weights
from onnxcost.frontend.synthetic_weights.fill import fill_weights, find_absent_weights
from onnxcost.frontend.synthetic_weights.noise import BLOCK, CODES, Indices, Positions, Spread, _encode, generate_bytes
from onnxcost.graph import BITS
from tests.modeltext import model

MODELS = Path(__file__).parent.parent.parent / "models"


def absent(name: str, dtype: int | str, *dims: int) -> TensorProto:
    """A tensor as a skeleton has it."""
    number = dtype if isinstance(dtype, int) else getattr(TensorProto, dtype.upper())
    tensor = TensorProto(name=name, data_type=number, dims=dims, data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value=NOT_STORED)
    return tensor


def with_absent(graph: str, *tensors: TensorProto, opset: int = 21, **more: Any) -> ModelProto:
    made = model(graph, opset=opset, **more)
    made.ir_version = 10
    made.graph.initializer.extend(tensors)
    return made


def filled(source: ModelProto | Path, folder: Path, seed: int = 0) -> Path:
    """The model with weights; every call in a folder of its own."""
    path, room = source, folder / f"filled{len(list(folder.iterdir()))}"
    if isinstance(source, ModelProto):
        path = folder / "model.onnx"
        path.write_bytes(source.SerializeToString())
    room.mkdir()
    return Path(fill_weights(path, room, seed))


def stored(path: Path) -> dict[str, np.ndarray]:
    """The initializers, as onnx reads them."""
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in onnx.load(path).graph.initializer}


def run(path: Path, feeds: dict[str, np.ndarray], outputs: Sequence[str] | None = None) -> list[np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return session.run(outputs, feeds)  # type: ignore[no-any-return]


def noise(*dims: int) -> np.ndarray:
    return np.random.default_rng(1).standard_normal(dims).astype(np.float32)


def rms(array: np.ndarray) -> float:
    return float(np.sqrt(np.mean(array.astype(np.float64) ** 2)))


# What is absent


BRANCH = helper.make_graph(
    [helper.make_node("Constant", [], ["k"], value=absent("", "float", 300)), helper.make_node("Add", ["x", "k"], ["t"])],
    "branch",
    [],
    [helper.make_tensor_value_info("t", TensorProto.FLOAT, None)],
)


def everywhere() -> ModelProto:
    """A model with weights absent in the graph, in a body and in a function, and one there."""
    made = with_absent(
        "(float[300] x, bool c) => (float[300] y) { h = Add(x, w) i = local.f(h) j = Add(i, there) }",
        absent("w", "float", 300),
        numpy_helper.from_array(np.ones(300, np.float32), "there"),
        functions='<domain: "local", opset_import: ["" : 21]> f (a) => (b) { b = Add(a, a) }',
        domains=', "local" : 1',
    )
    made.functions[0].node.insert(0, helper.make_node("Constant", [], ["m"], value=absent("", "float", 300)))
    made.functions[0].node[1].input[1] = "m"
    made.graph.node.append(helper.make_node("If", ["c"], ["z"], then_branch=BRANCH, else_branch=BRANCH))
    made.graph.node.append(helper.make_node("Add", ["j", "z"], ["y"]))
    return made


def test_absent_weights_are_found_wherever_they_are(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(everywhere().SerializeToString())
    found = find_absent_weights(tmp_path / "model.onnx")
    assert [(each.dtype, each.dims, each.nbytes) for each in found] == [("float32", (300,), 1200)] * 4
    assert [each.name for each in found] == ["w", "k", "k", "local.f:/m"]


def test_absent_weights_are_made_up_wherever_they_are(tmp_path: Path) -> None:
    (y,) = run(filled(everywhere(), tmp_path), {"x": np.zeros(300, np.float32), "c": np.array(True)})
    assert np.isfinite(y).all()
    assert len(set(y)) == 300
    assert rms(y - 1) < 1  # `there` is 1, all else is small


def test_weights_of_a_body_suit_what_they_are_for(tmp_path: Path) -> None:
    """Also where an input of the loop is left out."""
    graph = """(float[1, 300] x) => (float[1, 300] y) <int64 n = {2}> { y = Loop(n, , x) <body = b
        (int64 i, bool c, float[1, 300] s) => (bool co, float[1, 300] so) {
            co = Identity(c) so = LayerNormalization(s, w) }> }"""
    source = with_absent(graph, absent("w", "float", 300))
    path = filled(source, tmp_path)
    (y,) = run(path, {"x": noise(1, 300)})
    assert np.isfinite(y).all()
    assert 0.5 < stored(path)["w"].min() < stored(path)["w"].max() < 1.5


@pytest.mark.parametrize("path", ["mnist_cnn_pytorch", "text_transformer_pytorch"])
def test_a_model_that_has_its_weights_is_run_as_it_is(path: str, tmp_path: Path) -> None:
    assert find_absent_weights(MODELS / f"{path}.onnx") == ()
    assert fill_weights(MODELS / f"{path}.onnx", tmp_path) == str(MODELS / f"{path}.onnx")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("kept", "names"), [(8000, []), (7999, ["v"]), (4000, ["v"]), (3999, ["w", "v"]), (None, ["w", "v"])])
def test_data_in_another_file_is_absent_where_the_file_ends_before_it(
    kept: int | None, names: list[str], tmp_path: Path
) -> None:
    source = model("(float[1000] x) => (float[1000] y) { h = Add(x, w) y = Add(h, v) }", w=(1000,), v=(1000,))
    onnx.save(source, tmp_path / "model.onnx", save_as_external_data=True, location="data", size_threshold=0)
    if kept is None:
        (tmp_path / "data").unlink()
    else:
        os.truncate(tmp_path / "data", kept)
    assert [tensor.name for tensor in find_absent_weights(tmp_path / "model.onnx")] == names


@pytest.mark.parametrize("location", ["data", "sub/data"])
def test_existing_data_is_kept(location: str, tmp_path: Path) -> None:
    source = model("(float[1000] x) => (float[1000] y) { h = Add(x, w) y = Add(h, v) }", w=(1000,))
    source.graph.initializer[0].CopyFrom(numpy_helper.from_array(np.arange(1000, dtype=np.float32), "w"))
    (tmp_path / "sub").mkdir()
    onnx.save(source, tmp_path / "model.onnx", save_as_external_data=True, location=location, size_threshold=0)
    mixed = onnx.load(tmp_path / "model.onnx", load_external_data=False)
    mixed.graph.initializer.append(absent("v", "float", 1000))
    (y,) = run(filled(mixed, tmp_path), {"x": np.zeros(1000, np.float32)})
    assert 0 < rms(y - np.arange(1000)) < 1


# Elements


TYPES = sorted(BITS.keys() - {"bool", "complex64", "complex128"})


@pytest.mark.parametrize("count", [1, 7, 3000])
@pytest.mark.parametrize("dtype", TYPES)
def test_elements_of_every_type_are_finite_and_normal(dtype: str, count: int, tmp_path: Path) -> None:
    number = {"float32": "FLOAT", "float64": "DOUBLE"}.get(dtype, dtype.upper())
    source = with_absent("() => (float[n] y) { y = Cast <to = 1> (w) }", absent("w", number, count))
    array = stored(filled(source, tmp_path))["w"]
    assert array.shape == (count,)
    numbers = array.astype(np.float64)
    assert np.isfinite(numbers).all()
    if "float" in dtype:
        import ml_dtypes

        smallest = abs(numbers[numbers != 0]).min(initial=1)
        assert smallest >= float(ml_dtypes.finfo(array.dtype).smallest_normal)
    if count == 3000 and (BITS[dtype] <= 16 or "float" in dtype) and dtype != "float8e8m0":
        assert len(np.unique(numbers)) >= 2


def test_truths_come_in_turn(tmp_path: Path) -> None:
    source = with_absent("(float[4, 6] x) => (float[4, 6] y) { y = Where(w, x, x) }", absent("w", "bool", 4, 6))
    assert stored(filled(source, tmp_path))["w"].tolist() == [[True, False] * 3] * 4


def test_strings_are_words(tmp_path: Path) -> None:
    source = with_absent("() => (string[3] y) { y = Identity(w) }", absent("w", "string", 3))
    (y,) = run(filled(source, tmp_path), {})
    assert len(set(y)) == 3


def test_the_same_seed_makes_the_same_elements(tmp_path: Path) -> None:
    graph = "(float[1, 300] x) => (float[1, 300] y) { h = MatMul(x, v) y = MatMul(h, w) }"
    source = with_absent(graph, absent("v", "float", 300, 300), absent("w", "float", 300, 300))
    alone = with_absent("(float[1, 300] x) => (float[1, 300] y) { y = MatMul(x, w) }", absent("w", "float", 300, 300))
    first, again, other, single = (stored(filled(m, tmp_path, seed)) for m, seed in
                                   ((source, 0), (source, 0), (source, 1), (alone, 0)))  # fmt: skip
    assert (first["w"] == again["w"]).all()
    assert (first["w"] == single["w"]).all()
    assert (first["w"] != other["w"]).mean() > 0.99
    assert (first["w"] != first["v"]).mean() > 0.99


def test_rows_of_a_large_tensor_differ(tmp_path: Path) -> None:
    source = with_absent("(float[1, 1500] x) => (float[1, 1024] y) { y = MatMul(x, w) }", absent("w", "float", 1500, 1024))
    array = stored(filled(source, tmp_path))["w"]
    assert len(np.unique(array, axis=0)) == 1500
    assert array.std() == pytest.approx(1500**-0.5, rel=0.01)


# Elements by their type


SMALL_FLOATS = ["float4e2m1", "float8e4m3fn", "float8e4m3fnuz", "float8e5m2", "float8e5m2fnuz"]


def numpy_type(dtype: str) -> np.dtype[Any]:
    """The type in ml_dtypes, whose names have underscores and fn."""
    import ml_dtypes

    names = {"float4e2m1": "float4_e2m1fn", "float8e8m0": "float8_e8m0fnu"}
    return np.dtype(getattr(ml_dtypes, names.get(dtype, dtype.replace("float8e", "float8_e"))))


def encoded(numbers: Any, dtype: str) -> np.ndarray:
    """The codes, one in each element."""
    codes = _encode(np.array(numbers, np.float32), dtype)
    if BITS[dtype] >= 8:
        return codes
    several = 8 // BITS[dtype]
    parts = codes[:, None] >> np.arange(several) * BITS[dtype] & (1 << BITS[dtype]) - 1
    return parts.astype(np.uint8).ravel()[: len(numbers)]


@pytest.mark.parametrize("dtype", SMALL_FLOATS)
def test_each_normal_number_of_a_small_float_has_its_code(dtype: str) -> None:
    import ml_dtypes

    kind = numpy_type(dtype)
    codes = np.arange(1 << BITS[dtype], dtype=np.uint8)
    numbers = codes.view(kind).astype(np.float32)
    is_normal = np.isfinite(numbers) & (abs(numbers) >= float(ml_dtypes.finfo(kind).smallest_normal))
    assert (encoded(numbers[is_normal], dtype) == codes[is_normal]).all()
    largest = float(ml_dtypes.finfo(kind).max)
    for sign in (1, -1):
        assert encoded([sign * 2 * largest], dtype).view(kind).astype(float) == [sign * largest]


@pytest.mark.parametrize("dtype", sorted(CODES))
def test_codes_use_the_range_of_their_type(dtype: str) -> None:
    """They are centered. From 8 bits on the largest of the noise, 4 deviations, is at the limit; below that some are cut."""
    import ml_dtypes

    center, deviation, _ = CODES[dtype]
    if "int" in dtype:
        low = 0 if dtype.startswith("u") else -(2 ** (BITS[dtype] - 1))
        high = low + 2 ** BITS[dtype]
    else:
        high = float(ml_dtypes.finfo(numpy_type(dtype)).max)
        low = -high
    assert center == (low + high) / 2
    if dtype == "int32":
        assert 10 < deviation < 1000  # of a bias: far from its limits
    elif BITS[dtype] < 8:
        assert 2 <= (high - low) / 2 / deviation <= 4
    else:
        assert 4 * deviation == (high - low) / 2


ENCODED = [
    ("int8", [-200, -1.4, 1.6, 200], [128, 255, 2, 127]),
    ("uint8", [-3, 1.6, 300], [0, 2, 255]),
    ("int4", [-9, -1, 3, 9], [8, 15, 3, 7]),
    ("uint4", [-1, 3, 20], [0, 3, 15]),
    ("int2", [-3, -1, 0, 5], [2, 3, 0, 1]),
    ("uint2", [-1, 1, 2, 7], [0, 1, 2, 3]),
    ("bfloat16", [1.0, -2.0, 0.0], [0x3F80, 0xC000, 0]),
    # 2^(code − 127)
    ("float8e8m0", [1.0, -4.0, 0.25, 2.0**-126], [127, 129, 125, 1]),
    # Denormals become the least normal number: some processors are slow with them.
    ("float16", [1.0, 1e-7, -1e-7, 0.0], [0x3C00, 0x0400, 0x8400, 0]),
]


@pytest.mark.parametrize(("dtype", "numbers", "codes"), ENCODED)
def test_codes_of_numbers(dtype: str, numbers: list[float], codes: list[int]) -> None:
    made = encoded(numbers, dtype)
    assert made.view(f"u{made.itemsize}").tolist() == codes


@pytest.mark.parametrize("dims", [(3, 5), (7,), (2, 3, 4)])
@pytest.mark.parametrize("by_axis", [False, True])
def test_positions_are_distinct_and_in_order(dims: tuple[int, ...], by_axis: bool) -> None:
    many = int(np.prod(dims)) - 2
    (data,) = generate_bytes(Positions(dims, many, by_axis), "int64", many * (len(dims) if by_axis else 1), "p", 0)
    found = np.frombuffer(data, np.int64)
    flat = np.ravel_multi_index(found.reshape(many, len(dims)).T, dims) if by_axis else found
    assert flat[0] == 0
    assert (np.diff(flat) > 0).all()
    assert flat[-1] < np.prod(dims)


def test_indices_are_below_their_limit_and_reach_it() -> None:
    (data,) = generate_bytes(Indices(5), "int64", 200, "i", 0)
    assert set(np.frombuffer(data, np.int64).tolist()) == set(range(5))


@pytest.mark.parametrize(("dtype", "packed", "count"), [("float32", "", 10), ("uint8", "uint4", 7), ("uint8", "uint2", 7),
                                                        ("int4", "", 7), ("uint2", "", 9), ("float16", "", 3)])  # fmt: skip
@pytest.mark.parametrize("more", [0, BLOCK])
def test_as_many_bytes_as_the_elements_take(dtype: str, packed: str, count: int, more: int) -> None:
    filling = Spread(0, 1, packed)
    made = b"".join(generate_bytes(filling, dtype, count + more, "w", 3))
    assert len(made) == -(-(count + more) * BITS[dtype] // 8)


def test_the_noise_is_clipped_and_begins_elsewhere_for_each_name() -> None:
    (data, *_), (other, *_) = (list(generate_bytes(Spread(0, 1), "float32", BLOCK, name, 0)) for name in ("a", "b"))
    numbers, others = np.frombuffer(data, np.float32), np.frombuffer(other, np.float32)
    assert abs(numbers).max() == 4
    assert numbers.std() == pytest.approx(1, rel=0.01)
    assert (np.sort(numbers) == np.sort(others)).all()
    assert (numbers != others).mean() > 0.99


# What weights are for


GAIN, SMALL = (0.5, 1.5), (-0.25, 0.25)
FOR_WHAT = {
    "variance": ("(float[1, 300, 4] x) => (float[1, 300, 4] y) { y = BatchNormalization(x, one, w, w2, wanted) }", GAIN),
    "scale of a norm": ("(float[1, 300] x) => (float[1, 300] y) { y = LayerNormalization(x, wanted) }", GAIN),
    "bias": ("(float[1, 300] x) => (float[1, 300] y) { y = Add(x, wanted) }", SMALL),
    "factor": ("(float[1, 300] x) => (float[1, 300] y) { y = Mul(x, wanted) }", GAIN),
    "divisor": ("(float[1, 300] x) => (float[1, 300] y) { y = Div(x, wanted) }", GAIN),
    "variance, unfused": (
        "(float[1, 300] x) => (float[1, 300] y) { e = Constant <value = float {0.001}> () v = Add(wanted, e) s = Sqrt(v)"
        " r = Reciprocal(s) g = Mul(r, w) y = Mul(x, g) }",
        GAIN,
    ),
    "mean, unfused": ("(float[1, 300] x) => (float[1, 300] y) { m = Mul(wanted, w) b = Sub(w2, m) y = Add(x, b) }", SMALL),
    "compared": ("(float[1, 300] x) => (bool[1, 300] y) { d = Sub(wanted, w) y = Equal(d, w2) }", (0, 0)),
}


@pytest.mark.parametrize(("graph", "between"), FOR_WHAT.values(), ids=FOR_WHAT.keys())
def test_elements_suit_what_they_are_for(graph: str, between: tuple[float, float], tmp_path: Path) -> None:
    source = with_absent(graph, *(absent(name, "float", 300) for name in ("wanted", "w", "w2", "one")))
    array = stored(filled(source, tmp_path))["wanted"]
    assert between[0] <= array.min() <= array.max() <= between[1]


MATRICES = {
    "MatMul": ("(float[64, 400] x) => (float[64, n] y) { y = MatMul(x, w) }", (400, 200)),
    "Gemm": ("(float[64, 400] x) => (float[64, n] y) { y = Gemm <transB = 1> (x, w) }", (200, 400)),
    "transposed": ("(float[64, 400] x) => (float[64, n] y) { t = Transpose(w) y = MatMul(x, t) }", (200, 400)),
    "Conv": ("(float[64, 400, 5, 5] x) => (float[64, n, h, v] y) { y = Conv(x, w) }", (200, 400, 3, 3)),
    "depthwise": ("(float[8, 400, 5, 5] x) => (float[8, n, h, v] y) { y = Conv <group = 400> (x, w) }", (400, 1, 3, 3)),
    "ConvTranspose": (
        "(float[8, 400, 5, 5] x) => (float[8, n, h, v] y) { y = ConvTranspose <strides = [2, 2]> (x, w) }",
        (400, 20, 2, 2),
    ),
    "Einsum": ('(float[64, 400] x) => (float[64, n] y) { y = Einsum <equation = "bi,oi->bo"> (x, w) }', (200, 400)),
    "in a function": ("(float[64, 400] x) => (float[64, n] y) { y = local.f(x, w) }", (400, 200)),
}


@pytest.mark.parametrize("dtype", ["float", "float16"])
@pytest.mark.parametrize(("graph", "dims"), MATRICES.values(), ids=MATRICES.keys())
def test_contractions_keep_the_variance(graph: str, dims: tuple[int, ...], dtype: str, tmp_path: Path) -> None:
    function = '<domain: "local", opset_import: ["" : 21]> f (a, m) => (b) { b = MatMul(a, m) }'
    graph = graph.replace("w)", "c)").replace("(w", "(c").replace("{", "{ c = Cast <to = 1> (w) ", 1)
    source = with_absent(graph, absent("w", dtype, *dims), functions=function, domains=', "local" : 1')
    sizes = [dim.dim_value for dim in source.graph.input[0].type.tensor_type.shape.dim]
    (y,) = run(filled(source, tmp_path), {"x": noise(*sizes)})
    assert rms(y) == pytest.approx(1, rel=0.1)


STORED = {"scale": (1.5, 400), "zeros": (0, 400), "variance": (0.25, 400), "column": (1.5, 400, 1), "none": (0, 400, 1)}
"""A value, and dims."""
# what is behind the product c of x and w, and the RMS of y where that of x is 1
BEHIND: dict[str, tuple[str, float]] = {
    "nothing": ("y = Identity(c)", 1),
    "a rectifier": ("y = Relu(c)", 1),
    "a rectifier behind a bias": ("b = Add(c, none) y = Relu(b)", 1),
    "a gate": ("s = Sigmoid(c) y = Mul(c, s)", 1),
    # √(1.5² / 0.25) = 3
    "a normalization that is kept": ("y = BatchNormalization(c, scale, zeros, zeros, variance)", 1),
    "a factor of each channel that is kept": ("y = Mul(c, column)", 1),
    # A single factor, as that of attention, has a purpose.
    "a single factor": ("f = Constant <value = float {0.125}> () y = Mul(c, f)", 1 / 8),
    "a residual branch": ("r = Add(x, c) y = Sub(r, x)", 1 / 4),
    "a residual branch that is never negative": ("r = Relu(c) a = Add(r, x) y = Sub(a, x)", 1 / 8),
}


@pytest.mark.parametrize(("nodes", "expected"), BEHIND.values(), ids=BEHIND.keys())
def test_weights_fit_the_nodes_after_them(nodes: str, expected: float, tmp_path: Path) -> None:
    kept = (numpy_helper.from_array(np.full(dims, value, np.float32), name) for name, (value, *dims) in STORED.items())
    text = f"(float[64, 400, 1] x) => (float[64, 400, 1] y) {{ c = Conv(x, w) {nodes} }}"
    source = with_absent(text, absent("w", "float", 400, 400, 1), *kept)
    (y,) = run(filled(source, tmp_path), {"x": noise(64, 400, 1)})
    assert rms(y) == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize("root", ["Log", "Sqrt"])
def test_weights_before_a_root_or_a_logarithm_are_a_mean(root: str, tmp_path: Path) -> None:
    """As those of a bank of filters: what is positive stays so."""
    graph = f"(float[64, 400] x) => (float[64, n] y) {{ c = MatMul(x, w) y = {root}(c) }}"
    path = filled(with_absent(graph, absent("w", "float", 400, 200)), tmp_path)
    array = stored(path)["w"]
    assert array.min() > 0
    assert (array.mean(), array.std()) == (pytest.approx(1 / 400, rel=0.01), pytest.approx(0.1 / 400, rel=0.05))
    (y,) = run(path, {"x": np.full((64, 400), 9, np.float32)})
    assert y == pytest.approx({"Log": np.log(9), "Sqrt": 3}[root], rel=0.05)


DEEP = {
    "plain": "c{i} = Conv <pads = [1, 1, 1, 1]> (h{i}, w{i}) h{j} = Relu(c{i})",
    "linear": "h{j} = Conv <pads = [1, 1, 1, 1]> (h{i}, w{i})",
    "residual": "c{i} = Conv <pads = [1, 1, 1, 1]> (h{i}, w{i}) r{i} = Relu(c{i}) h{j} = Add(h{i}, r{i})",
    "residual, norm": "n{i} = BatchNormalization(h{i}, g{i}, b{i}, b{i}, g{i}) c{i} = Conv <pads = [1, 1, 1, 1]> (n{i}, w{i})"
    " h{j} = Add(h{i}, c{i})",
    "gated": "c{i} = Conv <pads = [1, 1, 1, 1]> (h{i}, w{i}) s{i} = Sigmoid(c{i}) h{j} = Mul(c{i}, s{i})",
    "trained norm, kept": "c{i} = Conv <pads = [1, 1, 1, 1]> (h{i}, w{i})"
    " n{i} = BatchNormalization(c{i}, kept, zero, zero, narrow) h{j} = Relu(n{i})",
    "trained factor, kept": "c{i} = Conv <pads = [1, 1, 1, 1]> (h{i}, w{i}) n{i} = Mul(c{i}, large) h{j} = Relu(n{i})",
}


@pytest.mark.parametrize("block", DEEP.values(), ids=DEEP.keys())
def test_a_hundred_layers_neither_overflow_nor_sink(block: str, tmp_path: Path) -> None:
    """In 16 bits the largest number would be 65,504 and the least normal one 0.00006."""
    depth, width = 30 if "Sigmoid" in block else 100, 32
    graph = " ".join(block.format(i=i, j=i + 1) for i in range(depth))
    source = with_absent(
        f"(float[1, {width}, 8, 8] h0) => (float[1, {width}, 8, 8] h{depth}) {{ {graph} }}",
        *(absent(f"w{i}", "float", width, width, 3, 3) for i in range(depth)),
        *(absent(f"{name}{i}", "float", width) for i in range(depth) for name in "gb"),
        *(
            numpy_helper.from_array(np.full(width, value, np.float32), name)
            for name, value in {"kept": 1.5, "zero": 0, "narrow": 1e-4}.items()
        ),
        numpy_helper.from_array(np.full((1, width, 1, 1), 300, np.float32), "large"),
    )
    (y,) = run(filled(source, tmp_path), {"h0": noise(1, width, 8, 8)})
    assert 1e-3 < rms(y) < 1e4


INDICES = {
    "Gather": ("(float[50, 3] x) => (float[n, 3] y) { y = Gather(x, i) }", (200,), 50),
    "another axis": ("(float[50, 3] x) => (float[n, m] y) { y = Gather <axis = 1> (x, i) }", (200,), 3),
    "Slice before it": (
        "(float[50, 3] x) => (float[n, 3] y) { a = Constant <value = int64[1] {0}> () b = Constant <value = int64[1] {9}> ()"
        " s = Slice(i, a, b) y = Gather(x, s) }",
        (200,),
        50,
    ),
    "Cast before it": ("(float[50, 3] x) => (float[n, 3] y) { c = Cast <to = 6> (i) y = Gather(x, c) }", (200,), 50),
    "GatherElements": ("(float[50, 300] x) => (float[n, m] y) { y = GatherElements(x, i) }", (4, 300), 50),
    "GatherND": ("(float[50, 7] x) => (float[n] y) { y = GatherND(x, i) }", (100, 2), 7),
    "of unknown size": ("(float[n, 3] x) => (float[m, 3] y) { y = Gather(x, i) }", (200,), 1),
}


@pytest.mark.parametrize(("graph", "dims", "limit"), INDICES.values(), ids=INDICES.keys())
def test_indices_are_valid(graph: str, dims: tuple[int, ...], limit: int, tmp_path: Path) -> None:
    array = stored(filled(with_absent(graph, absent("i", "int64", *dims)), tmp_path))["i"]
    assert array.min() >= 0
    assert array.max() == limit - 1


def test_positions_of_sparse_weights_are_valid(tmp_path: Path) -> None:
    source = with_absent("(float[5000] x) => (float[5000] y) { y = Add(x, s) }")
    sparse = onnx.SparseTensorProto(values=absent("s", "float", 1000), indices=absent("", "int64", 1000), dims=[5000])
    source.graph.sparse_initializer.append(sparse)
    (y,) = run(filled(source, tmp_path), {"x": np.zeros(5000, np.float32)})
    assert np.count_nonzero(y) == 1000


def test_keys_of_labels_differ(tmp_path: Path) -> None:
    node = helper.make_node("LabelEncoder", ["x"], ["y"], domain="ai.onnx.ml")
    node.attribute.append(helper.make_attribute("keys_tensor", absent("", "int64", 500)))
    node.attribute.append(helper.make_attribute("values_tensor", absent("", "float", 500)))
    node.attribute.append(helper.make_attribute("default_tensor", helper.make_tensor("", TensorProto.FLOAT, [1], [9.0])))
    source = with_absent("(int64[500] x) => (float[500] y) { y = Cast <to = 1> (x) }", domains=', "ai.onnx.ml" : 4')
    source.graph.node[0].CopyFrom(node)
    (y,) = run(filled(source, tmp_path), {"x": np.arange(500)})
    assert abs(y).max() < 9


# Quantized weights


MS = ', "com.microsoft" : 1'
X = "(float[16, 256] x) => (float[16, n] y)"
QUANTIZED = {
    "int8, per tensor": (f"{X} {{ d = DequantizeLinear(w, s) y = MatMul(x, d) }}", {"w": ("int8", 256, 300), "s": ("float",)}),
    "int8, per channel": (
        f"{X} {{ d = DequantizeLinear <axis = 1> (w, s, z) y = MatMul(x, d) }}",
        {"w": ("int8", 256, 300), "s": ("float", 300), "z": ("int8", 300)},
    ),
    "uint8": (
        f"{X} {{ d = DequantizeLinear <axis = 1> (w, s, z) y = MatMul(x, d) }}",
        {"w": ("uint8", 256, 300), "s": ("float", 300), "z": ("uint8", 300)},
    ),
    "int4, in blocks": (
        f"{X} {{ d = DequantizeLinear <axis = 0, block_size = 32> (w, s) y = MatMul(x, d) }}",
        {"w": ("int4", 256, 300), "s": ("float", 8, 300)},
    ),
    "float8": (
        f"{X} {{ d = DequantizeLinear(w, s) y = MatMul(x, d) }}",
        {"w": ("float8e4m3fn", 256, 300), "s": ("float",)},
    ),
    "MatMulNBits of 4": (
        f"{X} {{ y = com.microsoft.MatMulNBits <K = 256, N = 300, bits = 4, block_size = 32> (x, w, s, z) }}",
        {"w": ("uint8", 300, 8, 16), "s": ("float", 2400), "z": ("uint8", 1200)},
    ),
    "MatMulNBits of 8": (
        f"{X} {{ y = com.microsoft.MatMulNBits <K = 256, N = 300, bits = 8, block_size = 32> (x, w, s) }}",
        {"w": ("uint8", 300, 8, 32), "s": ("float", 2400)},
    ),
    "dynamic": (
        f"{X} {{ y = com.microsoft.DynamicQuantizeMatMul(x, w, s, z) }}",
        {"w": ("uint8", 256, 300), "s": ("float",), "z": ("uint8",)},
    ),
}


@pytest.mark.parametrize(("graph", "tensors"), QUANTIZED.values(), ids=QUANTIZED.keys())
def test_quantized_weights_and_their_scales_fit(graph: str, tensors: dict[str, Any], tmp_path: Path) -> None:
    source = with_absent(graph, *(absent(name, *what) for name, what in tensors.items()), domains=MS)
    (y,) = run(filled(source, tmp_path), {"x": noise(16, 256)})
    assert 0.5 < rms(y) < 2


def test_both_weights_in_a_byte_have_the_same_distribution(tmp_path: Path) -> None:
    graph, tensors = QUANTIZED["MatMulNBits of 4"]
    source = with_absent(graph, *(absent(name, *what) for name, what in tensors.items()), domains=MS)
    array = stored(filled(source, tmp_path))["w"].astype(int)
    low, high = array & 15, array >> 4
    assert low.mean() == pytest.approx(high.mean(), abs=0.1)
    assert low.std() == pytest.approx(high.std(), rel=0.05)


KEPT = {
    "weights alone": "d = DequantizeLinear(w, s, z) y = MatMul(x, d)",
    "integers": "q, qs, qz = DynamicQuantizeLinear(x) i = MatMulInteger(q, w, qz, z) f = Cast <to = 1> (i) m = Mul(qs, s)"
    " y = Mul(f, m)",
}


@pytest.mark.parametrize("zero_point", [90, 128, 200])
@pytest.mark.parametrize("scale", [0.002, 0.01])
@pytest.mark.parametrize("nodes", KEPT.values(), ids=KEPT.keys())
def test_weights_fit_the_present_scale_and_zero_point(nodes: str, scale: float, zero_point: int, tmp_path: Path) -> None:
    kept = (numpy_helper.from_array(np.array(scale, np.float32), "s"), helper.make_tensor("z", 2, [], [zero_point]))
    source = with_absent(f"{X} {{ {nodes} }}", absent("w", "uint8", 256, 300), *kept)
    (y,) = run(filled(source, tmp_path), {"x": noise(16, 256)})
    assert 0.5 < rms(y) < 2


@pytest.mark.parametrize(("is_given", "within"), [(True, 1e-6), (False, 0.2)])
def test_a_quantized_bias_has_the_scale_of_what_it_is_added_to(is_given: bool, within: float, tmp_path: Path) -> None:
    """That of the input times that of the weights, which all channels share: else onnxruntime computes with floats. A scale
    of the synthetic input is drawn around the one that is expected.
    """
    graph = """(float[1,16,8,8] x) => (float[1,16,8,8] y) {
        q = QuantizeLinear(x, s, z) i = DequantizeLinear(q, s, z) w = DequantizeLinear <axis = 0> (k, sk, zk)
        b = DequantizeLinear <axis = 0> (c, sc, zc) t = Conv(i, w, b) r = QuantizeLinear(t, s, z)
        y = DequantizeLinear(r, s, z) }"""
    lacking = [
        absent("k", "int8", 16, 16, 1, 1),
        absent("sk", "float", 16),
        absent("c", "int32", 16),
        absent("sc", "float", 16),
    ]
    zeros = [helper.make_tensor("z", TensorProto.UINT8, [], [128]), helper.make_tensor("zk", TensorProto.INT8, [16], [0] * 16)]
    zeros.append(helper.make_tensor("zc", TensorProto.INT32, [16], [0] * 16))
    scale = numpy_helper.from_array(np.array(0.02, np.float32), "s") if is_given else absent("s", "float")
    path = filled(with_absent(graph, *lacking, *zeros, scale), tmp_path)
    found = stored(path)
    assert len(set(found["sk"])) == 1
    assert found["sc"] == pytest.approx(found["s"] * found["sk"], rel=within)
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    options.log_severity_level = 4
    onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    assert "QLinearConv" in {
        node.op_type for node in onnx.load(tmp_path / "optimized.onnx", load_external_data=False).graph.node
    }


# Errors, and real models


def test_what_decides_shapes_is_not_made_up(tmp_path: Path) -> None:
    source = with_absent("(float[n] x) => (float[m, 2] y) { y = Reshape(x, w) }", absent("w", "int64", 2))
    with pytest.raises(ModelError, match=r"'w' is not stored, and node .* cannot run with random elements"):
        filled(source, tmp_path)


def test_no_room_is_a_measurement_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(everywhere().SerializeToString())
    with pytest.raises(MeasurementError, match="cannot be synthesized in"):
        fill_weights(tmp_path / "model.onnx", tmp_path / "none")


def every_value(graph: GraphProto) -> list[str]:
    made = [output for node in graph.node for output in node.output if output]
    known = {value.name for value in graph.output}
    graph.output.extend(onnx.ValueInfoProto(name=name) for name in made if name not in known)
    return made


REAL = {
    "lstm_text_pytorch": (1, 16),
    "mobilenetv2_keras": (1, 224, 224, 3),
    "mobilenetv2_pytorch": (1, 3, 224, 224),
    "resnet18_int8_qdq": (1, 3, 224, 224),
    "ssdlite320_pytorch": (1, 3, 320, 320),
}


@pytest.mark.parametrize("name", REAL)
def test_real_skeletons_run_and_stay_in_range(name: str, tmp_path: Path) -> None:
    path = filled(MODELS / f"{name}.onnx", tmp_path)
    watched = onnx.load(path, load_external_data=False)
    values = every_value(watched.graph)
    (path.parent / "watched.onnx").write_bytes(watched.SerializeToString())
    (fed,) = watched.graph.input
    feeds = {fed.name: noise(*REAL[name]) if len(REAL[name]) == 4 else np.ones(REAL[name], np.int64)}
    for value, array in zip(values, run(path.parent / "watched.onnx", feeds, values), strict=True):
        if array.dtype.kind == "f" and array.size > 64:
            assert np.isfinite(array).all(), value
            assert not array.any() or 1e-4 < rms(array) < 1e3, value
    assert array.any()


def test_the_stripped_model_runs_where_the_original_does(tmp_path: Path) -> None:
    strip(MODELS / "mnist_cnn_pytorch.onnx", tmp_path / "skeleton.onnx", anonymize=True)
    path = filled(tmp_path / "skeleton.onnx", tmp_path)
    (y,) = run(path, {"input": noise(4, 1, 28, 28)})
    assert y.shape == (4, 10)
    assert {weights.MODEL, weights.DATA} == {file.name for file in path.parent.iterdir()}
