"""Fit the times of published measurements, and write the results for the package: coefficients, levels, bands, quoted figures.

    python -m scripts.evidence.fit EVIDENCE GRAPHS [--write]

Set-up: ``pip install .`` EVIDENCE is a folder of CSV files of published measurements, with the columns that
scripts/evidence/figures.py reads; GRAPHS has the models that scripts/evidence/export_models.py exported. Without --write, only
the table of coverages is printed.

The time of a model on a device is ``level × sum(coefficient × term)``. A term is the MACs of a kind of contraction over the
device's peak, bytes over its bandwidth, or the number of steps; coefficients belong to a runtime and a type, the level to a
device with that runtime. Errors are those of held-out figures: all figures of a device, of an architecture family, or of both
are left out together. A band contains 90 % of the errors, with each pair of a device and a family counted once.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from onnxcost.hardware.backends import BACKENDS, backends_of
from onnxcost.hardware.catalogue import catalogue
from onnxcost.hardware.evidence import LatencyFit, nearness, terms
from scripts.evidence.figures import Figure, read, sources
from scripts.evidence.processors import Processor, processor_of

Vector = NDArray[np.float64]
Mask = NDArray[np.bool_]
TARGET = Path(__file__).resolve().parents[2] / "onnxcost" / "hardware" / "evidence.json"


class Rows(NamedTuple):
    """The figures of a fit: terms (rows, 8), log seconds, and for each row the number of its device, its model, its family."""

    terms: Vector
    times: Vector
    devices: NDArray[np.int64]
    models: NDArray[np.int64]
    families: NDArray[np.int64]

    def where(self, mask: NDArray[np.bool_]) -> Rows:
        """The rows of the mask."""
        return Rows(*(column[mask] for column in self))


PRIORS: Mapping[str, Sequence[float]] = {
    "cpu": (1.2, 2.0, 2.0, 6.0, 3.0, 1.5, 1.5, 3.0),
    "gpu": (1.5, 2.0, 2.0, 15.0, 3.0, 1.5, 2.0, 6.0),
    "npu": (2.0, 2.0, 2.0, 8.0, 4.0, 2.0, 3.0, 5.0),
}
"""Initial coefficients by part: the inverse of typical shares of the peak and the bandwidth, and µs per step."""
STIFFNESS = 0.3
"""The weight of the prior of the coefficients: it matters if there are few figures."""
ROBUST = 0.3
"""Errors beyond this, in natural logarithms, count less than their square."""


def solve(rows: Rows, prior: Sequence[float]) -> Vector:
    """Logarithms of the coefficients, by damped Gauss-Newton steps. Each device's level is whatever fits its figures best."""
    _, place = np.unique(rows.devices, return_inverse=True)
    counts = np.bincount(place)
    start = point = np.log(np.asarray(prior))
    # A device with many models weighs more than one with few, but not in proportion.
    weights = np.sqrt(counts.mean() / counts)[place]

    def center(values: Vector, weight: Vector) -> Vector:
        """Subtracts the weighted mean of each device."""
        sums = np.zeros((len(counts), values.shape[1]))
        np.add.at(sums, place, weight[:, None] * values)
        return values - (sums / np.bincount(place, weight)[:, None])[place]

    best, damping = np.inf, 1e-2
    step = np.zeros_like(point)
    for _ in range(STEPS):
        trial = point + step
        shares = rows.terms * np.exp(trial)
        errors = rows.times - np.log(shares.sum(1))
        errors = center(errors[:, None], weights)[:, 0]
        cost = float((2 * ROBUST**2 * weights * np.sqrt(1 + (errors / ROBUST) ** 2)).sum())
        cost += STIFFNESS * float(((trial - start) ** 2).sum())
        if cost < best:
            is_done = best - cost < 1e-7
            point, best, damping = trial, cost, max(damping / 3, 1e-7)
            weight = weights / np.sqrt(1 + (errors / ROBUST) ** 2)
            slopes = center(shares / shares.sum(1, keepdims=True), weight)
            matrix = (slopes * weight[:, None]).T @ slopes + STIFFNESS * np.eye(len(point))
            gradient = (slopes * weight[:, None]).T @ center(errors[:, None], weight)[:, 0] - STIFFNESS * (point - start)
            if is_done:
                break
        else:
            damping *= 4
        step = np.linalg.solve(matrix + damping * np.diag(np.diag(matrix)), gradient)
    return point


