"""Small files that require much work: minutes of CPU time or gigabytes, if all of it were done.

    python scripts/heavy_models.py [NAME ...]

Counts each in a separate process and prints a line of JSON: its name, bytes, CPU seconds, bytes of memory, and the outcome.
Exit code 1 if one took more than SECONDS or MEMORY, or ended in anything but a report or an OnnxCostError.
"""

# ruff: noqa: E501
from __future__ import annotations

import json
import os
import resource
import sys
import traceback
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

from onnx import FunctionProto, GraphProto, ModelProto, NodeProto, TensorProto, helper, parser

_HEAD = '<domain: "local", opset_import: ["" : 20, "local" : 1]>'


def _text(nodes: str, functions: str = "", opset: int = 20) -> bytes:
    opsets = f'"" : {opset}' + (', "local" : 1' if functions else "")
    text = f"<ir_version: 9, opset_import: [{opsets}]>\ng (float[2,3] x, bool c) => (float y) {{ {nodes} }}\n{functions}"
    return parser.parse_model(text).SerializeToString()


def _graph(
    nodes: Iterable[NodeProto],
    stored: Iterable[TensorProto] = (),
    inputs: Mapping[str, Sequence[int | str]] | None = None,
    functions: Iterable[FunctionProto] = (),
) -> bytes:
    infos = [helper.make_tensor_value_info(name, 1, dims) for name, dims in (inputs or {"x": [2, 3]}).items()]
    graph = helper.make_graph(list(nodes), "g", infos, [helper.make_empty_tensor_value_info("y")], list(stored))
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("local", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9, functions=list(functions)).SerializeToString()


