"""Compare the bounds and estimates of devices in the catalog with published latencies, as a Markdown table.

    python -m scripts.published.latency [--device NAME]

Set-up: ``pip install .`` The figures, with their sources, are in latency.toml. "published / bound" says how far above the bound
a published time is: below 1, it would not be a bound. The shares of peak and bandwidth of the estimates
(onnxcost/hardware/efficiency.py) were chosen with most figures in view: only the held-out figures are evidence for others.
"""

from __future__ import annotations

import argparse
import sys
import tarfile
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import onnx
from onnx import TensorProto, numpy_helper

import onnxcost
from onnxcost.hardware.catalogue import find_device
from onnxcost.hardware.device import Device
from onnxcost.hardware.prediction import Prediction
from onnxcost.hardware.roofline import Roofline
from onnxcost.hardware.variants import retype_report
from onnxcost.render.units import seconds
from onnxcost.report import CostReport

ROOT = Path(__file__).resolve().parents[2]
PUBLISHED = tomllib.loads((ROOT / "scripts" / "published" / "latency.toml").read_text())
DATA = ROOT / "tests" / "data"
FLOATS = ("float32", "float64", "float16", "bfloat16")
HEADER = """\
| device | model | type | batch | published | bound | estimate | published / bound | in the range | source |
| --- | --- | --- | ---: | ---: | ---: | ---: | ---: | --- | --- |"""


class Compared(NamedTuple):
    """A published time of one inference, or of a batch's share of one, and ours, in seconds.

    ``padded`` is the bound with padding, if the benchmark allows runs without padding.
    """

    entry: Mapping[str, Any]
    published: float
    bound: float
    low: float | None
    high: float | None
    padded: float | None

    @property
    def ratio(self) -> float:
        return self.published / self.bound

    @property
    def is_inside(self) -> bool:
        return self.low is not None and self.high is not None and self.low <= self.published <= self.high

    @property
    def is_held_out(self) -> bool:
        """Whether it was looked up after the shares had been chosen."""
        return bool(self.entry.get("held_out"))

    @property
    def is_of_all_parts(self) -> bool:
        """Whether several parts of the device shared the work: the estimate is only for the fastest part."""
        return self.entry.get("parts") == "all"

    def __str__(self) -> str:
        entry = self.entry
        shape = "".join(f" {size}" for size in entry.get("dims", {}).values())
        estimate = f"{seconds(self.low)} – {seconds(self.high)}" if self.low is not None and self.high is not None else "–"
        where = "inside" if self.is_inside else "no estimate" if self.low is None else "faster"
        if self.high is not None and self.published > self.high:
            where = "slower"
        if self.is_of_all_parts:
            where = "all parts"
        cells = (
            entry["device"], entry["model"].rpartition(":")[2] + shape, entry["dtype"], str(entry["batch"]),
            f"{seconds(self.published)}{' a frame' if 'fps' in entry else ''}", seconds(self.bound),
            estimate, f"{self.ratio:.2f}", where,
            entry["source"] + ("" if entry["verified"] else ", unverified"),
        )  # fmt: skip
        return f"| {' | '.join(cells)} |"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device")
    wanted = parser.parse_args().device
    print(HEADER)
    rows = []
    for row in compared():
        if wanted in (None, row.entry["device"]):
            rows.append(row)
            print(row, flush=True)
    print("\n" + "\n\n".join(filter(None, (summary(rows), padding(rows), sources(rows)))))
    return 0


def compared() -> Iterator[Compared]:
    """All published figures with those of onnxcost."""
    for entry in PUBLISHED["result"]:
        prediction = predicted(entry, entry.get("dims", {}))
        share = entry["batch"] if "fps" in entry else 1
        published = 1 / entry["fps"] if "fps" in entry else entry["seconds"]
        low, high = (edge / share for edge in prediction.latency[:2]) if prediction.latency else (None, None)
        padded = least(predicted(entry, entry["padded"])) / share if "padded" in entry else None
        yield Compared(entry, published, least(prediction) / share, low, high, padded)


