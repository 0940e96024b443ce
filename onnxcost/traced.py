"""What one run of a model did: the true shapes, the branches that were taken, how often each body ran."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote, unquote

if TYPE_CHECKING:
    from onnxcost.measurement import InputUsed

TensorType = tuple[str, tuple[int, ...]]
"""An element type and the dims."""

Place = tuple[str, ...]
"""Where a node stands: the name of its first output and, before it, that of the node around it and the attribute that is the
body, as often as there are bodies around it. The model's own graph counts as the body ``""`` of nothing: ``("", "y")`` is a
node of it, ``("", "y", "then_branch", "z")`` one of a branch. A body itself has a place that ends in ``""``."""

_MARK = "onnxcost:"


def name_of(place: Place) -> str:
    """A node name that says where the node stands, whatever characters the names there have."""
    return _MARK + "/".join(quote(part, safe="") for part in place)


def place_of(name: str) -> Place | None:
    """The place that a node name says; None for a name that ``name_of`` did not make. A runtime that inlines a function puts
    something before the names of its nodes.
    """
    _, mark, rest = name.partition(_MARK)
    return tuple(unquote(part) for part in rest.split("/")) if mark else None


def with_plain_names(text: str) -> str:
    """A message about nodes that ``name_of`` has named, with the outputs alone as their names."""
    return unquote(text.replace(f"{_MARK}/", ""))


class Execution(NamedTuple):
    """One execution of a node: the types of the tensors that it made, and every pass through its bodies, by attribute."""

    outputs: tuple[TensorType, ...]
    bodies: Mapping[str, tuple[Pass, ...]]


@dataclass(frozen=True, slots=True, eq=False)
class Pass:
    """One pass through a graph: what its nodes did, by the name of their first output. Passes that are alike are one object."""

    executions: Mapping[str, Execution]


@dataclass(frozen=True, slots=True)
class Trace:
    """One run of a model: ``inputs`` are what it was fed with, ``values`` the elements of those that may decide shapes."""

    main: Pass
    inputs: tuple[InputUsed, ...] = ()
    values: Mapping[str, Any] = field(default_factory=dict)


def main_pass(events: Iterable[tuple[Place, tuple[TensorType, ...]]]) -> Pass:
    """The run as a tree, from what its nodes did, in the order in which they ended: a node ends after those of its bodies, and
    a pass through a body before the next begins.
    """
    under_way: dict[Place, dict[str, list[dict[str, Execution]]]] = defaultdict(lambda: defaultdict(list))
    known: dict[Hashable, Pass] = {}
    for place, outputs in events:
        *around, attribute, name = place
        passes = under_way[tuple(around)][attribute]
        if not passes or name in passes[-1]:
            passes.append({})
        bodies = {body: tuple(_once(each, known) for each in made) for body, made in under_way.pop(place, {}).items()}
        passes[-1][name] = Execution(outputs, bodies)
    main = under_way[()][""]
    return _once(main[0] if main else {}, known)


def _once(executions: Mapping[str, Execution], known: dict[Hashable, Pass]) -> Pass:
    """The pass: that of before where it was as another."""
    alike = frozenset((name, each.outputs, tuple(each.bodies.items())) for name, each in executions.items())
    return known.setdefault(alike, Pass(executions))
