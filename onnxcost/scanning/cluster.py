"""A scan on a Dask cluster: each worker counts in its own process, which time and memory limits can end."""

from __future__ import annotations

import logging
import os
import platform
import time
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from functools import cache
from importlib.metadata import version
from itertools import islice
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import uuid4

from onnxcost.errors import InputError, OnnxCostError
from onnxcost.scanning import pool
from onnxcost.scanning.pool import Answer
from onnxcost.spec import ModelSpec
from onnxcost.version import __version__

if TYPE_CHECKING:
    from distributed import Client, as_completed

LOCAL = "local:"
MOST_SUBMITTED = 2000
"""The most tasks that the scheduler has at a time."""
MOST_TOGETHER, TURNS = 16, 32
"""The most models in a task, so that Dask's overhead is small in comparison; fewer if a thread would otherwise get fewer tasks
than TURNS.
"""
CONNECT_SECONDS, WORKER_SECONDS, END_SECONDS = 10, 60, 10
"""How long to wait for the scheduler, for its first worker, and at the end for processes to close."""
POLL_SECONDS, LOOK_SECONDS = 0.02, 5
"""How often to check for completed tasks, and in between for workers."""
Versions = tuple[tuple[str, str], ...]


@contextmanager
def open_client(address: str) -> Iterator[Client]:
    """A client of the cluster at ``tcp://HOST:PORT``, or of one on this machine that ends with the block: ``local:4``.

    Raises InputError without the extra ``dask``, for an address without a scheduler, and for a cluster without workers.
    """
    try:
        from dask import config
        from distributed import Client, LocalCluster
        from distributed.utils import silence_logging_cmgr
    except ImportError as error:
        raise InputError(f"--cluster needs Dask: pip install 'onnxcost[dask]' ({error})") from None
    workers = address.removeprefix(LOCAL)
    if address.startswith(LOCAL) and not (workers.isdecimal() and int(workers)):
        raise InputError(f"--cluster expects tcp://HOST:8786 or local:N for N local workers, not '{address}'")
    with silence_logging_cmgr(logging.CRITICAL), ExitStack() as stack:
        try:
            if address.startswith(LOCAL):
                with config.set({"distributed.worker.profile.enabled": False}):  # it samples threads that wait
                    cluster = LocalCluster(n_workers=int(workers), threads_per_worker=1, dashboard_address=":0")
                stack.callback(cluster.close, END_SECONDS)
                address = cluster.scheduler_address
            client = Client(address, timeout=CONNECT_SECONDS)
        except (OSError, TimeoutError, ValueError) as error:
            said = f"{error or type(error).__name__}".partition("\n")[0]
            raise InputError(f"there is no Dask scheduler at '{address}': {said}") from None
        stack.callback(client.close, END_SECONDS)
        yield client


class Job(NamedTuple):
    """What a worker needs to know about the scan."""

    scan: str
    timeout: float
    ahead: int
    folder: str | None
    versions: Versions


def count_on_cluster(
    cluster: str | Client, specs: Sequence[ModelSpec], timeout: float, ahead: int = 0
) -> Generator[tuple[ModelSpec, Answer]]:
    """Every task with its answer, as ``pool.count_tasks`` gives them, counted by the workers of ``open_client``'s cluster.

    The tasks of a lost worker are given to another one. A task with which Dask has lost more workers than its setting
    ``allowed-failures`` allows is answered "unfinished". A worker gets at least ``1 + ahead`` tasks at a time.

    Raises InputError for workers with other versions, or without the folder that paths are relative to, and where the
    connection to the scheduler is lost.
    """
    if not specs:
        return
    with open_client(cluster) if isinstance(cluster, str) else nullcontext(cluster) as client:
        yield from _count_all(client, specs, timeout, ahead)


