"""How far the estimated peak of the activations is from what onnxruntime takes, as a Markdown table.

    python scripts/peak_memory.py [MODEL ...]

Set-up: ``pip install .`` Without models it takes those of models/ with less than 1 GB of weights and the light ones that the
onnx package brings along. The errors are those of the estimate: of the file, as ``onnxcost MODEL`` prints it; of the graph
that onnxruntime makes of it, as ``onnxcost profile MODEL`` does; and of that graph against a run in which onnxruntime frees a
buffer after its last use instead of keeping it for a later tensor of the same shape. The process is estimated as
``onnxcost budget`` does it: weights, activations, and what a process with onnxruntime takes without a model.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

import onnx
import onnxruntime

import onnxcost
from onnxcost.hardware.fitting import RUNTIMES
from onnxcost.measuring.events import recorded
from onnxcost.measuring.inputs import arrays
from onnxcost.measuring.preparation import Question, prepared
from onnxcost.render.units import binary

MODELS = Path(__file__).parent.parent / "models"
LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
MOST_WEIGHT_BYTES = 1_000_000_000
COLUMNS = (
    "model", "estimated", "measured", "error", "of the executed graph", "without reuse", "weights", "arena's peak",
    "process's peak", "estimated", "error",
)  # fmt: skip
HEADER = f"| {' | '.join(COLUMNS)} |\n| --- |{' ---: |' * (len(COLUMNS) - 1)}"


class Row(NamedTuple):
    """Peaks of one model, bytes. ``executed`` is the estimate of the graph that onnxruntime makes of it."""

    name: str
    estimated: int
    executed: int
    measured: int
    without_reuse: int
    weights: int
    arena: int
    process: int

    @property
    def errors(self) -> tuple[float, float, float]:
        """Of the file, of the executed graph, and of that without reuse."""
        return self.estimated / self.measured - 1, self.executed / self.measured - 1, self.executed / self.without_reuse - 1

    @property
    def budgeted(self) -> int:
        """The estimate of the process's peak."""
        return self.weights + self.estimated + RUNTIMES["cpu"].memory

    def __str__(self) -> str:
        sizes = [binary(size) for size in (self.weights, self.arena, self.process, self.budgeted)]
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
    """The median error and the worst, for each of the three."""
    told = []
    for index in range(3):
        worst = max(rows, key=lambda row: abs(row.errors[index]))
        middle = 100 * median(abs(row.errors[index]) for row in rows)
        told.append(f"{middle:.1f} %, worst {percent(worst.errors[index])} ({worst.name})")
    process = [row.budgeted / row.process - 1 for row in rows if row.weights > row.estimated / 100]
    told_of_process = f"median {percent(median(process))}, from {percent(min(process))} to {percent(max(process))}"
    return (
        f"Median error {told[0]}; of the executed graph {told[1]}; without reuse {told[2]}. "
        f"Of the process, for the {len(process)} models that store their weights: {told_of_process}."
    )


def row(path: Path, shapes: Mapping[str, Sequence[int]] | None = None) -> Row:
    """One model's line of the table."""
    static = onnxcost.estimate(path, shapes=shapes).memory
    profile = onnxcost.profile(path, shapes=shapes, runs=1, warmup=0)
    assert profile.measurement is not None
    took = profile.measurement.memory
    return Row(
        path.stem,
        static.peak_activation_bytes or 0,
        profile.report.memory.peak_activation_bytes or 0,
        took.arena_activation_bytes or 0,
        without_reuse(Question.of(path, shapes)),
        static.weight_bytes,
        took.arena_peak_bytes or 0,
        took.peak_rss_bytes or 0,
    )


def without_reuse(question: Question) -> int:
    """What the activations take at their peak where onnxruntime's memory planner does not keep buffers to use them again."""
    with prepared(question) as ready:
        options = onnxruntime.SessionOptions()
        options.enable_mem_reuse = False
        options.log_severity_level = 3
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(ready.folder, "profile"))
        session = onnxruntime.InferenceSession(ready.path, options, providers=["CPUExecutionProvider"])
        session.run(None, arrays(ready.feeds, seed=0)[0])
        return recorded(session.end_profiling()).memory.peak_activation_bytes(ready.report.graph) or 0


if __name__ == "__main__":
    sys.exit(main())
