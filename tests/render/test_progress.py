from __future__ import annotations

import io

import pytest

from onnxcost.render.layout import ProgressBar, progress_on
from onnxcost.runtime.protocol import Progress

ERASE_LINE = "\x1b[2K"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def capable_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "80")


def test_a_terminal_sees_the_steps_and_keeps_nothing() -> None:
    terminal = Terminal()
    with progress_on(terminal) as shown:
        shown(Progress("loading"))
        shown.prefix = "batch 4: "
        shown(Progress("measuring", 0.5))
    text = terminal.getvalue()
    assert "loading" in text
    assert "batch 4: measuring" in text
    assert text.endswith(ERASE_LINE)


def test_what_is_no_terminal_sees_nothing() -> None:
    stream = io.StringIO()
    with progress_on(stream) as shown:
        shown(Progress("measuring", 0.5))
    assert stream.getvalue() == ""


def test_a_terminal_that_cannot_move_its_cursor_sees_no_escape_codes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    terminal = Terminal()
    with progress_on(terminal) as shown:
        shown(Progress("measuring", 0.5))
    assert "\x1b" not in terminal.getvalue()


class Bar:
    """In the place of rich's: keeps what it is told to show."""

    def add_task(self, _: str, **__: object) -> int:
        return 0

    def update(self, _: int, **shown: object) -> None:
        self.shown = shown


@pytest.mark.parametrize(
    ("steps", "left"),
    [
        ([(0, 0.0)], ""),
        ([(10, 0.25)], "0:00:30 left"),
        ([(10, 0.25), (20, 0.25)], "0:00:20 left"),  # nothing new: the time goes on
        ([(10, 0.25), (60, 0.25)], "0:00:00 left"),
        ([(10, 0.25), (20, 0.5)], "0:00:20 left"),
        ([(10, None)], ""),
        ([(10, None), (30, 0.5)], "0:00:20 left"),  # by the time of this step alone
        ([(10, 0.5), (20, 0.0), (60, 0.5)], "0:00:40 left"),
    ],
)
def test_how_long_it_has_to_go(steps: list[tuple[float, float | None]], left: str) -> None:
    bar, now = Bar(), 0.0
    shown = ProgressBar(bar, lambda: now)  # type: ignore[arg-type]
    for at, done in steps:
        now = at
        shown(Progress("measuring", done))
    assert bar.shown["left"] == left


def test_what_a_step_is_called_is_neither_markup_nor_a_sequence() -> None:
    terminal = Terminal()
    with progress_on(terminal) as shown:
        shown.prefix = "[/x][red]"
        shown(Progress("\x1b]8;;https://example.org\x07", 0.5))
    assert "[/x][red]?]8;;" in terminal.getvalue()
