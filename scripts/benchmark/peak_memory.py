"""How far the estimated peaks of the activations and of the process are from what onnxruntime takes, as a Markdown table.

    python -m scripts.benchmark.peak_memory [MODEL ...]

Set-up: ``pip install .`` Without models it takes those of models/ with less than 1 GB of weights and the light ones that the
onnx package brings along. The errors of the activations: of the least that there must be, as ``onnxcost MODEL`` prints it; with
the buffers that onnxruntime's planner keeps for later tensors and for other layouts; and so of the graph that onnxruntime makes
of the file. The process is estimated as ``onnxcost budget`` does it, and told apart is what weights and activations take there
beside the least.
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
from onnxcost.graph import Graph
from onnxcost.hardware.memory_fit import memory_on_cpu
from onnxcost.ort_optimizer.memory_plan import buffers_of, input_bytes, largest_live_sum
from onnxcost.render.units import binary

MODELS = Path(__file__).parents[2] / "models"
LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
MOST_WEIGHT_BYTES = 1_000_000_000
COLUMNS = (
    "model", "estimated", "measured", "error", "as planned", "of the executed graph",
    "weights", "copies", "process's peak", "estimated", "error",
)  # fmt: skip
HEADER = f"| {' | '.join(COLUMNS)} |\n| --- |{' ---: |' * (len(COLUMNS) - 1)}"


class Row(NamedTuple):
    """Peaks of one model, bytes: of its activations at the least, as planned, and so of the executed graph. ``needed`` is the
    estimate of the process, by parts.
    """

    name: str
    estimated: int
    planned: int
    executed: int
    measured: int
    process: int
    needed: Mapping[str, int]

    @property
    def errors(self) -> tuple[float, float, float]:
        """Of the least, as planned, and so of the executed graph."""
        return self.estimated / self.measured - 1, self.planned / self.measured - 1, self.executed / self.measured - 1

    @property
    def budgeted(self) -> int:
        """The estimate of the process's peak."""
        return sum(self.needed.values())

    def __str__(self) -> str:
        sizes = [binary(size) for size in (self.needed["weights"], self.needed["copies"], self.process, self.budgeted)]
        cells = [self.name, binary(self.estimated), binary(self.measured), *map(percent, self.errors), *sizes]
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
    """The median error and the worst, for each of the three, and of the process."""
    told = []
    for index in range(3):
        worst = max(rows, key=lambda row: abs(row.errors[index]))
        middle = 100 * median(abs(row.errors[index]) for row in rows)
        told.append(f"{middle:.1f} %, worst {percent(worst.errors[index])} ({worst.name})")
    errors = [row.budgeted / row.process - 1 for row in rows]
    return (
        f"Median error of the activations {told[0]}; as planned {told[1]}; so of the executed graph {told[2]}. "
        f"Of the process {100 * median(map(abs, errors)):.1f} % (median {percent(median(errors))}), "
        f"from {percent(min(errors))} to {percent(max(errors))}."
    )


def row(path: Path, shapes: Mapping[str, Sequence[int]] | None = None) -> Row:
    """One model's line of the table."""
    report = onnxcost.estimate(path, shapes=shapes)
    profile = onnxcost.profile(path, shapes=shapes, runs=1, warmup=0, arena=True)
    assert profile.measurement is not None
    took = profile.measurement.memory
    return Row(
        path.stem,
        report.memory.peak_activation_bytes or 0,
        planned(report.graph, blocked=True),
        planned(profile.report.graph, blocked=False),
        took.arena_activation_bytes or 0,
        took.peak_rss_bytes or 0,
        memory_on_cpu(report),
    )


def planned(graph: Graph, *, blocked: bool) -> int:
    """The peak of the activations where free buffers are kept for later tensors."""
    return input_bytes(graph) + largest_live_sum(buffers_of(graph, are_kept=True, blocked=blocked))


if __name__ == "__main__":
    sys.exit(main())
