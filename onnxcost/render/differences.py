"""The differences of two models by operator, change and layer, and of their outputs, for the terminal and Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import inf, log

from onnxcost.comparison.agreement import Agreement, OutputDifference, shape_text
from onnxcost.comparison.candidates import Comparison, CostedNode, CostedOperator
from onnxcost.comparison.differences import Change, Differences, count_difference
from onnxcost.render.escaping import plain
from onnxcost.render.formats import Table, space_blocks, table_lines
from onnxcost.render.layout import (
    GAP,
    INDENT,
    Column,
    Glyphs,
    Line,
    Screen,
    crop,
    pad,
    paragraph,
    spell_out,
    text_width,
    wrap,
    wrap_pieces,
)
from onnxcost.render.units import align_units, exact, plural, relation_text, si, signed_text

MOST_LAYERS = 10
TITLES: Mapping[str, str] = {"flops": "FLOPs", "macs": "MACs"}
"""The titles of conventions; others have their name."""


def _arrow(left: str, right: str) -> str:
    return left if left == right else f"{left} → {right}"


def operator_difference_table(differences: Differences, convention: str, glyphs: Glyphs) -> Table:
    """One row per operator that differs; the note is on those without arithmetic and those that do not differ."""
    named = TITLES.get(convention, convention)
    columns = (
        Column("Operator", right=False, style="name", shrinks_to=16),
        Column("Nodes"),
        Column(named, drop=2),
        Column(f"± {named}"),
        Column("± Params", drop=3),
        Column("± Traffic"),
    )
    rows, idle = [], []
    for each in differences.operators:
        nodes, moved = _arrow(exact(each.left.nodes), exact(each.right.nodes)), signed_text(each.traffic, "bytes")
        if any(one.count or one.parameters or one.uncounted for one in (each.left, each.right)):
            if each.left.nodes != each.right.nodes or each.count or each.parameters or each.traffic:
                counts = _arrow(_count(each.left, glyphs), _count(each.right, glyphs))
                rows.append((each.operator, nodes, counts, signed_text(each.count), signed_text(each.parameters), moved))
        elif each.left.nodes != each.right.nodes or each.traffic:
            idle.append(f"{each.operator} {nodes}" + (f" ({moved})" if each.traffic else ""))
    return align_columns(columns, rows, f"No arithmetic: {', '.join(idle)}" if idle else "", glyphs)


def _count(operator: CostedOperator, glyphs: Glyphs) -> str:
    if operator.uncounted and operator.uncounted == operator.nodes:
        return "?"
    return (glyphs.at_least if operator.uncounted else "") + si(operator.count)


def align_columns(columns: Sequence[Column], rows: Sequence[Sequence[str]], note: str, glyphs: Glyphs) -> Table:
    """The table with the numbers in each column aligned."""
    by_column = [
        align_units([row[at] for row in rows]) if column.right else [row[at] for row in rows]
        for at, column in enumerate(columns)
    ]
    titled = tuple(column._replace(title=spell_out(column.title, glyphs)) for column in columns)
    cells = [tuple(spell_out(cell, glyphs) for cell in row) for row in zip(*by_column, strict=True)]
    return Table(titled, cells, spell_out(note, glyphs))


def layer_difference_table(differences: Differences, convention: str, glyphs: Glyphs) -> Table:
    """The layers whose MACs differ, up to MOST_LAYERS; a layer that only one model has is marked."""
    named = TITLES.get(convention, convention)
    columns = (
        Column("Layer", right=False, style="name", shrinks_to=14),
        Column(f"in {crop(differences.right.label, 20)}", right=False, style="name", shrinks_to=14, drop=4),
        Column("Output", right=False, style="faint", drop=3),
        Column("MACs"),
        Column(f"± {named}"),
    )
    shown, rest = differences.layers[:MOST_LAYERS], differences.layers[MOST_LAYERS:]
    rows = [
        (
            f"+ {_name(pair.right)}" if pair.left is None else ("" if pair.right else "− ") + _name(pair.left),
            _name(pair.right),
            _arrow(_shape(pair.left or pair.right), _shape(pair.right or pair.left)),
            _arrow(*(si(node.macs if node else 0) for node in pair)),
            signed_text(count_difference(pair)),
        )
        for pair in shown
    ]
    what = f"{signed_text(sum(map(count_difference, rest)))} {named} (--format json has them all)"
    return align_columns(columns, rows, f"and {plural(len(rest), 'more layer')}, {what}" if rest else "", glyphs)


def _name(node: CostedNode | None) -> str:
    return node.name if node else "–"


def _shape(node: CostedNode | None) -> str:
    return ("×".join(str(dim) for dim in node.output if dim != 1) or "1") if node else "–"


LONGEST_NAME = 40


def difference_lines(differences: Differences, convention: str, screen: Screen) -> list[Line]:
    """The differences of one model from the first one."""
    name, about = difference_heading(differences, convention)
    glyphs = screen.glyphs
    parts = [plain(spell_out(part, glyphs)) for part in about]
    return space_blocks(
        [
            [((plain(name), "title"),), *wrap_pieces((("  ", ""),), parts, ", ", screen.width, "faint")],
            table_lines(operator_difference_table(differences, convention, glyphs), screen),
            _change_lines(differences, convention, screen),
            table_lines(layer_difference_table(differences, convention, glyphs), screen),
        ]
    )


def difference_heading(differences: Differences, convention: str) -> tuple[str, list[str]]:
    """The two models, and the sums of their differences, the largest first."""
    left, right = differences.left, differences.right
    named, key = TITLES.get(convention, convention), "weight_bytes"
    parts: list[tuple[float, str]] = []
    for name, title, difference, unit in (
        (convention, named, differences.count, "count"),
        ("parameters", "parameters", differences.parameters, "count"),
        (key, "weights", int(right.values.get(key, 0)) - int(left.values.get(key, 0)), "bytes"),
        ("traffic_bytes", "traffic", differences.traffic, "bytes"),
    ):
        base = left.values.get(name)
        quotient = (base + difference) / base if base else inf if base == 0 else 1.0
        share = f" ({relation_text(quotient)})" if base and difference else ""
        text = f"{signed_text(difference, unit)} {title}{share}" if difference else f"the same {title}"
        parts.append((_distance(quotient) if difference else -1.0, text))
    if right.ratio is not None:
        is_open = right.is_undecided
        text = "no difference in latency found" if is_open else f"{relation_text(right.ratio.value)} latency"
        parts.append((-1.0 if is_open else _distance(right.ratio.value), text))
    return f"{right.label} vs. {left.label}", [text for _, text in sorted(parts, key=lambda part: -part[0])]


def _distance(quotient: float) -> float:
    """How far a quotient is from 1; equal for its inverse."""
    return abs(log(quotient)) if 0 < quotient < inf else inf


def correspondence(differences: Differences) -> str:
    """How closely the two graphs correspond."""
    alike, (left, right) = differences.alignment.alike, differences.alignment.layers
    if not max(left, right):
        return "Neither model has a layer with MACs; their nodes are compared in order"
    number = (
        f"{exact(alike)} of {plural(left, 'layer')}"
        if left == right
        else f"{exact(alike)} of {exact(left)} and {exact(right)} layers"
    )
    if not differences.alignment.is_close:
        return f"Only {number} match in order, operator and shape, so the graphs are not compared layer by layer"
    return f"{number} match in order, operator and shape" + (
        ". Differences:" if differences.changes else ", and nothing differs"
    )


def change_rows(differences: Differences) -> list[tuple[str, str, str]]:
    """The changes: the difference in work and in traffic, and a sentence; the last row summarizes those without a cost."""
    changes = differences.changes
    costly = [change for change in changes if change.count or change.traffic]
    rows = [(signed_text(each.count), signed_text(each.traffic, "bytes"), _sentence(each, differences)) for each in costly]
    free = [_sentence(each, differences) for each in changes if each not in costly]
    return [*rows, ("0", "0", "; ".join(free))] if free else rows


def _sentence(change: Change, differences: Differences) -> str:
    left, right = _operators_text(change.left), _operators_text(change.right)
    times = f"{exact(change.places)} × " if change.places > 1 else ""
    first = crop(change.first, LONGEST_NAME)
    where = f" (from {first} on)" if change.places > 1 else f" ({first})"
    if change.layer is None:
        return f"{times}{left}: {change.reason} in {differences.right.label}{where}"
    behind = f" after {change.layer}" if change.layer else " before the first layer"
    alone = differences.right.label if not left else differences.left.label if not right else ""
    what = f"{left or right}{behind}, only in {alone}" if alone else f"{left} → {right}"
    longer = ""
    if not alone and len(change.left) != len(change.right):
        # The side with more operators spells out what is one operator on the other side.
        longer = f" in {(differences.left if len(change.left) > len(change.right) else differences.right).label}"
    return f"{times}{what}{f': {change.reason}{longer}' if change.reason else ''}{where}"


MOST_OPERATORS = 6


def _operators_text(operators: Sequence[str]) -> str:
    shown = operators if len(operators) <= MOST_OPERATORS else operators[: MOST_OPERATORS - 1]
    return " + ".join(shown) + (f" and {len(operators) - len(shown)} more" if len(shown) < len(operators) else "")


MOST_PARAMETER_CHANGES = 3


def parameter_sentences(differences: Differences) -> list[str]:
    """Why the parameters differ, if that is known."""
    found = differences.parameter_changes
    sentences = [
        f"{signed_text(each.count)} parameters of {each.operator} {crop(each.node, LONGEST_NAME)}: {each.reason}"
        for each in found[:MOST_PARAMETER_CHANGES]
    ]
    rest = found[MOST_PARAMETER_CHANGES:]
    more = f"{signed_text(sum(each.count for each in rest))} parameters of {plural(len(rest), 'more node')} (--format json)"
    return [*sentences, *([more] if rest else [])]


def _change_lines(differences: Differences, convention: str, screen: Screen) -> list[Line]:
    """How closely the graphs correspond, and what was changed: sentences that wrap to the right of their numbers."""
    lines = paragraph(correspondence(differences), screen.width, "")
    rows = change_rows(differences)
    about = (spell_out(text, screen.glyphs) for text in parameter_sentences(differences))
    about_parameters = [line for text in about for line in paragraph(text, screen.width, "")]
    if not rows:
        return [*lines, *about_parameters]
    titles = (f"± {TITLES.get(convention, convention)}", "± Traffic", "What")
    *columns, sentences = zip(*[[spell_out(cell, screen.glyphs) for cell in row] for row in (titles, *rows)], strict=True)
    numbers = []
    for title, *below in columns:
        column = [title, *align_units(below)]
        numbers.append([pad(text, max(map(text_width, column)), right=True) for text in column])
    for at, sentence in enumerate(sentences):
        style = "" if at else "header"
        first = " " * INDENT + "".join(column[at] + " " * GAP for column in numbers)
        lines += wrap_pieces(((first, style),), [plain(sentence)], " ", screen.width, style)
    return [*lines, *about_parameters]


MOST_OUTPUTS = 8
COLUMNS = (
    Column("Model", right=False, style="name", shrinks_to=12),
    Column("Output", right=False, shrinks_to=10),
    Column("Shape", right=False, style="faint", drop=4),
    Column("Largest", drop=5),
    Column("Difference"),
    Column("Relative", style="number"),
    Column("", right=False, style="faint", shrinks_to=12),
)


def agreement_title(comparison: Comparison) -> str:
    """Which model the outputs are compared with."""
    references = dict.fromkeys(agreement.reference for _, agreement in _agreements(comparison))
    return f"Outputs compared with {', '.join(references)}, on the same inputs"


def agreement_table(comparison: Comparison, glyphs: Glyphs) -> Table:
    """One row per output; for a model with many, those that differ most."""
    rows, notes = [], []
    for label, agreement in _agreements(comparison):
        shown = agreement.outputs
        if len(shown) > MOST_OUTPUTS:
            *rest, _ = ranked = sorted(shown, key=lambda each: each.distance)
            shown, rest = tuple(reversed(ranked[-MOST_OUTPUTS:])), ranked[:-MOST_OUTPUTS]
            notes.append(f"and {plural(len(rest), 'more output')} of {label} with no larger difference")
        for each in shown:
            numbers = map(number_text, (each.largest, each.absolute, each.relative))
            rows.append((label, each.name, shape_text(each.shape), *numbers, "; ".join(output_remarks(each))))
    if rows:
        notes.append("Relative: the largest difference, divided by the largest magnitude in the first model's output")
    return align_columns(COLUMNS, rows, f" {glyphs.dot} ".join(notes), glyphs)


def agreement_sentences(comparison: Comparison) -> list[str]:
    """Inputs that have another name or layout, outputs without a counterpart, and why outputs were not compared."""
    sentences = []
    for label, agreement in _agreements(comparison):
        fed = [
            f"{each.name} is {each.source}{', transposed' if each.is_transposed else ''}"
            for each in agreement.inputs
            if each.is_transposed or each.name != each.source
        ]
        sentences += [f"Inputs of {label}: {'; '.join(fed)}"] if fed else []
        sentences += [f"Outputs only in {label}: {', '.join(agreement.alone)}"] if agreement.alone else []
        sentences += [f"Outputs of {label} not compared: {agreement.reason}"] if agreement.reason else []
    return sentences


def agreement_lines(comparison: Comparison, screen: Screen) -> list[Line]:
    """The outputs compared with those of the first model; empty if they were not."""
    if not any(_agreements(comparison)):
        return []
    lines: list[Line] = [((plain(agreement_title(comparison)), "title"),)]
    lines += table_lines(agreement_table(comparison, screen.glyphs), screen)
    for sentence in agreement_sentences(comparison):
        folded = wrap(plain(spell_out(sentence, screen.glyphs)), screen.width - INDENT, indent="  ")
        lines += [((f"  {part}", ""),) for part in folded]
    return lines


def _agreements(comparison: Comparison) -> Iterator[tuple[str, Agreement]]:
    for model in comparison.candidates:
        if model.agreement:
            yield model.label, model.agreement


def number_text(value: float | None) -> str:
    """In three significant digits: ``1.23e-07``."""
    return "–" if value is None else "0" if value == 0 else f"{value:.2e}"


def output_remarks(each: OutputDifference) -> list[str]:
    """Notes on an output besides its numbers."""
    named = [f"is {each.other}"] if each.other not in ("", each.name) else []
    return [*named, *(["transposed"] if each.is_transposed else []), *_differing(each)]


def _differing(each: OutputDifference) -> list[str]:
    """What the numbers do not show about the difference."""
    of = f"of {exact(each.elements)}"
    parts = {
        each.reason: each.reason,
        f"{exact(each.apart)} {of} NaN or infinite in one": each.apart,
        f"{exact(each.not_finite)} {of} NaN or infinite in both": each.not_finite,
        f"{exact(each.unequal)} {of} differ": each.unequal and each.absolute is None,
    }
    return [text for text, holds in parts.items() if holds]


def farthest_text(each: OutputDifference) -> str:
    """The output that differs most, in words: ``output 'y' differs by 1.23e-02``."""
    if each.reason:
        return f"output '{each.name}': {each.reason}"
    differs = [f"differs by {number_text(each.relative)}"] if each.relative else []
    return f"output '{each.name}' {', '.join(differs + _differing(each))}"
