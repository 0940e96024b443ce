"""The small models that a calibration times, written in ONNX's textual syntax."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from onnx import ModelProto


OPSET, IR_VERSION = 18, 8
DRAWN = 1 << 16
"""The number of random numbers that are drawn and then repeated: drawing more would take longer than running the probes."""
Weights = Mapping[str, tuple[str, tuple[int, ...]]]
"""By name: the dtype and the shape."""


def floats(**shapes: tuple[int, ...]) -> Weights:
    """Weights of float32."""
    return {name: ("float32", shape) for name, shape in shapes.items()}


@dataclass(frozen=True, slots=True)
class Probe:
    """A graph in ONNX's textual syntax, with its weights and integer constants, for the time of a family's kernel."""

    family: str
    graph: str
    weights: Weights = field(default_factory=dict)
    integers: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


def chain(
    family: str,
    shape: tuple[int, ...],
    *lines: str,
    weights: Weights | None = None,
    dtypes: tuple[str, str] = ("float", "float"),
    **integers: tuple[int, ...],
) -> Probe:
    """A chain of the lines: ``IN`` is the output of the previous line, ``X`` the input."""
    body = []
    for index, line in enumerate(lines):
        made = "y" if index == len(lines) - 1 else f"t{index + 1}"
        body.append(f"{made} = {line.replace('IN', f't{index}' if index else 'x').replace('X', 'x')}")
    dims = ",".join(map(str, shape))
    return Probe(family, f"({dtypes[0]}[{dims}] x) => ({dtypes[1]} y) {{ {' '.join(body)} }}", weights or {}, integers)


def probe_model(graph: str, weights: Weights, integers: Mapping[str, tuple[int, ...]] | None = None) -> ModelProto:
    """A model of the graph, as ``(float[1,8] x) => (float y) { y = Relu(x) }``. Its weights are random, but the same each time;
    ``integers`` are constants of one dim, such as the shape for a Reshape.
    """
    import numpy as np
    from onnx import numpy_helper, parser

    header = f'<ir_version: {IR_VERSION}, opset_import: ["" : {OPSET}, "com.microsoft" : 1, "ai.onnx.ml" : 3]>'
    model = parser.parse_model(f"{header}\nprobe {graph}")
    arrays = [(name, _random(name, dtype, shape)) for name, (dtype, shape) in weights.items()]
    arrays += [(name, np.array(values, np.int64)) for name, values in (integers or {}).items()]
    model.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in arrays)
    return model


def _random(name: str, dtype: str, shape: tuple[int, ...]) -> Any:
    """Random elements with a scale that keeps activations in range: denormals and infinities would distort the time."""
    import numpy as np

    generator = np.random.default_rng(zlib.crc32(name.encode()))
    if np.issubdtype(np.dtype(dtype), np.integer):
        # Zero points as in quantizers: onnxruntime is faster if a weight's is 0.
        is_weight = dtype == "int8" and len(shape) > 0
        return generator.integers(-8, 8, shape).astype(dtype) if is_weight else np.full(shape, 128 * (dtype == "uint8"), dtype)
    if not shape:
        return np.array(0.05, dtype)
    fan_in = max(1, int(np.prod(shape[1:])) if len(shape) > 2 else shape[0])
    few = generator.standard_normal(min(int(np.prod(shape)), DRAWN), np.float32) / np.sqrt(fan_in)
    return np.resize(few, shape).astype(dtype)
