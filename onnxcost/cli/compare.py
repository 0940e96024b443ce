"""``onnxcost compare A B …``: several models, why they differ, and limits on growth."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import click

from onnxcost.cli import options
from onnxcost.cli.app import INTERRUPTED, Notice, catch_failure, merge_advice, say
from onnxcost.cli.boards import Boards, board_options
from onnxcost.cli.options import common_options, expand_sources
from onnxcost.cli.output import Document, Output, message_options, output_options
from onnxcost.cli.run_options import Measuring, MeasuringCommand, measuring_options
from onnxcost.comparison.api import (
    LabeledSource,
    Limit,
    LoadedSource,
    Timings,
    build_comparison,
    check_agreement,
    expand_boards,
    find_bounded,
    find_excesses,
    find_unchecked,
    load_sources,
    mark_untimed,
    parse_limit,
    refuse_too_few,
    time_models,
)
from onnxcost.comparison.candidates import DATE, MEASURED
from onnxcost.conventions import CONVENTIONS
from onnxcost.errors import CheckFailed, InputError, MeasurementError, OnnxCostError
from onnxcost.render.layout import progress_on
from onnxcost.results import group_by

if TYPE_CHECKING:
    from onnxcost.comparison.agreement import Agreement
    from onnxcost.comparison.candidates import Broken, Comparison
    from onnxcost.measurement import Settings
    from onnxcost.spec import ModelSpec


ADVISED = ("load", "threads", "cores", "few-runs")
"""The kinds of advice that matter for a comparison."""
WIDE_INTERVAL = 0.1


class Run(NamedTuple):
    """The results of running the models: ``agreements`` are by label; ``code`` is the exit code if it ended early, else 0."""

    timings: Timings
    agreements: Mapping[str, Agreement]
    code: int = 0


def comparison_messages(comparison: Comparison, gate: Sequence[Limit], run: Run) -> list[Notice]:
    """What keeps the figures from being exact or comparable."""
    noted = _by_text((candidate.label, text) for candidate in comparison.candidates for text in candidate.notes)
    conditions = [
        f"{name} ({', '.join(dict.fromkeys(filter(None, texts)))})"
        for name, texts in comparison.differing_conditions.items()
        if name != DATE
    ]
    advice = [
        (label, each)
        for label, timing in run.timings.by_label.items()
        for each in getattr(timing.result, "advice", ())
        if each.kind in ADVISED
    ]
    found = [
        *(Notice("note", f"{labels}: {text}") for text, labels in noted),
        *(Notice("note", text) for text in run.timings.notes),
        *([Notice("warning", f"latencies under different conditions: {', '.join(conditions)}")] if conditions else []),
        *(
            Notice("warning", f"--max-increase {metric}: the value for {label} is a bound, not exact")
            for metric, label in find_bounded(comparison, gate)
        ),
        *(Notice("advice", f"{labels}: {text}") for labels, text in merge_advice(advice)),
    ]
    if wide := [each.label for each in comparison.others if each.ratio and each.ratio.width > WIDE_INTERVAL]:
        percent = f"{100 * WIDE_INTERVAL:.0f} %"
        text = f"{', '.join(wide)}: the ratio's interval is wider than {percent}: measure longer (--seconds 20)"
        found.append(Notice("advice", text))
    return found


def _by_text(labeled: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Each text once, with the labels of all models that have it."""
    groups = group_by(labeled, lambda pair: pair[1])
    return [(text, ", ".join(label for label, _ in pairs)) for text, pairs in groups.items()]


def end_comparison(comparison: Comparison, gate: Sequence[Limit], max_difference: float | None, run: Run, first: str) -> int:
    """Print the failures and return the exit code: of an interrupt first, then a check, bad input, a failed measurement."""
    failures = [*_check_read(comparison, first)]
    if run.code != INTERRUPTED:
        failures += [] if run.code else _check_runs(run)
        failures += _check_limits(comparison, gate, run) if comparison.baseline.label == first else []
        failures += _check_outputs(run.agreements, max_difference)
    for failure in failures:
        say("error", str(failure))
    if run.code == INTERRUPTED:
        return INTERRUPTED
    return min((code for code in (run.code, *(failure.exit_code for failure in failures)) if code), default=0)


