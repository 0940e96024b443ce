"""Lines of styled text and tables that fit a width, the characters they use, and the screen they are written to."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple, TextIO

from onnxcost.documents import is_whole
from onnxcost.render.escaping import plain, shorten


class Glyphs(NamedTuple):
    """The characters beyond ASCII that the output uses, or what stands for them."""

    full: str
    parts: str
    times: str
    dot: str
    ellipsis: str
    at_least: str
    at_most: str
    about: str
    none: str

    def bound(self, kind: str) -> str:
        """The sign before a total that is no exact number: ``CostReport.bound`` as a character."""
        return {"lower": self.at_least, "upper": self.at_most, "mixed": self.about}.get(kind, "")


UNICODE = Glyphs(
    full="█", parts=" ▏▎▍▌▋▊▉", times="×", dot="·", ellipsis="…", at_least="≥ ", at_most="≤ ", about="≈ ", none="–"
)
ASCII = Glyphs(full="#", parts=" .", times="x", dot="|", ellipsis="~", at_least=">= ", at_most="<= ", about="~ ", none="-")

_SPELLED = {
    "·": "*", "∗": "*", "∘": "*", "×": "x", "−": "-", "–": "-", "…": "...", "≥": ">=", "≤": "<=", "≈": "~", "≠": "!=",
    "²": "^2", "ᵀ": "^T", "½": "1/2", "√": "sqrt", "Σ": "sum ", "Π": "prod ", "∞": "inf", "¬": "not ", "∧": "and",
    "∨": "or", "⊻": "xor", "±": "+/-", "→": "->", "µ": "u",
    "σ": "sigma", "μ": "mean", "α": "alpha", "β": "beta", "γ": "gamma", "λ": "lambda", "ε": "eps", "₀": "0", "₁": "1", "₂": "2",
}  # fmt: skip
_TO_ASCII = str.maketrans(_SPELLED)


def spell_out(text: str, glyphs: Glyphs) -> str:
    """The text with the signs of maths spelled out where the screen has ASCII alone."""
    return text.translate(_TO_ASCII) if glyphs is ASCII else text


StyledText = tuple[str, str]
"""Text and the name of its style: "" or a key of ``screen.STYLES``."""
Line = tuple[StyledText, ...]


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


def shorten_all(texts: Sequence[str], width: int, ellipsis: str) -> list[str]:
    """The texts of a column, cut at the place that leaves most of them distinct."""
    if all(len(text) <= width for text in texts):
        return list(texts)
    texts = [text if len(text) <= width else without_repeats(text, ellipsis) for text in texts]
    cuts = [[shorten(text, width, ellipsis, head) for text in texts] for head in HEADS]
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
    header: list[StyledText] = [(columns[at].title, "header") for at in kept]
    shown = [header, *([("", "")] * len(kept) for _ in rows)]
    for place, (at, size) in enumerate(zip(kept, sizes, strict=True)):
        column = columns[at]
        texts = [row[at] for row in cells]
        texts = (
            [bar(float(text), size, glyphs) for text in texts] if column.is_bar else shorten_all(texts, size, glyphs.ellipsis)
        )
        for line, text in zip(shown[1:], texts, strict=True):
            line[place] = (text, column.style)
    return [_line(line, [columns[at] for at in kept], sizes) for line in shown]


def _line(cells: Sequence[StyledText], columns: Sequence[Column], sizes: Sequence[int]) -> Line:
    spans: list[StyledText] = []
    for (text, style), column, size in zip(cells, columns, sizes, strict=True):
        padded = text.rjust(size) if column.right and not column.is_bar else text.ljust(size)
        spans += [(" " * (GAP if spans else INDENT), ""), (padded, style)]
    return tuple(spans)


def wrap_pieces(label: Line, pieces: Sequence[str], separator: str, width: int, style: str = "") -> list[Line]:
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


STYLES: Mapping[str, str] = {
    "title": "bold",
    "header": "dim",
    "label": "dim",
    "name": "cyan",
    "number": "bold",
    "faint": "dim",
    "bar": "blue",
    "caution": "yellow",
}
"""Styles by their role, in the words of rich. All are of the 16 colors, which the user's terminal chooses the looks of."""

WIDTH_OF_A_FILE = 100
LEAST_WIDTH, MOST_WIDTH = 60, 1000


class Screen(NamedTuple):
    """What the output goes to: ``width`` in columns, its glyphs, and whether it takes colors."""

    width: int = WIDTH_OF_A_FILE
    glyphs: Glyphs = UNICODE
    color: bool = False


def detect_screen(stream: TextIO | None) -> Screen:
    """The screen that a stream is; None stands for a file in UTF-8. COLUMNS, NO_COLOR and FORCE_COLOR are honoured."""
    is_terminal = stream is not None and stream.isatty()
    if is_terminal:
        width = shutil.get_terminal_size().columns
    else:
        columns = os.environ.get("COLUMNS", "")
        width = int(columns) if is_whole(columns) and int(columns) else WIDTH_OF_A_FILE
    encoding = (getattr(stream, "encoding", None) or "utf-8").lower().replace("-", "").replace("_", "")
    color = (is_terminal and os.environ.get("TERM") != "dumb") or (stream is not None and bool(os.environ.get("FORCE_COLOR")))
    return Screen(
        min(max(width, LEAST_WIDTH), MOST_WIDTH),
        UNICODE if encoding.startswith("utf") else ASCII,
        color and not os.environ.get("NO_COLOR"),
    )


def text_of(lines: Iterable[Line]) -> str:
    """The lines without their styles, none with spaces at its end."""
    return "".join("".join(plain(text) for text, _ in line).rstrip() + "\n" for line in lines)


def write(lines: Iterable[Line], stream: TextIO, screen: Screen) -> None:
    """Write the lines to the stream; rich, which knows what colors a terminal has, is imported only where there are any."""
    if not screen.color:
        stream.write(text_of(lines))
        return
    from rich.console import Console
    from rich.text import Text

    console = Console(file=stream, width=screen.width, force_terminal=True, highlight=False, markup=False, emoji=False)
    for line in lines:
        text = Text.assemble(*((plain(part), STYLES.get(style, "")) for part, style in line))
        console.print(text, soft_wrap=True)
