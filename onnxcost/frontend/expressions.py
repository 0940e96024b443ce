"""Dims whose names are expressions of others, as exporters write them: ``past_sequence_length + sequence_length``."""

from __future__ import annotations

import ast
import operator
import warnings
from collections.abc import Callable, Mapping
from functools import lru_cache

LONGEST = 200
"""Characters; a longer name is not an expression that a person or an exporter wrote."""
_LARGEST = 2**62
_NO_EXPRESSION = (SyntaxError, KeyError, ZeroDivisionError, RecursionError, ValueError, TypeError, MemoryError, OverflowError)


def _power(base: int, exponent: int) -> int:
    if not (0 <= exponent <= 8 and abs(base) < _LARGEST):
        raise ValueError("too large")
    return int(base**exponent)


def _round_up(number: int, divisor: int = 1) -> int:
    return -(-number // divisor)


_OPERATORS: Mapping[type[ast.operator], Callable[[int, int], int]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
    ast.Div: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: _power,
}
_FUNCTIONS: Mapping[str, Callable[..., int]] = {
    "min": min, "max": max, "Min": min, "Max": max, "floor": int, "Mod": operator.mod, "FloorDiv": operator.floordiv,
    "CeilDiv": _round_up, "abs": abs,
}  # fmt: skip


@lru_cache(maxsize=1024)
def _parse(text: str) -> ast.expr | None:
    """The expression, None for other texts. It is parsed, not run."""
    if len(text) > LONGEST or text.isidentifier():
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python's warnings to the author of such a line
            return ast.parse(text, mode="eval").body
    except _NO_EXPRESSION:
        return None


@lru_cache(maxsize=1024)
def operands(text: str) -> tuple[str, ...]:
    """The names in the expression, in order; none if the text is not an expression of names."""
    tree = _parse(text)
    try:
        names = _names(tree) if tree is not None else ()
        evaluate(text, dict.fromkeys(names, 7), strict=True)
    except _NO_EXPRESSION:
        return ()
    return tuple(dict.fromkeys(names))


def _names(node: ast.expr) -> tuple[str, ...]:
    match node:
        case ast.Name(name):
            return (name,)
        case ast.BinOp(left, _, right):
            return *_names(left), *_names(right)
        case ast.UnaryOp(_, operand):
            return _names(operand)
        case ast.Call(ast.Name(_), arguments, []):
            return tuple(name for argument in arguments for name in _names(argument))
        case ast.Constant(int()):
            return ()
    raise ValueError("no arithmetic")


def is_hyphenated(text: str) -> bool:
    """Whether the text is a name such as ``seq-len`` and not an expression."""
    return all(part.isidentifier() for part in text.replace("/", "-").split("-"))


def evaluate(text: str, known: Mapping[str, int], *, strict: bool = False) -> int | None:
    """The value of the expression, divisions rounded down; None if it is not a size, or not an expression of ``known``.

    With ``strict``, an invalid expression raises Python's exception.
    """
    tree = _parse(text)
    if tree is None:
        return None
    try:
        result = _value(tree, known)
    except _NO_EXPRESSION:
        if strict:
            raise
        return None
    return result if 0 <= result < _LARGEST else None


def _value(node: ast.expr, known: Mapping[str, int]) -> int:
    match node:
        case ast.BinOp(left, op, right):
            return _OPERATORS[type(op)](_value(left, known), _value(right, known))
        case ast.Name(name):
            return known[name]
        case ast.Constant(int(number)) if not isinstance(number, bool):
            return number
        case ast.UnaryOp(ast.USub(), operand):
            return -_value(operand, known)
        case ast.Call(ast.Name("ceiling" | "ceil"), [ast.BinOp(left, ast.Div(), right)], []):
            return _round_up(_value(left, known), _value(right, known))
        case ast.Call(ast.Name("ceiling" | "ceil"), [argument], []):
            return _value(argument, known)
        case ast.Call(ast.Name(name), arguments, []):
            return _FUNCTIONS[name](*(_value(argument, known) for argument in arguments))
    raise KeyError("no arithmetic")


def solve(text: str, result: int, known: Mapping[str, int], unknown: str) -> int | None:
    """The smallest size of ``unknown`` that gives the expression this value; None if none is found near the guess."""
    tree = _parse(text)
    try:
        low, high = (_value(tree, {**known, unknown: size}) for size in (1024, 2048)) if tree is not None else (0, 0)
    except _NO_EXPRESSION:
        return None
    if low == high:
        return None
    guess = 1024 + (result - low) * 1024 // (high - low)
    return next(
        (size for size in range(max(guess - 4, 0), guess + 5) if evaluate(text, {**known, unknown: size}) == result), None
    )
