"""Counts a model at several sizes of its open dims, each combination once."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import NamedTuple

from onnxcost.analysis.caches import KV, find_cache_pairs
from onnxcost.errors import OnnxCostError
from onnxcost.estimator import KnownWeights, count_nodes
from onnxcost.formulas.table import FormulaTable
from onnxcost.frontend import ResizableModel
from onnxcost.symbolic.floors import Floor
from onnxcost.symbolic.keys import DETAILS, UNCOUNTED, Key, members_of, numbers_of
from onnxcost.symbolic.lines import SHOWN, Sizes
from onnxcost.symbolic.polynomial import Polynomial

OTHER_FORMULA = "the cost follows another formula there"


class Misfit(NamedTuple):
    """Why a model cannot be counted at some sizes, in the words of the estimator."""

    reason: str


@dataclass
class SizeCounter:
    """Counts a model at sizes of the dims ``names``, each point once; the ``fixed`` dims keep their sizes.

    ``ranges`` are the least and most sizes of some dims, ``known`` the counts so far, without the metrics in ``dropped``.
    """

    model: ResizableModel
    formulas: FormulaTable
    names: tuple[str, ...]
    base: Mapping[str, int]
    ranges: Mapping[str, tuple[int, int]]
    fixed: Mapping[str, int] = field(default_factory=dict)
    known: dict[Sizes, dict[Key, int] | Misfit] = field(default_factory=dict)
    details: dict[Sizes, set[str]] = field(default_factory=dict)
    weights: KnownWeights = field(default_factory=list)
    members: Mapping[str, tuple[Key, ...]] = field(default_factory=dict)
    caches: tuple[str, ...] | None = None
    dropped: frozenset[str] = frozenset()

    def drop(self, metrics: Iterable[str]) -> SizeCounter:
        """The same without some metrics."""
        dropped = self.dropped | frozenset(metrics)
        known = {point: each if isinstance(each, Misfit) else _leave_out(dropped, each) for point, each in self.known.items()}
        return replace(self, dropped=dropped, known=known)

    def fix(self, names: Container[str]) -> SizeCounter:
        """The same with some dims fixed at their base."""
        fixed = {name: self.base[name] for name in self.names if name in names}
        less = replace(self, names=tuple(name for name in self.names if name not in names), fixed={**self.fixed, **fixed})
        places = [self.names.index(name) for name in less.names]
        points = {
            tuple(point[at] for at in places): point
            for point in self.known
            if all(size == self.base[name] for name, size in zip(self.names, point, strict=True) if name in fixed)
        }
        less.known = {point: self.known[old] for point, old in points.items()}
        less.details = {point: self.details[old] for point, old in points.items()}
        return less

    def point(self, name: str, size: int) -> Sizes:
        """The base, except for the size of one dim."""
        return tuple(size if each == name else self.base[each] for each in self.names)

    def describe(self, point: Sizes) -> str:
        """``batch = 1, sequence = 128``."""
        return ", ".join(f"{name} = {size}" for name, size in zip(self.names, point, strict=True))

    def vector(self, point: Sizes, floors: Sequence[Floor]) -> Sizes:
        """The sizes of a point, and the floors of them."""
        sizes = dict(zip(self.names, point, strict=True))
        return (*point, *(floor.at(sizes[floor.dim]) for floor in floors))

    def count(self, point: Sizes, *kinds: str) -> dict[Key, int] | Misfit:
        """The totals at a point, and those of its operators and modules, or why there are none; with them the numbers of the
        ``kinds`` "node", "memory" and "dim".
        """
        known, details = self.known.get(point), self.details.setdefault(point, set())
        if isinstance(known, Misfit) or (known is not None and details.issuperset(kinds)):
            return known
        try:
            graph = self.model.read({**self.fixed, **dict(zip(self.names, point, strict=True))}, self.formulas)
            counted = count_nodes(graph, self.formulas, self.weights)
        except OnnxCostError as error:
            self.known[point] = misfit = Misfit(str(error))
            return misfit
        if self.caches is None:
            self.caches = tuple(pair.held.name for pair in find_cache_pairs(counted.graph) if pair.kind == KV)
        found = known or numbers_of(counted, self.caches)
        for kind in kinds:
            found |= DETAILS[kind](counted)
        details.update(kinds)
        if "node" in kinds and not self.members:
            self.members = members_of(counted.costs)
        self.known[point] = found = _leave_out(self.dropped, found)
        return found

    def find_misfit(self, point: Sizes, fitted: Mapping[Key, Polynomial], vector: Sizes) -> str:
        """Why the formulas do not give the counts at a point, whose variables have the values ``vector``; "" if they do."""
        counted = self.count(point)
        if isinstance(counted, Misfit):
            return counted.reason
        return OTHER_FORMULA if find_unlike(counted, fitted, vector) else ""


def find_unlike(counted: Mapping[Key, int], fitted: Mapping[Key, Polynomial], vector: Sizes) -> set[str]:
    """The metrics of which a formula differs from the count."""
    known: dict[int, int | Fraction] = {}
    found = set()
    for key, formula in fitted.items():
        if key[0] in SHOWN or key == UNCOUNTED:
            if (value := known.get(id(formula))) is None:
                value = known[id(formula)] = formula.at(vector)
            if counted.get(key) != value:
                found.add(key[-1])
    return found


def _leave_out(metrics: Container[str], found: Mapping[Key, int]) -> dict[Key, int]:
    """The numbers without those of some metrics."""
    return {key: each for key, each in found.items() if key[-1] not in metrics}
