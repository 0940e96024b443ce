from __future__ import annotations

from dataclasses import replace

import pytest

from onnxcost.comparison.candidates import METRICS, Candidate, Comparison, check_directions, find_metric, rank
from onnxcost.conventions import CONVENTIONS
from onnxcost.errors import InputError
from onnxcost.runtime.interleaved import Ratio


def model(label: str, bound: str = "", ratio: Ratio | None = None, **values: float) -> Candidate:
    return Candidate(label, values, bound, ratio=ratio)


def comparison(*models: Candidate, **others: object) -> Comparison:
    return Comparison(models[0], models, **others)  # type: ignore[arg-type]


def test_every_convention_is_a_metric_and_macs_come_first() -> None:
    assert list(METRICS)[:2] == ["macs", "flops"]
    assert CONVENTIONS.keys() <= METRICS.keys()


@pytest.mark.parametrize(
    ("values", "expected"), [((2, 3), 1.5), ((4, 1), 0.25), ((0, 0), 1.0), ((0, 5), None), ((None, 5), None), ((5, None), None)]
)
def test_relative_to_the_first(values: tuple[int | None, int | None], expected: float | None) -> None:
    first, other = (model(name, **({} if value is None else {"macs": value})) for name, value in zip("ab", values, strict=True))
    assert comparison(first, other).relative(other, "macs") == expected


@pytest.mark.parametrize(
    ("metric", "values", "best"),
    [
        ("macs", (3, 2, 5), "b"),
        ("macs", (2, 2, 5), "ab"),
        ("macs", (2, 2, 2), ""),
        ("fps", (3, 2, 5), "c"),
        ("nodes", (3, 2, 5), ""),
        ("macs", (3, 2, None), "b"),
        ("macs", (3, None, None), ""),
    ],
)
def test_the_best(metric: str, values: tuple[int | None, ...], best: str) -> None:
    models = [model(label, **({} if value is None else {metric: value})) for label, value in zip("abc", values, strict=True)]
    assert comparison(*models).best(metric) == frozenset(best)


@pytest.mark.parametrize(
    ("metric", "bounds", "values", "best"),
    [
        ("macs", ("", "lower"), (2, 3), "a"),
        ("macs", ("lower", ""), (2, 3), ""),
        ("macs", ("upper", ""), (2, 3), "a"),
        ("macs", ("", "upper"), (2, 3), ""),
        ("macs", ("lower", "lower"), (2, 3), ""),
        ("macs", ("mixed", ""), (2, 3), ""),
        ("flops_per_second", ("lower", ""), (3, 2), "a"),
        ("flops_per_second", ("upper", ""), (3, 2), ""),
        ("intensity", ("lower", ""), (2, 3), ""),
        ("latency", ("lower", "lower"), (2, 3), "a"),
    ],
)
def test_a_bound_is_the_best_only_if_certain(metric: str, bounds: tuple[str, str], values: tuple[int, int], best: str) -> None:
    models = [model(*pair, **{metric: value}) for pair, value in zip(zip("ab", bounds, strict=True), values, strict=True)]
    assert comparison(*models).best(metric) == frozenset(best)


NEAR, FAR, QUICK = (0.97, 1.01), (1.4, 1.6), (0.97, 0.995)


@pytest.mark.parametrize(
    ("intervals", "best"),
    [
        ([NEAR], ""),
        ([FAR], "a"),
        ([QUICK], "b"),
        ([NEAR, FAR], ""),
        ([NEAR, QUICK], "c"),
        ([QUICK, (0.5, 0.6)], "c"),
        ([QUICK, (0.9, 0.98), FAR], "bc"),
        ([None], ""),
        ([None, QUICK], "c"),
    ],
)
def test_only_what_is_shown_to_be_faster_is_the_best(intervals: list[tuple[float, float] | None], best: str) -> None:
    """Whatever the medians of the models' own runs are: here they contradict the ratios."""
    first = model("a", latency=1.0, fps=1.0)
    others = [
        model(label, ratio=Ratio(sum(interval or (2, 2)) / 2, interval), latency=1 / (at + 1), fps=at + 1.0)
        for at, (label, interval) in enumerate(zip("bcd", intervals, strict=False), 1)
    ]
    for metric in ("latency", "fps"):
        assert comparison(first, *others).best(metric) == frozenset(best)
    assert [each.is_undecided for each in others] == [interval == NEAR for interval in intervals]


