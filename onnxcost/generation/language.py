"""The cost of running a language model: prefill and decode, its cache, its memory, and its speed on devices."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from onnxcost.costs import Counted
from onnxcost.documents import UNITS, parse_quantity
from onnxcost.errors import InputError, OnnxCostError, UnreadableFile
from onnxcost.formulas.table import FormulaTable
from onnxcost.frontend import read_model
from onnxcost.generation.decoder import BATCH, NEW, PAST, SOURCE, Decoder, StepSizes, find_decoder, head_of, read_decoder
from onnxcost.generation.phases import DECODE, PREFILL, KvBytes, Phase, count_phase
from onnxcost.operators.traits import GATHERS
from onnxcost.report import CostReport
from onnxcost.results import Result, make_document
from onnxcost.spec import ModelSource, ModelSpec

if TYPE_CHECKING:
    from onnxcost.generation.speeds import Speed
    from onnxcost.hardware.prediction import Predictor

PROMPT, CONTEXT = 1024, 4096
"""Tokens of a prompt, and positions in the cache after a decode step, unless told otherwise."""
BATCHES = (1, 4, 16, 64)
"""The batch sizes for which the speed on a device is given."""
LONGEST = 2**24
LARGEST = 2**20
_EXPERTS = {"com.microsoft.MoE", "com.microsoft.QMoE"}


@dataclass(frozen=True, slots=True)
class MemoryNeed:
    """Bytes that a decoder needs at a batch and a context: ``weights`` as stored, ``cache`` with states and an encoder's keys
    and values, ``copied`` if the present is in another buffer than the past, and the other ``activations`` of a step.
    """

    weights: int
    cache: int
    copied: int
    activations: int

    @property
    def total(self) -> int:
        """The sum."""
        return self.weights + self.cache + self.copied + self.activations

    def to_dict(self) -> dict[str, int]:
        """The key ``memory``."""
        return {"weights": self.weights, "cache": self.cache, "copied": self.copied, "activations": self.activations} | {
            "total": self.total
        }


@dataclass(frozen=True, repr=False)
class LanguageCost(Result):
    """A decoder's prefill of a prompt, and a decode step at a context; None for a prefill that the model cannot do.

    ``active_parameters`` are those that a token is multiplied with: of the experts, only those that it is routed to.
    ``most_context`` and ``most_batch`` are the largest that fit into ``available`` bytes with the other unchanged, None without
    it; 0 if not even one fits. ``notes`` are sentences on how the figures were computed.
    """

    label: str
    decoder: Decoder
    prefill: Phase | None
    decode: Phase
    active_parameters: int
    available: int | None = None
    most_context: int | None = None
    most_batch: int | None = None
    speeds: tuple[Speed, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def kv_bytes(self) -> KvBytes:
        """The bytes of one sequence's cache."""
        return KvBytes.of(self.decoder)

    @property
    def phases(self) -> tuple[Phase, ...]:
        """Prefill, if there is one, and decode."""
        return (self.decode,) if self.prefill is None else (self.prefill, self.decode)

    @property
    def copied(self) -> int:
        """The bytes of the cache and the states that a decode step writes in addition to those that it reads."""
        own, sizes = self.kv_bytes, self.decode.sizes
        return 0 if self.decoder.writes_in_place else sizes.batch * (own.held(sizes.total) + own.state)

    @cached_property
    def memory(self) -> MemoryNeed:
        """The memory of the weights, the cache and the activations of the larger phase."""
        sizes, own = self.decode.sizes, self.kv_bytes
        kept = sizes.batch * (own.held(sizes.total, sizes.source) + own.state)
        activations = max(phase_activations(phase, self.decoder) for phase in self.phases)
        return MemoryNeed(self.decode.report.memory.weight_bytes, kept, self.copied, activations)

    @property
    def parameters(self) -> int:
        """Elements of the distinct weights."""
        return self.decode.report.parameters

    def to_dict(self) -> dict[str, Any]:
        """A document of the schema ``onnxcost/1``, with the key ``llm``."""
        return make_document(llm=self.document())

    def document(self) -> dict[str, Any]:
        """The key ``llm``."""
        sizes, own = self.decode.sizes, self.kv_bytes
        return {
            "path": self.decoder.graph.path,
            "batch": sizes.batch,
            "prompt": None if self.prefill is None else self.prefill.sizes.new,
            "context": sizes.total,
            "source": sizes.source,
            "kv_bytes_per_token": own.token,
            "source_bytes_per_token": own.source,
            "state_bytes": own.state,
            "kv_bytes": own.held(sizes.total, sizes.source),
            "parameters": self.parameters,
            "active_parameters": self.active_parameters,
            "prefill": None if self.prefill is None else self.prefill.to_dict(),
            "decode": self.decode.to_dict(),
            "memory": self.memory.to_dict(),
            "available_bytes": self.available,
            "most_context": self.most_context,
            "most_batch": self.most_batch,
            "devices": [speed.to_dict() for speed in self.speeds],
            "notes": list(self.notes),
        }

    def to_records(self) -> list[dict[str, Any]]:
        """One row per phase."""
        return [{"phase": phase.name, **phase.to_dict()} for phase in self.phases]

    def summary(self) -> str:
        """The cache of a token, and the weights that each token reads."""
        size = f"{self.kv_bytes.token} bytes of cache per token, {self.decode.weight_bytes_read} bytes of weights read per step"
        return f"{self.label}: {size}"


