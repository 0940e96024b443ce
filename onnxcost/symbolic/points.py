"""The points of a sweep: the sizes of each, its cost, its time, and its verdicts on devices."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, product
from math import prod
from typing import Any, NamedTuple

from onnxcost.analysis.batch import batch_of
from onnxcost.errors import InputError
from onnxcost.graph import BoundDim, Caveat
from onnxcost.hardware.prediction import Verdict
from onnxcost.measurement import Measurement, MeasurementResult, Unmeasured
from onnxcost.report import CostReport

MOST_POINTS, MOST_MEASURED = 1000, 64
"""The most combinations that are counted, and that are timed: each of these takes seconds and a process."""

Shape = tuple[int, ...]


class SweepAxes(NamedTuple):
    """What varies: the sizes of dims by their symbol, and the shapes of inputs by their name."""

    dims: Mapping[str, Sequence[int]] = {}
    shapes: Mapping[str, Sequence[Shape]] = {}

    def combine(self, most: int = MOST_POINTS) -> Iterator[tuple[dict[str, int], dict[str, Shape]]]:
        """All combinations, as the dims and the shapes of each; the last axis varies fastest.

        Raises InputError for an axis without or with repeated sizes, and for more than ``most`` combinations.
        """
        for name, sizes in chain(self.dims.items(), self.shapes.items()):
            if len(set(sizes)) < len(sizes) or not sizes:
                raise InputError(f"the sizes of '{name}' must be given and must differ")
        number = prod(len(sizes) for sizes in chain(self.dims.values(), self.shapes.values()))
        if number > most:
            of_timed = f" to time, and {MOST_POINTS:,} to count" if most < MOST_POINTS else ""
            raise InputError(f"these sizes have {number:,} combinations; the maximum is {most:,}{of_timed}")
        for sizes in product(*self.dims.values()):
            for shapes in product(*self.shapes.values()):
                yield dict(zip(self.dims, sizes, strict=True)), dict(zip(self.shapes, shapes, strict=True))


class PointCost(NamedTuple):
    """The counts at a point, under the names of ``CostReport``; sizes are bytes, None if a shape is open."""

    batch: int
    macs: int
    flops: int
    parameters: int
    weight_bytes: int
    peak_activation_bytes: int | None
    read_bytes: int
    write_bytes: int
    uncounted: int
    bound: str

    @classmethod
    def of(cls, report: CostReport) -> PointCost:
        """The totals of a report."""
        memory, traffic = report.memory, report.whole.traffic
        return cls(
            batch_of(report.graph), report.macs, report.flops, report.parameters, memory.weight_bytes,
            memory.peak_activation_bytes, traffic.read_bytes, traffic.write_bytes, len(report.uncounted), report.bound,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class SweepPoint:
    """One combination: ``dims`` and ``shapes`` are those that vary, ``apart`` are its sizes without the batch.

    ``cost`` is None if these sizes do not fit the model, and ``reason`` says why. ``assumed`` are the dims that no option sets.
    ``measurement`` is None if nothing was to be measured. ``verdicts`` are those on the devices, without steps, and
    ``sheet_fps`` the items per second there according to the data sheet.
    """

    dims: Mapping[str, int]
    shapes: Mapping[str, Shape]
    cost: PointCost | None = None
    reason: str = ""
    apart: tuple[tuple[str, int | Shape], ...] = ()
    caveats: tuple[Caveat, ...] = ()
    assumed: tuple[BoundDim, ...] = ()
    measurement: MeasurementResult | None = None
    verdicts: tuple[Verdict, ...] = ()
    sheet_fps: Mapping[str, float] = field(default_factory=dict)
    report: CostReport | None = field(default=None, repr=False)

    @property
    def sizes(self) -> dict[str, int | Shape]:
        """The dims and shapes by name."""
        return {**self.dims, **self.shapes}

    @property
    def place(self) -> dict[str, Any]:
        """The dims and shapes as plain data."""
        return {"dims": dict(self.dims), "shapes": {name: list(shape) for name, shape in self.shapes.items()}}

    @property
    def timed(self) -> Measurement | None:
        """What was measured, if it was."""
        return self.measurement if isinstance(self.measurement, Measurement) else None

    def verdict(self, device: str) -> Verdict | None:
        """The verdict on a device; None if these sizes do not fit the model."""
        return next((verdict for verdict in self.verdicts if verdict.name == device), None)

    def to_dict(self) -> dict[str, Any]:
        """An entry of the key ``points``."""
        measured = self.measurement.to_dict() if self.measurement is not None else None
        return {
            **self.place,
            "status": "failed" if self.cost is None else "ok",
            "reason": self.reason or None,
            **(self.cost._asdict() if self.cost else dict.fromkeys(PointCost._fields)),
            "measurement": measured,
            "devices": [verdict.to_dict() for verdict in self.verdicts],
        }

    def to_records(self, devices: Sequence[str], *, is_timed: bool) -> list[dict[str, Any]]:
        """The rows for the ``devices``, or one row; with the columns of a measurement if another point ``is_timed``."""
        # The batch is called items, as a dim may be called batch.
        counts = self.cost._asdict() if self.cost else dict.fromkeys(PointCost._fields)
        state = {"status": "ok" if self.cost else "failed", "reason": self.reason or None}
        figures = {**state, "items": counts.pop("batch"), **counts} | (self._timed_columns() if is_timed else {})
        rows = []
        for each in [_device_columns(name, self.verdict(name)) for name in devices] or [{}]:
            row = figures | each
            sizes = {
                f"{name} size" if name in row else name: "x".join(map(str, size)) if isinstance(size, tuple) else size
                for name, size in self.sizes.items()
            }
            rows.append(sizes | row)
        return rows

    def _timed_columns(self) -> dict[str, Any]:
        timed = self.timed
        interval = (timed.latency.median_ci95 if timed else None) or (None, None)
        row = {
            "latency": timed and timed.latency.median, "latency_low": interval[0], "latency_high": interval[1],
            "fps": timed and timed.fps, "flops_per_second": timed and timed.flops_per_second,
            "peak_rss_bytes": timed and timed.memory.peak_rss_bytes,
        }  # fmt: skip
        return row | ({"reason": self.measurement.reason} if isinstance(self.measurement, Unmeasured) else {})


def _device_columns(name: str, verdict: Verdict | None) -> dict[str, Any]:
    latency = verdict.prediction.latency if verdict else None
    fps = verdict.prediction.fps if verdict else None
    return {
        "device": name, "level": verdict and verdict.level,
        "predicted_low": latency and latency.low, "predicted_high": latency and latency.high,
        "predicted_basis": latency and latency.basis, "fps_low": fps and fps.low, "fps_high": fps and fps.high,
        "memory_needed": verdict.fits[0].needed if verdict and verdict.fits else None,
    }  # fmt: skip
