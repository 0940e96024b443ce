"""Hostile models: a short, seeded part of scripts/fuzz.py, and what its long runs found, each as small as it can be."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper

import onnxcost
from tests.modeltext import model

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

import graph_cases  # noqa: E402
import graph_checks  # noqa: E402


def run_script(name: str, *options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "scripts" / name), *map(str, options)]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)})


@pytest.mark.parametrize(("kind", "cases"), [("bytes", 300), ("graphs", 60)])
def test_a_short_run_of_the_fuzzer_finds_nothing(kind: str, cases: int, tmp_path: Path) -> None:
    options = ("--seed", 7, "--jobs", 1, "--node-models", 0, "--largest", 20_000, "--out", tmp_path)
    result = run_script("fuzz.py", "--kind", kind, "--cases", cases, *options)
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.startswith(f"{cases} cases in ")


KINDS = ("open", "write", "mkdir", "remove", "rename", "list", "map", "thread")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the runs are forked, and watched through /proc")
def test_a_command_that_is_refused_something_ends_in_one_line_and_leaves_nothing() -> None:
    commands = [f"--command={name}" for name in ("estimate", "estimate -o", "strip", "compare")]
    result = run_script("inject_faults.py", "--jobs", 1, *commands, *(f"--kind={kind}" for kind in KINDS))
    assert result.returncode == 0, result.stdout + result.stderr
    assert " faults (python) in 4 commands" in result.stdout.splitlines()[-1]


@pytest.mark.parametrize("seed", range(8))
def test_a_generated_model_is_counted_and_holds_what_the_fuzzer_checks(seed: int) -> None:
    data = graph_cases.generated(Random(seed)).SerializeToString()
    before = graph_checks.estimated(data)
    assert before.rest["complete"]
    graph_checks.check_outputs(data, Random(seed))
    for check in graph_checks.CHECKS:
        check(data, before, Random(seed))


def test_a_shuffled_model_has_its_nodes_in_another_order_that_is_topological() -> None:
    made, moved = graph_cases.generated(Random(3)), 0
    for seed in range(5):
        shuffled = ModelProto.FromString(made.SerializeToString())
        assert graph_checks.shuffle(shuffled, Random(seed))
        assert sorted(map(str, shuffled.graph.node)) == sorted(map(str, made.graph.node))
        moved += [*shuffled.graph.node] != [*made.graph.node]
        defined = {"x"} | {tensor.name for tensor in shuffled.graph.initializer}
        for node in shuffled.graph.node:
            assert {*node.input} <= defined
            defined |= {*node.output}
    assert moved


def test_fields_in_another_order_are_the_same_message() -> None:
    made = graph_cases.generated(Random(4))
    texts = {graph_checks.reordered(made, Random(seed)) for seed in range(4)}
    assert len(texts) == 4
    assert {ModelProto.FromString(text).SerializeToString(deterministic=True) for text in texts} == {
        made.SerializeToString(deterministic=True)
    }


def compare_two_models(sizes: str) -> None:
    first, second = (model(f"(float[{size}] x) => (float y) {{ y = Relu(x) }}").SerializeToString() for size in sizes.split())
    graph_checks.compare("another model", graph_checks.estimated(first), second)


@pytest.mark.parametrize(
    ("check", "right", "wrong"),
    [
        (compare_two_models, "3 3", "3 4"),
        (lambda text: graph_checks.no_control_characters("x", text), "é名\n", "\x1b[31m"),
        (lambda text: graph_checks.no_control_characters("x", text), "a", "\u202ea"),
        (lambda text: graph_checks.check_csv("x", text), "a,b\n1,-2\n", "a,b\n1\n"),
        (lambda text: graph_checks.check_csv("x", text), "a\n'=1\n", "a\n=1+1\n"),
    ],
)
def test_a_check_that_is_not_met_is_seen(check: Callable[[str], object], right: str, wrong: str) -> None:
    check(right)
    with pytest.raises(graph_checks.Broken):
        check(wrong)


@pytest.mark.parametrize(
    ("code", "err"),
    [
        (2, ""),
        (0, "onnxcost: error: no\n"),
        (2, "onnxcost: error: one\nonnxcost: error: two\n"),
        (2, "Traceback (most recent call last):\n"),
        (2, "onnxcost: error: this is a bug in onnxcost: KeyError at x.py:1. Run it again\n"),
        (134, "onnxcost: error: one\n"),
        (2, "onnxcost: error: one\nand more\n"),
    ],
)
def test_an_invalid_end_is_detected(code: int, err: str) -> None:
    graph_checks.check_end("estimate x", 2, "", "onnxcost: note: n\nonnxcost: error: one\n")
    with pytest.raises(graph_checks.Broken):
        graph_checks.check_end("estimate x", code, "", err)


def with_weight(tensor: TensorProto, operator: str = "Add", *inputs: str) -> ModelProto:
    made = model(f"(float[2,3] x) => (float y) {{ y = {operator}({', '.join(inputs or ('x', 'w'))}) }}")
    tensor.name = "w"
    made.graph.initializer.append(tensor)
    return made


def with_input(element_type: int, *dims: int | str, operator: str = "Relu") -> ModelProto:
    made = model(f"(float[2] x) => (float y) {{ y = {operator}(x) }}")
    made.graph.input[0].CopyFrom(helper.make_tensor_value_info("x", TensorProto.FLOAT, dims))
    made.graph.input[0].type.tensor_type.elem_type = element_type
    return made


def without_type() -> ModelProto:
    made = model("(float[2] x) => (float y) { y = OptionalHasElement(x) }", opset=18)
    made.graph.input[0].type.Clear()
    made.graph.input[0].type.optional_type.elem_type.SetInParent()
    return made


def without_opset(nodes: str) -> ModelProto:
    made = folds(nodes)
    made.opset_import[0].domain = "com.acme"
    return made


def nested_loops(depth: int) -> ModelProto:
    """Loops of one node inside each other, for as long as the innermost condition holds."""
    body = GraphProto(
        name="leaf", node=[helper.make_node("Relu", ["x"], ["o"])], output=[helper.make_empty_tensor_value_info("o")]
    )
    for _ in range(depth):
        loop = helper.make_node("Loop", ["c"], ["o"], body=body)
        body = GraphProto(name="body", node=[loop], output=[helper.make_empty_tensor_value_info("o")])
    made = helper.make_model(body, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    made.graph.input.append(helper.make_tensor_value_info("x", TensorProto.FLOAT, [2]))
    made.graph.initializer.append(helper.make_tensor("c", TensorProto.BOOL, [], [True]))
    return made


def folds(make: str) -> ModelProto:
    return model(f"(float[2,3] x) => (float y) {{ {make} y = Reshape(x, v) }}")


def with_constant(value: object) -> ModelProto:
    """A Reshape to a Constant's value."""
    made = folds("v = Constant<value_ints = [2, 3]>()")
    constant = next(node for node in made.graph.node if "v" in node.output)
    constant.attribute[0].CopyFrom(helper.make_attribute("value", value))
    return made


