"""A small model that a calibration times, and how one is written down."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

Shape = tuple[int, ...]
Weights = Mapping[str, tuple[str, Shape]]


@dataclass(frozen=True, slots=True)
class Probe:
    """A graph in ONNX's textual syntax, with its weights, that tells the time of a family's kernel."""

    family: str
    graph: str
    weights: Weights = field(default_factory=dict)
    integers: Mapping[str, Shape] = field(default_factory=dict)


def chain(
    family: str,
    shape: Shape,
    *lines: str,
    weights: Weights | None = None,
    dtypes: tuple[str, str] = ("float", "float"),
    **integers: Shape,
) -> Probe:
    """A graph of the lines one after the other: in each ``IN`` stands for what the one before makes and ``X`` for the input."""
    body = []
    for index, line in enumerate(lines):
        made = "y" if index == len(lines) - 1 else f"t{index + 1}"
        body.append(f"{made} = {line.replace('IN', f't{index}' if index else 'x').replace('X', 'x')}")
    dims = ",".join(map(str, shape))
    return Probe(family, f"({dtypes[0]}[{dims}] x) => ({dtypes[1]} y) {{ {' '.join(body)} }}", weights or {}, integers)