_FOLDED: Mapping[str, str] = {
    "a pattern that backtracks": f's = Constant <value_strings = ["{"a" * 40}!"]> () '
    'v = RegexFullMatch <pattern = "(a|a?)+$"> (s)',
    "strings doubled": 's0 = Constant <value_strings = ["abcd"]> () '
    + " ".join(f"s{i + 1} = StringConcat (s{i}, s{i})" for i in range(33))
    + " v = Equal (s33, s33)",
    "strings split": f's = Constant <value_strings = ["{"a " * 400}"]> () e = Expand (s, k) v, w = StringSplit <delimiter = " "> (e)',
    "strings normalized": f's = Constant <value_strings = ["{"aB" * 400}"]> () e = Expand (s, k) f = Expand (e, k) '
    'v = StringNormalizer <case_change_action = "LOWER"> (f)',
    "an Einsum of 28 operands": "a = Constant <value_floats = [1.0, 2.0]> () v = Einsum <equation = "
    f'"{",".join("abcdefghijklmnopqrstuvwxyzAB")}->"> ({", ".join(["a"] * 28)})',
    "an Einsum of a diagonal": 'a = ConstantOfShape (k) v = Einsum <equation = "a,b,c,d,e->"> (a, a, a, a, a)',
    "a TfIdfVectorizer that skips 10^12": "a = Constant <value_ints = [1, 2, 3]> () v = TfIdfVectorizer <max_gram_length = 2, "
    'max_skip_count = 1000000000000, min_gram_length = 1, mode = "TF", ngram_counts = [0, 4], ngram_indexes = [0, 1, 2, 3, 4, 5], '
    "pool_int64s = [1, 2, 3, 4, 1, 2, 2, 3]> (a)",
    "a MaxPool of 10^9": "a = Constant <value = float[1,1,2] {1.0, 2.0}> () "
    "v = MaxPool <kernel_shape = [1000000000], pads = [500000000, 500000000]> (a)",
    "an AveragePool of 10^9": "a = Constant <value = float[1,1,2] {1.0, 2.0}> () v = AveragePool <kernel_shape = [1000000000], "
    "pads = [500000000, 500000000], count_include_pad = 1> (a)",
    "an LpPool of 10^9": "a = Constant <value = float[1,1,2] {1.0, 2.0}> () "
    "v = LpPool <kernel_shape = [1000000000], pads = [500000000, 500000000]> (a)",
    "a Conv of a padding of 10^9": "a = Constant <value = float[1,1,2] {1.0, 2.0}> () w = Constant <value = float[1,1,1] {1.0}> () "
    "v = Conv <pads = [1000000000, 1000000000], strides = [2000000000]> (a, w)",
    "a Conv of a dilation of 10^9": "a = Constant <value = float[1,1,2] {1.0, 2.0}> () w = Constant <value = float[1,1,2] {1.0, 1.0}> () "
    "v = Conv <pads = [500000000, 500000000], dilations = [1000000000]> (a, w)",
    "a RoiAlign of 10^9 samples": "a = Constant <value = float[1,1,2,2] {1.0, 2.0, 3.0, 4.0}> () r = Constant <value = float[1,4] "
    "{0.0, 0.0, 1.0, 1.0}> () b = Constant <value_ints = [0]> () v = RoiAlign <sampling_ratio = 1000000000> (a, r, b)",
    "a DFT of 10^9": "a = Constant <value = float[1,2,1] {1.0, 2.0}> () n = Constant <value_int = 1000000000> () d = DFT (a, n) "
    "v = ReduceSum <keepdims = 0> (d)",
    "an STFT": "a = Constant <value = float[1,4,1] {1.0, 2.0, 3.0, 4.0}> () n = Constant <value_int = 1> () "
    "l = Constant <value_int = 1000000000> () v = STFT (a, n, , l)",
    "a Resize of 10^9": "a = Constant <value_floats = [1.0]> () n = Constant <value_ints = [1000000000]> () r = Resize (a, , , n) "
    "v = ReduceSum <keepdims = 0> (r)",
    "a MelWeightMatrix": "n = Constant <value_int = 1> () d = Constant <value_int = 1000000000> () s = Constant <value_int = 8000> () "
    "f = Constant <value_float = 1.0> () v = MelWeightMatrix (n, d, s, f, f)",
    "a Det of 10^3": "a = Constant <value_ints = [31, 31]> () e = ConstantOfShape (a) v = Det (e)",
    "a Unique": "a = ConstantOfShape (k) v = Unique (a)",
    "a BitShift": "a = Constant <value = uint64[1] {9223372036854775807}> () v = BitShift <direction = \"LEFT\"> (a, a)",
    "a Col2Im": "a = Constant <value = float[1,1,1] {1.0}> () s = Constant <value_ints = [1000000000]> () "
    "b = Constant <value_ints = [1000000000]> () e = Col2Im (a, s, b) v = ReduceSum <keepdims = 0> (e)",
    "an Upsample": "a = ConstantOfShape (k) s = Constant <value_floats = [1000000000.0]> () e = Resize (a, , s) "
    "v = ReduceSum <keepdims = 0> (e)",
    "a NonMaxSuppression": "b = Constant <value = float[1,1,4] {0.0, 0.0, 1.0, 1.0}> () s = Constant <value = float[1,1,1] {1.0}> () "
    "m = Constant <value_int = 9223372036854775807> () v = NonMaxSuppression (b, s, m)",
    "an Expand that is summed": "n = Constant <value_ints = [1000000000]> () e = Expand (m1, n) v = ReduceSum <keepdims = 0> (e)",
    "a Pad that is sliced": "n = Constant <value_ints = [0, 1000000000]> () e = Pad (m1, n) z = Constant <value_ints = [0]> () "
    "o = Constant <value_ints = [1]> () v = Slice (e, z, o)",
    "a Range of nothing": "a = Constant <value_float = 0.0> () b = Constant <value_float = 1.0> () "
    "d = Constant <value_float = 1e-30> () r = Range (a, b, d) v = ReduceSum <keepdims = 0> (r)",
    "a Range from nan": "a = Constant <value_float = 0.0> () b = Div (a, a) r = Range (a, b, b) v = ReduceSum <keepdims = 0> (r)",
    "powers of powers": "v0 = Constant <value_ints = [9, 9]> () " + " ".join(f"v{i + 1} = Pow (v{i}, v{i})" for i in range(400))
    + " v = Identity (v400)",
    "a long chain of shape arithmetic": "v0 = Shape (x) " + " ".join(f"v{i + 1} = Add (v{i}, v0)" for i in range(3000))
    + " v = Identity (v3000)",
    "Concats of ever more": "v0 = Shape (x) " + " ".join(f"v{i + 1} = Concat <axis = 0> (v{i}, v0)" for i in range(1500))
    + " v = Slice (v1500, k0, k2)",
    "1,024 elements 2,000 times": "v0 = Expand (k2, k) "
    + " ".join(f"v{i + 1} = Add (v{i}, k2)" for i in range(2000)) + " v = Slice (v2000, k0, k2)",
    "scalars of large arrays": " ".join(
        f"a{i} = ConstantOfShape (k) s{i} = Shape (a{i}) e{i} = Expand (a{i}, s{i}) r{i} = ReduceSum <keepdims = 0> (e{i})"
        for i in range(500)) + " v = Identity (r499)",
}  # fmt: skip
_CONSTANTS = (
    "k = Constant <value_ints = [1024]> () k0 = Constant <value_ints = [0]> () k2 = Constant <value_ints = [2]> () "
    "m1 = Constant <value_ints = [-1]> () "
)


