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
from typing import Any, NamedTuple

from onnxcost.conventions import FLOPS, MACS
from onnxcost.errors import InputError, OnnxCostError, UnknownShape, did_you_mean
from onnxcost.estimator import CountedNodes, count_nodes, estimate_spec, without_collection
from onnxcost.formulas import select_formulas
from onnxcost.formulas.table import FormulaTable
from onnxcost.frontend import operators_in, read_graph, read_skeleton
from onnxcost.ort_optimizer.memory_plan import plan_memory
from onnxcost.report import CostReport, Group, Uncounted, group_costs
from onnxcost.results import Result, make_document
from onnxcost.spec import ModelSource, ModelSpec
from onnxcost.symbolic.polynomial import Axis, Polynomial, count_degree, fit_grid

POINTS = 6
"""Sizes of a dim whose differences tell the degree: up to 4, with one difference more that must vanish."""
STEPS = (1, 64, 6720, 705600)
"""The distances that are tried, each before it is divided by its primes: 6720 is 2⁶·3·5·7, 705600 is 2⁶·3²·5²·7²."""
PRIMES = (2, 3, 5, 7)
HELD_OUT = 40
WITH_MEMORY = 8
"""Of the sizes that are held out, so many are also used to verify the memory, which takes as long as all else."""
REACH, LEAST_REACH = 64, 4096
"""Up to how many times the assumed size is tried, and at least up to which size."""
JUMP = 8
"""The ratio of one size to the next that is tried on the way to the limits of a domain."""
NARROWED = 6
SEED = 0
TOTALS = ("macs", "flops", "read_bytes", "write_bytes", "parameters")
"""The metrics of the whole model; of operators and modules there are all but the parameters."""
PEAK = "peak_activation_bytes"

PLATEAU = 4
"""A domain whose most is less than so many times its least may be a plateau between two steps of a stride."""
OTHER_FORMULA = "the cost follows another formula there"
UNCOUNTED = ("uncounted",)
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


class Line(NamedTuple):
    """Sizes of one dim that its formulas are made from, and those that they hold for, the other dims at their base."""

    axis: Axis
    domain: Domain

    @property
    def reach(self) -> float:
        """How many times the least size the most is."""
        return self.domain.most / max(self.domain.least, 1)


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
            raise InputError(
                f"there is no formula of '{metric}'{did_you_mean(metric, known) or ': there are ' + ', '.join(known)}"
            )
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
            model={"path": self.model},
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
    table = select_formulas(operators_in(read_skeleton(spec.source))) if formulas is None else formulas
    with without_collection():
        alone = _Counts(spec, table, names, base, ranges)
        lines: dict[str, Line] = {}
        notes = []
        for name in names:
            try:
                lines[name] = alone.find_line(name)
            except OnnxCostError as error:
                if over:
                    raise
                notes.append(f"{name} stays {base[name]}: {error}")
        if not lines:
            raise OnnxCostError("; ".join(notes))
        search = alone if len(lines) == len(names) else _Counts(spec, table, tuple(lines), base, ranges)
        return search.find(first, list(lines.values()), notes)


