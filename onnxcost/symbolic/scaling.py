"""How the cost of a model grows with the dims that it leaves open: polynomials through exact counts, never fitted in floats.

A count at one size is exact, so its differences at equally spaced sizes are too: where they vanish from some order on, the
count is a polynomial there. Its coefficients come from a grid; sizes that it has not seen, inside and beyond the grid, decide
whether it is shown. What no polynomial describes is said, and nothing is shown for it.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import product
from math import prod
from typing import Any, NamedTuple

from onnxcost.conventions import FLOPS, MACS
from onnxcost.errors import InputError, OnnxCostError, did_you_mean
from onnxcost.estimator import estimate_spec
from onnxcost.formulas.table import FormulaTable
from onnxcost.report import CostReport, Group
from onnxcost.results import Result, make_document
from onnxcost.spec import ModelSource, ModelSpec
from onnxcost.symbolic.polynomial import Axis, Polynomial, count_degree, fit_grid

POINTS = 6
"""Sizes of a dim whose differences tell the degree: up to 4, with one difference more that must vanish."""
STEPS = (1, 64, 6720)
"""The distances that are tried, each before it is divided by its primes: 6720 = 2⁶·3·5·7."""
PRIMES = (2, 3, 5, 7)
HELD_OUT = 40
REACH = 64
"""How many times the assumed size is tried."""
NARROWED = 6
SEED = 0
TOTALS = ("macs", "flops", "read_bytes", "write_bytes", "parameters")
"""The metrics of the whole model; of operators and modules there are all but the parameters."""
PEAK = "peak_activation_bytes"

Sizes = tuple[int, ...]
Key = tuple[str, ...]
"""What a number is of: ("total", metric), ("operator", name, metric), ("module", path, metric), ("memory", step)."""


class Misfit(NamedTuple):
    """Why there is no count at a size, or not the one expected: the estimator's words."""

    reason: str


class Domain(NamedTuple):
    """The sizes of a dim for which the formulas hold: ``least`` to ``most`` in multiples of ``step``; ``reasons`` say why not
    others.
    """

    least: int
    most: int
    step: int
    reasons: tuple[str, ...] = ()

    def __contains__(self, size: object) -> bool:
        return isinstance(size, int) and self.least <= size <= self.most and size % self.step == 0

    def __str__(self) -> str:
        """``32 to 14336 in steps of 32``."""
        if self.least == self.most:
            return f"{self.least} alone"
        return f"{self.least} to {self.most}" + (f" in multiples of {self.step}" if self.step > 1 else "")


@dataclass(frozen=True, repr=False)
class Scaling(Result):
    """Polynomials of a model's cost in the sizes of ``dims``.

    ``formulas`` are by what they are of: ("total", "macs"), ("operator", "Conv", "flops"), ("module", "encoder", "flops").
    ``pieces`` are the candidates of the peak of the activations: it is the largest of them at each size; none where it is not
    a maximum of polynomials. ``base`` are the sizes of the dims when they are not given, ``bound`` is that of the report.
    ``verified`` sizes that no formula was made from were counted and equal; ``evaluations`` is how often the model was counted.
    """

    model: str
    dims: tuple[str, ...]
    base: Mapping[str, int]
    domain: Mapping[str, Domain]
    formulas: Mapping[Key, Polynomial]
    pieces: tuple[Polynomial, ...]
    bound: str
    verified: int
    evaluations: int
    notes: tuple[str, ...] = ()

    def formula(self, metric: str) -> Polynomial:
        """The polynomial of a metric of the whole model; raises InputError for another name."""
        if (found := self.formulas.get(("total", metric))) is None:
            known = [key[1] for key in self.formulas if key[0] == "total"]
            raise InputError(f"there is no formula of '{metric}'{did_you_mean(metric, known) or ': there are ' + ', '.join(known)}")
        return found

    def at(self, **sizes: int) -> dict[str, int]:
        """The totals at sizes of the dims, which are the base's where they are not given.

        Raises InputError for another dim, and for a size outside the domain, with the reason.
        """
        for name, size in sizes.items():
            if name not in self.dims:
                raise InputError(f"there is no free dim '{name}'{did_you_mean(name, self.dims)}")
            if size not in self.domain[name]:
                reasons = "".join(f"; {reason}" for reason in self.domain[name].reasons)
                raise InputError(f"{name} = {size} is outside the domain: {self.domain[name]}{reasons}")
        point = [sizes.get(name, self.base[name]) for name in self.dims]
        found = {key[1]: int(each.at(point)) for key, each in self.formulas.items() if key[0] == "total"}
        return found | ({PEAK: max(int(piece.at(point)) for piece in self.pieces)} if self.pieces else {})

    def growth(self, metric: str, dim: str) -> str:
        """The degree in words: "linear in batch", "quadratic in sequence, most of it from 4,608 on"."""
        formula = self.formula(metric)
        degree = formula.degree(dim)
        if degree == 0:
            return f"does not depend on {dim}"
        word = {1: "linear", 2: "quadratic", 3: "cubic"}.get(degree, f"of degree {degree}")
        factors = formula.along(dim, self.base)
        if degree < 2 or factors[degree] <= 0 or factors[degree - 1] <= 0:
            return f"{word} in {dim}"
        crossing = factors[degree - 1] / factors[degree]
        return f"{word} in {dim}, most of it from {-(-crossing.numerator // crossing.denominator):,} on"

    def to_dict(self) -> dict[str, Any]:
        """A document of the schema ``onnxcost/1``; coefficients are texts, as they may be fractions."""
        return make_document(
            model=self.model,
            scaling={
                "dims": {
                    name: {
                        "base": self.base[name], "least": self.domain[name].least, "most": self.domain[name].most,
                        "step": self.domain[name].step, "reasons": list(self.domain[name].reasons),
                    }
                    for name in self.dims
                },
                "bound": self.bound,
                "verified": self.verified,
                "evaluations": self.evaluations,
                "totals": {key[1]: _describe(each) for key, each in self.formulas.items() if key[0] == "total"},
                "by_operator": self._records("operator"),
                "by_module": self._records("module"),
                PEAK: [_describe(piece) for piece in self.pieces],
                "notes": list(self.notes),
            },
        )  # fmt: skip

    def _records(self, kind: str) -> list[dict[str, Any]]:
        names = dict.fromkeys(key[1] for key in self.formulas if key[0] == kind)
        return [
            {kind: name, **{key[2]: _describe(each) for key, each in self.formulas.items() if key[:2] == (kind, name)}}
            for name in names
        ]

    def to_records(self) -> list[dict[str, Any]]:
        """One row for each metric and term: what it is of, the exponents of the dims, and the coefficient."""
        return [
            {"of": "/".join(key), **dict(zip(self.dims, exponents, strict=True)), "coefficient": str(factor)}
            for key, each in self.formulas.items()
            for exponents, factor in each.terms.items()
        ]

    def summary(self) -> str:
        """The MACs of the model."""
        return f"MACs {self.formula('macs')}"


