"""A profile of two runs whose every number can be worked out by hand; the costs are those of conftest.py.

In one inference the nodes take 6 (Conv), 3 (Gemm), 2.5 (Mine, not counted) and 1 ms (Relu), together 12.5 ms. A profiled run
takes 14 ms, one without profiling 10 ms. Conv achieves 13,824 FLOPs in 6 ms, 2.304 MFLOP/s, and moves 2240 bytes, 373.3 kB/s.
"""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace

import numpy as np
import pytest

from onnxcost.costs import Group, NodeCost
from onnxcost.render.formats import dumps
from onnxcost.render.layout import ASCII, Screen, text_of
from onnxcost.render.profile import SORTS, ProfileView, profile_csv, profile_lines, profile_markdown
from onnxcost.runtime.profile import Profile, ProfiledNode
from onnxcost.runtime.protocol import ArenaUse
from tests.measurements import measurement
from tests.render.conftest import COSTS, LOST, report_of

RUNS = 2
CONV, RELU, _, GEMM = COSTS
MINE = LOST[3]


def profiled(cost: NodeCost, seconds: float, times: int = 1, provider: str = "CPUExecutionProvider") -> ProfiledNode:
    """A node that takes so long in each run, in so many executions."""
    node = replace(cost.node, repeat=RUNS * times)
    costs = Group((), (replace(cost, node=node),))
    return ProfiledNode(
        RUNS, RUNS * times, RUNS * seconds, costs, node.name, node.op_type, node.domain, provider, scope=node.scope
    )


FUSED = ("/features/0/Conv", "/features/1/Relu")
NODES = (replace(profiled(CONV, 0.006), origins=FUSED), profiled(RELU, 0.001), profiled(GEMM, 0.003), profiled(MINE, 0.0025))
# The arena tells of 4 KiB; the input of 3 × 8 × 8 floats comes on top.
PROFILE = Profile(
    report_of(*COSTS, *LOST), NODES, (0.013, 0.015), measurement(samples=np.full(10, 0.01)), ArenaUse(1 << 20, 4096)
)

AT_80 = """\
  Latency      10.00 ms   median, not profiled
  Nodes        12.50 ms   sum of all nodes, +25.0 % vs. the latency
  Profiled     14.00 ms   mean of 2 profiled runs, +12.0 % vs. the nodes
  Coverage      80.0 %    of the nodes' time, 3 of 4 nodes counted
  Arena        1.000 MiB  peak of onnxruntime's arena
  Activations  4.750 KiB  at peak, estimated 2.000 KiB

  Not counted: 1 of 4 nodes, 20.0 % of the time
  Mine '/mine': no formula for com.acme.Mine

  Operator       Nodes      Time   Share   Cumul.    FLOPs   FLOP/s  Bytes/s
  Conv               1  6.000 ms  48.0 %   48.0 %  13.82 k  2.304 M  373.3 k
  Gemm               1  3.000 ms  24.0 %   72.0 %  5.120 k  1.707 M  3.781 M
  com.acme.Mine      1  2.500 ms  20.0 %   92.0 %        ?        ?        ?
  Relu               1  1.000 ms   8.0 %  100.0 %    256    256.0 k  2.048 M

  Top 2 of 4 nodes  Operator      Time   Share  Cumul.   FLOP/s  Bytes/s
  /features/0/Conv  Conv      6.000 ms  48.0 %  48.0 %  2.304 M  373.3 k
  /head/Gemm        Gemm      3.000 ms  24.0 %  72.0 %  1.707 M  3.781 M

10.00 ms, 100.0 FPS on this CPU; 72 % of the time in 2 of 4 nodes; 1.920 MFLOP/s
"""


def shown(profile: Profile, view: ProfileView | None = None, screen: Screen | None = None) -> str:
    return text_of(profile_lines(profile, view or ProfileView(), screen or Screen(100)))


def test_the_profile_at_80_columns() -> None:
    heading, rest = shown(PROFILE, ProfileView(top=2), Screen(80)).split("\n\n", 1)
    assert heading.startswith("Profiled  cpu · A Processor")
    assert rest == AT_80


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("screen", [Screen(), Screen(glyphs=ASCII)], ids=["unicode", "ascii"])
def test_nothing_is_wider_than_the_screen(width: int, screen: Screen) -> None:
    text = shown(PROFILE, screen=screen._replace(width=width))
    assert max(map(len, text.splitlines())) <= width
    assert text.isascii() == (screen.glyphs is ASCII)


