from __future__ import annotations

from dataclasses import replace

import pytest

from onnxcost.conventions import MACS
from onnxcost.render.report import reasons
from onnxcost.render.tables import NO_SCOPE, OWN_NODES, View, module_rows, node_rows, operator_rows
from onnxcost.report import CostReport
from tests.render.conftest import COSTS, report_of


def test_operators_come_most_expensive_first(report: CostReport) -> None:
    assert [(row.label, row.macs, row.flops, row.parameters) for row in operator_rows(report, View())] == [
        ("Conv", 6912, 13_824, 112),
        ("Gemm", 2560, 5120, 2570),
        ("Relu", 0, 256, 0),
        ("Reshape", 0, 0, 0),
    ]


@pytest.mark.parametrize(
    ("sort", "first"),
    [
        (None, "/features/0/Conv"),
        ("flops", "/features/0/Conv"),
        ("macs", "/features/0/Conv"),
        ("parameters", "/head/Gemm"),
        ("traffic", "/head/Gemm"),
        ("name", "/Reshape"),
        ("order", "/features/0/Conv"),
    ],
)
def test_sort(report: CostReport, sort: str | None, first: str) -> None:
    assert node_rows(report, View(sort=sort, top=1))[0].label == first


def test_equals_keep_the_order_of_execution(report: CostReport) -> None:
    rows = node_rows(report, View(sort="macs", top=None))
    assert [row.op_type for row in rows] == ["Conv", "Gemm", "Relu", "Reshape"]
    assert [row.op_type for row in node_rows(report, View(sort="order", top=None))] == ["Conv", "Relu", "Reshape", "Gemm"]


def test_the_convention_chooses_the_count(report: CostReport) -> None:
    assert [row.count for row in node_rows(report, View(convention=MACS, top=2))] == [6912, 2560]


def test_modules_in_order_with_sums(report: CostReport) -> None:
    rows = module_rows(report, View(depth=2))
    assert [(row.level, row.label, row.nodes, row.flops) for row in rows] == [
        (0, "features", 2, 14_080),
        (1, "0", 1, 13_824),
        (1, "1", 1, 256),
        (0, NO_SCOPE, 1, 0),
        (0, "head", 1, 5120),
    ]


def test_a_module_shows_its_own_nodes_and_its_parts() -> None:
    gemm = COSTS[3]
    moved = replace(gemm, node=replace(gemm.node, scope=("features",)))
    rows = module_rows(report_of(COSTS[0], moved), View(depth=2))
    assert [(row.level, row.label) for row in rows] == [(0, "features"), (1, "0"), (1, OWN_NODES)]


def test_repeats_count(repeated: CostReport) -> None:
    assert operator_rows(repeated, View())[0].flops == 12 * 13_824


def test_reasons_are_grouped(incomplete: CostReport) -> None:
    assert reasons(incomplete) == [
        (3, "NonMaxSuppression", "depends on data"),
        (1, "com.acme.Mine", "no formula for com.acme.Mine"),
    ]


@pytest.mark.parametrize(
    ("name", "scope", "label"),
    [
        ("/layer1/layer1.0/conv1/Conv", ("layer1", "layer1.0", "conv1"), "/layer1/layer1.0/conv1/Conv"),
        ("node_Conv_343", ("features", "3"), "features/3/node_Conv_343"),
        ("Conv__12", (), "Conv__12"),
        ("", ("head",), "head//features/0/Conv_out"),
    ],
)
def test_a_node_is_named_with_its_module(name: str, scope: tuple[str, ...], label: str) -> None:
    conv = COSTS[0]
    moved = replace(conv, node=replace(conv.node, name=name, scope=scope))
    assert node_rows(report_of(moved), View())[0].label == label
