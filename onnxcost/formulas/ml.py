"""Classical models of ai.onnx.ml, on N rows of F features: linear ones, support vector machines, trees; features and text.

Looking up a key and changing characters are not arithmetic. A tree costs one comparison per level on the way to a leaf, an
upper bound: every row is assumed to reach the deepest leaf of each tree, and to find as many votes there as the leaf with the
most.
Page of X: https://onnx.ai/onnx/operators/onnx_aionnxml_X.html; of X in TEXT: https://onnx.ai/onnx/operators/onnx__X.html.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from operator import itemgetter

from onnxcost.errors import UnknownShape
from onnxcost.formulas.activation import SIGMOID, softmax_work
from onnxcost.formulas.contraction import dot_products
from onnxcost.formulas.reduction import ADD, COMPARE, DIV, FUNCTION, MUL, reduction_work, rows_in
from onnxcost.formulas.table import FormulaTable, Types, always, formula, like_input, no_arithmetic, per_output
from onnxcost.graph import NO_WORK, Node, Work

PROBIT = 7 * ADD + 7 * MUL + 3 * FUNCTION + 2 * COMPARE
"""√2·erf⁻¹(2p − 1) by Winitzki's approximation, as the reference evaluator has it: with x = 2p − 1 and l = log((1 − x)(1 + x)),
v = 2/(0.147·π) + ½·l, it is √2·sign(x)·√(−v + √(v² − l/0.147)); that x is 0 and its sign are tested."""


def post_transform_work(rows: int, columns: int, transform: str | None) -> Work:
    """What ``post_transform`` does to the scores.

    SOFTMAX_ZERO tests whether each score is close to 0 from either side, which then counts as exp(−max), and whether all are.
    """
    elements = rows * columns
    softmax = softmax_work(elements, rows if columns else 0)
    zeros = elements * 2 * COMPARE + rows * (ADD + FUNCTION + COMPARE)
    work = {"SOFTMAX": softmax, "SOFTMAX_ZERO": softmax + zeros}
    each = {"LOGISTIC": SIGMOID, "PROBIT": PROBIT}
    return work.get(transform or "NONE") or elements * each.get(transform or "NONE", NO_WORK)


def rows_of(node: Node) -> tuple[int, int]:
    """N and F; a vector is one row."""
    *outer, features = node.x.shape
    return (outer[0] if outer else 1), features


def scores_type(columns: int, rows: int) -> tuple[str, tuple[int, ...]]:
    """The type of the scores."""
    return "float32", (rows, columns)


def classes_of(node: Node) -> int:
    """The number of labels, whatever the attribute is called."""
    lists = (node.attributes.get(f"classlabels_{kind}") for kind in ("ints", "int64s", "strings"))
    return max((len(labels) for labels in lists if labels), default=0)


def labels_type(node: Node, rows: int) -> tuple[str, tuple[int, ...]]:
    """The type of the labels of a classifier."""
    return "string" if node.attributes.get("classlabels_strings") else "int64", (rows,)


def best_class(rows: int, classes: int) -> Work:
    """Finding the largest score, or testing whether the only one is large enough."""
    return rows * max(1, classes - 1) * COMPARE


@formula("Y = X·Cᵀ + b", macs="N·targets·F", flops="N·targets·(2F − 1), + N·targets for b, + post_transform",
         shapes=lambda node: [scores_type(int(node.attributes.get("targets", 1)), rows_of(node)[0])])  # fmt: skip
def linear_regressor(node: Node) -> Work:
    """https://onnx.ai/onnx/operators/onnx_aionnxml_LinearRegressor.html."""
    rows, features = rows_of(node)
    targets = int(node.attributes.get("targets", 1))
    bias = Work(bias_adds=rows * targets if node.attributes.get("intercepts") else 0)
    shown = post_transform_work(rows, targets, node.attributes.get("post_transform"))
    return dot_products(rows * targets, features) + bias + shown


