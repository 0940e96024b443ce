"""The first screen: what a model costs and how fast it is, in 24 lines of 80 columns, and one line that sums it up."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import accumulate, zip_longest
from typing import TYPE_CHECKING

from onnxcost.costs import Counted, Group
from onnxcost.render.escaping import plain
from onnxcost.render.formats import (
    LABEL_WIDTH,
    Table,
    build_table,
    dim_texts,
    heading_lines,
    label_of,
    model_facts,
    model_title,
    space_blocks,
    table_lines,
)
from onnxcost.render.layout import (
    GAP,
    INDENT,
    LEAST_NAME,
    Column,
    Line,
    Screen,
    crop,
    pad,
    spell_out,
    text_width,
    wrap,
    wrap_pieces,
)
from onnxcost.render.measurement import achieved_text, interval_text, throughput_pair
from onnxcost.render.report import describe_uncounted, reasons, summary_entries
from onnxcost.render.tables import (
    COUNT,
    FLOPS_,
    SHARE,
    TRAFFIC,
    Field,
    ReportContext,
    View,
    group_row,
    node_label,
    title_fields,
)
from onnxcost.render.units import align_units, binary, count_text, exact, plural, seconds, shape, si, time_unit
from onnxcost.report import CostReport
from onnxcost.results import group_by

if TYPE_CHECKING:
    from onnxcost.generation.language import LanguageCost
    from onnxcost.generation.phases import Phase
    from onnxcost.measurement import Measurement

ROWS = 24
"""Rows of a terminal, including the one of the prompt."""
MEASURED_ROWS = 5
"""The lines of a measurement, including a blank one."""
MOST_KINDS = 5
MOST_PIECES = 20
LONGEST_NAME = 32
APART = 4
"""Columns between two pairs of label and number."""

Pair = tuple[str, str]
"""A label, and a number with its unit."""
LABELS = {"Activations": "Peak activation memory", "Traffic": "Memory traffic", "Intensity": "Arithmetic intensity"}


def overview_lines(report: CostReport, view: View, screen: Screen, language: LanguageCost | None = None) -> list[Line]:
    """Model, inputs, assumptions, totals, and the most expensive kinds of node, with blank lines between them if there is room.
    For a decoder, prefill and decode replace some of the kinds.
    """
    decoder = _decoder_lines(language, screen) if language is not None else []
    blocks = [
        _header(report, screen),
        [*_pair_lines(*_totals(report, view, screen), screen), *_uncounted(report, screen)],
        decoder,
        table_lines(kind_table(report, view, screen, MOST_KINDS - len(decoder)), screen),
    ]
    if decoder and not _leaves_room(blocks):
        blocks[1:3] = [[*blocks[1], *decoder]]
    return space_blocks(blocks) if _leaves_room(blocks) else [line for block in blocks for line in block]


def _leaves_room(blocks: Sequence[Sequence[Line]]) -> bool:
    """Whether a measurement, a note, the verdict and the prompt fit below the blocks with blank lines between them."""
    blocks = [block for block in blocks if block]
    return sum(map(len, blocks)) + len(blocks) - 1 + MEASURED_ROWS + 3 <= ROWS


def _decoder_lines(language: LanguageCost, screen: Screen) -> list[Line]:
    """Prefill and decode in a line each, and the cache of a token."""
    own, decode = language.kv_bytes, language.decode
    texts = [(phase.name.capitalize(), _phase_text(phase)) for phase in language.phases]
    cache = f"{binary(own.token)} per token, {binary(own.held(decode.sizes.total))} at {exact(decode.sizes.total)}"
    states = f", {binary(own.state)} of state" if own.state else ""
    texts.append(("KV cache", f"{cache}{states}: see 'onnxcost llm'"))
    room = screen.width - LABEL_WIDTH - INDENT
    return [
        (*label_of(label), (crop(spell_out(text, screen.glyphs), room, screen.glyphs.ellipsis), "")) for label, text in texts
    ]


def _phase_text(phase: Phase) -> str:
    sizes = phase.sizes
    which = f"at {exact(sizes.total)}" if sizes.past else plural(sizes.new, "token")
    read = f"{binary(phase.weight_bytes_read)}" + (
        f" + {binary(phase.kv_bytes_read)} of cache" if sizes.past else " of weights"
    )
    return f"{which}: {count_text(phase.report.macs, 'MACs')}, reads {read}"


def _header(report: CostReport, screen: Screen) -> list[Line]:
    graph, glyphs = report.graph, screen.glyphs
    title = crop(plain(model_title(graph)), screen.width, glyphs.ellipsis)
    facts = [plain(fact) for fact in model_facts(graph) if fact != graph.name]
    about = _first_that_fit(facts, f" {glyphs.dot} ", screen.width - text_width(title) - 2, screen)
    lines = heading_lines(title, about, screen.width)[:1]
    names = [crop(plain(tensor.name), LONGEST_NAME, glyphs.ellipsis) for tensor in graph.inputs]
    inputs = [f"{name} {each.dtype} {shape(each, glyphs.times)}" for name, each in zip(names, graph.inputs, strict=True)]
    lines += _few("Inputs" if len(inputs) > 1 else "Input", inputs, 2, screen)
    for label, source, most, style in (("Given", "given", 1, ""), ("Assumed", "assumed", 2, "caution")):
        lines += _few(label, [plain(piece) for piece in dim_texts(graph, source)], most, screen, style)
    return lines


def _first_that_fit(pieces: Sequence[str], separator: str, width: int, screen: Screen) -> str:
    """The first pieces that fit in the width; one that is too long is cut."""
    count = len(pieces)
    while count > 1 and text_width(separator.join(pieces[:count])) > width:
        count -= 1
    return crop(separator.join(pieces[:count]), max(width, 0), screen.glyphs.ellipsis, 1.0)


def _few(label: str, pieces: Sequence[str], most: int, screen: Screen, style: str = "") -> list[Line]:
    """The label and the pieces that fit in ``most`` lines, and how many more there are."""
    lines: list[Line] = []
    for count in range(min(len(pieces), MOST_PIECES), 0, -1):
        rest = [f"and {len(pieces) - count} more: -v"] if count < len(pieces) else []
        lines = wrap_pieces(label_of(label), [*pieces[:count], *rest], ", ", screen.width, style)
        if len(lines) <= most:
            break
    return lines[:most]


def _totals(report: CostReport, view: View, screen: Screen) -> tuple[list[Pair], list[Pair]]:
    """The numbers of the summary under their full names: computation and storage, then memory and traffic."""
    labels = LABELS | {view.convention.name: f"{view.convention.name} {view.convention.unit}"}
    pairs = []
    for entry in summary_entries(report, view, screen.glyphs):
        unit = "FLOP/byte" if entry.label == "Intensity" and report.intensity is not None else entry.unit
        pairs.append((labels.get(entry.label, entry.label), f"{entry.number} {unit}".rstrip()))
    pairs += [("Weights dequantized", f"{si(weights)} FLOPs")] if (weights := report.whole.work.dequantizations) else []
    stored = [label for label, _ in pairs].index("Weights") + 1
    return pairs[:stored], pairs[stored:]


def _pair_lines(left: Sequence[Pair], right: Sequence[Pair], screen: Screen) -> list[Line]:
    """Two columns of labels and numbers, one below the other if the width is insufficient for both."""
    sides = [_align(left, screen), _align(right, screen)]
    widths = [text_width("".join(side[0])) for side in sides]
    if INDENT + sum(widths) + APART > screen.width:
        return [_pair(pair, screen) for pair in _align([*left, *right], screen)]
    empty = [(" " * width, "") for width in widths]
    return [
        (*_pair(one, screen), (" " * APART, ""), *_pair(other, screen)[1:])
        for one, other in zip_longest(*sides, fillvalue=empty[0])
    ]


def _align(pairs: Sequence[Pair], screen: Screen) -> list[Pair]:
    """The pairs with aligned labels and aligned numbers."""
    wide = max(LABEL_WIDTH - INDENT, *(text_width(label) for label, _ in pairs))
    values = [spell_out(value, screen.glyphs) for value in align_units([value for _, value in pairs])]
    most = max(map(text_width, values))
    return [(pad(label, wide + GAP), pad(value, most)) for (label, _), value in zip(pairs, values, strict=True)]


def _pair(pair: Pair, screen: Screen) -> Line:
    label, value = pair
    room = max(screen.width - INDENT - text_width(value), LEAST_NAME)
    if text_width(label) > room:
        label = pad(crop(label.rstrip(), room - GAP, screen.glyphs.ellipsis), room)
    return ((" " * INDENT, ""), (label, "label"), (value, "number"))


def _uncounted(report: CostReport, screen: Screen) -> list[Line]:
    """How many nodes are not counted, and the first reason."""
    lines = describe_uncounted(report, screen.glyphs)
    if not lines:
        return []
    more = len(reasons(report)) - 1
    rest = f" (and {more} more: -v)" if more else ""
    room = max(screen.width - INDENT - len(rest), LEAST_NAME)
    first, reason = (crop(plain(line), room, screen.glyphs.ellipsis, 1.0) for line in lines[:2])
    return [((f"  {first}", "caution"),), ((f"  {reason}{rest}", ""),)]


def kind_table(report: CostReport, view: View, screen: Screen, count: int = MOST_KINDS) -> Table:
    """The most expensive kinds of node: those with the same operator, shapes and cost are one row, ``Conv ×6``."""
    kinds = group_kinds(report, view)
    most = sorted(kinds, key=lambda kind: -len(kind) * kind[0].count(view.convention))[:count]
    times = [sum(cost.node.repeat for cost in kind) for kind in most]
    labels = [
        kind[0].node.key + (f" {screen.glyphs.times}{exact(many)}" if many > 1 else "")
        for kind, many in zip(most, times, strict=True)
    ]
    rows = [
        replace(group_row(Group((), tuple(kind)), label, kind[0].node.op_type, view), cost=kind[0])
        for kind, label in zip(most, labels, strict=True)
    ]
    which = f"Top {len(rows)} of {exact(len(kinds))} kinds" if len(rows) < len(kinds) else "Kind of node"
    kind = (Column(which, right=False, style="name", shrinks_to=14), lambda row, _: row.label)
    fields = title_fields(view, [kind, OPERANDS, FLOPS_, COUNT, TRAFFIC, SHARE, EXAMPLE])
    return build_table(fields, rows, ReportContext(screen.glyphs, report.total(view.convention)))


def group_kinds(report: CostReport, view: View) -> list[list[Counted]]:
    """The counted nodes that do arithmetic, grouped by operator, shapes and cost; all nodes if none does any."""

    def key_of(pair: tuple[Counted, int]) -> tuple[object, ...]:
        cost, count = pair
        return (cost.node.key, *[tensor and tensor.dims for tensor in cost.node.inputs], cost.dtype, count)

    pairs = [(cost, cost.count(view.convention)) for cost in report.counted]
    alike = group_by([pair for pair in pairs if pair[1]] or pairs, key_of)
    return [[cost for cost, _ in kind] for kind in alike.values()]


OPERANDS: Field = (
    Column("Inputs", right=False, style="faint", shrinks_to=12, drop=3),
    lambda row, context: ", ".join(
        shape(tensor, context.glyphs.times) for tensor in (row.cost.node.inputs[:2] if row.cost else ()) if tensor is not None
    ),
)
"""The shapes of the first two inputs: the operands of a contraction."""
EXAMPLE: Field = (
    Column("Such as", right=False, style="faint", shrinks_to=24, drop=7),
    lambda row, _: node_label(row.cost) if row.cost else "",
)


def measured_lines(measurement: Measurement, screen: Screen, tokens: int = 0) -> list[Line]:
    """Latency with its interval, throughput, memory, and how the model was run; ``tokens`` are the new tokens of a decoder's
    sequence.
    """
    latency = measurement.latency
    unit = time_unit(latency.median)
    interval = f", 95 %: {interval_text(latency, unit)} {unit.unit}" if latency.median_ci95 else ""
    stop = " (interrupted)" if measurement.interrupted else ""
    device = measurement.device
    achieved, peak = measurement.flops_per_second, measurement.memory.peak_rss_bytes
    made = ["inputs"] if any(used.source.startswith("synthe") for used in measurement.inputs) else []
    made += ["weights"] if measurement.weights != "stored" else []
    synthetic = f", synthetic {' and '.join(made)}" if made else ""
    rows = [
        ("Latency", unit.text(latency.median), f"median of {plural(measurement.runs, 'run')}{stop}{interval}"),
        (*throughput_pair(measurement, tokens), _conditions(measurement)),
        (
            "Achieved",
            "unknown" if achieved is None else achieved_text(measurement, screen.glyphs),
            f"{measurement.settings.provider}, {device.name}",
        ),
        ("Peak memory", "unknown" if peak is None else binary(peak), f"of the process{synthetic}"),
    ]
    lines: list[Line] = []
    for (*_, note), pair in zip(rows, _align([(label, value) for label, value, _ in rows], screen), strict=True):
        line = _pair(pair, screen)
        room = screen.width - GAP - sum(text_width(text) for text, _ in line)
        text = _first_that_fit(spell_out(plain(note), screen.glyphs).split(", "), ", ", room, screen)
        lines.append((*line, (f"{' ' * GAP}{text}", "faint")) if text else line)
    return lines


def _conditions(measurement: Measurement) -> str:
    streams = measurement.settings.concurrency
    facts = [
        f"batch {measurement.batch}",
        *([f"{streams} streams"] if streams > 1 else []),
        plural(measurement.threads[0], "thread"),
        f"onnxruntime {measurement.environment.onnxruntime}",
    ]
    return ", ".join(facts)


def verdict_lines(report: CostReport, view: View, screen: Screen, measurement: Measurement | None = None) -> list[Line]:
    """The result in one line: the latency, else the counts, and the fewest nodes with half of the work."""
    if measurement:
        from onnxcost.generation.decoder import tokens_of_run  # only a measurement needs it

        pieces = [speed_text(measurement, tokens_of_run(report.graph))]
    else:
        name, unit = view.convention.name, view.convention.unit
        # What the convention counts, ``MACs``; with its name, ``FLOPs (torch)``, if that does not say it all.
        unit = unit if name in ("flops", "macs") else f"{unit} ({name})"
        count = screen.glyphs.bound(report.bound_of(view.convention)) + count_text(report.total(view.convention), unit)
        stored = "" if report.has_all_weights else screen.glyphs.at_least
        pieces = [f"{count}, {stored}{count_text(report.parameters, 'parameters')}"]
    counts = [cost.count(view.convention) for cost in report.counted] if report.complete else []
    pieces.append(concentration_text(counts, view.convention.unit, len(report.costs)))
    if measurement and measurement.flops_per_second:
        pieces.append(achieved_text(measurement, screen.glyphs))
    return sum_up(pieces, screen)


def sum_up(pieces: Sequence[str], screen: Screen) -> list[Line]:
    """The first pieces that fit in one line; if even the first one does not fit, it is wrapped."""
    kept = [piece for piece in pieces if piece]
    text = spell_out("; ".join(kept), screen.glyphs)
    while text_width(text) > screen.width and len(kept) > 1:
        kept.pop()
        text = spell_out("; ".join(kept), screen.glyphs)
    return [((line, "title"),) for line in wrap(plain(text), screen.width)]


def speed_text(measurement: Measurement, tokens: int = 0) -> str:
    """``2.1 ms, 476 FPS on this CPU``; of a decoder tokens per second."""
    latency, batch = measurement.latency, measurement.batch
    is_cpu = measurement.settings.provider == "cpu"
    where = "this CPU" if is_cpu else measurement.device.name or measurement.settings.provider
    of_many = f" at batch {batch}" if batch != 1 else ""
    name, number = throughput_pair(measurement, tokens)
    rate_text = f"{number} {name.lower() if tokens else name}"
    return f"{seconds(latency.median)}{of_many}, {rate_text} on {where}"


def concentration_text(amounts: Iterable[float], of_what: str, nodes: int) -> str:
    """``51 % of the FLOPs in 22 of 122 nodes``: the fewest that make up half; "" without an amount or for two nodes."""
    most = sorted(amounts, reverse=True)
    total = sum(most)
    if not total or nodes < 3:
        return ""
    few, done = next((at, done) for at, done in enumerate(accumulate(most), 1) if 2 * done >= total)
    return f"{100 * done / total:.0f} % of the {of_what} in {exact(few)} of {exact(nodes)} nodes"
