"""What a comparison says on stderr, and the exit code that it ends with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from onnxcost.cli.failures import INTERRUPTED, say
from onnxcost.comparison.metrics import MEASURED
from onnxcost.errors import CheckFailed, InputError, MeasurementError, OnnxCostError

if TYPE_CHECKING:
    from onnxcost.comparison.agreement import Agreement
    from onnxcost.comparison.candidates import Comparison
    from onnxcost.comparison.gate import Limit
    from onnxcost.contest import Timings

ADVISED = ("load", "threads", "cores", "few-runs")
"""The kinds of advice that matter where models are held against each other."""
WIDE_INTERVAL = 0.1


class Run(NamedTuple):
    """What came of running the models: ``agreements`` are by label, ``code`` the exit code of what ended it early, else 0."""

    timings: Timings
    agreements: Mapping[str, Agreement]
    code: int = 0


def warn(comparison: Comparison, gate: Sequence[Limit], run: Run) -> None:
    """What keeps the figures from being exact, or from being compared."""
    from onnxcost.comparison.gate import bounded
    from onnxcost.comparison.saved import conditions_that_differ

    for text, labels in _by_text((candidate.label, text) for candidate in comparison.candidates for text in candidate.notes):
        say("note", f"{labels}: {text}")
    for text in run.timings.notes:
        say("note", text)
    for condition in conditions_that_differ(comparison.candidates):
        say("warning", f"the latencies are not of the same conditions: {condition}")
    for metric, label in bounded(comparison, gate):
        say("warning", f"--max-increase {metric}: the figure of {label} is a bound, no exact number")
    results = {label: timing.result for label, timing in run.timings.by_label.items()}
    advice = ((label, each) for label, result in results.items() for each in getattr(result, "advice", ()))
    for text, labels in _by_text((label, each.text) for label, each in advice if each.kind in ADVISED):
        say("advice", f"{labels}: {text}")
    if wide := [each.label for each in comparison.others if each.ratio and each.ratio.width > WIDE_INTERVAL]:
        percent = f"{100 * WIDE_INTERVAL:.0f} %"
        say("advice", f"{', '.join(wide)}: the ratio's interval is wider than {percent}: time for longer (--seconds 20)")


def _by_text(said: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Each text once, with the labels of all that it is said of."""
    found: dict[str, list[str]] = {}
    for label, text in said:
        found.setdefault(text, []).append(label)
    return [(text, ", ".join(labels)) for text, labels in found.items()]


def end(comparison: Comparison, gate: Sequence[Limit], max_difference: float | None, run: Run, first: str) -> int:
    """Says what failed, and returns the exit code: an interrupt comes first, then a check, bad input, a missing measurement."""
    failures = [*_broken(comparison, first)]
    if run.code != INTERRUPTED:
        failures += [] if run.code else _not_run(run)
        failures += _grown(comparison, gate, run) if comparison.baseline.label == first else []
        failures += _apart(run.agreements, max_difference)
    for failure in failures:
        say("error", str(failure))
    if run.code == INTERRUPTED:
        return INTERRUPTED
    return min((code for code in (run.code, *(failure.exit_code for failure in failures)) if code), default=0)


def _broken(comparison: Comparison, first: str) -> Iterable[OnnxCostError]:
    if comparison.broken:
        many = len(comparison.broken) + len(comparison.candidates)
        labels = ", ".join(each.label for each in comparison.broken)
        baseline = comparison.baseline.label
        stand_in = "" if baseline == first else f"; in the first one's place is {baseline}"
        yield InputError(f"{len(comparison.broken)} of {many} models could not be compared: {labels}{stand_in}")


def _not_run(run: Run) -> Iterable[OnnxCostError]:
    from onnxcost.measurement import Unmeasured

    results = {label: timing.result for label, timing in run.timings.by_label.items()}
    failed = ((label, result.reason) for label, result in results.items() if isinstance(result, Unmeasured))
    for reason, labels in _by_text(failed):
        yield MeasurementError(f"not measured: {labels}: {reason}")
    for reason, labels in _by_text((label, each.reason) for label, each in run.agreements.items() if each.reason):
        yield MeasurementError(f"outputs not compared: {labels}: {reason}")


def _grown(comparison: Comparison, gate: Sequence[Limit], run: Run) -> Iterable[OnnxCostError]:
    """What is over its limit, and what could not be held against it."""
    from onnxcost.comparison.gate import excesses, unchecked
    from onnxcost.comparison.metrics import METRICS
    from onnxcost.render.figures import growth

    if grown := [f"{excess.label}: {growth(excess)}" for excess in excesses(comparison, gate)]:
        yield CheckFailed(f"--max-increase: {'; '.join(grown)}")
    for metric, labels in unchecked(comparison, gate).items():
        text = f"--max-increase {metric}: {', '.join(labels)} has no {METRICS[metric].title}"
        if metric not in MEASURED:
            yield InputError(text)
        elif not run.timings.by_label:
            yield InputError(f"{text}: nothing was measured")
        elif not run.timings.by_label.keys() & labels:
            yield InputError(f"{text}: save the report again without --no-run")
        else:
            yield MeasurementError(text)


def _apart(agreements: Mapping[str, Agreement], limit: float | None) -> Iterable[OnnxCostError]:
    from onnxcost.render.agreeing import farthest_text

    over = (
        f"{label}: {farthest_text(farthest)}"
        for label, agreement in agreements.items()
        if limit is not None and (farthest := agreement.farthest) and not farthest.is_within(limit)
    )
    if found := list(over):
        yield CheckFailed(f"--max-difference: {'; '.join(found)}, more than {limit:g}")