@formula("Z = X·Cᵀ + b, Y = argmax Z", macs="N·E·F", flops="N·E·(2F − 1), + N·E for b, + post_transform, + N·(classes − 1)")
def linear_classifier(node: Node) -> Work:
    """E rows of coefficients; the one of two classes is negated for the other.

    https://onnx.ai/onnx/operators/onnx_aionnxml_LinearClassifier.html
    """
    rows, features = rows_of(node)
    made = len(node.attributes["coefficients"]) // features if features else 0
    classes = max(classes_of(node), made)
    bias = Work(bias_adds=rows * made if node.attributes.get("intercepts") else 0)
    negated = rows * ADD if made == 1 and classes == 2 else NO_WORK
    shown = post_transform_work(rows, classes, node.attributes.get("post_transform")) + best_class(rows, classes)
    return dot_products(rows * made, features) + bias + negated + shown


def kernel_work(count: int, features: int, kind: str) -> Work:
    """``count`` values of a kernel of two vectors: x·y, (γ·x·y + c)^d, tanh(γ·x·y + c) or exp(−γ·Σ (x − y)²)."""
    work = {
        "LINEAR": NO_WORK,
        "POLY": MUL + ADD + FUNCTION,
        "SIGMOID": MUL + ADD + FUNCTION,
        "RBF": features * ADD + MUL + FUNCTION,
    }
    return dot_products(count, features) + count * work[kind]


@formula("Y = Σ C_j·K(X, S_j) + ρ", macs="N·(S·F + S)", flops="2·macs − sums, + kernels, + N for ρ",
         shapes=lambda node: [scores_type(1, rows_of(node)[0])])  # fmt: skip
def svm_regressor(node: Node) -> Work:
    """S support vectors, the kernel K of each; without any, X·C + ρ. A ``one_class`` is the sign of that.

    https://onnx.ai/onnx/operators/onnx_aionnxml_SVMRegressor.html
    """
    rows, features = rows_of(node)
    vectors = int(node.attributes.get("n_supports", 0))
    sides = rows * COMPARE if node.attributes.get("one_class") else NO_WORK
    shown = Work(bias_adds=rows) + sides + post_transform_work(rows, 1, node.attributes.get("post_transform"))
    if not vectors:
        return dot_products(rows, features) + shown
    values = kernel_work(rows * vectors, features, node.attributes.get("kernel_type", "LINEAR"))
    return values + dot_products(rows, vectors) + shown


def coupling_work(classes: int) -> Work:
    """The probabilities of the classes from those of their pairs: the iteration of Wu, Lin and Weng (2004), algorithm 2, to its
    limit of max(100, classes) rounds.

    Q (squares and products of the pairs) is computed once; a round is Q·p and pᵀ·Q·p, the greatest error, and for each class: a
    difference and its quotient, pᵀ·Q·p anew (4 additions, 4 multiplications, 1 division), p and Q·p scaled (3·classes
    operations each).
    """
    squares = dot_products(classes, classes - 1) + classes * (classes - 1) * MUL
    error = classes * (ADD + 2 * COMPARE)
    each = (ADD + DIV) + (4 * ADD + 4 * MUL + DIV) + classes * (MUL + ADD + 2 * DIV)
    round_ = dot_products(classes, classes) + dot_products(1, classes) + error + classes * each
    return squares + max(100, classes) * round_


def _pairs(node: Node) -> int:
    classes = max(1, classes_of(node))
    return classes * (classes - 1) // 2


def _svm_columns(node: Node) -> int:
    """Scores per row: classes where there are probabilities or no support vectors, else pairs; two for the only pair."""
    classes, has_vectors = max(1, classes_of(node)), any(node.attributes.get("vectors_per_class") or ())
    if not has_vectors or node.attributes.get("prob_a"):
        return classes
    return max(2, _pairs(node)) if classes > 1 else 1


