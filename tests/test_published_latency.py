"""Bounds and estimates beside what others published: no published run is faster than the bound."""

from __future__ import annotations

import pytest

from scripts.published import latency as published

ROWS = list(published.compared())


@pytest.mark.parametrize(
    "row", ROWS, ids=lambda row: "-".join(str(row.entry[key]) for key in ("device", "model", "dtype", "batch"))
)
def test_no_published_run_is_faster_than_the_bound(row: published.Compared) -> None:
    assert row.published > row.bound


@pytest.mark.parametrize(("is_held_out", "count", "share"), [(False, 60, 0.9), (True, 50, 0.8)])
def test_most_lie_in_the_range_of_the_estimate(is_held_out: bool, count: int, share: float) -> None:
    alone = [row for row in ROWS if row.low is not None and not row.is_of_all_parts and row.is_held_out == is_held_out]
    assert len(alone) >= count
    assert sum(row.is_inside for row in alone) >= share * len(alone)


def test_every_figure_names_a_source_and_the_day_on_which_it_was_read() -> None:
    sources = published.PUBLISHED["sources"]
    assert {row.entry["source"] for row in ROWS} == sources.keys()
    assert all(source["url"].startswith("https://") and source["date"] and source["title"] for source in sources.values())
    assert all("verified" in row.entry for row in ROWS)


def test_the_table_says_how_many() -> None:
    text = published.summary(ROWS)
    assert text.endswith(f"Of all {len(ROWS)}, 0 are faster than the bound.")
    assert str(ROWS[0]).count("|") == published.HEADER.splitlines()[0].count("|")
