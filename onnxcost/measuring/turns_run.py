"""In the child: times the model by turns, so that others can be timed in between."""

from __future__ import annotations

from dataclasses import replace
from statistics import fmean
from typing import TYPE_CHECKING

from onnxcost.measurement import MemoryUse, Settings
from onnxcost.measuring.messages import Request
from onnxcost.measuring.timed_run import arena_use, opened, timed

if TYPE_CHECKING:
    from onnxcost.measuring.child import Channel
    from onnxcost.measuring.sampling import Sampled

QUICK_TO_OPEN = 0.5
"""Seconds. Where its tensors happen to lie in memory makes a session faster or slower by up to a per cent, for as long as it
lives. A model that is opened so quickly gets a new session for every turn, so that this is part of the turns' spread.
"""


def run(request: Request, channel: Channel) -> None:
    """Warms up and answers with True, then with the samples of a turn to the Settings of each; to None as ``timed_run``."""
    import numpy as np

    from onnxcost.measuring.environment import peak_rss, watched_load
    from onnxcost.measuring.inputs import arrays
    from onnxcost.measuring.sampling import sample

    feeds = arrays(request.feeds, request.settings.seed)
    model = opened(request, feeds, channel)
    first = sample(model.streams[0].runs, replace(request.settings, runs=1, seconds=0), channel.send)
    seconds, memory = model.session_seconds, MemoryUse(peak_rss(), model.baseline_rss_bytes)
    channel.send(True)
    turns: list[Sampled] = []
    loads: list[float] = []
    while isinstance(turn := channel.receive(), Settings):
        if turns and seconds <= QUICK_TO_OPEN:
            del model  # two sessions at a time would need room for two
            model = opened(request, feeds, channel)
        other_work = watched_load()
        turns.append(sample(model.streams[0].runs, turn, channel.send))
        if (load := other_work()) is not None:
            loads.append(load)
        channel.send(turns[-1].samples)
    # As many of each turn: the more runs fit into the time, the faster the machine was just then.
    most = min(len(turn.samples) for turn in turns) if request.settings.least_seconds else None
    samples = np.concatenate([turn.samples[:most] for turn in turns])
    wall = sum(turn.wall_seconds for turn in turns)
    # The models that have their turns in between are no other work.
    model = model._replace(other_work=lambda: fmean(loads) if loads else None)
    found = timed(request, model, first._replace(samples=samples, wall_seconds=wall))
    channel.send(replace(found, session_seconds=seconds, memory=memory))
    del model
    channel.send(arena_use(request, feeds))