@formula("Z = Σ C_j·K(X, S_j) + ρ for each pair of classes, Y = the class of most votes", macs="N·(S·F + (classes − 1)·S)",
         flops="2·macs − sums, + kernels, + N·pairs·3, + probabilities",
         shapes=lambda node: [labels_type(node, rows_of(node)[0]), scores_type(_svm_columns(node), rows_of(node)[0])],
         at_most=lambda node: bool(node.attributes.get("prob_a")))  # fmt: skip
def svm_classifier(node: Node) -> Work:
    """S support vectors, the kernel K of each once; a pair of classes sums the values of both, adds ρ and gives one vote.
    Without any, X·C + ρ for each class. Probabilities are σ(A·z + B) of the pairs, kept from 0 and 1, and their coupling (an
    upper bound).

    https://onnx.ai/onnx/operators/onnx_aionnxml_SVMClassifier.html
    """
    rows, features = rows_of(node)
    classes, pairs = max(1, classes_of(node)), _pairs(node)
    vectors = sum(node.attributes.get("vectors_per_class") or ())
    shown = post_transform_work(rows, _svm_columns(node), node.attributes.get("post_transform")) + best_class(rows, classes)
    if not vectors:
        return dot_products(rows * classes, features) + Work(bias_adds=rows * classes) + shown
    values = kernel_work(rows * vectors, features, node.attributes.get("kernel_type", "LINEAR"))
    sums = Work(macs=rows * (classes - 1) * vectors, accumulators=rows * pairs, bias_adds=rows * pairs)
    votes = rows * pairs * (COMPARE + ADD)
    probability = pairs * (MUL + ADD + SIGMOID + 2 * ADD + 2 * COMPARE) + coupling_work(classes)
    return values + sums + votes + (rows * probability if node.attributes.get("prob_a") else NO_WORK) + shown


CLASSICAL: FormulaTable = {
    "ai.onnx.ml.LinearRegressor": linear_regressor,
    "ai.onnx.ml.LinearClassifier": linear_classifier,
    "ai.onnx.ml.SVMRegressor": svm_regressor,
    "ai.onnx.ml.SVMClassifier": svm_classifier,
}


NORMS = {"MAX": (COMPARE, COMPARE, NO_WORK), "L1": (COMPARE, ADD, NO_WORK), "L2": (MUL, ADD, FUNCTION)}
"""What a norm does to every element, between elements, and to the result: max |x|, Σ |x|, √(Σ x²)."""


@formula("Y = X / the norm of its row", flops="3·in (L2: 3·in + rows)", shapes=lambda node: [("float32", node.x.shape)])
def normalizer(node: Node) -> Work:
    """Rows are along the last axis; one comparison per row tests whether the norm is 0.

    https://onnx.ai/onnx/operators/onnx_aionnxml_Normalizer.html
    """
    each, join, end = NORMS[node.attributes.get("norm", "MAX")]
    return reduction_work(node.x.size, rows_in(node.x), join, each, end + COMPARE) + node.x.size * DIV


def _vocabulary_types(node: Node) -> Types:
    """A column for each word of the vocabulary, of the type of the map's values."""
    attributes = node.attributes
    columns = len(attributes.get("string_vocabulary") or attributes.get("int64_vocabulary") or ())
    return ((node.x.dtype.removeprefix("map(").removesuffix(")"), (1, columns)),)


