"""Hostile models: each requires more than any machine has, or is contradictory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random

from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, parser

HUGE = (10**6, 10**9, 10**12, 2**31, 2**40, 2**62, 2**63 - 1)
DIMS = (-(2**63), -7, -1, 0, 1, 3, 65_536, 10**9, 2**31, 2**40, 2**62, 2**63 - 1)


def _text(graph: str, functions: str = "", opset: int = 18) -> bytes:
    opsets = f'"" : {opset}' + (', "local" : 1' if functions else "")
    return parser.parse_model(f"<ir_version: 9, opset_import: [{opsets}]>\ng {graph}\n{functions}").SerializeToString()


def _model(
    nodes: list[NodeProto], outputs: list[str], stored: list[TensorProto], inputs: tuple[str, ...] = ("x",)
) -> ModelProto:
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2, 3]) for name in inputs],
        [helper.make_empty_tensor_value_info(name) for name in outputs],
        stored,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def _ints(name: str, *values: int) -> TensorProto:
    return helper.make_tensor(name, TensorProto.INT64, [len(values)], values)


def _dims(rng: Random, most: int = 5) -> list[int]:
    return [rng.choice(DIMS) for _ in range(rng.randrange(most + 1))]


def huge_dims(rng: Random) -> bytes:
    nodes = [
        helper.make_node(op, ["x"], [op]) for op in ("Relu", "Softmax", "Flatten", "ReduceSum", "Shape", "Transpose", "Size")
    ]
    nodes.append(helper.make_node("MatMul", ["x", "w"], ["y"]))
    model = _model(nodes, ["y", "Size"], [TensorProto(name="w", data_type=1, dims=_dims(rng))])
    model.graph.input[0].CopyFrom(helper.make_tensor_value_info("x", TensorProto.FLOAT, _dims(rng)))
    return model.SerializeToString()


def huge_products(rng: Random) -> bytes:
    rank = rng.choice((2, 4, 8, 64, 2000))
    model = _model([helper.make_node("Conv", ["x", "x"], ["y"]), helper.make_node("Mul", ["x", "x"], ["z"])], ["y", "z"], [])
    model.graph.input[0].CopyFrom(
        helper.make_tensor_value_info("x", TensorProto.FLOAT, [rng.choice((2, 65_536, 2**62))] * rank)
    )
    return model.SerializeToString()


def _count(rng: Random) -> int:
    return rng.choice(HUGE)


def huge_fold(rng: Random) -> bytes:
    """A value that would be folded, were it not larger than any machine."""
    size, small = _count(rng), rng.choice((1, 3, 1000))
    nodes = {
        "ConstantOfShape": f"n = Constant <value = int64[2] {{{size}, {small}}}> ()  v = ConstantOfShape (n)",
        "Range": f"a = Constant <value = int64 {{0}}> () b = Constant <value = int64 {{{size}}}> () "
        "c = Constant <value = int64 {1}> () v = Range (a, b, c)",
        "Tile": f"n = Constant <value = int64[1] {{{size}}}> () d = Constant <value = int64[1] {{1}}> () v = Tile (d, n)",
        "Expand": f"n = Constant <value = int64[2] {{{size}, {small}}}> () d = Constant <value = int64[1] {{1}}> () "
        "v = Expand (d, n)",
        "Pad": f"n = Constant <value = int64[2] {{{size}, {small}}}> () d = Constant <value = int64[1] {{1}}> () "
        "v = Pad (d, n)",
        "OneHot": f"i = Constant <value = int64[1] {{1}}> () n = Constant <value = int64 {{{size}}}> () "
        "d = Constant <value = int64[2] {0, 1}> () v = OneHot (i, n, d)",
        "Resize": f"d = Constant <value = float[1] {{1.0}}> () n = Constant <value = int64[1] {{{size}}}> () "
        "v = Resize (d, , , n)",
        "EyeLike": f"d = Constant <value = int64[2] {{{size}, {small}}}> () e = ConstantOfShape (d) v = EyeLike (e)",
        "HannWindow": f"n = Constant <value = int64 {{{size}}}> () v = HannWindow (n)",
        "Split": f"d = Constant <value = int64[1] {{{size}}}> () e = ConstantOfShape (d) v, w = Split <num_outputs = 2> (e)",
        "MelWeightMatrix": f"n = Constant <value = int64 {{{size}}}> () r = Constant <value = float {{8000.0}}> () "
        "v = MelWeightMatrix (n, n, n, r, r)",
        "BitShift": f'n = Constant <value = uint64[1] {{{size}}}> () v = BitShift <direction = "LEFT"> (n, n)',
        "CumSum": f"d = Constant <value = int64[1] {{{size}}}> () a = Constant <value = int64 {{0}}> () "
        "e = ConstantOfShape (d) v = CumSum (e, a)",
    }
    make = nodes[rng.choice(sorted(nodes))]
    use = rng.choice(("y = Reshape (x, v)", "y = Expand (x, v)", "s = Shape (v) y = Reshape (x, s)", "y = ConstantOfShape (v)"))
    then = rng.choice(("", "q = Pow (v, v)", "q = Add (v, v)", "q = MatMul (v, v)"))
    return _text(f"(float[2,3] x) => (float y) {{ {make} {then} {use} }}")


def grows_while_folding(rng: Random) -> bytes:
    """A small value doubled again and again."""
    times, op = rng.choice((10, 40, 300)), rng.choice(("Concat <axis = 0>", "Mul", "Add", "MatMul", "Pow"))
    body = " ".join(f"v{i + 1} = {op} (v{i}, v{i})" for i in range(times))
    return _text(
        f"(float[2,3] x) => (float y) {{ v0 = Constant <value = int64[2] {{2, 3}}> () {body} y = Reshape (x, v{times}) }}"
    )


def trips(rng: Random) -> bytes:
    """Nested Loops with astronomically many iterations."""
    count, inner = _count(rng), rng.choice(("b = Add (a, a)", "b = Concat <axis = 0> (a, a)", "b = Identity (a)"))
    if rng.random() < 0.5:
        inner = (
            f"m = Constant <value = int64 {{{_count(rng)}}}> () b = Loop (m, k, a) "
            f"<body = inner (int64 j, bool l, float[n] c) => (bool l2, float[n] d) {{ l2 = Identity (l) d = Add (c, c) }}>"
        )
    return _text(
        f"(float[4] x) => (float[n] y, float[m, n] z) {{ m = Constant <value = int64 {{{count}}}> () "
        f"t = Constant <value = bool {{{rng.randrange(2)}}}> () y, z = Loop <body = body (int64 i, bool k, float[n] a) "
        f"=> (bool k2, float[n] b, float[n] s) {{ k2 = Identity (k) {inner} s = Neg (a) }}> (m, t, x) }}"
    )


def scans(rng: Random) -> bytes:
    length = rng.choice((0, 1, 100, *HUGE))
    inputs = rng.choice((0, 1, 2, -1, 2**62, -(2**63)))
    return _text(
        f"(float[4] s, float[{length}, 4] x) => (float[4] y, float[{length}, 4] z) {{ y, z = Scan <num_scan_inputs = {inputs}, "
        "body = b (float[4] a, float[4] c) => (float[4] d, float[4] e) { d = Add (a, c) e = Neg (d) }> (s, x) }"
    )


def deep_branches(rng: Random) -> bytes:
    """Ifs inside Ifs, as deep as protobuf allows and deeper, on the level of bytes so that nothing limits it here."""
    depth, both, op = rng.choice((2, 10, 30, 33, 64, 70, 300, 3000)), rng.random() < 0.2, rng.choice(("If", "Loop", "Scan"))
    output = ValueInfoProto(name="o")
    body = GraphProto(name="leaf", node=[helper.make_node("Relu", ["x"], ["o"])], output=[output]).SerializeToString()
    for level in range(depth):
        names = ("then_branch", "else_branch")[: 2 if both and level < 8 else 1] if op == "If" else ("body",)
        attributes = [_graph_attribute(name, body) for name in names]
        node = NodeProto(op_type=op, input=["c"], output=["o"]).SerializeToString() + b"".join(
            encoded(5, a) for a in attributes
        )
        body = encoded(1, node) + GraphProto(name="g", output=[output]).SerializeToString()
    shell = _model([], [], [helper.make_tensor("c", TensorProto.BOOL, [], [True])]).SerializeToString()
    return shell + encoded(7, body + GraphProto(output=[output]).SerializeToString())


def _graph_attribute(name: str, graph: bytes) -> bytes:
    return AttributeProto(name=name, type=AttributeProto.GRAPH).SerializeToString() + encoded(6, graph)


def _varint(value: int) -> bytes:
    out = b""
    while value > 0x7F:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def encoded(number: int, payload: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(payload)) + payload


def cycles(rng: Random) -> bytes:
    length = rng.choice((1, 2, 3, 50, 5000))
    nodes = [
        helper.make_node("Add", [f"v{i}", "x"], [f"v{(i + 1) % length}"], name=rng.choice(("", "n"))) for i in range(length)
    ]
    rng.shuffle(nodes)
    return _model(nodes, ["v0"], []).SerializeToString()


def long_chain(rng: Random) -> bytes:
    """Thousands of nodes in a row, on values that fold, in the wrong order."""
    length, op = rng.choice((100, 3000)), rng.choice(("Add", "Mul", "Concat", "Sub"))
    attributes = {"axis": 0} if op == "Concat" else {}
    nodes = [helper.make_node(op, [f"v{i}", "one"], [f"v{i + 1}"], **attributes) for i in range(length)]
    nodes.append(helper.make_node("Reshape", ["x", f"v{length}"], ["y"]))
    if rng.random() < 0.5:
        nodes.reverse()
    return _model(nodes, ["y"], [_ints("v0", 1, 1), _ints("one", 1, 2)]).SerializeToString()


def functions(rng: Random) -> bytes:
    """Functions that call themselves, each other in a ring, or twice the next one: 2^n nodes when they are inlined."""
    kind, depth = rng.choice(("self", "ring", "doubling", "chain", "absent", "twice defined")), rng.choice((3, 20, 60))
    head = '<domain: "local", opset_import: ["" : 18, "local" : 1]>'

    def function(name: str, calls: str, times: int = 1) -> str:
        body = " ".join(f"v{i + 1} = {calls} (v{i})" for i in range(times))
        return f"{head} {name} (v0) => (v{times}) {{ {body} }}"

    made = {
        "self": [function("f0", "local.f0")],
        "ring": [function("f0", "local.f1"), function("f1", "local.f2"), function("f2", "local.f0")],
        "doubling": [function(f"f{i}", f"local.f{i + 1}", 2) for i in range(depth)] + [function(f"f{depth}", "Relu")],
        "chain": [function(f"f{i}", f"local.f{i + 1}") for i in range(depth)] + [function(f"f{depth}", "Relu")],
        "absent": [function("f0", "local.g")],
        "twice defined": [function("f0", "Relu"), function("f0", "Neg")],
    }[kind]
    return _text("(float[2,3] x) => (float y) { y = local.f0 (x) }", "\n".join(made))


_KINDS = (
    AttributeProto(type=AttributeProto.FLOAT, f=float("nan")),
    AttributeProto(type=AttributeProto.INT, i=2**62),
    AttributeProto(type=AttributeProto.INT, i=-1),
    AttributeProto(type=AttributeProto.INT, i=0),
    AttributeProto(type=AttributeProto.INTS, ints=[0, 0]),
    AttributeProto(type=AttributeProto.INTS, ints=[2**62] * 4),
    AttributeProto(type=AttributeProto.INTS, ints=[-1] * 3),
    AttributeProto(type=AttributeProto.INTS),
    AttributeProto(type=AttributeProto.INTS, ints=[1] * 200_000),
    AttributeProto(type=AttributeProto.STRING, s=b"\xff\xfe"),
    AttributeProto(type=AttributeProto.STRINGS, strings=[b"NOTSET"] * 3),
    AttributeProto(type=AttributeProto.GRAPH),
    AttributeProto(type=AttributeProto.TENSOR),
    AttributeProto(),
)


def wrong_attributes(rng: Random) -> bytes:
    """A node with its attributes missing, or of other kinds and values than they should be."""
    from onnx import defs

    schema = rng.choice([schema for schema in defs.get_all_schemas() if schema.domain == ""])
    few = max(schema.min_input, min(schema.max_input, schema.min_input + rng.randrange(3)))
    count = min(few, 6)
    node = helper.make_node(
        schema.name, ["x", "w", "i", "b", "x", "w"][:count], [f"y{i}" for i in range(max(1, schema.min_output))]
    )
    for name in schema.attributes:
        if rng.random() < 0.7:
            attribute = AttributeProto()
            attribute.CopyFrom(rng.choice(_KINDS))
            attribute.name = name
            node.attribute.append(attribute)
    shape = [rng.choice((0, 1, 2, 3)) for _ in range(rng.choice((0, 1, 2, 4, 5)))]
    stored = [
        TensorProto(name="w", data_type=TensorProto.FLOAT, dims=shape),
        _ints("i", *[rng.choice((-1, 0, 1, 2, 10**9, 2**62)) for _ in range(rng.randrange(4))]),
        helper.make_tensor("b", TensorProto.BOOL, [], [True]),
    ]
    model = _model([node], list(node.output), stored)
    model.graph.input[0].CopyFrom(helper.make_tensor_value_info("x", TensorProto.FLOAT, shape))
    return model.SerializeToString()


def many_outputs(rng: Random) -> bytes:
    count = rng.choice((1000, 20_000))
    node = helper.make_node("Split", ["x"], [f"y{i}" for i in range(count)], axis=rng.choice((0, 1)), num_outputs=count)
    return _model([node], ["y0"], []).SerializeToString()


def many_inputs(rng: Random) -> bytes:
    count = rng.choice((1000, 20_000))
    node = helper.make_node(rng.choice(("Concat", "Sum", "Max", "Einsum")), ["x"] * count, ["y"], axis=0, equation="ab,bc->ac")
    return _model([node], ["y"], []).SerializeToString()


def lying_tensors(rng: Random) -> bytes:
    """Payloads of another length than the dims say, in another field, of types that do not exist, or outside the file."""
    tensor = TensorProto(name="v", data_type=rng.choice((1, 2, 6, 7, 8, 9, 10, 11, 14, 16, 17, 21, 22, 23, 0, 99)))
    tensor.dims.extend(rng.choice(((), (1,), (2,), (1 << 62, 4), (0,), (-1,), (10**9, 10**9))))
    kind = rng.choice(("raw", "ints", "floats", "strings", "external", "segment", "none"))
    if kind == "raw":
        tensor.raw_data = bytes(rng.choice((0, 1, 7, 8, 16, 1023, 4000)))
    elif kind == "ints":
        tensor.int64_data.extend([rng.choice(HUGE)] * rng.choice((1, 3)))
    elif kind == "floats":
        tensor.float_data.extend([float("nan"), 1e38])
    elif kind == "strings":
        tensor.string_data.extend([b"\xff\x00", b"a" * 2000])
    elif kind == "external":
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in (
            ("location", rng.choice(("../../etc/passwd", "/etc/passwd", "", "\0"))),
            ("offset", "-1"),
            ("length", "9" * 30),
        ):
            tensor.external_data.add(key=key, value=value)
    elif kind == "segment":
        tensor.segment.begin, tensor.segment.end = -1, 2**62
    use = rng.choice(("Reshape", "Expand", "Tile", "Add", "Pad", "Slice", "Gather", "ConstantOfShape", "Identity", "Range"))
    inputs = {"ConstantOfShape": ["v"], "Identity": ["v"], "Range": ["v", "v", "v"], "Slice": ["x", "v", "v"]}.get(
        use, ["x", "v"]
    )
    if rng.random() < 0.5:
        return _model([helper.make_node(use, inputs, ["y"])], ["y"], [tensor]).SerializeToString()
    constant = helper.make_node("Constant", [], ["v"], value=tensor)
    return _model([constant, helper.make_node(use, inputs, ["y"])], ["y"], []).SerializeToString()


def sparse(rng: Random) -> bytes:
    values = helper.make_tensor("v", TensorProto.FLOAT, [3], [1.0, 2.0, 3.0])
    indices = _ints("i", *[rng.choice((-1, 0, 5, 2**62)) for _ in range(rng.randrange(5))])
    model = _model([helper.make_node("MatMul", ["x", "v"], ["y"])], ["y"], [])
    model.graph.sparse_initializer.add().CopyFrom(helper.make_sparse_tensor(values, indices, _dims(rng)))
    return model.SerializeToString()


def same_names(rng: Random) -> bytes:
    name = rng.choice(("x", "y", "", "w"))
    nodes = [helper.make_node("Relu", ["x"], [name], name="n"), helper.make_node("Add", ["x", "w"], ["y", name][:1], name="n")]
    stored = [TensorProto(name="w", data_type=1, dims=[2, 3])] * rng.choice((1, 2))
    return _model(nodes, ["y"] * rng.choice((1, 2)), stored, ("x",) * rng.choice((1, 2))).SerializeToString()


def symbols(rng: Random) -> bytes:
    """Dims named with what looks like arithmetic, or like anything else."""
    # fmt: off
    names = (
        "a+b", "a*" * 5000 + "1", "(" * 500 + "a" + ")" * 500, "1()", "a//0", "-1", "a[0]",
        "9" * 30 + "*a", "\x00", "'", "?", "a b", "\\d",
    )
    # fmt: on
    shape = [rng.choice((*names, 3)) for _ in range(rng.randrange(1, 6))]
    model = _model([helper.make_node("Relu", ["x"], ["y"])], ["y"], [])
    model.graph.input[0].CopyFrom(helper.make_tensor_value_info("x", TensorProto.FLOAT, shape))
    return model.SerializeToString()


HOSTILE: Mapping[str, Callable[[Random], bytes]] = {
    made.__name__.replace("_", " "): made
    for made in (
        cycles,
        deep_branches,
        functions,
        grows_while_folding,
        huge_dims,
        huge_fold,
        huge_products,
        long_chain,
        lying_tensors,
        many_inputs,
        many_outputs,
        same_names,
        scans,
        sparse,
        symbols,
        trips,
        wrong_attributes,
    )
}