def _folds(make: str) -> bytes:
    """A model whose shapes ask for the value ``v``."""
    return _text(f"{_CONSTANTS} {make} i = Cast <to = 7> (v) j = Reshape (i, m1) y = Reshape (x, j)")


def _function(name: str, nodes: Iterable[NodeProto], inputs: Sequence[str] = ("a",), output: str = "b") -> FunctionProto:
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("local", 1)]
    return helper.make_function("local", name, list(inputs), [output], list(nodes), opsets)


def _call(name: str, source: str, made: str) -> NodeProto:
    return helper.make_node(name, [source], [made], domain="local")


def _chain_of_functions(count: int) -> bytes:
    functions = [_function(f"f{i}", [_call(f"f{i + 1}", "a", "b")]) for i in range(count)]
    functions.append(_function(f"f{count}", [helper.make_node("Relu", ["a"], ["b"])]))
    return _graph([_call("f0", "x", "y")], functions=functions)


def _functions_that_double(levels: int, leaf: int = 1) -> bytes:
    """2^levels calls, each of ``leaf`` nodes."""
    functions = [_function(f"f{i}", [_call(f"f{i + 1}", "a", "t"), _call(f"f{i + 1}", "t", "b")]) for i in range(levels)]
    names = ["a", *(f"t{i}" for i in range(leaf - 1)), "b"]
    nodes = [helper.make_node("Relu", [names[i]], [names[i + 1]]) for i in range(leaf)]
    functions.append(_function(f"f{levels}", nodes))
    return _graph([_call("f0", "x", "y")], functions=functions)


def _branch(nodes: Iterable[NodeProto], output: str) -> GraphProto:
    return helper.make_graph(list(nodes), "b", [], [helper.make_empty_tensor_value_info(output)])


def _towers_of_ifs(levels: int, ifs: int, twice: bool = False) -> bytes:
    """Functions that call the next one inside ``ifs`` Ifs, in one branch or in both."""

    def tower(leaf: str, depth: int, made: str) -> NodeProto:
        if not depth:
            return helper.make_node(leaf, ["c", "a"], [made], domain="local")
        inner = tower(leaf, depth - 1, f"{made}t")
        other = tower(leaf, depth - 1, f"{made}e") if twice else helper.make_node("Identity", ["a"], [f"{made}e"])
        branches = {"then_branch": _branch([inner], f"{made}t"), "else_branch": _branch([other], f"{made}e")}
        return helper.make_node("If", ["c"], [made], **branches)

    functions = [_function(f"f{i}", [tower(f"f{i + 1}", ifs, "b")], ("c", "a")) for i in range(levels)]
    functions.append(_function(f"f{levels}", [helper.make_node("Relu", ["a"], ["b"])], ("c", "a")))
    call = helper.make_node("f0", ["c", "x"], ["y"], domain="local")
    return _graph([call], inputs={"x": [2, 3], "c": []}, functions=functions)


def _nested_ifs(depth: int, both: bool) -> bytes:
    def body(level: int, made: str) -> list[NodeProto]:
        if not level:
            return [helper.make_node("Relu", ["x"], [made])]
        then, other = body(level - 1, f"{made}t"), [helper.make_node("Neg", ["x"], [f"{made}e"])]
        if both:
            other = body(level - 1, f"{made}e")
        branches = {"then_branch": _branch(then, f"{made}t"), "else_branch": _branch(other, f"{made}e")}
        return [helper.make_node("If", ["c"], [made], **branches)]

    return _graph(body(depth, "y"), inputs={"x": [2, 3], "c": []})


