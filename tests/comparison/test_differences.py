from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import permutations
from pathlib import Path

import pytest

import onnxcost
from onnxcost.comparison.candidates import Candidate, CostedNode, CostedOperator
from onnxcost.comparison.differences import IDIOMS, Differences, count_difference, explain_difference
from onnxcost.comparison.saved import read_candidate

MODELS = Path(__file__).parents[2] / "models"
FRAMEWORKS = ("pytorch", "keras", "tensorflow")
SHAPE = (1, 8, 4, 4)


def node(
    operator: str, count: int = 10, *, inputs: tuple[tuple[int, ...], ...] = (SHAPE, (8,)), macs: int = 0, **more: int
) -> CostedNode:
    return CostedNode(f"{operator}_{count}", operator, inputs, SHAPE, macs, count, 7, **more)


BATCH_NORM = "batch normalization not folded into the weights of the previous layer"
CONV = node("Conv", 900, inputs=(SHAPE, (8, 8, 1, 1), (8,)), macs=1024)
GEMM = node("Gemm", 800, inputs=((1, 8), (8, 8), (8,)), macs=1024)


def model(label: str, *nodes: CostedNode) -> Candidate:
    operators = {}
    for each in nodes:
        known = operators.get(each.operator, CostedOperator(each.operator))
        operators[each.operator] = CostedOperator(
            each.operator, known.nodes + 1, 0, known.count + each.count, 0, known.traffic + each.traffic
        )
    return Candidate(label, {}, operators=tuple(operators.values()), nodes=nodes)


def changes(left: list[CostedNode], right: list[CostedNode]) -> list[tuple[str, str, str, str | None, int, int]]:
    found = Differences(model("a", *left), model("b", *right)).changes
    return [("+".join(c.left), "+".join(c.right), c.reason, c.layer, c.places, c.count) for c in found]


def test_equal_graphs_do_not_differ() -> None:
    same = Differences(model("a", CONV, node("Relu")), model("b", CONV, node("Relu")))
    assert (same.changes, same.layers, same.count) == ((), (), 0)


def test_additional_nodes_are_summed_over_all_places() -> None:
    left, right = [CONV, node("Relu"), CONV], [CONV, node("Relu"), node("Abs", 3), CONV, node("Abs", 4)]
    assert changes(left, right) == [("", "Abs", "", "Conv", 2, 7)]
    assert changes(right, left) == [("Abs", "", "", "Conv", 2, -7)]


def test_changes_before_the_first_layer_say_so() -> None:
    assert changes([CONV], [node("Transpose"), CONV]) == [("", "Transpose", "layout change", "", 1, 10)]


@pytest.mark.parametrize(
    ("after", "left", "right", "meaning"),
    [
        (CONV, [], ["Mul", "Add"], "batch normalization not folded into the weights of the previous layer"),
        (CONV, [], ["BatchNormalization"], "batch normalization not folded into the weights of the previous layer"),
        (CONV, ["BatchNormalization"], ["Mul", "Add"], "batch normalization as a scale and a shift"),
        (GEMM, ["LayerNormalization"], list(IDIOMS[4].right), "decomposed layer normalization"),
        (GEMM, ["Gelu"], ["Div", "Erf", "Add", "Mul", "Mul"], "decomposed GELU"),
        (CONV, [], ["QuantizeLinear", "DequantizeLinear"], "quantized and dequantized (QDQ)"),
        (CONV, [], ["Pad"], "padding by a separate node, not by the next node's pads"),
        (GEMM, [], ["Softmax"], "output is probabilities, not logits"),
    ],
)
def test_idioms_are_named_in_both_directions(after: CostedNode, left: list[str], right: list[str], meaning: str) -> None:
    one, other = ([after, *map(node, operators)] for operators in (left, right))
    names = ("+".join(left), "+".join(right))
    count = 10 * (len(right) - len(left))
    assert changes(one, other) == [(*names, meaning, after.operator, 1, count)]
    assert changes(other, one) == [(*names[::-1], meaning, after.operator, 1, -count)]


