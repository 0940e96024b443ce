from __future__ import annotations

import datetime
import re
from contextlib import suppress
from dataclasses import replace
from math import isfinite
from pathlib import Path
from typing import Any

import pytest

import onnxcost
from onnxcost.errors import InputError
from onnxcost.estimator import estimate
from onnxcost.hardware.calibration.model import Calibration, Machine, dumps, is_calibration, load, loads
from onnxcost.hardware.calibration.predictor import ERROR, UNKNOWN, Calibrated
from onnxcost.hardware.calibration.rates import Point, Speeds
from onnxcost.hardware.memory_fit import fits_of
from onnxcost.ort_optimizer.layout import BLOCK
from tests.modeltext import model

MACHINE = Machine('a "quick" one', 1 << 30, 2.0, "1.32.0", "Linux", "cpu", True, 4)
# A run 5 µs, a small node 1 µs; 1 ns a MAC and 2 ns an element of what the others do.
SPEEDS = Speeds(
    5e-6,
    {
        "cheap": (Point((8.0,), 1e-6), Point((1000.0,), 2e-6)),
        "gemm": (Point((1e4, 100.0, 1e3, 100.0), 1e-5), Point((1e6, 1e4, 1e4, 1e4), 1e-3)),
        "softmax": (Point((100.0, 10.0), 2e-7), Point((1e5, 100.0), 2e-4)),
        "cold": (Point((1e6,), 0.0), Point((4e6,), 1e-10)),
        "cold-values": (Point((1e5,), 0.0), Point((1e7,), 2e-10)),
        "view": (Point((), 1e-7),),
    },
)
HERE = Calibration("here", MACHINE, datetime.date(2026, 11, 23), {1: SPEEDS, 2: SPEEDS}, 1.02)
GRAPH = "(float[10,100] x) => (float[10,100] y) { h = MatMul(x, w) y = Softmax(h) }"


@pytest.mark.parametrize("name", ["here", 'a "quick" one', "C:\\new", "a\x7fb\x00c\n", "größe 🙂"])
def test_a_file_is_read_back_as_it_was_written(tmp_path: Path, name: str) -> None:
    path, written = tmp_path / "here.toml", replace(HERE, name=name)
    path.write_text(dumps(written))
    assert load(path) == written
    assert is_calibration(path)


def test_the_file_names_its_machine_its_version_and_its_peak() -> None:
    text = dumps(HERE)
    assert 'schema = "onnxcost-calibration/3"' in text
    assert r'device = "a \"quick\" one"' in text
    assert "float32 = 2000000000  # FLOP/s" in text


@pytest.mark.parametrize(
    ("family", "names"),
    [
        ("gemm", '"MACs", "inputs", "weights", "outputs", "seconds"'),
        ("view", '"seconds"'),
        ("cold", '"bytes of the model", "seconds a byte"'),
        ("cold-values", '"bytes touched since", "seconds a byte"'),
    ],
)
def test_the_file_says_what_the_numbers_of_a_row_are(family: str, names: str) -> None:
    assert f"[threads.1.family.{family}]\nquantities = [{names}]" in dumps(HERE)


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("calibration/3", "calibration/1", "not a calibration that this version can read .*: calibrate again"),
        ("calibration/3", "calibration/9", "not a calibration that this version can read"),
        ("[threads.1]", "[threads.one]", "not a complete calibration"),
        ("family.gemm]", "family.gems]", "no family 'gems'"),
        ("[8, 1e-06]", "[8, 1e-06, 3]", "a row of 'cheap' must have 2 numbers"),
        ("date = 2026-11-23", "", "not a complete calibration"),
        ("[machine]", "[machine", "cannot read 'x.toml'"),
        ("cores = 2", "ores = 2", "not a complete calibration"),
    ],
)
def test_what_is_no_calibration_is_refused_in_one_line(before: str, after: str, message: str) -> None:
    text = dumps(HERE)
    assert before in text
    with pytest.raises(InputError, match=message) as error:
        loads(text.replace(before, after), "x.toml")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("block", "blocked", "pools"), [(8, True, [True, True]), (16, True, [False, False]), (8, False, [False] * 2)]
)
def test_the_blocks_of_channels_are_those_of_the_machine(block: int, blocked: bool, pools: list[bool]) -> None:
    """24 channels are three blocks of AVX2's 8, and no whole number of the 16 of AVX-512 and ARM."""
    pool = "MaxPool <kernel_shape = [2, 2], strides = [2, 2]>"
    text = f"(float[1,24,16,16] x) => (float[1,24,4,4] y) {{ c = Conv(x, w) r = Relu(c) p = {pool}(r) y = {pool}(p) }}"
    there = Calibrated(replace(HERE, machine=MACHINE._replace(blocked=blocked, block=block)))
    found = [each.step for each in there.steps(estimate(model(text, w=(24, 24, 1, 1))))]
    assert [step.is_blocked for step in found if step.node.op_type == "MaxPool"] == pools