def llm(
    model: ModelSource,
    *,
    prompt: int | None = None,
    context: int | None = None,
    batch: int | None = None,
    memory: float | str | None = None,
    devices: Sequence[str] = (),
    files: Sequence[str] = (),
    shapes: Mapping[str, Sequence[int]] | None = None,
    dims: Mapping[str, int] | None = None,
    values: Mapping[str, Any] | None = None,
    trips: Mapping[str, int] | None = None,
    formulas: FormulaTable | None = None,
) -> LanguageCost:
    """Count what a language model with a cache costs, without running it: a prefill of ``prompt`` tokens, and a decode step
    after which ``context`` positions are in the cache.

    The defaults are 1,024 and 4,096, or the maximum that the model supports. ``batch`` is the number of sequences, by default
    1, and on devices those of BATCHES. ``memory`` is the available memory, in bytes or as in "8GiB". ``devices`` are names, and
    ``files`` are TOML files of devices and calibrated machines, as for ``onnxcost.budget``. The other arguments are those of
    ``onnxcost.estimate``.

    Raises InputError for a model without a cache, an unknown device, and sizes that the model does not support.
    """
    spec = ModelSpec.of(model, shapes, dims, values, trips)
    asked: list[Predictor] = []
    if devices or files:
        from onnxcost.hardware.budget import predictors

        asked = predictors(devices, files)
    return count_language(spec, prompt, context, batch, memory, asked, formulas)


def count_language(
    spec: ModelSpec,
    prompt: int | None = None,
    context: int | None = None,
    batch: int | None = None,
    memory: float | str | None = None,
    asked: Sequence[Predictor] = (),
    formulas: FormulaTable | None = None,
    decoder: Decoder | None = None,
) -> LanguageCost:
    """``llm`` of a spec; without a batch, the model's batch, and several batches on devices. ``decoder`` is the one in it, if
    known.
    """
    spec = read_model(spec)
    decoder = decoder or read_decoder(spec)
    first, last, notes = _choose_sizes(decoder, prompt, context, batch or 1)
    prefill = None if first is None else count_phase(decoder, spec, PREFILL, first, formulas)
    decode = count_phase(decoder, spec, DECODE, last, formulas)
    label = decoder.graph.path or decoder.graph.name
    idle = (_idle_parameters(cost, last.batch * last.new) for cost in decode.report.counted if cost.parameters)
    active = decode.report.parameters - sum(idle)
    found = LanguageCost(label, decoder, prefill, decode, active, notes=tuple(notes))
    found = replace(found, notes=(*notes, *_remarks(found)))
    if memory is not None:
        available = parse_memory(memory)
        longest, largest = _most(found, available)
        found = replace(found, available=available, most_context=longest, most_batch=largest)
    return replace(found, speeds=tuple(_speeds(found, spec, batch, asked, formulas))) if asked else found