def test_an_idiom_is_not_named_where_it_does_not_mean_that() -> None:
    whole = (SHAPE, SHAPE)
    gate = [CONV, node("Mul", inputs=whole), node("Add", 9, inputs=whole)]
    assert [change[2] for change in changes([CONV], gate)] == ["", ""]
    assert [change[2] for change in changes([GEMM], [GEMM, node("Mul"), node("Add")])] == ["", ""]
    assert [change[2] for change in changes([GEMM, CONV], [GEMM, node("Softmax"), CONV])] == [""]


def test_a_scalar_is_no_batch_normalization() -> None:
    """It takes a value for each of the 8 channels; the numbers of rows or of columns are none."""
    for shape in ((), (1,), (4,)):
        scaled = [CONV, node("Mul", inputs=(SHAPE, shape)), node("Add", 9, inputs=(SHAPE, (8,)))]
        assert [change[2] for change in changes([CONV], scaled)] == (["", ""] if shape != (4,) else [BATCH_NORM])


@pytest.mark.parametrize("scale", [(), (8,)])
def test_what_scales_integers_is_no_batch_normalization(scale: tuple[int, ...]) -> None:
    product = replace(CONV, operator="ConvInteger", name="c8")
    floats = [node("Cast", 0, inputs=(SHAPE,)), node("Mul", inputs=(SHAPE, scale)), node("Add", inputs=(SHAPE, (8,)))]
    found = changes([CONV], [node("DynamicQuantizeLinear"), product, *floats])
    assert [(right, reason) for _, right, reason, *_ in found] == [
        ("Cast+Mul+Add", "integer sums scaled back to floats, plus a bias"),
        ("DynamicQuantizeLinear", "activations are quantized at run time"),
        ("ConvInteger", "same output, different operator"),
    ]


SCORES = (1, 2, 4, 4)


def linked(operator: str, reads: str, makes: str, macs: int = 0, output: tuple[int, ...] = SCORES) -> CostedNode:
    inputs = tuple(SHAPE for _ in reads.split())
    return CostedNode(makes, operator, inputs, output, macs, 2 * macs, 7, 1, 0, tuple(reads.split()), (makes,))


SPELLED = [
    linked("Transpose", "k", "kt"),
    linked("MatMul", "q kt", "s", 128),
    linked("Mul", "s scale", "t"),
    linked("Softmax", "t", "p"),
    linked("MatMul", "p v", "o", 128, (1, 2, 4, 8)),
]


@pytest.mark.parametrize(
    "operator",
    ["Attention", "com.microsoft.Attention", "com.microsoft.MultiHeadAttention", "com.microsoft.GroupQueryAttention"],
)
def test_attention_spelled_out(operator: str) -> None:
    """What leads to the second product belongs to it; what another one reads does not."""
    other = node("Abs", 3)
    whole = linked(operator, "q k v", "o", 256, (1, 2, 4, 8))
    one, two = [GEMM, *SPELLED, other, GEMM], [GEMM, whole, GEMM]
    assert changes(one, two)[-1] == ("MatMul+Softmax+MatMul+Mul+Transpose", operator, "decomposed attention", "Gemm", 1, 0)
    assert changes(two, one)[-1] == (operator, "MatMul+Softmax+MatMul+Mul+Transpose", "decomposed attention", "Gemm", 1, 0)
    assert changes(one, two)[0][:2] == ("Abs", "")


def test_two_products_without_a_softmax_between_are_no_attention() -> None:
    whole = linked("Attention", "q k v", "o", 256, (1, 2, 4, 8))
    left = [GEMM, *(each for each in SPELLED if each.operator != "Softmax"), linked("Softmax", "x", "y"), GEMM]
    assert "decomposed attention" not in [change[2] for change in changes(left, [GEMM, whole, GEMM])]


