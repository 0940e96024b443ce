"""The models of a comparison, their labels and metrics, their ranking and the Pareto front."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, NamedTuple

from onnxcost.comparison.agreement import Agreement
from onnxcost.conventions import CONVENTIONS
from onnxcost.errors import InputError, did_you_mean
from onnxcost.remote.urls import redact
from onnxcost.results import Result, make_document

if TYPE_CHECKING:
    from onnxcost.runtime.interleaved import Ratio

Document = Mapping[str, Any]


class Metric(NamedTuple):
    """A figure of a model. ``of`` reads it from a report, and raises KeyError or TypeError if the report lacks it.

    ``unit`` is "count", "bytes", "seconds", "per second" or ""; ``better`` is "less", "more" or "" for neither. ``is_total``
    says that the figure is a sum over the nodes, and so a bound if the report's totals are bounds.
    """

    title: str
    unit: str
    better: str
    of: Callable[[Document], Any]
    is_total: bool = False


def _total_metric(title: str, unit: str, *keys: str) -> Metric:
    return Metric(title, unit, "less", lambda report: sum(report["totals"][key] for key in keys), True)


def _convention_metric(title: str, name: str) -> Metric:
    return Metric(title, "count", "less", lambda report: report["conventions"][name], True)


def _latency_metric(title: str, unit: str, better: str, key: str, is_total: bool = False) -> Metric:
    return Metric(title, unit, better, lambda report: report["measurement"][key], is_total)


METRICS: Mapping[str, Metric] = {
    "macs": _convention_metric("MACs", "macs"),
    "flops": _convention_metric("FLOPs", "flops"),
    **{name: _convention_metric(name, name) for name in CONVENTIONS if name not in ("macs", "flops")},
    "parameters": _total_metric("Parameters", "count", "parameters"),
    "weight_bytes": _total_metric("Weights", "bytes", "weight_bytes"),
    "peak_activation_bytes": _total_metric("Activations", "bytes", "peak_activation_bytes"),
    "traffic_bytes": _total_metric("Traffic", "bytes", "read_bytes", "write_bytes"),
    "intensity": Metric("Intensity", "", "", lambda report: report["totals"]["intensity"]),
    "operators": Metric("Operators", "count", "", lambda report: len(report["by_operator"])),
    "nodes": Metric("Nodes", "count", "", lambda report: report["model"]["nodes"]),
    "file_bytes": Metric("File", "bytes", "less", lambda report: report["model"]["file_bytes"] or None),
    "latency": Metric("Latency", "seconds", "less", lambda report: report["measurement"]["latency"]["median"]),
    "fps": _latency_metric("FPS", "", "more", "fps"),
    "flops_per_second": _latency_metric("Achieved", "per second", "more", "flops_per_second", is_total=True),
    "peak_rss_bytes": _latency_metric("Peak RSS", "bytes", "less", "peak_rss_bytes"),
}
"""In the order of display, under the names of the schema if it has one."""

CONDITIONS: Mapping[str, str] = {
    "Device": "{}", "Provider": "{}", "onnxruntime": "onnxruntime {}", "Threads": "{} threads", "Batch": "batch {}",
    "Memory": "{} of memory", "Cores": "{} cores", "Clock": "up to {}", "Governor": "governor {}", "Platform": "{}",
}  # fmt: skip
"""What a latency depends on in addition to the model, and its title in a list."""
DATE = "Date"

SPEEDS = ("latency", "fps", "flops_per_second")
"""The metrics that follow from the latency."""
MEASURED = (*SPEEDS, "peak_rss_bytes")
"""The metrics that exist only for a model that was run."""


def find_metric(name: str) -> Metric:
    """The metric of that name; raises InputError with the closest name, or with all names."""
    if name in METRICS:
        return METRICS[name]
    hint = did_you_mean(name, METRICS) or f": choose from {', '.join(METRICS)}"
    raise InputError(f"there is no metric '{name}'{hint}")


def check_directions(names: Sequence[str], option: str) -> tuple[str, ...]:
    """The names as a tuple; raises InputError for a metric in which no model is better than another."""
    for name in names:
        if not find_metric(name).better:
            which = ", ".join(name for name, metric in METRICS.items() if metric.better)
            raise InputError(f"{option}: more '{name}' is neither better nor worse; choose from {which}")
    return tuple(names)


Number = int | float


@dataclass(frozen=True, slots=True)
class CostedOperator:
    """The sum over an operator's nodes. ``nodes`` includes the ``uncounted`` ones; the other figures do not."""

    operator: str
    nodes: int = 0
    uncounted: int = 0
    count: int = 0
    parameters: int = 0
    traffic: int = 0


