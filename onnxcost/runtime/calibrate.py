"""``onnxcost devices calibrate``: times small models on this machine and derives its rates."""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from onnxcost.errors import MeasurementError
from onnxcost.estimator import estimate
from onnxcost.files import create_file
from onnxcost.frontend.probe_models import Probe, probe_model
from onnxcost.graph import Graph
from onnxcost.hardware.calibration.model import Calibration, Machine
from onnxcost.hardware.calibration.probes import blocked_probe, probes
from onnxcost.hardware.calibration.rates import Probed, speeds
from onnxcost.measurement import Settings
from onnxcost.ort_optimizer.kernels import kernel_runs
from onnxcost.ort_optimizer.layout import BLOCK, NCHWC
from onnxcost.ort_optimizer.memory_plan import footprint_of
from onnxcost.ort_optimizer.pipeline import optimize
from onnxcost.processes import STOP
from onnxcost.runtime.api import change_settings
from onnxcost.runtime.protocol import BLOCKS, LEAST_PROBES, OPTIMIZED, ProbeTimings, Progress, Request
from onnxcost.runtime.run_folder import run_folder
from onnxcost.runtime.supervisor import OnProgress, answer, answers, scale_progress

BOTH = (1, None)


def calibrate(
    settings: Settings = Settings(),  # noqa: B008  # frozen
    *,
    name: str = "",
    threads: Sequence[int | None] = BOTH,
    on_progress: OnProgress | None = None,
) -> Calibration:
    """Measure the speed of this machine with small onnxruntime models, about a minute per number of threads.

    In ``threads``, None is onnxruntime's default. ``name`` is the name of the machine, by default that of its device. Raises
    MeasurementError if onnxruntime cannot be used, and KeyboardInterrupt if interrupted before three kernels were timed.
    """
    settings = change_settings(settings, {})
    chosen = probes()
    with run_folder() as folder:
        graphs = []
        for index, probe in enumerate(chosen):
            if on_progress is not None:
                on_progress(Progress("preparing", index / len(chosen)))
            graphs.append(_write_probe(probe, Path(folder, f"{index:04}.onnx")))
        _write_probe(blocked_probe(), Path(folder, BLOCKS))
        found: dict[int, ProbeTimings] = {}
        block = BLOCK
        for index, count in enumerate(threads):
            request = Request("calibrate", folder, (), replace(settings, threads=count), folder)
            try:
                timings = answer(answers(request, scale_progress(on_progress, index, len(threads))), ProbeTimings)
                if STOP.is_made and sum(seconds is not None for seconds in timings.seconds) < LEAST_PROBES:
                    raise KeyboardInterrupt
            except KeyboardInterrupt:
                if not (STOP.is_made and found):
                    raise
                break  # the numbers of threads before this one are complete
            found[timings.threads[0]] = timings
            if timings.blocked:
                # The channels of a block: the fewest outputs of the blocked convolutions in the graph that onnxruntime wrote.
                run = estimate(Path(folder, OPTIMIZED)).graph.nodes
                weights = [node.required(1) for node in run if node.domain == NCHWC and node.op_type == "Conv"]
                block = min((weight.shape[0] for weight in weights if weight.is_shaped), default=BLOCK)
            if STOP.is_made:
                break
    last = list(found.values())[-1]
    untimed = []
    for probe, graph in zip(chosen, graphs, strict=True):
        steps = optimize(graph, blocked=last.blocked, block=block, casts=settings.provider == "cpu")
        runs = tuple(run for step in steps for run in kernel_runs(step, block))
        untimed.append(Probed(probe.family, runs, 0.0, footprint_of(graph, steps)))
    # The form of names in the catalog.
    own_name = "-".join(re.findall(r"[a-z0-9]+", last.device.name.lower())) or "this-machine"
    return Calibration(
        name=name or own_name,
        machine=Machine(
            last.device.name,
            last.device.memory_bytes or 0,
            last.cores,
            last.onnxruntime,
            last.platform,
            settings.provider,
            last.blocked,
            block,
        ),
        date=datetime.datetime.now(datetime.UTC).date(),
        speeds={
            count: speeds(
                [
                    probed._replace(seconds=seconds)
                    for probed, seconds in zip(untimed, timings.seconds, strict=True)
                    if seconds is not None
                ]
            )
            for count, timings in found.items()
        },
        noise=max(timings.noise for timings in found.values()),
        interrupted=STOP.is_made,
        spread=max(timings.spread for timings in found.values()),
        unsettled=max(timings.unsettled for timings in found.values()),
        load=max((timings.load for timings in found.values() if timings.load is not None), default=None),
    )


def _write_probe(probe: Probe, path: Path) -> Graph:
    """Writes the probe's model to the file, and returns its graph."""
    model = probe_model(probe.graph, probe.weights, probe.integers)
    try:
        with create_file(path) as file:
            file.write(model.SerializeToString())
    except OSError as error:
        raise MeasurementError(f"the calibration's models cannot be written to '{path.parent}': {error.strerror}") from None
    return estimate(path).graph