@pytest.mark.parametrize(("block", "blocked", "activations"), [(16, True, 3072), (8, True, 2560), (8, False, 1536)])
def test_the_memory_is_that_of_the_machines_blocks(block: int, blocked: bool, activations: int) -> None:
    """16 channels of 64 bytes in, 8 out: in a plain layout 1,024 and 512 bytes; else the input twice and a block of outputs,
    or at the end the input, the block and what is returned, whichever is more.
    """
    there = Calibrated(replace(HERE, machine=MACHINE._replace(blocked=blocked, block=block)))
    report = estimate(model("(float[1,16,4,4] x) => (float[1,8,4,4] y) { y = Conv(x, w) }", w=(8, 16, 1, 1)))
    assert fits_of(there, report)[0].parts["activations"] == activations
    assert report.memory.peak_activation_bytes == 3072


def test_an_older_file_can_be_read() -> None:
    """Rows had other quantities: what is now needed and was not there counts as 0; nothing is said of errors or turns."""
    text = dumps(replace(HERE, machine=MACHINE._replace(block=BLOCK)))
    gemm = 'quantities = ["MACs", "inputs", "weights", "outputs", "seconds"]'
    assert gemm in text
    older = re.sub(r"(spread|unsettled|block) = .*\n", "", text.replace("calibration/3", "calibration/2")).replace(
        gemm, 'quantities = ["MACs", "elements", "weights", "outputs", "seconds"]'
    )
    found = loads(older, "x.toml")
    assert found.speeds[1].points["softmax"] == SPEEDS.points["softmax"]
    assert found.speeds[1].points["gemm"][0] == Point((1e4, 0.0, 1e3, 100.0), 1e-5)
    assert (found.spread, found.unsettled, found.load, found.machine.block) == (1.0, 0.0, None, BLOCK)


@pytest.mark.parametrize(
    ("errors", "spread", "range_"),
    [
        ({}, 1.0, UNKNOWN),
        ({}, 1.25, UNKNOWN + 0.25),
        ({"gemm": 0.0, "softmax": 0.0, "cold": 0.0, "cold-values": 0.0, "call": 0.0}, 1.0, ERROR),
        # Nearly all the time is the product's.
        ({"gemm": 0.5, "softmax": 0.5}, 1.0, (ERROR**2 + (0.5 * 100 / 107) ** 2) ** 0.5),
        ({"gemm": 0.5, "softmax": 0.5}, 1.5, 0.5 + (ERROR**2 + (0.5 * 100 / 107) ** 2) ** 0.5),
    ],
)
def test_the_range_follows_from_the_errors_of_the_kernels(errors: dict[str, float], spread: float, range_: float) -> None:
    speeds = replace(SPEEDS, errors=errors)
    found = Calibrated(replace(HERE, speeds={1: speeds}, spread=spread)).predict(estimate(model(GRAPH, w=(100, 100))))
    assert found.latency is not None
    assert (found.latency.high / found.latency.low) ** 0.5 == pytest.approx(1 + range_, rel=0.01)
    assert any(f"± {100 * range_:.0f}%" in note for note in found.notes) == bool(errors)


