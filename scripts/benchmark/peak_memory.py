"""How far the estimated peaks of the activations and of the process are from what onnxruntime takes, as a Markdown table.

    python -m scripts.benchmark.peak_memory [MODEL ...]

Set-up: ``pip install .`` Without models it takes those of models/ with less than 1 GB of weights and the light ones that the
onnx package brings along. The activations are estimated as ``onnxcost MODEL`` prints them, the process as ``onnxcost budget``
does; "copies" is what weights and activations take there beside themselves.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

import onnx

import onnxcost
from onnxcost.hardware.memory_fit import memory_on_cpu
from onnxcost.render.units import binary

MODELS = Path(__file__).parents[2] / "models"
LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
MOST_WEIGHT_BYTES = 1_000_000_000
COLUMNS = (
    "model", "estimated", "measured", "error", "at", "weights", "copies", "process's peak", "estimated", "error",
)  # fmt: skip
HEADER = f"| {' | '.join(COLUMNS)} |\n| --- |{' ---: |' * (len(COLUMNS) - 1)}"


class Row(NamedTuple):
    """Peaks of one model, bytes: of its activations, while ``operator`` runs, and of the process. ``needed`` is the estimate of
    the process, by parts.
    """

    name: str
    estimated: int
    operator: str
    measured: int
    process: int
    needed: Mapping[str, int]

    @property
    def error(self) -> float:
        """Of the activations, as a share of what was measured."""
        return self.estimated / self.measured - 1

    @property
    def budgeted(self) -> int:
        """The estimate of the process's peak."""
        return sum(self.needed.values())

    def __str__(self) -> str:
        sizes = [binary(size) for size in (self.needed["weights"], self.needed["copies"], self.process, self.budgeted)]
        cells = [self.name, binary(self.estimated), binary(self.measured), percent(self.error), self.operator, *sizes]
        cells.append(percent(self.budgeted / self.process - 1))
        return f"| {' | '.join(cells)} |"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", type=Path)
    models = parser.parse_args().models or [*sorted(MODELS.glob("*.onnx")), *sorted(LIGHT.glob("*.onnx"))]
    print(HEADER)
    rows = []
    for path in models:
        if onnxcost.estimate(path).memory.weight_bytes < MOST_WEIGHT_BYTES:
            rows.append(row(path))
            print(rows[-1], flush=True)
    print(f"\n{summary(rows)}")
    return 0


def percent(error: float) -> str:
    """A plain 0 is one to the byte."""
    return f"{100 * error:+.1f} %".replace("-", "−") if error else "0"


def summary(rows: Sequence[Row]) -> str:
    """The errors of the activations and of the process: the median, the share within a limit, and the worst."""
    worst = max(rows, key=lambda row: abs(row.error))
    errors = [row.budgeted / row.process - 1 for row in rows]
    return (
        f"{len(rows)} models. Median error of the activations {100 * median(abs(row.error) for row in rows):.1f} %, "
        f"{share_within([row.error for row in rows], 0.1)} within ±10 %, worst {percent(worst.error)} ({worst.name}). "
        f"Of the process {100 * median(map(abs, errors)):.1f} % (median {percent(median(errors))}), "
        f"{share_within(errors, 0.15)} within ±15 %, from {percent(min(errors))} to {percent(max(errors))}."
    )


def share_within(errors: Sequence[float], limit: float) -> str:
    return f"{100 * sum(abs(error) <= limit for error in errors) / len(errors):.0f} %"


def row(path: Path, shapes: Mapping[str, Sequence[int]] | None = None) -> Row:
    """One model's line of the table."""
    report = onnxcost.estimate(path, shapes=shapes)
    took = onnxcost.measure(path, shapes=shapes, runs=3, warmup=1, report=report, arena=True).memory
    peak = report.memory.peak
    assert peak is not None
    operator = peak.node.op_type if peak.node is not None else ""
    arena, process = took.arena_activation_bytes or 0, took.peak_rss_bytes or 0
    return Row(path.stem, peak.nbytes, operator, arena, process, memory_on_cpu(report))


if __name__ == "__main__":
    sys.exit(main())
