from __future__ import annotations

import csv
import io
import json
from dataclasses import replace

import pytest

from onnxcost.comparison.api import Excess, parse_limit
from onnxcost.comparison.candidates import Broken, Candidate, Comparison
from onnxcost.comparison.differences import Differences
from onnxcost.render.comparison import (
    comparison_csv,
    comparison_lines,
    comparison_markdown,
    growth_text,
    value_text,
)
from onnxcost.render.formats import dumps
from onnxcost.render.layout import ASCII, UNICODE, Screen, text_of
from onnxcost.render.units import align_units, relation_text, signed_text
from onnxcost.runtime.interleaved import Ratio
from tests.comparison.test_differences import CONV, GEMM, model, node

FIRST = replace(
    model("first", CONV, node("Relu"), GEMM),
    values={"macs": 2048, "flops": 1710, "weight_bytes": 4096, "nodes": 3, "latency": 0.010, "fps": 100.0},
    inputs=("1×8×4×4",),
)
SECOND = replace(
    model("second", CONV, node("Mul"), node("Add", 20), node("Relu", 4), GEMM),
    values={"macs": 2048, "flops": 1734, "weight_bytes": 4100, "nodes": 5, "latency": 0.0101, "fps": 99.0},
    inputs=("1×4×4×8", "2"),
    ratio=Ratio(1.005, (0.98, 1.03)),
)
BROKEN = Broken("broken", "no ONNX model")


def shown(*models: Candidate, width: int = 80, explained: bool = False, **others: object) -> str:
    comparison = Comparison(models[0], models, **others)  # type: ignore[arg-type]
    differences = [Differences(models[0], other) for other in models[1:]] if explained else []
    return text_of(comparison_lines(comparison, differences, Screen(width)))


SIDE_BY_SIDE = """\
           first        second
  Input    1×8×4×4      1×4×4×8 +1
  MACs     2.048 k      2.048 k       =
  FLOPs    1.710 k   *  1.734 k    +1.4 %
  Weights  4.000 KiB *  4.004 KiB  +0.1 %
  Nodes        3            5     +66.7 %
  Latency  10.00 ms     10.10 ms   +1.0 %
  FPS      100.0        99.00      −1.0 %
  Ratio                 1.005× (0.980–1.030)
  * best · the others vs. first · Ratio: of latencies, computed per round, with
  its 95 % confidence interval
  No difference in latency found from first: second
  Not compared: broken: no ONNX model
"""
EXPLAINED = """
second vs. first
  +24 FLOPs (+1.4 %), +4 B weights (+0.1 %), +14 B traffic, the same parameters,
  no difference in latency found

  Operator  Nodes   FLOPs  ± FLOPs  ± Params  ± Traffic
  Add       0 → 1  0 → 20      +20         0       +7 B
  Mul       0 → 1  0 → 10      +10         0       +7 B
  Relu          1  10 → 4       −6         0        0

  2 of 2 layers match in order, operator and shape. Differences:
  ± FLOPs  ± Traffic  What
      +30      +14 B  Mul + Add after Conv, only in second: batch normalization
                      not folded into the weights of the previous layer (Mul_10)
       −6        0    Relu: different attribute in second (Relu_10)
"""


def test_models_side_by_side_and_why_they_differ() -> None:
    assert shown(FIRST, SECOND, broken=(BROKEN,), explained=True) == SIDE_BY_SIDE + EXPLAINED


LAYERS = """\
  Layer       in right  Output           MACs   ± FLOPs
  + wide      wide      16×4×4    0 → 2.048 k  +1.800 k
  − Gemm_800  –         8×4×4   1.024 k → 0      −800
"""


def test_the_layers_that_differ_are_listed_the_largest_difference_first() -> None:
    wide = replace(CONV, name="wide", output=(1, 16, 4, 4), macs=2048, count=1800)
    right = replace(model("right", wide, replace(CONV, name="more"), CONV), values={"flops": 1})
    left = replace(model("left", CONV, replace(CONV, name="more"), GEMM), values={"flops": 1})
    assert shown(left, right, explained=True).split("\n\n")[-1] == LAYERS


