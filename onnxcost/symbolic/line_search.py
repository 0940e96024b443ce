"""Finds the formulas along one dim, the others at their base: first a polynomial, then one in floors of the dim.

A count at one size is exact, so its differences at equally spaced sizes are too: if they vanish from some order on, the
count is a polynomial there. Strides make floors of a dim: these are found in the shapes of the tensors, and the cost of each
node is then a polynomial in them.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

from onnxcost.errors import OnnxCostError
from onnxcost.symbolic.counter import OTHER_FORMULA, Misfit, SizeCounter
from onnxcost.symbolic.floors import Columns, Floor, find_floors
from onnxcost.symbolic.keys import UNCOUNTED, Key
from onnxcost.symbolic.lines import SHOWN, Domain, Line, draw_size, products_of, solve, sum_nodes, telling_sizes
from onnxcost.symbolic.polynomial import Basis, Polynomial, count_degree, fit_grid

POINTS = 6
"""Sizes of a dim whose differences give the degree: up to 4, plus one difference that must vanish."""
STEPS = (1, 64, 6720, 705600)
"""The distances that are tried, each before it is divided by its primes: 6720 is 2⁶·3·5·7, 705600 is 2⁶·3²·5²·7²."""
PRIMES = (2, 3, 5, 7)
FAR = (127, 1021, 16381, 1048573)
"""Distances to a size that shows how fast a floor grows: the largest that fits is used, then smaller ones."""
REACH, LEAST_REACH = 64, 4096
"""The domain extends to at most REACH times the assumed size, but at least to LEAST_REACH if the formulas hold there."""
JUMP = 8
"""The ratio of one size to the next on the way to the limits of a domain."""
SEED = 0
SPARE = 4
"""Additional sizes, beyond the terms of a formula, at which it must be right as well."""
PLATEAU = 4
"""A domain whose most is less than this many times its least may be a plateau between two steps of a stride."""
LARGEST = 2**62
NOT_ALIKE = "its differences"
FIXED: Sequence[Key] = (UNCOUNTED, ("total", "parameters"))
"""What does not depend on a size as long as the same nodes run."""


def find_line(counter: SizeCounter, name: str) -> Line:
    """The formulas along a dim with the largest domain. Raises OnnxCostError if there are none."""
    found = _find_from_base(counter, name)
    if found.reach >= PLATEAU or not ends_early(found):
        return found
    # The assumed size may be an exception: for example, a table of positions is not resized there.
    least, most = found.domain.most + 1, counter.ranges.get(name, (1, LARGEST))[1]
    if least < most:
        with suppress(OnnxCostError):
            beyond = _find_from_base(replace(counter, ranges={**counter.ranges, name: (least, most)}), name)
            reasons = (*beyond.domain.reasons, f"below {beyond.domain.least}: {OTHER_FORMULA}")
            if beyond.reach > found.reach:
                return beyond._replace(domain=beyond.domain._replace(reasons=reasons))
    return found


def ends_early(line: Line) -> bool:
    """Whether the model can be counted beyond the domain, where the formula does not hold. It may then be the formula of a
    plateau between two steps of a stride: a constant cost is a polynomial, too.
    """
    return any(OTHER_FORMULA in reason for reason in line.domain.reasons)


def _find_from_base(counter: SizeCounter, name: str) -> Line:
    """The formulas along a dim, from the assumed size on."""
    line, why = _find_steps(counter, name, STEPS[:1])
    if line is not None and not ends_early(line):
        return line
    # With strides, floors describe the cost between their steps; if only multiples fit, the floors have steps, too.
    found = [] if line is None else [line]
    try:
        found.append(_find_floors(counter, name, 1))
    except OnnxCostError as error:
        why += f", and {error}" if why.startswith(NOT_ALIKE) else ""
    if not any(each.reach >= PLATEAU for each in found):
        larger, reason = _find_steps(counter, name, STEPS[1:])
        why += f"; in multiples of {STEPS[1]}: {reason}" if reason and reason != why else ""
        if larger is not None:
            found.append(larger)
            steps = range(2, larger.domain.step) if ends_early(larger) else ()
            for step in (each for each in steps if larger.domain.step % each == 0):
                with suppress(OnnxCostError):
                    found.append(_find_floors(counter, name, step))
                    break
    if not found:
        raise OnnxCostError(f"the cost is not a polynomial in {name}: {why}")
    return max(found, key=lambda each: each.reach)


def _find_steps(counter: SizeCounter, name: str, steps: Sequence[int]) -> tuple[Line | None, str]:
    """The polynomial in a dim, at the step that gives it the largest domain; and why there is none at the first step."""
    found: Line | None = None
    why = ""
    for step in steps:
        axis, reason = _try_step(counter, name, step)
        why = why or reason
        if axis is None:
            continue
        for prime in PRIMES:
            while axis.step % prime == 0 and (smaller := _try_step(counter, name, axis.step // prime)[0]):
                axis = smaller
        counted = [counter.count(counter.point(name, size)) for size in axis]
        numbers = [each for each in counted if not isinstance(each, Misfit)]
        basis = Basis.of([(power,) for power in range(len(axis))], [(size,) for size in axis])
        keys = (key for key in numbers[0] if key[0] in SHOWN or key == UNCOUNTED)
        fitted = {key: fit_grid((name,), (basis,), (len(axis),), [each[key] for each in numbers]) for key in keys}
        line = Line(name, axis, (), fitted, _find_domain(counter, name, axis[0], axis.step, fitted, ()))
        if found is None or line.reach > found.reach:
            found = line
        if found.reach >= PLATEAU or not ends_early(found):
            break
    return found, why


def _try_step(counter: SizeCounter, name: str, step: int) -> tuple[range | None, str]:
    """As many equally spaced sizes as the degree requires, from the base on, or from below it if those do not fit."""
    least, most = counter.ranges.get(name, (1, LARGEST))
    size = max(counter.base[name] // step * step, -(-max(least, 1) // step) * step)
    why = ""
    for start in dict.fromkeys((size, size - (POINTS - 1) * step, step)):
        sizes = range(start, start + POINTS * step, step)
        if start < max(least, 1) or sizes[-1] > most:
            continue
        found = [counter.count(counter.point(name, each)) for each in sizes]
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


def _find_floors(counter: SizeCounter, name: str, step: int) -> Line:
    """The formulas in a dim and floors of it, at multiples of ``step``. Raises OnnxCostError if there are none."""
    least, most = counter.ranges.get(name, (1, LARGEST))
    first = -(-max(counter.base[name], least) // step)
    sizes = [(first + at) * step for at in range(POINTS)]
    for size in sizes:
        _count_alike(counter, name, size, sizes[0])

    def why_not(at: int) -> str:
        try:
            _count_alike(counter, name, at * step, sizes[0])
        except OnnxCostError as error:
            return str(error)
        sizes.append(at * step)
        return ""

    # Find the smallest and the largest size that fit and at which the same nodes run.
    last, _ = _reach(first, [first + far for far in FAR if (first + far) * step <= most], why_not)
    if last - first < FAR[1]:
        _reach(first, [max(-(-least // step), 1)], why_not)
    reasons = []
    for far in (last, *(first + far for far in reversed(FAR) if first + far < last)):
        try:
            return _fit_floors(counter, name, step, [size for size in sizes if size <= far * step])
        except OnnxCostError as error:
            reasons.append(str(error))
    raise OnnxCostError(reasons[0])


def _count_alike(counter: SizeCounter, name: str, size: int, first: int) -> dict[Key, int]:
    """All numbers at a size. Raises OnnxCostError if there are none, or if other nodes run than at the ``first`` size."""
    counted, alike = (counter.count(counter.point(name, each), "node", "memory", "dim") for each in (size, first))
    for at, each in ((size, counted), (first, alike)):
        if isinstance(each, Misfit):
            raise OnnxCostError(f"{name} = {at}: {each.reason}")
    assert not isinstance(counted, Misfit)
    assert not isinstance(alike, Misfit)
    if any(key not in counted for key in alike if key[0] == "node") or any(counted[key] != alike[key] for key in FIXED):
        raise OnnxCostError(f"different nodes run at {name} = {size} than at {first}")
    return counted


def _fit_floors(counter: SizeCounter, name: str, step: int, sizes: list[int]) -> Line:
    """The formulas through the numbers at some sizes and at others that are chosen to determine them."""
    first = sizes[0]

    def count(size: int) -> Columns:
        return {key: each for key, each in _count_alike(counter, name, size, first).items() if key[0] == "dim"}

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
        numbers = [_count_alike(counter, name, size, first) for size in line.sizes]
        fitted, why = solve(variables, monomials, [line.vector(size) for size in line.sizes], numbers)
        if not why:
            line = line._replace(fitted=fitted | sum_nodes(variables, fitted, counter.members))
            domain = _find_domain(counter, name, first, step, line.fitted, floors)
            return line._replace(sizes=telling_sizes(line), domain=domain)
    raise OnnxCostError(why)


def _find_domain(
    counter: SizeCounter, name: str, inside: int, step: int, fitted: Mapping[Key, Polynomial], floors: Sequence[Floor]
) -> Domain:
    """The smallest and the largest size at which the formulas hold, up to REACH times the base, and why not beyond them."""
    least, most = counter.ranges.get(name, (1, LARGEST))
    inside, reasons = inside // step, []

    def why_not(size: int) -> str:
        vector = (size * step, *(floor.at(size * step) for floor in floors))
        return counter.find_misfit(counter.point(name, size * step), fitted, vector)

    highest = min(max(REACH * (inside + POINTS - 1) * step, LEAST_REACH), most) // step
    upward = [max(inside, 1) * JUMP**power for power in range(1, 8) if max(inside, 1) * JUMP**power < highest]
    top, why = _reach(inside, [*upward, highest], why_not)
    if why:
        reasons.append(f"above {top * step}: {why}")
    lowest = -(-max(least, min(counter.base[name], 1)) // step)
    downward = [inside // JUMP**power for power in range(1, 8) if inside // JUMP**power > lowest]
    bottom, why = _reach(inside, [*downward, lowest], why_not)
    if why:
        reasons.append(f"below {bottom * step}: {why}")
    if step > 1:
        between = counter.count(counter.point(name, inside * step + 1))
        cause = between.reason if isinstance(between, Misfit) else OTHER_FORMULA
        reasons.append(f"between multiples of {step}: {cause}")
    return Domain(bottom * step, top * step, step, tuple(reasons))


def _reach(inside: int, tries: Iterable[int], why_not: Callable[[int], str]) -> tuple[int, str]:
    """The last size that fits on the way along ``tries``, and why the next one does not."""
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
