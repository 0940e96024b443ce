"""A model on a web server: ranges of it over HTTP, with redirects, retries and compressed answers."""

from __future__ import annotations

import re
import zlib
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from onnxcost.errors import InputError
from onnxcost.remote.urls import SECONDS, SMALL, Refused, Span, State, change_error, explain_errors, open_file_system

if TYPE_CHECKING:
    from aiohttp import ClientResponse

_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")

PAUSES = (0.25, 1.0, 4.0)
"""Seconds before a request is repeated after a temporary failure, unless the server gives them."""
LONGEST_PAUSE = 10.0
_BUSY = frozenset({408, 429, 500, 502, 503, 504})
"""The HTTP statuses of temporary failures."""
_EXPIRED = frozenset({400, 401, 403, 404, 410})
"""The HTTP statuses of an expired address: the target of a redirect is often valid for only a few minutes."""
MOST_AT_ONCE = 32
"""Simultaneous requests for one model."""

MOST_UNPACKED = 2**22
"""The most bytes that are decompressed at once: a few thousand may expand to millions."""

T = TypeVar("T")


class HttpFile:
    """A model on a web server. Redirects are resolved once; then their target is read."""

    def __init__(self, url: str, name: str, first: int, headers: Mapping[str, str] | None = None) -> None:
        from yarl import URL

        given = URL(url, encoded="%" in url)
        self.name, self._url = name, url
        self._given = self._resolved = given.with_user(None).with_fragment(None)
        self._system = open_file_system(url)[0]
        own: dict[str, Any] = {**self._system.kwargs}
        # Sent only to the server of the URL, not to one that it redirects to.
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
        """As ``RemoteFile.fetch``."""
        with explain_errors(self._url):
            parts: list[bytes] = self._ask(partial(self._fetch_all, spans))
            return parts

    def read_whole(self, most: int) -> bytes | None:
        """As ``RemoteFile.read_whole``."""
        if self._whole is None and (self.state.size or 0) <= most:
            with explain_errors(self._url):
                self._whole = self._ask(partial(self._retry, partial(self._read_whole, most)))
        return self._whole

    def stream(self) -> Iterator[bytes]:
        """As ``RemoteFile.stream``."""
        with explain_errors(self._url):
            answer = self._ask(partial(self._retry, partial(self._get, None)))
            parts = _parts(answer)
            try:
                if _state_in(answer).tag != self.state.tag:
                    raise change_error(self.name)
                while part := self._ask(partial(anext, parts, b"")):
                    yield part
            finally:
                answer.close()

    def check(self) -> None:
        """Does nothing: each answer has the state."""

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
        """The answer; the request is repeated after a temporary failure."""
        import asyncio

        from aiohttp import ClientConnectionError, ClientConnectorError, ClientPayloadError

        for pause in PAUSES:
            try:
                return await ask()
            except Refused as error:
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
                raise change_error(self.name)
            content = await _read_range(answer, span)
        self._resolved = answer.url
        return content

    async def _read_whole(self, most: int) -> bytes | None:
        async with await self._get(None) as answer:
            return await _read_body(answer, most)

    async def _get(self, span: Span | None) -> ClientResponse:
        """The answer to a request for a range, or for all. Raises Refused for an error that the server reports."""
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
        raise Refused(answer.status, answer.reason or "", float(after) if re.fullmatch("[0-9]{1,4}", after) else None)


def _state_in(answer: ClientResponse) -> State:
    headers = answer.headers
    total = headers.get("Content-Range", "").rpartition("/")[2] or headers.get("Content-Length", "")
    tag = headers.get("ETag") or headers.get("Last-Modified") or ""
    return State(int(total) if total.isdigit() and not _encoding(answer) else None, tag)


def _encoding(answer: ClientResponse) -> str:
    """How the body is compressed; "" if it is not."""
    encoding = answer.headers.get("Content-Encoding", "").strip().lower()
    return "" if encoding == "identity" else encoding


async def _read_range(answer: ClientResponse, span: Span) -> bytes:
    """The body of an answer to a request for a range."""
    found = _RANGE.fullmatch(answer.headers.get("Content-Range", ""))
    content = await _read_body(answer, span[1] - span[0]) if found else None
    if found is None or content is None or (int(found[1]), int(found[2]) + 1) != span:
        raise Refused(answer.status, "with other bytes than requested")
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
