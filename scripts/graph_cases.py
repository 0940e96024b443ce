"""Mutations of a parsed model: nodes, edges, attributes, tensors, dims, opsets, functions, subgraphs, names, unknown fields."""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Iterator, Mapping
from random import Random
from typing import Any

from fuzz_cases import ROOT, Case, Seeds, is_repeated
from onnx import AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, defs, helper

INT64 = (-(2**63), -(2**31), -1, 0, 1, 2, 3, 255, 2**31, 10**9, 10**12, 2**62, 2**63 - 1)
FLOATS = (0.0, -0.0, -1.0, 1e-45, 3e38, float("inf"), float("-inf"), float("nan"))
DATA_TYPES = (0, 1, 2, 3, 6, 7, 8, 9, 10, 11, 12, 13, 14, 16, 17, 21, 22, 23, 24, 25, 99, -1, 2**31 - 1)
# fmt: off
TEXTS = (
    "\x1b[31mred\x1b[0m", "\x1b]0;title\x07", "\x1b]8;;http://example.org\x07link\x1b]8;;\x07", "\x9b31m", "\x7f", "\x00",
    "\x08", "a\rb", "a\nb", "a\r\nb,c", "a\x0bb\x0cc\x85d", "a\u2028b\u2029c", "\u202egpj.exe", "\u2066a\u2069",
    "a\u200bb\u200dc\u2060d", "\ufeffa", "\u061ca", "[/x]", "[bold]b[/bold]", "[link=http://example.org]x", ":smile:", "=1+1",
    "+1", "-1+1", "@SUM(A1)", "\t=1", "|a|`b`", "<script>alert(1)</script>", "&lt;", "{0}%s%n{x!r}", "a" * 70_000, "/" * 300,
    "a/" * 2000, "e\u0301", "\U0001f600", "", " ", ".", "..", "../../x", "nan", "1e999", "²", "'", '"', '","', "\\", "${HOME}",
    "$(id)", "batch", "sequence", "None", "?", "a+b", "(" * 300, "9" * 400, "x" * 199 + "+1", "名前",
)
LOCATIONS = (
    "../../etc/passwd", "/etc/passwd", "/etc/hostname", "", ".", "..", "a\nb", "\x1b[31m", "synthetic.onnx", "stderr.txt",
    "optimized.onnx.weights", "/dev/zero", "/dev/stdin", "/proc/self/mem", "~", "file:///etc/passwd", "//x", "a" * 5000,
    "a\x00b",
)
NUMBERS = ("-1", "0", "1", "9" * 30, "9" * 5000, "nan", "²", "0x10", "", " 1", "1e3", str(2**63))
# fmt: on
SCOPES = "pkg.torch.onnx.name_scopes"
ARCHIVES = ("torchvision", "published", "unseen_c", "decoders")


def archived_models(largest: int) -> dict[str, bytes]:
    """The models of the tests' archives, up to ``largest`` bytes."""
    found = {}
    for name in ARCHIVES:
        with tarfile.open(ROOT / "tests" / "data" / f"{name}.tar.xz") as archive:
            for member in archive:
                file = archive.extractfile(member) if member.isfile() and member.size <= largest else None
                if file is not None and member.name.endswith(".onnx"):
                    found[f"{name}/{member.name.removesuffix('.onnx')}"] = file.read()
    return found


