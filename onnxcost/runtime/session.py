"""onnxruntime sessions: their options, and runners that keep inputs and outputs on the device."""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from onnxcost.errors import InputError, MeasurementError
from onnxcost.measurement import Copies, Placement, Settings
from onnxcost.runtime.ort_errors import reason
from onnxcost.runtime.providers import CPU, Provider, check_installed, find_provider, load_libraries
from onnxcost.runtime.sampling import SECOND, Clock, Run

Session: TypeAlias = Any
"""onnxruntime.InferenceSession, which has no type annotations."""

_LEVELS: Mapping[str, str] = {
    "none": "ORT_DISABLE_ALL",
    "basic": "ORT_ENABLE_BASIC",
    "extended": "ORT_ENABLE_EXTENDED",
    "all": "ORT_ENABLE_ALL",
}
TELEMETRY_OFF = "ORT_DISABLE_TELEMETRY"
"""The environment variable that onnxruntime reads, except on Windows; "0" means that the user wants telemetry."""
_ERRORS_ALONE = 3
_IDENTITY = (
    b'\x08\x08:1\n\x12\n\x01x\x12\x01y"\x08Identity:\x00\x12\x01gZ\x0b\n\x01x\x12\x06\n\x04\x08\x01\x12\x00b\x0b\n\x01y'
    b"\x12\x06\n\x04\x08\x01\x12\x00B\x04\n\x00\x10\r"
)
"""A model of one node, y = Identity(x), for facts that onnxruntime only reveals when it opens a session."""


def runtime_for(provider: Provider, runtime: Any = None) -> Any:
    """onnxruntime, or ``runtime`` instead, with the libraries of the provider loaded.

    Raises MeasurementError if it was built without the provider, or cannot be imported itself.
    """
    runtime = runtime or onnxruntime()
    check_installed(provider, runtime)
    load_libraries(provider, runtime)
    return runtime


def onnxruntime() -> Any:
    """The module onnxruntime, with its telemetry off unless the user turned it on; it is imported only here.

    Raises MeasurementError if it cannot be imported.
    """
    # From 1.29 on, it reports to its vendor as soon as it is imported, and writes a device id into the home folder.
    if not os.environ.get(TELEMETRY_OFF):
        os.environ[TELEMETRY_OFF] = "1"
    try:
        import numpy  # noqa: F401  # onnxruntime would not say why numpy cannot be imported
        import onnxruntime as module
    except ImportError as error:
        raise MeasurementError(f"onnxruntime cannot be imported: {reason(error)}") from error
    if os.environ[TELEMETRY_OFF] != "0" and hasattr(module, "disable_telemetry_events"):
        module.disable_telemetry_events()
    return module


def open_session(
    model: str | bytes,
    settings: Settings,
    *,
    profile_prefix: str = "",
    optimized_path: str = "",
    weights_folder: str = "",
    runtime: Any = None,
) -> Session:
    """A session of the model in the file ``model``, or in these bytes, on the provider of the settings, without fallback to
    another.

    With ``profile_prefix`` it is profiled, to a file whose name begins with that; ``optimized_path`` receives the graph that it
    runs, with large weights next to it. ``weights_folder`` has the external data, if not the model's folder. ``runtime``
    replaces the module onnxruntime.

    Raises MeasurementError if onnxruntime cannot open the model or start the provider, InputError for wrong settings.
    """
    provider = find_provider(settings.provider)
    runtime = runtime_for(provider, runtime)
    options = _options(settings, profile_prefix, optimized_path, runtime)
    if weights_folder:
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", weights_folder)
    chain = _chain(provider, settings, runtime)
    try:
        # By default, it prints the error and falls back to the CPU, now or in a run.
        session = runtime.InferenceSession(model, sess_options=options, providers=chain, enable_fallback=0)
        session.disable_fallback()
    except Exception as error:
        raise MeasurementError(reason(error)) from error
    # Older versions fall back nevertheless, and all versions omit a provider that cannot be loaded: only the log shows it.
    if provider.key not in session.get_providers():
        why = reason(_capture_output(lambda: runtime.InferenceSession(_IDENTITY, providers=chain, enable_fallback=0)))
        needs = f"; it needs {provider.needs}" if provider.needs else ""
        raise MeasurementError(f"onnxruntime cannot start the provider '{provider.name}' ({provider.key}): {why}{needs}")
    return session


