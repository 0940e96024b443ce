"""Classical models of ai.onnx.ml, on N rows of F features: linear ones and support vector machines; features and text.

Looking up a key and changing characters are not arithmetic.
Page of X: https://onnx.ai/onnx/operators/onnx_aionnxml_X.html; of X in TEXT: https://onnx.ai/onnx/operators/onnx__X.html.
"""

from __future__ import annotations

from onnxcost.errors import UnknownShape
from onnxcost.formulas.activation import SIGMOID, softmax_work
from onnxcost.formulas.contraction import dot_products
from onnxcost.formulas.reduction import ADD, COMPARE, DIV, FUNCTION, MUL, reduction_work, rows_in
from onnxcost.formulas.table import FormulaTable, Types, always, formula, like_input, no_arithmetic, per_output
from onnxcost.graph import NO_WORK, Node, Work

PROBIT = 7 * ADD + 7 * MUL + 3 * FUNCTION + 2 * COMPARE
"""√2·erf⁻¹(2p − 1) by Winitzki's approximation, as the reference evaluator has it: with x = 2p − 1 and l = log((1 − x)(1 + x)),
v = 2/(0.147·π) + ½·l, it is √2·sign(x)·√(−v + √(v² − l/0.147)); whether x is 0, and its sign, are tested."""


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
    """E rows of coefficients; with two classes and one row, its score is negated for the other class.

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
    """S support vectors, the kernel K of each; without any, X·C + ρ. ``one_class`` gives its sign.

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


@formula("Z = Σ C_j·K(X, S_j) + ρ for each pair of classes, Y = the class with most votes", macs="N·(S·F + (classes − 1)·S)",
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
    "ai.onnx.ml.Imputer":   per_output("Y = X, with a replacement for the value to impute", shapes=like_input, compares=1),
    "ai.onnx.ml.Binarizer": per_output("Y = (X > threshold)", shapes=like_input, compares=1),
    "ai.onnx.ml.Normalizer": normalizer,
    "ai.onnx.ml.OneHotEncoder":         no_arithmetic("Y = 1 at the category of X, else 0"),
    "ai.onnx.ml.LabelEncoder":          no_arithmetic("Y = the value of the key X", shapes=lambda node: [
        # In the first version of ai.onnx.ml labels are strings on one side and integers on the other.
        ("int64" if node.x.dtype == "string" else "string", node.x.shape)]),
    "ai.onnx.ml.CategoryMapper":        no_arithmetic("Y = the string of the integer X, or the reverse"),
    "ai.onnx.ml.DictVectorizer":        no_arithmetic("Y = the values of X by a vocabulary", shapes=_vocabulary_types),
    "ai.onnx.ml.FeatureVectorizer":     no_arithmetic("Y = the inputs, concatenated", shapes=lambda node: [
        ("float32", (rows_of(node)[0], sum(tensor.shape[-1] for tensor in node.inputs if tensor)))]),
    "ai.onnx.ml.ArrayFeatureExtractor": no_arithmetic("Z = X[Y] along the last axis", shapes=lambda node: [
        (node.x.dtype, (*(node.x.shape[:-1] if node.x.rank > 1 else (1,)), node.required(1).size))]),
    "ai.onnx.ml.CastMap":               no_arithmetic("Y = the values of X in the order of their keys"),
    "ai.onnx.ml.ZipMap":                no_arithmetic("Z = columns of X under their labels"),
}


def _parts(node: Node) -> int:
    """The most parts that a string is split into, from the strings if they are known, else from ``maxsplit``."""
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
    # At most all words stay; if none does, the result is one empty word.
    "StringNormalizer": no_arithmetic("Y = X in one case, without stop words",
                                      bounds=lambda node: (("string", (*node.x.shape[:-1], max(1, node.x.shape[-1]))),)),
    "StringSplit": no_arithmetic("Y = the parts of X, and how many",
                                 bounds=lambda node: (("string", (*node.x.shape, _parts(node))), ("int64", node.x.shape))),
    "RegexFullMatch": no_arithmetic("Y = X matches the pattern"),
    "TfIdfVectorizer": tfidf,
}
