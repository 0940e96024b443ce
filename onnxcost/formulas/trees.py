"""Ensembles of trees of ai.onnx.ml, on N rows of features.

A tree costs one comparison per level on the way to a leaf, an upper bound: every row is assumed to reach the deepest leaf of
each tree, and to find as many votes there as the leaf with the most votes.
Page of X: https://onnx.ai/onnx/operators/onnx_aionnxml_X.html.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from onnxcost.formulas.ml import best_class, classes_of, labels_type, post_transform_work, rows_of, scores_type
from onnxcost.formulas.reduction import ADD, COMPARE, DIV
from onnxcost.formulas.table import FormulaTable, Types, always, formula
from onnxcost.graph import NO_WORK, Node, Work

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


Children = tuple["NDArray[np.intp]", "NDArray[np.intp]", "NDArray[np.intp]"]
"""The roots of trees, and two children of each node that branches: their indices among those nodes, or -1 for a leaf. A root is
one, too, where its tree branches nowhere.
"""


def _walk(roots: NDArray[np.intp], first: NDArray[np.intp], second: NDArray[np.intp]) -> Iterator[Level]:
    """All trees at once, level by level. Each node is visited once: where trees share nodes or have cycles, the shortest path
    to a node counts.
    """
    import numpy as np

    seen = np.zeros(len(first) + 1, bool)
    seen[-1] = True  # -1 points here: a leaf
    level, trees = roots, np.arange(len(roots))
    while level.size:
        is_new = ~seen[level]
        leaves, level, branching = trees[level == -1], level[is_new], trees[is_new]
        yield Level(branching, leaves)
        seen[level] = True
        level, trees = np.concatenate((first[level], second[level])), np.concatenate((branching, branching))


class Level(NamedTuple):
    """The trees of the nodes that branch on a level of all trees, and those of its leaves."""

    branching: NDArray[np.intp]
    leaves: NDArray[np.intp]


def measure_depths(roots: NDArray[np.intp], first: NDArray[np.intp], second: NDArray[np.intp]) -> list[int]:
    """The depth of the tree below each root."""
    import numpy as np

    starts, tree_of = np.unique(roots, return_inverse=True)
    depths = np.zeros(len(starts), np.int64)
    for level in _walk(starts, first, second):
        depths[level.branching] += 1  # once, however often a tree is in it
    return [int(depth) for depth in depths[tree_of]]


def count_steps(node: Node) -> float:
    """The comparisons of a row on its way through all trees, if each leaf of a tree is as likely as the others."""
    import numpy as np

    roots, first, second = _children_by_index(node) if "tree_roots" in node.attributes else _children_by_number(node)
    starts, tree_of = np.unique(roots, return_inverse=True)
    leaves, steps = np.zeros(len(starts)), np.zeros(len(starts))
    for depth, level in enumerate(_walk(starts, first, second)):
        found = np.bincount(level.leaves, minlength=len(starts))
        leaves += found
        steps += depth * found
    return float((steps / np.maximum(leaves, 1))[tree_of].sum())


def count_votes(node: Node) -> int:
    """The most votes that a row finds in the leaves that it ends in; those of TreeEnsemble have one each."""
    if "tree_roots" in node.attributes:
        return len(node.attributes["tree_roots"])
    kind = "target" if "target_treeids" in node.attributes else "class"
    return _most_votes(node.attributes[f"{kind}_treeids"], node.attributes[f"{kind}_nodeids"])


def _depths_by_number(node: Node) -> list[int]:
    return measure_depths(*_children_by_number(node))


def _children_by_number(node: Node) -> Children:
    """Of trees whose nodes carry the number of their tree and their own."""
    import numpy as np

    names = ("treeids", "nodeids", "truenodeids", "falsenodeids")
    trees, own, yes, no = (np.asarray(node.attributes[f"nodes_{name}"], np.int64) for name in names)
    modes = node.attributes["nodes_modes"]
    branching = np.fromiter((mode != "LEAF" for mode in modes), bool, len(modes))
    _, roots, trees = np.unique(trees, return_index=True, return_inverse=True)
    if len({len(each) for each in (trees, own, yes, no, branching)}) > 1:
        raise ValueError("the lists of its nodes have different lengths")
    roots = roots[np.argsort(roots)]
    if not branching.any():
        return np.full(len(roots), -1), np.zeros(0, np.intp), np.zeros(0, np.intp)
    count = 1 + int(max(each.max() for each in (own, yes, no)))
    trees *= count
    keys = (trees + own)[branching]
    order = np.argsort(keys, kind="stable")

    def find(places: NDArray[np.intp] | NDArray[np.bool_], numbers: NDArray[np.int64]) -> NDArray[np.intp]:
        """The branching nodes with these numbers in the trees of these places, the last of those that share one; -1 where
        there is none.
        """
        wanted = np.where(numbers[places] < 0, -1, trees[places] + numbers[places])
        last = np.searchsorted(keys, wanted, "right", order) - 1
        return np.where(keys[order[last]] == wanted, order[last], -1)

    return find(roots, own), find(branching, yes), find(branching, no)


def _most_votes(trees: Sequence[int], leaves: Sequence[int]) -> int:
    """The votes of each tree's leaf with the most votes, summed over all trees."""
    import numpy as np

    if len(trees) != len(leaves):
        raise ValueError("the lists of its votes have different lengths")
    if not len(trees):
        return 0
    lists = np.asarray(trees, np.int64), np.asarray(leaves, np.int64)
    order = np.lexsort(lists[::-1])
    tree, leaf = (each[order] for each in lists)
    starts = np.flatnonzero(np.diff(tree, prepend=tree[0] - 1) | np.diff(leaf, prepend=leaf[0]))  # of the votes of a leaf
    votes = np.diff(starts, append=len(tree))
    return int(np.maximum.reduceat(votes, np.flatnonzero(np.diff(tree[starts], prepend=tree[0] - 1))).sum())


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


