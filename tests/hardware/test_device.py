from __future__ import annotations

from collections.abc import Mapping

import pytest

from onnxcost.graph import BITS
from onnxcost.hardware.device import Device, Figure, Part, Peak, Source

SOURCE = Source("a datasheet", "https://example.com", "2026-11-23")


def figure(value: float) -> Figure:
    return Figure(value, "published", SOURCE)


def part(kind: str, rates: Mapping[str, float], **others: Figure) -> Part:
    return Part(kind, "", {dtype: Peak(kind, dtype, "", figure(rate)) for dtype, rate in rates.items()}, **others)


def device(**parts: Mapping[str, float]) -> Device:
    return Device("mine", "Mine", "Me", "board", {kind: part(kind, rates) for kind, rates in parts.items()})


BOARD = device(gpu={"float32": 1e12, "int8": 4e12}, dla={"int8": 5e12}, cpu={"float32": 1e11})


@pytest.mark.parametrize(
    ("dtype", "found"), [("float32", ("gpu", 1e12)), ("int8", ("dla", 5e12)), ("float16", None), ("tf32", None)]
)
def test_the_peak_is_that_of_the_fastest_part(dtype: str, found: tuple[str, float] | None) -> None:
    peak = BOARD.peak(dtype)
    assert (peak and (peak.part, peak.rate)) == found


RUNS_AS = {
    "what there is": (BOARD, "float32", "float32"),
    "a wider float": (BOARD, "float16", "float32"),
    "a wider integer": (BOARD, "uint4", "int8"),
    "unsigned as signed": (BOARD, "uint8", "int8"),
    "integers as floats": (BOARD, "int64", "float32"),
    "half before single": (device(gpu={"float16": 1, "float32": 1}), "int8", "float16"),
    "narrower where there is nothing else": (device(npu={"bfloat16": 1, "int8": 1}), "float32", "bfloat16"),
    "bfloat16 never as float16 where there is float32": (device(gpu={"float16": 9, "float32": 1}), "bfloat16", "float32"),
    "eight bits, whichever": (device(gpu={"float8": 1}), "float8e5m2", "float8"),
    "no floats in integers": (device(npu={"int8": 1}), "float32", None),
    "no complex numbers": (BOARD, "complex64", None),
    "small integers in a faster float": (device(gpu={"float16": 4, "float32": 2}, cpu={"int8": 1}), "uint8", "float16"),
    "floats not in faster integers": (device(npu={"int8": 9}, cpu={"float32": 1}), "float32", "float32"),
}


@pytest.mark.parametrize(("on", "dtype", "expected"), RUNS_AS.values(), ids=RUNS_AS.keys())
def test_a_type_runs_as_the_first_that_the_device_has(on: Device, dtype: str, expected: str | None) -> None:
    peak = on.runs_as(dtype)
    assert (peak and peak.dtype) == expected


@pytest.mark.parametrize("dtype", [dtype for dtype in BITS if not dtype.startswith("complex")])
def test_a_device_with_float32_runs_every_type_of_a_graph(dtype: str) -> None:
    assert device(cpu={"float32": 1}).runs_as(dtype)


def test_the_types_of_a_device_are_those_of_its_parts() -> None:
    assert BOARD.dtypes == ("float32", "int8")


def test_what_is_not_known_is_none() -> None:
    known = Device("mine", "", "", "board", {}, {"memory": figure(2.0**30), "bandwidth": figure(1e9)})
    assert (known.memory_bytes, known.bandwidth, known.value("power")) == (2**30, 1e9, None)
    assert (BOARD.memory_bytes, BOARD.bandwidth) == (None, None)


def test_headroom_is_what_the_boost_clock_adds() -> None:
    assert part("cpu", {}).headroom == 1
    assert part("cpu", {}, clock=figure(2e9), boost=figure(3e9)).headroom == 1.5
