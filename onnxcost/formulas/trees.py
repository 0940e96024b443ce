"""Ensembles of decision trees (ai.onnx.ml), on N rows. A tree costs a comparison a level on the way to a leaf.

An upper bound: every row is taken to go down to the deepest leaf of each tree, and to find as many votes there as the leaf
of the tree that has most. Page of X: https://onnx.ai/onnx/operators/onnx_aionnxml_X.html.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from onnxcost.formulas.classical import best_class, classes_of, labels_of, rows_of, scores, transformed
from onnxcost.formulas.reduction import ADD, COMPARE, DIV
from onnxcost.formulas.table import FormulaTable, TensorType, always, formula
from onnxcost.graph import Node
from onnxcost.work import NO_WORK, Work

Children = Mapping[tuple[int, int], tuple[tuple[int, int], tuple[int, int]]]
"""The two children of each node that branches."""


def depths_of(roots: Iterable[tuple[int, int]], children: Children) -> list[int]:
    """The depth of each tree. A node is gone through once in all: in what are no trees, because they meet or bite their tail,
    the first way to a node counts.
    """
    seen: set[tuple[int, int]] = set()
    found: dict[tuple[int, int], int] = {}
    return [found[root] if root in found else found.setdefault(root, _depth(root, children, seen)) for root in roots]


def _depth(root: tuple[int, int], children: Children, seen: set[tuple[int, int]]) -> int:
    """The branches on the longest way down, without recursion: a chain of thousands of nodes is a tree too."""
    deepest, level = 0, [root]
    while level := [node for node in level if node in children and node not in seen]:
        seen.update(level)
        deepest += 1
        level = [child for node in dict.fromkeys(level) for child in children[node]]
    return deepest


def _numbered(node: Node) -> list[int]:
    """The depth of each tree whose nodes carry the number of their tree and their own."""
    names = ("treeids", "nodeids", "modes", "truenodeids", "falsenodeids")
    rows = list(zip(*(node.attributes[f"nodes_{name}"] for name in names), strict=True))
    children = {(tree, own): ((tree, yes), (tree, no)) for tree, own, mode, yes, no in rows if mode != "LEAF"}
    roots: dict[int, tuple[int, int]] = {}
    for tree, own, *_ in rows:
        roots.setdefault(tree, (tree, own))
    return depths_of(roots.values(), children)


def _most_votes(trees: Iterable[int], leaves: Iterable[int]) -> int:
    """Over all trees, the votes of the leaf that has most in its tree."""
    most: dict[int, int] = {}
    for (tree, _), votes in Counter(zip(trees, leaves, strict=True)).items():
        most[tree] = max(votes, most.get(tree, 0))
    return sum(most.values())


def ensemble(rows: int, depths: list[int], votes: int, targets: int, aggregate: str, based: bool) -> Work:
    """The ways down and the aggregation: the first vote for a target starts its sum where no base value does."""
    joined = max(0, votes if based and aggregate in ("SUM", "AVERAGE") else votes - targets)
    join = COMPARE if aggregate in ("MIN", "MAX") else ADD
    base = targets * ADD if based and aggregate in ("MIN", "MAX") else NO_WORK
    mean = targets * DIV if aggregate == "AVERAGE" else NO_WORK
    return rows * (sum(depths) * COMPARE + joined * join + base + mean)


def _voted(node: Node, kind: str, targets: int) -> Work:
    """The ensemble of TreeEnsembleRegressor (``kind`` target) and TreeEnsembleClassifier (class)."""
    depths = _numbered(node)
    votes = _most_votes(node.attributes[f"{kind}_treeids"], node.attributes[f"{kind}_nodeids"])
    based = any(name in node.attributes for name in ("base_values", "base_values_as_tensor"))
    return ensemble(rows_of(node)[0], depths, votes, targets, node.attributes.get("aggregate_function", "SUM"), based)


def _targets(node: Node) -> Sequence[TensorType]:
    return (scores(int(node.attributes["n_targets"]), rows_of(node)[0]),)


@formula(
    "Y = Σ votes of the leaves that X ends in",
    flops="N·(Σ depths + votes − targets), + post_transform",
    shapes=_targets,
    at_most=always,
)
def regressor(node: Node) -> Work:
    """https://onnx.ai/onnx/operators/onnx_aionnxml_TreeEnsembleRegressor.html."""
    rows, targets = rows_of(node)[0], int(node.attributes["n_targets"])
    return _voted(node, "target", targets) + transformed(rows, targets, node.attributes.get("post_transform"))


def _labels(node: Node) -> Sequence[TensorType]:
    rows = rows_of(node)[0]
    return labels_of(node, rows), scores(classes_of(node), rows)


@formula("Z = Σ votes of the leaves that X ends in, Y = argmax Z",
         flops="N·(Σ depths + votes − classes voted for + classes − 1), + post_transform",
         shapes=_labels, at_most=always)  # fmt: skip
def classifier(node: Node) -> Work:
    """Of two classes with votes for one alone the other's score is 1 less it, or its negative.

    https://onnx.ai/onnx/operators/onnx_aionnxml_TreeEnsembleClassifier.html
    """
    rows, classes, voted = rows_of(node)[0], classes_of(node), len(set(node.attributes["class_ids"]))
    other = rows * ADD if voted == 1 else NO_WORK
    shown = transformed(rows, classes, node.attributes.get("post_transform")) + best_class(rows, classes)
    return _voted(node, "class", voted) + other + shown


AGGREGATES = ("AVERAGE", "SUM", "MIN", "MAX")
TRANSFORMS = ("NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT")


def _indexed(node: Node) -> list[int]:
    """The depth of each tree whose nodes point to others by their index, and to leaves. A tree of one leaf has a node that
    points to it on both sides, and asks nothing."""
    sides = [
        zip(*(node.attributes[f"nodes_{side}{what}"] for what in ("nodeids", "leafs")), strict=True)
        for side in ("true", "false")
    ]
    branches = list(zip(*sides, strict=True))
    children = {
        (False, index): tuple((bool(leaf), child) for child, leaf in both)
        for index, both in enumerate(branches)
        if not (both[0] == both[1] and both[0][1])
    }
    return depths_of([(False, root) for root in node.attributes["tree_roots"]], children)  # type: ignore[arg-type]


@formula(
    "Y = Σ leaves that X ends in, for each target", flops="N·(Σ depths + trees − targets), + post_transform", shapes=_targets
)
def tree_ensemble(node: Node) -> Work:
    """A leaf votes for one target: https://onnx.ai/onnx/operators/onnx_aionnxml_TreeEnsemble.html."""
    rows, targets, depths = rows_of(node)[0], int(node.attributes["n_targets"]), _indexed(node)
    aggregate = AGGREGATES[node.attributes.get("aggregate_function", 1)]
    voted = min(targets, len(set(node.attributes["leaf_targetids"])))
    return ensemble(rows, depths, len(depths), voted, aggregate, based=False) + transformed(
        rows, targets, TRANSFORMS[node.attributes.get("post_transform", 0)]
    )


TABLE: FormulaTable = {
    "ai.onnx.ml.TreeEnsemble": tree_ensemble,
    "ai.onnx.ml.TreeEnsembleRegressor": regressor,
    "ai.onnx.ml.TreeEnsembleClassifier": classifier,
}
