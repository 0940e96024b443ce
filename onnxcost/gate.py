"""How much more a model may cost than the first one: the limits of a gate, and what is over them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from onnxcost.comparison import Candidate, Comparison, Number
from onnxcost.errors import InputError
from onnxcost.metrics import METRICS, metric_named

_SI: Mapping[str, float] = {"": 1, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
_BINARY: Mapping[str, float] = {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
UNITS: Mapping[str, Mapping[str, float]] = {
    "count": _SI,
    "bytes": {"": 1, **{f"{prefix}B": size for prefix, size in _SI.items()}, **_BINARY},
    "seconds": {"": 1, "s": 1, "ms": 1e-3, "us": 1e-6, "µs": 1e-6},
    "": {"": 1},
}
"""The units that a limit may have, by the metric's unit."""


class Limit(NamedTuple):
    """A metric may grow by ``amount``, a share of the first model's value where ``is_relative``; ``text`` is as given."""

    metric: str
    amount: float
    is_relative: bool
    text: str


class Excess(NamedTuple):
    """A limit that a model is over, and the values."""

    limit: Limit
    label: str
    before: Number
    after: Number


def limit_of(metric: str, text: str) -> Limit:
    """``flops`` and ``1%``, ``weight_bytes`` and ``1MiB``; raises InputError for what is no limit of that metric."""
    named = metric_named(metric)
    if named.better == "more":
        raise InputError(f"--max-increase {metric}: more of it is better; of latency and memory less is")
    units = {"%": 0.01, **UNITS[named.unit]}
    parts = re.fullmatch(r"(\d+(?:\.\d*)?|\.\d+)\s*(\D*)", text.strip())
    if parts is None or parts[2] not in units:
        there = ", ".join(f"5{unit}" for unit in units)
        raise InputError(f"--max-increase {metric}={text}: a limit is a number and a unit, one of {there}")
    return Limit(metric, float(parts[1]) * units[parts[2]], parts[2] == "%", text.strip())


def excesses(comparison: Comparison, limits: Sequence[Limit]) -> list[Excess]:
    """What grew over its limit. Raises InputError where a model lacks a metric that a limit is on."""
    models = (comparison.baseline, *comparison.others)
    for limit in limits:
        if lacking := [model.label for model in models if limit.metric not in model.values]:
            raise InputError(f"--max-increase {limit.metric}: {', '.join(lacking)} has no {METRICS[limit.metric].title}")
    return [
        Excess(limit, model.label, comparison.baseline.values[limit.metric], model.values[limit.metric])
        for limit in limits
        for model in comparison.others
        if _is_over(limit, comparison.baseline, model)
    ]


def _is_over(limit: Limit, baseline: Candidate, model: Candidate) -> bool:
    if limit.metric == "latency" and model.is_undecided:
        return False
    before, after = baseline.values[limit.metric], model.values[limit.metric]
    return after - before > limit.amount * (before if limit.is_relative else 1)


def bounded(comparison: Comparison, limits: Iterable[Limit]) -> list[tuple[str, str]]:
    """The metrics under a limit that are no exact numbers, and whose."""
    models = (comparison.baseline, *comparison.others)
    return [(limit.metric, model.label) for limit in limits for model in models if model.bound_of(limit.metric)]
