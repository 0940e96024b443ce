"""RNN, GRU and LSTM against the oracle: 5 steps (T) of 2 sequences (N), 3 inputs (IN), 4 hidden units (H)."""

import pytest

from onnxcost.graph import Work
from tests.oracle import Case, by_hand, case, check

T, N, IN, H = 5, 2, 3, 4
STEPS = T * N * H  # elements of a gate over all steps

HALVES = "the evaluator adds the halves of B at every step"
ZEROS = "without B the evaluator adds zeros"
NO_PEEPHOLES = "without P the evaluator multiplies with zeros; zeros times the zeros of the first state are plain numbers"
BOTH = "the evaluator computes h with the reset before and with the reset after, and picks one"

# h computed the other way: X·W and H·R, a product with r, a bias or a join, tanh
OTHER_H = Work(muls=IN + H + 1, adds=(IN - 1) + (H - 1) + 3, transcendentals=1)


def shapes(gates: int, directions: int = 1, bias: bool = True) -> list[tuple[int, ...] | None]:
    weights = [(directions, gates * H, IN), (directions, gates * H, H)]
    return [(T, N, IN), *weights, (directions, 2 * gates * H) if bias else None]


def halves(gates: int) -> Work:
    return (T - 1) * gates * H * Work(adds=1)


# i + P∘C, f + P∘C, o + P∘C: the products of the first i and f are 0·0
PEEPHOLES = 3 * STEPS * Work(muls=1, adds=1) + 2 * N * H * Work(muls=-1)
# Wb and Rb of the h gate, one after the other: an addition more an element, the sum of the halves less
APART = Work(adds=STEPS - H)

CASES = [
    case("RNN", *shapes(1), artefact=halves(1), why=HALVES, hidden_size=H),
    case("RNN", *shapes(1, 2), artefact=2 * halves(1), why=HALVES, hidden_size=H, direction="bidirectional"),
    case("RNN", *shapes(1, bias=False), artefact=Work(adds=STEPS), why=ZEROS, hidden_size=H, direction="reverse"),
    case("GRU", *shapes(3), artefact=STEPS * OTHER_H + APART, why=BOTH, hidden_size=H),
    case("GRU", *shapes(3, 2), artefact=2 * (STEPS * OTHER_H + APART), why=BOTH, hidden_size=H, direction="bidirectional"),
    case("GRU", *shapes(3), artefact=STEPS * OTHER_H, why=BOTH, hidden_size=H, linear_before_reset=1),
    case("LSTM", *shapes(4), None, None, None, (1, 3 * H), artefact=halves(4), why=HALVES, hidden_size=H, outputs=3),
    case("LSTM", *shapes(4), artefact=halves(4) + PEEPHOLES, why=NO_PEEPHOLES, hidden_size=H),
    case("LSTM", *shapes(4), None, (1, N, H), (1, N, H), (1, 3 * H), artefact=halves(4), why=HALVES, hidden_size=H),
    case("LSTM", *shapes(4, 2), None, None, None, (2, 3 * H), artefact=2 * halves(4), why=HALVES, hidden_size=H,
         direction="bidirectional"),
    case("LSTM", (N, T, IN), *shapes(4)[1:], None, None, None, (1, 3 * H), artefact=halves(4), why=HALVES, hidden_size=H,
         layout=1),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=str)
def test_oracle(case: Case) -> None:
    check(case)


CONTRACTION = Work(macs=STEPS * (IN + H), accumulators=STEPS)

BY_HAND = [
    # the evaluator knows the default activations only
    ("RNN", 1, {"activations": ["Relu"]}, CONTRACTION + STEPS * Work(compares=1)),
    ("RNN", 1, {"activations": ["relu"], "clip": 3.0}, CONTRACTION + STEPS * Work(compares=3)),
    ("RNN", 1, {}, CONTRACTION + STEPS * Work(transcendentals=1)),
    # two hard sigmoids (1 product, 1 addition, 2 bounds) and a tanh, then (1 − z)∘h + z∘H with r∘H
    ("GRU", 3, {"activations": ["HardSigmoid", "Tanh"]},
     3 * CONTRACTION + STEPS * Work(muls=2 + 3, adds=2 + 2, compares=4, transcendentals=1)),
    # three sigmoids of 4 operations, two tanh, f∘C + i∘c and o∘tanh(C)
    ("LSTM", 4, {}, 4 * CONTRACTION + STEPS * Work(adds=6 + 1, divs=3, transcendentals=3 + 2, muls=3)),
]  # fmt: skip


@pytest.mark.parametrize(("op_type", "gates", "attributes", "work"), BY_HAND)
def test_by_hand(op_type, gates, attributes, work) -> None:
    assert by_hand(op_type, shapes(gates, bias=False), [(T, 1, N, H)], hidden_size=H, **attributes) == work