STEPS = 60


class Table(NamedTuple):
    """The figures of a fit, and their rows."""

    figures: Sequence[Figure]
    processors: Sequence[Processor]
    rows: Rows
    prior: Sequence[float]

    @classmethod
    def of(cls, found: Sequence[tuple[Figure, Processor]], part: str) -> Table:
        """The figures as numbers."""
        figures, processors = [figure for figure, _ in found], [processor for _, processor in found]
        names = (
            [each.device for each in figures],
            [each.model.name for each in figures],
            [each.model.family for each in figures],
        )
        rows = Rows(
            np.array([terms(each.model.counts, ran.rates) for each, ran in found]),
            np.log([each.seconds for each in figures]),
            *(np.unique(column, return_inverse=True)[1] for column in names),
        )
        return cls(figures, processors, rows, PRIORS[part])

    def fit(self, training: Mask) -> tuple[LatencyFit, Vector]:
        """A fit to the rows of the mask, at the level of its median device, and the errors of all rows: the logarithms of
        measured over fitted times.
        """
        point = solve(self.rows.where(training), self.prior)
        found = self.rows.times - np.log(self.rows.terms @ np.exp(point))
        middle = np.median(list(levels(found, self.rows.devices, training).values()))
        return LatencyFit(tuple(point + middle)), found - middle

    def nearness(self, fit: LatencyFit, row: int, beside: Sequence[int]) -> Vector:
        """The weights of a device's other figures for a model, as the package sets them."""
        counts = [self.figures[each].model.counts for each in (row, *beside)]
        near = np.array([nearness(fit, self.processors[row].rates, counts[0], other) for other in counts[1:]])
        return near / near.sum()


def levels(errors: Vector, devices: NDArray[np.int64], among: Mask) -> dict[int, float]:
    """The median error of each device."""
    return {int(device): float(np.median(errors[among & (devices == device)])) for device in np.unique(devices[among])}


def model_errors(table: Table, errors: Vector, among: Mask) -> dict[int, float]:
    """The median over devices of each model's remaining error, if at least two devices ran it."""
    rows = table.rows
    level = levels(errors, rows.devices, among)
    left = errors - np.array([level.get(int(device), 0.0) for device in rows.devices])
    found = {}
    for model in np.unique(rows.models[among]):
        mine = among & (rows.models == model)
        if len(np.unique(rows.devices[mine])) >= LEAST_DEVICES:
            found[int(model)] = float(np.median(left[mine]))
    return found


LEAST_DEVICES = 2
"""A model's own error is known if at least this many devices ran it."""
LEAST_ROWS = 8
"""A fit needs at least this many rows."""
HELD, HELD_BY_FEW, HELD_BY_BOARDS = 0.9, 0.92, 0.8
"""The share of errors that a band contains, and that of a band of fewer devices than FEW, because a new device is then more
likely to be outside. One of eight boards with a common chip took twice the time of the others.
"""
FEW = 8
Errors = list[tuple[int, int, float]]
"""Errors of held-out figures, with the numbers of their device and family."""


