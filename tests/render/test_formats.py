from __future__ import annotations

import csv
import io
import json

import pytest

from onnxcost.conventions import CONVENTIONS, FLOPS, KINDS, MACS, Convention
from onnxcost.render.formats import dumps
from onnxcost.render.report import report_csv, report_markdown
from onnxcost.render.tables import View
from onnxcost.report import CostReport

EVERYTHING = Convention("everything", "all operations alike", "a test", dict.fromkeys(KINDS, 1))


def test_json_has_the_keys_of_the_schema(report: CostReport) -> None:
    document = json.loads(dumps(report.to_dict()))
    assert list(document) == [
        "schema", "version", "model", "inputs", "outputs", "dims", "complete", "bound", "macs_bound", "convention", "totals",
        "memory", "conventions", "by_dtype", "by_operator", "nodes", "uncounted", "warnings", "measurement",
    ]  # fmt: skip
    assert document["schema"] == "onnxcost/1"
    assert document["model"] == {
        "path": "models/small.onnx", "name": "main_graph", "producer": "pytorch 2.13.0", "ir_version": 8, "opsets": {"": 17},
        "file_bytes": 2048, "nodes": 4,
    }  # fmt: skip
    assert document["inputs"] == [{"name": "x", "dtype": "float32", "shape": [1, 3, 8, 8]}]
    assert document["dims"][0] == {"name": "batch", "value": 1, "source": "assumed", "option": "--dim batch=N", "reason": ""}
    assert document["warnings"] == ["A stored shape was wrong."]
    assert document["measurement"] is None


def test_json_totals(report: CostReport) -> None:
    totals = json.loads(dumps(report.to_dict()))["totals"]
    work = totals.pop("work")
    assert totals == {
        "macs": 9472, "flops": 19_200, "parameters": 2682, "running_statistics": 8, "buffers": 0, "buffer_bytes": 0,
        "weight_bytes": 10_760, "weight_bytes_by_dtype": {"float32": 10_760}, "peak_activation_bytes": 2048,
        "read_bytes": 13_544, "write_bytes": 2088,
        "intensity": 19_200 / 15_632, "dequantization_flops": 0,
    }  # fmt: skip
    assert work["macs"] == 9472
    assert list(work) == list(KINDS)


def test_json_of_a_node_and_an_operator(report: CostReport) -> None:
    document = json.loads(dumps(report.to_dict()))
    assert document["by_operator"][0] == {
        "op_type": "Conv", "domain": "", "nodes": 1, "uncounted": 0, "macs": 6912, "flops": 13_824, "parameters": 112,
        "read_bytes": 1216, "write_bytes": 1024,
    }  # fmt: skip
    assert document["by_dtype"] == [{"dtype": "float32", "macs": 9472, "flops": 19_200, "nodes": 4}]
    assert document["conventions"] == {name: report.total(name) for name in CONVENTIONS}
    node = document["nodes"][0]
    assert node["scope"] == ["features", "0"]
    assert node["outputs"] == [{"name": "/features/0/Conv_out", "dtype": "float32", "shape": [1, 4, 8, 8]}]
    assert (node["macs"], node["flops"], node["parameters"], node["repeat"]) == (6912, 13_824, 112, 1)


def test_json_counts_are_integers_beyond_double_precision(repeated: CostReport) -> None:
    assert json.loads(dumps(repeated.to_dict()))["totals"]["flops"] == 12 * 13_824


@pytest.mark.parametrize("text", ["a", ", NaN, ", "}, NaN, {", ", NaN]", "\x7f\n\u2028"])
def test_json_has_a_line_for_each_record(text: str) -> None:
    records = [{"name": text, "inputs": [{"name": text}, {}]}, {"name": ""}, {"shape": [text, None]}]
    lines = dumps({"nodes": records}).splitlines()
    assert json.loads("\n".join(lines)) == {"nodes": records}
    assert [json.loads(line.rstrip(",")) for line in lines[2:-2]] == records


@pytest.mark.parametrize(("convention", "has_count"), [(FLOPS, False), (MACS, False), (EVERYTHING, True)])
def test_json_has_a_count_only_for_another_convention(report: CostReport, convention: Convention, has_count: bool) -> None:
    document = report.to_dict(convention)
    assert document["convention"] == convention.name
    records = [document["totals"], *document["by_dtype"], *document["by_operator"], *document["nodes"]]
    assert all(("count" in record) == has_count for record in records)
    assert not has_count or document["totals"]["count"] == 9472 + 266 + 266 + 256


def test_json_lists_what_is_not_counted(incomplete: CostReport) -> None:
    document = json.loads(dumps(incomplete.to_dict()))
    assert document["complete"] is False
    assert len(document["nodes"]) == 4
    lost = {"name": "/mine", "op_type": "Mine", "domain": "com.acme", "reason": "no formula for com.acme.Mine"}
    assert document["uncounted"][3] == lost
    assert document["by_operator"][4]["uncounted"] == 3


def test_csv_sums_to_the_totals(incomplete: CostReport) -> None:
    rows = list(csv.DictReader(io.StringIO(report_csv(incomplete, View(top=None, sort="order")))))
    assert sum(int(row["flops"] or 0) for row in rows) == 19_200
    assert sum(int(row["read_bytes"] or 0) for row in rows) == 13_544
    assert rows[0]["output_shape"] == "1x4x8x8"
    assert [row["not_counted"] for row in rows] == ["", "", "", "", *["depends on data"] * 3, "no formula for com.acme.Mine"]
    assert rows[4]["flops"] == ""


def test_csv_of_modules(report: CostReport) -> None:
    rows = list(csv.DictReader(io.StringIO(report_csv(report, View(depth=2)))))
    assert [(row["level"], row["module"], row["flops"]) for row in rows[:3]] == [
        ("0", "features", "14080"),
        ("1", "features/0", "13824"),
        ("1", "features/1", "256"),
    ]


def test_csv_has_the_convention_as_a_column(report: CostReport) -> None:
    rows = list(csv.DictReader(io.StringIO(report_csv(report, View(convention=EVERYTHING, top=None, sort="order")))))
    assert [row["everything"] for row in rows] == ["7424", "256", "0", "2580"]


def test_markdown(incomplete: CostReport) -> None:
    text = report_markdown(incomplete, View(top=2))
    assert text.startswith("## small.onnx\n\nmain\\_graph · pytorch 2.13.0 · opset 17 · 2.000 KiB file\n")
    assert "| FLOPs | ≥ 19.20 k | ≥ 19,200 |" in text
    assert "**Not counted: 4 of 8 nodes, so every total is a lower bound**" in text
    assert "- 3 × NonMaxSuppression: depends on data" in text
    assert "| Conv | 1 | 6.912 k | 13.82 k | 112 | 2.188 KiB | 72.0 % |" in text
    tables = [block.splitlines() for block in text.split("\n\n") if block.startswith("|")]
    assert len(tables) == 3
    assert all(len({line.count("|") for line in table}) == 1 for table in tables)