def generated(rng: Random) -> ModelProto:
    """A well-formed model of random layers, with a Reshape that follows from Shape, branches, a loop and a function."""
    nodes: list[NodeProto] = []
    stored: list[TensorProto] = []
    channels, value = rng.choice((1, 3, 8)), "x"

    def add(op_type: str, *inputs: str, **attributes: Any) -> str:
        name = f"v{len(nodes)}"
        nodes.append(helper.make_node(op_type, inputs, [name], f"net/block{len(nodes) // 4}/{op_type}", **attributes))
        return name

    def keep(data_type: int, dims: tuple[int, ...], values: list[Any] | None = None) -> str:
        name = f"w{len(stored)}"
        if values is None:
            stored.append(TensorProto(name=name, data_type=data_type, dims=dims, data_location=TensorProto.EXTERNAL))
            stored[-1].external_data.add(key="location", value="weights-not-stored")
        else:
            stored.append(helper.make_tensor(name, data_type, dims, values))
        return name

    for _ in range(rng.randrange(1, 12)):
        kind = rng.choice(("conv", "pointwise", "residual", "parallel", "if", "loop", "function", "scale"))
        if kind == "conv":
            out = rng.choice((4, 16, 33))
            weights = (value, keep(1, (out, channels, 3, 3)), *([keep(1, (out,))] if rng.random() < 0.5 else []))
            value, channels = add("Conv", *weights, pads=[1] * 4), out
        elif kind == "pointwise":
            value = add(rng.choice(("Relu", "Sigmoid", "Tanh", "Exp", "Softplus", "Identity")), value)
        elif kind == "residual":
            value = add("Add", value, add("Neg", value))
        elif kind == "parallel":
            first, second = add("Relu", value), add("Exp", value)
            value = add("Sub", second, first)
        elif kind == "scale":
            value = add("Mul", value, keep(1, (1,), [0.5]))
        elif kind == "function":
            nodes.append(helper.make_node("twice", [value], [f"v{len(nodes)}"], domain="local"))
            value = nodes[-1].output[0]
        elif kind == "if":
            nodes.append(_branch(value, f"v{len(nodes)}", keep(9, (), [rng.random() < 0.5]), rng))
            value = nodes[-1].output[0]
        else:
            value = add(
                "Loop", keep(7, (), [rng.choice((0, 1, 5))]), keep(9, (), [True]), value, body=_loop_body(f"l{len(nodes)}")
            )
    batch = add("Unsqueeze", add("Gather", add("Shape", value), keep(7, (), [0])), keep(7, (1,), [0]))
    value = add("Reshape", value, add("Concat", batch, keep(7, (1,), [-1]), axis=0))
    add("Softmax", value)
    side = rng.choice((8, 9, "height"))
    graph = helper.make_graph(
        nodes,
        "generated",
        [helper.make_tensor_value_info("x", 1, [rng.choice((1, "batch")), stored_channels(nodes, stored, channels), side, 8])],
        [helper.make_empty_tensor_value_info(nodes[-1].output[0])],
        stored,
    )
    body = [helper.make_node("Add", ["a", "a"], ["b"]), helper.make_node("Mul", ["b", "a"], ["c"])]
    function = helper.make_function("local", "twice", ["a"], ["c"], body, [helper.make_opsetid("", 18)])
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("local", 1)]
    return helper.make_model(graph, functions=[function], opset_imports=opsets, ir_version=9)


def stored_channels(nodes: list[NodeProto], stored: list[TensorProto], channels: int) -> int:
    """The channels of the input: those that the first convolution reads."""
    dims = {tensor.name: tensor.dims for tensor in stored}
    return next((dims[node.input[1]][1] for node in nodes if node.op_type == "Conv"), channels)


def _branch(value: str, output: str, condition: str, rng: Random) -> NodeProto:
    """An If whose branches read ``value`` from outside."""

    def graph(name: str, op_type: str) -> GraphProto:
        inner = f"{output}_{name}"
        made = helper.make_node(op_type, [value], [inner])
        return helper.make_graph([made], name, [], [helper.make_empty_tensor_value_info(inner)])

    first, second = rng.choice(("Relu", "Neg")), rng.choice(("Exp", "Tanh"))
    return helper.make_node("If", [condition], [output], then_branch=graph("t", first), else_branch=graph("e", second))


def _loop_body(stem: str) -> GraphProto:
    nodes = [
        helper.make_node("Identity", [f"{stem}_c"], [f"{stem}_d"]),
        helper.make_node("Add", [f"{stem}_a"] * 2, [f"{stem}_b"]),
    ]
    given = [(f"{stem}_i", 7, []), (f"{stem}_c", 9, []), (f"{stem}_a", 1, None)]
    inputs = [helper.make_tensor_value_info(*each) for each in given]
    return helper.make_graph(nodes, stem, inputs, [helper.make_empty_tensor_value_info(f"{stem}_{o}") for o in "db"])


