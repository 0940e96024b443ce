"""Reads the events that onnxruntime's profiler writes: which nodes ran, for how long, with which shapes and in what memory.

A node's event spans the events of its bodies: each pass through a body is a separate event, "SequentialExecutor::Execute",
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
from onnxcost.runtime.protocol import ArenaUse, Around, ExecutedNode, Slice, Types

MICROSECOND = 1e-6
CPU = "CPUExecutionProvider"
MOST_SLICES = 100_000
"""A run that starts after this many executions is not on the timeline."""
_KERNEL, _PASS, _RUN = "_kernel_time", "SequentialExecutor::Execute", "model_run"
_DTYPES: Mapping[str, str] = {"float": "float32", "double": "float64"}


class Recorded(NamedTuple):
    """The content of the events. ``memory`` covers all runs, the others the requested ones; ``timeline`` is in order."""

    executed: tuple[ExecutedNode, ...]
    run_seconds: tuple[float, ...]
    memory: ArenaUse
    timeline: tuple[Slice, ...] = ()


class EventSpan(NamedTuple):
    """A node's execution or a pass through a graph, and the spans inside it."""

    start: int
    duration: int
    name: str
    arguments: Mapping[str, Any]
    inside: list[EventSpan]
    thread: int = 0

    @property
    def is_node(self) -> bool:
        """Whether it is a node's execution."""
        return self.name != _PASS

    @property
    def own_seconds(self) -> float:
        """Its time without that of the inner spans."""
        return MICROSECOND * (self.duration - sum(span.duration for span in self.inside))

    @property
    def node(self) -> tuple[str, str, int]:
        """Name, operator and index, which identify a node in a graph."""
        arguments = self.arguments
        return self.name, arguments["op_name"], int(arguments["node_index"])


def read_profile(path: str, warmup: int = 0, fastest_share: float = 1.0) -> Recorded:
    """The profile in the file: the fastest share of the runs after the first ``warmup``. Raises MeasurementError for a
    truncated file or one without such a run.
    """
    events = read_events(path)
    runs = sorted((event["ts"], event["dur"]) for event in events if event["name"] == _RUN)
    if len(runs) <= warmup:
        raise MeasurementError(
            "onnxruntime's profile has no complete run: a run has more nodes than the profiler can record (1,000,000)"
        )
    # The nodes of the model's graph. If nodes run in parallel, only some are inside the pass, which belongs to one thread.
    nodes = [node for span in _spans(events) for node in ([span] if span.is_node else span.inside)]
    # A node that was disturbed once would be at the top of a table of means.
    shortest_first = sorted(range(warmup, len(runs)), key=lambda run: runs[run][1])
    kept = set(shortest_first[: ceil(fastest_share * len(shortest_first))])
    executions = _executions(node for node in nodes if _index_of_run(node, runs) in kept)
    return Recorded(
        executed=_executed_nodes(executions),
        run_seconds=tuple(MICROSECOND * runs[run][1] for run in sorted(kept)),
        memory=_arena_use(events, runs[0]),
        timeline=_timeline(executions, [runs[run] for run in sorted(kept)]),
    )


def read_events(path: str, hook: Callable[[dict[str, Any]], Any] | None = None) -> list[Any]:
    """The events in the file of a profile, each converted by ``hook``. Raises MeasurementError for a truncated file:
    onnxruntime does not check its writes.
    """
    try:
        with open(path, encoding="utf-8", errors="replace") as file:  # noqa: PTH123
            return json.load(file, object_hook=hook)  # type: ignore[no-any-return]
    except (OSError, ValueError) as error:
        what = f"the profile that onnxruntime wrote to '{os.path.dirname(path)}' is incomplete"  # noqa: PTH120
        why = f"is the disk full (df), or is there a limit on the size of files (ulimit -f)? ({error})"
        raise MeasurementError(f"{what}: {why}") from None


def _index_of_run(span: EventSpan, runs: Sequence[tuple[int, int]]) -> int:
    """The run that it belongs to; -1 for a run that was not recorded to its end."""
    index = bisect_right(runs, span.start, key=lambda run: run[0]) - 1
    return index if index >= 0 and span.start <= sum(runs[index]) else -1


def _spans(events: Iterable[Mapping[str, Any]]) -> list[EventSpan]:
    """The outermost spans of every thread, in order of their start. A body runs on the thread of its node."""
    by_thread: dict[int, list[EventSpan]] = {}
    for event in events:
        name = event["name"]
        if name == _PASS or (event["cat"] == "Node" and name.endswith(_KERNEL)):
            span = EventSpan(event["ts"], event["dur"], name.removesuffix(_KERNEL), event["args"], [], event["tid"])
            by_thread.setdefault(event["tid"], []).append(span)
    outermost = [span for spans in by_thread.values() for span in _nest(spans)]
    return sorted(outermost, key=lambda span: span.start)