def with_empty_body() -> ModelProto:
    made = folds("v = Constant<value_ints = [2, 3]>()")
    body = helper.make_attribute("body", helper.make_graph([], "body", [], []))
    made.graph.node.append(NodeProto(op_type="Loop", input=["", ""], output=["nothing"], attribute=[body]))
    return made


HUGE = 10**12
FOUND: dict[str, ModelProto] = {
    "a tensor of a type that does not exist": with_weight(TensorProto(data_type=99, dims=[1], raw_data=bytes(8))),
    "an input of a type that does not exist": with_input(99, 2, 3, operator="Flatten"),
    "an input of no type": with_input(0, 2, 3, operator="Flatten"),
    "a count of more than 10^308": with_input(1, *[2**62] * 20),
    "a count of more than 4300 digits": with_input(1, *[2**62] * 400),
    "a dim named like Python code": with_input(1, "1()", "a*" * 5000 + "1", "(" * 500),
    "an input without a type": without_type(),
    "nodes of a domain that is not imported": without_opset("s = Shape(x) c = Concat<axis = 0>(s, s) v = Mul(c, c)"),
    "a shape rule that leaves the integers": with_input(1, 2**62, 2**62, operator="Flatten"),
    "a raw payload that is too short": with_weight(TensorProto(data_type=7, dims=[2], raw_data=bytes(3)), "Reshape"),
    "a payload of another type": with_weight(TensorProto(data_type=7, dims=[2], string_data=[b"\xff"] * 2), "Reshape"),
    "dims beyond the payload": with_weight(TensorProto(data_type=7, dims=[2**62, 4], int64_data=[1]), "Reshape"),
    "a shape of 10^12 elements": folds(f"n = Constant<value_ints = [{HUGE}]>() v = ConstantOfShape(n)"),
    "a Range to 10^12": folds(f"a = Constant<value_int = 0>() b = Constant<value_int = {HUGE}>() "
                              "c = Constant<value_int = 1>() v = Range(a, b, c)"),
    "an Expand to 10^12": folds(f"n = Constant<value_ints = [{HUGE}]>() d = Constant<value_ints = [1]>() v = Expand(d, n)"),
    "a Tile to 10^12": folds(f"n = Constant<value_ints = [{HUGE}]>() d = Constant<value_ints = [1]>() v = Tile(d, n)"),
    "a Pad to 10^12": folds(f"n = Constant<value_ints = [0, {HUGE}]>() d = Constant<value_ints = [1]>() v = Pad(d, n)"),
    "a OneHot of 10^12": folds(f"i = Constant<value_ints = [1]>() n = Constant<value_int = {HUGE}>() "
                               "d = Constant<value_ints = [0, 1]>() v = OneHot(i, n, d)"),
    "a value doubled 300 times": folds("v0 = Constant<value_ints = [2, 3]>() " + " ".join(
        f"v{i + 1} = Concat<axis = 0>(v{i}, v{i})" for i in range(300)) + " v = Identity(v300)"),
    "a constant of a type that does not exist": with_constant(TensorProto(data_type=99, dims=[1], raw_data=bytes(8))),
    "a constant of no type": with_constant(TensorProto(dims=[1])),
    "a constant in segments": with_constant(TensorProto(data_type=7, dims=[1], segment=TensorProto.Segment(begin=0, end=1))),
    "a constant of negative dims": with_constant(TensorProto(data_type=7, dims=[-1], raw_data=bytes(8))),
    "a constant of other dims than its data has": with_constant(TensorProto(data_type=7, dims=[9], int64_data=[1, 2])),
    "a constant text": with_constant("text"),
    "constant texts": with_constant(["a", "b"]),
    "a Loop whose body returns nothing": with_empty_body(),
}  # fmt: skip


