"""Opens a model in onnxruntime as the settings ask, or says in one line why not."""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from onnxcost.errors import InputError, MeasurementError
from onnxcost.measurement import Settings
from onnxcost.measuring.failures import reason
from onnxcost.measuring.providers import CPU, Provider, check_installed, load_libraries, provider_named

Session: TypeAlias = Any
"""onnxruntime.InferenceSession, which has no types."""

_LEVELS: Mapping[str, str] = {
    "none": "ORT_DISABLE_ALL",
    "basic": "ORT_ENABLE_BASIC",
    "extended": "ORT_ENABLE_EXTENDED",
    "all": "ORT_ENABLE_ALL",
}
TELEMETRY_OFF = "ORT_DISABLE_TELEMETRY"
"""The environment variable that onnxruntime looks at, not on Windows; "0" is a user's wish to have the telemetry on."""
_ERRORS_ALONE = 3
_IDENTITY = (
    b'\x08\x08:1\n\x12\n\x01x\x12\x01y"\x08Identity:\x00\x12\x01gZ\x0b\n\x01x\x12\x06\n\x04\x08\x01\x12\x00b\x0b\n\x01y'
    b"\x12\x06\n\x04\x08\x01\x12\x00B\x04\n\x00\x10\r"
)
"""A model of one node, y = Identity(x), to ask onnxruntime things that it tells only by opening a session."""


def runtime_for(provider: Provider, runtime: Any = None) -> Any:
    """onnxruntime, or ``runtime`` in its place, with the libraries that the provider needs loaded.

    Raises MeasurementError where it was built without the provider, or cannot be imported itself.
    """
    runtime = runtime or onnxruntime()
    check_installed(provider, runtime)
    load_libraries(provider, runtime)
    return runtime


def onnxruntime() -> Any:
    """The module onnxruntime, which is imported nowhere else, with its telemetry off unless the user turned it on.

    Raises MeasurementError where it cannot be imported.
    """
    # From 1.29 on it would report to its makers as soon as it is imported, and leave a device id in the home folder.
    if not os.environ.get(TELEMETRY_OFF):
        os.environ[TELEMETRY_OFF] = "1"
    try:
        import numpy  # noqa: F401  # why it cannot be imported, where it cannot, onnxruntime would not tell
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
    """A session of the model in the file ``model``, or of the bytes of one, on the provider that the settings name and on no
    other in its place.

    With ``profile_prefix`` it is profiled, to a file whose name begins with that; to ``optimized_path`` goes the graph that
    it really runs, large weights beside it. ``weights_folder`` is where weights in other files are, if not beside the model.
    ``runtime`` stands in for the module onnxruntime.

    Raises MeasurementError where onnxruntime cannot open the model or start the provider, InputError for wrong settings.
    """
    provider = provider_named(settings.provider)
    runtime = runtime_for(provider, runtime)
    options = _options(settings, profile_prefix, optimized_path, runtime)
    if weights_folder:
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", weights_folder)
    chain = _chain(provider, settings, runtime)
    try:
        # Unless it is told not to, it prints what went wrong and goes on with the CPU: now, or at a run.
        session = runtime.InferenceSession(model, sess_options=options, providers=chain, enable_fallback=0)
        session.disable_fallback()
    except Exception as error:
        raise MeasurementError(reason(error)) from error
    # Older versions do so nevertheless; and a provider that cannot be loaded is left out in all, as only the log says.
    if provider.key not in session.get_providers():
        why = reason(_logged(lambda: runtime.InferenceSession(_IDENTITY, providers=chain, enable_fallback=0)))
        needs = f"; it needs {provider.needs}" if provider.needs else ""
        raise MeasurementError(f"onnxruntime cannot start the provider '{provider.name}' ({provider.key}): {why}{needs}")
    return session


def thread_counts(settings: Settings, runtime: Any = None) -> tuple[int, int]:
    """The threads (intra, inter) of a session with these settings, the calling one counted.

    onnxruntime's own choice differs from system to system and disregards affinity and control groups: it is seen from the
    threads that a session starts.
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
    if optimized_path:
        options.optimized_model_filepath = optimized_path
        # Inside the file they would make more than the 2 GB that protobuf can write.
        options.add_session_config_entry(
            "session.optimized_model_external_initializers_file_name", f"{Path(optimized_path).name}.weights"
        )
    return options


def _chain(provider: Provider, settings: Settings, runtime: Any) -> list[tuple[str, dict[str, str]]]:
    """The providers that nodes are offered to, one after the other, each with its options; the CPU's comes last."""
    options = dict(settings.provider_options)
    if provider.key == CPU:
        if options:
            raise InputError(f"the provider 'cpu' has no options: it was given {', '.join(options)}")
        return [(CPU, {})]
    device = {"device_id": options["device_id"]} if "device_id" in options else {}
    installed = runtime.get_available_providers()
    between = [(key, device) for key in provider.next if key in installed]
    return [(provider.key, options), *between, (CPU, {})]


def _logged(action: Callable[[], object]) -> str:
    """What an action and the libraries under it print, and its exception, should it raise."""
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
