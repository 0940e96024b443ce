"""A run as a tree: from the nodes in the order in which they ended."""

from __future__ import annotations

import pickle
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import onnx
import pytest

from onnxcost.frontend.trace import Trace, learn_from_run, main_pass, make_traceable, name_of, place_of
from onnxcost.frontend.values import Execution, Pass, Value, tensor_type
from tests.modeltext import model

F4 = (("float32", (4,)),)
F8 = (("float32", (8,)),)


@pytest.mark.parametrize("place", [("", "y"), ("", "/model/y", "then_branch", 'a "b" % ø'), ("", "y", "body", "")])
def test_a_name_encodes_the_place_of_the_node(place: tuple[str, ...]) -> None:
    name = name_of(place)
    assert place_of(name) == place_of(f"_inlined_{name}") == place
    assert name.isascii()
    assert '"' not in name


def test_another_name_says_nothing() -> None:
    assert place_of("/model/Conv") is None


def test_nodes_of_a_body_belong_to_the_node_that_ends_after_them() -> None:
    first, second = (("", "y", "body", name) for name in "ab")
    other = ("", "z", "body", "a")
    passes = main_pass(
        [(first, F4), (second, F4), (first, F8), (second, F8), (("", "y"), F8), (other, F4), (("", "z"), F4)],
    )
    y, z = passes.executions["y"], passes.executions["z"]
    assert [each.executions["a"].outputs for each in y.bodies["body"]] == [F4, F8]
    assert [each.executions.keys() for each in z.bodies["body"]] == [{"a"}]


def test_a_body_in_a_body_begins_anew_with_each_pass() -> None:
    loop, inner = ("", "y", "body", "l"), ("", "y", "body", "l", "body", "a")
    y = main_pass([(inner, F4), (loop, F4), (inner, F4), (inner, F4), (loop, F4), (("", "y"), F4)]).executions["y"]
    assert [len(each.executions["l"].bodies["body"]) for each in y.bodies["body"]] == [1, 2]


def test_equal_passes_are_one_object_even_when_pickled() -> None:
    body = ("", "y", "body", "a")
    trace = Trace(main_pass([(body, F4), (body, F8), (body, F4), (("", "y"), F4)]))
    for each in (trace, pickle.loads(pickle.dumps(trace))):
        first, second, third = each.main.executions["y"].bodies["body"]
        assert first is third
        assert first is not second


def test_a_model_without_nodes_has_an_empty_run() -> None:
    assert main_pass([]).executions == {}


def test_a_body_that_never_ran_is_not_there() -> None:
    assert main_pass([(("", "y"), F4)]).executions == {"y": Execution(F4, {})}
    assert isinstance(main_pass([]), Pass)


def test_weights_next_to_the_file_are_found_from_a_link_to_it(tmp_path: Path) -> None:
    source, weights = tmp_path / "blobs" / "model.onnx", "weights.bin"
    source.parent.mkdir()
    made = model("(float[1,8] x) => (float y) { y = MatMul(x, w) }", w=(8, 4))
    onnx.save(made, source, save_as_external_data=True, location=weights, size_threshold=0)
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "model.onnx").symlink_to(source)
    (tmp_path / "links" / weights).symlink_to(source.parent / weights)
    for path in (source, tmp_path / "links" / "model.onnx"):
        (stored,) = onnx.load_from_string(make_traceable(path)).graph.initializer
        locations = [entry.value for entry in stored.external_data if entry.key == "location"]
        assert [(source.parent / location).resolve() for location in locations] == [source.parent / weights]


@pytest.mark.parametrize(("declared", "elem_type"), [(0, 1), (10, 10)])
def test_a_run_provides_unknown_shapes_and_types(declared: int, elem_type: int) -> None:
    """A runtime may compute in another type than the model's."""
    output = Value("y")
    if declared:
        output.learn(tensor_type(declared, [None]))
    learn_from_run(cast("Any", SimpleNamespace(outputs=[output], execution=Execution(F4, {}))))
    assert output.dims == (4,)
    assert output.type is not None
    assert output.type.tensor_type.elem_type == elem_type
