"""What there is to say of compared models in words, in whatever format."""

from __future__ import annotations

from typing import NamedTuple

from onnxcost.comparison.candidates import Candidate, Comparison
from onnxcost.render.glyphs import Glyphs, spelled


class TextRow(NamedTuple):
    """A row in words rather than numbers: a text for each model."""

    title: str
    texts: list[str]


def text_rows(comparison: Comparison, glyphs: Glyphs) -> list[TextRow]:
    """What there is to say in words: the inputs, the ratio of the latencies, the Pareto front."""
    models = comparison.candidates
    rows = [TextRow("Input", [input_text(model, glyphs) for model in models])]
    if any(model.ratio for model in models):
        rows.append(TextRow("Ratio", [ratio_text(model, glyphs) for model in models]))
    if comparison.pareto:
        front = comparison.front()
        rows.append(TextRow("Pareto", ["unbeaten" if model.label in front else "" for model in models]))
    return rows


def input_text(model: Candidate, glyphs: Glyphs) -> str:
    """The shape of the first input, and how many more there are."""
    more = f" +{len(model.inputs) - 1}" if len(model.inputs) > 1 else ""
    return spelled((model.inputs[0] or "scalar") + more, glyphs) if model.inputs else glyphs.none


def ratio_text(model: Candidate, glyphs: Glyphs) -> str:
    """The latency's ratio to the first model's, and its confidence interval."""
    if model.ratio is None:
        return ""
    value, interval = model.ratio
    return spelled(f"{value:.3f}×" + (" ({:.3f}–{:.3f})".format(*interval) if interval else ""), glyphs)


def remarks(comparison: Comparison) -> list[str]:
    """Sentences on the latencies that are not seen to differ from the first one's, and those of another time."""
    first = comparison.baseline.label
    found = {
        f"No difference seen in latency from {first}": [model.label for model in comparison.others if model.is_undecided],
        f"Measured at another time than {first}": comparison.apart,
    }
    return [f"{what}: {', '.join(labels)}" for what, labels in found.items() if labels]


def failures(comparison: Comparison) -> list[str]:
    """Sentences on what could not be compared or measured."""
    unmeasured: dict[str, list[str]] = {}
    for model in comparison.candidates:
        if model.unmeasured:
            unmeasured.setdefault(model.unmeasured, []).append(model.label)
    return [
        *(f"Not compared: {broken.text}" for broken in comparison.broken),
        *(f"Not measured: {', '.join(labels)}: {reason}" for reason, labels in unmeasured.items()),
    ]
