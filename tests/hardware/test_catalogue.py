"""The devices of the package: each figure has its origin, derivations hold, and no sparse rate stands for a dense one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from math import prod
from pathlib import Path

import pytest

import onnxcost
from onnxcost.errors import InputError
from onnxcost.hardware.catalogue import catalogue, find_device
from onnxcost.hardware.device import Device, Figure, Part

FOLDER = Path(onnxcost.__file__).parent / "hardware" / "catalogue"
DEVICES = catalogue()
EACH = pytest.mark.parametrize("device", DEVICES.values(), ids=DEVICES.keys())


def figures(device: Device) -> Iterator[tuple[str, Figure]]:
    yield from device.figures.items()
    for kind, part in device.parts.items():
        yield from ((f"{kind}.{name}", each) for name, each in (("clock", part.clock), ("boost", part.boost)) if each)
        yield from ((f"{kind}.{dtype}", peak.figure) for dtype, peak in part.peaks.items())


def test_there_are_devices_of_every_kind() -> None:
    kinds = [device.kind for device in DEVICES.values()]
    at_least = {"microcontroller": 10, "accelerator": 4, "board": 15, "phone": 3, "laptop": 5, "cpu": 8, "gpu": 30, "cloud": 8}
    assert {kind: kinds.count(kind) for kind in at_least if kinds.count(kind) < at_least[kind]} == {}
    assert set(kinds) == at_least.keys()
    assert len(DEVICES) >= 60


@EACH
def test_a_device_is_named_titled_and_can_compute(device: Device) -> None:
    assert re.fullmatch("[a-z0-9]+(-[a-z0-9]+)*", device.name)
    assert device.title
    assert device.vendor
    assert device.dtypes
    assert all(part.clock is None or part.clock_basis for part in device.parts.values())


@EACH
def test_each_figure_has_its_origin(device: Device) -> None:
    for name, figure in figures(device):
        assert figure.value > 0, name
        assert figure.basis in ("published", "derived", "reported", "unverified"), name
        assert figure.source.title, name
        assert re.fullmatch(r"\d{4}-\d\d-\d\d", figure.source.date), name
        if figure.basis == "unverified" and not figure.source.url:
            assert figure.source.title == "vendor datasheet, not checked", name
        else:
            assert figure.source.url.startswith(("https://", "http://")), name
        assert figure.how or figure.basis != "derived", name


def worth(how: str) -> float | None:
    """What a derivation comes to: numbers with their units between × and /, terms between +, words behind a colon."""
    total = 0.0
    for term in how.partition(":")[0].split(" + "):
        factors = re.split(r" ([×/]) ", f"1 × {term}")
        numbers = [re.match(r"(\d+(?:\.\d+)?) ?(?:([kMGTP])(?=Hz|T/s|B/s|bit/s|F?L?OP/s))?", factor) for factor in factors[::2]]
        if not all(numbers):
            return None
        values = [float(number[1]) * 1000 ** " kMGTP".index(number[2] or " ") for number in numbers if number]
        signs = [1, *(1 if sign == "×" else -1 for sign in factors[1::2])]
        total += prod(value**sign for value, sign in zip(values, signs, strict=True))
    return total


@EACH
def test_derivations_come_to_their_figures(device: Device) -> None:
    for name, figure in figures(device):
        if figure.how and (value := worth(figure.how)) is not None:
            assert figure.value == pytest.approx(value, rel=0.01), f"{name}: {figure.how}"


def test_derived_rates_are_sums_that_were_checked() -> None:
    derived = [peak.figure for device in DEVICES.values() for part in device.parts.values() for peak in part.peaks.values()]
    derived = [figure for figure in derived if figure.basis == "derived"]
    assert len(derived) > 50
    assert [figure.how for figure in derived if worth(figure.how) is None] == []


RATIOS = {
    "microcontroller": (0.2, 300), "accelerator": (1000, 10000), "board": (2, 4000), "phone": (5, 1000), "laptop": (20, 600),
    "cpu": (10, 1000), "gpu": (20, 1200), "cloud": (50, 3000),
}  # fmt: skip
"""Between what the highest rate is to the bandwidth, in operations a byte."""


@EACH
def test_rates_and_bandwidths_are_of_one_world(device: Device) -> None:
    low, high = RATIOS[device.kind]
    highest = max(peak.rate for dtype in device.dtypes if (peak := device.peak(dtype)))
    if device.bandwidth:
        assert low <= highest / device.bandwidth <= high
    power = device.value("power")
    assert power is None or 2e9 <= highest / power <= 20e12


@EACH
@pytest.mark.parametrize("half", ["bfloat16", "float16"])
def test_a_narrower_float_is_not_slower_in_the_same_part(half: str, device: Device) -> None:
    for part in device.parts.values():
        rates = [peak.rate for dtype in ("float32", "tf32", half, "float8", "float4") if (peak := part.peaks.get(dtype))]
        assert rates == sorted(rates)


CPUS = {name: device.parts["cpu"] for name, device in DEVICES.items() if "cpu" in device.parts}
CLUSTER = re.compile(r"(\d+) cores? × (\d+) F?L?OPs? × ([\d.]+) ([GM])Hz")


@pytest.mark.parametrize("cpu", CPUS.values(), ids=CPUS.keys())
def test_a_cpu_is_as_fast_as_its_cores_at_their_clocks(cpu: Part) -> None:
    """A derivation has the cores of the title, the fastest at the part's clock; other types do a power of two of float32."""
    titled = sum(map(int, re.findall(r"(\d+)(?: ×| cores| [PE]-cores| low-power| performance| efficiency)", f"{cpu.title},")))
    rates = {dtype: CLUSTER.findall(peak.figure.how) for dtype, peak in cpu.peaks.items()}
    for dtype, clusters in rates.items():
        if not clusters:
            continue
        assert sum(int(cores) for cores, *_ in clusters) == titled, dtype
        fastest = max(float(clock) * {"G": 1e9, "M": 1e6}[unit] for *_, clock, unit in clusters)
        assert cpu.clock is not None
        assert fastest == pytest.approx(cpu.clock.value, rel=0.01)
        for (_, own, *_), (_, single, *_) in zip(clusters, rates.get("float32", clusters), strict=True):
            assert int(own) / int(single) in (0.25, 0.5, 1, 2, 4, 8, 16, 32)


