"""Names of dims that are expressions of others."""

from __future__ import annotations

import pytest

from onnxcost.frontend.expressions import evaluate, operands, solve

KNOWN = {"a": 7, "b": 3, "past": 10, "批次": 2}
VALUES = {
    "past + a": 17, "past+a": 17, "a*b": 21, "(a + 1)//2": 4, "a/2": 3, "a - b": 4, "2*a + 1": 15, "a % b": 1, "a**2": 49,
    "floor(a/2)": 3, "ceil(a/2)": 4, "ceiling(a/2)": 4, "Max(1, b)": 3, "min(a, b)": 3, "Mod(a, 4)": 3, "FloorDiv(a, 2)": 3,
    "-b + a": 4, "批次 * a": 14, "((a - 1)//2) + 1": 4, "floor(floor(a/2 - 1/2)/2)": 1,
}  # fmt: skip
NOT_VALUES = [
    "a", "", "b - a", "a + unknown", "a +", "a.b", "p2o.DynamicDimension.0", "a // 0", "a ** 99", "9**9**9", "lambda: a",
    "__import__('os')", "a if b else a", "[a]", "a[0]", "a < b", "a = 1", "a; b", "True + a", "1.5 * a", "a" + " + a" * 99,
    "f(a)", "print(a)", "(" * 150 + "a" + ")" * 150, "a\n+b", "a\x00b",
]  # fmt: skip


@pytest.mark.parametrize(("text", "value"), VALUES.items())
def test_an_expression_is_worked_out(text: str, value: int) -> None:
    assert evaluate(text, KNOWN) == value
    assert operands(text)


@pytest.mark.parametrize("text", NOT_VALUES)
def test_what_is_no_size_has_no_value(text: str) -> None:
    assert evaluate(text, KNOWN) is None


@pytest.mark.parametrize(
    ("text", "result", "known", "unknown", "expected"),
    [
        ("past + a", 128, {"a": 1}, "past", 127),
        ("a*b", 12, {"a": 4}, "b", 3),
        ("a*b", 13, {"a": 4}, "b", None),
        ("(h + 1)//2", 112, {}, "h", 223),
        ("a - b", 5, {"a": 7}, "b", 2),
        ("a + b", 3, {"a": 7}, "b", None),
        ("0*a", 3, {}, "a", None),
    ],
)
def test_the_part_of_an_expression_that_is_not_known(
    text: str, result: int, known: dict[str, int], unknown: str, expected: int | None
) -> None:
    assert solve(text, result, known, unknown) == expected
