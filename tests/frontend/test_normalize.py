"""Versions of the format and of operators: which are read, and what is said of the others."""

from __future__ import annotations

import pytest
from onnx import ModelProto, defs

from onnxcost import estimate
from onnxcost.errors import ModelError
from onnxcost.frontend.normalize import MOST_CALLS
from tests.modeltext import model

NEWEST = defs.onnx_opset_version()
INT32_MAX = 2**31 - 1
"""onnx itself keeps versions in 32 bits."""


@pytest.mark.parametrize(("version", "is_read"), [(-1, False), (0, True), (1, True), (INT32_MAX, True), (INT32_MAX + 1, False)])
def test_versions_of_the_format(version: int, is_read: bool) -> None:
    made = model("(float[1, 3] x) => (float[1, 3] y) { y = Relu(x) }")
    made.ir_version = version
    if is_read:
        assert estimate(made).flops == 3
    else:
        with pytest.raises(ModelError, match=f"claims ONNX IR version {version}, which does not exist"):
            estimate(made)


@pytest.mark.parametrize(("version", "is_read"), [(-1, False), (0, False), (1, True), (NEWEST, True), (NEWEST + 1, False)])
@pytest.mark.parametrize("domain", ["", "ai.onnx"])
def test_opsets(domain: str, version: int, is_read: bool) -> None:
    made = model("(float[1, 3] x) => (float[1, 3] y) { y = Relu(x) }")
    made.opset_import[0].domain, made.opset_import[0].version = domain, version
    if is_read:
        assert estimate(made).flops == 3
    else:
        with pytest.raises(ModelError, match=f"uses opset {version} of ai.onnx, but the installed onnx supports 1 to {NEWEST}"):
            estimate(made)


@pytest.mark.parametrize("domains", [("ai.onnx", "ai.onnx"), ("", "ai.onnx"), ("ai.onnx", "")])
def test_the_standard_operators_have_two_names_of_their_domain(domains: tuple[str, str]) -> None:
    made = model("(float[1, 3] x) => (float[1, 3] y) { t = Relu(x) y = Relu(t) }")
    for node, domain in zip(made.graph.node, domains, strict=True):
        node.domain = domain
    report = estimate(made)
    assert (report.flops, [each.node.key for each in report.costs]) == (6, ["Relu", "Relu"])


def test_a_function_of_another_opset_that_uses_another_domain() -> None:
    function = '<domain: "f", opset_import: ["" : 16, "own" : 1]> layer (x) => (y) { y = own.Unknown(x) }'
    text, domains = "(float[1, 3] x) => (float y) { t = Relu(x) y = f.layer(t) }", ', "f" : 1, "own" : 1'
    report = estimate(model(text, functions=function, domains=domains))
    assert ([each.node.key for each in report.costs], report.flops) == (["Relu", "own.Unknown"], 3)


@pytest.mark.parametrize(("version", "is_read"), [(-1, False), (0, True), (INT32_MAX, True), (INT32_MAX + 1, False)])
def test_versions_of_another_domain(version: int, is_read: bool) -> None:
    made = model("(float[1, 3] x) => (float[1, 3] y) { y = Relu(x) }", domains=', "com.example" : 1')
    made.opset_import[1].version = version
    if is_read:
        assert estimate(made).flops == 3
    else:
        with pytest.raises(ModelError, match=f"uses version {version} of the operator set 'com.example'"):
            estimate(made)


@pytest.mark.parametrize(("ir_version", "is_read"), [(1, True), (2, True), (3, False)])
def test_opsets_came_with_version_3_of_the_format(ir_version: int, is_read: bool) -> None:
    made = model("(float[1, 3] x) => (float[1, 3] y) { y = Relu(x) }")
    made.ir_version = ir_version
    del made.opset_import[:]
    if is_read:
        assert estimate(made).flops == 3
    else:
        with pytest.raises(ModelError, match="imports no opset"):
            estimate(made)


def nested(depth: int, calls: int) -> str:
    """Functions of which each calls the next one so often; the last one has a node of its own."""
    head = '<domain: "local", opset_import: ["" : 17, "local" : 1]>'
    last = f"{head} f{depth} (x) => (y) {{ y = Relu(x) }}"
    chain = "\n".join(
        f"{head} f{i} (x) => (y) {{ v0 = Identity(x) "
        + " ".join(f"v{k + 1} = local.f{i + 1}(v{k})" for k in range(calls))
        + f" y = Identity(v{calls}) }}"
        for i in range(depth)
    )
    return f"{chain}\n{last}"


def calling(functions: str, name: str = "x") -> ModelProto:
    text = f"(float[1, 3] {name}) => (float[1, 3] y) {{ y = local.f0({name}) }}"
    return model(text, functions=functions, domains=', "local" : 1')


@pytest.mark.parametrize(("deeper", "is_read"), [(0, True), (1, False)])
def test_how_deep_functions_call_each_other(deeper: int, is_read: bool) -> None:
    functions = nested(MOST_CALLS + deeper, 1)
    made = calling(functions)
    if is_read:
        assert estimate(made).flops == 3
    else:
        with pytest.raises(ModelError, match=f"call each other more than {MOST_CALLS} levels deep"):
            estimate(made)


def test_functions_that_become_too_many_nodes() -> None:
    """2^16 calls of the last one, and two Identities for each of the others, one for each call."""
    functions = nested(16, 2)
    with pytest.raises(ModelError, match="inlining the model's functions would result in 196,606 nodes of "):
        estimate(calling(functions))


def test_functions_that_become_too_many_bytes() -> None:
    """4,096 nodes, and in each of them the long name of the input."""
    functions = nested(12, 2)
    made = calling(functions, "x" * 20_000)
    with pytest.raises(ModelError, match="inlining the model's functions would result in 12,286 nodes of "):
        estimate(made)
