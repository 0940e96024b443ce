"""Finds the formulas of a model's cost in all open dims together, and verifies them at sizes that they were not made from."""

from __future__ import annotations

import random
from collections.abc import Hashable, Iterable, Mapping, Sequence
from itertools import product
from math import prod
from typing import NamedTuple

from onnxcost.errors import OnnxCostError
from onnxcost.symbolic.counter import Misfit, SizeCounter, find_unlike
from onnxcost.symbolic.floors import Floor
from onnxcost.symbolic.keys import Key
from onnxcost.symbolic.line_search import PLATEAU, SEED, ends_early, find_line
from onnxcost.symbolic.lines import METRICS, SHOWN, TRAFFIC, Domain, Line, Sizes, draw_size, spread_basis, sum_nodes
from onnxcost.symbolic.polynomial import Basis, Exponents, Polynomial, fit_grid

HELD_OUT, JOINT = 40, 24
"""The number of sizes that formulas are verified at, and of those among them that are drawn for all dims together."""
WITH_MEMORY = 8
"""How many of the drawn sizes also verify the memory, which takes as long as everything else."""
MOST_GRID = 4096
"""The most combinations of sizes that formulas are made from."""
NARROWED, CUT_OFF = 6, 2
"""How often a domain may be halved, and how often because another formula holds there."""


class Found(NamedTuple):
    """The formulas of the totals, operators and modules, the candidates of the peak, and what they hold for."""

    formulas: Mapping[Key, Polynomial]
    pieces: tuple[Polynomial, ...]
    floors: tuple[Floor, ...]
    domain: Mapping[str, Domain]
    base: Mapping[str, int]
    verified: int
    notes: tuple[str, ...]


def find_formulas(counter: SizeCounter, *, are_given: bool) -> tuple[SizeCounter, Found]:
    """The formulas in all dims that have some, and the counter of these dims alone. Raises OnnxCostError if there are none,
    or if one of the dims has none and they ``are_given``.
    """
    lines, notes = _find_lines(counter, are_given)
    # The rows of a table are read at most once, which may limit the formula of the reads and no other.
    for metrics in ({"read_bytes"}, TRAFFIC) if any(map(ends_early, lines.values())) else ():
        without = counter.drop(metrics)
        others, said = _find_lines(without, are_given)
        if prod(line.reach for line in others.values()) > PLATEAU * prod(line.reach for line in lines.values()):
            limits = (f"only for {name} from {line.domain}" for name, line in lines.items() if ends_early(line))
            said.append(f"no formula for {_name_traffic(metrics)}: one holds {' and '.join(limits)}")
            counter, lines, notes = without, others, said
            break
    if not lines:
        raise OnnxCostError("; ".join(notes))
    if len(lines) < len(counter.names):
        counter = counter.fix(set(counter.names) - lines.keys())
    return counter, _combine_lines(counter, lines, notes)


def _find_lines(counter: SizeCounter, are_given: bool) -> tuple[dict[str, Line], list[str]]:
    """The formulas along each dim, and why there are none along some."""
    lines: dict[str, Line] = {}
    notes = []
    for name in counter.names:
        try:
            line = find_line(counter, name)
            if (points := prod(len(each.sizes) for each in (*lines.values(), line))) > MOST_GRID:
                raise OnnxCostError(f"with it, the formulas would need {points:,} counts, more than {MOST_GRID:,}")
            lines[name] = line
        except OnnxCostError as error:
            if are_given:
                raise
            notes.append(f"{name} stays {counter.base[name]}: {error}")
    return lines, notes


def _name_traffic(metrics: Iterable[str]) -> str:
    """The metrics in words, as in a table."""
    return " and ".join({"read_bytes": "bytes read", "write_bytes": "bytes written"}[each] for each in sorted(metrics))


def _combine_lines(counter: SizeCounter, lines: Mapping[str, Line], notes: Sequence[str]) -> Found:
    """The formulas in all dims together, from those of each dim, and their domain."""
    names = counter.names
    floors = tuple(floor for name in names for floor in lines[name].floors)
    grid = list(product(*(lines[name].sizes for name in names)))
    numbers = []
    for point in grid:
        counted = counter.count(point, *(("node", "memory") if floors else ("memory",)))
        if isinstance(counted, Misfit):
            raise OnnxCostError(f"{counter.describe(point)} cannot be combined: {counted.reason}")
        numbers.append(counted)
    fitted = _fit(counter, [lines[name] for name in names], floors, numbers)
    domain = {name: lines[name].domain for name in names}
    domain, narrowed, verified = _verify(counter, domain, fitted, floors, frozenset(grid))
    pieces = _find_pieces(counter, domain, floors, [each for key, each in fitted.items() if key[0] == "memory"])
    base = {name: size if (size := counter.base[name]) in domain[name] else lines[name].sizes[0] for name in names}
    totals = {key: each for key, each in fitted.items() if key[0] in SHOWN}
    return Found(totals, pieces, floors, domain, base, verified, (*notes, *narrowed))