def _count_all(client: Client, specs: Sequence[ModelSpec], timeout: float, io: int) -> Generator[tuple[ModelSpec, Answer]]:
    from distributed import as_completed

    sources = [str(spec.source) for spec in specs]
    is_relative = any("://" not in source and not os.path.isabs(source) for source in sources)  # noqa: PTH117
    threads = sum(client.nthreads().values()) or 1
    ahead = ceil(io / threads)
    job = Job(uuid4().hex, timeout, ahead, str(Path.cwd()) if is_relative else None, find_versions())
    _check_versions(client, job.versions)
    size = max(1 + ahead, min(MOST_TOGETHER, len(specs) // (threads * TURNS)))
    waiting = deque(tuple(specs[at : at + size]) for at in range(0, len(specs), size))
    running: dict[object, tuple[ModelSpec, ...]] = {}
    results = as_completed(with_results=True, raise_errors=False)
    try:
        while waiting or running:
            while waiting and len(running) < MOST_SUBMITTED:
                batch = waiting.popleft()
                # Keys of one group, so that the scheduler keeps the tasks for which no worker is free.
                future = client.submit(count_on_worker, job, batch, key=(f"onnxcost-{job.scan}", uuid4().hex), pure=False)
                running[future.key] = batch
                results.add(future)
            for future, answers in _wait_for_any(client, results):
                batch = running.pop(future.key)
                if future.status == "error":
                    answers = _answer_lost(future.exception(), batch)
                elif future.status == "cancelled":
                    raise InputError("the connection to the Dask scheduler was lost")
                elif future.status != "finished" or not isinstance(answers, list):
                    # The worker was lost after it had the answers and before it sent them.
                    future.release()
                    waiting.appendleft(batch)
                    continue
                future.release()
                yield from zip(batch, answers, strict=True) if answers else ()
                waiting.extendleft(() if answers else ((spec,) for spec in batch))
    finally:
        with suppress(Exception):
            client.cancel([*results.futures], force=True)
            client.run(end_scan, job.scan, on_error="ignore")


def _wait_for_any(client: Client, results: as_completed) -> list[tuple[Any, list[Answer]]]:
    """The futures that are done, at least one. Raises InputError if the cluster has no worker for WORKER_SECONDS."""
    looked = seen = time.monotonic()
    while not (found := results.next_batch(block=False)):
        time.sleep(POLL_SECONDS)
        if time.monotonic() > looked + LOOK_SECONDS:
            looked = time.monotonic()
            with suppress(Exception):  # if it is the connection, the futures will say so
                seen = looked if client.nthreads() else seen
            if looked > seen + WORKER_SECONDS:
                raise InputError(f"the Dask cluster has had no worker for {WORKER_SECONDS} seconds: start workers")
    return found  # type: ignore[no-any-return]


def _answer_lost(error: Exception, batch: Sequence[ModelSpec]) -> list[Answer]:
    """The answer for a task that Dask has given up because its workers were lost; none if it has several models, one of which
    is the cause. Raises InputError for every other error.
    """
    from distributed import KilledWorker

    if not isinstance(error, KilledWorker):
        raise error if isinstance(error, OnnxCostError) else InputError(f"a Dask worker failed: {error!r}")
    lost = f"{error.allowed_failures + 1} Dask workers were lost while counting it"
    answer = Answer("unfinished", f"{lost}, most likely because their machines have too little memory")
    return [answer] if len(batch) == 1 else []


@cache
def find_versions() -> Versions:
    """The local versions that the workers must have, too: counts and the format of tasks depend on them."""
    python = ".".join(platform.python_version_tuple()[:2])
    return ("onnxcost", __version__), ("onnx", version("onnx")), ("Python", python)


def _check_versions(client: Client, here: Versions) -> None:
    """Raises InputError if the cluster has no worker, or the scheduler or a worker has other versions."""

    def find() -> Versions | str:
        # Sent by value: where onnxcost is missing, it could not be found by its name.
        try:
            from onnxcost.scanning.cluster import find_versions

            return find_versions()
        except ImportError as error:
            return str(error)

    try:
        client.wait_for_workers(1, timeout=WORKER_SECONDS)
    except TimeoutError:
        raise InputError(f"the Dask cluster has had no worker for {WORKER_SECONDS} seconds: start workers") from None
    places = {"the Dask scheduler": client.run_on_scheduler(find)}
    places |= {f"the Dask worker {address}": found for address, found in client.run(find).items()}
    for place, found in places.items():
        _refuse_versions(place, found, here)


def _refuse_versions(place: str, found: Versions | str, here: Versions) -> None:
    if isinstance(found, str):
        raise InputError(f"{place} cannot import onnxcost ({found}): install onnxcost {__version__} on it")
    if differ := [f"{name} {there}, not {mine}" for (name, mine), (_, there) in zip(here, found, strict=True) if mine != there]:
        raise InputError(f"{place} has {' and '.join(differ)} as here: install the same versions")


_IDLE: dict[str, list[tuple[deque[ModelSpec], Generator[tuple[ModelSpec, Answer]]]]] = {}
"""On a worker, by scan: the idle processes, each with its tasks and its answers."""
_ENDED: set[str] = set()


def count_on_worker(job: Job, batch: Sequence[ModelSpec]) -> list[Answer]:
    """On a worker: the answers to the tasks, from a process that is kept for later tasks of the same scan."""
    from distributed import get_worker

    # Workers may join after the first check.
    place = f"the Dask worker {get_worker().address}"
    _refuse_versions(place, find_versions(), job.versions)
    if job.folder is not None and not Path(job.folder).is_dir():
        raise InputError(f"{place} has no folder '{job.folder}': use absolute paths or URLs that all machines can access")
    idle = _IDLE.setdefault(job.scan, [])
    try:
        waiting, answers = idle.pop()
    except IndexError:
        waiting = deque()
        answers = pool.count_tasks(waiting, 1, job.timeout, job.ahead, job.folder)
    waiting.extend(batch)
    found = [answer for _, answer in islice(answers, len(batch))]
    if job.scan in _ENDED:
        answers.close()
    else:
        idle.append((waiting, answers))
    return found


def end_scan(scan: str) -> None:
    """On a worker: end the processes that were kept for a scan; those that are counting end after their tasks."""
    _ENDED.add(scan)
    for _, answers in _IDLE.pop(scan, ()):
        answers.close()
