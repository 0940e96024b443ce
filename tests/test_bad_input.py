"""Bad input, through the command: one clear line on stderr and exit code 2; a legal model, however odd, its number and 0."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from onnx import ModelProto, TensorProto, helper

from onnxcost.cli.app import cli
from tests.modeltext import model

RELU = "(float[2,3] x) => (float[2,3] y) { y = Relu(x) }"


def invoke(*arguments: object, stdin: bytes | None = None) -> Result:
    return CliRunner(env={"COLUMNS": "80"}).invoke(cli, ["--no-run", *map(str, arguments)], input=stdin)


def refused(result: Result) -> str:
    """The one line that a refused input gets."""
    assert result.exit_code == 2, result.stdout
    assert result.stdout == ""
    assert result.stderr.startswith("onnxcost: error: ")
    assert result.stderr.count("\n") == 1
    assert "bug in onnxcost" not in result.stderr
    return result.stderr


def with_opset(version: int, domain: str = "") -> ModelProto:
    made = model(RELU)
    made.opset_import[0].version, made.opset_import[0].domain = version, domain
    return made


def with_dims(*dims: int) -> ModelProto:
    made = model(RELU)
    made.graph.input[0].CopyFrom(helper.make_tensor_value_info("x", TensorProto.FLOAT, dims))
    made.graph.output[0].CopyFrom(helper.make_empty_tensor_value_info("y"))
    return made


def weight_of(*dims: int) -> ModelProto:
    made = model("(float[2,3] x) => (float y) { y = MatMul(x, w) }")
    made.graph.initializer.append(TensorProto(name="w", data_type=TensorProto.FLOAT, dims=dims))
    return made


def not_utf8() -> bytes:
    return model(RELU.replace("Relu", "Damaged")).SerializeToString().replace(b"Damaged", b"Dam\xffged")


def without_graph() -> bytes:
    made = model(RELU)
    made.ClearField("graph")
    return made.SerializeToString()


def recursive(*calls: str) -> ModelProto:
    functions = "".join(
        f'<domain: "local", opset_import: ["" : 17, "local" : 1]> f{i} (a) => (b) {{ {body} }}\n'
        for i, body in enumerate(calls)
    )
    return model("(float[2,3] x) => (float y) { y = local.f0(x) }", functions=functions, domains=', "local" : 1')


NEGATIVE_SIZES = {
    "negative pads": ("float[1,3,4,4] x", "p = Constant<value_ints = [0, 0, -5, -5, 0, 0, -5, -5]>() y = Pad(x, p)"),
    "pads larger than the output": ("float[1,3,4,4] x, float[3,8,1,1] w", "y = ConvTranspose<pads = [9, 9, 9, 9]>(x, w)"),
    "unpooling": ("float[1,1,2,2] x, int64[1,1,2,2] i", "y = MaxUnpool<kernel_shape = [2, 2], pads = [9, 9, 9, 9]>(x, i)"),
    "a target": ("float[1,3] x", "s = Constant<value_ints = [-3, 3]>() y = Expand(x, s)"),
    "a scale": ("float[1,3,4,4] x", "s = Constant<value_floats = [1.0, 1.0, -2.0, 1.0]>() y = Resize(x, , s)"),
    "a count": ("float[4] x", "k = Constant<value_ints = [-4]>() y, i = TopK(x, k)"),
    "a part": ("float[4] x", "k = Constant<value_ints = [-4, 8]>() y, z = Split(x, k)"),
    "a transform": ("float[1,8,1] x", "n = Constant<value_int = -8>() y = DFT(x, n)"),
    "an attribute": ("float[1,3,8,8] x, float[5,4] r, int64[5] b", "y = RoiAlign<output_height = -3>(x, r, b)"),
    "a frame longer than its signal": (
        "float[1,16,1] x",
        "s = Constant<value_int = 1>() f = Constant<value_int = 1000000000>() y = STFT(x, s, , f)",
    ),
}
"""Nodes for which onnx's inference, or a rule, computes a size below 0."""

