"""A comparison as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from onnxcost.comparison.candidates import Candidate, Comparison
from onnxcost.comparison.differences import Differences
from onnxcost.comparison.metrics import METRICS
from onnxcost.render.agreeing import agreement_sentences, agreement_table, agreement_title
from onnxcost.render.as_markdown import markdown_table
from onnxcost.render.compared import MARK, MOST_COLUMNS
from onnxcost.render.compared_text import failures, remarks, text_rows
from onnxcost.render.different import change_rows, correspondence, heading
from onnxcost.render.different_tables import TITLES, layer_table, operator_table
from onnxcost.render.escaping import markdown
from onnxcost.render.figures import relative_text, value_text
from onnxcost.render.glyphs import UNICODE
from onnxcost.render.tables import Table


def comparison_markdown(comparison: Comparison, differences: Sequence[Differences]) -> str:
    """The table of the metrics, a column for each model while they are few, and the differences."""
    blocks = ["\n".join(_metrics(comparison))]
    blocks += [f"**{what}:** {markdown(why)}" for what, _, why in (text.partition(": ") for text in failures(comparison))]
    blocks += map(markdown, remarks(comparison))
    blocks += _agreement(comparison)
    for each in differences:
        blocks += _section(each, comparison.convention)
    return "\n\n".join(blocks) + "\n"


def _metrics(comparison: Comparison) -> list[str]:
    above, *below = text_rows(comparison, UNICODE)
    titles = ["", above.title, *(METRICS[name].title for name in comparison.metrics), *(row.title for row in below)]
    columns = [titles]
    for at, candidate in enumerate(comparison.candidates):
        cells = [_cell(comparison, candidate, name) for name in comparison.metrics]
        columns.append([candidate.label, above.texts[at], *cells, *(row.texts[at] for row in below)])
    if len(comparison.candidates) > MOST_COLUMNS:
        return _rows(columns)
    return _rows([list(row) for row in zip(*columns, strict=True)])


def _rows(rows: Sequence[list[str]]) -> list[str]:
    return markdown_table(rows[0], [False, *(True for _ in rows[0][1:])], rows[1:])


def _cell(comparison: Comparison, candidate: Candidate, name: str) -> str:
    relative = relative_text(comparison, candidate, name, UNICODE)
    mark = MARK if candidate.label in comparison.best(name) else ""
    return value_text(candidate, name, UNICODE) + mark + (f" ({relative})" if relative else "")


def _section(differences: Differences, convention: str) -> list[str]:
    name, about = heading(differences, convention)
    titles = [f"± {TITLES.get(convention, convention)}", "± Traffic", "What"]
    rows = change_rows(differences)
    blocks = [
        [f"### {markdown(name)}"],
        [markdown(", ".join(about))],
        _table(operator_table(differences, convention, UNICODE)),
        [markdown(correspondence(differences))],
        markdown_table(titles, [True, True, False], rows) if rows else [],
        _table(layer_table(differences, convention, UNICODE)),
    ]
    return ["\n".join(block) for block in blocks if block]


def _agreement(comparison: Comparison) -> list[str]:
    """The outputs beside those of the first model, where they were compared."""
    if not any(model.agreement for model in comparison.candidates):
        return []
    table = "\n".join(_table(agreement_table(comparison, UNICODE)))
    sentences = [markdown(text) for text in agreement_sentences(comparison)]
    return [f"### {markdown(agreement_title(comparison))}", *([table] if table else []), *sentences]


def _table(content: Table) -> list[str]:
    right = [column.right for column in content.columns]
    rows = [[" ".join(cell.split()) for cell in row] for row in content.rows]
    lines = markdown_table([column.title for column in content.columns], right, rows) if rows else []
    return lines + ([*([""] if lines else []), markdown(content.note)] if content.note else [])
