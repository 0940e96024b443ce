"""The rules in the rows of ``inputs``: how many indices are valid, with which numbers an operator does all of its work, how
many products with a weight are summed, and how many weights are packed into an input.

Rules raise UnknownShape if that is not known.

Page of X: https://onnx.ai/onnx/operators/onnx__X.html.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod

from onnxcost.errors import UnknownShape
from onnxcost.formulas.shapes import elements
from onnxcost.graph import Node, Tensor

Limit = Callable[[Node], int]


def dim(tensor: Tensor, axis: int) -> int:
    """One dim; raises UnknownShape if it is open, even if the others are known."""
    size = tensor.dims[axis] if tensor.dims is not None and -len(tensor.dims) <= axis < len(tensor.dims) else None
    if not isinstance(size, int):
        raise UnknownShape(f"dim {axis} of '{tensor.name}' is unknown")
    return size


def rows(table: int, axis: int = 0, attribute: str = "axis") -> Limit:
    """Indices into an axis of the input ``table``: the axis in the attribute, if the node has it."""
    return lambda node: dim(node.required(table), int(node.attributes.get(attribute, axis)))


def index_tuples(node: Node) -> int:
    """Tuples of indices, one for each axis after the batch: an index that fits the shortest axis fits all."""
    first = int(node.attributes.get("batch_dims", 0))
    width = dim(node.required(1), -1)
    return min(dim(node.x, axis) for axis in range(first, first + width))


def count_elements(more: int = 0) -> Limit:
    """The number of tensors in a sequence, plus ``more``."""

    def count(node: Node) -> int:
        if node.x.elements is None:
            raise UnknownShape(f"the length of '{node.x.name}' is unknown")
        return len(node.x.elements) + more

    return count


def write_positions(node: Node) -> int:
    """Where a TensorScatter can write its update."""
    axis = int(node.attributes.get("axis", -2))
    return dim(node.x, axis) - dim(node.required(1), axis) + 1


def depth(node: Node) -> int:
    """The classes of a OneHot."""
    given = node.required(1)
    return int(given.value[0]) if given.value else dim(node.out, int(node.attributes.get("axis", -1)))


def one_hot_classes(place: int) -> Limit:
    """A one-hot encoding by comparison with the constants of all classes."""

    def count(node: Node) -> int:
        own, other = node.required(1 - place), node.required(place)
        if not other.is_constant or dim(own, -1) != 1 or dim(other, -1) == 1:
            raise UnknownShape("it is not a one-hot encoding")
        return dim(other, -1)

    return count


Numbers = tuple[float, ...]
NumbersRule = Callable[[Node], Numbers]


def _axes(node: Node) -> Sequence[int]:
    return node.attributes.get("axes") or range(node.x.rank)


def constant(*numbers: float) -> NumbersRule:
    """These numbers for each node."""
    return lambda node: numbers


def first_axes(place: int) -> NumbersRule:
    """The first axes, as many as the input has elements."""
    return lambda node: tuple(range(node.required(place).size))


def axes_of_one(node: Node) -> Numbers:
    """The first axes of size 1."""
    return tuple(axis for axis, size in enumerate(node.x.shape) if size == 1)[: node.required(1).size]


def output_or(rule: NumbersRule, place: int = 1) -> NumbersRule:
    """The shape of the output, if that is known although the elements of the input at ``place`` are not."""

    def numbers(node: Node) -> Numbers:
        is_known = node.out.is_shaped and not node.out.is_bound and node.out.rank == node.required(place).size
        return node.out.shape if is_known else rule(node)

    return numbers


def other_shape(node: Node) -> Numbers:
    """The input's own shape or, of another rank, all elements along the last axis."""
    rank = node.required(1).size
    return node.x.shape if rank == node.x.rank else (*(1,) * (rank - 1), node.x.size)


def kept_sides(node: Node) -> Numbers:
    """The output's sides along the axes of the node, or the input's."""
    shape = node.out.shape if node.out.is_shaped else node.x.shape
    return tuple(shape[axis] for axis in _axes(node))


def scales(node: Node) -> Numbers:
    """The ratios of the sides of the output to those of the input."""
    if not node.out.is_shaped:
        return (1.0,)
    return tuple(node.out.shape[axis] / max(1, node.x.shape[axis]) for axis in _axes(node))


def scales_or_region(node: Node) -> Numbers:
    """The scales before opset 11, since then the region: the whole."""
    return scales(node) if len(node.inputs) == 2 else (*(0.0,) * len(_axes(node)), *(1.0,) * len(_axes(node)))


