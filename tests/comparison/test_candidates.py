from __future__ import annotations

from dataclasses import replace

import pytest

from onnxcost.comparison.candidates import METRICS, Candidate, Comparison, check_directions, find_metric, rank
from onnxcost.conventions import CONVENTIONS
from onnxcost.errors import InputError
from onnxcost.measurement import Ratio


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


def test_a_latency_in_which_no_difference_was_seen_is_as_good_as_the_first_ones() -> None:
    first, near = model("a", latency=1.0), model("b", ratio=Ratio(0.99, (0.97, 1.01)), latency=0.99)
    far = model("c", ratio=Ratio(1.5, (1.4, 1.6)), latency=1.5)
    assert (near.is_undecided, far.is_undecided, first.is_undecided) == (True, False, False)
    assert comparison(first, near, far).best("latency") == {"a", "b"}
    assert comparison(first, near).best("latency") == frozenset()
    assert comparison(first, replace(near, ratio=Ratio(0.99, (0.97, 0.995))), far).best("latency") == {"b"}


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
    with pytest.raises(InputError, match="there is no metric 'latncy': did you mean 'latency'"):
        find_metric("latncy")
    with pytest.raises(InputError, match="there is no metric 'zzz': there are macs, flops"):
        find_metric("zzz")
    with pytest.raises(InputError, match="--pareto: neither more nor less of 'nodes' is better; there are macs"):
        check_directions(["macs", "nodes"], "--pareto")
