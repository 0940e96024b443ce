"""Which steps work on another layout than the plain one, and what is brought there and back in between."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from dataclasses import replace
from typing import NamedTuple

from onnxcost.graph import Graph, Node, Tensor
from onnxcost.hardware.kernels.executed import Executed, Readers


class Layout(NamedTuple):
    """``works`` says whether a step works on the layout, given the names of what is there already; ``reads_plain`` of one that
    does, whether it yet reads its first input as it is. Without ``sums_elsewhere`` a convolution adds nothing up but here.
    """

    works: Callable[[Executed, Set[str], Readers], bool]
    reads_plain: Callable[[Node], bool] = lambda node: False
    sums_elsewhere: bool = True


def laid_out(graph: Graph, steps: Sequence[Executed], layout: Layout) -> list[Executed]:
    """The steps with what is brought into the layout and out of it for them, each tensor once each way."""
    readers = Readers(graph, [step.node for step in steps])
    inside: set[str] = set()
    copied: set[str] = set()
    """What is in both layouts."""
    laid: list[Executed] = []
    for whole in steps:
        works = layout.works(whole, inside, readers)
        is_whole = layout.sums_elsewhere and not works
        for step in (whole,) if is_whole else _parts(whole, inside if works else frozenset()):
            works = layout.works(step, inside, readers)
            plain = {step.node.x.name} if works and layout.reads_plain(step.node) else set()
            wanted = [tensor for tensor in step.data if (tensor.name in inside) != (works and tensor.name not in plain)]
            moved = [tensor for tensor in wanted if tensor.name not in copied and step.node.key not in ("Shape", "Size")]
            copied.update(tensor.name for tensor in moved)
            if works:
                inside.add(step.node.out.name)
            turns = _turn_together(laid, moved, readers) if works else _is_turn(step.node, [0, 2, 3, 1]) and bool(moved)
            kind = "Reshape" if turns and not works else step.kind
            laid.append(
                replace(step, is_blocked=works or step.is_blocked, reordered=_joined(step, moved), turns=turns, kind=kind)
            )
    ends = [tensor for tensor in graph.outputs if tensor.name in inside - copied]
    if ends:
        laid[-1] = replace(laid[-1], reordered=_joined(laid[-1], ends))
    return laid


def _joined(step: Executed, moved: Sequence[Tensor]) -> tuple[Tensor, ...]:
    return (*step.reordered, *moved)


def _is_turn(node: Node, order: list[int]) -> bool:
    return node.key == "Transpose" and list(node.attributes.get("perm") or ()) == order


def _turn_together(laid: list[Executed], moved: Sequence[Tensor], readers: Readers) -> bool:
    """Whether all that is moved comes of Transposes that bring channels before the image, and for this alone: both are one."""
    names = {tensor.name for tensor in moved if readers.only(tensor) is not None}
    found = [i for i, step in enumerate(laid) if step.node.out.name in names and _is_turn(step.node, [0, 3, 1, 2])]
    if not found or len(found) < len(moved):
        return False
    for index in found:
        laid[index] = replace(laid[index], kind="Reshape")
    return True


def _parts(step: Executed, inside: Set[str]) -> list[Executed]:
    """A convolution and the sum after it, where only the plain layout has what is to be added; else the step as it is."""
    place = next((index for index, node in enumerate(step.absorbed) if node.key in ("Add", "Sum")), None)
    residual = {tensor.name for tensor in step.residuals}
    if step.node.key != "Conv" or place is None or residual <= inside:
        return [step]
    made = next(t for t in step.absorbed[place].inputs if t is not None and t.name not in residual)
    convolution = replace(step, node=replace(step.node, outputs=(made,)), absorbed=step.absorbed[:place], residuals=())
    return [convolution, *(Executed(node) for node in step.absorbed[place:])]