def _nested_loops(depth: int, trips: int, grows: bool, twice: bool = False) -> bytes:
    """Loops inside each other: ``grows`` makes what is carried larger in each iteration, so that they are unrolled."""

    def loop(level: int, made: str, source: str) -> NodeProto:
        carried, result = f"{made}a", f"{made}b"
        if level == 1:
            step = helper.make_node("Concat", [carried, carried], [result], axis=0) if grows else None
            nodes = [step or helper.make_node("Relu", [carried], [result])]
        else:
            nodes = [loop(level - 1, result, carried)]
            if twice:
                nodes = [loop(level - 1, f"{result}h", carried), loop(level - 1, result, f"{result}h")]
        nodes.append(helper.make_node("Identity", [f"{made}k"], [f"{made}l"]))
        inputs = [helper.make_tensor_value_info(f"{made}i", 7, []), helper.make_tensor_value_info(f"{made}k", 9, [])]
        inputs.append(helper.make_tensor_value_info(carried, 1, None))
        outputs = [helper.make_empty_tensor_value_info(name) for name in (f"{made}l", result)]
        return helper.make_node("Loop", ["m", "t", source], [made], body=helper.make_graph(nodes, "b", inputs, outputs))

    stored = [helper.make_tensor("m", 7, [], [trips]), helper.make_tensor("t", 9, [], [True])]
    return _graph([loop(depth, "y", "x")], stored)


def _nested_scans(depth: int) -> bytes:
    def scan(level: int, made: str, state: str, source: str) -> NodeProto:
        inner, piece, result = f"{made}a", f"{made}s", f"{made}b"
        node = helper.make_node("Add", [inner, piece], [result]) if level == 1 else scan(level - 1, result, inner, source)
        inputs = [helper.make_tensor_value_info(name, 1, None) for name in (inner, piece)]
        body = helper.make_graph([node], "b", inputs, [helper.make_empty_tensor_value_info(result)])
        return helper.make_node("Scan", [state, source], [made], body=body, num_scan_inputs=1)

    return _graph([scan(depth, "y", "s", "x")], inputs={"x": [10**9, 3], "s": [3]})


def _doubled_sequences(count: int, then: str) -> bytes:
    """A sequence that grows by one tensor in each of ``count`` nodes, or is mapped or joined ``count`` times."""
    nodes = [helper.make_node("SequenceEmpty", [], ["q0"])]
    nodes += [helper.make_node("SequenceInsert", [f"q{i}", "x"], [f"q{i + 1}"]) for i in range(count)]
    nodes += [
        helper.make_node(then, [f"q{count}"], [f"r{i}"], **({"axis": 0} if "Concat" in then else {})) for i in range(count)
    ]
    return _graph([*nodes, helper.make_node("Relu", ["x"], ["y"])])


def _split_sequences(count: int) -> bytes:
    nodes = [helper.make_node("SplitToSequence", ["x"], [f"q{i}"], keepdims=1) for i in range(count)]
    return _graph([*nodes, helper.make_node("Relu", ["x"], ["y"])], inputs={"x": [99_999, 1]})


def _nested_sequences(levels: int) -> bytes:
    """Each level a sequence of two of the one before: 2^levels tensors."""
    nodes = [helper.make_node("SequenceConstruct", ["x", "x"], ["q0"])]
    nodes += [helper.make_node("SequenceConstruct", [f"q{i}", f"q{i}"], [f"q{i + 1}"]) for i in range(levels)]
    return _graph([*nodes, helper.make_node("Relu", ["x"], ["y"])])


def _mapped_sequences(levels: int, length: int) -> bytes:
    """SequenceMaps inside each other over one sequence: length^levels bodies."""

    def mapped(level: int, made: str) -> NodeProto:
        element, result = f"{made}a", f"{made}b"
        inner = helper.make_node("Relu", [element], [result]) if level == 1 else mapped(level - 1, result)
        body = helper.make_graph(
            [inner], "b", [helper.make_tensor_value_info(element, 1, None)], [helper.make_empty_tensor_value_info(result)]
        )
        return helper.make_node("SequenceMap", ["q"], [made], body=body)

    split = helper.make_node("SplitToSequence", ["x"], ["q"])
    return _graph([split, mapped(levels, "z"), helper.make_node("Relu", ["x"], ["y"])], inputs={"x": [length, 1]})


