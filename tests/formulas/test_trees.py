"""Tree ensembles: the oracle's comparisons on data that end in the deepest leaf of every tree."""

from dataclasses import replace

import numpy as np
import pytest

from onnxcost.formulas import FORMULAS, Formula
from onnxcost.formulas.trees import _depths_by_number, count_steps, count_votes, measure_depths
from onnxcost.graph import Work
from tests.oracle import Case, by_hand, case, check
from tests.oracle.cases import node_of

ML = "ai.onnx.ml"
X = (5, 4)
# two trees. 0: feature 0 < 1 always, then feature 1 < 1 always, to a leaf; other leaves beside. 1: feature 2 < 1 always
TREES = {
    "nodes_treeids": [0, 0, 0, 0, 0, 1, 1, 1],
    "nodes_nodeids": [0, 1, 2, 3, 4, 0, 1, 2],
    "nodes_modes": ["BRANCH_LT", "BRANCH_LT", "LEAF", "LEAF", "LEAF", "BRANCH_LT", "LEAF", "LEAF"],
    "nodes_featureids": [0, 1, 0, 0, 0, 2, 0, 0],
    "nodes_values": [1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0],
    "nodes_truenodeids": [1, 3, 0, 0, 0, 1, 0, 0],
    "nodes_falsenodeids": [2, 4, 0, 0, 0, 2, 0, 0],
    "nodes_missing_value_tracks_true": [0] * 8,
}
TARGETS = {
    "target_treeids": [0, 0, 0, 1, 1],
    "target_nodeids": [2, 3, 4, 1, 2],
    "target_ids": [0, 0, 0, 0, 0],
    "target_weights": [1.0, 2.0, 3.0, 4.0, 5.0],
    "n_targets": 1,
}
CLASSES = {
    "class_treeids": [0, 0, 0, 0, 0, 0, 1, 1],
    "class_nodeids": [2, 2, 3, 3, 4, 4, 1, 2],
    "class_ids": [0, 1, 0, 1, 0, 1, 0, 1],
    "class_weights": [0.1] * 8,
    "classlabels_int64s": [0, 1],
}
INDEXED = {
    "tree_roots": [0, 2], "n_targets": 2, "nodes_featureids": [0, 1, 2], "leaf_targetids": [0, 1, 0, 1, 0],
    "nodes_truenodeids": [1, 1, 3], "nodes_trueleafs": [0, 1, 1],
    "nodes_falsenodeids": [0, 2, 4], "nodes_falseleafs": [1, 1, 1],
}  # fmt: skip
LEAVES = "leaves are plain numbers, whose sums are not seen"

