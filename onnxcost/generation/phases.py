"""Prefill and decode: the same decoder at two steps, and the bytes that each moves of weights, of the cache and of states."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import Any

from onnxcost.analysis.batch import batch_of
from onnxcost.analysis.caches import CROSS, KV, STATE, CachePair
from onnxcost.costs import Counted
from onnxcost.errors import MISFITS
from onnxcost.estimator import estimate_spec
from onnxcost.formulas.table import FormulaTable
from onnxcost.generation.decoder import Decoder, StepSizes
from onnxcost.graph import Node, Tensor
from onnxcost.operators.traffic import read_bytes_of
from onnxcost.operators.traits import CACHE_INPUTS, GATHERS
from onnxcost.ort_optimizer.qdq import read_as_stored
from onnxcost.ort_optimizer.quantities import SHARES_BUFFER
from onnxcost.report import CostReport
from onnxcost.spec import ModelSpec

PREFILL, DECODE = "prefill", "decode"


@dataclass(frozen=True, slots=True)
class Phase:
    """A step of a decoder, and what it costs. ``name`` is PREFILL or DECODE; sizes are bytes, of all sequences.

    Weights are read once by each node that uses them; of tables only the selected rows, of experts only those that the tokens
    can be routed to. Keys and values are read at the positions that are attended to, and written at those of the new tokens;
    states are read and written whole.
    """

    name: str
    sizes: StepSizes
    report: CostReport
    weight_bytes_read: int
    kv_bytes_read: int
    kv_bytes_written: int
    state_bytes: int
    shares_buffer: bool = False

    @property
    def executed(self) -> CostReport:
        """The report as the step is run: with ``shares_buffer``, attention writes the new keys and values over the cache."""
        if not self.shares_buffer:
            return self.report
        shared = {SHARES_BUFFER: 1}
        nodes = (
            replace(node, attributes={**node.attributes, **shared}) if node.key in CACHE_INPUTS else node
            for node in self.report.graph.nodes
        )
        return replace(self.report, graph=replace(self.report.graph, nodes=tuple(nodes)))

    @property
    def bytes_moved(self) -> int:
        """Bytes of weights, cache and states that the step reads and writes."""
        return self.weight_bytes_read + self.kv_bytes_read + self.kv_bytes_written + 2 * self.state_bytes

    @property
    def intensity(self) -> float | None:
        """FLOPs per byte of ``bytes_moved``; None if there are none."""
        return self.report.flops / self.bytes_moved if self.bytes_moved else None

    def to_dict(self) -> dict[str, Any]:
        """The key of the phase's name in ``llm``."""
        return {
            "new_tokens": self.sizes.new,
            "past": self.sizes.past,
            "macs": self.report.macs,
            "flops": self.report.flops,
            "bound": self.report.bound,
            "weight_bytes_read": self.weight_bytes_read,
            "kv_bytes_read": self.kv_bytes_read,
            "kv_bytes_written": self.kv_bytes_written,
            "state_bytes": self.state_bytes,
            "peak_activation_bytes": self.report.memory.peak_activation_bytes,
            "intensity": self.intensity,
        }


def count_phase(decoder: Decoder, spec: ModelSpec, name: str, sizes: StepSizes, formulas: FormulaTable | None = None) -> Phase:
    """The cost of a step. Raises InputError if the model cannot take one of these sizes, and as ``onnxcost.estimate``."""
    report = estimate_spec(decoder.spec_at(spec, sizes), formulas)
    bytes_of = KvBytes.of(decoder)
    return Phase(
        name,
        sizes,
        report,
        weight_bytes_read(report),
        sizes.batch * bytes_of.read(sizes.total, sizes.source),
        sizes.batch * bytes_of.written(sizes),
        sizes.batch * bytes_of.state,
        decoder.shares_buffer,
    )