def _read_sequences(count: int, then: str) -> bytes:
    """One sequence of 99,999 tensors that many nodes read."""
    attributes = {"axis": 0} if then == "ConcatFromSequence" else {}
    more = ["i"] if then in ("SequenceAt", "SequenceErase") else ["x"] if then in ("SequenceInsert", "Compress") else []
    nodes = [helper.make_node("SplitToSequence", ["x"], ["q"])]
    nodes += [helper.make_node(then, ["q", *more], [f"r{i}"], **attributes) for i in range(count)]
    inputs: Mapping[str, Sequence[int | str]] = {"x": [99_999, 1], "i": []}
    return _graph([*nodes, helper.make_node("Relu", ["x"], ["y"])], inputs=inputs)


def _nested_optionals(levels: int) -> bytes:
    nodes = [helper.make_node("Optional", ["x"], ["q0"])]
    nodes += [helper.make_node("Optional", [f"q{i}"], [f"q{i + 1}"]) for i in range(levels)]
    return _graph([*nodes, helper.make_node("Relu", ["x"], ["y"])])


def _handed_through(count: int) -> bytes:
    """A value that passes through a chain of Ifs, and then decides a shape."""
    stored = [helper.make_tensor("c", 9, [], [True]), helper.make_tensor("v0", 7, [2], [3, 2])]
    nodes = []
    for i in range(count):
        branch = helper.make_graph([], "b", [], [helper.make_empty_tensor_value_info(f"v{i}")])
        nodes.append(helper.make_node("If", ["c"], [f"v{i + 1}"], then_branch=branch, else_branch=branch))
    return _graph([*nodes, helper.make_node("Reshape", ["x", f"v{count}"], ["y"])], stored)


def _loop(
    nodes: Sequence[NodeProto], stored: Iterable[TensorProto] = (), declared: int = 0, name: str = "", trips: int = 1600
) -> bytes:
    """A Loop that is unrolled because what it carries grows: ``a`` becomes ``b``."""
    grow = helper.make_node("Concat", ["a", "x"], ["b"], axis=0)
    hold = helper.make_node("Identity", ["k"], ["l"])
    infos = [helper.make_tensor_value_info(*each) for each in (("i", 7, []), ("k", 9, []), ("a", 1, None))]
    outputs = [helper.make_empty_tensor_value_info(made) for made in ("l", "b")]
    body = helper.make_graph([*nodes, grow, hold], "b", infos, outputs, list(stored))
    body.value_info.extend(helper.make_tensor_value_info(f"d{i}", 1, [2]) for i in range(declared))
    loop = helper.make_node("Loop", ["m", "t", "x"], ["y"], name, body=body)
    return _graph(
        [loop], [helper.make_tensor("m", 7, [], [trips]), helper.make_tensor("t", 9, [], [True])], {"x": [2, 3], "c": []}
    )


def _loop_of_branches(nodes: int) -> bytes:
    then = _branch([helper.make_node("Relu", ["a"], [f"t{i}"]) for i in range(nodes)], "t0")
    return _loop([helper.make_node("If", ["c"], ["p"], then_branch=then, else_branch=then)])


def _mapped_branches(length: int, nodes: int) -> bytes:
    then = _branch([helper.make_node("Relu", ["e"], [f"t{i}"]) for i in range(nodes)], "t0")
    body = helper.make_graph(
        [helper.make_node("If", ["c"], ["r"], then_branch=then, else_branch=then)],
        "b",
        [helper.make_tensor_value_info("e", 1, None)],
        [helper.make_empty_tensor_value_info("r")],
    )
    nodes_ = [helper.make_node("SplitToSequence", ["x"], ["q"]), helper.make_node("SequenceMap", ["q"], ["z"], body=body)]
    return _graph([*nodes_, helper.make_node("Relu", ["x"], ["y"])], inputs={"x": [length, 1], "c": []})


def _long_names(length: int, nodes: int) -> bytes:
    """A long name around many nodes."""
    then = _branch([helper.make_node("Relu", ["x"], [f"t{i}"]) for i in range(nodes)], "t0")
    return _graph(
        [helper.make_node("If", ["c"], ["y"], "n" * length, then_branch=then, else_branch=then)], inputs={"x": [2, 3], "c": []}
    )


