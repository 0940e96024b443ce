"""How the cost of a model scales with its open dims: exact polynomials, and the sizes that they hold for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from onnxcost.errors import InputError, OnnxCostError, did_you_mean
from onnxcost.estimator import count_graph, without_collection
from onnxcost.formulas import select_formulas
from onnxcost.formulas.table import FormulaTable
from onnxcost.frontend import ResizableModel
from onnxcost.frontend.fitting import FITTED
from onnxcost.graph import BoundDim
from onnxcost.results import Result, make_document
from onnxcost.spec import ModelSource, ModelSpec
from onnxcost.symbolic.counter import SizeCounter
from onnxcost.symbolic.floors import Floor
from onnxcost.symbolic.keys import PEAK, Key
from onnxcost.symbolic.lines import Domain
from onnxcost.symbolic.polynomial import Polynomial
from onnxcost.symbolic.search import Found, find_formulas

MOST_DIMS = 8
"""Dims that vary together: each at least doubles the number of sizes that are counted."""
SAMPLES = 100
"""The number of sizes of a dim at which the largest piece of the peak is found; pieces that are the largest only between two
of them are missed."""


@dataclass(frozen=True, repr=False)
class Scaling(Result):
    """The cost of a model as polynomials in the sizes of ``dims``.

    ``formulas`` have keys like ("total", "macs"), ("operator", "Conv", "flops") or ("module", "encoder", "flops"); they are
    polynomials in the dims and, if the model has strides, in ``floors`` of them.
    ``pieces`` are the candidates for the peak activation memory, which is the largest of them at each size; there are none if
    it is not a maximum of polynomials. ``base`` are the default sizes of the dims, ``bound`` is that of the report. ``fixed``
    are the sizes of the other dims, given or assumed. The formulas were equal to the counts at ``verified`` further sizes;
    ``evaluations`` is how often the model was counted.
    """

    model: str
    dims: tuple[str, ...]
    bound: str
    evaluations: int
    fixed: Mapping[str, int]
    formulas: Mapping[Key, Polynomial]
    pieces: tuple[Polynomial, ...]
    floors: tuple[Floor, ...]
    domain: Mapping[str, Domain]
    base: Mapping[str, int]
    verified: int
    notes: tuple[str, ...] = ()

    def formula(self, metric: str) -> Polynomial:
        """The polynomial of a metric of the whole model; raises InputError for another name."""
        if (found := self.formulas.get(("total", metric))) is None:
            known = [key[1] for key in self.formulas if key[0] == "total"]
            raise InputError(
                f"there is no formula for '{metric}'{did_you_mean(metric, known) or ': choose from ' + ', '.join(known)}"
            )
        return found

    def at(self, /, **sizes: int) -> dict[str, int]:
        """The totals at sizes of the dims; those that are not given have their base size.

        Raises InputError for another dim, and for a size outside the domain, with the reason.
        """
        for name, size in sizes.items():
            if name not in self.dims:
                raise InputError(f"there is no free dim '{name}'{did_you_mean(name, self.dims)}")
            if size not in self.domain[name]:
                reasons = "".join(f"; {reason}" for reason in self.domain[name].reasons)
                raise InputError(f"{name} = {size} is outside the domain: {self.domain[name]}{reasons}")
        point = self._point(sizes)
        found = {key[1]: int(each.at(point)) for key, each in self.formulas.items() if key[0] == "total"}
        return found | ({PEAK: max(int(piece.at(point)) for piece in self.pieces)} if self.pieces else {})

    def _point(self, sizes: Mapping[str, int]) -> list[int]:
        """The values of the formulas' variables: the dims, and the floors of them."""
        full = {**self.base, **sizes}
        return [*(full[name] for name in self.dims), *(floor.at(full[floor.dim]) for floor in self.floors)]

    def growth(self, metric: str, dim: str) -> str:
        """The degree in words: "linear in batch", "quadratic in sequence, dominated by sequence² from 4,608 on", the other dims
        at their base.
        """
        means = {dim: (Fraction(0), Fraction(1)), **{str(floor): floor.mean for floor in self.floors if floor.dim == dim}}
        others = {**self.base, **{str(floor): floor.at(self.base[floor.dim]) for floor in self.floors}}
        factors = self.formula(metric).along(means, others)
        degree = len(factors) - 1
        if degree == 0:
            return f"does not depend on {dim}"
        word = {1: "linear", 2: "quadratic", 3: "cubic"}.get(degree, f"of degree {degree}")
        if degree < 2 or factors[degree] <= 0 or factors[degree - 1] <= 0:
            return f"{word} in {dim}"
        crossing = factors[degree - 1] / factors[degree]
        about = "about " if any(floor.dim == dim for floor in self.floors) else ""
        highest = Polynomial((dim,), {(degree,): Fraction(1)})
        return f"{word} in {dim}, dominated by {highest} from {about}{-(-crossing.numerator // crossing.denominator):,} on"

    def crossings(self, dim: str) -> list[tuple[int, int]]:
        """The sizes of a dim from which on another one of the ``pieces`` is the largest, with its index; the other dims are at
        their base.
        """
        domain = self.domain[dim]

        def largest(at: int) -> int:
            values = [piece.at(self._point({dim: at * domain.step})) for piece in self.pieces]
            return values.index(max(values))

        low, high = domain.least // domain.step, domain.most // domain.step
        found = [(domain.least, largest(low))]
        for size in sorted({high, *(round(low * (high / low) ** (at / SAMPLES)) for at in range(1, SAMPLES))}):
            while (last := found[-1][1]) != largest(size):
                outside = size
                while outside - low > 1:
                    middle = (low + outside) // 2
                    low, outside = (middle, outside) if largest(middle) == last else (low, middle)
                low = outside
                found.append((low * domain.step, largest(low)))
            low = size
        return found

    def to_dict(self) -> dict[str, Any]:
        """A document of the schema ``onnxcost/1``; coefficients are strings, because they may be fractions."""
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
                "fixed": dict(self.fixed),
                "floors": [{"text": str(floor), **floor._asdict()} for floor in self.floors],
                "bound": self.bound,
                "verified": self.verified,
                "evaluations": self.evaluations,
                "totals": {key[1]: _describe(each) for key, each in self.formulas.items() if key[0] == "total"},
                "by_operator": self._records("operator"),
                "by_module": self._records("module"),
                PEAK: [_describe(piece) for piece in self.pieces],
                "crossings": {
                    name: [{"least": size, "piece": piece} for size, piece in self.crossings(name)] if self.pieces else []
                    for name in self.dims
                },
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
        """One row for each metric and term: what is counted, the exponents of the dims, and the coefficient."""
        return [
            {"of": "/".join(key), **dict(zip(each.dims, exponents, strict=True)), "coefficient": str(factor)}
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
    """Express the cost of ``model`` as exact polynomials in the dims ``over``, by default all open dims.

    ``over`` are names of dims, or a mapping of names to the smallest and largest size. The other arguments are those of
    ``estimate``. Raises InputError for an unknown dim, ModelError like ``estimate``, and OnnxCostError if no polynomial
    describes the cost, with the sizes that show it.
    """
    return scale_spec(ModelSpec.of(model, shapes, dims, values, trips), over, formulas)


def scale_spec(
    spec: ModelSpec, over: Sequence[str] | Mapping[str, tuple[int, int]] = (), formulas: FormulaTable | None = None
) -> Scaling:
    """``scaling`` of a spec."""
    spec = spec.read_inputs()
    with without_collection():
        model = ResizableModel(spec)
        table = select_formulas(model.operators) if formulas is None else formulas
        first = count_graph(model.read({}, table), table)
        free = {dim.name: dim for dim in first.graph.dims if dim.source == "assumed"}
        names = tuple(over) or _leading(model, table, free)
        if len(over) > MOST_DIMS:
            raise InputError(f"{len(over)} dims vary; the maximum is {MOST_DIMS}")
        for name in names:
            if name not in free:
                known = (
                    f": {', '.join(free)} are"
                    if free
                    else ": the model has none left (--dim fixes one, and --shape all dims of an input)"
                )
                raise InputError(f"'{name}' is not a free dim of the model{did_you_mean(name, free) or known}")
        if not names:
            raise InputError("the model has no open dims, so its cost is constant")
        ranges = dict(over) if isinstance(over, Mapping) else {}
        names, is_cut = names[:MOST_DIMS], len(names) > MOST_DIMS
        rest = free.keys() - {*names}
        followers = set().union(*(_move(model, table, free, name) for name in names if rest))
        fixed = {name: free[name].value for name in free if name in rest - followers and not free[name].is_unnamed}
        counter = SizeCounter(model, table, names, {name: free[name].value for name in names}, ranges, fixed)
        try:
            counter, found = find_formulas(counter, are_given=bool(over))
        except OnnxCostError as error:
            if over:
                raise
            counter, found = _leave_dims_out(counter, free, error)
    if is_cut:
        found = found._replace(
            notes=(f"more than {MOST_DIMS} dims are open; the others keep their assumed sizes", *found.notes)
        )
    path = first.graph.path or first.graph.name
    found = found._replace(notes=(*found.notes, *(each.text for each in first.caveats if each.kind != "note")))
    fixed = {dim.name: dim.value for dim in first.graph.dims if dim.source == "given" or dim.name in counter.fixed}
    return Scaling(path, counter.names, first.bound, len(counter.known), fixed, *found)


def _leave_dims_out(counter: SizeCounter, free: Mapping[str, BoundDim], error: OnnxCostError) -> tuple[SizeCounter, Found]:
    """The formulas without the dims whose size follows from the graph, like that of a head in a cache, or else without one dim.
    Raises the ``error`` if that does not help.
    """
    fitted = tuple(name for name in counter.names if free[name].reason.startswith(FITTED))
    for left_out in (fitted, *((name,) for name in reversed(counter.names))):
        if 0 < len(left_out) < len(counter.names):
            with suppress(OnnxCostError):
                less, found = find_formulas(counter.fix(left_out), are_given=False)
                stay = " and ".join(f"{name} stays {free[name].value}" for name in left_out)
                return less, found._replace(notes=(f"{stay}: {error}", *found.notes))
    raise error


def _leading(model: ResizableModel, formulas: FormulaTable, free: Mapping[str, BoundDim]) -> tuple[str, ...]:
    """The open dims, up to one more than MOST_DIMS, without those that have to be equal to another one, and those that follow
    one without a symbol, as the batch of a state follows the input's.
    """
    leaders, followers = list[str](), set[str]()
    for name, dim in free.items():
        if name in followers:
            continue
        leaders.append(name)
        if len(leaders) > MOST_DIMS:
            break
        moved = _move(model, formulas, free, name) if len(free) > 1 else {}
        for other in moved.keys() - {name}:
            if dim.is_unnamed or not _fits(model, formulas, {**moved, other: free[other].value}):
                followers.add(other)
    return tuple(name for name in leaders if name not in followers)


def _move(model: ResizableModel, formulas: FormulaTable, free: Mapping[str, BoundDim], name: str) -> dict[str, int]:
    """Another size of an open dim, and the sizes of others that are assumed with it; empty if the model does not fit."""
    try:
        dims = model.read({name: free[name].value + 1}, formulas).dims
    except OnnxCostError:
        return {}
    return {each.name: each.value for each in dims if each.name in free and each.value != free[each.name].value}


def _fits(model: ResizableModel, formulas: FormulaTable, sizes: Mapping[str, int]) -> bool:
    try:
        model.read(sizes, formulas)
    except OnnxCostError:
        return False
    return True
