"""What a formula is, and the factories that make one from a table row."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from onnxcost.graph import NO_WORK, Dim, Node, Work

TensorType = tuple[str, tuple[Dim, ...]]
"""An element type and dims."""

Types = Sequence[TensorType | None]
"""The types of a node's outputs, in order; None for one that stays open."""
ShapeRule = Callable[[Node], Types]
"""The types of a node's outputs from its inputs and attributes. It may raise UnknownShape, and is asked with the outputs' dims
still unknown.
"""


@dataclass(frozen=True, slots=True)
class Formula:
    """A count of one operator's work, with the text that ``onnxcost formulas`` prints.

    ``maths`` is what the operator computes; ``macs`` and ``flops`` are the counts in words, with the variables that the
    docstring or the maths define (``out`` and ``in`` are element counts of the first output and input).

    ``shapes`` gives the outputs' types of an operator that onnx has no schema for, or whose schema infers none; ``bounds``
    gives the largest that they can be if the elements of the inputs decide. ``at_most`` says whether a node's count is
    only the most that it can be, because those elements decide what is done.
    """

    count: Callable[[Node], Work]
    maths: str
    macs: str
    flops: str
    shapes: ShapeRule | None = None
    bounds: ShapeRule | None = None
    at_most: Callable[[Node], bool] | None = None

    def __call__(self, node: Node) -> Work:
        """The work of one execution of the node; raises UnknownShape."""
        return self.count(node)


FormulaTable = Mapping[str, Callable[[Node], Work]]
"""Operators by ``Node.key``. Any callable will do; a plain function has no text to print."""


def formula(
    maths: str,
    *,
    macs: str = "0",
    flops: str,
    shapes: ShapeRule | None = None,
    bounds: ShapeRule | None = None,
    at_most: Callable[[Node], bool] | None = None,
) -> Callable[[Callable[[Node], Work]], Formula]:
    """A decorator that gives a counting function its text and, where onnx has none, its rule for the outputs' types."""
    return lambda count: Formula(count, maths, macs, flops, shapes, bounds, at_most)


def always(node: Node) -> bool:
    """For ``at_most``: whatever the node."""
    return True


def like_input(node: Node) -> Sequence[TensorType | None]:
    """A shape rule: the first output is as the first input."""
    return [(node.x.dtype, node.x.shape)]


def _in_words(per_element: Mapping[str, int], elements: str) -> str:
    total = sum(per_element.values())
    return "0" if total == 0 else elements if total == 1 else f"{total}·{elements}"


def per_output(maths: str, *, shapes: ShapeRule | None = None, bounds: ShapeRule | None = None, **per_element: int) -> Formula:
    """A row: the given number of operations of each kind (Work's fields) for each element of the first output."""
    work = Work(**per_element)
    return Formula(lambda node: node.out.size * work, maths, "0", _in_words(per_element, "out"), shapes, bounds)


def times_output(maths: str, flops: str, each: Work, shapes: ShapeRule | None = None) -> Formula:
    """A row: ``each`` for each element of the first output, in words ``flops``."""
    return Formula(lambda node: node.out.size * each, maths, "0", flops, shapes)


def per_input(maths: str, *, shapes: ShapeRule | None = None, bounds: ShapeRule | None = None, **per_element: int) -> Formula:
    """A row: the given number of operations of each kind (Work's fields) for each element of the first input."""
    work = Work(**per_element)
    return Formula(lambda node: node.x.size * work, maths, "0", _in_words(per_element, "in"), shapes, bounds)


def no_arithmetic(maths: str, *, shapes: ShapeRule | None = None, bounds: ShapeRule | None = None) -> Formula:
    """A row: moves, makes or names data and does no arithmetic on it."""
    return Formula(lambda node: NO_WORK, maths, "0", "0", shapes, bounds)


def union(*tables: FormulaTable) -> dict[str, Callable[[Node], Work]]:
    """The tables in one; raises ValueError if two of them count the same operator."""
    merged: dict[str, Callable[[Node], Work]] = {}
    for table in tables:
        if twice := sorted(merged.keys() & table.keys()):
            raise ValueError(f"more than one formula for {', '.join(twice)}")
        merged.update(table)
    return merged
