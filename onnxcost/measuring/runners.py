"""How an inference is run: by a plain call, or with inputs and outputs kept on the device. And which provider runs what."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Any, Protocol

from onnxcost.measurement import Copies, Placement
from onnxcost.measuring.messages import Executed
from onnxcost.measuring.providers import CPU, Provider, provider_named
from onnxcost.measuring.session import Session

COPIES_TIMED = 11
SECOND = 10**9

Run = Callable[[], object]
Clock = Callable[[], int]
Feeds = Mapping[str, Any]


class Runner(Protocol):
    """Runs a session on sets of inputs. Each of ``runs`` is one whole inference of one set, results and all."""

    @property
    def runs(self) -> Sequence[Run]:
        """One for each set of inputs."""

    def copies(self) -> Copies | None:
        """How long inputs and outputs take to and from the device; None where the runs themselves copy, or nothing does."""

    def output_shapes(self) -> list[tuple[int, ...] | None]:
        """The shapes of the model's outputs for the first set of inputs; None for those that are no tensors."""


def runner(session: Session, feeds: Sequence[Feeds], provider: str, clock: Clock = time.perf_counter_ns) -> Runner:
    """A runner of the session on these sets of inputs; each stream of runs side by side takes one of its own.

    On a provider with a device the inputs are brought there before the runs, once, and the outputs stay there. It is not so
    where an input is no tensor of numbers: onnxruntime's Python interface cannot bind those.
    """
    chosen = provider_named(provider)
    if chosen.device and all(_is_on_device(node.type) for node in session.get_inputs()):
        return _Bound(session, chosen, feeds, clock)
    names = [node.name for node in session.get_outputs()]
    return _Plain(tuple(partial(session.run, names, feed) for feed in feeds))


def _is_on_device(onnx_type: str) -> bool:
    return onnx_type.startswith("tensor(") and onnx_type != "tensor(string)"


@dataclass(frozen=True, slots=True)
class _Plain:
    """Inputs and outputs are arrays of the host."""

    runs: tuple[Run, ...]

    def copies(self) -> None:
        return None

    def output_shapes(self) -> list[tuple[int, ...] | None]:
        outputs: Any = self.runs[0]()
        return [getattr(output, "shape", None) for output in outputs]


class _Bound:
    """Inputs and outputs are bound on the device; outputs are allocated in the first run and written again in the others."""

    def __init__(self, session: Session, provider: Provider, feeds: Sequence[Feeds], clock: Clock) -> None:
        self._session, self._feeds, self._clock = session, feeds, clock
        self._bindings = [self._binding(provider, feed) for feed in feeds]
        self.runs: Sequence[Run] = [self._run(binding) for binding in self._bindings]

    def _binding(self, provider: Provider, feed: Feeds) -> Any:
        binding = self._session.io_binding()
        _bind_inputs(binding, feed)
        device_id = int(self._session.get_provider_options()[provider.key].get("device_id", 0))
        for node in self._session.get_outputs():
            if _is_on_device(node.type):
                binding.bind_output(node.name, provider.device, device_id)
            else:
                binding.bind_output(node.name)
        return binding

    def _run(self, binding: Any) -> Run:
        execute, synchronize = self._session.run_with_iobinding, binding.synchronize_outputs

        def run() -> None:
            execute(binding)
            # By default onnxruntime has waited for the device by now; it is not left to that.
            synchronize()

        return run

    def copies(self) -> Copies:
        """Timed on the first set. Inputs go to a binding of their own: a captured graph may hold on to the runs' buffers."""
        self.runs[0]()
        elsewhere = self._session.io_binding()
        to_device = self._timed(lambda: _bind_inputs(elsewhere, self._feeds[0]))
        return Copies(to_device, self._timed(self._bindings[0].copy_outputs_to_cpu))

    def _timed(self, copy: Run) -> float:
        """The median of several, in seconds."""
        times = []
        for _ in range(COPIES_TIMED):
            start = self._clock()
            copy()
            times.append(self._clock() - start)
        return median(times) / SECOND

    def output_shapes(self) -> list[tuple[int, ...] | None]:
        self.runs[0]()
        return [tuple(value.shape()) if value.is_tensor() else None for value in self._bindings[0].get_outputs()]


def _bind_inputs(binding: Any, feed: Feeds) -> None:
    """onnxruntime copies each input at once to where the nodes that read it run."""
    for name, value in feed.items():
        # A type that numpy lacks comes as an OrtValue already.
        bind = binding.bind_ortvalue_input if hasattr(value, "element_type") else binding.bind_cpu_input
        bind(name, value)
    binding.synchronize_inputs()


def placement(session: Session, provider: str) -> Placement | None:
    """Where onnxruntime placed the nodes of a session of ``open_session``; None where it does not tell (before 1.24)."""
    if not hasattr(session, "get_provider_graph_assignment_info"):
        return None
    parts = session.get_provider_graph_assignment_info()
    return _placement(((part.ep_name, node.name or node.op_type) for part in parts for node in part.get_nodes()), provider)


def placement_of(executed: Iterable[Executed], provider: str) -> Placement:
    """Where the nodes ran that a profile tells of."""
    return _placement(((node.provider, node.name or node.op_type) for node in executed), provider)


def _placement(nodes: Iterable[tuple[str, str]], provider: str) -> Placement:
    placed = list(nodes)
    fallen_back = () if provider_named(provider).key == CPU else tuple(name for key, name in placed if key == CPU)
    return Placement(dict(Counter(key for key, _ in placed).most_common()), fallen_back)
