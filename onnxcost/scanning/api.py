"""``onnxcost.scan``: many models counted in a worker pool, measured one after the other, with a checkpoint to resume from."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, nullcontext, suppress
from dataclasses import asdict, replace
from functools import partial
from hashlib import sha256
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from onnxcost.documents import parse_json
from onnxcost.errors import InputError, OnnxCostError
from onnxcost.files import models_in, replace_file
from onnxcost.results import SCHEMA
from onnxcost.scanning import pool
from onnxcost.scanning.results import Document, Scanned, key_of, stamp_of
from onnxcost.scanning.worker import describe_failure
from onnxcost.spec import ModelSpec
from onnxcost.version import __version__

if TYPE_CHECKING:
    from onnxcost.measurement import Measurement, Settings
    from onnxcost.runtime.protocol import Progress


try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

BEGINNING = f'{{"schema": "{SCHEMA}"'.encode()
OPTIONS: Mapping[str, str] = {"shapes": "--shape", "dims": "--dim", "values": "--value", "run": "--run"}


class Checkpoint:
    """A file of results. ``done`` are those that stood in it and still hold, by the keys of their paths."""

    def __init__(self, path: str, done: Mapping[str, Scanned], file: BinaryIO) -> None:
        self.done = done
        self._path, self._file = path, file

    def add(self, result: Scanned) -> None:
        """Write the result's line, now: however this process ends, the line stays."""
        with _wrap_os_errors("write", self._path):
            self._file.write(result.to_line().encode())
            self._file.flush()

    def close(self) -> None:
        """Leave the file to other scans."""
        # What could not be written is tried again, and was said.
        with suppress(OSError):
            self._file.close()

    __del__ = close


def open_checkpoint(path: str, options: Document, models: Iterable[str]) -> Checkpoint:
    """The journal in the file, which is made where there is none. Lines on ``models`` that hold no more are taken out of it.

    Raises InputError for a file that is something else, cannot be written or is in use, and for the results of other options.
    """
    place = Path(path)
    with _wrap_os_errors("read", path):
        if place.exists() and not place.is_file():
            raise InputError(f"cannot read '{path}': it is no file that can be gone on from")
    with ExitStack() as stack:
        file = stack.enter_context(_open_locked(path))
        with _wrap_os_errors("read", path):
            content = place.read_bytes()
        kept, done = _select_current(content, path, options, models)
        lines = "".join(result.to_line() for result in kept).encode()
        if lines != content:
            if fcntl is None:
                file.close()  # Windows replaces no file that is open
            replace_file(place, lines)
            # The lock was on the file that is gone; another scan may have got hold of the new one first.
            replaced, file = file, stack.enter_context(_open_locked(path))
            replaced.close()
        journal = Checkpoint(path, done, file)
        stack.pop_all()
    return journal


def _select_current(
    content: bytes, path: str, options: Document, models: Iterable[str]
) -> tuple[list[Scanned], dict[str, Scanned]]:
    """The results that stay in the file, and those of them that are on ``models``, by the keys of their paths."""
    results = {key_of(result.path): result for result in _read_results(content, path)}
    for result in results.values():
        if others := [option for key, option in OPTIONS.items() if result.options.get(key) != options[key]]:
            which = " and ".join(others)
            raise InputError(f"'{path}' has results of a scan with another {which}: repeat its options, or take a new file")
    asked = set(map(key_of, models))
    kept = {key: result for key, result in results.items() if key not in asked or _is_current(result)}
    return list(kept.values()), {key: result for key, result in kept.items() if key in asked}


def _open_locked(path: str) -> BinaryIO:
    """The file, open to be added to, and locked as long as it is: by the system, which sees to it that no lock outlives a
    process. Where there are no locks (Windows, some network file systems) it is open alone.

    Raises InputError where another process has it.
    """
    with _wrap_os_errors("write", path):
        file = Path(path).open("ab")  # noqa: SIM115  # closed with the journal
    if fcntl is None:
        return file
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # It may have been replaced between the two.
        if os.path.samestat(os.fstat(file.fileno()), os.stat(path)):  # noqa: PTH116
            return file
    except BlockingIOError:
        pass
    except OSError:
        return file
    file.close()
    raise InputError(f"'{path}' is in use by another 'onnxcost scan': wait until that is done, or take another file")


def _read_results(content: bytes, path: str) -> Iterator[Scanned]:
    """The results in the lines; of a line that was not written to its end, nothing."""
    *lines, last = content.split(b"\n")
    for number, line in enumerate([*lines, last], 1):
        try:
            if line:
                yield Scanned.from_dict(parse_json(line))
        except (KeyError, TypeError, ValueError, InputError):
            if line is last and line[: len(BEGINNING)] == BEGINNING[: len(line)]:
                return
            raise InputError(f"'{path}' is no file of 'onnxcost scan --resume': its line {number} is no model's") from None


def _is_current(result: Scanned) -> bool:
    """Whether there is nothing to do anew: the file is as it was, and this version counted it, to the end."""
    return result.status != "unfinished" and result.version == __version__ and result.file == stamp_of(result.path)


