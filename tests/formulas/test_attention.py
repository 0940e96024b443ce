"""Attention and RotaryEmbedding against the oracle."""

import pytest

import onnxcost
from onnxcost.conventions import FLOPS
from onnxcost.formulas import FORMULAS, Formula
from onnxcost.graph import Node, Tensor, Work
from tests.modeltext import model
from tests.oracle import Case, by_hand, case, check

WHY = "the evaluator scales K as well as Q, adds a mask of zeros where there is none, and asks for sums of 0"


def extra(rows: int, keys: int, heads: int, size: int) -> Work:
    """K scaled, a mask of zeros added to each score, a comparison with 0 for each row."""
    return Work(muls=heads * keys * size, adds=rows * keys, compares=rows)


BOTH = "the evaluator scales K as well as Q, for each head of Q"
CASES = [
    case("RotaryEmbedding", (1, 2, 3, 4), (1, 3, 2), (1, 3, 2)),
    case("RotaryEmbedding", (1, 2, 3, 8), (1, 3, 2), (1, 3, 2), rotary_embedding_dim=4),
    case("RotaryEmbedding", (1, 3, 8), (1, 3, 2), (1, 3, 2), num_heads=2, interleaved=1),
    # 2 heads of size 4, 3 queries, 5 keys
    case("Attention", (1, 2, 3, 4), (1, 2, 5, 4), (1, 2, 5, 6), artefact=extra(6, 5, 2, 4), why=WHY),
    case("Attention", (1, 2, 3, 4), (1, 2, 5, 4), (1, 2, 5, 6), artefact=extra(6, 5, 2, 4), why=WHY, softcap=2.0),
    # 4 heads of size 2 on 2 of keys and values
    case("Attention", (1, 3, 8), (1, 5, 4), (1, 5, 6), artefact=extra(12, 5, 4, 2), why=WHY, q_num_heads=4, kv_num_heads=2),
    # 7 cached keys and 5 new ones
    case("Attention", (1, 2, 3, 4), (1, 2, 5, 4), (1, 2, 5, 4), None, (1, 2, 7, 4), (1, 2, 7, 4), artefact=extra(6, 12, 2, 4),
         why=WHY, outputs=3),
    # a mask is added to zeros (3·5), and its rows' maxima are looked for (3·4 comparisons)
    case("Attention", (1, 4, 3, 4), (1, 4, 5, 4), (1, 4, 5, 6), (3, 5),
         artefact=Work(muls=80, adds=15, compares=12 + 12), why=WHY),
    case("Attention", (1, 2, 3, 4), (1, 2, 5, 4), (1, 2, 5, 4), artefact=extra(6, 5, 2, 4) + Work(compares=-30), is_causal=1,
         why=WHY + "; numpy.where hides the later keys in C"),
]  # fmt: skip


# 2 states of 4×6, 3 steps; 2 queries read each
STATES = "numpy.einsum begins each sum with 0"


def linear(rule: str, heads: int, sums: int, *more: object) -> Case:
    """So many sums of products: 3 steps of 6 values read by each head of Q and, to correct them, by 2 of K."""
    return case("LinearAttention", (1, 3, heads * 4), (1, 3, 8), (1, 3, 12), *more, outputs=2, update_rule=rule,
                q_num_heads=heads, kv_num_heads=2, artefact=Work(adds=sums), why=STATES)  # fmt: skip


CASES += [
    linear("linear", 2, 36),
    linear("linear", 4, 72),
    linear("gated", 2, 36, (1, 2, 4, 6), (1, 3, 8)),
    linear("gated", 2, 36, (1, 2, 4, 6), (1, 3, 2)),
    linear("delta", 2, 36 + 36, (1, 2, 4, 6), None, (1, 3, 2)),
    linear("gated_delta", 4, 72 + 36, (1, 2, 4, 6), (1, 3, 2), (1, 3, 2)),
    case("ai.onnx.preview.FlexAttention", (1, 2, 3, 4), (1, 2, 5, 4), (1, 2, 5, 6), artefact=Work(muls=40), why=BOTH),
    case("ai.onnx.preview.FlexAttention", (1, 4, 3, 4), (1, 2, 5, 4), (1, 2, 5, 6), artefact=Work(muls=80), why=BOTH),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_oracle(case: Case) -> None:
    check(case)


def test_the_graphs_of_flex_attention_run_on_all_its_scores() -> None:
    scores = "float[1,2,3,5]"
    graphs = [f"{name}_mod = g_{name} ({scores} s) => ({scores} t) {{ t = Tanh(s) }}" for name in ("score", "prob")]
    text = "(float[1,2,3,4] q, float[1,2,5,4] k, float[1,2,5,6] v) => (y) {{ y = ai.onnx.preview.FlexAttention{}(q, k, v) }}"
    plain = onnxcost.estimate(model(text.format(""), opset=24, domains=', "ai.onnx.preview" : 1'))
    bent = onnxcost.estimate(model(text.format(f"<{', '.join(graphs)}>"), opset=24, domains=', "ai.onnx.preview" : 1'))
    assert [node.op_type for node in bent.graph.nodes] == ["Tanh", "Tanh", "FlexAttention"]
    assert bent.total(FLOPS) == plain.total(FLOPS) + 2 * 30


def test_no_keys_and_no_queries_are_no_work() -> None:
    assert by_hand("Attention", [(1, 2, 0, 4), (1, 2, 5, 4), (1, 2, 5, 4)], [(1, 2, 0, 4)]) == Work()
    assert by_hand("RotaryEmbedding", [(1, 2, 0, 4), (1, 0, 2), (1, 0, 2)], [(1, 2, 0, 4)]) == Work()


@pytest.mark.parametrize(("past", "dtype"), [(None, "float16"), (Tensor("s", "float32", (1, 2, 4, 6)), "float32")])
def test_the_state_of_linear_attention(past: Tensor | None, dtype: str) -> None:
    """Keys of 4 × values of 6 for each of the 2 heads of V, in the type of the first state; 4 heads of 6 read it."""
    q, k, v = (Tensor(name, "float16", (1, 3, width)) for name, width in (("q", 16), ("k", 8), ("v", 12)))
    formula = FORMULAS["LinearAttention"]
    assert isinstance(formula, Formula)
    assert formula.shapes is not None
    node = Node("", "LinearAttention", "", (q, k, v, past), (), {"q_num_heads": 4, "kv_num_heads": 2})
    assert [*formula.shapes(node)] == [("float16", (1, 3, 24)), (dtype, (1, 2, 4, 6))]
