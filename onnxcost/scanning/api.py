"""``onnxcost.scan``: counts many models in a worker pool, measures them one by one, and resumes from a checkpoint."""

from __future__ import annotations

import json
import os
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import asdict, replace
from functools import partial
from hashlib import sha256
from math import ceil
from typing import TYPE_CHECKING, Any

from onnxcost.errors import InputError, OnnxCostError
from onnxcost.remote.models import Listed
from onnxcost.remote.urls import is_remote, redact
from onnxcost.scanning import pool
from onnxcost.scanning.checkpoint import Checkpoint, open_checkpoint
from onnxcost.scanning.listing import Shard, find_stamps, list_paths
from onnxcost.scanning.results import Document, Scanned, Stamp, key_of
from onnxcost.spec import ModelSpec

if TYPE_CHECKING:
    from distributed import Client

    from onnxcost.measurement import Measurement, Settings
    from onnxcost.runtime.protocol import Progress


TIMEOUT = 300.0
IO = 64
"""The models at URLs that are read at the same time."""
OnProgress = Callable[[str, "Progress"], None]


def scan(
    paths: Iterable[str | os.PathLike[str] | Listed],
    *,
    shapes: Mapping[str, Sequence[int]] | None = None,
    dims: Mapping[str, int] | None = None,
    values: Mapping[str, Any] | None = None,
    jobs: int | None = None,
    timeout: float = TIMEOUT,
    settings: Settings | None = None,
    shard: tuple[int, int] | None = None,
    cluster: str | Client | None = None,
    io: int = IO,
    resume: str | os.PathLike[str] | None = None,
    on_progress: OnProgress | None = None,
) -> Generator[Scanned]:
    """Count many models, yielding each result as soon as it is known. ``paths`` are files, URLs, or folders, for all *.onnx in
    them.

    ``jobs`` is the number of parallel processes, by default one per core. With ``settings``, the models are also run, as by
    ``onnxcost.measure``, one at a time so that they do not disturb each other; ``on_progress`` receives the progress
    of each. ``shapes``, ``dims`` and ``values`` apply to the models that have the name. If a model cannot be counted or run, is
    not counted within ``timeout`` seconds, or crashes the process that counts it, its result has the reason.

    Models at URLs are read ahead, ``io`` at a time.

    ``shard=(3, 16)`` is the third of 16 parts of the models. The part of a model depends only on its path in the given folder,
    so it is the same on all machines, and does not change when models are added.

    ``cluster`` is a Dask cluster whose workers count instead of local processes: ``"tcp://HOST:8786"``, ``"local:4"`` for
    four workers on this machine, or a ``distributed.Client``. The workers must have the same versions of onnxcost, onnx
    and Python, and find the models under the same paths.

    ``resume`` is a file to which a JSON line is appended for each completed model. Results already in it are
    yielded first, and their models are not counted again unless their files have changed.

    Raises InputError for an invalid argument, for a ``resume`` file with results of other options, and for a
    cluster that cannot be reached or has other versions.
    """
    if jobs is not None and jobs < 1:
        raise InputError(f"jobs must be 1 or more, not {jobs}")
    if io < 1:
        raise InputError(f"io must be 1 or more, not {io}")
    if settings is not None and (jobs or 1) > 1:
        raise InputError(
            "models are timed one at a time, so that they do not disturb each other: jobs applies only to counting"
        )
    given = [*paths]
    listed: dict[str, Listed] = {}
    for model in list_paths(given):
        listed.setdefault(model.url, model)
    chosen: Iterable[str] = listed
    if shard is not None:
        chosen = Shard.of(*shard).select(listed, [each.url if isinstance(each, Listed) else os.fspath(each) for each in given])
    models: dict[str, str] = {}
    for path in chosen:
        if is_remote(models.setdefault(key_of(path), path)) and models[key_of(path)] != path:
            raise InputError(f"two URLs of '{redact(path)}' differ only in their user, password or query: scan one of them")
    stamps = find_stamps([listed[path] for path in models.values()], 0 if resume is None else io)
    # Models at URLs are read while others are counted, but not while one is measured.
    reads_ahead = io if settings is None and any(map(is_remote, models.values())) else 0
    common = ModelSpec.of(None, shapes, dims, values)
    options = _options(common, settings)
    checkpoint = None if resume is None else open_checkpoint(os.fspath(resume), options, stamps)

    def fresh(paths: Iterable[str]) -> Generator[Scanned]:
        specs = [replace(common, source=path) for path in paths]
        if cluster is None:
            number = jobs or (1 if settings else default_jobs())
            answers = pool.count_tasks(deque(specs), number, timeout, ceil(reads_ahead / number))
        else:
            from onnxcost.scanning.cluster import count_on_cluster

            answers = count_on_cluster(cluster, specs, timeout, reads_ahead)
        results = _count_all(stamps, options, answers)
        return results if settings is None else _measure_all(results, common, models, settings, on_progress)

    return _merge_results(models, checkpoint, fresh)


def default_jobs() -> int:
    """The number of usable cores."""
    from onnxcost.runtime.machine import usable_cores

    return ceil(usable_cores())


def _options(common: ModelSpec, settings: Settings | None) -> Document:
    """The options that the results depend on, as plain data."""

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


def _count_all(
    stamps: Mapping[str, Stamp | None], options: Document, answers: Generator[tuple[ModelSpec, pool.Answer]]
) -> Generator[Scanned]:
    with closing(answers):
        for spec, answer in answers:
            path = str(spec.source)
            yield Scanned(
                redact(path), answer.status, answer.reason, answer.seconds, stamps[key_of(path)], options, answer.report
            )


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
