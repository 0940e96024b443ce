"""Sweeps: each point is what ``estimate``, ``measure`` and ``budget`` say at its sizes; the best batch is one of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from onnx import ModelProto

import onnxcost
from onnxcost.errors import InputError, ModelError, OnnxCostError
from onnxcost.hardware.limits import Limits
from onnxcost.hardware.prediction import FITS, NO, Check, Interval, Prediction, Verdict
from onnxcost.measurement import Measurement, Settings, Unmeasured
from onnxcost.runtime.interleaved import InterleavedResults
from onnxcost.spec import ModelSpec
from onnxcost.symbolic import sweep as sweeps
from onnxcost.symbolic.points import MOST_MEASURED, MOST_POINTS, PointCost, SweepAxes, SweepPoint
from onnxcost.symbolic.sweep import Sweep, sweep
from tests.measurements import at_batch
from tests.modeltext import model

MODELS = Path(__file__).parents[2] / "models"
CNN, TEXT = MODELS / "mnist_cnn_pytorch.onnx", MODELS / "text_transformer_pytorch.onnx"
LIMITED = model("(float[n,s,4] x) => (float[n,s,4] y) { y = Add(x, table) }", table=(1, 8, 4))
"""Of s there may be 1 or 8."""
CONV = model(
    "(float[n,3,h,w] image) => (float[n,8,i,j] y) { y = Conv<kernel_shape=[3,3], pads=[1,1,1,1]>(image, k) }", k=(8, 3, 3, 3)
)
GIVEN: dict[str, tuple[Any, dict[str, Any]]] = {
    "a dim": (CNN, {"dims": {"batch": [1, 2, 7]}}),
    "two dims": (TEXT, {"dims": {"batch": [1, 3], "sequence": [16, 64, 100]}}),
    "a dim beside a fixed one": (TEXT, {"dims": {"batch": [2, 4], "sequence": 32}}),
    "shapes": (CONV, {"shapes": {"image": [(1, 3, 8, 8), (2, 3, 8, 16), (1, 3, 4, 4)]}}),
    "a shape and a dim": (CONV, {"shapes": {"image": [(2, 3, 8, 8), (2, 3, 8, 16)]}}),
    "bytes": (CONV.SerializeToString(), {"dims": {"h": [4, 8], "w": range(1, 4)}}),
    "a loop": (
        model(
            "(float[n] a) => (float[n] b) { go = Constant<value=bool{1}>() m = Constant<value=int64{5}>()"
            " b = Loop(m, go, a) <body = l (int64 i, bool c, float[n] s) => (bool d, float[n] t)"
            " { d = Identity(c) t = Relu(s) }> }"
        ),
        {"dims": {"n": [3, 5]}},
    ),
    "a function": (
        model(
            "(float[n,4] x) => (float[n,4] y) { y = local.double(x) }",
            functions='<opset_import: ["" : 17], domain: "local"> double (x) => (y) { y = Add(x, x) }',
            domains=', "local" : 1',
        ),
        {"dims": {"n": [2, 9]}},
    ),
}


@pytest.mark.parametrize(("source", "given"), GIVEN.values(), ids=GIVEN)
def test_a_point_is_what_the_estimate_says_at_its_sizes(source: Any, given: dict[str, Any]) -> None:
    swept = sweep(source, **given)
    assert len(swept.points) == len({json.dumps(list(point.sizes.values())) for point in swept.points})
    fixed = {name: size for name, size in given.get("dims", {}).items() if isinstance(size, int)}
    for point in swept.points:
        report = onnxcost.estimate(source, dims={**fixed, **point.dims}, shapes=point.shapes)
        assert point.cost == PointCost.of(report)
        assert point.caveats == report.caveats
    assert json.loads(json.dumps(swept.to_dict()))["sweep"]["points"][0]["macs"] == swept.counted[0].cost.macs  # type: ignore[union-attr]


def test_all_combinations_are_points_the_last_axis_fastest() -> None:
    axes = SweepAxes({"batch": (1, 2), "sequence": (8, 16)}, {"mask": ((1, 8), (2, 8))})
    found = [(*dims.values(), *shapes.values()) for dims, shapes in axes.combine()]
    assert found[:3] == [(1, 8, (1, 8)), (1, 8, (2, 8)), (1, 16, (1, 8))]
    assert len(set(found)) == 8


def test_the_file_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Any] = []
    of = sweeps.read_skeleton
    monkeypatch.setattr(sweeps, "read_skeleton", lambda source: read.append(source) or of(source))
    sweep(CNN, dims={"batch": range(1, 20)})
    assert read == [CNN]


def test_sizes_that_the_model_cannot_have_are_points_with_the_reason() -> None:
    swept = sweep(LIMITED, dims={"s": [1, 3, 8]})
    assert [point.cost is not None for point in swept.points] == [True, False, True]
    with pytest.raises(ModelError) as error:
        onnxcost.estimate(LIMITED, dims={"s": 3})
    assert swept.points[1].reason.startswith(str(error.value).partition(". Assumed")[0])
    assert [row["status"] for row in swept.to_records()] == ["ok", "failed", "ok"]
    assert swept.summary() == "2 of 3 points over s"


REFUSED: dict[str, tuple[Any, dict[str, Any], type[OnnxCostError], str]] = {
    "nothing": (CNN, {}, InputError, "nothing varies"),
    "one size": (CNN, {"dims": {"batch": 4}}, InputError, "nothing varies"),
    "no sizes": (CNN, {"dims": {"batch": []}}, InputError, "the sizes of 'batch' must be given and must differ"),
    "a size twice": (CNN, {"dims": {"batch": [2, 2]}}, InputError, "the sizes of 'batch' must be given and must differ"),
    "a name": (CNN, {"dims": {"bacth": [1, 2]}}, InputError, "no dim 'bacth'; did you mean 'batch'"),
    "no point": (LIMITED, {"dims": {"s": [3, 5]}}, ModelError, "Incompatible dimensions"),
    "many": (CNN, {"dims": {"batch": range(1, 1002)}}, InputError, "1,001 combinations; the maximum is 1,000"),
    "many timed": (
        CNN,
        {"dims": {"batch": range(1, 66)}, "settings": Settings()},
        InputError,
        "65 combinations; the maximum is 64 to time, and 1,000 to count",
    ),
    "a limit": (CNN, {"dims": {"batch": [1, 2]}, "fpss": 3}, InputError, "there is no limit 'fpss'"),
    "a device": (CNN, {"dims": {"batch": [1, 2]}, "devices": ["pi"]}, InputError, "pi"),
    "streams": (
        CNN,
        {"dims": {"batch": [1, 2]}, "settings": Settings(concurrency=2)},
        InputError,
        "interleaved rounds run one stream at a time",
    ),
}


@pytest.mark.parametrize(("source", "given", "kind", "text"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused(source: Any, given: dict[str, Any], kind: type[OnnxCostError], text: str) -> None:
    assert (MOST_POINTS, MOST_MEASURED) == (1000, 64)
    with pytest.raises(kind, match=text):
        sweep(source, **given)


def test_a_verdict_is_that_of_the_budget_at_the_sizes() -> None:
    names = ["raspberry-pi-5-8gb", "jetson-nano"]
    swept = sweep(TEXT, dims={"batch": [1, 4], "sequence": [32, 128]}, devices=names, fps=100, macs=1e9)
    assert swept.devices == tuple(names)
    for point in swept.points:
        alone = onnxcost.budget(TEXT, names, dims=point.dims, fps=100, macs=1e9)
        for verdict in alone.verdicts:
            found = point.verdict(verdict.name)
            assert found is not None
            assert (found.prediction.latency, found.fits) == (verdict.prediction.latency, verdict.fits)
            assert found.checks == (*alone.checks, *verdict.checks)
            assert found.prediction.nodes == ()


def test_of_the_catalog_those_are_judged_that_fit_the_most_points() -> None:
    swept = sweep(TEXT, dims={"batch": [1, 64], "sequence": [16, 512]}, fps=200)
    everything = sweep(TEXT, dims={"batch": [1, 64], "sequence": [16, 512]}, devices=sorted(onnxcost.devices()), fps=200)

    def fitting(found: Sweep, name: str) -> int:
        return sum(1 for point in found.points if (verdict := point.verdict(name)) and verdict.level == FITS)

    most = max(fitting(everything, name) for name in everything.devices)
    assert len(swept.devices) == 4
    assert fitting(swept, swept.devices[0]) == most


def point(batch: int, fps: float | None = None, sequence: int = 0, **changes: Any) -> SweepPoint:
    cost = PointCost(batch, 10, 20, 1, 4, 8, 1, 1, 0, "")
    measured = None if fps is None else at_batch(batch, batch / fps)
    return SweepPoint({"n": batch}, {}, cost, apart=(("s", sequence),) if sequence else (), measurement=measured, **changes)


def judged(fps: float | None, level: str = FITS, basis: str = "estimate") -> tuple[Verdict, ...]:
    prediction = Prediction("box", 1, None, None if fps is None else Interval(0.5 / fps, 2 / fps, basis))
    return (Verdict("box", "A Box", "board", prediction, (), (Check("fps", level),)),)


BEST: dict[str, tuple[list[SweepPoint], Callable[[Sweep], list[SweepPoint]], list[int]]] = {
    "the most": ([point(1, 10), point(2, 18), point(4, 30)], Sweep.best_measured, [2]),
    "the smallest of nearly the most": ([point(1, 10), point(2, 29), point(4, 30)], Sweep.best_measured, [1]),
    "not the first of an order": ([point(4, 30), point(2, 29), point(1, 10)], Sweep.best_measured, [1]),
    "one for each other size": (
        [point(1, 9, 8), point(2, 10, 8), point(1, 5, 16), point(2, 2, 16)],
        Sweep.best_measured,
        [1, 2],
    ),
    "not what failed": (
        [point(1, 9), replace(point(2), measurement=Unmeasured("failed", "no memory"))],
        Sweep.best_measured,
        [0],
    ),
    "nothing was measured": ([point(1), point(2)], Sweep.best_measured, []),
    "on a device": (
        [point(1, verdicts=judged(10)), point(2, verdicts=judged(30))],
        lambda swept: swept.best_on("box"),
        [1],
    ),
    "that meets the budget": (
        [point(1, verdicts=judged(10)), point(2, verdicts=judged(30, NO))],
        lambda swept: swept.best_on("box"),
        [0],
    ),
    "without a figure of its speed": (
        [point(1, verdicts=judged(None)), point(2, verdicts=judged(None))],
        lambda swept: swept.best_on("box"),
        [0],
    ),
    "by the data sheet where the evidence differs": (
        [
            point(1, verdicts=judged(50, basis="published"), sheet_fps={"box": 10.0}),
            point(2, verdicts=judged(15), sheet_fps={"box": 15.0}),
        ],
        lambda swept: swept.best_on("box"),
        [1],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("points", "best", "expected"), BEST.values(), ids=BEST)
def test_the_best_batch(points: list[SweepPoint], best: Callable[[Sweep], list[SweepPoint]], expected: list[int]) -> None:
    swept = Sweep("m.onnx", SweepAxes({"n": (1, 2, 4)}), tuple(points), ("box",))
    assert [points.index(each) for each in best(swept)] == expected


APART: dict[str, tuple[ModelProto | Path, dict[str, Any], list[object]]] = {
    "the batch": (CNN, {"dims": {"batch": [1, 2]}}, [(), ()]),
    "another dim": (TEXT, {"dims": {"sequence": [8, 16]}}, [(("sequence", 8),), (("sequence", 16),)]),
    "the batch of a shape": (
        CONV,
        {"shapes": {"image": [(1, 3, 8, 8), (2, 3, 8, 8), (2, 3, 4, 8)]}},
        [(("image", (3, 8, 8)),), (("image", (3, 8, 8)),), (("image", (3, 4, 8)),)],
    ),
}


@pytest.mark.parametrize(("source", "given", "expected"), APART.values(), ids=APART)
def test_the_sizes_of_points_without_the_batch(source: Any, given: dict[str, Any], expected: list[object]) -> None:
    assert [point.apart for point in sweep(source, **given).points] == expected


def test_the_points_that_can_be_counted_are_timed_together(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[ModelSpec] = []

    def timed(specs: Sequence[ModelSpec], settings: Settings, **_: Any) -> InterleavedResults:
        asked.extend(specs)
        results = (at_batch(1, 0.5), Unmeasured("failed", "no memory"))
        return InterleavedResults(results, (None, None), ((0, 1),))

    monkeypatch.setattr(sweeps, "measure_interleaved", timed)
    swept = sweep(LIMITED, dims={"s": [1, 3, 8], "n": 5}, settings=Settings(runs=3))
    assert [spec.dims for spec in asked] == [{"s": 1, "n": 5}, {"s": 8, "n": 5}]
    assert [type(each.measurement) for each in swept.points] == [Measurement, type(None), Unmeasured]
    assert [row["latency"] for row in swept.to_records()] == [0.5, None, None]
    assert [row["reason"] for row in swept.to_records()][2] == "no memory"
    assert all(each.report is None for each in swept.points)


def test_named_devices_that_meet_the_budget_nowhere() -> None:
    points = (point(1, verdicts=judged(10, NO)), point(2, verdicts=judged(10, NO)))
    swept = Sweep("m.onnx", SweepAxes({"n": (1, 2)}), points, ("box",), Limits(fps=30), are_named=True)
    assert swept.missed() == ["box"]
    assert replace(swept, are_named=False).missed() == []
    assert replace(swept, points=(*points, point(4, verdicts=judged(40)))).missed() == []


def test_a_name_that_is_also_a_column_does_not_hide_it() -> None:
    made = model("(float[macs,4] x) => (float[macs,4] y) { y = Relu(x) }")
    rows = sweep(made, dims={"macs": [2, 3]}).to_records()
    assert [(row["macs size"], row["macs"]) for row in rows] == [(2, 0), (3, 0)]
