"""Compare MACs, flash and RAM with the reports of STM32Cube.AI and Arm's Vela for the same models, as Markdown tables.

    python -m scripts.published.memory [stm32 | vela]

Set-up: ``pip install .`` The figures, with their sources, are in memory.toml, those of Vela in vela.toml,
too. The models are rebuilt, in tests/data/published.tar.xz. Each cell is "theirs / ours = ratio". Ours are those of
``onnxcost budget``: the float model in the type that the device runs, its weights, its peak activations, and the code
and the memory of a runtime, whose size was fitted to the figures in the first table.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from onnxcost.hardware.catalogue import find_device
from onnxcost.hardware.memory_fit import fits_of
from onnxcost.hardware.roofline import Roofline
from onnxcost.render.units import seconds
from onnxcost.report import CostReport
from scripts.published.latency import ROOT, least, report

KI, M = 1024, 10**6
PUBLISHED = tomllib.loads((ROOT / "scripts" / "published" / "memory.toml").read_text())
VELA = tomllib.loads((ROOT / "scripts" / "published" / "vela.toml").read_text())
ST_HEADER = """\
| model | type | MACC, M | weights, KiB | code, KiB | activations, KiB | runtime's RAM, KiB | source |
| --- | --- | --- | --- | --- | --- | --- | --- |"""
VELA_HEADER = """\
| model | device | MACs, M | weights, KiB | flash, KiB | activations, KiB | time | bound | time / bound | source |
| --- | --- | --- | --- | --- | --- | ---: | ---: | ---: | --- |"""
CLOSE = 0.001


class Pair(NamedTuple):
    """A published figure and onnxcost's, in the same unit."""

    theirs: float | None
    ours: float

    @property
    def ratio(self) -> float | None:
        return None if self.theirs is None else self.theirs / self.ours

    def __str__(self) -> str:
        return "–" if self.theirs is None else f"{self.theirs:.5g} / {self.ours:.5g} = {self.ratio:.3f}"


class Stm32(NamedTuple):
    """A model of the STM32 AI model zoo: its flash holds weights and code, its RAM activations and what the runtime takes.
    ``likewise`` compares MACC with all operations that STM32Cube.AI counts.
    """

    entry: Mapping[str, Any]
    macc: Pair
    weights: Pair
    code: Pair
    activations: Pair
    runtime: Pair
    likewise: Pair

    def __str__(self) -> str:
        entry = self.entry
        cells = (self.macc, self.weights, self.code, self.activations, self.runtime, ", ".join(entry["sources"]))
        return f"| {entry['model']} | {entry['type']} | {' | '.join(map(str, cells))} |"


class Vela(NamedTuple):
    """A model and Vela's figures for it; ``time`` compares its seconds with the lower bound of the device."""

    entry: Mapping[str, Any]
    macs: Pair
    weights: Pair
    flash: Pair
    sram: Pair
    time: Pair

    def __str__(self) -> str:
        times = ("–", "–", "–")
        if self.time.theirs is not None:
            times = (seconds(self.time.theirs), seconds(self.time.ours), f"{self.time.ratio:.2f}")
        cells = (self.macs, self.weights, self.flash, self.sram, *times, self.entry["source"])
        return f"| {self.entry['model'].rpartition(':')[2]} | {self.entry['device']} | {' | '.join(map(str, cells))} |"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("table", nargs="?", choices=("stm32", "vela"), help="default: both")
    wanted = parser.parse_args().table
    parts = [part() for name, part in (("stm32", stm32_table), ("vela", vela_table)) if wanted in (None, name)]
    print("\n\n".join(parts))
    return 0


def needs(device: str, model: CostReport) -> Mapping[str, float]:
    """KiB that the model needs of the device, by purpose."""
    fits = fits_of(Roofline(find_device(device)), model)
    return {name: size / KI for fit in fits for name, size in fit.parts.items()}


def stm32_rows() -> list[Stm32]:
    return [stm32_row(entry) for entry in PUBLISHED["stm32"]["result"]]


def stm32_row(entry: Mapping[str, Any]) -> Stm32:
    model = report(f"published:{entry['model']}", 1, (), entry["type"])
    ours = needs("stm32h743", model)
    macc = entry.get("macc")
    memory = (Pair(entry.get(name), ours[name]) for name in ("weights", "code", "activations", "runtime"))
    return Stm32(entry, Pair(macc, model.macs / M), *memory, Pair(macc, (model.macs + besides(model, entry)) / M))


