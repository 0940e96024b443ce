"""A calibrated machine: its speeds by number of threads, as a result and as a file.

The file is TOML that people can read; an invalid file gives one clear line.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from onnxcost.documents import is_figure, is_whole, parse_toml, read_document, read_toml
from onnxcost.errors import InputError
from onnxcost.hardware.calibration.rates import COLD, Point, Speeds, peaks
from onnxcost.ort_optimizer.kernels import FAMILIES
from onnxcost.ort_optimizer.layout import BLOCK
from onnxcost.results import SCHEMA, Result
from onnxcost.version import __version__


class Machine(NamedTuple):
    """The calibrated machine: the device's name and memory (bytes, 0 where it is not known), the usable cores, and the software
    that ran the probes. ``blocked`` says that the runtime has a blocked layout for convolutions, of ``block`` channels a block.
    """

    device: str
    memory: int
    cores: float
    onnxruntime: str
    platform: str
    provider: str
    blocked: bool
    block: int = BLOCK


@dataclass(frozen=True, repr=False)
class Calibration(Result):
    """A machine under its given name, and its speeds by number of threads.

    ``noise`` is the median of a kernel's run times divided by the low percentile that is used: 1 on a quiet machine. Each
    kernel is timed in several rounds: for nine of ten, the second fastest round took at most ``spread`` times as long as the
    fastest; ``unsettled`` is the share of kernels whose rounds still disagreed at the end. ``load`` is other load in
    cores, None if unknown. ``interrupted``: Ctrl-C came before all kernels were timed as often as planned; kernels
    without times cannot be predicted.
    """

    name: str
    machine: Machine
    date: datetime.date
    speeds: Mapping[int, Speeds]
    noise: float
    interrupted: bool = False
    spread: float = 1.0
    unsettled: float = 0.0
    load: float | None = None

    @property
    def is_settled(self) -> bool:
        """Whether nearly all kernels took the same time in two rounds."""
        return self.unsettled <= SETTLED

    def to_dict(self) -> dict[str, Any]:
        """A document of the schema ``onnxcost/1``, with the peak rates and the timed kernels of each number of threads."""
        return {
            "schema": SCHEMA,
            "version": __version__,
            "device": self.name,
            "machine": self.machine._asdict(),
            "date": self.date.isoformat(),
            "noise": self.noise,
            "interrupted": self.interrupted,
            "spread": self.spread,
            "unsettled": self.unsettled,
            "load": self.load,
            "threads": [
                {"threads": threads, "run_seconds": found.run_seconds, "peak_flops_per_second": peaks(found).rates}
                for threads, found in self.speeds.items()
            ],
            "kernels": self.to_records(),
        }

    def to_records(self) -> list[dict[str, Any]]:
        """One row for each kernel that was timed, with each number of threads; of a family in COLD, seconds are those of a
        byte.
        """
        return [
            {"threads": threads, "family": family, "quantities": list(point.quantities), "seconds": point.seconds}
            for threads, found in self.speeds.items()
            for family, points in found.points.items()
            for point in points
        ]

    def summary(self) -> str:
        """The machine, the numbers of threads, and the number of timed kernels."""
        threads = ", ".join(map(str, self.speeds))
        return f"{self.name}, threads: {threads}; {len(self.to_records())} kernels on {self.date}"


SETTLED = 0.1
"""The share of probes whose turns may disagree in a calibration that is settled."""
FILE_SCHEMA, OLDER = "onnxcost-calibration/3", "onnxcost-calibration/2"
"""What is written, and what can be read too: its rows lack some quantities, and no output of errors."""
RETIRED = frozenset({"einsum"})
"""Families of earlier versions that are computed from others by now: their rows are not read."""
LEAST, MOST = 1e-15, 1e20
"""The range of a kernel's seconds and quantities: beyond it, a prediction would be infinite or 0."""
HEADER = """\
# How fast this machine runs models through onnxruntime: times of small models, made by `onnxcost devices calibrate`.
# Each row of a family is one kernel that was timed: its quantities, then the seconds of one run of it.
"""


def dumps(calibration: Calibration) -> str:
    """The text of the file."""
    return HEADER + "\n".join(_lines(calibration)) + "\n"


def _lines(calibration: Calibration) -> Iterator[str]:
    yield f'schema = "{FILE_SCHEMA}"'
    yield f"name = {_text(calibration.name)}"
    yield f"date = {calibration.date.isoformat()}"
    yield f"unrest = {calibration.noise:.3f}  # the median run time over the low percentile: 1 on a quiet machine"
    if calibration.interrupted:
        yield "interrupted = true  # Ctrl-C came before all kernels were timed as often as planned"
    yield f"spread = {calibration.spread:.3f}  # the second quickest turn of a probe over its quickest, in nine of ten"
    yield f"unsettled = {calibration.unsettled:.3f}  # the share of probes whose turns disagreed"
    if calibration.load is not None:
        yield f"load = {calibration.load:.2f}  # other work meanwhile, in cores"
    yield ""
    yield "[machine]"
    for key, value in calibration.machine._asdict().items():
        yield f"{key} = {_number(value) if isinstance(value, float) else _text(value)}"
    for threads, speeds in sorted(calibration.speeds.items()):
        yield from ("", f"[threads.{threads}]")
        yield f"run_seconds = {_number(speeds.run_seconds)}  # an inference, beside its kernels"
        found = peaks(speeds)
        yield from ("", f"[threads.{threads}.peak]  # the most that any of them reached")
        yield from (f"{dtype} = {_number(rate)}  # FLOP/s" for dtype, rate in found.rates.items())
        pairs = ", ".join(f"[{size}, {_number(rate)}]" for size, rate in found.bandwidths.items())
        yield f"bandwidth = [{pairs}]  # bytes that a kernel reads and writes, bytes/s"
        for family, points in speeds.points.items():
            yield from ("", f"[threads.{threads}.family.{family}]")
            yield f"quantities = [{', '.join(map(_text, names_of(family)))}]"
            if family in speeds.errors:
                yield f"error = {_number(speeds.errors[family])}  # of each row's time, predicted from the others"
            yield "rows = ["
            yield from (f"  [{', '.join(map(_number, (*point.quantities, point.seconds)))}]," for point in points)
            yield "]"


