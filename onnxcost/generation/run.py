"""``onnxcost llm --run``: a decoder's prompt and tokens, run with onnxruntime in a child process, and their times."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple

from onnxcost.analysis.batch import batch_of
from onnxcost.analysis.caches import CROSS, KV, STATE
from onnxcost.errors import InputError, MeasurementError
from onnxcost.estimator import estimate_spec
from onnxcost.formulas import select_formulas
from onnxcost.formulas.table import FormulaTable
from onnxcost.frontend import operators_in, read_graph, read_skeleton
from onnxcost.generation.decoder import NEW, PAST, SOURCE, TOTAL, Decoder, StepSizes, read_decoder
from onnxcost.generation.phases import DECODE, PREFILL, count_phase
from onnxcost.generation.speeds import Speed, predict_speed
from onnxcost.hardware.prediction import Predictor
from onnxcost.latency import Latency
from onnxcost.measurement import Environment, InputUsed, MeasuredDevice, MemoryUse, Placement, Settings
from onnxcost.processes import STOP
from onnxcost.results import Result, make_document
from onnxcost.runtime.api import change_settings
from onnxcost.runtime.generate import BASE_PAST, CacheLink, GenerationRequest, Leg, LegTimes, StepInput
from onnxcost.runtime.inputs.feeds import arrays_of, feeds_of
from onnxcost.runtime.inputs.input_roles import Repeated
from onnxcost.runtime.prepare import Prepared, prepare, read_once
from onnxcost.runtime.protocol import Feed, RunState
from onnxcost.runtime.supervisor import OnProgress, answers, start_early
from onnxcost.spec import ModelSource, ModelSpec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DEFAULT_PROMPT, DEFAULT_TOKENS = 1024, 64
_POSITIONS = r"position|(?<![a-z])pos(?![a-z])"


class Turn(NamedTuple):
    """A prompt of ``context`` tokens and the tokens decoded after it; ``prompts`` and ``tokens`` are seconds of single runs.

    Without a prompt, the cache was synthetic. ``first_prompt`` is the one before the timed ones. ``loop_seconds`` are those of
    all tokens, including the time between their runs.
    """

    context: int
    prompts: NDArray[np.float64]
    tokens: NDArray[np.float64]
    first_prompt: float | None
    loop_seconds: float

    @property
    def ttft(self) -> Latency | None:
        """Times to the first token: of the run of a whole prompt."""
        return Latency(self.prompts) if len(self.prompts) else None

    @property
    def per_token(self) -> Latency | None:
        """Times of single tokens."""
        return Latency(self.tokens) if len(self.tokens) else None

    def tokens_per_second(self, batch: int) -> float | None:
        """Tokens of all sequences, by the median."""
        return batch / self.per_token.median if self.per_token else None

    def to_dict(self, batch: int) -> dict[str, Any]:
        """An entry of the key ``contexts``."""
        return {
            "context": self.context,
            "prompts": len(self.prompts),
            "first_prompt_seconds": self.first_prompt,
            "ttft": self.ttft and self.ttft.to_dict(),
            "tokens": len(self.tokens),
            "time_per_token": self.per_token and self.per_token.to_dict(),
            "tokens_per_second": self.tokens_per_second(batch),
            "loop_seconds": self.loop_seconds,
            "samples": self.tokens.tolist(),
        }


@dataclass(frozen=True, repr=False)
class GenerationRun(Result):
    """The measured times of a decoder on one machine, by context length. Times are in seconds, sizes in bytes.

    ``weights`` are "stored", or "synthesised" if the model lacks some. ``interrupted``: Ctrl-C came before all was done;
    ``failure`` says why a run ended early, "" if it did not.
    """

    turns: tuple[Turn, ...]
    settings: Settings
    batch: int
    weights: str
    shares_buffer: bool
    session_seconds: float
    threads: tuple[int, int]
    inputs: tuple[InputUsed, ...]
    device: MeasuredDevice
    environment: Environment
    memory: MemoryUse
    placement: Placement | None = None
    interrupted: bool = False
    failure: str = ""

    def to_dict(self) -> dict[str, Any]:
        """A document of the schema ``onnxcost/1`` with the key ``generation``."""
        return make_document(generation=self.document())

    def document(self) -> dict[str, Any]:
        """The key ``generation``."""
        environment, device, placement = self.environment._asdict(), self.device, self.placement
        return {
            "status": "failed" if self.failure else "ok",
            "reason": self.failure or None,
            "interrupted": self.interrupted,
            "provider": self.settings.provider,
            "device": device.name,
            "driver": device.driver or None,
            "onnxruntime": environment.pop("onnxruntime"),
            "threads": {"intra": self.threads[0], "inter": self.threads[1]},
            "batch": self.batch,
            "weights": self.weights,
            "shares_buffer": self.shares_buffer,
            "inputs": [{**used._asdict(), "shape": list(used.shape)} for used in self.inputs],
            "session_seconds": self.session_seconds,
            **self.memory._asdict(),
            "nodes_by_provider": None if placement is None else dict(placement.nodes_by_provider),
            "environment": environment,
            "contexts": [turn.to_dict(self.batch) for turn in self.turns],
        }

    def to_records(self) -> list[dict[str, Any]]:
        """A row for each context."""
        rows = []
        for turn in self.turns:
            ttft, token = turn.ttft, turn.per_token
            rows.append(
                {
                    "context": turn.context,
                    "ttft": ttft and ttft.median,
                    "time_per_token": token and token.median,
                    "time_per_token_p95": token and token.p95,
                    "tokens_per_second": turn.tokens_per_second(self.batch),
                    "tokens": len(turn.tokens),
                }
            )
        return rows

    def summary(self) -> str:
        """Tokens per second at each context, and where."""
        speeds = ((turn.context, turn.tokens_per_second(self.batch)) for turn in self.turns)
        shown = ", ".join(f"{speed:.4g} tokens/s at {context}" for context, speed in speeds if speed)
        return f"{shown or 'no tokens'}, {self.device.name}{', interrupted' if self.interrupted else ''}"


def run_llm(
    model: ModelSource,
    settings: Settings = Settings(),  # noqa: B008  # frozen
    *,
    prompt: int | None = None,
    contexts: Sequence[int] = (),
    tokens: int = DEFAULT_TOKENS,
    batch: int = 1,
    shapes: Mapping[str, Sequence[int]] | None = None,
    dims: Mapping[str, int] | None = None,
    values: Mapping[str, Any] | None = None,
    trips: Mapping[str, int] | None = None,
    formulas: FormulaTable | None = None,
    on_progress: OnProgress | None = None,
    **changes: Any,
) -> GenerationRun:
    """Run a decoder with onnxruntime in a child process: a prompt, then up to ``tokens`` tokens, each on the previous cache.

    The prompt has 1,024 tokens by default, or the maximum that the model supports. For each of ``contexts``, the cache has
    that number of synthetic tokens instead of a prompt. The other arguments are those of ``onnxcost.measure``; ``runs`` is the
    number of timed prompts.

    Raises MeasurementError if the model cannot be run, and InputError for a model that is not a decoder.
    """
    spec = read_once(ModelSpec.of(model, shapes, dims, values, trips))
    return run_decoder(spec, change_settings(settings, changes), prompt, contexts, tokens, batch, formulas, on_progress)


def run_decoder(
    spec: ModelSpec,
    settings: Settings,
    prompt: int | None = None,
    contexts: Sequence[int] = (),
    tokens: int = DEFAULT_TOKENS,
    batch: int = 1,
    formulas: FormulaTable | None = None,
    on_progress: OnProgress | None = None,
    decoder: Decoder | None = None,
) -> GenerationRun:
    """``run_llm`` of a spec whose source can be read twice. What was done before Ctrl-C is kept."""
    with start_early():
        decoder = decoder or read_decoder(spec)
        if own := [name for name in spec.dims if decoder.roles.get(name) in (NEW, PAST, TOTAL)]:
            raise InputError(f"--dim {own[0]}: this dim changes from step to step: set --prompt and --context instead")
        legs = plan_legs(decoder, prompt, contexts, tokens)
        # The memory needed is that of the longest context.
        deepest = max(leg.context for leg in legs)
        new = 1 if decoder.is_open else _new(decoder)
        report = estimate_spec(decoder.spec_at(spec, StepSizes(batch, new, deepest, _source_of(decoder))), formulas)
        batch = batch_of(report.graph)
        with prepare(replace(spec, inputs={}), report, settings.seed) as ready:
            request = _request(ready, decoder, spec, settings, legs, batch)
            turns, state, failure = _receive(answers(request, on_progress))
    return GenerationRun(turns, settings, batch, ready.weights, request.shares_buffer, *state, STOP.is_made, failure)


def plan_legs(decoder: Decoder, prompt: int | None, contexts: Sequence[int], tokens: int) -> list[Leg]:
    """A prompt with the tokens after it, and tokens at each of the contexts; all within the model's positions. The default
    prompt has DEFAULT_PROMPT tokens, or as many as leave room; after an encoder, one. Raises InputError for more positions than
    the model has.
    """
    limit = None if decoder.limit is None or decoder.keeps_source else decoder.limit
    if prompt is None:
        prompt = 1 if decoder.keeps_source else DEFAULT_PROMPT
        prompt = prompt if limit is None else max(min(prompt, limit.value - tokens), 1)
    legs = []
    for context, is_prompt in ((prompt, True), *((context, False) for context in contexts)):
        room = tokens if limit is None else limit.value - context
        if room < 1:
            what = "prompt" if is_prompt else "context"
            raise InputError(
                f"a {what} of {context} leaves no room for a token: the model supports {limit and limit.value} positions"
            )
        legs.append(Leg(context, is_prompt and decoder.is_open, min(tokens, room)))
    return legs


def _receive(messages: Iterator[object]) -> tuple[tuple[Turn, ...], RunState, str]:
    """The turns, how they were run, and why there are no more, "" if there are all. A failure of the first is raised."""
    turns: list[Turn] = []
    state, failure = None, ""
    try:
        for message in messages:
            if isinstance(message, LegTimes):
                leg, first, prompts, tokens, loop_seconds = message
                turns.append(Turn(leg.context, prompts, tokens, first, loop_seconds))
            elif isinstance(message, RunState):
                state = message
    except MeasurementError as error:
        if state is None:
            raise
        failure = str(error)
    if state is not None:
        return tuple(turns), state, failure
    if STOP.is_made:
        raise KeyboardInterrupt
    raise MeasurementError("the process that ran the model ended without a result")


def _source_of(decoder: Decoder) -> int:
    """The positions of the encoder in its graph."""
    return next((dim.value for dim in decoder.graph.dims if decoder.roles.get(dim.name) == SOURCE), 0)


def _new(decoder: Decoder) -> int:
    return decoder.tokens.shape[decoder.token_axis]


def _request(
    ready: Prepared, decoder: Decoder, spec: ModelSpec, settings: Settings, legs: Sequence[Leg], batch: int
) -> GenerationRequest:
    """The request to the child, from the shapes and elements of the inputs at three steps that differ by one token."""
    new = 1 if decoder.is_open else _new(decoder)
    base = StepSizes(batch, new, BASE_PAST, _source_of(decoder))
    at_base = _feeds(decoder, spec, base)
    longer = _feeds(decoder, spec, base._replace(past=BASE_PAST + 1))
    wider = _feeds(decoder, spec, base._replace(new=new + 1)) if decoder.is_open else at_base
    caches = {cache.past.name: cache for cache in decoder.caches}
    others = {name: feed for name, feed in at_base.items() if name not in caches}
    inputs = tuple(_step_input(feed, longer[name], wider[name], decoder, settings.seed) for name, feed in others.items())
    # A sliding cache is a buffer of a fixed size: it has no other form.
    shares = decoder.shares_buffer or any(cache.room is not None for cache in decoder.caches)
    links = []
    for name, cache in caches.items():
        feed = at_base[name]
        axis = cache.axis if len(cache.axes) == 1 and cache.kind == KV else None
        present = "" if cache.present is None else cache.present.name
        if cache.kind == STATE:
            feed = replace(feed, fill=Repeated((0,)))
        links.append(CacheLink(feed, present, axis, cache.room, feed.shape == longer[name].shape, cache.kind == CROSS))
    return GenerationRequest(
        "generate", ready.path, (), settings, ready.folder, inputs, tuple(links), tuple(legs),
        shares and PAST in decoder.roles.values(),
    )  # fmt: skip


def _feeds(decoder: Decoder, spec: ModelSpec, sizes: StepSizes) -> dict[str, Feed]:
    """The feeds of the inputs in a step, by their names."""
    at_step = decoder.spec_at(spec, sizes)
    skeleton = read_skeleton(at_step.source)
    graph = read_graph(skeleton, at_step, select_formulas(operators_in(skeleton)))
    return {feed.name: feed for feed in feeds_of(graph, at_step.values, {})}


MOST_NUMBERS = 64
"""Elements of the largest input whose elements may count tokens."""


def _step_input(feed: Feed, longer: Feed, wider: Feed, decoder: Decoder, seed: int) -> StepInput:
    """An input of a step, from a step with a longer past and one with more new tokens."""
    shape = feed.shape or ()
    if longer.shape is None or wider.shape is None or len(longer.shape) != len(shape) or len(wider.shape) != len(shape):
        return StepInput(feed, (0,) * len(shape), (0,) * len(shape))
    by_past, by_new = (
        tuple(size - own for size, own in zip(other.shape or (), shape, strict=True)) for other in (longer, wider)
    )
    if feed.name == decoder.switch:
        return StepInput(feed, by_past, by_new, "switch")
    is_whole = "int" in feed.dtype
    if is_whole and shape and re.search(_POSITIONS, feed.name.lower()):
        return StepInput(feed, by_past, by_new, "positions")
    if is_whole and not any((*by_past, *by_new)) and prod(shape) <= MOST_NUMBERS:
        own, past, new = (arrays_of(each, seed)[0].astype("int64") for each in (feed, longer, wider))
        if (past != own).any() or (new != own).any():
            return StepInput(feed, by_past, by_new, "numbers", (own, past - own, new - own))
    return StepInput(feed, by_past, by_new)


def predict_turns(
    run: GenerationRun,
    decoder: Decoder,
    spec: ModelSpec,
    predictor: Predictor,
    sizes: StepSizes,
    formulas: FormulaTable | None = None,
) -> tuple[Speed, ...]:
    """The predicted times on a device for each turn: for its prompt, and for the middle one of the tokens after it. ``sizes``
    are those of any step; only the batch and the positions of an encoder are used.
    """
    found = []
    for turn in run.turns:
        past = turn.context + len(turn.tokens) // 2
        decode = count_phase(decoder, spec, DECODE, sizes._replace(past=past), formulas)
        prompt = sizes._replace(new=turn.context, past=0)
        prefill = count_phase(decoder, spec, PREFILL, prompt, formulas) if turn.ttft else None
        found.append(predict_speed(predictor, prefill, decode))
    return tuple(found)
