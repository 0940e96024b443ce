"""Models at a URL: read in ranges and listed, over HTTP or with one of fsspec's file systems (S3, Google Cloud Storage, …)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from onnxcost.errors import InputError
from onnxcost.files import MODEL_NAME
from onnxcost.remote.urls import (
    SECONDS,
    RemoteFile,
    Span,
    State,
    change_error,
    explain_errors,
    is_http,
    is_remote,
    open_file_system,
    redact,
)

FIRST = 2**18
"""The bytes that the first request asks for."""

_HUB = re.compile(r"hf://((?:datasets/|spaces/)?[^/@]+/[^/@]+)(?:@([^/]+))?/(.+)")


class Listed(NamedTuple):
    """A model in a listing: its URL, and its state if the listing has it."""

    url: str
    state: State


def open_remote(url: str, first: int = FIRST) -> RemoteFile:
    """The model at a URL, with its first bytes. Raises InputError if it cannot be read, or if a package is missing."""
    from onnxcost.remote.http import HttpFile  # which no file needs

    with explain_errors(url):
        if found := _HUB.fullmatch(url):
            from huggingface_hub import hf_hub_url
            from huggingface_hub.utils import build_hf_headers

            repository, revision, path = found.groups()
            kind = re.match("(dataset|space)s/", repository)
            address = hf_hub_url(
                repository[kind.end() :] if kind else repository, path, repo_type=kind and kind[1], revision=revision
            )
            return HttpFile(address, redact(url), first, build_hf_headers())
        return HttpFile(url, redact(url), first) if is_http(url) else StoredFile(url, first)


def list_models(url: str) -> list[Listed]:
    """The models of a URL, sorted: itself, or all models in a folder (over HTTP, a URL that ends with / and that the server
    lists), or those that match a pattern. Raises InputError if there are none.
    """
    has_pattern = re.search(r"[*?[]", url.partition("://")[2].partition("?")[0] if is_http(url) else url) is not None
    if not has_pattern and (MODEL_NAME.search(url) or (is_http(url) and not url.endswith("/"))):
        return [Listed(url, State(None, ""))]
    with explain_errors(url):
        system, path = open_file_system(url)
        entries = system.glob(path, detail=True) if has_pattern else system.find(path, detail=True)
        found = [
            Listed(name if is_remote(name) else system.unstrip_protocol(name), _state_of(entry))
            for name, entry in sorted(entries.items())
            if entry.get("type") == "file" and (has_pattern or MODEL_NAME.search(name))
        ]
    if not found:
        raise InputError(f"there is no .onnx file at '{redact(url)}'")
    return found


class StoredFile:
    """A model in one of fsspec's file systems."""

    has_ranges = True

    def __init__(self, url: str, first: int) -> None:
        self.name, self._url = redact(url), url
        self._system, self._path = open_file_system(url)
        self.state = self._find_state()
        if self.state.size is None:
            raise InputError(f"cannot read '{self.name}': its size is unknown")
        (self.head,) = self.fetch([(0, min(first, self.state.size))]) if self.state.size else (b"",)

    def fetch(self, spans: Sequence[Span]) -> list[bytes]:
        """As ``RemoteFile.fetch``."""
        starts, ends = zip(*spans, strict=True)
        with explain_errors(self._url):
            parts = self._ask("cat_ranges", [self._path] * len(spans), [*starts], [*ends], on_error="raise")
        if any(len(part) < end - start for part, (start, end) in zip(parts, spans, strict=True)):
            raise change_error(self.name)
        return [bytes(part) for part in parts]

    def read_whole(self, most: int) -> bytes | None:
        """As ``RemoteFile.read_whole``."""
        size = self.state.size or 0
        return None if size > most else self.fetch([(0, size)])[0]

    def stream(self) -> Iterator[bytes]:
        """As ``RemoteFile.stream``."""
        yield from self.fetch([(0, self.state.size or 0)])

    def check(self) -> None:
        """As ``RemoteFile.check``."""
        with explain_errors(self._url):
            if self._find_state() != self.state:
                raise change_error(self.name)

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
    """The state of a file, from the record of a file system: each kind has its own keys for it."""
    keys = ("ETag", "etag", "generation", "oid", "blob_id", "LastModified", "last_modified", "mtime", "updated")
    size = entry.get("size")
    return State(size if isinstance(size, int) else None, next((str(entry[key]) for key in keys if entry.get(key)), ""))
