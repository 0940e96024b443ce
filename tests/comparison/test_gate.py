from __future__ import annotations

from math import inf, nan

import pytest

from onnxcost.comparison.api import find_bounded, find_excesses, find_unchecked, parse_limit
from onnxcost.comparison.candidates import Comparison
from onnxcost.errors import InputError
from onnxcost.runtime.interleaved import Ratio
from tests.comparison.test_candidates import model


@pytest.mark.parametrize(
    ("metric", "text", "amount", "is_relative"),
    [
        ("flops", "1%", 0.01, True),
        ("flops", "2.5 %", 0.025, True),
        ("flops", "0", 0, False),
        ("macs", "30M", 30e6, False),
        ("weight_bytes", "1MiB", 2**20, False),
        ("weight_bytes", "1MB", 1e6, False),
        ("weight_bytes", "512", 512, False),
        ("latency", "2ms", 0.002, False),
        ("latency", ".5s", 0.5, False),
        ("nodes", "3", 3, False),
    ],
)
def test_a_limit(metric: str, text: str, amount: float, is_relative: bool) -> None:
    limit = parse_limit(metric, text)
    assert (limit.metric, limit.amount, limit.is_relative, limit.text) == (metric, pytest.approx(amount), is_relative, text)


@pytest.mark.parametrize(
    ("metric", "text", "says"),
    [
        ("flop", "1%", "there is no metric 'flop'; did you mean 'flops'?"),
        ("flops", "much", "--max-increase flops=much: expected a limit such as 5%, 5, 5k, 5M, 5G, 5T"),
        ("flops", "-1%", "expected a limit such as 5%"),
        ("latency", "1MiB", "such as 5%, 5, 5s, 5ms, 5us, 5µs"),
        ("fps", "1%", "--max-increase fps: for this metric more is better"),
    ],
)
def test_bad_limits_are_refused(metric: str, text: str, says: str) -> None:
    with pytest.raises(InputError) as refused:
        parse_limit(metric, text)
    assert says in str(refused.value)


@pytest.mark.parametrize(
    ("limit", "before", "after", "is_over"),
    [
        ("flops=1%", 100, 101, False),
        ("flops=1%", 100, 102, True),
        ("flops=1%", 100, 50, False),
        ("flops=0", 100, 100, False),
        ("flops=0", 100, 101, True),
        ("flops=1%", 0, 1, True),
        ("weight_bytes=1KiB", 0, 1024, False),
        ("weight_bytes=1KiB", 0, 1025, True),
        ("latency=1ms", 0.010, 0.012, True),
    ],
)
def test_excesses_over_a_limit(limit: str, before: float, after: float, is_over: bool) -> None:
    metric, _, text = limit.partition("=")
    models = model("a", **{metric: before}), model("b", **{metric: after})
    found = find_excesses(Comparison(models[0], models), [parse_limit(metric, text)])
    assert [(each.label, each.before, each.after) for each in found] == ([("b", before, after)] if is_over else [])


@pytest.mark.parametrize(
    ("latency", "ratio", "over"),
    [
        (1.03, Ratio(1.03, (0.98, 1.06)), []),
        (1.03, Ratio(1.03, (1.01, 1.06)), [1.03]),
        (1.03, Ratio(1.005, (1.001, 1.01)), []),
        (0.99, Ratio(1.03, (1.01, 1.06)), [1.03]),
        (1.03, Ratio(1.02, None), [1.02]),
        (1.03, None, [1.03]),
    ],
)
def test_a_latency_has_grown_by_its_ratio_if_a_difference_was_seen(
    latency: float, ratio: Ratio | None, over: list[float]
) -> None:
    models = model("a", latency=1.0), model("b", ratio=ratio, latency=latency)
    assert [each.after for each in find_excesses(Comparison(models[0], models), [parse_limit("latency", "1%")])] == over


def test_every_model_is_compared_with_the_baseline_in_any_order() -> None:
    first, second, third = model("a", macs=5), model("b", macs=9), model("c", macs=1)
    found = find_excesses(Comparison(first, (third, first, second)), [parse_limit("macs", "0"), parse_limit("macs", "50%")])
    assert [(each.label, each.limit.text) for each in found] == [("b", "0"), ("b", "50%")]


def test_a_metric_that_a_model_lacks_does_not_stop_other_checks() -> None:
    models = model("a", macs=5, nodes=1), model("b", nodes=2)
    limits = [parse_limit("macs", "0"), parse_limit("nodes", "0")]
    assert find_unchecked(Comparison(models[0], models), limits) == {"macs": ["b"]}
    assert [each.limit.metric for each in find_excesses(Comparison(models[0], models), limits)] == ["nodes"]


def test_bounds_under_a_limit_are_named() -> None:
    models = model("a", macs=5, nodes=1), model("b", "lower", macs=5, nodes=1)
    assert find_bounded(Comparison(models[0], models), [parse_limit("macs", "0"), parse_limit("nodes", "0")]) == [("macs", "b")]


@pytest.mark.parametrize("amount", ["nan", "nan%", "inf", "1e3", "1_0%", "١%", "9" * 400, "9" * 308 + "T", "-0"])
def test_no_limit_is_as_wide_as_the_world(amount: str) -> None:
    with pytest.raises(InputError, match="expected a limit such as"):
        parse_limit("flops", amount)


@pytest.mark.parametrize(("before", "after"), [(nan, 1.0), (1.0, nan), (nan, nan), (inf, inf), (1.0, inf)])
def test_a_value_that_cannot_be_compared_is_over_every_limit(before: float, after: float) -> None:
    models = model("a", latency=before), model("b", latency=after)
    for limit in ("1%", "1s"):
        assert [each.label for each in find_excesses(Comparison(models[0], models), [parse_limit("latency", limit)])] == ["b"]