def _describe(formula: Polynomial) -> dict[str, Any]:
    terms = [{"coefficient": str(factor), "exponents": list(exponents)} for exponents, factor in formula.terms.items()]
    return {"formula": str(formula), "terms": terms}


def scaling(
    model: ModelSource,
    over: Sequence[str] | Mapping[str, tuple[int, int]] = (),
    *,
    shapes: Mapping[str, Sequence[int]] | None = None,
    dims: Mapping[str, int] | None = None,
    values: Mapping[str, Any] | None = None,
    trips: Mapping[str, int] | None = None,
    formulas: FormulaTable | None = None,
) -> Scaling:
    """The cost of ``model`` as exact polynomials in the dims ``over``: all that it leaves open by default.

    ``over`` are names of dims, or a mapping to the least and the most size of each. The other arguments are those of
    ``estimate``. Raises InputError where there is no such dim, and ModelError as ``estimate`` does; raises OnnxCostError where
    no polynomial describes the cost, with the sizes that show it.
    """
    return scale_spec(ModelSpec.of(model, shapes, dims, values, trips), over, formulas)


def scale_spec(
    spec: ModelSpec, over: Sequence[str] | Mapping[str, tuple[int, int]] = (), formulas: FormulaTable | None = None
) -> Scaling:
    """``scaling`` of a spec."""
    spec = spec.read_inputs()
    first = estimate_spec(spec, formulas)
    free = {dim.name: dim for dim in first.graph.dims if dim.source == "assumed" and dim.option.startswith("--dim ")}
    names = tuple(over) or tuple(free)
    for name in names:
        if name not in free:
            known = f": {', '.join(free)} are" if free else ": no dim is (--dim fixes one, and --shape all of an input)"
            raise InputError(f"'{name}' is not a free dim of the model{did_you_mean(name, free) or known}")
    if not names:
        raise InputError("the model leaves no dim open that has a name: its cost does not grow")
    base = {name: free[name].value for name in names}
    ranges = dict(over) if isinstance(over, Mapping) else {}
    return _Search(spec, formulas, names, base, ranges).find(first)


