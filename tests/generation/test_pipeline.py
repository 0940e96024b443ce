"""``onnxcost.pipeline``: sums by hand, what one stage equals, memory, sharing, measuring."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import onnxcost
from onnxcost.errors import InputError, OnnxCostError
from onnxcost.generation.pipeline import COUNTS, Pipeline, measure_stages, pipeline
from onnxcost.generation.stages import StageSpec
from onnxcost.measurement import Measurement, Settings
from tests.generation.small import DECODER, ENCODER, decoder_macs
from tests.modeltext import model


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, proto in (("encoder.onnx", ENCODER), ("decoder.onnx", DECODER)):
        (tmp_path / name).write_bytes(proto.SerializeToString())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def figures(path: str, **dims: int) -> tuple[int, ...]:
    report = onnxcost.estimate(path, dims=dims)
    return report.macs, report.flops, report.whole.traffic.read_bytes, report.whole.traffic.write_bytes


@pytest.mark.parametrize("path", ["encoder.onnx", "decoder.onnx"])
def test_a_stage_that_runs_once_equals_the_model(path: str) -> None:
    report, found = onnxcost.estimate(path), pipeline(path)
    assert tuple(found.stages[0].counts.values()) == figures(path)
    assert (found.macs, found.flops, found.parameters) == (report.macs, report.flops, report.parameters)
    assert found.weight_bytes == report.memory.weight_bytes
    assert found.peak_bytes == report.memory.weight_bytes + (report.memory.peak_activation_bytes or 0)
    assert found.to_dict()["pipeline"]["stages"][0]["dims"] == [
        {"name": dim.name, "value": dim.value, "source": dim.source} for dim in report.graph.dims
    ]


@pytest.mark.parametrize(("steps", "start"), [(1, 3), (3, 0), (50, 0), (200, 17)])
def test_a_decoder_sums_all_its_runs(steps: int, start: int) -> None:
    found = pipeline([f"decoder.onnx×{steps}"], dims={"past_sequence": start, "sequence": 1})
    assert found.macs == sum(decoder_macs(1, start + run) for run in range(steps))
    if steps < 100:
        runs = [figures("decoder.onnx", past_sequence=start + run, sequence=1) for run in range(steps)]
        assert tuple(found.total(name) for name in COUNTS) == tuple(map(sum, zip(*runs, strict=True)))


def test_an_encoder_and_the_steps_of_a_decoder() -> None:
    found = pipeline("encoder.onnx,decoder.onnx×100", dims={"batch": 2, "frames": 10})
    encoder, decoder = found.stages
    assert encoder.report.macs == 2 * 10 * 3 * 8
    assert found.macs == encoder.report.macs + sum(decoder_macs(1, run, 2) for run in range(100))
    assert found.runs == 101
    assert found.parameters == encoder.report.parameters + decoder.report.parameters
    peaks = [
        onnxcost.estimate("decoder.onnx", dims={"batch": 2, "sequence": 1, "past_sequence": 99}).memory.peak_activation_bytes
    ]
    assert decoder.summed.peak == peaks[0]
    assert found.peak_bytes == found.weight_bytes + max(encoder.summed.peak or 0, decoder.summed.peak or 0)


def test_the_weights_of_a_file_count_once(folder: Path) -> None:
    (folder / "link.onnx").symlink_to("decoder.onnx")
    one, two = pipeline("decoder.onnx"), pipeline("decoder.onnx,decoder.onnx×5,link.onnx")
    assert two.weight_bytes == one.weight_bytes
    assert two.parameters == one.parameters
    assert [stage.name for stage in two.stages] == ["decoder.onnx", "decoder.onnx (2)", "link.onnx"]


def test_runs_without_a_cache_are_equal() -> None:
    found = pipeline("encoder.onnx*50")
    assert found.macs == 50 * onnxcost.estimate("encoder.onnx").macs
    assert found.notes == ("encoder.onnx has no growing cache: its 50 runs are identical",)


def test_stages_of_ones_own() -> None:
    prompt = StageSpec("decoder.onnx", name="prompt", dims={"sequence": 7, "past_sequence": 0})
    steps = StageSpec("decoder.onnx", 10, "steps", dims={"past_sequence": 7})
    found = pipeline([prompt, steps])
    assert found.macs == decoder_macs(7, 0) + sum(decoder_macs(1, 7 + run) for run in range(10))
    assert [each.name for each in found.shared] == ["batch"]


def test_dims_that_do_not_fit_are_not_shared(folder: Path) -> None:
    table = model(
        "(int64[batch, text_length] ids) => (float[batch, text_length, 4] y) { e = Gather(t, ids) y = Add(e, p) }",
        t=(9, 4),
        p=(1, 77, 4),
    )
    (folder / "text.onnx").write_bytes(table.SerializeToString())
    other = model("(float[text_length, 4] x) => (float[text_length, 4] y) { y = Add(x, p) }", p=(5, 4))
    (folder / "other.onnx").write_bytes(other.SerializeToString())
    found = pipeline("text.onnx,other.onnx")
    assert found.shared == ()
    assert found.notes == ("other.onnx does not accept text_length = 77 of text.onnx",)


@pytest.mark.parametrize(
    ("stages", "dims", "says"),
    [
        ("encoder.onnx,decoder.onnx", {"sequnce": 3}, "--dim sequnce: not found in any stage of the pipeline"),
        ("encoder.onnx,none.onnx", {}, "'none.onnx'"),
        ([], {}, "1 to 100 stages"),
        ([StageSpec("decoder.onnx", 3, grows={"past": 1})], {}, "decoder.onnx: grows: there is no open dim 'past'"),
        ([StageSpec("decoder.onnx", name="own", dims={"new": 1})], {}, "own: "),
    ],
)
def test_errors_name_the_stage(stages: str | list[StageSpec], dims: dict[str, int], says: str) -> None:
    with pytest.raises(OnnxCostError) as raised:
        pipeline(stages, dims=dims)
    assert says in str(raised.value)


def test_measuring_runs_the_one_in_the_middle() -> None:
    found = pipeline("encoder.onnx,decoder.onnx×9", run=True, runs=2, warmup=0)
    assert found.seconds is not None
    decoder = found.stages[1]
    assert isinstance(decoder.measurement, Measurement)
    shapes = {used.name: used.shape for used in decoder.measurement.inputs}
    assert shapes == {"input_ids": (1, 1), "past_key": (1, 2, 4, 4), "past_value": (1, 2, 4, 4)}
    assert decoder.seconds == 9 * decoder.measurement.latency.median
    assert found.seconds == pytest.approx(sum(stage.seconds or 0 for stage in found.stages))
    document = json.loads(json.dumps(found.to_dict()))["pipeline"]
    assert document["total"]["seconds"] == found.seconds
    assert document["stages"][1]["measurement"]["runs"] == 2


def test_stages_are_measured_one_after_the_other() -> None:
    found = pipeline("encoder.onnx,decoder.onnx")
    first = next(measure_stages(found, Settings(runs=1, warmup=0, arena=False)))
    assert first.name == "encoder.onnx"
    partly = Pipeline((first, found.stages[1]))
    assert partly.seconds is None


def test_a_list_may_not_name_a_file_of_stages() -> None:
    with pytest.raises(InputError):
        pipeline(["stages.toml"])
