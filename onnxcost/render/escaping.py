"""How strings from outside (models, devices, reports, paths) reach a terminal, a spreadsheet or a page.

They can hold anything: escape sequences, line ends, controls that reorder text, invisible characters, formulas, markup.
Here each becomes plain text. JSON has the strings as they are, with all of those as ``\\uXXXX``.
"""

from __future__ import annotations

import re
from unicodedata import category

LONGEST_TEXT, LONGEST_WORD = 2000, 300
"""Characters; longer texts are shortened in the middle. A path in a message is a word."""
LONGEST_CELL = 32_000
"""Characters of a CSV cell: spreadsheets take 32,767."""
MOST_MARKS = 3
"""The most accents on one character: more of them would overlap the lines above and below."""

# Invisible characters that Python considers printable: fillers, variation selectors, blanks.
_UNSEEN = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U0001d159\U000e0100-\U000e01ef]"
)
# A cell that starts like this is a formula; in locales with a decimal comma, a semicolon separates cells.
_FORMULA = re.compile(r"(^|;)(?=\s*[-=+@\uff0d\uff1d\uff0b\uff20])")
# Markup anywhere in a line; $70 is a price, and no formula ends before a digit.
_MARKUP = re.compile(r"[\\`*_\[\]<>|#~&]|\$(?!\d)")
# A line that starts like this is an item of a list or the rule below a heading.
_BLOCK = re.compile(r"^(\s*)(?=[-+] |[-=]+\s*$)|^(\s*\d+)(?=[.)] )")


def mask(text: str) -> str:
    """The text with a ``?`` in place of each character that is invisible or controls the terminal."""
    if text.isascii() and text.isprintable():
        return text
    shown, marks = [], 0
    for char in _UNSEEN.sub("?", text):
        marks = marks + 1 if category(char) in ("Mn", "Me") else 0
        shown.append(char if (char.isprintable() or char == "\u00a0") and marks <= MOST_MARKS else "?")
    return "".join(shown)


def shorten(text: str, width: int, ellipsis: str = "…", head: float = 0.4) -> str:
    """The text in at most ``width`` characters: the middle is cut, and ``head`` is the share of the beginning in the rest."""
    if len(text) <= width:
        return text
    kept = max(width - len(ellipsis), 0)
    first = round(kept * head)
    return (text[:first] + ellipsis + text[len(text) - (kept - first) :])[:width]


def plain(text: str) -> str:
    """The text for a terminal: masked, and shortened if it is very long."""
    if len(text) > LONGEST_WORD:
        text = shorten(text, LONGEST_TEXT, "...")
        text = re.sub(rf"\S{{{LONGEST_WORD + 1},}}", lambda word: shorten(word[0], LONGEST_WORD, "..."), text)
    return mask(text)


def cell(value: object) -> object:
    """A value for a CSV file. A text that a spreadsheet would execute gets a leading ``'``; numbers stay numbers."""
    if not isinstance(value, str):
        return value
    return _FORMULA.sub(r"\1'", mask(shorten(value, LONGEST_CELL, "...")))


def markdown(text: str) -> str:
    """The text for Markdown, with the characters escaped that Markdown would interpret."""
    return _BLOCK.sub(r"\1\2\\", _MARKUP.sub(r"\\\g<0>", plain(text)))


def html(text: str) -> str:
    """The text for HTML."""
    from html import escape

    return escape(plain(text))
