"""What a run of a model needs first: its graph, a file to open, inputs to feed, and a folder for temporary files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from onnxcost.errors import InputError, MeasurementError
from onnxcost.files import create_file, is_pipe
from onnxcost.frontend.byte_source import read_stream
from onnxcost.measurement import Settings
from onnxcost.report import CostReport
from onnxcost.runtime.inputs.feeds import Feed, feeds_of
from onnxcost.runtime.protocol import Request
from onnxcost.runtime.run_folder import run_folder
from onnxcost.runtime.supervisor import RunError
from onnxcost.spec import ModelSpec


def read_once(spec: ModelSpec) -> ModelSpec:
    """The spec with the bytes of an open file or a pipe as its source, which is used twice and can be read only once."""
    source: Any = spec.source
    return replace(spec, source=read_stream(source)) if hasattr(source, "read") or is_pipe(source) else spec


class Prepared(NamedTuple):
    """A model that is ready to run: ``path`` is its file, ``folder`` a temporary one that goes when the work is done.

    ``weights`` are "stored", or "synthesised" where the model's file lacks some.
    """

    report: CostReport
    path: str
    feeds: tuple[Feed, ...]
    folder: str
    weights: str


@contextmanager
def prepare(spec: ModelSpec, report: CostReport, seed: int = 0) -> Iterator[Prepared]:
    """The model on disk, its inputs chosen and absent weights filled in; ``report`` is its estimate.

    Raises InputError for input files that do not fit the model, MeasurementError for inputs that cannot be synthesized and for
    a model that is larger than the free memory.
    """
    from onnxcost.frontend.synthetic_weights.fill import fill_weights

    _check_memory(report)
    feeds = feeds_of(report.graph, spec.values, spec.inputs)
    with run_folder() as folder:
        try:
            path = _on_disk(spec.source, folder)
            complete = fill_weights(path, folder, seed)
            yield Prepared(report, complete, feeds, folder, "stored" if complete == path else "synthesised")
        except RunError as error:
            from onnxcost.frontend.dims import describe_assumptions

            raise MeasurementError(f"{error}{describe_assumptions(report.graph.dims)}") from None


def build_request(task: str, ready: Prepared, settings: Settings) -> Request:
    """What the child is asked to do with it; ``task`` is a key of ``worker.TASKS``."""
    return Request(task, ready.path, ready.feeds, settings, ready.folder)


def _on_disk(model: Any, folder: str) -> str:
    """The path of the model; one that is no file is written to the folder."""
    if isinstance(model, (bytes, bytearray, memoryview)) or hasattr(model, "SerializeToString"):
        # In a folder of its own, in which there is nothing that it could name as external data.
        path = Path(folder, "given", "model.onnx")
        try:
            path.parent.mkdir()
            with create_file(path) as file:
                file.write(model if isinstance(model, (bytes, bytearray, memoryview)) else model.SerializeToString())
        except (OSError, ValueError) as error:
            raise MeasurementError(f"the model cannot be written to a file to run it: {error}") from None
        return str(path)
    path = Path(model)
    if not path.is_file():
        raise InputError(f"'{path}' is not a regular file: onnxruntime cannot open it")
    try:
        str(path.absolute()).encode()
    except UnicodeEncodeError:
        raise MeasurementError(f"onnxruntime opens only paths in UTF-8, and that of '{path.name}' is not: rename it") from None
    return str(path.absolute())


def _check_memory(report: CostReport) -> None:
    from onnxcost.runtime.machine import available_memory

    memory = report.memory
    needed, free = memory.weight_bytes + (memory.peak_activation_bytes or 0), available_memory()
    if free is not None and needed > free:
        raise MeasurementError(
            f"the model needs at least {needed / 2**20:,.0f} MiB for weights and activations, {free / 2**20:,.0f} MiB are free"
        )
