"""What holds for all tests."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from functools import cache, wraps
from typing import Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker

from onnxcost.schema import DOCUMENTS, json_schema

# Tests that import onnxruntime themselves send nothing, either.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
if os.name != "posix":
    # A test that makes a named pipe is skipped where there are none.
    os.mkfifo = lambda *_: pytest.skip("the system has no named pipes")


@pytest.fixture(autouse=True, scope="session")
def documents_fit_the_schema() -> Iterator[None]:
    """Documents that a test makes in this process, by ``to_dict`` or as JSON or a page, are held against their JSON Schema."""
    import onnxcost.generation.limits
    from onnxcost.render import formats, page
    from onnxcost.results import Result

    for name in onnxcost.__all__:
        getattr(onnxcost, name)
    waiting, kinds = [Result], []
    while waiting:
        kinds.append(kind := waiting.pop())
        waiting += kind.__subclasses__()
    with pytest.MonkeyPatch.context() as patch:
        for kind in kinds:
            if "to_dict" in vars(kind):
                patch.setattr(kind, "to_dict", checked_result(vars(kind)["to_dict"]))
        patch.setattr(formats, "dumps", checked_argument(formats.dumps))
        patch.setattr(page, "build_page", checked_argument(page.build_page))
        yield


def checked_result(to_dict: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    @wraps(to_dict)
    def call(*arguments: Any, **keywords: Any) -> dict[str, Any]:
        document = to_dict(*arguments, **keywords)
        if "schema" in document:
            check_document(document)
        return document

    return call


def checked_argument(write: Callable[..., str]) -> Callable[..., str]:
    @wraps(write)
    def call(document: Mapping[str, Any], *arguments: Any) -> str:
        if "schema" in document:
            check_document(document)
        return write(document, *arguments)

    return call


def check_document(document: Mapping[str, Any], name: str = "") -> None:
    """Raises AssertionError for a document that does not fit the schema of that name, or of any that has its keys."""
    plain = json.loads(json.dumps(thin(document)))
    names = [name] if name else [each for each in DOCUMENTS if has_keys(each, plain)]
    assert names, f"no document of the schema has exactly these keys: {', '.join(plain)}"
    problems = [next(validator(each).iter_errors(plain), None) for each in names]
    assert None in problems, f"{names[0]}: {problems[0] and problems[0].json_path}: {problems[0] and problems[0].message}"


@cache
def validator(name: str) -> Draft202012Validator:
    return Draft202012Validator(json_schema(name), format_checker=FormatChecker())


def has_keys(name: str, document: Mapping[str, Any]) -> bool:
    schema = validator(name).schema
    own = schema["$defs"][DOCUMENTS[name]]
    return set(own["required"]) <= document.keys() <= own["properties"].keys()


def thin(value: Any) -> Any:
    """The value with one entry of each form in its lists: a document has thousands of nodes, and jsonschema takes its time."""
    if isinstance(value, Mapping):
        return {key: thin(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [thin(each) for each in {form(each): each for each in value}.values()]
    return value


def form(value: Any) -> Any:
    if isinstance(value, Mapping):
        return tuple((key, form(each)) for key, each in value.items())
    return frozenset(map(form, value)) if isinstance(value, list | tuple) else type(value)
