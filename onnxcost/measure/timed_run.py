"""In the child: opens the model, times it, and tells what it took."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from onnxcost.measure.messages import Progress, Request, Timed
from onnxcost.measurement import MemoryUse

if TYPE_CHECKING:
    from onnxcost.measure.child import Send


def run(request: Request, send: Send) -> None:
    """Answers with Timed."""
    from onnxcost.measure.environment import environment, peak_rss
    from onnxcost.measure.gpu import device_of
    from onnxcost.measure.inputs import arrays, used
    from onnxcost.measure.runners import placement, runner
    from onnxcost.measure.sampling import sample, sample_concurrently
    from onnxcost.measure.session import open_session, thread_counts

    settings = request.settings
    send(Progress("loading"))
    machine = environment()
    feeds = arrays(request.feeds, settings.seed)
    baseline = peak_rss()
    start = time.perf_counter()
    session = open_session(request.model, settings)
    session_seconds = time.perf_counter() - start
    streams = [runner(session, feeds, settings.provider) for _ in range(settings.concurrency)]
    if len(streams) == 1:
        sampled = sample(streams[0].runs, settings, send)
    else:
        sampled = sample_concurrently([stream.runs for stream in streams], settings, send)
    send(
        Timed(
            samples=sampled.samples,
            wall_seconds=sampled.wall_seconds,
            first_run_seconds=sampled.first_run_seconds,
            session_seconds=session_seconds,
            warmup_runs=sampled.warmup_runs,
            threads=thread_counts(settings),
            inputs=used(request.feeds),
            device=device_of(settings),
            environment=machine,
            memory=MemoryUse(peak_rss(), baseline),
            placement=placement(session, settings.provider),
            copies=streams[0].copies(),
        )
    )
