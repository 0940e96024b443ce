"""Finds the formulas of a model's cost: which sizes are counted, and what holds of all of them.

A count at one size is exact, so its differences at equally spaced sizes are too: where they vanish from some order on, the
count is a polynomial there. Where a stride makes floors of a dim, the floors are found in the shapes of the tensors, and the
cost of each node is a polynomial in them. Sizes that no formula was made from decide whether it is shown.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Container, Hashable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import product
from math import prod
from typing import NamedTuple

from onnxcost.analysis.caches import KV, find_cache_pairs
from onnxcost.analysis.weights import Weights
from onnxcost.errors import OnnxCostError
from onnxcost.estimator import Reads, count_nodes
from onnxcost.formulas.table import FormulaTable
from onnxcost.frontend import ResizableModel
from onnxcost.symbolic.floors import Columns, Floor, find_floors
from onnxcost.symbolic.keys import DETAILS, UNCOUNTED, Key, members_of, numbers_of
from onnxcost.symbolic.lines import (
    METRICS,
    SHOWN,
    TRAFFIC,
    Domain,
    Line,
    Sizes,
    draw_size,
    products_of,
    solve,
    spread_basis,
    sum_nodes,
    telling_sizes,
)
from onnxcost.symbolic.polynomial import Basis, Exponents, Polynomial, count_degree, fit_grid

POINTS = 6
"""Sizes of a dim whose differences tell the degree: up to 4, with one difference more that must vanish."""
STEPS = (1, 64, 6720, 705600)
"""The distances that are tried, each before it is divided by its primes: 6720 is 2⁶·3·5·7, 705600 is 2⁶·3²·5²·7²."""
PRIMES = (2, 3, 5, 7)
FAR = (127, 1021, 16381, 1048573)
"""Distances to a size that tells how fast a floor grows: the last that fits, then smaller ones."""
HELD_OUT, JOINT = 40, 24
"""Sizes that no formula was made from and that must agree; so many of them are drawn for all dims together."""
WITH_MEMORY = 8
"""Of the sizes that are held out, so many are also used to verify the memory, which takes as long as all else."""
REACH, LEAST_REACH = 64, 4096
"""Up to how many times the assumed size is tried, and at least up to which size."""
JUMP = 8
"""The ratio of one size to the next that is tried on the way to the limits of a domain."""
MOST_GRID = 4096
"""Sizes of all dims together that formulas are made from."""
NARROWED, CUT_OFF = 6, 2
"""How often a domain may be halved; and so often where the cost is known there, but another one."""
SEED = 0
SPARE = 4
"""Sizes more than a formula has terms, at which it must be right as well."""
PLATEAU = 4
"""A domain whose most is less than so many times its least may be a plateau between two steps of a stride."""
OTHER_FORMULA, NOT_ALIKE = "the cost follows another formula there", "its differences"
FIXED: Sequence[Key] = (UNCOUNTED, ("total", "parameters"))
"""What does not change with a size while the same nodes are loaded."""


class Misfit(NamedTuple):
    """Why there is no count at a size, or not the one expected: the estimator's words."""

    reason: str


class Found(NamedTuple):
    """The formulas of the totals, operators and modules, the candidates of the peak, and what they hold for."""

    formulas: Mapping[Key, Polynomial]
    pieces: tuple[Polynomial, ...]
    floors: tuple[Floor, ...]
    domain: Mapping[str, Domain]
    base: Mapping[str, int]
    verified: int
    notes: tuple[str, ...]


