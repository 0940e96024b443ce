"""The preparation of a run: the model's graph, a file to open, inputs to feed, and a folder for temporary files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from onnxcost.errors import InputError, MeasurementError
from onnxcost.files import CHUNK, create_file, is_pipe
from onnxcost.frontend.byte_source import is_packed, position_of, read_stream
from onnxcost.measurement import Settings
from onnxcost.processes import STOP
from onnxcost.remote.downloads import download
from onnxcost.remote.urls import SMALL, is_remote
from onnxcost.report import CostReport
from onnxcost.runtime.inputs.feeds import feeds_of
from onnxcost.runtime.protocol import Feed, Progress, Request
from onnxcost.runtime.run_folder import run_folder
from onnxcost.runtime.supervisor import OnProgress, RunError
from onnxcost.spec import ModelSpec


def read_once(spec: ModelSpec) -> ModelSpec:
    """The spec with the bytes of a source that can only be read once (a pipe or another stream), because it is used twice."""
    source: Any = spec.source
    is_stream = hasattr(source, "read") and position_of(source) is None
    return replace(spec, source=read_stream(source)) if is_stream or is_pipe(source) else spec


class Prepared(NamedTuple):
    """A model that is ready to run: ``path`` is its file, ``folder`` a temporary one that is removed at the end.

    ``weights`` are "stored", or "synthesised" if the model's file lacks some.
    """

    report: CostReport
    path: str
    feeds: tuple[Feed, ...]
    folder: str
    weights: str


@contextmanager
def prepare(spec: ModelSpec, report: CostReport, seed: int = 0, on_progress: OnProgress | None = None) -> Iterator[Prepared]:
    """The model on disk, its inputs chosen and absent weights filled in; ``report`` is its estimate.

    A model at a URL is downloaded if it is small, or read from an earlier download. Raises InputError for input files that do
    not fit the model, MeasurementError for inputs that cannot be synthesized and for a model that is larger than the free
    memory.
    """
    from onnxcost.frontend.synthetic_weights.fill import fill_weights

    _check_memory(report)
    feeds = feeds_of(report.graph, spec.values, spec.inputs)
    with run_folder() as folder:
        try:
            path = _on_disk(spec.source, folder, on_progress)
            complete = fill_weights(path, folder, seed)
            yield Prepared(report, complete, feeds, folder, "stored" if complete == path else "synthesised")
        except RunError as error:
            from onnxcost.frontend.dims import describe_assumptions

            raise MeasurementError(f"{error}{describe_assumptions(report.graph.dims)}") from None


def build_request(task: str, ready: Prepared, settings: Settings) -> Request:
    """The request to the child; ``task`` is a key of ``worker.TASKS``."""
    return Request(task, ready.path, ready.feeds, settings, ready.folder)


def _on_disk(model: Any, folder: str, on_progress: OnProgress | None) -> str:
    """The path of the model; one that is not a file, or is in a container, is written to the folder."""
    if is_remote(model):

        def show(done: int, size: int | None) -> None:
            if STOP.is_made:
                raise KeyboardInterrupt
            if on_progress is not None:
                on_progress(Progress("fetching the model", size and done / size))

        try:
            model = str(download(model, show, SMALL))
        except InputError as error:
            raise MeasurementError(str(error)) from None
    if not hasattr(model, "SerializeToString") and is_packed(model):
        model = read_stream(model)
    if isinstance(model, (bytes, bytearray, memoryview)) or hasattr(model, "SerializeToString") or hasattr(model, "read"):
        # In an empty folder, so that it has no files to name as external data.
        path = Path(folder, "given", "model.onnx")
        try:
            path.parent.mkdir()
            with create_file(path) as file:
                file.writelines(_content(model))
        except (OSError, ValueError) as error:
            raise MeasurementError(f"the model cannot be written to a file to run it: {error}") from None
        return str(path)
    path = Path(model)
    if not path.is_file():
        raise InputError(f"'{path}' is not a regular file: onnxruntime cannot open it")
    try:
        str(path.absolute()).encode()
    except UnicodeEncodeError:
        raise MeasurementError(
            f"onnxruntime opens only paths in UTF-8, and the path of '{path.name}' is not: rename it"
        ) from None
    return str(path.absolute())


def _content(model: Any) -> Iterator[Any]:
    """The bytes of a model that is not a path, in parts. The position of an open file is restored afterwards."""
    if not hasattr(model, "read"):
        yield model if isinstance(model, (bytes, bytearray, memoryview)) else model.SerializeToString()
        return
    start = model.tell()
    yield from iter(partial(model.read, CHUNK), b"")
    model.seek(start)


def _check_memory(report: CostReport) -> None:
    from onnxcost.runtime.machine import available_memory

    memory = report.memory
    needed, free = memory.weight_bytes + (memory.peak_activation_bytes or 0), available_memory()
    if free is not None and needed > free:
        raise MeasurementError(
            f"the model needs at least {needed / 2**20:,.0f} MiB for weights and activations, but only {free / 2**20:,.0f} MiB "
            "are free"
        )
