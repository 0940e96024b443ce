"""What a scan found of each of many models: one JSON line a model, its counts under the keys of the schema ``onnxcost/1``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from onnxcost.schema import SCHEMA
from onnxcost.version import __version__

Document = Mapping[str, Any]


class Stamp(NamedTuple):
    """What tells a file from what it was before: its size, and when it was last written, in nanoseconds since 1970."""

    bytes: int
    modified_ns: int


@dataclass(frozen=True, slots=True)
class Scanned:
    """A model of a scan, and in how many ``seconds`` it was done. ``reason`` says why its ``status`` is not "ok":

    "unmeasured", it was counted but could not be run; "broken", it could not be counted; "unfinished", its process ran out of
    time or of memory or crashed, so that another try may do better. ``report`` is ``CostReport.to_dict()`` without the nodes,
    and the measurement without its samples; None for a model that was not counted. ``options`` are those of the scan.
    """

    path: str
    status: str
    reason: str = ""
    seconds: float = 0.0
    file: Stamp | None = None
    options: Document = field(default_factory=dict)
    report: Document | None = None
    version: str = __version__

    @property
    def is_counted(self) -> bool:
        """Whether there are figures."""
        return self.report is not None

    def to_dict(self) -> dict[str, Any]:
        """The JSON line as plain data: the scan's own keys, and behind them those of the report."""
        return {
            "schema": SCHEMA,
            "version": self.version,
            "path": self.path,
            "status": self.status,
            "reason": self.reason or None,
            "seconds": round(self.seconds, 6),
            "file": None if self.file is None else self.file._asdict(),
            "options": dict(self.options),
            **(self.report or {}),
        }

    @classmethod
    def from_dict(cls, line: Document) -> Scanned:
        """What ``to_dict`` made; raises KeyError or TypeError for anything else."""
        own = ("schema", "version", "path", "status", "reason", "seconds", "file", "options")
        path, status, reason, seconds, file, options = (line[key] for key in own[2:])
        if line["schema"] != SCHEMA:
            raise KeyError("schema")
        report = {key: value for key, value in line.items() if key not in own}
        stamp = None if file is None else Stamp(**file)
        return cls(path, status, reason or "", seconds, stamp, options, report or None, line["version"])


def stamp_of(path: str) -> Stamp | None:
    """The file's stamp as it is now; None where there is no such file."""
    try:
        status = os.stat(path)  # noqa: PTH116  # pathlib costs time, a thousand times over
    except (OSError, ValueError):
        return None
    return Stamp(status.st_size, status.st_mtime_ns)


def key_of(path: str) -> str:
    """The same for all ways to write a path."""
    return os.path.abspath(path)  # noqa: PTH100
