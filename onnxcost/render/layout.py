"""Lines of styled text and tables that fit a width, their characters, the screen they are written to, and progress bars."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from itertools import pairwise
from math import ceil
from typing import TYPE_CHECKING, NamedTuple, TextIO

from onnxcost.documents import is_whole
from onnxcost.render.escaping import plain

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

    from onnxcost.runtime.protocol import Progress


class Glyphs(NamedTuple):
    """The characters beyond ASCII that the output uses, or their substitutes."""

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
        """The sign before a total that is not exact: ``CostReport.bound`` as a character."""
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
    """The text with mathematical signs spelled out if the screen has only ASCII."""
    return text.translate(_TO_ASCII) if glyphs is ASCII else text


_NARROW = re.compile("[\\x00-\u02ff–‘’“”…→−≈≤≥\u2580-\u259fσµ]*")
"""Characters that take one column each on a terminal: nearly all texts consist of them, and need no table of widths."""


def text_width(text: str) -> int:
    """The number of columns that the text takes on a terminal: two for a CJK character, none for a combining one."""
    if _NARROW.fullmatch(text):
        return len(text)
    from rich.cells import cell_len  # start-up time is a feature

    return cell_len(text)


def pad(text: str, width: int, *, right: bool = False) -> str:
    """The text padded with spaces to ``width`` columns, after it or, for ``right``, before it."""
    spaces = " " * (width - text_width(text))
    return spaces + text if right else text + spaces


def _start(text: str, width: int) -> str:
    """The start of the text that fits in ``width`` columns."""
    used = 0
    for at, char in enumerate(text):
        used += text_width(char)
        if used > width:
            return text[:at]
    return text


def crop(text: str, width: int, ellipsis: str = "…", head: float = 0.4) -> str:
    """The text in at most ``width`` columns: the middle is cut, and ``head`` is the share of the beginning in the rest."""
    if text_width(text) <= width:
        return text
    kept = max(width - len(ellipsis), 0)
    first = _start(text, round(kept * head))
    last, room = len(text), kept - text_width(first)
    while last and (taken := text_width(text[last - 1])) <= room:
        last, room = last - 1, room - taken
    # An accent whose letter was cut would be on the ellipsis.
    while last < len(text) and not text_width(text[last]):
        last += 1
    return _start(first + ellipsis + text[last:], width)


def wrap(text: str, width: int, indent: str = "", most: int | None = None, ellipsis: str = "…") -> list[str]:
    """The text in lines of at most ``width`` columns, all but the first indented by ``indent``; a word that is too long is
    split.

    After ``most`` lines, the rest becomes an ellipsis.
    """
    lines: list[str] = []
    line = ""
    for word in text.split(" "):
        rest = word
        while True:
            joined = f"{line} {rest}" if line.strip() else line + rest
            if text_width(joined) <= width:
                line = joined
                break
            if line.strip():
                lines.append(line.rstrip())
            else:
                start = _start(rest, max(width - len(line), 1)) or rest[:1]
                lines.append(line + start)
                rest = rest[len(start) :]
            line = indent
    lines += [line.rstrip()] if line.strip() else []
    if most is not None and len(lines) > most:
        lines[most - 1 :] = [crop(f"{lines[most - 1]} {ellipsis}", width, ellipsis, 1.0)]
    return lines


StyledText = tuple[str, str]
"""Text and the name of its style: "" or a key of ``screen.STYLES``."""
Line = tuple[StyledText, ...]


class Column(NamedTuple):
    """A column: ``style`` of its cells, right-aligned numbers, and what happens if the width is insufficient.

    ``shrinks_to`` is the least width of a column whose text may be shortened in the middle (0: it may not). Columns with
    ``drop`` above 0 are dropped one by one, the highest first.
    """

    title: str
    right: bool = True
    style: str = ""
    shrinks_to: int = 0
    drop: int = 0
    is_bar: bool = False


HEADS = (0.4, 0.6, 0.2, 0.8, 0.0, 1.0)
"""The shares of the beginning of a shortened text, in the order in which they are tried."""

GAP = 2
INDENT = 2
COMFORTABLE = 30
OPTIONAL = 4
"""Columns whose ``drop`` is at least OPTIONAL are dropped before a text is shortened to fewer than COMFORTABLE characters."""
BAR_WIDTHS = (8, 30)
"""The least and the greatest width of a bar."""
LEAST_NAME = 8
"""A text is shortened to this width before columns are dropped that should stay."""


def without_repeats(text: str, ellipsis: str) -> str:
    """A path without the parts that the next one repeats: ``/layer1/layer1.0/conv1`` becomes ``/…layer1.0/conv1``."""
    parts = text.split("/")
    kept = [(part, bool(part) and following.startswith(f"{part}.")) for part, following in pairwise([*parts, ""])]
    marks = [ellipsis if at and kept[at - 1][1] else "" for at in range(len(kept))]
    return "/".join(mark + part for mark, (part, is_repeated) in zip(marks, kept, strict=True) if not is_repeated)


def shorten_all(texts: Sequence[str], width: int, ellipsis: str) -> list[str]:
    """The texts of a column, cut so that most of them stay distinct."""
    if all(text_width(text) <= width for text in texts):
        return list(texts)
    texts = [text if text_width(text) <= width else without_repeats(text, ellipsis) for text in texts]
    cuts = [[crop(text, width, ellipsis, head) for text in texts] for head in HEADS]
    return max(cuts, key=lambda cut: len(set(cut)))


def bar(fraction: float, width: int, glyphs: Glyphs) -> str:
    """A bar that is full for 1, in eighths of a character if the glyphs have them; it is visible for anything above 0."""
    steps = len(glyphs.parts)
    eighths = max(round(min(fraction, 1) * width * steps), 1 if fraction > 0 else 0)
    full, part = divmod(eighths, steps)
    return glyphs.full * full + (glyphs.parts[part] if part else "")


def _fit(columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int) -> tuple[list[int], list[int]]:
    """The columns that are kept, and their widths."""
    natural = [
        BAR_WIDTHS[0] if column.is_bar else max(text_width(text) for text in (column.title, *(row[at] for row in rows)))
        for at, column in enumerate(columns)
    ]
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
    if room(sizes) < 0:
        sizes = [min(size, LEAST_NAME) if column.shrinks_to else size for column, size in zip(columns, sizes, strict=True)]
        while room(sizes) < 0 and len(kept) > 2:
            kept.pop()
        # If even the first two columns do not fit, they are cut.
        for at in reversed(kept):
            sizes[at] = max(sizes[at] + min(room(sizes), 0), 1)
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
    titles = [crop(columns[at].title, size, glyphs.ellipsis) for at, size in zip(kept, sizes, strict=True)]
    header: list[StyledText] = [(title, "header") for title in titles]
    shown = [header, *([("", "")] * len(kept) for _ in rows)]
    for place, (at, size) in enumerate(zip(kept, sizes, strict=True)):
        column = columns[at]
        texts = [row[at] for row in cells]
        texts = (
            [bar(float(text), size, glyphs) for text in texts] if column.is_bar else shorten_all(texts, size, glyphs.ellipsis)
        )
        for line, text in zip(shown[1:], texts, strict=True):
            line[place] = (text, column.style)
    lines = []
    for line in shown:
        spans: list[StyledText] = []
        for (text, style), at, size in zip(line, kept, sizes, strict=True):
            right = columns[at].right and not columns[at].is_bar
            spans += [(" " * (GAP if spans else INDENT), ""), (pad(text, size, right=right), style)]
        lines.append(tuple(spans))
    return lines


def paragraph(text: str, width: int, style: str = "faint", hang: str = "") -> list[Line]:
    """The text in lines of at most ``width`` columns, indented; all but the first by ``hang`` more."""
    parts = wrap(plain(text), width - INDENT - len(hang), indent=hang)
    return [((" " * INDENT + part, style),) for part in parts]


def spell_out_all(lines: Iterable[Line], glyphs: Glyphs) -> list[Line]:
    """The lines, with each text as ``spell_out`` writes it."""
    return [tuple((spell_out(text, glyphs), style) for text, style in line) for line in lines]


def wrap_pieces(label: Line, pieces: Sequence[str], separator: str, width: int, style: str = "") -> list[Line]:
    """The label followed by the pieces, in as many lines as needed, broken between pieces; a long piece is wrapped."""
    margin = sum(text_width(text) for text, _ in label)
    lines = [""]
    for after, piece in enumerate(pieces, 1):
        joined = f"{lines[-1]}{separator}{piece}" if lines[-1] else piece
        comma = separator.startswith(",") and after < len(pieces)
        if margin + text_width(joined) + comma <= width:
            lines[-1] = joined
            continue
        if lines[-1]:
            lines[-1] += separator.rstrip() if separator.startswith(",") else ""
            lines.append("")
        lines[-1:] = wrap(piece, max(width - margin - comma, LEAST_NAME)) or [""]
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
"""Styles by their role, as rich names them. They use only the 16 colors that a terminal lets its user choose."""

WIDTH_OF_A_FILE = 100
LEAST_WIDTH, MOST_WIDTH = 24, 1000


class Screen(NamedTuple):
    """The destination of the output: ``width`` in columns, its glyphs, and whether it supports colors."""

    width: int = WIDTH_OF_A_FILE
    glyphs: Glyphs = UNICODE
    color: bool = False


def detect_screen(stream: TextIO | None) -> Screen:
    """The screen of a stream; None stands for a file in UTF-8. COLUMNS, NO_COLOR and FORCE_COLOR are honored.

    A stream that is not a terminal, such as a pipe to ``less``, has the width of the terminal of the command.
    """
    is_terminal = stream is not None and stream.isatty()
    columns = os.environ.get("COLUMNS", "")
    if is_whole(columns) and int(columns):
        width = int(columns)
    else:
        width = WIDTH_OF_A_FILE if stream is None else next(_terminal_widths(stream), WIDTH_OF_A_FILE)
    encoding = (getattr(stream, "encoding", None) or "utf-8").lower().replace("-", "").replace("_", "")
    color = (is_terminal and os.environ.get("TERM") != "dumb") or (stream is not None and bool(os.environ.get("FORCE_COLOR")))
    return Screen(
        min(max(width, LEAST_WIDTH), MOST_WIDTH),
        UNICODE if encoding.startswith("utf") else ASCII,
        color and not os.environ.get("NO_COLOR"),
    )


def _terminal_widths(stream: TextIO) -> Iterator[int]:
    """The widths of the terminals among the stream, stderr and stdin."""
    for each in (stream, sys.stderr, sys.stdin):
        # closed, replaced by something without a file descriptor, or not a terminal
        with suppress(OSError, ValueError, AttributeError):
            if columns := os.get_terminal_size(each.fileno()).columns:
                yield columns


def text_of(lines: Iterable[Line]) -> str:
    """The lines without styles and trailing spaces."""
    return "".join("".join(plain(text) for text, _ in line).rstrip() + "\n" for line in lines)


def write(lines: Iterable[Line], stream: TextIO, screen: Screen) -> None:
    """Write the lines to the stream; rich, which knows the colors of a terminal, is imported only for colors."""
    if not screen.color:
        stream.write(text_of(lines))
        return
    from rich.console import Console
    from rich.text import Text

    console = Console(file=stream, width=screen.width, force_terminal=True, highlight=False, markup=False, emoji=False)
    for line in lines:
        text = Text.assemble(*((plain(part), STYLES.get(style, "")) for part, style in line))
        console.print(text, soft_wrap=True)


class ProgressBar:
    """Shows the steps that a run reports; ``prefix`` names the run. Without a bar it shows nothing."""

    def __init__(self, bar: Bar | None, clock: Callable[[], float] = time.monotonic) -> None:
        self.prefix = ""
        self._bar, self._clock = bar, clock
        self._task = bar.add_task("", total=1, left="") if bar else None
        self._begin, self._first, self._done = clock(), 0.0, 0.0
        self._end: float | None = None

    def __call__(self, progress: Progress) -> None:
        """Show a step and the remaining time. A step of unknown length has an indeterminate bar."""
        if self._bar is None or self._task is None:
            return
        now, done = self._clock(), progress.done
        if done is None or done < self._done:  # another step
            self._begin, self._first, self._end = now, done or 0.0, None
        elif done > max(self._done, self._first):
            self._end = now + (now - self._begin) * (1 - done) / (done - self._first)
        self._done = done or 0.0
        # Drawn when the run reports, and once a second, but not more often: the model needs the cores.
        self._bar.update(
            self._task,
            description=plain(self.prefix + progress.phase),
            total=None if done is None else 1,
            completed=self._done,
            left="" if self._end is None else f"{timedelta(seconds=ceil(max(self._end - now, 0)))} left",
            refresh=True,
        )


@contextmanager
def progress_on(stream: TextIO) -> Iterator[ProgressBar]:
    """A bar on the stream if that is a terminal; rich is imported only then."""
    if not stream.isatty():
        yield ProgressBar(None)
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    bar_column = BarColumn(style="dim", complete_style="blue", finished_style="blue", pulse_style="blue")
    left = TextColumn("{task.fields[left]}", markup=False)
    columns = (TextColumn("{task.description}", markup=False), bar_column, TimeElapsedColumn(), left)
    with Progress(*columns, console=Console(file=stream), transient=True, auto_refresh=False) as bar:
        yield ProgressBar(bar)
