"""Estimates from published figures: which evidence is used, how a published model is recognized, and bounds that hold."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import exp, log
from pathlib import Path

import pytest

import onnxcost
from onnxcost.errors import InputError
from onnxcost.hardware import evidence as module
from onnxcost.hardware.backends import BACKENDS, backends_of, rates_of
from onnxcost.hardware.budget import budget, parse_anchors, predictors
from onnxcost.hardware.catalogue import catalogue
from onnxcost.hardware.device import Device
from onnxcost.hardware.evidence import (
    WINOGRAD,
    Asked,
    Band,
    Counts,
    Evidence,
    Evidenced,
    LatencyFit,
    Reference,
    ask,
    count,
    distance,
    evidence,
    least_seconds,
    list_estimates,
)
from onnxcost.hardware.prediction import BASES, Estimate
from tests.hardware.machines import machine, part
from tests.modeltext import model

MODELS = Path(__file__).parents[2] / "models"
TEN = (log(10),) * 8
"""Coefficients of 10: all takes ten times as long as at the peak rates."""
SMALL = Counts(pointwise=1e9, weights=1e6, activations=1e6, steps=10)
LARGE = Counts(pointwise=4e9, weights=4e6, activations=4e6, steps=20)
OTHER = Counts(depthwise=1e9, weights=1e5, activations=1e7, steps=10)
BANDS = {"published": Band(-0.1, 0.1, 0.7, 0.9), **{kind: Band(-0.2, 0.4, 0.9, None) for kind in ("anchored", "single")}}
BANDS |= {"sister": Band(-0.2, 0.2, 0.9, 0.8), "known": Band(-0.5, 0.5, None, None), "fitted": Band(-1.0, 1.0, 0.9, 0.9)}
CPU = machine({"cpu": part("cpu", float32=1e11)}, "board", name="box", bandwidth=1e10)
"""``SMALL`` takes 20 ms of arithmetic, 0.4 ms of weights, 0.4 ms of activations and 10 µs of steps on it."""


def known(figures: dict[str, float], own: dict[str, float] | None = None) -> Evidence:
    """Evidence of onnxruntime on Arm, with these figures of the box."""
    fit = LatencyFit(TEN, BANDS, own or {}, 5, 2)
    models = {name: Reference(counts, 224) for name, counts in {"small": SMALL, "large": LARGE, "other": OTHER}.items()}
    quoted = {"box": {"onnxruntime-cpu float32": figures}} if figures else {}
    return Evidence({("onnxruntime-cpu", "float32", "arm"): fit}, models, quoted, {"box": {"onnxruntime-cpu": "a page"}})


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    def use_evidence(found: Evidence, *devices: Device) -> None:
        monkeypatch.setattr(module, "evidence", lambda: found)
        monkeypatch.setattr(module, "catalogue", lambda: {device.name: device for device in devices or (CPU,)})

    return use_evidence


def only(name: str, counts: Counts, anchors: dict[str, float] | None = None, device: Device = CPU) -> Estimate:
    (found,) = list_estimates(device, Asked(counts, "float32", name), anchors or {})
    return found


PLAIN = 0.2081
"""Seconds of ``SMALL`` at coefficients of 10."""


@pytest.mark.parametrize(
    ("figures", "own", "name", "kind", "center"),
    [
        ({"small": 0.5}, {}, "small", "published", 0.5),
        ({"large": 1.66}, {"small": log(3.0), "large": log(2.0)}, "small", "sister", None),
        ({"large": 2 * 0.8322}, {}, "small", "single", 2 * PLAIN),
        ({"large": 2 * 0.8322, "other": 2 * 0.2405}, {}, "small", "anchored", 2 * PLAIN),
        ({}, {"small": log(3.0)}, "small", "known", 3 * PLAIN),
        ({}, {}, "", "fitted", PLAIN),
    ],
)
def test_the_tightest_evidence_is_named(
    use: object, figures: dict[str, float], own: dict[str, float], name: str, kind: str, center: float | None
) -> None:
    use(known(figures, own))  # type: ignore[operator]
    found = only(name, SMALL)
    assert found.evidence == kind
    assert found.runtime == "onnxruntime-cpu"
    assert found.coverage == BANDS[kind].coverage
    if center is not None:
        assert (found.low, found.high) == pytest.approx(
            (center * exp(BANDS[kind].low), center * exp(BANDS[kind].high)), rel=0.01
        )


def test_a_sister_is_scaled_by_the_ratio_of_the_other_figures(use: object) -> None:
    """The box takes 3 times as long for ``large`` as others, so for ``small`` 3 times what others take, twice the fit."""
    large = known({}).fits["onnxruntime-cpu", "float32", "arm"].log_seconds(LARGE, rates_of(CPU, "onnxruntime-cpu", "float32"))  # type: ignore[arg-type]
    use(known({"large": 3 * exp(large)}, {"small": log(2.0), "large": 0.0}))  # type: ignore[operator]
    assert only("small", SMALL).low == pytest.approx(6 * PLAIN * exp(-0.2), rel=0.01)


def test_what_the_user_measured_replaces_what_was_published(use: object) -> None:
    use(known({"small": 0.05}))  # type: ignore[operator]
    found = only("small", SMALL, {"large": 4 * 0.8322})
    assert found.evidence == "single"
    assert found.low == pytest.approx(4 * PLAIN * exp(-0.2), rel=0.01)
    assert "your 1 figure" in found.detail
    assert not found.source


def test_figures_are_those_of_all_devices_with_the_same_chip_and_memory(use: object) -> None:
    use(known({"small": 0.05}))  # type: ignore[operator]
    assert only("small", SMALL, device=replace(CPU, name="larger box")).evidence == "published"
    faster = machine({"cpu": part("cpu", float32=2e11)}, "board", name="box", bandwidth=1e10)
    assert only("small", SMALL, device=faster).evidence == "fitted"


@pytest.mark.parametrize("counts", [Counts(pointwise=1e15), Counts(), Counts(matmul=1e9)])
def test_models_unlike_those_of_the_fit_have_no_estimate(use: object, counts: Counts) -> None:
    found = known({})
    fit = found.fits["onnxruntime-cpu", "float32", "arm"]._replace(macs=(1e8, 1e10), most=(1, 1, 1, 1, 0.1, 1, 1, 1))
    use(replace(found, fits={("onnxruntime-cpu", "float32", "arm"): fit}))  # type: ignore[operator]
    assert not list(list_estimates(CPU, Asked(counts, "float32"), {}))


def test_an_estimate_is_not_below_the_bound(use: object) -> None:
    """2 × 1e9 MACs at 1e11 a second take 20 ms; a figure below it, in a test alone, is no evidence against arithmetic."""
    use(known({"small": 0.001}))  # type: ignore[operator]
    found = only("small", SMALL)
    assert (found.bound, found.low, found.high) == (0.02, 0.02, 0.02)


def test_winograd_multiplies_less_if_the_runtime_has_it() -> None:
    gpu = machine({"gpu": part("gpu", float32=1e12)}, "gpu", bandwidth=1e11)
    counts = Counts(winograd=1e9, convolution=1e9)
    rates = rates_of(replace(gpu, vendor="NVIDIA"), "onnxruntime-cuda", "float32")
    assert rates is not None
    assert least_seconds(gpu, BACKENDS["onnxruntime-cuda"], rates, counts) == pytest.approx(2e-3 * (1 + 1 / WINOGRAD))
    direct = BACKENDS["onnxruntime-cuda"]._replace(has_winograd=False)
    assert least_seconds(gpu, direct, rates, counts) == pytest.approx(4e-3)


def quoted() -> Iterator[tuple[str, str, str, str, float]]:
    for device, by_key in evidence().figures.items():
        for key, figures in by_key.items():
            runtime, dtype = key.split()
            yield from ((device, runtime, dtype, name, seconds) for name, seconds in figures.items())


def test_no_published_figure_is_faster_than_its_bound() -> None:
    found = list(quoted())
    assert len(found) > 400
    for name, runtime, dtype, reference, seconds in found:
        device = catalogue()[name]
        if rates := rates_of(device, runtime, dtype):
            bound = least_seconds(device, BACKENDS[runtime], rates, evidence().models[reference].counts)
            assert seconds >= bound, (name, runtime, dtype, reference)


def test_the_data_is_whole() -> None:
    """Each figure has a model, a fit, a runtime of its device and a source; each fit has bands that hold what they say."""
    for name, runtime, dtype, reference, _ in quoted():
        assert runtime in backends_of(catalogue()[name]), (name, runtime)
        assert reference in evidence().models
        assert any(key[:2] == (runtime, dtype) for key in evidence().fits)
        assert evidence().sources[name][runtime]
    for fit in evidence().fits.values():
        assert fit.bands.keys() <= BASES.keys()
        assert all(band.low <= band.high and 0 <= (band.coverage or 0) <= 1 for band in fit.bands.values())


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("mobilenetv2_pytorch", "mobilenet_v2"),
        ("mobilenetv2_keras", "mobilenet_v2"),
        ("mobilenetv2_tensorflow", "mobilenet_v2"),
        ("resnet50_pytorch", "resnet50"),
        ("resnet50_keras", "resnet50_v1"),
        ("resnet18_int8_qdq", "resnet18"),
        ("vit_b_16_pytorch", "vit_b_16"),
        ("unet_pytorch", ""),
        ("bert_base_pytorch", ""),
    ],
)
def test_published_models_are_recognized_by_what_they_compute(file: str, name: str) -> None:
    assert ask(onnxcost.estimate(MODELS / f"{file}.onnx")).name == name


def test_another_resolution_is_another_model() -> None:
    report = onnxcost.estimate(MODELS / "mobilenetv2_pytorch.onnx")
    asked = ask(report)
    assert evidence().recognize(asked.counts, 224) == "mobilenet_v2"
    assert evidence().recognize(asked.counts, 192) == ""


@pytest.mark.parametrize(
    ("text", "weights", "counts"),
    [
        ("Conv <pads=[1,1,1,1]> (x, w)", (4, 16, 3, 3), {"winograd": 4 * 16 * 9 * 64}),
        ("Conv <pads=[1,1,1,1], strides=[2,2]> (x, w)", (4, 16, 3, 3), {"convolution": 4 * 16 * 9 * 16}),
        ("Conv <pads=[2,2,2,2], dilations=[2,2]> (x, w)", (4, 16, 3, 3), {"convolution": 4 * 16 * 9 * 64}),
        ("Conv <pads=[2,2,2,2]> (x, w)", (4, 16, 5, 5), {"convolution": 4 * 16 * 25 * 64}),
        ("Conv (x, w)", (4, 16, 1, 1), {"pointwise": 4 * 16 * 64}),
        ("Conv <pads=[1,1,1,1], group=16> (x, w)", (16, 1, 3, 3), {"depthwise": 16 * 9 * 64}),
        ("Conv <pads=[1,1,1,1], group=4> (x, w)", (4, 4, 3, 3), {"convolution": 4 * 4 * 9 * 64}),
        ("MatMul (x, w)", (8, 8), {"matmul": 16 * 8 * 8 * 8}),
        ("ConvTranspose (x, w)", (16, 4, 3, 3), {"convolution": 4 * 16 * 9 * 64}),
    ],
)
def test_work_is_counted_by_kind(text: str, weights: tuple[int, ...], counts: dict[str, int]) -> None:
    made = onnxcost.estimate(model(f"(float[1,16,8,8] x) => (float y) {{ y = {text} }}", w=weights))
    found = count(made)
    assert {name: value for name, value in found._asdict().items() if value and name in Counts._fields[:5]} == counts
    assert found.macs == sum(counts.values())
    assert found.steps == 1


def test_distance() -> None:
    assert distance(SMALL, SMALL) == 0
    assert distance(SMALL, SMALL._replace(weights=5e5)) == 0.5
    assert distance(SMALL, OTHER) == 2


def test_predictors_of_one_runtime_are_of_the_devices_that_have_it() -> None:
    found = predictors(runtime="hailort")
    assert {each.name for each in found} >= {"hailo-8", "hailo-8l"}
    assert all("hailort" in backends_of(each.device) for each in found if isinstance(each, Evidenced))
    with pytest.raises(InputError, match="did you mean 'ncnn'"):
        predictors(runtime="ncn")


def test_a_runtime_without_figures_has_no_estimate() -> None:
    """The NPU of an RK3588 runs integers: of a model in float32 nobody published a figure with its runtime."""
    (found,) = budget(MODELS / "mobilenetv2_pytorch.onnx", ["rk3588"], fps=30, runtime="rknn").verdicts
    assert (found.level, found.prediction.latency, found.prediction.missing) == ("unknown", None, ("figures of rknn",))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("mobilenet_v2", "expects MODEL=12.3ms"),
        ("mobilenet_v2=12", "expects MODEL=12.3ms"),
        ("mobilenet_v2=0ms", "expects MODEL=12.3ms"),
    ],
)
def test_anchors_that_say_nothing(text: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        parse_anchors([text])


def test_anchors_of_unpublished_models() -> None:
    with pytest.raises(InputError, match="no published results for a model 'mobilenet_v9'; did you mean 'mobilenet_v2'"):
        predictors(["raspberry-pi-5-8gb"], runtime="ncnn", anchors={"mobilenet_v9": 0.01})


def test_anchors() -> None:
    assert parse_anchors(["mobilenet_v2=12.5ms", "resnet18=1s"]) == {"mobilenet_v2": 0.0125, "resnet18": 1.0}


def test_the_estimates_of_a_published_model_are_in_the_document() -> None:
    made = budget(MODELS / "mobilenetv2_pytorch.onnx", ["raspberry-pi-5-8gb"], fps=30)
    (device,) = made.to_dict()["budgets" if "budgets" in made.to_dict() else "devices"]
    by_runtime = {each["runtime"]: each for each in device["estimates"]}
    assert by_runtime.keys() >= {"onnxruntime-cpu", "ncnn"}
    assert {each["evidence"] for each in by_runtime.values()} == {"published"}
    assert by_runtime["ncnn"]["dtype"] == "float16"
    assert by_runtime["ncnn"]["bound"]["products"] == "winograd"
    assert device["runtime"] == "ncnn"  # onnxruntime reaches 33 FPS there, which is not safely above 30
    assert device["latency"]["basis"] == "published"
