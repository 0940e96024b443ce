"""A count that data can only lower says so."""

import pytest

import onnxcost
from tests.modeltext import model

BOXES = "(float[1,6,4] b, float[1,2,6] s) => (y) { m = Constant<value = int64[1] {3}>() y = NonMaxSuppression(b, s, m) }"
GRID = '(float[1,1,4,4] x, float[1,2,2,2] g) => (y) {{ y = GridSample<padding_mode = "{}">(x, g) }}'
ALIGN = "(float[1,1,4,4] x, float[2,4] r, int64[2] i) => (y) {{ y = RoiAlign<sampling_ratio = {}>(x, r, i) }}"
ROWS = [
    (BOXES, "upper"),
    (GRID.format("reflection"), "upper"),
    (GRID.format("zeros"), ""),
    (ALIGN.format(0), "upper"),
    (ALIGN.format(2), ""),
]


@pytest.mark.parametrize(("text", "bound"), ROWS)
def test_row(text, bound) -> None:
    report = onnxcost.estimate(model(text, opset=20))
    assert report.complete
    assert report.bound == bound
    assert any("its upper bound is counted" in warning for warning in report.warnings) == bool(bound)
