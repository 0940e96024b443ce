"""What nodes cost, for Model Explorer and for the metadata of nodes: the numbers are those of the report."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

import onnxcost
from onnxcost.conventions import MACS
from onnxcost.render.node_data import model_notes, profile_node_data, profile_notes, report_node_data, report_notes
from tests.modeltext import model
from tests.render.test_profile import PROFILE

MODELS = Path(__file__).parents[2] / "models"
TWO = model("(float[2,16] x) => (float[2,8] y) { h = MatMul(x, w) y = Relu(h) }", w=(16, 8))
PAIR = onnxcost.estimate(TWO)


@pytest.mark.parametrize(
    "name", ["resnet50_pytorch", "bert_base_pytorch", "swin_t_pytorch", "resnet18_int8_qdq", "lstm_text_pytorch"]
)
def test_each_node_has_its_number_under_its_first_output(name: str) -> None:
    report = onnxcost.estimate(MODELS / f"{name}.onnx")
    results = json.loads(report_node_data(report))["results"]
    assert results.keys() == {cost.node.out.name for cost in report.counted}
    assert sum(each["value"] for each in results.values()) == report.flops
    macs = json.loads(report_node_data(report, MACS))
    assert sum(each["value"] for each in macs["results"].values()) == report.macs
    assert macs["name"] == "macs (onnxcost)"


def test_the_colors_go_from_the_least_to_the_most() -> None:
    gradient = json.loads(report_node_data(PAIR))["gradient"]
    assert [each["stop"] for each in gradient] == [0, 0.5, 1]
    assert all(len(each["bgColor"]) == 7 for each in gradient)


def test_calls_of_functions_have_no_number() -> None:
    assert json.loads(report_node_data(PAIR, calls={"h"}))["results"].keys() == {"y"}
    assert report_notes(PAIR, {"h"}).keys() == {"y"}


@pytest.mark.parametrize("name", ["results", "__proto__", "\x00\x1b\n<b>\u2028", "é"])
def test_a_name_is_a_key_whatever_it_is(name: str) -> None:
    """A tensor named as the keys of the file is told apart by the graph around it."""
    built = model("(float[2,16] x) => (float[2,8] y) { h = MatMul(x, w) y = Relu(h) }", w=(16, 8))
    built.graph.node[0].output[0] = built.graph.node[1].input[0] = name
    text = report_node_data(onnxcost.estimate(built))
    data = json.loads(text)
    results = (data[built.graph.name] if name == "results" else data)["results"]
    assert results[name] == {"value": 2 * 8 * 31}
    assert text.isascii()


def test_notes_are_the_numbers_of_the_report() -> None:
    assert report_notes(PAIR)["h"] == {
        "macs": str(2 * 8 * 16), "flops": str(2 * 8 * 31), "parameters": "128",
        "read_bytes": str(4 * (2 * 16 + 16 * 8)), "write_bytes": str(4 * 2 * 8),
    }  # fmt: skip
    assert model_notes(PAIR)["macs"] == "256"


def test_what_is_not_counted_has_its_reason() -> None:
    built = model("(float[2,16] x) => (y) { y = Mystery(x) }")
    built.graph.node[0].domain = "com.example"
    assert report_notes(onnxcost.estimate(built))["y"].keys() == {"uncounted"}


def test_the_time_of_a_fused_node_is_at_the_one_with_the_most_work() -> None:
    node = replace(PROFILE.nodes[0], origins=tuple(cost.node.name for cost in PAIR.costs))
    profile = replace(PROFILE, nodes=(node,))
    results = json.loads(profile_node_data(profile, PAIR))["results"]
    assert results == {"h": {"value": pytest.approx(1e3 * node.seconds)}}
    notes = profile_notes(profile, PAIR)
    assert float(notes["h"]["seconds"]) == pytest.approx(node.seconds, abs=1e-9)
    assert notes["h"]["share"] == "1.000000"
    assert notes["y"]["fused_into"] == PAIR.costs[0].node.name
    assert "seconds" not in notes["y"]
