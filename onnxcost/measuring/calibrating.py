"""``onnxcost devices calibrate``: small models timed on this machine, and what their times say of it."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from onnxcost.errors import MeasurementError
from onnxcost.hardware.calibration import Calibration, Machine, Point
from onnxcost.hardware.probes import Probe, probes
from onnxcost.measurement import Settings
from onnxcost.measuring.calibration_run import Probed
from onnxcost.measuring.messages import Request
from onnxcost.measuring.supervisor import OnProgress, answers


def calibrate(
    settings: Settings = Settings(),  # noqa: B008  # frozen
    *,
    threads: Sequence[int | None] = (1, None),
    on_progress: OnProgress | None = None,
) -> Calibration:
    """Measure this machine through onnxruntime: a minute of small models, with each number of threads (None: its own choice).

    Raises MeasurementError where onnxruntime cannot be used.
    """
    chosen = probes()
    with TemporaryDirectory(prefix="onnxcost-", ignore_cleanup_errors=True) as folder:
        _write(chosen, Path(folder))
        found = [
            _probed(replace(settings, threads=count), folder, _share_of(on_progress, index, len(threads)))
            for index, count in enumerate(threads)
        ]
    by_threads = {probed.threads[0]: _points(chosen, probed) for probed in found}
    last = found[-1]
    machine = Machine(last.device, last.cores, last.onnxruntime, last.platform, settings.provider)
    today = datetime.datetime.now(datetime.UTC).date()
    return Calibration(machine, today, by_threads, max(probed.unrest for probed in found))


def _write(chosen: Sequence[Probe], folder: Path) -> None:
    from onnxcost.frontend.probe_models import probe_model

    for index, probe in enumerate(chosen):
        model = probe_model(probe.graph, probe.weights, probe.integers)
        Path(folder, f"{index:04}.onnx").write_bytes(model.SerializeToString())


def _probed(settings: Settings, folder: str, on_progress: OnProgress | None) -> Probed:
    request = Request("calibrate", folder, (), settings, folder)
    for message in answers(request, on_progress):
        if isinstance(message, Probed):
            return message
    raise MeasurementError("the process that ran the probes ended without a result")


def _points(chosen: Sequence[Probe], probed: Probed) -> tuple[Point, ...]:
    return tuple(Point(probe, seconds) for probe, seconds in zip(chosen, probed.seconds, strict=True) if seconds is not None)
