"""Charts of a result as files (SVG, PNG, PDF) and in notebooks, by matplotlib (the extra ``plot``)."""

from __future__ import annotations

import io
import warnings
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import ceil, log2
from typing import TYPE_CHECKING, Any, NamedTuple

from onnxcost.conventions import FLOPS
from onnxcost.errors import InputError, OnnxCostError, did_you_mean
from onnxcost.measurement import Measurement
from onnxcost.render.escaping import plain, shorten
from onnxcost.render.page import roofline_data
from onnxcost.render.sweep import size_text
from onnxcost.render.units import binary, rate, seconds, si, strip_zeros
from onnxcost.report import CostReport
from onnxcost.results import Result, group_by
from onnxcost.runtime.profile import Profile
from onnxcost.symbolic.points import SweepPoint
from onnxcost.symbolic.scaling import SAMPLES, Scaling
from onnxcost.symbolic.sweep import Sweep

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SUFFIXES: Mapping[str, str] = {".svg": "svg", ".png": "png", ".pdf": "pdf"}
COLORS: Mapping[str, str] = {"compute": "#0072b2", "memory": "#e69f00"}
"""Okabe and Ito's palette, which is distinguishable with color vision deficiencies; the marks differ, too."""
HUES = (*COLORS.values(), "#009e73", "#cc79a7", "#56b4e9", "#d55e00")
MARKS: Mapping[str, str] = {"compute": "o", "memory": "^"}
MOST_BARS, LONGEST_LABEL = 14, 40
LARGEST = 1e200
"""The largest number on an axis: axes are computed in floats."""


class RooflinePoint(NamedTuple):
    """FLOPs and bytes of a step, its seconds, and its bound: a key of COLORS."""

    flops: float
    bytes: float
    seconds: float
    limit: str


def draw(result: Result, kind: str = "") -> Figure:
    """A figure of matplotlib: ``kind`` is one of ``KINDS`` of the result, by default the first.

    Raises OnnxCostError if matplotlib is not installed, InputError for a kind that the result does not have.
    """
    plots = next((plots for class_, plots in KINDS.items() if isinstance(result, class_)), {})
    chosen = kind or next(iter(plots), "")
    if chosen not in plots:
        hint = did_you_mean(chosen, plots) or f": available: {', '.join(plots) or 'none'}"
        raise InputError(f"a {type(result).__name__} has no plot '{chosen}'{hint}")
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise OnnxCostError("plots need matplotlib, which is not installed: pip install 'onnxcost[plot]'") from None
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    plots[chosen](result, axes)
    return figure


def save_figure(figure: Figure, format_: str) -> bytes:
    """The figure as a file: an entry of SUFFIXES. The same figure gives the same bytes.

    Raises OnnxCostError if matplotlib cannot draw it.
    """
    import matplotlib

    content = io.BytesIO()
    fixed: dict[str, Any] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(format_, {})
    with matplotlib.rc_context({"svg.hashsalt": "onnxcost"}), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # A character that the font lacks becomes a box.
        try:
            figure.savefig(content, format=format_, dpi=160, metadata=fixed)
        except RuntimeError as error:  # FreeType's error for a font that cannot be read
            raise OnnxCostError(f"matplotlib cannot draw the chart: {error}") from None
    return content.getvalue()


def chart_html(result: Result) -> str:
    """The plot that is drawn by default, as an image in a page; "" if matplotlib is not installed."""
    try:
        content = save_figure(draw(result), "png")
    except OnnxCostError:
        return ""
    return f'<img alt="chart" src="data:image/png;base64,{b64encode(content).decode()}"/>'


def _label(text: str) -> str:
    """A string of a model as a label; a $ would start a formula."""
    return shorten(plain(text), LONGEST_LABEL).replace("$", r"\$")


def _check_numbers(numbers: Iterable[float]) -> None:
    """Raises InputError if the largest cannot be drawn."""
    if max(numbers, default=0) > LARGEST:
        raise InputError("nothing to plot: the numbers are too large")


def _draw_bars(axes: Axes, rows: Iterable[tuple[str, float]], what: str, text: Callable[[float], str]) -> None:
    """Bars, the largest first; those that do not fit are summed up as "other"."""
    ordered = sorted(rows, key=lambda row: -row[1])
    _check_numbers(amount for _, amount in ordered)
    if not (total := sum(amount for _, amount in ordered)):
        raise InputError(f"nothing to plot: no node has {what}")
    shown = [row for row in ordered[:MOST_BARS] if row[1]]
    if (rest := total - sum(amount for _, amount in shown)) > 1e-6 * total:
        shown.append(("other", rest))
    bars = axes.barh(range(len(shown)), [float(amount) for _, amount in shown], color=COLORS["compute"])
    axes.bar_label(bars, [f" {text(amount)} ({100 * amount / total:.1f} %)" for _, amount in shown])
    axes.set_yticks(range(len(shown)), [_label(name) for name, _ in shown])
    axes.invert_yaxis()
    axes.margins(x=0.3)
    axes.xaxis.set_major_formatter(lambda value, _: strip_zeros(text(value)))
    axes.set_xlabel(what)


