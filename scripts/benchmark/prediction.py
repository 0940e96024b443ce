"""How well latencies are predicted on a calibrated machine: against measured ones, of models that no rule was made after.

    python -m scripts.benchmark.prediction [--calibration FILE] [--threads N] [-o TABLE] [MODEL ...]

Set-up: ``pip install .`` Without models: the skeletons in tests/data/unseen_c.tar.xz, with synthetic weights
(scripts/unseen/export_models.py says how they were chosen). None of them was looked at, measured or predicted before rules and
probes were finished.

Each model is measured as two, in processes of their own that take turns: their low quantiles (of ten runs the second quickest)
against each other are the noise floor, and their mean is what the prediction is held against. A shared machine's speed also
drifts from minute to minute: at the end it is calibrated again, and the ratio printed. Of models whose dims are open the
assumed ones are used; FILE may be followed by dims, as in ``model.onnx@batch=8,sequence=128``.
"""

from __future__ import annotations

import argparse
import csv
import sys
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np

import onnxcost
from onnxcost.comparison.interleaved import measure_interleaved
from onnxcost.estimator import estimate_spec
from onnxcost.hardware.calibration.model import dumps, load
from onnxcost.hardware.calibration.predictor import Calibrated
from onnxcost.runtime.calibrate import calibrate
from onnxcost.spec import ModelSpec

ROOT = Path(__file__).parents[2]
SKELETONS = ROOT / "tests" / "data" / "unseen_c.tar.xz"
QUANTIZED = ("_qdq", "_qop", "_dynamic")
"""What names of quantized models have in them."""
LOW = 10
RESTLESS = 1.05
"""A model whose two low quantiles are farther apart than that is measured again; the calmer pair stands."""
LIMITS = (10, 15, 20, 30)


class Row(NamedTuple):
    model: str
    gmacs: float
    nodes: int
    predicted: float
    measured: float
    floor: float
    bound: float
    most_expensive: str

    @property
    def error(self) -> float:
        return self.predicted / self.measured - 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*")
    parser.add_argument("--calibration", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--most-gmacs", type=float, default=8.0)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--tries", type=int, default=2, help="how often a restless pair is measured again")
    parser.add_argument("-o", "--output", type=Path)
    options = parser.parse_args()
    calibration = load(options.calibration) if options.calibration else calibrate(threads=[options.threads])
    if options.output and not options.calibration:
        options.output.with_suffix(".toml").write_text(dumps(calibration))
    machine = Calibrated(calibration, options.threads)
    rows: list[Row] = []
    with TemporaryDirectory() as folder:
        for case in cases(options.models, Path(folder)):
            row = measured(case, machine, options)
            if row is not None:
                rows.append(row)
                print(line(row), flush=True)
                if options.output:
                    write(rows, options.output)
    report(rows)
    print(f"\n{drift(machine, options):.2f} x is what the same predictions are after a calibration at the end")
    return 0


def drift(machine: Calibrated, options: argparse.Namespace) -> float:
    """How much slower the machine has become meanwhile, by what is predicted of models/ before and after."""
    later = Calibrated(calibrate(threads=[options.threads]), options.threads)
    reports = [onnxcost.estimate(path) for path in sorted((ROOT / "models").glob("*.onnx"))]
    return median(later.seconds(each) / machine.seconds(each) for each in reports)


def cases(given: Sequence[str], folder: Path) -> Iterator[tuple[str, dict[str, int]]]:
    """The files and the dims that they are to have."""
    if not given:
        with tarfile.open(SKELETONS) as archive:
            archive.extractall(folder, filter="data")
        given = [str(folder)]
    for text in given:
        path, _, dims = text.partition("@")
        sizes = {name: int(size) for name, _, size in (each.partition("=") for each in dims.split(",") if each)}
        files = sorted(Path(path).rglob("*.onnx")) if Path(path).is_dir() else [Path(path)]
        yield from ((str(file), sizes) for file in files)


