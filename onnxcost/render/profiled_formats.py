"""A profile in every format."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

from onnxcost.profiled import Profile, Spent
from onnxcost.profiled_schema import profile_to_dict
from onnxcost.render.as_csv import csv_text
from onnxcost.render.as_json import dumps
from onnxcost.render.as_markdown import entries_markdown, joined, table_markdown, where_markdown
from onnxcost.render.escaping import markdown, plain
from onnxcost.render.glyphs import UNICODE
from onnxcost.render.layout import Line
from onnxcost.render.profiled import SORTS, TABLES, ProfileView, not_counted, reconciled
from onnxcost.render.screen import Screen
from onnxcost.render.terminal import entry_lines, spaced, table_lines, where_lines

TITLE = "Profiled"


def profile_lines(profile: Profile, view: ProfileView, screen: Screen) -> list[Line]:
    """How the times fit each other, what is not counted, and the tables."""
    lost = [part for line in not_counted(profile) for part in textwrap.wrap(plain(line), screen.width - 2)]
    return spaced(
        [
            [] if profile.measurement is None else where_lines(TITLE, profile.measurement, screen),
            entry_lines(reconciled(profile, screen.glyphs), screen.width),
            [((f"  {part}", "caution"),) for part in lost],
            *(table_lines(TABLES[name](profile, view, screen.glyphs), screen) for name in view.by),
        ]
    )


def profile_markdown(profile: Profile, view: ProfileView) -> str:
    """The same as Markdown."""
    return joined(
        [
            *([] if profile.measurement is None else where_markdown(TITLE, profile.measurement)),
            entries_markdown(TITLE, reconciled(profile, UNICODE)),
            [f"- {markdown(line)}" for line in not_counted(profile)],
            *(table_markdown(TABLES[name](profile, view, UNICODE)) for name in view.by),
        ]
    )


def profile_json(profile: Profile) -> str:
    """All of it."""
    return dumps(profile_to_dict(profile))


def profile_csv(profile: Profile, view: ProfileView) -> str:
    """One line a node, or an operator where that is the only table of the view."""
    document = profile_to_dict(profile)["profile"]
    if view.by == ("operator",):
        rows: list[tuple[Spent, Mapping[str, Any]]] = [*zip(profile.by_operator(), document["by_operator"], strict=True)]
    else:
        rows = [*zip(profile.nodes, document["nodes"], strict=True)]
    rows.sort(key=lambda row: SORTS[view.sort](row[0]))
    records = [record for _, record in rows[: view.top]]
    return csv_text(list(records[0]) if records else [], ([*map(_cell, record.values())] for record in records))


def _cell(value: Any) -> Any:
    return "/".join(value) if isinstance(value, list) else value