def describe_decoder(spec: ModelSpec, report: CostReport, formulas: FormulaTable | None = None) -> LanguageCost | None:
    """The cost of the decoder in a ``report``; None for other models, and for a decoder that does not fit the default sizes."""
    decoder = find_decoder(report.graph)
    if decoder is None:
        return None
    try:
        # A merged decoder has another graph after its first step.
        return count_language(spec, formulas=formulas, decoder=None if decoder.switch else decoder)
    except UnreadableFile:
        raise
    except OnnxCostError:
        return None


def parse_memory(given: float | str) -> int:
    """Bytes; raises InputError for anything but a positive quantity such as 8GiB."""
    value = parse_quantity(given, UNITS["bytes"]) if isinstance(given, str) else given
    if value is None or not 0 < value < float("inf"):
        raise InputError(f"memory expects a quantity such as 8GiB, not '{given}'")
    return int(value)


def _choose_sizes(
    decoder: Decoder, prompt: int | None, context: int | None, batch: int
) -> tuple[StepSizes | None, StepSizes, list[str]]:
    """The sizes of prefill and decode: the requested ones, as far as the model leaves them open."""
    notes: list[str] = []
    fixed = {role: decoder.fixed(role) for role in (BATCH, NEW, PAST, SOURCE)}
    if fixed[BATCH] not in (None, batch):
        if batch != 1:
            raise InputError(f"--batch {batch}: the model's batch is fixed at {fixed[BATCH]}")
        batch = fixed[BATCH] or 1
    limit = decoder.limit
    for name, asked in (("prompt", prompt), ("context", context)):
        if asked is not None and limit is not None and asked > limit.value and not decoder.keeps_source:
            raise InputError(f"--{name} {asked}: the model supports {limit.value} positions ({limit.where})")
    most = limit.value if limit is not None else CONTEXT
    new, past = fixed[NEW] or 1, fixed[PAST]
    if past is not None:
        total = past if decoder.writes_in_place else past + new
        if context not in (None, total):
            raise InputError(f"--context {context}: the model's cache is fixed at {total} positions")
    else:
        total = context or min(CONTEXT, max(most, prompt or 0))
    source = fixed[SOURCE] or 0
    if decoder.keeps_source and not source:
        source = decoder.stated_source or prompt or PROMPT
    if not decoder.is_open and new > 1:
        notes.append(f"each step processes {new} tokens")
    last = StepSizes(batch, new, max(total - new, 0), source)
    if decoder.keeps_source:
        first = StepSizes(batch, new, 0, source) if past is None else None
    elif not decoder.is_open:
        first = None
    else:
        length = min(prompt or PROMPT, total) if prompt is None else prompt
        first = StepSizes(batch, length, 0 if past is None or decoder.writes_in_place else past, source)
    if first is None:
        notes.append("the model has no separate prefill: it processes the prompt step by step")
    elif prompt is not None and not decoder.keeps_source and prompt > total:
        raise InputError(f"--prompt {prompt} is longer than --context {total}")
    return first, last, notes


def phase_activations(phase: Phase, decoder: Decoder) -> int:
    """The peak of a step's activations without the cache, in bytes; 0 if unknown."""
    peak = phase.report.memory.peak_activation_bytes or 0
    names = {name for cache in decoder.caches for name in (cache.past.name, cache.held.name)}
    graph = phase.report.graph
    cached = sum(t.nbytes for t in (*graph.inputs, *graph.outputs) if t.name in names and t.is_shaped)
    return max(peak - cached, 0)


