"""The models of a scan: those in folders and stores, their stamps, and the shard that one job of an array counts."""

from __future__ import annotations

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path, PurePath
from typing import NamedTuple

from onnxcost.errors import InputError
from onnxcost.files import models_in
from onnxcost.remote.models import Listed, list_models, open_remote
from onnxcost.remote.urls import State, is_remote
from onnxcost.scanning.results import Stamp, key_of, stamp_of


class Shard(NamedTuple):
    """The ``number``-th of ``total`` parts of the models, from 1 on."""

    number: int
    total: int

    @classmethod
    def of(cls, number: int, total: int) -> Shard:
        """Raises InputError unless 1 ≤ number ≤ total."""
        if not 1 <= number <= total:
            raise InputError(f"a shard must be from 1/{total} to {total}/{total}, not {number}/{total}")
        return cls(number, total)

    def select(self, paths: Iterable[str], given: Iterable[str]) -> list[str]:
        """The paths in this shard. Each is in one of the ``total`` shards, whatever other paths there are.

        The shard depends on the path below the longest of the folders ``given`` that it is in, so that the folder may be in a
        different place on each machine; for a path in none of them, it depends on the whole path.
        """
        folders = sorted({os.path.join(key_of(path), "") for path in given}, key=len, reverse=True)  # noqa: PTH118
        return [path for path in paths if self._holds(path, folders)]

    def _holds(self, path: str, folders: list[str]) -> bool:
        key = key_of(path)
        as_given = key if is_remote(path) else os.path.normpath(path)
        name = next((key[len(folder) :] for folder in folders if key.startswith(folder)), as_given)
        digest = sha256(PurePath(name).as_posix().encode(errors="surrogateescape")).digest()
        return int.from_bytes(digest[:8]) % self.total == self.number - 1


def list_paths(given: Iterable[str | os.PathLike[str] | Listed]) -> list[Listed]:
    """The models in folders and at URLs, with their states if listings have them.

    Raises InputError for a folder without models.
    """
    found: list[Listed] = []
    for each in given:
        if isinstance(each, Listed):
            found.append(each)
        elif is_remote(path := os.fspath(each)):
            found += list_models(path)
        else:
            found += [Listed(model, State(None, "")) for model in (models_in(path) if Path(path).is_dir() else [path])]
    return found


def find_stamps(models: Iterable[Listed], io: int = 0) -> dict[str, Stamp | None]:
    """The current stamp of each model by the key of its path; None for a missing model or an unknown state.

    ``io`` servers at a time are asked for the states of models at URLs that no listing has; with 0 they stay unknown.
    """
    stamps: dict[str, Stamp | None] = {}
    unlisted: list[str] = []
    for path, state in models:
        is_url = is_remote(path)
        stamps[key_of(path)] = Stamp(state.size, mark=state.tag) if state.tag else None if is_url else stamp_of(path)
        if is_url and not state.tag:
            unlisted.append(path)
    if io and unlisted:
        with ThreadPoolExecutor(io) as threads:
            stamps |= zip(map(key_of, unlisted), threads.map(_ask_for_stamp, unlisted), strict=True)
    return stamps


def _ask_for_stamp(url: str) -> Stamp | None:
    try:
        state = open_remote(url, 1).state
    except InputError:  # which is found again when it is counted
        return None
    return Stamp(state.size, mark=state.tag) if state.tag else None
