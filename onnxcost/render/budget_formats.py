"""A budget as JSON, CSV and Markdown: base units, each figure with its basis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from onnxcost.hardware.budgets import Assessment
from onnxcost.prediction import Check, Fit, NodeTime, Span, Verdict
from onnxcost.render.as_csv import csv_text
from onnxcost.render.as_json import dumps
from onnxcost.render.as_markdown import markdown_table
from onnxcost.render.budget_text import (
    LIMITED,
    causes_text,
    latency_text,
    limits_text,
    need_text,
    price_text,
    remedy_text,
    span_text,
    tightest,
)
from onnxcost.render.escaping import markdown
from onnxcost.schema import SCHEMA
from onnxcost.version import __version__

HEADER = (
    "model", "device", "title", "kind", "level", "cause", "price", "power", "bound", "latency_low", "latency_high", "fps_low",
    "fps_high", "basis", "limit", "memory_needed", "memory_available", "flash_needed", "flash_available", "energy_at_most",
    "runs_as", "change", "change_level", "change_fps_low", "change_fps_high",
)  # fmt: skip


def budget_json(assessment: Assessment, *, nodes: bool = False) -> str:
    """A document with the keys ``model``, ``limits``, ``checks`` and ``devices``; with ``nodes`` each device's steps, too."""
    return dumps({"schema": SCHEMA, "version": __version__, **_document(assessment, nodes=nodes)})


def budgets_json(assessments: Sequence[Assessment]) -> str:
    """The documents of several models, under ``budgets``."""
    return dumps({"schema": SCHEMA, "version": __version__, "budgets": [_document(each) for each in assessments]})


def _document(assessment: Assessment, *, nodes: bool = False) -> dict[str, Any]:
    report = assessment.report
    return {
        "model": {"path": report.graph.path, "macs": report.macs, "parameters": report.parameters, "bound": report.bound},
        "limits": dict(assessment.limits.given),
        "checks": [_check(check) for check in assessment.checks],
        "devices": [_verdict(verdict, nodes=nodes) for verdict in assessment.verdicts],
    }


def _verdict(verdict: Verdict, *, nodes: bool) -> dict[str, Any]:
    prediction = verdict.prediction
    return {
        "device": verdict.name,
        "title": verdict.title,
        "kind": verdict.kind,
        "level": verdict.level,
        "checks": [_check(check) for check in verdict.checks],
        "batch": prediction.batch,
        "bound": None if prediction.bound is None else {"seconds": prediction.bound, "basis": "bound"},
        "latency": _span(prediction.latency),
        "fps": _span(prediction.fps),
        "limit": prediction.limit or None,
        "compute_bound_nodes": prediction.nodes_by_limit.get("compute", 0),
        "memory_bound_nodes": prediction.nodes_by_limit.get("memory", 0),
        "runs_as": dict(prediction.runs_as),
        "unsupported": list(prediction.unsupported),
        "not_known": list(prediction.missing),
        "notes": list(prediction.notes),
        "memory": [_fit(fit) for fit in verdict.fits],
        "cache": None if verdict.cache is None else {**verdict.cache._asdict(), "sequence_bytes": verdict.cache.sequence_bytes},
        "price": verdict.price,
        "power": verdict.power,
        "energy": None
        if verdict.energy is None
        else {"joules_at_most": verdict.energy, "basis": "power × the longest latency"},
        "remedies": [
            {"change": remedy.change, "level": remedy.verdict.level, "fps": _span(remedy.verdict.prediction.fps)}
            for remedy in verdict.remedies
        ],
        **({"nodes": [_node(node) for node in prediction.nodes]} if nodes else {}),
    }


def _span(span: Span | None) -> dict[str, Any] | None:
    return None if span is None else span._asdict()


def _check(check: Check) -> dict[str, Any]:
    return check._asdict()


def _fit(fit: Fit) -> dict[str, Any]:
    return {
        "what": fit.what, "needed_bytes": fit.needed, "parts": dict(fit.parts), "available_bytes": fit.available,
        "headroom_bytes": fit.headroom, "basis": fit.basis,
    }  # fmt: skip


def _node(node: NodeTime) -> dict[str, Any]:
    return {**node._asdict(), "span": node.span._asdict(), "limit": node.limit}


def budget_csv(assessments: Sequence[Assessment]) -> str:
    """A line for each device of each model, in base units."""
    return csv_text(HEADER, [_row(each.label, verdict) for each in assessments for verdict in each.verdicts])


def _row(label: str, verdict: Verdict) -> list[object]:
    prediction, fits = verdict.prediction, {fit.what: fit for fit in verdict.fits}
    latency, fps = prediction.latency or (None, None, None), prediction.fps or (None, None, None)
    remedy = verdict.remedies[0] if verdict.remedies else None
    after = (remedy.verdict.prediction.fps if remedy else None) or (None, None, None)
    memory, flash = fits.get("memory"), fits.get("flash")
    return [
        label, verdict.name, verdict.title, verdict.kind, verdict.level, causes_text(verdict) if verdict.cause else None,
        verdict.price, verdict.power, prediction.bound, *latency[:2], *fps[:2], latency[2], prediction.limit,
        memory and memory.needed, memory and memory.available, flash and flash.needed, flash and flash.available,
        verdict.energy, "; ".join(f"{dtype}={other}" for dtype, other in prediction.runs_as.items()),
        remedy and remedy.change, remedy and remedy.verdict.level, *after[:2],
    ]  # fmt: skip


def budget_markdown(assessments: Sequence[Assessment]) -> str:
    """A table for each model."""
    return "\n\n".join(_section(each) for each in assessments) + "\n"


def _section(assessment: Assessment) -> str:
    titles = ["Device", "Fit", "Price", "FPS", "Latency", "Memory", "Limit", "Why not", "What would fit"]
    right = [False, False, True, True, True, True, False, False, False]
    rows = [_cells(verdict) for verdict in assessment.verdicts]
    bases = sorted({latency.basis for verdict in assessment.verdicts if (latency := verdict.prediction.latency)})
    about = f"Budget: {limits_text(assessment.limits)}. FPS and latency: {' and '.join(bases) or 'not known'}."
    return "\n".join([f"### {markdown(assessment.label)}", "", markdown(about), "", *markdown_table(titles, right, rows)])


def _cells(verdict: Verdict) -> list[str]:
    prediction = verdict.prediction
    return [
        verdict.name, verdict.level, price_text(verdict), span_text(prediction.fps),
        latency_text(prediction.latency) if prediction.latency else "–", need_text(tightest(verdict.fits)),
        LIMITED.get(prediction.limit, ""), causes_text(verdict) if verdict.cause else "", remedy_text(verdict, ""),
    ]  # fmt: skip
