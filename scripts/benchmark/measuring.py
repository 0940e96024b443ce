"""How accurate onnxcost's times are, compared with a bare loop over ``session.run`` and with onnxruntime's own profile.

    python -m scripts.benchmark.measuring [--rounds N] [MODEL ...]
    python -m scripts.benchmark.measuring --command [--rounds N] [MODEL ...]

Set-up: ``pip install .`` Without models it takes six, from 0.01 ms to some 500 ms: from models/ (one with synthetic weights)
and from the onnx package. Each round runs, one after the other: a bare loop, ``onnxcost.measure``, and the bare loop again,
each in a process of its own with the same settings. Printed are the medians over the rounds of each pair's ratio; the ratio of
the two bare loops is the noise of the machine. "In one process" alternates short parts of the two loops over one session, so
that the noise of the machine affects both equally.

With ``--command`` it times the whole command ``onnxcost measure MODEL --runs 10``, without warm-up and with it, against a bare
script that imports onnxruntime, loads the model and runs it ten times: the medians of the ratios of wall and of CPU time.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # looked at when onnxruntime is imported

import numpy as np
import onnx
import onnxruntime
import psutil

import onnxcost
from onnxcost.frontend.synthetic_weights.fill import fill_weights
from onnxcost.runtime.inputs.feeds import arrays, feeds_of
from onnxcost.runtime.sampling import sample
from onnxcost.runtime.session import open_session, runner

ROOT = Path(__file__).parents[2]
LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
MODELS = (
    ROOT / "models" / "mnist_cnn_pytorch.onnx",
    ROOT / "models" / "text_transformer_pytorch.onnx",
    LIGHT / "light_squeezenet.onnx",
    LIGHT / "light_resnet50.onnx",
    LIGHT / "light_vgg19.onnx",
    ROOT / "models" / "unet_pytorch.onnx",
)
SECONDS, LEAST_RUNS = 2.0, 10


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", type=Path, default=MODELS)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--bare", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--command", action="store_true", help="time the whole command for ten runs")
    options = parser.parse_args()
    if options.command:
        print("| model | bare script | without warm-up / bare | CPU | with warm-up / bare | CPU | bare / bare |")
        print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
        for model in options.models:
            with TemporaryDirectory() as folder:
                print(command_row(model.stem, Path(fill_weights(model, folder)), folder, options.rounds), flush=True)
        return 0
    if options.bare:
        print(json.dumps(bare_times(*opened(options.models[0]))))
        return 0
    print("| model | bare loop | onnxcost / bare | bare / bare | in one process | profile's runs / bare | nodes / run |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for model in options.models:
        with TemporaryDirectory() as folder:
            print(row(model.stem, Path(fill_weights(model, folder)), options.rounds), flush=True)
    return 0


def row(name: str, model: Path, rounds: int) -> str:
    """One model's line of the table."""
    times, ours, noise = [], [], []
    for _ in range(rounds):
        before = bare_process(model)
        measured = onnxcost.measure(str(model)).latency.median
        after = bare_process(model)
        times.append(before)
        # The machine drifts: a run between two bare loops is compared with their mean.
        ours.append(measured / ((before + after) / 2))
        noise.append(after / before)
    profile = onnxcost.profile(str(model))
    inside = in_one_process(model, rounds)
    run = median(profile.run_seconds)
    return (
        f"| {name} | {1e3 * median(times):.3f} ms | {median(ours):.3f} | {median(noise):.3f} | {inside:.3f} "
        f"| {run / median(times):.3f} | {profile.node_seconds / run:.3f} |"
    )


def opened(model: Path) -> tuple[onnxruntime.InferenceSession, dict[str, object]]:
    """A session with onnxruntime's defaults, and the feeds of onnxcost."""
    graph = onnxcost.estimate(str(model)).graph
    feeds = arrays(feeds_of(graph, {}, {}), seed=0)[0]
    return onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"]), feeds


def bare_times(session: onnxruntime.InferenceSession, feeds: dict[str, object]) -> list[float]:
    """A loop as anyone would write it: a few runs to warm up, then ten runs and two seconds."""
    for _ in range(5):
        session.run(None, feeds)
    times: list[float] = []
    begin = time.perf_counter()
    while len(times) < LEAST_RUNS or time.perf_counter() - begin < SECONDS:
        start = time.perf_counter()
        session.run(None, feeds)
        times.append(time.perf_counter() - start)
    return times


def bare_process(model: Path) -> float:
    """The median of a bare loop in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "scripts.benchmark.measuring", "--bare", str(model.resolve())],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    return median(json.loads(done.stdout))


def in_one_process(model: Path, rounds: int) -> float:
    """The ratio of the medians if both loops alternate over one session."""
    settings = onnxcost.Settings(runs=LEAST_RUNS, seconds=0.2, warmup=1)
    session = open_session(str(model), settings)
    feeds = arrays(feeds_of(onnxcost.estimate(str(model)).graph, {}, {}), seed=0)
    runs = runner(session, feeds, "cpu").runs
    ratios = []
    for _ in range(3 * rounds):
        ours = median(sample(runs, settings, lambda _: None).samples)
        bare: list[float] = []
        begin = time.perf_counter()
        while len(bare) < LEAST_RUNS or time.perf_counter() - begin < 0.2:
            start = time.perf_counter()
            session.run(None, feeds[0])
            bare.append(time.perf_counter() - start)
        ratios.append(ours / median(bare))
    return median(ratios)


SCRIPT = """
import sys
import numpy
import onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
feeds = dict(numpy.load(sys.argv[2]))
for _ in range(10):
    session.run(None, feeds)
"""


def command_row(name: str, model: Path, folder: str, rounds: int) -> str:
    """One model's line of the table of whole commands."""
    inputs = Path(folder, "inputs.npz")
    np.savez(inputs, **arrays(feeds_of(onnxcost.estimate(str(model)).graph, {}, {}), seed=0)[0])
    bare = [sys.executable, "-c", SCRIPT, str(model), str(inputs)]
    ours = [sys.executable, "-m", "onnxcost", "measure", str(model), "--runs", "10"]
    times = [[spent(command) for command in (bare, [*ours, "--warmup", "0"], ours, bare)] for _ in range(rounds)]
    cells = [f"{median(wall[0][0] for wall in times):.2f} s"]
    for column, kinds in ((1, (0, 1)), (2, (0, 1)), (3, (0,))):
        cells += [f"{median(row[column][kind] / row[0][kind] for row in times):.2f}" for kind in kinds]
    return f"| {name} | {' | '.join(cells)} |"


def spent(command: list[str]) -> tuple[float, float]:
    """Wall and CPU seconds of a command with all its processes."""
    start, before = time.perf_counter(), psutil.Process().cpu_times()
    subprocess.run(command, capture_output=True, check=True, cwd=ROOT)
    wall, after = time.perf_counter() - start, psutil.Process().cpu_times()
    return wall, after.children_user + after.children_system - before.children_user - before.children_system


if __name__ == "__main__":
    sys.exit(main())
