"""The formulas of ``onnxcost scale`` against counts at random sizes of their domain, model by model.

    python -m scripts.benchmark.scaling [--points 200] [--seconds N] [SET ...]
    python -m scripts.benchmark.scaling --page docs/accuracy-scaling.md

Set-up: ``pip install .`` A set is a folder of models, an archive of them, or a model; without sets it takes what
``scripts/benchmark/peak_memory.py`` does, and the decoders. Models whose dims are all given are left out. Each row is kept in
scaling.csv beside this file (--rows), from which --page is written, with the results of other tools for the same models
(scaling_tools.csv, by ``scripts/benchmark/scaling_tools.py``). Ends with 1 if a formula differs from a count.
"""

from __future__ import annotations

import argparse
import csv
import random
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import onnxcost
from onnxcost.errors import OnnxCostError
from onnxcost.graph import Graph
from onnxcost.symbolic.keys import PEAK
from onnxcost.symbolic.lines import Domain
from scripts.benchmark.peak_memory import DATA, SETS, models_of, set_name

POINTS = 200
SEED = 11
ROWS, TOOLS = (Path(__file__).with_name(f"{name}.csv") for name in ("scaling", "scaling_tools"))
PACKAGES = "packages"
"""The set of models that are given one by one: they come in packages of PyPI."""


class Row(NamedTuple):
    """A model, its formula and domain or why there is none, how often it was counted, and at how many points the formula is
    right.
    """

    set: str
    model: str
    dims: str
    macs: str
    growth: str
    domain: str
    notes: str
    evaluations: int
    seconds: float
    equal: int
    points: int


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="*", type=Path, default=[*SETS, DATA / "decoders.tar.xz"], metavar="SET")
    parser.add_argument("--points", type=int, default=POINTS, help="Random sizes of each model.")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="Stop after so many.")
    parser.add_argument("--rows", type=Path, default=ROWS, help="The rows that are kept; models that are there are left out.")
    parser.add_argument("--page", type=Path, help="Write this page from the rows, and nothing else.")
    arguments = parser.parse_args()
    rows = read_rows(arguments.rows)
    if arguments.page:
        arguments.page.write_text(page(rows.values(), read_tools(TOOLS)), encoding="utf-8")
        return 0
    end = time.monotonic() + arguments.seconds
    for each in arguments.sets:
        of = set_name(each) if each.is_dir() or each.suffix == ".xz" else PACKAGES
        for name, path in models_of(each):
            if (of, name) in rows or time.monotonic() > end:
                continue
            if (row := examine(of, name, path, arguments.points)) is not None:
                rows[of, name] = row
                write_rows(arguments.rows, rows.values())
                print(*row, sep=" | ", flush=True)
    return 1 if any(row.equal < row.points for row in rows.values()) else 0


def read_rows(path: Path) -> dict[tuple[str, str], Row]:
    """By set and model; nothing if there is no file."""
    if not path.exists():
        return {}
    with path.open(encoding="utf-8", newline="") as file:
        found = (Row(*row[:7], int(row[7]), float(row[8]), int(row[9]), int(row[10])) for row in list(csv.reader(file))[1:])
        return {(row.set, row.model): row for row in found}