def leave_out(table: Table) -> dict[str, Errors]:
    """The errors by kind of evidence, as if a figure's device, family or both had not been in the fit."""
    rows, found = table.rows, defaultdict[str, Errors](list)
    names = [figure.model.name for figure in table.figures]
    for device in np.unique(rows.devices):
        own = rows.devices == device
        for family in np.unique(rows.families[own]):
            asked, training = own & (rows.families == family), ~own & (rows.families != family)
            if training.sum() < LEAST_ROWS:
                continue
            fit, errors = table.fit(training)
            beside = np.flatnonzero(own & ~asked)
            usual = [each for each in beside if names[each] == USUAL_ANCHOR]
            for row in np.flatnonzero(asked):
                case = (int(device), int(family))
                found["fitted"].append((*case, float(errors[row])))
                if len(beside):
                    found["anchored"].append((*case, float(errors[row] - table.nearness(fit, row, beside) @ errors[beside])))
                if usual:
                    found["single"].append((*case, float(errors[row] - errors[usual[0]])))
        if (training := ~own).sum() < LEAST_ROWS:
            continue
        _, errors = table.fit(training)
        known = model_errors(table, errors, training)
        for row in np.flatnonzero(own):
            if (mean := known.get(int(rows.models[row]))) is None:
                continue
            case = (int(device), int(rows.families[row]))
            found["known"].append((*case, float(errors[row] - mean)))
            others = [each for each in np.flatnonzero(own) if names[each] != names[row]]
            if others:
                ratio = np.median([errors[each] - known.get(int(rows.models[each]), 0.0) for each in others])
                found["sister"].append((*case, float(errors[row] - mean - ratio)))
    return found


USUAL_ANCHOR = "mobilenet_v2"
"""The model that users are asked to measure."""


def band_of(errors: Errors, held: float = 0.0) -> tuple[float, float]:
    """The shortest interval that contains the share of the errors (0: HELD), with each pair of a device and a family counted
    once.
    """
    cells = Counter((device, family) for device, family, _ in errors)
    ranked = sorted((error, 1 / cells[device, family]) for device, family, error in errors)
    values, weights = np.array([value for value, _ in ranked]), np.array([weight for _, weight in ranked])
    total = np.concatenate([[0.0], np.cumsum(weights) / weights.sum()])
    # Conformal prediction uses n + 1 instead of n: for few pairs the interval contains more than the share, up to all.
    held = held or (HELD_BY_FEW if len({device for device, *_ in errors}) < FEW else HELD)
    share = min(held * (len(cells) + 1) / len(cells), 1.0)
    ends = np.searchsorted(total, total[:-1] + share - 1e-9)
    spans = [(values[end - 1] - values[start], start, end - 1) for start, end in enumerate(ends) if end <= len(values)]
    _, start, end = min(spans)
    return float(values[start]), float(values[end])


def coverage(errors: Errors, by: int, held: float = 0.0) -> float:
    """The share of errors inside the band of the other devices (0) or families (1), each of these counted once."""
    shares = []
    for group in {error[by] for error in errors}:
        others = [error for error in errors if error[by] != group]
        if others:
            low, high = band_of(others, held)
            shares.append(np.mean([low <= value <= high for *case, value in errors if case[by] == group]))
    return float(np.mean(shares)) if shares else float("nan")


SAME_CHIP = ("RK3588", "RK3568", "RK3566", "RK3399", "Orin NX", "A311D")
"""Chips with several boards that were measured by different people, to see how much their figures differ."""


def repeated(found: Iterable[tuple[Figure, Processor]]) -> Errors:
    """Logarithms of the ratio of a board's figures to the median of other boards with its chip and as many threads."""
    alike: dict[tuple[str, ...], list[Figure]] = defaultdict(list)
    for figure, processor in found:
        if chip := chip_of(figure.device):
            setting = f"{figure.threads} {figure.setting}"
            alike[chip, figure.runtime, processor.rates.dtype, figure.model.name, setting].append(figure)
    boards = sorted({figure.device for figures in alike.values() for figure in figures})
    families = sorted({figure.model.family for figures in alike.values() for figure in figures})
    errors = []
    for figures in alike.values():
        for figure in figures if len(figures) > 1 else ():
            usual = np.median([np.log(other.seconds) for other in figures if other is not figure])
            case = (boards.index(figure.device), families.index(figure.model.family))
            errors.append((*case, float(np.log(figure.seconds) - usual)))
    return errors


