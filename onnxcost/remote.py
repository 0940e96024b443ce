"""Models at a URL: read in ranges and listed, over HTTP or with one of fsspec's file systems (S3, Google Cloud Storage, …).

Credentials are those that each system's own tools use; no message has any of them.
"""

from __future__ import annotations

import os
import re
import zlib
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeGuard, TypeVar
from urllib.parse import unquote, urlsplit

from onnxcost.errors import InputError, MissingFile, OnnxCostError, UnreadableFile
from onnxcost.files import MODEL_NAME

if TYPE_CHECKING:
    from aiohttp import ClientResponse, ClientSession

SMALL = 64 * 10**6
"""The most bytes of a model that is fetched whole without being asked to."""
FIRST = 2**18
"""The bytes that the first request asks for."""

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_HUB = re.compile(r"hf://((?:datasets/|spaces/)?[^/@]+/[^/@]+)(?:@([^/]+))?/(.+)")
_PACKAGES: Mapping[str, str] = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "hf": "huggingface_hub"}
_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")

PAUSES = (0.25, 1.0, 4.0)
"""Seconds before a request is sent again after a failure that may pass, where the server does not say how many."""
LONGEST_PAUSE = 10.0
CONNECT_SECONDS, READ_SECONDS = 10.0, 30.0
"""The longest waits for a connection, and for more bytes."""
SECONDS = 300.0
"""The longest wait for an answer, all attempts together."""
_BUSY = frozenset({408, 429, 500, 502, 503, 504})
"""The HTTP statuses of failures that may pass."""
_EXPIRED = frozenset({400, 401, 403, 404, 410})
"""The HTTP statuses of an address that was valid for some minutes: what a redirect leads to often is."""
MOST_AT_ONCE, MOST_CONNECTIONS = 32, 256
"""Requests that are under way at the same time, for one model and for all."""

MOST_UNPACKED = 2**22
"""The bytes that are decompressed at once: a few thousand may become millions."""

Span = tuple[int, int]
"""Where a range begins and where it ends."""
_ENVIRONMENTS: dict[type, dict[str, str]] = {}
"""The environment in which the kept instances of each of fsspec's classes were made."""
T = TypeVar("T")


class State(NamedTuple):
    """What tells one state of a model from another: its bytes, None if they are not known, and the server's mark, or ""."""

    size: int | None
    tag: str


class Listed(NamedTuple):
    """A model that a listing names: where it is, and its state as far as the listing has it."""

    url: str
    state: State


class RemoteFile(Protocol):
    """A model at a URL, in the state that it had when it was opened. It can be read by several threads."""

    name: str
    """The URL without credentials, for messages and reports."""
    state: State
    head: bytes
    """The model's beginning, as far as opening it has brought it."""
    has_ranges: bool

    def fetch(self, spans: Sequence[Span]) -> list[bytes]:
        """The bytes of each span, which are requested at the same time. Raises InputError, also if the model has changed."""

    def read_whole(self, most: int) -> bytes | None:
        """All bytes; None if there are more than ``most``."""

    def stream(self) -> Iterator[bytes]:
        """All bytes in parts, one request for them. Raises InputError, also if the model has changed."""

    def check(self) -> None:
        """Raises InputError if the model has changed since it was opened."""


def is_remote(source: object) -> TypeGuard[str]:
    """Whether this is a URL."""
    return isinstance(source, str) and _URL.match(source) is not None


def redact(url: str) -> str:
    """The URL without what may be secret in it: a user and a password, the query, the fragment. A path stays as it is."""
    if not is_remote(url):
        return url
    parts = urlsplit(url)
    query = "?…" if parts.query else ""
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}{query}"


def locate(model: str, document: str | Path) -> str:
    """The model that a document names: a URL, or a path that is relative to the document."""
    return model if is_remote(model) else str(Path(document).parent / model)


def open_remote(url: str, first: int = FIRST) -> RemoteFile:
    """The model at a URL, with its first bytes. Raises InputError for what cannot be read and for a package that is missing."""
    with explain_errors(url):
        if found := _HUB.fullmatch(url):
            from huggingface_hub import hf_hub_url
            from huggingface_hub.utils import build_hf_headers

            repository, revision, path = found.groups()
            kind = re.match("(dataset|space)s/", repository)
            address = hf_hub_url(
                repository[kind.end() :] if kind else repository, path, repo_type=kind and kind[1], revision=revision
            )
            return _HttpFile(address, redact(url), first, build_hf_headers())
        return _HttpFile(url, redact(url), first) if _is_http(url) else _StoredFile(url, first)