@dataclass(frozen=True, slots=True)
class CostedNode:
    """A counted node: the shapes of its inputs and of its first output, and what its ``repeat`` executions cost together.

    ``count`` is its work in the convention in which the models are compared, ``parameters`` those that no earlier node reads,
    ``reads`` the names of the inputs and ``makes`` those of the outputs.
    """

    name: str
    operator: str
    inputs: tuple[tuple[int, ...], ...]
    output: tuple[int, ...]
    macs: int
    count: int
    traffic: int
    repeat: int = 1
    parameters: int = 0
    reads: tuple[str, ...] = ()
    makes: tuple[str, ...] = ()


class Cost(NamedTuple):
    """The lower and the upper bound of a cost."""

    least: Number
    most: Number


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model that is compared: ``values`` are its known metrics, by their names in METRICS.

    ``bound`` is as in ``CostReport.bound``. ``conditions`` are what its latency depends on, by the names in CONDITIONS, and
    the day of the measurement under DATE.
    ``ratio`` is its latency over the first model's, if the two were timed interleaved; ``unmeasured`` says why its measurement
    failed, ``interrupted`` that it ended with Ctrl-C. ``agreement`` compares its outputs with another model's, if outputs were
    checked.
    """

    label: str
    values: Mapping[str, Number]
    bound: str = ""
    inputs: tuple[str, ...] = ()
    operators: tuple[CostedOperator, ...] = ()
    nodes: tuple[CostedNode, ...] = ()
    conditions: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    ratio: Ratio | None = None
    unmeasured: str = ""
    interrupted: bool = False
    agreement: Agreement | None = None

    def bound_of(self, metric: str) -> str:
        """What the value is: "" for exact, "lower", "upper" or "mixed"."""
        if metric in ("parameters", "weight_bytes") and self.bound == "upper":
            return ""
        return self.bound if METRICS[metric].is_total else ""

    def cost(self, metric: str) -> Cost:
        """The bounds of the value, negated if more is better."""
        value, bound = self.values[metric], self.bound_of(metric)
        least, most = (value if bound in ("", kind) else limit for kind, limit in (("lower", -inf), ("upper", inf)))
        return Cost(-most, -least) if METRICS[metric].better == "more" else Cost(least, most)

    def timed_beside(self, baseline: Candidate) -> Candidate:
        """The model with the latency that follows from its ratio to the baseline's, and the rates that follow from that
        latency.

        Its own median is of the same runs, but may be of other rounds than the baseline's: it could contradict the ratio.
        """
        latency, base = self.values.get("latency"), baseline.values.get("latency")
        if self is baseline or self.ratio is None or not latency or not base:
            return self
        longer = base * self.ratio.value / latency
        speeds = {name: self.values[name] / longer for name in SPEEDS if name in self.values}
        return replace(self, values={**self.values, **speeds, "latency": latency * longer})

    def done(self, metric: str) -> float:
        """The number of items or operations of a rate in one run."""
        return self.values[metric] * self.values["latency"]

    @property
    def is_undecided(self) -> bool:
        """Whether its latency was compared with the first model's and no difference was found."""
        return self.ratio is not None and self.ratio.is_undecided


class Broken(NamedTuple):
    """A model that could not be compared, with the reason."""

    label: str
    reason: str

    @property
    def text(self) -> str:
        """The label and the reason."""
        return self.reason if self.label in self.reason else f"{self.label}: {self.reason}"


