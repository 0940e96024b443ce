"""Results in the schema ``onnxcost/1`` as JSON text."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from onnxcost.conventions import FLOPS, Convention
from onnxcost.graph import Graph
from onnxcost.report import CostReport
from onnxcost.schema import measured_to_dict, report_to_dict

if TYPE_CHECKING:
    from onnxcost.measurement import MeasurementResult


def dumps(document: Mapping[str, Any]) -> str:
    """JSON text in ASCII with one line for each key, and for each entry of a list of records: it diffs and greps well."""
    # Of the control characters json leaves this one as it is.
    return _lines(document, "").replace("\x7f", "\\u007f") + "\n"


def _lines(document: Mapping[str, Any], indent: str) -> str:
    keys = (f"{indent}  {json.dumps(key)}: {_value(value, indent + '  ')}" for key, value in document.items())
    return "{\n" + ",\n".join(keys) + f"\n{indent}}}"


def _value(value: Any, indent: str) -> str:
    if _has_records(value):
        return "[\n" + ",\n".join(f"{indent}  {json.dumps(entry)}" for entry in value) + f"\n{indent}]"
    if isinstance(value, dict) and any(map(_has_records, value.values())):
        return _lines(value, indent)
    return json.dumps(value)


def _has_records(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict)


def report_json(
    report: CostReport,
    convention: Convention = FLOPS,
    measurement: MeasurementResult | None = None,
    batches: Sequence[MeasurementResult] = (),
) -> str:
    """The report's document as text."""
    return dumps(report_to_dict(report, convention, measurement, batches))


def measured_json(graph: Graph, measurement: MeasurementResult | None, batches: Sequence[MeasurementResult] = ()) -> str:
    """The document of measurements alone as text."""
    return dumps(measured_to_dict(graph, measurement, batches))
