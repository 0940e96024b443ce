"""Runs a decoder as in generation: a prompt, then one token after the other, each with the cache of the previous step."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from onnxcost.runtime.inputs.feeds import arrays_of, to_ort_value
from onnxcost.runtime.inputs.input_roles import numpy_type
from onnxcost.runtime.protocol import Channel, Feed, Progress, Request
from onnxcost.runtime.providers import find_provider
from onnxcost.runtime.sampling import SECOND, garbage_collector_off
from onnxcost.runtime.session import Session, onnxruntime
from onnxcost.runtime.tasks import collect_state, open_timed

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LEAST_PREFILLS, SLOW_SECONDS = 3, 5.0
"""Prompts that are timed after the first, fewer if they take this long."""
WARMUP_TOKENS, LEAST_TOKENS = 3, 16
"""Tokens before the timed ones, and the fewest that are timed if a token takes long."""
TOKEN_SECONDS = 10.0
"""After this time the least number of tokens is enough."""

Shape = tuple[int, ...]


class StepInput(NamedTuple):
    """An input of a step that is not a cache. Its shape is linear in the new tokens and in the past: ``feed`` has the one for a
    new token after ``BASE_PAST``, ``by_past`` and ``by_new`` the increments per token.

    ``kind`` is "fill" if the feed fills any shape, "positions" for those of the new tokens, "numbers" if the elements are also
    linear: ``numbers`` has them and their increments per past and new token; "switch" is true with a past.
    """

    feed: Feed
    by_past: Shape
    by_new: Shape
    kind: str = "fill"
    numbers: tuple[Any, Any, Any] | None = None


BASE_PAST = 16


class CacheLink(NamedTuple):
    """An input with the result of earlier steps, and the output with it for the next step, "" if it does not change.

    ``axis`` is that of its positions, None for a state; ``room`` the most positions that it holds, None for all. ``is_fixed``:
    the model has room for a fixed number of positions, and writes the new ones among them; ``is_made_once``: the first step
    computes it from an encoder's output, and others do not change it.
    """

    feed: Feed
    present: str
    axis: int | None
    room: int | None = None
    is_fixed: bool = False
    is_made_once: bool = False

    def shape(self, positions: int) -> Shape:
        """Its shape with so many positions."""
        shape = list(self.feed.shape or ())
        if self.room is not None and self.axis is not None:
            shape[self.axis] = self.room  # it must be complete from the first step on
        elif self.axis is not None and not self.is_fixed:
            shape[self.axis] = positions
        return tuple(shape)


class Leg(NamedTuple):
    """A part of the run: ``context`` tokens in the cache, of a prompt or, without ``has_prefill``, synthetic; then decoding of
    up to so many ``tokens``.
    """

    context: int
    has_prefill: bool
    tokens: int


@dataclass(frozen=True, slots=True)
class GenerationRequest(Request):
    """A decoder to run: ``feeds`` are empty, ``inputs`` and ``caches`` say what each step is fed with.

    With ``shares_buffer``, past and present are one buffer, for the longest context.
    """

    inputs: tuple[StepInput, ...] = ()
    caches: tuple[CacheLink, ...] = ()
    legs: tuple[Leg, ...] = ()
    shares_buffer: bool = False


class LegTimes(NamedTuple):
    """Seconds of each prompt and of each token of a leg, in order; ``first_prompt`` is that of the prompt before, in newly
    allocated memory. ``loop_seconds`` are those of all timed tokens, including Python's work between the runs.
    """

    leg: Leg
    first_prompt: float | None
    prompts: NDArray[np.float64]
    tokens: NDArray[np.float64]
    loop_seconds: float


def run_generation(request: GenerationRequest, channel: Channel) -> None:
    """Answers with LegTimes and the RunState after it for each leg that was started."""
    model = open_timed(request, (), channel)
    for index, leg in enumerate(request.legs):
        if index and channel.is_called():
            break
        channel.send(_Generation(model.session, request, leg, channel, index).times())
        channel.send(collect_state(request, model, [each.feed for each in request.inputs]))


class _Generation:
    """The steps of one leg. ``past`` is the number of tokens in the cache, ``held`` the cache by the names of its inputs."""

    def __init__(self, session: Session, request: GenerationRequest, leg: Leg, channel: Channel, index: int) -> None:
        self.session, self.request, self.leg, self.channel = session, request, leg, channel
        self.index = index
        self.device = find_provider(request.settings.provider).device or "cpu"
        self.device_id = int(dict(request.settings.provider_options).get("device_id", 0))
        self.outputs = [node.name for node in session.get_outputs()]
        links = {cache.present: cache for cache in request.caches if cache.present}
        self.shared = {name: each.feed.name for name, each in links.items() if request.shares_buffer and each.axis is not None}
        self.handed_on = {name: each for name, each in links.items() if name not in self.shared}
        self.capacity = max(leg.context + leg.tokens for leg in request.legs)
        self.past = 0
        self.held: dict[str, Any] = {}

    def times(self) -> LegTimes:
        """The times of the leg."""
        import numpy as np

        first, prompts = (None, []) if not self.leg.has_prefill else self._time_prompts()
        if not self.leg.has_prefill:
            self._start(self.leg.context)
        with garbage_collector_off():
            tokens, loop_seconds = self._time_tokens()
        return LegTimes(
            self.leg, first, np.array(prompts, np.float64) / SECOND, np.array(tokens, np.float64) / SECOND, loop_seconds
        )

    def _say(self, phase: str, share: float) -> None:
        legs = len(self.request.legs)
        self.channel.send(Progress(phase, (self.index + min(share, 1.0)) / legs))

    def _time_prompts(self) -> tuple[float, list[int]]:
        settings = self.request.settings
        self.channel.send(Progress("first run" if not self.index else "measuring"))
        self._start(0)
        first = self._step(self.leg.context)
        taken: list[int] = []
        begin = time.perf_counter()
        while True:
            spent = time.perf_counter() - begin
            if settings.runs is not None:
                wants_more = len(taken) < settings.runs
            else:
                is_short = len(taken) < LEAST_PREFILLS or spent < settings.least_seconds / 2
                wants_more = not taken or (is_short and spent < SLOW_SECONDS)
            if not wants_more or (taken and self.channel.is_called()):
                return first / SECOND, taken
            self._say("measuring", spent / SLOW_SECONDS / 2)
            self._start(0)
            taken.append(self._step(self.leg.context))

    def _time_tokens(self) -> tuple[list[int], float]:
        """Nanoseconds of each token, and seconds of all. The first few are decoded twice: the first time for warm-up."""
        settings, begin_held = self.request.settings, dict(self.held)
        self._say("measuring", 0.5)
        for _ in range(min(WARMUP_TOKENS if settings.warmup is None else settings.warmup, self.leg.tokens)):
            self._step(1)
        self.past, self.held = self.leg.context, begin_held
        taken: list[int] = []
        begin = shown = time.perf_counter()
        while len(taken) < self.leg.tokens and not (taken and self.channel.is_called()):
            now = time.perf_counter()
            if len(taken) >= LEAST_TOKENS and now - begin > (settings.seconds or TOKEN_SECONDS):
                break
            if now - shown > 0.1:
                shown = now
                self._say("measuring", 0.5 + len(taken) / self.leg.tokens / 2)
            taken.append(self._step(1))
        return taken, time.perf_counter() - begin

    def _start(self, positions: int) -> None:
        """An empty cache, or one of synthetic keys and values."""
        self.past = positions
        self.held = {}
        for cache in self.request.caches:
            room = self.capacity if self.request.shares_buffer and cache.axis is not None else positions
            feed = replace(cache.feed, shape=cache.shape(room) if cache.present else cache.feed.shape)
            made = arrays_of(feed, self.request.settings.seed)[0]
            self.held[feed.name] = self._to_device(made, feed.dtype)

    def _to_device(self, array: Any, dtype: str) -> Any:
        value = to_ort_value(array, dtype)
        if hasattr(value, "element_type"):
            return value
        return onnxruntime().OrtValue.ortvalue_from_numpy(value, self.device, self.device_id)

    def _step(self, new: int) -> int:
        """Run one step of so many tokens and keep its cache; returns the nanoseconds of only the run."""
        binding = self.session.io_binding()
        for name, value in self._arrays(new):
            bind = binding.bind_ortvalue_input if hasattr(value, "element_type") else binding.bind_cpu_input
            bind(name, value)
        for name, value in self.held.items():
            binding.bind_ortvalue_input(name, value)
        for name in self.outputs:
            if name in self.shared:
                binding.bind_ortvalue_output(name, self.held[self.shared[name]])
            else:
                binding.bind_output(name, self.device, self.device_id)
        binding.synchronize_inputs()
        start = time.perf_counter_ns()
        self.session.run_with_iobinding(binding)
        binding.synchronize_outputs()
        taken = time.perf_counter_ns() - start
        made = dict(zip(self.outputs, binding.get_outputs(), strict=True))
        self.held |= {
            each.feed.name: made[name] for name, each in self.handed_on.items() if not (each.is_made_once and self.past)
        }
        self.past += new
        return taken

    def _arrays(self, new: int) -> Iterator[tuple[str, Any]]:
        """The arrays of the inputs other than the cache in a step of so many tokens."""
        import numpy as np

        seed = self.request.settings.seed
        for each in self.request.inputs:
            feed, past, more = each.feed, self.past - BASE_PAST, new - 1
            shape = tuple(
                size + past * grown + more * widened
                for size, grown, widened in zip(feed.shape or (), each.by_past, each.by_new, strict=True)
            )
            if each.numbers is not None:
                numbers, by_past, by_new = each.numbers
                array = np.asarray(numbers + past * by_past + more * by_new, numpy_type(feed.dtype)).reshape(shape)
            elif each.kind == "switch":
                array = np.full(shape, self.past > 0)
            elif each.kind == "positions":
                array = np.broadcast_to(np.arange(self.past, self.past + new, dtype=numpy_type(feed.dtype)), shape).copy()
            else:
                array = arrays_of(replace(feed, shape=shape), seed)[0]
            yield feed.name, to_ort_value(array, feed.dtype)
