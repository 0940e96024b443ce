"""``onnxcost.scan``: counts many models in a worker pool, measures them one by one, and resumes from a checkpoint."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, nullcontext, suppress
from dataclasses import asdict, replace
from functools import partial
from hashlib import sha256
from itertools import chain
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from onnxcost.documents import parse_json
from onnxcost.errors import InputError, OnnxCostError
from onnxcost.files import models_in, replace_file
from onnxcost.remote import is_remote, list_models, redact
from onnxcost.results import SCHEMA
from onnxcost.scanning import pool
from onnxcost.scanning.results import Document, Scanned, key_of, stamp_of
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
    """A file of results. ``done`` are those that were in it and are still valid, by the keys of their paths."""

    def __init__(self, path: str, done: Mapping[str, Scanned], file: BinaryIO) -> None:
        self.done = done
        self._path, self._file = path, file

    def add(self, result: Scanned) -> None:
        """Write the result's line at once, so that it is kept however this process ends."""
        with _wrap_os_errors("write", self._path):
            self._file.write(result.to_line().encode())
            self._file.flush()

    def close(self) -> None:
        """Close the file, so that other scans can use it."""
        # Closing tries once more to write what add() already failed to write.
        with suppress(OSError):
            self._file.close()

    __del__ = close


def open_checkpoint(path: str, options: Document, models: Iterable[str]) -> Checkpoint:
    """The checkpoint in a file, which is created if there is none. Outdated lines on ``models`` are removed from it.

    Raises InputError for a file that is no checkpoint, cannot be written, is in use, or has results of other options.
    """
    place = Path(path)
    with _wrap_os_errors("read", path):
        if place.exists() and not place.is_file():
            raise InputError(f"cannot read '{path}': it is not a regular file")
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
            # The lock was on the replaced file; another scan may have locked the new one first.
            replaced, file = file, stack.enter_context(_open_locked(path))
            replaced.close()
        checkpoint = Checkpoint(path, done, file)
        stack.pop_all()
    return checkpoint


def _select_current(
    content: bytes, path: str, options: Document, models: Iterable[str]
) -> tuple[list[Scanned], dict[str, Scanned]]:
    """The results that stay in the file, and those of them on ``models``, by the keys of their paths."""
    results = {key_of(result.path): result for result in _read_results(content, path)}
    for result in results.values():
        if others := [option for key, option in OPTIONS.items() if result.options.get(key) != options[key]]:
            which = " and ".join(others)
            raise InputError(f"'{path}' has results of a scan with another {which}: repeat its options, or use a new file")

    def is_current(result: Scanned) -> bool:
        """Whether this version counted the file as it is now, to the end."""
        if is_remote(result.path):
            return False
        return result.status != "unfinished" and result.version == __version__ and result.file == stamp_of(result.path)

    keys = set(map(key_of, models))
    kept = {key: result for key, result in results.items() if key not in keys or is_current(result)}
    return list(kept.values()), {key: result for key, result in kept.items() if key in keys}


def _open_locked(path: str) -> BinaryIO:
    """The file, open for appending and locked while it is open. The system releases the lock when the process ends.

    Without file locks (Windows, some network file systems) the file is only opened. Raises InputError if another process has
    locked it.
    """
    with _wrap_os_errors("write", path):
        file = Path(path).open("ab")  # noqa: SIM115  # closed with the checkpoint
    if fcntl is None:
        return file
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # It may have been replaced between opening and locking.
        if os.path.samestat(os.fstat(file.fileno()), os.stat(path)):  # noqa: PTH116
            return file
    except BlockingIOError:
        pass
    except OSError:
        return file
    file.close()
    raise InputError(f"'{path}' is in use by another 'onnxcost scan': wait until that is done, or use another file")


