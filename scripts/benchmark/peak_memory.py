"""How far the estimated peaks of the activations and of the process are from onnxruntime's, as a Markdown table.

    python -m scripts.benchmark.peak_memory [SET ...]

Set-up: ``pip install .`` A set is a folder of models, an archive of them, or a model. Without sets, it takes models/, the light
models of the onnx package, and the archives in tests/data. It leaves out models with more than 600 MB of weights (--weights) or
10 G MACs (--macs) and, with the reason on stderr, those that cannot be measured.

The activations are estimated as ``onnxcost MODEL`` prints them, the process as ``onnxcost budget`` does. Each model is measured
in a process of its own. The measurements are kept in tests/data/peak_memory.csv (--measured), which the tests of memory fit
use; a model in it is estimated again, but measured again only with --again.
"""

from __future__ import annotations

import argparse
import csv
import sys
import tarfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import NamedTuple

import onnx

import onnxcost
from onnxcost.frontend.file_kinds import FILE_BYTES
from onnxcost.hardware.budget import judge
from onnxcost.hardware.catalogue import find_device
from onnxcost.hardware.limits import Limits
from onnxcost.hardware.memory_fit import memory_on_cpu
from onnxcost.hardware.prediction import FITS, LEVELS
from onnxcost.hardware.roofline import Roofline
from onnxcost.render.units import binary

ROOT = Path(__file__).parents[2]
DATA = ROOT / "tests" / "data"
LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
SETS = (ROOT / "models", LIGHT, *(DATA / f"{name}.tar.xz" for name in ("published", "torchvision", "ultralytics", "unseen_c")))
COLUMNS = ("model", "estimated", "measured", "error", "at", "process, estimated", "measured", "error")
HEADER = f"| {' | '.join(COLUMNS)} |\n| --- |{' ---: |' * (len(COLUMNS) - 1)}"
FIELDS = ("set", "model", "activation_bytes", "process_bytes")
CPU = "core-i5-12400"
"""Any CPU of the catalog whose memory can be set."""


class Took(NamedTuple):
    """Measured peaks in bytes: of the activations, and of the process."""

    activations: int
    process: int


class Row(NamedTuple):
    """Peaks of one model, bytes: of its activations, estimated while ``operator`` runs, and of the process. ``level`` is the
    verdict of ``onnxcost budget`` on a device with one byte less than the process took.
    """

    name: str
    estimated: int
    operator: str
    budgeted: int
    took: Took
    level: str

    @property
    def error(self) -> float:
        """The error of the activations, as a share of the measurement."""
        return self.estimated / self.took.activations - 1

    @property
    def process_error(self) -> float:
        """The error of the process, as a share of the measurement."""
        return self.budgeted / self.took.process - 1

    def __str__(self) -> str:
        cells = [self.name, binary(self.estimated), binary(self.took.activations), percent(self.error), self.operator]
        cells += [binary(self.budgeted), binary(self.took.process), percent(self.process_error)]
        return f"| {' | '.join(cells)} |"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sets", nargs="*", type=Path, default=SETS)
    parser.add_argument("--measured", type=Path, default=DATA / "peak_memory.csv", help="file of what was measured")
    parser.add_argument("--again", action="store_true", help="measure all anew")
    parser.add_argument("--weights", type=float, default=600e6, help="most bytes of weights")
    parser.add_argument("--macs", type=float, default=10e9, help="most MACs")
    options = parser.parse_args()
    known = {} if options.again else read_measured(options.measured)
    everything = []
    print(HEADER)
    for each in options.sets:
        rows = []
        for name, model in models_of(each):
            try:
                report = onnxcost.estimate(model)
                took = known.get((set_name(each), name))
                if took is None and report.memory.weight_bytes <= options.weights and report.macs <= options.macs:
                    took = known[set_name(each), name] = measure(model, report)
                    write_measured(options.measured, known)
            except onnxcost.OnnxCostError as error:
                print(f"{name}: {error}", file=sys.stderr)
                continue
            if took is not None and report.memory.peak is not None:
                rows.append(row(name, report, took))
                print(rows[-1], flush=True)
        everything.append((set_name(each), rows))
    print(f"\n{summary(everything)}")
    return 0


def set_name(path: Path) -> str:
    return path.name.partition(".")[0]


