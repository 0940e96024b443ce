"""Whole models from URLs, in a cache folder: each is fetched once, for as long as the server has it in the same state."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from onnxcost.documents import UNITS, parse_quantity
from onnxcost.errors import InputError
from onnxcost.files import replace_file
from onnxcost.remote.models import open_remote
from onnxcost.remote.urls import RemoteFile, State, explain_errors, redact

FOLDER, LIMIT = "ONNXCOST_CACHE", "ONNXCOST_CACHE_LIMIT"
"""The environment variables for another folder, and for the size that it may have."""
MOST_BYTES = 20 * 10**9
"""The bytes that the folder may have, unless LIMIT says so."""
IN_USE = 600
"""Seconds for which a model stays after its last use, whatever the limit: a process may be about to open it."""
CHUNK, AT_ONCE = 2**22, 4
"""The bytes of a request, and the requests that are under way at the same time."""

OnBytes = Callable[[int, int | None], object]
"""Gets the bytes that have arrived, and those of the whole, None if unknown."""


def download(url: str, on_bytes: OnBytes | None = None, most: int | None = None) -> Path:
    """Download the model at a URL to the cache folder, unless it is there and unchanged on the server; return its path.

    Raises InputError for a model that cannot be fetched, or that has more than ``most`` bytes.
    """
    limit = _limit()
    file = open_remote(url, 1)
    with explain_errors(url):
        path = _place(url, file.state)
    if _is_there(path, file.state):
        return path
    size = file.state.size
    if most is not None and (size is None or size > most):
        what = f"has {size / 2**20:,.1f} MiB" if size else "has an unknown size"
        raise InputError(f"'{file.name}' {what}, and the whole file is needed: use --download or onnxcost.download to fetch it")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.parent.parent.chmod(0o700)
    except OSError as error:
        raise InputError(
            f"cannot create the folder '{path.parent}': {error.strerror}; set {FOLDER} to use another one"
        ) from None
    replace_file(path, _content(file, on_bytes))
    _shrink(path.parent.parent, limit, path)
    return path


def find_download(url: str, state: State) -> Path | None:
    """The file in the cache folder that has the model at a URL in that state; None if there is none."""
    with suppress(InputError, ImportError):
        path = _place(url, state)
        return path if _is_there(path, state) else None
    return None


def cache_folder() -> Path:
    """The folder that holds downloaded models: the one that FOLDER names, else the platform's for caches."""
    if named := os.environ.get(FOLDER):
        return Path(named)
    from platformdirs import user_cache_path

    return Path(user_cache_path("onnxcost", appauthor=False), "models")


def _place(url: str, state: State) -> Path:
    """Where the model belongs. It has a folder of its own, in which there is nothing that it could name as external data."""
    from hashlib import sha256  # whose library takes a fiftieth of the time of a start

    shown = redact(url)
    key = sha256("\n".join((shown, str(state.size), state.tag)).encode()).hexdigest()[:16]
    name = re.sub(r"[^\w.-]", "_", shown.partition("?")[0].rpartition("/")[2])[-100:]
    return cache_folder() / key / (name if name.endswith(".onnx") else f"{name}.onnx")


def _is_there(path: Path, state: State) -> bool:
    """Whether the file has a model in that state; then its time becomes that of its last use."""
    if not state.tag or not path.is_file():
        return False
    with suppress(OSError):
        os.utime(path)
    return True


def _content(file: RemoteFile, on_bytes: OnBytes | None) -> Iterator[bytes]:
    size, done = file.state.size, 0
    if file.has_ranges and size is not None:
        spans = [(start, min(start + CHUNK, size)) for start in range(0, size, CHUNK)]
        groups = (spans[at : at + AT_ONCE] for at in range(0, len(spans), AT_ONCE))
        parts: Iterator[bytes] = (part for group in groups for part in file.fetch(group))
    else:
        parts = file.stream()
    for part in parts:
        yield part
        done += len(part)
        if on_bytes is not None:
            on_bytes(done, size)
    file.check()


def _limit() -> float:
    """The bytes that the folder may have."""
    text = os.environ.get(LIMIT, "")
    limit = parse_quantity(text, UNITS["bytes"]) if text else MOST_BYTES
    if limit is None:
        raise InputError(f"{LIMIT} expects a size such as 20GB, not '{text}'")
    return limit


def _shrink(folder: Path, most: float, newest: Path) -> None:
    """Removes the models that were not used for longest, until the folder has no more bytes than it may have."""
    found = []
    for path in folder.glob("*/*"):
        with suppress(OSError):
            found.append((path.stat().st_mtime, path.stat().st_size, path))
    total = sum(size for _, size, _ in found)
    for used, size, path in sorted(found):
        if total <= most:
            return
        if path != newest and used < time.time() - IN_USE:
            with suppress(OSError):
                path.unlink()
                total -= size
                path.parent.rmdir()
