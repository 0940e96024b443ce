"""The progress of a run, as a bar on the terminal that disappears afterwards."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from math import ceil
from typing import TYPE_CHECKING, TextIO

from onnxcost.render.escaping import plain

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

    from onnxcost.runtime.protocol import Progress


class Shown:
    """Takes the steps that a run reports; ``prefix`` says which run it is. Without a bar it shows nothing."""

    def __init__(self, bar: Bar | None, clock: Callable[[], float] = time.monotonic) -> None:
        self.prefix = ""
        self._bar, self._clock = bar, clock
        self._task = bar.add_task("", total=1, left="") if bar else None
        self._begin, self._first, self._done = clock(), 0.0, 0.0
        self._end: float | None = None

    def __call__(self, progress: Progress) -> None:
        """Show a step, and how long it has to go. One whose end is not known has a bar without one."""
        if self._bar is None or self._task is None:
            return
        now, done = self._clock(), progress.done
        if done is None or done < self._done:  # another step
            self._begin, self._first, self._end = now, done or 0.0, None
        elif done > max(self._done, self._first):
            self._end = now + (now - self._begin) * (1 - done) / (done - self._first)
        self._done = done or 0.0
        # Drawn when the run reports, and once a second, but no more often: the model needs the cores.
        self._bar.update(
            self._task,
            description=plain(self.prefix + progress.phase),
            total=None if done is None else 1,
            completed=self._done,
            left="" if self._end is None else f"{timedelta(seconds=ceil(max(self._end - now, 0)))} left",
            refresh=True,
        )


@contextmanager
def progress_on(stream: TextIO) -> Iterator[Shown]:
    """A bar on the stream if that is a terminal; rich is imported only then."""
    if not stream.isatty():
        yield Shown(None)
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    bar_column = BarColumn(style="dim", complete_style="blue", finished_style="blue", pulse_style="blue")
    left = TextColumn("{task.fields[left]}", markup=False)
    columns = (TextColumn("{task.description}", markup=False), bar_column, TimeElapsedColumn(), left)
    with Progress(*columns, console=Console(file=stream), transient=True, auto_refresh=False) as bar:
        yield Shown(bar)
