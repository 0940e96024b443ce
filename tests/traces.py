"""Traces of small models, run by onnxruntime in this process as the child process does it."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from onnx import ModelProto

import onnxcost
from onnxcost.frontend.trace import Trace
from onnxcost.measurement import Settings
from onnxcost.runtime import profiler_tasks
from onnxcost.runtime.inputs.feeds import feeds_of
from onnxcost.runtime.protocol import Request
from onnxcost.runtime.worker import Channel


def traced(model: ModelProto | Path, fed: dict[str, Any], **arguments: Any) -> Trace:
    """The trace of a run with these values; the other arguments are those of ``estimate``, which gives the inputs' shapes."""
    with tempfile.TemporaryDirectory() as folder:
        path = model if isinstance(model, Path) else Path(folder, "model.onnx")
        if isinstance(model, ModelProto):
            path.write_bytes(model.SerializeToString())
        feeds = feeds_of(onnxcost.estimate(path, **arguments).graph, fed, {})
        said: list[object] = []
        profiler_tasks.run_traced(Request("trace", str(path), feeds, Settings(), folder), Channel(said.append, bool))
    (trace,) = (each for each in said if isinstance(each, Trace))
    return trace