def measured(case: tuple[str, dict[str, int]], machine: Calibrated, options: argparse.Namespace) -> Row | None:
    """The model's row; None for one that is too large, or cannot be run."""
    path, dims = case
    name = Path(path).stem + "".join(f" {key}={size}" for key, size in dims.items())
    try:
        spec = ModelSpec.of(path, dims=dims)
        report = estimate_spec(spec)
        if report.macs > options.most_gmacs * 1e9:
            return None
        predicted = machine.predict(report)
        settings = onnxcost.Settings(threads=options.threads, runs=10, seconds=options.seconds)
        lows = turns(spec, report, settings)
        for _ in range(options.tries):
            if max(lows) > RESTLESS * min(lows):
                lows = min(lows, turns(spec, report, settings), key=lambda pair: max(pair) / min(pair))
    except (onnxcost.OnnxCostError, AttributeError) as error:
        print(f"{name}: not measured: {str(error)[:100]}", file=sys.stderr, flush=True)
        return None
    families: dict[str, float] = {}
    for found in machine.steps(report):
        for family, seconds in found.seconds.items():
            families[family] = families.get(family, 0.0) + seconds
    most_expensive = " ".join(f"{key} {1e3 * families[key]:.2f}" for key in sorted(families, key=families.__getitem__)[:-6:-1])
    total = machine.seconds(report)
    return Row(
        name,
        report.macs / 1e9,
        len(report.costs),
        total,
        sum(lows) / 2,
        max(lows) / min(lows) - 1,
        predicted.bound or 0.0,
        most_expensive,
    )


def turns(spec: ModelSpec, report: onnxcost.CostReport, settings: onnxcost.Settings) -> list[float]:
    """The low quantiles of the model and of itself, interleaved."""
    pair = measure_interleaved([spec, spec], settings, reports=[report, report]).results
    return [float(np.percentile(each.samples, LOW)) for each in pair]  # type: ignore[union-attr]  # AttributeError is caught


def line(row: Row) -> str:
    return (
        f"{row.model:46} {row.gmacs:8.2f} G {1e3 * row.predicted:9.3f} ms {1e3 * row.measured:9.3f} ms "
        f"{row.error:+7.1%}  floor {row.floor:5.1%}  bound {row.bound / row.measured:4.0%}  {row.most_expensive}"
    )


def write(rows: Sequence[Row], path: Path) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(Row._fields)
        writer.writerows(rows)


def report(rows: Sequence[Row]) -> None:
    """The shares of all, and of the quantized and the other models."""
    quantized = [row for row in rows if any(part in row.model for part in QUANTIZED)]
    others = [row for row in rows if row not in quantized]
    print(
        "\n| models | " + " | ".join(f"within ±{limit} %" for limit in LIMITS) + " | median error | signed | against itself |"
    )
    print("| --- |" + " ---: |" * (len(LIMITS) + 3))
    for name, some in (("all", rows), ("float32", others), ("quantized", quantized)):
        if some:
            print(f"| {len(some)} {name} | {' | '.join(shares(some))} |")
    print(f"\nof one in ten the model against itself: more than {np.percentile([row.floor for row in rows], 90):.1%}")
    print("faster than the bound:", ", ".join(row.model for row in rows if row.measured < row.bound) or "none")
    print("worst:", *(line(row) for row in sorted(rows, key=lambda row: -abs(row.error))[:12]), sep="\n")


def shares(rows: Sequence[Row]) -> Iterator[str]:
    errors = [abs(row.error) for row in rows]
    yield from (f"{sum(error <= limit / 100 for error in errors) / len(errors):.0%}" for limit in LIMITS)
    yield f"{median(errors):.1%}"
    yield f"{median(row.error for row in rows):+.1%}"
    yield f"{median(row.floor for row in rows):.1%}"


if __name__ == "__main__":
    sys.exit(main())