def graphs(graph: GraphProto) -> Iterator[GraphProto]:
    """The graph and all inside its nodes."""
    yield graph
    yield from (inner for node in graph.node for inner in _inside(node))


def _inside(node: NodeProto) -> Iterator[GraphProto]:
    for attribute in node.attribute:
        for graph in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
            yield from graphs(graph)


def _scopes(model: ModelProto) -> list[Any]:
    """All that has nodes: graphs, the graphs inside, functions."""
    inside = [graph for function in model.functions for node in function.node for graph in _inside(node)]
    return [*graphs(model.graph), *model.functions, *inside]


def _scope(model: ModelProto, rng: Random) -> Any:
    """One with nodes, if there is one; the main graph most often."""
    scopes = [scope for scope in _scopes(model) if len(scope.node)] or [model.graph]
    return model.graph if len(model.graph.node) and rng.random() < 0.5 else rng.choice(scopes)


def _node(model: ModelProto, rng: Random) -> NodeProto:
    scope = _scope(model, rng)
    return rng.choice(scope.node) if len(scope.node) else scope.node.add(op_type="Relu", output=["new"])


def _values(model: ModelProto) -> list[str]:
    names = [info.name for graph in graphs(model.graph) for info in (*graph.input, *graph.initializer)]
    return [*names, *(name for scope in _scopes(model) for node in scope.node for name in node.output)] or [""]


def change_nodes(model: ModelProto, other: ModelProto, rng: Random) -> str:
    """Nodes change places, are doubled, gone, of another operator, of another model."""
    nodes, what = (
        _scope(model, rng).node,
        rng.choice(("swap", "duplicate", "delete", "operator", "domain", "foreign", "reverse")),
    )
    if not len(nodes):
        return "no nodes"
    at = rng.randrange(len(nodes))
    if what == "swap":
        kept, second = nodes[at].SerializeToString(), rng.choice(nodes)
        nodes[at].CopyFrom(second)
        second.ParseFromString(kept)
    elif what == "duplicate":
        for _ in range(rng.choice((1, 1, 50))):
            nodes.add().CopyFrom(nodes[at])
    elif what == "delete":
        del nodes[at]
    elif what == "operator":
        nodes[at].op_type = rng.choice((*OPERATORS, "NoSuchOperator", "", *TEXTS))
    elif what == "domain":
        nodes[at].domain = rng.choice(("ai.onnx", "com.microsoft", "ai.onnx.ml", "local", "x", *TEXTS))
    elif what == "foreign":
        nodes.add().CopyFrom(_node(other, rng))
    else:
        nodes.reverse()
    return f"{what} nodes"


OPERATORS = sorted({schema.name for schema in defs.get_all_schemas()})


def change_edges(model: ModelProto, other: ModelProto, rng: Random) -> str:
    """Inputs and outputs of a node: another value, one made later, none, too many, twice the same."""
    node, values = _node(model, rng), _values(model)
    side = node.input if rng.random() < 0.7 else node.output
    what = rng.choice(("rewire", "own output", "empty", "drop", "more", "many", "swap", "absent"))
    if what in ("more", "many") or not len(side):
        side.extend([rng.choice(values)] * (rng.choice((100, 3000)) if what == "many" else 1))
        return f"{what} edges"
    at = rng.randrange(len(side))
    if what == "drop":
        del side[at]
    elif what == "swap":
        side.reverse()
    else:
        own = [*node.output] or values
        side[at] = {"rewire": rng.choice(values), "own output": own[0], "empty": "", "absent": "no such value"}[what]
    return f"{what} edge"