@dataclass
class _Search:
    """Counts a model at sizes of some dims, each point once."""

    spec: ModelSpec
    formulas: FormulaTable | None
    names: tuple[str, ...]
    base: Mapping[str, int]
    ranges: Mapping[str, tuple[int, int]]
    known: dict[Sizes, dict[Key, int] | Misfit] = field(default_factory=dict)

    def find(self, first: CostReport) -> Scaling:
        """The formulas and their domain."""
        axes, domain = [], {}
        for name in self.names:
            axis = self._find_axis(name)
            axes.append(axis)
        fitted = self._fit(axes)
        for name, axis in zip(self.names, axes, strict=True):
            domain[name] = self._find_domain(name, axis, fitted)
        domain, notes, verified = self._verify(domain, fitted)
        totals = {key: each for key, each in fitted.items() if key[0] != "memory"}
        pieces = tuple({str(each): each for key, each in fitted.items() if key[0] == "memory"}.values())
        base = {name: axis.start for name, axis in zip(self.names, axes, strict=True)}
        base = {name: self.base[name] if self.base[name] in domain[name] else base[name] for name in self.names}
        return Scaling(
            first.graph.path or first.graph.name, self.names, base, domain, totals, _undominated(pieces, domain, self.names),
            first.bound, verified, len(self.known), tuple(notes),
        )  # fmt: skip

    def count(self, point: Sizes) -> dict[Key, int] | Misfit:
        """All numbers at a point, or why there are none."""
        if point not in self.known:
            dims = {**self.spec.dims, **dict(zip(self.names, point, strict=True))}
            try:
                report = estimate_spec(replace(self.spec, dims=dims), self.formulas)
            except OnnxCostError as error:
                self.known[point] = Misfit(str(error))
            else:
                self.known[point] = numbers_of(report)
        return self.known[point]

    def _point(self, name: str, size: int, others: Mapping[str, int] | None = None) -> Sizes:
        return tuple(size if each == name else (others or self.base)[each] for each in self.names)

    def _find_axis(self, name: str) -> Axis:
        """The smallest distance at which the differences vanish, and as many sizes as the degree needs."""
        least, most = self.ranges.get(name, (1, 2**62))
        found: Axis | None = None
        why = ""
        for step in STEPS:
            found, why = self._try_step(name, step, least, most)
            if found is not None:
                break
        if found is None:
            raise OnnxCostError(f"the cost is no polynomial in {name}: {why}")
        for prime in PRIMES:
            while found.step % prime == 0:
                smaller, _ = self._try_step(name, found.step // prime, least, most)
                if smaller is None:
                    break
                found = smaller
        return found

    def _try_step(self, name: str, step: int, least: int, most: int) -> tuple[Axis | None, str]:
        """Sizes from the base on, or from below it where they do not fit."""
        size = max(self.base[name] // step * step, step)
        why = ""
        for start in (size, size - (POINTS - 1) * step, step):
            axis = Axis(start, step, POINTS)
            sizes = axis.points()
            if start < max(least, 1) or sizes[-1] > most:
                continue
            found = [self.count(self._point(name, each)) for each in sizes]
            if misfit := next((each for each in found if isinstance(each, Misfit)), None):
                why = misfit.reason
                continue
            numbers = [each for each in found if not isinstance(each, Misfit)]
            if any(each.keys() != numbers[0].keys() for each in numbers):
                why = f"other nodes run at other sizes between {sizes[0]} and {sizes[-1]}"
                continue
            columns = {tuple(each[key] for each in numbers) for key in numbers[0] if key[0] != "memory"}
            degrees = [count_degree(column) for column in columns]
            if None not in degrees:
                return Axis(start, step, max(filter(None, degrees), default=0) + 1), ""
            why = f"its differences between {sizes[0]} and {sizes[-1]} do not vanish"
        return None, why or "no size fits"

    def _fit(self, axes: Sequence[Axis]) -> dict[Key, Polynomial]:
        """The polynomials on the grid of all axes; of the memory only those whose differences vanish."""
        points = list(product(*(axis.points() for axis in axes)))
        found = [self.count(point) for point in points]
        for point, each in zip(points, found, strict=True):
            if isinstance(each, Misfit):
                sizes = ", ".join(f"{name} = {size}" for name, size in zip(self.names, point, strict=True))
                raise OnnxCostError(f"{sizes} do not fit together: {each.reason}")
        numbers = [each for each in found if not isinstance(each, Misfit)]
        keys = [key for key in numbers[0] if all(key in each for each in numbers)]
        made: dict[tuple[int, ...], Polynomial] = {}
        fitted = {}
        for key in keys:
            column = tuple(each[key] for each in numbers)
            if column not in made:
                made[column] = fit_grid(self.names, axes, column)
            fitted[key] = made[column]
        return fitted

    def agrees(self, point: Sizes, fitted: Mapping[Key, Polynomial]) -> str:
        """Why the formulas are not those of a point; "" where they are."""
        counted = self.count(point)
        if isinstance(counted, Misfit):
            return counted.reason
        known: dict[int, int | Fraction] = {}
        for key, formula in fitted.items():
            if key[0] == "memory":
                continue
            value = known.get(id(formula))
            if value is None:
                value = known[id(formula)] = formula.at(point)
            if counted.get(key) != value:
                return "the cost follows another formula there"
        return ""

    def _find_domain(self, name: str, axis: Axis, fitted: Mapping[Key, Polynomial]) -> Domain:
        """The smallest and the largest size that agree, up to REACH times the base, and why not others."""
        least, most = self.ranges.get(name, (1, 2**62))
        step, reasons = axis.step, []
        inside = max(axis.start // step, 1)
        highest = min(REACH * max(axis.start, axis.points()[-1]), most) // step
        top, why = self._reach(name, inside, [min(inside * 2**power, highest) for power in range(1, 8)], step, fitted)
        if why:
            reasons.append(f"above {top * step}: {why}")
        lowest = -(-max(least, 1) // step)
        bottom, why = self._reach(name, inside, [max(inside // 2**power, lowest) for power in range(1, 8)] + [lowest], step, fitted)
        if why:
            reasons.append(f"below {bottom * step}: {why}")
        if step > 1:
            between = self.count(self._point(name, inside * step + 1))
            cause = between.reason if isinstance(between, Misfit) else "the cost follows another formula there"
            reasons.append(f"between multiples of {step}: {cause}")
        return Domain(bottom * step, top * step, step, tuple(reasons))

    def _reach(
        self, name: str, inside: int, tries: Iterable[int], step: int, fitted: Mapping[Key, Polynomial]
    ) -> tuple[int, str]:
        """The last multiple of the step that agrees on the way along ``tries``, and why the next one does not."""
        for size in tries:
            if not (why := self.agrees(self._point(name, size * step), fitted)):
                inside = size
                continue
            outside = size
            while abs(outside - inside) > 1:
                middle = (outside + inside) // 2
                if reason := self.agrees(self._point(name, middle * step), fitted):
                    outside, why = middle, reason
                else:
                    inside = middle
            return inside, why
        return inside, ""

    def _verify(
        self, domain: dict[str, Domain], fitted: Mapping[Key, Polynomial]
    ) -> tuple[dict[str, Domain], list[str], int]:
        """Holds the formulas against sizes that they were not made from; halves the domain where some do not fit together."""
        draw, notes = random.Random(SEED), list[str]()
        for _ in range(NARROWED):
            verified = 0
            for _ in range(HELD_OUT):
                point = tuple(_draw_size(draw, domain[name]) for name in self.names)
                if why := self.agrees(point, fitted):
                    break
                verified += 1
            else:
                return domain, notes, verified
            sizes = ", ".join(f"{name} = {size}" for name, size in zip(self.names, point, strict=True))
            notes.append(f"{sizes}: {why}")
            domain = {
                name: each._replace(most=max(each.most // 2 // each.step * each.step, each.least)) for name, each in domain.items()
            }
        raise OnnxCostError(f"no formula holds for all sizes: {notes[-1]}")


def numbers_of(report: CostReport) -> dict[Key, int]:
    """The totals of a report, of its operators and of its modules, and the memory at each executed node."""
    found: dict[Key, int] = {("total", "parameters"): report.parameters}
    groups: list[tuple[Key, Group]] = [(("total",), report.whole)]
    groups += [(("operator", ".".join(filter(None, group.key))), group) for group in report.by_operator()]
    groups += [(("module", "/".join(group.key)), group) for group in report.by_scope(2)]
    for key, group in groups:
        traffic = group.traffic
        for metric, value in (
            ("macs", group.total(MACS)), ("flops", group.total(FLOPS)),
            ("read_bytes", traffic.read_bytes), ("write_bytes", traffic.write_bytes),
        ):  # fmt: skip
            found[(*key, metric)] = value
    found[("total", "bound")] = len(report.bound)
    for at, step in enumerate(report.to_dict()["memory"]["curve"] if report.memory.peak_activation_bytes is not None else ()):
        found[("memory", str(at))] = step["bytes"]
    return found


def _draw_size(draw: random.Random, domain: Domain) -> int:
    """A multiple of the step in the domain: small and large ones are as likely."""
    low, high = domain.least // domain.step, domain.most // domain.step
    size = round(low * (high / low) ** draw.random()) if low else draw.randint(low, high)
    return domain.step * size


def _undominated(
    pieces: Sequence[Polynomial], domain: Mapping[str, Domain], names: Sequence[str]
) -> tuple[Polynomial, ...]:
    """The pieces that are the largest somewhere: at the corners of the domain, and at sizes between them."""
    draw = random.Random(SEED)
    corners = list(product(*({domain[name].least, domain[name].most} for name in names)))
    points = corners + [tuple(_draw_size(draw, domain[name]) for name in names) for _ in range(200)]
    best = {max(range(len(pieces)), key=lambda at: pieces[at].at(point)) for point in points} if pieces else set()
    return tuple(pieces[at] for at in sorted(best))