def list_models(url: str) -> list[Listed]:
    """The models that a URL stands for: itself, or all models below a folder (over HTTP one that ends with /, as the server's
    page lists it), or those that match a pattern. Sorted. Raises InputError where there is none.
    """
    has_pattern = re.search(r"[*?[]", url.partition("://")[2].partition("?")[0] if _is_http(url) else url) is not None
    if not has_pattern and (MODEL_NAME.search(url) or (_is_http(url) and not url.endswith("/"))):
        return [Listed(url, State(None, ""))]
    with explain_errors(url):
        system, path = _file_system(url)
        entries = system.glob(path, detail=True) if has_pattern else system.find(path, detail=True)
        found = [
            Listed(name if is_remote(name) else system.unstrip_protocol(name), _state_of(entry))
            for name, entry in sorted(entries.items())
            if entry.get("type") == "file" and (has_pattern or MODEL_NAME.search(name))
        ]
    if not found:
        raise InputError(f"there is no .onnx file at '{redact(url)}'")
    return found


def _is_http(url: str) -> bool:
    return url.lower().startswith(("http://", "https://"))


def _file_system(url: str) -> tuple[Any, str]:
    """fsspec's file system for a URL, and the path in it. Listings are not kept: they would hide changes."""
    import fsspec
    from fsspec.asyn import AsyncFileSystem

    if _is_http(url):
        return fsspec.filesystem("https", get_client=_client), url
    scheme = urlsplit(url).scheme.lower()
    if "::" in url or scheme not in fsspec.available_protocols():
        raise InputError(f"cannot read '{redact(url)}': unknown scheme '{scheme}://'")
    kind = fsspec.get_filesystem_class(scheme)
    # fsspec keeps file systems, and they keep the endpoint and the keys that the environment had when they were made.
    environment = dict(os.environ)
    if _ENVIRONMENTS.setdefault(kind, environment) != environment:
        _ENVIRONMENTS[kind] = environment
        kind.clear_instance_cache()
    options: dict[str, Any] = {"use_listings_cache": False} if issubclass(kind, AsyncFileSystem) else {}
    if scheme in ("s3", "s3a"):  # whose library has 10 connections
        given = fsspec.config.conf.get("s3", {}).get("config_kwargs", {})
        options["config_kwargs"] = {"max_pool_connections": MOST_CONNECTIONS, **given}
    system, path = fsspec.core.url_to_fs(url, **options)
    return system, path


async def _client(**options: Any) -> ClientSession:
    """A session with the proxies of the environment and the passwords of ~/.netrc, which gives bodies as they were sent."""
    from aiohttp import ClientSession, ClientTimeout

    timeout = ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=READ_SECONDS)
    return ClientSession(**{"trust_env": True, "auto_decompress": False, "timeout": timeout, **options})


@contextmanager
def explain_errors(url: str) -> Iterator[None]:
    """Every error of a library becomes an InputError of one line that has no part of the URL that may be secret."""
    name = redact(url)
    try:
        yield
    except OnnxCostError:
        raise
    except ImportError as error:
        scheme = urlsplit(url).scheme.lower()
        package = _PACKAGES.get(scheme)
        missing = str(error).partition("\n")[0] if package is None and "fsspec" not in str(error) else ""
        needed = f"pip install 'onnxcost[remote]'{f' {package}' if package else ''}"
        raise InputError(f"cannot read '{name}': {needed} adds support for it{missing and f' ({missing})'}") from None
    except FileNotFoundError:
        raise MissingFile(f"cannot read '{name}': there is no such file") from None
    except TimeoutError:
        raise UnreadableFile(
            f"cannot read '{name}': the server does not respond, or stopped in the middle of a response"
        ) from None
    except Exception as error:
        kind = MissingFile if isinstance(error, _Refused) and error.status in (404, 410) else UnreadableFile
        raise kind(f"cannot read '{name}': {_without_secrets(error, url)}") from None


def _without_secrets(error: Exception, url: str) -> str:
    """An error's text in one line, without parts of the URL that may be secret."""
    text = " ".join(str(error).split()) or type(error).__name__
    text = re.sub(r"[a-z]+://[^\s'\")>]+", lambda found: redact(found[0]), text)
    parts = urlsplit(url)
    user = parts.netloc.rpartition("@")[0]
    secrets = {form for each in (parts.query, user, *user.split(":")) for form in (each, unquote(each))}
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, "…")
    return text


def _change_error(name: str) -> UnreadableFile:
    return UnreadableFile(f"'{name}' changed while it was read: try again when it is complete")