@dataclass(frozen=True, slots=True, repr=False)
class Comparison(Result):
    """Models in the order of display; ``baseline``, one of them, is what the others are compared with.

    ``convention`` is the name of the convention in which work is counted; ``sort`` and ``pareto`` are names of metrics.
    """

    baseline: Candidate
    candidates: tuple[Candidate, ...]
    broken: tuple[Broken, ...] = ()
    convention: str = "flops"
    sort: str | None = None
    pareto: tuple[str, ...] = ()

    @property
    def others(self) -> tuple[Candidate, ...]:
        """All models except the baseline."""
        return tuple(candidate for candidate in self.candidates if candidate is not self.baseline)

    @property
    def metrics(self) -> list[str]:
        """The metrics to show: those that any model has, and of the conventions only the requested ones."""
        asked = {"macs", "flops", self.convention, self.sort, *self.pareto}
        return [name for name in METRICS if (name not in CONVENTIONS or name in asked) and self._having(name)]

    def relative(self, candidate: Candidate, metric: str) -> float | None:
        """The value divided by the baseline's; None if that has no meaning."""
        value, base = candidate.values.get(metric), self.baseline.values.get(metric)
        if value is None or base is None:
            return None
        return value / base if base else 1.0 if value == base else None

    def is_exact(self, candidate: Candidate, metric: str) -> bool:
        """Whether both that value and the baseline's are exact."""
        return not (candidate.bound_of(metric) or self.baseline.bound_of(metric))

    def best(self, metric: str) -> frozenset[str]:
        """The labels of the best models; none if better has no meaning, all are equal, or bounds leave it open."""
        having = self._having(metric)
        if not METRICS[metric].better or len(having) < 2:
            return frozenset()
        if metric in SPEEDS and any(each.ratio for each in having):
            return self._fastest(metric)
        costs = [candidate.cost(metric) for candidate in having]
        first, second = sorted(cost.least for cost in costs)[:2]
        rivals = [second if cost.least == first else first for cost in costs]
        best = {one.label for one, cost, rival in zip(having, costs, rivals, strict=True) if cost.most <= rival}
        return frozenset(best) if len(best) < len(having) else frozenset()

    def _fastest(self, metric: str) -> frozenset[str]:
        """The labels of the models that the ratios' intervals show to be better than the baseline and worse than none of
        these; the baseline's if all others are shown to be worse; else none.
        """
        timed = [each for each in self.others if each.ratio and metric in each.values]
        if metric not in self.baseline.values or not all(self.is_exact(each, metric) for each in timed):
            return frozenset()
        intervals = {}
        for each in timed:
            low, high = (each.ratio and each.ratio.ci95) or (0.0, inf)
            # Of a rate the ratio is that of what is done in a run over that of the latencies.
            done = 1.0 if metric == "latency" else self.baseline.done(metric) / each.done(metric)
            intervals[each.label] = (low * done, high * done)
        faster = {label: interval for label, interval in intervals.items() if interval[1] < 1}
        if not faster:
            return frozenset({self.baseline.label} if all(low > 1 for low, _ in intervals.values()) else ())
        nearest = min(high for _, high in faster.values())
        return frozenset(label for label, (low, _) in faster.items() if low <= nearest)

    @property
    def apart(self) -> tuple[str, ...]:
        """The labels of the models that were not timed together with the baseline."""
        if "latency" not in self.baseline.values:
            return ()
        return tuple(each.label for each in self.others if "latency" in each.values and each.ratio is None)

    @property
    def differing_conditions(self) -> dict[str, list[str]]:
        """The conditions in which latencies differ, and DATE: by name, for each candidate, "" if unknown."""
        measured = [each for each in self.candidates if each.conditions]
        names = [name for name in (*CONDITIONS, DATE) if len({each.conditions.get(name, "") for each in measured}) > 1]
        return {name: [each.conditions.get(name, "") for each in self.candidates] for name in names}

    def front(self) -> frozenset[str]:
        """The labels of the Pareto-optimal models: no other is as good in all metrics of ``pareto`` and better in one."""
        having = [each for each in self.candidates if all(metric in each.values for metric in self.pareto)]
        costs = [[candidate.cost(metric) for metric in self.pareto] for candidate in having]

        def beats(one: Sequence[Cost], other: Sequence[Cost]) -> bool:
            """Whether it is as good in all metrics and better in one, wherever the values lie within their bounds."""
            pairs = [*zip(one, other, strict=True)]
            return all(mine.most <= its.least for mine, its in pairs) and any(mine.most < its.least for mine, its in pairs)

        return frozenset(one.label for one, cost in zip(having, costs, strict=True) if not any(beats(c, cost) for c in costs))

    def to_dict(self) -> dict[str, Any]:
        """A document of the schema ``onnxcost/1`` with the keys ``models`` and ``broken``."""
        best = {name: self.best(name) for name in self.metrics}
        return make_document(
            convention=self.convention,
            baseline=self.baseline.label,
            models=[self._model(model, best) for model in self.candidates],
            broken=[broken._asdict() for broken in self.broken],
        )

    def _model(self, model: Candidate, best: Mapping[str, frozenset[str]]) -> dict[str, Any]:
        checked = any(each.agreement for each in self.candidates)
        return {
            "label": model.label,
            "bound": model.bound,
            "metrics": dict(model.values),
            "relative": {name: self.relative(model, name) for name in model.values},
            "best": [name for name, labels in best.items() if model.label in labels],
            **({"pareto": model.label in self.front()} if self.pareto else {}),
            "latency_ratio": model.ratio and model.ratio.value,
            "latency_ratio_ci95": list(model.ratio.ci95) if model.ratio and model.ratio.ci95 else None,
            "not_measured": model.unmeasured or None,
            "interrupted": model.interrupted,
            **({"outputs": model.agreement and model.agreement.to_dict()} if checked else {}),
            "conditions": [
                text.format(model.conditions[name]) for name, text in CONDITIONS.items() if name in model.conditions
            ],
            "warnings": list(model.notes),
        }

    def to_records(self) -> list[dict[str, Any]]:
        """One row per model: its label, its metrics, and its latency over the first model's."""
        return [
            {"model": each.label, **{name: each.values.get(name) for name in self.metrics}, "bound": each.bound}
            | {"latency_ratio": each.ratio and each.ratio.value}
            for each in self.candidates
        ]

    def summary(self) -> str:
        """The models, the name of the first, and the number that could not be compared."""
        names = ", ".join(each.label for each in self.candidates)
        return f"{names}, against {self.baseline.label}" + (f", {len(self.broken)} broken" if self.broken else "")

    def _having(self, metric: str) -> list[Candidate]:
        return [candidate for candidate in self.candidates if metric in candidate.values]


