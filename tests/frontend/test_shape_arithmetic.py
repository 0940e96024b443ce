"""The operators of shape arithmetic against onnxruntime: the same elements, of the same type and shape, in each opset."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import onnxruntime
import pytest
from numpy.random import Generator, default_rng
from onnx import NodeProto, TensorProto, defs, helper

from onnxcost.frontend.array_arithmetic import LIMIT, OPERATORS, TYPES, NotComputed
from onnxcost.frontend.shape_arithmetic import compute

Array = Any


class Case(NamedTuple):
    """A node with its inputs, None where one is absent."""

    operator: str
    opset: int
    inputs: list[Array | None]
    attributes: dict[str, Any]
    outputs: int = 1

    @property
    def node(self) -> NodeProto:
        names = [f"i{index}" if array is not None else "" for index, array in enumerate(self.inputs)]
        return helper.make_node(self.operator, names, [f"o{index}" for index in range(self.outputs)], **self.attributes)


def by_onnxruntime(case: Case) -> list[Array]:
    feeds = {f"i{index}": np.asarray(array) for index, array in enumerate(case.inputs) if array is not None}
    infos = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
        for name, array in feeds.items()
    ]
    outputs = [helper.make_empty_tensor_value_info(name) for name in case.node.output]
    graph = helper.make_graph([case.node], "g", infos, outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", case.opset)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, feeds)  # type: ignore[no-any-return]


def ints(rng: Generator, *shape: int, low: int = -9, high: int = 10, dtype: Any = np.int64) -> Array:
    return rng.integers(low, high, shape).astype(dtype)


def floats(rng: Generator, *shape: int, dtype: Any = np.float32) -> Array:
    return rng.choice([-7.5, -2.5, -0.5, -0.0, 0.0, 0.5, 1.5, 2.5, 3.7, 100.25], shape).astype(dtype)


def bools(rng: Generator, *shape: int) -> Array:
    return rng.integers(0, 2, shape).astype(bool)


def shape_of(rng: Generator, least: int = 1, most: int = 3) -> list[int]:
    return [int(size) for size in rng.integers(1, 4, rng.integers(least, most + 1))]


def two_shapes(rng: Generator) -> tuple[list[int], list[int]]:
    """Two shapes that can be broadcast."""
    shape = shape_of(rng, 0)
    other = [1 if rng.random() < 0.3 else size for size in shape][int(rng.integers(0, len(shape) + 1)) :]
    return (shape, other) if rng.random() < 0.5 else (other, shape)


def two(rng: Generator, operator: str, make: Callable[..., Array] = ints, **attributes: Any) -> Case:
    left, right = two_shapes(rng)
    return Case(operator, int(rng.choice([9, 13, 14, 18])), [make(rng, *left), make(rng, *right)], attributes)


def nonzero(rng: Generator, *shape: int) -> Array:
    return (ints(rng, *shape, low=1) * rng.choice([-1, 1])).astype(np.int64)


def nonzero_floats(rng: Generator, *shape: int) -> Array:
    return rng.choice([-2.5, -1.0, 0.5, 3.0], shape).astype(np.float32)


def divisions(rng: Generator) -> Iterator[Case]:
    for make, divisor in ((ints, nonzero), (floats, nonzero_floats)):
        left, right = two_shapes(rng)
        yield Case("Div", 13, [make(rng, *left), divisor(rng, *right)], {})
        if make is ints:
            yield Case("Mod", 13, [make(rng, *left), divisor(rng, *right)], {})
        yield Case("Mod", 10, [make(rng, *left), divisor(rng, *right)], {"fmod": 1})
    yield Case("Div", 14, [np.array(-(2**63) + 1), np.array(2)], {})
    yield Case("Div", 14, [ints(rng, 5, low=0, dtype=np.uint8), np.array([1, 2, 3, 4, 250], np.uint8)], {})


def elementwise(rng: Generator) -> Iterator[Case]:
    for name in ("Add", "Sub", "Mul", "Less", "Greater", "Equal"):
        yield two(rng, name)
        if name != "Equal":
            yield two(rng, name, floats)
    for name in ("LessOrEqual", "GreaterOrEqual"):
        yield two(rng, name)._replace(opset=int(rng.choice([12, 16])))
    for name in ("And", "Or", "Xor"):
        yield two(rng, name, bools)
    for name in ("BitwiseAnd", "BitwiseOr"):
        yield two(rng, name)._replace(opset=18)
    yield Case("BitwiseNot", 18, [ints(rng, 4)], {})
    yield Case("Not", 13, [bools(rng, 4)], {})
    for name in ("Abs", "Neg", "Sign", "Identity"):
        yield Case(name, 13, [ints(rng, 2, 3)], {})
        yield Case(name, 13, [floats(rng, 5)], {})
    for name in ("Ceil", "Floor", "Round", "Exp", "Sqrt", "Log", "Reciprocal", "Relu"):
        yield Case(name, 13, [floats(rng, 6)], {})
    yield Case("IsNaN", 13, [np.array([1, np.nan, np.inf], np.float32)], {})
    yield Case("IsInf", 10, [np.array([1, np.nan, -np.inf], np.float32)], {})
    for name in ("Max", "Min", "Sum"):
        left, right = two_shapes(rng)
        yield Case(name, 13, [floats(rng, *left), floats(rng, *right), floats(rng, 1)], {})
    yield Case("Max", 13, [ints(rng, 3), ints(rng)], {})
    left, right = two_shapes(rng)
    yield Case("Where", 16, [bools(rng, *left), ints(rng, *right), ints(rng, 1)], {})
    yield Case("Pow", 13, [ints(rng, 3), ints(rng, 3, low=0, high=5)], {})
    yield Case("Pow", 15, [floats(rng, 3), ints(rng, 3)], {})
    yield Case("Pow", 15, [ints(rng, 3, low=0), np.array(0.5, np.float32)], {})
    yield Case("Clip", 6, [floats(rng, 5)], {"min": -1.5, "max": 2.0})
    yield Case("Clip", 6, [floats(rng, 5)], {})
    yield Case("Clip", 11, [floats(rng, 5), None, np.array(1, np.float32)], {})
    yield Case("Clip", 12, [ints(rng, 5), np.array(2), np.array(-2)], {})


def casts(rng: Generator) -> Iterator[Case]:
    types = ("float32", "float64", "float16", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "bool")
    for source in types:
        for target in types:
            low = 0 if "u" in target or "u" in source else -9
            array = rng.integers(low, 10, 4).astype(source)
            number = helper.np_dtype_to_tensor_dtype(np.dtype(target))
            yield Case("Cast", int(rng.choice([6, 9, 13, 19])), [array], {"to": number})
    yield Case("Cast", 13, [np.array([-1, 300, 2**40 + 7])], {"to": TensorProto.UINT8})
    yield Case("Cast", 13, [floats(rng, 6)], {"to": TensorProto.INT64})
    yield Case("CastLike", 15, [floats(rng, 6), ints(rng, 1, dtype=np.int32)], {})


def slices(rng: Generator) -> Iterator[Case]:
    bounds = [-(2**62), -9, -4, -1, 0, 1, 2, 3, 9, 2**31 - 1, 2**63 - 1]
    for _ in range(20):
        array = ints(rng, *shape_of(rng))
        axes = rng.permutation(array.ndim)[: rng.integers(1, array.ndim + 1)]
        starts, ends = (rng.choice(bounds, len(axes)) for _ in range(2))
        steps = rng.choice([1, 2, -1, -2, 7], len(axes))
        # onnxruntime takes the largest integer for "to the end" backward too, where the specification has the smallest.
        ends = np.where((steps < 0) & (ends > 2**30), 9, ends)
        axes = np.array([axis - array.ndim if rng.random() < 0.5 else axis for axis in axes])
        yield Case("Slice", int(rng.choice([10, 11, 13])), [array, starts, ends, axes, steps], {})
        yield Case("Slice", 10, [array, starts, ends, axes], {})
        attributes = {"starts": starts.tolist(), "ends": ends.tolist(), "axes": (axes % array.ndim).tolist()}
        yield Case("Slice", 1, [array], attributes)
    yield Case("Slice", 9, [ints(rng, 4)], {"starts": [1], "ends": [3]})
    yield Case("Slice", 13, [ints(rng, 4, 2), np.array([1], np.int32), np.array([-1], np.int32)], {})


def views(rng: Generator) -> Iterator[Case]:
    array = ints(rng, 2, 3, 4)
    for target in ([6, 4], [-1], [0, -1], [2, 0, 2, 2], [24, 1, 1]):
        yield Case("Reshape", int(rng.choice([5, 13, 14])), [array, np.array(target)], {})
        yield Case("Reshape", 1, [array.astype(np.float32)], {"shape": target})
    yield Case("Reshape", 14, [ints(rng, 0, 3), np.array([3, 0])], {"allowzero": 1})
    for axis in range(-3, 4):
        yield Case("Flatten", 13, [array], {"axis": axis})
    yield Case("Flatten", 9, [array], {})
    yield Case("Transpose", 13, [array], {})
    yield Case("Transpose", 1, [array], {"perm": [2, 0, 1]})
    ones = ints(rng, 1, 3, 1)
    for axes in ([0], [-1], [0, 2]):
        yield Case("Squeeze", 13, [ones, np.array(axes)], {})
        yield Case("Squeeze", 11, [ones], {"axes": axes})
        yield Case("Unsqueeze", 13, [ones, np.array(axes)], {})
        yield Case("Unsqueeze", 11, [ones], {"axes": axes})
    yield Case("Squeeze", 13, [ones], {})
    yield Case("Squeeze", 1, [ones], {})
    yield Case("Expand", 13, [ones, np.array([2, 1, 1, 5])], {})
    yield Case("Expand", 8, [np.array(3), np.array([], np.int64)], {})
    yield Case("Tile", 13, [array, np.array([1, 2, 3])], {})
    for start, end in ((0, 2), (-2, None), (1, -1), (2, 1), (-9, 9)):
        yield Case("Shape", 15, [array], {"start": start} | ({} if end is None else {"end": end}))
    yield Case("Shape", 1, [array], {})
    yield Case("Size", 13, [array], {})


def selections(rng: Generator) -> Iterator[Case]:
    array = ints(rng, 3, 4, 2)
    for axis in range(-3, 3):
        indices = ints(rng, *shape_of(rng, 0, 2), low=-2, high=2)
        yield Case("Gather", int(rng.choice([1, 11, 13])), [array, indices], {"axis": axis})
    yield Case("Gather", 13, [array, ints(rng, 2, low=0, high=3, dtype=np.int32)], {})
    for last in (1, 2, 3):
        yield Case("GatherND", 12, [array, ints(rng, 2, 2, last, low=-2, high=2)], {})
    for last, rest in ((1, [4, 2]), (2, [2]), (3, [])):
        yield Case("ScatterND", 11, [array, np.array([[0, 1, 1][:last], [2, 3, -1][:last]]), ints(rng, 2, *rest)], {})
    yield Case("Concat", 13, [array, ints(rng, 3, 1, 2)], {"axis": -2})
    yield Case("Concat", 4, [ints(rng, 2), ints(rng, 3)], {"axis": 0})
    yield Case("NonZero", 13, [ints(rng, 3, 4, low=0, high=2)], {})
    yield Case("NonZero", 9, [np.zeros((2, 2), np.int64)], {})
    ten = ints(rng, 10)
    yield Case("Split", 13, [ten, np.array([1, 7, 2])], {}, 3)
    yield Case("Split", 2, [ten], {"split": [4, 6]}, 2)
    yield Case("Split", 11, [ints(rng, 2, 6)], {"axis": -1}, 3)
    yield Case("Split", 18, [ten], {"num_outputs": 4}, 4)
    pads = ints(rng, 6, low=0, high=3)
    yield Case("Pad", 13, [array, pads, np.array(7)], {})
    yield Case("Pad", 18, [array, pads], {})
    yield Case("Pad", 11, [floats(rng, 2, 3), np.array([1, 0, 2, 1]), np.array(7, np.float32)], {})
    yield Case("Pad", 2, [floats(rng, 2, 3)], {"pads": [1, 0, 2, 1], "value": 2.5})


def generators(rng: Generator) -> Iterator[Case]:
    for start, limit, delta in ((0, 5, 1), (3, -4, -2), (5, 0, 1), (-3, 4, 3), (0, 0, 1)):
        for dtype in (np.int64, np.int32, np.float32, np.float64):
            yield Case("Range", 11, [np.array(item, dtype) for item in (start, limit, delta)], {})
    yield Case("Range", 11, [np.array(item, np.float32) for item in (0.0, 1.0, 0.3)], {})
    yield Case("ConstantOfShape", 9, [np.array([2, 3])], {})
    yield Case("ConstantOfShape", 20, [np.array([], np.int64)], {"value": helper.make_tensor("v", 7, [1], [5])})
    yield Case("ConstantOfShape", 9, [np.array([0, 3])], {"value": helper.make_tensor("v", 9, [1], [True])})
    for name, value in {"value_int": 3, "value_ints": [1, 2], "value_float": 0.5, "value_floats": [0.5, 2.0]}.items():
        yield Case("Constant", 13, [], {name: value})
    yield Case("Constant", 1, [], {"value": helper.make_tensor("v", 7, [2], [5, 6])})
    for axis in (-1, 0, 1, -3):
        indices = ints(rng, 2, 3, low=-4, high=5)
        yield Case("OneHot", 11, [indices, np.array(3), np.array([1, 7])], {"axis": axis})
        yield Case("OneHot", 11, [indices.astype(np.int32), np.array(3, np.int32), floats(rng, 2)], {"axis": axis})
    yield Case("OneHot", 9, [np.array([3]), np.array([5]), floats(rng, 2)], {})


def reductions(rng: Generator) -> Iterator[Case]:
    array = ints(rng, 2, 3, 2, dtype=np.int32)
    for name in ("ReduceMax", "ReduceMin", "ReduceProd", "ReduceSum"):
        since = 13 if name == "ReduceSum" else 18
        for keepdims in (0, 1):
            yield Case(name, 11, [array], {"axes": [0, -1], "keepdims": keepdims})
            yield Case(name, 1, [array], {"keepdims": keepdims})
            yield Case(name, since, [array, np.array([1])], {"keepdims": keepdims})
            yield Case(name, since, [array], {"keepdims": keepdims})
            yield Case(name, since, [array, np.array([], np.int64)], {"noop_with_empty_axes": 1, "keepdims": keepdims})
    for axis in (0, 1, -1):
        for exclusive in (0, 1):
            for reverse in (0, 1):
                attributes = {"exclusive": exclusive, "reverse": reverse}
                yield Case("CumSum", int(rng.choice([11, 14])), [array, np.array(axis)], attributes)


FAMILIES = (elementwise, divisions, casts, slices, views, selections, generators, reductions)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__)
def test_as_onnxruntime_has_it(family: Callable[[Generator], Iterator[Case]], seed: int) -> None:
    for case in family(default_rng(seed)):
        expected = by_onnxruntime(case)
        found = compute(case.node, case.inputs, case.opset)
        assert len(found) == len(expected)
        for ours, theirs in zip(found, expected, strict=True):
            assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape), case
            np.testing.assert_allclose(ours, theirs, rtol=1e-6, err_msg=str(case))


def test_each_operator_is_held_against_it() -> None:
    assert {case.operator for family in FAMILIES for case in family(default_rng(0))} == set(OPERATORS)


K = np.arange(LIMIT)
BIG = np.array(10**12)
NOT_COMPUTED: dict[str, Case] = {
    "a sum of 1,024 x 1,024": Case("Add", 14, [K, K.reshape(-1, 1)], {}),
    "a selection of 1,024 x 1,024": Case("Where", 16, [K > 0, K, K.reshape(-1, 1)], {}),
    "a power of 1,024 x 1,024": Case("Pow", 15, [K, K.reshape(-1, 1)], {}),
    "a Range to 10^12": Case("Range", 11, [np.array(0), BIG, np.array(1)], {}),
    "a Range of floats without end": Case("Range", 11, [np.float32(0), np.float32(np.inf), np.float32(1)], {}),
    "a Range of steps of 0": Case("Range", 11, [np.array(0), np.array(5), np.array(0)], {}),
    "a ConstantOfShape": Case("ConstantOfShape", 9, [BIG.reshape(1)], {}),
    "a OneHot": Case("OneHot", 11, [np.array([1]), BIG, np.array([0, 1])], {}),
    "an Expand": Case("Expand", 13, [np.array(1), BIG.reshape(1)], {}),
    "a Tile": Case("Tile", 13, [np.array([1]), BIG.reshape(1)], {}),
    "a Pad": Case("Pad", 13, [np.array([1]), np.array([0, 10**12])], {}),
    "a Gather": Case("Gather", 13, [K.reshape(1, -1), np.zeros(LIMIT, np.int64)], {}),
    "a GatherND": Case("GatherND", 12, [K.reshape(1, -1), np.zeros((LIMIT, 1), np.int64)], {}),
    "a Concat": Case("Concat", 13, [K, K], {"axis": 0}),
    "a reduction of nothing to 10^12": Case("ReduceSum", 13, [np.zeros((10**12, 0)), np.array([1])], {}),
    "a division by 0": Case("Div", 14, [np.array(1), np.array(0)], {}),
    "a remainder of 0": Case("Mod", 13, [np.array(1), np.array(0)], {}),
    "nan as an integer": Case("Cast", 13, [np.array(np.nan)], {"to": TensorProto.INT64}),
    "a float beyond the integers": Case("Cast", 13, [np.array(2.0**63)], {"to": TensorProto.INT64}),
    "a power beyond float64": Case("Pow", 15, [np.array(9), np.array(99)], {}),
    "a type that is not computed with": Case("Cast", 13, [np.array(1)], {"to": TensorProto.STRING}),
    "an axis that is not there": Case("Gather", 13, [K, K], {"axis": 3}),
    "an absent input": Case("Add", 14, [K, None], {}),
    "an attribute of another kind": Case("Concat", 13, [K], {"axis": "x"}),
    "a step of 0": Case("Slice", 13, [K, np.array([0]), np.array([1]), np.array([0]), np.array([0])], {}),
}


@pytest.mark.parametrize("case", NOT_COMPUTED.values(), ids=NOT_COMPUTED.keys())
def test_what_is_too_large_or_not_defined_is_not_computed(case: Case) -> None:
    with pytest.raises(NotComputed):
        compute(case.node, case.inputs, case.opset)


SQUARE = np.arange(6).reshape(2, 3)

# An operator, what is said as an attribute or as an input, and the outputs; from this opset on it is said so.
SAID: dict[str, tuple[dict[str, Array], list[Array], int]] = {
    "Slice": ({"starts": np.array([1]), "ends": np.array([3]), "axes": np.array([1])}, [SQUARE[:, 1:3]], 1),
    "Split": ({"split": np.array([1, 2])}, [SQUARE[:, :1], SQUARE[:, 1:]], 2),
    "Squeeze": ({"axes": np.array([1])}, [SQUARE], 1),
    "Unsqueeze": ({"axes": np.array([1])}, [SQUARE[:, None]], 1),
    "ReduceSum": ({"axes": np.array([1])}, [SQUARE.sum(1, keepdims=True)], 1),
    "ReduceMax": ({"axes": np.array([1])}, [SQUARE.max(1, keepdims=True)], 1),
    "ReduceMin": ({"axes": np.array([1])}, [SQUARE.min(1, keepdims=True)], 1),
    "ReduceProd": ({"axes": np.array([1])}, [SQUARE.prod(1, keepdims=True)], 1),
    "Reshape": ({"shape": np.array([3, 2])}, [SQUARE.reshape(3, 2)], 1),
    # At opset 1 Pad has `paddings`, and Tile tiles along one axis.
    "Pad": ({"pads": np.array([0, 1, 0, 2])}, [np.pad(SQUARE, [(0, 0), (1, 2)])], 2),
    "Tile": ({"repeats": np.array([1, 2])}, [np.tile(SQUARE, (1, 2))], 6),
    "Clip": ({"min": np.array(1), "max": np.array(4)}, [SQUARE.clip(1, 4)], 1),
}


@pytest.mark.parametrize("opset", range(1, 24))
@pytest.mark.parametrize("operator", SAID)
def test_attributes_that_became_inputs(operator: str, opset: int) -> None:
    """In which opset, onnx's schemas say."""
    said, expected, since = SAID[operator]
    if opset < since:
        pytest.skip("it is said in another way")
    schema = defs.get_schema(operator, opset)
    names = [each.name for each in schema.inputs]
    attributes = {name: array.tolist() for name, array in said.items() if name in schema.attributes}
    if operator == "Split":
        attributes["axis"] = 1
    array = SQUARE[:, None] if operator == "Squeeze" else SQUARE
    given = [said[name] for name in names[1:] if name in said]
    assert len(attributes) + len(given) == len(said) + (operator == "Split")
    found = compute(Case(operator, opset, [array, *given], attributes, len(expected)).node, [array, *given], opset)
    assert [each.tolist() for each in found] == [each.tolist() for each in expected]


