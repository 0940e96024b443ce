"""Who is asked for a latency: devices of the catalogue and of files, by their rooflines, and calibrated machines."""

from __future__ import annotations

from collections.abc import Sequence

from onnxcost.hardware.calibration.file import is_calibration
from onnxcost.hardware.calibration.predictor import Calibrated
from onnxcost.hardware.catalogue import catalogue, find_device, load_devices
from onnxcost.hardware.prediction import Predictor
from onnxcost.hardware.roofline import Roofline


def predictors(names: Sequence[str] = (), files: Sequence[str] = ()) -> list[Predictor]:
    """Those of ``names``, where a file's device stands in the place of a catalogue's; without names all of the files', and
    without files the whole catalogue. Raises InputError for a name that there is not, and for a file that is none.
    """
    machines = {machine.name: machine for machine in map(Calibrated.load, filter(is_calibration, files))}
    plain = [file for file in files if not is_calibration(file)]
    if names:
        return [machines.get(name) or Roofline(find_device(name, plain)) for name in names]
    if files:
        return [*machines.values(), *(Roofline(device) for file in plain for device in load_devices(file))]
    return [Roofline(device) for device in catalogue().values()]