def test_a_calibration_that_did_not_settle_says_so() -> None:
    restless = replace(HERE, unsettled=0.4, spread=1.2)
    notes = Calibrated(restless).predict(estimate(model(GRAPH, w=(100, 100)))).notes
    assert any("40% of the kernels had inconsistent times" in note for note in notes)
    assert loads(dumps(replace(restless, load=1.5)), "x.toml") == replace(restless, load=1.5)


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read"):
        load(tmp_path / "none.toml")


def test_a_prediction_is_the_run_and_its_kernels() -> None:
    """5 µs, 100,000 MACs at 1 ns and 1,000 elements at 2 ns; the weights lie in the cache."""
    report = estimate(model(GRAPH, w=(100, 100)))
    found = Calibrated(HERE, 1).predict(report)
    assert Calibrated(HERE, 1).seconds(report) == pytest.approx(5e-6 + 1e-4 + 2e-6, rel=0.02)
    assert found.latency is not None
    assert found.latency.basis == "prediction"
    assert (found.latency.low * found.latency.high) ** 0.5 == pytest.approx(Calibrated(HERE, 1).seconds(report))
    assert found.latency.high / found.latency.low == pytest.approx((1 + UNKNOWN) ** 2)
    assert [node.op_type for node in found.nodes] == ["MatMul", "Softmax"]
    assert found.limit == "compute"


def test_predict_takes_a_calibration_or_its_file(tmp_path: Path) -> None:
    path, source = tmp_path / "here.toml", model(GRAPH, w=(100, 100))
    path.write_text(dumps(HERE))
    found = [onnxcost.predict(source, calibration, threads=1) for calibration in (HERE, path, str(path))]
    assert found == [Calibrated(HERE, 1).predict(estimate(source))] * 3
    assert repr(found[0]) == "<Prediction: 8.23e-05 to 0.000139 s on here, 2 steps>"
    document = found[0].to_dict()
    assert (document["schema"], document["device"], document["limit"]) == ("onnxcost/1", "here", "compute")
    assert sum(node["span"]["low"] for node in document["nodes"]) == pytest.approx(found[0].nodes[0].span.low, rel=0.03)
    assert [(row["op_type"], row["low"]) for row in found[0].to_records()] == [
        (node.op_type, node.span.low) for node in found[0].nodes
    ]


