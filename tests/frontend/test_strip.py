"""Skeletons: what they keep, what they lose, and that they cost the same."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

import onnxcost
from onnxcost.errors import InputError, ModelError
from onnxcost.frontend.file_kinds import FILE_BYTES, NOT_STORED
from onnxcost.frontend.strip import _LABELS, _SPECIFIED, strip
from tests.modeltext import model

MODELS = sorted((Path(__file__).parent.parent.parent / "models").glob("*.onnx"))
SECRET = "secret"

UNKNOWN = b"\xfa\x7f\x06secret"
"""A field of a number that no message of ONNX has."""
TRACE = 'File "/home/secret/net.py", line 7, in forward'

FUNCTION = (
    '<domain: "secret.lib", opset_import: ["" : 17]> secret_f <secret_alpha: float = 0.5> (secret_a) => (secret_b)'
    "{ secret_h = LeakyRelu <alpha: float = @secret_alpha> (secret_a) secret_b = Sigmoid(secret_h) }"
)
GRAPH = """(float[secret_batch, 16, secret_h, W] secret_x, bool secret_mask) => (float[secret_batch, 8, secret_h, W] secret_y)
    { secret_p = Conv <pads = [1, 1, 1, 1]> (secret_x, secret_w)
      secret_q = secret.lib.secret_f <secret_alpha: float = 0.25> (secret_p)
      secret_r = If (secret_mask)
        <then_branch = secret_then () => (float[secret_n, 8, secret_m, W] secret_t) { secret_t = Relu(secret_q) },
         else_branch = secret_else () => (float[secret_n, 8, secret_m, W] secret_e) { secret_e = Identity(secret_q) }>
      secret_y = Mul(secret_r, secret_c) }"""


def telling() -> ModelProto:
    """A model with a word of its owner's everywhere where there can be one."""
    made = model(GRAPH, functions=FUNCTION, domains=', "secret.lib" : 1', secret_w=(8, 16, 3, 3), secret_c=(8, 1, 1))
    made.producer_name = made.producer_version = made.domain = made.doc_string = made.graph.doc_string = SECRET
    made.graph.name = made.graph.initializer[0].doc_string = made.graph.input[0].doc_string = SECRET
    made.metadata_props.add(key=SECRET, value=SECRET)
    for number, node in enumerate(made.graph.node):
        node.name, node.doc_string = f"/secret_net/secret_block.{number}/secret_node", SECRET
        node.metadata_props.add(key="pkg.torch.onnx.name_scopes", value=f"['', 'secret_net', 'secret_net.{number}', 'n']")
        node.metadata_props.add(key="stack_trace", value=SECRET)
    quantization = made.graph.quantization_annotation.add(tensor_name="secret_w")
    quantization.quant_parameter_tensor_names.add(key="SCALE_TENSOR", value="secret_c")
    quantization.quant_parameter_tensor_names.add(key="SECRET_secret", value="secret_c")
    made.graph.initializer[1].external_data.add(key="location", value=SECRET)
    made.graph.node[0].attribute[0].doc_string = made.graph.input[0].type.denotation = made.graph.node[0].overload = SECRET
    made.functions[0].metadata_props.add(key=SECRET, value=SECRET)
    made.functions[0].value_info.append(helper.make_tensor_value_info("secret_h", TensorProto.FLOAT, ["secret_dim@7"]))
    for message in (made, made.graph, made.graph.node[0], made.graph.initializer[0], made.functions[0]):
        message.MergeFromString(UNKNOWN)
    labels = helper.make_node("CategoryMapper", ["secret_l"], ["secret_o"], domain="ai.onnx.ml")
    labels.attribute.append(helper.make_attribute("cats_strings", [b"secret cat", b"secret dog"]))
    labels.attribute.append(helper.make_attribute("cats_int64s", [0, 1]))
    made.graph.initializer.append(helper.make_tensor("secret_l", TensorProto.STRING, [2], [b"secret cat", b"secret dog"]))
    made.graph.node.append(labels)
    made.graph.output.append(helper.make_tensor_value_info("secret_o", TensorProto.INT64, ["secret_count"]))
    made.opset_import.append(helper.make_opsetid("ai.onnx.ml", 3))
    made.opset_import.append(helper.make_opsetid("secret.unused", 1))
    for op_type, strings in {
        "RegexFullMatch": {"pattern": r"secret-\d+"}, "StringSplit": {"delimiter": SECRET}, "Custom": {"mode": [SECRET]},
        "EPContext": {"ep_cache_context": SECRET.encode() + b"\xff", "partition_name": SECRET},
    }.items():  # fmt: skip
        made.graph.node.append(
            helper.make_node(op_type, ["secret_o"], [f"secret_{op_type}"], domain="com.microsoft", **strings)
        )
    made.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    return made


