"""Lines of styled text, and tables that fit a width: columns shrink, then drop, and never wrap."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Glyphs:
    """The characters beyond ASCII that the output uses, or what stands for them."""

    full: str
    parts: str
    times: str
    dot: str
    ellipsis: str
    at_least: str
    none: str


UNICODE = Glyphs(full="█", parts=" ▏▎▍▌▋▊▉", times="×", dot="·", ellipsis="…", at_least="≥ ", none="–")
ASCII = Glyphs(full="#", parts=" ", times="x", dot="|", ellipsis="...", at_least=">= ", none="-")

Span = tuple[str, str]
"""Text and the name of its style: "" or a key of ``screen.STYLES``."""
Line = tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Column:
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


GAP = 2
INDENT = 2
BAR_WIDTHS = (8, 30)
"""The least and the greatest width of a bar."""


def plain(text: str) -> str:
    """The text without control characters, so that a name inside a model cannot steer the terminal."""
    return text if text.isprintable() else "".join(char if char.isprintable() else "?" for char in text)


def shortened(text: str, width: int, ellipsis: str = "…") -> str:
    """The text in at most ``width`` characters: the middle goes, the end, which tells nodes apart, keeps the larger part."""
    if len(text) <= width:
        return text
    kept = max(width - len(ellipsis), 0)
    head = kept * 2 // 5
    return (text[:head] + ellipsis + text[len(text) - (kept - head) :])[:width]


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
    widths = _widths(columns, rows)
    kept = list(range(len(columns)))

    def least(at: int) -> int:
        return min(widths[at], columns[at].shrinks_to) if columns[at].shrinks_to else widths[at]

    def room(sizes: Iterable[int]) -> int:
        return width - INDENT - sum(sizes) - GAP * (len(kept) - 1)

    while room(map(least, kept)) < 0 and (droppable := [at for at in kept if columns[at].drop]):
        kept.remove(max(droppable, key=lambda at: columns[at].drop))
    sizes = {at: least(at) for at in kept}
    spare = max(room(sizes.values()), 0)
    for at in kept:
        wanted = BAR_WIDTHS[1] if columns[at].is_bar else widths[at]
        gained = min(spare, wanted - sizes[at])
        sizes[at] += gained
        spare -= gained
    return kept, [sizes[at] for at in kept]


def table(columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int, glyphs: Glyphs) -> list[Line]:
    """The table's lines, header first. A bar's cell is the fraction it shows, as text ("0.25")."""
    cells = [[cell if column.is_bar else plain(cell) for column, cell in zip(columns, row, strict=True)] for row in rows]
    kept, sizes = _fit(columns, cells, width)
    header = [replace(columns[at], style="header") for at in kept]
    lines = [_line(header, ["" if columns[at].is_bar else columns[at].title for at in kept], sizes, glyphs)]
    for row in cells:
        texts = [bar(float(row[at]), size, glyphs) if columns[at].is_bar else row[at] for at, size in zip(kept, sizes, strict=True)]
        lines.append(_line([columns[at] for at in kept], texts, sizes, glyphs))
    return lines


def _line(columns: Sequence[Column], texts: Sequence[str], sizes: Sequence[int], glyphs: Glyphs) -> Line:
    spans: list[Span] = [(" " * INDENT, "")]
    for at, (column, text, size) in enumerate(zip(columns, texts, sizes, strict=True)):
        text = shortened(text, size, glyphs.ellipsis)
        is_last = at == len(columns) - 1
        padded = text.rjust(size) if column.right and not column.is_bar else text if is_last else text.ljust(size)
        spans += [(" " * GAP, "")] * (at > 0) + [(padded, column.style)]
    return tuple(spans)


def wrapped(label: Line, pieces: Sequence[str], separator: str, width: int) -> list[Line]:
    """The label and the pieces behind it, in as many lines as it takes, breaking only between pieces."""
    margin = sum(len(text) for text, _ in label)
    lines, current = [], ""
    for piece in pieces:
        joined = f"{current}{separator}{piece}" if current else piece
        if current and margin + len(joined) > width:
            lines.append(current)
            joined = piece
        current = joined
    lines.append(current)
    return [(*label, (lines[0], "")), *((((" " * margin), ""), (line, "")) for line in lines[1:])]
