"""The small models that a calibration times, made of a graph in ONNX's textual syntax and of weights by name."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from onnx import ModelProto


OPSET, IR_VERSION = 18, 8
DRAWN = 1 << 16
"""So many random numbers are drawn, and repeated: drawing more would take longer than the probes themselves."""
Weights = Mapping[str, tuple[str, tuple[int, ...]]]
"""By name: the dtype and the shape."""


def probe_model(graph: str, weights: Weights, integers: Mapping[str, tuple[int, ...]] | None = None) -> ModelProto:
    """A model of the graph, ``(float[1,8] x) => (float y) { y = Relu(x) }``. Its weights are random, the same each time;
    ``integers`` are constants of one dim, such as the shape that a Reshape wants.
    """
    import numpy as np
    from onnx import numpy_helper, parser

    header = f'<ir_version: {IR_VERSION}, opset_import: ["" : {OPSET}, "com.microsoft" : 1]>'
    model = parser.parse_model(f"{header}\nprobe {graph}")
    arrays = [(name, _random(name, dtype, shape)) for name, (dtype, shape) in weights.items()]
    arrays += [(name, np.array(values, np.int64)) for name, values in (integers or {}).items()]
    model.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in arrays)
    return model


def _random(name: str, dtype: str, shape: tuple[int, ...]) -> Any:
    """Of a scale that keeps the activations of a chain in range: no time is to go into denormals or infinities."""
    import numpy as np

    generator = np.random.default_rng(zlib.crc32(name.encode()))
    if np.issubdtype(np.dtype(dtype), np.integer):
        # Zero points are what quantizers choose: onnxruntime is quicker where a weight's is 0.
        is_weight = dtype == "int8" and len(shape) > 0
        return generator.integers(-8, 8, shape).astype(dtype) if is_weight else np.full(shape, 128 * (dtype == "uint8"), dtype)
    if not shape:
        return np.array(0.05, dtype)
    fan_in = max(1, int(np.prod(shape[1:])) if len(shape) > 2 else shape[0])
    few = generator.standard_normal(min(int(np.prod(shape)), DRAWN), np.float32) / np.sqrt(fan_in)
    return np.resize(few, shape).astype(dtype)