MEASURED = {
    ("rk3588", "float32"): 150.15 + 58.261, ("rk3588", "float16"): 300.97 + 116.54, ("rk3588", "int8"): 602.2 + 233.08,
    ("raspberry-pi-3-b-plus", "float32"): 45.029, ("intel-n100", "float32"): 4 * 54.247, ("intel-n100", "int8"): 4 * 108.51,
}  # fmt: skip
"""Rates that cpufp measured, in 10^9 a second: of all cores, or of one times their number."""


@pytest.mark.parametrize(("name", "dtype"), MEASURED)
def test_the_cores_reach_their_peaks_when_that_is_all_that_they_do(name: str, dtype: str) -> None:
    assert DEVICES[name].parts["cpu"].peaks[dtype].rate == pytest.approx(MEASURED[name, dtype] * 1e9, rel=0.02)


BANDWIDTHS = {
    "rk3588": (4224, 64), "rk3576": (4266, 32), "rk3568": (3120, 32), "qcs6490": (6400, 32), "iq-9075": (6400, 96),
    "qcs8550": (8400, 64), "snapdragon-8-gen-2": (8400, 64), "raspberry-pi-3-b-plus": (1000, 32), "imx8m-plus": (4000, 32),
    "stm32mp257": (2400, 32), "core-ultra-7-155h": (7467, 128), "intel-n100": (4800, 64), "dgx-spark": (8533, 256),
    "rtx-pro-6000-blackwell": (28000, 512),
}  # fmt: skip
"""The rate of the memory in MT/s, and its width in bits."""


@pytest.mark.parametrize("name", BANDWIDTHS)
def test_a_bandwidth_is_the_rate_of_the_memory_times_its_width(name: str) -> None:
    rate, width = BANDWIDTHS[name]
    assert DEVICES[name].bandwidth == pytest.approx(rate * 1e6 * width / 8, rel=0.001)


