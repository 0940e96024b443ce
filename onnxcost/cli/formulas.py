"""``onnxcost formulas``: how each operator is counted."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial

import click

from onnxcost.cli.output import Document, Output, output_options
from onnxcost.errors import InputError, did_you_mean
from onnxcost.render.formulas import FormulaText, formula_text, formulas_csv, formulas_lines, formulas_markdown
from onnxcost.results import make_document

HELP = """Show how each OPERATOR is counted: its formula, MACs, FLOPs, and the classic convention. Without OPERATOR, show all.

\b
Examples:
  onnxcost formulas
  onnxcost formulas Conv MatMul
  onnxcost formulas -o formulas.md
"""


@click.command(help=HELP)
@click.argument("operators", nargs=-1, metavar="[OPERATOR]...")
@output_options
def formulas(operators: tuple[str, ...], out: Output) -> None:
    """Parse, call, render."""
    texts = _all()
    shown = [_find_formula(name, texts) for name in operators] or list(texts.values())
    out.deliver(
        Document(
            table=partial(formulas_lines, shown),
            json=lambda: make_document(formulas=[asdict(each) for each in shown]),
            csv=partial(formulas_csv, shown),
            markdown=partial(formulas_markdown, shown),
        )
    )


def _all() -> dict[str, FormulaText]:
    from onnxcost import conventions
    from onnxcost.formulas import FAMILIES

    classic = getattr(conventions, "CLASSIC_TEXT", {})
    return {
        operator: formula_text(operator, family, formula, classic)
        for family, table in FAMILIES.items()
        for operator, formula in table.items()
    }


def _find_formula(name: str, texts: dict[str, FormulaText]) -> FormulaText:
    """The formula of the operator, in any case; raises InputError with the closest names."""
    by_lower = {operator.lower(): operator for operator in texts}
    operator = name if name in texts else by_lower.get(name.lower())
    if operator is not None:
        return texts[operator]
    hint = did_you_mean(name, texts) or ": run 'onnxcost formulas' for a list"
    raise InputError(f"there is no formula for '{name}'{hint}")
