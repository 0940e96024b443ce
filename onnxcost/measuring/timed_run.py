"""In the child: opens the model, times it, and tells what it took."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from onnxcost.measurement import MemoryUse
from onnxcost.measuring.messages import Progress, Request, Timed

if TYPE_CHECKING:
    from onnxcost.measuring.child import Channel
    from onnxcost.measuring.runners import Runner
    from onnxcost.measuring.sampling import Sampled
    from onnxcost.measuring.session import Session
    from onnxcost.profiled import ArenaUse


class Opened(NamedTuple):
    """A model that is ready to run: a runner for each stream. ``other_work`` tells the load beside it since it was opened."""

    session: Session
    streams: Sequence[Runner]
    session_seconds: float
    baseline_rss_bytes: int | None
    other_work: Callable[[], float | None]


def run(request: Request, channel: Channel) -> None:
    """Answers with Timed, then with ArenaUse."""
    from onnxcost.measuring.inputs import arrays
    from onnxcost.measuring.sampling import sample, sample_concurrently

    feeds = arrays(request.feeds, request.settings.seed)
    model = opened(request, feeds, channel)
    if len(model.streams) == 1:
        sampled = sample(model.streams[0].runs, request.settings, channel.send)
    else:
        sampled = sample_concurrently([stream.runs for stream in model.streams], request.settings, channel.send)
    channel.send(timed(request, model, sampled))
    del model
    channel.send(Progress("memory"))
    channel.send(arena_use(request, feeds))


def opened(request: Request, feeds: Sequence[Mapping[str, Any]], channel: Channel) -> Opened:
    """The request's model, ready to run on these feeds."""
    from onnxcost.measuring.environment import peak_rss, watched_load
    from onnxcost.measuring.providers import provider_named
    from onnxcost.measuring.runners import runner
    from onnxcost.measuring.session import open_session, runtime_for

    settings = request.settings
    channel.send(Progress("loading"))
    # The libraries are part neither of the session's time nor of its memory.
    runtime_for(provider_named(settings.provider))
    baseline = peak_rss()
    start = time.perf_counter()
    session = open_session(request.model, settings)
    seconds = time.perf_counter() - start
    streams = [runner(session, feeds, settings.provider) for _ in range(settings.concurrency)]
    return Opened(session, streams, seconds, baseline, watched_load())


def timed(request: Request, model: Opened, sampled: Sampled) -> Timed:
    """What there is to tell of the samples, right behind them."""
    from onnxcost.measuring.environment import environment, peak_rss
    from onnxcost.measuring.gpu import device_of
    from onnxcost.measuring.inputs import used
    from onnxcost.measuring.runners import placement
    from onnxcost.measuring.session import thread_counts

    machine = environment(model.other_work())
    memory = MemoryUse(peak_rss(), model.baseline_rss_bytes)
    return Timed(
        samples=sampled.samples,
        wall_seconds=sampled.wall_seconds,
        first_run_seconds=sampled.first_run_seconds,
        session_seconds=model.session_seconds,
        warmup_runs=sampled.warmup_runs,
        threads=thread_counts(request.settings),
        inputs=used(request.feeds),
        device=device_of(request.settings),
        environment=machine,
        memory=memory,
        placement=placement(model.session, request.settings.provider),
        copies=model.streams[0].copies(),
    )


def arena_use(request: Request, feeds: Sequence[Mapping[str, Any]]) -> ArenaUse:
    """From one profiled run: profiling distorts, so it has a session of its own, after the timed one is gone."""
    from onnxcost.measuring.events import recorded
    from onnxcost.measuring.runners import runner
    from onnxcost.measuring.session import open_session

    session = open_session(request.model, request.settings, profile_prefix=str(Path(request.folder, "arena")))
    runner(session, feeds[:1], request.settings.provider).runs[0]()
    return recorded(session.end_profiling()).memory