INSTANCES = {
    "aws-g4dn-xlarge": ("t4", 0.526), "aws-g5-xlarge": ("a10g", 1.006), "aws-g6-xlarge": ("l4", 0.8048),
    "aws-g6e-xlarge": ("l40s", 1.861), "aws-p3-2xlarge": ("v100-sxm2-16gb", 3.06),
    "aws-p4d-24xlarge": ("a100-sxm-40gb", 2.7447),
    "aws-p5-4xlarge": ("h100-sxm", 6.88), "aws-inf2-xlarge": ("inferentia2", 0.7582), "azure-nc4as-t4-v3": ("t4", None),
    "gcp-g2-standard-4": ("l4", None),
}  # fmt: skip


@pytest.mark.parametrize("name", INSTANCES)
def test_an_instance_is_its_device_by_the_hour(name: str) -> None:
    of, hourly = INSTANCES[name]
    assert DEVICES[name].parts == DEVICES[of].parts
    assert DEVICES[name].value("hourly") == (None if hourly is None else pytest.approx(hourly, rel=1e-4))
    assert DEVICES[name].value("price") is None


def test_a_price_by_the_hour_has_a_dated_source() -> None:
    sources = [device.figures["hourly"].source for device in DEVICES.values() if "hourly" in device.figures]
    assert len(sources) > 15
    assert [source for source in sources if not (source.url and re.search(r"20\d\d-\d\d-\d\d$", source.title))] == []


T, G = 1e12, 1e9
PUBLISHED: dict[str, tuple[float | None, float | None, float | None, float | None]] = {
    "stm32h743": (0.00096 * T, None, 0.0019 * T, None),
    "stm32n6": (None, None, 0.6 * T, None),
    "esp32-s3": (0.001 * T, None, 0.015 * T, None),
    "ethos-u55-256": (None, None, 0.256 * T, 4 * G),
    "coral-edge-tpu": (None, None, 4 * T, None),
    "hailo-8": (None, None, 26 * T, None),
    "hailo-8l": (None, None, 13 * T, None),
    "raspberry-pi-3-b-plus": (0.0448 * T, None, None, None),
    "raspberry-pi-4-4gb": (0.0576 * T, None, None, 12.8 * G),
    "raspberry-pi-5-8gb": (0.154 * T, 0.307 * T, 0.61 * T, 17.1 * G),
    "jetson-nano": (0.236 * T, 0.472 * T, None, 25.6 * G),
    "jetson-tx2": (0.67 * T, 1.33 * T, None, 59.7 * G),
    "jetson-orin-nano-8gb": (1.28 * T, 10 * T, 20 * T, 68 * G),
    "jetson-orin-nano-8gb-super": (2.09 * T, 17 * T, 33 * T, 102 * G),
    "jetson-orin-nx-16gb": (1.88 * T, 15 * T, 30 * T, 102 * G),
    "jetson-agx-orin-64gb": (5.3 * T, 43 * T, 85.5 * T, 204.8 * G),
    "jetson-thor-t5000": (8 * T, 258 * T, None, 273 * G),
    "apple-m1": (2.6 * T, 11 * T, None, 68 * G),
    "core-i9-13900k": (2.5 * T, None, None, 89.6 * G),
    "xeon-platinum-8480-plus": (7.2 * T, None, 229 * T, 307 * G),
    "epyc-7763": (5.0 * T, None, None, 204.8 * G),
    "epyc-9654": (7.4 * T, None, None, 460.8 * G),
    "rtx-3060-12gb": (12.7 * T, 25.5 * T, 102 * T, 360 * G),
    "rtx-3090": (35.6 * T, 71 * T, 284 * T, 936 * G),
    "rtx-4070": (29.2 * T, 58 * T, 233 * T, 504 * G),
    "rtx-4090": (82.6 * T, 165.2 * T, 660.6 * T, 1008 * G),
    "rtx-5070": (30.9 * T, 62 * T, 247 * T, 672 * G),
    "rtx-5090": (104.8 * T, 209.5 * T, 838 * T, 1792 * G),
    "v100-sxm2-16gb": (15.7 * T, 125 * T, 62 * T, 900 * G),
    "t4": (8.1 * T, 65 * T, 130 * T, 320 * G),
    "a10": (31.2 * T, 125 * T, 250 * T, 600 * G),
    "a30": (10.3 * T, 165 * T, 330 * T, 933 * G),
    "a40": (37.4 * T, 149.7 * T, 299.3 * T, 696 * G),
    "a100-pcie-40gb": (19.5 * T, 312 * T, 624 * T, 1555 * G),
    "a100-sxm-40gb": (19.5 * T, 312 * T, 624 * T, 1555 * G),
    "a100-pcie-80gb": (19.5 * T, 312 * T, 624 * T, 1935 * G),
    "a100-sxm-80gb": (19.5 * T, 312 * T, 624 * T, 2039 * G),
    "l4": (30.3 * T, 121 * T, 242 * T, 300 * G),
    "l40": (90.5 * T, 181 * T, 362 * T, 864 * G),
    "l40s": (91.6 * T, 362 * T, 733 * T, 864 * G),
    "h100-pcie": (51 * T, 756 * T, 1513 * T, 2000 * G),
    "h100-sxm": (67 * T, 989 * T, 1979 * T, 3350 * G),
    "h100-nvl": (60 * T, 835 * T, 1670 * T, 3900 * G),
    "h200-sxm": (67 * T, 989 * T, 1979 * T, 4800 * G),
    "b200": (75 * T, 2250 * T, 4500 * T, 8000 * G),
    "mi210": (None, 181 * T, 181 * T, 1638 * G),
    "mi250x": (None, 383 * T, 383 * T, 3277 * G),
    "mi300x": (163.4 * T, 1307 * T, 2615 * T, 5300 * G),
    "arc-b580": (13.7 * T, None, None, 456 * G),
    "inferentia1": (None, 64 * T, 128 * T, None),
    "inferentia2": (47.5 * T, 190 * T, 380 * T, 820 * G),
    "trainium1": (None, 190 * T, None, 820 * G),
    "trainium2": (None, 667 * T, None, 2900 * G),
}
"""FP32, FP16, int8 and bandwidth in a table made apart from the catalogue; None where it has none, or another sense."""


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_catalogue_agrees_with_a_table_made_apart_from_it(name: str) -> None:
    device = DEVICES[name]
    rates = [peak.rate if (peak := device.peak(dtype)) else None for dtype in ("float32", "float16")]
    eight = max(
        (part.peaks["int8"].rate for kind, part in device.parts.items() if kind != "dla" and "int8" in part.peaks), default=None
    )
    for found, expected in zip((*rates, eight, device.bandwidth), PUBLISHED[name], strict=True):
        if expected is not None:
            assert found == pytest.approx(expected, rel=0.04)


