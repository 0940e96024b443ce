"""How work becomes one number: weights over Work, and overrides for the operators that a convention counts its own way.

``in`` and ``out`` are the element counts of a node's first input and output.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod
from types import MappingProxyType
from typing import NamedTuple

from onnxcost.errors import InputError, did_you_mean
from onnxcost.graph import KINDS, Node, Work
from onnxcost.operators.traits import CONVOLUTIONS, FLOAT_PRODUCTS, PRODUCTS, RECURRENT

Override = Callable[[Node, Work], int]


class CountingRule(NamedTuple):
    """How a convention counts one operator: the number, for one execution of a node, and the same in words."""

    text: str
    number: Override


class Convention(NamedTuple):
    """A view on the work of a node: a dot product with ``weights``, except for the operators in ``overrides``.

    ``overrides`` are keyed by ``Node.key``; ``source`` says what the convention reproduces, ``unit`` what it counts.
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
    """The convention of that name; raises InputError with the names there are."""
    if name not in CONVENTIONS:
        hint = did_you_mean(name, CONVENTIONS) or f": there are {', '.join(CONVENTIONS)}"
        raise InputError(f"there is no convention '{name}'{hint}")
    return CONVENTIONS[name]


def _each(operators: str, rule: CountingRule) -> dict[str, CountingRule]:
    return dict.fromkeys(operators.split(), rule)


def _weighted_dot(text: str, **weights: int) -> CountingRule:
    return CountingRule(text, lambda node, work: work.dot(weights))


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
    """fvcore knows aten::upsample_nearest2d (1 an element) and aten::upsample_bilinear2d (4), no other upsampling."""
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


def _thop_product(node: Node, work: Work) -> int:
    """A MatMul with a weight is thop's nn.Linear; one of two activations is a function call, which thop does not see."""
    return work.macs if any(tensor is not None and tensor.is_constant for tensor in node.inputs[:2]) else 0


def _thop_conv_transpose(node: Node, work: Work) -> int:
    """thop counts a transposed convolution from its output positions, as if it were a convolution."""
    weight = node.required(1).shape
    channels = node.x.shape[1] // int(node.attributes.get("group", 1))
    return node.out.size * channels * prod(weight[2:])


def _thop_upsample(node: Node, work: Work) -> int:
    spatial = node.x.rank - 2
    linear = {1: 5, 2: 11}.get(spatial, 0)
    mode: str = node.attributes.get("mode", "nearest")
    times = {"nearest": 1, "linear": linear, "cubic": 259}.get(mode, 0)
    return times * node.out.size


def _thop_recurrent(gates: int, elementwise: int) -> CountingRule:
    """Steps · batch · directions · (gates · (H·(I + H) + H + 2·H with bias) + elementwise · H); I inputs, H hidden."""

    def count(node: Node, work: Work) -> int:
        directions, _, hidden = node.required(2).shape
        first, second, width = node.x.shape
        bias = 2 * hidden if node.input(3) is not None else 0
        cell = gates * (hidden * (width + hidden) + hidden + bias) + elementwise * hidden
        return first * second * directions * cell

    return CountingRule(f"steps·batch·directions·({gates}·(H·(I + H) + H + 2·H if bias) + {elementwise}·H)", count)


_THOP: Mapping[str, CountingRule] = {
    **dict.fromkeys(FLOAT_PRODUCTS, CountingRule("MACs with a weight, 0 of two activations", _thop_product)),
    **_each("Einsum Attention DeformConv", _ZERO),
    "ConvTranspose": CountingRule("out·C_in/g·k", _thop_conv_transpose),
    **_each("BatchNormalization LayerNormalization InstanceNormalization", _per_input(4)),
    "PRelu": _per_input(1),
    "Softmax": CountingRule("rows·(3·n − 1)", _softmax),
    "AveragePool": _per_output(1),
    "GlobalAveragePool": CountingRule("in + out", lambda node, work: node.x.size + node.out.size),
    **_each("Resize Upsample", CountingRule("out nearest, 5·out 1-D and 11·out 2-D linear, 259·out cubic", _thop_upsample)),
    "RNN": _thop_recurrent(1, 0),
    "GRU": _thop_recurrent(3, 4),
    "LSTM": _thop_recurrent(4, 4),
}

FLOPS = Convention(
    "flops",
    "every addition, subtraction, multiplication and division but those that dequantize weights; a comparison or a "
    "transcendental is 1",
    "a dot product of n terms is 2n - 1, its bias 1 more",
    dict.fromkeys(KINDS, 1) | {"macs": 2, "accumulators": -1, "dequantizations": 0},
)
MACS = Convention(
    "macs", "the multiply-accumulates of contractions alone", "papers; torchvision's GFLOPS column", {"macs": 1}, unit="MACs"
)


CONVENTIONS: Mapping[str, Convention] = {
    convention.name: convention
    for convention in (
        FLOPS,
        MACS,
        Convention("classic", "layer formulas of the classic FLOPs notes; other operators are 0", "table below", {}, _CLASSIC),
        Convention("torch", "2 × the MACs of contractions, nothing else", "torch.utils.flop_counter", {"macs": 2}),
        Convention(
            "fvcore",
            "MACs, and fvcore's handlers for norms and resampling",
            "fvcore FlopCountAnalysis",
            {"macs": 1},
            _FVCORE,
            "MACs",
        ),
        Convention(
            "thop",
            "MACs of weights, and thop's hooks for norms, pooling, resampling",
            "thop.profile",
            {"macs": 1},
            _THOP,
            "MACs",
        ),
    )
}
CLASSIC_TEXT: Mapping[str, str] = {operator: rule.text for operator, rule in _CLASSIC.items()}
