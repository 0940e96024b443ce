"""Warnings that a user can do something about: each names an option, and that option, given as it says, ends the warning."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import click
import onnx
import pytest
from click.testing import CliRunner, Result
from onnx import ModelProto

import onnxcost
from onnxcost.cli.app import COMMANDS, cli
from onnxcost.cli.devices import calibrate
from onnxcost.cli.estimate import estimate
from onnxcost.cli.fleet import fleet
from onnxcost.cli.measure import measure
from onnxcost.measurement import Measurement
from onnxcost.runtime.advice import advice
from tests.modeltext import model
from tests.runtime.test_advice import DUE

ADD = "body = b (int64 i, bool d, float[4,8] v) => (bool e, float[4,8] w) { w = Add(v, v) e = Identity(d) }"
UNTIL = """body = b (int64 i, bool d, float[4,8] v) => (bool e, float[4,8] w) {
    w = Add(v, v) s = ReduceSum<keepdims = 0>(w) z = Constant<value = float {5.0}>() e = Less(s, z) }"""
BRANCHES = """then_branch = t () => (float[4,8] a) { a = Sqrt(x) }, else_branch = e () => (float[4,8] b) { b = MatMul(x, w) }"""
ACME = ', "com.acme" : 1'
WARNED: dict[str, tuple[ModelProto, str, str]] = {
    "a loop without a limit": (
        model(f"(float[4,8] x, int64 n, bool c) => (float[4,8] y) {{ y = Loop <{ADD}> (n, c, x) }}"),
        "is counted for one iteration",
        "--trips Loop_0=N",
    ),
    "a loop that data ends": (
        model(f"""(float[4,8] x) => (float[4,8] y) {{
            n = Constant<value = int64 {{10}}>() c = Constant<value = bool {{1}}>() y = Loop <{UNTIL}> (n, c, x) }}"""),
        "all like the first",
        "--trips Loop_2=N",
    ),
    "a scan of unknown length": (
        model(
            """(float[8] x, float[3,8] q) => (float[8] y) { s = com.acme.Mine(q)
            y = Scan <num_scan_inputs = 1, body = b (float[8] h, float[8] e) => (float[8] k) { k = Add(h, e) }> (x, s) }""",
            domains=ACME,
        ),
        "the length of its sequence is unknown",
        "--trips Scan_1=N",
    ),
    "a branch that an input decides": (
        model(f"(float[4,8] x, bool c) => (float[4,8] y) {{ y = If <{BRANCHES}> (c) }}", w=(8, 8)),
        "its condition is unknown",
        "--value c=1",
    ),
    "a branch that data decides": (
        model(
            f"""(float[4,8] x) => (float[4,8] y) {{ s = ReduceSum<keepdims = 0>(x) z = Constant<value = float {{5.0}}>()
            c = Less(s, z) y = If <{BRANCHES}> (c) }}""",
            w=(8, 8),
        ),
        "its condition is unknown",
        "--trace",
    ),
    "a shape that data decides": (
        model("(float[4,8] x) => (float[2,k] y) { a = NonZero(x) b = Cast<to = 1>(a) y = Sqrt(b) }"),
        "at the largest shapes",
        "--trace",
    ),
    "an open dim": (
        model("(float[rows,8] x) => (float[rows,8] y) { y = MatMul(x, w) }", w=(8, 8)),
        "Assumed",
        "--dim rows=N",
    ),
    "an open dim without a name": (
        model("(float[?,8] x) => (float[?,8] y) { y = MatMul(x, w) }", w=(8, 8)),
        "Assumed",
        "--shape x=Nx8",
    ),
    "an unknown operator": (
        model("(float[4,8] x) => (float[4,8] y) { y = com.acme.Mine(x) }", domains=ACME),
        "no formula for the operator",
        "--formulas FILE.py",
    ),
    "what an unknown operator makes": (
        model("(float[4,8] x) => (float[4,8] y) { a = com.acme.Mine(x) y = Relu(a) }", domains=ACME),
        "the shape of 'a' is unknown",
        "--shape a=1x8",
    ),
}  # fmt: skip
FORMULAS = "from onnxcost import Work\nFORMULAS = {'com.acme.Mine': lambda node: Work(adds=1)}\n"


def invoke(*arguments: str) -> Result:
    return CliRunner(env={"COLUMNS": "200"}).invoke(cli, ["estimate", *arguments, "--no-run", "-v", "--warnings"])


@pytest.mark.parametrize("name", WARNED)
def test_the_option_that_a_warning_names_ends_it(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    proto, part, option = WARNED[name]
    monkeypatch.chdir(tmp_path)
    onnx.save(proto, "m.onnx")
    Path("FILE.py").write_text(FORMULAS)
    before = invoke("m.onnx")
    (line,) = [line for line in before.output.splitlines() if part in line]
    assert option in line
    # N stands for what the user knows.
    words = re.sub(r"=N\b|=N(?=x)", "=3", option).split()
    assert words[0] in {each for parameter in estimate.params for each in parameter.opts}
    after = invoke("m.onnx", *words)
    assert after.exit_code == 0
    assert part not in after.output


@pytest.mark.parametrize(("kind", "measurement", "parts"), DUE, ids=[f"{kind}-{' '.join(parts)}" for kind, _, parts in DUE])
def test_the_options_that_advice_names_exist(kind: str, measurement: Measurement, parts: list[str]) -> None:
    texts = [each.text for each in advice(measurement) if each.kind == kind]
    named = {option for text in texts for option in re.findall(r"(?<!docker )--[a-z-]+", text)}
    assert named <= {option for parameter in measure.params for option in parameter.opts}


@pytest.mark.parametrize("has_open_batch", [True, False])
def test_other_batches_are_advised_where_the_batch_is_open(has_open_batch: bool) -> None:
    texts = [each.text for _, measurement, _ in DUE for each in advice(measurement, has_open_batch=has_open_batch)]
    assert any("larger batches" in text for text in texts)
    assert any("--batches" in text for text in texts) == has_open_batch


OF_OTHERS = {"--use_xnnpack", "--use_dnnl", "--cpus", "--tflite", "--query-gpu"}
"""Options of onnxruntime's build, docker, tf2onnx and nvidia-smi."""


def all_options() -> set[str]:
    context = click.Context(cli)
    commands = [cli, calibrate, *fleet.commands.values(), *(cli.get_command(context, name) for name in COMMANDS)]
    found = {option for command in commands if command for parameter in command.params for option in parameter.opts}
    second = {option for command in commands if command for parameter in command.params for option in parameter.secondary_opts}
    return found | second | {"--help", "--version"}


def test_each_option_that_a_text_names_exists() -> None:
    known = all_options() | OF_OTHERS
    for path in Path(onnxcost.__file__).parent.rglob("*.py"):
        texts = [node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)]
        named = {each for text in texts if isinstance(text, str) for each in re.findall(r"(?<![\w-])--[a-z][a-z_-]*", text)}
        assert named <= known or path.stem in ("bundle", "completion", "model_explorer"), path  # with options of other programs
