"""A language model as terminal text, CSV and Markdown: prefill and decode side by side, cache, memory, and speed on devices."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from onnxcost.generation.language import LanguageCost
from onnxcost.generation.phases import Phase
from onnxcost.generation.speeds import Speed
from onnxcost.render.escaping import markdown, plain
from onnxcost.render.formats import (
    Table,
    csv_text,
    heading_lines,
    join_blocks,
    label_of,
    model_facts,
    model_title,
    space_blocks,
    table_lines,
    table_markdown,
)
from onnxcost.render.layout import Column, Glyphs, Line, Screen, paragraph, spell_out, spell_out_all, wrap_pieces
from onnxcost.render.units import binary, exact, ratio, si
from onnxcost.render.verdict import interval_text, latency_text, rough_text
from onnxcost.results import group_by

PhaseText = Callable[[Phase, Glyphs], str]
ROWS: Sequence[tuple[str, PhaseText]] = (
    ("New tokens", lambda phase, glyphs: exact(phase.sizes.new)),
    ("In the cache", lambda phase, glyphs: exact(phase.sizes.past)),
    ("MACs", lambda phase, glyphs: glyphs.bound(phase.report.bound) + si(phase.report.macs)),
    ("FLOPs", lambda phase, glyphs: glyphs.bound(phase.report.bound) + si(phase.report.flops)),
    ("Weights read", lambda phase, glyphs: binary(phase.weight_bytes_read)),
    ("KV cache read", lambda phase, glyphs: binary(phase.kv_bytes_read)),
    ("KV cache written", lambda phase, glyphs: binary(phase.kv_bytes_written)),
    ("States read, written", lambda phase, glyphs: binary(phase.state_bytes)),
    (
        "Peak activations",
        lambda phase, glyphs: "not known" if (peak := phase.report.memory.peak_activation_bytes) is None else binary(peak),
    ),
    ("FLOPs per byte", lambda phase, glyphs: glyphs.none if phase.intensity is None else ratio(phase.intensity)),
)
"""Rows of the table of phases; the row of states only if there are any."""


def phase_table(found: LanguageCost, glyphs: Glyphs) -> Table:
    """A column for each phase, for all sequences together."""
    columns = (Column("", right=False, style="label"), *(Column(phase.name.capitalize()) for phase in found.phases))
    shown = [row for row in ROWS if not row[0].startswith("States") or found.kv_bytes.state]
    return Table(columns, [(title, *(text(phase, glyphs) for phase in found.phases)) for title, text in shown])


def facts(found: LanguageCost) -> list[tuple[str, list[str]]]:
    """What is the same in both phases, by label: the cache of one sequence, parameters, memory, and what fits into it."""
    own, need, sizes = found.kv_bytes, found.memory, found.decode.sizes
    cache = []
    if own.token:
        cache += [f"{binary(own.token)} per token", f"{binary(own.held(sizes.total))} at {exact(sizes.total)}", *_layout(found)]
    if own.source:
        cache.append(f"{binary(own.source * sizes.source)} for {exact(sizes.source)} positions of the encoder")
    if own.state:
        cache.append(f"{binary(own.state)} of state, independent of the sequence length")
    active = "" if found.active_parameters == found.parameters else f"{si(found.active_parameters)} active per token"
    parts = {"weights": need.weights, "cache": need.cache, "a copy of it": need.copied, "activations": need.activations}
    at = f"{binary(need.total)} at batch {exact(sizes.batch)} and {exact(sizes.total)} tokens"
    listed = [
        ("Cache", cache),
        ("Parameters", [piece for piece in (si(found.parameters), active) if piece]),
        ("Memory", [f"{at}: " + " + ".join(f"{name} {binary(size)}" for name, size in parts.items() if size)]),
    ]
    if found.available is not None:
        context = f"{exact(found.most_context or 0)} tokens at batch {exact(sizes.batch)}"
        batch = f"batch {exact(found.most_batch or 0)} at {exact(sizes.total)} tokens"
        listed.append((f"In {binary(found.available)}", [context, batch]))
    return listed


def _layout(found: LanguageCost) -> list[str]:
    """``16 layers × 2 × 8 × 64 × float32`` if all layers are alike; the windows if some slide."""
    pairs = [cache for cache in found.decoder.caches if len(cache.axes) == 1 and cache.kind == "kv"]
    # The dims of a position of one sequence: heads, and elements of each.
    sizes_of = {
        cache: tuple(size for axis, size in enumerate(cache.held.shape) if axis not in (0, *cache.axes)) for cache in pairs
    }
    groups = group_by(pairs, lambda cache: (cache.held.dtype, sizes_of[cache]))
    texts = []
    if len(groups) == 1 and (key := next(iter(groups)))[1]:
        dtype, sizes = key
        texts.append(f"{len(pairs)} tensors of {' × '.join(map(str, sizes))} × {dtype}")
    windows = sorted({cache.window for cache in pairs if cache.window})
    return texts + [f"a window of {exact(window)} in some layers" for window in windows]


SPEED_COLUMNS = (
    Column("Device", right=False, style="name", shrinks_to=12),
    Column("Batch"),
    Column("First token"),
    Column("Tokens/s each"),
    Column("at most", drop=3),
    Column("In total", drop=1),
    Column("Limit", right=False, drop=2),
)


def speed_table(speeds: Sequence[Speed], glyphs: Glyphs) -> Table:
    """A row for each device and batch."""
    rows = []
    for speed in speeds:
        most = glyphs.none if not speed.step_bound else rough_text(1 / speed.step_bound)
        first = glyphs.none if speed.ttft is None else latency_text(speed.ttft)
        limit = f"not known: {', '.join(speed.missing)}" if speed.missing else speed.limit
        rates = (
            interval_text(speed.tokens_per_second, none=glyphs.none),
            most,
            interval_text(speed.throughput, none=glyphs.none),
        )
        rows.append((speed.device, exact(speed.batch), spell_out(first, glyphs), *rates, limit))
    return Table(SPEED_COLUMNS, [tuple(spell_out(cell, glyphs) for cell in row) for row in rows])


def llm_lines(found: LanguageCost, screen: Screen) -> list[Line]:
    """The model, its phases, its cache and memory, and its speed on the requested devices."""
    graph, glyphs = found.decode.report.graph, screen.glyphs
    about = f" {glyphs.dot} ".join(fact for fact in model_facts(graph) if fact != graph.name)
    blocks: list[list[Line]] = [
        heading_lines(plain(model_title(graph)), plain(about), screen.width),
        table_lines(phase_table(found, glyphs), screen),
        [line for label, pieces in facts(found) for line in wrap_pieces(label_of(label), pieces, ", ", screen.width)],
        table_lines(speed_table(found.speeds, glyphs), screen),
        [line for note in found.notes for line in paragraph(f"{note[0].upper()}{note[1:]}.", screen.width)],
    ]
    return spell_out_all(space_blocks(blocks), glyphs)


def llm_csv(found: LanguageCost) -> str:
    """A line for each phase, in base units."""
    rows = found.to_records()
    return csv_text(list(rows[0]), [list(row.values()) for row in rows])


def llm_markdown(found: LanguageCost) -> str:
    """What the terminal shows."""
    from onnxcost.render.layout import UNICODE

    graph = found.decode.report.graph
    return join_blocks(
        [
            [f"## {markdown(model_title(graph))}"],
            table_markdown(phase_table(found, UNICODE)),
            [f"- {label}: {markdown(', '.join(pieces))}" for label, pieces in facts(found)],
            table_markdown(speed_table(found.speeds, UNICODE)) if found.speeds else [],
            [f"- {markdown(note)}" for note in found.notes],
        ]
    )
