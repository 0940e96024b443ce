"""Ensembles of trees of ai.onnx.ml, on N rows of features.

A tree costs one comparison per level on the way to a leaf, an upper bound: every row is assumed to reach the deepest leaf of
each tree, and to find as many votes there as the leaf with the most votes.
Page of X: https://onnx.ai/onnx/operators/onnx_aionnxml_X.html.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from operator import itemgetter

from onnxcost.formulas.ml import best_class, classes_of, labels_type, post_transform_work, rows_of, scores_type
from onnxcost.formulas.reduction import ADD, COMPARE, DIV
from onnxcost.formulas.table import FormulaTable, Types, always, formula
from onnxcost.graph import NO_WORK, Node, Work

Children = Mapping[tuple[int, int], tuple[tuple[int, int], tuple[int, int]]]
"""The two children of each node that branches."""


def depths_of(roots: Iterable[tuple[int, int]], children: Children) -> list[int]:
    """The depth of each tree. Each node is visited once: where trees share nodes or have cycles, the first path to a node
    counts.
    """
    seen: set[tuple[int, int]] = set()
    found: dict[tuple[int, int], int] = {}
    return [found[root] if root in found else found.setdefault(root, _depth(root, children, seen)) for root in roots]


def _depth(root: tuple[int, int], children: Children, seen: set[tuple[int, int]]) -> int:
    """The branches on the longest path to a leaf, without recursion: a chain of thousands of nodes is a tree too."""
    deepest, level = 0, [root]
    while level := [node for node in level if node in children and node not in seen]:
        seen.update(level)
        deepest += 1
        level = [child for node in dict.fromkeys(level) for child in children[node]]
    return deepest


def _depths_by_number(node: Node) -> list[int]:
    """The depth of each tree whose nodes carry the number of their tree and their own."""
    names = ("treeids", "nodeids", "modes", "truenodeids", "falsenodeids")
    trees, numbers, modes, yes, no = lists = [node.attributes[f"nodes_{name}"] for name in names]
    if len({len(each) for each in lists}) == 1 and (found := _depths_in_order(*lists)) is not None:
        return found
    children: dict[tuple[int, int], tuple[tuple[int, int], tuple[int, int]]] = {}
    roots: dict[int, tuple[int, int]] = {}
    for tree, own, mode, first, second in zip(trees, numbers, modes, yes, no, strict=True):
        roots.setdefault(tree, (tree, own))
        if mode != "LEAF":
            children[tree, own] = (tree, first), (tree, second)
    return depths_of(roots.values(), children)


def _depths_in_order(
    trees: Sequence[int], numbers: Sequence[int], modes: Sequence[str], yes: Sequence[int], no: Sequence[int]
) -> list[int] | None:
    """The depths where each tree is in a row, its nodes are numbered from 0 and both children of a node come after it, which no
    other node has: as all exporters write them. None otherwise. One pass, from the last node to the first.
    """
    starts = [place for place, number in enumerate(numbers) if not number]
    if not starts or starts[0] or len(set(trees)) != len(starts):
        return None
    depths = []
    for start, end in zip(starts, [*starts[1:], len(numbers)], strict=True):
        size = end - start
        if trees[start:end].count(trees[start]) < size or numbers[start:end] != tuple(range(size)):
            return None
        below, taken = [0] * size, bytearray(size)
        for own in range(size - 1, -1, -1):
            if modes[start + own] != "LEAF":
                first, second = yes[start + own], no[start + own]
                if not (own < first < size and own < second < size and first != second) or taken[first] or taken[second]:
                    return None
                taken[first] = taken[second] = 1
                below[own] = 1 + (below[first] if below[first] > below[second] else below[second])
        depths.append(below[0])
    return depths


def _most_votes(trees: Sequence[int], leaves: Sequence[int]) -> int:
    """The votes of each tree's leaf with the most votes, summed over all trees."""
    most: dict[int, int] = {}
    for tree, votes in groupby(zip(trees, leaves, strict=True), key=itemgetter(0)):
        if tree in most:  # the leaves of a tree are not in a row
            break
        most[tree] = max(Counter(votes).values())
    else:
        return sum(most.values())
    most.clear()
    for (tree, _), count in Counter(zip(trees, leaves, strict=True)).items():
        most[tree] = max(count, most.get(tree, 0))
    return sum(most.values())