def _extreme(attribute: AttributeProto, rng: Random) -> str:
    """Gives it a type and a value that it may not have."""
    kind = rng.choice(("i", "f", "s", "ints", "floats", "strings", "empty", "t", "g", "none", "mixed", "type", "ref"))
    name = attribute.name
    if kind != "type":
        attribute.Clear()
        attribute.name = name
    count = rng.choice((0, 1, 2, 4, 4, 64, 20_000))
    if kind == "i":
        attribute.type, attribute.i = AttributeProto.INT, rng.choice(INT64)
    elif kind == "f":
        attribute.type, attribute.f = AttributeProto.FLOAT, rng.choice(FLOATS)
    elif kind == "s":
        attribute.type, attribute.s = AttributeProto.STRING, rng.choice((*TEXTS, "SAME_UPPER", "\ud7ff")).encode()
    elif kind == "ints":
        attribute.type = AttributeProto.INTS
        attribute.ints.extend([rng.choice(INT64)] * count if rng.random() < 0.5 else [rng.choice(INT64) for _ in range(count)])
    elif kind == "floats":
        attribute.type = AttributeProto.FLOATS
        attribute.floats.extend([rng.choice(FLOATS)] * count)
    elif kind == "strings":
        attribute.type = AttributeProto.STRINGS
        attribute.strings.extend([rng.choice(TEXTS)[:100].encode()] * min(count, 64))
    elif kind == "empty":
        attribute.type = rng.choice((AttributeProto.INTS, AttributeProto.FLOATS, AttributeProto.STRINGS, AttributeProto.GRAPHS))
    elif kind == "t":
        attribute.type = AttributeProto.TENSOR
        _spoil(attribute.t, rng)
    elif kind == "g":
        attribute.type = AttributeProto.GRAPH
    elif kind == "mixed":
        attribute.type, attribute.i, attribute.f, attribute.s = AttributeProto.INT, rng.choice(INT64), 1.5, b"x"
        attribute.ints.extend([1, 2])
    elif kind == "type":
        attribute.type = rng.choice(AttributeProto.AttributeType.values())
    elif kind == "ref":
        attribute.ref_attr_name, attribute.type = rng.choice(("axis", "no such", "")), AttributeProto.INT
    return kind


def change_attributes(model: ModelProto, other: ModelProto, rng: Random) -> str:
    """An attribute of another type, of an extreme value, twice, gone, or one that the operator knows and the node lacks."""
    nodes = [node for scope in _scopes(model) for node in scope.node if len(node.attribute)]
    node = rng.choice(nodes) if nodes and rng.random() < 0.8 else _node(model, rng)
    what = rng.choice(("extreme", "extreme", "extreme", "delete", "double", "add", "rename"))
    if what == "add" or not len(node.attribute):
        known = defs.get_schema(node.op_type).attributes if defs.has(node.op_type) else {}
        attribute = node.attribute.add(name=rng.choice((*known, "axis", "to", "value", *TEXTS[:3])))
        return f"add attribute {node.op_type}.{attribute.name:.20} {_extreme(attribute, rng)}"
    attribute = rng.choice(node.attribute)
    where = f"{node.op_type:.20}.{attribute.name:.20}"
    if what == "delete":
        node.attribute.remove(attribute)
    elif what == "double":
        node.attribute.add().CopyFrom(attribute)
        what += f" {_extreme(node.attribute[-1], rng)}"
    elif what == "rename":
        attribute.name = rng.choice(("axis", "body", "value", *TEXTS))
    else:
        what = _extreme(attribute, rng)
    return f"{what} attribute {where}"


