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
from onnxcost.hardware.calibration.model import Calibration, Machine, Probed, Speeds, speeds
from onnxcost.hardware.calibration.probe import Probe
from onnxcost.hardware.calibration.probes import blocked_probe, probes
from onnxcost.measurement import Settings
from onnxcost.ort_optimizer.kernels import KernelRun, kernel_runs
from onnxcost.ort_optimizer.memory_plan import footprint_of
from onnxcost.ort_optimizer.pipeline import optimize
from onnxcost.runtime.api import change_settings
from onnxcost.runtime.protocol import Progress, Request
from onnxcost.runtime.run_folder import run_folder
from onnxcost.runtime.supervisor import OnProgress, answers
from onnxcost.runtime.tasks import BLOCKS, ProbeTimings

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
    settings = change_settings(settings, {})
    chosen = probes()
    with run_folder() as folder:
        graphs = [_write_probe(probe, Path(folder, f"{index:04}.onnx")) for index, probe in enumerate(chosen)]
        _write_probe(blocked_probe(), Path(folder, BLOCKS))
        found = {}
        for index, count in enumerate(threads):
            timings = _time_probes(replace(settings, threads=count), folder, _share_of(on_progress, index, len(threads)))
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


def _write_probe(probe: Probe, path: Path) -> Graph:
    """Writes the probe's model to the file, and returns its graph."""
    from onnxcost.frontend.probe_models import probe_model

    model = probe_model(probe.graph, probe.weights, probe.integers)
    try:
        with create_file(path) as file:
            file.write(model.SerializeToString())
    except OSError as error:
        raise MeasurementError(f"the probes cannot be written to '{path.parent}': {error.strerror}") from None
    return estimate(path).graph


def _time_probes(settings: Settings, folder: str, on_progress: OnProgress | None) -> ProbeTimings:
    for message in answers(Request("calibrate", folder, (), settings, folder), on_progress):
        if isinstance(message, ProbeTimings):
            return message
    raise MeasurementError("the process that ran the probes ended without a result")


class Kernels(NamedTuple):
    """What runs in a probe, and the bytes that it works with."""

    tasks: tuple[KernelRun, ...]
    footprint: float


def _kernels(graph: Graph, blocked: bool) -> Kernels:
    """As of any model."""
    steps = optimize(graph, blocked=blocked)
    return Kernels(tuple(task for step in steps for task in kernel_runs(step)), footprint_of(graph, steps))


def _speeds(chosen: Sequence[Probe], kernels: Sequence[Kernels], timings: ProbeTimings) -> Speeds:
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
