"""Bounds and estimates of decoding against speeds that others published (scripts/published/decoding.toml)."""

from __future__ import annotations

import pytest

from scripts.published.decoding import Published, published, speed_of

EVERY = list(published())
OUTSIDE = {("Llama 2 7B", 4, "a100-pcie-80gb"), ("Llama 2 7B", 4, "h100-pcie")}
"""Slower than the estimate: the kernels of 2023 for four bits reached a quarter of these devices' bandwidth."""


@pytest.mark.parametrize("each", EVERY, ids=lambda each: f"{each.model} {each.bits} {each.device} {each.source}")
def test_no_published_speed_is_above_the_bound(each: Published) -> None:
    speed = speed_of(each)
    assert speed.step_bound is not None
    assert speed.tokens_per_second is not None
    assert each.rate <= 1 / speed.step_bound
    inside = speed.tokens_per_second.low <= each.rate <= speed.tokens_per_second.high
    assert inside == ((each.model, each.bits, each.device) not in OUTSIDE)


def test_there_are_enough() -> None:
    assert len({(each.model, each.bits, each.device) for each in EVERY}) >= 15
