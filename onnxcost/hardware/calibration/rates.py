"""The rates of kernels from the times of the probes: the time of a run, and of a kernel of each family."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations, pairwise
from math import exp2, log, log2
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from onnxcost.errors import MeasurementError
from onnxcost.ort_optimizer.kernels import CONTRACTIONS, FAMILIES, KernelRun

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


REACH = 1.0
"""The distance, in powers of two of the quantities, up to which a neighboring point has a large weight."""
DOUBT = 0.05
"""The weight of the sum of rates: far from all points it decides alone."""


class Point(NamedTuple):
    """A kernel's quantities, and the seconds of one run of it."""

    quantities: tuple[float, ...]
    seconds: float


@dataclass(frozen=True)
class Rates:
    """seconds ≈ call + Σ quantity · rate, corrected by how much nearby points differ from that.

    ``is_part``: the family's times add to those of another kernel, whose call they share.
    """

    points: tuple[Point, ...]
    is_part: bool = False

    def seconds(self, quantities: Sequence[float]) -> float:
        """The time of one run of a kernel."""
        return self.linear(quantities) * exp2(self._deviation(quantities))

    def linear(self, quantities: Sequence[float]) -> float:
        """The sum of rates alone."""
        call, *rates = self.coefficients
        return call + sum(rate * quantity for rate, quantity in zip(rates, quantities, strict=True))

    @cached_property
    def coefficients(self) -> tuple[float, ...]:
        """Seconds per call, then per unit of each quantity: none below 0, with the least sum of squared relative errors."""
        import numpy as np

        rows = np.array([(1.0, *point.quantities) for point in self.points])
        times = np.array([point.seconds for point in self.points])
        found = least_squares(rows[:, int(self.is_part) :] / times[:, None])
        return (*(0.0,) * self.is_part, *map(float, found))

    @cached_property
    def _deviations(self) -> tuple[float, ...]:
        return tuple(log2(point.seconds / self.linear(point.quantities)) for point in self.points)

    def _deviation(self, quantities: Sequence[float]) -> float:
        """The mean of the points' deviations, weighted by nearness, as a power of two."""
        weights = []
        for point in self.points:
            distance = sum(log2((a + 1) / (b + 1)) ** 2 for a, b in zip(quantities, point.quantities, strict=True))
            weights.append(1 / (1 + (distance / REACH**2) ** 2))
        total = sum(weight * deviation for weight, deviation in zip(weights, self._deviations, strict=True))
        return total / (sum(weights) + DOUBT)


