"""The probes of a calibration: each tells what it is for, and runs as we say that it does."""

from __future__ import annotations

import pytest

from onnxcost.estimator import estimate
from onnxcost.frontend.probe_models import Probe, probe_model
from onnxcost.hardware.calibration.probes import blocked_probe, probes
from onnxcost.hardware.calibration.rates import BESIDE, COLD, STAND_INS
from onnxcost.ort_optimizer.kernels import FAMILIES, kernel_runs
from onnxcost.ort_optimizer.pipeline import optimize
from tests.ort_optimizer.oracle import surplus, theirs, why_not

PROBES = probes()
TIMED = list(dict.fromkeys(probe.family for probe in PROBES))
"""In the order in which their times are worked out."""
LARGE = frozenset({"cold", "cold-vector", "cold-nbits", "cold-conv"})
"""Hundreds of MB of weights, in products and convolutions that other probes have, too."""
DIFFERENT = {
    # The last value is the model's output, and what makes that takes no HardSwish in.
    "fused-hard": {"HardSigmoid": -1, "Mul": -1},
}
"""How many more of an operator run after us."""


def of(family: str) -> list[Probe]:
    return [probe for probe in PROBES if probe.family == family]


def families_in(probe: Probe) -> list[str]:
    graph = estimate(probe_model(probe.graph, probe.weights, probe.integers)).graph
    return [task.family for step in optimize(graph, blocked=True) for task in kernel_runs(step)]


def told_by(family: str) -> str:
    """The family whose times are taken."""
    while family not in TIMED and family in STAND_INS:
        family = STAND_INS[family]
    return family


def test_the_first_two_are_a_small_node_and_a_chain_of_them() -> None:
    one, many = ([family for family in families_in(probe) if family not in BESIDE] for probe in PROBES[:2])
    assert one == ["cheap"]
    assert many == ["cheap"] * 32


def test_each_is_of_a_family() -> None:
    assert set(TIMED) <= FAMILIES.keys() | COLD.keys()
    assert set(TIMED) >= COLD.keys()


def test_each_family_is_timed_or_stood_in_for() -> None:
    assert [family for family in FAMILIES if told_by(family) not in TIMED] == []
    assert {name for pair in STAND_INS.items() for name in pair} <= FAMILIES.keys()


@pytest.mark.parametrize("family", TIMED)
def test_each_has_its_purpose(family: str) -> None:
    """And what else runs in it is known by then: it comes before."""
    known = {*TIMED[: TIMED.index(family) + 1], *BESIDE}
    unknown = {("conv-blocked-pointwise", "conv-blocked-first")}
    for probe in of(family):
        found = families_in(probe)
        assert family in found
        assert {(family, name) for name in found if told_by(name) not in known} <= unknown


@pytest.mark.parametrize("family", [family for family in TIMED if family not in LARGE])
def test_each_runs_as_we_say(family: str) -> None:
    if reason := why_not():
        pytest.skip(reason)
    for probe in of(family):
        made = probe_model(probe.graph, probe.weights, probe.integers)
        assert surplus(estimate(made).graph, made.SerializeToString()) == DIFFERENT.get(family, {})


def test_whether_there_are_blocks_is_told_by_one() -> None:
    if reason := why_not():
        pytest.skip(reason)
    probe = blocked_probe()
    assert theirs(probe_model(probe.graph, probe.weights, probe.integers).SerializeToString())["Conv in blocks"]
