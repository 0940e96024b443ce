from __future__ import annotations

import datetime
import re
from contextlib import suppress
from dataclasses import replace
from math import isfinite
from pathlib import Path

import pytest

from onnxcost.errors import InputError
from onnxcost.estimator import estimate
from onnxcost.hardware.calibration.file import dumps, is_calibration, load, loads
from onnxcost.hardware.calibration.model import Calibration, Machine, Point, Speeds
from onnxcost.hardware.calibration.predictor import ERROR, Calibrated
from tests.modeltext import model

MACHINE = Machine('a "quick" one', 1 << 30, 2.0, "1.32.0", "Linux", "cpu", True)
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
    assert 'schema = "onnxcost-calibration/2"' in text
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
        ("calibration/2", "calibration/1", "not a calibration that this version can read .*: calibrate again"),
        ("calibration/2", "calibration/9", "not a calibration that this version can read"),
        ("[threads.1]", "[threads.one]", "not a complete calibration"),
        ("family.gemm]", "family.gems]", "no family 'gems'"),
        ("[8, 1e-06]", "[8, 1e-06, 3]", "a row of 'cheap' has 2 numbers"),
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
    assert found.latency.high / found.latency.low == pytest.approx((1 + ERROR) ** 2)
    assert [node.op_type for node in found.nodes] == ["MatMul", "Softmax"]
    assert found.limit == "compute"


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
    assert "no kernel like LSTM was timed: it is left out, and the latency too short" in notes_of(
        graph, w=(1, 32, 8), r=(1, 32, 8)
    )


def test_what_no_probe_shows_to_take_time_is_not_said() -> None:
    """Calls, biases and cold weights have no times in this calibration."""
    graph = "(float[10,100] x) => (float[10,100] y) { y = Gemm(x, w, b) }"
    assert notes_of(graph, w=(100, 100), b=(100,)) == [
        "after kernels timed on 2026-11-23, with onnxruntime 1.32.0 and 2 threads"
    ]


def test_values_from_far_take_longer() -> None:
    """4,000 bytes three times: x, which was not there yet, nor was a, and a once more, 16,000,000 bytes later. The
    others are farther in a kernel of their own; y gets the buffer that b was read from just then.
    """
    graph = """(float[10,100] x, float[1000,1000] large) => (float[10,100] y, float[1000,1000] z) {
        a = Softmax(x) b = Softmax(large) z = Softmax(b) y = Softmax(a) }"""
    report = estimate(model(graph))

    def seconds(far: float) -> float:
        points = {**SPEEDS.points, "cold-values": (Point((1e5,), 0.0), Point((1e6,), far))}
        return Calibrated(replace(HERE, speeds={1: Speeds(SPEEDS.run_seconds, points)})).seconds(report)

    assert seconds(2e-10) - seconds(0.0) == pytest.approx(3 * 4000 * 2e-10)


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


def test_a_number_that_cannot_be_is_refused_wherever_it_stands(tmp_path: Path) -> None:
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
def test_a_number_of_threads_that_is_none_is_refused(threads: str) -> None:
    with pytest.raises(InputError, match="is no number of threads"):
        loads(dumps(HERE).replace("threads.2", f'threads."{threads}"'), "x.toml")
