"""How work becomes one number: weights over Work, and overrides for the operators that a convention counts differently.

``in`` and ``out`` are the element counts of a node's first input and output.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod
from types import MappingProxyType
from typing import NamedTuple

from onnxcost.errors import InputError, did_you_mean
from onnxcost.graph import KINDS, Node, Tensor, Work
from onnxcost.operators.traits import CONVOLUTIONS, FLOAT_PRODUCTS, PRODUCTS, RECURRENT

Override = Callable[[Node, Work], int]


class CountingRule(NamedTuple):
    """How a convention counts one operator: the number, for one execution of a node, and the same in words; ``weights`` if it
    is a dot product with the work.
    """

    text: str
    number: Override
    weights: Mapping[str, int] | None = None


class Convention(NamedTuple):
    """How work becomes one number: a dot product with ``weights``, except for the operators in ``overrides``.

    ``overrides`` are keyed by ``Node.key``; ``source`` is the tool or document that the convention reproduces, and ``unit`` the
    unit of its counts.
    """

    name: str
    summary: str
    source: str
    weights: Mapping[str, int] = MappingProxyType({})
    overrides: Mapping[str, CountingRule] = MappingProxyType({})
    unit: str = "FLOPs"

    def number(self, node: Node, work: Work) -> int:
        """The node's number under this convention, for one execution of it; ``work`` is the work of one execution."""
        rule = self.overrides.get(node.key) if self.overrides else None
        return rule.number(node, work) if rule else work.dot(self.weights)


def find_convention(name: str) -> Convention:
    """The convention of that name; raises InputError with the known names."""
    if name not in CONVENTIONS:
        hint = did_you_mean(name, CONVENTIONS) or f": choose from {', '.join(CONVENTIONS)}"
        raise InputError(f"there is no convention '{name}'{hint}")
    return CONVENTIONS[name]


def _each(operators: str, rule: CountingRule) -> dict[str, CountingRule]:
    return dict.fromkeys(operators.split(), rule)


def _weighted_dot(text: str, **weights: int) -> CountingRule:
    return CountingRule(text, lambda node, work: work.dot(weights), weights)


def _per_input(times: int) -> CountingRule:
    return CountingRule(f"{times}·in" if times > 1 else "in", lambda node, work: times * node.x.size)


def _per_output(times: int) -> CountingRule:
    return CountingRule(f"{times}·out" if times > 1 else "out", lambda node, work: times * node.out.size)