def _fit(
    counter: SizeCounter, lines: Sequence[Line], floors: Sequence[Floor], numbers: Sequence[Mapping[Key, int]]
) -> dict[Key, Polynomial]:
    """The polynomials through the numbers on the grid of all lines; with floors those of each node, and their sums."""
    variables = (*counter.names, *map(str, floors))
    bases: dict[tuple[int, tuple[Exponents, ...]], Basis] = {}
    made: dict[Hashable, Polynomial] = {}
    fitted: dict[Key, Polynomial] = {}
    counts = [len(line.sizes) for line in lines]
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
            made[column, own] = fit_grid(variables, [bases[each] for each in own], counts, column)
        fitted[key] = made[column, own]
    return fitted | (sum_nodes(variables, fitted, counter.members) if floors else {})


def _list_corners(counter: SizeCounter, domain: Mapping[str, Domain]) -> list[Sizes]:
    """The combinations of the smallest and largest sizes."""
    return list(product(*({domain[name].least, domain[name].most} for name in counter.names)))


def _verify(
    counter: SizeCounter,
    domain: dict[str, Domain],
    fitted: dict[Key, Polynomial],
    floors: Sequence[Floor],
    grid: frozenset[Sizes],
) -> tuple[dict[str, Domain], list[str], int]:
    """Compare the formulas with counts that they were not made from: earlier ones, and new ones at sizes of all dims together.

    If only formulas of the traffic differ, they are dropped; otherwise the larger half of the domain is.
    """
    draw, notes, others = random.Random(SEED), list[str](), 0
    for _ in range(NARROWED):
        earlier = (
            point
            for point in list(counter.known)
            if all(size in domain[name] for size, name in zip(point, counter.names, strict=True))
        )
        # What holds along each dim may not hold at the ends of all dims together; their memory is needed later.
        corners = _list_corners(counter, domain)
        for point in corners:
            counter.count(point, "memory")
        points = [point for point in dict.fromkeys([*earlier, *corners]) if point not in grid]
        points += [
            tuple(draw_size(draw, domain[name]) for name in counter.names) for _ in range(max(JOINT, HELD_OUT - len(points)))
        ]
        misfits = (
            (point, why) for point in points if (why := counter.find_misfit(point, fitted, counter.vector(point, floors)))
        )
        if (found := next(misfits, None)) is None:
            return domain, notes, len({*points})
        point, why = found
        counted = counter.count(point)
        if isinstance(counted, Misfit):
            notes.append(f"{counter.describe(point)} do not fit together: {why}")
        else:
            notes.append(f"{counter.describe(point)}: {why}")
            unlike = find_unlike(counted, fitted, counter.vector(point, floors))
            if unlike <= TRAFFIC:
                notes[-1] = f"no formula for {_name_traffic(unlike)}: {notes[-1]}"
                for key in [key for key in fitted if key[-1] in unlike]:
                    del fitted[key]
                continue
            others += 1
            if others > CUT_OFF:
                break
        cause = why if len(domain) == 1 else "not with all sizes of the other dims"
        domain = {name: each.halve(cause) for name, each in domain.items()}
    raise OnnxCostError(f"no formula holds for all sizes: {notes[-1]}")


def _find_pieces(
    counter: SizeCounter, domain: Mapping[str, Domain], floors: Sequence[Floor], pieces: Sequence[Polynomial]
) -> tuple[Polynomial, ...]:
    """The pieces that are the largest somewhere in the domain; none if the largest is not the peak at a size held out."""
    draw = random.Random(SEED)
    corners = _list_corners(counter, domain)
    points = corners + [tuple(draw_size(draw, domain[name]) for name in counter.names) for _ in range(200)]
    vectors = [counter.vector(point, floors) for point in points]
    unlike = list({id(piece): piece for piece in pieces}.values())
    best = sorted(
        {max(range(len(unlike)), key=[each.at(vector) for each in unlike].__getitem__) for vector in vectors if unlike}
    )
    found = tuple(unlike[at] for at in best)
    for point, vector in list(zip(points, vectors, strict=True))[: len(corners) + WITH_MEMORY]:
        counted = counter.count(point, "memory")
        if not found or isinstance(counted, Misfit):
            return ()
        peak = max((value for key, value in counted.items() if key[0] == "memory"), default=None)
        if peak != max(piece.at(vector) for piece in found):
            return ()
    return found
