"""Reads the events that onnxruntime's profiler writes: which nodes ran, for how long, with which shapes and in what memory.

A node's event spans the events of its bodies: each pass through a body is an event of its own, "SequentialExecutor::Execute",
as is the pass through the model's graph inside "model_run". The events are ordered by their start; times are microseconds.
"""

from __future__ import annotations

import json
import os
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from math import ceil
from typing import Any, NamedTuple

from onnxcost.errors import MeasurementError
from onnxcost.runtime.profile import ArenaUse
from onnxcost.runtime.protocol import Around, ExecutedNode, Types

MICROSECOND = 1e-6
_KERNEL, _PASS, _RUN = "_kernel_time", "SequentialExecutor::Execute", "model_run"
_DTYPES: Mapping[str, str] = {"float": "float32", "double": "float64"}


class Recorded(NamedTuple):
    """What the events tell. ``memory`` covers all runs, ``executed`` and ``run_seconds`` those that were asked for."""

    executed: tuple[ExecutedNode, ...]
    run_seconds: tuple[float, ...]
    memory: ArenaUse


class EventSpan(NamedTuple):
    """A node's execution or a pass through a graph, and the spans inside it."""

    start: int
    duration: int
    name: str
    arguments: Mapping[str, Any]
    inside: list[EventSpan]

    @property
    def is_node(self) -> bool:
        """Whether it is a node's execution."""
        return self.name != _PASS

    @property
    def own_seconds(self) -> float:
        """What is left of its time without the spans inside it."""
        return MICROSECOND * (self.duration - sum(span.duration for span in self.inside))

    @property
    def node(self) -> tuple[str, str, int]:
        """Name, operator and index: those of one node in its graph."""
        arguments = self.arguments
        return self.name, arguments["op_name"], int(arguments["node_index"])


def read_profile(path: str, warmup: int = 0, calmest: float = 1.0) -> Recorded:
    """What the profile in the file tells, the first ``warmup`` runs left out; raises MeasurementError."""
    events = read_events(path)
    runs = sorted((event["ts"], event["dur"]) for event in events if event["name"] == _RUN)
    if len(runs) <= warmup:
        raise MeasurementError(
            "onnxruntime recorded no run to its end: a run has more nodes than it keeps events of (1,000,000)"
        )
    nodes = [(_index_of_run(span, runs), span) for span in _top_nodes(_spans(events))]
    kept = _fastest_runs(runs, warmup, calmest)
    return Recorded(
        executed=_executed_nodes(span for run, span in nodes if run in kept),
        run_seconds=tuple(MICROSECOND * runs[run][1] for run in sorted(kept)),
        memory=_arena_use(events, runs[0]),
    )


def read_events(path: str, hook: Callable[[dict[str, Any]], Any] | None = None) -> list[Any]:
    """The events in the file of a profile, each as ``hook`` makes it of its object.

    Raises MeasurementError for a file that breaks off: onnxruntime does not tell that it could not write all of it.
    """
    try:
        with open(path, encoding="utf-8", errors="replace") as file:  # noqa: PTH123
            return json.load(file, object_hook=hook)  # type: ignore[no-any-return]
    except (OSError, ValueError) as error:
        what = f"the profile that onnxruntime wrote to '{os.path.dirname(path)}' cannot be read to its end"  # noqa: PTH120
        why = f"is there no room (df), or a limit on the size of files (ulimit -f)? ({error})"
        raise MeasurementError(f"{what}: {why}") from None


def _fastest_runs(runs: Sequence[tuple[int, int]], warmup: int, share: float) -> set[int]:
    """The shortest of the runs behind the warm-up: a node that was disturbed once would lead a table of means."""
    shortest_first = sorted(range(warmup, len(runs)), key=lambda run: runs[run][1])
    return set(shortest_first[: ceil(share * len(shortest_first))])


def _index_of_run(span: EventSpan, runs: Sequence[tuple[int, int]]) -> int:
    """Which run it belongs to; -1 for a run that was not recorded to its end."""
    index = bisect_right(runs, span.start, key=lambda run: run[0]) - 1
    return index if index >= 0 and span.start <= sum(runs[index]) else -1


def _spans(events: Iterable[Mapping[str, Any]]) -> list[EventSpan]:
    """The outermost spans of every thread, in order of their start. A body runs on the thread of its node."""
    by_thread: dict[int, list[EventSpan]] = {}
    for event in events:
        name = event["name"]
        if name == _PASS or (event["cat"] == "Node" and name.endswith(_KERNEL)):
            span = EventSpan(event["ts"], event["dur"], name.removesuffix(_KERNEL), event["args"], [])
            by_thread.setdefault(event["tid"], []).append(span)
    outermost = [span for spans in by_thread.values() for span in _nest(spans)]
    return sorted(outermost, key=lambda span: span.start)


