"""Models at URLs, read from real servers on the loopback address: what is requested, and what goes wrong."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from onnx import TensorProto, helper

from onnxcost.cli.app import cli
from onnxcost.errors import InputError, ModelError, OnnxCostError
from onnxcost.estimator import estimate
from onnxcost.frontend import byte_source
from onnxcost.frontend.reader import read_skeleton
from onnxcost.remote import http, urls
from onnxcost.remote.models import StoredFile, list_models, open_remote
from onnxcost.remote.urls import redact
from tests.frontend.test_reader import WHERE_PAYLOADS_SIT, model_with
from tests.modeltext import model
from tests.servers import NGINX, NO_NGINX, Nginx, cut_cable, nginx, s3

pytest.importorskip("aiohttp", reason="the extra 'remote' is not installed")
needs_nginx = pytest.mark.skipif(NGINX is None, reason=NO_NGINX)
CONTENT = WHERE_PAYLOADS_SIT["subgraph"].SerializeToString()


def layers(count: int, *sizes: int) -> bytes:
    """A model with ``count`` layers of weights of these bytes."""
    tensors = tuple(
        TensorProto(name=f"layer.{layer}.w{i}", data_type=TensorProto.INT8, dims=[size], raw_data=bytes(size))
        for layer in range(count)
        for i, size in enumerate(sizes)
    )
    return model_with(helper.make_node("Identity", ["layer.0.w0"], ["y"]), initializers=tensors).SerializeToString()


@pytest.fixture(scope="module")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    with nginx(tmp_path_factory.mktemp("nginx")) as server:
        (server.files / "model.onnx").write_bytes(CONTENT)
        (server.files / "model.onnx.gz").write_bytes(gzip.compress(CONTENT))
        (server.files / "large.onnx").write_bytes(layers(10, 10**5, 3 * 10**5))
        (server.files / "folder" / "deeper").mkdir(parents=True)
        (server.files / "folder" / "a.onnx").write_bytes(CONTENT)
        (server.files / "folder" / "deeper" / "b.onnx").write_bytes(CONTENT)
        (server.files / "folder" / "notes.txt").write_bytes(b"no model")
        yield server


@pytest.fixture
def server(shared_server: Nginx) -> Nginx:
    """The server, with an empty log and nothing kept of its models."""
    byte_source._KEPT.clear()
    shared_server.requests()
    return shared_server


@pytest.fixture(scope="module")
def bucket() -> Iterator[tuple[Any, str]]:
    """An S3 file system and its address, with the models of a zoo in a bucket."""
    for module in ("s3fs", "moto", "flask_cors"):
        pytest.importorskip(module, reason="the S3-compatible server of the tests is not installed")
    import s3fs

    with s3() as address:
        system = s3fs.S3FileSystem(key="key", secret="s3cr3t", endpoint_url=address, use_listings_cache=False)
        system.mkdir("zoo")
        for name in ("a.onnx", "deep/b.onnx"):
            system.pipe_file(f"zoo/{name}", CONTENT)
        system.pipe_file("zoo/notes.txt", b"no model")
        system.pipe_file("zoo/large.onnx", layers(10, 10**5, 3 * 10**5))
        yield system, address


@pytest.fixture
def s3_environment(bucket: tuple[Any, str], monkeypatch: pytest.MonkeyPatch) -> Any:
    byte_source._KEPT.clear()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s3cr3t")
    monkeypatch.setenv("AWS_ENDPOINT_URL", bucket[1])
    return bucket[0]


def invoke(*arguments: object) -> Result:
    return CliRunner(env={"COLUMNS": "120"}).invoke(cli, [*map(str, arguments)])


# Reading


@needs_nginx
@pytest.mark.parametrize("message", WHERE_PAYLOADS_SIT.values(), ids=WHERE_PAYLOADS_SIT.keys())
def test_it_reads_the_same_as_from_a_file(message: Any, server: Nginx, monkeypatch: pytest.MonkeyPatch) -> None:
    content = message.SerializeToString()
    (server.files / "same.onnx").write_bytes(content)
    for name, value in {"NEAR": 50, "AFTER_JUMP": 20, "LARGEST_READ": 100, "FIRST": 60, "AT_FORESEEN": 60}.items():
        monkeypatch.setattr(byte_source, name, value)
    found = read_skeleton(f"{server.url}/same.onnx")
    assert found[:3] == (read_skeleton(content).model, f"{server.url}/same.onnx", len(content))


@needs_nginx
@pytest.mark.parametrize(
    ("content", "most_requests", "most_bytes"),
    [
        (CONTENT, 1, len(CONTENT)),
        (layers(1, 50_000_000), 2, 2**18 + 2**12),
        (layers(10, 1_000_000, 3_000_000), 33, 2**18 + 30 * 2**14 + 2**12),
        (layers(4000, 2000), 10, 9_000_000),
    ],
    ids=["small", "one large weight", "layers", "many small weights"],
)
def test_few_requests_and_bytes(content: bytes, most_requests: int, most_bytes: int, server: Nginx) -> None:
    (server.files / "counted.onnx").write_bytes(content)
    estimate(f"{server.url}/counted.onnx")
    requests = server.requests()
    assert len(requests) <= most_requests
    assert sum(request.sent for request in requests) <= most_bytes
    assert {request.encoding for request in requests} == {"identity"}
    assert {request.status for request in requests} == {206}


@needs_nginx
def test_layers_that_repeat_are_foreseen(server: Nginx, monkeypatch: pytest.MonkeyPatch) -> None:
    (server.files / "layers.onnx").write_bytes(layers(32, 100_000, 300_000, 200_000))
    rounds, real = [], http.HttpFile.fetch
    monkeypatch.setattr(http.HttpFile, "fetch", lambda file, spans: rounds.append(len(spans)) or real(file, spans))
    assert len(read_skeleton(f"{server.url}/layers.onnx").model.graph.initializer) == 96
    assert len(rounds) <= 15
    assert max(rounds) > 10


@needs_nginx
def test_what_was_read_is_kept_until_it_changes(server: Nginx) -> None:
    url, file = f"{server.url}/kept.onnx", server.files / "kept.onnx"
    file.write_bytes(layers(3, 10**6))
    estimate(url)
    server.requests()
    estimate(url)
    assert [(request.range, request.sent) for request in server.requests()] == [("bytes=0-0", 1)]
    file.write_bytes(layers(4, 10**6))
    assert len(read_skeleton(url).model.graph.initializer) == 4


@needs_nginx
def test_threads_read_at_the_same_time(server: Nginx) -> None:
    urls = [f"{server.url}/{name}.onnx" for name in ("model", "large", "folder/a")] * 20
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda url: read_skeleton(url).file_bytes, urls))
    assert found == [(server.files / url.removeprefix(f"{server.url}/")).stat().st_size for url in urls]


def test_a_file_needs_none_of_it(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(CONTENT)
    code = "import sys, onnxcost; onnxcost.estimate('model.onnx'); print({'fsspec', 'aiohttp', 'asyncio'} & set(sys.modules))"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.stdout == "set()\n"


# Servers


@needs_nginx
@pytest.mark.parametrize(
    ("path", "statuses"),
    [
        ("moved/model.onnx", [302, 206]),
        ("untagged/model.onnx", [206]),
        ("whole/model.onnx", [200]),
        ("gzip/model.onnx", [200]),
        ("gzip-ranges/model.onnx", [206, 200]),
        ("busy/model.onnx", [206]),
    ],
)
def test_servers_of_many_kinds(path: str, statuses: list[int], server: Nginx) -> None:
    assert read_skeleton(f"{server.url}/{path}").model == read_skeleton(CONTENT).model
    assert [request.status for request in server.requests()] == statuses


@needs_nginx
def test_a_redirect_is_followed_once(server: Nginx) -> None:
    assert len(read_skeleton(f"{server.url}/moved/large.onnx").model.graph.initializer) == 20
    assert [request.status for request in server.requests()].count(302) == 1


@needs_nginx
def test_a_server_that_has_too_much_to_do_is_asked_again(server: Nginx, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "PAUSES", (0.1, 0.3, 0.5))
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda _: open_remote(f"{server.url}/busy/model.onnx").head, range(3)))
    assert found == [CONTENT] * 3
    assert 503 in [request.status for request in server.requests()]


@needs_nginx
def test_a_large_model_of_a_server_without_ranges_is_refused(server: Nginx, monkeypatch: pytest.MonkeyPatch) -> None:
    with (server.files / "huge.onnx").open("wb") as file:
        file.truncate(urls.SMALL + 1)
    with pytest.raises(
        InputError,
        match=r"huge.onnx' has 64 MB and comes from a server that does not support range requests: fetch it with --download",
    ):
        read_skeleton(f"{server.url}/whole/huge.onnx")
    assert sum(request.sent for request in server.requests()) < 10**7
    for module in (http, byte_source):
        monkeypatch.setattr(module, "SMALL", len(CONTENT) - 1)
    with pytest.raises(InputError, match=r"gzip/model.onnx' comes from a server that does not support range requests"):
        read_skeleton(f"{server.url}/gzip/model.onnx")


@needs_nginx
@pytest.mark.parametrize("after", [0, 300, 1000])
def test_a_connection_that_is_cut_is_made_again(after: int, server: Nginx, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "PAUSES", (0.01, 0.01, 0.01))
    with cut_cable(server.port, after, 3) as port:
        assert read_skeleton(f"http://127.0.0.1:{port}/model.onnx").model == read_skeleton(CONTENT).model


@needs_nginx
def test_a_connection_that_is_always_cut_is_an_error(server: Nginx, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "PAUSES", (0.01, 0.01, 0.01))
    with cut_cable(server.port, 300, 99) as port, pytest.raises(InputError, match=f"cannot read 'http://127.0.0.1:{port}/mod"):
        read_skeleton(f"http://127.0.0.1:{port}/model.onnx")
    assert len(server.requests()) == 4


SWAPS: dict[str, Callable[[Path], object]] = {
    "is longer": lambda path: path.write_bytes(layers(11, 10**5, 3 * 10**5)),
    "is as long": lambda path: (path.write_bytes(layers(10, 3 * 10**5, 10**5)), os.utime(path, (1, 1))),
    "is empty": lambda path: path.write_bytes(b""),
    "is gone": lambda path: path.unlink(),
}


@needs_nginx
@pytest.mark.parametrize("swap", SWAPS.values(), ids=SWAPS.keys())
@pytest.mark.parametrize("place", ["", "untagged/"])
def test_a_file_that_is_swapped_between_requests_is_an_error(
    place: str, swap: Callable[[Path], object], server: Nginx, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = server.files / "swapped.onnx"
    path.write_bytes(layers(10, 10**5, 3 * 10**5))
    real, count = http.HttpFile.fetch, [0]

    def fetch(file: Any, spans: Any) -> list[bytes]:
        count[0] += 1
        if count[0] == 3:
            swap(path)
        return real(file, spans)

    monkeypatch.setattr(http.HttpFile, "fetch", fetch)
    with pytest.raises(InputError, match=r"swapped.onnx'(: the server answers 4| changed while it was read)"):
        read_skeleton(f"{server.url}/{place}swapped.onnx")


# Credentials


@needs_nginx
def test_a_password_in_the_url_is_used_and_never_shown(server: Nginx, tmp_path: Path) -> None:
    url = f"http://ann:pa55wd@127.0.0.1:{server.port}/private/model.onnx"
    shown = f"{server.url}/private/model.onnx"
    report = estimate(url)
    assert report.graph.path == shown
    assert {request.authorization for request in server.requests()} == {"Basic YW5uOnBhNTV3ZA=="}
    saved = tmp_path / "report.json"
    for done in (invoke(url, "--no-run", "-o", saved), invoke("scan", url), invoke("compare", "--no-run", url, shown)):
        assert "pa55" not in done.output
    assert json.loads(saved.read_text())["model"]["path"] == shown
    assert "pa55" not in saved.read_text()


@needs_nginx
def test_a_password_in_netrc_is_used(server: Nginx, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login ann password pa55wd\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    assert open_remote(f"{server.url}/private/model.onnx").state.size == len(CONTENT)


@needs_nginx
def test_credentials_stay_with_the_server_that_was_asked(server: Nginx) -> None:
    read_skeleton(f"http://ann:pa55wd@127.0.0.1:{server.port}/away/large.onnx")
    requests = server.requests()
    assert requests[0].path == "/away/large.onnx"
    assert {request.authorization for request in requests[1:]} == {"-"}
    assert len(requests) > 3


SECRET = "?X-Amz-Signature=s3cr3t&token=s3cr3t#s3cr3t"


@needs_nginx
@pytest.mark.parametrize(
    ("path", "error", "says"),
    [
        ("nothing.onnx", InputError, "the server answers 404 Not Found"),
        ("private/model.onnx", InputError, "the server answers 401 Unauthorized (passwords are read from ~/.netrc)"),
        ("refused/model.onnx", InputError, "the server answers 403"),
        ("loop/model.onnx", InputError, "cannot read"),
        ("folder/notes.txt", ModelError, "text, not a model"),
    ],
)
def test_errors_are_one_line_without_secrets(path: str, error: type[OnnxCostError], says: str, server: Nginx) -> None:
    url = f"http://s3cr3t:s3cr3t@127.0.0.1:{server.port}/{path}{SECRET}"
    with pytest.raises(error) as raised:
        estimate(url)
    assert says in str(raised.value)
    assert f"{server.url}/{path}?…" in str(raised.value)
    assert "s3cr3t" not in str(raised.value)
    done = invoke(url, "--no-run")
    assert (done.exit_code, done.output.count("\n")) == (2, 1)
    assert "s3cr3t" not in done.output


@needs_nginx
def test_a_server_that_fails_is_asked_four_times(server: Nginx, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "PAUSES", (0.01, 0.01, 0.01))
    with pytest.raises(InputError, match="the server answers 500"):
        estimate(f"{server.url}/broken/model.onnx")
    assert len(server.requests()) == 4


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://127.0.0.1:1/model.onnx", "cannot read 'http://127.0.0.1:1/model.onnx': "),
        ("nosuch://place/model.onnx", "unknown scheme 'nosuch://'"),
        ("http:///model.onnx", "cannot read"),
        ("memory://nothing/here.onnx", "there is no such file"),
    ],
)
def test_urls_that_lead_nowhere(url: str, says: str) -> None:
    with pytest.raises(InputError) as raised:
        estimate(url)
    assert says in str(raised.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://host/a/model.onnx", "https://host/a/model.onnx"),
        ("https://ann:pa55@host:8443/model.onnx", "https://host:8443/model.onnx"),
        ("https://host/model.onnx?X-Amz-Signature=1&b=2#c", "https://host/model.onnx?…"),
        ("s3://key:secret@bucket/model.onnx", "s3://bucket/model.onnx"),
        ("hf://org/repo@main/onnx/model.onnx", "hf://org/repo@main/onnx/model.onnx"),
        ("folder/model?.onnx", "folder/model?.onnx"),
    ],
)
def test_redact(url: str, shown: str) -> None:
    assert redact(url) == shown


# Object storage


@pytest.mark.usefixtures("s3_environment")
def test_a_model_in_a_bucket() -> None:
    found = read_skeleton("s3://zoo/a.onnx")
    assert found[:3] == (read_skeleton(CONTENT).model, "s3://zoo/a.onnx", len(CONTENT))
    assert len(read_skeleton("s3://zoo/large.onnx").model.graph.initializer) == 20


def test_only_ranges_of_a_large_object_are_read(s3_environment: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    spans: list[tuple[int, int]] = []
    real = StoredFile.fetch
    monkeypatch.setattr(StoredFile, "fetch", lambda file, asked: spans.extend(asked) or real(file, asked))
    estimate("s3://zoo/large.onnx")
    assert len(spans) <= 33
    assert sum(end - start for start, end in spans) < 2**18 + 30 * 2**14


def test_an_object_that_is_swapped_is_an_error(s3_environment: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    s3_environment.pipe_file("zoo/swapped.onnx", layers(10, 10**5, 3 * 10**5))
    real, count = StoredFile.fetch, [0]

    def fetch(file: Any, spans: Any) -> list[bytes]:
        count[0] += 1
        if count[0] == 3:
            s3_environment.pipe_file("zoo/swapped.onnx", layers(10, 3 * 10**5, 10**5))
        return real(file, spans)

    monkeypatch.setattr(StoredFile, "fetch", fetch)
    with pytest.raises(InputError, match=r"'s3://zoo/swapped.onnx' changed while it was read"):
        read_skeleton("s3://zoo/swapped.onnx")


@pytest.mark.usefixtures("s3_environment")
@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("s3://zoo/nothing.onnx", "cannot read 's3://zoo/nothing.onnx': there is no such file"),
        ("s3://nowhere/a.onnx", "cannot read 's3://nowhere/a.onnx'"),
        ("s3://zoo/deep", "is a folder"),
    ],
)
def test_what_a_bucket_has_not(url: str, says: str) -> None:
    with pytest.raises(InputError) as raised:
        estimate(url)
    assert says in str(raised.value)


@needs_nginx
def test_a_model_on_a_hub(server: Nginx) -> None:
    pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed")
    code = "from onnxcost import estimate; print(estimate('hf://org/repo/large.onnx').graph.path)"
    environment = {**os.environ, "HF_ENDPOINT": server.url, "HF_TOKEN": "hf_s3cr3t", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "hf://org/repo/large.onnx\n"
    first, *others = server.requests()
    assert (first.path, first.authorization) == ("/org/repo/resolve/main/large.onnx", "Bearer hf_s3cr3t")
    assert {(request.path, request.authorization) for request in others} == {("/large.onnx", "-")}


# Listing


@pytest.mark.usefixtures("s3_environment")
@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("s3://zoo/", ["a.onnx", "deep/b.onnx", "large.onnx"]),
        ("s3://zoo", ["a.onnx", "deep/b.onnx", "large.onnx"]),
        ("s3://zoo/deep", ["deep/b.onnx"]),
        ("s3://zoo/**/*.onnx", ["a.onnx", "deep/b.onnx", "large.onnx"]),
        ("s3://zoo/a*.onnx", ["a.onnx"]),
        ("s3://zoo/a.onnx", ["a.onnx"]),
    ],
)
def test_the_models_in_a_bucket(url: str, found: list[str], s3_environment: Any) -> None:
    s3_environment.rm("zoo/swapped.onnx") if s3_environment.exists("zoo/swapped.onnx") else None
    listed = list_models(url)
    assert [each.url for each in listed] == [f"s3://zoo/{name}" for name in found]
    if not url.endswith("a.onnx"):
        assert all(each.state == open_remote(each.url).state for each in listed)


@needs_nginx
def test_the_models_on_a_web_server(server: Nginx) -> None:
    names = ["folder/a.onnx", "folder/deeper/b.onnx"]
    assert [each.url for each in list_models(f"{server.url}/listed/folder/")] == [
        f"{server.url}/listed/{name}" for name in names
    ]
    with pytest.raises(InputError, match=r"there is no \.onnx file at"):
        list_models("memory://nothing/")


@needs_nginx
def test_commands_take_urls(server: Nginx, tmp_path: Path) -> None:
    small = model("(float[n,64] x, float[64,64] w) => (float[n,64] y) { y = MatMul(x, w) }").SerializeToString()
    (server.files / "small.onnx").write_bytes(small)
    url = f"{server.url}/small.onnx"
    for arguments in (
        (url, "--no-run"),
        ("scan", url),
        ("compare", "--no-run", url, f"{server.url}/folder/a.onnx"),
        ("scale", url),
        ("budget", url, "--params", "1G"),
        ("strip", url, "-o", tmp_path / "skeleton.onnx"),
    ):
        done = invoke(*arguments)
        assert done.exit_code == 0, done.output
    assert read_skeleton(tmp_path / "skeleton.onnx").file_bytes == len(small)


@needs_nginx
def test_without_the_extra_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for package, url in (
        ("", "https://host/model.onnx"),
        (" s3fs", "s3://zoo/a.onnx"),
        (" huggingface_hub", "hf://org/repo/m.onnx"),
    ):
        for module in ("fsspec", "huggingface_hub"):
            monkeypatch.setitem(__import__("sys").modules, module, None)
        with pytest.raises(InputError) as raised:
            estimate(url)
        assert str(raised.value) == f"cannot read '{url}': pip install 'onnxcost[remote]'{package} adds support for it"
