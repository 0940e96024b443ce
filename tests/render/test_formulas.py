from __future__ import annotations

import csv
import io
import json
from dataclasses import asdict

import pytest

from onnxcost.formulas.table import formula, per_output
from onnxcost.graph import Node, Work
from onnxcost.render.formats import dumps
from onnxcost.render.formulas import FormulaText, formula_text, formulas_csv, formulas_lines, formulas_markdown
from onnxcost.render.layout import ASCII, Screen, text_of
from onnxcost.results import make_document


@formula("Y = A·B", macs="out·K", flops="out·(2K−1)")
def product(node: Node) -> Work:
    """K is the length of the dot products."""
    return Work()


def mine(node: Node) -> Work:
    return Work()


TEXTS = [
    formula_text("MatMul", "contraction", product, {"MatMul": "(2·K − 1)·out"}),
    formula_text("Sigmoid", "activation", per_output("Y = 1 / (1 + exp(−X)) | as ever", adds=2, divs=1, transcendentals=1), {}),
    formula_text("Mine", "activation", mine, {}),
    FormulaText("Long", "activation", "a long sentence about " * 6, "0", "nobody·knows·what·is·meant·here", "–"),
]


def test_the_texts_of_a_formula() -> None:
    assert TEXTS[0] == FormulaText(
        "MatMul", "contraction", "Y = A·B", "out·K", "out·(2K−1)", "(2·K − 1)·out", "K is the length of the dot products."
    )
    assert (TEXTS[1].macs, TEXTS[1].flops, TEXTS[1].classic) == ("0", "4·out", "–")
    assert TEXTS[2] == FormulaText("Mine", "activation", "–", "–", "–", "–")


def test_one_operator_in_detail() -> None:
    assert text_of(formulas_lines(TEXTS[:1], Screen(80))) == (
        "MatMul  contraction\n"
        "  Math     Y = A·B\n"
        "  MACs     out·K\n"
        "  FLOPs    out·(2K−1)\n"
        "  classic  (2·K − 1)·out\n"
        "           K is the length of the dot products.\n"
    )


@pytest.mark.parametrize("width", [60, 80, 200])
def test_the_table_fits_and_loses_nothing(width: int) -> None:
    text = text_of(formulas_lines(TEXTS, Screen(width)))
    assert max(map(len, text.splitlines())) <= width
    assert text.count("sentence") == 6


def test_ascii() -> None:
    assert text_of(formulas_lines(TEXTS, Screen(80, ASCII))).isascii()


def test_json_and_csv_have_every_field() -> None:
    document = json.loads(dumps(make_document(formulas=[asdict(each) for each in TEXTS])))
    assert document["formulas"][0]["flops"] == "out·(2K−1)"
    rows = list(csv.DictReader(io.StringIO(formulas_csv(TEXTS))))
    assert [row["operator"] for row in rows] == ["MatMul", "Sigmoid", "Mine", "Long"]
    assert rows[1]["maths"] == "Y = 1 / (1 + exp(−X)) | as ever"


def test_markdown_escapes_what_would_break_its_tables() -> None:
    text = formulas_markdown(TEXTS)
    assert "### contraction\n\n| Operator | Math | MACs | FLOPs | classic |" in text
    assert r"\| as ever" in text
