from __future__ import annotations

import pytest

from onnxcost.render.units import binary, exact, plural, ratio, shape, share, si
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
