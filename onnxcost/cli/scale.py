"""``onnxcost scale MODEL``: how the cost scales with the open dims of the model."""

from __future__ import annotations

from functools import partial
from itertools import product
from typing import TYPE_CHECKING

import click

from onnxcost.cli.options import model_options
from onnxcost.cli.output import Document, Output, output_options
from onnxcost.documents import is_whole
from onnxcost.errors import InputError

if TYPE_CHECKING:
    from onnxcost.formulas.table import FormulaTable
    from onnxcost.spec import ModelSpec
    from onnxcost.symbolic.scaling import Scaling

HELP = """Show how the cost of MODEL scales with its open dims: exact polynomials, and the sizes for which they hold.

The model is counted at a few sizes, and a polynomial with exact coefficients is fitted to the counts by finite differences. It
is shown only if it equals the counts at 40 other sizes. If no polynomial fits, the output says at which sizes it fails.

\b
Examples:
  onnxcost scale bert.onnx
  onnxcost scale bert.onnx --over sequence=1..512 --dim batch=8
  onnxcost scale bert.onnx --at sequence=128,256,512 --at batch=1,8
  onnxcost scale bert.onnx -o growth.html
"""
MOST_POINTS = 10_000


@click.command(help=HELP)
@model_options
@click.option("--over", metavar="DIM[=A..B],...", help="The dims to vary, with their ranges.  [default: all open dims]")
@click.option("--at", multiple=True, metavar="DIM=N,N,...", help="Show totals at these sizes; repeatable.")
@output_options
def scale(spec: ModelSpec, formulas: FormulaTable | None, over: str | None, at: tuple[str, ...], out: Output) -> None:
    """Parse, call, render."""
    ranges, points = _parse_over(over), _parse_at(at)
    from onnxcost.symbolic.scaling import scale_spec

    found = scale_spec(spec, ranges, formulas)
    for point in points:
        found.at(**point)  # Sizes outside the domain are rejected before anything is written.
    out.deliver(_document(found, points))


def _document(found: Scaling, points: list[dict[str, int]]) -> Document:
    from onnxcost.render.scaling import scaling_csv, scaling_lines, scaling_markdown

    return Document(
        table=partial(scaling_lines, found, points),
        json=lambda: {**found.to_dict(), "at": [{**point, **found.at(**point)} for point in points]},
        csv=partial(scaling_csv, found, points),
        markdown=partial(scaling_markdown, found, points),
    )


def _parse_over(text: str | None) -> dict[str, tuple[int, int]]:
    """``batch,sequence=1..512`` as the least and the most size of each dim. Raises InputError for anything else."""
    found = {}
    for part in (text or "").split(",") if text else ():
        name, equals, sizes = part.strip().rpartition("=") if "=" in part else (part.strip(), "", "")
        low, dots, high = sizes.partition("..")
        if not name or (equals and not (dots and is_whole(low) and is_whole(high) and int(low) <= int(high))):
            raise InputError(f"--over expects DIM or DIM=A..B, separated by commas, not '{part}'")
        found[name] = (int(low), int(high)) if equals else (0, 2**62)
    return found


def _parse_at(texts: tuple[str, ...]) -> list[dict[str, int]]:
    """Every combination of the sizes. Raises InputError for invalid sizes, and for more than MOST_POINTS combinations."""
    sizes: dict[str, list[int]] = {}
    for text in texts:
        name, _, values = text.rpartition("=")
        if not name or not all(is_whole(value.strip()) for value in values.split(",")):
            raise InputError(f"--at expects DIM=N,N,..., not '{text}'")
        sizes[name] = [int(value) for value in values.split(",")]
    number = 1
    for each in sizes.values():
        number *= len(each)
    if number > MOST_POINTS:
        raise InputError(f"--at asks for {number:,} combinations of sizes; the maximum is {MOST_POINTS:,}")
    return [dict(zip(sizes, point, strict=True)) for point in product(*sizes.values())] if sizes else []