def _long_arguments(length: int, nodes: int, levels: int) -> bytes:
    """A long name, or a large attribute, that functions repeat."""
    functions = [_function(f"f{i}", [_call(f"f{i + 1}", "a", "t"), _call(f"f{i + 1}", "t", "b")]) for i in range(levels)]
    functions.append(
        _function(f"f{levels}", [helper.make_node("Relu", ["a"], ["b" if not i else f"b{i}"]) for i in range(nodes)])
    )
    return _graph([_call("f0", "x" * length, "y")], inputs={"x" * length: [2, 3]}, functions=functions)


def _large_attributes(size: int, nodes: int) -> bytes:
    repeated = [helper.make_node("Mine", ["a"], ["b" if not i else f"b{i}"], domain="local") for i in range(nodes)]
    for node in repeated:
        node.attribute.add(name="p", ref_attr_name="p", type=7)
    function = helper.make_function("local", "f", ["a"], ["b"], repeated, [helper.make_opsetid("local", 1)], ["p"])
    call = helper.make_node("f", ["x"], ["y"], domain="local", p=list(range(size)))
    return _graph([call], functions=[function])


def _junk_graphs(count: int) -> bytes:
    """Operators that have no bodies, with bodies."""
    nodes = [helper.make_node("Relu", ["x"], [f"r{i}"], g=_branch([], "x")) for i in range(count)]
    return _graph([*nodes, helper.make_node("Relu", ["x"], ["y"])])