@contextmanager
def _wrap_os_errors(how: str, path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(f"cannot {how} '{path}': {error.strerror or error}") from None


TIMEOUT = 300.0
OnProgress = Callable[[str, "Progress"], None]


def scan(
    paths: Iterable[str | os.PathLike[str]],
    *,
    shapes: Mapping[str, Sequence[int]] | None = None,
    dims: Mapping[str, int] | None = None,
    values: Mapping[str, Any] | None = None,
    jobs: int | None = None,
    timeout: float = TIMEOUT,
    settings: Settings | None = None,
    resume: str | os.PathLike[str] | None = None,
    on_progress: OnProgress | None = None,
) -> Generator[Scanned]:
    """What each of many models costs, as soon as it is known. ``paths`` are files, and folders for all *.onnx in them.

    ``jobs`` processes count side by side, one for each core if it is None. With ``settings`` the models are run as well, as
    by ``onnxcost.measure``, one after the other, so that none disturbs the timing of another; ``on_progress`` then hears of
    each. Of ``shapes``, ``dims`` and ``values`` a model takes what it has a name for. A model that cannot be counted or run,
    is not counted within ``timeout`` seconds, or ends the process that counts it, comes with the reason.

    ``resume`` is a file that has a JSON line for each model as soon as it is done. What is in it already comes first and is
    not done again, unless the model's file has changed.

    Raises InputError for an argument that does not fit, and for a file to resume from that has other options' results.
    """
    if jobs is not None and jobs < 1:
        raise InputError(f"jobs must be 1 or more, not {jobs}")
    if settings is not None and (jobs or 1) > 1:
        raise InputError("models are run one after the other, so that none disturbs another's timing: jobs is for counting")
    models = {key_of(path): path for path in _files(paths)}
    common = ModelSpec.of(None, shapes, dims, values)
    options = _options(common, settings)
    journal = None if resume is None else open_checkpoint(os.fspath(resume), options, models.values())

    def fresh(paths: Iterable[str]) -> Generator[Scanned]:
        specs = [replace(common, source=path) for path in paths]
        results = _count_all(specs, options, jobs or (1 if settings else default_jobs()), timeout)
        return results if settings is None else _measure_all(results, common, settings, on_progress)

    return _merge_results(models, journal, fresh)


def default_jobs() -> int:
    """How many cores there are to count on."""
    from onnxcost.runtime.machine import usable_cores as cores

    return ceil(cores())


def _files(paths: Iterable[str | os.PathLike[str]]) -> Iterator[str]:
    for path in paths:
        yield from models_in(os.fspath(path)) if Path(path).is_dir() else [os.fspath(path)]


def _options(common: ModelSpec, settings: Settings | None) -> Document:
    """What the results depend on besides the models, as plain data."""
    run = None if settings is None else asdict(replace(settings, timeout=None))
    given = {"shapes": common.shapes, "dims": common.dims, "values": common.values, "run": run}
    # NaN and infinity are no JSON: without them in it, the checkpoint can be read again.
    plain: Document = json.loads(json.dumps(given, default=_digest), parse_constant=str)
    return plain


def _digest(array: Any) -> dict[str, Any]:
    return {"dtype": str(array.dtype), "shape": array.shape, "sha256": sha256(array.tobytes()).hexdigest()}


def _merge_results(
    models: Mapping[str, str], journal: Checkpoint | None, fresh: Callable[[Iterable[str]], Generator[Scanned]]
) -> Generator[Scanned]:
    """What the journal has, then what is found now, which it gets."""
    done = journal.done if journal else {}
    yield from (done[key] for key in models if key in done)
    results = fresh(path for key, path in models.items() if key not in done)
    with closing(journal) if journal else nullcontext(), closing(results):
        for result in results:
            if journal:
                journal.add(result)
            yield result


def _count_all(specs: Sequence[ModelSpec], options: Document, jobs: int, timeout: float) -> Generator[Scanned]:
    # As the files were before they were read: one that changes meanwhile is done again.
    stamps = {path: stamp_of(path) for path in (str(spec.source) for spec in specs)}
    with closing(pool.count_tasks(specs, jobs, timeout)) as answers:
        for spec, answer in answers:
            path = str(spec.source)
            yield Scanned(path, answer.status, answer.reason, answer.seconds, stamps[path], options, answer.report)


def _measure_all(
    results: Generator[Scanned], common: ModelSpec, settings: Settings, on_progress: OnProgress | None
) -> Generator[Scanned]:
    with closing(results):
        for result in results:
            yield result if result.report is None else _measure_one(result, common, settings, on_progress)


def _measure_one(result: Scanned, common: ModelSpec, settings: Settings, on_progress: OnProgress | None) -> Scanned:
    from onnxcost.frontend.dims import select_known
    from onnxcost.measurement import Unmeasured
    from onnxcost.runtime.api import change_settings, measure_spec

    start = time.perf_counter()
    heard = None if on_progress is None else partial(on_progress, result.path)
    found: Measurement | Unmeasured
    try:
        spec = select_known(replace(common, source=result.path))
        found = measure_spec(spec, change_settings(settings, {}), on_progress=heard)
    except OnnxCostError as error:
        found = Unmeasured("failed", str(error))
    except Exception as error:
        found = Unmeasured("failed", describe_failure(error))
    measurement = {key: value for key, value in found.to_dict().items() if key != "samples"}
    return replace(
        result,
        status="unmeasured" if isinstance(found, Unmeasured) else "ok",
        reason=measurement["reason"] or "",
        seconds=round(result.seconds + time.perf_counter() - start, 6),
        report={**(result.report or {}), "measurement": measurement},
    )