def _nest(spans: list[EventSpan]) -> list[EventSpan]:
    """The spans of one thread that lie in no other; the others are put inside those around them.

    Nodes lie in passes, and passes in nodes: of two nodes that start in the same microsecond none lies in the other.
    """
    outermost: list[EventSpan] = []
    open_spans: list[EventSpan] = []
    for span in sorted(spans, key=lambda span: (span.start, -span.duration, span.is_node)):
        while open_spans and open_spans[-1].start + open_spans[-1].duration <= span.start:
            open_spans.pop()
        around = next((each for each in reversed(open_spans) if each.is_node != span.is_node), None)
        (outermost if around is None else around.inside).append(span)
        open_spans.append(span)
    return outermost


def _top_nodes(spans: Iterable[EventSpan]) -> Iterator[EventSpan]:
    """The nodes of the model's graph. Where nodes run side by side, only some lie inside the pass, which is one thread's."""
    for span in spans:
        yield from [span] if span.is_node else span.inside


def _executed_nodes(nodes: Iterable[EventSpan]) -> tuple[ExecutedNode, ...]:
    executions: dict[tuple[Around, tuple[str, str, int]], list[EventSpan]] = {}
    bodies: dict[tuple[Around, str], list[tuple[str, ...]]] = {}
    for around, span in _with_bodies(nodes, (), bodies):
        executions.setdefault((around, span.node), []).append(span)
    known: dict[Types, Types] = {}
    return tuple(
        ExecutedNode(
            name,
            op_type,
            provider=spans[0].arguments.get("provider", ""),
            index=index,
            durations=tuple(span.own_seconds for span in spans),
            inputs=tuple(_types(span.arguments.get("input_type_shape"), known) for span in spans),
            outputs=tuple(_types(span.arguments.get("output_type_shape"), known) for span in spans),
            in_use_peak=max(
                (int(span.arguments["mem_in_use_peak"]) for span in spans if "mem_in_use_peak" in span.arguments), default=None
            ),
            around=around,
        )
        for (around, (name, op_type, index)), spans in executions.items()
    )


def _with_bodies(
    nodes: Iterable[EventSpan], around: Around, bodies: dict[tuple[Around, str], list[tuple[str, ...]]]
) -> Iterator[tuple[Around, EventSpan]]:
    """The nodes and those of their bodies. Two passes are through one body where the same nodes run in them."""
    for span in nodes:
        yield around, span
        for each in span.inside:
            known = bodies.setdefault((around, span.name), [])
            names = tuple(sorted(f"{node.name} {node.node[2]}" for node in each.inside))
            if names not in known:
                known.append(names)
            yield from _with_bodies(each.inside, (*around, (span.name, known.index(names))), bodies)


def _types(listed: Iterable[Mapping[str, Sequence[int]]] | None, known: dict[Types, Types]) -> Types:
    """Like ones are one object: there are far fewer than executions."""
    types = tuple((dtype_of(name), tuple(shape)) for each in listed or () for name, shape in each.items())
    return known.setdefault(types, types)


def dtype_of(name: str) -> str:
    """Our name of an element type; those of less than a byte go by how many a byte holds, as ``Int4x2``."""
    return _DTYPES.get(name, name.lower().removesuffix("x2").removesuffix("x4"))


def _arena_use(events: Iterable[Mapping[str, Any]], first_run: tuple[int, int]) -> ArenaUse:
    """The peak of all runs, and what the first one's tensors took: later runs allocate all of them beforehand, as one block.

    Each provider has an arena of its own: the largest is told.
    """
    start, duration = first_run
    told = [event for event in events if "mem_in_use_peak" in event["args"]]
    in_first: dict[str, list[Mapping[str, str]]] = {}
    for event in told:
        if start <= event["ts"] <= start + duration:
            in_first.setdefault(event["args"]["provider"], []).append(event["args"])
    return ArenaUse(
        max((int(event["args"]["mem_in_use_peak"]) for event in told), default=None),
        max(map(_growth, in_first.values()), default=None),
    )


def _growth(told: Sequence[Mapping[str, str]]) -> int:
    """How far the bytes that were allocated for tensors rise above what they were before the first node."""
    after = [int(arguments["mem_bytes_requested_in_use"]) for arguments in told]
    return max(after) - after[0] + int(told[0]["mem_requested_in_use_delta"])