def _spoil(tensor: TensorProto, rng: Random) -> str:
    what = rng.choice(
        ("dims", "dims", "type", "short", "long", "external", "external", "two payloads", "segment", "values", "none")
    )
    if what == "dims":
        del tensor.dims[:]
        tensor.dims.extend(rng.choice(INT64) for _ in range(rng.choice((0, 1, 2, 4, 4, 100))))
    elif what == "type":
        tensor.data_type = rng.choice(DATA_TYPES)
    elif what == "short":
        tensor.raw_data = tensor.raw_data[: len(tensor.raw_data) // 2]
    elif what == "long":
        tensor.raw_data = tensor.raw_data + bytes(rng.choice((1, 7, 4096)))
    elif what == "external":
        tensor.data_location = rng.choice((0, 1, 1, 1))
        del tensor.external_data[:]
        for key, values in (
            ("location", LOCATIONS),
            ("offset", NUMBERS),
            ("length", NUMBERS),
            ("checksum", TEXTS),
            ("x", TEXTS),
        ):
            if rng.random() < 0.7:
                tensor.external_data.add(key=key, value=rng.choice(values))
    elif what == "two payloads":
        tensor.raw_data = bytes(8)
        tensor.float_data.extend([1.0] * 2)
        tensor.int64_data.append(7)
    elif what == "segment":
        tensor.segment.begin, tensor.segment.end = rng.choice(INT64), rng.choice(INT64)
    elif what == "values":
        tensor.data_type = TensorProto.INT64
        tensor.ClearField("raw_data")
        tensor.int64_data.extend(rng.choice(INT64) for _ in range(rng.randrange(5)))
    else:
        for name in ("raw_data", "float_data", "int32_data", "int64_data"):
            tensor.ClearField(name)
    return what


def change_tensors(model: ModelProto, other: ModelProto, rng: Random) -> str:
    """An initializer or the value of a Constant: dims and types that do not fit, payloads of other lengths or elsewhere."""
    inner = [
        attribute.t
        for scope in _scopes(model)
        for node in scope.node
        for attribute in node.attribute
        if attribute.HasField("t")
    ]
    tensors = [tensor for graph in graphs(model.graph) for tensor in graph.initializer] + inner
    what = rng.choice(("spoil",) * 6 + ("rename", "double", "delete", "add", "sparse"))
    if what in ("add", "sparse") or not tensors:
        made = model.graph.sparse_initializer.add().values if what == "sparse" else model.graph.initializer.add()
        made.name, made.data_type = rng.choice(_values(model)), 1
        return f"{what} tensor {_spoil(made, rng)}"
    tensor, initializers = rng.choice(tensors), model.graph.initializer
    if what == "rename":
        tensor.name = rng.choice((*_values(model), *TEXTS))
    elif what == "double":
        initializers.add().CopyFrom(tensor)
    elif what == "delete" and len(initializers):
        del initializers[rng.randrange(len(initializers))]
    else:
        what = _spoil(tensor, rng)
    return f"{what} tensor"


def change_types(model: ModelProto, other: ModelProto, rng: Random) -> str:
    """Dims, symbols and types of inputs, outputs and what lies between."""
    infos: list[ValueInfoProto] = [i for g in graphs(model.graph) for i in (*g.input, *g.output, *g.value_info)]
    info = rng.choice(infos) if infos else model.graph.input.add(name="new")
    what = rng.choice(
        ("value", "value", "symbol", "symbol", "both", "more dims", "no shape", "dtype", "sequence", "optional", "none", "name")
    )
    kind = info.type.tensor_type
    if what in ("value", "symbol", "both") and len(kind.shape.dim):
        dim = rng.choice(kind.shape.dim)
        if what != "symbol":
            dim.dim_value = rng.choice(INT64)
        if what != "value":
            dim.dim_param = rng.choice((*TEXTS, "n", "2*n", "n//0", "n**99999", "n%0", "floor(n/2)+1", "n-" * 90 + "n"))
    elif what == "no shape":
        kind.ClearField("shape")
    elif what == "dtype":
        kind.elem_type = rng.choice(DATA_TYPES)
    elif what == "sequence":
        info.type.sequence_type.elem_type.tensor_type.elem_type = rng.choice(DATA_TYPES)
    elif what == "optional":
        info.type.optional_type.elem_type.sequence_type.elem_type.SetInParent()
    elif what == "none":
        info.ClearField("type")
    elif what == "name":
        info.name = rng.choice((*_values(model), *TEXTS))
    else:
        for _ in range(rng.choice((1, 3, 500))):
            kind.shape.dim.add(dim_value=rng.choice(INT64))
    return f"{what} of {info.name:.20}"


def change_opsets(model: ModelProto, other: ModelProto, rng: Random) -> str:
    """Versions that do not exist, the same domain twice, none."""
    functions = list(model.functions)
    opsets = rng.choice((model, *functions)).opset_import
    what = rng.choice(("version", "version", "double", "none", "domain", "old", "ir"))
    if what == "ir":
        model.ir_version = rng.choice(INT64)
    elif what == "none" or not len(opsets):
        del opsets[:]
    elif what == "double":
        opsets.add(domain=opsets[0].domain, version=rng.choice((1, 7, 13, 99, *INT64)))
    elif what == "domain":
        rng.choice(opsets).domain = rng.choice(("ai.onnx", "", "ai.onnx.ml", *TEXTS))
    else:
        rng.choice(opsets).version = rng.choice(INT64) if what == "version" else rng.randrange(1, 12)
    return f"{what} opset"


def change_functions(model: ModelProto, other: ModelProto, rng: Random) -> str:
    """Functions that call themselves, hide an operator, are absent, defined twice or called with too little."""
    node, what = (
        _node(model, rng),
        rng.choice(("outline", "outline", "recursive", "shadow", "absent", "double", "arity", "chain", "attribute")),
    )
    domain = "local"
    if what in ("outline", "recursive", "shadow", "attribute", "chain"):
        function = FunctionProto(name=f"outlined{len(model.functions)}", domain=domain)
        function.opset_import.extend(model.opset_import)
        inner = function.node.add()
        inner.CopyFrom(node)
        if what == "shadow":
            function.name, function.domain = node.op_type, node.domain
        if what == "recursive":
            inner.op_type, inner.domain = function.name, domain
        names = {name: f"f{i}" for i, name in enumerate(dict.fromkeys((*node.input, *node.output))) if name}
        inner.input[:], inner.output[:] = [names.get(n, "") for n in node.input], [names.get(n, "") for n in node.output]
        function.input.extend(dict.fromkeys(name for name in inner.input if name))
        function.output.extend(dict.fromkeys(name for name in inner.output if name and name not in function.input))
        if what == "attribute" and len(inner.attribute):
            moved = rng.choice(inner.attribute)
            function.attribute.append(moved.name)
            moved.ref_attr_name = moved.name
        inputs = list(dict.fromkeys(name for name in node.input if name))
        node.op_type, node.domain, node.input[:] = function.name, function.domain, inputs
        if what != "attribute":
            del node.attribute[:]
        model.functions.append(function)
        if what == "chain":
            for _ in range(rng.choice((3, 200))):
                last = model.functions[-1]
                call = NodeProto(op_type=last.name, domain=domain, input=last.input, output=last.output)
                more = model.functions.add(
                    name=f"outlined{len(model.functions)}", domain=domain, input=last.input, output=last.output
                )
                more.node.add().CopyFrom(call)
                more.opset_import.add(domain=domain, version=1)
            node.op_type = model.functions[-1].name
        for opsets in (model.opset_import, function.opset_import):
            if all(opset.domain != domain for opset in opsets):
                opsets.add(domain=domain, version=1)
    elif what == "absent" or not len(model.functions):
        node.op_type, node.domain = "no_such_function", domain
    elif what == "double":
        model.functions.add().CopyFrom(rng.choice(model.functions))
    else:
        side = rng.choice(("input", "output"))
        getattr(rng.choice(model.functions), side).append(rng.choice(("extra", *TEXTS)))
    return f"{what} function"


def change_subgraphs(model: ModelProto, other: ModelProto, rng: Random) -> str:
    """Nodes go into branches that capture what they read; branches are swapped, gone, empty or of another model."""
    scope = _scope(model, rng)
    what = rng.choice(("wrap", "wrap", "wrap", "swap", "empty", "foreign", "io", "capture"))
    inner = [graph for node in scope.node for graph in _inside(node)]
    if what == "wrap" or not inner:
        if not len(scope.node):
            return "no nodes"
        node = rng.choice(scope.node)
        for level in range(rng.choice((1, 1, 2, 5, 20))):
            stem = f"{level}_{rng.randrange(10**6)}"
            if isinstance(scope, FunctionProto):
                condition = scope.input[0] if len(scope.input) else ""
            else:
                condition = f"c{stem}"
                model.graph.initializer.append(helper.make_tensor(condition, TensorProto.BOOL, [], [True]))
            _wrap(node, condition, stem)
        return "wrap node in If"
    graph = rng.choice(inner)
    if what == "swap":
        nodes = [node for node in scope.node if sum(attribute.HasField("g") for attribute in node.attribute) > 1]
        for node in nodes[:1]:
            first, second = [attribute for attribute in node.attribute if attribute.HasField("g")][:2]
            first.name, second.name = second.name, first.name
    elif what == "empty":
        del graph.node[:]
    elif what == "foreign":
        graph.CopyFrom(rng.choice([g for g in graphs(other.graph) if g.ByteSize() < 20_000] or [GraphProto()]))
    elif what == "io":
        side = rng.choice((graph.input, graph.output))
        if len(side) and rng.random() < 0.5:
            del side[rng.randrange(len(side))]
        else:
            side.add(name=rng.choice(_values(model)))
    elif len(graph.node):
        rng.choice(graph.node).input.append(rng.choice(_values(model)))
    return f"{what} subgraph"


def _wrap(node: NodeProto, condition: str, stem: str) -> None:
    """The node becomes an If with it in its branches, of those that have branches in one only: what it reads is captured."""
    made = NodeProto(op_type="If", input=[condition], output=node.output, name=node.name)
    for name in ("then_branch", "else_branch"):
        branch = GraphProto(name=name)
        moved = branch.node.add()
        if name == "then_branch" or node.op_type != "If":
            moved.CopyFrom(node)
        else:
            moved.CopyFrom(NodeProto(op_type="Identity", input=node.input[:1]))
        moved.output[:] = [f"{output}_{name[0]}{stem}" if output else "" for output in node.output]
        branch.output.extend(ValueInfoProto(name=output) for output in moved.output if output)
        made.attribute.add(name=name, type=AttributeProto.GRAPH).g.CopyFrom(branch)
    made.output[:] = [output for output in node.output if output]
    node.CopyFrom(made)


def change_outputs(model: ModelProto, other: ModelProto, rng: Random) -> str:
    """Outputs of the graph: twice, absent, an input, none."""
    outputs, what = model.graph.output, rng.choice(("double", "absent", "any value", "none", "many"))
    if what == "none":
        del outputs[:]
    elif what == "double" and len(outputs):
        outputs.add().CopyFrom(outputs[0])
    elif what == "many":
        outputs.extend(ValueInfoProto(name=name) for name in _values(model)[:500])
    else:
        outputs.add(name="no such value" if what == "absent" else rng.choice(_values(model)))
    return f"{what} output"


def close_a_cycle(model: ModelProto, other: ModelProto, rng: Random) -> str:
    """A node waits for one behind it."""
    nodes = _scope(model, rng).node
    if len(nodes) < 2:
        return "no cycle"
    first, second = sorted(rng.sample(range(len(nodes)), 2))
    if len(nodes[first].input) and len(nodes[second].output):
        nodes[first].input[rng.randrange(len(nodes[first].input))] = nodes[second].output[0]
    return "cycle"


def change_names(model: ModelProto, other: ModelProto, rng: Random) -> str:
    """Hostile text in every name, each value's the same everywhere, or in one field of any kind."""
    text, what = rng.choice(TEXTS), rng.choice(("values", "nodes", "anywhere", "anywhere", "all", "scopes"))
    if what in ("values", "all"):
        short = text[:300]
        rename(model, {name: f"{short}{i or ''}" for i, name in enumerate(dict.fromkeys(_values(model))) if name})
    if what in ("nodes", "all"):
        for scope in _scopes(model):
            for node in scope.node:
                node.name = text[:300]
        model.producer_name = model.producer_version = model.graph.name = model.domain = text
        model.metadata_props.add(key=text[:300], value=text)
    if what in ("scopes", "all"):
        for node in model.graph.node:
            node.metadata_props.add(key=SCOPES, value=repr(["", text[:300], "b"]) if rng.random() < 0.7 else text[:300])
    if what == "anywhere":
        places = list(_strings(model))
        for message, name in rng.sample(places, min(len(places), rng.choice((1, 3, 20)))):
            value = getattr(message, name)
            if isinstance(value, (str, bytes)):
                setattr(message, name, text if isinstance(value, str) else text.encode())
            elif len(value):
                value[rng.randrange(len(value))] = text if isinstance(value[0], str) else text.encode()
    return f"{what} called {text[:20]!r}"


def _strings(message: Any) -> Iterator[tuple[Any, str]]:
    for field, value in message.ListFields():
        if field.message_type is not None:
            for child in value if is_repeated(field) else [value]:
                yield from _strings(child)
        elif field.cpp_type == field.CPPTYPE_STRING and field.name != "raw_data":
            yield message, field.name


def rename(model: ModelProto, names: Mapping[str, str]) -> None:
    """Values of the graphs, not of the functions, get other names; each the same everywhere."""
    for graph in graphs(model.graph):
        for node in graph.node:
            node.input[:] = [names.get(name, name) for name in node.input]
            node.output[:] = [names.get(name, name) for name in node.output]
        for item in (*graph.input, *graph.output, *graph.value_info, *graph.initializer):
            item.name = names.get(item.name, item.name)
        for sparse in graph.sparse_initializer:
            sparse.values.name = names.get(sparse.values.name, sparse.values.name)
        for note in graph.quantization_annotation:
            note.tensor_name = names.get(note.tensor_name, note.tensor_name)
            for entry in note.quant_parameter_tensor_names:
                entry.value = names.get(entry.value, entry.value)


UNKNOWN = (
    b"\xf8\x3f\x01",  # field 1023, a varint
    b"\xfa\x3f\x03abc",  # field 1023, bytes
    b"\xf9\x3f" + bytes(8),
    b"\xfd\x3f" + bytes(4),
    b"\xfa\x3f\x90\x4e" + bytes(10_000),
    b"\xfb\x3f\xfc\x3f",  # a group, empty
    b"\xfb\x3f\xf8\x3f\x01\xfc\x3f",
    b"\xfa\xff\xff\xff\x0f\x01x",  # the largest number of a field
)


def add_unknown_fields(model: ModelProto, other: ModelProto, rng: Random) -> str:
    """Fields that this version of ONNX does not have."""
    for _ in range(rng.choice((1, 3, 30))):
        nodes = [rng.choice(model.graph.node)] if len(model.graph.node) else []
        stored = [rng.choice(model.graph.initializer)] if len(model.graph.initializer) else []
        inputs = [rng.choice(model.graph.input)] if len(model.graph.input) else []
        rng.choice([model, model.graph, *nodes, *stored, *inputs]).MergeFromString(rng.choice(UNKNOWN))
    return "unknown fields"


Mutation = Callable[[ModelProto, ModelProto, Random], str]
MUTATIONS: Mapping[Mutation, int] = {
    change_nodes: 4,
    change_edges: 4,
    change_attributes: 5,
    change_tensors: 4,
    change_types: 4,
    change_opsets: 2,
    change_functions: 3,
    change_subgraphs: 3,
    change_outputs: 1,
    close_a_cycle: 1,
    change_names: 6,
    add_unknown_fields: 2,
}
"""Each with its weight in the choice."""


def case(number: int, seed: int, seeds: Seeds) -> Case:
    """The case of this number, the same on every machine with the same seed and the same models."""
    rng = Random(f"graphs:{seed}:{number}")
    if rng.random() < 0.3:
        name, model = "generated", generated(rng)
    else:
        name = rng.choice(sorted(seeds))
        model = ModelProto.FromString(seeds[name])
    other = ModelProto.FromString(seeds[rng.choice(sorted(seeds))])
    mutations = rng.choices(list(MUTATIONS), list(MUTATIONS.values()), k=rng.choice((0, 1, 1, 1, 1, 2, 2, 3, 5)))
    done = []
    for mutation in mutations:
        try:
            done.append(mutation(model, other, rng))
        except ValueError as error:  # a surrogate, a number out of the field's range
            done.append(f"{mutation.__name__} refused: {error}")
    return Case(f"{name}: {', '.join(done) or 'unchanged'}", model.SerializeToString())
