"""Numbers that count the arithmetic done on them."""

from __future__ import annotations

import math
import numbers
import operator
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np

COUNTS: Counter[str] = Counter()
KINDS = ("adds", "muls", "divs", "compares", "transcendentals")
"""What a scalar can tell apart: Work's kinds, but for those of contractions."""

BINARY = {"adds": "add sub", "muls": "mul", "divs": "truediv floordiv mod", "transcendentals": "pow"}
UNARY = {"neg": "adds", "abs": "compares", "floor": "compares", "ceil": "compares"}
BITS = {"and": operator.and_, "or": operator.or_, "xor": operator.xor}
FUNCTIONS = "sqrt exp log sin cos tan arcsin arccos arctan sinh cosh tanh arcsinh arccosh arctanh"


class Scalar:
    """A number that counts what is done with it. It cannot become a float unnoticed: that raises."""

    __slots__ = ("value",)
    __hash__ = None
    dtype = np.dtype(object)
    shape = ()

    def __init__(self, value: float) -> None:
        self.value = value

    def astype(self, _: object) -> Scalar:
        return self

    def conjugate(self) -> Scalar:
        return self

    def rint(self) -> Scalar:
        COUNTS["compares"] += 1
        return Scalar(float(round(self.value)))

    def expm1(self) -> Scalar:
        return self.exp() - 1

    def fmod(self, other: object) -> Scalar:
        return self % other


numbers.Number.register(Scalar)


def plain(number: Any) -> Any:
    return number.value if isinstance(number, Scalar) else number


def counting(kind: str, function: Callable[..., Any], wrap: Callable[[Any], Any] = Scalar) -> Callable[..., Any]:
    def method(*operands: Any) -> Any:
        if any(isinstance(each, np.ndarray) for each in operands):
            return NotImplemented  # numpy goes through the array's elements and comes back with each
        COUNTS[kind] += 1
        return wrap(function(*map(plain, operands)))

    return method


def equip() -> None:
    """Give Scalar Python's operators and the methods that numpy's ufuncs call on objects."""
    for kind, names in BINARY.items():
        for name in names.split():
            function = getattr(operator, name)
            setattr(Scalar, f"__{name}__", counting(kind, function))
            setattr(Scalar, f"__r{name}__", counting(kind, lambda b, a, function=function: function(a, b)))
    for name, kind in UNARY.items():
        setattr(Scalar, f"__{name}__", counting(kind, getattr(math, name, None) or getattr(operator, name)))
    for name, function in BITS.items():
        setattr(Scalar, f"__{name}__", counting("compares", lambda a, b, function=function: function(int(a), int(b))))
    Scalar.__invert__ = counting("compares", lambda a: ~int(a))
    for name in ("lt", "le", "gt", "ge", "eq", "ne"):
        setattr(Scalar, f"__{name}__", counting("compares", getattr(operator, name), wrap=bool))
    for name in FUNCTIONS.split():
        setattr(Scalar, name, counting("transcendentals", lambda x, name=name: float(getattr(np, name)(float(x)))))


equip()
