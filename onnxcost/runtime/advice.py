"""What makes a measurement less trustworthy and what to do about it: a function for each kind of advice."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import ceil

from onnxcost.measurement import LEAST_RUNS, Advice, Measurement

BUSY_CORES, BUSY_SHARE = 0.25, 0.05
"""Other load is reported from this many cores on, if they are also this share of the usable ones."""
SLOW_CLOCK = 0.8
SLOW_FIRST_RUN, LONG_FIRST_RUN = 10, 0.01
"""A first run beyond this multiple of the median, and these seconds, is slow."""
FAST_RUN = 20e-6
SHARED_RUN = 100e-6
"""Seconds of a run below which streams, which are threads, wait for each other in Python."""
WIDE_INTERVAL = 0.05
DRIFT = 0.02
MANY_OUTLIERS = 0.01
VARIATION = 0.025
BATCHES = " (--batches 1,8,64)"


def advice(measurement: Measurement, *, has_open_batch: bool = True) -> tuple[Advice, ...]:
    """The advice on a measurement, causes before effects; ``has_open_batch`` says whether ``--batches`` applies."""
    on_device = False
    if (provider := measurement.settings.provider) != "cpu":
        from onnxcost.runtime.providers import find_provider

        on_device = bool(find_provider(provider).device)
    texts = ((kind, find(measurement)) for kind, find in KINDS.items() if not (on_device and kind in OF_HOST))
    fixed = "; the batch of this model is fixed"
    return tuple(Advice(kind, text if has_open_batch else text.replace(BATCHES, fixed)) for kind, text in texts if text)


def _load(measurement: Measurement) -> str | None:
    load, usable = measurement.environment.load, measurement.environment.usable_cores
    if load is None or load < max(BUSY_CORES, BUSY_SHARE * usable):
        return None
    return f"other work kept {load:.1f} of {usable:g} cores busy during the runs: stop it and measure again"


def _frequency(measurement: Measurement) -> str | None:
    frequency, highest = measurement.environment.frequency, measurement.environment.max_frequency
    if not frequency or not highest or frequency >= SLOW_CLOCK * highest:
        return None
    return (
        f"the cores ran at {_percent(frequency / highest)} of their highest frequency: use the 'performance' power mode and "
        "let the machine cool, or compare only with runs at this frequency"
    )


def _threads(measurement: Measurement) -> str | None:
    usable, streams = measurement.environment.usable_cores, measurement.settings.concurrency
    threads, fitting = _busy_threads(measurement), max(int(usable), 1)
    if threads <= max(usable, 1):
        return None
    less = f"--threads {fitting - streams + 1}" if streams <= fitting else f"--concurrency {fitting}"
    return f"{threads} threads share {usable:g} usable cores and wait for each other: measure with {less}"


def _cores(measurement: Measurement) -> str | None:
    cores, usable = measurement.environment.cores, measurement.environment.usable_cores
    if usable >= cores or _busy_threads(measurement) not in (0, int(usable)):
        return None
    return (
        f"affinity or a control group leaves {usable:g} of {cores} cores, so the results are for a machine of that size: "
        "lift the limit (taskset, docker --cpus) to measure the whole machine"
    )


def _busy_threads(measurement: Measurement) -> int:
    """The threads of the session and those of all streams that call it; 0 if unknown."""
    threads, _ = measurement.threads
    return threads - 1 + measurement.settings.concurrency if threads else 0


def _slow_first_run(measurement: Measurement) -> str | None:
    times = measurement.first_run_seconds / measurement.latency.median
    if times < SLOW_FIRST_RUN or measurement.first_run_seconds < LONG_FIRST_RUN:
        return None
    return (
        f"the first run took {times:,.0f} times the median; it is excluded from the results. Run a model once before serving it"
    )


def _fast_runs(measurement: Measurement) -> str | None:
    if measurement.latency.median >= FAST_RUN:
        return None
    if measurement.settings.concurrency > 1:
        return None
    return (
        "the runs are so short that the Python call, a few microseconds, is a large part of them: "
        f"larger batches show the model's own time{BATCHES}"
    )


def _python_share(measurement: Measurement) -> str | None:
    if measurement.settings.concurrency == 1 or measurement.latency.median >= SHARED_RUN:
        return None
    return (
        "the streams are threads of one Python process, and with such short runs they wait for Python: Python, "
        f"not the model, limits the throughput; larger batches show the model's own throughput{BATCHES}"
    )


def _few_runs(measurement: Measurement) -> str | None:
    if measurement.runs >= LEAST_RUNS:
        return None
    interval = "" if measurement.latency.median_ci95 else " or a confidence interval of the median"
    return f"{measurement.runs} runs are too few for reliable percentiles{interval}: use more (--runs {LEAST_RUNS})"


def _wide_interval(measurement: Measurement) -> str | None:
    interval = measurement.latency.median_ci95
    if interval is None:
        return None
    width = (interval[1] - interval[0]) / measurement.latency.median
    if width <= WIDE_INTERVAL:
        return None
    # The interval narrows with the square root of the number of runs.
    seconds = ceil(measurement.wall_seconds * (width / WIDE_INTERVAL) ** 2)
    return (
        f"the 95 % interval of the median is {_percent(width)} wide: "
        f"--seconds {seconds} would narrow it to about {_percent(WIDE_INTERVAL)}"
    )


def _drift(measurement: Measurement) -> str | None:
    drift = measurement.latency.drift
    if abs(drift) < DRIFT or not measurement.latency.is_drifting:
        return None
    if drift > 0:
        seconds = ceil(5 * measurement.wall_seconds)
        return (
            f"the later half of the runs is {_percent(drift)} slower than the first, as on a machine that is getting hot or "
            f"busy: let it cool, or measure the steady state (--seconds {seconds})"
        )
    warmup = measurement.warmup_runs + measurement.runs // 2
    return f"the later half of the runs is {_percent(-drift)} faster than the first: use a longer warm-up (--warmup {warmup})"


def _outliers(measurement: Measurement) -> str | None:
    outliers, runs = len(measurement.latency.outliers), measurement.runs
    if outliers <= MANY_OUTLIERS * runs:
        return None
    return (
        f"{outliers:,} of {runs:,} runs ({_percent(outliers / runs)}) are outliers, which affect the mean, σ, p99 and max but "
        "hardly the median: use the median, or close other programs"
    )


def _variation(measurement: Measurement) -> str | None:
    variation = measurement.latency.coefficient_of_variation
    if variation <= VARIATION:
        return None
    return (
        f"the times vary by {_percent(variation)} (σ / mean; {_percent(VARIATION)} is steady): compare medians, not means; "
        "a fixed CPU frequency and dedicated cores (taskset) reduce the variation"
    )


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %" if share < 0.1 else f"{100 * share:.0f} %"


KINDS: Mapping[str, Callable[[Measurement], str | None]] = {
    "load": _load,
    "frequency": _frequency,
    "threads": _threads,
    "cores": _cores,
    "slow-first-run": _slow_first_run,
    "fast-runs": _fast_runs,
    "python-share": _python_share,
    "few-runs": _few_runs,
    "wide-interval": _wide_interval,
    "drift": _drift,
    "outliers": _outliers,
    "variation": _variation,
}
OF_HOST = frozenset({"load", "frequency", "threads", "cores"})
"""Advice that does not apply to a model that runs on a device other than the CPU."""
