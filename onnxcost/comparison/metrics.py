"""The figures of a model that are compared, found in a report of the schema ``onnxcost/1``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from onnxcost.conventions import CONVENTIONS
from onnxcost.errors import InputError

Document = Mapping[str, Any]


class Metric(NamedTuple):
    """A figure of a model. ``of`` finds it in a report, and raises KeyError or TypeError where the report has none.

    ``unit`` is "count", "bytes", "seconds", "per second" or ""; ``better`` is "less", "more" or "", where neither is.
    ``is_total`` says that it is a sum over the nodes, and a bound where the report is one.
    """

    title: str
    unit: str
    better: str
    of: Callable[[Document], Any]
    is_total: bool = False


def _total(title: str, unit: str, *keys: str) -> Metric:
    return Metric(title, unit, "less", lambda report: sum(report["totals"][key] for key in keys), True)


def _convention(title: str, name: str) -> Metric:
    return Metric(title, "count", "less", lambda report: report["conventions"][name], True)


def _measured(title: str, unit: str, better: str, key: str, is_total: bool = False) -> Metric:
    return Metric(title, unit, better, lambda report: report["measurement"][key], is_total)


METRICS: Mapping[str, Metric] = {
    "macs": _convention("MACs", "macs"),
    "flops": _convention("FLOPs", "flops"),
    **{name: _convention(name, name) for name in CONVENTIONS if name not in ("macs", "flops")},
    "parameters": _total("Parameters", "count", "parameters"),
    "weight_bytes": _total("Weights", "bytes", "weight_bytes"),
    "peak_activation_bytes": _total("Activations", "bytes", "peak_activation_bytes"),
    "traffic_bytes": _total("Traffic", "bytes", "read_bytes", "write_bytes"),
    "intensity": Metric("Intensity", "", "", lambda report: report["totals"]["intensity"]),
    "operators": Metric("Operators", "count", "", lambda report: len(report["by_operator"])),
    "nodes": Metric("Nodes", "count", "", lambda report: report["model"]["nodes"]),
    "file_bytes": Metric("File", "bytes", "less", lambda report: report["model"]["file_bytes"] or None),
    "latency": Metric("Latency", "seconds", "less", lambda report: report["measurement"]["latency"]["median"]),
    "fps": _measured("FPS", "", "more", "fps"),
    "flops_per_second": _measured("Achieved", "per second", "more", "flops_per_second", is_total=True),
    "peak_rss_bytes": _measured("Peak RSS", "bytes", "less", "peak_rss_bytes"),
}
"""In the order in which they are shown, under the names of the schema where it has one."""

MEASURED = ("latency", "fps", "flops_per_second", "peak_rss_bytes")
"""The metrics that a model has only when it is run."""


def metric_named(name: str) -> Metric:
    """The metric of that name; raises InputError with the nearest name, or those there are."""
    if name in METRICS:
        return METRICS[name]
    from difflib import get_close_matches

    near = get_close_matches(name, METRICS, 1)
    raise InputError(
        f"there is no metric '{name}': " + (f"is '{near[0]}' meant?" if near else f"there are {', '.join(METRICS)}")
    )


def directed(names: Sequence[str], option: str) -> tuple[str, ...]:
    """The names, all of metrics in which one model can be better than another; raises InputError for others."""
    for name in names:
        if not metric_named(name).better:
            which = ", ".join(name for name, metric in METRICS.items() if metric.better)
            raise InputError(f"{option}: neither more nor less of '{name}' is better; there are {which}")
    return tuple(names)
