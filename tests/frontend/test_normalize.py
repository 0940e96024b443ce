"""Versions of the format and of operators: which are read, and what is said of the others."""

from __future__ import annotations

import pytest
from onnx import defs

from onnxcost import estimate
from onnxcost.errors import ModelError
from tests.modeltext import model

NEWEST = defs.onnx_opset_version()
INT32_MAX = 2**31 - 1
"""onnx itself keeps versions in 32 bits."""


@pytest.mark.parametrize(("version", "is_read"), [(-1, False), (0, True), (1, True), (INT32_MAX, True), (INT32_MAX + 1, False)])
def test_versions_of_the_format(version: int, is_read: bool) -> None:
    made = model("(float[1, 3] x) => (float[1, 3] y) { y = Relu(x) }")
    made.ir_version = version
    if is_read:
        assert estimate(made).flops == 3
    else:
        with pytest.raises(ModelError, match=f"claims version {version} of the ONNX format, which does not exist"):
            estimate(made)


@pytest.mark.parametrize(("version", "is_read"), [(-1, False), (0, False), (1, True), (NEWEST, True), (NEWEST + 1, False)])
@pytest.mark.parametrize("domain", ["", "ai.onnx"])
def test_opsets(domain: str, version: int, is_read: bool) -> None:
    made = model("(float[1, 3] x) => (float[1, 3] y) { y = Relu(x) }")
    made.opset_import[0].domain, made.opset_import[0].version = domain, version
    if is_read:
        assert estimate(made).flops == 3
    else:
        with pytest.raises(ModelError, match=f"asks for opset {version} of ai.onnx: the installed onnx knows 1 to {NEWEST}"):
            estimate(made)


@pytest.mark.parametrize(("version", "is_read"), [(-1, False), (0, True), (INT32_MAX, True), (INT32_MAX + 1, False)])
def test_versions_of_another_domain(version: int, is_read: bool) -> None:
    made = model("(float[1, 3] x) => (float[1, 3] y) { y = Relu(x) }", domains=', "com.example" : 1')
    made.opset_import[1].version = version
    if is_read:
        assert estimate(made).flops == 3
    else:
        with pytest.raises(ModelError, match=f"asks for version {version} of the operators of 'com.example'"):
            estimate(made)


@pytest.mark.parametrize(("ir_version", "is_read"), [(1, True), (2, True), (3, False)])
def test_opsets_came_with_version_3_of_the_format(ir_version: int, is_read: bool) -> None:
    made = model("(float[1, 3] x) => (float[1, 3] y) { y = Relu(x) }")
    made.ir_version = ir_version
    del made.opset_import[:]
    if is_read:
        assert estimate(made).flops == 3
    else:
        with pytest.raises(ModelError, match="imports no opset"):
            estimate(made)
