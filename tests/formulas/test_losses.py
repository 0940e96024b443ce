"""Losses against the oracle."""

import numpy as np
import pytest

from onnxcost.graph import Work
from tests.formulas.test_activation import LOGS, logarithms
from tests.oracle import Case, case, check

T = np.array([2, 0, 1, 2])
NO_WEIGHTS = "without weights or ignore_index the evaluator multiplies with ones, which it also sums for the mean"


def ones(targets: int) -> Work:
    """The products; and the sum of ones, which numpy adds up unseen."""
    return Work(muls=targets)


CASES = [
    case("NegativeLogLikelihoodLoss", (4, 3), T, artefact=ones(4), why=NO_WEIGHTS),
    case("NegativeLogLikelihoodLoss", (4, 3), T, artefact=ones(4), why=NO_WEIGHTS, reduction="sum"),
    case("NegativeLogLikelihoodLoss", (4, 3), T, artefact=ones(4), why=NO_WEIGHTS, reduction="none"),
    case("NegativeLogLikelihoodLoss", (4, 3), T, (3,)),
    case("NegativeLogLikelihoodLoss", (4, 3), T, (3,), reduction="sum"),
    case("NegativeLogLikelihoodLoss", (4, 3), T, (3,), reduction="none"),
    case("NegativeLogLikelihoodLoss", (2, 3, 2), T.reshape(2, 2), (3,)),
    case("SoftmaxCrossEntropyLoss", (4, 3), T, artefact=logarithms(12, 4), why=LOGS),
    case("SoftmaxCrossEntropyLoss", (4, 3), T, (3,), artefact=logarithms(12, 4), why=LOGS),
    case("SoftmaxCrossEntropyLoss", (4, 3), T, (3,), artefact=logarithms(12, 4), why=LOGS, reduction="none", outputs=2),
    case("SoftmaxCrossEntropyLoss", (2, 3, 2), T.reshape(2, 2), artefact=logarithms(12, 4), why=LOGS, reduction="sum"),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_oracle(case: Case) -> None:
    check(case)
