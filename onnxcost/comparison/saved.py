"""Reports in the schema ``onnxcost/1``, fresh or read back from a file, as the candidates of a comparison."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from onnxcost.comparison.candidates import METRICS, Candidate, CostedNode, CostedOperator, Document, Number
from onnxcost.conventions import FLOPS, MACS
from onnxcost.documents import MOST_JSON, is_figure, parse_json, read_document
from onnxcost.errors import InputError
from onnxcost.results import SCHEMA

HOW = "'onnxcost MODEL -o cost.json' makes one"


def load_report(path: str) -> Document:
    """The document in a file; raises InputError for what is no report in the schema."""
    try:
        document = parse_json(read_document(path, MOST_JSON))
    except ValueError as error:
        raise InputError(f"'{path}' is not JSON ({error}): {HOW}") from None
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        found = document.get("schema") if isinstance(document, dict) else None
        what = f"is of the schema '{found}'" if isinstance(found, str) else "is no report of onnxcost"
        raise InputError(f"'{path}' {what}: a saved report has the schema '{SCHEMA}', {HOW}")
    if not isinstance(document.get("totals"), dict):
        raise InputError(f"'{path}' has no counts of a model in it: {HOW}")
    return document


def read_candidate(report: Document, label: str, convention: str = FLOPS.name) -> Candidate:
    """The candidate that a report describes, its nodes counted in a convention.

    Raises InputError for a report that is damaged, or that was saved without the counts in the convention.
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
    """Says what in a report cannot be."""


def _build_candidate(report: Document, label: str, count: str) -> Candidate:
    bound = report.get("bound", "" if report["complete"] else "lower")
    if bound not in ("", "lower", "upper", "mixed"):
        raise _Damaged(f"bound is {bound!r}")
    return Candidate(
        label,
        _values(report),
        bound=bound,
        inputs=tuple("×".join("?" if dim is None else str(dim) for dim in each["shape"] or ()) for each in report["inputs"]),
        operators=tuple(_operator(group, count) for group in report["by_operator"]),
        nodes=tuple(_node(node, count) for node in report["nodes"]),
        conditions=_conditions(report),
        unmeasured=_failure_reason(report),
        notes=(*_assumption_notes(report), *_synthetic_notes(report), *map(str, report["warnings"])),
    )


def _values(report: Document) -> dict[str, Number]:
    """The metrics that the report has. One that is not a number fails: a gate that left it out would pass."""
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


def _operator(group: Mapping[str, Any], count: str) -> CostedOperator:
    uncounted = _count(group, "uncounted") if "uncounted" in group else 0
    nodes, parameters = _count(group, "nodes"), _count(group, "parameters")
    return CostedOperator(_key(group), nodes, uncounted, _count(group, count), parameters, _traffic(group))


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
    )


def _shape(tensor: Mapping[str, Any] | None) -> tuple[int, ...]:
    """The known dims; those that are open tell nothing of what was counted."""
    return tuple(dim for dim in (tensor or {}).get("shape") or () if type(dim) is int)


def _assumption_notes(report: Document) -> list[str]:
    """A line on the dims that were assumed, and the options that would fix them."""
    assumed = [f"{dim['name']} = {dim['value']} ({dim['option']})" for dim in report["dims"] if dim["source"] == "assumed"]
    return [f"assumed {', '.join(assumed)}"] if assumed else []


def _synthetic_notes(report: Document) -> list[str]:
    """A line on synthetic weights that the model was run with."""
    measurement = report.get("measurement") or {}
    return ["timed with random weights, as the file lacks them"] if measurement.get("weights") == "synthesised" else []


def _conditions(report: Document) -> tuple[str, ...]:
    """What a latency depends on besides the model; empty where none was measured."""
    measurement = report.get("measurement") or {}
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


def _failure_reason(report: Document) -> str:
    """Why its measurement failed; empty where it did not, or where none was asked for."""
    measurement = report.get("measurement") or {}
    return str(measurement["reason"]) if measurement.get("status") == "failed" else ""


def differing_conditions(candidates: Iterable[Candidate]) -> list[str]:
    """The conditions of latencies that not all share, one text for each, ``batch 1, batch 8``."""
    measured = [candidate.conditions for candidate in candidates if candidate.conditions]
    return [", ".join(dict.fromkeys(kind)) for kind in zip(*measured, strict=True) if len(set(kind)) > 1]
