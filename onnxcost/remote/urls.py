"""URLs of models: their file systems, the state of a model, and error messages without secrets.

Credentials are those that each system's own tools use; messages do not contain them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeGuard
from urllib.parse import unquote, urlsplit

from onnxcost.errors import InputError, MissingFile, OnnxCostError, UnreadableFile

if TYPE_CHECKING:
    from aiohttp import ClientSession

SMALL = 64 * 10**6
"""The most bytes of a model that is fetched whole without a request by the user."""
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_PACKAGES: Mapping[str, str] = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "hf": "huggingface_hub"}
MOST_CONNECTIONS = 256
"""Simultaneous requests for all models."""
CONNECT_SECONDS, READ_SECONDS = 10.0, 30.0
"""The longest waits for a connection and for more bytes."""
SECONDS = 300.0
"""The longest wait for an answer, including all attempts."""

Span = tuple[int, int]
"""Where a range starts and where it ends (exclusive)."""
_ENVIRONMENTS: dict[type, dict[str, str]] = {}
"""The environment in which the cached instances of each of fsspec's classes were created."""


class State(NamedTuple):
    """A version of a model: its size in bytes, None if unknown, and the server's tag, or ""."""

    size: int | None
    tag: str


class RemoteFile(Protocol):
    """A model at a URL, in the state in which it was opened. Several threads can read it."""

    name: str
    """The URL without credentials, for messages and reports."""
    state: State
    head: bytes
    """The first bytes of the model, if opening it returned them."""
    has_ranges: bool

    def fetch(self, spans: Sequence[Span]) -> list[bytes]:
        """The bytes of each span, which are requested in parallel. Raises InputError, also if the model has changed."""

    def read_whole(self, most: int) -> bytes | None:
        """All bytes; None if there are more than ``most``."""

    def stream(self) -> Iterator[bytes]:
        """All bytes in parts, with a single request. Raises InputError, also if the model has changed."""

    def check(self) -> None:
        """Raises InputError if the model has changed since it was opened."""


def is_remote(source: object) -> TypeGuard[str]:
    """Whether this is a URL."""
    return isinstance(source, str) and _URL.match(source) is not None


def redact(url: str) -> str:
    """The URL without the parts that may be secret: user, password, query and fragment. A path is returned as it is."""
    if not is_remote(url):
        return url
    parts = urlsplit(url)
    query = "?…" if parts.query else ""
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}{query}"


def locate(model: str, document: str | Path) -> str:
    """The model that a document names: a URL, or a path that is relative to the document."""
    return model if is_remote(model) else str(Path(document).parent / model)


def is_http(url: str) -> bool:
    """Whether this is a URL of a web server."""
    return url.lower().startswith(("http://", "https://"))


def open_file_system(url: str) -> tuple[Any, str]:
    """fsspec's file system for a URL, and the path in it. Listings are not cached: they would hide changes."""
    import fsspec
    from fsspec.asyn import AsyncFileSystem

    if is_http(url):
        return fsspec.filesystem("https", get_client=_client), url
    scheme = urlsplit(url).scheme.lower()
    if "::" in url or scheme not in fsspec.available_protocols():
        raise InputError(f"cannot read '{redact(url)}': unknown scheme '{scheme}://'")
    kind = fsspec.get_filesystem_class(scheme)
    # fsspec caches file systems, with the endpoint and the keys that the environment had when they were created.
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
    """A session with the proxies of the environment and the passwords of ~/.netrc; bodies are not decompressed."""
    from aiohttp import ClientSession, ClientTimeout

    timeout = ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=READ_SECONDS)
    return ClientSession(**{"trust_env": True, "auto_decompress": False, "timeout": timeout, **options})


@contextmanager
def explain_errors(url: str) -> Iterator[None]:
    """Turn the errors of libraries into InputErrors of one line without the parts of the URL that may be secret."""
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
        kind = MissingFile if isinstance(error, Refused) and error.status in (404, 410) else UnreadableFile
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


def change_error(name: str) -> UnreadableFile:
    """The error for a model that is not the one that was opened."""
    return UnreadableFile(f"'{name}' changed while it was read: try again when it is complete")


class Refused(Exception):
    """An HTTP error status, and the seconds to wait before another attempt, if the server gives them."""

    def __init__(self, status: int, reason: str, pause: float | None = None) -> None:
        hint = " (passwords are read from ~/.netrc)" if status in (401, 403) else ""
        super().__init__(f"the server answers {status} {reason}{hint}")
        self.status, self.pause = status, pause