class _StoredFile:
    """A model in one of fsspec's file systems."""

    has_ranges = True

    def __init__(self, url: str, first: int) -> None:
        self.name, self._url = redact(url), url
        self._system, self._path = _file_system(url)
        self.state = self._find_state()
        if self.state.size is None:
            raise InputError(f"cannot read '{self.name}': its size is unknown")
        (self.head,) = self.fetch([(0, min(first, self.state.size))]) if self.state.size else (b"",)

    def fetch(self, spans: Sequence[Span]) -> list[bytes]:
        starts, ends = zip(*spans, strict=True)
        with explain_errors(self._url):
            parts = self._ask("cat_ranges", [self._path] * len(spans), [*starts], [*ends], on_error="raise")
        if any(len(part) < end - start for part, (start, end) in zip(parts, spans, strict=True)):
            raise _change_error(self.name)
        return [bytes(part) for part in parts]

    def read_whole(self, most: int) -> bytes | None:
        size = self.state.size or 0
        return None if size > most else self.fetch([(0, size)])[0]

    def stream(self) -> Iterator[bytes]:
        yield from self.fetch([(0, self.state.size or 0)])

    def check(self) -> None:
        with explain_errors(self._url):
            if self._find_state() != self.state:
                raise _change_error(self.name)

    def _find_state(self) -> State:
        entry = self._ask("info", self._path)
        if entry.get("type") == "directory":
            raise InputError(f"'{self.name}' is a folder: use 'onnxcost scan' to count all models in it")
        return _state_of(entry)

    def _ask(self, method: str, *arguments: Any, **options: Any) -> Any:
        if not self._system.async_impl:
            return getattr(self._system, method)(*arguments, **options)
        from fsspec.asyn import sync

        return sync(self._system.loop, getattr(self._system, f"_{method}"), *arguments, timeout=SECONDS, **options)


def _state_of(entry: Mapping[str, Any]) -> State:
    """The state in what a file system says of a file: each has its own names for it."""
    keys = ("ETag", "etag", "generation", "oid", "blob_id", "LastModified", "last_modified", "mtime", "updated")
    size = entry.get("size")
    return State(size if isinstance(size, int) else None, next((str(entry[key]) for key in keys if entry.get(key)), ""))


class _Refused(Exception):
    """An HTTP status that is an error, and how many seconds to wait before another attempt, if the server says that."""

    def __init__(self, status: int, reason: str, pause: float | None = None) -> None:
        hint = " (passwords are read from ~/.netrc)" if status in (401, 403) else ""
        super().__init__(f"the server answers {status} {reason}{hint}")
        self.status, self.pause = status, pause


