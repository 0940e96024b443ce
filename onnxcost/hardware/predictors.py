"""Who is asked for a latency: devices of the catalogue and of files, by their rooflines, and calibrated machines."""

from __future__ import annotations

from collections.abc import Sequence

from onnxcost.hardware.calibrated import Calibrated
from onnxcost.hardware.calibration_file import is_calibration
from onnxcost.hardware.catalogue import catalogue, device_named
from onnxcost.hardware.reader import load
from onnxcost.hardware.roofline import Roofline
from onnxcost.prediction import Predictor


def predictors(names: Sequence[str] = (), files: Sequence[str] = ()) -> list[Predictor]:
    """Those of ``names``, where a file's device stands in the place of a catalogue's; without names all of the files', and
    without files the whole catalogue. Raises InputError for a name that there is not, and for a file that is none.
    """
    machines = {machine.name: machine for machine in map(Calibrated.load, filter(is_calibration, files))}
    plain = [file for file in files if not is_calibration(file)]
    if names:
        return [machines.get(name) or Roofline(device_named(name, plain)) for name in names]
    if files:
        return [*machines.values(), *(Roofline(device) for file in plain for device in load(file))]
    return [Roofline(device) for device in catalogue().values()]
