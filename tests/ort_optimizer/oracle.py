"""What onnxruntime executes, from the graph that it writes once it has optimised a model; and ours under the same names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import onnx
import onnxruntime

from onnxcost.graph import Graph
from onnxcost.ort_optimizer.fused_node import FusedNode
from onnxcost.ort_optimizer.pipeline import optimize
from tests.modeltext import model

RELEASE = "1.32"
"""The release of onnxruntime that the rules were written after."""
NO_WORK = frozenset({"Reshape", "Squeeze", "Unsqueeze", "Flatten", "Identity", "Shape", "Size", "ConstantOfShape"})
ONE_NAME = {
    **dict.fromkeys(("Gemm", "FusedGemm", "FusedMatMul"), "MatMul"),
    **dict.fromkeys(("ReorderInput", "ReorderOutput"), "Reorder"),
    **{"FusedConv": "Conv", "Sum": "Add", "NhwcMaxPool": "MaxPool", "QGemm": "QLinearGemm", "Upsample": "Resize"},
    **{"MatMulIntegerToFloat": "MatMulInteger"},
}
"""What is one kernel to us and has several names there."""
TWO_NODES = {
    "HardSwish": ("HardSigmoid", "Mul"),
    "DynamicQuantizeMatMul": ("DynamicQuantizeLinear", "MatMulInteger"),
}
"""What is two kernels to one of the two."""
OF_BLOCKS = frozenset({"Conv", "MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "Resize"})
"""What onnxruntime has another kernel for where floats are in blocks."""


def names_of(operator: str, in_blocks: bool) -> Iterator[str]:
    for part in TWO_NODES.get(operator, (operator,)):
        name = ONE_NAME.get(part, part)
        if name not in NO_WORK:
            yield f"{name} in blocks" if in_blocks and name in OF_BLOCKS else name


def theirs(source: str | bytes) -> Counter[str]:
    """The operators of the optimised graph, and how many nodes there are of each."""
    nodes = optimised(source)
    return Counter(name for node in nodes for name in names_of(node.op_type, node.domain == "com.microsoft.nchwc"))


def optimised(source: str | bytes, without: Sequence[str] = ()) -> list[onnx.NodeProto]:
    """The nodes of the graph that onnxruntime makes of a model, without the passes of these names."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    with TemporaryDirectory() as folder:
        options.optimized_model_filepath = str(Path(folder, "optimised.onnx"))
        onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"], disabled_optimizers=list(without))
        return list(onnx.load(options.optimized_model_filepath, load_external_data=False).graph.node)


def ours(graph: Graph) -> Counter[str]:
    """The operators that we say run."""
    return Counter(name for step in optimize(graph, blocked=True, casts=True) for name in names_of_step(step))


def names_of_step(step: FusedNode) -> Iterator[str]:
    """What brings integers to channels that come last is a Transpose there, what scales blocks of channels a convolution."""
    yield from ("Reorder" if tensor.dtype == "float32" else "Transpose" for tensor in step.reordered)
    operator = step.kind or step.node.op_type
    in_blocks = step.is_blocked and step.node.x.dtype == "float32"
    scales = (
        in_blocks
        and operator in ("Mul", "BatchNormalization")
        and any(t is not None and t.is_constant for t in step.node.inputs)
    )
    yield from names_of("Conv" if scales else operator, in_blocks)


def surplus(graph: Graph, source: str | bytes) -> dict[str, int]:
    """How many more of each operator run after us; {} where all is the same."""
    mine, real = ours(graph), theirs(source)
    return {name: mine[name] - real[name] for name in sorted(mine | real) if mine[name] != real[name]}


def list_weights(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The model with its floats listed among the inputs, too: a caller may override them, and onnxruntime folds none."""
    floats = [tensor for tensor in proto.graph.initializer if tensor.data_type == onnx.TensorProto.FLOAT]
    listed = [onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims) for tensor in floats]
    proto.graph.input.extend(listed)
    proto.ir_version = max(proto.ir_version, 4)
    return proto


@cache
def why_not() -> str:
    """Why nothing can be compared here; "" where it can."""
    if not onnxruntime.__version__.startswith(f"{RELEASE}."):
        return f"the rules are those of onnxruntime {RELEASE}, and this is {onnxruntime.__version__}"
    pool = "(float[1,{},8,8] x) => (float y) {{ y = MaxPool<kernel_shape = [2, 2]>(x) }}"
    widths = [width for width in (8, 16) if theirs(model(pool.format(width)).SerializeToString())["MaxPool in blocks"]]
    return "" if widths == [16] else "blocks of 16 channels are there on x86 with AVX-512 alone"
