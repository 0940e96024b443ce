"""The processor of a published figure, with rates from the catalog, from devices.toml, or from the folder's table of assumed
peaks.
"""

from __future__ import annotations

import csv
import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from onnxcost.hardware.backends import BACKENDS, NPU, PeakRates, isa_of, rates_of
from onnxcost.hardware.catalogue import catalogue
from scripts.evidence.figures import Figure

HERE = Path(__file__).resolve().parent
X86 = ("Intel", "AMD", "AWS c5", "Hyper-V", "MacBook Pro (15", "D64s v6", "D64as v7", "Celeron", "Xeon")
"""Parts of the names of devices with x86 cores."""
ISAS = ("arm", "x86")


class Processor(NamedTuple):
    """The rates of a figure, in the type in which it was computed, and the instructions of a CPU."""

    rates: PeakRates
    isa: str


def processor_of(figure: Figure, evidence: Path) -> Processor | None:
    """The processor; None if the rates are unknown, or if the CPU is neither Arm nor x86."""
    backend = BACKENDS[figure.runtime]
    narrow = backend.narrower.get(figure.dtype, figure.dtype)
    if backend.part == "npu":
        return Processor(NPU._replace(dtype=narrow), "")
    device = catalogue().get(figure.catalogue)
    if device and backend.part in device.parts and (rates := rates_of(device, figure.runtime, figure.dtype)):
        return Processor(rates, isa_of(device, backend.part))
    isa = ("x86" if any(part in figure.device for part in X86) else "arm") if backend.part == "cpu" else ""
    for own in own_devices():
        if figure.device.startswith(own["name"]) and own["unit"] == backend.part:
            dtype = narrow if narrow in own else figure.dtype
            return Processor(PeakRates(own.get(dtype, own["float32"]), own["bandwidth"], dtype), isa)
    board = next((row for row in assumed(evidence) if row["heading_contains"] in figure.device), None)
    if backend.part != "cpu" or board is None or board["isa"] not in ISAS:
        return None
    factors = {"float16": float(board["float16_factor"]), "int8": float(board["int8_factor"])}
    is_narrow = narrow != figure.dtype and board["isa"] == "arm" and factors.get(narrow, 1.0) > 1
    dtype = narrow if is_narrow else figure.dtype
    peak = factors.get(dtype, 1.0) * _peak(board, figure.threads)
    return Processor(PeakRates(peak, 1e9 * float(board["bandwidth_gb_s"]), dtype), board["isa"])


@cache
def own_devices() -> tuple[Mapping[str, Any], ...]:
    return tuple(tomllib.loads((HERE / "devices.toml").read_text())["device"])


@cache
def assumed(evidence: Path) -> tuple[Mapping[str, str], ...]:
    with (evidence / "peaks-assumed.csv").open() as stream:
        return tuple(csv.DictReader(stream))


def _peak(board: Mapping[str, str], threads: int) -> float:
    """The float32 rate of the fastest cores, as many as there are threads (0: all)."""
    cores: list[float] = []
    for cluster in board["clusters"].split(" + "):
        count, clock, flops = (float(part.split()[0]) for part in cluster.split(" x "))
        cores += [1e9 * clock * flops] * int(count)
    return sum(sorted(cores, reverse=True)[: threads or None])
