"""The figures in the results of boards, by name, so that those of several boards can be compared."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from onnxcost.comparison.candidates import METRICS, Document
from onnxcost.documents import is_figure

MOST = 1e30
"""Larger figures are invalid."""


class BoardFigure(NamedTuple):
    """A figure of a board. ``unit`` is as that of a metric, or "text"; ``is_compared`` says that its ratio to the first board's
    is of interest. ``title`` and ``unit`` are for people, ``key`` is the column in files.
    """

    title: str
    key: str
    unit: str
    value: Any
    is_compared: bool = False


def read_figures(command: str, document: Document) -> dict[str, BoardFigure]:
    """The figures in a result of the command, by their keys. Invalid values are left out."""
    figures: dict[str, BoardFigure] = {}
    with suppress(AttributeError, LookupError, TypeError, ValueError):
        for figure in READERS[command](document):
            if isinstance(figure.value, str) if figure.unit == "text" else is_figure(figure.value) and figure.value <= MOST:
                figures[figure.key] = figure
    return figures


def _machine(found: Document) -> Iterator[BoardFigure]:
    """The device that ran a model, and the settings."""
    environment, threads = found.get("environment") or {}, (found.get("threads") or {}).get("intra")
    yield BoardFigure("Device", "device", "text", found.get("device"))
    yield BoardFigure("Provider", "provider", "text", found["provider"] if found.get("provider") != "cpu" else None)
    yield BoardFigure("onnxruntime", "onnxruntime", "text", found.get("onnxruntime"))
    yield BoardFigure("Threads", "threads", "text", None if threads is None else str(threads))
    yield BoardFigure("Governor", "governor", "text", environment.get("governor"))


def _measured(found: Document, after: str = "", key: str = "") -> Iterator[BoardFigure]:
    """The figures of one measurement; for a series, ``after`` is appended to the titles, ``key`` to the keys."""
    for name in ("latency", "fps", "flops_per_second", "peak_rss_bytes"):
        metric = METRICS[name]
        value = metric.of({"measurement": found})
        yield BoardFigure(metric.title + after, name + key, metric.unit, value, name == "latency")


def _measure(document: Document) -> Iterator[BoardFigure]:
    series = [each for each in document.get("batches") or [document["measurement"]] if each["status"] == "ok"]
    if not series:
        return
    yield from _machine(series[0])
    if "batches" in document:
        for each in series:
            yield from _measured(each, f", batch {each['batch']}", f"_{each['batch']}")
        return
    yield from _measured(series[0])
    yield BoardFigure("Session", "session_seconds", "seconds", series[0]["session_seconds"])
    yield BoardFigure("First run", "first_run_seconds", "seconds", series[0]["first_run_seconds"])


def _profile(document: Document) -> Iterator[BoardFigure]:
    yield from _measure({key: value for key, value in document.items() if key == "measurement"})
    profile = document.get("profile") or {}
    yield BoardFigure("In nodes", "node_seconds", "seconds", profile.get("node_seconds"), True)
    for row in profile.get("by_operator", ()):
        name = f"{row['domain']}.{row['op_type']}" if row["domain"] else str(row["op_type"])
        yield BoardFigure(f"{name} ×{row['nodes']}", f"seconds_{name}", "seconds", row["seconds"], True)


def _compare(document: Document) -> Iterator[BoardFigure]:
    conditions = next((model["conditions"] for model in document["models"] if model["conditions"]), ())
    for title, text in zip(("Device", "Provider", "Runtime", "Threads"), conditions, strict=False):
        yield BoardFigure(title, title.lower(), "text", text)
    for model in document["models"]:
        label, metrics = model["label"], model["metrics"]
        yield BoardFigure(label, f"latency_{label}", "seconds", metrics.get("latency"), True)
        yield BoardFigure(f"{label}, ratio", f"latency_ratio_{label}", "", model["latency_ratio"])
        yield BoardFigure(f"{label}, memory", f"peak_rss_bytes_{label}", "bytes", metrics.get("peak_rss_bytes"))


def _llm(document: Document) -> Iterator[BoardFigure]:
    found = document["generation"]
    yield from _machine(found)
    for each in found.get("contexts", ()):
        at = each["context"]
        yield BoardFigure(f"TTFT, {at}", f"ttft_{at}", "seconds", (each["ttft"] or {}).get("median"), True)
        yield BoardFigure(
            f"Token, {at}", f"seconds_per_token_{at}", "seconds", (each["time_per_token"] or {}).get("median"), True
        )
        yield BoardFigure(f"Tokens/s, {at}", f"tokens_per_second_{at}", "", each["tokens_per_second"])
    yield BoardFigure("Peak RSS", "peak_rss_bytes", "bytes", found.get("peak_rss_bytes"))


def _calibrate(document: Document) -> Iterator[BoardFigure]:
    machine = document["machine"]
    yield BoardFigure("Device", "device", "text", machine["device"])
    yield BoardFigure("onnxruntime", "onnxruntime", "text", machine["onnxruntime"])
    yield BoardFigure("Memory", "memory_bytes", "bytes", machine["memory"])
    for each in document["threads"]:
        threads = each["threads"]
        for dtype, rate in each["peak_flops_per_second"].items():
            yield BoardFigure(f"{dtype}, {threads} thread{'s' * (threads > 1)}", f"{dtype}_{threads}", "per second", rate, True)
    yield BoardFigure("Noise", "noise", "", document["noise"])


def _check(about: Document) -> Iterator[BoardFigure]:
    texts = {
        "onnxcost": "onnxcost",
        "onnxruntime": "onnxruntime",
        "python": "Python",
        "device": "Device",
        "platform": "Platform",
    }
    for key, title in texts.items():
        yield BoardFigure(title, key, "text", about.get(key))
    yield BoardFigure("Cores", "cores", "", about.get("cores"))
    sizes = {"memory_bytes": "Memory", "available_memory_bytes": "Available", "free_disk_bytes": "Free disk"}
    for key, title in sizes.items():
        yield BoardFigure(title, key, "bytes", about.get(key))


READERS: Mapping[str, Callable[[Document], Iterator[BoardFigure]]] = {
    "measure": _measure,
    "profile": _profile,
    "compare": _compare,
    "llm": _llm,
    "calibrate": _calibrate,
    "check": _check,
}
"""By command: the function that reads the figures from its document, for a check from a board's description."""
