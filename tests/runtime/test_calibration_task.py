from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest

from onnxcost.runtime import tasks


class Input(NamedTuple):
    name: str
    type: str
    shape: tuple[int, ...]


class Session:
    """What the feeds are made for."""

    def __init__(self, *inputs: Input) -> None:
        self._inputs = inputs

    def get_inputs(self) -> tuple[Input, ...]:
        return self._inputs


@pytest.mark.parametrize(
    ("kind", "dtype", "middle", "reach"),
    [("tensor(float)", "float32", 0, 5), ("tensor(uint8)", "uint8", 128, 28), ("tensor(int8)", "int8", 0, 28)],
)
def test_a_probe_is_fed_with_numbers_around_its_zero(kind: str, dtype: str, middle: int, reach: int) -> None:
    feed = tasks._random_feed(Session(Input("x", kind, (2, 64, 8)), Input("z", kind, (3,))))  # type: ignore[arg-type]
    assert {name: value.shape for name, value in feed.items()} == {"x": (2, 64, 8), "z": (3,)}
    found = feed["x"].astype(np.float64)
    assert feed["x"].dtype == dtype
    assert abs(found - middle).max() <= reach
    assert found.mean() == pytest.approx(middle, abs=reach / 10)
    assert len(np.unique(found)) > reach
