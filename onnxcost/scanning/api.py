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
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onnxcost.errors import InputError, OnnxCostError
from onnxcost.files import models_in
from onnxcost.remote import is_remote, list_models, redact
from onnxcost.scanning import pool
from onnxcost.scanning.checkpoint import Checkpoint, open_checkpoint
from onnxcost.scanning.listing import Shard
from onnxcost.scanning.results import Document, Scanned, key_of, stamp_of
from onnxcost.spec import ModelSpec

if TYPE_CHECKING:
    from distributed import Client

    from onnxcost.measurement import Measurement, Settings
    from onnxcost.runtime.protocol import Progress


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
    shard: tuple[int, int] | None = None,
    cluster: str | Client | None = None,
    resume: str | os.PathLike[str] | None = None,
    on_progress: OnProgress | None = None,
) -> Generator[Scanned]:
    """Yield the cost of each of many models, as soon as it is known. ``paths`` are files, or folders for all *.onnx in them.

    ``jobs`` processes count in parallel; None is one for each core. With ``settings`` the models are also run, as by
    ``onnxcost.measure``, one after the other, so that none disturbs the timing of another; ``on_progress`` gets the progress
    of each. ``shapes``, ``dims`` and ``values`` apply to the models that have the name. The result has the reason for a model
    that cannot be counted or run, is not counted within ``timeout`` seconds, or crashes the process that counts it.

    ``shard=(3, 16)`` is the third of 16 parts of the models. Each model is in one part, which depends on its path below the
    folder given, so that a part has the same models on all machines and whatever is added to the folder.

    ``cluster`` is a Dask cluster whose workers count, in place of processes here: ``"tcp://HOST:8786"``, ``"local:4"`` for
    one of four workers on this machine, or a ``distributed.Client``. The workers must have the same versions of onnxcost, onnx
    and Python, and find the models under the same paths.

    ``resume`` is a file to which a JSON line is added for each model as soon as it is done. Results that it already has are
    yielded first, and their models are not counted again unless their files have changed.

    Raises InputError for an argument that does not fit, for a file to resume from with results of other options, and for a
    cluster that cannot be reached or has other versions.
    """
    if jobs is not None and jobs < 1:
        raise InputError(f"jobs must be 1 or more, not {jobs}")
    if settings is not None and (jobs or 1) > 1:
        raise InputError("models are run one after the other, so that none disturbs another's timing: jobs is for counting")
    given = [os.fspath(path) for path in paths]
    found = [model for path in given for model in _files_of(path)]
    models: dict[str, str] = {}
    for path in found if shard is None else Shard.of(*shard).select(found, given):
        if is_remote(models.setdefault(key_of(path), path)) and models[key_of(path)] != path:
            raise InputError(f"two URLs of '{redact(path)}' differ in what is not printed: scan one of them")
    common = ModelSpec.of(None, shapes, dims, values)
    options = _options(common, settings)
    checkpoint = None if resume is None else open_checkpoint(os.fspath(resume), options, models.values())

    def fresh(paths: Iterable[str]) -> Generator[Scanned]:
        specs = [replace(common, source=path) for path in paths]
        if cluster is None:
            answers = pool.count_tasks(deque(specs), jobs or (1 if settings else default_jobs()), timeout)
        else:
            from onnxcost.scanning.cluster import count_on_cluster

            answers = count_on_cluster(cluster, specs, timeout)
        results = _count_all(specs, options, answers)
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


def _count_all(
    specs: Sequence[ModelSpec], options: Document, answers: Generator[tuple[ModelSpec, pool.Answer]]
) -> Generator[Scanned]:
    # Taken before the files are read: one that changes in the meantime is counted again.
    stamps = {path: stamp_of(path) for path in (str(spec.source) for spec in specs)}
    with closing(answers):
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