def constant(dtype: str, name: str, value: Any) -> ModelProto:
    """A model whose constant is written as a list."""
    made = model(f"({dtype}[n] x) => ({dtype}[n] y) {{ y = Add(x, c) }}")
    made.graph.node.insert(0, helper.make_node("Constant", [], ["c"], **{name: value}))
    return made


def compiled() -> ModelProto:
    node = helper.make_node("EPContext", ["x"], ["y"], domain="com.microsoft", ep_cache_context="machine code" * 1000)
    made = model("(float[4] x) => (float[4] y) { y = Relu(x) }", domains=', "com.microsoft" : 1')
    made.graph.node[0].CopyFrom(node)
    return made


def sparse() -> ModelProto:
    made = model("(float[2000] x) => (float[2000] y) { y = Add(x, s) }")
    elements = numpy_helper.from_array(np.arange(1000, dtype=np.float32), "s")
    positions = numpy_helper.from_array(np.arange(1000, dtype=np.int64), "positions")
    made.graph.sparse_initializer.append(helper.make_sparse_tensor(elements, positions, [2000]))
    return made


def trained() -> ModelProto:
    made = model("(float[4] x) => (float[4] y) { y = Relu(x) }")
    made.training_info.add().initialization.initializer.append(numpy_helper.from_array(np.zeros(9000, np.float32), "t"))
    return made


MADE = {
    "weights, a function, bodies, labels": telling(),
    "a constant of floats": constant("float", "value_floats", [0.5] * 2000),
    "a constant of integers": constant("int64", "value_ints", [7] * 2000),
    "a compiled model": compiled(),
    "a sparse initializer": sparse(),
    "training": trained(),
}
made = pytest.mark.parametrize("source", MADE.values(), ids=MADE.keys())


def report(source: Any) -> dict[str, Any]:
    """The report as it is printed, less the path."""
    document = json.loads(json.dumps(onnxcost.estimate(source).to_dict()))
    document["model"]["path"] = ""
    return document  # type: ignore[no-any-return]


def numbers(document: Any) -> Any:
    """A report without its words; those of warnings name what they warn of."""
    if isinstance(document, dict):
        return [numbers(value) for value in document.values()]
    return [numbers(value) for value in document] if isinstance(document, list) else type(document) is str or document


