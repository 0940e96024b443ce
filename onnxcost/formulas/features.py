"""Scalers and encoders of ai.onnx.ml. Looking a key up is no arithmetic.

Page of X: https://onnx.ai/onnx/operators/onnx_aionnxml_X.html.
"""

from __future__ import annotations

from collections.abc import Sequence

from onnxcost.formulas.reduction import ADD, COMPARE, DIV, FUNCTION, MUL, reduced
from onnxcost.formulas.table import FormulaTable, TensorType, formula, like_input, no_arithmetic, per_output
from onnxcost.graph import Node
from onnxcost.work import NO_WORK, Work


def _floats_like_input(node: Node) -> Sequence[TensorType]:
    return (("float32", node.x.shape),)


NORMS = {
    "MAX": (COMPARE, COMPARE, NO_WORK),
    "L1": (COMPARE, ADD, NO_WORK),
    "L2": (MUL, ADD, FUNCTION),
}
"""What a norm does to every element, between elements, and to the result: max |x|, Σ |x|, √(Σ x²)."""


@formula("Y = X / the norm of its row", flops="3·in (L2: 3·in + rows)", shapes=_floats_like_input)
def normalizer(node: Node) -> Work:
    """Rows are along the last axis; whether a norm is 0 is asked once a row.

    https://onnx.ai/onnx/operators/onnx_aionnxml_Normalizer.html
    """
    each, join, end = NORMS[node.attributes.get("norm", "MAX")]
    rows = node.x.size // node.x.shape[-1] if node.x.size else 0
    return reduced(node.x.size, rows, join, each, end + COMPARE) + node.x.size * DIV


def _in_a_row(node: Node) -> Sequence[TensorType]:
    """Matrices side by side; a vector is a matrix of one row."""
    shapes = [tensor.shape for tensor in node.inputs if tensor is not None]
    return (("float32", (shapes[0][0] if len(shapes[0]) > 1 else 1, sum(shape[-1] for shape in shapes))),)


# fmt: off
TABLE: FormulaTable = {
    "ai.onnx.ml.Scaler":    per_output("Y = (X − offset)·scale", shapes=_floats_like_input, adds=1, muls=1),
    "ai.onnx.ml.Imputer":   per_output("Y = X, or another where X is what to replace", shapes=like_input, compares=1),
    "ai.onnx.ml.Binarizer": per_output("Y = (X > threshold)", shapes=like_input, compares=1),
    "ai.onnx.ml.Normalizer": normalizer,
    "ai.onnx.ml.OneHotEncoder":         no_arithmetic("Y = 1 at the category of X, else 0"),
    "ai.onnx.ml.LabelEncoder":          no_arithmetic("Y = the value of the key X"),
    "ai.onnx.ml.CategoryMapper":        no_arithmetic("Y = the string of the integer X, or the other way round"),
    "ai.onnx.ml.DictVectorizer":        no_arithmetic("Y = the values of X in the order of a vocabulary"),
    "ai.onnx.ml.FeatureVectorizer":     no_arithmetic("Y = the inputs in a row", shapes=_in_a_row),
    "ai.onnx.ml.ArrayFeatureExtractor": no_arithmetic("Z = X[Y] along the last axis"),
    "ai.onnx.ml.CastMap":               no_arithmetic("Y = the values of X in the order of their keys"),
    "ai.onnx.ml.ZipMap":                no_arithmetic("Z = columns of X under their labels"),
}
# fmt: on
