"""Names of files as short as can be, all different."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import PurePath

SUFFIXES = (".onnx", ".json")
"""What a name is shorter without."""


def labels(paths: Sequence[str]) -> list[str]:
    """Names as short as can be, all different: ``resnet``, ``resnet.onnx``, ``v1/resnet.onnx``, ``resnet (2)``."""
    names = _shortest(dict.fromkeys(paths, 0))
    seen: Counter[str] = Counter()
    found = []
    for path in paths:
        seen[path] += 1
        found.append(f"{names[path]} ({seen[path]})" if seen[path] > 1 else names[path])
    return found


def _shortest(depths: Mapping[str, int]) -> dict[str, str]:
    """A name for each path, of as many of its last parts as ``depths`` says, and of more where two names would be the same."""
    names = {path: _name(PurePath(path), depth) for path, depth in depths.items()}
    often = Counter(names.values())
    deeper = {path: min(depth + (often[names[path]] > 1), len(PurePath(path).parts)) for path, depth in depths.items()}
    return names if deeper == depths else _shortest(deeper)


def _name(path: PurePath, depth: int) -> str:
    if not depth:
        return path.stem if path.suffix.lower() in SUFFIXES else path.name
    return str(PurePath(*path.parts[-depth:]))
