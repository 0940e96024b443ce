"""The layouts that onnxruntime's kernels prefer (NCHWc for floats, channels last for integers), and the required reorders."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from dataclasses import replace
from functools import partial
from typing import NamedTuple

from onnxcost.errors import UnknownShape
from onnxcost.graph import DefUse, Graph, Node, Tensor
from onnxcost.ort_optimizer.fused_node import FusedNode


class Layout(NamedTuple):
    """A layout, and the steps that use it.

    ``works`` says whether a step works on the layout, given the names of the tensors that are already in it. ``reads_plain``
    says whether such a step nevertheless reads its first input in the plain layout. Without ``sums_elsewhere``, a convolution
    absorbs a sum only in this layout.
    """

    works: Callable[[FusedNode, Set[str], DefUse], bool]
    reads_plain: Callable[[Node], bool] = lambda node: False
    sums_elsewhere: bool = True


def insert_reorders(graph: Graph, steps: Sequence[FusedNode], layout: Layout) -> list[FusedNode]:
    """The steps, each with the tensors that are converted to or from the layout for it; each tensor once in each direction."""
    uses = DefUse((step.node for step in steps), graph.outputs)
    inside: set[str] = set()
    copied: set[str] = set()
    """Tensors that are in both layouts."""
    laid: list[FusedNode] = []
    for whole in steps:
        works = layout.works(whole, inside, uses)
        is_whole = layout.sums_elsewhere and not works
        for step in (whole,) if is_whole else split_sums(whole, inside if works else frozenset(), in_plain=not works):
            works = works if step is whole else layout.works(step, inside, uses)
            if not (works or inside or step.channels_last):
                laid += _in_plain_layout(step) if not layout.sums_elsewhere else [step]
                continue
            plain = {step.node.x.name} if works and layout.reads_plain(step.node) else set()
            wanted = [tensor for tensor in step.data if (tensor.name in inside) != (works and tensor.name not in plain)]
            moved = [tensor for tensor in wanted if tensor.name not in copied and step.node.key not in ("Shape", "Size")]
            copied.update(tensor.name for tensor in moved)
            if works:
                inside.add(step.node.out.name)
            channels_last = (
                _cancels_transposes(laid, moved, uses) if works else _is_permutation(step.node, [0, 2, 3, 1]) and bool(moved)
            )
            if not (works or layout.sums_elsewhere) and len(parts := _in_plain_layout(step)) > 1:
                laid.append(replace(parts[0], reordered=(*step.reordered, *moved)))
                laid += parts[1:]
                continue
            kind = "Reshape" if channels_last and not works else step.kind
            reordered = (*step.reordered, *moved)
            is_blocked = works or step.is_blocked
            laid.append(
                FusedNode(step.node, step.absorbed, step.residuals, is_blocked, reordered, channels_last, step.reuses, kind)
            )
    ends = [tensor for tensor in graph.outputs if tensor.name in inside - copied]
    if ends:
        laid[-1] = replace(laid[-1], reordered=(*laid[-1].reordered, *ends))
    return laid


def _is_permutation(node: Node, order: list[int]) -> bool:
    return node.key == "Transpose" and list(node.attributes.get("perm") or ()) == order


def _cancels_transposes(laid: list[FusedNode], moved: Sequence[Tensor], uses: DefUse) -> bool:
    """Whether all of ``moved`` are outputs of Transposes from channels last, read only here: these cancel the reorders."""
    names = {tensor.name for tensor in moved if uses.only_reader(tensor.name) is not None}
    if not moved or len(names) < len(moved):
        return False
    found = [i for i, step in enumerate(laid) if step.node.out.name in names and _is_permutation(step.node, [0, 3, 1, 2])]
    if len(found) < len(moved):
        return False
    for index in found:
        laid[index] = replace(laid[index], kind="Reshape")
    return True


_ADD_BIAS = frozenset({"Add", "BatchNormalization"})
"""What gives a convolution a bias that absorbs it."""


def split_sums(step: FusedNode, inside: Set[str], *, in_plain: bool = False) -> list[FusedNode]:
    """The step; a convolution and its absorbed sum are separated if the residual is not in the layout.

    One with a bias also absorbs sums if it is ``in_plain`` layout: ConvAddActivationFusion.
    """
    if not step.residuals or step.node.key != "Conv":
        return [step]
    place = next((index for index, node in enumerate(step.absorbed) if node.key in ("Add", "Sum")), None)
    residual = {tensor.name for tensor in step.residuals}
    if place is None or residual <= inside:
        return [step]
    if (
        in_plain
        and step.absorbed[place].key == "Add"
        and (step.node.input(2) is not None or any(node.key in _ADD_BIAS for node in step.absorbed[:place]))
    ):
        return [step]
    made = next(t for t in step.absorbed[place].inputs if t is not None and t.name not in residual)
    convolution = replace(step, node=step.node.rewire(outputs=(made,)), absorbed=step.absorbed[:place], residuals=())
    return [convolution, *(FusedNode(node) for node in step.absorbed[place:])]


def _in_plain_layout(step: FusedNode) -> list[FusedNode]:
    """The step, without the activation that is a part of it only in blocks."""
    last = step.absorbed[-1] if step.absorbed and not step.kind else None
    if last is None or (step.node.key, last.key) not in (("BatchNormalization", "Relu"), ("Conv", "HardSwish")):
        return [step]
    made = replace(step, node=step.node.rewire(outputs=(last.x,)), absorbed=step.absorbed[:-1])
    return [made, FusedNode(last)]


BLOCK = 16
"""Channels in a block of the blocked layout with vectors of 512 bits and on ARM (MLAS, platform.cpp: NchwcBlockSize; 8 with
AVX2), and where the machine is not known; a convolution of fewer inputs reads the plain layout.
"""
ALIGNMENT = 4
"""The number of channels must be a multiple of this for the blocked layout."""

NCHWC = "com.microsoft.nchwc"
"""The domain of nodes that onnxruntime has laid out, in a graph that it wrote."""
_POOLS = frozenset({"MaxPool", "AveragePool"})
_GLOBAL_POOLS = frozenset({"GlobalAveragePool", "GlobalMaxPool"})
_EITHER = frozenset(
    {"Add", "Sum", "Mul", "Relu", "Sigmoid", "Tanh", "HardSigmoid", "QuickGelu", "Gelu"}
    | {"Concat", "BatchNormalization", "Resize"}
)
_IN_BLOCKS = frozenset({"Conv"}) | _POOLS | _GLOBAL_POOLS | _EITHER
_AGNOSTIC = frozenset({"Relu", "Clip", "LeakyRelu", "HardSwish", "HardSigmoid", "Sigmoid", "Tanh", "Mul", "Add", "ReduceMean"})
_OF_INTEGERS = frozenset(
    {"MaxPool", "QLinearAveragePool", "QLinearGlobalAveragePool", "QLinearAdd", "QLinearMul", "QLinearSigmoid"}
    | {"QLinearLeakyRelu", "QLinearConcat", "QuantizeLinear", "Resize"}
    | _AGNOSTIC
)


def _works_on_blocks(block: int, step: FusedNode, inside: Set[str], uses: DefUse) -> bool:
    node, kind = step.node, step.kind or step.node.op_type
    if kind not in _IN_BLOCKS:
        return False
    try:
        if node.x.dtype != "float32" or node.x.rank != 4 or step.is_blocked or node.domain == NCHWC:
            return False
        if kind == "Conv":
            return _conv_in_blocks(node, block)
        if kind in _POOLS:
            return node.x.shape[1] % block == 0
        data = [t for t in node.inputs if t is not None and not t.is_constant]
        if kind in _GLOBAL_POOLS:
            # It is reordered only for a pool if it is the model's input.
            return node.x.shape[1] % block == 0 and (node.x.name in inside or uses.definition(node.x.name) is None)
        if not all(t.name in inside for t in data):
            return False
        if kind == "Concat":
            return int(node.attributes.get("axis", 1)) == 1 and all(t.shape[1] % block == 0 for t in data)
        if kind in ("Add", "Mul") and len(data) != 2:
            return kind == "Mul" and _scales_channels(node)
        return all(t.dims == node.x.dims for t in data)
    except UnknownShape:
        return False


def _conv_in_blocks(node: Node, block: int) -> bool:
    if not all(tensor is None or tensor.is_constant for tensor in node.inputs[1:3]):
        return False
    weight, groups = node.required(1).shape, int(node.attributes.get("group", 1))
    outputs, inputs = weight[0], weight[1]
    if groups == 1:
        return inputs < block or inputs % ALIGNMENT == 0
    if inputs == 1 and outputs == groups:
        return outputs % ALIGNMENT == 0
    return inputs % block == 0 and (outputs // groups) % block == 0


def _scales_channels(node: Node) -> bool:
    """Whether it multiplies each channel by its own constant."""
    known = [t for t in node.inputs if t is not None and t.is_constant]
    if len(known) != 1 or known[0].rank < 3 or node.out.dims != node.x.dims:
        return False
    return known[0].size == known[0].shape[-3] == node.out.shape[1]


def _reads_plain(block: int, node: Node) -> bool:
    return node.key == "Conv" and int(node.attributes.get("group", 1)) == 1 and node.required(1).shape[1] < block


def _works_channels_last(step: FusedNode, inside: Set[str], uses: DefUse) -> bool:
    node, kind = step.node, step.kind or step.node.op_type
    if kind == "QLinearConv":
        return node.x.dims is not None and len(node.x.dims) in (3, 4)
    if kind != "DequantizeLinear" and kind not in _OF_INTEGERS:
        return False
    if not all(t.name in inside for t in node.inputs if t is not None and not t.is_constant):
        return False
    if kind == "DequantizeLinear":
        return not node.x.is_constant and {reader.op_type for reader in uses.readers(node.out.name)} <= _AGNOSTIC
    return True


def blocked_layout(block: int) -> Layout:
    """NchwcTransformer, with that many channels in a block."""
    return Layout(partial(_works_on_blocks, block), partial(_reads_plain, block), sums_elsewhere=False)


CHANNELS_LAST = Layout(_works_channels_last)
"""NhwcTransformer: tensors between two convolutions of integers keep this layout, and so do floats that only operators which
work on any layout read.
"""