@dataclass
class Search:
    """Counts a model at sizes of the dims ``names``, each point once; the ``fixed`` dims keep their sizes."""

    model: ResizableModel
    formulas: FormulaTable
    names: tuple[str, ...]
    base: Mapping[str, int]
    ranges: Mapping[str, tuple[int, int]]
    fixed: Mapping[str, int] = field(default_factory=dict)
    known: dict[Sizes, dict[Key, int] | Misfit] = field(default_factory=dict)
    details: dict[Sizes, set[str]] = field(default_factory=dict)
    weights: dict[Reads, Sequence[Weights]] = field(default_factory=dict)
    members: Mapping[str, tuple[Key, ...]] = field(default_factory=dict)
    caches: tuple[str, ...] | None = None
    dropped: frozenset[str] = frozenset()

    def drop(self, metrics: Iterable[str]) -> Search:
        """The search without some metrics."""
        dropped = self.dropped | frozenset(metrics)
        known = {point: each if isinstance(each, Misfit) else _leave_out(dropped, each) for point, each in self.known.items()}
        return replace(self, dropped=dropped, known=known)

    def fix(self, names: Container[str]) -> Search:
        """The search with some dims at their base."""
        fixed = {name: self.base[name] for name in self.names if name in names}
        search = replace(self, names=tuple(name for name in self.names if name not in names), fixed={**self.fixed, **fixed})
        places = [self.names.index(name) for name in search.names]
        points = {tuple(point[at] for at in places): point for point in self.known if point == self._base_but(point, places)}
        search.known = {point: self.known[old] for point, old in points.items()}
        search.details = {point: self.details[old] for point, old in points.items()}
        return search

    def _base_but(self, point: Sizes, places: Container[int]) -> Sizes:
        """The base, but for the sizes of a point at some places."""
        return tuple(
            size if at in places else self.base[name] for at, (name, size) in enumerate(zip(self.names, point, strict=True))
        )

    def count(self, point: Sizes, *kinds: str) -> dict[Key, int] | Misfit:
        """The totals at a point and those of operators and modules, or why there are none; and the numbers of the ``kinds``:
        "node", "memory", "dim".
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

    def find(self, lines: Mapping[str, Line], notes: Sequence[str]) -> Found:
        """The formulas and their domain, from what is known of each dim alone."""
        floors = tuple(floor for name in self.names for floor in lines[name].floors)
        grid = list(product(*(lines[name].sizes for name in self.names)))
        numbers = []
        for point in grid:
            counted = self.count(point, *(("node", "memory") if floors else ("memory",)))
            if isinstance(counted, Misfit):
                sizes = ", ".join(f"{name} = {size}" for name, size in zip(self.names, point, strict=True))
                raise OnnxCostError(f"{sizes} cannot be combined: {counted.reason}")
            numbers.append(counted)
        fitted = self._fit([lines[name] for name in self.names], floors, numbers)
        domain = {name: lines[name].domain for name in self.names}
        domain, narrowed, verified = self._verify(domain, fitted, floors, frozenset(grid))
        pieces = self._find_pieces(domain, floors, [each for key, each in fitted.items() if key[0] == "memory"])
        base = {name: size if (size := self.base[name]) in domain[name] else lines[name].sizes[0] for name in self.names}
        totals = {key: each for key, each in fitted.items() if key[0] in SHOWN}
        return Found(totals, pieces, floors, domain, base, verified, (*notes, *narrowed))

    def _fit(
        self, lines: Sequence[Line], floors: Sequence[Floor], numbers: Sequence[Mapping[Key, int]]
    ) -> dict[Key, Polynomial]:
        """The polynomials through the numbers on the grid of all lines; with floors those of each node, and their sums."""
        variables = (*self.names, *map(str, floors))
        bases: dict[tuple[int, tuple[Exponents, ...]], Basis] = {}
        made: dict[Hashable, Polynomial] = {}
        fitted: dict[Key, Polynomial] = {}
        for key in numbers[0]:
            own = tuple((at, line.monomials(key)) for at, line in enumerate(lines))
            is_sum = floors and key[0] in SHOWN and key[-1] in METRICS
            if is_sum or key[0] == "dim" or any(not each for _, each in own) or any(key not in each for each in numbers):
                continue
            column = tuple(each[key] for each in numbers)
            if (column, own) not in made:
                for at, monomials in own:
                    if (at, monomials) not in bases:
                        bases[at, monomials] = spread_basis(lines[at], monomials, variables)
                counts = [len(line.sizes) for line in lines]
                made[column, own] = fit_grid(variables, [bases[each] for each in own], counts, column)
            fitted[key] = made[column, own]
        return fitted | (sum_nodes(variables, fitted, self.members) if floors else {})

    def _vector(self, point: Sizes, floors: Sequence[Floor]) -> Sizes:
        """The sizes and the floors of them."""
        sizes = dict(zip(self.names, point, strict=True))
        return (*point, *(floor.at(sizes[floor.dim]) for floor in floors))

    def _find_misfit(self, point: Sizes, fitted: Mapping[Key, Polynomial], vector: Sizes) -> str:
        """Why the formulas of the variables' values are not those of a point; "" where they are."""
        counted = self.count(point)
        if isinstance(counted, Misfit):
            return counted.reason
        return OTHER_FORMULA if self._find_unlike(counted, fitted, vector) else ""

    @staticmethod
    def _find_unlike(counted: Mapping[Key, int], fitted: Mapping[Key, Polynomial], vector: Sizes) -> set[str]:
        """Of which metrics a formula has another value than was counted."""
        known: dict[int, int | Fraction] = {}
        found = set()
        for key, formula in fitted.items():
            if key[0] in SHOWN or key == UNCOUNTED:
                if (value := known.get(id(formula))) is None:
                    value = known[id(formula)] = formula.at(vector)
                if counted.get(key) != value:
                    found.add(key[-1])
        return found

    def _verify(
        self, domain: dict[str, Domain], fitted: dict[Key, Polynomial], floors: Sequence[Floor], grid: frozenset[Sizes]
    ) -> tuple[dict[str, Domain], list[str], int]:
        """Holds the formulas against sizes that they were not made from: counted ones, and others, of all dims together.

        A formula of the traffic alone that differs is dropped; for any other the larger half of the domain is.
        """
        draw, notes, others = random.Random(SEED), list[str](), 0
        for _ in range(NARROWED):
            inside = [
                point
                for point in self.known
                if point not in grid and all(size in domain[name] for size, name in zip(point, self.names, strict=True))
            ]
            # The ends of all dims together show what holds for one dim at a time alone; the memory there is needed later.
            corners = list(product(*({domain[name].least, domain[name].most} for name in self.names)))
            for point in corners:
                self.count(point, "memory")
            inside = list(dict.fromkeys([*inside, *(point for point in corners if point not in grid)]))
            number = max(JOINT, HELD_OUT - len(inside))
            points = inside + [tuple(draw_size(draw, domain[name]) for name in self.names) for _ in range(number)]
            misfits = (
                (point, why) for point in points if (why := self._find_misfit(point, fitted, self._vector(point, floors)))
            )
            if (found := next(misfits, None)) is None:
                return domain, notes, len({*points})
            sizes = ", ".join(f"{name} = {size}" for name, size in zip(self.names, found[0], strict=True))
            counted = self.count(found[0])
            notes.append(f"{sizes}{' do not fit together' if isinstance(counted, Misfit) else ''}: {found[1]}")
            if not isinstance(counted, Misfit):
                unlike = self._find_unlike(counted, fitted, self._vector(found[0], floors))
                if unlike <= TRAFFIC:
                    notes[-1] = f"no formula for {_name_traffic(unlike)}: {notes[-1]}"
                    for key in [key for key in fitted if key[-1] in unlike]:
                        del fitted[key]
                    continue
            others += not isinstance(counted, Misfit)
            if others > CUT_OFF:
                break
            cause = found[1] if len(domain) == 1 else "not with all sizes of the other dims"
            domain = {name: each.halve(cause) for name, each in domain.items()}
        raise OnnxCostError(f"no formula holds for all sizes: {notes[-1]}")

    def _find_pieces(
        self, domain: Mapping[str, Domain], floors: Sequence[Floor], pieces: Sequence[Polynomial]
    ) -> tuple[Polynomial, ...]:
        """Those that are the largest somewhere in the domain; none where the largest is not the peak at a size held out."""
        draw = random.Random(SEED)
        corners = list(product(*({domain[name].least, domain[name].most} for name in self.names)))
        points = corners + [tuple(draw_size(draw, domain[name]) for name in self.names) for _ in range(200)]
        vectors = [self._vector(point, floors) for point in points]
        unlike = list({id(piece): piece for piece in pieces}.values())
        best = sorted(
            {max(range(len(unlike)), key=[each.at(vector) for each in unlike].__getitem__) for vector in vectors if unlike}
        )
        found = tuple(unlike[at] for at in best)
        for point, vector in list(zip(points, vectors, strict=True))[: len(corners) + WITH_MEMORY]:
            counted = self.count(point, "memory")
            if not found or isinstance(counted, Misfit):
                return ()
            peak = max((value for key, value in counted.items() if key[0] == "memory"), default=None)
            if peak != max(piece.at(vector) for piece in found):
                return ()
        return found

    def _point(self, name: str, size: int) -> Sizes:
        return tuple(size if each == name else self.base[each] for each in self.names)

    def find_line(self, name: str) -> Line:
        """The formulas along a dim, for the most sizes. Raises OnnxCostError where there are none."""
        found = self._find_line(name)
        if found.reach >= PLATEAU or not _ends_early(found):
            return found
        # The assumed size may be an exception: a table of positions that is not resized there.
        least, most = found.domain.most + 1, self.ranges.get(name, (1, 2**62))[1]
        if least < most:
            with suppress(OnnxCostError):
                beyond = replace(self, ranges={**self.ranges, name: (least, most)})._find_line(name)
                reasons = (*beyond.domain.reasons, f"below {beyond.domain.least}: {OTHER_FORMULA}")
                if beyond.reach > found.reach:
                    return beyond._replace(domain=beyond.domain._replace(reasons=reasons))
        return found

    def _find_line(self, name: str) -> Line:
        """The formulas along a dim, from the assumed size on."""
        line, why = self._find_steps(name, STEPS[:1])
        if line is not None and not _ends_early(line):
            return line
        # With strides, floors say what the cost is between their steps; where only multiples fit, they have steps themselves.
        found = [] if line is None else [line]
        try:
            found.append(self._find_floors(name, 1))
        except OnnxCostError as error:
            why += f", and {error}" if why.startswith(NOT_ALIKE) else ""
        if not any(each.reach >= PLATEAU for each in found):
            larger, reason = self._find_steps(name, STEPS[1:])
            why += f"; in multiples of {STEPS[1]}: {reason}" if reason and reason != why else ""
            found += [] if larger is None else [larger]
            steps = range(2, larger.domain.step) if larger is not None and _ends_early(larger) else ()
            for step in (each for each in steps if larger is not None and larger.domain.step % each == 0):
                with suppress(OnnxCostError):
                    found.append(self._find_floors(name, step))
                    break
        if not found:
            raise OnnxCostError(f"the cost is not a polynomial in {name}: {why}")
        return max(found, key=lambda each: each.reach)

    def _find_steps(self, name: str, steps: Sequence[int]) -> tuple[Line | None, str]:
        """The step at which the cost is a polynomial in a dim, for the most sizes; and why not at the first one."""
        found: Line | None = None
        why = ""
        for step in steps:
            axis, reason = self._try_step(name, step)
            why = why or reason
            if axis is None:
                continue
            for prime in PRIMES:
                while axis.step % prime == 0 and (smaller := self._try_step(name, axis.step // prime)[0]):
                    axis = smaller
            counted = [self.count(self._point(name, size)) for size in axis]
            numbers = [each for each in counted if not isinstance(each, Misfit)]
            basis = Basis.of([(power,) for power in range(len(axis))], [(size,) for size in axis])
            keys = (key for key in numbers[0] if key[0] in SHOWN or key == UNCOUNTED)
            fitted = {key: fit_grid((name,), (basis,), (len(axis),), [each[key] for each in numbers]) for key in keys}
            line = Line(name, axis, (), fitted, self._find_domain(name, axis[0], axis.step, fitted, ()))
            if found is None or line.reach > found.reach:
                found = line
            if found.reach >= PLATEAU or not _ends_early(found):
                break
        return found, why

    def _try_step(self, name: str, step: int) -> tuple[range | None, str]:
        """Sizes from the base on, or from below it where they do not fit: as many as the degree asks for."""
        least, most = self.ranges.get(name, (1, 2**62))
        size = max(self.base[name] // step * step, -(-max(least, 1) // step) * step)
        why = ""
        for start in dict.fromkeys((size, size - (POINTS - 1) * step, step)):
            sizes = range(start, start + POINTS * step, step)
            if start < max(least, 1) or sizes[-1] > most:
                continue
            found = [self.count(self._point(name, each)) for each in sizes]
            if misfit := next((each for each in found if isinstance(each, Misfit)), None):
                why = why or misfit.reason
                continue
            numbers = [each for each in found if not isinstance(each, Misfit)]
            keys = [key for key in numbers[0] if key[0] in SHOWN or key == UNCOUNTED]
            if any(key not in each for key in keys for each in numbers):
                why = why or f"different nodes run at sizes between {sizes[0]} and {sizes[-1]}"
                continue
            degrees = [count_degree(column) for column in {tuple(each[key] for each in numbers) for key in keys}]
            if None not in degrees:
                return sizes[: max(filter(None, degrees), default=0) + 1], ""
            why = why or f"{NOT_ALIKE} between {sizes[0]} and {sizes[-1]} do not vanish"
        return None, why or "no size fits"

    def _find_floors(self, name: str, step: int) -> Line:
        """The formulas in a dim and floors of it, at multiples of ``step``. Raises OnnxCostError where there are none."""
        least, most = self.ranges.get(name, (1, 2**62))
        first = -(-max(self.base[name], least) // step)
        sizes = [(first + at) * step for at in range(POINTS)]
        for size in sizes:
            self._count_alike(name, size, sizes[0])

        def why_not(at: int) -> str:
            try:
                self._count_alike(name, at * step, sizes[0])
            except OnnxCostError as error:
                return str(error)
            sizes.append(at * step)
            return ""

        # The model fits, and the same nodes run, from one size to another.
        last, _ = _reach(first, [first + far for far in FAR if (first + far) * step <= most], why_not)
        if last - first < FAR[1]:
            _reach(first, [max(-(-least // step), 1)], why_not)
        reasons = []
        for far in (last, *(first + far for far in reversed(FAR) if first + far < last)):
            try:
                return self._fit_floors(name, step, [size for size in sizes if size <= far * step])
            except OnnxCostError as error:
                reasons.append(str(error))
        raise OnnxCostError(reasons[0])

    def _count_alike(self, name: str, size: int, first: int) -> dict[Key, int]:
        """All numbers at a size. Raises OnnxCostError where there are none, or other nodes run than at the ``first`` size."""
        counted, alike = (self.count(self._point(name, each), "node", "memory", "dim") for each in (size, first))
        for each in (counted, alike):
            if isinstance(each, Misfit):
                raise OnnxCostError(f"{name} = {size}: {each.reason}")
        assert not isinstance(counted, Misfit)
        assert not isinstance(alike, Misfit)
        if any(key not in counted for key in alike if key[0] == "node") or any(counted[key] != alike[key] for key in FIXED):
            raise OnnxCostError(f"different nodes run at {name} = {size} than at {first}")
        return counted

    def _fit_floors(self, name: str, step: int, sizes: list[int]) -> Line:
        """The formulas through the numbers at some sizes, to which those are added that tell more."""
        first = sizes[0]

        def count(size: int) -> Columns:
            return {key: each for key, each in self._count_alike(name, size, first).items() if key[0] == "dim"}

        seen = {size: count(size) for size in sizes}
        floors = tuple(find_floors(name, step, seen, count))
        if not floors:
            raise OnnxCostError(f"no tensor has a floor of {name} as a dim")
        variables, draw = (name, *map(str, floors)), random.Random(SEED)
        inside = Domain(min(seen), min(max(seen), max(REACH * first, first + POINTS * step)), step)
        why = ""
        for monomials in products_of(len(variables)):
            for _ in range(4 * len(monomials)):
                if len(seen) >= len(monomials) + SPARE:
                    break
                size = draw_size(draw, inside)
                seen[size] = count(size)
            line = Line(name, sorted(seen), floors, {}, inside)
            numbers = [self._count_alike(name, size, first) for size in line.sizes]
            fitted, why = solve(variables, monomials, [line.vector(size) for size in line.sizes], numbers)
            if not why:
                line = line._replace(fitted=fitted | sum_nodes(variables, fitted, self.members))
                domain = self._find_domain(name, first, step, line.fitted, floors)
                return line._replace(sizes=telling_sizes(line), domain=domain)
        raise OnnxCostError(why)

    def _find_domain(
        self, name: str, inside: int, step: int, fitted: Mapping[Key, Polynomial], floors: Sequence[Floor]
    ) -> Domain:
        """The smallest and the largest size that agree, up to REACH times the base, and why not others."""
        least, most = self.ranges.get(name, (1, 2**62))
        inside, reasons = inside // step, []

        def why_not(size: int) -> str:
            vector = (size * step, *(floor.at(size * step) for floor in floors))
            return self._find_misfit(self._point(name, size * step), fitted, vector)

        highest = min(max(REACH * (inside + POINTS - 1) * step, LEAST_REACH), most) // step
        upward = [max(inside, 1) * JUMP**power for power in range(1, 8) if max(inside, 1) * JUMP**power < highest]
        top, why = _reach(inside, [*upward, highest], why_not)
        if why:
            reasons.append(f"above {top * step}: {why}")
        lowest = -(-max(least, min(self.base[name], 1)) // step)
        downward = [inside // JUMP**power for power in range(1, 8) if inside // JUMP**power > lowest]
        bottom, why = _reach(inside, [*downward, lowest], why_not)
        if why:
            reasons.append(f"below {bottom * step}: {why}")
        if step > 1:
            between = self.count(self._point(name, inside * step + 1))
            cause = between.reason if isinstance(between, Misfit) else OTHER_FORMULA
            reasons.append(f"between multiples of {step}: {cause}")
        return Domain(bottom * step, top * step, step, tuple(reasons))


def find_formulas(search: Search, *, are_given: bool) -> tuple[Search, Found]:
    """The formulas in all dims that have some, and the search of these dims alone. Raises OnnxCostError where there are none,
    and where dims that ``are_given`` have none.
    """
    lines, notes = _find_lines(search, are_given)
    # A table that is read at most once limits the reads and nothing else.
    for metrics in ({"read_bytes"}, TRAFFIC) if any(map(_ends_early, lines.values())) else ():
        without = search.drop(metrics)
        others, said = _find_lines(without, are_given)
        if prod(line.reach for line in others.values()) > PLATEAU * prod(line.reach for line in lines.values()):
            limits = (f"only for {name} from {line.domain}" for name, line in lines.items() if _ends_early(line))
            said.append(f"no formula for {_name_traffic(metrics)}: one holds {' and '.join(limits)}")
            search, lines, notes = without, others, said
            break
    if not lines:
        raise OnnxCostError("; ".join(notes))
    if len(lines) < len(search.names):
        search = search.fix(set(search.names) - lines.keys())
    return search, search.find(lines, notes)


def _find_lines(search: Search, are_given: bool) -> tuple[dict[str, Line], list[str]]:
    """The formulas along each dim, and why there are none along some."""
    lines: dict[str, Line] = {}
    notes = []
    for name in search.names:
        try:
            line = search.find_line(name)
            if (points := prod(len(each.sizes) for each in (*lines.values(), line))) > MOST_GRID:
                raise OnnxCostError(f"with it, the formulas would need {points:,} counts, more than {MOST_GRID:,}")
            lines[name] = line
        except OnnxCostError as error:
            if are_given:
                raise
            notes.append(f"{name} stays {search.base[name]}: {error}")
    return lines, notes


def _name_traffic(metrics: Iterable[str]) -> str:
    """The metrics in words, like those of a table."""
    return " and ".join({"read_bytes": "bytes read", "write_bytes": "bytes written"}[each] for each in sorted(metrics))


def _ends_early(line: Line) -> bool:
    """Whether the cost is known where the formula does not hold: it may be one between two steps of a stride, where the cost is
    constant, a polynomial as well.
    """
    return any(OTHER_FORMULA in reason for reason in line.domain.reasons)


def _reach(inside: int, tries: Iterable[int], why_not: Callable[[int], str]) -> tuple[int, str]:
    """The last size that agrees on the way along ``tries``, and why the next one does not."""
    for size in tries:
        if not (why := why_not(size)):
            inside = size
            continue
        outside = size
        while abs(outside - inside) > 1:
            middle = (outside + inside) // 2
            if reason := why_not(middle):
                outside, why = middle, reason
            else:
                inside = middle
        return inside, why
    return inside, ""


def _leave_out(metrics: Container[str], found: Mapping[Key, int]) -> dict[Key, int]:
    """The numbers but for those of some metrics."""
    return {key: each for key, each in found.items() if key[-1] not in metrics}
