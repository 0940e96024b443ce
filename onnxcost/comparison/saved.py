"""Reports in the schema ``onnxcost/1``, fresh or loaded from a file, as the candidates of a comparison."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from onnxcost.comparison.candidates import DATE, METRICS, Candidate, CostedNode, CostedOperator, Document, Number
from onnxcost.conventions import FLOPS, MACS
from onnxcost.documents import MOST_JSON, is_figure, parse_json, read_document
from onnxcost.errors import InputError
from onnxcost.results import SCHEMA

HOW = "create one with 'onnxcost MODEL -o cost.json'"


def load_report(path: str, board: str = "") -> Document:
    """The report in a file, or of a ``board`` in the file of a fleet.

    Raises InputError for a file that is not a report or a measurement in the schema, and for a board without a result.
    """
    document = _load(path)
    if board:
        found = next(each for each in document["boards"] if str(each["board"]) == board)
        if not isinstance(document := found.get("result"), dict):
            raise InputError(f"'{board}' in '{path}' has no result: {found.get('failure')}: {found.get('reason')}")
    if not isinstance(document.get("totals"), dict) and not isinstance(document.get("measurement"), dict):
        raise InputError(f"'{path}' has neither counts nor a single measurement of a model: {HOW}")
    return document


def boards_in(path: str) -> list[str]:
    """The names of the boards in a saved file; none in that of one machine, or if it cannot be read."""
    try:
        boards = _load(path).get("boards")
        return [str(board["board"]) for board in boards] if isinstance(boards, list) else []
    except (InputError, KeyError, TypeError):
        return []


def _load(path: str) -> Document:
    try:
        document = parse_json(read_document(path, MOST_JSON))
    except ValueError as error:
        raise InputError(f"'{path}' is not JSON ({error}): {HOW}") from None
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        found = document.get("schema") if isinstance(document, dict) else None
        what = f"has the schema '{found}'" if isinstance(found, str) else "is not an onnxcost report"
        raise InputError(f"'{path}' {what}: a saved report has the schema '{SCHEMA}'; {HOW}")
    return document


def read_candidate(report: Document, label: str, convention: str = FLOPS.name) -> Candidate:
    """The candidate that a report describes, with its nodes counted in a convention.

    Raises InputError for a damaged report, and for one that was saved without the counts of its nodes in the convention.
    """
    if convention not in (FLOPS.name, MACS.name, report.get("convention")):
        raise InputError(
            f"'{label}' was saved without node counts in '{convention}': save it again with --convention {convention}"
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
    if "totals" not in report:
        return _measured_alone(report, label)
    bound = report.get("bound", "" if report["complete"] else "lower")
    if bound not in ("", "lower", "upper", "mixed"):
        raise _Damaged(f"bound is {bound!r}")
    measurement = report.get("measurement") or {}
    notes = _notes(report)
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
        inputs=_inputs(report),
        operators=tuple(operators),
        nodes=tuple(_node(node, count) for node in report["nodes"]),
        conditions=_conditions(measurement),
        unmeasured=str(measurement["reason"]) if measurement.get("status") == "failed" else "",
        interrupted=measurement.get("interrupted") is True,
        notes=(*notes, *map(str, report["warnings"])),
    )


def _measured_alone(report: Document, label: str) -> Candidate:
    """The candidate of ``onnxcost measure``, which has no counts."""
    measurement = report["measurement"]
    return Candidate(
        label,
        _values(report),
        bound=measurement.get("bound") or "",
        inputs=_inputs(report),
        conditions=_conditions(measurement),
        unmeasured=str(measurement["reason"]) if measurement["status"] == "failed" else "",
        interrupted=measurement.get("interrupted") is True,
        notes=tuple(_notes(report)),
    )


def _inputs(report: Document) -> tuple[str, ...]:
    return tuple("×".join("?" if dim is None else str(dim) for dim in each["shape"] or ()) for each in report["inputs"])


def _notes(report: Document) -> list[str]:
    """The assumptions on dims and weights."""
    assumed = [f"{dim['name']} = {dim['value']} ({dim['option']})" for dim in report["dims"] if dim["source"] == "assumed"]
    notes = [f"assumed {', '.join(assumed)}"] if assumed else []
    if (report.get("measurement") or {}).get("weights") == "synthesised":
        notes.append("timed with random weights, because the file has none")
    return notes


def _values(report: Document) -> dict[str, Number]:
    """The metrics in the report. One that is not a number is an error: if it were left out, a limit would not be checked."""
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
    return f"{name} is {value!r}, not a number of at least 0"


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
    """The known dims; open ones do not show what was counted."""
    return tuple(dim for dim in (tensor or {}).get("shape") or () if type(dim) is int)


def _conditions(measurement: Mapping[str, Any]) -> dict[str, str]:
    """What a latency depends on in addition to the model, and when it was measured; empty if there is none."""
    if measurement.get("status") != "ok":
        return {}
    environment, threads = measurement.get("environment") or {}, measurement.get("threads") or {}
    memory, clock = measurement.get("device_memory_bytes"), environment.get("max_frequency")
    found = {
        "Device": measurement.get("device"),
        "Provider": measurement.get("provider"),
        "onnxruntime": measurement.get("onnxruntime"),
        "Threads": threads.get("intra"),
        "Batch": measurement.get("batch"),
        "Memory": memory and f"{float(memory) / 2**30:.3g} GiB",
        "Cores": environment.get("usable_cores"),
        "Clock": clock and f"{float(clock) / 1e9:.3g} GHz",
        "Governor": environment.get("governor"),
        "Platform": environment.get("platform"),
        DATE: str(environment.get("date") or "")[:10],
    }
    return {
        name: f"{value:g}" if isinstance(value, float) else str(value)
        for name, value in found.items()
        if value not in (None, "")
    }
