"""In the child: times the model by turns, so that others can be timed in between."""

from __future__ import annotations

from dataclasses import replace
from math import ceil
from typing import TYPE_CHECKING

from onnxcost.measurement import Settings
from onnxcost.measuring.messages import Request
from onnxcost.measuring.timed_run import arena_use, opened, timed

if TYPE_CHECKING:
    from onnxcost.measuring.child import Channel

TURNS = 12


def run(request: Request, channel: Channel) -> None:
    """Warms up and answers with True, then to each True that it hears with the samples of a turn; at last as ``timed_run``."""
    import numpy as np

    from onnxcost.measuring.inputs import arrays
    from onnxcost.measuring.sampling import sample

    feeds = arrays(request.feeds, request.settings.seed)
    model = opened(request, feeds, channel)
    runs = model.streams[0].runs
    first = sample(runs, replace(request.settings, runs=1, seconds=0), channel.send)
    channel.send(True)
    turns = []
    while channel.receive():
        # Each turn begins with a run that does not count: it brings back to the caches what the others drove out.
        turns.append(sample(runs, turn_of(request.settings), channel.send))
        channel.send(turns[-1].samples)
    samples = np.concatenate([turn.samples for turn in turns])
    wall = sum(turn.wall_seconds for turn in turns)
    channel.send(timed(request, model, first._replace(samples=samples, wall_seconds=wall)))
    del model
    channel.send(arena_use(request, feeds))


def turn_of(settings: Settings) -> Settings:
    """What of it one of TURNS turns has to do."""
    return replace(settings, runs=ceil(settings.least_runs / TURNS), seconds=settings.least_seconds / TURNS, warmup=0)