def test_a_graph_whose_projections_are_in_its_attention_is_compared_all_the_same() -> None:
    """Three projections, two products and what follows, against one operator and what follows."""
    projections = [linked("MatMul", "x w", name, 64) for name in "qkv"]
    merged = linked("com.microsoft.Attention", "x w b", "o", 448, (1, 2, 4, 8))
    found = changes([*projections, *SPELLED, GEMM], [merged, GEMM])
    assert [(len(left.split("+")), right, reason) for left, right, reason, *_ in found] == [
        (8, "com.microsoft.Attention", "decomposed attention")
    ]


def stored(each: CostedNode, parameters: int, *shapes: tuple[int, ...]) -> CostedNode:
    return replace(each, parameters=parameters, inputs=shapes)


def test_a_weight_that_is_stored_twice() -> None:
    """The head reads the embedding's table, transposed, or a copy of its own."""
    lookup = stored(linked("Gather", "table ids", "e"), 800, (100, 8), (4,))
    tied = [
        lookup,
        stored(linked("Transpose", "table", "tt"), 0, (100, 8)),
        stored(linked("MatMul", "e tt", "y", 3200), 0, (4, 8), (8, 100)),
    ]
    twice = [lookup, stored(linked("MatMul", "e head", "y", 3200), 800, (4, 8), (8, 100))]
    reason = "stored twice: {} reads 'table', which Gather also reads"
    assert parameter_changes(tied, twice) == [("MatMul", 800, reason.format("a"))]
    assert parameter_changes(twice, tied) == [("MatMul", -800, reason.format("b"))]


def test_a_constant_that_is_stored_as_computed() -> None:
    small = [stored(linked("Tile", "g n", "t"), 16, (1, 16), (2,)), stored(linked("Add", "x t", "y"), 0, (8, 16), (8, 16))]
    large = [stored(linked("Add", "x t", "y"), 128, (8, 16), (8, 16))]
    reason = "stored as a constant: in a, Tile computes it from 16 elements"
    assert parameter_changes(small, large) == [("Add", 128, reason)]


def test_where_parameters_are_as_many_there_is_nothing_to_explain() -> None:
    plain = [stored(linked("MatMul", "x w", "y", 64), 64, (8, 8), (8, 8))]
    coded = [
        stored(linked("DequantizeLinear", "q s", "w"), 64, (8, 8), ()),
        stored(linked("MatMul", "x w", "y", 64), 0, (8, 8), (8, 8)),
    ]
    assert parameter_changes(plain, coded) == []


def parameter_changes(left: list[CostedNode], right: list[CostedNode]) -> list[tuple[str, int, str]]:
    sides = []
    for label, nodes in (("a", left), ("b", right)):
        total = CostedOperator("all", parameters=sum(each.parameters for each in nodes))
        sides.append(replace(model(label, *nodes), operators=(total,)))
    return [(each.operator, each.count, each.reason) for each in Differences(*sides).parameter_changes]


def test_a_bias_of_its_own() -> None:
    product = node("MatMul", 790, inputs=((1, 8), (8, 8)), macs=1024)
    assert changes([GEMM], [product, node("Add")]) == [
        ("Gemm", "MatMul+Add", "the bias is added by a separate node", "Gemm", 1, 0)
    ]


def test_one_operator_in_place_of_another() -> None:
    assert changes([CONV, node("Reshape")], [CONV, node("Squeeze")]) == [
        ("Reshape", "Squeeze", "same output, different operator", "Conv", 1, 0)
    ]


def test_equal_nodes_in_another_order_are_no_difference() -> None:
    left = [CONV, node("Relu"), node("Sigmoid", 6), node("Tanh", 5), GEMM]
    assert changes(left, [left[0], left[3], left[1], left[2], left[4]]) == []


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"output": (1, 8, 2, 2)}, "smaller output"),
        ({"output": (1, 8, 8, 8)}, "larger output"),
        ({"output": (1, 16, 4, 2)}, "otherwise shaped output"),
        ({"inputs": (SHAPE, (8, 8, 1, 1))}, "without a bias"),
        ({"inputs": (SHAPE,)}, "1 inputs rather than 3"),
        ({"inputs": ((1, 8, 9, 9), (8, 8, 1, 1), (8,))}, "larger input"),
        ({"repeat": 4, "macs": 4096}, "4 runs rather than 1"),
        ({"count": 901}, "different attribute"),
        ({"traffic": 99}, "different element type"),
        ({"name": "another"}, ""),
    ],
)
def test_reasons_why_a_node_differs(changed: dict[str, object], reason: str) -> None:
    assert explain_difference(CONV, replace(CONV, **changed)) == reason  # type: ignore[arg-type]


