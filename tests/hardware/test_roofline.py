from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

import onnxcost
from onnxcost.hardware import roofline
from onnxcost.hardware.catalogue import catalogue
from onnxcost.hardware.device import Device
from onnxcost.hardware.memory_fit import MI
from onnxcost.hardware.roofline import EFFICIENCIES, ON_CHIP, Efficiency, Range, Roofline, efficiency
from onnxcost.hardware.variants import retype_report
from onnxcost.report import CostReport
from tests.hardware.machines import CONV, MATMUL, machine, part, report

MODELS = Path(__file__).parents[2] / "models"
PLAIN = Efficiency(Range(0.5, 1.0), Range(0.1, 0.2), Range(0.25, 0.5), Range(1e-5, 1e-6), Range(1e-3, 1e-4), "a test")


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shares that are easy to calculate with."""
    monkeypatch.setattr(roofline, "efficiency", lambda device, part: PLAIN)


@pytest.mark.parametrize("kind", sorted(ON_CHIP.keys() - {"microcontroller"}))
def test_memories_on_a_chip(kind: str) -> None:
    """The usual one is a power of 2; the most are those of an EPYC 9684X, an MI300X and a Gaudi 3, and 64 MiB of the others."""
    usual, most = ON_CHIP[kind]
    assert usual & (usual - 1) == 0
    assert usual >= 4 * MI
    assert most in [size * MI for size in (1152, 256, 96, 64)]


def test_microcontrollers_have_no_cache() -> None:
    assert ON_CHIP["microcontroller"] == (0, 0)


@pytest.mark.parametrize("kind", EFFICIENCIES)
def test_shares_and_waits(kind: str) -> None:
    """A share is one of the peak. A step waits less than 0.1 ms, an inference less than 2 ms before it starts."""
    products, depthwise, traffic, start, once, _ = EFFICIENCIES[kind]
    for share in (products, depthwise, traffic):
        assert 0 < share.worst < share.best <= 1
    assert 1 - traffic.best <= 0.1
    assert depthwise.best < products.best < 0.75
    assert depthwise.worst <= products.worst
    assert 0 <= start.best < start.worst < 1e-4
    assert 0 <= once.best < once.worst < 2e-3


@cache
def stored(name: str) -> CostReport:
    return onnxcost.estimate(MODELS / f"{name}.onnx")


@pytest.mark.usefixtures("plain")
def test_an_estimate_worked_out_by_hand() -> None:
    """Arithmetic: 2 µs at the peak. Traffic: 4,008,000 bytes at 10 GB/s, of which a chip of 3 MB keeps the activations and
    3 MB of the weights at the best.
    """
    prediction = Roofline(machine(bandwidth=1e10, sram=3_000_000)).predict(MATMUL)
    (node,) = prediction.nodes
    assert prediction.latency is not None
    assert (node.compute, node.transfer, node.limit) == (pytest.approx(2e-6), pytest.approx(400.8e-6), "memory")
    assert prediction.latency.high == pytest.approx(400.8e-6 / 0.25 + 1e-5 + 1e-3)
    assert prediction.latency.low == pytest.approx(100e-6 / 0.5 + 1e-6 + 1e-4)
    assert (prediction.latency.basis, prediction.limit) == ("estimate", "memory")
    assert prediction.bound == pytest.approx(100.8e-6)


@pytest.mark.usefixtures("plain")
def test_two_steps_add_up_and_each_waits_for_something_else() -> None:
    graph = "(float[1,1000] x) => (float[1,64] z) { y = MatMul(x, w) a = Softmax(y) z = MatMul(a, v) }"
    made = report(graph, w=(1000, 1000), v=(1000, 64))
    prediction = Roofline(machine(bandwidth=1e12, sram=0)).predict(made)
    limits = {node.name: node.limit for node in prediction.nodes}
    assert prediction.latency is not None
    assert prediction.latency.high == pytest.approx(1e-3 + sum(node.span.high for node in prediction.nodes))
    assert set(limits.values()) == {"memory"}
    slow = Roofline(machine({"cpu": part("cpu", float32=1e8)}, "cpu", bandwidth=1e12)).predict(made)
    assert {node.limit for node in slow.nodes if node.compute} == {"compute"}


@pytest.mark.parametrize("dtype", ["float", "int64", "bool", "double", "string"])
def test_a_model_without_contractions_is_judged_on_every_device(dtype: str) -> None:
    made = report(f"({dtype}[1,8] x) => ({dtype}[1,8] y) {{ y = Identity(x) }}")
    assert all(Roofline(device).predict(made).unsupported == () for device in catalogue().values())


@pytest.mark.usefixtures("plain")
def test_depthwise_convolutions_reach_less_of_the_peak() -> None:
    graph = "(float[1,64,32,32] x) => (float[1,64,30,30] y) {{ y = Conv<group = {}>(x, w) }}"
    whole, alone = (report(graph.format(groups), w=(64, 64 // groups, 3, 3)) for groups in (1, 64))
    fast = machine(bandwidth=1e15)
    spans = [Roofline(fast).predict(made).nodes[0] for made in (whole, alone)]
    assert spans[0].span.high == pytest.approx(spans[0].compute / 0.5 + 1e-5, rel=1e-3)
    assert spans[1].span.high == pytest.approx(spans[1].compute / 0.1 + 1e-5, rel=1e-3)


@pytest.mark.parametrize("name", ["mobilenetv2_pytorch", "resnet18_int8_qdq", "text_transformer_pytorch", "lstm_text_pytorch"])
@pytest.mark.parametrize("dtype", ["", "float16", "int8"])
def test_on_every_device_the_bound_is_below_the_estimate(name: str, dtype: str) -> None:
    made = retype_report(stored(name), {"float32": dtype}) if dtype else stored(name)
    for device in catalogue().values():
        prediction = Roofline(device).predict(made)
        if prediction.latency is not None and prediction.bound is not None:
            assert 0 <= prediction.bound <= prediction.latency.low <= prediction.latency.high, device.name
            assert prediction.limit
        else:
            assert prediction.unsupported or prediction.missing, device.name


@pytest.mark.parametrize(
    ("device", "runs_as", "unsupported", "missing"),
    [
        (machine(bandwidth=1e10), {}, (), ()),
        (machine({"gpu": part("gpu", float32=1e12, tf32=8e12)}, bandwidth=1e10), {"float32": "tf32"}, (), ()),
        (machine({"npu": part("npu", float16=1e12)}, "phone", bandwidth=1e10), {"float32": "float16"}, (), ()),
        (machine({"npu": part("npu", int8=1e12)}, "accelerator"), {}, ("float32",), ()),
        (machine(kind="board"), {}, (), ("bandwidth",)),
        (machine(kind="microcontroller"), {}, (), ("bandwidth",)),
    ],
)
def test_what_a_device_lacks_is_said(
    device: Device, runs_as: dict[str, str], unsupported: tuple[str, ...], missing: tuple[str, ...]
) -> None:
    prediction = Roofline(device).predict(MATMUL)
    assert (dict(prediction.runs_as), prediction.unsupported, prediction.missing) == (runs_as, unsupported, missing)
    assert (prediction.bound is None) == bool(unsupported)


def test_without_a_bandwidth_only_models_on_the_chip_are_estimated() -> None:
    small, large = CONV, report("(float[1,5000] x) => (float[1,5000] y) { y = MatMul(x, w) }", w=(5000, 5000))
    assert Roofline(machine(kind="accelerator")).predict(small).latency is not None
    assert Roofline(machine(kind="accelerator")).predict(large).latency is None
    assert Roofline(machine(kind="microcontroller")).predict(large).latency is not None
    assert Roofline(machine(kind="gpu")).predict(small).latency is None


def test_a_narrower_type_of_the_device_halves_the_bytes() -> None:
    device = machine({"npu": part("npu", float16=1e12)}, "phone", bandwidth=1e10, sram=0)
    assert Roofline(device).as_run(MATMUL).memory.weight_bytes == 2_000_000
    assert Roofline(machine()).as_run(MATMUL) is MATMUL


def test_quantized_models_run_at_the_peak_of_integers() -> None:
    prediction = Roofline(machine(bandwidth=1e12)).predict(stored("resnet18_int8_qdq"))
    assert {node.dtype for node in prediction.nodes if node.compute > 1e-5} == {"int8"}
    assert prediction.bound == pytest.approx(2 * 1_814_073_344 / 4e12)


def test_what_is_not_counted_is_said() -> None:
    made = onnxcost.estimate(_with_unknown_operator())
    (note,) = Roofline(machine(bandwidth=1e10)).predict(made).notes
    assert note == "1 nodes are not counted and not included in the times"


def _with_unknown_operator() -> object:
    from tests.modeltext import model

    return model("(float[4] x) => (float[4] y) { y = acme.Mine(x) }", domains=', "acme" : 1')


def test_every_part_has_an_efficiency_with_its_sources() -> None:
    assert all(each.reasoning for each in EFFICIENCIES.values())
    for device in catalogue().values():
        for kind in device.parts:
            assert efficiency(device, kind)
