"""Bounds and estimates of ``onnxcost llm`` compared with published speeds of decoding, as a Markdown table.

    python -m scripts.published.decoding

Set-up: ``pip install .`` The published figures and their sources are in decoding.toml; the models are laid out by their sizes.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from onnxcost.generation.decoder import StepSizes, read_decoder
from onnxcost.generation.phases import DECODE, Phase, count_phase
from onnxcost.generation.speeds import Speed, predict_speed
from onnxcost.hardware.budget import predictors
from onnxcost.spec import ModelSpec
from scripts.export.decoder_layouts import LAYOUTS, build

TABLE: dict[str, Any] = tomllib.loads(Path(__file__).with_suffix(".toml").read_text())


class Published(NamedTuple):
    """A published speed in tokens per second, and its source."""

    model: str
    bits: int
    size: float | None
    context: int
    device: str
    rate: float
    source: str


def published() -> Iterator[Published]:
    """Every entry of the table."""
    for entry in TABLE["speeds"]:
        for device, rate in entry["rates"].items():
            size = entry.get("size")
            yield Published(entry["model"], entry["bits"], size, entry["context"], device, rate, entry["source"])


@cache
def decode_of(model: str, bits: int, size: float | None, context: int) -> Phase:
    """A decode step; of a file of another ``size`` in GiB the embedding is not read, as of any."""
    layout = LAYOUTS[model]
    spec = ModelSpec(build(layout, bits).SerializeToString())
    phase = count_phase(read_decoder(spec), spec, DECODE, StepSizes(1, 1, context - 1))
    if size is None:
        return phase
    share = 1 - layout.vocabulary * layout.width / phase.report.parameters
    return replace(phase, weight_bytes_read=round(size * 2**30 * share))


def speed_of(each: Published) -> Speed:
    """The predicted speed of an entry."""
    (predictor,) = predictors([each.device])
    return predict_speed(predictor, None, decode_of(each.model, each.bits, each.size, each.context))


def main() -> None:
    """Print the table."""
    print(
        "| model | bits | device | published | estimate | at most | source |\n| --- | ---: | --- | ---: | ---: | ---: | --- |"
    )
    for each in published():
        speed = speed_of(each)
        span, most = speed.tokens_per_second, 1 / (speed.step_bound or 1)
        assert span is not None
        source = TABLE["sources"][each.source]
        cells = (each.model, each.bits, each.device, f"{each.rate:g}", f"{span.low:.3g}–{span.high:.3g}", f"{most:.3g}")
        print(f"| {' | '.join(map(str, cells))} | [{each.source}]({source['url']}) |")


if __name__ == "__main__":
    main()
