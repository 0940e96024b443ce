from __future__ import annotations

import pytest

from onnxcost.render.escaping import plain, shorten
from onnxcost.render.layout import (
    ASCII,
    UNICODE,
    Column,
    bar,
    shorten_all,
    spell_out,
    table,
    text_of,
    without_repeats,
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
