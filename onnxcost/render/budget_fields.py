"""The columns of a budget's tables."""

from __future__ import annotations

from collections.abc import Callable

from onnxcost.prediction import Verdict
from onnxcost.render.budget_text import LIMITED, causes_text, need_text, price_text, remedy_text, rough, span_text, tightest
from onnxcost.render.glyphs import Glyphs
from onnxcost.render.layout import Column
from onnxcost.render.units import binary

Field = tuple[Column, Callable[[Verdict, Glyphs], str]]


def _price(verdict: Verdict, glyphs: Glyphs) -> str:
    return price_text(verdict) or glyphs.none


def _bound(verdict: Verdict, glyphs: Glyphs) -> str:
    bound = verdict.prediction.bound
    return glyphs.none if bound is None else rough(1e3 * bound)


def _left(verdict: Verdict, glyphs: Glyphs) -> str:
    headroom = tightest(verdict.fits).headroom
    return glyphs.none if headroom is None else binary(headroom)


def _energy(verdict: Verdict, glyphs: Glyphs) -> str:
    return glyphs.none if verdict.energy is None else glyphs.at_most + rough(verdict.energy)


def _most(name: str) -> Callable[[Verdict, Glyphs], str]:
    def text(verdict: Verdict, glyphs: Glyphs) -> str:
        value = getattr(verdict.cache, name, None)
        return glyphs.none if value is None else f"{value:,}"

    return text


FIELDS: tuple[Field, ...] = (
    (Column("Price"), _price),
    (Column("FPS"), lambda verdict, glyphs: span_text(verdict.prediction.fps, none=glyphs.none)),
    (Column("Latency, ms"), lambda verdict, glyphs: span_text(verdict.prediction.latency, 1e3, glyphs.none)),
    (Column("Bound, ms", drop=6), _bound),
    (Column("Memory", drop=1), lambda verdict, glyphs: need_text(tightest(verdict.fits), glyphs.none)),
    (Column("Left", drop=5), _left),
    (Column("Energy, J", drop=4), _energy),
)
CACHE_FIELDS: tuple[Field, ...] = (
    (Column("Tokens", drop=1), _most("most_context")),
    (Column("Batch", drop=1), _most("most_batch")),
)
LIMIT: Field = (Column("Limited by", right=False, drop=2), lambda verdict, _: LIMITED.get(verdict.prediction.limit, ""))
REASONS: tuple[Field, ...] = (
    (Column("Price", drop=2), _price),
    (Column("Why", right=False, shrinks_to=20), lambda verdict, _: causes_text(verdict)),
    (Column("What would fit", right=False, shrinks_to=24, drop=1), lambda verdict, glyphs: remedy_text(verdict, glyphs.none)),
)
