"""A scan as JSON, CSV and Markdown."""

from __future__ import annotations

from onnxcost.comparison.metrics import METRICS
from onnxcost.render.as_csv import csv_text
from onnxcost.render.as_json import dumps
from onnxcost.render.as_markdown import markdown_table
from onnxcost.render.escaping import markdown
from onnxcost.render.glyphs import UNICODE
from onnxcost.render.scanned import columns_of, not_run, summary
from onnxcost.scanned import Scan
from onnxcost.schema import SCHEMA
from onnxcost.version import __version__


def scan_json(scan: Scan) -> str:
    """A document with the key ``models``: each is what ``scan_jsonl`` has on a line."""
    return dumps({"schema": SCHEMA, "version": __version__, "models": [row.result.to_dict() for row in scan.rows]})


def scan_jsonl(scan: Scan) -> str:
    """One line a model."""
    return "".join(row.result.to_line() for row in scan.rows)


def scan_csv(scan: Scan) -> str:
    """One line a model, in base units; one that was not counted, or not run, has its reason."""
    names = [name for name in METRICS if any(row.candidate and name in row.candidate.values for row in scan.rows)]
    rows: list[list[object]] = []
    for row in scan.rows:
        values = row.candidate.values if row.candidate else {}
        bound = row.candidate.bound if row.candidate else None
        rows.append([row.result.path, *map(values.get, names), bound, row.result.status, row.result.reason or None])
    return csv_text(["path", *names, "bound", "status", "reason"], rows)


def scan_markdown(scan: Scan) -> str:
    """The table of those that were counted, and the others with their reasons."""
    columns = columns_of(scan, UNICODE)
    cells = zip(*columns.values(), strict=True)
    rows = [[" ".join(cell.split()) for cell in line] for row, line in zip(scan.rows, cells, strict=True) if row.candidate]
    blocks = ["\n".join(markdown_table([column.title for column in columns], [column.right for column in columns], rows))]
    blocks += [markdown(sentence) for sentence in (*not_run(scan), summary(scan))]
    blocks.append("\n".join(f"- {markdown(row.label)}: {markdown(row.reason)}" for row in scan.rows if not row.candidate))
    return "\n\n".join(filter(None, blocks)) + "\n"