@pytest.mark.parametrize(
    ("calibration", "options", "error", "message"),
    [
        ("none.toml", {}, FileNotFoundError, "none.toml"),
        (HERE, {"threads": 7}, InputError, "'here' was calibrated with 1, 2 threads, not with 7"),
        (HERE, {"dims": {"rows": 2}}, InputError, "rows"),
    ],
)
def test_what_predict_refuses(calibration: Calibration | str, options: dict[str, Any], error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        onnxcost.predict(model(GRAPH, w=(100, 100)), calibration, **options)


def test_a_calibration_has_a_row_for_each_kernel() -> None:
    """Each number of threads has two rows of three families and of two kinds of cold memory, and one of views."""
    document = HERE.to_dict()
    assert [each["peak_flops_per_second"] for each in document["threads"]] == [{"float32": pytest.approx(2e9)}] * 2
    assert len(document["kernels"]) == 2 * (2 * 3 + 2 * 2 + 1)
    assert repr(HERE) == "<Calibration: here, threads: 1, 2; 22 kernels on 2026-11-23>"


def test_the_bound_is_the_work_at_the_best_rate() -> None:
    """The best product ran at 2 GFLOP/s: 200,000 FLOPs take 0.1 ms at the least."""
    found = Calibrated(HERE, 1).predict(estimate(model(GRAPH, w=(100, 100))))
    assert found.bound == pytest.approx(1e-4, rel=0.01)


def test_what_was_never_timed_is_said() -> None:
    graph = "(float[10,100] x) => (float[10,100] y) { y = Det2(x) }".replace("Det2", "IsNaN").replace(
        "float[10,100] y", "bool[10,100] y"
    )
    notes = Calibrated(HERE).predict(estimate(model(graph))).notes
    assert any("no kernel like IsNaN was timed" in note for note in notes)


def notes_of(graph: str, **weights: tuple[int, ...]) -> list[str]:
    return list(Calibrated(HERE).predict(estimate(model(graph, **weights))).notes)


def test_what_is_left_out_is_said() -> None:
    """Of an operator that nothing stands in for there is no time at all."""
    graph = "(float[4,1,8] x) => (float[4,1,1,8] y) { y = LSTM<hidden_size = 8>(x, w, r) }"
    assert "no kernel like LSTM was timed: it is not included, so the latency is too short" in notes_of(
        graph, w=(1, 32, 8), r=(1, 32, 8)
    )


def test_what_no_probe_shows_to_take_time_is_not_said() -> None:
    """Calls, biases and cold weights have no times in this calibration."""
    graph = "(float[10,100] x) => (float[10,100] y) { y = Gemm(x, w, b) }"
    assert notes_of(graph, w=(100, 100), b=(100,)) == [
        "after kernels timed on 2026-11-23, with onnxruntime 1.32.0 and 2 threads"
    ]


def test_values_from_far_take_longer() -> None:
    """4,000 bytes that were not there yet: x is read, a and y are written, which counts half. The others are farther in a
    kernel of their own.
    """
    graph = """(float[10,100] x, float[1000,1000] large) => (float[10,100] y, float[1000,1000] z) {
        a = Softmax(x) b = Softmax(large) z = Softmax(b) y = Softmax(a) }"""
    report = estimate(model(graph))

    def seconds(far: float) -> float:
        points = {**SPEEDS.points, "cold-values": (Point((1e5,), 0.0), Point((1e6,), far))}
        return Calibrated(replace(HERE, speeds={1: Speeds(SPEEDS.run_seconds, points)})).seconds(report)

    assert seconds(2e-10) - seconds(0.0) == pytest.approx(2 * 4000 * 2e-10)


@pytest.mark.parametrize(("threads", "is_known"), [(None, True), (1, True), (2, True), (8, False)])
def test_the_number_of_threads_is_one_that_was_calibrated(threads: int | None, is_known: bool) -> None:
    machine = Calibrated(HERE, threads)
    if is_known:
        assert machine.speeds == SPEEDS
    else:
        with pytest.raises(InputError, match="calibrated with 1, 2 threads, not with 8"):
            machine.speeds  # noqa: B018


ODD = (
    "nan",
    "inf",
    "-1",
    "true",
    "1e300",
    "'1'",
    "[1]",
    "{ a = 1 }",
    "9" * 5000,
    "9" * 30,
    "-0.5",
    "1e-300",
    "0x" + "f" * 5000,
)


def test_an_impossible_number_is_refused_in_all_places(tmp_path: Path) -> None:
    """Every number of a calibration replaced by others: the file is refused in a line, or what it predicts is finite."""
    text, report = dumps(HERE), estimate(model(GRAPH, w=(100, 100)))
    places = list(re.finditer(r"(?m)(?<== )[\d.e-]+(?=$|  #)|(?<=[\[ ])[\d.e-]+(?=, |\])", text))
    assert len(places) > 30
    for place in places:
        for odd in ODD:
            with suppress(InputError):
                found = Calibrated(loads(text[: place.start()] + odd + text[place.end() :], "x.toml"), 1).predict(report)
                assert found.latency is not None
                assert isfinite(found.latency.high)


@pytest.mark.parametrize("threads", ["²", "١", "0", "-1", "1_0", "1e1", "9" * 30, "a"])
def test_an_invalid_number_of_threads_is_refused(threads: str) -> None:
    with pytest.raises(InputError, match="is not a number of threads"):
        loads(dumps(HERE).replace("threads.2", f'threads."{threads}"'), "x.toml")
