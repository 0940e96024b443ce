"""Users' names for onnxruntime's execution providers."""

from __future__ import annotations

import onnxruntime
import pytest

from onnxcost.errors import InputError, MeasurementError
from onnxcost.runtime import providers
from onnxcost.runtime.providers import CPU, PROVIDERS, check_installed, find_provider, load_libraries
from tests.runtime.standin import CUDA, Runtime

GONE = {"ROCMExecutionProvider"}
"""In older versions of onnxruntime that are supported as well."""


def test_every_provider_is_one_of_onnxruntimes() -> None:
    assert {provider.key for provider in PROVIDERS.values()} - GONE <= set(onnxruntime.get_all_providers())


@pytest.mark.parametrize("name", ["cuda", "CUDA", "CUDAExecutionProvider"])
def test_a_provider_has_our_name_and_onnxruntimes(name: str) -> None:
    assert find_provider(name).key == CUDA


def test_one_without_our_name_has_onnxruntimes() -> None:
    provider = find_provider("QNNExecutionProvider")
    assert (provider.key, provider.device) == ("QNNExecutionProvider", "")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cudda", r"no provider 'cudda'; did you mean 'cuda'\?$"),
        ("open-vino", r"did you mean 'openvino'\?$"),
        ("abacus", r"no provider 'abacus': choose from .*, dnnl$"),
    ],
)
def test_an_unknown_name_is_answered_with_those_there_are(name: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        find_provider(name)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "cuda",
            r"^the provider 'cuda' \(CUDAExecutionProvider\) is not available in this onnxruntime, which has "
            r".*CPUExecutionProvider; pip install onnxruntime-gpu \(in place of onnxruntime\)$",
        ),
        ("coreml", r"; pip install onnxruntime on macOS$"),
        ("directml", r"; pip install onnxruntime-directml on Windows \(in place of onnxruntime\)$"),
        ("dnnl", r"; build onnxruntime with --use_dnnl$"),
        ("QNNExecutionProvider", r"; build onnxruntime with it$"),
    ],
)
def test_a_provider_that_is_not_built_in_says_what_is_and_where_to_get_it(
    name: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(providers, "_is_installed", lambda package: False)
    with pytest.raises(MeasurementError, match=message):
        check_installed(find_provider(name), Runtime(installed=[CPU]))


def test_a_conflicting_package_must_be_installed_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(providers, "_is_installed", lambda package: True)
    with pytest.raises(MeasurementError, match=r"pip uninstall onnxruntime onnxruntime-gpu, then pip install onnxruntime-gpu$"):
        check_installed(PROVIDERS["cuda"], Runtime(installed=[CPU]))


def test_the_cpu_is_always_there() -> None:
    check_installed(PROVIDERS["cpu"], onnxruntime)


@pytest.mark.parametrize(("name", "loads"), [("cuda", True), ("tensorrt", True), ("cpu", False), ("openvino", False)])
def test_libraries_are_loaded_quietly_and_only_for_nvidias_providers(
    name: str, loads: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    runtime = Runtime()
    load_libraries(PROVIDERS[name], runtime)
    assert bool(runtime.calls) == loads
    assert capsys.readouterr().out == ""
