"""The formulas of ``onnxcost scale`` against counts at random sizes of their domain, model by model, as a table.

    python -m scripts.benchmark.scaling [--points 200] [SET …]

Set-up: ``pip install .`` A set is a folder of models, an archive of them, or a model; without sets it takes what
``scripts/benchmark/peak_memory.py`` does, and the decoders. Models whose dims are all given are left out. Ends with 1 where a
formula differs from a count.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from pathlib import Path
from typing import NamedTuple

import onnxcost
from onnxcost.errors import OnnxCostError
from onnxcost.graph import Graph
from onnxcost.symbolic.search import PEAK, Domain
from scripts.benchmark.peak_memory import DATA, SETS, models_of

POINTS = 200
SEED = 11
HEADER = (
    "| model | MACs | holds for | counts | CPU s | equal at |",
    "| --- | --- | --- | ---: | ---: | ---: |",
)


class Row(NamedTuple):
    """A model, its formula and domain or why there is none, how often it was counted, and at how many of the points it is."""

    model: str
    formula: str
    domain: str
    evaluations: int
    seconds: float
    equal: int
    points: int

    def __str__(self) -> str:
        if not self.points:
            return f"| {self.model} | none: {self.formula} | – | – | {self.seconds:.1f} | – |"
        cells = (self.model, self.formula, self.domain, str(self.evaluations), f"{self.seconds:.1f}")
        return f"| {' | '.join(cells)} | {self.equal} of {self.points} |"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="*", type=Path, default=[*SETS, DATA / "decoders.tar.xz"], metavar="SET")
    parser.add_argument("--points", type=int, default=POINTS, help="Random sizes of each model.")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="Stop after so many.")
    arguments = parser.parse_args()
    print(*HEADER, sep="\n")
    rows: list[Row] = []
    end = time.monotonic() + arguments.seconds
    for name, path in ((name, path) for each in arguments.sets for name, path in models_of(each)):
        if time.monotonic() > end:
            break
        if (row := examine(name, path, arguments.points)) is not None:
            rows.append(row)
            print(row, flush=True)
    shown = [row for row in rows if row.points]
    wrong = [row.model for row in shown if row.equal < row.points]
    exact = len(shown) - len(wrong)
    print(f"\n{len(shown)} of {len(rows)} models with open dims have formulas; {exact} of these are equal at all sizes.")
    return 1 if wrong else 0


def examine(name: str, path: Path, points: int) -> Row | None:
    """The row of a model; None where it leaves no dim open."""
    source = path.read_bytes()
    if not any(dim.source == "assumed" for dim in onnxcost.estimate(source).graph.dims):
        return None
    start = time.process_time()
    try:
        found = onnxcost.scaling(source)
    except OnnxCostError as error:
        return Row(name, str(error).replace("|", "\\|")[:160], "", 0, time.process_time() - start, 0, 0)
    taken = time.process_time() - start
    draw, equal = random.Random(SEED), 0
    graph = onnxcost.estimate(source).graph
    for _ in range(points):
        sizes = {dim: draw_size(draw, found.domain[dim]) for dim in found.dims}
        equal += is_equal(found, source, graph, sizes)
    domain = ", ".join(f"{dim} {found.domain[dim]}" for dim in found.dims)
    return Row(name, str(found.formula("macs")), domain, found.evaluations, taken, equal, points)


def draw_size(draw: random.Random, domain: Domain) -> int:
    """Half of them evenly by size, half by its logarithm."""
    low, high = domain.least // domain.step, domain.most // domain.step
    if draw.random() < 0.5:
        return domain.step * draw.randint(low, high)
    return domain.step * min(int((low + 1) * ((high + 1) / (low + 1)) ** draw.random()) - 1, high)


def is_equal(found: onnxcost.Scaling, source: bytes, graph: Graph, sizes: dict[str, int]) -> bool:
    """Whether all totals are those of a count; ``graph`` is the model's at other sizes."""
    places = {place: sizes[dim.name] for dim in graph.dims if dim.name in sizes for place in dim.places}
    unnamed = {dim.name: dim.places[0][0] for dim in graph.dims if dim.is_unnamed and dim.name in sizes}
    shapes = {
        tensor.name: [places.get((tensor.name, axis), size) for axis, size in enumerate(tensor.shape)]
        for tensor in graph.inputs
        if tensor.name in unnamed.values()
    }
    try:
        report = onnxcost.estimate(source, shapes=shapes, dims={dim: sizes[dim] for dim in sizes if dim not in unnamed})
    except OnnxCostError:
        return False
    moved, totals = report.whole.traffic, found.at(**sizes)
    counted = {
        "macs": report.macs, "flops": report.flops, "parameters": report.parameters, "read_bytes": moved.read_bytes,
        "write_bytes": moved.write_bytes, **({PEAK: report.memory.peak_activation_bytes} if found.pieces else {}),
    }  # fmt: skip
    return all(totals[metric] == counted[metric] for metric in totals.keys() & counted.keys())


if __name__ == "__main__":
    sys.exit(main())
