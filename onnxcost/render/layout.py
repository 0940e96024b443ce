"""Lines of styled text, and tables that fit a width: columns shrink, then drop, and never wrap."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from onnxcost.render.escaping import plain, shortened
from onnxcost.render.glyphs import Glyphs

Span = tuple[str, str]
"""Text and the name of its style: "" or a key of ``screen.STYLES``."""
Line = tuple[Span, ...]


class Column(NamedTuple):
    """A column: ``style`` of its cells, right-aligned numbers, and what happens where the width does not suffice.

    ``shrinks_to`` is the least width of a column whose text may be shortened in the middle (0: it may not). Columns with
    ``drop`` above 0 go one by one, the highest first.
    """

    title: str
    right: bool = True
    style: str = ""
    shrinks_to: int = 0
    drop: int = 0
    is_bar: bool = False


HEADS = (0.4, 0.6, 0.2, 0.8, 0.0, 1.0)
"""Shares of a text's beginning in what is kept of it, in the order in which they are tried."""

GAP = 2
INDENT = 2
COMFORTABLE = 30
OPTIONAL = 4
"""Columns whose ``drop`` is at least OPTIONAL go before a text is shortened to less than COMFORTABLE characters."""
BAR_WIDTHS = (8, 30)
"""The least and the greatest width of a bar."""


def without_repeats(text: str, ellipsis: str) -> str:
    """A path without the parts that the next one repeats: ``/layer1/layer1.0/conv1`` becomes ``/…layer1.0/conv1``."""
    parts = text.split("/")
    kept = [(part, bool(part) and following.startswith(f"{part}.")) for part, following in pairwise([*parts, ""])]
    marks = [ellipsis if at and kept[at - 1][1] else "" for at in range(len(kept))]
    return "/".join(mark + part for mark, (part, is_repeated) in zip(marks, kept, strict=True) if not is_repeated)


def all_shortened(texts: Sequence[str], width: int, ellipsis: str) -> list[str]:
    """The texts of a column, cut at the place that leaves most of them distinct."""
    if all(len(text) <= width for text in texts):
        return list(texts)
    texts = [text if len(text) <= width else without_repeats(text, ellipsis) for text in texts]
    cuts = [[shortened(text, width, ellipsis, head) for text in texts] for head in HEADS]
    return max(cuts, key=lambda cut: len(set(cut)))


def bar(fraction: float, width: int, glyphs: Glyphs) -> str:
    """A bar that is full for 1, in eighths of a character where the glyphs have them; what is above 0 is always visible."""
    steps = len(glyphs.parts)
    eighths = max(round(min(fraction, 1) * width * steps), 1 if fraction > 0 else 0)
    full, part = divmod(eighths, steps)
    return glyphs.full * full + (glyphs.parts[part] if part else "")


def _widths(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> list[int]:
    return [
        BAR_WIDTHS[0] if column.is_bar else max([len(column.title), *(len(row[at]) for row in rows)])
        for at, column in enumerate(columns)
    ]


def _fit(columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int) -> tuple[list[int], list[int]]:
    """Which columns stay, and how wide each of them is."""
    natural = _widths(columns, rows)
    kept = list(range(len(columns)))

    def room(sizes: Sequence[int]) -> int:
        return width - INDENT - sum(sizes[at] for at in kept) - GAP * (len(kept) - 1)

    def least(shortest: int) -> list[int]:
        return [
            min(size, max(column.shrinks_to, len(column.title), shortest)) if column.shrinks_to else size
            for column, size in zip(columns, natural, strict=True)
        ]

    for sizes, dispensable in ((least(COMFORTABLE), OPTIONAL), (least(0), 1)):
        while room(sizes) < 0 and (droppable := [at for at in kept if columns[at].drop >= dispensable]):
            kept.remove(max(droppable, key=lambda at: columns[at].drop))
    spare = max(room(sizes), 0)
    for at in kept:
        gained = min(spare, (BAR_WIDTHS[1] if columns[at].is_bar else natural[at]) - sizes[at])
        sizes[at] += gained
        spare -= gained
    return kept, [sizes[at] for at in kept]


def table(columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int, glyphs: Glyphs) -> list[Line]:
    """The table's lines, header first. A bar's cell is the fraction it shows, as text ("0.25")."""
    cells = [[cell if column.is_bar else plain(cell) for column, cell in zip(columns, row, strict=True)] for row in rows]
    kept, sizes = _fit(columns, cells, width)
    header: list[Span] = [(columns[at].title, "header") for at in kept]
    shown = [header, *([("", "")] * len(kept) for _ in rows)]
    for place, (at, size) in enumerate(zip(kept, sizes, strict=True)):
        column = columns[at]
        texts = [row[at] for row in cells]
        texts = (
            [bar(float(text), size, glyphs) for text in texts] if column.is_bar else all_shortened(texts, size, glyphs.ellipsis)
        )
        for line, text in zip(shown[1:], texts, strict=True):
            line[place] = (text, column.style)
    return [_line(line, [columns[at] for at in kept], sizes) for line in shown]


def _line(cells: Sequence[Span], columns: Sequence[Column], sizes: Sequence[int]) -> Line:
    spans: list[Span] = []
    for (text, style), column, size in zip(cells, columns, sizes, strict=True):
        padded = text.rjust(size) if column.right and not column.is_bar else text.ljust(size)
        spans += [(" " * (GAP if spans else INDENT), ""), (padded, style)]
    return tuple(spans)


def wrapped(label: Line, pieces: Sequence[str], separator: str, width: int, style: str = "") -> list[Line]:
    """The label and the pieces behind it, in as many lines as it takes, breaking only between pieces."""
    margin = sum(len(text) for text, _ in label)
    lines = [""]
    for after, piece in enumerate(pieces, 1):
        joined = f"{lines[-1]}{separator}{piece}" if lines[-1] else piece
        comma = separator.startswith(",") and after < len(pieces)
        if lines[-1] and margin + len(joined) + comma > width:
            lines[-1] += separator.rstrip() if separator.startswith(",") else ""
            lines.append(piece)
        else:
            lines[-1] = joined
    return [(*(((" " * margin, ""),) if at else label), (line, style)) for at, line in enumerate(lines)]
