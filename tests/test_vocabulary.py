"""The words of the field in all that a user reads: help, messages, documents. One word for a thing, one spelling."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import onnxcost
from onnxcost.cli.app import COMMANDS, cli
from onnxcost.cli.devices import calibrate
from onnxcost.cli.fleet import fleet

PACKAGE = Path(onnxcost.__file__).parent
PAGES = (PACKAGE.parent / "README.md", PACKAGE.parent / "CHANGELOG.md", *sorted((PACKAGE.parent / "docs").glob("*.md")))
BETTER = {
    r"dearest|dearer": "most (more) expensive",
    r"made[ -]up": "synthetic",
    r"by turns|turn by turn": "interleaved, round by round",
    r"at their peak": "peak activation memory",
    r"crew": "worker pool",
    r"journal": "checkpoint",
    r"unrest": "noise",
    r"recall": "reuse distance",
    r"whereabouts": "external data",
    r"what there is to say of": "notes",
    r"(?:optimi|normali|quanti|initiali|seriali|summari|minimi|maximi|reali)s(?:e|ed|es|ing|ation)\b": "-ize",
}
"""What is not said, as a regular expression of words, and what is said in its place."""
KEPT = ("unrest = ",)
"""A key of the calibrations' file format: files that were written stay readable."""
WRONG = re.compile(rf"(?<![\w.])(?:{'|'.join(BETTER)})\w*", re.IGNORECASE)


def found(text: str) -> list[str]:
    return sorted({match[0].lower() for match in WRONG.finditer(text)})


def literals(path: Path) -> Iterator[str]:
    """The strings of a module that are neither documentation nor names: those with a blank in them, which people read."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    bare = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in bare and " " in node.value:
            yield node.value


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_messages_use_the_standard_terms(path: Path) -> None:
    assert {text: words for text in literals(path) if (words := found(text)) and text not in KEPT} == {}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_use_the_standard_terms(page: Path) -> None:
    assert found(page.read_text(encoding="utf-8")) == []


def commands() -> Iterator[click.Command]:
    context = click.Context(cli)
    yield from (cli, calibrate, fleet.commands["check"], fleet.commands["bundle"])
    for name in COMMANDS:
        command = cli.get_command(context, name)
        assert command is not None
        yield command


@pytest.mark.parametrize("command", list(commands()), ids=lambda command: command.name)
def test_help(command: click.Command) -> None:
    """In the words, on 80 columns, with each example on a line of its own."""
    settings = {"terminal_width": 80, **command.context_settings}
    with click.Context(command, info_name=command.name, **settings) as context:
        text = command.get_help(context)
    assert found(text) == []
    assert max(map(len, text.splitlines())) <= 80
    examples = re.search(r"^  Examples:\n((?:    .*\n)+)", text, re.M)
    assert examples or command.name in ("formulas",)
    assert all(line.count("onnxcost ") == 1 for line in (examples[1].splitlines() if examples else ()))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("the dearest nodes", ["dearest"]),
        ("Made-up numbers", ["made-up"]),
        ("is optimised, normalised", ["normalised", "optimised"]),
        ("optimized weights of the most expensive nodes, interleaved", []),
        ("measurement.unrest", []),
        ("unrest = 1", ["unrest"]),
    ],
)
def test_what_counts_as_such_a_word(text: str, words: list[str]) -> None:
    assert found(text) == words
