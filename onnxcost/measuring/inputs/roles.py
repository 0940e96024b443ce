"""What an input is for, by its uses, its name and its type, and with that what it is plausibly fed with."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from math import prod
from os.path import commonprefix
from typing import NamedTuple

from onnxcost.errors import UnknownShape
from onnxcost.graph import BITS, Graph, Tensor
from onnxcost.measuring.inputs.fills import Fill, Integers, Repeated, Uniform
from onnxcost.measuring.inputs.uses import Use
from onnxcost.operands.limits import DIVISORS, LIMITS
from onnxcost.operands.numbers import EXPECTED, Numbers

SAMPLE_RATE = 16_000


class Role(NamedTuple):
    """How an input is filled, and what that is in words."""

    fill: Fill
    text: str


class Input(NamedTuple):
    """An input and what is known of it: its uses, and how many indices are valid where it holds indices."""

    tensor: Tensor
    shape: tuple[int, ...]
    graph: Graph
    uses: Sequence[Use]
    limit: int | None

    @property
    def is_integer(self) -> bool:
        """Whether its elements are whole numbers."""
        return "int" in self.tensor.dtype


def role(tensor: Tensor, shape: tuple[int, ...], graph: Graph, uses: Sequence[Use]) -> Role:
    """The role of an input of this shape; ``uses`` are all of its uses."""
    own = Input(tensor, shape, graph, uses, _limit(uses))
    return next(found for rule in (_expected, _named, _indices, _by_type) if (found := rule(own)) is not None)


def _limit(uses: Sequence[Use]) -> int | None:
    """How many indices are valid in every table that is indexed."""
    found = []
    for use in uses:
        if (rule := LIMITS.get(use.node.key, {}).get(use.place)) is not None:
            try:
                found.append(rule(use.node) - use.shift)
            except (UnknownShape, LookupError, ValueError):
                continue
    return max(1, min(found)) if found else None


def _expected(own: Input) -> Role | None:
    for use in own.uses:
        rule = EXPECTED.get(use.node.key, {}).get(use.place)
        if rule is None or not use.is_whole or own.tensor.dtype == "string":
            continue
        try:
            numbers = rule(use.node)
        except (UnknownShape, LookupError, ValueError):
            continue
        if len(numbers) in (1, prod(own.shape)):
            return Role(Repeated(numbers), f"{_shown(numbers)} for {use.node.op_type}")
    return None


def _shown(numbers: Numbers) -> str:
    return ", ".join(map(str, numbers[:4])) + (", …" if len(numbers) > 4 else "")


def _named(own: Input) -> Role | None:
    for pattern, makes, what in NAMES:
        if re.search(pattern, own.tensor.name) and (numbers := makes(own)):
            if own.limit is not None:
                numbers = tuple(number % own.limit for number in numbers)
            return Role(Repeated(numbers), f"{what} {_shown(numbers)}")
    return None


def _mask(own: Input) -> Numbers:
    return (1,) if own.tensor.dtype != "string" else ()


def _positions(own: Input) -> Numbers:
    return tuple(range(own.shape[-1])) if own.is_integer and own.shape else ()


def _rate(own: Input) -> Numbers:
    return (SAMPLE_RATE,) if prod(own.shape) == 1 else ()


def _lengths(own: Input) -> Numbers:
    """The length of the input whose name has most in common: its open dim behind the batch, or else its second."""
    others = [tensor for tensor in own.graph.inputs if tensor.is_shaped and tensor.rank > 1 and tensor is not own.tensor]
    if not (own.is_integer and prod(own.shape) == max(own.shape, default=1) and others):
        return ()
    owner = max(others, key=lambda tensor: len(commonprefix([tensor.name, own.tensor.name])))  # noqa: RUF071  # no paths
    is_open = {axis for bound in own.graph.dims for name, axis in bound.places if name == owner.name and axis}
    return (max((owner.shape[axis] for axis in is_open), default=owner.shape[1]),)


def _sides(own: Input) -> Numbers:
    """Height and width of the first input that is an image."""
    images = [tensor.shape for tensor in own.graph.inputs if tensor.is_shaped and tensor.rank == 4]
    if not images or own.shape[-1:] != (2,):
        return ()
    return images[0][1:3] if images[0][3] in (1, 3, 4) else images[0][2:]


def _scale(own: Input) -> Numbers:
    return (1,) if len(own.shape) < 3 else ()


def _zero_point(own: Input) -> Numbers:
    return (0,) if own.is_integer else ()


NAMES: Sequence[tuple[str, Callable[[Input], Numbers], str]] = (
    (r"(?i)mask", _mask, "mask of"),
    (r"(?i)position|(?<![a-z])pos(?![a-z])", _positions, "positions"),
    (r"(?i)^sr$|sampl\w*_?rate", _rate, "sample rate"),
    (r"(?i)len(gth)?s?(?![a-z])", _lengths, "length"),
    (r"(?i)size|im(age)?_?shape", _sides, "sides of the image"),
    (r"(?i)(?<![a-z])scale(s|_?factor)?(?![a-z])", _scale, "scale"),
    (r"(?i)zero_?point", _zero_point, "zero point"),
)
"""What a name says of its input, and the elements that follow; the first that gives any counts."""


def _indices(own: Input) -> Role | None:
    if own.limit is None:
        return None
    highest = 1 << (BITS.get(own.tensor.dtype, 64) - own.tensor.dtype.startswith("int"))
    limit = min(own.limit, highest) if own.is_integer else own.limit
    return Role(Integers(0, limit), f"indices below {limit}")


def _by_type(own: Input) -> Role:
    dtype = own.tensor.dtype
    if dtype == "string":
        return Role(Repeated(("word",)), "words")
    if dtype == "bool":
        return Role(Repeated((True,)), "true")
    if not own.is_integer:
        return Role(Uniform(), "numbers between 0 and 1")
    if any(DIVISORS.get(use.node.key) == use.place for use in own.uses):
        return Role(Repeated((1,)), "divisor 1")
    if dtype in ("int8", "uint8"):
        low = -128 if dtype == "int8" else 0
        return Role(Integers(low, low + 256), f"integers from {low} to {low + 255}")
    if prod(own.shape) == 1:
        return Role(Repeated((1,)), "1")
    return Role(Integers(0, 2), "zeros and ones")
