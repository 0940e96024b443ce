"""TOML files: devices and budgets, which users write, and the calibration of a machine."""

# No `from __future__ import annotations`: Python 3.11 would take the keys that are NotRequired for required ones.
from datetime import date
from typing import Literal, NotRequired, TypedDict

from onnxcost.schema.devices import DeviceKind, FigureBasis


class QuantityTable(TypedDict):
    """A figure with its unit, as in "68 GB/s", and a name in ``sources``; ``how`` explains a derived one."""

    value: str
    source: NotRequired[str]
    basis: NotRequired[FigureBasis]
    how: NotRequired[str]


class PeakTable(QuantityTable):
    """The same for a peak rate, and the type in which products are summed."""

    accumulate: NotRequired[Literal["float64", "float32", "float16", "int64", "int32"]]


class PeaksTable(TypedDict, total=False):
    """Peak rates by type."""

    float64: str | PeakTable
    float32: str | PeakTable
    tf32: str | PeakTable
    bfloat16: str | PeakTable
    float16: str | PeakTable
    float8: str | PeakTable
    float4: str | PeakTable
    int16: str | PeakTable
    int8: str | PeakTable
    int4: str | PeakTable


class PartTable(TypedDict, total=False):
    """A processor of a device."""

    title: str
    source: str
    clock: str | QuantityTable
    clock_basis: Literal["base", "boost", "maximum"]
    boost: str | QuantityTable
    peak: PeaksTable


class DeviceTable(TypedDict, total=False):
    """A device, or what all devices of a file have in common; one ``of`` another inherits its parts and figures."""

    name: str
    title: str
    vendor: str
    kind: DeviceKind
    note: str
    of: str
    source: str
    memory: str | QuantityTable
    bandwidth: str | QuantityTable
    sram: str | QuantityTable
    sram_bandwidth: str | QuantityTable
    flash: str | QuantityTable
    flash_bandwidth: str | QuantityTable
    power: str | QuantityTable
    price: str | QuantityTable
    hourly: str | QuantityTable
    cpu: PartTable
    gpu: PartTable
    npu: PartTable
    dla: PartTable


class SourceTable(TypedDict):
    """A public document, and the day on which it was read."""

    title: str
    date: date
    url: NotRequired[str]
    basis: NotRequired[FigureBasis]


class DeviceFile(DeviceTable, total=False):
    """A file for ``--device-file``."""

    sources: dict[str, SourceTable]
    device: list[DeviceTable]


class BudgetTable(TypedDict, total=False):
    """Limits as numbers or with a unit, as in "33ms"; the devices; and the sizes of the model's open dims."""

    fps: str | float
    latency: str | float
    memory: str | float
    flash: str | float
    macs: str | float
    params: str | float
    ttft: str | float
    tokens_per_second: str | float
    devices: list[str]
    batch: int
    dims: dict[str, int]
    shapes: dict[str, list[int]]


class BudgetsTable(BudgetTable):
    """The keys that all models share, and the budget of each model by its path."""

    models: dict[str, BudgetTable]


class BudgetFile(TypedDict):
    """A file for ``onnxcost budget --check``; in pyproject.toml, the table is ``tool.onnxcost.budget``."""

    budget: BudgetsTable


class FamilyTable(TypedDict):
    """The kernels of a family: the names of the quantities in a row, and the rows."""

    quantities: list[str]
    rows: list[list[float]]
    error: NotRequired[float]


class ThreadsTable(TypedDict):
    """The speeds for a number of threads."""

    run_seconds: float
    peak: dict[str, float | list[list[float]]]
    family: dict[str, FamilyTable]


class MachineTable(TypedDict):
    """The machine that was calibrated."""

    device: str
    memory: int
    cores: float
    onnxruntime: str
    platform: str
    provider: str
    blocked: bool
    block: NotRequired[int]


class CalibrationFile(TypedDict):
    """A file from ``onnxcost devices calibrate``."""

    schema: Literal["onnxcost-calibration/3", "onnxcost-calibration/2"]
    name: str
    date: date
    unrest: float
    interrupted: NotRequired[bool]
    spread: NotRequired[float]
    unsettled: NotRequired[float]
    load: NotRequired[float]
    machine: MachineTable
    threads: dict[str, ThreadsTable]