def chip_of(device: str) -> str:
    """The chip of a board, if it is one of SAME_CHIP."""
    return next((chip for chip in SAME_CHIP if re.search(rf"{chip}s?\b", device, re.IGNORECASE)), "")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("evidence", type=Path)
    parser.add_argument("graphs", type=Path)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    figures = read(options.evidence, options.graphs)
    found = [(figure, ran) for figure in figures if (ran := processor_of(figure, options.evidence))]
    groups: dict[tuple[str, str, str], list[tuple[Figure, Processor]]] = defaultdict(list)
    for figure, ran in found:
        dtype = {"tf32": "float32"}.get(ran.rates.dtype, ran.rates.dtype)
        groups[figure.runtime, dtype, ran.isa].append((figure, ran))
    tables = {key: Table.of(rows, BACKENDS[key[0]].part) for key, rows in sorted(groups.items()) if len(rows) >= LEAST_ROWS}
    errors = {key: leave_out(table) for key, table in tables.items()}
    published = repeated(found)
    for line in report(tables, errors, published):
        print(line)
    print(f"\n{overall(tables, errors)}\n{overall(tables, errors, 'onnxruntime-c')}")
    if options.write:
        document = build(tables, errors, published, sources(options.evidence))
        TARGET.write_text(dump(document), encoding="utf-8")
        print(f"{TARGET}: {TARGET.stat().st_size:,} bytes")
    return 0


KINDS = ("sister", "anchored", "single", "known", "fitted")
LEAST_ERRORS = 8
"""A band needs at least this many errors."""


def report(
    tables: Mapping[tuple[str, str, str], Table], errors: Mapping[tuple[str, str, str], dict[str, Errors]], published: Errors
) -> Iterator[str]:
    """The table of widths and coverages."""
    yield "| runtime | type | CPU | figures | devices | models | evidence | band | width | by device | by family |"
    yield "| --- | --- | --- | ---: | ---: | ---: | --- | --- | ---: | ---: | ---: |"
    yield f"| all | | | {len(published)} | | | published | {_band_cells(published, HELD_BY_BOARDS)} |"
    for (runtime, dtype, isa), table in tables.items():
        counts = [len(set(column)) for column in (table.rows.devices, table.rows.models)]
        for kind in KINDS:
            if len(found := errors[runtime, dtype, isa][kind]) >= LEAST_ERRORS:
                cells = (runtime, dtype, isa, str(len(table.figures)), *map(str, counts), kind, _band_cells(found))
                yield f"| {' | '.join(cells)} |"


def overall(
    tables: Mapping[tuple[str, str, str], Table], errors: Mapping[tuple[str, str, str], dict[str, Errors]], runtime: str = ""
) -> str:
    """How many figures are inside the bands of the others if the model or the device has other figures, and how wide the bands
    are: "sister" if the model has figures on other devices, else "anchored".
    """
    cases: list[tuple[int, float, float]] = []
    for key, table in tables.items():
        own, count = errors[key], len(table.figures)
        for kind in ("sister", "anchored") if key[0].startswith(runtime) else ():
            if len(own[kind]) >= LEAST_ERRORS and count > 0:
                low, high = band_of(own[kind])
                shares = [share for by in (0, 1) if np.isfinite(share := coverage(own[kind], by))]
                cases.append((min(len(own[kind]), count), float(np.mean(shares)), float(np.exp(high - low))))
                count -= len(own[kind])
    counts, shares, widths = (np.array(column) for column in zip(*cases, strict=True))
    narrow = counts[widths <= WIDE].sum() / counts.sum()
    return (
        f"{runtime or 'all runtimes'}: of {counts.sum()} figures {100 * counts @ shares / counts.sum():.0f} % inside, "
        f"{100 * narrow:.0f} % of bands at most {WIDE} wide, the median {np.median(np.repeat(widths, counts)):.2f}"
    )


