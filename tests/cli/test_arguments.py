from __future__ import annotations

import pytest

from onnxcost.cli import options
from onnxcost.errors import InputError


@pytest.mark.parametrize(
    ("text", "shape"),
    [("1x3x224x224", (1, 3, 224, 224)), ("1,3", (1, 3)), ("1×3", (1, 3)), ("7", (7,)), ("", ()), ("0x4", (0, 4))],
)
def test_shapes(text: str, shape: tuple[int, ...]) -> None:
    assert options.parse_shape(text) == shape


@pytest.mark.parametrize("text", ["x", "1x", "-1", "1.5", "1e3", "1_000", "٣", "a"])
def test_bad_shapes_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"a dim must be|a dim is missing"):
        options.parse_shape(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("16000", 16000),
        ("-1.5", -1.5),
        ("1e3", 1000.0),
        ("1,2,3", [1, 2, 3]),
        ("4,", [4]),
        ("true", True),
        ("0,False", [0, False]),
    ],
)
def test_values(text: str, value: object) -> None:
    assert options.parse_value(text) == value


def test_names_may_have_an_equals_sign_or_a_colon() -> None:
    assert options.parse_pairs("--shape", "A=1", ["a=b:0=1x2"], options.parse_shape) == {"a=b:0": (1, 2)}


@pytest.mark.parametrize("given", [["a"], ["=1"], ["a=1", "a=2"]])
def test_bad_pairs_are_refused(given: list[str]) -> None:
    with pytest.raises(InputError, match="--dim"):
        options.parse_pairs("--dim", "A=1", given, options.parse_size)
