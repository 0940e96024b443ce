"""A decoder's run as terminal text, Markdown and CSV: the time to the first token, and tokens per second by context."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from onnxcost.generation.run import GenerationRun, Turn
from onnxcost.measurement import Latency
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


class RunContext(NamedTuple):
    """What a cell needs to know besides its turn."""

    batch: int
    glyphs: Glyphs


def _time(latency: Latency | None, statistic: str, glyphs: Glyphs) -> str:
    return glyphs.none if latency is None else spell_out(seconds(getattr(latency, statistic)), glyphs)


def _prompt_rate(turn: Turn, of: RunContext) -> str:
    return ratio(of.batch * turn.context / turn.ttft.median) if turn.ttft else of.glyphs.none


FIELDS: tuple[TableField[Turn, RunContext], ...] = (
    (Column("Context", style="name"), lambda turn, _: exact(turn.context)),
    (Column("First token"), lambda turn, of: _time(turn.ttft, "median", of.glyphs)),
    (Column("Prompt tokens/s", drop=2), _prompt_rate),
    (Column("Per token", style="number"), lambda turn, of: _time(turn.per_token, "median", of.glyphs)),
    (Column("p95", drop=1), lambda turn, of: _time(turn.per_token, "p95", of.glyphs)),
    (Column("Tokens/s"), lambda turn, of: ratio(speed) if (speed := turn.tokens_per_second(of.batch)) else of.glyphs.none),
    (Column("Tokens", drop=3), lambda turn, _: exact(len(turn.tokens))),
)


def run_table(run: GenerationRun, glyphs: Glyphs) -> Table:
    """A row for each context."""
    return build_table(FIELDS, run.turns, RunContext(run.batch, glyphs))


def _facts(run: GenerationRun) -> list[str]:
    memory = f"{binary(run.device.memory_bytes)} memory" if run.device.memory_bytes else ""
    driver = f"driver {run.device.driver}" if run.device.driver else ""
    known = (run.settings.provider, run.device.name, memory, driver, f"onnxruntime {run.environment.onnxruntime}")
    return [fact for fact in known if fact]


def _details(run: GenerationRun) -> list[tuple[str, list[str]]]:
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
    return [
        ("Threads", [f"{run.threads[0]} intra-op", f"{run.threads[1]} inter-op"]),
        ("Runs", runs),
        ("Cache", ["past and present share a buffer" if run.shares_buffer else "handed from step to step"]),
        ("Synthetic", [piece for piece in ("tokens", made) if piece]),
        ("Memory", ["not known" if peak is None else f"{binary(peak)} at the peak of the process"]),
    ]


def run_lines(run: GenerationRun, screen: Screen) -> list[Line]:
    """What ran the model, the table of contexts, and how it was run."""
    heading = heading_lines("Measured", plain(f" {screen.glyphs.dot} ".join(_facts(run))), screen.width)
    details = [line for label, pieces in _details(run) for line in wrap_pieces(label_of(label), pieces, ", ", screen.width)]
    return space_blocks([heading + table_lines(run_table(run, screen.glyphs), screen), details])


def run_markdown(run: GenerationRun) -> str:
    """The same as Markdown."""
    lines = [f"- {label}: {markdown(', '.join(pieces))}" for label, pieces in _details(run)]
    return join_blocks([["### Measured"], [markdown(" · ".join(_facts(run)))], table_markdown(run_table(run, UNICODE)), lines])


def run_csv(run: GenerationRun) -> str:
    """A line for each context, in base units."""
    rows: Sequence[dict[str, object]] = run.to_records()
    header = ("context", "ttft", "time_per_token", "time_per_token_p95", "tokens_per_second", "tokens")
    return csv_text(header, ([row[name] for name in header] for row in rows))