FILES: dict[str, tuple[bytes | ModelProto, str]] = {
    "empty": (b"", "is empty"),
    "text": (b"This is no model.\nIt is text.\n", "is not a readable ONNX model"),
    "truncated": (model(RELU).SerializeToString()[:-20], "ends in the middle"),
    "no graph": (without_graph(), "has no graph"),
    "names that are not UTF-8": (not_utf8(), "is not UTF-8"),
    "a cycle": (model("(float[2] x) => (float y) { a = Add(x, b) b = Relu(a) y = Neg(b) }"), "cycle"),
    "an undefined input": (model("(float[2] x) => (float y) { y = Add(x, gone) }"), "reads 'gone', which is not defined"),
    "an undefined output": (
        model("(float[2] x) => (float gone) { y = Relu(x) }"),
        "'gone' of the graph is not produced by any node",
    ),
    "shapes that do not fit": (model("(float[2,3] x, float[4,5] w) => (float y) { y = MatMul(x, w) }"), "is invalid: In"),
    "a convolution of other channels": (
        model("(float[1,3,8,8] x) => (float y) { y = Conv(x, w) }", w=(4, 2, 3, 3)),
        "its weight is for 2 channels, not 3",
    ),
    "a convolution of integers of other channels": (
        model("(uint8[1,3,8,8] x, uint8[4,2,3,3] v) => (y) { y = ConvInteger(x, v) }"),
        "its weight is for 2 channels, not 3",
    ),
    "a quantized convolution of other channels": (
        model(
            "(uint8[1,3,8,8] x, float s, uint8 z, uint8[4,2,3,3] v) => (y) { y = QLinearConv(x, s, z, v, s, z, s, z) }",
        ),
        "its weight is for 2 channels, not 3",
    ),
    "a quantized convolution of a window that does not fit": (
        model("(uint8[1,3,8,8] x, float s, uint8 z, uint8[4,3,9,9] v) => (y) { y = QLinearConv(x, s, z, v, s, z, s, z) }"),
        "a window of 9 does not fit in the 8 of dim 2",
    ),
    "a convolution of other dims": (
        model("(float[1,3,8,8] x) => (float y) { y = Conv(x, w) }", w=(4, 3, 3)),
        "",
    ),
    "a Reshape that cannot be": (
        model("(float[2,3] x) => (float y) { s = Constant<value_ints = [4, 2]>() y = Reshape(x, s) }"),
        "6 elements cannot be reshaped to [4, 2]",
    ),
    **{
        f"a size below 0, of {name}": (model(f"({inputs}) => (float y) {{ {nodes} }}"), "would be -")
        for name, (inputs, nodes) in NEGATIVE_SIZES.items()
    },
    "an opset of the future": (with_opset(1000), "opset 1000 of ai.onnx, but the installed onnx supports 1 to"),
    "opset 0": (with_opset(0), "opset 0 of ai.onnx"),
    "a version that no integer has": (with_opset(2**62, "com.acme"), "version 4611686018427387904"),
    "an IR version that cannot be": (model(RELU), "ONNX IR version -1"),
    "a value made twice": (model("(float[2] x) => (float y) { y = Relu(x) y = Neg(x) }"), "'y' is defined twice"),
    "a value made twice, once as an input": (
        model("(float[2] x) => (float y) { x = Relu(x) y = Neg(x) }"),
        "'x' is defined twice",
    ),
    "two inputs of one name": (model("(float[2] x, float[2] x) => (float y) { y = Neg(x) }"), "'x' is defined twice"),
    "a negative dim of a constant": (weight_of(3, -4), "'w' has a negative dim"),
    "sizes that are no integers": (model("(float[2,3] x) => (float y) { y = Expand(x, v) }", v=(2,)), "type mismatch"),
    "a function that calls itself": (recursive("b = local.f0(a)"), "calls itself: 'local.f0'"),
    "functions that call each other": (
        recursive("b = local.f1(a)", "b = local.f0(a)"),
        "a model's functions must not be recursive",
    ),
    "functions that double": (
        recursive(*(f"c = local.f{i + 1}(a) b = local.f{i + 1}(c)" for i in range(60)), "b = Relu(a)"),
        "result in more than 2^60 nodes",
    ),
}
FILES["an IR version that cannot be"][0].ir_version = -1  # type: ignore[union-attr]
_not_sizes = FILES["sizes that are no integers"][0].graph.initializer[0]  # type: ignore[union-attr]
_not_sizes.ClearField("raw_data")
_not_sizes.float_data.extend([float("nan"), 1e38])