def _nest(spans: list[EventSpan]) -> list[EventSpan]:
    """The outermost spans of one thread; the others are put inside those around them. Nodes are in passes, and passes in nodes:
    if two nodes start in the same microsecond, neither is inside the other.
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


Executions = Mapping[tuple[Around, tuple[str, str, int]], list[EventSpan]]
"""The executions of each node, which is identified by the nodes around it and its own name, operator and index."""


def _executions(nodes: Iterable[EventSpan]) -> Executions:
    executions: dict[tuple[Around, tuple[str, str, int]], list[EventSpan]] = {}
    bodies: dict[tuple[Around, str], list[tuple[str, ...]]] = {}
    for around, span in _with_bodies(nodes, (), bodies):
        executions.setdefault((around, span.node), []).append(span)
    return executions


def _timeline(executions: Executions, runs: Sequence[tuple[int, int]]) -> tuple[Slice, ...]:
    """All executions in the runs, those of the first runs if there are more than MOST_SLICES."""
    spans = sorted(
        ((span, at) for at, each in enumerate(executions.values()) for span in each),
        key=lambda pair: (pair[0].start, -pair[0].duration),
    )
    threads: dict[int, int] = {}
    slices: list[Slice] = []
    for span, at in spans:
        run, in_use = _index_of_run(span, runs), span.arguments.get("mem_bytes_in_use")
        if len(slices) >= MOST_SLICES and run != slices[-1].run:
            break
        slices.append(
            Slice(
                run=run,
                node=at,
                thread=threads.setdefault(span.thread, len(threads)),
                start=MICROSECOND * (span.start - runs[0][0]),
                seconds=MICROSECOND * span.duration,
                own=span.own_seconds,
                in_use=None if in_use is None else int(in_use),
            )
        )
    return tuple(slices)


def _executed_nodes(executions: Executions) -> tuple[ExecutedNode, ...]:
    known: dict[Types, Types] = {}

    def types(span: EventSpan, key: str) -> Types:
        """One object for equal types: there are far fewer of them than executions."""
        found = types_of(span.arguments.get(key) or ())
        return known.setdefault(found, found)

    return tuple(
        ExecutedNode(
            name,
            op_type,
            provider=spans[0].arguments.get("provider", ""),
            index=index,
            durations=tuple(span.own_seconds for span in spans),
            inputs=tuple(types(span, "input_type_shape") for span in spans),
            outputs=tuple(types(span, "output_type_shape") for span in spans),
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
    """The nodes and those of their bodies. Passes in which the same nodes run are through the same body."""
    for span in nodes:
        yield around, span
        for each in span.inside:
            known = bodies.setdefault((around, span.name), [])
            names = tuple(sorted(f"{node.name} {node.node[2]}" for node in each.inside))
            if names not in known:
                known.append(names)
            yield from _with_bodies(each.inside, (*around, (span.name, known.index(names))), bodies)


def types_of(listed: Iterable[Mapping[str, Sequence[int]]]) -> Types:
    """The types and shapes that an event lists as ``[{"float": [1, 3]}, …]``."""
    return tuple((dtype_of(name), tuple(shape)) for each in listed for name, shape in each.items())


def dtype_of(name: str) -> str:
    """onnxcost's name of an element type; a type of less than a byte is named after the number in a byte, as ``Int4x2``."""
    return _DTYPES.get(name, name.lower().removesuffix("x2").removesuffix("x4"))


def _arena_use(events: Iterable[Mapping[str, Any]], first_run: tuple[int, int]) -> ArenaUse:
    """The peak of all runs, and the tensors of the first: later runs allocate them in advance, as one block.

    Each provider has its own arena: the largest counts.
    """
    start, duration = first_run
    told = [event for event in events if "mem_in_use_peak" in event["args"]]
    in_first: dict[str, list[Mapping[str, str]]] = {}
    for event in told:
        if start <= event["ts"] <= start + duration:
            in_first.setdefault(event["args"]["provider"], []).append(event["args"])
    growths, hidden = [], 0
    for arguments in in_first.values():
        # The growth of the bytes for tensors and in kernels since the first node.
        before = int(arguments[0]["mem_bytes_requested_in_use"]) - int(arguments[0]["mem_requested_in_use_delta"])
        requested = [int(each["mem_bytes_requested_in_use"]) for each in arguments]
        growths.append(max([*requested, *_peaks_inside(arguments)]) - before)
        hidden = max(_hidden_bytes(arguments[0], growths[-1]), hidden)
    peak = max((int(event["args"]["mem_in_use_peak"]) for event in told), default=None)
    return ArenaUse(peak, max(growths, default=None), hidden)


def _hidden_bytes(first: Mapping[str, str], growth: int) -> int:
    """How far the peak by the end of the first node is above the bytes in use before it, if that is more than the growth."""
    if first["provider"] != CPU or "mem_bytes_in_use" not in first:
        return 0
    above = int(first["mem_in_use_peak"]) - int(first["mem_bytes_in_use"]) + int(first["mem_requested_in_use_delta"])
    return above if above > growth else 0


def _peaks_inside(arguments: Sequence[Mapping[str, str]]) -> Iterator[int]:
    """The bytes that were requested at each new peak while a node ran. The arena only has the bytes in use at peaks: except for
    rounding, these are the requested ones in the exact arena of sessions on the CPU. The first node's peak may be from the time
    before it, and counts only if there is no other node.
    """
    if arguments[0]["provider"] != CPU or "mem_bytes_in_use" not in arguments[0]:
        return
    highest = int(arguments[0]["mem_in_use_peak"]) if len(arguments) > 1 else 0
    for each in arguments:
        if (peak := int(each["mem_in_use_peak"])) > highest:
            yield peak - (int(each["mem_bytes_in_use"]) - int(each["mem_bytes_requested_in_use"]))
            highest = peak