@dataclass(frozen=True, slots=True)
class KvBytes:
    """The bytes of one sequence's cache: ``token`` for a position in all layers, ``state`` for the parts of constant size.

    ``source`` are those of a position of an encoder.
    """

    caches: tuple[CachePair, ...]
    batch: int

    @classmethod
    def of(cls, decoder: Decoder) -> KvBytes:
        """Those of a decoder; ``caches`` have the ``batch`` of its graph."""
        return cls(decoder.caches, max(batch_of(decoder.graph), 1))

    @property
    def token(self) -> int:
        """Of one token, in all layers."""
        return self._sum(KV)

    @property
    def source(self) -> int:
        """Of one position of an encoder, in all layers."""
        return self._sum(CROSS)

    @property
    def state(self) -> int:
        """Of the states: constant, however long the sequence is."""
        return self._sum(STATE)

    def _sum(self, kind: str) -> int:
        return round(sum(cache.position_bytes for cache in self.caches if cache.kind == kind) / self.batch)

    def held(self, positions: int, source: int = 0) -> int:
        """The bytes for a sequence of so many positions, and for an encoder's; a sliding cache holds at most its window."""
        kept = sum(self._bytes(cache) * min(positions, cache.room or positions) for cache in self.caches if cache.kind == KV)
        return round(kept) + source * self.source

    def read(self, positions: int, source: int = 0) -> int:
        """The bytes that a token attends to after so many positions."""
        attended = 0.0
        for cache in self.caches:
            if cache.kind == KV:
                seen = min(positions, cache.window or positions, cache.room or positions)
                attended += self._bytes(cache) * seen * cache.readers
        return round(attended) + source * self.source

    def written(self, sizes: StepSizes) -> int:
        """The bytes of the new tokens; in the first step also of the encoder's positions."""
        kept = sum(self._bytes(cache) * min(sizes.new, cache.room or sizes.new) for cache in self.caches if cache.kind == KV)
        is_first = not sizes.past and all(cache.present is not None for cache in self.caches if cache.kind == CROSS)
        return round(kept) + (sizes.source * self.source if is_first else 0)

    def _bytes(self, cache: CachePair) -> float:
        return cache.position_bytes / self.batch


def weight_bytes_read(report: CostReport) -> int:
    """The bytes of stored constants that a run reads, as they are stored."""
    as_read = read_as_stored(report.graph).nodes
    stored = _stored_sizes(as_read, report.graph.constants)
    found = 0
    for cost, node in zip(report.costs, as_read, strict=True):
        reads_any = True in [tensor is not None and tensor.is_constant for tensor in node.inputs]
        if reads_any and isinstance(cost, Counted) and not all(t is None or t.is_constant for t in node.outputs):
            found += node.repeat * _constant_bytes(node, stored)
    return found


def _stored_sizes(nodes: tuple[Node, ...], constants: Mapping[str, Tensor]) -> dict[str, int]:
    """The bytes in the file for each constant: its own, or those of the constants that it is computed from."""
    stored = {name: tensor.nbytes for name, tensor in constants.items() if tensor.is_shaped}
    for node in nodes:
        made = [tensor for tensor in node.outputs if tensor is not None and tensor.is_constant]
        if made:
            stored |= dict.fromkeys((t.name for t in made), sum(stored.get(name, 0) for name in {*node.reads}))
    return stored


def _constant_bytes(node: Node, stored: Mapping[str, int]) -> int:
    """The bytes of constants that a node needs: the share of their bytes that is in its traffic."""
    constants = {
        tensor.name: tensor for tensor in node.inputs if tensor is not None and tensor.is_constant and tensor.is_shaped
    }
    whole = sum(tensor.nbytes for tensor in constants.values())
    if not whole:
        return 0
    if (node.key in GATHERS or node.key == "Slice") and node.x.is_constant:
        rows = stored.get(node.x.name, 0) * prod(node.out.shape) // max(node.x.size, 1)
        return min(rows, stored.get(node.x.name, 0))
    try:
        read = read_bytes_of(node, constants)
    except MISFITS:
        read = whole
    return sum(stored.get(name, tensor.nbytes) for name, tensor in constants.items()) * read // whole
