"""How cost grows, as terminal text, Markdown and CSV: formulas, their domain, and totals at some sizes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from onnxcost.render.escaping import markdown, plain
from onnxcost.render.formats import (
    Table,
    csv_text,
    heading_lines,
    join_blocks,
    label_of,
    markdown_table,
    space_blocks,
    table_lines,
    table_markdown,
)
from onnxcost.render.layout import UNICODE, Column, Line, Screen, spell_out, wrap, wrap_pieces
from onnxcost.render.units import binary, exact, plural, si
from onnxcost.symbolic.keys import CACHE, PEAK
from onnxcost.symbolic.scaling import Scaling

LABELS: Mapping[str, str] = {
    "macs": "MACs", "flops": "FLOPs", "read_bytes": "Read", "write_bytes": "Written", "parameters": "Parameters",
    CACHE: "KV cache", PEAK: "Peak memory",
}  # fmt: skip
Sizes = Mapping[str, int]


def scaling_lines(scaling: Scaling, points: Sequence[Sizes], screen: Screen) -> list[Line]:
    """For a terminal: each formula, its domain, how it grows, and the totals at the points."""
    heading = heading_lines(plain(scaling.model), f"grows with {plain(', '.join(scaling.dims))}", screen.width)
    blocks = [heading]
    for texts in (_formulas(scaling), _growth(scaling), _domain(scaling)):
        shown: list[Line] = []
        for label, text in texts:
            pieces = [spell_out(plain(text), screen.glyphs)]
            shown += wrap_pieces(label_of(label), pieces, ", ", screen.width)
        blocks.append(shown)
    if points:
        blocks.append(table_lines(_table(scaling, points), screen))
    blocks.append([((f"  {line}", "faint"),) for line in wrap(_verified(scaling), screen.width - 2)])
    return space_blocks(blocks)


def scaling_markdown(scaling: Scaling, points: Sequence[Sizes]) -> str:
    """The same as Markdown."""
    rows = [*_formulas(scaling), *_growth(scaling), *_domain(scaling)]
    return join_blocks(
        [
            [f"## {markdown(scaling.model)}"],
            markdown_table(["", "formula, growth, domain"], [False, False], rows),
            table_markdown(_table(scaling, points)) if points else [],
            [_verified(scaling)],
        ]
    )


def scaling_csv(scaling: Scaling, points: Sequence[Sizes]) -> str:
    """A line for each point with its totals; without points, one for each term of each formula."""
    if points:
        found = [(point, scaling.at(**point)) for point in points]
        return csv_text([*found[0][0], *found[0][1]], ([*sizes.values(), *totals.values()] for sizes, totals in found))
    terms = ((key, term) for key, formula in scaling.formulas.items() for term in formula.terms.items())
    rows = (("/".join(key), *exponents, str(factor)) for key, (exponents, factor) in terms)
    return csv_text(["of", *scaling.dims, *map(str, scaling.floors), "coefficient"], rows)


def _formulas(scaling: Scaling) -> list[tuple[str, str]]:
    sign = UNICODE.bound(scaling.bound)
    found = [
        (label, ("" if name in (CACHE, "parameters") else sign) + str(scaling.formulas["total", name]))
        for name, label in LABELS.items()
        if ("total", name) in scaling.formulas
    ]
    if not scaling.pieces:
        return [*found, (LABELS[PEAK], "no formula holds at all sizes")]
    if len(scaling.pieces) == 1:
        return [*found, (LABELS[PEAK], str(scaling.pieces[0]))]
    numbered = [f"({number}) {piece}" for number, piece in enumerate(scaling.pieces, 1)]
    found.append((LABELS[PEAK], f"the largest of {'; '.join(numbered)}"))
    for dim in scaling.dims:
        (_, first), *others = scaling.crossings(dim)
        base = ", ".join(f"{name} = {size:,}" for name, size in scaling.base.items() if name != dim)
        changes = "".join(f", for {dim} ≥ {size:,} ({piece + 1})" for size, piece in others)
        found += [("", f"{f'with {base}: ' if base else ''}({first + 1}){changes}")] if others else []
    return found


def _growth(scaling: Scaling) -> list[tuple[str, str]]:
    return [("MACs are", "; ".join(scaling.growth("macs", dim) for dim in scaling.dims))]


def _domain(scaling: Scaling) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for name, domain in scaling.domain.items():
        reasons = "".join(f"; {reason}" for reason in domain.reasons)
        is_open = not any(reason.startswith("above") for reason in domain.reasons)
        found.append(
            ("Holds for" if not found else "", f"{name} from {domain}{', more not tried' if is_open else ''}{reasons}")
        )
    if scaling.fixed:
        found.append(("With", ", ".join(f"{name} = {size:,}" for name, size in scaling.fixed.items())))
    return found + [("Note", note) for note in scaling.notes]


def _verified(scaling: Scaling) -> str:
    counts = plural(scaling.evaluations, "count")
    return f"Equal to the counts at {scaling.verified} sizes not used for fitting ({counts} in all)."


def _table(scaling: Scaling, points: Sequence[Sizes]) -> Table:
    columns = [Column(name, right=True) for name in scaling.dims]
    shown = [name for name in ("macs", "flops", PEAK) if name != PEAK or scaling.pieces]
    moved = [name for name in ("read_bytes", "write_bytes") if ("total", name) in scaling.formulas]
    columns += [Column(LABELS[name], right=True) for name in (*shown, *moved)]
    rows = []
    for point in points:
        totals = scaling.at(**point)
        cells = [exact(point.get(name, scaling.base[name])) for name in scaling.dims]
        cells += [binary(totals[name]) if name.endswith("bytes") else si(totals[name]) for name in (*shown, *moved)]
        rows.append(tuple(cells))
    return Table(tuple(columns), rows)