def _children_by_index(node: Node) -> Children:
    """Of trees whose nodes point to others by their index, and to leaves. A tree of one leaf has a node that points to it on
    both sides, and compares nothing.
    """
    import numpy as np

    sides = [
        [np.asarray(node.attributes[f"nodes_{side}{what}"], np.int64) for what in ("nodeids", "leafs")]
        for side in ("true", "false")
    ]
    (yes, _), (no, _) = sides
    is_one_leaf = np.logical_and.reduce([yes == no, *(leaf != 0 for _, leaf in sides)])
    first, second = (
        np.where((leaf != 0) | (child < 0) | (child >= len(child)) | is_one_leaf[child.clip(0, len(child) - 1)], -1, child)
        for child, leaf in sides
    )
    roots = np.asarray(node.attributes["tree_roots"], np.int64)
    return np.where(is_one_leaf[roots], -1, roots), first, second


@formula(
    "Y = Σ leaves that X ends in, for each target", flops="N·(Σ depths + trees − targets), + post_transform", shapes=_tree_types
)
def tree_ensemble(node: Node) -> Work:
    """A leaf votes for one target: https://onnx.ai/onnx/operators/onnx_aionnxml_TreeEnsemble.html."""
    rows, targets, depths = rows_of(node)[0], int(node.attributes["n_targets"]), measure_depths(*_children_by_index(node))
    aggregate = AGGREGATES[node.attributes.get("aggregate_function", 1)]
    voted = min(targets, len(set(node.attributes["leaf_targetids"])))
    shown = post_transform_work(rows, targets, TRANSFORMS[node.attributes.get("post_transform", 0)])
    return ensemble_work(rows, depths, len(depths), voted, aggregate, based=False) + shown


TREES: FormulaTable = {
    "ai.onnx.ml.TreeEnsemble": tree_ensemble,
    "ai.onnx.ml.TreeEnsembleRegressor": tree_regressor,
    "ai.onnx.ml.TreeEnsembleClassifier": tree_classifier,
}
