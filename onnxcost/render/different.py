"""Why two models differ: by operator, by what was changed, by layer; for a terminal, and as tables for Markdown."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from onnxcost.comparison.changes import Change
from onnxcost.comparison.differences import Differences
from onnxcost.render.different_tables import TITLES, layer_table, operator_table
from onnxcost.render.escaping import plain, shortened
from onnxcost.render.figures import aligned, relation, signed
from onnxcost.render.glyphs import spelled
from onnxcost.render.layout import GAP, INDENT, Line, wrapped
from onnxcost.render.screen import Screen
from onnxcost.render.terminal import table_lines
from onnxcost.render.units import exact, plural

LONGEST_NAME = 40


def difference_lines(differences: Differences, convention: str, screen: Screen) -> list[Line]:
    """The differences of one model from the first one."""
    name, about = heading(differences, convention)
    glyphs = screen.glyphs
    parts = [plain(spelled(part, glyphs)) for part in about]
    lines: list[Line] = [((plain(name), "title"),), *wrapped((("  ", ""),), parts, ", ", screen.width, "faint")]
    operators, layers = operator_table(differences, convention, glyphs), layer_table(differences, convention, glyphs)
    changed = _change_lines(differences, convention, screen)
    for block in (table_lines(operators, screen), changed, table_lines(layers, screen)):
        lines += [(), *block] if block else []
    return lines


def heading(differences: Differences, convention: str) -> tuple[str, list[str]]:
    """Which two models, and what the differences come to."""
    left, right = differences.left, differences.right
    parts = []
    for name, title, difference, unit in (
        (convention, TITLES.get(convention, convention), differences.count, "count"),
        ("parameters", "parameters", differences.parameters, "count"),
        ("traffic_bytes", "traffic", differences.traffic, "bytes"),
    ):
        base = left.values.get(name)
        share = f" ({relation((base + difference) / base)})" if base and difference else ""
        parts.append(f"{signed(difference, unit)} {title}{share}" if difference else f"the same {title}")
    return f"{right.label} against {left.label}", parts


def correspondence(differences: Differences) -> str:
    """How far the two graphs correspond."""
    alike, (left, right) = differences.alignment.alike, differences.alignment.layers
    if not max(left, right):
        return "Neither model has a layer with MACs; their nodes are held against each other in order"
    number = (
        f"{exact(alike)} of {plural(left, 'layer')}"
        if left == right
        else f"{exact(alike)} of {exact(left)} and {exact(right)} layers"
    )
    if not differences.alignment.is_close:
        return (
            f"Only {number} correspond in order, operator and shape: the graphs are not held against each other layer by layer"
        )
    return f"{number} correspond in order, operator and shape" + (
        ". What differs:" if differences.changes else ", and nothing differs"
    )


def change_rows(differences: Differences) -> list[tuple[str, str, str]]:
    """What was changed: the difference in work and in traffic, and a sentence; the last row has all that makes none."""
    changes = differences.changes
    costly = [change for change in changes if change.count or change.traffic]
    rows = [(signed(each.count), signed(each.traffic, "bytes"), _sentence(each, differences)) for each in costly]
    free = [_sentence(each, differences) for each in changes if each not in costly]
    return [*rows, ("0", "0", "; ".join(free))] if free else rows


def _sentence(change: Change, differences: Differences) -> str:
    left, right = " + ".join(change.left), " + ".join(change.right)
    times = f"{exact(change.places)} × " if change.places > 1 else ""
    first = shortened(change.first, LONGEST_NAME)
    where = f" (from {first} on)" if change.places > 1 else f" ({first})"
    if change.layer is None:
        return f"{times}{left}: {change.reason} in {differences.right.label}{where}"
    behind = f" after {change.layer}" if change.layer else " before the first layer"
    alone = differences.right.label if not left else differences.left.label if not right else ""
    what = f"{left or right}{behind}, only in {alone}" if alone else f"{left} → {right}"
    longer = "" if alone else _longer(change, differences)
    return f"{times}{what}{f': {change.reason}{longer}' if change.reason else ''}{where}"


def _longer(change: Change, differences: Differences) -> str:
    """Where the more operators are: there they spell out what is one operator in the other."""
    if len(change.left) == len(change.right):
        return ""
    return f" in {(differences.left if len(change.left) > len(change.right) else differences.right).label}"


def _change_lines(differences: Differences, convention: str, screen: Screen) -> list[Line]:
    """How far the graphs correspond, and what was changed: sentences that wrap behind their numbers."""
    lines: list[Line] = [((f"  {part}", ""),) for part in textwrap.wrap(correspondence(differences), screen.width - INDENT)]
    rows = change_rows(differences)
    if not rows:
        return lines
    titles = (f"± {TITLES.get(convention, convention)}", "± Traffic", "What")
    counts, traffics, sentences = zip(*[[spelled(cell, screen.glyphs) for cell in row] for row in (titles, *rows)], strict=True)
    numbers = [_column(counts), _column(traffics)]
    margin = INDENT + sum(len(column[0]) + GAP for column in numbers)
    for at, sentence in enumerate(sentences):
        style = "" if at else "header"
        first = " " * INDENT + "".join(column[at] + " " * GAP for column in numbers)
        parts = textwrap.wrap(plain(sentence), screen.width - margin, break_on_hyphens=False)
        for below, part in enumerate(parts):
            start = " " * margin if below else first
            lines.append(((start, style), (part, style)))
    return lines


def _column(texts: Sequence[str]) -> list[str]:
    """A title above numbers that stand below each other, all equally wide."""
    column = [texts[0], *aligned(texts[1:])]
    return [text.rjust(max(map(len, column))) for text in column]