def _check_read(comparison: Comparison, first: str) -> Iterable[OnnxCostError]:
    if comparison.broken:
        many = len(comparison.broken) + len(comparison.candidates)
        labels = ", ".join(each.label for each in comparison.broken)
        baseline = comparison.baseline.label
        instead = "" if baseline == first else f"; the others are compared with {baseline}"
        yield InputError(f"{len(comparison.broken)} of {many} models could not be compared: {labels}{instead}")


def _check_runs(run: Run) -> Iterable[OnnxCostError]:
    from onnxcost.measurement import Unmeasured

    results = {label: timing.result for label, timing in run.timings.by_label.items()}
    failed = ((label, result.reason) for label, result in results.items() if isinstance(result, Unmeasured))
    for reason, labels in _by_text(failed):
        yield MeasurementError(f"not measured: {labels}: {reason}")
    for reason, labels in _by_text((label, each.reason) for label, each in run.agreements.items() if each.reason):
        yield MeasurementError(f"outputs not compared: {labels}: {reason}")


def _check_limits(comparison: Comparison, gate: Sequence[Limit], run: Run) -> Iterable[OnnxCostError]:
    """What exceeds its limit, and what could not be checked."""
    from onnxcost.comparison.candidates import METRICS
    from onnxcost.render.comparison import growth_text

    if grown := [f"{excess.label}: {growth_text(excess)}" for excess in find_excesses(comparison, gate)]:
        yield CheckFailed(f"--max-increase: {'; '.join(grown)}")
    for metric, labels in find_unchecked(comparison, gate).items():
        text = f"--max-increase {metric}: {', '.join(labels)} has no {METRICS[metric].title}"
        if metric not in MEASURED:
            yield InputError(text)
        elif not run.timings.by_label:
            yield InputError(f"{text}: nothing was measured")
        elif not run.timings.by_label.keys() & labels:
            yield InputError(f"{text}: save the report again without --no-run")
        else:
            yield MeasurementError(text)


def _check_outputs(agreements: Mapping[str, Agreement], limit: float | None) -> Iterable[OnnxCostError]:
    from onnxcost.render.differences import farthest_text

    over = (
        f"{label}: {farthest_text(farthest)}"
        for label, agreement in agreements.items()
        if limit is not None and (farthest := agreement.farthest) and not farthest.is_within(limit)
    )
    if found := list(over):
        yield CheckFailed(f"--max-difference: {'; '.join(found)}, more than {limit:g}")


HELP = """Compare models: what each costs, how fast each runs, which is best, and why the others differ from the first.

A MODEL is a file, a URL, a folder (all *.onnx in it), a pattern such as 'v*.onnx', or a report saved as JSON with
'onnxcost MODEL -o cost.json', in any combination.

Timing is interleaved (A B C A B C ...), so that all models run under the same conditions. Each model's latency is shown as a
ratio to the first model's, with a 95 % confidence interval that allows for differences of up to 0.5 % between two processes
running the same model. An interval that contains 1 means that no difference was found. Saved reports keep their latency.

With --check-outputs, all models are run on the same inputs. Inputs and outputs are matched by name, or else by position, type
and shape; NCHW is transposed to NHWC and back. The relative difference of an output is the largest difference between two
elements, divided by the largest magnitude in the first model's output.

\b
Examples:
  onnxcost compare pytorch.onnx keras.onnx --check-outputs
  onnxcost compare models/ --sort latency --pareto macs,latency
  onnxcost compare models/ --no-run --sort macs --no-explain
  onnxcost compare a.onnx b.onnx --dim batch=8 -o comparison.md
  onnxcost compare baseline.json model.onnx --max-increase flops=1%
  onnxcost compare fp32.onnx int8.onnx --max-difference 0.05 --no-run
"""
LIMIT, METRICS_LIST = "METRIC=LIMIT", "METRIC,METRIC"
MOST_EXPLAINED = 4


