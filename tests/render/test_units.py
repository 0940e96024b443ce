from __future__ import annotations

import pytest

from onnxcost.render.units import binary, exact, plural, rate, ratio, seconds, shape, share, si, time_unit
from tests.graphs import tensor


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (999, "999"),
        (1000, "1.000 k"),
        (9999, "9.999 k"),
        (99_999, "100.0 k"),
        (999_949, "999.9 k"),
        (999_999, "1.000 M"),
        (4_089_184_256, "4.089 G"),
        (10**12, "1.000 T"),
        (10**15, "1.000 P"),
        (10**18, "1.000 E"),
        (10**21, "1.000 Z"),
        (10**24, "1.000 Y"),
        (10**28, "10000 Y"),
        (2.5, "2.500"),
    ],
)
def test_si(value: float, text: str) -> None:
    assert si(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.000 KiB"),
        (1024**2 - 1, "1.000 MiB"),
        (102_228_128, "97.49 MiB"),
        (3 << 30, "3.000 GiB"),
    ],
)
def test_binary(value: int, text: str) -> None:
    assert binary(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0 s"),
        (1e-12, "0.001 ns"),
        (1.234e-7, "123.4 ns"),
        (0.0009999, "999.9 µs"),
        (0.00099999, "1.000 ms"),
        (0.01234, "12.34 ms"),
        (0.99996, "1.000 s"),
        (12.345678, "12.35 s"),
        (86_400, "86,400 s"),
    ],
)
def test_seconds(value: float, text: str) -> None:
    assert seconds(value) == text


def test_times_that_belong_together_have_one_unit() -> None:
    unit = time_unit(0.01234)
    assert [unit.text(value) for value in (0.01234, 0.0056789, 0.4567)] == ["12.34 ms", "5.68 ms", "456.70 ms"]
    assert [unit.number(value) for value in (0, 1e-9)] == ["0.00", "<0.01"]
    assert unit.text(12.5) == "12.50 s"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0 FLOP/s"),
        (0.5, "0.5000 FLOP/s"),
        (999.99, "1.000 kFLOP/s"),
        (12.34e9, "12.34 GFLOP/s"),
        (1e24, "1.000 YFLOP/s"),
    ],
)
def test_rates(value: float, text: str) -> None:
    assert rate(value, "FLOP/s") == text


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [(0, 0, "0 %"), (0, 10, "0 %"), (1, 10**6, "<0.1 %"), (1, 3, "33.3 %"), (10, 10, "100.0 %")],
)
def test_share(part: int, whole: int, text: str) -> None:
    assert share(part, whole) == text


def test_other_numbers() -> None:
    assert exact(4_089_184_256) == "4,089,184,256"
    assert [ratio(value) for value in (None, 0.125, 56.314, 12345.6)] == ["unknown", "0.1250", "56.31", "12,346"]
    assert [plural(number, "node") for number in (1, 2, 1000)] == ["1 node", "2 nodes", "1,000 nodes"]


def test_shape() -> None:
    assert shape(tensor("x", 1, 3, 224, 224)) == "1×3×224×224"
    assert shape(tensor("x", 1, None, "length"), "x") == "1x?xlength"
    assert [shape(tensor("x")), shape(None)] == ["scalar", "?"]
