"""The models of a scan: those of folders, and the share of them that one job of an array counts."""

from __future__ import annotations

import os
from collections.abc import Iterable
from hashlib import sha256
from pathlib import PurePath
from typing import NamedTuple

from onnxcost.errors import InputError
from onnxcost.remote import is_remote
from onnxcost.scanning.results import key_of


class Shard(NamedTuple):
    """The ``number``-th of ``total`` parts of the models, from 1 on."""

    number: int
    total: int

    @classmethod
    def of(cls, number: int, total: int) -> Shard:
        """Raises InputError unless 1 ≤ number ≤ total."""
        if not 1 <= number <= total:
            raise InputError(f"a shard is one of 1/{total} to {total}/{total}, not {number}/{total}")
        return cls(number, total)

    def select(self, paths: Iterable[str], given: Iterable[str]) -> list[str]:
        """The paths in this shard. Each is in one of the ``total`` shards, whatever other paths there are.

        The shard depends on the path below the longest of the folders ``given`` that it is in, so that the folder may have
        another place on each machine; for a path in none of them, on the path as it is.
        """
        folders = sorted({os.path.join(key_of(path), "") for path in given}, key=len, reverse=True)  # noqa: PTH118
        return [path for path in paths if self._holds(path, folders)]

    def _holds(self, path: str, folders: list[str]) -> bool:
        key = key_of(path)
        as_given = key if is_remote(path) else os.path.normpath(path)
        name = next((key[len(folder) :] for folder in folders if key.startswith(folder)), as_given)
        digest = sha256(PurePath(name).as_posix().encode(errors="surrogateescape")).digest()
        return int.from_bytes(digest[:8]) % self.total == self.number - 1