def rank(candidates: Iterable[Candidate], metric: str) -> tuple[Candidate, ...]:
    """The candidates sorted with the best first, or the least if better has no meaning; those without the metric come last."""
    sign = -1 if METRICS[metric].better == "more" else 1
    return tuple(sorted(candidates, key=lambda each: (metric not in each.values, sign * each.values.get(metric, 0))))


SUFFIXES = (".onnx", ".json")
"""Suffixes that labels leave out."""


def label_paths(paths: Sequence[str]) -> list[str]:
    """The shortest labels that are all different: ``resnet``, ``resnet.onnx``, ``v1/resnet.onnx``, ``resnet (2)``."""
    paths = [*map(redact, paths)]
    names = _shortest(dict.fromkeys(paths, 0))
    seen: Counter[str] = Counter()
    found = []
    for path in paths:
        seen[path] += 1
        found.append(f"{names[path]} ({seen[path]})" if seen[path] > 1 else names[path])
    return found


def _shortest(depths: Mapping[str, int]) -> dict[str, str]:
    """A name for each path: its last ``depths`` parts, and more if two names would be the same."""
    names = {}
    for path, depth in depths.items():
        pure = PurePath(path)
        stem = pure.stem if pure.suffix.lower() in SUFFIXES else pure.name
        names[path] = str(PurePath(*pure.parts[-depth:])) if depth else stem
    often = Counter(names.values())
    deeper = {path: min(depth + (often[names[path]] > 1), len(PurePath(path).parts)) for path, depth in depths.items()}
    return names if deeper == depths else _shortest(deeper)
