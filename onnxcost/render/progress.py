"""The progress of a run, as a bar on the terminal that disappears afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from onnxcost.render.escaping import plain

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

    from onnxcost.runtime.protocol import Progress


class Shown:
    """Takes the steps that a run reports; ``prefix`` says which run it is. Without a bar it shows nothing."""

    def __init__(self, bar: Bar | None) -> None:
        self.prefix = ""
        self._bar = bar
        self._task = bar.add_task("", total=1) if bar else None

    def __call__(self, progress: Progress) -> None:
        """Show a step. One whose end is not known has a bar without one."""
        if self._bar is None or self._task is None:
            return
        total = None if progress.done is None else 1
        # Drawn when the run reports, not by a clock: the model needs the cores.
        self._bar.update(
            self._task, description=plain(self.prefix + progress.phase), total=total, completed=progress.done or 0, refresh=True
        )


@contextmanager
def progress_on(stream: TextIO, *, shows_rest: bool = False) -> Iterator[Shown]:
    """A bar on the stream if that is a terminal, with the remaining time if ``shows_rest``; rich is imported only then."""
    if not stream.isatty():
        yield Shown(None)
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    bar_column = BarColumn(style="dim", complete_style="blue", finished_style="blue", pulse_style="blue")
    rest = (TextColumn("left"), TimeRemainingColumn()) if shows_rest else ()
    columns = (TextColumn("{task.description}", markup=False), bar_column, TimeElapsedColumn(), *rest)
    with Progress(*columns, console=Console(file=stream), transient=True, auto_refresh=False) as bar:
        yield Shown(bar)
