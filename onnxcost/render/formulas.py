"""The formulas as text: what ``onnxcost formulas`` prints."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from inspect import cleandoc
from typing import Any

from onnxcost.render.formats import csv_text, markdown_table, space_blocks
from onnxcost.render.layout import GAP, INDENT, Line, Screen, StyledText, pad, paragraph, spell_out, wrap
from onnxcost.results import group_by

TITLES: Mapping[str, str] = {"operator": "Operator", "maths": "Math", "macs": "MACs", "flops": "FLOPs", "classic": "classic"}
LEAST_WIDTH = 8
LEAST_TABLE = 80
"""Columns of a screen that a table of formulas needs."""
LEGEND = (
    "in, out: elements of the first input, of the first output. K: terms of a dot product. k: elements of the kernel or "
    "window. n: elements that are reduced together, or inputs. g: groups that are normalized together. rows: lines along the "
    "axis. D, T, N, H, I: directions, steps, batch, hidden and input size of a recurrent layer."
)


@dataclass(frozen=True, slots=True)
class FormulaText:
    """An operator and its counts in words; ``about`` are further remarks of the formula's author."""

    operator: str
    family: str
    maths: str
    macs: str
    flops: str
    classic: str
    about: str = ""


def formula_text(operator: str, family: str, formula: Any, classic: Mapping[str, str], none: str = "–") -> FormulaText:
    """The texts of a Formula; a plain callable has only its docstring."""
    count = getattr(formula, "count", formula)
    about = "" if count.__name__ == "<lambda>" else cleandoc(count.__doc__ or "").replace("``", "")
    maths, macs, flops = (str(getattr(formula, name, none)) for name in ("maths", "macs", "flops"))
    return FormulaText(operator, family, maths, macs, flops, classic.get(operator, none), about)


def formulas_csv(formulas: Sequence[FormulaText]) -> str:
    """One line per operator."""
    header = ("operator", "family", "maths", "macs", "flops", "classic")
    return csv_text(header, ([getattr(formula, name) for name in header] for formula in formulas))


def formulas_markdown(formulas: Sequence[FormulaText]) -> str:
    """A table for each family."""
    blocks = []
    for family, members in group_by(formulas, lambda formula: formula.family).items():
        rows = [[getattr(formula, name) for name in TITLES] for formula in members]
        blocks += [f"### {family}", "\n".join(markdown_table([*TITLES.values()], [False] * len(TITLES), rows))]
    return "\n\n".join([*blocks, LEGEND]) + "\n"


def formulas_lines(formulas: Sequence[FormulaText], screen: Screen) -> list[Line]:
    """Up to three operators in detail, or all on a narrow screen; more as a table for each family, with cells that wrap."""
    formulas = [FormulaText(*(spell_out(text, screen.glyphs) for text in astuple(formula))) for formula in formulas]
    if len(formulas) <= 3 or screen.width < LEAST_TABLE:
        blocks = [_detail(formula, screen.width) for formula in formulas]
    else:
        families = group_by(formulas, lambda formula: formula.family)
        blocks = [_family(family, members, screen.width) for family, members in families.items()]
        blocks.append(paragraph(LEGEND, screen.width))
    return space_blocks(blocks)


def _detail(formula: FormulaText, width: int) -> list[Line]:
    lines: list[Line] = [((formula.operator, "title"), (f"  {formula.family}", "faint"))]
    texts = [(title, getattr(formula, name)) for name, title in TITLES.items() if name != "operator"]
    for label, text in (*texts, *(("", part) for part in formula.about.splitlines())):
        parts = wrap(text, width - 11)
        style = "" if label else "faint"
        lines += [((f"  {'' if at else label:<9}", "label"), (part, style)) for at, part in enumerate(parts)]
    return lines


def _names(formulas: Sequence[FormulaText]) -> tuple[str, list[str]]:
    """The domain of most operators of a family, and the names in it; other operators have their domain in the name."""
    domains = [formula.operator.rpartition(".")[0] for formula in formulas]
    common = Counter(domains).most_common(1)[0][0]
    names = [formula.operator.rpartition(".")[2] for formula in formulas]
    shown = (name if domain == common else f"{domain or 'ai.onnx'}.{name}" for domain, name in zip(domains, names, strict=True))
    return common, list(shown)


def _family(family: str, formulas: Sequence[FormulaText], width: int) -> list[Line]:
    domain, names = _names(formulas)
    others = [name for name in TITLES if name != "operator"]
    rows = [[name, *(getattr(f, other) for other in others)] for name, f in zip(names, formulas, strict=True)]
    titles = [f"{family} ({domain})" if domain else family, *(TITLES[name] for name in others)]
    sizes = _share_width([*zip(titles, *rows, strict=True)], width)
    lines = _cells(titles, sizes, ["title", *["header"] * 4])
    for row in rows:
        lines += _cells(row, sizes, ["name", "", "", "", "faint"])
    return lines


def _share_width(columns: Sequence[Sequence[str]], width: int) -> list[int]:
    """Widths that fit: the widest columns shrink first, to their longest words, then further. The first one keeps its."""
    sizes = [max(map(len, cells)) for cells in columns]
    words = [max(len(word) for cell in cells for word in cell.split()) for cells in columns]
    for least in (words, [LEAST_WIDTH] * len(columns)):
        while sum(sizes) + GAP * (len(sizes) - 1) + INDENT > width:
            yielding = [at for at in range(1, len(sizes)) if sizes[at] > least[at]]
            if not yielding:
                break
            sizes[max(yielding, key=lambda at: sizes[at])] -= 1
    return sizes


def _cells(texts: Sequence[str], sizes: Sequence[int], styles: Sequence[str]) -> list[Line]:
    folded = [wrap(text, size) or [""] for text, size in zip(texts, sizes, strict=True)]
    lines = []
    for at in range(max(map(len, folded))):
        spans: list[StyledText] = [(" " * INDENT, "")]
        for parts, size, style in zip(folded, sizes, styles, strict=True):
            spans.append((pad(parts[at] if at < len(parts) else "", size + GAP), style))
        lines.append(tuple(spans))
    return lines
