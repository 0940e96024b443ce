"""The prediction for a model on a device, the memory that it needs there, and the verdict, each figure with its basis.

Times are seconds, sizes bytes, power watts, prices dollars.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Protocol

from onnxcost.report import CostReport
from onnxcost.results import SCHEMA, Result
from onnxcost.version import __version__

BASES: Mapping[str, str] = {
    "bound": "the multiplications at the peak rate, or the bytes that must move at full bandwidth",
    "published": "published for this model, this device and this runtime",
    "sister": "published for this model on other devices, scaled by the ratio of this device's other results to theirs",
    "anchored": "a fit to the runtime's published results, scaled to this device's own results",
    "nearest": "this device's published results for similar models",
    "single": "a fit to the runtime's published results, scaled to one result on this device",
    "known": "published for this model on other devices, scaled by the ratio of the data sheets: rough",
    "fitted": "a fit to the runtime's published results on other devices, scaled by the data sheet: rough",
    "estimate": "the work and traffic of each node at the typical efficiency of such devices: rough",
    "prediction": "from rates measured on the machine itself",
    "measurement": "measured",
}
"""The kinds of evidence for a figure."""

FITS, MARGINAL, UNKNOWN, NO = "fits", "marginal", "unknown", "does not fit"
LEVELS = (FITS, MARGINAL, UNKNOWN, NO)
"""Levels of fit, the best first. Marginal: the limit lies inside the estimated range, or little memory is left."""


class Interval(NamedTuple):
    """A range and its basis, a key of BASES."""

    low: float
    high: float
    basis: str


class NodeTime(NamedTuple):
    """A node, with ``merged`` others that run as part of it, on a device that computes it in ``dtype``.

    ``compute`` are the seconds of its work at the peak, ``transfer`` those of its traffic at the bandwidth (None if that is
    not known), ``overhead`` those of starting it; ``span`` is the time that it takes. All are for one inference.
    """

    name: str
    op_type: str
    dtype: str
    merged: int
    compute: float
    transfer: float | None
    overhead: float
    span: Interval

    @property
    def limit(self) -> str:
        """What bounds it: "compute" or "memory"."""
        return "memory" if (self.transfer or 0.0) > self.compute else "compute"


class Estimate(NamedTuple):
    """The latency of a model with a runtime: seconds of one inference, and the evidence for it, a key of BASES.

    ``asked`` is the model's type and ``dtype`` that of the arithmetic; ``bound`` are the least seconds in that type, with
    Winograd's algorithm where the runtime ``has_winograd``. ``detail`` says what was used, ``source`` where it was published,
    and ``coverage`` is the share of held-out figures inside such a range.
    """

    runtime: str
    asked: str
    dtype: str
    low: float
    high: float
    evidence: str
    bound: float
    has_winograd: bool = False
    detail: str = ""
    source: str = ""
    coverage: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """An entry of the key ``estimates``."""
        return {
            "runtime": self.runtime, "dtype": self.dtype, "latency": {"low": self.low, "high": self.high},
            "evidence": self.evidence, "coverage": self.coverage, "detail": self.detail, "source": self.source or None,
            "bound": {"seconds": self.bound, "products": "winograd" if self.has_winograd else "direct"},
        }  # fmt: skip


@dataclass(frozen=True, slots=True, repr=False)
class Prediction(Result):
    """The latency of one inference of ``batch`` items on a device.

    ``bound`` is a lower bound, ``latency`` the expected range; None if ``missing`` names unknown figures of the device, or
    ``unsupported`` types that it cannot compute. ``runs_as`` maps the model's types to those that the device uses instead;
    ``notes`` are sentences on how the figures were computed. ``limit`` says where most of the time goes: "compute", "memory" or
    "overhead". ``estimates`` are those of the device's runtimes, and ``runtime`` is the one whose figures these are; "" if no
    runtime has figures.
    """

    device: str
    batch: int
    bound: float | None
    latency: Interval | None
    nodes: tuple[NodeTime, ...] = ()
    runs_as: Mapping[str, str] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    unsupported: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    limit: str = ""
    runtime: str = ""
    estimates: tuple[Estimate, ...] = ()

    @property
    def estimate(self) -> Estimate | None:
        """The estimate of the runtime."""
        return next((each for each in self.estimates if each.runtime == self.runtime), None)

    def choose(self, estimate: Estimate) -> Prediction:
        """The prediction with one of the runtimes."""
        latency = Interval(estimate.low, estimate.high, estimate.evidence)
        runs_as = {} if estimate.dtype == estimate.asked else {estimate.asked: estimate.dtype}
        return replace(self, bound=estimate.bound, latency=latency, runs_as=runs_as, missing=(), runtime=estimate.runtime)

    @property
    def fps(self) -> Interval | None:
        """Items per second, one inference after the other; None for a model without work."""
        if self.latency is None or not self.latency.low:
            return None
        return Interval(self.batch / self.latency.high, self.batch / self.latency.low, self.latency.basis)

    @property
    def nodes_by_limit(self) -> Mapping[str, int]:
        """How many nodes are compute-bound, and how many memory-bound."""
        return Counter(node.limit for node in self.nodes)

    def to_dict(self) -> dict[str, Any]:
        """A document of the schema ``onnxcost/1``, with the predicted steps."""
        return {"schema": SCHEMA, "version": __version__, "device": self.device, **self.figures(), "nodes": self.steps()}

    def figures(self) -> dict[str, Any]:
        """The figures of the whole model, under the keys of an entry of ``devices``."""
        return {
            "batch": self.batch,
            "bound": None if self.bound is None else {"seconds": self.bound, "basis": "bound"},
            "latency": self.latency and self.latency._asdict(),
            "fps": self.fps and self.fps._asdict(),
            "limit": self.limit or None,
            "runtime": self.runtime or None,
            "estimates": [estimate.to_dict() for estimate in self.estimates],
            "compute_bound_nodes": self.nodes_by_limit.get("compute", 0),
            "memory_bound_nodes": self.nodes_by_limit.get("memory", 0),
            "runs_as": dict(self.runs_as),
            "unsupported": list(self.unsupported),
            "not_known": list(self.missing),
            "notes": list(self.notes),
        }

    def steps(self) -> list[dict[str, Any]]:
        """The entries of the key ``nodes``: the steps of the run, in order."""
        return [{**node._asdict(), "span": node.span._asdict(), "limit": node.limit} for node in self.nodes]

    def to_records(self) -> list[dict[str, Any]]:
        """One row for each step of the run, in order; ``low`` and ``high`` are seconds."""
        return [{key: value for key, value in ({**step, **step["span"]}).items() if key != "span"} for step in self.steps()]

    def summary(self) -> str:
        """The expected range of the latency, and on which device."""
        if self.latency is None:
            return f"unknown on {self.device}"
        return f"{self.latency.low:.3g} to {self.latency.high:.3g} s on {self.device}, {len(self.nodes)} steps"


class Predictor(Protocol):
    """Predicts latencies: a device of the catalog by its roofline, or a calibrated machine.

    ``figure`` gives a number of ``hardware.device.FIGURES`` in base units, None if unknown.
    """

    @property
    def name(self) -> str:
        """The name for ``--device``."""

    @property
    def title(self) -> str:
        """Its product name."""

    @property
    def kind(self) -> str:
        """One of ``hardware.device.KINDS``."""

    @property
    def block(self) -> int:
        """The channels in a block of onnxruntime's convolutions there, 0 without such blocks."""

    def figure(self, name: str) -> float | None:
        """A figure by its name: memory, flash, sram, power, price."""

    def part_of(self, dtype: str) -> str:
        """The part that computes a type of the graph: a key of ``hardware.device.PARTS``; "" if none does."""

    def as_run(self, report: CostReport) -> CostReport:
        """The report in the device's types, if those are narrower."""

    def predict(self, report: CostReport) -> Prediction:
        """The latency of the model."""


