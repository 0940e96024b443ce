"""How a scan goes on, on stderr: a bar, what an interrupt leaves, what to know of the figures, and what failed."""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from onnxcost.cli.failures import INTERRUPTED, say
from onnxcost.errors import InputError, MeasurementError, OnnxCostError
from onnxcost.render.units import exact, plural

if TYPE_CHECKING:
    from onnxcost.comparing import Source
    from onnxcost.measuring.messages import Progress
    from onnxcost.render.progress import Shown
    from onnxcost.scanned import Scan, Scanned

REDRAWN_SECONDS = 0.1


class Watch:
    """Puts the results of a scan into ``results`` as they come, by the keys of their paths, and shows how many there are."""

    def __init__(self, models: Mapping[str, Source], results: dict[str, Scanned], shown: Shown) -> None:
        self._models, self._results, self._shown = models, results, shown
        self._next_drawn = 0.0

    def watched(self, found: Iterable[Scanned]) -> Iterator[Scanned]:
        """The results."""
        from onnxcost.scanned import key_of

        for result in found:
            self._results[key_of(result.path)] = result
            if time.monotonic() >= self._next_drawn:
                self._next_drawn = time.monotonic() + REDRAWN_SECONDS
                self._draw(f"{exact(len(self._results))} of {plural(len(self._models), 'model')}")
            yield result

    def running(self, path: str, progress: Progress) -> None:
        """A model is being measured."""
        from onnxcost.scanned import key_of

        which = f"{exact(len(self._results) + 1)} of {exact(len(self._models))}"
        self._draw(f"{which}, {self._models[key_of(path)].label}: {progress.phase}")

    def _draw(self, text: str) -> None:
        from onnxcost.measuring.messages import Progress

        self._shown(Progress(text, len(self._results) / len(self._models)))


@contextmanager
def kept(results: Mapping[str, Scanned], many: int, resume: str | None) -> Iterator[None]:
    """Where what is inside is interrupted, the results are kept in a file, and the last line on stderr says how to go on."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit) as end:
        done = f"interrupted with {exact(len(results))} of {plural(many, 'model')} done"
        how = "the same command" if resume else f"the same command with --resume {saved}" if (saved := _saved(results)) else ""
        say("error", f"{done}: {how} goes on from there" if how else done)
        # Of a KeyboardInterrupt click would make an empty line more.
        raise end if isinstance(end, SystemExit) else click.exceptions.Exit(INTERRUPTED) from None


def _saved(results: Mapping[str, Scanned]) -> str:
    """The path of a file with the results; "" where there are none, or none can be written."""
    if not results:
        return ""
    try:
        with tempfile.NamedTemporaryFile("w", prefix="onnxcost-scan-", suffix=".jsonl", delete=False) as file:
            file.writelines(result.to_line() for result in results.values())
    except OSError:
        return ""
    return file.name


def warn(scan: Scan) -> None:
    """What was assumed and made up, and how many models have warnings or advice: a line each, however many models there are."""
    reports = [row.result.report for row in scan.rows if row.result.report]
    measurements = [each["measurement"] for each in reports if each.get("measurement")]
    dims = [dim for each in reports for dim in each["dims"] if dim["source"] == "assumed"]
    assumed = Counter(f"{dim['name']} = {dim['value']} ({dim['option']})" for dim in dims)
    if assumed:
        say("assumed", ", ".join(f"{text} in {plural(number, 'model')}" for text, number in assumed.most_common()))
    if number := sum(each.get("weights") == "synthesised" for each in measurements):
        say("note", f"{plural(number, 'model')} timed with random weights, as the file lacks them")
    for key, found in (("warnings", reports), ("advice", measurements)):
        if number := sum(bool(each.get(key)) for each in found):
            say("note", f"of {plural(number, 'model')} there is more to know: '{key}' in --format json or jsonl")


def end(scan: Scan, given: Mapping[str, Mapping[str, object]]) -> None:
    """Raises the first of what failed, and says the others: names that no model has, models not counted, models not run."""
    from onnxcost.render.scanned import some

    many = plural(len(scan.rows), "model")
    errors: list[OnnxCostError] = list(_unknown(scan, given))
    for error, what, statuses in (
        (InputError, "counted", ("failed", "unfinished")),
        (MeasurementError, "run", ("unmeasured",)),
    ):
        if rows := scan.having(*statuses):
            errors.append(error(f"{exact(len(rows))} of {many} could not be {what}: {some([row.label for row in rows])}"))
    for other in errors[1:]:
        say("error", str(other))
    if errors:
        raise errors[0]


def _unknown(scan: Scan, given: Mapping[str, Mapping[str, object]]) -> Iterator[OnnxCostError]:
    reports = [row.result.report for row in scan.rows if row.result.report]
    inputs = {each.get("name") for report in reports for each in report["inputs"]}
    dims = {each.get("name") for report in reports for each in report["dims"]}
    for option, names, known in (
        ("--shape", given["shapes"], inputs),
        ("--dim", given["dims"], dims),
        ("--value", given["values"], inputs),
    ):
        if unknown := [name for name in names if name not in known]:
            yield InputError(f"{option} {unknown[0]}: no model that could be counted has it")
