"""The queries of docs/zoo.md, on the checkpoint of a real scan."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from onnxcost.scanning.api import scan
from onnxcost.scanning.results import Scanned
from tests.modeltext import model

duckdb = pytest.importorskip("duckdb", reason="DuckDB is not installed")
PAGE = Path(__file__).parents[2] / "docs" / "zoo.md"
QUERIES = re.findall(r"```sql\n(.*?)```", PAGE.read_text(), re.S)


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Scanned]]:
    folder = tmp_path_factory.mktemp("zoo")
    for number in range(12):
        text = f"(float[batch,{number + 1}] x) => (float y) {{ z = MatMul(x, w)\n y = Relu(z) }}"
        content = model(text, w=(number + 1, 4)).SerializeToString() if number % 5 else b"broken"
        (folder / f"m{number:02}.onnx").write_bytes(content)
    return folder, [*scan([folder], jobs=2, resume=folder / "zoo.jsonl")]


def query(text: str, zoo: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    monkeypatch.chdir(zoo)
    result = duckdb.connect().execute(text)
    names = [column[0] for column in result.description]
    return [dict(zip(names, row, strict=True)) for row in result.fetchall()]


def answer(word: str, zoo: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The rows of the one query with this in it."""
    (text,) = (text for text in QUERIES if word in text)
    return query(text, zoo, monkeypatch)


def test_each_query_runs(zoo: tuple[Path, list[Scanned]], monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(QUERIES) == 6
    assert all(query(text, zoo[0], monkeypatch) for text in QUERIES)


def test_they_say_what_the_scan_says(zoo: tuple[Path, list[Scanned]], monkeypatch: pytest.MonkeyPatch) -> None:
    folder, results = zoo
    reports = {result.path: result.report for result in results if result.report}
    assert [(row["status"], row["models"]) for row in answer("GROUP BY status", folder, monkeypatch)] == [
        ("ok", 9),
        ("failed", 3),
    ]
    largest = answer("LIMIT 10", folder, monkeypatch)
    assert [(row["path"], row["macs"]) for row in largest] == sorted(
        ((path, report["totals"]["macs"]) for path, report in reports.items()), key=lambda pair: -pair[1]
    )
    assert sum(row["models"] for row in answer("first_path", folder, monkeypatch)) == 3
    operators = {row["operator"]: row for row in answer("op_type", folder, monkeypatch)}
    assert operators.keys() == {"MatMul", "Relu"}
    assert operators["MatMul"]["macs"] == sum(report["totals"]["macs"] for report in reports.values())
    assert answer("'assumed'", folder, monkeypatch) == [{"dim": "batch", "value": 1, "models": 9}]
    (total,) = answer("parquet", folder, monkeypatch)
    assert total == {"models": 12, "parameters": sum(report["totals"]["parameters"] for report in reports.values())}
