"""The keys of every document of the schema ``onnxcost/1``, and of the files that users write, as types and as JSON Schema.

The types are TypedDicts, for type checkers: ``report: ReportDocument = json.load(file)``. The package has the JSON Schema that
``scripts/json_schema.py`` makes of them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import resources
from typing import Any

from onnxcost.errors import InputError, did_you_mean

DOCUMENTS: Mapping[str, str] = {
    "report": "ReportDocument",
    "measurement": "MeasurementDocument",
    "profile": "ProfileDocument",
    "comparison": "ComparisonDocument",
    "scan": "ScanDocument",
    "scan-row": "ScannedDocument",
    "scan-row-failed": "NotScannedDocument",
    "scaling": "ScalingDocument",
    "sweep": "SweepDocument",
    "pipeline": "PipelineDocument",
    "llm": "LanguageDocument",
    "generation": "GenerationDocument",
    "budget": "BudgetDocument",
    "budgets": "BudgetsDocument",
    "pipeline-budget": "PipelineBudgetDocument",
    "prediction": "PredictionDocument",
    "calibration": "CalibrationDocument",
    "devices": "DevicesDocument",
    "fleet": "FleetDocument",
    "formulas": "FormulasDocument",
}
"""The types of the documents, by name."""
FILES: Mapping[str, str] = {"device-file": "DeviceFile", "budget-file": "BudgetFile", "calibration-file": "CalibrationFile"}
"""The types of the files in TOML; a date is a text like "2026-11-23" there."""
RESOURCE = "onnxcost-1.schema.json"


def json_schema(document: str = "") -> dict[str, Any]:
    """The JSON Schema (2020-12) of a document or a file, by its name in DOCUMENTS or FILES; by default of all documents.

    It is specific to this version: objects have only the listed keys. Raises InputError for an unknown name.
    """
    known = {**DOCUMENTS, **FILES}
    if document and document not in known:
        raise InputError(
            f"there is no document '{document}'{did_you_mean(document, known) or ': choose from ' + ', '.join(known)}"
        )
    schema: dict[str, Any] = json.loads(resources.files(__package__).joinpath(RESOURCE).read_text("utf-8"))
    if not document:
        return schema
    head = {"$schema": schema["$schema"], "$id": f"{schema['$id']}:{document}", "$ref": f"#/$defs/{known[document]}"}
    return {**head, "$defs": schema["$defs"]}
