"""Small models, written in ONNX's own textual syntax: https://github.com/onnx/onnx/blob/main/docs/Syntax.md."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import ModelProto, numpy_helper, parser

from onnxcost.formulas import FORMULAS
from onnxcost.frontend import read_graph, read_skeleton
from onnxcost.graph import Graph
from onnxcost.spec import ModelSpec


def model(graph: str, opset: int = 17, functions: str = "", domains: str = "", **weights: tuple[int, ...]) -> ModelProto:
    """``graph`` is ``(float[1,3] x) => (float[1,3] y) { y = Relu(x) }`` and the like; ``weights`` are float32 zeros."""
    made = parser.parse_model(f'<ir_version: 8, opset_import: ["" : {opset}{domains}]>\ng {graph}\n{functions}')
    made.graph.initializer.extend(numpy_helper.from_array(np.zeros(dims, np.float32), name) for name, dims in weights.items())
    return made


def graph_of(proto: ModelProto, **arguments: Any) -> Graph:
    """The graph that the frontend makes of a model."""
    return read_graph(read_skeleton(proto), ModelSpec(proto, **arguments), FORMULAS)