def predicted(entry: Mapping[str, Any], dims: Mapping[str, int]) -> Prediction:
    model = report(entry["model"], entry["batch"], tuple(dims.items()), entry["dtype"])
    return Roofline(_scaled(find_device(entry["device"]), entry.get("scale", 1.0))).predict(model)


def least(prediction: Prediction) -> float:
    """The bound, which each device here has."""
    assert prediction.bound is not None, prediction
    return prediction.bound


def _scaled(device: Device, factor: float) -> Device:
    """The device at another clock."""
    return replace(
        device,
        parts={
            kind: replace(
                part,
                peaks={
                    dtype: replace(peak, figure=replace(peak.figure, value=factor * peak.rate))
                    for dtype, peak in part.peaks.items()
                },
            )
            for kind, part in device.parts.items()
        },
    )


@cache
def report(name: str, batch: int, dims: tuple[tuple[str, int], ...], dtype: str) -> CostReport:
    """The model's cost in the type that it was run in."""
    made = onnxcost.estimate(with_batch(name), dims={**dict(dims), "batch": batch})
    return retype_report(made, {other: dtype for other in FLOATS if other != dtype}) if dtype != "float32" else made


@cache
def with_batch(name: str) -> bytes:
    """The model with an open batch: exporters fix that of image models, in inputs and in Reshapes."""
    model = onnx.load_from_string(_stored(name))
    graph = model.graph
    for value in (*graph.input, *graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    del graph.value_info[:]
    targets = {node.input[1] for node in graph.node if node.op_type in ("Reshape", "Expand")}
    for initializer in graph.initializer:
        if initializer.name in targets and initializer.data_type == TensorProto.INT64:
            values = numpy_helper.to_array(initializer).copy()
            if values.ndim == 1 and values.size > 1 and values[0] == 1 and -1 not in values:
                values[0] = -1
                initializer.CopyFrom(numpy_helper.from_array(values, initializer.name))
    return model.SerializeToString()


def _stored(name: str) -> bytes:
    """The skeleton: of models/, or of an archive in tests/data that stands before a colon."""
    source, _, stem = name.rpartition(":")
    if not source:
        return (ROOT / "models" / f"{stem}.onnx").read_bytes()
    with tarfile.open(DATA / f"{source}.tar.xz") as archive:
        member = archive.extractfile(f"{stem}.onnx")
        assert member is not None, name
        return bytes(member.read())


def summary(rows: list[Compared]) -> str:
    """How many figures are in each range."""
    alone = [row for row in rows if row.high is not None and not row.is_of_all_parts]
    inside = sum(row.is_inside for row in alone)
    held_out = [row for row in alone if row.is_held_out]
    below = [row for row in rows if row.ratio < 1]
    widths = sorted(row.high / row.low for row in rows if row.high is not None and row.low is not None)
    return (
        f"{inside} of {len(alone)} published figures lie in the range of the estimate, which is {widths[len(widths) // 2]:.1f} "
        f"times as high at its upper end as at its lower (median). Of the {len(held_out)} that were looked up after its shares "
        f"had been chosen, {sum(row.is_inside for row in held_out)} do. "
        f"Of all {len(rows)}, {len(below)} are faster than the bound."
    )


def padding(rows: list[Compared]) -> str:
    """The share of the bound for runs without padding; empty if there are none."""
    cut = [row for row in rows if row.padded is not None]
    faster = sum(row.padded is not None and row.published < row.padded for row in cut)
    mean, runs = (PUBLISHED["padding"][key]["url"] for key in ("mean", "runs"))
    text = (
        f"MLPerf's BERT has sequences of up to 384 tokens. NVIDIA's runs cut the padding off ({runs}): bound and estimate "
        f"of these {len(cut)} are those of 177 tokens, the mean of SQuAD v1.1 ({mean}). With 384 tokens in every sequence, "
        f"{faster} of them would be faster than the bound."
    )
    return text if cut else ""


def sources(rows: list[Compared]) -> str:
    """The documents."""
    named = {row.entry["source"] for row in rows}
    return "\n".join(
        f"- {name}: {PUBLISHED['sources'][name]['title']}, {PUBLISHED['sources'][name]['url']}" for name in sorted(named)
    )


if __name__ == "__main__":
    sys.exit(main())