@made
def test_a_skeleton_costs_the_same(source: ModelProto, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(source.SerializeToString())
    done = strip(tmp_path / "model.onnx", tmp_path / "skeleton.onnx")
    assert report(tmp_path / "skeleton.onnx") == report(tmp_path / "model.onnx")
    assert done == (source.ByteSize(), (tmp_path / "skeleton.onnx").stat().st_size)
    assert done.after < 5000


@made
def test_an_anonymous_skeleton_has_the_same_numbers(source: ModelProto, tmp_path: Path) -> None:
    strip(source, tmp_path / "skeleton.onnx", anonymize=True)
    assert numbers(report(tmp_path / "skeleton.onnx")) == numbers(report(source))


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_real_models_cost_the_same(path: Path, tmp_path: Path) -> None:
    strip(path, tmp_path / "skeleton.onnx")
    strip(path, tmp_path / "anonymous.onnx", anonymize=True)
    original = report(path)
    assert report(tmp_path / "skeleton.onnx") == original
    assert numbers(report(tmp_path / "anonymous.onnx")) == numbers(original)
    assert (tmp_path / "anonymous.onnx").stat().st_size < 310_000


OF_MODELS = [path for path in sorted((Path(__file__).parent.parent / "data").glob("*.tar.xz")) if "documents" not in path.name]


@pytest.mark.parametrize("archive", OF_MODELS, ids=lambda path: path.stem)
def test_small_models_of_an_archive_cost_the_same(archive: Path, tmp_path: Path) -> None:
    with tarfile.open(archive) as files:
        small = [member for member in files if member.name.endswith(".onnx") and member.size < 40_000]
        sources = {member.name: files.extractfile(member).read() for member in small}  # type: ignore[union-attr]
    assert sources
    for name, source in sources.items():
        strip(source, tmp_path / "skeleton.onnx")
        strip(source, tmp_path / "anonymous.onnx", anonymize=True)
        original = report(source)
        assert report(tmp_path / "skeleton.onnx") == original, name
        assert numbers(report(tmp_path / "anonymous.onnx")) == numbers(original), name


@pytest.mark.parametrize("anonymize", [False, True])
@made
def test_a_stripped_model_is_not_changed_by_stripping(source: ModelProto, anonymize: bool, tmp_path: Path) -> None:
    once, twice = tmp_path / "once.onnx", tmp_path / "twice.onnx"
    strip(source, once, anonymize=anonymize)
    strip(once, twice, anonymize=anonymize)
    assert twice.read_bytes() == once.read_bytes()


def test_the_weights_are_removed_and_the_rest_is_kept(tmp_path: Path) -> None:
    strip(telling(), tmp_path / "skeleton.onnx")
    skeleton = onnx.load(tmp_path / "skeleton.onnx", load_external_data=False)
    large, small, _ = skeleton.graph.initializer
    assert (large.name, list(large.dims), large.data_type) == ("secret_w", [8, 16, 3, 3], TensorProto.FLOAT)
    assert (len(large.raw_data), large.external_data[0].value) == (0, NOT_STORED)
    assert numpy_helper.to_array(small).shape == (8, 1, 1)
    assert [node.name for node in skeleton.graph.node] == [node.name for node in telling().graph.node]
    assert {entry.key: entry.value for entry in skeleton.metadata_props} == {
        SECRET: SECRET,
        FILE_BYTES: str(telling().ByteSize()),
    }


def test_no_word_of_the_owner_is_left_in_an_anonymous_one(tmp_path: Path) -> None:
    strip(telling(), tmp_path / "skeleton.onnx", anonymize=True)
    assert SECRET.encode() not in (tmp_path / "skeleton.onnx").read_bytes()
    skeleton = onnx.load(tmp_path / "skeleton.onnx", load_external_data=False)
    assert [value.name for value in skeleton.graph.input] == ["input", "mask"]
    assert [node.name for node in skeleton.graph.node[:2]] == ["/w/w_2.0/node", "/w/w_2.1/node"]
    (annotation,) = skeleton.graph.quantization_annotation
    names = [tensor.name for tensor in skeleton.graph.initializer]
    assert [annotation.tensor_name, annotation.quant_parameter_tensor_names[0].value] == names[:2]


@pytest.mark.parametrize("anonymize", [False, True])
def test_what_exporters_note_is_gone_and_modules_stay(anonymize: bool, tmp_path: Path) -> None:
    source = telling()
    source.metadata_props.add(key="pkg.torch.export.graph_signature", value=TRACE)
    places = [source.graph, source.graph.input[0], source.graph.initializer[0], *source.graph.node, *source.functions]
    places += [*source.functions[0].node, source.graph.node[2].attribute[0].g.node[0]]
    for place in places:
        place.doc_string = TRACE
        for key in ("pkg.torch.onnx.stack_trace", "pkg.torch.onnx.fx_node", "pkg.torch.onnx.class_hierarchy", "location"):
            place.metadata_props.add(key=key, value=TRACE)
    strip(source, tmp_path / "skeleton.onnx", anonymize=anonymize)
    content = (tmp_path / "skeleton.onnx").read_bytes()
    assert b"net.py" not in content
    assert UNKNOWN not in content
    assert numbers(report(tmp_path / "skeleton.onnx")) == numbers(report(source))
    for depth in (1, 2):
        after, before = (onnxcost.estimate(each).by_scope(depth) for each in (tmp_path / "skeleton.onnx", source))
        assert [len(group.key) for group in after] == [len(group.key) for group in before]
        assert anonymize or [group.key for group in after] == [group.key for group in before]


@pytest.mark.parametrize(("count", "stays"), [(256, True), (257, False)])
@pytest.mark.parametrize(("dtype", "name", "size"), [("float", "value_floats", 4), ("int64", "value_ints", 8)])
def test_a_list_of_1_kib_stays(dtype: str, name: str, size: int, count: int, stays: bool, tmp_path: Path) -> None:
    source = constant(dtype, name, [1.0 if size == 4 else 1] * (count * 4 // size))
    strip(source, tmp_path / "skeleton.onnx")
    (attribute,) = onnx.load(tmp_path / "skeleton.onnx", load_external_data=False).graph.node[0].attribute
    assert (attribute.name == name) == (stays or size * (count * 4 // size) <= 1024)


@pytest.mark.parametrize(
    ("dtype", "name", "value", "data_type"),
    [("float", "value_floats", 1.0, 1), ("int64", "value_ints", 1, 7), ("string", "value_strings", "word", 8)],
)
def test_a_long_list_becomes_a_tensor_without_data(
    dtype: str, name: str, value: object, data_type: int, tmp_path: Path
) -> None:
    strip(constant(dtype, name, [value] * 300), tmp_path / "skeleton.onnx")
    (attribute,) = onnx.load(tmp_path / "skeleton.onnx", load_external_data=False).graph.node[0].attribute
    assert (attribute.t.data_type, list(attribute.t.dims), attribute.t.ByteSize() < 100) == (data_type, [300], True)


def test_strings_that_onnx_defines_stay(tmp_path: Path) -> None:
    values = {"auto_pad": "SAME_UPPER", "mode": "linear", "activations": ["Relu", "Affine"], "direction": "bidirectional"}
    values |= {"coordinate_transformation_mode": "half_pixel", "equation": "zq,...q->z...", "classlabels_strings": ["mean"]}
    source = model("(float[n] x) => (float[n] y) { y = Relu(x) }")
    source.graph.node.append(helper.make_node("All", ["x"], ["z"], domain="com.microsoft", **values))
    strip(source, tmp_path / "skeleton.onnx", anonymize=True)
    skeleton = onnx.load(tmp_path / "skeleton.onnx", load_external_data=False)
    found = {each.name: helper.get_attribute_value(each) for each in skeleton.graph.node[1].attribute}
    assert found == {
        "auto_pad": b"SAME_UPPER", "mode": b"linear", "activations": [b"Relu", b"Affine"], "direction": b"bidirectional",
        "coordinate_transformation_mode": b"half_pixel", "equation": b"BA,...A->B...", "classlabels_strings": [b"text"],
    }  # fmt: skip


def test_all_defaults_of_the_specification_are_known() -> None:
    kinds = (onnx.AttributeProto.STRING, onnx.AttributeProto.STRINGS)
    defaults = [
        value.decode()
        for schema in onnx.defs.get_all_schemas_with_history()
        for each in schema.attributes.values()
        if (default := each.default_value).type in kinds and each.name not in _LABELS
        for value in (default.strings or [default.s])
    ]
    assert len(defaults) > 50
    assert set(defaults) - _SPECIFIED <= {"", "foward"}  # the first GRU's default is misspelt


def test_modules_keep_their_nesting(tmp_path: Path) -> None:
    strip(telling(), tmp_path / "skeleton.onnx", anonymize=True)
    for depth in (1, 2):
        before, after = (
            [
                (len(group.key), group.total(onnxcost.CONVENTIONS["flops"]))
                for group in onnxcost.estimate(source).by_scope(depth)
            ]
            for source in (telling(), tmp_path / "skeleton.onnx")
        )
        assert after == before


DIMS = {
    "batch": ["batch_size", "n_batches", "B", "bs"],
    "sequence": ["seq_len", "past_sequence_length", "num_tokens", "T", "frames"],
    "image": ["height", "im_width", "H"],
    "none": ["channels", "x1"],
    "arithmetic": ["seq_a", "past_seq", "past_seq + seq_a", "total_seq"],
    "arithmetic of others": ["floor(foo/2)", "2*seq_q + 1", "foo - bar"],
    "no name": ["?", "None", "-1"],
    "total": ["total_sequence_length", "seq_a", "max_seq", "seq_max_total"],
}


@pytest.mark.parametrize("rank", [2, 3, 4])
@pytest.mark.parametrize("names", DIMS.values(), ids=DIMS.keys())
def test_dims_are_assumed_independently_of_names(names: list[str], rank: int, tmp_path: Path) -> None:
    inputs = [
        helper.make_tensor_value_info(f"{kind}{i}", TensorProto.FLOAT, [3] * axis + [name] + [None] * (rank - axis - 1))
        for i, name in enumerate(names)
        for axis, kind in enumerate(("hidden", "image")[: rank - 1])
    ]
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph([helper.make_node("Relu", [inputs[0].name], ["y"])], "g", inputs, [output])
    source = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    strip(source, tmp_path / "skeleton.onnx", anonymize=True)
    shapes, again = ([t.shape for t in onnxcost.estimate(each).graph.inputs] for each in (source, tmp_path / "skeleton.onnx"))
    assert again == shapes


def test_data_in_other_files_is_forgotten_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(telling(), path, save_as_external_data=True, location="weights.bin", size_threshold=1000)
    done = strip(path, tmp_path / "skeleton.onnx")
    assert done.before == path.stat().st_size + (tmp_path / "weights.bin").stat().st_size
    assert b"weights.bin" not in (tmp_path / "skeleton.onnx").read_bytes()
    assert report(tmp_path / "skeleton.onnx") == report(path)


@pytest.mark.parametrize("target", ["model.onnx", "link.onnx", "weights.bin"])
def test_the_model_itself_is_never_overwritten(target: str, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(telling(), path, save_as_external_data=True, location="weights.bin", size_threshold=1000)
    (tmp_path / "link.onnx").symlink_to(path)
    with pytest.raises(InputError, match="is the model itself"):
        strip(path, tmp_path / target)


def test_what_fails_leaves_no_trace(tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_text("no model")
    (tmp_path / "old.onnx").write_text("old")
    with pytest.raises(ModelError):
        strip(tmp_path / "text.onnx", tmp_path / "old.onnx")
    with pytest.raises(InputError, match="cannot write"):
        strip(telling(), tmp_path / "none" / "skeleton.onnx")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["old.onnx", "text.onnx"]
    assert (tmp_path / "old.onnx").read_text() == "old"


def test_every_kind_of_source_gives_the_same_skeleton(tmp_path: Path) -> None:
    content = telling().SerializeToString()
    for name, source in {"bytes": content, "model": telling(), "file": io.BytesIO(content)}.items():
        strip(source, tmp_path / name)
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 1


def test_it_is_part_of_the_library() -> None:
    assert onnxcost.strip is strip


ODD_DIMS = [
    "=1+1",
    "a=b",
    "1+1",
    "?",
    "-1",
    "x" * 250 + "+1",
    "rows + cols",
    "(h + 1)//2",
    "seq-len",
    "batch size",
    "2x",
    "наборы",
]


@pytest.mark.parametrize("name", ODD_DIMS, ids=[name[:20] for name in ODD_DIMS])
def test_the_renamed_dim_is_an_expression_if_it_was_one(name: str, tmp_path: Path) -> None:
    source = model("(float[1,1,height,width] x) => (float y) { y = Relu(x) }")
    source.graph.input[0].type.tensor_type.shape.dim[3].dim_param = name
    strip(source, tmp_path / "skeleton.onnx", anonymize=True)
    assert numbers(report(tmp_path / "skeleton.onnx")) == numbers(report(source))