def ensemble_work(rows: int, depths: list[int], votes: int, targets: int, aggregate: str, based: bool) -> Work:
    """The paths to the leaves and the aggregation: the first vote for a target starts its sum if no base value does."""
    joined = max(0, votes if based and aggregate in ("SUM", "AVERAGE") else votes - targets)
    join = COMPARE if aggregate in ("MIN", "MAX") else ADD
    base = targets * ADD if based and aggregate in ("MIN", "MAX") else NO_WORK
    mean = targets * DIV if aggregate == "AVERAGE" else NO_WORK
    return rows * (sum(depths) * COMPARE + joined * join + base + mean)


def _vote_work(node: Node, kind: str, targets: int) -> Work:
    """The ensemble of TreeEnsembleRegressor (``kind`` target) and TreeEnsembleClassifier (class)."""
    depths = _depths_by_number(node)
    votes = _most_votes(node.attributes[f"{kind}_treeids"], node.attributes[f"{kind}_nodeids"])
    based = any(name in node.attributes for name in ("base_values", "base_values_as_tensor"))
    return ensemble_work(rows_of(node)[0], depths, votes, targets, node.attributes.get("aggregate_function", "SUM"), based)


def _tree_types(node: Node) -> Types:
    return (scores_type(int(node.attributes["n_targets"]), rows_of(node)[0]),)


@formula("Y = Σ votes of the leaves that X ends in", flops="N·(Σ depths + votes − targets), + post_transform",
         shapes=_tree_types, at_most=always)  # fmt: skip
def tree_regressor(node: Node) -> Work:
    """https://onnx.ai/onnx/operators/onnx_aionnxml_TreeEnsembleRegressor.html."""
    rows, targets = rows_of(node)[0], int(node.attributes["n_targets"])
    return _vote_work(node, "target", targets) + post_transform_work(rows, targets, node.attributes.get("post_transform"))


@formula("Z = Σ votes of the leaves that X ends in, Y = argmax Z",
         flops="N·(Σ depths + votes − classes voted for + classes − 1), + post_transform",
         shapes=lambda node: [labels_type(node, rows_of(node)[0]), scores_type(classes_of(node), rows_of(node)[0])],
         at_most=always)  # fmt: skip
def tree_classifier(node: Node) -> Work:
    """If only one of two classes has votes, the score of the other is 1 minus that score, or its negative.

    https://onnx.ai/onnx/operators/onnx_aionnxml_TreeEnsembleClassifier.html
    """
    rows, classes, voted = rows_of(node)[0], classes_of(node), len(set(node.attributes["class_ids"]))
    other = rows * ADD if voted == 1 else NO_WORK
    shown = post_transform_work(rows, classes, node.attributes.get("post_transform")) + best_class(rows, classes)
    return _vote_work(node, "class", voted) + other + shown


AGGREGATES = ("AVERAGE", "SUM", "MIN", "MAX")
TRANSFORMS = ("NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT")


def _depths_by_index(node: Node) -> list[int]:
    """The depth of each tree whose nodes point to others by their index, and to leaves. A tree of one leaf has a node that
    points to it on both sides, and compares nothing."""
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
    "Y = Σ leaves that X ends in, for each target", flops="N·(Σ depths + trees − targets), + post_transform", shapes=_tree_types
)
def tree_ensemble(node: Node) -> Work:
    """A leaf votes for one target: https://onnx.ai/onnx/operators/onnx_aionnxml_TreeEnsemble.html."""
    rows, targets, depths = rows_of(node)[0], int(node.attributes["n_targets"]), _depths_by_index(node)
    aggregate = AGGREGATES[node.attributes.get("aggregate_function", 1)]
    voted = min(targets, len(set(node.attributes["leaf_targetids"])))
    shown = post_transform_work(rows, targets, TRANSFORMS[node.attributes.get("post_transform", 0)])
    return ensemble_work(rows, depths, len(depths), voted, aggregate, based=False) + shown


TREES: FormulaTable = {
    "ai.onnx.ml.TreeEnsemble": tree_ensemble,
    "ai.onnx.ml.TreeEnsembleRegressor": tree_regressor,
    "ai.onnx.ml.TreeEnsembleClassifier": tree_classifier,
}
