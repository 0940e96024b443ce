"""Where lines become characters: the width, the encoding and the colours that a stream can take."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping
from typing import NamedTuple, TextIO

from onnxcost.documents import is_whole
from onnxcost.render.escaping import plain
from onnxcost.render.glyphs import ASCII, UNICODE, Glyphs
from onnxcost.render.layout import Line

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
"""Styles by their role, in the words of rich. All are of the 16 colours, which the user's terminal chooses the looks of."""

WIDTH_OF_A_FILE = 100
LEAST_WIDTH, MOST_WIDTH = 60, 1000


class Screen(NamedTuple):
    """What the output goes to: ``width`` in columns, its glyphs, and whether it takes colours."""

    width: int = WIDTH_OF_A_FILE
    glyphs: Glyphs = UNICODE
    colour: bool = False


def screen_of(stream: TextIO | None) -> Screen:
    """The screen that a stream is; None stands for a file in UTF-8. COLUMNS, NO_COLOR and FORCE_COLOR are honoured."""
    is_terminal = stream is not None and stream.isatty()
    if is_terminal:
        width = shutil.get_terminal_size().columns
    else:
        columns = os.environ.get("COLUMNS", "")
        width = int(columns) if is_whole(columns) and int(columns) else WIDTH_OF_A_FILE
    encoding = (getattr(stream, "encoding", None) or "utf-8").lower().replace("-", "").replace("_", "")
    colour = (is_terminal and os.environ.get("TERM") != "dumb") or (stream is not None and bool(os.environ.get("FORCE_COLOR")))
    return Screen(
        min(max(width, LEAST_WIDTH), MOST_WIDTH),
        UNICODE if encoding.startswith("utf") else ASCII,
        colour and not os.environ.get("NO_COLOR"),
    )


def text_of(lines: Iterable[Line]) -> str:
    """The lines without their styles, none with spaces at its end."""
    return "".join("".join(plain(text) for text, _ in line).rstrip() + "\n" for line in lines)


def write(lines: Iterable[Line], stream: TextIO, screen: Screen) -> None:
    """Write the lines to the stream; rich, which knows what colours a terminal has, is imported only where there are any."""
    if not screen.colour:
        stream.write(text_of(lines))
        return
    from rich.console import Console
    from rich.text import Text

    console = Console(file=stream, width=screen.width, force_terminal=True, highlight=False, markup=False, emoji=False)
    for line in lines:
        text = Text.assemble(*((plain(part), STYLES.get(style, "")) for part, style in line))
        console.print(text, soft_wrap=True)