@click.command(help=HELP, cls=MeasuringCommand)
@board_options
@click.argument("models", nargs=-1, required=True, metavar="MODEL...")
@common_options
@click.option(
    "--convention",
    type=click.Choice(list(CONVENTIONS)),
    metavar="CONVENTION",
    default="flops",
    help=f"Convention for explaining differences: {', '.join(CONVENTIONS)}.",
)
@click.option("--sort", metavar="METRIC", help="Sort the models by a metric, best first.  [default: as given]")
@click.option("--pareto", metavar=METRICS_LIST, help="Mark the models that no other model beats on all of these metrics.")
@click.option(
    "--explain/--no-explain",
    default=None,
    help=f"Explain why the others differ from the first.  [default: with up to {MOST_EXPLAINED} models]",
)
@click.option(
    "--max-increase",
    "limits",
    multiple=True,
    metavar=LIMIT,
    help="Exit with code 1 if a metric exceeds the first model's by more than LIMIT, such as 1%, 1MiB, 2ms or 0; repeatable.",
)
@click.option("--check-outputs", "checks", is_flag=True, help="Run all models on the same inputs and compare their outputs.")
@click.option(
    "--max-difference",
    type=options.Number(),
    metavar="X",
    help="Exit with code 1 if the relative difference of an output exceeds X, such as 1e-3; implies --check-outputs.",
)
@options.DOWNLOAD
@output_options
@click.option("--no-run", is_flag=True, help="Only count; do not measure latency. --check-outputs still works.")
@message_options("Do not print warnings, assumptions or advice.")
@measuring_options("batches", "concurrency")
def compare(
    models: tuple[str, ...],
    spec: ModelSpec,
    measuring: Measuring,
    convention: str,
    sort: str | None,
    pareto: str | None,
    explain: bool | None,
    limits: tuple[str, ...],
    checks: bool,
    max_difference: float | None,
    out: Output,
    no_run: bool,
    boards: Boards | None,
) -> int:
    """Parse, call, render."""
    from onnxcost.comparison.candidates import check_directions, find_metric
    from onnxcost.comparison.differences import Differences

    # Before the models run: the counts are printed even if the models take all memory.
    from onnxcost.render import comparison as formats

    gate = [
        parse_limit(metric, text) for metric, text in options.parse_pairs("--max-increase", "flops=1%", limits, str).items()
    ]
    front = check_directions(pareto.split(","), "--pareto") if pareto is not None else ()
    if sort is not None:
        find_metric(sort)
    settings, checks = measuring.settings(), checks or max_difference is not None
    sources = expand_boards(expand_sources(models))
    refuse_too_few(sources, checks)
    if boards is not None:
        return _compare_on(boards, sources, out, checks=checks, no_run=no_run)
    results = load_sources(sources, spec)
    found = _run_models(results, settings, times=not no_run, checks=checks)
    comparison = build_comparison(results, convention, sort, front, found.timings.by_label, found.agreements)
    explains = len(comparison.candidates) <= MOST_EXPLAINED if explain is None else explain
    first = comparison.baseline
    differences = [Differences(first, other) for other in comparison.others if first.nodes and other.nodes] if explains else []
    document = Document(
        table=partial(formats.comparison_lines, comparison, differences),
        json=lambda: comparison.to_dict() | {"differences": [each.to_dict() for each in differences]},
        csv=partial(formats.comparison_csv, comparison),
        markdown=partial(formats.comparison_markdown, comparison, differences),
    )
    out.deliver(document)
    out.say_first(comparison_messages(comparison, gate, found))
    return end_comparison(comparison, gate, max_difference, found, first=sources[0].label)


def _compare_on(boards: Boards, sources: Sequence[LabeledSource], out: Output, *, checks: bool, no_run: bool) -> int:
    """Compare the models on all boards, and deliver the results; returns the exit code."""
    if no_run:
        raise InputError("--on and --no-run cannot be used together")
    if checks and not boards.sends_weights:
        raise InputError("--check-outputs needs the models' own weights: add --send-weights")
    if saved := [source.path for source in sources if source.is_saved]:
        raise InputError(f"'{saved[0]}' is a saved report, which boards cannot run")
    models = [(source.path, source.label) for source in sources]
    return boards.run_command("compare", boards.job(["compare", "--warnings", "--no-explain"], models), out)


def _run_models(results: Sequence[LoadedSource | Broken], settings: Settings, *, times: bool, checks: bool) -> Run:
    """Run the models with a progress bar on stderr. Results from before Ctrl-C are kept."""
    timings = mark_untimed(results, "interrupted") if times else Timings()
    agreements: Mapping[str, Agreement] = {}
    with catch_failure("not measured") as ended, progress_on(sys.stderr) as shown:
        timings = time_models(results, settings, shown) if times else timings
        ended.stop_if(any(getattr(timing.result, "interrupted", False) for timing in timings.by_label.values()))
        agreements = check_agreement(results, settings, shown) if checks and not ended.code else agreements
    return Run(timings, agreements, ended.code)
