"""Gemm, MatMul and Einsum against the oracle."""

import numpy as np
import pytest

from onnxcost.formulas.contraction import einsum_terms
from onnxcost.graph import Work
from tests.oracle import Case, by_hand, case, check

ONE = "the evaluator multiplies by α = 1, and C by β = 1"
ZERO = "numpy's sum starts with an addition to 0"

CASES = [
    case("Gemm", (2, 3), (3, 4), artefact=Work(muls=8), why=ONE),
    case("Gemm", (2, 3), (3, 4), (4,), artefact=Work(muls=8 + 4), why=ONE),
    case("Gemm", (2, 3), (3, 4), (2, 4), artefact=Work(muls=8 + 8), why=ONE),
    case("Gemm", (2, 3), (3, 4), (4,), artefact=Work(muls=8), why=ONE, beta=0.0),
    case("Gemm", (3, 2), (4, 3), (4,), transA=1, transB=1, alpha=0.5, beta=0.5),
    case("Gemm", (3, 2), (3, 4), (2, 1), transA=1, alpha=2.0, beta=2.0),
    case("MatMul", (3,), (3,)),
    case("MatMul", (3,), (3, 4)),
    case("MatMul", (2, 3), (3,)),
    case("MatMul", (2, 3), (3, 4)),
    case("MatMul", (2, 1), (1, 4)),
    case("MatMul", (5, 2, 3), (3,)),
    case("MatMul", (5, 2, 3), (3, 4)),
    case("MatMul", (3,), (5, 3, 4)),
    case("MatMul", (5, 1, 2, 3), (6, 3, 4)),
    case("Einsum", (2, 3), (3, 4), equation="ij,jk->ik"),
    case("Einsum", (2, 3), (3, 4), equation="ij, jk"),
    case("Einsum", (2, 2, 3), (2, 3, 4), equation="bij,bjk->bik"),
    case("Einsum", (2, 2, 3), (2, 3, 4), equation="...ij,...jk"),
    case("Einsum", (3,), (3,), equation="i,i->"),
    case("Einsum", (3,), (4,), equation="i,j->ij"),
    case("Einsum", (3, 4), (3, 4), equation="ij,ij->ij"),
    case("Einsum", (3, 3), (3,), equation="ii,i->"),
    case("Einsum", (3, 3), equation="ii->i"),
    case("Einsum", (5, 4), (4, 2), (2, 3), equation="ij,jk,kl->il"),
    case("Einsum", (3, 4), artefact=Work(adds=3), why=ZERO, equation="ij->i"),
    case("Einsum", (2, 3), artefact=Work(adds=2), why=ZERO, equation="...i->..."),
    case("Einsum", (2, 3), (4, 3), artefact=Work(adds=3), why=ZERO, equation="ij,kj->k"),
    case("Einsum", (2, 3, 2), (2, 4, 2), artefact=Work(adds=4 + 4), why=ZERO, equation="bi...,bj...->b..."),
    case("Einsum", (1, 2, 3, 4), (1, 2, 3, 4), artefact=Work(adds=24 + 24), equation="bhid,bhjd->bhij",
         why="numpy permutes each operand with a sum that adds each element to 0"),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=str)
def test_oracle(case: Case) -> None:
    if case.op_type == "Einsum" and tuple(map(int, np.__version__.split(".")[:2])) < (2, 4):
        pytest.skip("numpy before 2.4 sums an einsum in another way, and its operations are what is counted")
    check(case)


BY_HAND = [
    # numpy's determinant takes no objects. 3×3: below the pivots 2 + 1, 4 + 1 products subtracted, 2 to multiply the diagonal
    ("Det", [(3, 3)], [()], {}, Work(compares=3, divs=3, muls=5 + 2, adds=5)),
    ("Det", [(7, 2, 2)], [(7,)], {}, 7 * Work(compares=1, divs=1, muls=2, adds=1)),
    ("Det", [(1, 1)], [()], {}, Work()),
    # (2, 3)·(3, 4), then (2, 4)·(4, 5); numpy would begin on the right, which costs more
    ("Einsum", [(2, 3), (3, 4), (4, 5)], [(2, 5)], {"equation": "ij,jk,kl->il"}, Work(macs=24 + 40, accumulators=8 + 10)),
    # a batch of 1 is broadcast to the other operand's 7
    ("Einsum", [(1, 2, 3), (7, 3, 4)], [(7, 2, 4)], {"equation": "...ij,...jk->...ik"}, Work(macs=7 * 24, accumulators=7 * 8)),
    # sums of nothing
    ("MatMul", [(2, 0), (0, 4)], [(2, 4)], {}, Work()),
    ("MatMul", [(0, 3), (3, 4)], [(0, 4)], {}, Work()),
    ("Einsum", [(2, 0), (0, 4)], [(2, 4)], {"equation": "ij,jk->ik"}, Work()),
    # VGG-16's first fully connected layer, 102 760 448 MACs
    ("Gemm", [(1, 25088), (4096, 25088), (4096,)], [(1, 4096)], {"transB": 1},
     Work(macs=102_760_448, accumulators=4096, bias_adds=4096)),
]  # fmt: skip


@pytest.mark.parametrize(("op_type", "inputs", "outputs", "attributes", "work"), BY_HAND)
def test_by_hand(op_type, inputs, outputs, attributes, work) -> None:
    assert by_hand(op_type, inputs, outputs, **attributes) == work


@pytest.mark.parametrize(
    ("equation", "ranks", "terms"),
    [
        ("ij,jk->ik", [2, 2], (["ij", "jk"], "ik")),
        ("ij,jk", [2, 2], (["ij", "jk"], "ik")),
        ("ba,cb", [2, 2], (["ba", "cb"], "ac")),
        (" i j , j k -> i k ", [2, 2], (["ij", "jk"], "ik")),
        ("...ij,jk", [4, 2], (["89ij", "jk"], "89ik")),
        ("a...,...->...", [2, 3], (["a9", "789"], "789")),
        ("ii", [2], (["ii"], "")),
    ],
)
def test_the_labels_of_an_equation(equation, ranks, terms) -> None:
    assert einsum_terms(equation, ranks) == terms