def write_rows(path: Path, rows: Iterable[Row]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(Row._fields)
        writer.writerows(sorted(rows))


def read_tools(path: Path) -> dict[tuple[str, str], dict[str, str]]:
    """By model and tool: the results that ``scaling_tools.py`` wrote."""
    if not path.exists():
        return {}
    with path.open(encoding="utf-8", newline="") as file:
        return {(row["model"], row["tool"]): row for row in csv.DictReader(file)}


def examine(of: str, name: str, path: Path, points: int) -> Row | None:
    """The row of a model; None if it leaves no dim open."""
    source = path.read_bytes()
    graph = onnxcost.estimate(source).graph
    if not any(dim.source == "assumed" for dim in graph.dims):
        return None
    start = time.process_time()
    try:
        found = onnxcost.scaling(source)
    except OnnxCostError as error:
        names = ", ".join(dim.name for dim in graph.dims)
        return Row(of, name, names, "", "", "", str(error)[:300], 0, round(time.process_time() - start, 1), 0, 0)
    taken = time.process_time() - start
    draw, equal = random.Random(SEED), 0
    for _ in range(points):
        sizes = {dim: draw_size(draw, found.domain[dim]) for dim in found.dims}
        equal += is_equal(found, source, graph, sizes)
    growth = "; ".join(found.growth("macs", dim) for dim in found.dims)
    domain = ", ".join(f"{dim} {found.domain[dim]}" for dim in found.dims)
    notes = "; ".join(note[:300] for note in found.notes)
    macs = str(found.formula("macs"))
    return Row(
        of, name, ", ".join(found.dims), macs, growth, domain, notes, found.evaluations, round(taken, 1), equal, points
    )  # fmt: skip


def draw_size(draw: random.Random, domain: Domain) -> int:
    """Half of the sizes are drawn uniformly, half on a logarithmic scale."""
    low, high = domain.least // domain.step, domain.most // domain.step
    if draw.random() < 0.5:
        return domain.step * draw.randint(low, high)
    return domain.step * min(int((low + 1) * ((high + 1) / (low + 1)) ** draw.random()) - 1, high)


def is_equal(found: onnxcost.Scaling, source: bytes, graph: Graph, sizes: dict[str, int]) -> bool:
    """Whether all totals are those of a count; ``graph`` is the model's at other sizes."""
    totals, sizes = found.at(**sizes), {**found.fixed, **sizes}
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
    moved = report.whole.traffic
    counted = {
        "macs": report.macs, "flops": report.flops, "parameters": report.parameters, "read_bytes": moved.read_bytes,
        "write_bytes": moved.write_bytes, PEAK: report.memory.peak_activation_bytes,
    }  # fmt: skip
    return all(totals[metric] == counted[metric] for metric in totals.keys() & counted.keys())


INTRODUCTION = """# Accuracy of scaling formulas

`onnxcost scale` finds formulas in the open dims of a model ([How cost scales](scaling.md)). This page compares the formulas
with counts at {points} random sizes in their domain that were not used to find them: half of the sizes are drawn uniformly,
half log-uniformly. Equal means that the MACs, FLOPs, parameters, bytes read and written and the peak activation memory
equal those of `onnxcost estimate` at this size, if there are formulas for them. Models without open dims are not included:
the light models of the onnx package and the archives of torchvision, ultralytics, timm and transformers have no open dims.

**{exact} of {all} models have formulas that are equal at all sizes**{wrong}; {refused} have none, with the reason.

{tools}This page is generated by `scripts/benchmark/scaling.py` from stored measurements.
"""
COMPARED = """onnxsim {version} prints symbolic MACs for all open dims: of {all} models compared, they equal the counts
at all of 20 sizes for {equal}. For the others, the table has its output. tract's costs are only available on its command line,
not in its Python package, and yobx is not on PyPI, so neither is compared.

"""
TITLES: Mapping[str, str] = {
    "models": "The models of this repository", "light": "The light models of the onnx package", "decoders": "Decoders",
    PACKAGES: "Models in packages of PyPI", "published": "Published models", "unseen_c": "Models of timm and transformers",
}  # fmt: skip
COLUMNS = ("model", "dims", "MACs grow", "holds for", "counts", "CPU s", "equal at", "onnxsim")
HEADER = f"| {' | '.join(COLUMNS)} |\n|{' --- |' * 4}{' ---: |' * 3} --- |"


def page(rows: Iterable[Row], tools: Mapping[tuple[str, str], Mapping[str, str]]) -> str:
    """The generated page."""
    rows = list(rows)
    shown = [row for row in rows if row.points]
    exact = sum(row.equal == row.points for row in shown)
    differ = [row.model for row in shown if row.equal < row.points]
    results = [each["result"] for each in tools.values()]
    version, equal = next((each["version"] for each in tools.values()), ""), results.count("equal at 20 of 20")
    text = INTRODUCTION.format(
        points=POINTS,
        exact=exact,
        all=len(rows),
        refused=len(rows) - len(shown),
        tools=COMPARED.format(version=version, all=len(results), equal=equal) if results else "",
        wrong=f" (not equal: {', '.join(differ)})" if differ else "",
    )
    order = list(TITLES)
    for of in sorted({row.set for row in rows}, key=lambda name: order.index(name) if name in order else len(order)):
        text += f"\n## {TITLES.get(of, of)}\n\n{HEADER}\n"
        for row in (row for row in rows if row.set == of):
            said = tools.get((row.model, "onnxsim"), {}).get("result", "–")
            cells = [row.model, row.dims, row.growth or f"none: {row.notes}", row.domain or "–"]
            cells += [str(row.evaluations), f"{row.seconds:.1f}", f"{row.equal} of {row.points}" if row.points else "–", said]
            text += "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"
        for row in (row for row in rows if row.set == of and row.points and row.notes):
            text += f"\n{row.model}: {row.notes}.\n"
    return text


if __name__ == "__main__":
    sys.exit(main())
