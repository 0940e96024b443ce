"""The bands of published measurements as a chart, and predictions on a calibrated machine compared with measurements.

    python -m scripts.evidence.plots bands docs/images/bands.png
    python -m scripts.evidence.plots predictions docs/accuracy-prediction.md docs/images/predictions.png

Set-up: ``pip install '.[plot]'``
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from math import exp
from pathlib import Path

from matplotlib.figure import Figure

from onnxcost.hardware.evidence import LatencyFit, evidence
from scripts.evidence.tables import ORDER

COLORS = dict(zip(ORDER[1:], ("#1b9e77", "#7570b3", "#e7298a", "#e6ab02", "#66a61e", "#666666"), strict=True))
ROW = re.compile(r"\| ([^|]+) \| (\d+) \| ([\d.]+) \| ([^|]+\([^|]+) \|")
LEAST_POINTS = 20


def main() -> int:
    kind, *paths = sys.argv[1:]
    figure = draw_bands(evidence().fits) if kind == "bands" else draw_predictions(Path(paths[0]).read_text())
    figure.savefig(paths[-1], dpi=110, metadata={"Software": None})
    return 0


def draw_bands(fits: Mapping[tuple[str, str, str], LatencyFit]) -> Figure:
    """For each runtime and type with enough figures, the range of measured over estimated times that contains 90 % of the
    held-out ones.
    """
    shown = {
        key: fit
        for key, fit in sorted(fits.items(), reverse=True)
        if fit.points >= LEAST_POINTS and fit.bands.keys() & COLORS.keys()
    }
    figure = Figure(figsize=(8, 0.42 * len(shown) + 1.2), layout="constrained")
    axes = figure.subplots()
    for place, fit in enumerate(shown.values()):
        kinds = [kind for kind in ORDER[1:] if kind in fit.bands]
        for index, kind in enumerate(kinds):
            height = place + 0.36 - 0.72 * (index + 0.5) / len(kinds)
            band = fit.bands[kind]
            axes.plot([exp(band.low), exp(band.high)], [height] * 2, color=COLORS[kind], linewidth=2.5, solid_capstyle="butt")
    for kind, color in COLORS.items():
        axes.plot([], [], color=color, linewidth=2.5, label=kind)
    axes.axvline(1, color="black", linewidth=0.6)
    axes.set_xscale("log")
    axes.set_xticks([0.2, 0.5, 1, 2, 5, 10, 20], ["0.2", "0.5", "1", "2", "5", "10", "20"])
    axes.minorticks_off()
    axes.set_yticks(range(len(shown)), [" ".join(filter(None, key)) for key in shown], fontsize=8)
    axes.set_xlabel("measured / estimated")
    axes.grid(axis="x", linewidth=0.3)
    figure.legend(loc="outside upper center", ncols=len(COLORS), fontsize=8, title="evidence", title_fontsize=8)
    return figure


def draw_predictions(page: str) -> Figure:
    """Measured latency and the median of the predictions, of the rows of the page's table, by the number of threads."""
    figure = Figure(figsize=(5.5, 5), layout="constrained")
    axes = figure.subplots()
    rows = [match.groups() for match in ROW.finditer(page)]
    for threads in sorted({row[1] for row in rows}, key=int):
        points = [(float(took), re.findall(r"([\d.]+) \(", said)) for _, count, took, said in rows if count == threads]
        middle = [sorted(map(float, said))[len(said) // 2] for _, said in points]
        label = f"{threads} thread{'s'[: int(threads) - 1]}: {len(points)} models"
        axes.scatter([took for took, _ in points], middle, s=12, label=label, alpha=0.7)
    axes.set_xscale("log")
    axes.set_yscale("log")
    ends = (min(float(row[2]) for row in rows) / 1.5, 1.5 * max(float(row[2]) for row in rows))
    for factor, style in ((1.0, "-"), (1.15, "--"), (1 / 1.15, "--")):
        axes.plot(ends, [factor * end for end in ends], color="black", linewidth=0.6, linestyle=style)
    axes.set(xlabel="measured, ms", ylabel="predicted, ms", xlim=ends, ylim=ends)
    axes.legend()
    return figure


if __name__ == "__main__":
    sys.exit(main())
