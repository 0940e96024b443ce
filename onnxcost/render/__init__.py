"""Results as text, Markdown, CSV, JSON and HTML: one file per result. Only here do units have prefixes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onnxcost.results import Result


def to_html(result: Result) -> str:
    """What a notebook shows of any result."""
    from onnxcost.comparison.candidates import Comparison
    from onnxcost.measurement import Measurement, Unmeasured
    from onnxcost.render.comparison import metric_column
    from onnxcost.render.escaping import html
    from onnxcost.render.formats import rows_html
    from onnxcost.render.layout import UNICODE
    from onnxcost.render.measurement import measurement_html
    from onnxcost.render.plots import chart_html
    from onnxcost.render.profile import profile_html
    from onnxcost.render.report import report_html
    from onnxcost.report import CostReport
    from onnxcost.runtime.profile import Profile
    from onnxcost.symbolic.sweep import Sweep

    if isinstance(result, CostReport):
        return report_html(result) + chart_html(result)
    if isinstance(result, Measurement):
        return measurement_html(result) + chart_html(result)
    if isinstance(result, Profile):
        return profile_html(result) + chart_html(result)
    heading = f"<p>{html(result.summary())}</p>"
    if isinstance(result, Unmeasured):
        return heading
    if isinstance(result, Comparison):
        columns = [metric_column(result, name, UNICODE) for name in result.metrics]
        rows = zip((each.label for each in result.candidates), *(texts for _, texts in columns), strict=True)
        return heading + rows_html(rows, [False, *(True for _ in columns)], ["Model", *(title for title, _ in columns)])
    records = list(result.to_records())
    titles = list(dict.fromkeys(key for record in records for key in record))

    def text(value: object) -> str:
        return "" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)

    chart = chart_html(result) if isinstance(result, Sweep) else ""
    cells = ([text(record.get(title)) for title in titles] for record in records)
    return heading + rows_html(cells, [False for _ in titles], titles) + chart
