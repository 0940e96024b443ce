"""What a calibration times: small models, each a chain of nodes of one family, over sizes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

Shape = tuple[int, ...]
Weight = tuple[str, Shape]


@dataclass(frozen=True, slots=True)
class Probe:
    """A graph in ONNX's textual syntax, with its weights, that tells the time of a family's kernel."""

    family: str
    graph: str
    weights: Mapping[str, Weight] = field(default_factory=dict)
    integers: Mapping[str, Shape] = field(default_factory=dict)


def probes() -> tuple[Probe, ...]:
    """All, families that others build on first."""
    return tuple(probe for make in _MAKERS for probe in make())


def chain(family: str, shape: Shape, *lines: str, weights: Mapping[str, Weight] | None = None, dtype: str = "float", **integers: Shape) -> Probe:
    """A graph whose lines are joined: ``<`` stands for what the line before makes, ``>`` for what this one makes."""
    body = []
    for index, line in enumerate(lines):
        made = "y" if index == len(lines) - 1 else f"t{index + 1}"
        body.append(line.replace(">", made, 1).replace("<<", f"t{index}" if index else "x").replace("@", str(index)))
    dims = ",".join(map(str, shape))
    return Probe(family, f"({dtype}[{dims}] x) => (y) {{ {'; '.join(body)} }}", weights or {}, integers)