def _read_results(content: bytes, path: str) -> Iterator[Scanned]:
    """The results in the lines; an incomplete last line is left out."""
    *lines, last = content.split(b"\n")
    for number, line in enumerate([*lines, last], 1):
        try:
            if line:
                yield Scanned.from_dict(parse_json(line))
        except (KeyError, TypeError, ValueError, InputError):
            if line is last and line[: len(BEGINNING)] == BEGINNING[: len(line)]:
                return
            raise InputError(
                f"'{path}' is not a file of 'onnxcost scan --resume': its line {number} is not a model's result"
            ) from None


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
    """Yield the cost of each of many models, as soon as it is known. ``paths`` are files, or folders for all *.onnx in them.

    ``jobs`` processes count in parallel; None is one for each core. With ``settings`` the models are also run, as by
    ``onnxcost.measure``, one after the other, so that none disturbs the timing of another; ``on_progress`` gets the progress
    of each. ``shapes``, ``dims`` and ``values`` apply to the models that have the name. The result has the reason for a model
    that cannot be counted or run, is not counted within ``timeout`` seconds, or crashes the process that counts it.

    ``resume`` is a file to which a JSON line is added for each model as soon as it is done. Results that it already has are
    yielded first, and their models are not counted again unless their files have changed.

    Raises InputError for an argument that does not fit, and for a file to resume from with results of other options.
    """
    if jobs is not None and jobs < 1:
        raise InputError(f"jobs must be 1 or more, not {jobs}")
    if settings is not None and (jobs or 1) > 1:
        raise InputError("models are run one after the other, so that none disturbs another's timing: jobs is for counting")
    files = (_files_of(os.fspath(path)) for path in paths)
    models: dict[str, str] = {}
    for path in chain.from_iterable(files):
        if is_remote(models.setdefault(key_of(path), path)) and models[key_of(path)] != path:
            raise InputError(f"two URLs of '{redact(path)}' differ in what is not printed: scan one of them")
    common = ModelSpec.of(None, shapes, dims, values)
    options = _options(common, settings)
    checkpoint = None if resume is None else open_checkpoint(os.fspath(resume), options, models.values())

    def fresh(paths: Iterable[str]) -> Generator[Scanned]:
        specs = [replace(common, source=path) for path in paths]
        results = _count_all(specs, options, jobs or (1 if settings else default_jobs()), timeout)
        return results if settings is None else _measure_all(results, common, models, settings, on_progress)

    return _merge_results(models, checkpoint, fresh)


def _files_of(path: str) -> list[str]:
    if is_remote(path):
        return [each.url for each in list_models(path)]
    return models_in(path) if Path(path).is_dir() else [path]


def default_jobs() -> int:
    """The number of usable cores."""
    from onnxcost.runtime.machine import usable_cores

    return ceil(usable_cores())


def _options(common: ModelSpec, settings: Settings | None) -> Document:
    """What the results depend on besides the models, as plain data."""

    def digest(array: Any) -> dict[str, Any]:
        return {"dtype": str(array.dtype), "shape": array.shape, "sha256": sha256(array.tobytes()).hexdigest()}

    run = None if settings is None else asdict(replace(settings, timeout=None))
    given = {"shapes": common.shapes, "dims": common.dims, "values": common.values, "run": run}
    # NaN and infinity become strings, as JSON does not have them and the checkpoint must be readable.
    plain: Document = json.loads(json.dumps(given, default=digest), parse_constant=str)
    return plain


def _merge_results(
    models: Mapping[str, str], checkpoint: Checkpoint | None, fresh: Callable[[Iterable[str]], Generator[Scanned]]
) -> Generator[Scanned]:
    """The results in the checkpoint, then the fresh ones, which are added to it."""
    done = checkpoint.done if checkpoint else {}
    yield from (done[key] for key in models if key in done)
    results = fresh(path for key, path in models.items() if key not in done)
    with closing(checkpoint) if checkpoint else nullcontext(), closing(results):
        for result in results:
            if checkpoint:
                checkpoint.add(result)
            yield result


def _count_all(specs: Sequence[ModelSpec], options: Document, jobs: int, timeout: float) -> Generator[Scanned]:
    # Taken before the files are read: one that changes in the meantime is counted again.
    stamps = {path: stamp_of(path) for path in (str(spec.source) for spec in specs)}
    with closing(pool.count_tasks(specs, jobs, timeout)) as answers:
        for spec, answer in answers:
            path = str(spec.source)
            yield Scanned(redact(path), answer.status, answer.reason, answer.seconds, stamps[path], options, answer.report)


def _measure_all(
    results: Generator[Scanned],
    common: ModelSpec,
    models: Mapping[str, str],
    settings: Settings,
    on_progress: OnProgress | None,
) -> Generator[Scanned]:
    with closing(results):
        for result in results:
            spec = replace(common, source=models[key_of(result.path)])
            yield result if result.report is None else _measure_one(result, spec, settings, on_progress)


def _measure_one(result: Scanned, spec: ModelSpec, settings: Settings, on_progress: OnProgress | None) -> Scanned:
    from onnxcost.frontend.dims import select_known
    from onnxcost.measurement import Unmeasured
    from onnxcost.runtime.api import change_settings, measure_spec

    start = time.perf_counter()
    heard = None if on_progress is None else partial(on_progress, result.path)
    found: Measurement | Unmeasured
    try:
        found = measure_spec(select_known(spec), change_settings(settings, {}), on_progress=heard)
    except OnnxCostError as error:
        found = Unmeasured("failed", str(error))
    except Exception as error:
        found = Unmeasured("failed", pool.describe_failure(error))
    measurement = {key: value for key, value in found.to_dict().items() if key != "samples"}
    return replace(
        result,
        status="unmeasured" if isinstance(found, Unmeasured) else "ok",
        reason=measurement["reason"] or "",
        seconds=round(result.seconds + time.perf_counter() - start, 6),
        report={**(result.report or {}), "measurement": measurement},
    )
