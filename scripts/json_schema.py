"""Writes the JSON Schema of all documents, onnxcost/schema/onnxcost-1.schema.json, from the types beside it; a test compares.

Run it from the root of the repository as ``python -m scripts.json_schema``. msgspec refuses a union of two TypedDicts, and
pydantic those of ``typing`` before Python 3.12.
"""

from __future__ import annotations

import datetime
import json
from importlib import import_module
from inspect import getdoc
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, NotRequired, Union, get_args, get_origin, get_type_hints, is_typeddict

import onnxcost.schema
from onnxcost.schema import DOCUMENTS, FILES, RESOURCE

MODULES = ("runs", "counts", "comparisons", "language", "devices", "files")
PLAIN: dict[Any, dict[str, Any]] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    NoneType: {"type": "null"},
    datetime.date: {"type": "string", "format": "date"},
    object: {},
}


def build_schema() -> dict[str, Any]:
    """The schema: any of the documents, and the definitions of all types."""
    modules = [import_module(f"onnxcost.schema.{name}") for name in MODULES]
    definitions: dict[str, Any] = {}
    for name in (*DOCUMENTS.values(), *FILES.values()):
        describe(next(getattr(each, name) for each in modules if hasattr(each, name)), definitions)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:onnxcost:1",
        "title": "onnxcost/1",
        "anyOf": [{"$ref": f"#/$defs/{name}"} for name in DOCUMENTS.values()],
        "$defs": dict(sorted(definitions.items())),
    }


def describe(kind: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    """The schema of a type; TypedDicts go to ``definitions``. Raises KeyError for a type that it does not know."""
    origin, arguments = get_origin(kind), get_args(kind)
    if is_typeddict(kind):
        name = kind.__name__
        if name not in definitions:
            definitions[name] = {}
            hints = get_type_hints(kind, include_extras=True)
            plain = {key: get_args(hint)[0] if get_origin(hint) is NotRequired else hint for key, hint in hints.items()}
            definitions[name] = {
                "description": " ".join((getdoc(kind) or "").split()),
                "type": "object",
                "properties": {key: describe(each, definitions) for key, each in plain.items()},
                "required": [key for key in hints if key in kind.__required_keys__],
                "additionalProperties": False,
            }
        return {"$ref": f"#/$defs/{name}"}
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin in (UnionType, Union):
        return {"anyOf": [describe(each, definitions) for each in arguments]}
    if origin is list:
        return {"type": "array", "items": describe(arguments[0], definitions)}
    if origin is dict:
        return {"type": "object", "additionalProperties": describe(arguments[1], definitions)}
    return PLAIN[kind]


def dumps(schema: dict[str, Any]) -> str:
    """The text of the file, with a line for each definition: it diffs and greps well."""
    definitions = ",\n".join(f"  {json.dumps(name)}: {json.dumps(each)}" for name, each in schema["$defs"].items())
    others = "".join(f" {json.dumps(key)}: {json.dumps(value)},\n" for key, value in schema.items() if key != "$defs")
    return f'{{\n{others} "$defs": {{\n{definitions}\n }}\n}}\n'


if __name__ == "__main__":
    Path(onnxcost.schema.__file__).with_name(RESOURCE).write_text(dumps(build_schema()), "utf-8")