@pytest.mark.parametrize("made", FOUND.values(), ids=FOUND.keys())
def test_what_the_fuzzer_found_ends_in_a_report_or_in_one_error(made: ModelProto) -> None:
    from onnxcost.render.formats import dumps
    from onnxcost.render.layout import Screen, text_of
    from onnxcost.render.report import report_lines
    from onnxcost.render.tables import View

    try:
        report = onnxcost.estimate(made)
    except onnxcost.OnnxCostError:
        return
    assert text_of(report_lines(report, View(), Screen(80)))
    assert dumps(report.to_dict())


NATIVE = {
    "LayerNormalization": "Y, M, I = LayerNormalization<axis = 9223372036854775807>(x, x, x) y = Identity(M)",
    "LayerNormalization, an axis too far": "Y, M, I = LayerNormalization<axis = 2>(x, x, x) y = Identity(M)",
    "Split": "y, b, c = Split<num_outputs = 2>(x)",
    "GatherND": "i = Constant<value_ints = [1, 1]>() y = GatherND<batch_dims = -2147483648>(x, i)",
}


@pytest.mark.parametrize("nodes", NATIVE.values(), ids=NATIVE.keys())
def test_attributes_that_crash_or_hang_the_native_inference_never_reach_it(nodes: str) -> None:
    """In a child process: onnx 1.23's inference dies of a signal, or loops 2^31 times."""
    data = model(f"(float[2,3] x) => (float y) {{ {nodes} }}", opset=18).SerializeToString()
    command = [sys.executable, "-m", "onnxcost", "-", "--no-run", "--format", "json"]
    result = subprocess.run(command, input=data, cwd=ROOT, timeout=10, capture_output=True)
    assert result.returncode in (0, 2)
    assert b"Traceback" not in result.stderr
    assert b"bug in onnxcost" not in result.stderr


def test_loops_inside_loops_are_not_walked_twice_at_every_level() -> None:
    """Thirty levels would take 2^30 walks; in a child process, so that such a hang ends."""
    code = "import sys, onnxcost; onnxcost.estimate(sys.stdin.buffer.read())"
    data = nested_loops(30).SerializeToString()
    result = subprocess.run([sys.executable, "-c", code], input=data, cwd=ROOT, timeout=60, capture_output=True)
    assert b"Traceback" not in result.stderr or b"ModelError" in result.stderr


def test_values_of_old_opsets_are_folded_as_their_opset_says() -> None:
    """Unsqueeze had its axes as an attribute before opset 13: found in ddddocr's common.onnx."""
    made = model(
        """(float[4,2] x) => (float y) <int64 one = {1}> {
            s = Shape(x) g = Gather(s, one) u = Unsqueeze<axes = [0]>(g) m = Mul(u, u)
            c = Concat<axis = 0>(m, u) y = Reshape(x, c) }""",
        opset=11,
    )
    assert onnxcost.estimate(made).graph.outputs[0].shape == (4, 2)


def test_a_branch_that_cannot_be_does_not_refuse_the_model() -> None:
    """Exporters keep branches that no run with these shapes takes: found in silero-vad's silero_vad.onnx."""
    made = model(
        """(float[2,3] x, bool c) => (float y) { y = If(c) <
            then_branch = t () => (float a) { a = Relu(x) },
            else_branch = e () => (float b) { b = MatMul(x, x) }> }"""
    )
    report = onnxcost.estimate(made)
    assert report.complete
    assert report.flops == 6
    assert any("else" in warning for warning in report.warnings)


def test_a_window_larger_than_its_input_is_refused() -> None:
    """onnx infers one position, (192 - 256) / 128 + 1, and no runtime runs it: found in silero-vad's 16 kHz model."""
    made = model("(float[1,1,192] x) => (float y) { y = Conv<strides = [128]>(x, w) }", w=(258, 1, 256))
    with pytest.raises(onnxcost.ModelError, match=r"window|kernel"):
        onnxcost.estimate(made)
