"""Outputs held against each other, of models that are really run: the same network in several forms."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, numpy_helper

from onnxcost.comparison.agreement import Agreement, Fed, check_outputs
from onnxcost.measurement import Settings
from onnxcost.runtime.protocol import Progress
from onnxcost.spec import ModelSpec
from tests.modeltext import model

RANDOM = np.random.default_rng(7)
WEIGHTS = {"w": RANDOM.standard_normal((4, 3, 3, 3)).astype(np.float32), "v": RANDOM.standard_normal((4, 2)).astype(np.float32)}
NETWORK = "c = Conv<pads = [1, 1, 1, 1]>(x, w)  r = Relu(c)  g = GlobalAveragePool(r)  f = Flatten(g)  y = MatMul(f, v)"
NCHW = f"(float[1,3,6,5] x) => (float[1,4,6,5] r, float[1,2] y) {{ {NETWORK} }}"
NHWC = f"""(float[1,6,5,3] image) => (float[1,6,5,4] features, float[1,2] logits) {{
  x = Transpose<perm = [0, 3, 1, 2]>(image)
  {NETWORK}
  features = Transpose<perm = [0, 2, 3, 1]>(r)
  logits = Identity(y)
}}"""


def with_weights(graph: str, **others: Any) -> ModelProto:
    made = model(graph)
    weights = {**WEIGHTS, **others}
    made.graph.initializer.extend(numpy_helper.from_array(np.asarray(array), name) for name, array in weights.items())
    return made


def checked(*models: ModelProto, settings: Settings = Settings(), **first: Any) -> list[Agreement]:  # noqa: B008
    specs = [ModelSpec.of(each.SerializeToString(), **(first if not at else {})) for at, each in enumerate(models)]
    return check_outputs(specs, settings)


def test_the_same_network_in_two_layouts_computes_the_same() -> None:
    (found,) = checked(with_weights(NCHW), with_weights(NHWC))
    assert found.inputs == (Fed("image", "x", True),)
    assert [(each.name, each.other, each.is_transposed) for each in found.outputs] == [
        ("r", "features", True),
        ("y", "logits", False),
    ]
    assert all(each.relative is not None and each.relative < 1e-5 and each.largest for each in found.outputs)
    (back,) = checked(with_weights(NHWC), with_weights(NCHW))
    assert back.inputs == (Fed("x", "image", True),)
    assert all(each.is_within(1e-5) for each in back.outputs)


def test_other_weights_are_seen() -> None:
    first = with_weights(NCHW)
    (found,) = checked(first, with_weights(NCHW, v=WEIGHTS["v"] * np.float32(1.5)))
    features, logits = found.outputs
    assert features.absolute == 0
    assert logits.relative == pytest.approx(0.5, rel=1e-5)


def test_the_seed_decides_the_inputs() -> None:
    largest = [checked(with_weights(NCHW), with_weights(NCHW), settings=Settings(seed=seed))[0] for seed in (0, 1, 1)]
    values = [each.outputs[1].largest for each in largest]
    assert values[0] != values[1] == values[2]


def test_given_values_are_for_all_models() -> None:
    negated = model("(float[3] other) => (float[3] y) { y = Neg(other) }")
    same = model("(float[3] x) => (float[3] y) { y = Identity(x) }")
    (found,) = checked(same, negated, values={"x": np.array([1, 2, 8], np.float32)})
    assert (found.outputs[0].absolute, found.outputs[0].largest) == (16, 8)


def test_inputs_are_rounded_to_what_all_types_hold() -> None:
    wide = model("(float[50] x) => (float[50] y) { y = Identity(x) }")
    narrow = model(f"(float16[50] x) => (float[50] y) {{ y = Cast<to = {TensorProto.FLOAT}>(x) }}")
    wider = model(f"(double[50] x) => (float[50] y) {{ y = Cast<to = {TensorProto.FLOAT}>(x) }}")
    assert [each.outputs[0].absolute for each in checked(wide, narrow, wider)] == [0, 0]


def test_sequences_are_compared_item_by_item() -> None:
    parts = "(float[2,3] x) => (seq(float[1,3]) y) { y = SplitToSequence<axis = 0>(x) }"
    halves = "(float[2,3] x) => (seq(float[1,3]) y) { h = Mul(x, two)  y = SplitToSequence<axis = 0>(h) }"
    half = model(halves)
    half.graph.initializer.append(numpy_helper.from_array(np.float32(0.5), "two"))
    (found,) = checked(model(parts), half, values={"x": np.array([[1, 2, 3], [4, 5, 6]], np.float32)})
    assert [(each.name, each.absolute, each.relative) for each in found.outputs] == [("y[0]", 1.5, 0.5), ("y[1]", 3.0, 0.5)]


RELU = model("(float[1,3,4,4] x) => (float[1,3,4,4] y) { y = Relu(x) }")


@pytest.mark.parametrize(
    ("graph", "reason"),
    [
        (
            "(float[1,3,5,5] x) => (float[1,3,5,5] y) { y = Relu(x) }",
            "input 'x' is float32 1×3×5×5, in the first model float32 1×3×4×4",
        ),
        (
            "(int64[1,3,4,4] z) => (int64[1,3,4,4] y) { y = Identity(z) }",
            "the first model has no matching input for 'z' (int64 1×3×4×4)",
        ),
        (
            "(float[1,3,4,4] x, float[1] more) => (float[1,3,4,4] y) { y = Mul(x, more) }",
            "the first model has no matching input for 'more' (float32 1)",
        ),
    ],
)
def test_one_that_cannot_be_fed_with_the_same_says_why(graph: str, reason: str) -> None:
    found, same = checked(RELU, model(graph), RELU)
    assert reason in found.reason
    assert found.outputs == ()
    assert same.outputs[0].is_within(0)


def test_one_that_cannot_be_run_says_why() -> None:
    unknown = model("(float[1,3,4,4] x) => (float[1,3,4,4] y) { y = com.acme.Mine(x) }", domains=', "com.acme" : 1')
    (found,) = checked(RELU, unknown)
    assert "com.acme" in found.reason
    (found,) = checked(unknown, RELU)
    assert found.reason.startswith("the first model cannot be run: ")
    assert "com.acme" in found.reason


def test_outputs_with_synthetic_weights_are_not_compared() -> None:
    absent = with_weights(NCHW)
    tensor = absent.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="nowhere")
    (found,) = checked(with_weights(NCHW), absent)
    assert "its weights are missing" in found.reason


def test_progress() -> None:
    heard: list[Progress] = []
    check_outputs([ModelSpec.of(RELU.SerializeToString())] * 2, on_progress=heard.append)
    assert heard == [Progress("outputs", 0.0), Progress("outputs", 0.5)]
