"""``onnxcost.scan``: many models, counted side by side, or counted and measured one after the other."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import asdict, replace
from functools import partial
from hashlib import sha256
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onnxcost.errors import InputError, OnnxCostError
from onnxcost.files import models_in
from onnxcost.scanned import Document, Scanned, key_of, stamp_of
from onnxcost.scanning import crew
from onnxcost.scanning.journal import Journal, opened
from onnxcost.scanning.messages import Given, Task
from onnxcost.scanning.worker import own, unforeseen

if TYPE_CHECKING:
    from onnxcost.measurement import Measurement, Settings
    from onnxcost.measuring.messages import Progress

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
    given = Given(shapes or {}, dims or {}, values or {})
    options = _options(given, settings)
    journal = None if resume is None else opened(os.fspath(resume), options, models.values())

    def fresh(paths: Iterable[str]) -> Generator[Scanned]:
        results = _counted([Task(path, given) for path in paths], options, jobs or (1 if settings else usable_cores()), timeout)
        return results if settings is None else _measured(results, given, settings, on_progress)

    return _results(models, journal, fresh)


def usable_cores() -> int:
    """How many cores there are to count on."""
    from onnxcost.measuring.environment import usable_cores as cores

    return ceil(cores())


def _files(paths: Iterable[str | os.PathLike[str]]) -> Iterator[str]:
    for path in paths:
        yield from models_in(os.fspath(path)) if Path(path).is_dir() else [os.fspath(path)]


def _options(given: Given, settings: Settings | None) -> Document:
    """What the results depend on besides the models, as plain data."""
    run = None if settings is None else asdict(replace(settings, timeout=None))
    plain: Document = json.loads(json.dumps({**given._asdict(), "run": run}, default=_digest))
    return plain


def _digest(array: Any) -> dict[str, Any]:
    return {"dtype": str(array.dtype), "shape": array.shape, "sha256": sha256(array.tobytes()).hexdigest()}


def _results(
    models: Mapping[str, str], journal: Journal | None, fresh: Callable[[Iterable[str]], Generator[Scanned]]
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


def _counted(tasks: Sequence[Task], options: Document, jobs: int, timeout: float) -> Generator[Scanned]:
    # As the files were before they were read: one that changes meanwhile is done again.
    stamps = {task.path: stamp_of(task.path) for task in tasks}
    with closing(crew.counted(tasks, jobs, timeout)) as answers:
        for task, answer in answers:
            stamp = stamps[task.path]
            yield Scanned(task.path, answer.status, answer.reason, answer.seconds, stamp, options, answer.report)


def _measured(
    results: Generator[Scanned], given: Given, settings: Settings, on_progress: OnProgress | None
) -> Generator[Scanned]:
    with closing(results):
        for result in results:
            yield result if result.report is None else _run(result, given, settings, on_progress)


def _run(result: Scanned, given: Given, settings: Settings, on_progress: OnProgress | None) -> Scanned:
    from onnxcost.measurement import Unmeasured
    from onnxcost.measuring.measuring import measure
    from onnxcost.schema import measurement_to_dict

    start = time.perf_counter()
    heard = None if on_progress is None else partial(on_progress, result.path)
    found: Measurement | Unmeasured
    try:
        found = measure(result.path, settings, **own(given, result.path)._asdict(), on_progress=heard)
    except OnnxCostError as error:
        found = Unmeasured("failed", str(error))
    except Exception as error:
        found = Unmeasured("failed", unforeseen(error))
    measurement = {key: value for key, value in measurement_to_dict(found).items() if key != "samples"}
    return replace(
        result,
        status="unmeasured" if isinstance(found, Unmeasured) else "ok",
        reason=measurement["reason"] or "",
        seconds=round(result.seconds + time.perf_counter() - start, 6),
        report={**(result.report or {}), "measurement": measurement},
    )
