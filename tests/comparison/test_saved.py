from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import onnxcost
from onnxcost.comparison.api import LabeledSource, LoadedSource, expand_boards, load_sources
from onnxcost.comparison.candidates import METRICS, Broken, Comparison
from onnxcost.comparison.saved import boards_in, load_report, read_candidate
from onnxcost.errors import InputError
from onnxcost.measurement import Unmeasured
from onnxcost.report import measurements_to_dict
from tests.measurements import MEASUREMENT
from tests.modeltext import model

REPORT = onnxcost.estimate(
    model("(float[batch,3,8,8] x) => (float y) { c = Conv(x, w)  y = Relu(c) }", w=(4, 3, 3, 3)), dims={"batch": 2}
)
INCOMPLETE = onnxcost.estimate(model("(float[2,16] x) => (float y) { y = com.acme.Mine(x) }", domains=', "com.acme" : 1'))
MEASURED: dict[str, Any] = {
    "status": "ok", "device": "a CPU", "provider": "cpu", "onnxruntime": "1.2", "threads": {"intra": 2, "inter": 1}, "batch": 1,
    "latency": {"median": 0.5}, "fps": 2.0, "flops_per_second": 8.0, "peak_rss_bytes": 1024,
}  # fmt: skip


def saved(folder: Path, document: object) -> str:
    path = folder / "cost.json"
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return str(path)


@pytest.mark.parametrize("report", [REPORT, INCOMPLETE])
@pytest.mark.parametrize("convention", ["flops", "classic"])
def test_a_saved_report_is_as_good_as_a_fresh_one(tmp_path: Path, report: onnxcost.CostReport, convention: str) -> None:
    document = report.to_dict(convention)
    read = read_candidate(load_report(saved(tmp_path, document)), "a", convention)
    assert read == read_candidate(document, "a", convention)


def test_what_a_report_says() -> None:
    found = read_candidate(REPORT.to_dict(), "a")
    macs = 2 * 4 * 6 * 6 * 27
    assert (found.values["macs"], found.values["operators"], found.values["nodes"]) == (macs, 2, 2)
    assert found.values["traffic_bytes"] == REPORT.whole.traffic.total
    assert found.inputs == ("2×3×8×8",)
    conv = found.nodes[0]
    assert (conv.operator, conv.output, conv.inputs, conv.macs) == ("Conv", (2, 4, 6, 6), ((2, 3, 8, 8), (4, 3, 3, 3)), macs)
    assert {each.operator: each.nodes for each in found.operators} == {"Conv": 1, "Relu": 1}
    assert found.bound == ""


def test_all_metrics_of_a_measured_report_are_known() -> None:
    document = REPORT.to_dict() | {"measurement": MEASURED}
    values = read_candidate(document, "a").values
    assert values.keys() == METRICS.keys()
    assert (values["latency"], values["fps"], values["flops_per_second"], values["peak_rss_bytes"]) == (0.5, 2.0, 8.0, 1024)


@pytest.mark.parametrize("measurement", [None, {"status": "failed", "reason": "no weights"}])
def test_what_was_not_measured_is_not_among_the_metrics(measurement: object) -> None:
    found = read_candidate(REPORT.to_dict() | {"measurement": measurement}, "a")
    assert not {"latency", "fps"} & found.values.keys()
    assert found.conditions == {}


def test_an_incomplete_report_is_a_lower_bound() -> None:
    found = read_candidate(INCOMPLETE.to_dict(), "a")
    assert (found.bound, found.bound_of("macs"), found.bound_of("nodes")) == ("lower", "lower", "")
    assert [(each.operator, each.nodes, each.uncounted) for each in found.operators] == [("com.acme.Mine", 1, 1)]


