"""Scans of models at URLs, on real servers: several are read at the same time, and again only where they have changed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from onnxcost.errors import InputError
from onnxcost.scanning.api import scan
from onnxcost.scanning.listing import find_stamps, list_paths
from onnxcost.scanning.results import Scanned
from tests.modeltext import model
from tests.servers import NGINX, NO_NGINX, Nginx, SlowLine, nginx, s3, slow_line

pytest.importorskip("aiohttp", reason="the extra 'remote' is not installed")
needs_nginx = pytest.mark.skipif(NGINX is None, reason=NO_NGINX)
MANY = 16


def content(number: int) -> bytes:
    text = f"(float[batch,{number + 1}] x) => (float y) {{ y = MatMul(x, w) }}"
    return model(text, w=(number + 1, 4)).SerializeToString() if number % 10 else b"broken"


def zoo(folder: Path) -> list[Scanned]:
    """The results of files in a new folder ``zoo``."""
    (folder / "zoo").mkdir()
    for number in range(MANY):
        (folder / "zoo" / f"m{number:02}.onnx").write_bytes(content(number))
    return [*scan([folder / "zoo"], jobs=1)]


def why(result: Scanned) -> str:
    """The reason without the place of the file."""
    return result.reason.replace(result.path, Path(result.path).name)


def counts(results: list[Scanned]) -> dict[str, Any]:
    """What was found, or why nothing was, by the names of the files."""
    found = {Path(each.path).name: (each.report and each.report["totals"]) or f"{each.status}: {why(each)}" for each in results}
    assert len(found) == len(results)
    return found


@pytest.fixture(scope="module")
def store() -> Iterator[tuple[Any, SlowLine]]:
    """A file system with the models in the bucket ``zoo``, and the line that leads to it."""
    for module in ("s3fs", "moto", "flask_cors"):
        pytest.importorskip(module, reason="the S3-compatible server of the tests is not installed")
    import s3fs

    with s3() as address, slow_line(int(address.rpartition(":")[2]), 0.05) as line:
        system = s3fs.S3FileSystem(key="key", secret="s3cr3t", endpoint_url=address, use_listings_cache=False)
        system.mkdir("zoo")
        for number in range(MANY):
            system.pipe_file(f"zoo/deep/m{number:02}.onnx", content(number))
        yield system, line


@pytest.fixture
def bucket(store: tuple[Any, SlowLine], monkeypatch: pytest.MonkeyPatch) -> tuple[Any, SlowLine]:
    """The same, for what finds it by the environment."""
    system, line = store
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s3cr3t")
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{line.port}")
    system.pipe_file("zoo/deep/m03.onnx", content(3))
    return store


def test_a_bucket_is_read_ahead_and_only_once(tmp_path: Path, bucket: tuple[Any, SlowLine]) -> None:
    system, line = bucket
    local, file = counts(zoo(tmp_path)), tmp_path / "scan.jsonl"
    first = [*scan(["s3://zoo/"], jobs=2, io=16, resume=file)]
    assert counts(first) == local
    assert {Path(each.path).parent for each in first} == {Path("s3:/zoo/deep")}
    assert line.most >= 8
    line.requests = 0
    assert counts([*scan(["s3://zoo/"], resume=file)]) == local
    assert line.requests <= 3  # of the listing
    system.pipe_file("zoo/deep/m03.onnx", content(7))
    line.requests = 0
    again = counts([*scan(["s3://zoo/"], jobs=1, resume=file)])
    assert again == local | {"m03.onnx": local["m07.onnx"]}
    assert line.requests <= 8
    assert len(file.read_text().splitlines()) == MANY


def test_shards_of_a_bucket(tmp_path: Path, bucket: tuple[Any, SlowLine]) -> None:
    parts = [[*scan(["s3://zoo/"], jobs=1, shard=(number, 3))] for number in (1, 2, 3)]
    assert counts([each for part in parts for each in part]) == counts(zoo(tmp_path))
    shard = {Path(each.path).name for each in scan(["s3://zoo/deep/"], jobs=1, shard=(1, 3))}
    assert shard == {Path(each.path).name for each in scan([tmp_path / "zoo"], jobs=1, shard=(1, 3))}


@pytest.mark.parametrize(("io", "most"), [(1, 2), (4, 5)])
@needs_nginx
def test_no_more_models_than_requested_are_read_in_parallel(tmp_path: Path, io: int, most: int) -> None:
    with nginx(tmp_path / "nginx") as server, slow_line(server.port, 0.02) as line:
        local = counts(zoo(server.files))
        urls = [f"http://127.0.0.1:{line.port}/zoo/{name}" for name in local]
        assert counts([*scan(urls, jobs=1, io=io)]) == local
        assert 2 <= line.most <= most


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Nginx]:
    with nginx(tmp_path / "nginx") as started:
        yield started


@needs_nginx
def test_single_urls_are_read_again_where_they_have_changed(tmp_path: Path, server: Nginx) -> None:
    local, file = counts(zoo(server.files)), tmp_path / "scan.jsonl"
    urls = [f"{server.url}/zoo/{name}" for name in local]
    assert counts([*scan(urls, jobs=1, resume=file)]) == local
    server.requests()
    (server.files / "zoo" / "m03.onnx").write_bytes(content(7))
    assert counts([*scan(urls, jobs=1, resume=file)]) == local | {"m03.onnx": local["m07.onnx"]}
    requests = server.requests()
    assert {each.path for each in requests if each.sent > 1} == {"/zoo/m03.onnx"}
    assert len(file.read_text().splitlines()) == MANY
    assert [*scan([f"{server.url}/listed/zoo/"], jobs=1)][3].path == f"{server.url}/listed/zoo/m03.onnx"


@needs_nginx
def test_what_may_pass_is_tried_again(tmp_path: Path, server: Nginx) -> None:
    local, file = counts(zoo(server.files)), tmp_path / "scan.jsonl"
    urls = [f"{server.url}/{path}/m01.onnx" for path in ("zoo", "refused", "nowhere", "untagged/zoo")]
    for _ in range(2):
        results = {each.path: each for each in scan(urls, jobs=1, resume=file)}
        assert [results[url].status for url in urls] == ["ok", "unfinished", "failed", "ok"]
        assert "403" in results[urls[1]].reason
        assert results[urls[0]].report["totals"] == local["m01.onnx"]  # type: ignore[index]
        assert [results[url].file is None for url in urls] == [False, True, True, False]


@needs_nginx
def test_a_server_without_models(tmp_path: Path, server: Nginx) -> None:
    (server.files / "empty").mkdir()
    with pytest.raises(InputError, match=r"there is no \.onnx file at"):
        scan([f"{server.url}/listed/empty/"])
    assert find_stamps(list_paths(["http://127.0.0.1:1/a.onnx"]), 4) == {"http://127.0.0.1:1/a.onnx": None}