def least_squares(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """The coefficients, none negative, that bring the rows' sums nearest to 1: the best over all choices of columns."""
    import numpy as np

    columns = range(rows.shape[1])
    best, least = np.zeros(rows.shape[1]), float("inf")
    scale = rows.max(axis=0)
    scale[scale == 0] = 1
    for count in range(1, rows.shape[1] + 1):
        for chosen in map(list, combinations(columns, count)):
            found, *_ = np.linalg.lstsq(rows[:, chosen] / scale[chosen], np.ones(len(rows)), rcond=None)
            error = float(((rows[:, chosen] / scale[chosen] @ found - 1) ** 2).sum())
            if (found >= 0).all() and error < least:
                least = error
                best = np.zeros(rows.shape[1])
                best[chosen] = found / scale[chosen]
    return best


COLD: Mapping[str, str] = {
    **dict.fromkeys(("cold", "cold-vector", "cold-nbits", "cold-conv"), "bytes of the model"),
    "cold-values": "bytes touched since",
}
"""The families for data that is in no cache when it is read or written: weights, for products, for products of a single row, of
these with weights of few bits, and for convolutions; and the values between nodes. Their points are seconds per byte, by the
quantity that is named here.
"""
BESIDE = frozenset({*COLD, "call", "gemm-bias"})
"""Families that add to a kernel's own time: 0 where no probe shows any."""
PARTS = frozenset({"residual", "gemm-bias", "fused-clip", "fused-hard", "fused-sigmoid"})
"""Families that are a part of another kernel, and have no call of their own."""
STAND_INS: Mapping[str, str] = {
    "recurrent-int8": "recurrent", "recurrent-gru": "recurrent", "recurrent-rnn": "recurrent-gru",
    "scatter": "gather", "scatter-reduced": "scatter", "gather-slices": "gather", "scatter-slices": "gather-slices",
    "other": "slice",
    "residual": "binary", "dequantize": "quantize", "pool-blocked": "cheap", "view": "cheap",
    "leaky-relu": "cheap", "prelu": "broadcast", "elu": "exp", "sign": "elu", "softplus": "elu", "quick-gelu-scaled": "gelu",
    "gemm-int8-unsigned": "gemm-int8", "matmul-integer-unsigned": "matmul-integer",
    "pool-int8": "pool", "global-pool-int8": "global-pool", "concat-int8": "concat",
    "mul-int8": "binary-int8", "lookup-int8": "binary-int8", "resize-nearest": "resize", "resize-antialias": "resize-linear",
    "nonzero": "cast", "cumsum": "cast", "topk": "softmax", "roi-align": "resize-antialias", "grid-sample": "resize-linear",
    "grid-sample-slow": "resize-antialias", "resize-linear": "resize", "resize-cubic": "resize-linear",
    "fused-hard": "fused-clip",
    "split": "concat", "transpose-rows": "transpose", "transpose-scattered": "transpose", "reorder-last": "reorder",
    "reduce-before": "reduce", "reduce-slow": "reduce", "softmax-across": "softmax", "softmax-int8": "softmax",
    "skip-rmsnorm": "layernorm",
    "gemm-nbits": "gemm-nbits-int8", "gemm-nbits-int8": "gemm-int8", "gemm-nbits-int8-wide": "gemm-nbits-int8",
    "gemm-nbits-expanded": "gemm-nbits", "attention": "matmul", "attention-grouped": "attention",
    "matmul-int8": "gemm-int8", "conv-int8-grouped": "conv-int8", "conv-int8-depthwise": "conv-int8-ragged",
    "cast-to-half": "cheap", "cast-from-half": "cheap", "svm-rbf": "svm",
    "svm": "gemm", "linear-model": "gemm", "scaler": "cheap", "imputer": "cheap",
    "one-hot": "other", "conv-int8-signed-grouped": "conv-int8-signed", "conv-int8-signed-depthwise": "conv-int8-signed-ragged",
}  # fmt: skip
"""For a family without times, the family whose times are used."""


class Probed(NamedTuple):
    """A probe's run: the family that it is for, its kernels, the seconds of the whole run, and the bytes of its weights and
    values.
    """

    family: str
    tasks: tuple[KernelRun, ...]
    seconds: float
    footprint: float = 0.0


@dataclass(frozen=True)
class Speeds:
    """The machine with one number of threads. ``run_seconds`` is the time of an inference without its kernels.

    ``errors`` are those of the families: how far a point's time is from what the family's others predict, in the mean, as a
    factor less 1.
    """

    run_seconds: float
    points: Mapping[str, tuple[Point, ...]]
    errors: Mapping[str, float] = field(default_factory=dict)

    @cached_property
    def rates(self) -> Mapping[str, Rates]:
        """The fitted rates by family."""
        return {family: Rates(points, family in PARTS) for family, points in self.points.items()}

    def rates_of(self, family: str) -> Rates | None:
        """The rates of a family, or of the one used in its place."""
        while family not in self.rates:
            if family not in STAND_INS:
                return None
            family = STAND_INS[family]
        return self.rates[family]

    def seconds(self, task: KernelRun, footprint: float = 0.0) -> float | None:
        """The time of all runs of a kernel in one inference; None where no probe of its family could be run.

        ``footprint`` are the bytes of the model's weights and values: the more there are, the fewer are in a cache when they
        are needed. What a kernel itself reads and writes is as cold in its probe, as long as there are probes of that size.
        """
        if task.family == "cold-values":
            amount, distance, own = task.quantities
            near = self._seconds_a_byte(task.family, min(own, LARGEST))
            farther = self._seconds_a_byte(task.family, min(distance, 2 * footprint)) - near
            return task.times * amount * max(farther, 0.0)
        if task.family in COLD:
            return task.times * task.quantities[0] * self._seconds_a_byte(task.family, footprint)
        rates = self.rates_of(task.family)
        if rates is None:
            return None
        wanted = len(rates.points[0].quantities)
        quantities = (*task.quantities, *(0.0,) * wanted)[:wanted]
        call = rates.coefficients[0] if task.family in PARTS else 0.0
        return task.times * max(rates.seconds(quantities) - call, 0.0)

    def _seconds_a_byte(self, family: str, footprint: float) -> float:
        """The extra time per byte of data that is in no cache, interpolated by the logarithm of the footprint."""
        points = self.points.get(family, ())
        if not points or footprint <= points[0].quantities[0]:
            return 0.0
        for (before,), low, (after,), high in ((*a, *b) for a, b in pairwise(points)):
            if footprint < after:
                return low + (high - low) * log(footprint / before) / log(after / before)
        return points[-1].seconds


def speeds(probed: Sequence[Probed]) -> Speeds:
    """The times of the families' kernels from those of the probes, one family after the other: a probe's other kernels are
    subtracted.

    The first two probes are one small node and a chain of them. Raises MeasurementError where they could not be run.
    """
    if len(probed) < 3 or len(probed[0].tasks) >= len(probed[1].tasks):
        raise MeasurementError("onnxruntime can run none of the calibration's models")
    one, many = probed[:2]
    node = max((many.seconds - one.seconds) / (len(many.tasks) - len(one.tasks)), 1e-9)
    run = max(one.seconds - len(one.tasks) * node, 1e-9)
    found: dict[str, tuple[Point, ...]] = {"cheap": (Point(one.tasks[0].quantities, node),)}
    chains = [probe for probe in probed if probe not in (one, many)]
    families = list(dict.fromkeys(probe.family for probe in probed))
    # What cold weights cost follows from the kernels' times, and these from it: large weights are cold in their own probes.
    for family in (*(each for each in families if each != "cold-values"), *families):
        known = Speeds(run, {name: points for name, points in found.items() if points and name != family})
        own = [probe for probe in chains if probe.family == family]
        if family in COLD and family != "cold-values":
            found[family] = _cold_points(own, known)
        else:
            points = [_share_of_family(probe, known) for probe in own]
            found[family] = (*(found["cheap"][:1] if family == "cheap" else ()), *filter(None, points))
    points_of = {family: points for family, points in found.items() if points}
    return Speeds(
        run, points_of, {family: left_out_error(family, points) for family, points in points_of.items() if family not in COLD}
    )


UNKNOWN_ERROR = 0.3
"""The error of a family with fewer than three points."""


def left_out_error(family: str, points: tuple[Point, ...]) -> float:
    """How far each point's time is from what the others predict, in the mean, as a factor less 1."""
    if len(points) < 3:
        return UNKNOWN_ERROR
    rates = (Rates(points[:index] + points[index + 1 :], family in PARTS) for index in range(len(points)))
    ratios = [log2(each.seconds(point.quantities) / point.seconds) for each, point in zip(rates, points, strict=True)]
    return exp2(sum(map(abs, ratios)) / len(ratios)) - 1


def _cold_points(probed: Sequence[Probed], known: Speeds) -> tuple[Point, ...]:
    """The extra seconds a byte of weights, from chains of the same products that differ in length: those of the shortest are in
    a cache in each run.
    """
    points, warm = [], None
    for probe in probed:
        own = [task for task in probe.tasks if task.family == probe.family]
        rest = (task for task in probe.tasks if task.family != probe.family and task.family not in CONTRACTIONS)
        products = probe.seconds - known.run_seconds - sum(known.seconds(task, probe.footprint) or 0.0 for task in rest)
        warm = products / len(own) if warm is None else warm
        extra = max(products - warm * len(own), 0.0)
        points.append(Point((probe.footprint,), extra / sum(task.times * task.quantities[0] for task in own)))
    return tuple(points)


def _share_of_family(probe: Probed, known: Speeds) -> Point | None:
    """The family's share of a probe's time, for one of its kernels; None where nothing is left for it."""
    own = [task for task in probe.tasks if task.family == probe.family]
    others = sum(known.seconds(task, probe.footprint) or 0.0 for task in probe.tasks if task.family != probe.family)
    left = probe.seconds - known.run_seconds - others
    if probe.family == "cold-values":
        far = [task for task in own if task.quantities[2] < task.quantities[1] < float("inf")]
        if not far:
            return None
        return Point((median(task.quantities[1] for task in far),), max(left, 0.0) / sum(task.quantities[0] for task in far))
    if not own or left <= LEAST_SHARE * probe.seconds:
        return None
    columns = zip(*(task.quantities for task in own), strict=True)
    return Point(tuple(sum(column) / len(own) for column in columns), left / len(own))


LARGEST = float(1 << 24)
"""The bytes that the largest probes of a kernel read and write."""
LEAST_SHARE = 0.05
"""Below this share of a probe's time, a family cannot be told from the noise of the rest."""


INTEGERS = "-int"
"""In the names of the families whose kernels multiply integers."""


class Peaks(NamedTuple):
    """The highest rates of any probe: FLOP/s by type, and bytes/s by the bytes that a kernel reads and writes."""

    rates: Mapping[str, float]
    bandwidths: Mapping[int, float]


def peaks(speeds: Speeds) -> Peaks:
    """The highest rates. The bandwidths are those of the cheapest elementwise kernel, which reads and writes float32."""
    rates: dict[str, float] = {}
    for family, points in speeds.points.items():
        if family in CONTRACTIONS and FAMILIES[family].names[0] == "MACs":
            dtype = "int8" if INTEGERS in family else "float32"
            rates[dtype] = max(rates.get(dtype, 0.0), *(2 * point.quantities[0] / point.seconds for point in points))
    moved = {int(8 * point.quantities[0]): point.seconds for point in speeds.points.get("cheap", ())}
    return Peaks(rates, {size: size / seconds for size, seconds in sorted(moved.items())})