def thread_counts(settings: Settings, runtime: Any = None) -> tuple[int, int]:
    """The threads (intra, inter) of a session with these settings, the calling one counted.

    onnxruntime's own choice differs between systems and ignores affinity and control groups: it is counted from the threads
    that a session starts.
    """
    inter = settings.inter_threads or 1
    if settings.threads:
        return settings.threads, inter
    import psutil

    runtime = runtime or onnxruntime()
    process = psutil.Process()
    before = process.num_threads()
    session = runtime.InferenceSession(_IDENTITY, providers=[CPU])
    started = process.num_threads() - before
    del session
    return 1 + started, inter


def _options(settings: Settings, profile_prefix: str, optimized_path: str, runtime: Any) -> Any:
    options = runtime.SessionOptions()
    options.log_severity_level = _ERRORS_ALONE
    options.graph_optimization_level = getattr(runtime.GraphOptimizationLevel, _LEVELS[settings.optimization])
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    if settings.threads:
        options.intra_op_num_threads = settings.threads
    if settings.inter_threads and settings.inter_threads > 1:
        options.execution_mode = runtime.ExecutionMode.ORT_PARALLEL
        options.inter_op_num_threads = settings.inter_threads
    if profile_prefix:
        options.enable_profiling = True
        options.profile_file_prefix = profile_prefix
        if find_provider(settings.provider).key == CPU:
            _use_exact_arena(options, runtime)
    if optimized_path:
        options.optimized_model_filepath = optimized_path
        # Inside the file, weights could exceed the 2 GB that protobuf can write.
        options.add_session_config_entry(
            "session.optimized_model_external_initializers_file_name", f"{Path(optimized_path).name}.weights"
        )
    return options


def _use_exact_arena(options: Any, runtime: Any) -> None:
    """Let the session allocate activations from an arena that allocates exactly the requested bytes, so that its peak is
    theirs.

    The default arena counts up to 128 MiB next to an allocation as a part of it, although they are not used. Weights are not
    allocated from it. Versions of onnxruntime without it keep the default one.
    """
    with contextlib.suppress(Exception):
        _register_exact_arena(runtime)
        options.add_session_config_entry("session.use_env_allocators", "1")
        options.add_session_config_entry("session.use_device_allocator_for_initializers", "1")


@cache
def _register_exact_arena(runtime: Any) -> None:
    """It applies to the whole process, and registering another one would replace it."""
    kind, memory = runtime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, runtime.OrtMemType.DEFAULT
    exact = {"max_dead_bytes_per_chunk": 1, "arena_extend_strategy": 1, "initial_chunk_size_bytes": 1}
    runtime.create_and_register_allocator(runtime.OrtMemoryInfo("Cpu", kind, 0, memory), runtime.OrtArenaCfg(exact))


_ZEROS = (
    b'\x08\x08:O\n.\n\x01n\x12\x01y"\x0fConstantOfShape*\x15\n\x05value*\t\x08\x01\x10\x02*\x01\x00B\x00\xa0\x01\x04\x12\x01gZ\x0f\n\x01n\x12\n\n\x08'
    b"\x08\x07\x12\x04\n\x02\x08\x01b\t\n\x01y\x12\x04\n\x02\x08\x02B\x04\n\x00\x10\r"
)
"""A model with an output of as many bytes as its input says."""


def hold_in_exact_arena(nbytes: int) -> object:
    """A value of so many bytes in the arena that profiled sessions on the CPU share; they are freed with the value."""
    import numpy as np

    runtime = onnxruntime()
    options = runtime.SessionOptions()
    _use_exact_arena(options, runtime)
    session = runtime.InferenceSession(_ZEROS, options, providers=[CPU])
    return session.run_with_ort_values(None, {"n": runtime.OrtValue.ortvalue_from_numpy(np.array([nbytes], np.int64))})


def _chain(provider: Provider, settings: Settings, runtime: Any) -> list[tuple[str, dict[str, str]]]:
    """The providers that nodes are offered to in this order, each with its options; the CPU comes last."""
    options = dict(settings.provider_options)
    if provider.key == CPU:
        if options:
            raise InputError(f"the provider 'cpu' accepts no options, but {', '.join(options)} was given")
        return [(CPU, {})]
    device = {"device_id": options["device_id"]} if "device_id" in options else {}
    installed = runtime.get_available_providers()
    between = [(key, device) for key in provider.next if key in installed]
    return [(provider.key, options), *between, (CPU, {})]


def _capture_output(action: Callable[[], object]) -> str:
    """The output of an action and its libraries, and its exception, if any."""
    raised = ""
    with tempfile.TemporaryFile() as file, contextlib.redirect_stdout(io.StringIO()) as printed:
        usual = os.dup(2)
        os.dup2(file.fileno(), 2)
        try:
            action()
        except Exception as error:
            raised = str(error)
        finally:
            os.dup2(usual, 2)
            os.close(usual)
        file.seek(0)
        return "\n".join((file.read().decode(errors="replace"), printed.getvalue(), raised))