@pytest.mark.parametrize(
    ("sort", "names"),
    [
        ("time", ["Conv", "Gemm", "Mine", "Relu"]),
        ("flops", ["Conv", "Gemm", "Relu", "Mine"]),
        ("rate", ["Conv", "Gemm", "Relu", "Mine"]),
        ("order", ["Conv", "Relu", "Gemm", "Mine"]),
    ],
)
def test_orders(sort: str, names: list[str]) -> None:
    lines = shown(PROFILE, ProfileView(by=("node",), sort=sort)).splitlines()[-6:-2]
    assert [line.split()[1] for line in lines] == names


def test_the_orders_are_those_of_the_command() -> None:
    from onnxcost.cli.profile import SORTS as NAMES

    assert tuple(SORTS) == NAMES


def test_only_one_table() -> None:
    assert "Node " not in shown(PROFILE, ProfileView(by=("operator",)))
    assert "Nodes   " not in shown(PROFILE, ProfileView(by=("node",))).rpartition("\n\n")[2]


def test_providers_are_shown_where_there_are_several() -> None:
    mixed = replace(PROFILE, nodes=(*NODES[:3], profiled(MINE, 0.0025, provider="CUDAExecutionProvider")))
    assert "Provider" not in shown(PROFILE)
    assert [line.split()[2] for line in shown(mixed).splitlines()[-6:-2]] == ["CPU", "CPU", "CUDA", "CPU"]


def test_what_runs_often_says_so() -> None:
    assert "Conv ×12 " in shown(replace(PROFILE, nodes=(profiled(CONV, 0.006, times=12),)))


def test_a_group_with_a_node_that_is_not_counted_has_lower_bounds() -> None:
    lost = profiled(replace(MINE, node=replace(CONV.node, name="/lost")), 0.001)
    assert "  ≥ 13.82 k  ≥ 1.975 M" in shown(replace(PROFILE, nodes=(NODES[0], lost)), ProfileView(by=("operator",)))


def test_without_a_measurement_there_is_no_latency() -> None:
    text = shown(replace(PROFILE, measurement=None))
    assert "Latency" not in text
    assert "sum of all nodes\n" in text


def test_a_model_of_no_nodes_has_no_shares() -> None:
    text = shown(replace(PROFILE, nodes=()))
    assert ["Nodes", "0.00", "ms"] in [line.split()[:3] for line in text.splitlines()]
    assert "mean of 2 profiled runs\n" in text


def test_markdown() -> None:
    text = profile_markdown(PROFILE, ProfileView(top=1))
    assert text.startswith("### Profiled\n")
    assert "| Nodes | 12.50 ms | sum of all nodes, +25.0 % vs. the latency |" in text
    assert "- Mine '/mine': no formula for com.acme.Mine" in text
    assert "| /features/0/Conv | Conv | 6.000 ms | 48.0 % | 48.0 % | 13.82 k | 2.304 M | 373.3 k |" in text


def test_csv() -> None:
    rows = list(csv.DictReader(io.StringIO(profile_csv(PROFILE, ProfileView(("node",), None, "order")))))
    assert [row["name"] for row in rows] == ["/features/0/Conv", "/features/1/Relu", "/head/Gemm", "/mine"]
    assert rows[0]["origins"] == "/features/0/Conv; /features/1/Relu"
    assert (rows[0]["scope"], float(rows[0]["seconds"]), rows[0]["flops"]) == ("features/0", 0.006, "13824")
    assert (rows[3]["flops_per_second"], rows[3]["uncounted"]) == ("", "no formula for com.acme.Mine")
    rows = list(csv.DictReader(io.StringIO(profile_csv(PROFILE, ProfileView(("operator",), 2, "time")))))
    assert [row["op_type"] for row in rows] == ["Conv", "Gemm"]


def test_json_has_a_line_for_each_node() -> None:
    text = dumps(PROFILE.to_dict())
    document = json.loads(text)
    assert [node["share"] for node in document["profile"]["nodes"]] == pytest.approx([0.48, 0.08, 0.24, 0.2])
    assert document["measurement"]["latency"]["median"] == 0.01
    assert sum(line.strip().startswith('{"name": "/features/0/Conv"') for line in text.splitlines()) == 1
