from __future__ import annotations

import pytest

from onnxcost.hardware.device import (
    BYTES,
    BYTES_PER_SECOND,
    DOLLARS,
    HERTZ,
    OPERATIONS_PER_SECOND,
    WATTS,
    Quantity,
    parse_figure,
)

READ: list[tuple[str, Quantity, float]] = [
    ("4GiB", BYTES, 4 * 2**30),
    ("264 KiB", BYTES, 264 * 1024),
    ("8 GB", BYTES, 8_000_000_000),
    ("512 kB", BYTES, 512_000),
    ("512 KB", BYTES, 512_000),
    ("4.2 MB", BYTES, 4_200_000),
    ("100 B", BYTES, 100),
    ("68 GB/s", BYTES_PER_SECOND, 68_000_000_000),
    ("3.35 TB/s", BYTES_PER_SECOND, 3_350_000_000_000),
    ("50 GiB/s", BYTES_PER_SECOND, 50 * 2**30),
    ("1.28 TFLOP/s", OPERATIONS_PER_SECOND, 1_280_000_000_000),
    ("1.28TFLOPS", OPERATIONS_PER_SECOND, 1_280_000_000_000),
    ("40 TOPS", OPERATIONS_PER_SECOND, 40 * 10**12),
    ("4 TOP/s", OPERATIONS_PER_SECOND, 4 * 10**12),
    ("2 TMAC/s", OPERATIONS_PER_SECOND, 4 * 10**12),
    ("100 MMACS", OPERATIONS_PER_SECOND, 200 * 10**6),
    ("9 PFLOP/s", OPERATIONS_PER_SECOND, 9 * 10**15),
    ("756 TFLOP/s", OPERATIONS_PER_SECOND, 756 * 10**12),
    ("625 MHz", HERTZ, 625_000_000),
    (" 2.5 W ", WATTS, 2.5),
    ("249 USD", DOLLARS, 249),
]


@pytest.mark.parametrize(("text", "quantity", "value"), READ, ids=[text for text, _, _ in READ])
def test_a_quantity_is_read_exactly(text: str, quantity: Quantity, value: float) -> None:
    assert parse_figure(text, quantity) == value


REFUSED: list[tuple[str, Quantity]] = [
    ("4", BYTES),
    ("GiB", BYTES),
    ("4 GiB/s", BYTES),
    ("-4 GiB", BYTES),
    ("4 gib", BYTES),
    ("4 Gb", BYTES),
    ("1_000 B", BYTES),
    ("٤ GiB", BYTES),
    ("68 GB", BYTES_PER_SECOND),
    ("40 TOP", OPERATIONS_PER_SECOND),
    ("40 T", OPERATIONS_PER_SECOND),
    ("", WATTS),
]


@pytest.mark.parametrize(("text", "quantity"), REFUSED, ids=[text for text, _ in REFUSED])
def test_what_has_no_unit_or_another_is_refused_with_an_example(text: str, quantity: Quantity) -> None:
    with pytest.raises(ValueError, match=r"is not a quantity such as|use a value such as") as refused:
        parse_figure(text, quantity)
    assert quantity.example in str(refused.value)


@pytest.mark.parametrize("quantity", [BYTES, BYTES_PER_SECOND, OPERATIONS_PER_SECOND, HERTZ, WATTS, DOLLARS])
def test_the_examples_are_read(quantity: Quantity) -> None:
    assert all(parse_figure(example, quantity) > 0 for example in quantity.example.split(" or "))