def test_what_was_assumed_is_noted() -> None:
    report = onnxcost.estimate(model("(float[batch,3] x) => (float y) { y = Relu(x) }"))
    assert read_candidate(report.to_dict(), "a").notes == ("assumed batch = 1 (--dim batch=N)",)


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ("{", "is not JSON"),
        ("[1]", "is not an onnxcost report"),
        (
            {"a": 1},
            "is not an onnxcost report: a saved report has the schema 'onnxcost/1'; create one with "
            "'onnxcost MODEL -o cost.json'",
        ),
        ({"schema": "onnxcost/9"}, "has the schema 'onnxcost/9'"),
        ({"schema": "onnxcost/1", "formulas": []}, "has neither counts nor a single measurement of a model"),
    ],
)
def test_a_file_that_is_no_report(tmp_path: Path, document: object, says: str) -> None:
    path = saved(tmp_path, document)
    with pytest.raises(InputError) as refused:
        load_report(path)
    assert str(refused.value).startswith(f"'{path}' ")
    assert says in str(refused.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot read '.*nosuch.json': No such file"):
        load_report(str(tmp_path / "nosuch.json"))


@pytest.mark.parametrize("key", ["complete", "inputs", "by_operator", "nodes", "warnings", "dims"])
def test_a_report_that_lacks_something_is_damaged(key: str) -> None:
    document = {name: value for name, value in REPORT.to_dict().items() if name not in (key, "bound")}
    with pytest.raises(InputError, match=rf"'a' is a damaged report \(KeyError: '{key}'\): save it again"):
        read_candidate(document, "a")


@pytest.mark.parametrize("key", ["inputs", "by_operator", "nodes"])
def test_a_report_with_something_else_in_it_is_damaged(key: str) -> None:
    with pytest.raises(InputError, match="'a' is a damaged report"):
        read_candidate(REPORT.to_dict() | {key: [7]}, "a")


def test_a_convention_that_the_report_was_not_saved_in() -> None:
    with pytest.raises(InputError, match="'a' was saved without node counts in 'thop': save it again with --convention thop"):
        read_candidate(REPORT.to_dict(), "a", "thop")
    assert read_candidate(REPORT.to_dict("thop"), "a", "macs").nodes[0].count == REPORT.macs


def test_the_conditions_of_latencies_that_differ() -> None:
    batch = read_candidate(REPORT.to_dict() | {"measurement": MEASURED}, "a")
    batches = read_candidate(REPORT.to_dict() | {"measurement": MEASURED | {"batch": 8, "provider": "cuda"}}, "b")
    unmeasured = read_candidate(REPORT.to_dict(), "c")
    assert Comparison(batch, (batch, unmeasured, batch)).differing_conditions == {}
    found = Comparison(batch, (batch, unmeasured, batches))
    assert found.differing_conditions == {"Provider": ["cpu", "", "cuda"], "Batch": ["1", "", "8"]}
    assert found.to_dict()["models"][2]["conditions"] == ["a CPU", "cuda", "onnxruntime 1.2", "2 threads", "batch 8"]


def test_machines_that_differ() -> None:
    environment = {
        "usable_cores": 4.0,
        "max_frequency": 2.4e9,
        "governor": "ondemand",
        "platform": "Linux",
        "date": "2026-11-30T10",
    }
    here = MEASURED | {"device_memory_bytes": 4 << 30, "environment": environment}
    later = {"usable_cores": 7.5, "max_frequency": None, "governor": "performance", "date": "2026-12-01T10"}
    there = here | {
        "device_memory_bytes": 8 << 30,
        "onnxruntime": "1.3",
        "threads": {"intra": 8},
        "environment": environment | later,
    }
    models = tuple(read_candidate(REPORT.to_dict() | {"measurement": each}, name) for name, each in (("a", here), ("b", there)))
    assert Comparison(models[0], models).differing_conditions == {
        "onnxruntime": ["1.2", "1.3"], "Threads": ["2", "8"], "Memory": ["4 GiB", "8 GiB"], "Cores": ["4", "7.5"],
        "Clock": ["2.4 GHz", ""], "Governor": ["ondemand", "performance"], "Date": ["2026-11-30", "2026-12-01"],
    }  # fmt: skip


def test_a_document_of_only_a_measurement(tmp_path: Path) -> None:
    document = measurements_to_dict(REPORT.graph, MEASUREMENT)
    found = read_candidate(load_report(saved(tmp_path, document)), "a")
    assert found.values["latency"] == pytest.approx(0.0195)
    assert found.inputs == ("2×3×8×8",)
    assert "macs" not in found.values
    failed = read_candidate(measurements_to_dict(REPORT.graph, Unmeasured("failed", "no weights")), "a")
    assert (failed.unmeasured, failed.conditions) == ("no weights", {})


def test_the_boards_of_a_fleet(tmp_path: Path) -> None:
    document = measurements_to_dict(REPORT.graph, MEASUREMENT)
    boards = [
        {"board": "pi5", "result": document, "failure": None, "reason": None},
        {"board": "orin", "result": None, "failure": "busy", "reason": "a job of ada"},
    ]
    path = saved(tmp_path, {"schema": "onnxcost/1", "command": "measure", "boards": boards})
    assert boards_in(path) == ["pi5", "orin"]
    both = expand_boards([LabeledSource("cost", path)])
    assert [each.label for each in both] == ["pi5", "orin"]
    assert [each.label for each in expand_boards([LabeledSource("a", path), LabeledSource("m", "m.onnx")])][:1] == ["pi5 (a)"]
    ok, broken = load_sources(both)
    assert isinstance(ok, LoadedSource)
    assert isinstance(broken, Broken)
    assert broken.reason == f"'orin' in '{path}' has no result: busy: a job of ada"


@pytest.mark.parametrize("boards", [1, [1], [{}], "x", None])
def test_a_file_with_other_boards(tmp_path: Path, boards: object) -> None:
    path = saved(tmp_path, {"schema": "onnxcost/1", "boards": boards})
    assert boards_in(path) == []
    with pytest.raises(InputError, match="neither counts nor a single measurement"):
        load_report(path)


def put(document: dict[str, Any], where: str, value: object) -> dict[str, Any]:
    """The document with another value at ``totals.macs`` or ``by_operator.0.nodes``."""
    copy = json.loads(json.dumps(document))
    *path, last = where.split(".")
    table = copy
    for key in path:
        table = table[int(key)] if isinstance(table, list) else table[key]
    table[int(last) if isinstance(table, list) else last] = value
    return copy


NO_FIGURES = (-1, -0.5, True, "7", [7], float("nan"), float("inf"))


@pytest.mark.parametrize("value", NO_FIGURES)
@pytest.mark.parametrize(
    "where",
    [
        "conventions.flops", "conventions.macs", "totals.parameters", "totals.read_bytes", "totals.peak_activation_bytes",
        "totals.intensity", "measurement.latency.median", "measurement.fps", "measurement.peak_rss_bytes", "model.nodes",
        "by_operator.0.flops", "by_operator.0.nodes", "by_operator.0.write_bytes", "nodes.0.flops", "nodes.1.repeat",
    ],
)  # fmt: skip
def test_a_negative_or_infinite_figure_is_a_damaged_report(where: str, value: object) -> None:
    document = put(REPORT.to_dict() | {"measurement": MEASURED}, where, value)
    with pytest.raises(
        InputError, match=r"^'a' is a damaged report \([\w.]+ is .+, not a number of at least 0\): save it again$"
    ):
        read_candidate(document, "a")


@pytest.mark.parametrize(
    ("where", "value"), [("bound", "perhaps"), ("bound", None), ("bound", 7), ("totals", []), ("conventions", 1)]
)
def test_a_report_whose_tables_are_something_else_is_damaged(where: str, value: object) -> None:
    with pytest.raises(InputError, match="'a' is a damaged report"):
        read_candidate(put(REPORT.to_dict(), where, value), "a")
