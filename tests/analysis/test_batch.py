"""The batch of a model: found by its name or its place, set in all inputs that have it, and not where it is fixed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from onnxcost import estimate
from onnxcost.analysis.batch import batch_dim, batch_of
from tests.modeltext import model

# name: graph, the batch now, the shapes of the inputs with a batch of 8 (None: it cannot be set)
BATCHES: dict[str, tuple[str, int, Mapping[str, tuple[int, ...]] | None]] = {
    "by its name": ("(float[batch_size,3] x) => (float[m,3] y) { y = Neg(x) }", 1, {"x": (8, 3)}),
    "N": ("(float[N,3,H,W] x) => (float[m,3,h,w] y) { y = Neg(x) }", 1, {"x": (8, 3, 224, 224)}),
    "in several inputs, not in front": (
        "(float[batch,3] x, float[2,batch,4] state) => (float[a,3] y, float[2,b,4] z) { y = Neg(x) z = Neg(state) }",
        1, {"x": (8, 3), "state": (2, 8, 4)},
    ),
    "several names": (
        "(float[batch,3] x, float[decoder_batch,4] v) => (float[a,3] y, float[b,4] z) { y = Neg(x) z = Neg(v) }",
        1, {"x": (8, 3), "v": (8, 4)},
    ),
    "an exporter's name, in front": ("(float[unk__7,3] x) => (float[m,3] y) { y = Neg(x) }", 1, {"x": (8, 3)}),
    "no name": ("(float[?,3] x) => (float[m,3] y) { y = Neg(x) }", 1, {"x": (8, 3)}),
    "no name, with a state": (
        "(float[?,5] x, float[2,?,4] state, int64[?] n) => (float[a,5] y, float[2,b,4] z, int64[c] m) {"
        " y = Neg(x) z = Neg(state) m = Neg(n) }",
        1, {"x": (8, 5), "state": (2, 8, 4), "n": (8,)},
    ),
    "a vector before it": (
        "(float[k] t, float[m,3] x) => (float[k] u, float[m,3] y) { u = Neg(t) y = Neg(x) }", 1, {"t": (1,), "x": (8, 3)},
    ),
    "fixed": ("(float[4,3] x) => (float[4,3] y) { y = Neg(x) }", 4, None),
    "fixed, with open sides": ("(float[4,3,H,W] x) => (float[4,3,h,w] y) { y = Neg(x) }", 4, None),
    "a sequence in front": ("(float[sequence,3] x) => (float[m,3] y) { y = Neg(x) }", 1, None),
    "not in an output": ("(float[4,3] x) => (float[3,4] y) { y = Transpose(x) }", 1, None),
    "no inputs": ("() => (float[2] y) { y = Constant<value = float[2] {1.0, 2.0}>() }", 1, None),
}  # fmt: skip


def shapes(found: Any) -> dict[str, tuple[int, ...]]:
    return {tensor.name: tensor.shape for tensor in found.inputs}


@pytest.mark.parametrize("name", BATCHES)
def test_the_batch_is_found_and_set(name: str) -> None:
    graph, now, expected = BATCHES[name]
    found = estimate(model(graph)).graph
    assert batch_of(found) == now
    batch = batch_dim(found)
    assert (batch is None) == (expected is None)
    if batch is not None:
        assert batch.value == now
        sized = estimate(model(graph), **batch.at(8, {}, {})).graph
        assert shapes(sized) == expected
        assert batch_of(sized) == 8


@pytest.mark.parametrize("front", ["batch", "?"])
def test_other_given_settings_are_kept(front: str) -> None:
    graph = f"(float[{front},3,H,W] x, float[L,4] v) => (float[a,3,b,c] y, float[L,4] z) {{ y = Neg(x) z = Neg(v) }}"
    given: dict[str, Any] = {"shapes": {"x": (2, 3, 10, 20)}, "dims": {"L": 5}}
    batch = batch_dim(estimate(model(graph), **given).graph)
    assert batch is not None
    changed = batch.at(8, **given)
    assert shapes(estimate(model(graph), **changed).graph) == {"x": (8, 3, 10, 20), "v": (5, 4)}
    assert given == {"shapes": {"x": (2, 3, 10, 20)}, "dims": {"L": 5}}


def test_of_batches_of_two_sizes_the_first_is_set() -> None:
    graph = "(float[batch,3] x, float[decoder_batch,4] v) => (float[a,3] y, float[b,4] z) { y = Neg(x) z = Neg(v) }"
    given: dict[str, Any] = {"dims": {"batch": 2, "decoder_batch": 3}}
    batch = batch_dim(estimate(model(graph), **given).graph)
    assert batch is not None
    assert batch.value == 2
    assert shapes(estimate(model(graph), **batch.at(8, {}, **given)).graph) == {"x": (8, 3), "v": (3, 4)}


@pytest.mark.parametrize(
    ("dims", "now", "then"),
    [
        ("2,?,4", (2, 4, 4), (2, 8, 4)),
        ("2,?", (2, 4), (2, 4)),
        ("2,?,4", (2, 5, 4), (2, 5, 4)),
        ("2,3,?", (2, 3, 4), (2, 3, 4)),
    ],
    ids=["a state", "a matrix", "a state of another size", "the last dim"],
)
def test_which_second_dim_is_the_batch(dims: str, now: tuple[int, ...], then: tuple[int, ...]) -> None:
    graph = f"(float[?,5] x, float[{dims}] v) => (float[a,5] y, float z) {{ y = Neg(x) z = ReduceSum(v) }}"
    given: dict[str, Any] = {"shapes": {"x": (4, 5), "v": now}}
    batch = batch_dim(estimate(model(graph), **given).graph)
    assert batch is not None
    assert {name: tuple(shape) for name, shape in batch.at(8, dims={}, **given)["shapes"].items()} == {"x": (8, 5), "v": then}
