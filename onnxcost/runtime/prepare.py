"""What a run of a model needs first: its graph, a file to open, inputs to feed, and a folder for temporary files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from onnxcost.errors import InputError, MeasurementError
from onnxcost.estimator import estimate
from onnxcost.files import create_file, is_pipe
from onnxcost.formulas.table import FormulaTable
from onnxcost.frontend.byte_source import read_stream
from onnxcost.measurement import Settings
from onnxcost.report import CostReport
from onnxcost.runtime.inputs import Feed, feeds_of, input_shapes, input_values
from onnxcost.runtime.protocol import Request
from onnxcost.runtime.run_folder import run_folder
from onnxcost.runtime.supervisor import RunError

if TYPE_CHECKING:
    from onnxcost.frontend import ModelSource


class Question(NamedTuple):
    """A model and what is known of its inputs: as ``onnxcost.estimate`` takes them, and ``inputs``, the files by input name."""

    model: ModelSource  # type: ignore[valid-type]
    shapes: Mapping[str, Sequence[int]]
    dims: Mapping[str, int]
    values: Mapping[str, Any]
    trips: Mapping[str, int]
    inputs: Mapping[str, Sequence[str]]
    formulas: FormulaTable | None

    @classmethod
    def of(
        cls,
        model: ModelSource,  # type: ignore[valid-type]
        shapes: Mapping[str, Sequence[int]] | None = None,
        dims: Mapping[str, int] | None = None,
        values: Mapping[str, Any] | None = None,
        trips: Mapping[str, int] | None = None,
        inputs: Mapping[str, str | Sequence[str]] | None = None,
        formulas: FormulaTable | None = None,
    ) -> Question:
        """What a user gave: an open file or a pipe is read now, being read only once, and one input file stands for a list."""
        files = {name: (given,) if isinstance(given, str) else tuple(given) for name, given in (inputs or {}).items()}
        source: Any = model
        source = read_stream(source) if hasattr(source, "read") or is_pipe(source) else source
        return cls(source, shapes or {}, dims or {}, values or {}, trips or {}, files, formulas)

    def estimate(self, **changes: Any) -> CostReport:
        """The static cost, at the shapes that the input files have."""
        return estimate(
            self.model,
            shapes={**input_shapes(self.inputs), **self.shapes},
            dims=self.dims,
            values={**input_values(self.inputs), **self.values},
            trips=self.trips,
            formulas=self.formulas,
            **changes,
        )


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
def prepare(question: Question, report: CostReport | None = None, seed: int = 0) -> Iterator[Prepared]:
    """The model estimated (unless ``report`` is that), on disk, its inputs chosen and absent weights synthesized.

    Raises ModelError and InputError as ``estimate`` does, MeasurementError for inputs that cannot be synthesized and for a
    model that is larger than the free memory.
    """
    from onnxcost.frontend.synthetic_weights import fill_weights

    report = question.estimate() if report is None else report
    _check_memory(report)
    feeds = feeds_of(report.graph, question.values, question.inputs)
    with run_folder() as folder:
        try:
            path = _on_disk(question.model, folder)
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
    return str(path.absolute())


def _check_memory(report: CostReport) -> None:
    from onnxcost.runtime.machine import available_memory

    memory = report.memory
    needed, free = memory.weight_bytes + (memory.peak_activation_bytes or 0), available_memory()
    if free is not None and needed > free:
        raise MeasurementError(
            f"the model needs at least {needed / 2**20:,.0f} MiB for weights and activations, {free / 2**20:,.0f} MiB are free"
        )