WIDE = 2.4
"""The largest ratio of the ends of a band that is still useful to choose a device."""


def _band_cells(errors: Errors, held: float = 0.0) -> str:
    low, high = np.exp(band_of(errors, held))
    inside = [f"{100 * share:.0f} %" if np.isfinite(share := coverage(errors, by, held)) else "–" for by in (0, 1)]
    return f"× {low:.2f} – {high:.2f} | {high / low:.2f} | {' | '.join(inside)}"


def build(
    tables: Mapping[tuple[str, str, str], Table],
    errors: Mapping[tuple[str, str, str], dict[str, Errors]],
    published: Errors,
    documents: Mapping[str, str],
) -> dict[str, Any]:
    """The document of evidence.json. It quotes the figures of devices of the catalog, one for each runtime, type and model."""
    fits, models = [], {}
    quoted: dict[str, dict[str, dict[str, float]]] = defaultdict(lambda: defaultdict(dict))
    named: dict[str, dict[str, str]] = defaultdict(dict)
    for (runtime, dtype, isa), table in tables.items():
        rows, everything = table.rows, np.ones(len(table.figures), bool)
        fit, left = table.fit(everything)
        own = model_errors(table, left, everything)
        ran = zip(table.figures, table.processors, strict=True)
        shares = [fit.shares(figure.model.counts, processor.rates) for figure, processor in ran]
        numbers = {table.figures[row].model.name: int(rows.models[row]) for row in range(len(table.figures))}
        bands = {kind: each for kind in KINDS if len(each := errors[runtime, dtype, isa][kind]) >= LEAST_ERRORS}
        if BACKENDS[runtime].part == "npu":
            bands = {{"anchored": "nearest"}.get(kind, kind): each for kind, each in bands.items()}
        fits.append({
            "runtime": runtime, "dtype": dtype, "isa": isa, "points": len(table.figures), "devices": len(set(rows.devices)),
            "coefficients": [round(float(each), 4) for each in fit.coefficients],
            "macs": [float(f"{edge(each.model.counts.macs for each in table.figures):.4g}") for edge in (min, max)],
            "most": [round(max(column), 3) for column in zip(*shares, strict=True)],
            "bands": {"published": _round_band(published, HELD_BY_BOARDS)} | {key: _round_band(bands[key]) for key in bands},
            "models": {name: round(own[number], 3) for name, number in sorted(numbers.items()) if number in own},
        })  # fmt: skip
        for figure in table.figures:
            if figure.catalogue in catalogue() and runtime in backends_of(catalogue()[figure.catalogue]):
                quoted[figure.catalogue][f"{runtime} {dtype}"][figure.model.name] = float(f"{figure.seconds:.4g}")
                named[figure.catalogue][runtime] = documents.get(figure.source, figure.source)
                models[figure.model.name] = [figure.model.side, *(float(f"{each:.5g}") for each in figure.model.counts)]
    for fit in fits:
        fit["models"] = {name: error for name, error in fit["models"].items() if name in models}
    return {"fits": fits, "models": dict(sorted(models.items())), "figures": quoted, "sources": named}


def _round_band(errors: Errors, held: float = 0.0) -> list[float | None]:
    shares = [round(share, 2) if np.isfinite(share := coverage(errors, by, held)) else None for by in (0, 1)]
    return [*(round(edge, 3) for edge in band_of(errors, held)), *shares]


def dump(document: Mapping[str, Any]) -> str:
    """JSON with a line for each entry of the second level."""
    parts = []
    for key, value in document.items():
        pairs = value.items() if isinstance(value, dict) else ((None, each) for each in value)
        lines = [f"{json.dumps(name)}: {json.dumps(each)}" if name else json.dumps(each) for name, each in pairs]
        marks = "{}" if isinstance(value, dict) else "[]"
        parts.append(f"{json.dumps(key)}: {marks[0]}\n" + ",\n".join(lines) + f"\n{marks[1]}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


if __name__ == "__main__":
    sys.exit(main())