SOLD = {
    "jetson-orin-nano-4gb": ("int8", 20 * T, 2), "jetson-orin-nano-8gb": ("int8", 40 * T, 2),
    "jetson-orin-nano-8gb-super": ("int8", 67 * T, 2), "jetson-orin-nx-8gb": ("int8", 70 * T, 2),
    "jetson-orin-nx-16gb": ("int8", 100 * T, 2), "jetson-agx-orin-32gb": ("int8", 200 * T, 2),
    "jetson-agx-orin-64gb": ("int8", 275 * T, 2), "jetson-thor-t5000": ("float4", 2070 * T, 2),
    "a100-sxm-80gb": ("int8", 1248 * T, 2), "a40": ("int8", 598.6 * T, 2), "l4": ("int8", 485 * T, 2),
    "l40": ("int8", 724 * T, 2), "l40s": ("float8", 1466 * T, 2), "h100-pcie": ("float16", 1513 * T, 2),
    "h100-sxm": ("int8", 3958 * T, 2), "h200-sxm": ("float8", 3958 * T, 2), "b200": ("float4", 18000 * T, 2),
    "rtx-3090": ("int8", 570 * T, 2), "rtx-4090": ("int8", 1321 * T, 2), "rtx-5070": ("int8", 988 * T, 4),
    "rtx-5090": ("int8", 3352 * T, 4), "hailo-10h": ("int8", 40 * T, 2), "trainium2": ("bfloat16", 2563 * T, 3),
}  # fmt: skip
"""The figure that a device is sold with, sparse or narrower, and by how much the dense one is below it at the least."""


