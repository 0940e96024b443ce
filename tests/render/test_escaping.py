"""Strings of others on their way to a terminal, a spreadsheet or a page."""

from __future__ import annotations

import json
import shlex
import sys
import unicodedata

import pytest

from onnxcost.graph import option_text
from onnxcost.render.escaping import LONGEST_TEXT, LONGEST_WORD, cell, html, markdown, mask, plain
from onnxcost.render.formats import Table, csv_text, dumps, table_markdown
from onnxcost.render.layout import Column

SEEN = ["", "conv1", "größe", "重み", "Ångström", "שָׁלוֹם", "ภาษาไทย", "🙂", "a\u00a0b", "1×3×224"]
MASKED = {
    "\x1b[2J": "?[2J", "a\r\nb\tc": "a??b?c", "\x00\x07\x7f\x85\x9b": "?????", "\u202eabc\u2066": "?abc?",
    "\u200b\u200d\ufeff": "???",
    "\u2028\u2029\u00ad\u061c\u200e": "?????", "\ue000\u0378\ud800": "???", "\u3164\u2800\ufe0f\u034f": "????",
    "\U000e0041": "?",
    "e" + "\u0301" * 5: "e" + "\u0301" * 3 + "??",
}  # fmt: skip


@pytest.mark.parametrize("text", SEEN)
def test_plain_text_is_not_changed(text: str) -> None:
    assert mask(text) == plain(text) == cell(text) == text


@pytest.mark.parametrize(("text", "shown"), MASKED.items(), ids=map(ascii, MASKED))
def test_what_steers_or_is_not_seen_is_masked(text: str, shown: str) -> None:
    assert mask(text) == shown


def test_no_control_of_unicode_is_left() -> None:
    hidden = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
    every = "".join(map(chr, range(sys.maxunicode + 1)))
    assert not [char for char in mask(every) if unicodedata.category(char) in hidden]


@pytest.mark.parametrize("text", ["a" * 10**6, "a b" * 10**6, "\u0301" * 10**6])
def test_what_is_long_loses_its_middle(text: str) -> None:
    assert len(plain(text)) <= LONGEST_TEXT
    assert max(map(len, plain(text).split())) <= LONGEST_WORD
    assert plain(plain(text)) == plain(text)


CELLS = {
    "=1+1": "'=1+1", "+1": "'+1", "-1": "'-1", "@SUM(1)": "'@SUM(1)", "\t=1": "?=1", "\r=1": "?=1",
    " =1": "' =1", "\u00a0=1": "'\u00a0=1",
    "\uff1d1": "'\uff1d1", "a;=1": "a;'=1", "a; -1": "a;' -1", "a=1": "a=1", "conv-1": "conv-1", -1: -1, -0.5: -0.5, None: None,
}  # fmt: skip


@pytest.mark.parametrize(("value", "written"), CELLS.items(), ids=map(ascii, CELLS))
def test_a_spreadsheet_runs_nothing(value: object, written: object) -> None:
    assert cell(value) == written


def test_numbers_in_csv_stay_numbers() -> None:
    assert csv_text(["=n"], [[-1], [-1.5], ["-1"], [None]]) == "'=n\n-1\n-1.5\n'-1\n\"\"\n"


PAGES = {
    "a|b": "a\\|b", "`x`": "\\`x\\`", "[a](b)": "\\[a\\](b)", "<b>": "\\<b\\>", "&lt;": "\\&lt;",
    "$x$": "\\$x\\$", "~~a~~": "\\~\\~a\\~\\~",
    "- a": "\\- a", "1. a": "1\\. a", "===": "\\===", "---": "\\---", "-1 %": "-1 %", "1.5 k": "1.5 k",
    "$70": "$70", "a\\": "a\\\\",
}  # fmt: skip


@pytest.mark.parametrize(("text", "written"), PAGES.items(), ids=PAGES.keys())
def test_markdown_reads_as_text(text: str, written: str) -> None:
    assert markdown(text) == written


def test_indentation_in_markdown_is_kept() -> None:
    assert table_markdown(Table((Column("Module", right=False),), [("  0",)]))[-1] == "| \u00a0\u00a0\u00a0\u00a00 |"


def test_html_reads_as_text() -> None:
    assert html("<b>\x1b'\"&") == "&lt;b&gt;?&#x27;&quot;&amp;"


@pytest.mark.parametrize("text", [*MASKED, "\\\x7f", '"\x7f'], ids=ascii)
def test_json_is_printable_and_reads_back(text: str) -> None:
    written = dumps({text: [{text: text}]})
    assert all(" " <= char <= "~" or char == "\n" for char in written)
    assert json.loads(written) == {text: [{text: text}]}


@pytest.mark.parametrize("name", ["n", "$(id)", "a b", "a'b", "`id`", "a;b", "-x", "größe", "*"])
def test_an_option_is_one_word_for_a_shell(name: str) -> None:
    assert shlex.split(option_text("--dim", name)) == ["--dim", f"{name}=N"]


@pytest.mark.parametrize("name", ["a\nb", "\x1b", "a" * 1000])
def test_an_option_that_cannot_be_copied_has_no_name(name: str) -> None:
    assert option_text("--dim", name) == "--dim NAME=N"