def _most(found: LanguageCost, available: int) -> tuple[int, int]:
    """The longest context at the batch, and the largest batch at the context, that fit."""
    sizes, own, need = found.decode.sizes, found.kv_bytes, found.memory
    times = 2 if need.copied else 1

    def fits(batch: int, context: int) -> bool:
        one = times * (own.held(context) + own.state) + own.source * sizes.source
        return need.weights + batch * one + need.activations * batch / sizes.batch <= available

    limit = found.decoder.limit.value if found.decoder.limit is not None else LONGEST
    return (
        _largest(limit, lambda context: fits(sizes.batch, context)),
        _largest(LARGEST, lambda batch: fits(batch, sizes.total)),
    )


def _largest(most: int, fits: Callable[[int], bool]) -> int:
    """The largest number up to ``most`` that fits, if all smaller ones do; 0 if none does."""
    low, high = 0, most
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low


def _idle_parameters(cost: Counted, tokens: int) -> int:
    """The parameters of experts in a node, or in a table of matrices that it selects from, that a token is not routed to."""
    node, routed = cost.node, cost.node.input(1)
    if routed is None or not routed.is_shaped:
        return 0
    experts = taken = 0
    if node.key in _EXPERTS:
        experts, taken = routed.shape[-1], int(node.attributes.get("k", 1))
    elif node.key in GATHERS and not routed.is_constant and node.x.is_constant and node.x.is_shaped and node.x.rank > 2:
        experts = node.x.shape[0]
        taken = node.out.size * experts // node.x.size // max(tokens, 1) if node.out.is_shaped and node.x.size else 0
    return cost.parameters * max(experts - taken, 0) // experts if experts else 0


def _remarks(found: LanguageCost) -> Iterator[str]:
    """Notes on work that could be avoided."""
    if found.prefill is not None and (spent := _spared_by_last_logits(found.decoder, found.prefill)):
        share = 100 * spent / found.prefill.report.macs
        yield (
            f"the LM head runs on all {found.prefill.sizes.new:,} prompt tokens, but only one is needed: "
            f"{share:.0f} % of the prefill's MACs"
        )
    if found.copied:
        yield "past and present are separate buffers, and both are in memory while a step runs"


def _spared_by_last_logits(decoder: Decoder, prefill: Phase) -> int:
    """MACs of the LM head on prompt tokens whose logits are not needed."""
    head, rows = head_of(decoder), prefill.sizes.batch * prefill.sizes.new
    if head is None or prefill.sizes.new < 2 or not head.outputs:
        return 0
    made = {tensor.name for tensor in head.outputs if tensor is not None}
    cost = next((c for c in prefill.report.costs if any(t is not None and t.name in made for t in c.node.outputs)), None)
    if not isinstance(cost, Counted) or not cost.node.out.is_shaped or cost.node.out.size != rows * cost.node.out.shape[-1]:
        return 0
    return cost.work.macs * (prefill.sizes.new - 1) // prefill.sizes.new


def _speeds(
    found: LanguageCost, spec: ModelSpec, batch: int | None, asked: Sequence[Predictor], formulas: FormulaTable | None
) -> Iterator[Speed]:
    """The speeds on each device at the batch, or without one at BATCHES, if the model's batch is open."""
    from onnxcost.generation.speeds import predict_speed  # which loads the devices' side, that a count does not need

    is_free = batch is None and found.decoder.fixed(BATCH) is None
    phases: dict[int, tuple[Phase | None, Phase]] = {found.decode.sizes.batch: (found.prefill, found.decode)}
    for each in BATCHES if is_free else ():
        if each not in phases:
            pair = [
                None
                if phase is None
                else count_phase(found.decoder, spec, phase.name, phase.sizes._replace(batch=each), formulas)
                for phase in (found.prefill, found.decode)
            ]
            assert pair[1] is not None
            phases[each] = (pair[0], pair[1])
    for predictor in asked:
        for prefill, decode in phases.values():
            yield predict_speed(predictor, prefill, decode)