UNMEASURED = replace(
    model("third", CONV),
    values={"flops": 1000},
    unmeasured="no weights",
    inputs=("1×8×4×4",),
    notes=("timed with random weights",),
)
IN_PARTS = """\
           first        second
  Input    1×8×4×4      1×4×4×8 +1
  MACs     2.048 k      2.048 k       =
  FLOPs    1.710 k      1.734 k    +1.4 %
  Weights  4.000 KiB *  4.004 KiB  +0.1 %
  Nodes        3            5     +66.7 %
  Latency  10.00 ms     10.10 ms   +1.0 %
  FPS      100.0        99.00      −1.0 %
  Ratio                 1.005× (0.980–1.030)

           third
  Input    1×8×4×4
  MACs                –
  FLOPs           1.000 k * −41.5 %
  Weights             –
  Nodes               –
  Latency  not measured
  FPS      not measured
  Ratio
"""


def test_columns_that_do_not_fit_are_below_the_first_ones() -> None:
    assert shown(FIRST, SECOND, UNMEASURED, width=60).startswith(IN_PARTS)


def test_a_model_that_cannot_be_run_says_so_and_why() -> None:
    text = shown(FIRST, UNMEASURED, replace(UNMEASURED, label="fourth"))
    assert text.endswith("  Not measured: third, fourth: no weights\n")
    document = json.loads(dumps(Comparison(FIRST, (FIRST, UNMEASURED)).to_dict()))
    assert [each["not_measured"] for each in document["models"]] == [None, "no weights"]
    row = list(csv.DictReader(io.StringIO(comparison_csv(Comparison(FIRST, (FIRST, UNMEASURED))))))[1]
    assert (row["not_measured"], row["latency"], row["not_compared"]) == ("no weights", "", "")
    assert "**Not measured:** third: no weights" in comparison_markdown(Comparison(FIRST, (FIRST, UNMEASURED)), [])


def test_a_latency_of_another_time_says_so() -> None:
    later = replace(SECOND, ratio=None)
    assert "Not measured at the same time as first: second" in shown(FIRST, later)
    assert "Not measured at the same time" not in shown(FIRST, SECOND)
    assert "Not measured at the same time" not in shown(replace(FIRST, values={"flops": 1}), later)


def test_a_ratio_of_few_turns_has_no_interval() -> None:
    assert "\n  Ratio                 1.010×\n" in shown(FIRST, replace(SECOND, ratio=Ratio(1.01, None)))


def many(number: int) -> list[Candidate]:
    return [
        replace(FIRST, label=f"a_model_of_a_family_{at}", values={**FIRST.values, "flops": 1000 + at}) for at in range(number)
    ]


def test_a_row_for_each_of_many_models() -> None:
    text = shown(*many(6), pareto=("flops",), sort="flops")
    lines = text.splitlines()
    assert lines[0].split()[0] == "Model"
    assert [line.split()[0] for line in lines[1:7]] == [f"a_model_of_a_family_{at}" for at in range(6)]
    assert "unbeaten" in lines[1]
    assert "unbeaten" not in lines[2]
    assert "1.000 k *" in lines[1]
    assert "+0.5 %" in lines[6]


@pytest.mark.parametrize("width", [60, 80, 120, 200])
@pytest.mark.parametrize("number", [1, 2, 4, 5, 9])
def test_it_fits_the_screen(width: int, number: int) -> None:
    text = shown(*many(number)[:-1], SECOND, width=width, explained=True, pareto=("macs", "latency"), broken=(BROKEN,))
    assert max(map(len, text.splitlines())) <= width


def test_ascii() -> None:
    comparison = Comparison(FIRST, (FIRST, SECOND), (BROKEN,), pareto=("macs",))
    assert text_of(comparison_lines(comparison, [Differences(FIRST, SECOND)], Screen(80, ASCII))).isascii()


def test_a_name_in_a_model_cannot_steer_the_terminal() -> None:
    evil = replace(model("evil\x1b[31m", CONV, replace(node("Mul"), name="\x1b[2J"), GEMM), values={"flops": 1})
    assert "\x1b" not in shown(FIRST, evil, explained=True)


