"""The results of a scan: one JSON line for each model, with its counts under the keys of the schema ``onnxcost/1``."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from onnxcost.comparison.candidates import METRICS, Candidate, rank
from onnxcost.comparison.saved import read_candidate
from onnxcost.conventions import CONVENTIONS
from onnxcost.documents import is_figure, to_json
from onnxcost.remote.urls import is_remote, redact
from onnxcost.results import SCHEMA, Result
from onnxcost.version import __version__

Document = Mapping[str, Any]
STATUSES = ("ok", "unmeasured", "failed", "unfinished")


class Stamp(NamedTuple):
    """The state of a file: its size, and when it was last written, in nanoseconds since 1970; at a URL, the server's identifier
    of its content, such as an ETag.
    """

    bytes: int | None
    modified_ns: int | None = None
    mark: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """The known fields."""
        return {key: value for key, value in self._asdict().items() if value is not None}


@dataclass(frozen=True, slots=True, repr=False)
class Scanned(Result):
    """The result for one model of a scan, which took ``seconds``. ``reason`` says why its ``status`` is not "ok".

    "unmeasured": it was counted but could not be run; "failed": it could not be counted; "unfinished": its process ran out of
    time or memory or crashed, so another attempt may succeed. ``report`` is ``CostReport.to_dict()`` without the nodes, with
    the measurement without its samples; None for a model that was not counted. ``options`` are those of the scan.
    """

    path: str
    status: str
    reason: str = ""
    seconds: float = 0.0
    file: Stamp | None = None
    options: Document = field(default_factory=dict)
    report: Document | None = None
    version: str = __version__

    def to_dict(self) -> dict[str, Any]:
        """The JSON line as plain data: the scan's own keys, followed by those of the report."""
        return {
            "schema": SCHEMA,
            "version": self.version,
            "path": self.path,
            "status": self.status,
            "reason": self.reason or None,
            "seconds": self.seconds,
            "file": None if self.file is None else self.file.to_dict(),
            "options": dict(self.options),
            **(self.report or {}),
        }

    def to_records(self) -> list[dict[str, Any]]:
        """One row: the path, the status, and the known metrics. ``pandas.concat`` joins the rows of a scan."""
        found = _candidate(self.path, self)
        row = {"path": self.path, "status": self.status, "reason": self.reason or None, "seconds": self.seconds}
        return [row | {name: found.values.get(name) if found else None for name in METRICS}]

    def summary(self) -> str:
        """The path, the status, and the counts or the reason."""
        totals = (self.report or {}).get("totals")
        counts = f"{totals['macs']} MACs, {totals['flops']} FLOPs, {totals['parameters']} parameters" if totals else ""
        return f"{self.path}: {', '.join(filter(None, (self.status, self.reason, counts)))}"

    def to_line(self) -> str:
        """The JSON line, with its line break."""
        return to_json(self.to_dict()) + "\n"

    @classmethod
    def from_dict(cls, line: Document) -> Scanned:
        """The inverse of ``to_dict``; raises KeyError, TypeError, ValueError or InputError for anything else."""
        if line["schema"] != SCHEMA:
            raise KeyError("schema")
        own = ("path", "status", "reason", "seconds", "file", "options")
        path, status, reason, seconds, file, options = (line[key] for key in own)
        texts, stamp = (path, reason or "", line["version"]), None if file is None else Stamp(**file)
        if not all(isinstance(text, str) for text in texts) or status not in STATUSES or not isinstance(options, dict):
            raise TypeError("a string, the status or the options")
        if not is_figure(seconds) or not (stamp is None or _is_stamp(stamp)):
            raise TypeError("a number")
        report = {key: value for key, value in line.items() if key not in own} if "totals" in line else None
        found = cls(path, status, reason or "", seconds, stamp, options, report, line["version"])
        _candidate(path, found)
        return found


def _is_stamp(stamp: Stamp) -> bool:
    size, modified, mark = stamp
    is_local = modified is not None and mark is None and type(size) is type(modified) is int
    return is_local or (modified is None and isinstance(mark, str) and (size is None or type(size) is int))


def stamp_of(path: str) -> Stamp | None:
    """The file's current stamp; None if there is no such file."""
    try:
        status = os.stat(path)  # noqa: PTH116  # pathlib is slow for thousands of files
    except (OSError, ValueError):
        return None
    return Stamp(status.st_size, status.st_mtime_ns)


def key_of(path: str) -> str:
    """A key that is the same for all spellings of a path."""
    return redact(path) if is_remote(path) else os.path.abspath(path)  # noqa: PTH100


class ScanRow(NamedTuple):
    """A model of a scan for display; ``candidate`` has the figures, None for a model that was not counted."""

    label: str
    result: Scanned
    candidate: Candidate | None

    @property
    def reason(self) -> str:
        """Why it was not counted or not run, without the path."""
        return self.result.reason.removeprefix(f"{self.result.path} ")


class Scan(NamedTuple):
    """All models of a scan in the order of display; ``sort`` is the name of the metric by which they are sorted."""

    rows: tuple[ScanRow, ...]
    sort: str | None = None

    @property
    def metrics(self) -> list[str]:
        """The metrics to show: those that any model has; of the conventions, only macs, flops and the one to sort by."""
        known = {name for row in self.rows if row.candidate for name in row.candidate.values}
        asked = {"macs", "flops", self.sort}
        return [name for name in METRICS if name in known and (name not in CONVENTIONS or name in asked)]

    def having(self, *statuses: str) -> list[ScanRow]:
        """The models with one of these statuses."""
        return [row for row in self.rows if row.result.status in statuses]


def build_scan(labeled: Iterable[tuple[str, Scanned]], sort: str | None = None) -> Scan:
    """The results for display: in their order, or sorted by a metric, the best first and models not counted last."""
    rows = [ScanRow(label, result, _candidate(label, result)) for label, result in labeled]
    if sort is None:
        return Scan(tuple(rows))
    places = {candidate.label: at for at, candidate in enumerate(rank([row.candidate for row in rows if row.candidate], sort))}
    return Scan(tuple(sorted(rows, key=lambda row: places.get(row.label, len(places)))), sort)


def _candidate(label: str, result: Scanned) -> Candidate | None:
    return None if result.report is None else read_candidate({**result.report, "nodes": ()}, label)