def _draw_report_shares(report: CostReport, axes: Axes) -> None:
    rows = [(group.key[1], group.total(FLOPS)) for group in report.by_operator()]
    _draw_bars(axes, rows, "FLOPs", lambda value: si(round(value)))


def _draw_profile_shares(profile: Profile, axes: Axes) -> None:
    rows = [(group["op_type"], group["seconds"]) for group in profile.to_dict()["profile"]["by_operator"]]
    _draw_bars(axes, rows, "time", seconds)


def _draw_memory(report: CostReport, axes: Axes) -> None:
    """The bytes while each executed node runs, and the peak."""
    memory = report.to_dict()["memory"]
    if not memory or not memory["curve"]:
        raise InputError("memory cannot be plotted: a shape is unknown")
    _check_numbers([memory["peak_bytes"]])
    used = [float(step["bytes"]) for step in memory["curve"]]
    axes.stairs(used, range(len(used) + 1), fill=True, color=COLORS["compute"], alpha=0.3)
    axes.stairs(used, range(len(used) + 1), color=COLORS["compute"])
    node = memory["node"]
    name = f", while {_label(node['op_type'])} {_label(node['name'])} runs" if node else ""
    peak = float(memory["peak_bytes"])  # numpy has no integers this large
    axes.axhline(peak, color="0.3", linestyle="--", label=f"peak {binary(memory['peak_bytes'])}{name}")
    axes.set_ylim(0, max(1.15 * peak, 1))
    _write_bytes(axes, peak)
    axes.set_xlabel("executed node")
    axes.legend(loc="upper right", frameon=False)


def _write_bytes(axes: Axes, most: float) -> None:
    """Round numbers of bytes at the vertical axis."""
    from matplotlib.ticker import MultipleLocator

    axes.yaxis.set_major_locator(MultipleLocator(2.0 ** ceil(log2(max(most, 8) / 5))))
    axes.yaxis.set_major_formatter(lambda value, _: strip_zeros(binary(round(value))))


def _draw_report_roofline(report: CostReport, axes: Axes) -> None:
    """Each step of a run at the middle of its estimated range, on the first of ``page.DEVICES``."""
    if not (found := roofline_data(report).get("roofline")):
        raise InputError("no roofline can be plotted: the model has no work that such devices compute")
    device = found["devices"][0]
    points = [
        RooflinePoint(step["flops"], step["bytes"], (low + high) / 2, "memory" if transfer > compute else "compute")
        for step, (compute, transfer, low, high) in zip(found["steps"], device["times"], strict=True)
    ]
    roofs = [(f"{device['title']}, {dtype}", peak, device["bandwidth"]) for dtype, peak in device["peaks"]]
    _draw_roofline(axes, points, roofs)


def _draw_profile_roofline(profile: Profile, axes: Axes) -> None:
    """Each executed node as measured, with the best rate and bandwidth of all nodes as roofs."""
    nodes = [node for node in profile.to_dict()["profile"]["nodes"] if node["flops_per_second"] and node["bytes_per_second"]]
    peak = max((node["flops_per_second"] for node in nodes), default=1.0)
    bandwidth = max((node["bytes_per_second"] for node in nodes), default=1.0)
    points = [
        RooflinePoint(
            node["flops"],
            node["read_bytes"] + node["write_bytes"],
            node["seconds"],
            "memory" if node["bytes_per_second"] / bandwidth > node["flops_per_second"] / peak else "compute",
        )
        for node in nodes
    ]
    _draw_roofline(axes, points, [("best of this profile", peak, bandwidth)])


def _draw_roofline(axes: Axes, points: Sequence[RooflinePoint], roofs: Sequence[tuple[str, float, float]]) -> None:
    """The roofs as (title, FLOP/s, bytes per second), and the points at their achieved rates, larger for more time."""
    if not (shown := [point for point in points if point.flops and point.bytes and point.seconds]):
        raise InputError("no roofline can be plotted: no step has both FLOPs and memory traffic")
    _check_numbers(max(point[:3]) for point in points)
    total = sum(point.seconds for point in points)
    ends = [point.flops / point.bytes for point in shown]
    low, high = 0.5 * min(ends), 2 * max(ends)
    for (title, peak, bandwidth), style in zip(roofs, ("-", "--", ":", "-.") * len(roofs), strict=False):
        xs = sorted({low, min(max(peak / bandwidth, low), high), high}) if bandwidth else [low, high]
        axes.plot(xs, [min(peak, x * bandwidth) if bandwidth else peak for x in xs], style, color="0.3", label=_label(title))
    for limit, color in COLORS.items():
        members = [point for point in shown if point.limit == limit]
        axes.scatter(
            [point.flops / point.bytes for point in members],
            [point.flops / point.seconds for point in members],
            [15 + 400 * point.seconds / total for point in members],
            color=color, marker=MARKS[limit], alpha=0.7, label=f"{limit}-bound",
        )  # fmt: skip
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(lambda value, _: strip_zeros(rate(value, "FLOP/s")))
    axes.set_xlabel("arithmetic intensity in FLOP/byte")
    axes.legend(loc="lower right", frameon=False)