@dataclass
class _Counts:
    """Counts a model at sizes of some dims, each point once."""

    spec: ModelSpec
    formulas: FormulaTable
    names: tuple[str, ...]
    base: Mapping[str, int]
    ranges: Mapping[str, tuple[int, int]]
    known: dict[Sizes, dict[Key, int] | Misfit] = field(default_factory=dict)

    def find(self, first: CostReport, lines: Sequence[Line], notes: Sequence[str]) -> Scaling:
        """The formulas and their domain, from what is known of each dim alone."""
        fitted = self._fit([line.axis for line in lines], with_memory=True)
        domain = {name: line.domain for name, line in zip(self.names, lines, strict=True)}
        domain, narrowed, verified = self._verify(domain, fitted)
        totals = {key: each for key, each in fitted.items() if key[0] in ("total", "operator", "module")}
        pieces = self._find_pieces(domain, [each for key, each in fitted.items() if key[0] == "memory"])
        starts = {name: line.axis.start for name, line in zip(self.names, lines, strict=True)}
        base = {name: size if (size := self.base[name]) in domain[name] else starts[name] for name in self.names}
        return Scaling(
            first.graph.path or first.graph.name, self.names, base, domain, totals, pieces,
            first.bound, verified, len(self.known), (*notes, *narrowed),
        )  # fmt: skip

    def count(self, point: Sizes, *, with_memory: bool = False) -> dict[Key, int] | Misfit:
        """All numbers at a point, or why there are none."""
        known = self.known.get(point)
        if known is not None and (isinstance(known, Misfit) or not with_memory or any(key[0] == "memory" for key in known)):
            return known
        dims = {**self.spec.dims, **dict(zip(self.names, point, strict=True))}
        try:
            counted = count_nodes(
                read_graph(read_skeleton(self.spec.source), replace(self.spec, dims=dims), self.formulas), self.formulas
            )
        except OnnxCostError as error:
            self.known[point] = Misfit(str(error))
        else:
            self.known[point] = numbers_of(counted) | (memory_of(counted) if with_memory else {})
        return self.known[point]

    def _point(self, name: str, size: int, others: Mapping[str, int] | None = None) -> Sizes:
        return tuple(size if each == name else (others or self.base)[each] for each in self.names)

    def find_line(self, name: str) -> Line:
        """The step at which the cost is a polynomial in a dim for the most sizes. Raises OnnxCostError where none is."""
        found: Line | None = None
        why = ""
        for step in STEPS:
            axis, reason = self._try_step(name, step)
            why = why or reason
            if axis is None:
                continue
            for prime in PRIMES:
                while axis.step % prime == 0 and (smaller := self._try_step(name, axis.step // prime)[0]):
                    axis = smaller
            alone = [axis if each == name else Axis(self.base[each], 1, 1) for each in self.names]
            line = Line(axis, self._find_domain(name, axis, self._fit(alone)))
            if found is None or line.reach > found.reach:
                found = line
            # Between two steps of a stride the cost is constant, a polynomial as well: a larger step may hold for all sizes.
            if found.reach >= PLATEAU or all(OTHER_FORMULA not in reason for reason in found.domain.reasons):
                break
        if found is None:
            raise OnnxCostError(f"the cost is no polynomial in {name}: {why}")
        return found

    def _try_step(self, name: str, step: int) -> tuple[Axis | None, str]:
        """Sizes from the base on, or from below it where they do not fit."""
        least, most = self.ranges.get(name, (1, 2**62))
        size = max(self.base[name] // step * step, step)
        why = ""
        for start in dict.fromkeys((size, size - (POINTS - 1) * step, step)):
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

    def _fit(self, axes: Sequence[Axis], *, with_memory: bool = False) -> dict[Key, Polynomial]:
        """The polynomials on the grid of all axes; of the memory only those whose differences vanish."""
        points = list(product(*(axis.points() for axis in axes)))
        found = [self.count(point, with_memory=with_memory) for point in points]
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

    def find_misfit(self, point: Sizes, fitted: Mapping[Key, Polynomial]) -> str:
        """Why the formulas are not those of a point; "" where they are."""
        counted = self.count(point)
        if isinstance(counted, Misfit):
            return counted.reason
        known: dict[int, int | Fraction] = {}
        for key, formula in fitted.items():
            if key[0] != "memory":
                if (value := known.get(id(formula))) is None:
                    value = known[id(formula)] = formula.at(point)
                if counted.get(key) != value:
                    return OTHER_FORMULA
        return ""

    def _find_domain(self, name: str, axis: Axis, fitted: Mapping[Key, Polynomial]) -> Domain:
        """The smallest and the largest size that agree, up to REACH times the base, and why not others."""
        least, most = self.ranges.get(name, (1, 2**62))
        step, reasons = axis.step, []
        inside = axis.start // step
        highest = min(max(REACH * axis.points()[-1], LEAST_REACH), most) // step
        upward = [max(inside, 1) * JUMP**power for power in range(1, 8) if max(inside, 1) * JUMP**power < highest]
        top, why = self._reach(name, inside, [*upward, highest], step, fitted)
        if why:
            reasons.append(f"above {top * step}: {why}")
        lowest = -(-max(least, min(self.base[name], 1)) // step)
        downward = [inside // JUMP**power for power in range(1, 8) if inside // JUMP**power > lowest]
        bottom, why = self._reach(name, inside, [*downward, lowest], step, fitted)
        if why:
            reasons.append(f"below {bottom * step}: {why}")
        if step > 1:
            between = self.count(self._point(name, inside * step + 1))
            cause = between.reason if isinstance(between, Misfit) else OTHER_FORMULA
            reasons.append(f"between multiples of {step}: {cause}")
        return Domain(bottom * step, top * step, step, tuple(reasons))

    def _reach(
        self, name: str, inside: int, tries: Iterable[int], step: int, fitted: Mapping[Key, Polynomial]
    ) -> tuple[int, str]:
        """The last multiple of the step that agrees on the way along ``tries``, and why the next one does not."""
        for size in tries:
            if not (why := self.find_misfit(self._point(name, size * step), fitted)):
                inside = size
                continue
            outside = size
            while abs(outside - inside) > 1:
                middle = (outside + inside) // 2
                if reason := self.find_misfit(self._point(name, middle * step), fitted):
                    outside, why = middle, reason
                else:
                    inside = middle
            return inside, why
        return inside, ""

    def _verify(self, domain: dict[str, Domain], fitted: Mapping[Key, Polynomial]) -> tuple[dict[str, Domain], list[str], int]:
        """Holds the formulas against sizes that they were not made from; halves the domain where some do not fit together."""
        draw, notes = random.Random(SEED), list[str]()
        for _ in range(NARROWED):
            points = [tuple(_draw_size(draw, domain[name]) for name in self.names) for _ in range(HELD_OUT)]
            misfits = ((point, why) for point in points if (why := self.find_misfit(point, fitted)))
            if (found := next(misfits, None)) is None:
                return domain, notes, HELD_OUT
            sizes = ", ".join(f"{name} = {size}" for name, size in zip(self.names, found[0], strict=True))
            notes.append(f"{sizes}: {found[1]}")
            # Without the larger half of the sizes.
            halves = {name: each.most // 2 // each.step * each.step for name, each in domain.items()}
            domain = {name: each._replace(most=max(halves[name], each.least)) for name, each in domain.items()}
        raise OnnxCostError(f"no formula holds for all sizes: {notes[-1]}")

    def _find_pieces(self, domain: Mapping[str, Domain], pieces: Sequence[Polynomial]) -> tuple[Polynomial, ...]:
        """Those that are the largest somewhere in the domain; none where the largest is not the peak at a size held out."""
        draw = random.Random(SEED)
        corners = list(product(*({domain[name].least, domain[name].most} for name in self.names)))
        points = corners + [tuple(_draw_size(draw, domain[name]) for name in self.names) for _ in range(200)]
        unlike = list({id(piece): piece for piece in pieces}.values())
        best = sorted(
            {max(range(len(unlike)), key=[each.at(point) for each in unlike].__getitem__) for point in points if unlike}
        )
        found = tuple(unlike[at] for at in best)
        for point in points[: len(corners) + WITH_MEMORY]:
            counted = self.count(point, with_memory=True)
            if not found or isinstance(counted, Misfit):
                return ()
            peak = max((value for key, value in counted.items() if key[0] == "memory"), default=None)
            if peak != max(piece.at(point) for piece in found):
                return ()
        return found


def numbers_of(counted: CountedNodes) -> dict[Key, int]:
    """The totals of the nodes, of each operator and of each module."""
    found: dict[Key, int] = {
        ("total", "parameters"): sum(own.parameters for own in counted.weights),
        UNCOUNTED: sum(isinstance(cost, Uncounted) for cost in counted.costs),
    }
    groups: list[tuple[Key, Group]] = [(("total",), Group((), counted.costs))]
    for kind, of in (("operator", lambda cost: (cost.node.key,)), ("module", lambda cost: cost.node.scope[:2])):
        groups += [((kind, "/".join(group.key)), group) for group in group_costs(counted.costs, of)]
    for key, group in groups:
        found[*key, "macs"], found[*key, "flops"] = group.total(MACS), group.total(FLOPS)
        found[*key, "read_bytes"], found[*key, "write_bytes"] = group.traffic.read_bytes, group.traffic.write_bytes
    return found


def memory_of(counted: CountedNodes) -> dict[Key, int]:
    """The memory while each executed node runs; nothing where a shape is not known."""
    try:
        plan = plan_memory(counted.graph)
        # By name: a step that some sizes do without (a transpose of one row) must not move the others.
        return {("memory", node.out.name): nbytes for node, nbytes in zip(plan.nodes, plan.curve, strict=True)}
    except UnknownShape:
        return {}


def _draw_size(draw: random.Random, domain: Domain) -> int:
    """A multiple of the step in the domain: small and large ones are as likely."""
    low, high = domain.least // domain.step, domain.most // domain.step
    size = int((low + 1) * ((high + 1) / (low + 1)) ** draw.random()) - 1
    return domain.step * min(max(size, low), high)
