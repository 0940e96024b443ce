"""A decoder's run as terminal text, Markdown and CSV: the time to the first token, and tokens per second by context."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import zip_longest
from typing import NamedTuple

from onnxcost.generation.run import GenerationRun, Turn
from onnxcost.generation.speeds import Speed
from onnxcost.hardware.prediction import Interval
from onnxcost.latency import Latency
from onnxcost.render.escaping import markdown, plain
from onnxcost.render.formats import (
    Table,
    TableField,
    build_table,
    csv_text,
    heading_lines,
    join_blocks,
    label_of,
    space_blocks,
    table_lines,
    table_markdown,
)
from onnxcost.render.layout import UNICODE, Column, Glyphs, Line, Screen, spell_out, wrap_pieces
from onnxcost.render.units import binary, exact, plural, ratio, seconds
from onnxcost.render.verdict import interval_text, latency_text


class TurnRow(NamedTuple):
    """A turn and the prediction for it, None if there is none."""

    turn: Turn
    predicted: Speed | None = None


class RunContext(NamedTuple):
    """What the cells of a table need in addition to their row."""

    batch: int
    glyphs: Glyphs


Field = TableField[TurnRow, RunContext]


def _time(latency: Latency | None, statistic: str, glyphs: Glyphs) -> str:
    return glyphs.none if latency is None else spell_out(seconds(getattr(latency, statistic)), glyphs)


def _span(span: Interval | None, write: Callable[[Interval], str], glyphs: Glyphs) -> str:
    return glyphs.none if span is None else spell_out(write(span), glyphs)


CONTEXT: Field = (Column("Context", style="name"), lambda row, _: exact(row.turn.context))
FIRST: Field = (Column("First token"), lambda row, of: _time(row.turn.ttft, "median", of.glyphs))
PREDICTED_FIRST: Field = (
    Column("Predicted", drop=2),
    lambda row, of: _span(row.predicted and row.predicted.ttft, latency_text, of.glyphs),
)
TOKENS: tuple[Field, ...] = (
    (Column("Per token", style="number"), lambda row, of: _time(row.turn.per_token, "median", of.glyphs)),
    (Column("p95", drop=3), lambda row, of: _time(row.turn.per_token, "p95", of.glyphs)),
    (
        Column("Tokens/s"),
        lambda row, of: of.glyphs.none if (speed := row.turn.tokens_per_second(of.batch)) is None else ratio(speed),
    ),
)
PREDICTED: Field = (
    Column("Predicted", drop=1),
    lambda row, of: _span(row.predicted and row.predicted.throughput, interval_text, of.glyphs),
)
COUNTED: Field = (Column("Tokens", drop=4), lambda row, _: exact(len(row.turn.tokens)))


def run_table(run: GenerationRun, glyphs: Glyphs, predicted: Sequence[Speed] = ()) -> Table:
    """A row for each context, with the prediction for it."""
    rows = [TurnRow(turn, speed) for turn, speed in zip_longest(run.turns, predicted[: len(run.turns)])]
    has_prompt, is_predicted = any(turn.ttft for turn in run.turns), bool(predicted)
    first = [FIRST, *([PREDICTED_FIRST] if is_predicted else [])] if has_prompt else []
    fields = [CONTEXT, *first, *TOKENS, *([PREDICTED] if is_predicted else []), COUNTED]
    return build_table(fields, rows, RunContext(run.batch, glyphs))


def _facts(run: GenerationRun) -> list[str]:
    memory = f"{binary(run.device.memory_bytes)} memory" if run.device.memory_bytes else ""
    driver = f"driver {run.device.driver}" if run.device.driver else ""
    known = (run.settings.provider, run.device.name, memory, driver, f"onnxruntime {run.environment.onnxruntime}")
    return [fact for fact in known if fact]


def _details(run: GenerationRun, predicted: Sequence[Speed]) -> list[tuple[str, list[str]]]:
    """How it was run, by label."""
    prompts = [plural(len(turn.prompts), "prompt") + f" of {exact(turn.context)}" for turn in run.turns if len(turn.prompts)]
    synthetic = [exact(turn.context) for turn in run.turns if turn.ttft is None]
    runs = [
        *prompts,
        *([f"synthetic cache at {' and '.join(synthetic)}"] if synthetic else []),
        f"batch {exact(run.batch)}",
        *(["interrupted"] if run.interrupted else []),
    ]
    made = "weights" if run.weights != "stored" else ""
    peak = run.memory.peak_rss_bytes
    basis = next((f"{speed.step.basis} for {speed.device}" for speed in predicted if speed.step is not None), "")
    return [
        *([("Predicted", [basis])] if basis else []),
        ("Threads", [f"{run.threads[0]} intra-op", f"{run.threads[1]} inter-op"]),
        ("Runs", runs),
        ("Cache", ["past and present share a buffer" if run.shares_buffer else "passed from step to step"]),
        ("Synthetic", [piece for piece in ("tokens", made) if piece]),
        ("Memory", ["not known" if peak is None else f"process peak {binary(peak)}"]),
    ]


def run_lines(run: GenerationRun, screen: Screen, predicted: Sequence[Speed] = ()) -> list[Line]:
    """What ran the model, the table of contexts, and how it was run."""
    heading = heading_lines("Measured", plain(f" {screen.glyphs.dot} ".join(_facts(run))), screen.width)
    details = [
        line for label, pieces in _details(run, predicted) for line in wrap_pieces(label_of(label), pieces, ", ", screen.width)
    ]
    return space_blocks([heading + table_lines(run_table(run, screen.glyphs, predicted), screen), details])


def run_markdown(run: GenerationRun, predicted: Sequence[Speed] = ()) -> str:
    """The same as Markdown."""
    lines = [f"- {label}: {markdown(', '.join(pieces))}" for label, pieces in _details(run, predicted)]
    return join_blocks(
        [["### Measured"], [markdown(" · ".join(_facts(run)))], table_markdown(run_table(run, UNICODE, predicted)), lines]
    )


def run_csv(run: GenerationRun) -> str:
    """A line for each context, in base units."""
    rows: Sequence[dict[str, object]] = run.to_records()
    header = ("context", "ttft", "time_per_token", "time_per_token_p95", "tokens_per_second", "tokens")
    return csv_text(header, ([row[name] for name in header] for row in rows))
