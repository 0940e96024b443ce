"""The names of operators' inputs and outputs in the schemas of onnx and onnxruntime, in lower case."""

from __future__ import annotations

from collections.abc import Mapping

from onnxruntime.capi.onnxruntime_pybind11_state import get_all_operator_schema


def newest(places: str) -> Mapping[str, tuple[str, ...]]:
    """By operator, the names of its inputs or outputs."""
    schemas = sorted(get_all_operator_schema(), key=lambda schema: schema.since_version)
    keys = (f"{each.domain}.{each.name}" if each.domain else each.name for each in schemas)
    return {
        key: tuple(each.name.lower() for each in getattr(schema, places)) for key, schema in zip(keys, schemas, strict=True)
    }


INPUTS, OUTPUTS = newest("inputs"), newest("outputs")
