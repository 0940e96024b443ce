"""Where Transposes are moved to: TransposeOptimizer."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import count

from onnxcost.errors import MISFITS
from onnxcost.graph import Graph, Node, Tensor
from onnxcost.ort_optimizer.permutations import (
    BROADCASTING,
    HANDLERS,
    Perm,
    compose,
    invert,
    permute,
    reshape_as_perm,
    split_dims,
)
from onnxcost.ort_optimizer.splits import MADE, axes_constant

MOVED = "/moved"
"""Appended to the name of a value that gets a Transpose after it."""
_ENDS = frozenset({"Transpose", "Reshape", "Shape"})
"""Operators that it is merged into, or that remove it."""
_PASSED = HANDLERS.keys() | _ENDS
MOST_PASSES = 10
"""How often onnxruntime looks for a Transpose to move, at most."""
MOST_READERS = 1000
"""A Transpose with more readers stays in place, so that not all of them are visited for each of them."""


def push_transposes(graph: Graph) -> Graph:
    """The graph with Transposes where they cost the least."""
    return _Transposes(graph).push() if any(node.key == "Transpose" for node in graph.nodes) else graph


class _Transposes:
    """A graph in which Transposes move from the inputs of nodes to their outputs: TransposeOptimizer.

    One is moved if that leaves fewer dims to transpose: the inputs count at least those of the removed Transposes, and the
    outputs nothing if they lead to another Transpose.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.nodes: dict[int, Node] = dict(enumerate(graph.nodes))
        self.order: dict[int, tuple[int, int]] = {place: (2 * place + 1, 0) for place in self.nodes}
        self.number = count(len(self.nodes))
        self.makers: dict[str, int] = {}
        self.readers: defaultdict[str, dict[int, int]] = defaultdict(dict)
        """How often each node reads a value."""
        for place, node in self.nodes.items():
            self._enter(place, node)
        self.returned = {tensor.name for tensor in graph.outputs}
        self.turned = {
            (node.x.name, self._perm(place)): place
            for place, node in self.nodes.items()
            if node.key == "Transpose" and node.x.dims is not None
        }
        self.symbols = dict(graph.symbolic_dims) if graph.symbolic_dims is not None else None
        self.leading: set[str] = set()

    def push(self) -> Graph:
        """The graph with the moved Transposes."""
        places, is_changed = list(self.nodes), False
        for _ in range(MOST_PASSES):
            self.leading = self._find_leading(places)
            if not self._move_once(places):
                break
            places, is_changed = sorted(self.nodes, key=self.order.__getitem__), True
        if not is_changed:
            return self.graph
        return replace(self.graph, nodes=tuple(self.nodes[place] for place in places), symbolic_dims=self.symbols)

    def _move_once(self, places: Sequence[int]) -> bool:
        """Visit each node once; whether a Transpose was moved."""
        is_changed = False
        for place in places:
            node = self.nodes.get(place)
            if node is None or node.key not in _PASSED:
                continue
            for index, tensor in enumerate(node.inputs):
                maker = self._transpose_of(tensor)
                if maker is not None and self._process(place, maker, index):
                    is_changed = True
                    break
        return is_changed

    def _find_leading(self, places: Sequence[int]) -> set[str]:
        """The values from which a path through operators that can be passed leads to a Transpose."""
        found: set[str] = set()
        for node in map(self.nodes.__getitem__, reversed(places)):
            if node.key == "Transpose":
                found.add(node.x.name)
            elif node.key in HANDLERS and any(t is not None and t.name in found for t in node.outputs):
                found.update(node.inputs[index].name for index in self._movable(node))  # type: ignore[union-attr]
        return found

    def _movable(self, node: Node) -> list[int]:
        """The inputs that are transposed along with its outputs."""
        if node.key == "Concat":
            return [index for index, tensor in enumerate(node.inputs) if tensor is not None]
        if node.key in BROADCASTING:
            return [index for index, tensor in enumerate(node.inputs) if tensor is not None and tensor.dims != ()]
        return [0] if node.inputs and node.inputs[0] is not None else []

    def _transpose_of(self, tensor: Tensor | None) -> int | None:
        """The Transpose that makes it."""
        maker = self.makers.get(tensor.name) if tensor is not None else None
        return maker if maker is not None and self.nodes[maker].key == "Transpose" else None

    def _perm(self, place: int) -> Perm:
        node = self.nodes[place]
        return tuple(node.attributes.get("perm") or reversed(range(node.x.rank)))

    def _process(self, place: int, transpose: int, index: int) -> bool:
        """Move a Transpose after the node that reads it as its input ``index``, if that pays off."""
        node = self.nodes[place]
        source, made = self.nodes[transpose].x, self.nodes[transpose].out
        perm = self._perm(transpose) if source.dims is not None and made.dims is not None else ()
        if not perm or sorted(perm) != list(range(len(source.dims or ()))) or len(perm) != len(made.dims or ()):
            return False
        if node.key == "Shape":
            self._read(place, 0, self.nodes[transpose].x)
            self._drop_unread(transpose)
            return True
        if node.key in _ENDS:
            return index == 0 and self._merge(place, transpose, perm)
        movable = self._movable(node)
        values = [*(node.inputs[each] for each in movable), *node.outputs]
        if index not in movable or not all(tensor is None or tensor.is_shaped for tensor in values):
            return False
        ranks = {len(node.required(each).dims or ()) for each in movable}
        if max(ranks) > len(perm) or (node.key not in BROADCASTING and ranks != {len(perm)}):
            return False
        with suppress(*MISFITS):
            pushed = HANDLERS[node.key](node, perm) if self._is_worth_it(node, perm, movable) else None
            return pushed is not None and self._push(place, pushed, movable, perm)
        return False

    def _push(self, place: int, pushed: tuple[Node, Perm], movable: Sequence[int], perm: Perm) -> bool:
        """Transpose these inputs of a node back, and its outputs."""
        node = self.nodes[place]
        self._replace(place, pushed[0])
        for each in movable:
            self._transpose_input(place, each, invert(perm))
        if pushed[1] != tuple(range(len(pushed[1]))):
            for each, tensor in enumerate(node.outputs):
                if tensor is not None:
                    self._transpose_output(place, each, pushed[1])
        return True

    def _merge(self, place: int, transpose: int, perm: Perm) -> bool:
        """Merge two Transposes into one or none; a Reshape that only moves dims of 1 is one."""
        node, source = self.nodes[place], self.nodes[transpose].x
        if node.key == "Transpose":
            second: Perm | None = self._perm(place)
        else:
            dims, made = self._fixed_dims(node.x), self._fixed_dims(node.out)
            if dims is None or made is None or not node.required(1).is_constant:
                return False
            second = reshape_as_perm(dims, made)
            if second is None:
                groups = split_dims(dims, made)
                return groups is not None and self._pass_reshape(place, perm, groups)
        if second is None or len(second) != len(perm):
            return False
        joined = compose(perm, second)
        if joined == tuple(range(len(joined))) and node.out.name not in self.returned:
            for reader in list(self.readers[node.out.name]):
                for index, tensor in enumerate(self.nodes[reader].inputs):
                    if tensor is not None and tensor.name == node.out.name:
                        self._read(reader, index, replace(source, is_constant=tensor.is_constant))
            self._remove(place)
        else:
            self._replace(place, Node(node.name, "Transpose", "", (source,), node.outputs, {"perm": joined}, node.scope))
        self._drop_unread(transpose)
        return True

    def _fixed_dims(self, tensor: Tensor) -> list[int] | None:
        """The dims, if the file fixes them all."""
        known = tensor.dims if self.symbols is None else self.symbols.get(tensor.name)
        fixed = [dim for dim in known or () if isinstance(dim, int)]
        return fixed if known is not None and len(fixed) == len(known) else None

    def _pass_reshape(self, place: int, perm: Perm, groups: Sequence[Sequence[int]]) -> bool:
        """Move a Transpose after a Reshape that splits each axis of its input into these."""
        order = tuple(axis for old in invert(perm) for axis in groups[old])
        self._transpose_input(place, 0, invert(perm))
        self._transpose_output(place, 0, invert(order))
        return True

    def _is_worth_it(self, node: Node, perm: Perm, movable: Sequence[int]) -> bool:
        cost = sum(self._input_cost(node.required(index), perm) for index in movable)
        if cost >= 0:
            return False
        outputs = [tensor for tensor in node.outputs if tensor is not None]
        return cost + (0 if self._lead(outputs) else max(map(self._long_dims, outputs), default=0)) < 0

    def _lead(self, outputs: Iterable[Tensor]) -> bool:
        return any(tensor.name in self.leading for tensor in outputs)

    def _long_dims(self, tensor: Tensor) -> int:
        """The number of dims that are not 1; 5 if unknown."""
        known = tensor.dims if self.symbols is None else self.symbols.get(tensor.name)
        return 5 if known is None else sum(dim != 1 for dim in known)

    def _input_cost(self, tensor: Tensor, perm: Perm) -> int:
        """The dims to transpose beyond those that are transposed anyway."""
        if tensor.is_constant:
            return 0
        maker = self._transpose_of(tensor)
        if maker is None:
            return self._long_dims(tensor)
        readers = self.readers[tensor.name]
        is_gone = tensor.name not in self.returned and len(readers) <= MOST_READERS
        is_gone = is_gone and all(self.nodes[reader].key in _PASSED for reader in readers)
        return -self._long_dims(tensor) if self._perm(maker) == perm and is_gone else 0

    def _transpose_input(self, place: int, index: int, perm: Perm) -> None:
        """Let the node read its input transposed."""
        tensor = self.nodes[place].required(index)
        missing = len(perm) - tensor.rank
        if tensor.is_constant:
            dims = (1,) * missing + (tensor.dims or ())
            self._read(place, index, replace(tensor, dims=permute(dims, perm)) if tensor.size > 1 else tensor)
            return
        maker = self._transpose_of(tensor)
        if missing:
            long = replace(tensor, name=f"{tensor.name}/{next(self.number)}", dims=(*(1,) * missing, *(tensor.dims or ())))
            self._add(
                Node(MADE, "Unsqueeze", "", (tensor, axes_constant(*range(missing))), (long,), {}), self.order[place][0] - 1
            )
            tensor, maker = long, None
        if maker is not None:
            source = self.nodes[maker].x
            joined = compose(self._perm(maker), perm)
            if joined != tuple(range(len(joined))):
                source = self._transposed(source, joined, self.order[place][0] - 1)
            self._read(place, index, source)
            self._drop_unread(maker)
            return
        self._read(place, index, self._transposed(tensor, perm, self.order[place][0] - 1))

    def _transposed(self, tensor: Tensor, perm: Perm, level: int) -> Tensor:
        """A value after such a Transpose, an existing one if possible."""
        there = self.turned.get((tensor.name, perm))
        node = self.nodes.get(there) if there is not None else None
        if there is not None and node is not None and node.key == "Transpose" and node.x.name == tensor.name:
            self.order[there] = min(self.order[there], (level, there))
            return node.out
        made = replace(tensor, name=f"{tensor.name}/{next(self.number)}", dims=permute(tensor.dims or (), perm))
        self._name_dims(made.name, tensor.name, perm)
        self.turned[tensor.name, perm] = self._add(Node(MADE, "Transpose", "", (tensor,), (made,), {"perm": perm}), level)
        return made

    def _transpose_output(self, place: int, index: int, perm: Perm) -> None:
        """Let a Transpose compute the node's output."""
        node = self.nodes[place]
        tensor = node.outputs[index]
        assert tensor is not None
        moved = replace(tensor, name=f"{tensor.name}{MOVED}", dims=permute(tensor.dims or (), invert(perm)))
        self._name_dims(moved.name, tensor.name, invert(perm))
        outputs = (*node.outputs[:index], moved, *node.outputs[index + 1 :])
        self._replace(place, replace(node, outputs=outputs))
        self._add(Node(MADE, "Transpose", "", (moved,), (tensor,), {"perm": perm}), self.order[place][0] + 1)
        if tensor.name in self.leading:
            self.leading.add(moved.name)

    def _name_dims(self, name: str, source: str, perm: Perm) -> None:
        if self.symbols is not None and (known := self.symbols.get(source)) is not None and len(known) == len(perm):
            self.symbols[name] = permute(known, perm)

    def _add(self, node: Node, level: int) -> int:
        """The place of a new node."""
        place = next(self.number)
        self.nodes[place], self.order[place] = node, (level, place)
        self._enter(place, node)
        return place

    def _enter(self, place: int, node: Node) -> None:
        """Register the outputs and inputs of the node."""
        for tensor in node.outputs:
            if tensor is not None:
                self.makers[tensor.name] = place
        for tensor in node.inputs:
            if tensor is not None:
                readers = self.readers[tensor.name]
                readers[place] = readers.get(place, 0) + 1

    def _replace(self, place: int, node: Node) -> None:
        self._remove(place)
        self.nodes[place] = node
        self._enter(place, node)

    def _read(self, place: int, index: int, tensor: Tensor) -> None:
        """Let a node read another value."""
        node = self.nodes[place]
        self._replace(place, replace(node, inputs=(*node.inputs[:index], tensor, *node.inputs[index + 1 :])))

    def _remove(self, place: int) -> None:
        node = self.nodes.pop(place)
        for tensor in node.outputs:
            if tensor is not None and self.makers.get(tensor.name) == place:
                del self.makers[tensor.name]
        for tensor in node.inputs:
            if tensor is not None:
                readers = self.readers[tensor.name]
                readers[place] -= 1
                if not readers[place]:
                    del readers[place]

    def _drop_unread(self, place: int) -> None:
        node = self.nodes[place]
        if not self.readers[node.out.name] and node.out.name not in self.returned:
            self._remove(place)