CASES = [
    # a vote for the one target in either tree: one addition
    case(f"{ML}.TreeEnsembleRegressor", X, opset=3, artefact=-5 * Work(adds=1), why=LEAVES, **TREES, **TARGETS),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_oracle(case: Case) -> None:
    check(case)


DOWN = 5 * Work(compares=2 + 1)
LEAVES_ALONE = {name: [0, 0] for name in TREES} | {
    "nodes_treeids": [0, 1],
    "nodes_modes": ["LEAF"] * 2,
    "nodes_values": [0.0] * 2,
}
BY_HAND = [
    # two trees of a leaf each: nothing is compared
    (f"{ML}.TreeEnsembleRegressor", {**LEAVES_ALONE, **TARGETS, "target_treeids": [0, 1], "target_nodeids": [0, 0],
     "target_ids": [0, 0], "target_weights": [1.0, 2.0], "opset": 3}, 5 * Work(adds=1)),
    (f"{ML}.TreeEnsembleRegressor", {**TREES, **TARGETS, "aggregate_function": "AVERAGE", "opset": 3},
     DOWN + 5 * Work(adds=1, divs=1)),
    (f"{ML}.TreeEnsembleRegressor", {**TREES, **TARGETS, "aggregate_function": "MAX", "opset": 3}, DOWN + 5 * Work(compares=1)),
    (f"{ML}.TreeEnsembleRegressor", {**TREES, **TARGETS, "base_values": [0.5], "opset": 3}, DOWN + 5 * Work(adds=2)),
    (f"{ML}.TreeEnsembleRegressor", {**TREES, **TARGETS, "post_transform": "LOGISTIC", "opset": 3},
     DOWN + 5 * Work(adds=1 + 2, transcendentals=1, divs=1)),
    # 2 votes in the first tree, 1 in the second, for 2 classes of which the larger is found
    (f"{ML}.TreeEnsembleClassifier", {**TREES, **CLASSES, "opset": 3}, DOWN + 5 * Work(adds=1, compares=1)),
    (f"{ML}.TreeEnsembleClassifier", {**TREES, **CLASSES, "post_transform": "LOGISTIC", "opset": 3},
     DOWN + 5 * Work(adds=1, compares=1) + 10 * Work(adds=2, transcendentals=1, divs=1)),
    # all votes for one of two classes: 2 votes are 1 addition, and the other class' score 1 more
    (f"{ML}.TreeEnsembleClassifier", {**TREES, **CLASSES, "class_treeids": [0, 1], "class_nodeids": [3, 1], "class_ids": [0, 0],
     "opset": 3}, DOWN + 5 * Work(adds=1 + 1, compares=1)),
    # the same votes as above, those of a tree not in a row: 2 and 1 of the leaf with the most
    (f"{ML}.TreeEnsembleClassifier", {**TREES, **CLASSES, "class_treeids": [0, 1, 0, 0, 1, 0, 0, 0],
     "class_nodeids": [2, 1, 2, 3, 2, 3, 4, 4], "opset": 3}, DOWN + 5 * Work(adds=1, compares=1)),
    # two trees of depth 2 and 1 vote for two targets: no addition
    (f"{ML}.TreeEnsemble", INDEXED, DOWN),
    # of one leaf, whose node points to it on both sides
    (f"{ML}.TreeEnsemble", {**INDEXED, "tree_roots": [0], "nodes_truenodeids": [0], "nodes_trueleafs": [1],
     "nodes_falsenodeids": [0], "nodes_falseleafs": [1]}, Work()),
]  # fmt: skip


@pytest.mark.parametrize(("op_type", "attributes", "work"), BY_HAND)
def test_by_hand(op_type, attributes, work) -> None:
    assert by_hand(op_type, [X], [(5, 1)], **attributes) == work


SHAPES = [
    (f"{ML}.TreeEnsembleRegressor", {**TREES, **TARGETS, "n_targets": 3, "opset": 3}, [("float32", (5, 3))]),
    (f"{ML}.TreeEnsembleClassifier", {**TREES, **CLASSES, "opset": 3}, [("int64", (5,)), ("float32", (5, 2))]),
    (f"{ML}.TreeEnsembleClassifier", {"classlabels_strings": ["a", "b", "c"], "opset": 3},
     [("string", (5,)), ("float32", (5, 3))]),
    (f"{ML}.TreeEnsemble", INDEXED, [("float32", (5, 2))]),
]  # fmt: skip


@pytest.mark.parametrize(("op_type", "attributes", "types"), SHAPES)
def test_shapes(op_type, attributes, types) -> None:
    formula = FORMULAS[op_type]
    assert isinstance(formula, Formula)
    assert formula.shapes is not None
    assert list(formula.shapes(node_of(case(op_type, X, **attributes), [X], [None]))) == types


@pytest.mark.parametrize(
    ("roots", "first", "second", "depths"),
    [
        pytest.param([0, 0], [*range(1, 5_000), -1], [-1] * 5_000, [5_000, 5_000], id="a chain, twice"),
        pytest.param([0], [1, 0], [1, 0], [2], id="a cycle"),
        pytest.param([-1, 0], [-1], [-1], [0, 1], id="a leaf alone"),
        pytest.param([2, 0], [1, -1, -1], [-1, -1, -1], [1, 2], id="the deeper tree is stored first"),
        pytest.param([0], [1, 3, -1, -1], [2, -1, 3, -1], [3], id="a node with two parents"),
    ],
)
def test_depths(roots: list[int], first: list[int], second: list[int], depths: list[int]) -> None:
    assert measure_depths(np.array(roots), np.array(first), np.array(second)) == depths


@pytest.mark.parametrize(
    ("numbers", "yes", "no", "expected"),
    [
        pytest.param([0, 1, 2, 3, 4], [1, 0, 3, 0, 0], [2, 0, 4, 0, 0], [2], id="in order"),
        pytest.param([4, 3, 2, 1, 0], [3, 0, 1, 0, 0], [2, 0, 0, 0, 0], [2], id="the root first, with the last number"),
        pytest.param([0, 1, 2, 3, 4], [1, 0, 1, 0, 0], [2, 0, 4, 0, 0], [2], id="a node with two parents"),
        pytest.param([0, 1, 2, 3, 4], [1, 0, 0, 0, 0], [2, 0, 4, 0, 0], [2], id="a cycle"),
        pytest.param([0, 1, 2, 3, 4], [1, 0, 9, 0, 0], [2, 0, 4, 0, 0], [2], id="a child that is not there"),
        pytest.param([0, 1, 2, 3, 4], [1, 0, -1, 0, 0], [2, 0, 4, 0, 0], [2], id="no child on one side"),
        pytest.param([0, 0, 1, 2, 3], [1, 0, 2, 0, 0], [2, 0, 3, 0, 0], [2], id="a number twice"),
    ],
)
def test_depths_however_the_nodes_are_numbered(numbers: list[int], yes: list[int], no: list[int], expected: list[int]) -> None:
    modes = tuple("LEAF" if place in (1, 3, 4) else "BRANCH_LEQ" for place in range(5))
    made = node_of(case(f"{ML}.TreeEnsembleRegressor", X, **TREES, opset=3), [X], [None])
    attributes = {
        "nodes_treeids": (7,) * 5 + (8,) * 5, "nodes_nodeids": tuple(numbers) * 2, "nodes_modes": modes * 2,
        "nodes_truenodeids": tuple(yes) * 2, "nodes_falsenodeids": tuple(no) * 2,
    }  # fmt: skip
    assert _depths_by_number(replace(made, attributes=attributes)) == expected * 2


def test_steps_and_votes_of_a_row() -> None:
    """Leaves one, two and two steps below the root of each of two trees, and a tree that is a leaf."""
    made = node_of(case(f"{ML}.TreeEnsembleRegressor", X, **TREES, opset=3), [X], [None])
    attributes = {
        "nodes_treeids": (7,) * 5 + (8,) * 5 + (9,),
        "nodes_nodeids": (*range(5), *range(5), 0),
        "nodes_modes": ("BRANCH_LEQ", "LEAF", "BRANCH_LEQ", "LEAF", "LEAF") * 2 + ("LEAF",),
        "nodes_truenodeids": (1, 0, 3, 0, 0) * 2 + (0,),
        "nodes_falsenodeids": (2, 0, 4, 0, 0) * 2 + (0,),
        "target_treeids": (7, 7, 7, 7, 8, 9),
        "target_nodeids": (1, 1, 3, 4, 1, 0),
    }
    node = replace(made, attributes=attributes)
    assert count_steps(node) == pytest.approx(2 * 5 / 3)
    assert count_votes(node) == 2 + 1 + 1
    assert count_steps(node_of(case(f"{ML}.TreeEnsemble", X, **INDEXED, opset=5), [X], [None])) > 0