@pytest.mark.parametrize(("content", "message"), FILES.values(), ids=FILES.keys())
def test_a_bad_model_gets_one_line(content: bytes | ModelProto, message: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.onnx"
    path.write_bytes(content if isinstance(content, bytes) else content.SerializeToString())
    for format_ in ("table", "json"):
        assert message in refused(invoke(path, "--format", format_))


@pytest.mark.parametrize(("content", "message"), FILES.values(), ids=FILES.keys())
def test_and_leaves_no_file(content: bytes | ModelProto, message: str, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    data = content if isinstance(content, bytes) else content.SerializeToString()
    refused(invoke("-", "-o", out, stdin=data))
    assert list(tmp_path.iterdir()) == []


def test_a_missing_file(tmp_path: Path) -> None:
    assert "there is no file" in refused(invoke(tmp_path / "gone.onnx"))


def test_a_directory(tmp_path: Path) -> None:
    assert "directory" in refused(invoke(tmp_path)).lower()


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may read everything")
def test_no_permission(tmp_path: Path) -> None:
    path = tmp_path / "mine.onnx"
    path.write_bytes(model(RELU).SerializeToString())
    path.chmod(0)
    assert "permission denied" in refused(invoke(path)).lower()


def external(location: str) -> ModelProto:
    made = weight_of(3, 4)
    made.graph.initializer[0].data_location = TensorProto.EXTERNAL
    made.graph.initializer[0].external_data.add(key="location", value=location)
    return made


LEGAL: dict[str, tuple[ModelProto, int, int]] = {
    "no nodes": (model("(float[2,3] x) => (float[2,3] x) { }"), 0, 0),
    "a dim of zero": (with_dims(0, 3), 0, 0),
    "a product of no rows": (model("(float[0,3] x) => (float y) { y = MatMul(x, w) }", w=(3, 4)), 0, 0),
    "a sum over nothing": (model("(float[2,0] x) => (float y) { y = MatMul(x, w) }", w=(0, 4)), 0, 0),
    "a negative dim of an input: it is open": (with_dims(-1, 3), 0, 3),
    "scalars": (model("(float x) => (float y) { y = Relu(x) }"), 0, 1),
    "dims beyond any machine": (with_dims(2**62, 2**62), 0, 2**124),
    "external data outside the folder, never opened": (external("../../etc/passwd"), 24, 8 * 5),
    "nodes out of order": (model("(float[2,3] x) => (float y) { y = Relu(a) a = Neg(x) }"), 0, 12),
    "two nodes of one name": (model("(float[2,3] x) => (float y) { [n] a = Neg(x) [n] y = Relu(a) }"), 0, 12),
    "ai.onnx as a domain": (with_opset(17, "ai.onnx"), 0, 6),
    "a function called twice": (recursive("c = Relu(a) b = Relu(c)"), 0, 12),
}


@pytest.mark.parametrize(("content", "macs", "flops"), LEGAL.values(), ids=LEGAL.keys())
def test_an_odd_but_legal_model_gets_its_number(content: ModelProto, macs: int, flops: int) -> None:
    data = content.SerializeToString()
    result = invoke("-", "--format", "json", "--quiet", stdin=data)
    assert (result.exit_code, result.stderr) == (0, "")
    document = json.loads(result.stdout)
    assert document["complete"]
    assert (document["totals"]["macs"], document["totals"]["flops"]) == (macs, flops)
    for format_ in ("table", "markdown", "csv"):
        assert invoke("-", "--format", format_, stdin=data).exit_code == 0


def test_an_unknown_domain_does_not_stop_the_rest() -> None:
    made = model("(float[2,3] x) => (float[2,3] y) { a = Relu(x) y = com.acme.Mine(a) }", domains=', "com.acme" : 1')
    result = invoke("-", "--format", "json", stdin=made.SerializeToString())
    assert result.exit_code == 0
    document = json.loads(result.stdout)
    assert [(entry["domain"], entry["op_type"]) for entry in document["uncounted"]] == [("com.acme", "Mine")]
    assert "com.acme.Mine" in document["uncounted"][0]["reason"]
    assert (document["complete"], document["totals"]["flops"]) == (False, 6)


def test_an_unknown_operator_does_not_stop_the_rest() -> None:
    made = model("(float[2,3] x) => (float[2,3] y) { a = Relu(x) y = NotYet(a) }")
    document = json.loads(invoke("-", "--format", "json", stdin=made.SerializeToString()).stdout)
    assert [entry["op_type"] for entry in document["uncounted"]] == ["NotYet"]
    assert document["totals"]["flops"] == 6


def test_strict_fails_on_what_is_not_counted() -> None:
    made = model("(float[2,3] x) => (float[2,3] y) { y = NotYet(x) }")
    result = invoke("-", "--strict", "--quiet", stdin=made.SerializeToString())
    assert result.exit_code == 1
    assert "1 of 1 nodes are not counted (NotYet)" in result.stderr
