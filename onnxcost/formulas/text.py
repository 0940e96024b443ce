"""Strings, and counts of what is in them. Characters are no numbers: what is done with them is no arithmetic.

Page of X: https://onnx.ai/onnx/operators/onnx__X.html.
"""

from __future__ import annotations

from collections.abc import Sequence

from onnxcost.errors import UnknownShape
from onnxcost.formulas.reduction import ADD, COMPARE, MUL
from onnxcost.formulas.table import FormulaTable, TensorType, always, formula, no_arithmetic
from onnxcost.graph import Node
from onnxcost.work import NO_WORK, Work


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


def _split(node: Node) -> Sequence[TensorType]:
    return ("string", (*node.x.shape, _parts(node))), ("int64", node.x.shape)


def _no_words_stopped(node: Node) -> Sequence[TensorType]:
    """All words stay at most; where none does, an empty one stands for them."""
    *rows, words = node.x.shape
    return (("string", (*rows, max(1, words))),)


def _windows(words: int, length: int, skips: int) -> int:
    """The sequences of ``length`` words, at every distance from 1 to skips + 1: Σ max(0, words − (length − 1)·distance)."""
    if length == 1:
        return words
    distances = min(skips + 1, max(0, words - 1) // (length - 1))
    return distances * words - (length - 1) * distances * (distances + 1) // 2


@formula("Y = how often each n-gram is in X, weighted", flops="n-grams of X, + out (IDF, TFIDF with weights)", at_most=always)
def tfidf(node: Node) -> Work:
    """An addition for each n-gram that the pool might hold, an upper bound: of every length in the pool, with every skip (a
    single word has none). IDF asks whether a count is 0, TFIDF multiplies it by a weight, where there are any.

    https://onnx.ai/onnx/operators/onnx__TfIdfVectorizer.html
    """
    words = node.x.shape[-1] if node.x.rank else 1
    shortest = max(1, int(node.attributes["min_gram_length"]))
    longest = min(int(node.attributes["max_gram_length"]), len(node.attributes["ngram_counts"]))
    skips = int(node.attributes["max_skip_count"])
    grams = sum(_windows(words, length, skips) for length in range(shortest, longest + 1))
    weight = {"TF": NO_WORK, "IDF": COMPARE, "TFIDF": MUL if node.attributes.get("weights") else NO_WORK}
    rows = node.x.size // words if words else 0
    return rows * grams * ADD + node.out.size * weight[node.attributes["mode"]]


TABLE: FormulaTable = {
    "StringConcat": no_arithmetic("Y = A followed by B"),
    "StringNormalizer": no_arithmetic("Y = X in one case, without stop words", bounds=_no_words_stopped),
    "StringSplit": no_arithmetic("Y = the parts of X, and how many", bounds=_split),
    "RegexFullMatch": no_arithmetic("Y = X matches the pattern"),
    "TfIdfVectorizer": tfidf,
}
