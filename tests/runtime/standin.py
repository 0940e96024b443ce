"""A stand-in for the module onnxruntime that has any provider and writes down what is asked of it, in order."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
Call = tuple[Any, ...]


@dataclass
class NodeArg:
    name: str
    type: str = "tensor(float)"


@dataclass
class OrtValue:
    """What is on the device: only its shape can be seen."""

    of: tuple[int, ...]

    def shape(self) -> list[int]:
        return list(self.of)

    def is_tensor(self) -> bool:
        return True

    def element_type(self) -> int:
        return 1


class Binding:
    def __init__(self, calls: list[Call], number: int) -> None:
        self.calls, self.number = calls, number

    def bind_cpu_input(self, name: str, array: Any) -> None:
        self.calls.append(("copy in", self.number, name, array.shape))

    def bind_ortvalue_input(self, name: str, value: OrtValue) -> None:
        self.calls.append(("copy value in", self.number, name, value.of))

    def bind_output(self, name: str, device_type: str = "cpu", device_id: int = 0) -> None:
        self.calls.append(("bind output", self.number, name, device_type, device_id))

    def synchronize_inputs(self) -> None:
        self.calls.append(("inputs are there", self.number))

    def synchronize_outputs(self) -> None:
        self.calls.append(("outputs are there", self.number))

    def copy_outputs_to_cpu(self) -> list[Any]:
        self.calls.append(("copy out", self.number))
        return []

    def get_outputs(self) -> list[OrtValue]:
        return [OrtValue((2, 3))]


class Session:
    """A session of a model with these inputs and outputs, on the providers that could be started."""

    def __init__(self, runtime: Runtime, providers: Sequence[tuple[str, Mapping[str, str]]]) -> None:
        self.runtime, self.calls = runtime, runtime.calls
        self.options = {key: {"device_id": "0", **options} for key, options in providers}
        self.bindings = 0

    def disable_fallback(self) -> None:
        self.calls.append(("no fall-back",))

    def get_providers(self) -> list[str]:
        return list(self.options)

    def get_provider_options(self) -> Mapping[str, Mapping[str, str]]:
        return self.options

    def get_inputs(self) -> list[NodeArg]:
        return self.runtime.inputs

    def get_outputs(self) -> list[NodeArg]:
        return self.runtime.outputs

    def io_binding(self) -> Binding:
        self.bindings += 1
        return Binding(self.calls, self.bindings)

    def run(self, names: Sequence[str], feed: Mapping[str, Any]) -> list[Any]:
        self.calls.append(("run", tuple(names), tuple(feed)))
        return [np.zeros((2, 3), np.float32)]

    def run_with_iobinding(self, binding: Binding) -> None:
        self.calls.append(("run bound", binding.number))


class SessionOptions:
    def __init__(self) -> None:
        self.config: dict[str, str] = {}

    def add_session_config_entry(self, key: str, value: str) -> None:
        self.config[key] = value


@dataclass
class Runtime:
    """``broken`` providers are built in but cannot be started: like onnxruntime it logs why and leaves them out."""

    installed: Sequence[str] = (CUDA, CPU)
    broken: Mapping[str, str] = field(default_factory=dict)
    inputs: list[NodeArg] = field(default_factory=lambda: [NodeArg("x")])
    outputs: list[NodeArg] = field(default_factory=lambda: [NodeArg("y")])
    calls: list[Call] = field(default_factory=list)

    class GraphOptimizationLevel:
        ORT_DISABLE_ALL, ORT_ENABLE_BASIC, ORT_ENABLE_EXTENDED, ORT_ENABLE_ALL = range(4)

    class ExecutionMode:
        ORT_SEQUENTIAL, ORT_PARALLEL = range(2)

    SessionOptions = SessionOptions

    def get_available_providers(self) -> list[str]:
        return list(self.installed)

    def preload_dlls(self) -> None:
        print("what it prints is of no interest")
        self.calls.append(("libraries loaded",))

    def InferenceSession(
        self,
        model: str | bytes,
        sess_options: Any = None,
        providers: Sequence[tuple[str, dict[str, str]]] = (),
        enable_fallback: int = 1,
    ) -> Session:
        self.calls.append(("opened", model, [key for key, _ in providers], enable_fallback))
        for key, _ in providers:
            if key in self.broken:
                os.write(2, self.broken[key].encode())
        return Session(self, [(key, options) for key, options in providers if key not in self.broken])