def _softmax(node: Node, work: Work) -> int:
    """rows · (3n − 1): n exponentials, n − 1 additions and n divisions for each row of n."""
    n = prod(node.x.shape[axis] for axis in node.attributes["axes"])
    return (node.x.size // n) * (3 * n - 1) if n else 0


_ZERO = CountingRule("0", lambda node, work: 0)

_MAX_POOLS = "com.microsoft.NhwcMaxPool com.microsoft.nchwc.MaxPool com.microsoft.nchwc.GlobalMaxPool"
_BLOCKED_AVERAGES = "com.microsoft.nchwc.AveragePool com.microsoft.nchwc.GlobalAveragePool"

_CLASSIC: Mapping[str, CountingRule] = {
    **dict.fromkeys(PRODUCTS, _weighted_dot("(2·K − 1)·out", macs=2, accumulators=-1)),
    **dict.fromkeys(CONVOLUTIONS, _weighted_dot("out·(C_in/g·k + 1 if bias)", macs=1, bias_adds=1)),
    "Relu": _per_input(1),
    "Tanh": _per_input(5),
    "Sigmoid": _per_input(4),
    **_each(f"MaxPool GlobalMaxPool {_MAX_POOLS}", _per_output(1)),
    **_each(
        f"AveragePool GlobalAveragePool {_BLOCKED_AVERAGES}",
        # k is the window, or the whole plane for a global pooling.
        CountingRule(
            "(k + 1)·out",
            lambda node, work: (prod(node.attributes.get("kernel_shape") or node.x.shape[2:]) + 1) * node.out.size,
        ),
    ),
    "BatchNormalization": _per_input(4),
    "Softmax": CountingRule("rows·(3·n − 1)", _softmax),
    "Dropout": _ZERO,
}


def _rank_four_resize(node: Node, work: Work) -> int:
    """fvcore knows aten::upsample_nearest2d (1 per element) and aten::upsample_bilinear2d (4), and no other upsampling."""
    mode: str = node.attributes.get("mode", "nearest")
    times = {"nearest": 1, "linear": 4, "bilinear": 4}.get(mode, 0)
    return times * node.out.size if node.x.rank == 4 and not node.attributes.get("antialias") else 0


_FVCORE: Mapping[str, CountingRule] = {
    "BatchNormalization": _per_input(2),
    **_each("LayerNormalization GroupNormalization InstanceNormalization", _per_input(5)),
    **_each("Resize Upsample", CountingRule("out nearest, 4·out bilinear, 2-D only", _rank_four_resize)),
    "GlobalAveragePool": CountingRule("in, 2-D only", lambda node, work: node.x.size if node.x.rank == 4 else 0),
    "GridSample": _per_output(4),
    **dict.fromkeys(RECURRENT | {"Attention", "DeformConv"}, _ZERO),
}


def _thop_conv_transpose(node: Node, work: Work) -> int:
    """thop counts a transposed convolution from its output positions, as if it were a convolution."""
    weight = node.required(1).shape
    channels = node.x.shape[1] // int(node.attributes.get("group", 1))
    return node.out.size * channels * prod(weight[2:])


def _upsample(nearest: int, linear: Mapping[int, int], cubic: int) -> CountingRule:
    """Per element of the output by mode, for linear modes by the number of spatial axes."""

    def count(node: Node, work: Work) -> int:
        mode: str = node.attributes.get("mode", "nearest")
        times = {"nearest": nearest, "linear": linear.get(node.x.rank - 2, 0), "cubic": cubic}.get(mode, 0)
        return times * node.out.size

    texts = (f"{times}·out {axes}-D" for axes, times in linear.items())
    return CountingRule(f"{nearest}·out nearest, {', '.join(texts)} linear, {cubic}·out cubic", count)


def _recurrent(
    rnn: int, gru: int, lstm: int, *, times: int = 1, per_gate: int = 0, per_bias: int = 1
) -> dict[str, CountingRule]:
    """For a cell of H states, I inputs and G = gates·H rows: the cost of its products, gates, biases and states."""

    def rule(gates: int, elementwise: int) -> CountingRule:
        def count(node: Node, work: Work) -> int:
            directions, _, hidden = node.required(2).shape
            first, second, width = node.x.shape
            biases = 2 * per_bias if node.input(3) is not None else 0
            of_gates = gates * (times * (width + hidden) + per_gate + biases)
            return first * second * directions * hidden * (of_gates + elementwise)

        cell = f"{gates}·H·({times}·(I + H) + {per_gate} + {2 * per_bias} if bias) + {elementwise}·H"
        return CountingRule(f"steps·batch·directions·({cell})", count)

    return {"RNN": rule(1, rnn), "GRU": rule(3, gru), "LSTM": rule(4, lstm)}


_THOP: Mapping[str, CountingRule] = {
    # A MatMul with a weight is thop's nn.Linear; a product of two activations is a function call, which thop does not see.
    **dict.fromkeys(
        FLOAT_PRODUCTS,
        CountingRule(
            "MACs with a weight, 0 of two activations",
            lambda node, work: work.macs if any(each is not None and each.is_constant for each in node.inputs[:2]) else 0,
        ),
    ),
    **_each("Einsum Attention DeformConv", _ZERO),
    "ConvTranspose": CountingRule("out·C_in/g·k", _thop_conv_transpose),
    **_each("BatchNormalization LayerNormalization InstanceNormalization", _per_input(4)),
    "PRelu": _per_input(1),
    "Softmax": CountingRule("rows·(3·n − 1)", _softmax),
    "AveragePool": _per_output(1),
    "GlobalAveragePool": CountingRule("in + out", lambda node, work: node.x.size + node.out.size),
    **_each("Resize Upsample", _upsample(1, {1: 5, 2: 11}, 259)),
    **_recurrent(0, 4, 4, per_gate=1),
}

_ACTIVATIONS = "Relu PRelu Elu"
_GELUS = "Erf Gelu com.microsoft.Gelu"
_NORMS = "BatchNormalization LayerNormalization InstanceNormalization GroupNormalization"
_POOLS = "MaxPool AveragePool GlobalMaxPool GlobalAveragePool"


def _bias(node: Node) -> Tensor | None:
    """The vector that an Add adds to activations: the bias of a Linear, which exporters write after a MatMul."""
    vectors = [tensor for tensor in node.inputs if tensor is not None and tensor.is_constant and tensor.rank == 1]
    return vectors[0] if len(vectors) == 1 and node.out.rank > 1 else None


_PTFLOPS: Mapping[str, CountingRule] = {
    "Add": CountingRule("out with a vector", lambda node, work: node.out.size if _bias(node) else 0),
    **_each(f"{_ACTIVATIONS} {_GELUS}", _per_output(2)),
    **_each("LeakyRelu Clip Swish com.microsoft.QuickGelu Resize Upsample", _per_output(1)),
    **_each(_POOLS, _per_input(2)),
    **_each("BatchNormalization InstanceNormalization GroupNormalization", _per_input(2)),
    **_each("LayerNormalization Softmax", _per_input(1)),
    **_each("Einsum DeformConv", _ZERO),
    **_recurrent(1, 7, 10),
}


def _torchinfo(*places: int) -> Override:
    """Batch · the elements of the constants among these inputs: torchinfo multiplies a layer's parameters only by the batch."""

    def count(node: Node, work: Work) -> int:
        constants = (tensor for place in places if (tensor := node.input(place)) is not None and tensor.is_constant)
        return node.out.shape[0] * sum(tensor.size for tensor in constants) if node.out.shape else 0

    return count


def _torchinfo_transposed(node: Node, work: Work) -> int:
    """Batch · output positions · the elements of weight and bias, as for a convolution."""
    positions = node.out.size // node.out.shape[1] if node.out.size else 0
    return positions * node.required(1).size + work.bias_adds


def _torchinfo_embedding(node: Node, work: Work) -> int:
    """Batch · the whole table: a Gather of stored rows is an nn.Embedding, or for a list of rows (rank 2) a table of biases."""
    if not (node.x.is_constant and node.x.is_shaped and node.x.rank == 2 and node.out.is_shaped and node.out.rank > 2):
        return 0
    return node.out.shape[0] * node.x.size if node.attributes.get("axis", 0) == 0 else 0


_TORCHINFO: Mapping[str, CountingRule] = {
    **dict.fromkeys(CONVOLUTIONS, _weighted_dot("batch·positions·parameters", macs=1, bias_adds=1)),
    "ConvTranspose": CountingRule("batch·positions·parameters", _torchinfo_transposed),
    **dict.fromkeys(FLOAT_PRODUCTS - {"com.microsoft.MatMulNBits"}, CountingRule("batch·parameters", _torchinfo(0, 1, 2))),
    "Add": CountingRule("batch·vector", lambda node, work: node.out.shape[0] * bias.size if (bias := _bias(node)) else 0),
    **_each(_NORMS, CountingRule("batch·(scale and shift)", _torchinfo(1, 2))),
    "PRelu": CountingRule("batch·slopes", _torchinfo(1)),
    "Gather": CountingRule("batch·table", _torchinfo_embedding),
    **_recurrent(0, 0, 0),
}


def _calflops_transposed(node: Node, work: Work) -> int:
    """calflops divides the channels by the groups twice, and adds a bias at each output that a convolution would have."""
    group, weight = int(node.attributes.get("group", 1)), node.required(1).shape
    macs = node.x.size * prod(weight[2:]) * (weight[1] // group)
    if node.input(2) is None:
        return 2 * macs
    ones = (1,) * len(weight)
    pads = node.attributes.get("pads") or (0,) * len(weight)
    strides, dilations = (node.attributes.get(name) or ones for name in ("strides", "dilations"))
    axes = zip(node.x.shape[2:], weight[2:], pads, strides, dilations, strict=False)
    positions: int = prod((size + 2 * pad - dilation * (k - 1) - 1) // stride + 1 for size, k, pad, stride, dilation in axes)
    return 2 * macs + weight[1] * node.x.shape[0] * positions


_CALFLOPS: Mapping[str, CountingRule] = {
    **dict.fromkeys(CONVOLUTIONS, _weighted_dot("2·MACs, + out if bias", macs=2, bias_adds=1)),
    "ConvTranspose": CountingRule("2·MACs, + what a convolution would have as out if bias", _calflops_transposed),
    "Einsum": CountingRule("2·MACs, four digits of it", lambda node, work: int(float(f"{2 * work.macs:.3e}"))),
    "DeformConv": _ZERO,
    **_each(f"{_ACTIVATIONS} {_GELUS} {_POOLS} LeakyRelu Swish Softmax", _per_input(1)),
    "BatchNormalization": _per_input(2),
    **_each("LayerNormalization InstanceNormalization GroupNormalization", _per_input(5)),
    **_each(
        "Resize Upsample",
        # A given size is used as the count, without batch and channels; the input is not multiplied by a scale.
        CountingRule(
            "positions of a given size, in of a scale",
            lambda node, work: prod(node.out.shape[2:]) if node.input(3) is not None else node.x.size,
        ),
    ),
    **_recurrent(1, 7, 10, times=2, per_gate=-2),
}


def _windows(node: Node, work: Work) -> int:
    """2 · (an addition for each input that a window covers, and a division for each output)."""
    kernel, size = node.attributes.get("kernel_shape") or (), len(node.x.shape)
    strides = node.attributes.get("strides") or (1,) * len(kernel)
    pads = node.attributes.get("pads") or (0,) * 2 * len(kernel)
    covered = prod(node.x.shape[: size - len(kernel)])
    for axis, (k, s) in enumerate(zip(kernel, strides, strict=True)):
        pad, inside, outside = pads[axis], node.x.shape[2 + axis], node.out.shape[2 + axis]
        edge = pad if node.attributes.get("count_include_pad") else 0
        covered *= sum(max(min(i * s - pad + k, inside + edge) - max(i * s - pad, -edge), 0) for i in range(outside))
    return 2 * (covered + node.out.size)


_ULTRALYTICS: Mapping[str, CountingRule] = {
    **_each(f"{_NORMS} RMSNormalization", _per_input(8)),
    "PRelu": _per_input(2),
    "DeformConv": _ZERO,
    "AveragePool": CountingRule("2·(inputs of all windows + out)", _windows),
    "GlobalAveragePool": CountingRule("2·(in + out)", lambda node, work: 2 * (node.x.size + node.out.size)),
    **_each("Resize Upsample", _upsample(0, {1: 10, 2: 22, 3: 62}, 518)),
    **_recurrent(0, 8, 8, times=2, per_gate=2, per_bias=2),
}


def _onnx_tool(times: int) -> CountingRule:
    """onnx-tool treats a scalar as a tensor without elements."""
    return CountingRule(f"{times}·out", lambda node, work: times * node.out.size if node.out.rank else 0)


def _onnx_tool_pool(node: Node, work: Work) -> int:
    kernel: tuple[int, ...] = node.attributes.get("kernel_shape") or (3, 3)
    return node.out.size * (prod(kernel) if len(kernel) == 2 else kernel[0])


def _onnx_tool_layer_norm(node: Node, work: Work) -> int:
    width = node.x.shape[int(node.attributes.get("axis", -1))]
    return 7 * node.x.size + 29 * (node.x.size // width) if width else 0


def _onnx_tool_recurrent(gates: int, elementwise: int) -> CountingRule:
    """Exponentials and the other costs of a state are counted for only one direction."""

    def count(node: Node, work: Work) -> int:
        steps, batch = node.x.shape[:2]
        stored = sum(tensor.size for place in (1, 2, 3) if (tensor := node.input(place)) is not None)
        return steps * batch * (stored + elementwise * (node.required(1).shape[1] // gates))

    return CountingRule(f"steps·batch·(elements of W, R, B + {elementwise}·H)", count)


_ONNX_TOOL: Mapping[str, CountingRule] = {
    key: rule
    for times, keys in {
        1: "Add Sub Mul Min Max Mod Neg Abs Ceil Floor Round Sign Relu CumSum Hardmax NonZero Equal Greater GreaterOrEqual "
        "Less LessOrEqual Not And Or Xor",
        2: "Clip PRelu LeakyRelu QuantizeLinear DequantizeLinear",
        4: "Div Reciprocal HardSigmoid",
        5: "HardSwish",
        7: "InstanceNormalization",
        24: "Sqrt",
        31: "BatchNormalization",
        32: "Exp Pow Sigmoid",
        33: "LpNormalization",
        34: "Gelu com.microsoft.Gelu",
        35: "Elu",
        36: "Softmax",
        39: "Sin Cos",
        43: "Log",
        64: "Atan",
        76: "Tanh Softplus",
        80: "LogSoftmax",
    }.items()
    for key, rule in _each(keys, _onnx_tool(times)).items()
} | {
    "Sum": CountingRule("out·(inputs − 1)", lambda node, work: (len(node.inputs) - 1) * node.out.size),
    "LRN": CountingRule("out·(37 + size)", lambda node, work: (37 + int(node.attributes["size"])) * node.out.size),
    **_each(
        "Conv QLinearConv Gemm MatMul QLinearMatMul ConvInteger Einsum", _weighted_dot("MACs + biases", macs=1, bias_adds=1)
    ),
    # From the output positions, as if it were a convolution.
    "ConvTranspose": CountingRule(
        "out·(weight elements of an input channel + 1 if bias)",
        lambda node, work: node.out.size * prod(node.required(1).shape[1:]) + work.bias_adds,
    ),
    "MatMulInteger": CountingRule(
        "MACs, + out if 3 inputs", lambda node, work: work.macs + (node.out.size if len(node.inputs) == 3 else 0)
    ),
    **_each("MaxPool AveragePool", CountingRule("out·kernel elements", _onnx_tool_pool)),
    "GlobalAveragePool": CountingRule("in + 4·out", lambda node, work: node.x.size + 4 * node.out.size),
    **_each("Resize Upsample", _upsample(0, {1: 4, 2: 4, 3: 4}, 8)),
    **_each("ReduceMean ReduceSum ReduceProd ReduceMin ReduceMax", _per_input(1)),
    "ReduceL2": _per_input(25),
    "LayerNormalization": CountingRule("7·in + 29·rows", _onnx_tool_layer_norm),
    "GRU": _onnx_tool_recurrent(3, 110),
    "LSTM": _onnx_tool_recurrent(4, 180),
}

FLOPS = Convention(
    "flops",
    "every addition, subtraction, multiplication and division but those that dequantize weights; a comparison or a "
    "transcendental is 1",
    "a dot product of n terms is 2n - 1, its bias 1 more",
    dict.fromkeys(KINDS, 1) | {"macs": 2, "accumulators": -1, "dequantizations": 0},
)
MACS = Convention(
    "macs", "the multiply-accumulates of contractions only", "papers; torchvision's GFLOPS column", {"macs": 1}, unit="MACs"
)
CONVENTIONS: Mapping[str, Convention] = {
    row[0]: Convention(*row)
    for row in (
        FLOPS,
        MACS,
        ("classic", "layer formulas of the classic FLOPs notes; other operators are 0", "table below", {}, _CLASSIC),
        ("torch", "2 × the MACs of contractions, nothing else", "torch.utils.flop_counter", {"macs": 2}),
        ("fvcore", "MACs, and handlers for norms and resampling", "fvcore FlopCountAnalysis", {"macs": 1}, _FVCORE, "MACs"),
        ("thop", "MACs of weights, and hooks for norms, pooling, resampling", "thop.profile", {"macs": 1}, _THOP, "MACs"),
        ("ptflops", "MACs, biases, activations and pooling", "ptflops 0.7", {"macs": 1, "bias_adds": 1}, _PTFLOPS, "MACs"),
        ("torchinfo", "parameters × batch (× positions of a Conv)", "torchinfo 1.8", {}, _TORCHINFO, "MACs"),
        ("calflops", "2 × MACs, activations, norms, pooling", "calflops 0.3, DeepSpeed 0.19", {"macs": 2}, _CALFLOPS),
        ("ultralytics", "2 × (MACs, norms, average pooling)", "ultralytics 8.4 get_flops", {"macs": 2}, _ULTRALYTICS),
        ("onnx-tool", "MACs, and instructions of all else", "onnx-tool 1.0 model_profile", {}, _ONNX_TOOL, "MACs"),
    )
}
CLASSIC_TEXT: Mapping[str, str] = {operator: rule.text for operator, rule in _CLASSIC.items()}
