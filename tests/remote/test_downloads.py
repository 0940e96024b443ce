"""Whole models from URLs: fetched once for each state, complete or not at all, in a folder with a limit."""

from __future__ import annotations

import gzip
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from onnxcost import measure
from onnxcost.cli.app import cli
from onnxcost.errors import InputError, MeasurementError
from onnxcost.frontend import byte_source
from onnxcost.frontend.reader import read_skeleton
from onnxcost.remote import downloads
from onnxcost.remote.downloads import cache_folder, download
from tests.modeltext import model
from tests.servers import NGINX, NO_NGINX, Nginx, cut_cable, nginx

pytest.importorskip("aiohttp", reason="the extra 'remote' is not installed")
needs_nginx = pytest.mark.skipif(NGINX is None, reason=NO_NGINX)
SMALL = model("(float[n,64] x, float[64,64] w) => (float[n,64] y) { y = MatMul(x, w) }").SerializeToString()
LARGE = random.Random(0).randbytes(3 * 10**6)


@pytest.fixture(scope="module")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    with nginx(tmp_path_factory.mktemp("nginx")) as server:
        (server.files / "model.onnx").write_bytes(SMALL)
        (server.files / "model.onnx.gz").write_bytes(gzip.compress(SMALL))
        (server.files / "large.onnx").write_bytes(LARGE)
        yield server


@pytest.fixture
def server(shared_server: Nginx, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Nginx:
    """The server, with an empty log and an empty cache folder."""
    monkeypatch.setenv("ONNXCOST_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(downloads, "CHUNK", 10**6)
    byte_source._KEPT.clear()
    shared_server.requests()
    return shared_server


def invoke(*arguments: object) -> Result:
    return CliRunner(env={"COLUMNS": "120"}).invoke(cli, [*map(str, arguments)])


@needs_nginx
@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("large.onnx", LARGE),
        ("whole/large.onnx", LARGE),
        ("gzip/model.onnx", SMALL),
        ("gzip-ranges/model.onnx", SMALL),
        ("moved/large.onnx", LARGE),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_it_is_fetched_once(path: str, content: bytes, server: Nginx) -> None:
    heard: list[tuple[int, int | None]] = []
    found = download(f"{server.url}/{path}", lambda done, size: heard.append((done, size)))
    assert found.read_bytes() == content
    assert found.is_relative_to(cache_folder())
    assert [entry.name for entry in found.parent.iterdir()] == [path.rpartition("/")[2]]
    assert heard[-1][0] == len(content)
    server.requests()
    assert download(f"{server.url}/{path}") == found
    assert sum(request.sent for request in server.requests() if request.status == 206) <= 1


@needs_nginx
def test_what_changed_is_fetched_again(server: Nginx) -> None:
    file = server.files / "changing.onnx"
    file.write_bytes(b"one")
    first = download(f"{server.url}/changing.onnx")
    file.write_bytes(b"two!")
    second = download(f"{server.url}/changing.onnx")
    assert (first.read_bytes(), second.read_bytes()) == (b"one", b"two!")


@needs_nginx
def test_a_file_that_changes_meanwhile_leaves_nothing(server: Nginx) -> None:
    file = server.files / "swapped.onnx"
    file.write_bytes(os.urandom(8 * 10**6))

    def swap(done: int, _: object) -> None:
        if done == 4 * 10**6:
            file.write_bytes(os.urandom(8 * 10**6 + 1))

    with pytest.raises(InputError, match="changed while it was read"):
        download(f"{server.url}/swapped.onnx", swap)
    assert [path for path in cache_folder().rglob("*") if path.is_file()] == []


@needs_nginx
@pytest.mark.parametrize(("path", "error"), [("large.onnx", ""), ("whole/large.onnx", "cannot read .*large.onnx'")])
def test_a_connection_that_is_cut(path: str, error: str, server: Nginx, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onnxcost.remote.http.PAUSES", (0.01, 0.01, 0.01))
    with cut_cable(server.port, 500_000, 3) as port:
        if error:
            with pytest.raises(InputError, match=error):
                download(f"http://127.0.0.1:{port}/{path}")
            assert [file for file in cache_folder().rglob("*") if file.is_file()] == []
        else:
            assert download(f"http://127.0.0.1:{port}/{path}").read_bytes() == LARGE


@needs_nginx
def test_the_folder_has_a_limit(server: Nginx, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONNXCOST_CACHE_LIMIT", "7MB")
    found = []
    for number in range(4):
        (server.files / f"{number}.onnx").write_bytes(LARGE)
        found.append(download(f"{server.url}/{number}.onnx"))
        os.utime(found[-1], (number, number))
    assert [path.exists() for path in found] == [False, False, True, True]
    monkeypatch.setenv("ONNXCOST_CACHE_LIMIT", "some")
    with pytest.raises(InputError, match="ONNXCOST_CACHE_LIMIT expects a size such as 20GB, not 'some'"):
        download(f"{server.url}/0.onnx")


@needs_nginx
def test_a_recently_used_download_is_kept(server: Nginx, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONNXCOST_CACHE_LIMIT", "1")
    found = [download(f"{server.url}/{name}.onnx") for name in ("model", "large")]
    assert all(path.exists() for path in found)


@needs_nginx
def test_a_fetched_model_is_read_from_its_file(server: Nginx) -> None:
    url = f"{server.url}/whole/model.onnx"
    download(url)
    server.requests()
    found = read_skeleton(url)
    assert (found.path, found.file_bytes) == (url, len(SMALL))
    assert len(server.requests()) == 1


@needs_nginx
def test_a_small_model_is_fetched_to_be_run_and_a_large_one_on_request(server: Nginx, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"{server.url}/model.onnx"
    assert measure(url, runs=1, warmup=0, arena=False).weights == "stored"
    for module in ("onnxcost.runtime.prepare", "onnxcost.cli.estimate"):
        monkeypatch.setattr(f"{module}.SMALL", 10)
    byte_source._KEPT.clear()
    for path in cache_folder().rglob("*.onnx"):
        path.unlink()
    with pytest.raises(MeasurementError, match=r"model.onnx' has 0.0 MiB, and the whole file is needed: use --download"):
        measure(url, runs=1)
    done = invoke(url, "--runs", 1)
    assert done.exit_code == 0
    assert f"not measured: '{url}' has" in done.stderr
    done = invoke("measure", url, "--runs", 1)
    assert done.exit_code == 3
    done = invoke("measure", url, "--runs", 1, "--download", "--no-arena")
    assert done.exit_code == 0, done.output
    (file,) = cache_folder().rglob("*.onnx")
    assert f"use '{file}', which has the model" in done.stderr


@needs_nginx
def test_a_url_is_annotated(server: Nginx, tmp_path: Path) -> None:
    done = invoke("annotate", f"{server.url}/model.onnx", "-o", tmp_path / "annotated.onnx")
    assert done.exit_code == 0, done.output
    assert b"onnxcost.macs" in (tmp_path / "annotated.onnx").read_bytes()


def test_the_folder_is_the_platforms(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("ONNXCOST_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    found: Any = cache_folder()
    assert "onnxcost" in found.parts