# fmt: off
FEATURES: FormulaTable = {
    "ai.onnx.ml.Scaler": per_output("Y = (X − offset)·scale", shapes=lambda node: [("float32", node.x.shape)], adds=1, muls=1),
    "ai.onnx.ml.Imputer":   per_output("Y = X, or another where X is what to replace", shapes=like_input, compares=1),
    "ai.onnx.ml.Binarizer": per_output("Y = (X > threshold)", shapes=like_input, compares=1),
    "ai.onnx.ml.Normalizer": normalizer,
    "ai.onnx.ml.OneHotEncoder":         no_arithmetic("Y = 1 at the category of X, else 0"),
    "ai.onnx.ml.LabelEncoder":          no_arithmetic("Y = the value of the key X", shapes=lambda node: [
        # In the first version of ai.onnx.ml labels are strings on one side and integers on the other.
        ("int64" if node.x.dtype == "string" else "string", node.x.shape)]),
    "ai.onnx.ml.CategoryMapper":        no_arithmetic("Y = the string of the integer X, or the other way round"),
    "ai.onnx.ml.DictVectorizer":        no_arithmetic("Y = the values of X by a vocabulary", shapes=_vocabulary_types),
    "ai.onnx.ml.FeatureVectorizer":     no_arithmetic("Y = the inputs in a row", shapes=lambda node: [
        ("float32", (rows_of(node)[0], sum(tensor.shape[-1] for tensor in node.inputs if tensor)))]),
    "ai.onnx.ml.ArrayFeatureExtractor": no_arithmetic("Z = X[Y] along the last axis"),
    "ai.onnx.ml.CastMap":               no_arithmetic("Y = the values of X in the order of their keys"),
    "ai.onnx.ml.ZipMap":                no_arithmetic("Z = columns of X under their labels"),
}


def _parts(node: Node) -> int:
    """The most parts that a string is split into, from the strings where they are known, else from ``maxsplit``."""
    if not node.x.size:
        return 0
    limit, delimiter = int(node.attributes.get("maxsplit", -1)), node.attributes.get("delimiter") or None
    if node.x.value is not None:
        return max((len(text.split(delimiter, limit)) for text in node.x.value), default=0)
    if limit < 0:
        raise UnknownShape(f"the strings in '{node.x.name}' are not known, and maxsplit is not given")
    return limit + 1


def _ngram_count(words: int, length: int, skips: int) -> int:
    """The sequences of ``length`` words, at every distance from 1 to skips + 1: Σ max(0, words − (length − 1)·distance)."""
    if length == 1:
        return words
    distances = min(skips + 1, max(0, words - 1) // (length - 1))
    return distances * words - (length - 1) * distances * (distances + 1) // 2


@formula("Y = how often each n-gram is in X, weighted", flops="n-grams of X, + out (IDF, TFIDF with weights)", at_most=always)
def tfidf(node: Node) -> Work:
    """An addition for each n-gram that the pool might hold, an upper bound: of every length in the pool, with every skip (a
    single word has none). IDF tests whether a count is 0, TFIDF multiplies it by a weight, if there are weights.

    https://onnx.ai/onnx/operators/onnx__TfIdfVectorizer.html
    """
    words = node.x.shape[-1] if node.x.rank else 1
    shortest = max(1, int(node.attributes["min_gram_length"]))
    longest = min(int(node.attributes["max_gram_length"]), len(node.attributes["ngram_counts"]))
    skips = int(node.attributes["max_skip_count"])
    grams = sum(_ngram_count(words, length, skips) for length in range(shortest, longest + 1))
    weight = {"TF": NO_WORK, "IDF": COMPARE, "TFIDF": MUL if node.attributes.get("weights") else NO_WORK}
    rows = node.x.size // words if words else 0
    return rows * grams * ADD + node.out.size * weight[node.attributes["mode"]]


TEXT: FormulaTable = {
    "StringConcat": no_arithmetic("Y = A followed by B"),
    # At most all words stay; where none does, the result is one empty word.
    "StringNormalizer": no_arithmetic("Y = X in one case, without stop words",
                                      bounds=lambda node: (("string", (*node.x.shape[:-1], max(1, node.x.shape[-1]))),)),
    "StringSplit": no_arithmetic("Y = the parts of X, and how many",
                                 bounds=lambda node: (("string", (*node.x.shape, _parts(node))), ("int64", node.x.shape))),
    "RegexFullMatch": no_arithmetic("Y = X matches the pattern"),
    "TfIdfVectorizer": tfidf,
}

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
    """The paths to the leaves and the aggregation: the first vote for a target starts its sum where no base value does."""
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
    """Where only one of two classes has votes, the other's score is 1 minus that one's, or its negative.

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
