"""A report whose every number can be worked out by hand.

Conv: 256 outputs of 27 products each, with bias. Gemm: 10 outputs of 256 products each, with bias. A dot product of n terms and
a bias is 2n FLOPs, so FLOPs are 256·54 + 256 (Relu) + 10·512 = 13,824 + 256 + 5,120 = 19,200 and MACs 6,912 + 2,560 = 9,472.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from onnxcost.analysis.memory import Memory
from onnxcost.costs import Counted, NodeCost, Uncounted
from onnxcost.graph import NO_WORK, BoundDim, Caveat, Graph, Node, Work
from onnxcost.operators.traffic import NO_TRAFFIC, Traffic
from onnxcost.ort_optimizer.memory_plan import MemoryPlan
from onnxcost.report import CostReport
from tests.graphs import tensor

X = tensor("x", 1, 3, 8, 8)
Y = tensor("y", 1, 10)


def _counted(name: str, op_type: str, out: tuple[int, ...], work: Work, moved: Traffic, parameters: int = 0) -> Counted:
    scope = tuple(name.split("/")[1:-1])
    node = Node(name, op_type, "", (X,), (tensor(f"{name}_out", *out),), {}, scope)
    return Counted(node, work, moved, "float32", parameters)


COSTS = (
    _counted("/features/0/Conv", "Conv", (1, 4, 8, 8), Work(6912, 256, 256), Traffic(1216, 1024), 112),
    _counted("/features/1/Relu", "Relu", (1, 4, 8, 8), Work(compares=256), Traffic(1024, 1024)),
    _counted("/Reshape", "Reshape", (1, 256), NO_WORK, NO_TRAFFIC),
    _counted("/head/Gemm", "Gemm", (1, 10), Work(2560, 10, 10), Traffic(11304, 40), 2570),
)
LOST = (
    *(
        Uncounted(
            Node(f"/nms_{at}", "NonMaxSuppression", "", (X,), (tensor("kept", None, 3, dtype="int64"),)), "depends on data"
        )
        for at in range(3)
    ),
    Uncounted(Node("/mine", "Mine", "com.acme", (X,), (Y,)), "no formula for com.acme.Mine"),
)


def report_of(*costs: NodeCost) -> CostReport:
    graph = Graph(
        "main_graph",
        (X,),
        (Y,),
        tuple(cost.node for cost in costs),
        {},
        (BoundDim("batch", 1, "assumed", "--dim batch=N"), BoundDim("side", 8, "given", "--dim side=8")),
        ("A stored shape was wrong.",),
        "models/small.onnx",
        "pytorch 2.13.0",
        8,
        {"": 17},
        2048,
    )
    held = MemoryPlan({"x": 2048}, (), (), ())
    return CostReport(
        graph,
        costs,
        Memory(2682, 8, 10760, {"float32": 10760}, lambda: held),
        (Caveat("note", "A stored shape was wrong."),),
    )


@pytest.fixture
def report() -> CostReport:
    return report_of(*COSTS)


@pytest.fixture
def incomplete() -> CostReport:
    return report_of(*COSTS, *LOST)


@pytest.fixture
def repeated() -> CostReport:
    """The Conv runs 12 times in one inference."""
    conv = COSTS[0]
    return report_of(replace(conv, node=replace(conv.node, repeat=12)))