class _HttpFile:
    """A model on a web server. Redirects are followed once, and then what they lead to is read."""

    def __init__(self, url: str, name: str, first: int, headers: Mapping[str, str] | None = None) -> None:
        from yarl import URL

        given = URL(url, encoded="%" in url)
        self.name, self._url = name, url
        self._given = self._resolved = given.with_user(None).with_fragment(None)
        self._system = _file_system(url)[0]
        own: dict[str, Any] = {**self._system.kwargs}
        # What only the server that was asked may know, and not the one that it redirects to.
        self._secret: dict[str, Any] = {key: own.pop(key) for key in ("auth", "cookies") if key in own}
        self._headers = {**own.pop("headers", {}), **(headers or {})}
        if given.user is not None:
            user = f"{given.user}:{given.password or ''}"
            self._headers["Authorization"] = f"Basic {b64encode(user.encode()).decode()}"
        self._options = own
        self.has_ranges, self.state, self.head = False, State(None, ""), b""
        self._whole: bytes | None = None
        with explain_errors(url):
            self._ask(partial(self._retry, partial(self._read_head, first)))

    def fetch(self, spans: Sequence[Span]) -> list[bytes]:
        with explain_errors(self._url):
            parts: list[bytes] = self._ask(partial(self._fetch_all, spans))
            return parts

    def read_whole(self, most: int) -> bytes | None:
        if self._whole is None and (self.state.size or 0) <= most:
            with explain_errors(self._url):
                self._whole = self._ask(partial(self._retry, partial(self._read_whole, most)))
        return self._whole

    def stream(self) -> Iterator[bytes]:
        with explain_errors(self._url):
            answer = self._ask(partial(self._retry, partial(self._get, None)))
            parts = _parts(answer)
            try:
                if _state_in(answer).tag != self.state.tag:
                    raise _change_error(self.name)
                while part := self._ask(partial(anext, parts, b"")):
                    yield part
            finally:
                answer.close()

    def check(self) -> None:
        """Does nothing: each answer names the state."""

    def _ask(self, ask: Callable[[], Awaitable[Any]]) -> Any:
        from fsspec.asyn import sync

        return sync(self._system.loop, ask, timeout=SECONDS)

    async def _fetch_all(self, spans: Sequence[Span]) -> list[bytes]:
        import asyncio

        slots = asyncio.Semaphore(MOST_AT_ONCE)

        async def fetch(span: Span) -> bytes:
            async with slots:
                return await self._retry(partial(self._fetch, span))

        return await asyncio.gather(*map(fetch, spans))

    async def _retry(self, ask: Callable[[], Awaitable[T]]) -> T:
        """The answer, asked for again after a failure that may pass."""
        import asyncio

        from aiohttp import ClientConnectionError, ClientConnectorError, ClientPayloadError

        for pause in PAUSES:
            try:
                return await ask()
            except _Refused as error:
                if self._resolved != self._given and error.status in _EXPIRED:
                    self._resolved, pause = self._given, 0.0
                elif error.status not in _BUSY or (error.pause or 0.0) > LONGEST_PAUSE:
                    raise
                await asyncio.sleep(pause if error.pause is None else error.pause)
            except (ClientConnectionError, ClientPayloadError, TimeoutError) as error:
                if isinstance(error, ClientConnectorError):
                    raise
                await asyncio.sleep(pause)
        return await ask()

    async def _read_head(self, first: int) -> None:
        async with await self._get((0, first)) as answer:
            self.state, self.has_ranges = _state_in(answer), answer.status == 206 and _encoding(answer) == ""
            if self.has_ranges:
                self.head = await _read_range(answer, (0, min(first, self.state.size or first)))
            elif answer.status == 416:  # there is no first byte
                self._whole = b""
            elif answer.status == 200 and first > 1:
                self._whole = await _read_body(answer, SMALL)
            self._resolved = answer.url

    async def _fetch(self, span: Span) -> bytes:
        async with await self._get(span) as answer:
            if answer.status != 206 or _state_in(answer) != self.state or _encoding(answer):
                raise _change_error(self.name)
            content = await _read_range(answer, span)
        self._resolved = answer.url
        return content

    async def _read_whole(self, most: int) -> bytes | None:
        async with await self._get(None) as answer:
            return await _read_body(answer, most)

    async def _get(self, span: Span | None) -> ClientResponse:
        """The answer to a request for a range, or for all. Raises _Refused for an error that the server reports."""
        session = await self._system.set_session()
        options = {**self._options, "headers": {"Accept-Encoding": "identity"}}
        if span is not None:
            options["headers"]["Range"] = f"bytes={span[0]}-{span[1] - 1}"
        if self._resolved.origin() == self._given.origin():
            options |= self._secret
            options["headers"] = {**self._headers, **options["headers"]}
        answer: ClientResponse = await session.get(self._resolved, **options)
        if answer.status < 400 or (answer.status == 416 and answer.headers.get("Content-Range", "").endswith("/0")):
            return answer
        answer.close()
        after = answer.headers.get("Retry-After", "")
        raise _Refused(answer.status, answer.reason or "", float(after) if re.fullmatch("[0-9]{1,4}", after) else None)


def _state_in(answer: ClientResponse) -> State:
    headers = answer.headers
    total = headers.get("Content-Range", "").rpartition("/")[2] or headers.get("Content-Length", "")
    tag = headers.get("ETag") or headers.get("Last-Modified") or ""
    return State(int(total) if total.isdigit() and not _encoding(answer) else None, tag)


def _encoding(answer: ClientResponse) -> str:
    """How the body is compressed; "" where it is not."""
    encoding = answer.headers.get("Content-Encoding", "").strip().lower()
    return "" if encoding == "identity" else encoding


async def _read_range(answer: ClientResponse, span: Span) -> bytes:
    """The body of an answer to a request for a range."""
    found = _RANGE.fullmatch(answer.headers.get("Content-Range", ""))
    content = await _read_body(answer, span[1] - span[0]) if found else None
    if found is None or content is None or (int(found[1]), int(found[2]) + 1) != span:
        raise _Refused(answer.status, "with other bytes than requested")
    if len(content) < span[1] - span[0]:
        raise TimeoutError
    return content


async def _read_body(answer: ClientResponse, most: int) -> bytes | None:
    """The whole body, decompressed; None if there are more than ``most`` bytes."""
    if int(answer.headers.get("Content-Length") or 0) > most:
        return None
    parts, count = [], 0
    async for part in _parts(answer):
        parts.append(part)
        if (count := count + len(part)) > most:
            return None
    return b"".join(parts)


async def _parts(answer: ClientResponse) -> AsyncIterator[bytes]:
    """The body, decompressed, in parts that are not empty."""
    encoding = _encoding(answer)
    if encoding not in ("", "gzip", "x-gzip", "deflate"):
        raise InputError(f"the server compressed it with {encoding}, although asked not to")
    unpack = zlib.decompressobj(47) if encoding else None
    async for content in answer.content.iter_any():
        while content:
            part = unpack.decompress(content, MOST_UNPACKED) if unpack else content
            content = unpack.unconsumed_tail if unpack else b""
            if part:
                yield part
    if unpack is not None and not unpack.eof:
        raise TimeoutError
