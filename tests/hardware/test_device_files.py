"""TOML files of devices: what they can say, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from onnxcost.errors import InputError
from onnxcost.hardware.catalogue import find_device, load_devices
from onnxcost.hardware.device import Device, Source

LEAST = """
name = "mine"
kind = "board"
cpu.peak.float32 = "50 GFLOP/s"
"""
FULL = """
name = "mine"
title = "Mine"
vendor = "Me"
kind = "board"
source = "sheet"
note = "Two of them."
memory = "4 GiB"
bandwidth = { value = "10 GB/s", how = "5 GT/s × 2 B" }
price = { value = "99 USD", source = "guess" }
gpu.title = "Its GPU"
gpu.clock = "1 GHz"
gpu.clock_basis = "base"
gpu.boost = { value = "2 GHz", basis = "unverified" }
gpu.peak.float16 = { value = "8 TFLOP/s", accumulate = "float16" }
gpu.peak.int8 = "16 TOPS"
[sources]
sheet = { title = "Datasheet", url = "https://example.com/sheet", date = 2026-01-02 }
guess = { title = "vendor datasheet, not checked", basis = "unverified", date = 2026-11-23 }
"""


def read(text: str, folder: Path) -> tuple[Device, ...]:
    (folder / "mine.toml").write_text(text, encoding="utf-8")
    return load_devices(folder / "mine.toml")


def test_a_name_a_kind_and_a_peak_are_enough(tmp_path: Path) -> None:
    (device,) = read(LEAST, tmp_path)
    assert (device.name, device.title, device.vendor, device.kind) == ("mine", "mine", "", "board")
    peak = device.peak("float32")
    assert peak is not None
    assert (peak.part, peak.rate, peak.accumulate) == ("cpu", 50e9, "float32")
    assert (peak.figure.basis, peak.figure.source) == ("given", Source("mine.toml"))


def test_all_that_can_be_said(tmp_path: Path) -> None:
    (device,) = read(FULL, tmp_path)
    sheet = Source("Datasheet", "https://example.com/sheet", "2026-01-02")
    memory, bandwidth, price = (device.figures[name] for name in ("memory", "bandwidth", "price"))
    assert (memory.value, memory.basis, memory.source) == (2**32, "published", sheet)
    assert (bandwidth.value, bandwidth.basis, bandwidth.how) == (10e9, "derived", "5 GT/s × 2 B")
    assert (price.value, price.basis, price.source.title) == (99, "unverified", "vendor datasheet, not checked")
    gpu = device.parts["gpu"]
    assert (gpu.title, gpu.clock_basis, gpu.headroom) == ("Its GPU", "base", 2)
    assert gpu.boost is not None
    assert gpu.boost.basis == "unverified"
    assert {dtype: (peak.rate, peak.accumulate) for dtype, peak in gpu.peaks.items()} == {
        "float16": (8e12, "float16"),
        "int8": (16e12, "int32"),
    }
    assert device.note == "Two of them."


def test_an_instance_has_what_its_device_has_and_its_own_price(tmp_path: Path) -> None:
    chip, rented = read(
        """
        kind = "cloud"
        [[device]]
        name = "chip"
        kind = "gpu"
        memory = "8 GiB"
        bandwidth = "10 GB/s"
        price = "99 USD"
        gpu.peak.float32 = "1 TFLOP/s"
        [[device]]
        name = "rented"
        of = "chip"
        memory = "4 GiB"
        hourly = "0.5 USD/h"
        """,
        tmp_path,
    )
    assert (rented.parts, rented.kind) == (chip.parts, "cloud")
    assert {name: rented.value(name) for name in ("memory", "bandwidth", "price", "hourly")} == {
        "memory": 2**32,
        "bandwidth": 10e9,
        "price": None,
        "hourly": 0.5,
    }


def test_an_instance_can_have_a_device_of_the_catalog(tmp_path: Path) -> None:
    (rented,) = read('name = "mine"\nkind = "cloud"\nof = "t4"\nhourly = "0.2 USD/h"\n', tmp_path)
    assert (rented.dtypes, rented.bandwidth, rented.value("hourly")) == (find_device("t4").dtypes, 320e9, 0.2)


@pytest.mark.parametrize("of", ["toaster", "aws-g4dn-xlarg", "mine"])
def test_an_instance_of_what_is_no_device_is_refused(of: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"mine: there is no device '{of}'"):
        read(f'name = "mine"\nkind = "cloud"\nof = "{of}"\n', tmp_path)


def test_variants_share_the_keys_above_them(tmp_path: Path) -> None:
    small, big = read(
        """
        kind = "gpu"
        bandwidth = { value = "10 GB/s", how = "5 GT/s × 2 B" }
        gpu.title = "Both"
        gpu.peak.float32 = "1 TFLOP/s"
        [sources]
        sheet = { title = "Datasheet", date = 2026-01-02 }
        [[device]]
        name = "small"
        memory = "4 GiB"
        [[device]]
        name = "big"
        source = "sheet"
        memory = "8 GiB"
        bandwidth = { value = "20 GB/s" }
        gpu.peak.float16 = "2 TFLOP/s"
        """,
        tmp_path,
    )
    assert [small.memory_bytes, big.memory_bytes] == [4 * 2**30, 8 * 2**30]
    assert (small.dtypes, big.dtypes) == (("float32",), ("float32", "float16"))
    assert big.parts["gpu"].title == "Both"
    assert (big.figures["bandwidth"].basis, big.figures["bandwidth"].how) == ("published", "")
    assert small.figures["memory"].basis == "given"


WRONG = {
    "no toml": ("name = ", "cannot read '{path}': Invalid value"),
    "a key": (LEAST + 'memroy = "4 GiB"', "mine.toml: unknown key 'memroy'; did you mean 'memory'?"),
    "a key of a part": (LEAST + 'cpu.clok = "1 GHz"', "mine.toml: mine.cpu: unknown key 'clok'; did you mean 'clock'?"),
    "a type": (LEAST + 'cpu.peak.float61 = "1 OPS"', "mine.toml: mine.cpu: unknown key 'float61'; did you mean 'float"),
    "a key of a number": (
        LEAST + 'memory = { value = "4 GiB", form = "x" }',
        "mine.toml: mine.memory: unknown key 'form'",
    ),
    "no unit": (LEAST + 'memory = "4"', "mine.toml: mine.memory: '4' is not a quantity such as 8 GiB"),
    "a bare number": (LEAST + "memory = 4", "mine.toml: mine.memory: 'value' must be text, not 4"),
    "no rate": (LEAST + 'gpu.peak.int8 = "4 T"', "mine.toml: mine.gpu.peak.int8: '4 T' is not a quantity such as 1.28 TFLOP/s"),
    "no kind": ('name = "mine"\ncpu.peak.float32 = "1 OPS"', "mine.toml: mine: the key 'kind' is missing"),
    "another kind": (LEAST.replace("board", "bord"), "mine.toml: mine: there is no kind 'bord': choose from microcontroller, "),
    "no name": (LEAST.replace("name", "vendor"), "mine.toml: the key 'name' is missing"),
    "a bad name": (
        LEAST.replace('"mine"', '"My Board"'),
        "mine.toml: My Board: a name consists of lowercase letters",
    ),
    "no part": ('name = "mine"\nkind = "cpu"', "mine.toml: mine: a device needs at least one of cpu, gpu, npu, dla"),
    "no peak": (
        'name = "mine"\nkind = "cpu"\ncpu.title = "x"',
        "mine.toml: mine.cpu: a part needs a peak in at least one type",
    ),
    "a part that is none": ('name = "mine"\nkind = "cpu"\ncpu = "x"', "mine.toml: mine.cpu: this is not a table"),
    "no such source": (
        LEAST + 'memory = { value = "4 GiB", source = "shet" }\n[sources]\nsheet = { title = "S", date = 2026-01-02 }',
        "mine.toml: mine.memory: there is no source 'shet' in [sources]; did you mean 'sheet'?",
    ),
    "a source without a date": (
        LEAST + '[sources]\nsheet = { title = "S" }',
        "mine.toml: sources.sheet: 'date' must be the day on which it was read",
    ),
    "a source without a title": (
        LEAST + "[sources]\nsheet = { date = 2026-01-02 }",
        "mine.toml: sources.sheet: the key 'title' is missing",
    ),
    "another basis": (
        LEAST + 'memory = { value = "4 GiB", basis = "guessed" }',
        "mine.toml: mine.memory: there is no basis 'guessed': choose from published, derived, reported, unverified",
    ),
    "derived from nothing": (
        LEAST + 'memory = { value = "4 GiB", basis = "derived" }',
        "mine.toml: mine.memory: a derived figure must say how",
    ),
    "a clock of no basis": (LEAST + 'cpu.clock = "1 GHz"', "mine.toml: mine.cpu: the key 'clock_basis' is missing"),
    "one bracket": (LEAST + '[device]\nname = "x"', "mine.toml: write [[device]], with two brackets"),
}


@pytest.mark.parametrize(("text", "message"), WRONG.values(), ids=WRONG.keys())
def test_what_does_not_fit_is_refused_in_one_line(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as refused:
        read(text, tmp_path)
    assert str(refused.value).startswith(message.replace("{path}", str(tmp_path / "mine.toml")))
    assert "\n" not in str(refused.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot read '.*none\.toml': No such file or directory"):
        load_devices(tmp_path / "none.toml")
