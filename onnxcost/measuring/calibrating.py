"""``onnxcost devices calibrate``: small models timed on this machine, and what their times say of it."""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from onnxcost.errors import MeasurementError
from onnxcost.estimator import estimate
from onnxcost.files import create_file
from onnxcost.graph import Graph
from onnxcost.hardware.calibration import Calibration, Machine, Probed, Speeds, speeds
from onnxcost.hardware.kernels.execution import executed, footprint_of
from onnxcost.hardware.kernels.operators import Task, tasks
from onnxcost.hardware.probe import Probe
from onnxcost.hardware.probes import blocked_probe, probes
from onnxcost.measurement import Settings
from onnxcost.measuring.calibration_run import BLOCKS, Timings
from onnxcost.measuring.measuring import settings_with
from onnxcost.measuring.messages import Progress, Request
from onnxcost.measuring.run_folder import run_folder
from onnxcost.measuring.supervisor import OnProgress, answers

BOTH = (1, None)


def calibrate(
    settings: Settings = Settings(),  # noqa: B008  # frozen
    *,
    name: str = "",
    threads: Sequence[int | None] = BOTH,
    on_progress: OnProgress | None = None,
) -> Calibration:
    """Measure this machine through onnxruntime: a minute of small models, with each number of threads (None: its own choice).

    ``name`` is what the machine is to be called, else after its device. Raises MeasurementError where onnxruntime cannot be
    used.
    """
    settings = settings_with(settings, {})
    chosen = probes()
    with run_folder() as folder:
        graphs = [_written(probe, Path(folder, f"{index:04}.onnx")) for index, probe in enumerate(chosen)]
        _written(blocked_probe(), Path(folder, BLOCKS))
        found = {}
        for index, count in enumerate(threads):
            timings = _timed(replace(settings, threads=count), folder, _share_of(on_progress, index, len(threads)))
            found[timings.threads[0]] = timings
    last = list(found.values())[-1]
    kernels = [_kernels(graph, last.blocked) for graph in graphs]
    return Calibration(
        name=name or _name(last.device.name),
        machine=Machine(
            last.device.name,
            last.device.memory_bytes or 0,
            last.cores,
            last.onnxruntime,
            last.platform,
            settings.provider,
            last.blocked,
        ),
        date=datetime.datetime.now(datetime.UTC).date(),
        speeds={count: _speeds(chosen, kernels, timings) for count, timings in found.items()},
        unrest=max(timings.unrest for timings in found.values()),
    )


def _written(probe: Probe, path: Path) -> Graph:
    """Writes the probe's model to the file, and returns its graph."""
    from onnxcost.frontend.probe_models import probe_model

    model = probe_model(probe.graph, probe.weights, probe.integers)
    try:
        with create_file(path) as file:
            file.write(model.SerializeToString())
    except OSError as error:
        raise MeasurementError(f"the probes cannot be written to '{path.parent}': {error.strerror}") from None
    return estimate(path).graph


def _timed(settings: Settings, folder: str, on_progress: OnProgress | None) -> Timings:
    for message in answers(Request("calibrate", folder, (), settings, folder), on_progress):
        if isinstance(message, Timings):
            return message
    raise MeasurementError("the process that ran the probes ended without a result")


class Kernels(NamedTuple):
    """What runs in a probe, and the bytes that it works with."""

    tasks: tuple[Task, ...]
    footprint: float


def _kernels(graph: Graph, blocked: bool) -> Kernels:
    """As of any model."""
    steps = executed(graph, blocked=blocked)
    return Kernels(tuple(task for step in steps for task in tasks(step)), footprint_of(graph, steps))


def _speeds(chosen: Sequence[Probe], kernels: Sequence[Kernels], timings: Timings) -> Speeds:
    timed = zip(chosen, kernels, timings.seconds, strict=True)
    found = [Probed(probe.family, its.tasks, seconds, its.footprint) for probe, its, seconds in timed if seconds is not None]
    return speeds(found)


def _name(device: str) -> str:
    """As the catalogue's names are written."""
    return "-".join(re.findall(r"[a-z0-9]+", device.lower())) or "this-machine"


def _share_of(on_progress: OnProgress | None, index: int, count: int) -> OnProgress | None:
    """Tells how far one of several goes is as a share of all."""
    if on_progress is None:
        return None

    def say(progress: Progress) -> None:
        done = None if progress.done is None else (index + progress.done) / count
        on_progress(progress._replace(done=done))

    return say