def names_of(family: str) -> tuple[str, ...]:
    """The meaning of the numbers in a family's rows."""
    if family in COLD:
        return (COLD[family], "seconds a byte")
    return (*FAMILIES[family].names, "seconds")


def _text(value: object) -> str:
    """A string or an integer in TOML, which differs from JSON in what has to be escaped by one character."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) and abs(value) < 10**18 else f"{value:.6g}"


def loads(text: str, name: str) -> Calibration:
    """The calibration in the text of the file ``name``; raises InputError for other text."""
    return _calibration(parse_toml(text, name), name)


def _calibration(document: Mapping[str, Any], name: str) -> Calibration:
    schema = document.get("schema")
    if schema not in (FILE_SCHEMA, OLDER):
        what = f"(schema {schema!r}, not '{FILE_SCHEMA}')"
        raise InputError(f"'{name}' is not a calibration that this version can read {what}: calibrate again")
    try:
        threads = {}
        for count, table in document["threads"].items():
            if not is_whole(count) or not int(count):
                raise ValueError(f"'threads.{count}' is not a number of threads")
            points = {family: _points(family, each) for family, each in table["family"].items() if family not in RETIRED}
            if "cheap" not in points:
                raise ValueError("the family 'cheap' is missing")
            errors = {family: _error(each["error"]) for family, each in table["family"].items() if "error" in each}
            threads[int(count)] = Speeds(_positive("run_seconds", table["run_seconds"]), points, errors)
        if not threads or not isinstance(document["date"], datetime.date) or not isinstance(document["name"], str):
            raise ValueError("no threads, no date, or no name")
        machine, noise = _machine(document["machine"]), _positive("unrest", document["unrest"])
        interrupted = document.get("interrupted", False) is True
        spread, unsettled = _positive("spread", document.get("spread", 1.0)), _error(document.get("unsettled", 0.0))
        load = document.get("load")
        if load is not None:
            load = _error(load)
        return Calibration(document["name"], machine, document["date"], threads, noise, interrupted, spread, unsettled, load)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"'{name}' is not a complete calibration ({type(error).__name__}: {error}): calibrate again") from None


def _machine(table: Mapping[str, Any]) -> Machine:
    for key, value in table.items():
        is_right = isinstance(value, bool if key == "blocked" else str)
        if not (is_figure(value) if key in ("memory", "cores", "block") else is_right):
            raise ValueError(f"machine.{key} is {value!r}")
    return Machine(**table)


def _positive(name: str, value: Any) -> float:
    if not is_figure(value) or not LEAST <= value <= MOST:
        raise ValueError(f"{name} is {value!r}: it must be a number above 0")
    return float(value)


def _error(value: Any) -> float:
    if not is_figure(value) or not 0 <= value <= MOST:
        raise ValueError(f"{value!r} is not a number of at least 0")
    return float(value)


def load(path: str | Path) -> Calibration:
    """The calibration in a file. Raises InputError."""
    return _calibration(read_toml(path), Path(path).name)


def is_calibration(path: str | Path) -> bool:
    """Whether a TOML file is one, and not a device's."""
    return f'schema = "{FILE_SCHEMA.partition("/")[0]}/'.encode() in read_document(path)


def _points(family: str, table: Any) -> tuple[Point, ...]:
    """The rows of a family. An older file's may lack quantities, which count as 0, and have others, which are left out."""
    if family not in COLD and family not in FAMILIES:
        raise ValueError(f"there is no family '{family}'")
    rows, names = table["rows"], names_of(family)
    width = len(names)
    given = tuple(table["quantities"])
    if given != names:  # of an earlier version: what was not there counts as 0
        rows = [[dict(zip(given, row, strict=True)).get(name, 0) for name in names] for row in rows]
    if not rows or any(len(row) != width for row in rows):
        raise ValueError(f"a row of '{family}' must have {width} numbers")
    for *quantities, seconds in rows:
        # Rows of a cold family have seconds per byte, interpolated by the logarithm of their quantity.
        least, least_quantity = (0, 1) if family in COLD else (LEAST, 0)
        is_right = all(map(is_figure, (*quantities, seconds))) and least <= seconds <= MOST
        if not is_right or not all(least_quantity <= quantity <= MOST for quantity in quantities):
            raise ValueError(f"a row of '{family}' has a number that no kernel can have: {[*quantities, seconds]}")
    return tuple(Point(tuple(map(float, row[:-1])), float(row[-1])) for row in rows)
