"""The results of several boards as terminal text, CSV and Markdown: a column for each, with the reason if it has none."""

from __future__ import annotations

from onnxcost.fleet.figures import BoardFigure
from onnxcost.fleet.results import FleetRun
from onnxcost.render.escaping import markdown, plain
from onnxcost.render.formats import csv_text, markdown_table, matrix_lines
from onnxcost.render.layout import GAP, INDENT, UNICODE, Glyphs, Line, Screen, crop, paragraph, spell_out, text_width
from onnxcost.render.units import WRITERS, relation_text

LEAST_CELL, MOST_CELL = 12, 36
MOST_ROWS = 40
"""The most rows on a terminal; files have all."""


def fleet_lines(run: FleetRun, screen: Screen) -> list[Line]:
    """The table, followed by the reasons for boards without a result."""
    titles, columns = _cells(run, screen.glyphs)
    titles = [crop(plain(title), MOST_CELL, screen.glyphs.ellipsis) for title in titles]
    room = screen.width - INDENT - GAP - max(map(text_width, titles))
    most = max(min(MOST_CELL, room), LEAST_CELL)
    columns = [[crop(plain(cell), most, screen.glyphs.ellipsis) for cell in column] for column in columns]
    styles = [["caution" if board.failure else "", *("" for _ in titles[1:])] for board in run.boards]
    lines = matrix_lines([board.name for board in run.boards], titles, columns, styles, screen)
    for reason in failure_reasons(run):
        lines += paragraph(reason, screen.width, "caution", hang="  ")
    return lines


def failure_reasons(run: FleetRun) -> list[str]:
    """A sentence for each board without a result: ``pi5: busy: a job of …``."""
    return [f"{board.name}: {board.failure}: {board.reason}" for board in run.failed]


def fleet_csv(run: FleetRun) -> str:
    """A line for each board, in base units."""
    records = run.to_records()
    return csv_text(list(records[0]), (list(record.values()) for record in records))


def fleet_markdown(run: FleetRun) -> str:
    """The table, and the reasons below it."""
    titles, columns = _cells(run, UNICODE)
    rows = list(zip(titles, *columns, strict=True))
    table = markdown_table(["", *(board.name for board in run.boards)], [False, *(True for _ in run.boards)], rows)
    reasons = [f"- {markdown(reason)}" for reason in failure_reasons(run)]
    return "\n".join([*table, *(["", *reasons] if reasons else [])]) + "\n"


def _cells(run: FleetRun, glyphs: Glyphs) -> tuple[list[str], list[list[str]]]:
    """The titles of the rows, and the cells of each board: its status, then its figures."""
    figures = run.figures()
    rows = {key: figure.title for each in figures for key, figure in each.items()}
    shown = list(rows)[:MOST_ROWS]
    first = {key: next(each[key] for each in figures if key in each) for key in shown}
    columns = [
        [board.failure or "ok", *(_text(each.get(key), first[key], glyphs) for key in shown)]
        for board, each in zip(run.boards, figures, strict=True)
    ]
    return ["Status", *(spell_out(rows[key], glyphs) for key in shown)], columns


def _text(figure: BoardFigure | None, first: BoardFigure, glyphs: Glyphs) -> str:
    """The figure with its unit, and its ratio to that of the first board that has it."""
    if figure is None:
        return glyphs.none
    if figure.unit == "text":
        return str(figure.value)
    compared = figure.is_compared and figure is not first and first.value
    relation = f" {relation_text(figure.value / first.value)}" if compared else ""
    return spell_out(WRITERS[figure.unit](figure.value) + relation, glyphs)
