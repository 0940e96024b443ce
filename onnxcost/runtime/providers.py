"""onnxruntime's execution providers: their names, the packages that have them, and their other requirements."""

from __future__ import annotations

import contextlib
import importlib
import io
from collections.abc import Mapping
from typing import Any, NamedTuple

from onnxcost.errors import InputError, MeasurementError, did_you_mean

CPU = "CPUExecutionProvider"


class Provider(NamedTuple):
    """An execution provider: ``key`` is onnxruntime's name of it, ``package`` the PyPI package that has it, "" if none has.

    ``device`` is IOBinding's name of the memory that its inputs and outputs are bound to; "" if it uses the host's, or if
    binding is not documented for Python. ``next`` are the providers that get the nodes it does not take, before the CPU.
    ``where`` says what the package is for, or how to get the provider without one; ``needs`` what else must be installed.
    """

    name: str
    key: str
    package: str
    device: str = ""
    next: tuple[str, ...] = ()
    where: str = ""
    needs: str = ""


_CUDA = "an NVIDIA driver, CUDA and cuDNN (pip install onnxruntime-gpu[cuda,cudnn])"
_TABLE = (
    Provider("cpu", CPU, "onnxruntime"),
    Provider("cuda", "CUDAExecutionProvider", "onnxruntime-gpu", "cuda", needs=_CUDA),
    Provider("tensorrt", "TensorrtExecutionProvider", "onnxruntime-gpu", "cuda", ("CUDAExecutionProvider",),
             needs=f"TensorRT (pip install tensorrt), {_CUDA}"),
    Provider("openvino", "OpenVINOExecutionProvider", "onnxruntime-openvino"),
    Provider("coreml", "CoreMLExecutionProvider", "onnxruntime", where="on macOS"),
    Provider("directml", "DmlExecutionProvider", "onnxruntime-directml", where="on Windows"),
    # In the versions that have it (up to 1.22), onnxruntime's name for the memory of AMD's GPUs is that for NVIDIA's.
    Provider("rocm", "ROCMExecutionProvider", "onnxruntime-rocm", "cuda", needs="AMD's ROCm"),
    Provider("migraphx", "MIGraphXExecutionProvider", "onnxruntime-migraphx", needs="AMD's ROCm and MIGraphX"),
    Provider("cann", "CANNExecutionProvider", "onnxruntime-cann", needs="Huawei's CANN"),
    Provider("webgpu", "WebGpuExecutionProvider", "onnxruntime-webgpu"),
    Provider("xnnpack", "XnnpackExecutionProvider", "", where="build onnxruntime with --use_xnnpack"),
    Provider("dnnl", "DnnlExecutionProvider", "", where="build onnxruntime with --use_dnnl"),
)  # fmt: skip
PROVIDERS: Mapping[str, Provider] = {provider.name: provider for provider in _TABLE}


def find_provider(name: str) -> Provider:
    """The provider by our name or onnxruntime's; raises InputError for a name that is neither.

    A name that is not in the table, but ends like onnxruntime's, is used as it is.
    """
    for provider in PROVIDERS.values():
        if name.lower() in (provider.name, provider.key.lower()):
            return provider
    if name.endswith("ExecutionProvider"):
        return Provider(name, name, "", where="build onnxruntime with it")
    hint = did_you_mean(name, PROVIDERS) or f": choose from {', '.join(PROVIDERS)}"
    raise InputError(f"there is no provider '{name}'{hint}")


def check_installed(provider: Provider, runtime: Any) -> None:
    """Raises MeasurementError if ``runtime``, the module onnxruntime, was built without the provider."""
    installed = runtime.get_available_providers()
    if provider.key not in installed:
        raise MeasurementError(
            f"the provider '{provider.name}' ({provider.key}) is not available in this onnxruntime, "
            f"which has {', '.join(installed)}; {_how_to_install(provider)}"
        )


def _how_to_install(provider: Provider) -> str:
    if not provider.package:
        return provider.where
    if provider.package == "onnxruntime":
        return f"pip install onnxruntime {provider.where}".strip()
    if _is_installed(provider.package):
        # All packages of onnxruntime have the same files: the last one installed is imported.
        return (
            f"another package has overwritten the files of {provider.package}: "
            f"pip uninstall onnxruntime {provider.package}, then pip install {provider.package}"
        )
    return " ".join(filter(None, ("pip install", provider.package, provider.where, "(in place of onnxruntime)")))


def _is_installed(package: str) -> bool:
    from importlib.metadata import PackageNotFoundError, version

    try:
        version(package)
    except PackageNotFoundError:
        return False
    return True


def load_libraries(provider: Provider, runtime: Any) -> None:
    """Load the shared libraries that pip installed for the provider and that onnxruntime would not find by itself.

    A missing one is not reported here: the provider then fails to start, with its reason.
    """
    if provider.device == "cuda" and hasattr(runtime, "preload_dlls"):
        with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(Exception):
            runtime.preload_dlls()
    if provider.name == "tensorrt":
        with contextlib.suppress(Exception):
            importlib.import_module("tensorrt")
