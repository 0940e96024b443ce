"""One line for whatever onnxruntime raises or logs: provoked with small models where that is possible, else quoted."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnx import ModelProto, TensorProto

from onnxcost.errors import InputError
from onnxcost.runtime.ort_errors import MOST_CHARACTERS, reason
from tests.modeltext import model

GATHER = model("(float[N,3] x, int64[K] i) => (float[K,3] y) { y = Gather<axis=0>(x, i) }")
RELU = "(float[2,3] x) => (float[2,3] y) { y = Relu(x) }"
X, INDICES = np.zeros((2, 3), np.float32), np.array([0])


def of_session(proto: ModelProto | bytes | str) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    source = proto.SerializeToString() if isinstance(proto, ModelProto) else proto
    return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"], enable_fallback=0)


def raised(action: Callable[[], object]) -> Exception:
    with pytest.raises(Exception) as caught:  # noqa: PT011
        action()
    return caught.value


def with_version(**version: int) -> ModelProto:
    proto = model(RELU)
    if "ir" in version:
        proto.ir_version = version["ir"]
    if "opset" in version:
        proto.opset_import[0].version = version["opset"]
    return proto


OPENING: dict[str, tuple[ModelProto | bytes | str, str]] = {
    "no such operator": (
        model("(float x) => (float y) { y = Foo(x) }"),
        "does not support Foo in opset 17; use --no-run to only count it",
    ),
    "an operator of a library": (
        model("(float x) => (float y) { y = my.ops.Foo(x) }", domains=', "my.ops": 1'),
        "has no operator my.ops.Foo: it comes from a library of custom operators",
    ),
    "no kernel": (
        model("(double[1,1,4,4] x) => (double[1,1,4,4] y) { [here] y = LRN<size=1>(x) }"),
        "has no kernel for the types of LRN 'here' (opset 13): try another --provider; use --no-run to only count it",
    ),
    "an old opset": (
        model("(float[2,3] x, float[3] b) => (float[2,3] y) { y = Add<broadcast=1>(x, b) }", opset=6),
        "the model's opset is too old: onnxruntime supports 7 and later; convert it",
    ),
    "an older one": (
        model("(float[2,3] x) => (float[2,3] y) { y = Relu(x) }", opset=1),
        "the model's opset is too old: onnxruntime supports 7 and later; convert it",
    ),
    "a new opset": (with_version(opset=99), "the model's opset 99 of ai.onnx is newer than this onnxruntime supports (up to "),
    "a new IR version": (with_version(ir=99), "the model's IR version 99 is newer than this onnxruntime supports (up to "),
    "an input from nowhere": (model("(float x) => (float y) { y = Relu(z) }"), "the model is invalid: Node input 'z' is not"),
    "an unknown attribute": (
        model("(float x) => (float y) { y = Relu<foo=1>(x) }"),
        "the model is invalid: Unrecognized attribute: foo for operator Relu",
    ),
    "types that do not fit": (
        model("(string x) => (string y) { y = Relu(x) }"),
        "the model is invalid: Type 'tensor(string)' of input parameter (x) of operator (Relu)",
    ),
    "shapes that do not fit": (
        model("(float[2,3] x) => (float[2,3] y) { [here] y = MatMul(x, x) }"),
        "the model is invalid at MatMul 'here': Incompatible dimensions",
    ),
    "no model": (b"no model", "the file is not a complete ONNX model"),
    "no file": ("/nowhere/model.onnx", "there is no file '/nowhere/model.onnx'"),
}


@pytest.mark.parametrize("case", OPENING)
def test_a_model_that_cannot_be_opened(case: str) -> None:
    source, expected = OPENING[case]
    said = reason(raised(lambda: of_session(source)))
    assert expected in said
    assert is_clean(said)


@pytest.mark.parametrize(
    ("location", "data", "expected"),
    [
        ("weights-not-stored", None, "the model was saved without its weights and cannot run; use --no-run to only count it"),
        ("model.data", None, "the file with the model's weights is missing: "),
        ("model.data", b"123", "the file with the model's weights is too short (for 'w'): download it again"),
    ],
)
def test_weights_that_are_not_there(
    location: str, data: bytes | None, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proto = model("(float[2,3] x) => (float[2,4] y) { y = MatMul(x, w) }")
    weights = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[3, 4], data_location=TensorProto.EXTERNAL)
    weights.external_data.add(key="location", value=location)
    proto.graph.initializer.append(weights)
    monkeypatch.chdir(tmp_path)
    Path("model.onnx").write_bytes(proto.SerializeToString())
    if data is not None:
        Path(location).write_bytes(data)
    said = reason(raised(lambda: of_session("model.onnx")))
    assert said.startswith(expected)
    assert is_clean(said)


RUNNING: dict[str, tuple[ModelProto, dict[str, Any], str]] = {
    "an index out of its table": (
        GATHER,
        {"x": X, "i": np.array([7])},
        "Gather received an index that is out of range: .*idx=7",
    ),
    "another rank": (GATHER, {"x": X[0], "i": INDICES}, "the input 'x' has 1 dims instead of 2: .* --input NAME=FILE.npy"),
    "another dim": (GATHER, {"x": X[:, :2], "i": INDICES}, "the input 'x' does not fit, dim 1 is 2 instead of 3: .* --input"),
    "another type": (GATHER, {"x": X.astype(float), "i": INDICES}, "an input is double instead of float: .* --input"),
    "an input that is missing": (GATHER, {"x": X}, "inputs have no data: 'i'; .* --input"),
    "an input too many": (GATHER, {"x": X, "i": INDICES, "z": X}, "the model has no input 'z'"),
    "shapes that do not fit": (
        model("(float[N,M] x, float[A,B] z) => (float[P,Q] y) { [here] y = MatMul(x, z) }"),
        {"x": X, "z": X},
        "MatMul 'here' failed: .*dimension mismatch; if the synthetic inputs do not fit, .* --input",
    ),
    "a node in a branch": (
        model(
            "(bool c, float[N,M] x) => (float[P,Q] y) { [outer] y = If(c) <then_branch = t () => (float[P,Q] h)"
            " { [inner] h = MatMul(x, x) }, else_branch = e () => (float[P,Q] k) { k = Relu(x) }> }"
        ),
        {"c": np.array(True), "x": X},
        "MatMul 'inner' failed: .*dimension mismatch",
    ),
    "a condition of onnxruntime's": (
        model("(float[N,M] x, int64[K] s) => (float y) { y = Reshape(x, s) }"),
        {"x": X, "s": np.array([5, 5])},
        "Reshape failed: The input tensor cannot be reshaped to the requested shape",
    ),
    "more memory than there is": (
        model("(int64[K] s) => (float[P,Q] y) { y = ConstantOfShape(s) }"),
        {"s": np.array([2**24, 2**24])},
        "there is not enough memory for a buffer of 1,048,576.0 GiB: .*--dim",
    ),
}


@pytest.mark.parametrize("case", RUNNING)
def test_a_run_that_fails(case: str) -> None:
    proto, feed, expected = RUNNING[case]
    said = reason(raised(lambda: of_session(proto).run(None, feed)))
    assert re.match(expected, said)
    assert is_clean(said)


SOURCE = "/onnxruntime_src/onnxruntime/"
QUOTED = {
    "weights missing, in an older version": (
        "[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : Exception during initialization: filesystem error: cannot get file size: "
        "No such file or directory [./model.data]",
        "the file with the model's weights is missing: ./model.data; use --no-run to only count it",
    ),
    "weights elsewhere": (
        "[ONNXRuntimeError] : 1 : FAIL : External data path validation failed for initializer: w. Error: External data path "
        'escapes model directory. External data path: "../w.data" resolved path: "/x/w.data" allowed directory: "."',
        "the file with the model's weights is outside the model's folder, where onnxruntime does not read it: ../w.data",
    ),
    "more than protobuf's limit": (
        "The proto size is larger than the 2 GB limit: ModelProto exceeds maximum protobuf size of 2GB: 3221225472",
        "the model is larger than protobuf's limit of 2 GB: store its weights as external data",
    ),
    "no memory for C++": ("std::bad_alloc", "there is not enough memory: try a smaller batch or shape (--dim, --shape)"),
    "no memory on the GPU": (
        f"[ONNXRuntimeError] : 1 : FAIL : {SOURCE}core/framework/bfc_arena.cc:376 void* BFCArena::AllocateRawInternal("
        "size_t, bool, onnxruntime::Stream*) Failed to allocate memory for requested buffer of size 4294967296",
        "there is not enough memory for a buffer of 4.0 GiB: try a smaller batch or shape (--dim, --shape)",
    ),
    "CUDA's own refusal": (
        f"CUDA failure 2: out of memory ; GPU=0 ; hostname=h ; file={SOURCE}x.cc ; line=9 ; expr=cudaMalloc(&p, size);",
        "there is not enough memory: try a smaller batch or shape (--dim, --shape)",
    ),
    "an old driver": (
        f"{SOURCE}core/providers/cuda/cuda_call.cc:121 std::conditional_t<THRW, void, onnxruntime::common::Status> "
        "onnxruntime::CudaCall(ERRTYPE, const char*, SUCCTYPE, int) [with ERRTYPE = cudaError; bool THRW = true] "
        "CUDA failure 35: CUDA driver version is insufficient for CUDA runtime version ; GPU=32767 ; hostname=h ; line=280",
        "CUDA failure 35: CUDA driver version is insufficient for CUDA runtime version",
    ),
    "no driver": (
        "Failed to load library /x/libonnxruntime_providers_cuda.so with error: libcuda.so.1: cannot open shared object file: "
        "No such file or directory",
        "the NVIDIA driver is missing (libcuda.so.1)",
    ),
    "no library": (
        "Failed to load library /x/libonnxruntime_providers_cuda.so with error: libcudnn.so.9: cannot open shared object file: "
        "No such file or directory",
        "the shared library libcudnn.so.9 is missing",
    ),
    "no library on Windows": (
        r'Failed to load library C:\x\onnxruntime_providers_cuda.dll with error 126 "The specified module could not be found."',
        r"the library C:\x\onnxruntime_providers_cuda.dll, or one that it needs, is missing",
    ),
    "no TensorRT": (
        f"{SOURCE}python/onnxruntime_pybind_state.cc:729 void onnxruntime::python::Register(PySessionOptions&, const Options&) "
        "Please install TensorRT libraries as mentioned in the GPU requirements page",
        "TensorRT's libraries are missing (pip install tensorrt)",
    ),
    "a wrong option": (
        f"{SOURCE}python/onnxruntime_pybind_state.cc:1053 std::shared_ptr<onnxruntime::F> onnxruntime::python::Create("
        "const onnxruntime::SessionOptions&, const std::string&) Invalid OpenVINO EP option: foo",
        "Invalid OpenVINO EP option: foo (--provider-option)",
    ),
    "a log": (
        "\x1b[0;93m2026-01-02 03:04:05.1 [W:onnxruntime:Default, a.cc:1 F] something else\x1b[m\n"
        "\x1b[1;31m2026-01-02 03:04:05.2 [E:onnxruntime:Default, provider_bridge_ort.cc:2310 Create] "
        f"{SOURCE}core/providers/openvino/f.cc:141 std::string openvino_ep::Parse(std::shared_ptr<OVCore>, const Options&) "
        "Device GPU is not available\n\x1b[m\n\x1b[0;93m2026-01-02 03:04:05.3 [W:onnxruntime:Default, b.cc:2 G] Failed\x1b[m\n",
        "Device GPU is not available",
    ),
    "a place in the source as Windows has it": (
        r"[ONNXRuntimeError] : 1 : FAIL : D:\a\onnxruntime\core\framework\x.cc:59 onnxruntime::F Not known (at all) yet",
        "Not known (at all) yet",
    ),
    "a short place in the source": ("matmul_helper.h:59 Compute Not known (at all) yet", "Not known (at all) yet"),
    "several lines": ("one\n  two\r\n\tthree", "one two three"),
}


@pytest.mark.parametrize("case", QUOTED)
def test_what_cannot_be_provoked_here(case: str) -> None:
    text, expected = QUOTED[case]
    assert reason(text) == expected


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (InputError("the input 'x' is wrong"), "the input 'x' is wrong"),
        (MemoryError(), "there is not enough memory: try a smaller batch or shape (--dim, --shape)"),
        (KeyError("x"), "KeyError: 'x'"),
        (TypeError("no such argument"), "TypeError: no such argument"),
        (ZeroDivisionError(), "ZeroDivisionError"),
        (ValueError("not so"), "not so"),
    ],
)
def test_errors_that_are_not_onnxruntimes(error: Exception, expected: str) -> None:
    assert reason(error) == expected


def test_a_long_text_is_cut() -> None:
    said = reason("word " * 1000)
    assert len(said) <= MOST_CHARACTERS
    assert said.endswith("word…")


def is_clean(said: str) -> bool:
    return "\n" not in said and "onnxruntime_src" not in said and "ONNXRuntimeError" not in said and ".cc:" not in said
