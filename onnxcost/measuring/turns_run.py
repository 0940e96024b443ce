"""In the child: times the model by turns, so that others can be timed in between."""

from __future__ import annotations

from dataclasses import replace
from statistics import fmean
from typing import TYPE_CHECKING

from onnxcost.measurement import Settings
from onnxcost.measuring.messages import Request
from onnxcost.measuring.timed_run import arena_use, opened, timed

if TYPE_CHECKING:
    from onnxcost.measuring.child import Channel


def run(request: Request, channel: Channel) -> None:
    """Warms up and answers with True, then with the samples of a turn to the Settings of each; to None as ``timed_run``."""
    import numpy as np

    from onnxcost.measuring.environment import watched_load
    from onnxcost.measuring.inputs import arrays
    from onnxcost.measuring.sampling import sample

    feeds = arrays(request.feeds, request.settings.seed)
    model = opened(request, feeds, channel)
    runs = model.streams[0].runs
    first = sample(runs, replace(request.settings, runs=1, seconds=0), channel.send)
    channel.send(True)
    turns, loads = [], list[float]()
    while isinstance(turn := channel.receive(), Settings):
        other_work = watched_load()
        # Each turn begins with a run that does not count: it brings back to the caches what the others drove out.
        turns.append(sample(runs, turn, channel.send))
        loads += [load for load in (other_work(),) if load is not None]
        channel.send(turns[-1].samples)
    samples = np.concatenate([turn.samples for turn in turns])
    wall = sum(turn.wall_seconds for turn in turns)
    # The models that have their turns in between are no other work.
    model = model._replace(other_work=lambda: fmean(loads) if loads else None)
    channel.send(timed(request, model, first._replace(samples=samples, wall_seconds=wall)))
    del model
    channel.send(arena_use(request, feeds))
