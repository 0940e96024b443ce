"""Scans on a real Dask cluster of two workers: what they find is what one process finds, whatever becomes of the workers."""

from __future__ import annotations

import os
import re
import signal
import time
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from onnxcost.errors import InputError
from onnxcost.scanning import cluster
from onnxcost.scanning.api import scan
from onnxcost.scanning.results import Scanned
from tests.modeltext import model

distributed = pytest.importorskip("distributed", reason="the extra 'dask' is not installed")
pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs signals and named pipes")
MANY = 30


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they are Dask's
        started = distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0", silence_logs=50)
        with started, distributed.Client(started) as client:
            yield client


@pytest.fixture
def zoo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("zoo").mkdir()
    for number in range(MANY):
        text = f"(float[batch,{number + 1}] x) => (float y) {{ y = MatMul(x, w) }}"
        content = model(text, w=(number + 1, 4)).SerializeToString() if number % 10 else b"broken"
        Path("zoo", f"m{number:02}.onnx").write_bytes(content)
    return tmp_path


@pytest.fixture
def endless(zoo: Path) -> Iterator[str]:
    """A model that is read until the process that counts it ends: a pipe whose writer does not write."""
    os.mkfifo("endless.onnx")
    writer = os.open("endless.onnx", os.O_RDWR)
    yield "endless.onnx"
    os.close(writer)


def rows(found: Iterable[Scanned]) -> dict[str, dict[str, Any]]:
    """The results without their times; none of them comes twice."""
    listed = [*found]
    results = {result.path: result.to_dict() | {"seconds": 0} for result in listed}
    assert len(results) == len(listed)
    return results


def kill(client: Any, address: str) -> None:
    os.kill(client.run(os.getpid, workers=[address])[address], signal.SIGKILL)


def test_no_row_is_lost_or_doubled_with_a_worker(zoo: Path, client: Any) -> None:
    serial = rows(scan(["zoo"], jobs=1, dims={"batch": 3}))
    found = scan(["zoo"], dims={"batch": 3}, cluster=client.scheduler.address, resume="scan.jsonl")
    first = [next(found) for _ in range(5)]
    kill(client, next(iter(client.nthreads())))
    assert rows([*first, *found]) == serial
    assert len(Path("scan.jsonl").read_text().splitlines()) == len(serial) == MANY
    # All is done: no cluster is asked for anything.
    assert rows(scan(["zoo"], dims={"batch": 3}, cluster="tcp://127.0.0.1:1", resume="scan.jsonl")) == serial


@pytest.mark.parametrize("status", ["lost", "pending", "finished"])
def test_answers_that_are_lost_with_a_worker_are_counted_anew(
    status: str, zoo: Path, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker may end between its last count and the moment when the answers are fetched."""
    usual, lost = cluster._wait_for_any, []

    def wait(*arguments: Any) -> list[tuple[Any, Any]]:
        found: list[tuple[Any, Any]] = usual(*arguments)
        if not lost:
            future, _ = found[0]
            lost.append(future)
            found[0] = SimpleNamespace(key=future.key, status=status, release=future.release), None
        return found

    monkeypatch.setattr(cluster, "_wait_for_any", wait)
    assert rows(scan(["zoo"], cluster=client)) == rows(scan(["zoo"], jobs=1))
    assert lost


def test_a_model_with_which_workers_are_lost_is_a_row(endless: str, client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    client.wait_for_workers(2, timeout=30)
    monkeypatch.setattr(client.cluster.scheduler, "allowed_failures", 0)
    found = scan(["zoo", endless], cluster=client)
    others = [next(found) for _ in range(MANY)]
    assert {result.path for result in others} == {f"zoo/m{number:02}.onnx" for number in range(MANY)}
    (address,) = (address for address, tasks in client.processing().items() if tasks)
    kill(client, address)
    (result,) = found
    assert (result.path, result.status) == (endless, "unfinished")
    assert result.reason.startswith("1 Dask workers were lost while counting it")


def test_the_time_limit_is_that_of_a_scan_without_a_cluster(endless: str, client: Any) -> None:
    results = rows(scan([endless, "zoo/m01.onnx"], cluster=client, timeout=1))
    assert results[endless]["reason"] == "not counted within 1 seconds (--timeout)"
    assert results["zoo/m01.onnx"]["status"] == "ok"


def test_nothing_is_left_on_the_workers(zoo: Path, client: Any) -> None:
    def children() -> int:
        return len(psutil.Process().children())

    before = client.run(children)
    found = scan(["zoo"], cluster=client)
    next(found)
    found.close()
    deadline = time.monotonic() + 10
    while client.run(children) != before and time.monotonic() < deadline:
        time.sleep(0.1)
    assert client.run(children) == before
    assert not client.futures


@pytest.mark.parametrize(("number", "what"), [(0, "onnxcost"), (1, "onnx"), (2, "Python")])
def test_other_versions_are_refused(number: int, what: str, zoo: Path, client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    here = cluster.find_versions()
    other = (*here[:number], (what, "0.1"), *here[number + 1 :])
    monkeypatch.setattr(cluster, "find_versions", lambda: other)
    with pytest.raises(InputError, match=rf"^the Dask worker tcp://\S+ has {what} {here[number][1]}, not 0.1 as here: install"):
        next(scan(["zoo"], cluster=client))


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("tcp://127.0.0.1:1", "there is no Dask scheduler at 'tcp://127.0.0.1:1': "),
        ("somewhere", "there is no Dask scheduler at 'somewhere': "),
        ("http://127.0.0.1:8786", "there is no Dask scheduler at 'http://127.0.0.1:8786': "),
        ("local:0", "--cluster expects tcp://HOST:8786 or local:N"),
        ("local:four", "--cluster expects tcp://HOST:8786 or local:N"),
    ],
)
def test_an_address_without_a_cluster(address: str, says: str, zoo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 0.5)
    with pytest.raises(InputError, match=f"^{re.escape(says)}"):
        next(scan(["zoo"], cluster=address))


def test_a_cluster_without_workers(zoo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "WORKER_SECONDS", 0.5)
    with (
        distributed.LocalCluster(n_workers=0, dashboard_address=":0", silence_logs=50) as empty,
        pytest.raises(InputError, match=r"the Dask cluster has had no worker for 0\.5 seconds"),
    ):
        next(scan(["zoo"], cluster=empty.scheduler_address))
