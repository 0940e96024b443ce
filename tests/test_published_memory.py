"""MACs, weights and bounds beside what STM32Cube.AI and Vela report of the same models."""

from __future__ import annotations

import pytest

from scripts.published import memory as published

STM32 = published.stm32_rows()
VELA = published.vela_rows()


@pytest.mark.parametrize("row", STM32, ids=lambda row: str(row.entry["model"]))
def test_macc_is_what_the_model_has_with_all_that_stm32cube_ai_counts(row: published.Stm32) -> None:
    if row.entry["type"] == "int8" and row.likewise.ratio is not None:
        assert row.likewise.ratio == pytest.approx(1, abs=0.005)
    if row.macc.ratio is not None:
        assert 1 <= row.macc.ratio < 1.2


@pytest.mark.parametrize("row", STM32, ids=lambda row: str(row.entry["model"]))
def test_memory_is_what_stm32cube_ai_reports(row: published.Stm32) -> None:
    """The weights are the same, the runtime's code and memory about; its planner of activations is another."""
    assert row.weights.ratio == pytest.approx(1, abs=0.01)
    assert row.code.ratio is None or 0.9 < row.code.ratio < 1.25
    assert row.runtime.ratio is None or 0.55 < row.runtime.ratio < 1.3


@pytest.mark.parametrize("row", VELA, ids=lambda row: f"{row.entry['model']}-{row.entry['source']}")
def test_vela_counts_the_same_macs_and_is_not_faster_than_the_bound(row: published.Vela) -> None:
    assert row.macs.ratio is None or 1 <= row.macs.ratio < 1.02
    assert row.time.ratio is None or row.time.ratio > 1


def test_every_figure_names_a_source() -> None:
    named = {name for row in STM32 for name in row.entry["sources"]} | {row.entry["source"] for row in VELA}
    assert named == published.PUBLISHED["sources"].keys()
    assert all(source["url"].startswith("https://") and source["date"] for source in published.PUBLISHED["sources"].values())


def test_the_tables_have_a_row_for_each_model() -> None:
    assert str(STM32[0]).count("|") == published.ST_HEADER.splitlines()[0].count("|")
    assert str(VELA[0]).count("|") == published.VELA_HEADER.splitlines()[0].count("|")
