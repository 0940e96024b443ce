"""The runs of one model, each with a longer cache than the previous one: the dims that grow, and the sum of the costs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import comb
from typing import Any, NamedTuple

from onnxcost.analysis.batch import BatchDim, batch_of
from onnxcost.errors import InputError, UnreadableFile, did_you_mean
from onnxcost.generation.decoder import NEW, PAST, SOURCE, TOTAL, Decoder, StepSizes, read_decoder
from onnxcost.graph import BoundDim
from onnxcost.report import CostReport
from onnxcost.spec import ModelSpec


class Growth(NamedTuple):
    """A dim that is ``start`` in the first run and larger by ``step`` in each further one.

    ``option`` sets the start on the command line if it is assumed, "" if it was given.
    """

    name: str
    start: int
    step: int
    option: str = ""

    def at(self, run: int) -> int:
        """Its size in a run, counted from 0."""
        return self.start + self.step * run

    def to_dict(self, runs: int) -> dict[str, Any]:
        """An entry of the key ``grows``."""
        return {"dim": self.name, "first": self.start, "last": self.at(runs - 1), "assumed": bool(self.option)}


@dataclass(frozen=True, slots=True)
class Steps:
    """The specs of a model in each of its runs: ``growth`` are the dims that grow, of the cache of ``decoder`` or others.

    ``sizes`` are those of the first step of the decoder, ``open_dims`` the other dims in the model. ``assumed`` are the dims
    that neither the runs nor the user determine.
    """

    spec: ModelSpec
    growth: tuple[Growth, ...] = ()
    open_dims: tuple[BatchDim, ...] = ()
    decoder: Decoder | None = None
    sizes: StepSizes | None = None
    assumed: tuple[BoundDim, ...] = ()

    def spec_at(self, run: int) -> ModelSpec:
        """The spec of a run, counted from 0."""
        spec = self.spec
        if self.decoder is not None and self.sizes is not None:
            return self.decoder.spec_at(spec, self.sizes._replace(past=self.sizes.past + run))
        for growth, dims in zip(self.growth, self.open_dims, strict=True):
            spec = replace(spec, **dims.at(growth.at(run), spec.shapes, spec.dims))
        return spec


def find_steps(spec: ModelSpec, report: CostReport, runs: int = 2, grows: Mapping[str, int] | None = None) -> Steps:
    """The runs of a model; ``report`` is its estimate.

    The dims in ``grows`` grow by these amounts per run. Without it, a cache grows by one token per run, from an empty one
    unless its length was given, and each run takes one new token unless their number was given. Raises InputError for a dim in
    ``grows`` that is not open.
    """
    graph = report.graph
    assumed = tuple(dim for dim in graph.dims if dim.source == "assumed")
    if grows is not None:
        inputs = {tensor.name: tensor.shape for tensor in graph.inputs if tensor.is_shaped}
        by_name = {dim.name: dim for dim in graph.dims if dim.places}
        for name in grows:
            if name not in by_name:
                raise InputError(f"grows: there is no open dim '{name}'{did_you_mean(name, by_name)}")
        growth = tuple(Growth(name, by_name[name].value, step, _option(by_name[name])) for name, step in grows.items())
        open_dims = tuple(BatchDim(by_name[name].value, (by_name[name],), inputs) for name in grows)
        return Steps(spec, growth, open_dims, assumed=tuple(dim for dim in assumed if dim.name not in grows))
    decoder = None
    if runs > 1:
        try:
            decoder = read_decoder(spec)
        except UnreadableFile:
            raise
        except InputError:
            pass
    by_role = {role: [dim for dim in graph.dims if decoder and decoder.roles.get(dim.name) == role] for role in ROLES}
    if decoder is None or not by_role[PAST]:
        return Steps(spec, assumed=assumed)
    past, caches = by_role[PAST][0], {cache.past.name for cache in decoder.caches}
    sizes = StepSizes(
        batch_of(graph),
        next((dim.value for dim in by_role[NEW] if dim.source == "given"), 1),
        past.value if past.source != "assumed" else 0,
        next((dim.value for dim in by_role[SOURCE]), 0),
    )
    decided = {dim.name for role in (NEW, PAST, TOTAL) for dim in by_role[role]}
    # The settings that differ between the runs are given for each of them.
    shapes = {name: shape for name, shape in spec.shapes.items() if name not in caches}
    own = replace(spec, shapes=shapes, dims={name: size for name, size in spec.dims.items() if name not in decided})
    growth = (Growth(past.name, sizes.past, 1, _option(past)),)
    return Steps(own, growth, (), decoder, sizes, tuple(dim for dim in assumed if dim.name not in decided))


ROLES = (NEW, PAST, TOTAL, SOURCE)
"""The roles of a decoder's dims whose sizes depend on the run."""


def _option(dim: BoundDim) -> str:
    return dim.option if dim.source == "assumed" else ""


class Summed(NamedTuple):
    """The sums of some figures over all runs, and the largest peak of the activations, None if one is unknown. ``counted`` runs
    were counted individually. Between them, each figure is a polynomial of degree 2 that counted runs confirm; without
    ``is_exact``, some runs are interpolated because no polynomial fits.
    """

    totals: tuple[int, ...]
    peak: int | None
    counted: int
    is_exact: bool = True


Figures = tuple[int, ...]
FEW = 8
"""Up to this many runs are counted individually."""
ALONE = 2
"""The first runs of more, which are counted individually: a cache that is empty or has one token may be broadcast, or left out.
"""
MOST_COUNTED = 128
"""After this many counted runs, the others are interpolated between the ends of each range."""


def sum_runs(figures_at: Callable[[int], Figures], runs: int) -> tuple[Figures, bool, list[int]]:
    """The sum of the figures of all runs, whether it is exact, and the runs that were counted."""
    known: dict[int, Figures] = {}

    def at(run: int) -> Figures:
        if run not in known:
            known[run] = figures_at(run)
        return known[run]

    alone = runs if runs <= FEW else ALONE
    parts, waiting, is_exact = [at(run) for run in range(alone)], [(alone, runs)] if alone < runs else [], True
    while waiting:
        first, end = waiting.pop()
        many, middle = end - first, (first + end) // 2
        has_room = len(known) + FEW <= MOST_COUNTED
        if many > FEW:
            checks = {run - first: at(run) for run in (middle, end - 1)}
            found = _sum_smooth([at(first + index) for index in range(3)], checks, many)
            if found is not None:
                parts.append(found)
                continue
        if has_room and many > FEW:
            waiting += [(middle, end), (first, middle)]
        elif has_room:
            parts += [at(run) for run in range(first, end)]
        else:
            is_exact = False
            parts.append(tuple((low + high) * many // 2 for low, high in zip(at(first), at(end - 1), strict=True)))
    return tuple(map(sum, zip(*parts, strict=True))), is_exact, sorted(known)


def _sum_smooth(start: Sequence[Figures], checks: Mapping[int, Figures], runs: int) -> Figures | None:
    """The sum over ``runs`` of the polynomials through the first three; None if those miss the checks, by run."""
    differences = [(a, b - a, c - 2 * b + a) for a, b, c in zip(*start, strict=True)]
    for run, figures in checks.items():
        if figures != tuple(a + run * d1 + comb(run, 2) * d2 for a, d1, d2 in differences):
            return None
    # The sum of C(n, k) over n < N is C(N, k + 1).
    return tuple(runs * a + comb(runs, 2) * d1 + comb(runs, 3) * d2 for a, d1, d2 in differences)