def test_json() -> None:
    comparison = Comparison(FIRST, (SECOND, FIRST), (BROKEN,), pareto=("flops",))
    differences = Differences(FIRST, SECOND)
    document = json.loads(dumps(comparison.to_dict() | {"differences": [differences.to_dict()]}))
    assert (document["schema"], document["baseline"], document["convention"]) == ("onnxcost/1", "first", "flops")
    second, first = document["models"]
    assert first["metrics"] == FIRST.values
    assert second["relative"]["flops"] == 1734 / 1710
    assert (first["pareto"], second["pareto"]) == (True, False)
    assert first["best"] == ["flops", "weight_bytes"]
    assert (second["latency_ratio"], second["latency_ratio_ci95"]) == (1.005, [0.98, 1.03])
    assert (first["latency_ratio"], first["latency_ratio_ci95"], first["not_measured"]) == (None, None, None)
    assert "outputs" not in first
    assert document["broken"] == [{"label": "broken", "reason": "no ONNX model"}]
    found = document["differences"][0]
    assert sum(change["count"] for change in found["changes"]) == found["count"] == 24
    assert found["layers"] == {"alike": 2, "of": [2, 2], "correspond": True}


def test_csv() -> None:
    rows = list(csv.DictReader(io.StringIO(comparison_csv(Comparison(FIRST, (FIRST, SECOND), (BROKEN,), pareto=("flops",))))))
    assert [row["model"] for row in rows] == ["first", "second", "broken"]
    assert (rows[0]["flops"], rows[1]["latency"], rows[2]["flops"]) == ("1710", "0.0101", "")
    assert [row["pareto"] for row in rows] == ["1", "0", ""]
    assert [row["not_compared"] for row in rows] == ["", "", "no ONNX model"]
    assert [row["latency_ratio_low"] for row in rows] == ["", "0.98", ""]
    assert "output_difference" not in rows[0]
    assert "not_measured" not in rows[0]


@pytest.mark.parametrize("number", [2, 6])
def test_the_tables_of_markdown_are_whole(number: int) -> None:
    models = (*many(number - 1), SECOND)
    text = comparison_markdown(Comparison(models[0], models, (BROKEN,)), [Differences(models[0], SECOND)])
    tables = [block.splitlines() for block in text.split("\n\n") if block.startswith("|")]
    assert len(tables) == 3
    assert all(len({line.count("|") for line in table}) == 1 for table in tables)
    assert "**Not compared:** broken: no ONNX model" in text


def test_a_table_without_rows_is_left_out_of_markdown() -> None:
    text = comparison_markdown(Comparison(FIRST, (FIRST, FIRST)), [Differences(FIRST, FIRST)])
    assert "| Operator |" not in text
    assert text.endswith("match in order, operator and shape, and nothing differs\n")


@pytest.mark.parametrize(
    ("quotient", "text"),
    [
        (1, "="), (1.032, "+3.2 %"), (0.5, "−50.0 %"), (1.99, "+99.0 %"), (2, "2.00×"), (0.25, "0.250×"), (456.7, "457×"),
        (1.0004, "+0.04 %"), (0.99999999, "−<0.001 %"),
    ],
)  # fmt: skip
def test_a_relation(quotient: float, text: str) -> None:
    assert relation_text(quotient) == text


def test_a_difference_has_its_sign() -> None:
    assert [signed_text(value) for value in (0, 5, -12_345_678)] == ["0", "+5", "−12.35 M"]
    assert signed_text(-2048, "bytes") == "−2.000 KiB"


def test_numbers_stand_below_each_other() -> None:
    assert align_units(["4.089 G", "122", "≥ 97.39 MiB", "="]) == ["  4.089 G  ", "    122    ", "≥ 97.39 MiB", "      =    "]
    assert align_units(["1", "22"]) == [" 1", "22"]
    assert align_units([]) == []


def test_a_bound_is_shown_and_what_is_not_known_is_a_dash() -> None:
    least = Candidate("a", {"macs": 5000, "nodes": 3}, "lower")
    assert [value_text(least, name, UNICODE) for name in ("macs", "nodes", "flops")] == ["≥ 5.000 k", "3", "–"]
    assert "≈ +66.7 %" in shown(Candidate("a", {"macs": 3000}), least)


def test_what_grew() -> None:
    assert (
        growth_text(Excess(parse_limit("flops", "1%"), "b", 1000, 1100))
        == "FLOPs grew from 1.000 k to 1.100 k, by 100 (+10.0 %), more than 1%"
    )
    assert (
        growth_text(Excess(parse_limit("latency", "1ms"), "b", 0.01, 0.02))
        == "Latency grew from 10.00 ms to 20.00 ms, by 10.00 ms (2.00×), more than 1ms"
    )
