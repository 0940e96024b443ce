from __future__ import annotations

import pytest

from onnxcost.render.escaping import plain, shorten
from onnxcost.render.layout import (
    ASCII,
    UNICODE,
    Column,
    bar,
    crop,
    pad,
    shorten_all,
    spell_out,
    table,
    text_of,
    text_width,
    without_repeats,
    wrap,
    wrap_pieces,
)

COLUMNS = [
    Column("Node", right=False, shrinks_to=10),
    Column("Output", right=False, drop=3),
    Column("FLOPs"),
    Column("Traffic", drop=6),
    Column("", is_bar=True, drop=5),
]
ROWS = [
    ("/encoder/layer.0/attention/self/query/MatMul", "1×128×768", "302.0 M", "2.250 MiB", "0.75"),
    ("b", "1", "5", "8 B", "0"),
]


def test_what_is_shortened_loses_its_middle() -> None:
    assert shorten("abcdefghij", 10) == "abcdefghij"
    assert shorten("abcdefghijk", 6) == "ab…ijk"
    assert shorten("abcdefghijk", 6, "~", head=0) == "~ghijk"
    assert shorten("abc", 0) == ""


def test_a_column_is_cut_where_its_texts_differ() -> None:
    names = [f"model/block_{number}/expand_batch_normalization/mul_1" for number in range(9)]
    assert len(set(shorten_all(names, 20, "…"))) == 9
    assert shorten_all(["a", "b"], 1, "…") == ["a", "b"]


def test_a_path_loses_what_its_next_part_repeats() -> None:
    assert without_repeats("/layer1/layer1.0/conv1/Conv", "…") == "/…layer1.0/conv1/Conv"
    assert without_repeats("/conv/conv/Conv", "…") == "/conv/conv/Conv"


@pytest.mark.parametrize(
    ("fraction", "text"), [(0, ""), (1, "████"), (2, "████"), (0.5, "██"), (0.53125, "██▏"), (1e-9, "▏"), (0.25, "█")]
)
def test_bar(fraction: float, text: str) -> None:
    assert bar(fraction, 4, UNICODE) == text


def test_bar_in_ascii() -> None:
    assert [bar(fraction, 4, ASCII) for fraction in (0, 1e-9, 0.5, 1)] == ["", ".", "##", "####"]


@pytest.mark.parametrize("width", [30, 40, 60, 80, 100, 200])
def test_a_table_fits_the_width(width: int) -> None:
    lines = text_of(table(COLUMNS, ROWS, width, UNICODE)).splitlines()
    assert max(map(len, lines)) <= width


@pytest.mark.parametrize(
    ("width", "headers"),
    [(200, "Node Output FLOPs Traffic"), (64, "Node Output FLOPs"), (50, "Node Output FLOPs"), (30, "Node FLOPs")],
)
def test_columns_drop_in_their_order(width: int, headers: str) -> None:
    assert text_of(table(COLUMNS, ROWS, width, UNICODE)).split("\n")[0].split() == headers.split()


def test_numbers_are_aligned_on_the_right() -> None:
    _, first, second = text_of(table(COLUMNS[2:3], [("302.0 M",), ("5",)], 80, UNICODE)).splitlines()
    assert (first, second) == ("  302.0 M", "        5")


def test_a_name_cannot_steer_the_terminal() -> None:
    assert plain("evil\x1b[31m\n") == "evil?[31m?"


def test_wrapping_breaks_between_pieces() -> None:
    lines = wrap_pieces((("  ", ""), ("Also  ", "label")), ["torch 1", "fvcore 2", "thop 3"], " · ", 28)
    assert text_of(lines) == "  Also  torch 1 · fvcore 2\n        thop 3\n"


def test_a_list_keeps_its_comma_at_the_end_of_a_line() -> None:
    assert (
        text_of(wrap_pieces((("Dims  ", ""),), ["batch = 1", "length = 128"], ", ", 20))
        == "Dims  batch = 1,\n      length = 128\n"
    )


def test_maths_is_spelled_out_in_ascii() -> None:
    assert spell_out("out·(2·K − 1) ≥ Σ X²", ASCII) == "out*(2*K - 1) >= sum  X^2"
    assert spell_out("2·K", UNICODE) == "2·K"


@pytest.mark.parametrize(
    ("text", "width"), [("abc", 3), ("画像", 4), ("e\u0301", 1), ("ﾃ", 1), ("1×3 ≥ 2 …", 9), ("█▏", 2), ("", 0)]
)
def test_the_width_of_a_text_in_columns(text: str, width: int) -> None:
    assert text_width(text) == width
    assert text_width(pad(text, 12)) == text_width(pad(text, 12, right=True)) == 12


WIDE = "入力画像の特徴量を正規化する層/畳み込み層の重み e\u0301e\u0301e\u0301 and some words"


@pytest.mark.parametrize("width", range(1, 70))
def test_wide_and_combining_characters_are_cut_between_columns(width: int) -> None:
    for head in (0.0, 0.4, 1.0):
        cut = crop(WIDE, width, head=head)
        assert text_width(cut) <= width
        assert text_width(cut) >= min(width, text_width(WIDE)) - 2
        assert "…\u0301" not in cut
    for indent in ("", "  "):
        lines = wrap(WIDE, max(width, 4), indent)
        assert max(map(text_width, lines)) <= max(width, 4)
        assert "".join("".join(lines).split()) == "".join(WIDE.split())


def test_wrapped_text_keeps_its_spaces_and_ends_with_an_ellipsis() -> None:
    assert wrap("onnxcost measure a  (there)", 80) == ["onnxcost measure a  (there)"]
    assert wrap("one two three four", 9, "  ") == ["one two", "  three", "  four"]
    assert wrap("one two three four", 9, most=1) == ["one two …"]
    assert wrap("", 9) == []


@pytest.mark.parametrize("width", [24, 30, 40, 60, 100])
def test_a_table_of_wide_names_is_aligned(width: int) -> None:
    rows = [(name, "1×2", "3.0 G", "8 B", "0.5") for name in ("入力画像の特徴量/畳み込み層", "e\u0301tage", "plain")]
    lines = text_of(table(COLUMNS, rows, width, UNICODE)).splitlines()
    ends = {text_width(line[: line.rindex("3.0 G")]) for line in lines[1:]}
    assert len(ends) == 1
    assert max(map(text_width, lines)) <= width


def test_a_table_on_a_very_narrow_screen_loses_columns_before_it_wraps() -> None:
    columns = [Column("Node", right=False, shrinks_to=20), *(Column(f"Figure {at}") for at in range(6))]
    lines = text_of(table(columns, [("a long name of a node", *"123456")], 24, UNICODE)).splitlines()
    assert max(map(len, lines)) <= 24
    assert lines[1].split()[-1] == "1"