def _contradictions(count: int, dims: int) -> bytes:
    """Impossible branches, and many dims to name."""
    then = _branch([helper.make_node("MatMul", ["x", "x"], ["t"])], "t")
    other = _branch([helper.make_node("Relu", ["x"], ["e"])], "e")
    nodes = [helper.make_node("If", ["c"], [f"r{i}"], then_branch=then, else_branch=other) for i in range(count)]
    inputs: dict[str, Sequence[int | str]] = {"x": [2, 3], "c": []}
    inputs |= {f"i{i}": [f"n{i}_{j}" for j in range(60)] for i in range(dims // 60)}
    return _graph([*nodes, helper.make_node("Relu", ["x"], ["y"])], inputs=inputs)


def _trees(nodes: int, roots: int) -> bytes:
    """Trees that are one chain of nodes, entered at its beginning and at every node of it."""
    following = [*range(1, nodes), 0]
    attributes = {f"nodes_{side}nodeids": following for side in ("true", "false")}
    attributes |= {"nodes_trueleafs": [0] * (nodes - 1) + [1], "nodes_falseleafs": [1] + [0] * (nodes - 1)}
    attributes |= {"tree_roots": [*[0] * roots, *range(nodes)], "leaf_targetids": [0], "nodes_featureids": [0] * nodes}
    node = helper.make_node("TreeEnsemble", ["x"], ["y"], domain="ai.onnx.ml", n_targets=1, **attributes)
    for name, kind in {
        "nodes_modes": TensorProto.UINT8,
        "nodes_splits": TensorProto.FLOAT,
        "leaf_weights": TensorProto.FLOAT,
    }.items():
        node.attribute.append(helper.make_attribute(name, TensorProto(data_type=kind, dims=[1 if name[0] == "l" else nodes])))
    made = ModelProto.FromString(_graph([node]))
    made.opset_import.add(domain="ai.onnx.ml", version=5)
    return made.SerializeToString()


def _open_inputs(count: int) -> bytes:
    """Concatenated inputs with a symbol each, whose sum does not fit."""
    inputs = {f"x{i}": [f"n{i}", 7] for i in range(count)}
    joined = helper.make_node("Concat", list(inputs), ["j"], axis=0)
    target = helper.make_tensor("t", TensorProto.INT64, [2], [1, 5])
    return _graph([joined, helper.make_node("Reshape", ["j", "t"], ["y"])], [target], inputs)


def _open_chain(count: int) -> bytes:
    """Shape arithmetic that is repeated for each size, before a Reshape that fits no size."""
    nodes = [helper.make_node("Shape", ["x"], ["v0"])]
    nodes += [helper.make_node("Add", [f"v{i}", "v0"], [f"v{i + 1}"]) for i in range(count)]
    target = helper.make_tensor("t", TensorProto.INT64, [2], [5, 11])
    nodes += [helper.make_node("Expand", ["x", f"v{count}"], ["e"]), helper.make_node("Reshape", ["x", "t"], ["r"])]
    return _graph([*nodes, helper.make_node("Add", ["e", "r"], ["y"])], [target], {"x": ["n", "h", 7]})


def _dims(names: Iterable[str]) -> bytes:
    """An input with a dim of each name, and 60 inputs more at most that have the others."""
    names = list(names)
    inputs = {f"x{i}": names[i : i + 50] for i in range(0, len(names), 50)}
    return _graph([helper.make_node("Relu", ["x0"], ["y"])], inputs=inputs)


def _inputs(count: int, symbols: int) -> bytes:
    inputs = {f"x{i}": [f"n{i}_{j}" for j in range(symbols)] for i in range(count)}
    return _graph([helper.make_node("Relu", ["x0"], ["y"])], inputs=inputs)


def _same_inputs(count: int) -> bytes:
    node = helper.make_node("Concat", ["x"] * count, ["y"], axis=0)
    return _graph([node, *(helper.make_node("Sum", ["x"] * 200, [f"s{i}"]) for i in range(count // 1000))])


def _reversed_chain(count: int) -> bytes:
    nodes = [helper.make_node("Relu", [f"v{i}"], [f"v{i + 1}"]) for i in range(count)]
    nodes[-1].output[0], nodes[0].input[0] = "y", "x"
    return _graph(reversed(nodes))


def _shared_number(count: int) -> bytes:
    """One stored number that every node multiplies by."""
    names = ["x", *(f"v{i}" for i in range(count - 1)), "y"]
    nodes = [helper.make_node("Mul", [names[i], "n"], [names[i + 1]]) for i in range(count)]
    return _graph(nodes, [helper.make_tensor("n", TensorProto.FLOAT, [], [2])])


def _constants(count: int) -> bytes:
    """Constants of 1,024 elements each, all summed up."""
    nodes = [
        helper.make_node("ConstantOfShape", ["n"], [f"a{i}"], value=helper.make_tensor("v", 7, [1], [i])) for i in range(count)
    ]
    nodes += [helper.make_node("Concat", [f"a{i}" for i in range(count)], ["c"], axis=0)]
    nodes += [helper.make_node("Shape", ["c"], ["s"]), helper.make_node("Reshape", ["x", "s"], ["y"])]
    return _graph(nodes, [helper.make_tensor("n", 7, [1], [1024])])


HEAVY: Mapping[str, Callable[[], bytes]] = {
    **{name: partial(_folds, make) for name, make in _FOLDED.items()},
    "a number that 6,000 nodes read": partial(_shared_number, 6000),
    "a chain of 1,500 functions": partial(_chain_of_functions, 1500),
    "functions that double 17 times": partial(_functions_that_double, 17),
    "functions that double 30 times": partial(_functions_that_double, 30),
    "functions that double 10 times, of 200 nodes": partial(_functions_that_double, 10, 200),
    "towers of Ifs": partial(_towers_of_ifs, 12, 6),
    "towers of Ifs, both branches": partial(_towers_of_ifs, 8, 1, True),
    "towers of Ifs, both branches, more": partial(_towers_of_ifs, 16, 1, True),
    "towers of many Ifs": partial(_towers_of_ifs, 20, 12),
    "Ifs nested 28 deep": partial(_nested_ifs, 28, False),
    "Ifs nested 8 deep, both branches": partial(_nested_ifs, 8, True),
    "Loops nested 28 deep": partial(_nested_loops, 28, 10**9, False),
    "Loops nested 28 deep that grow": partial(_nested_loops, 28, 3, True),
    "Loops nested 10 deep, twice each": partial(_nested_loops, 9, 3, True, True),
    "a Loop that grows for ever": partial(_nested_loops, 1, 10**9, True),
    "Scans nested 28 deep": partial(_nested_scans, 28),
    "sequences that grow": partial(_doubled_sequences, 1000, "ConcatFromSequence"),
    "sequences that are handed on": partial(_doubled_sequences, 1000, "Identity"),
    "sequences of 99,999 tensors": partial(_split_sequences, 1000),
    "sequences of sequences": partial(_nested_sequences, 60),
    "SequenceMaps nested": partial(_mapped_sequences, 6, 70),
    **{f"a sequence read by {then}": partial(_read_sequences, 1500, then) for then in ("SequenceLength", "ConcatFromSequence", "Identity")},
    "trees that share their nodes": partial(_trees, 8000, 12_000),
    "optionals of optionals": partial(_nested_optionals, 2000),
    "a value handed through 800 Ifs": partial(_handed_through, 800),
    "a Loop of a body with 2,500 declared values": partial(_loop, [], (), 2500),
    "a Loop of a body with 4,000 constants": partial(_loop, [], [TensorProto(name=f"s{i}", data_type=1, dims=[1]) for i in range(4000)]),
    "a Loop of a body with large branches": partial(_loop_of_branches, 1500),
    "a Loop of a long name": partial(_loop, [], (), 0, "n" * 90_000),
    "a Loop of nearly as long a name": partial(_loop, [], (), 0, "n" * 9_900),
    "a SequenceMap of large branches": partial(_mapped_branches, 4999, 1500),
    "a long name around many nodes": partial(_long_names, 50_000, 1000),
    "a name around many nodes": partial(_long_names, 9_900, 2000),
    "a long name that functions repeat": partial(_long_arguments, 50_000, 500, 6),
    "a name that functions repeat": partial(_long_arguments, 900, 100, 6),
    "a large attribute that a function repeats": partial(_large_attributes, 25_000, 1500),
    "bodies where none belong": partial(_junk_graphs, 2000),
    "branches that cannot be, and dims": partial(_contradictions, 500, 3000),
    "a dim called total 15,000 times": partial(_dims, ["total" * 15_000]),
    "dims of totals": partial(_dims, (f"total_seq_{i}" for i in range(3000))),
    "dims that are sums of each other": partial(_dims, (f"n{i}+n{i + 1}" if i < 2999 else "n2999" for i in range(3000))),
    "dims that are powers": partial(_dims, ["2**99**9", "9**9**9**9", "n*" * 80 + "n", "1<<99999999", "(" * 90 + "n" + ")" * 90]),
    "1,900 open dims that fit nothing": partial(_open_inputs, 1900),
    "an open dim and 3,000 nodes before what cannot be": partial(_open_chain, 3000),
    "dims that double": partial(_dims, (f"n{i - 1}+n{i - 1}" if i else "n0" for i in range(2000))),
    "1,900 inputs of a symbol each": partial(_inputs, 1900, 1),
    "200 inputs of 20 symbols each": partial(_inputs, 200, 20),
    "one input read 20,000 times": partial(_same_inputs, 20_000),
    "1,500 nodes in reverse": partial(_reversed_chain, 1500),
    "1,200 constants of 1,024 elements": partial(_constants, 1200),
}  # fmt: skip
"""The work that each requires, and the function that builds it."""


SECONDS, MEMORY = 10, 10**9


def _count(data: bytes) -> str:
    import onnxcost
    from onnxcost.render.formats import dumps
    from onnxcost.render.layout import Screen, text_of
    from onnxcost.render.report import report_lines
    from onnxcost.render.tables import View

    try:
        report = onnxcost.estimate(data)
    except onnxcost.OnnxCostError as error:
        return str(error)
    text_of(report_lines(report, View(), Screen(80)))
    dumps(report.to_dict())
    return "counted"


def _in_a_child(data: bytes) -> dict[str, object]:
    """The answer and the resources of a forked process that counts the model. It may be killed: native code ignores limits."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
        resource.setrlimit(resource.RLIMIT_AS, (4 * MEMORY, 4 * MEMORY))
        try:
            outcome = _count(data)
        except BaseException:
            outcome = traceback.format_exc()[-2000:]
        os.write(write, outcome[:4000].encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        said = pipe.read().decode("utf-8", "replace")
    _, status, usage = os.wait4(child, 0)
    seconds, memory = usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024
    is_well = not status and "Traceback" not in said and seconds < SECONDS and memory < MEMORY
    outcome = said or f"ended with status {status}"
    return {"bytes": len(data), "seconds": round(seconds, 2), "memory": memory, "outcome": outcome, "ok": is_well}


def main(names: Sequence[str]) -> int:
    """Counts the models, all of them without ``names``."""
    warnings.simplefilter("ignore")
    import onnxcost

    onnxcost.estimate(HEAVY["Ifs nested 28 deep"]())  # so that the children find every module loaded
    failed = 0
    for name in names or HEAVY:
        result = _in_a_child(HEAVY[name]())
        failed += not result["ok"]
        print(json.dumps({"name": name, **result}), flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
