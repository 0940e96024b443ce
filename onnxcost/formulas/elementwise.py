"""Operators on each element, broadcast to the output. Page of X: https://onnx.ai/onnx/operators/onnx__X.html.

One operation per element, whatever the type: a negation is an addition; abs, sign, rounding, selection, tests and the
logical and bitwise operations are comparisons; a power, whatever its exponent, is one transcendental.
"""

from __future__ import annotations

from onnxcost.formulas.reduction import ADD, COMPARE, FUNCTION, MUL, reduction_work
from onnxcost.formulas.signal import ceil_log2
from onnxcost.formulas.table import FormulaTable, formula, per_output, times_output
from onnxcost.graph import NO_WORK, Node, Work


def _operands(node: Node) -> int:
    return sum(tensor is not None for tensor in node.inputs)


@formula("Y = Σ X_i", flops="(n−1)·out")
def sum_of(node: Node) -> Work:
    """Y = X_1 + … + X_n: https://onnx.ai/onnx/operators/onnx__Sum.html."""
    return Work(adds=(_operands(node) - 1) * node.out.size)


@formula("Y = (Σ X_i) / n", flops="n·out")
def mean_of(node: Node) -> Work:
    """Y = (X_1 + … + X_n) / n: https://onnx.ai/onnx/operators/onnx__Mean.html."""
    return sum_of(node) + Work(divs=node.out.size)


@formula("Y = the largest (smallest) of X_i", flops="(n−1)·out")
def extremum_of(node: Node) -> Work:
    """Y = max(X_1, …, X_n), or min: https://onnx.ai/onnx/operators/onnx__Max.html."""
    return Work(compares=(_operands(node) - 1) * node.out.size)


LARGEST = 3.4028234663852886e38
"""The largest finite number of float32."""


@formula("Y = min(max(X, low), high)", flops="out for each bound that is given")
def clip(node: Node) -> Work:
    """Bounds are inputs 1 and 2, attributes before opset 11, there by default the largest floats, which bound nothing.

    https://onnx.ai/onnx/operators/onnx__Clip.html
    """
    given = [tensor for tensor in node.inputs[1:3] if tensor is not None]
    named = [bound for name in ("min", "max") if abs(bound := node.attributes.get(name, LARGEST)) < LARGEST]
    return Work(compares=(len(given) + len(named)) * node.out.size)


# fmt: off
ARITHMETIC: FormulaTable = {
    "Add":        per_output("Y = A + B", adds=1),
    "Sub":        per_output("Y = A − B", adds=1),
    "Mul":        per_output("Y = A·B", muls=1),
    "Div":        per_output("Y = A / B", divs=1),
    "Mod":        per_output("Y = A mod B", divs=1),
    "Neg":        per_output("Y = −X", adds=1),
    "Reciprocal": per_output("Y = 1 / X", divs=1),
    "Pow":        per_output("Y = X^E", transcendentals=1),
    "Sum": sum_of, "Mean": mean_of, "Max": extremum_of, "Min": extremum_of, "Clip": clip,
}

COMPARISONS: FormulaTable = {
    "Equal":          per_output("Y = (A = B)", compares=1),
    "Greater":        per_output("Y = (A > B)", compares=1),
    "GreaterOrEqual": per_output("Y = (A ≥ B)", compares=1),
    "Less":           per_output("Y = (A < B)", compares=1),
    "LessOrEqual":    per_output("Y = (A ≤ B)", compares=1),
    "Where":          per_output("Y = A where C, else B", compares=1),
    "IsNaN":          per_output("Y = X is NaN", compares=1),
    "IsInf":          per_output("Y = X is infinite", compares=1),
    "Abs":            per_output("Y = |X|", compares=1),
    "Sign":           per_output("Y = sign of X", compares=1),
    "Ceil":           per_output("Y = ⌈X⌉", compares=1),
    "Floor":          per_output("Y = ⌊X⌋", compares=1),
    "Round":          per_output("Y = X to the nearest even integer", compares=1),
}

LOGIC: FormulaTable = {
    "And":        per_output("Y = A ∧ B", compares=1),
    "Or":         per_output("Y = A ∨ B", compares=1),
    "Xor":        per_output("Y = A ⊻ B", compares=1),
    "Not":        per_output("Y = ¬X", compares=1),
    "BitwiseAnd": per_output("Y = A ∧ B, bit by bit", compares=1),
    "BitwiseOr":  per_output("Y = A ∨ B, bit by bit", compares=1),
    "BitwiseXor": per_output("Y = A ⊻ B, bit by bit", compares=1),
    "BitwiseNot": per_output("Y = ¬X, bit by bit", compares=1),
    "BitShift":   per_output("Y = A shifted by B bits", compares=1),
}
# fmt: on

FUNCTIONS: FormulaTable = {
    name: per_output(f"Y = {name.lower()}(X)", transcendentals=1)
    for name in (
        "Sqrt", "Exp", "Log", "Erf", "Sin", "Cos", "Tan", "Asin", "Acos", "Atan",
        "Sinh", "Cosh", "Tanh", "Asinh", "Acosh", "Atanh",
    )
}  # fmt: skip

TABLE: FormulaTable = {**ARITHMETIC, **COMPARISONS, **LOGIC, **FUNCTIONS}

UNIFORM = MUL + ADD
"""Random bits scaled and shifted. The bits themselves are not counted: their cost depends on the generator."""
NORMAL = UNIFORM + 2 * FUNCTION + 2 * MUL
"""Half of a Box-Muller pair, made of two uniform numbers: √(−2·log u₁)·cos(2π·u₂) and √(−2·log u₁)·sin(2π·u₂) are 4
transcendentals and 4 multiplications, −2·log u₁ and 2π·u₂ among them.
"""


@formula("Y = samples of the classes, with log probabilities X", flops="4·in − rows + samples·(2 + ⌈log₂ classes⌉)")
def multinomial(node: Node) -> Work:
    """Running sums of exp(X − max X) in each row, and for each sample a uniform number up to their last, found in them by
    bisection: https://onnx.ai/onnx/operators/onnx__Multinomial.html
    """
    rows, classes = node.x.shape
    sums = reduction_work(node.x.size, rows, COMPARE + ADD, each=ADD + FUNCTION)
    return sums + node.out.size * (UNIFORM + ceil_log2(classes) * COMPARE)


@formula("Y = X in inference; X·mask·scale in training", flops="0 (4·out in training: a random number, its test, the scale)")
def dropout(node: Node) -> Work:
    """Since opset 12, input 2 says whether it is training: https://onnx.ai/onnx/operators/onnx__Dropout.html."""
    training = node.input(2)
    is_training = training is not None and bool(training.value and training.value[0])
    return node.out.size * (UNIFORM + COMPARE + MUL) if is_training else NO_WORK


_UNIFORM = times_output("Y = low + (high − low)·u", "2·out", UNIFORM)
_NORMAL = times_output("Y = mean + scale·√(−2·log u₁)·cos(2π·u₂)", "8·out", NORMAL + MUL + ADD)

GENERATORS: FormulaTable = {
    **dict.fromkeys(("RandomUniform", "RandomUniformLike"), _UNIFORM),
    **dict.fromkeys(("RandomNormal", "RandomNormalLike"), _NORMAL),
    "Bernoulli": times_output("Y = 1 where a random number < X", "3·out", UNIFORM + COMPARE),
    "Multinomial": multinomial,
    "Dropout": dropout,
}