def _draw_latency(measurement: Measurement, axes: Axes) -> None:
    """A histogram of the run times, the median, and its 95 % interval."""
    axes.hist(measurement.samples, bins="auto", color=COLORS["compute"])
    median, interval = measurement.latency.median, measurement.latency.to_dict()["median_ci95"]
    axes.axvline(median, color="0.2", label=f"median {seconds(median)}")
    if interval:
        axes.axvspan(*interval, color="0.5", alpha=0.3, label="95 % interval of the median")
    axes.xaxis.set_major_formatter(lambda value, _: strip_zeros(seconds(value)))
    axes.set_xlabel("latency")
    axes.set_ylabel("runs")
    axes.legend(frameon=False)


def _draw_sweep_memory(swept: Sweep, axes: Axes) -> None:
    rows = [(point, point.cost.peak_activation_bytes) for point in swept.counted if point.cost]
    known = [(point, float(used)) for point, used in rows if used is not None]
    _draw_over_sizes(swept, known, axes)
    _write_bytes(axes, max(used for _, used in known))
    axes.set_ylabel("peak activation memory")


def _draw_sweep_latency(swept: Sweep, axes: Axes) -> None:
    """The measured latency; for devices, the middle of the estimated range, a line for each."""
    if swept.devices:
        for name in swept.devices:
            found = [(point, each.prediction.latency) for point in swept.points if (each := point.verdict(name))]
            known = [(point, (span.low * span.high) ** 0.5) for point, span in found if span is not None]
            _draw_over_sizes(swept, known, axes, f"{name} ")
    else:
        _draw_over_sizes(swept, [(point, point.timed.latency.median) for point in swept.points if point.timed], axes)
    axes.yaxis.set_major_formatter(lambda value, _: strip_zeros(seconds(value)))
    axes.set_ylabel("latency")


def _draw_over_sizes(swept: Sweep, values: Sequence[tuple[SweepPoint, float]], axes: Axes, name: str = "") -> None:
    """A line over the first axis of the sweep for each combination of the other sizes."""
    if not values:
        raise InputError("nothing to plot: no size has this result")
    first, *others = (*swept.axes.dims, *swept.axes.shapes)
    places = list(dict.fromkeys(size_text(point.sizes[first]) for point in swept.points))
    lines = group_by(values, lambda pair: tuple(size_text(pair[0].sizes[other]) for other in others))
    for sizes, pairs in lines.items():
        text = name + ", ".join(f"{other} = {size}" for other, size in zip(others, sizes, strict=True))
        at = [places.index(size_text(point.sizes[first])) for point, _ in pairs]
        number = len(axes.lines)
        style = "o^sD"[number % 4] + ("-", "--", ":")[number % 3]
        axes.plot(at, [value for _, value in pairs], style, color=HUES[number % len(HUES)], label=_label(text))
    axes.set_xticks(range(len(places)), places)
    axes.set_ylim(0, None)
    axes.set_xlabel(_label(first))
    if others or name:
        axes.legend(frameon=False)


def _draw_scaling(scaling: Scaling, axes: Axes) -> None:
    """The MACs, or FLOPs if there are none, over the sizes of each dim, the others at their base."""
    metric = "macs" if scaling.formula("macs").terms else "flops"
    for number, (dim, domain) in enumerate(scaling.domain.items()):
        low, high = domain.least // domain.step or 1, domain.most // domain.step
        sizes = sorted({domain.step * round(low * (high / low) ** (at / SAMPLES)) for at in range(SAMPLES + 1)})
        totals = [scaling.at(**{dim: size})[metric] for size in sizes]
        axes.plot(sizes, totals, ("-", "--", ":")[number % 3], color=HUES[number % len(HUES)], label=_label(dim))
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.yaxis.set_major_formatter(lambda value, _: strip_zeros(si(round(value))))
    others = ", ".join(f"{_label(dim)} = {size:,}" for dim, size in scaling.base.items())
    axes.set_xlabel("size" + (f", the other dims of {others}" if len(scaling.dims) > 1 else ""))
    axes.set_ylabel({"macs": "MACs", "flops": "FLOPs"}[metric])
    axes.legend(frameon=False)


KINDS: Mapping[type[Result], Mapping[str, Callable[[Any, Axes], None]]] = {
    CostReport: {"share": _draw_report_shares, "memory": _draw_memory, "roofline": _draw_report_roofline},
    Profile: {"share": _draw_profile_shares, "roofline": _draw_profile_roofline},
    Measurement: {"latency": _draw_latency},
    Scaling: {"scaling": _draw_scaling},
    Sweep: {"latency": _draw_sweep_latency, "memory": _draw_sweep_memory},
}
"""The plots of each result, the one that is drawn by default first."""