def test_the_first_concat_has_a_default_axis() -> None:
    assert "Default value is 1" in defs.get_schema("Concat", 1).attributes["axis"].description
    (found,) = compute(Case("Concat", 1, [SQUARE, SQUARE], {}).node, [SQUARE, SQUARE], 1)
    assert found.tolist() == np.concatenate([SQUARE, SQUARE], 1).tolist()


@pytest.mark.parametrize(("opset", "is_computed"), [(6, False), (7, True)])
def test_the_first_broadcasting_names_an_axis(opset: int, is_computed: bool) -> None:
    node = Case("Add", opset, [SQUARE, K[:3]], {"axis": 1, "broadcast": 1}).node
    if is_computed:
        assert compute(node, [SQUARE, K[:3]], opset)[0].tolist() == (SQUARE + K[:3]).tolist()
    else:
        with pytest.raises(NotComputed):
            compute(node, [SQUARE, K[:3]], opset)


def test_types_are_numbered_as_in_onnx() -> None:
    for number, name in TYPES.items():
        assert TensorProto.DataType.Name(number).lower() == {"float32": "float", "float64": "double"}.get(name, name)


AT_THE_LIMIT = [
    Case("ConstantOfShape", 9, [np.array([LIMIT])], {}),
    Case("Range", 11, [np.array(0), np.array(LIMIT), np.array(1)], {}),
    Case("Expand", 13, [np.array(1), np.array([LIMIT])], {}),
    Case("Tile", 13, [np.array([1]), np.array([LIMIT])], {}),
    Case("Concat", 13, [K[:-1], K[:1]], {"axis": 0}),
    Case("Pad", 13, [np.array([1]), np.array([0, LIMIT - 1])], {}),
    Case("Gather", 13, [K, K], {}),
    Case("Add", 14, [K, K], {}),
]


@pytest.mark.parametrize("case", AT_THE_LIMIT, ids=lambda case: case.operator)
def test_what_is_just_small_enough_is_computed(case: Case) -> None:
    assert compute(case.node, case.inputs, case.opset)[0].size == LIMIT
