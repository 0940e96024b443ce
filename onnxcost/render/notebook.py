"""Results as HTML, for notebooks: what their ``_repr_html_`` shows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from onnxcost.comparison.candidates import Comparison
from onnxcost.measurement import Measurement, Unmeasured
from onnxcost.render.comparison import metric_column
from onnxcost.render.escaping import LONGEST_WORD, html, shorten
from onnxcost.render.layout import UNICODE
from onnxcost.render.measurement import describe_device, describe_run, measurement_entries
from onnxcost.render.profile import ProfileView, describe_uncounted_nodes, profile_node_table, profile_operator_table, reconcile
from onnxcost.render.report import (
    Entry,
    Table,
    View,
    describe_uncounted,
    model_facts,
    model_title,
    node_table,
    operator_table,
    summary_entries,
)
from onnxcost.report import CostReport
from onnxcost.results import Result
from onnxcost.runtime.profile import Profile


def to_html(result: Result) -> str:
    """What a notebook shows of any result."""
    if isinstance(result, CostReport):
        return report_html(result)
    if isinstance(result, Measurement):
        return measurement_html(result)
    if isinstance(result, Profile):
        return profile_html(result)
    heading = f"<p>{html(result.summary())}</p>"
    if isinstance(result, Unmeasured):
        return heading
    if isinstance(result, Comparison):
        columns = [metric_column(result, name, UNICODE) for name in result.metrics]
        rows = zip((each.label for each in result.candidates), *(texts for _, texts in columns), strict=True)
        return heading + _rows(rows, [False, *(True for _ in columns)], ["Model", *(title for title, _ in columns)])
    records = list(result.to_records())
    titles = list(dict.fromkeys(key for record in records for key in record))
    cells = ([_cell(record.get(title)) for title in titles] for record in records)
    return heading + _rows(cells, [False for _ in titles], titles)


def _cell(value: object) -> str:
    return "" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)


def profile_html(profile: Profile) -> str:
    """How the times fit each other, what is not counted, and the slowest operators and nodes."""
    view = ProfileView()
    return "\n".join(
        [
            _heading("Profiled", model_facts(profile.report.graph)),
            _entries(reconcile(profile, UNICODE)),
            *(f"<p>{html(line)}</p>" for line in describe_uncounted_nodes(profile)),
            table_html(profile_operator_table(profile, view, UNICODE)),
            table_html(profile_node_table(profile, view, UNICODE)),
        ]
    )


def report_html(report: CostReport) -> str:
    """The model, its totals, what is not counted, operators and the most expensive nodes."""
    view = View()
    return "\n".join(
        [
            _heading(model_title(report.graph), model_facts(report.graph)),
            _entries(summary_entries(report, view, UNICODE)),
            *(f"<p>{html(line)}</p>" for line in describe_uncounted(report, UNICODE)),
            table_html(operator_table(report, view, UNICODE)),
            table_html(node_table(report, view, UNICODE)),
        ]
    )


def measurement_html(measurement: Measurement) -> str:
    """Where and how the model was run, what that took, and the advice."""
    how = [(detail.label, ", ".join(detail.pieces)) for detail in describe_run(measurement)]
    return "\n".join(
        [
            _heading("Measured", describe_device(measurement)),
            _rows(how, [False, False]),
            _entries(measurement_entries(measurement, None, UNICODE)),
            *(f"<p>{html(advice.text)}</p>" for advice in measurement.advice),
        ]
    )


def table_html(content: Table) -> str:
    """The table without its bars, its note below it."""
    kept = [at for at, column in enumerate(content.columns) if not column.is_bar]
    columns = [content.columns[at] for at in kept]
    body = _rows(
        ([row[at] for at in kept] for row in content.rows),
        [column.right for column in columns],
        [column.title for column in columns],
    )
    return body + (f"\n<p>{html(content.note)}</p>" if content.note else "")


def _heading(name: str, about: Iterable[str]) -> str:
    return f"<p><b>{html(name)}</b> {html(' · '.join(about))}</p>"


def _entries(shown: Iterable[Entry]) -> str:
    return _rows(([entry.label, f"{entry.number} {entry.unit}", entry.note] for entry in shown), [False, True, False])


def _rows(rows: Iterable[Sequence[str]], right: Sequence[bool], titles: Sequence[str] = ()) -> str:
    """A table; spaces at the beginning of a cell, which show how deep it lies, are kept."""
    sides = [f' style="text-align: {"right" if is_right else "left"}; white-space: pre"' for is_right in right]
    head = "".join(f"<th{side}>{html(text)}</th>" for side, text in zip(sides, titles, strict=False))
    lines = [
        "".join(f"<td{side}>{html(shorten(cell, LONGEST_WORD))}</td>" for side, cell in zip(sides, row, strict=True))
        for row in rows
    ]
    return "\n".join(["<table>", *(f"<tr>{line}</tr>" for line in ([head] if head else []) + lines), "</table>"])
