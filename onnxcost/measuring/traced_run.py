"""In the child: runs the model once, unoptimised and profiled, and tells what each node did."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onnxcost.errors import MeasurementError
from onnxcost.measurement import Settings
from onnxcost.measuring.events import dtype_of, incomplete
from onnxcost.measuring.messages import Progress, Request
from onnxcost.traced import Place, TensorType, Trace, main_pass, place_of, with_plain_names

if TYPE_CHECKING:
    from onnxcost.measuring.child import Channel
    from onnxcost.measuring.session import Session

_SUFFIX = "_kernel_time"
_SMALL = 64
"""Elements of the largest input that may decide shapes."""


def run(request: Request, channel: Channel) -> None:
    """Answers with Trace."""
    from onnxcost.measuring.failures import reason
    from onnxcost.measuring.inputs import arrays, used

    channel.send(Progress("loading"))
    feed = arrays(request.feeds, request.settings.seed)[0]
    try:
        session = _session(request)
        channel.send(Progress("tracing"))
        session.run(None, feed)
    except Exception as error:
        raise MeasurementError(with_plain_names(reason(error))) from None
    profile = session.end_profiling()
    try:
        events = json.loads(Path(profile).read_bytes(), object_hook=_event)
    except (OSError, ValueError) as error:
        raise incomplete(profile, error) from None
    channel.send(Trace(main_pass(_executed(events)), used(request.feeds), _deciding(feed)))


def _session(request: Request) -> Session:
    from onnxcost.frontend.runnable import runnable
    from onnxcost.measuring.session import open_session

    return open_session(
        runnable(request.model),
        _settings(request.settings),
        profile_prefix=str(Path(request.folder, "trace")),
        weights_folder=str(Path(request.model).parent),
    )


def _settings(settings: Settings) -> Settings:
    """Those of a run whose events come one node after the other, of the nodes that the model has: providers other than the
    CPU's may take many nodes as one.
    """
    return replace(settings, provider="cpu", provider_options={}, optimization="none", inter_threads=None)


def _event(found: dict[str, Any]) -> Any:
    """An event as its name and its outputs: there can be a million."""
    return (found["name"], found["args"].get("output_type_shape", ())) if "args" in found else found


def _executed(events: Sequence[tuple[str, Any]]) -> Iterator[tuple[Place, tuple[TensorType, ...]]]:
    """The nodes that ran, in the order in which they ended. Raises MeasurementError for a profile that breaks off."""
    if all(name != "model_run" for name, _ in events):
        raise MeasurementError(
            f"the run has more nodes than onnxruntime's profile holds ({len(events):,}): it cannot be traced"
        )
    for name, outputs in events:
        place = place_of(name.removesuffix(_SUFFIX)) if name.endswith(_SUFFIX) else None
        if place is not None:
            yield place, tuple(_types(outputs))


def _types(shapes: Iterable[Mapping[str, Sequence[int]]]) -> Iterator[TensorType]:
    """What onnxruntime writes as ``[{"float": [1, 3]}, …]``."""
    for each in shapes:
        for dtype, shape in each.items():
            yield dtype_of(dtype), tuple(shape)


def _deciding(feed: Mapping[str, Any]) -> dict[str, Any]:
    """The inputs whose elements may decide shapes: sequences, and a few integers, truth values or strings."""
    return {name: value for name, value in feed.items() if _may_decide(value)}


def _may_decide(value: Any) -> bool:
    if isinstance(value, list):
        return all(hasattr(item, "dtype") for item in value)
    return getattr(getattr(value, "dtype", None), "kind", "") in ("i", "u", "b", "O") and value.size <= _SMALL
