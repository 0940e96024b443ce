"""How far the estimated peak of the activations is from what onnxruntime takes, as a Markdown table.

    python scripts/peak_memory.py [MODEL ...]

Set-up: ``pip install .`` Without models it takes those of models/ with less than 1 GB of weights, which are made up where they are
not stored, and the light ones that the onnx package brings along. The errors are those of the estimate: of the file, as
``onnxcost MODEL`` prints it; of the graph that onnxruntime makes of it, as ``onnxcost profile MODEL`` does; and of that graph
against a run in which onnxruntime frees each buffer after its last use instead of keeping it for a later tensor of the same shape.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
import onnx
import onnxruntime
from model_store import ABSENT_FILE, MODELS, tensors
from onnx import helper, numpy_helper

import onnxcost
from onnxcost.measuring.events import recorded
from onnxcost.measuring.inputs import arrays, feeds_of
from onnxcost.render.units import binary

LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
MOST_WEIGHT_BYTES = 1_000_000_000
HEADER = """\
| model | estimated | measured | error | of the executed graph | without reuse | weights | arena's peak | process's peak |
| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"""


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

    def __str__(self) -> str:
        sizes = [binary(size) for size in (self.weights, self.arena, self.process)]
        cells = [self.name, binary(self.estimated), binary(self.measured), *map(percent, self.errors), *sizes]
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
    return f"Median error {told[0]}; of the executed graph {told[1]}; without reuse {told[2]}."


def row(path: Path, shapes: Mapping[str, Sequence[int]] | None = None) -> Row:
    """One model's line of the table."""
    with TemporaryDirectory() as folder:
        model = with_weights(path, folder)
        static = onnxcost.estimate(model, shapes=shapes)
        profile = onnxcost.profile(model, shapes=shapes, runs=1, warmup=0)
        assert profile.measurement is not None
        took = profile.measurement.memory
        return Row(
            path.stem,
            static.memory.peak_activation_bytes or 0,
            profile.report.memory.peak_activation_bytes or 0,
            took.arena_activation_bytes or 0,
            without_reuse(model, static, folder),
            static.memory.weight_bytes,
            took.arena_peak_bytes or 0,
            took.peak_rss_bytes or 0,
        )


def with_weights(path: Path, folder: str) -> Path:
    """The model itself, or a copy in which weights that are not stored are ones."""
    model = onnx.load(path, load_external_data=False)
    absent = [tensor for tensor in tensors(model) if any(entry.value == ABSENT_FILE for entry in tensor.external_data)]
    if not absent:
        return path
    for tensor in absent:
        dtype = helper.tensor_dtype_to_np_dtype(tensor.data_type)
        tensor.CopyFrom(numpy_helper.from_array(np.ones(tuple(tensor.dims), dtype), tensor.name))
    copy = Path(folder, path.name)
    onnx.save(model, copy)
    return copy


def without_reuse(model: Path, static: onnxcost.CostReport, folder: str) -> int:
    """What the activations take at their peak where onnxruntime's memory planner does not keep buffers to use them again."""
    options = onnxruntime.SessionOptions()
    options.enable_mem_reuse = False
    options.log_severity_level = 3
    options.enable_profiling = True
    options.profile_file_prefix = str(Path(folder, "profile"))
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    session.run(None, arrays(feeds_of(static.graph, {}, {}), seed=0)[0])
    return recorded(session.end_profiling()).memory.peak_activation_bytes(static.graph) or 0


if __name__ == "__main__":
    sys.exit(main())