def biases(model: CostReport) -> int:
    """Elements of the constants that are added to convolutions and products."""
    inputs = (tensor for cost in model.counted if cost.node.op_type in ("Conv", "Add") for tensor in cost.node.inputs)
    return sum({t.name: t.size for t in inputs if t is not None and t.is_constant and len(t.shape) == 1}.values())


def besides(model: CostReport, entry: Mapping[str, Any]) -> int:
    """What STM32Cube.AI counts besides MACs: two for each element of an input in uint8, one for each element under a pool's
    window, of a sum, product or LeakyRelu that is not fused, and of a bias, and 15 for each one of a softmax.
    """
    total = biases(model)
    if entry.get("input") is None:
        total += 2 * sum(tensor.size for tensor in model.graph.inputs)
    for node in (cost.node for cost in model.counted):
        match node.op_type:
            case "MaxPool" | "AveragePool":
                total += node.out.size * math.prod(node.attributes["kernel_shape"])
            case "GlobalAveragePool":
                total += node.x.size
            case "LeakyRelu":
                total += node.out.size
            case "Add" | "Mul" if not any(tensor is not None and tensor.is_constant for tensor in node.inputs):
                total += node.out.size
            case "Softmax":
                total += 15 * node.out.size
    return total


def stm32_table() -> str:
    rows = stm32_rows()
    names = {"macc": "MACC to MACs", **{name: name for name in ("weights", "code", "activations", "runtime")}}
    whole = [row for row in rows if row.entry["type"] == "int8"]
    weights, macc = close(row.weights for row in whole), close(row.likewise for row in whole)
    text = (
        f"{spreads(rows, names)} Of those in int8, weights are within 0.1 % of ours for {weights}; MACC, with all that "
        f"STM32Cube.AI counts besides (pools, sums, biases, the input's conversion), for {macc}."
    )
    cited = {name for row in rows for name in row.entry["sources"]}
    return "\n".join([ST_HEADER, *map(str, rows), "", text, "", sources(cited)])


def vela_rows() -> list[Vela]:
    own = [
        entry | {"model": f"published:{entry['model']}", "device": VELA["device"], "source": "vela520"}
        for entry in VELA["result"]
    ]
    return [vela_row(entry) for entry in (*PUBLISHED["vela"]["result"], *own)]


def vela_row(entry: Mapping[str, Any]) -> Vela:
    device = find_device(entry["device"])
    model = report(entry["model"], 1, (), "int8")
    ours = needs(device.name, model)
    macs, cycles = entry.get("macs"), entry.get("cycles")
    clock = device.parts["npu"].clock
    assert clock is not None, device.name
    return Vela(
        entry,
        Pair(None if macs is None else macs / M, model.macs / M),
        Pair(entry.get("weights"), ours["weights"]),
        Pair(entry.get("flash"), ours["weights"]),
        Pair(entry.get("sram"), ours["activations"]),
        Pair(None if cycles is None else cycles / clock.value, least(Roofline(device).predict(model))),
    )


def vela_table() -> str:
    rows = vela_rows()
    names = {"macs": "MACs", "weights": "weights", "flash": "flash to weights", "sram": "activations", "time": "time to bound"}
    text = (
        f"{spreads(rows, names)} Vela's SRAM holds weights on their way from flash, too. Times are at "
        f"{VELA['clock'] / M:.0f} MHz: those of mlek are cycles of Arm's Fast Model, those of vela520 are Vela's own estimate."
    )
    return "\n".join([VELA_HEADER, *map(str, rows), "", text, "", sources({row.entry["source"] for row in rows})])


def spreads(rows: Sequence[Stm32 | Vela], names: Mapping[str, str]) -> str:
    """How the ratios of each of the named fields lie."""
    found = []
    for field, name in names.items():
        ratios = [ratio for row in rows if (ratio := getattr(row, field).ratio) is not None]
        found.append(f"{name} {statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})")
    return f"Theirs to ours, median (least to most): {'; '.join(found)}."


def close(pairs: Iterable[Pair]) -> str:
    ratios = [pair.ratio for pair in pairs if pair.ratio is not None]
    return f"{sum(abs(ratio - 1) <= CLOSE for ratio in ratios)} of {len(ratios)}"


def sources(names: Iterable[str]) -> str:
    """The documents."""
    return "\n".join(
        f"- {name}: {PUBLISHED['sources'][name]['title']}, {PUBLISHED['sources'][name]['url']}" for name in sorted(names)
    )


if __name__ == "__main__":
    sys.exit(main())