COPIES_TIMED = 11
Feeds = Mapping[str, Any]


class Runner(Protocol):
    """Runs a session on sets of inputs. Each of ``runs`` is one complete inference of one set."""

    @property
    def runs(self) -> Sequence[Run]:
        """One for each set of inputs."""

    def copies(self) -> Copies | None:
        """How long copying to and from the device takes; None if runs copy themselves, or nothing is copied."""

    def output_shapes(self) -> list[tuple[int, ...] | None]:
        """The shapes of the model's outputs for the first set of inputs; None for those that are not tensors."""


def runner(session: Session, feeds: Sequence[Feeds], provider: str, clock: Clock = time.perf_counter_ns) -> Runner:
    """A runner of the session on these sets of inputs; each parallel stream needs one of its own.

    On a provider with a device, inputs are copied there once before the runs, and outputs stay there, unless an input is not a
    tensor of numbers: onnxruntime's Python interface cannot bind those.
    """
    chosen = find_provider(provider)
    if chosen.device and all(_is_on_device(node.type) for node in session.get_inputs()):
        return _Bound(session, chosen, feeds, clock)
    names = [node.name for node in session.get_outputs()]
    return _Plain(tuple(partial(session.run, names, feed) for feed in feeds))


def _is_on_device(onnx_type: str) -> bool:
    return onnx_type.startswith("tensor(") and onnx_type != "tensor(string)"


@dataclass(frozen=True, slots=True)
class _Plain:
    """Inputs and outputs are arrays in the host's memory."""

    runs: tuple[Run, ...]

    def copies(self) -> None:
        return None

    def output_shapes(self) -> list[tuple[int, ...] | None]:
        outputs: Any = self.runs[0]()
        return [getattr(output, "shape", None) for output in outputs]


class _Bound:
    """Inputs and outputs are bound on the device; outputs are allocated in the first run and overwritten in the others."""

    def __init__(self, session: Session, provider: Provider, feeds: Sequence[Feeds], clock: Clock) -> None:
        self._session, self._feeds, self._clock = session, feeds, clock
        self._bindings = [self._bind(provider, feed) for feed in feeds]
        self.runs: Sequence[Run] = [self._run(binding) for binding in self._bindings]

    def _bind(self, provider: Provider, feed: Feeds) -> Any:
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
            # By default onnxruntime has waited for the device by now, but options can change that.
            synchronize()

        return run

    def copies(self) -> Copies:
        """Timed on the first set. Inputs go to a binding of their own: a captured graph may keep the runs' buffers."""
        self.runs[0]()
        elsewhere = self._session.io_binding()
        to_device = self._time_copy(lambda: _bind_inputs(elsewhere, self._feeds[0]))
        return Copies(to_device, self._time_copy(self._bindings[0].copy_outputs_to_cpu))

    def _time_copy(self, copy: Run) -> float:
        """The median of several copies, in seconds."""
        times = []
        for _ in range(COPIES_TIMED):
            start = self._clock()
            copy()
            times.append(self._clock() - start)
        return sorted(times)[len(times) // 2] / SECOND

    def output_shapes(self) -> list[tuple[int, ...] | None]:
        self.runs[0]()
        return [tuple(value.shape()) if value.is_tensor() else None for value in self._bindings[0].get_outputs()]


def _bind_inputs(binding: Any, feed: Feeds) -> None:
    """Bind the inputs; onnxruntime copies each at once to the device of the nodes that read it."""
    for name, value in feed.items():
        # Inputs of a type that numpy lacks are OrtValues already.
        bind = binding.bind_ortvalue_input if hasattr(value, "element_type") else binding.bind_cpu_input
        bind(name, value)
    binding.synchronize_inputs()


def placement(session: Session, provider: str) -> Placement | None:
    """Where onnxruntime placed the nodes of a session of ``open_session``; None before version 1.24, which does not say."""
    if not hasattr(session, "get_provider_graph_assignment_info"):
        return None
    parts = session.get_provider_graph_assignment_info()
    placed = [(part.ep_name, node.name or node.op_type) for part in parts for node in part.get_nodes()]
    fallen_back = () if find_provider(provider).key == CPU else tuple(name for key, name in placed if key == CPU)
    return Placement(dict(Counter(key for key, _ in placed).most_common()), fallen_back)
