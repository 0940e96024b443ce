from __future__ import annotations

import json
from dataclasses import replace
from math import inf

import pytest

from onnxcost.comparison.agreement import Agreement, Fed, OutputDifference
from onnxcost.comparison.candidates import Candidate, Comparison
from onnxcost.render.comparison import comparison_csv, comparison_markdown
from onnxcost.render.differences import MOST_OUTPUTS, agreement_lines, farthest_text, number_text, output_remarks
from onnxcost.render.formats import dumps
from onnxcost.render.layout import ASCII, Screen, text_of

FIRST = Candidate("first", {"flops": 1})
NEAR = OutputDifference("features", "y_1", (1, 4, 8, 8), 0.5, 2.0, 256, 250, is_transposed=True)
SAME = OutputDifference("logits", "logits", (1, 10), 0.0, 41.0, 10)
TURNED = Candidate(
    "turned", {"flops": 1}, agreement=Agreement("first", (Fed("x", "x"), Fed("input_1", "image", True)), (NEAR, SAME), ("aux",))
)
FAILED = Candidate("failed", {"flops": 1}, agreement=Agreement("first", reason="its weights are missing"))


def comparison(*models: Candidate) -> Comparison:
    return Comparison(FIRST, (FIRST, *models))


def shown(*models: Candidate, screen: Screen = Screen(80)) -> str:  # noqa: B008
    return text_of(agreement_lines(comparison(*models), screen))


TABLE = """\
Outputs compared with first, on the same inputs
  Model   Output      Shape   Largest  Difference  Relative
  turned  features  1×4×8×8  2.00e+00    5.00e-01  2.50e-01  is y_1; transposed
  turned  logits    1×10     4.10e+01           0         0
  Relative: the largest difference, divided by the largest magnitude in the
  first model's output
  Inputs of turned: input_1 is image, transposed
  Outputs only in turned: aux
  Outputs of failed not compared: its weights are missing
"""


def test_outputs_compared_with_those_of_the_first() -> None:
    assert [" ".join(line.split()) for line in shown(TURNED, FAILED).splitlines()] == [
        " ".join(line.split()) for line in TABLE.splitlines()
    ]


def test_nothing_is_shown_where_nothing_was_compared() -> None:
    assert shown(replace(FAILED, agreement=None)) == ""


def test_of_many_outputs_those_that_are_the_farthest_apart_are_shown() -> None:
    outputs = tuple(OutputDifference(f"out{at}", f"out{at}", (2,), at / 1000, 1.0, 2) for at in range(MOST_OUTPUTS + 5))
    text = shown(replace(TURNED, agreement=Agreement("first", outputs=outputs)))
    assert [line.split()[1] for line in text.splitlines()[2 : 2 + MOST_OUTPUTS]] == [f"out{at}" for at in range(12, 4, -1)]
    assert "and 5 more outputs of turned with no larger difference" in text


@pytest.mark.parametrize("width", [60, 80, 120])
def test_it_fits_the_screen_and_an_ascii_one(width: int) -> None:
    long = replace(
        NEAR, name="/model/decoder/layers.11/output/last_hidden_state", reason="the shapes differ: 1×4×8×8 and 1×9×8×8"
    )
    text = shown(replace(TURNED, agreement=Agreement("first", outputs=(long, SAME))), FAILED, screen=Screen(width, ASCII))
    assert max(map(len, text.splitlines())) <= width
    assert text.isascii()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, []),
        ({"other": "z"}, ["is z"]),
        ({"apart": 3, "unequal": 3}, ["3 of 10 NaN or infinite in one"]),
        ({"not_finite": 4}, ["4 of 10 NaN or infinite in both"]),
        ({"absolute": None, "unequal": 2}, ["2 of 10 differ"]),
        ({"other": "", "reason": "it has no such output"}, ["it has no such output"]),
    ],
)
def test_remarks_in_addition_to_numbers(changes: dict[str, object], said: list[str]) -> None:
    assert output_remarks(replace(SAME, **changes)) == said  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"absolute": 4.1}, "output 'logits' differs by 1.00e-01"),
        ({"absolute": 4.1, "apart": 1, "other": "z"}, "output 'logits' differs by 1.00e-01, 1 of 10 NaN or infinite in one"),
        ({"reason": "the shapes differ: 1 and 2", "absolute": None}, "output 'logits': the shapes differ: 1 and 2"),
    ],
)
def test_the_farthest_in_words(changes: dict[str, object], text: str) -> None:
    assert farthest_text(replace(SAME, **changes)) == text  # type: ignore[arg-type]


def test_numbers() -> None:
    assert [number_text(value) for value in (None, 0.0, 1.234e-7, 12.0, inf)] == ["–", "0", "1.23e-07", "1.20e+01", "inf"]


def test_json_has_all_and_no_infinity() -> None:
    endless = replace(SAME, absolute=inf, largest=0.0)
    models = json.loads(
        dumps(comparison(replace(TURNED, agreement=Agreement("first", outputs=(NEAR, endless))), FAILED).to_dict()),
        parse_constant=pytest.fail,
    )["models"]
    assert models[0]["outputs"] is None
    first, second = models[1]["outputs"]["outputs"]
    assert (first["absolute"], first["relative"], first["is_transposed"]) == (0.5, 0.25, True)
    assert (second["absolute"], second["relative"]) == (None, None)
    assert (models[2]["outputs"]["reason"], models[2]["outputs"]["outputs"]) == ("its weights are missing", [])


def test_csv_has_the_largest() -> None:
    header, first, turned, failed = comparison_csv(comparison(TURNED, FAILED)).splitlines()
    assert header == "model,flops,bound,output_difference,output_relative_difference,not_compared"
    assert (first, turned, failed) == ("first,1,,,,", "turned,1,,0.5,0.25,", "failed,1,,,,")


def test_markdown() -> None:
    text = comparison_markdown(comparison(TURNED, FAILED), [])
    assert "### Outputs compared with first, on the same inputs\n\n| Model | Output |" in text
    assert "| turned | features | 1×4×8×8 | 2.00e+00 | 5.00e-01 | 2.50e-01 | is y\\_1; transposed |" in text
    assert "Outputs of failed not compared: its weights are missing\n" in text