@pytest.mark.parametrize(
    ("work", "interval", "best"), [(100, QUICK, "b"), (90, QUICK, "a"), (200, FAR, "b"), (100, NEAR, ""), (98, QUICK, "")]
)
def test_the_best_rate_takes_in_how_much_is_done(work: int, interval: tuple[float, float], best: str) -> None:
    """A model that is faster because it does less may have the lower FLOP/s."""
    first = model("a", latency=1.0, flops_per_second=100.0)
    other = model("b", ratio=Ratio(sum(interval) / 2, interval), latency=1.0, flops_per_second=float(work)).timed_beside(first)
    assert comparison(first, other).best("flops_per_second") == frozenset(best)
    bounded = replace(other, bound="lower")
    assert comparison(first, bounded).best("flops_per_second") == frozenset()


def test_latency_and_rates_follow_from_the_ratio() -> None:
    first = model("a", latency=1.0, fps=1.0)
    other = model("b", ratio=Ratio(0.959, (0.95, 0.97)), latency=0.991, fps=2 / 0.991, flops_per_second=7 / 0.991, macs=3)
    timed = other.timed_beside(first)
    assert comparison(first, timed).relative(timed, "latency") == pytest.approx(0.959)
    assert timed.values == pytest.approx({"latency": 0.959, "fps": 2 / 0.959, "flops_per_second": 7 / 0.959, "macs": 3})
    assert model("c", latency=2.0).timed_beside(first).values == {"latency": 2.0}


@pytest.mark.parametrize(
    ("values", "front"),
    [
        (((1, 5), (2, 4), (3, 3)), "abc"),
        (((1, 5), (1, 4), (3, 3)), "bc"),
        (((1, 1), (2, 4), (3, 3)), "a"),
        (((1, 1), (1, 1), (3, 3)), "ab"),
    ],
)
def test_the_pareto_front(values: tuple[tuple[int, int], ...], front: str) -> None:
    models = [model(label, macs=macs, latency=latency) for label, (macs, latency) in zip("abc", values, strict=True)]
    assert comparison(*models, pareto=("macs", "latency")).front() == frozenset(front)


def test_the_pareto_front_where_more_is_better_a_value_is_missing_or_a_bound() -> None:
    fast, slow, unknown = model("a", macs=2, fps=9), model("b", macs=1, fps=3), model("c", macs=0)
    assert comparison(fast, slow, unknown, pareto=("macs", "fps")).front() == {"a", "b"}
    least = model("a", "lower", macs=1)
    assert comparison(least, model("b", macs=2), pareto=("macs",)).front() == {"a", "b"}


@pytest.mark.parametrize(("metric", "order"), [("macs", "bac"), ("fps", "cab"), ("nodes", "bac"), ("latency", "abc")])
def test_the_order(metric: str, order: str) -> None:
    models = [model(label, macs=value, fps=value, nodes=value) for label, value in zip("abc", (2, 1, 3), strict=True)]
    assert "".join(each.label for each in rank(models, metric)) == order


def test_models_that_lack_the_metric_come_last() -> None:
    assert [each.label for each in rank([model("a"), model("b", macs=1)], "macs")] == ["b", "a"]


def test_metrics_to_show() -> None:
    models = model("a", macs=1, flops=2, thop=1, torch=2), model("b", macs=1, latency=0.5)
    assert comparison(*models).metrics == ["macs", "flops", "latency"]
    assert comparison(*models, convention="thop", sort="torch").metrics == ["macs", "flops", "torch", "thop", "latency"]


def test_an_unknown_metric_is_refused() -> None:
    with pytest.raises(InputError, match="there is no metric 'latncy'; did you mean 'latency'"):
        find_metric("latncy")
    with pytest.raises(InputError, match="there is no metric 'zzz': choose from macs, flops"):
        find_metric("zzz")
    with pytest.raises(InputError, match="--pareto: more 'nodes' is neither better nor worse; choose from macs"):
        check_directions(["macs", "nodes"], "--pareto")