class Fit(NamedTuple):
    """The bytes that a model needs of a memory ("memory" or "flash"), by purpose, and its size; None if that is unknown."""

    what: str
    parts: Mapping[str, int]
    available: int | None
    basis: str = "estimate"

    @property
    def needed(self) -> int:
        """The sum of the parts."""
        return sum(self.parts.values())

    @property
    def headroom(self) -> int | None:
        """The bytes left; negative if the memory is too small."""
        return None if self.available is None else self.available - self.needed

    def to_dict(self) -> dict[str, Any]:
        """An entry of the key ``memory``."""
        return {
            "what": self.what, "needed_bytes": self.needed, "parts": dict(self.parts), "available_bytes": self.available,
            "headroom_bytes": self.headroom, "basis": self.basis,
        }  # fmt: skip


class Cache(NamedTuple):
    """A decoder's KV cache: bytes per token of one sequence, and the batch and context of the model.

    ``most_context`` and ``most_batch`` are the largest that fit the device, each with the other unchanged; None if the
    memory is not known.
    """

    token_bytes: int
    batch: int
    context: int
    most_context: int | None = None
    most_batch: int | None = None

    @property
    def sequence_bytes(self) -> int:
        """Bytes of one sequence."""
        return self.token_bytes * self.context


class Check(NamedTuple):
    """A limit, how well it is met, and the values that were compared with it; ``detail`` adds a reason in words."""

    what: str
    level: str
    limit: float | None = None
    low: float | None = None
    high: float | None = None
    basis: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a model meets a budget on a device, and why; ``remedies`` are changes that would make it fit."""

    name: str
    title: str
    kind: str
    prediction: Prediction
    fits: tuple[Fit, ...]
    checks: tuple[Check, ...]
    price: float | None = None
    power: float | None = None
    cache: Cache | None = None
    remedies: tuple[Remedy, ...] = ()
    hourly: float | None = None

    @property
    def level(self) -> str:
        """The worst level of the checks."""
        return max((check.level for check in self.checks), key=LEVELS.index, default=FITS)

    @property
    def cause(self) -> Check | None:
        """The check that decided the level; None if all limits are met."""
        return next((check for check in self.checks if check.level == self.level != FITS), None)

    @property
    def energy(self) -> float | None:
        """An upper bound of the energy of an inference in joules: the device's rated power times the longest latency."""
        latency = self.prediction.latency
        return None if self.power is None or latency is None else self.power * latency.high

    @property
    def cost(self) -> Interval | None:
        """Dollars per million items on a device that is paid by the hour and always busy."""
        fps = self.prediction.fps
        if self.hourly is None or fps is None:
            return None
        dollars = 1e6 * self.hourly / 3600
        return Interval(dollars / fps.high, dollars / fps.low, fps.basis)

    def to_dict(self, *, nodes: bool = False) -> dict[str, Any]:
        """An entry of the key ``devices``; with ``nodes`` the predicted steps, too."""
        energy, cost = self.energy, self.cost
        return {
            "device": self.name,
            "title": self.title,
            "kind": self.kind,
            "level": self.level,
            "checks": [check._asdict() for check in self.checks],
            **self.prediction.figures(),
            "memory": [fit.to_dict() for fit in self.fits],
            "cache": self.cache and {**self.cache._asdict(), "sequence_bytes": self.cache.sequence_bytes},
            "price": self.price,
            "hourly": self.hourly,
            "cost_per_million": cost and cost._asdict(),
            "power": self.power,
            "energy": None if energy is None else {"joules_at_most": energy, "basis": "power × the longest latency"},
            "remedies": [remedy.to_dict() for remedy in self.remedies],
            **({"nodes": self.prediction.steps()} if nodes else {}),
        }


class Remedy(NamedTuple):
    """A change to the model, and the verdict with it."""

    change: str
    verdict: Verdict

    def to_dict(self) -> dict[str, Any]:
        """An entry of the key ``remedies``."""
        fps = self.verdict.prediction.fps
        return {"change": self.change, "level": self.verdict.level, "fps": fps and fps._asdict()}