def test_models_that_do_not_correspond_differ_only_by_operator() -> None:
    left = [CONV, CONV]
    right = [node("Einsum", 5, macs=4), node("Relu")]
    found = Differences(model("a", *left), model("b", *right))
    assert (found.changes, found.layers) == ((), ())
    assert [(each.operator, each.left.nodes, each.right.nodes, each.count) for each in found.operators] == [
        ("Conv", 2, 0, -1800), ("Relu", 0, 1, 10), ("Einsum", 0, 1, 5),
    ]  # fmt: skip


@cache
def real(name: str, convention: str = "flops") -> tuple[Candidate, onnxcost.CostReport]:
    report = onnxcost.estimate(MODELS / f"{name}.onnx")
    return read_candidate(report.to_dict(convention), name, convention), report


PAIRS = [(f"{name}_{one}", f"{name}_{two}") for name in ("resnet50", "mobilenetv2") for one, two in permutations(FRAMEWORKS, 2)]


@pytest.mark.parametrize("convention", ["flops", "macs", "classic"])
@pytest.mark.parametrize(("left", "right"), PAIRS)
def test_the_explained_differences_sum_to_the_difference_of_the_totals(left: str, right: str, convention: str) -> None:
    (one, before), (two, after) = real(left, convention), real(right, convention)
    found = Differences(one, two)
    count = after.total(convention) - before.total(convention)
    traffic = after.whole.traffic.total - before.whole.traffic.total
    assert found.alignment.alike == max(found.alignment.layers)
    assert sum(each.count for each in found.operators) == sum(change.count for change in found.changes) == count
    assert sum(each.traffic for each in found.operators) == sum(change.traffic for change in found.changes) == traffic
    assert sum(each.parameters for each in found.operators) == after.parameters - before.parameters
    if convention == "macs":
        assert sum(map(count_difference, found.layers)) == after.macs - before.macs


@pytest.mark.parametrize(
    ("left", "right"), [*PAIRS, ("resnet50_pytorch", "mobilenetv2_keras"), ("bert_base_pytorch", "vit_b_16_pytorch")]
)
def test_every_node_is_in_one_pair(left: str, right: str) -> None:
    found = Differences(real(left)[0], real(right)[0])
    pairs = [pair for place in found.alignment.places for pair in place.pairs]
    for side, candidate in ((0, found.left), (1, found.right)):
        assert sorted(id(pair[side]) for pair in pairs if pair[side]) == sorted(map(id, candidate.nodes))


def test_resnet_of_pytorch_and_of_keras() -> None:
    """torchvision strides in the second convolution of a stage's first block, keras.applications in the first one."""
    found = Differences(real("resnet50_pytorch")[0], real("resnet50_keras")[0])
    pairs = [(pair.left and pair.left.output, pair.right and pair.right.output) for pair in found.layers]
    assert pairs == [((1, c, 2 * s, 2 * s), (1, c, s, s)) for c, s in ((128, 28), (256, 14), (512, 7))]
    facts = {(change.left, change.right): (change.places, change.reason) for change in found.changes}
    assert facts[(), ("Mul", "Add")][0] == 53
    assert facts[(), ("Transpose",)] == (1, "layout change")
    assert facts[("Gemm",), ("MatMul", "Add")] == (1, "the bias is added by a separate node")
    assert facts[(), ("Softmax",)] == (1, "output is probabilities, not logits")
