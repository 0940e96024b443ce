"""What a process with onnxruntime takes on a CPU: copies of weights, buffers that it keeps, and what malloc keeps."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from itertools import chain
from typing import NamedTuple

from onnxcost.graph import Graph
from onnxcost.hardware.kernels.executed import Executed
from onnxcost.hardware.kernels.execution import executed
from onnxcost.hardware.kernels.folding import live
from onnxcost.hardware.steps import Same
from onnxcost.memory import buffers_of, input_bytes, most_at_once
from onnxcost.report import CostReport

MAPPED = 32 * 2**20
"""A block above this goes back to the system when it is freed: the most to which glibc raises its M_MMAP_THRESHOLD by itself
(mallopt(3)). Smaller ones lie in the heap, of which only the end goes back.
"""
PACKED: Mapping[str, tuple[int, ...]] = {
    **dict.fromkeys(("MatMul", "Gemm", "MatMulInteger", "ConvTranspose"), (1,)),
    **dict.fromkeys(("LSTM", "GRU"), (1, 2)),
}
"""The inputs that kernels copy into an order of their own while the session is made; the originals are released one by one
(SessionState::PrepackConstantInitializedTensors).
"""
_MULTIPLIES = frozenset({"BatchNormalization", "Mul", "Div"})
"""What a convolution takes in by multiplying its weights with it: these are then new, and in memory."""


class Running(NamedTuple):
    """Bytes that are held while the model runs.

    ``weights`` are there once, as stored or in a kernel's own order. ``first`` are the buffers of the first run, which the
    arena takes one by one, and ``later`` the one block that it takes for all of them from the second run on, when they are
    known (OrtApi::EnableMemPattern); it keeps both.
    """

    weights: int
    first: int
    later: int


class Loading(NamedTuple):
    """Bytes of weights while the session is made: ``peak`` is the most at one time. Malloc may keep what was freed before that,
    the ``holes``, and all that was ``freed`` when the session is made.
    """

    peak: int
    holes: int
    freed: int


class Process(NamedTuple):
    """What a process takes beside the runtime itself."""

    running: Running
    loading: Loading

    @property
    def peak(self) -> int:
        """Of what it may keep, malloc keeps between nothing and all, as it happens to lie: the mean of the two."""
        return max(self.loading.peak + self.loading.holes // 2, sum(self.running) + self.loading.freed // 2)


def process_of(report: CostReport) -> Process:
    """The process that runs the model of a report; asked again of the same one, it answers at once. Raises UnknownShape."""
    return _process(Same(report))


@lru_cache(maxsize=32)
def _process(key: Same) -> Process:
    graph = key.report.graph
    read = (tensor for node in live(graph) for tensor in node.inputs if tensor is not None)
    weights = {tensor.name: tensor.nbytes for tensor in read if tensor.is_constant and tensor.is_shaped}
    return Process(_running(graph, sum(weights.values())), _loading(graph, weights))


def _running(graph: Graph, weights: int) -> Running:
    buffers = buffers_of(graph, are_kept=True)
    inner = (buffer for buffer in buffers if not buffer.is_returned)
    return Running(weights, input_bytes(graph) + most_at_once(buffers), most_at_once(inner))


def _loading(graph: Graph, weights: Mapping[str, int]) -> Loading:
    """Weights that are in memory stay there until those of convolutions are brought into blocks; others are packed one by one,
    beside what they are packed from.

    NchwcTransformer makes blocks of one after the other, in passing as a vector and as protobuf, and first as an array where
    the original is not in memory. What is freed of these is used again by what fits in, so that only those count that are
    larger than all before.
    """
    steps = executed(graph, blocked=True)
    originals = {name: weights[name] for name in _in_memory(graph, weights, steps)}
    blocked, packed = _read((step for step in steps if step.is_blocked), {"Conv": (1,)}), _read(steps, PACKED)
    passing = [[size] * (2 if name in originals else 3) for name, size in _rising(blocked)]
    replaced = (originals[name] for name in originals.keys() & (blocked | packed).keys())
    made = sum(blocked.values()) + sum(passing[-1] if passing else ())
    return Loading(
        peak=max(sum(originals.values()) + max(made, _largest(originals)), sum(weights.values()) + _largest(packed)),
        holes=_kept(chain.from_iterable(passing[:-1])),
        freed=_kept(chain(replaced, *passing)),
    )


def _in_memory(graph: Graph, weights: Mapping[str, int], steps: Iterable[Executed]) -> Iterator[str]:
    """The weights that are read, or made, while the session is: all that are in the model's file. A file beside it is mapped,
    and read only where the kernels read it.
    """
    are_inside = graph.file_bytes >= sum(weights[name] for name in graph.constants if name in weights)
    yield from (name for name in weights if are_inside or name not in graph.constants)
    multiplied = (step for step in steps if any(node.op_type in _MULTIPLIES for node in step.absorbed))
    yield from (name for name in _read(multiplied, {"Conv": (1,)}) if name in weights)


def _read(steps: Iterable[Executed], places: Mapping[str, tuple[int, ...]]) -> dict[str, int]:
    """The constants, and their bytes, that operators read at these places."""
    tensors = (step.node.input(place) for step in steps for place in places.get(step.node.op_type, ()))
    return {tensor.name: tensor.nbytes for tensor in tensors if tensor is not None and tensor.is_constant and tensor.is_shaped}


def _rising(sizes: Mapping[str, int]) -> Iterator[tuple[str, int]]:
    """Those that are larger than all before."""
    largest = 0
    for name, size in sizes.items():
        if size > largest:
            largest = size
            yield name, size


def _largest(sizes: Mapping[str, int]) -> int:
    return max(sizes.values(), default=0)


def _kept(blocks: Iterable[int]) -> int:
    return sum(block for block in blocks if block <= MAPPED)