@pytest.mark.parametrize("name", SOLD)
def test_no_sparse_rate_is_used_as_a_dense_one(name: str) -> None:
    dtype, sold, times = SOLD[name]
    parts = [part for kind, part in DEVICES[name].parts.items() if kind != "cpu"]
    rates = [part.peaks[dtype].rate for part in parts if dtype in part.peaks]
    assert 0 < sum(rates) <= 1.03 * sold / times


def test_a_figure_without_a_remark_is_only_text() -> None:
    alone = {
        path.name: re.findall(r'\{ value = "[^"]*" \}', path.read_text(encoding="utf-8")) for path in FOLDER.glob("*.toml")
    }
    assert {name: found for name, found in alone.items() if found} == {}


CHANGED: dict[str, tuple[str, str, float]] = {
    "memory": ("jetson-orin-nano-8gb,memory=4GiB", "memory", 4 * 2**30),
    "bandwidth": ("t4, bandwidth = 300 GB/s", "bandwidth", 300e9),
    "price": ("t4,price=900 USD,power=60W", "price", 900),
}


@pytest.mark.parametrize(("text", "name", "value"), CHANGED.values(), ids=CHANGED.keys())
def test_the_user_can_change_a_figure(text: str, name: str, value: float) -> None:
    device = find_device(text)
    assert (device.value(name), device.figures[name].basis) == (value, "given")
    assert catalogue()[device.name].value(name) != value


@pytest.mark.parametrize(
    ("text", "dtype", "part", "rate"),
    [
        ("t4,float16=50TFLOPS", "float16", "gpu", 50e12),
        ("jetson-nano,int8=1TOPS", "int8", "cpu", 1e12),
        ("mi210,float8=1TFLOP/s", "float8", "gpu", 1e12),
        ("jetson-agx-orin-64gb,int8=10TOPS", "int8", "gpu", 10e12),
    ],
)
def test_the_user_can_change_a_rate_which_is_then_the_only_one(text: str, dtype: str, part: str, rate: float) -> None:
    peak = find_device(text).peak(dtype)
    assert peak is not None
    assert (peak.part, peak.rate, peak.figure.basis) == (part, rate, "given")


@pytest.mark.parametrize("text", ["h100-sxm", "H100-SXM", " h100 sxm", "h100_sxm"])
def test_a_name_is_found_however_it_is_written(text: str) -> None:
    assert find_device(text).name == "h100-sxm"


WRONG = {
    "variants": (
        "jetson-orin-nano",
        "there is no device 'jetson-orin-nano'; did you mean 'jetson-orin-nano-4gb', 'jetson-orin-nano-8gb' or "
        "'jetson-orin-nano-8gb-super'?",
    ),
    "a slip": ("h100-sxn", "there is no device 'h100-sxn'; did you mean 'h100-sxm'?"),
    "nothing near": ("toaster", "there is no device 'toaster': 'onnxcost devices' lists them"),
    "no value": ("t4,memory", "--device expects NAME,KEY=VALUE, not 't4,memory'"),
    "no such figure": ("t4,memroy=4GiB", "--device cannot change 'memroy'; did you mean 'memory'?"),
    "no such figure, and none near": ("t4,colour=4", "--device cannot change 'colour': it can memory, "),
    "no unit": ("t4,memory=4", "--device memory: '4' is not a quantity such as 8 GiB"),
}


@pytest.mark.parametrize(("text", "message"), WRONG.values(), ids=WRONG.keys())
def test_what_is_no_device_is_refused_with_a_hint(text: str, message: str) -> None:
    with pytest.raises(InputError) as refused:
        find_device(text)
    assert str(refused.value).startswith(message)


def test_a_file_of_the_users_comes_before_the_catalogue(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('name = "t4"\nkind = "gpu"\ngpu.peak.float32 = "1 TFLOP/s"\n', encoding="utf-8")
    assert find_device("t4", [path]).dtypes == ("float32",)
    assert "int8" in find_device("t4").dtypes


def test_two_devices_of_one_name_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('name = "x"\nkind = "gpu"\ngpu.peak.float32 = "1 TFLOP/s"\n', encoding="utf-8")
    with pytest.raises(InputError, match="the device 'x' is defined twice"):
        find_device("x", [path, path])
