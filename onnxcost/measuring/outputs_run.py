"""In the child: runs the model once, and tells what came out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from onnxcost.measuring.messages import Progress, Request

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from onnxcost.measuring.child import Channel


class Outputs(NamedTuple):
    """The arrays by their names; those inside sequences and maps are ``name[0]`` and ``name[key]``."""

    arrays: Mapping[str, NDArray[Any]]


def run(request: Request, channel: Channel) -> None:
    """Answers with Outputs."""
    from onnxcost.measuring.inputs import arrays
    from onnxcost.measuring.session import open_session

    channel.send(Progress("loading"))
    feed = arrays(request.feeds, request.settings.seed)[0]
    session = open_session(request.model, request.settings)
    channel.send(Progress("running"))
    names = [node.name for node in session.get_outputs()]
    found = zip(names, session.run(names, feed), strict=True)
    channel.send(Outputs({path: array for name, value in found for path, array in _arrays(name, value)}))


def _arrays(name: str, value: Any) -> Iterator[tuple[str, NDArray[Any]]]:
    """The arrays in an output; an optional that is empty has none."""
    import numpy as np

    if isinstance(value, (list, dict)):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _arrays(f"{name}[{key}]", item)
    elif value is not None:
        yield name, np.asarray(value)
