"""A report in the schema ``onnxcost/1`` as JSON text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from onnxcost.conventions import FLOPS, Convention
from onnxcost.report import CostReport
from onnxcost.schema import report_to_dict


def dumps(document: Mapping[str, Any]) -> str:
    """JSON text in ASCII with one line for each key, and for each entry of a list of records: it diffs and greps well."""
    return "{\n" + ",\n".join(f"  {json.dumps(key)}: {_value(value)}" for key, value in document.items()) + "\n}\n"


def _value(value: Any) -> str:
    if isinstance(value, list) and value:
        return "[\n" + ",\n".join(f"    {json.dumps(entry)}" for entry in value) + "\n  ]"
    return json.dumps(value)


def report_json(report: CostReport, convention: Convention = FLOPS) -> str:
    """The document as text."""
    return dumps(report_to_dict(report, convention))