def models_of(path: Path) -> Iterator[tuple[str, Path]]:
    """The models of a set by name; those of an archive exist until the next one is requested."""
    if path.name.endswith(".tar.xz"):
        with tarfile.open(path) as archive, TemporaryDirectory() as folder:
            for member in sorted(archive, key=lambda member: member.name):
                content = archive.extractfile(member) if member.name.endswith(".onnx") else None
                if content is not None:
                    model = Path(folder, "model.onnx")
                    model.write_bytes(as_it_is(content.read()))
                    yield member.name.removesuffix(".onnx"), model
    elif path.is_dir():
        for model in sorted(path.rglob("*.onnx")):
            yield str(model.relative_to(path).with_suffix("")), model
    else:
        yield path.stem, path


def as_it_is(content: bytes) -> bytes:
    """A skeleton without the size of the complete file: its weights are next to it when it runs."""
    model = onnx.load_from_string(content)
    kept = [entry for entry in model.metadata_props if entry.key != FILE_BYTES]
    del model.metadata_props[:]
    model.metadata_props.extend(kept)
    return bytes(model.SerializeToString())


def read_measured(path: Path) -> dict[tuple[str, str], Took]:
    """By set and model; nothing if there is no file."""
    if not path.exists():
        return {}
    with path.open(newline="") as file:
        rows = csv.DictReader(file)
        return {(row["set"], row["model"]): Took(int(row["activation_bytes"]), int(row["process_bytes"])) for row in rows}


def write_measured(path: Path, known: Mapping[tuple[str, str], Took]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(FIELDS)
        writer.writerows((*key, *took) for key, took in sorted(known.items()))


def measure(model: Path, report: onnxcost.CostReport) -> Took:
    """Three runs, as the second is the first to use the arena's plan; raises OnnxCostError."""
    memory = onnxcost.measure(model, runs=2, warmup=1, report=report, arena=True, timeout=600).memory
    if not memory.arena_activation_bytes or not memory.peak_rss_bytes:
        raise onnxcost.MeasurementError("neither the arena nor the system says what it took")
    return Took(memory.arena_activation_bytes, memory.peak_rss_bytes)


def row(name: str, report: onnxcost.CostReport, took: Took) -> Row:
    """One model's line of the table."""
    peak = report.memory.peak
    assert peak is not None
    operator = peak.node.op_type if peak.node is not None else ""
    return Row(name, peak.nbytes, operator, sum(memory_on_cpu(report).values()), took, level_without(report, took.process))


def level_without(report: onnxcost.CostReport, nbytes: int) -> str:
    """The verdict on the memory of a device that has one byte less."""
    verdict = judge(Roofline(find_device(f"{CPU},memory={nbytes - 1}B")), report, Limits())
    return next(check.level for check in verdict.checks if check.what == "memory")


def percent(error: float) -> str:
    """A plain 0 means that not a byte differs."""
    return f"{100 * error:+.1f} %".replace("-", "−") if error else "0"


def summary(sets: Sequence[tuple[str, Sequence[Row]]]) -> str:
    """The errors of each set and of all."""
    columns = (
        *("set", "models", "activations, median error", "within ±10 %", "from", "to"),
        *("process, median error", "within ±15 %", "from", "to"),
    )
    lines = [f"| {' | '.join(columns)} |", f"| --- |{' ---: |' * (len(columns) - 1)}"]
    together = [row for _, rows in sets for row in rows]
    for name, rows in (*sets, ("all", together)):
        if rows:
            cells = [name, str(len(rows))]
            for errors, limit in (([row.error for row in rows], 0.1), ([row.process_error for row in rows], 0.15)):
                cells += [f"{100 * median(map(abs, errors)):.1f} %", share_within(errors, limit)]
                cells += [percent(min(errors)), percent(max(errors))]
            lines.append(f"| {' | '.join(cells)} |")
    levels = Counter(row.level for row in together)
    said = ", ".join(f"{level} {levels[level]}" for level in LEVELS if level in (FITS, *levels))
    lines += ["", f"Of a device with one byte less than the process took, `onnxcost budget` says: {said}."]
    return "\n".join(lines)


def share_within(errors: Sequence[float], limit: float) -> str:
    return f"{100 * sum(abs(error) <= limit for error in errors) / len(errors):.0f} %"


if __name__ == "__main__":
    sys.exit(main())
