"""Queries of a report: groups, totals, the most expensive nodes."""

from __future__ import annotations

import pytest

import onnxcost
from onnxcost.report import CostReport
from tests.modeltext import model


@pytest.fixture
def report() -> CostReport:
    text = "(float[2,4] x) => (float y) { a = MatMul(x, w) b = Relu(a) c = MatMul(b, w) d = my.Op(c) y = Neg(c) }"
    proto = model(text, domains=', "my" : 1', w=(4, 4))
    for node, name in zip(proto.graph.node, ("/e/0/MatMul", "/e/0/Relu", "/e/1/MatMul", "/h/Op", "Neg"), strict=True):
        node.name = name
    return onnxcost.estimate(proto)


def test_by_operator_in_the_order_of_their_first_node(report: CostReport) -> None:
    groups = report.by_operator()
    assert [(group.key, len(group.costs), group.work.macs) for group in groups] == [
        (("", "MatMul"), 2, 64), (("", "Relu"), 1, 0), (("my", "Op"), 1, 0), (("", "Neg"), 1, 0),
    ]  # fmt: skip
    assert [group.complete for group in groups] == [True, True, False, True]


@pytest.mark.parametrize(("depth", "keys"), [(0, [()]), (1, [("e",), ("h",), ()]), (2, [("e", "0"), ("e", "1"), ("h",), ()])])
def test_by_scope(report: CostReport, depth: int, keys: list[tuple[str, ...]]) -> None:
    groups = report.by_scope(depth)
    assert [group.key for group in groups] == keys
    assert sum(group.work.macs for group in groups) == report.macs


def test_groups_add_up_to_the_whole(report: CostReport) -> None:
    for groups in (report.by_operator(), report.by_scope(1), report.by_dtype()):
        assert sum(group.total(onnxcost.CONVENTIONS["flops"]) for group in groups) == report.flops
    assert sum(group.parameters for group in report.by_operator()) == report.parameters == 16


def test_the_most_expensive_nodes_first(report: CostReport) -> None:
    assert [cost.node.name for cost in report.top(2)] == ["/e/0/MatMul", "/e/1/MatMul"]
    assert len(report.top(None)) == 4


def test_intensity_is_flops_per_byte_moved(report: CostReport) -> None:
    assert report.intensity == report.flops / report.whole.traffic.total


def test_repeats_multiply_work_traffic_and_every_convention(report: CostReport) -> None:
    from dataclasses import replace

    once = report.counted[0]
    thrice = replace(once, node=replace(once.node, repeat=3))
    assert thrice.work == 3 * once.work
    assert thrice.traffic == 3 * once.traffic
    assert all(thrice.count(c) == 3 * once.count(c) for c in onnxcost.CONVENTIONS.values())


def test_as_plain_data(report: CostReport) -> None:
    document = report.to_dict("fvcore")
    assert document["schema"] == "onnxcost/1"
    assert (document["complete"], document["convention"]) == (False, "fvcore")
    assert (document["totals"]["macs"], document["totals"]["count"]) == (report.macs, report.total("fvcore"))
