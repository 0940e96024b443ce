"""``--dim batch=1,2,4`` and ``--shape images=1x3x{320,640}x640``: a table of all combinations."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from functools import partial, wraps
from itertools import product
from typing import TYPE_CHECKING, Any

from onnxcost.cli.app import INTERRUPTED, Notice, assumed_text, catch_failure, merge_advice, say, start_child
from onnxcost.cli.options import (
    DIM,
    SHAPE,
    Command,
    Decorator,
    find_several,
    model_options,
    parse_shape,
    parse_size,
    refuse_others,
)
from onnxcost.cli.output import Document, Output, message_options, output_options
from onnxcost.cli.run_options import Measuring, measuring_options
from onnxcost.errors import CheckFailed, InputError, MeasurementError, OnnxCostError
from onnxcost.render.layout import progress_on

if TYPE_CHECKING:
    from onnxcost.formulas.table import FormulaTable
    from onnxcost.spec import ModelSpec
    from onnxcost.symbolic.points import SweepAxes
    from onnxcost.symbolic.sweep import Sweep

DIMS, SHAPES = "SYMBOL=1,2,4 or SYMBOL={1..8}", "INPUT=1x3x{320,640}x{320,640}"
MODEL = ("model", "others", "shapes", "dims", "values", "trips", "formulas")
OUTPUT = ("format_", "output", "quiet", "all_warnings")
MEASURED = (
    "provider", "provider_options", "threads", "inter_threads", "optimization", "runs", "seconds", "warmup", "timeout", "seed",
    "arena", "inputs",
)  # fmt: skip
LEFT_OUT = ("concurrency", "batches")


def sweep_option(run: Command, *takes: str) -> Decorator:
    """Let ``--dim`` and ``--shape`` have several sizes; then ``run`` is called instead of the command, with ``axes``.

    It gets the options MODEL, OUTPUT and ``takes``. Raises InputError for others together with several sizes.
    """
    taken = (*MODEL, *OUTPUT, *takes)

    def decorated(command: Command) -> Command:
        def with_sweep(**given: Any) -> Any:
            if not (several := find_several(given)):
                return command(**given)
            refuse_others(taken, several[0])
            own = {"others": (), **{name: given[name] for name in taken if name in given}}
            return run(axes=_take_axes(own), **own)

        return wraps(command)(with_sweep)

    return decorated


def _take_axes(given: dict[str, Any]) -> SweepAxes:
    """The axes from the options with several sizes in ``given``, which are removed from it."""
    from onnxcost.symbolic.points import SweepAxes

    several = find_several(given)
    found: dict[str, dict[str, Any]] = {"dims": {}, "shapes": {}}
    kinds = (
        ("dims", "--dim", (DIM, DIMS), _parse_sizes),
        ("shapes", "--shape", (SHAPE, SHAPES), lambda text: tuple(map(parse_shape, expand_braces(text)))),
    )
    for kind, option, examples, parse in kinds:
        texts = [text for text in given[kind] if f"{option} {text}" in several]
        given[kind] = tuple(text for text in given[kind] if text not in texts)
        names = {text.rpartition("=")[0] for text in given[kind]}
        for text in texts:
            name, equals, sizes = text.rpartition("=")
            if (kind == "dims" and not name) or (equals and not name):
                raise InputError(f"{option} expects {' or '.join(examples)}, not '{text}'")
            if name in found[kind] or name in names:
                raise InputError(f"{option} is given more than once for '{name}'")
            try:
                found[kind][name] = parse(sizes)
            except ValueError as error:
                reason = f": {error}" if str(error) else ""
                raise InputError(f"{option} expects {' or '.join(examples)}, not '{text}'{reason}") from None
            if len(set(found[kind][name])) < len(found[kind][name]):
                raise InputError(f"{option} {text} has the same size twice")
    return SweepAxes(found["dims"], found["shapes"])


def _parse_sizes(text: str) -> tuple[int, ...]:
    """``1,2,4``, ``{1,2,4}``, ``{1..8}`` or ``{128..1024..128}``."""
    parts = expand_braces(text) if "{" in text else text.split(",")
    return tuple(parse_size(part.strip()) for part in parts)


def expand_braces(text: str) -> list[str]:
    """The texts into which a shell expands one with braces: all combinations of the alternatives, the last changing fastest.

    ``{320,640}`` has two alternatives, which may be of several dims (``{320x320,640x640}``), and ``{1..9..2}`` the numbers
    from 1 to 9 in steps of 2. Raises ValueError for others.
    """
    from onnxcost.symbolic.points import MOST_POINTS

    parts = re.split(r"\{([^{}]*)\}", text)
    choices = [_alternatives(part) if at % 2 else [part] for at, part in enumerate(parts)]
    number = 1
    for each in choices:
        number *= len(each)
    if number > MOST_POINTS:
        raise ValueError(f"{number:,} sizes; the maximum is {MOST_POINTS:,}")
    return ["".join(chosen) for chosen in product(*choices)]


def _alternatives(text: str) -> Sequence[str]:
    from onnxcost.symbolic.points import MOST_POINTS

    if not (found := re.fullmatch(r"([0-9]+)\.\.([0-9]+)(?:\.\.([0-9]+))?", text)):
        return text.split(",")
    first, last, step = (parse_size(part or "1") for part in found.groups())
    if last < first or not step:
        raise ValueError(f"{{{text}}} is empty")
    if (last - first) // step >= MOST_POINTS:
        raise ValueError(f"{{{text}}} has more than {MOST_POINTS:,} sizes")
    return [str(size) for size in range(first, last + 1, step)]


def name_axes(axes: SweepAxes, spec: ModelSpec) -> SweepAxes:
    """The axes, shapes without a name under that of the input that the first of them fits."""
    if "" not in axes.shapes:
        return axes
    from onnxcost.frontend.dims import name_shape

    assert spec.source is not None
    (name,) = name_shape(spec.source, {"": axes.shapes[""][0]})
    if name in axes.shapes or name in spec.shapes:
        raise InputError(f"--shape is given more than once for '{name}'")
    return axes._replace(shapes={given or name: shapes for given, shapes in axes.shapes.items()})


@model_options
@partial(output_options, names=("nodedata",))
@message_options("")
@measuring_options(*LEFT_OUT)
def estimate_sweep(
    *,
    spec: ModelSpec,
    formulas: FormulaTable | None,
    axes: SweepAxes,
    measuring: Measuring,
    out: Output,
    strict: bool = False,
    no_run: bool = False,
) -> int:
    """``onnxcost estimate`` and ``measure`` of several sizes: count all points, then time them in interleaved rounds."""
    from onnxcost.symbolic.sweep import count_sweep, measure_sweep

    if out.format == "nodedata":
        raise InputError(f"'{out.path}' shows the nodes at a single size: write several sizes to .json, .csv, .md or .html")
    if not no_run:
        start_child()
    axes = name_axes(axes, spec)
    with progress_on(sys.stderr) as shown:
        swept = count_sweep(spec, axes, formulas, is_measured=not no_run, on_progress=shown)
    code = 0
    if not no_run:
        with catch_failure("not measured") as end, progress_on(sys.stderr) as shown:
            swept = measure_sweep(swept, spec, measuring.settings(), shown)
            end.stop_if(swept.is_interrupted)
        code = end.code
    out.deliver(sweep_document(swept))
    say_notes(swept, out, strict)
    if code == INTERRUPTED:
        return code
    return end_sweep(swept, code, strict)


def sweep_document(swept: Sweep) -> Document:
    """The sweep in every format."""
    from onnxcost.render.sweep import sweep_csv, sweep_lines, sweep_markdown

    return Document(
        table=partial(sweep_lines, swept),
        json=swept.to_dict,
        csv=partial(sweep_csv, swept),
        markdown=partial(sweep_markdown, swept),
    )


def say_notes(swept: Sweep, out: Output, strict: bool) -> None:
    """What was assumed, the caveats and the advice of all points, each once."""
    from onnxcost.render.sweep import sizes_text

    caveats = (Notice("note" if each.kind == "note" else "warning", each.text) for p in swept.points for each in p.caveats)
    advised = [(sizes_text(point.sizes), each) for point in swept.points if point.timed for each in point.timed.advice]
    advice = [Notice("advice", f"at {where}: {text}") for where, text in merge_advice(advised)]
    if not (out.quiet or strict) and (assumed := assumed_text(dim for point in swept.points for dim in point.assumed)):
        say("assumed", assumed)
    out.say_first([*caveats, *advice])


def end_sweep(swept: Sweep, code: int, strict: bool = False) -> int:
    """The exit code; raises the most urgent failure after printing the others."""
    from onnxcost.measurement import Unmeasured
    from onnxcost.render.sweep import sizes_text
    from onnxcost.render.verdict import limits_text

    many = len(swept.points)
    errors: list[OnnxCostError] = []
    if strict and (found := list(dict.fromkeys(_inexact(swept)))):
        errors.append(CheckFailed(f"--strict: {'; '.join(found)}"))
    if missed := swept.missed():
        limits = limits_text(swept.limits)
        errors.append(CheckFailed(f"{', '.join(missed)}: no size meets the budget ({limits})"))
    failed = [point for point in swept.points if point.reason]
    unmeasured = [point for point in swept.points if isinstance(point.measurement, Unmeasured)]
    for error, what, points in ((InputError, "counted", failed), (MeasurementError, "run", unmeasured)):
        if points:
            where = sizes_text(points[0].sizes) + (" and others" if len(points) > 1 else "")
            errors.append(error(f"{len(points)} of {many} points could not be {what}: {where}"))
    for other in errors[1:]:
        say("error", str(other))
    if errors:
        raise errors[0]
    return code


def _inexact(swept: Sweep) -> Iterator[str]:
    """Why the counts are not exact."""
    for point in swept.points:
        yield from (caveat.text for caveat in point.caveats if caveat.kind != "note")
        if assumed := assumed_text(point.assumed):
            yield f"assumed {assumed}"
        if point.cost and point.cost.uncounted:
            yield f"{point.cost.uncounted} nodes are not counted"
