"""How much more a model may cost than the first one: the limits of a gate, and what exceeds them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from onnxcost.comparison.candidates import Candidate, Comparison, Number, find_metric
from onnxcost.documents import UNITS, parse_quantity
from onnxcost.errors import InputError


class Limit(NamedTuple):
    """A metric may grow by ``amount``, or by that share of the first model's value if ``is_relative``; ``text`` is as given."""

    metric: str
    amount: float
    is_relative: bool
    text: str


class Excess(NamedTuple):
    """A limit that a model exceeds, and the values."""

    limit: Limit
    label: str
    before: Number
    after: Number


def parse_limit(metric: str, text: str) -> Limit:
    """The limit for ``flops`` and ``1%``, or ``weight_bytes`` and ``1MiB``.

    Raises InputError for a metric of which more is better, and for a text that is not a limit of the metric.
    """
    named = find_metric(metric)
    if named.better == "more":
        raise InputError(f"--max-increase {metric}: more of it is better; limit latency or memory instead")
    units = {"%": 0.01, **UNITS[named.unit]}
    amount = parse_quantity(text, units)
    if amount is None:
        there = ", ".join(f"5{unit}" for unit in units)
        raise InputError(f"--max-increase {metric}={text}: a limit is a number and a unit, one of {there}")
    return Limit(metric, amount, text.strip().endswith("%"), text.strip())


def find_excesses(comparison: Comparison, limits: Sequence[Limit]) -> list[Excess]:
    """What exceeds its limit, for the models whose metrics are known."""
    found = (_excess(limit, comparison, model) for limit in limits for model in comparison.others)
    return [excess for excess in found if excess is not None]


def _excess(limit: Limit, comparison: Comparison, model: Candidate) -> Excess | None:
    before, after = comparison.baseline.values.get(limit.metric), model.values.get(limit.metric)
    if before is None or after is None:
        return None
    if limit.metric == "latency" and model.ratio:
        after = before if model.ratio.is_undecided else before * model.ratio.value
    is_within = after - before <= limit.amount * (before if limit.is_relative else 1)
    return None if is_within else Excess(limit, model.label, before, after)


def find_unchecked(comparison: Comparison, limits: Sequence[Limit]) -> dict[str, list[str]]:
    """The metrics with a limit that some models lack, and the labels of those models."""
    models = (comparison.baseline, *comparison.others)
    lacking = {limit.metric: [model.label for model in models if limit.metric not in model.values] for limit in limits}
    return {metric: labels for metric, labels in lacking.items() if labels}


def find_bounded(comparison: Comparison, limits: Iterable[Limit]) -> list[tuple[str, str]]:
    """The metrics with a limit whose values are bounds, not exact, and the labels of those models."""
    models = (comparison.baseline, *comparison.others)
    return [(limit.metric, model.label) for limit in limits for model in models if model.bound_of(limit.metric)]
