"""Reports in the schema ``onnxcost/1``, fresh or loaded from a file, as the candidates of a comparison."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from onnxcost.comparison.candidates import METRICS, Candidate, CostedNode, CostedOperator, Document, Number
from onnxcost.conventions import FLOPS, MACS
from onnxcost.documents import MOST_JSON, is_figure, parse_json, read_document
from onnxcost.errors import InputError
from onnxcost.results import SCHEMA

HOW = "'onnxcost MODEL -o cost.json' saves one"


def load_report(path: str) -> Document:
    """The report in a file; raises InputError for a file that is not a report in the schema."""
    try:
        document = parse_json(read_document(path, MOST_JSON))
    except ValueError as error:
        raise InputError(f"'{path}' is not JSON ({error}): {HOW}") from None
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        found = document.get("schema") if isinstance(document, dict) else None
        what = f"has the schema '{found}'" if isinstance(found, str) else "is not a report of onnxcost"
        raise InputError(f"'{path}' {what}: a saved report has the schema '{SCHEMA}', {HOW}")
    if not isinstance(document.get("totals"), dict):
        raise InputError(f"'{path}' has no counts of a model: {HOW}")
    return document


def read_candidate(report: Document, label: str, convention: str = FLOPS.name) -> Candidate:
    """The candidate that a report describes, with its nodes counted in a convention.

    Raises InputError for a damaged report, and for one that was saved without the counts of its nodes in the convention.
    """
    if convention not in (FLOPS.name, MACS.name, report.get("convention")):
        raise InputError(
            f"'{label}' was saved without each node's count in '{convention}': save it with --convention {convention}"
        )
    try:
        return _build_candidate(report, label, convention if convention in (FLOPS.name, MACS.name) else "count")
    except _Damaged as error:
        raise InputError(f"'{label}' is a damaged report ({error}): save it again") from None
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"'{label}' is a damaged report ({type(error).__name__}: {error}): save it again") from None


class _Damaged(ValueError):
    """A value in a report is impossible; the message says which."""


def _build_candidate(report: Document, label: str, count: str) -> Candidate:
    bound = report.get("bound", "" if report["complete"] else "lower")
    if bound not in ("", "lower", "upper", "mixed"):
        raise _Damaged(f"bound is {bound!r}")
    measurement = report.get("measurement") or {}
    assumed = [f"{dim['name']} = {dim['value']} ({dim['option']})" for dim in report["dims"] if dim["source"] == "assumed"]
    notes = [f"assumed {', '.join(assumed)}"] if assumed else []
    if measurement.get("weights") == "synthesised":
        notes.append("timed with random weights, as the file lacks them")
    operators = (
        CostedOperator(
            _key(group),
            _count(group, "nodes"),
            _count(group, "uncounted") if "uncounted" in group else 0,
            _count(group, count),
            _count(group, "parameters"),
            _traffic(group),
        )
        for group in report["by_operator"]
    )
    return Candidate(
        label,
        _values(report),
        bound=bound,
        inputs=tuple("×".join("?" if dim is None else str(dim) for dim in each["shape"] or ()) for each in report["inputs"]),
        operators=tuple(operators),
        nodes=tuple(_node(node, count) for node in report["nodes"]),
        conditions=_conditions(measurement),
        unmeasured=str(measurement["reason"]) if measurement.get("status") == "failed" else "",
        interrupted=measurement.get("interrupted") is True,
        notes=(*notes, *map(str, report["warnings"])),
    )


def _values(report: Document) -> dict[str, Number]:
    """The metrics in the report. One that is not a number is an error: without it, a gate would pass."""
    for table in ("totals", "conventions"):
        for key, value in report.get(table, {}).items():
            if not (value is None or isinstance(value, dict) or is_figure(value)):
                raise _Damaged(_no_figure(f"{table}.{key}", value))
    values: dict[str, Number] = {}
    for name, metric in METRICS.items():
        try:
            value = metric.of(report)
        except (KeyError, TypeError):
            continue
        if is_figure(value):
            values[name] = value
        elif value is not None:
            raise _Damaged(_no_figure(name, value))
    return values


def _no_figure(name: str, value: object) -> str:
    return f"{name} is {value!r}, not a number from 0 up"


def _count(record: Mapping[str, Any], key: str) -> int:
    value = record[key]
    if type(value) is not int or not is_figure(value):
        raise _Damaged(_no_figure(key, value))
    return value


def _key(record: Mapping[str, Any]) -> str:
    return f"{record['domain']}.{record['op_type']}" if record["domain"] else str(record["op_type"])


def _traffic(record: Mapping[str, Any]) -> int:
    return _count(record, "read_bytes") + _count(record, "write_bytes")


def _node(node: Mapping[str, Any], count: str) -> CostedNode:
    output = next((each for each in node["outputs"] if each is not None), None)
    inputs = tuple(_shape(each) for each in node["inputs"] if each is not None)
    return CostedNode(
        str(node["name"] or (output["name"] if output else "")),
        _key(node),
        inputs,
        _shape(output),
        _count(node, "macs"),
        _count(node, count),
        _traffic(node),
        _count(node, "repeat"),
        _count(node, "parameters"),
        *(tuple(str(each["name"]) for each in node[side] if each is not None) for side in ("inputs", "outputs")),
    )


def _shape(tensor: Mapping[str, Any] | None) -> tuple[int, ...]:
    """The known dims; open ones say nothing about what was counted."""
    return tuple(dim for dim in (tensor or {}).get("shape") or () if type(dim) is int)


def _conditions(measurement: Mapping[str, Any]) -> tuple[str, ...]:
    """What a latency depends on besides the model; empty if none was measured."""
    if measurement.get("status") != "ok":
        return ()
    threads = measurement.get("threads") or {}
    return (
        str(measurement.get("device")),
        str(measurement.get("provider")),
        f"onnxruntime {measurement.get('onnxruntime')}",
        f"{threads.get('intra')} threads",
        f"batch {measurement.get('batch')}",
    )


def differing_conditions(candidates: Iterable[Candidate]) -> list[str]:
    """The conditions in which latencies differ, one text for each: ``batch 1, batch 8``."""
    measured = [candidate.conditions for candidate in candidates if candidate.conditions]
    return [", ".join(dict.fromkeys(kind)) for kind in zip(*measured, strict=True) if len(set(kind)) > 1]