def equal_parts(node: Node) -> Numbers:
    """Equal parts, the last ones smaller by up to 1; parts of 1 if the input is a single number."""
    length, split = dim(node.x, int(node.attributes.get("axis", 0))), node.required(1)
    if split.rank == 0:
        return (1,)
    return tuple((length + index) // split.size for index in reversed(range(split.size)))


def length_along(attribute: str, default: int) -> NumbersRule:
    """The length of the axis that the attribute names."""
    return lambda node: (dim(node.x, int(node.attributes.get(attribute, default))),)


def sequence_length(node: Node) -> Numbers:
    """The steps of a recurrent network: the first axis, or the second if the batch comes first."""
    return (dim(node.x, int(node.attributes.get("layout", 0))),)


def attended_positions(less: int = 0) -> NumbersRule:
    """Positions of a grouped-query attention: the cache's and the new ones."""

    def count(node: Node) -> Numbers:
        past = node.input(3)
        return (dim(node.input(1) or node.x, 1) + (dim(past, 2) if past is not None else 0) - less,)

    return count


def output_length(node: Node) -> Numbers:
    """The length of a generator's output; 16 if that is not known."""
    return (node.out.size if node.out.is_shaped else 16,)


def mask(place: int) -> NumbersRule:
    """Ones; the lengths if the input has one dim."""
    return lambda node: (dim(node.x, 1),) if node.required(place).rank == 1 else (1,)


FanIn = Callable[[Node, tuple[int, ...]], float]
"""The number of products in the sum for one element of the output, by the dims of the weight."""


def dim_at(index: int) -> FanIn:
    """The dim at this place."""
    return lambda node, dims: dims[index]


def operand(transposed: str, index: int) -> FanIn:
    """An operand of a matrix product, which an attribute may transpose; the length of a vector."""
    return lambda node, dims: dims[-1] if len(dims) < 2 else dims[-3 - index if node.attributes.get(transposed) else index]


def kernel(node: Node, dims: tuple[int, ...]) -> float:
    """All but the filters."""
    return prod(dims[1:])


def transposed_kernel(node: Node, dims: tuple[int, ...]) -> float:
    """Each output is reached by every stride-th element of the kernel."""
    return float(prod(dims) / dims[1] / prod(node.attributes.get("strides") or (1,)) / node.attributes.get("group", 1))


def summed_labels(place: int) -> FanIn:
    """The labels of an Einsum's operand that its output lacks."""

    def count(node: Node, dims: tuple[int, ...]) -> float:
        operands, _, output = node.attributes["equation"].replace(" ", "").partition("->")
        labels = operands.split(",")[place].replace("...", "")
        return prod(size for label, size in zip(labels, dims[-len(labels) :], strict=True) if label not in output)

    return count


def inner(node: Node, dims: tuple[int, ...]) -> float:
    """The attribute K."""
    return float(node.attributes["K"])


def packed_inner(node: Node, dims: tuple[int, ...]) -> float:
    """The last dim of an expert's weights, several of which share 8 bits."""
    return float(dims[-1] * 8 / node.attributes.get("expert_weight_bits", 4))


Count = Callable[[Node, Tensor], int]
"""The number of weights in an input that packs several into an element."""


def matrix(width: str) -> Count:
    """K × the value of the attribute."""
    return lambda node, tensor: int(node.attributes["K"] * node.attributes[width])


def matrix_or_twice(node: Node, tensor: Tensor) -> int:
    """As the dims in input 2 say, or else two weights in each element."""
    try:
        inner, columns = elements(node, 2, "the weight's dims")
    except UnknownShape:
        return 2 * tensor.size
    return inner * columns


def rows_of_inner(node: Node, tensor: Tensor) -> int:
    """Rows of K weights."""
    return int(tensor.shape[0] * node.attributes["K"])


def adapter(node: Node, tensor: Tensor) -> int:
    """N × the rank; an empty one is left out."""
    return int(node.attributes["N"] * node.required(4).shape[0]) if tensor.size else 0


def packed_experts(node: Node, tensor: Tensor) -> int:
    """Experts × inner × hidden: inner from the gate's weights, hidden from the down weights."""
    return tensor.shape[0] * node.required(2).shape[1] * node.required(4).shape[1]


def expert_weights(fc: int) -> Count:
    """The weights of one layer of the experts, by its own bits or by those of all layers."""

    def count(node: Node, tensor: Tensor) -> int:
        bits = node.attributes.get(f"fc{fc}_expert_weight_bits") or node.attributes.get("expert_weight_bits", 4)
        bits = 4 if "fp4" in node.attributes.get("quant_type", "int") else bits
        return tensor.size * 8 // bits if tensor.dtype == "uint8" else tensor.size

    return count


def packed_rows(node: Node, tensor: Tensor) -> int:
    """Several weights in each element of 8 bits."""
    return tensor.size * (8 // node.attributes.get("bits", 4) if tensor.dtype == "uint8" else 1)
