"""A comparison as JSON and CSV."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from math import isfinite
from typing import Any

from onnxcost.comparison.agreement import Agreement
from onnxcost.comparison.candidates import Candidate, Comparison, CostedNode
from onnxcost.comparison.differences import Differences, more
from onnxcost.comparison.metrics import METRICS
from onnxcost.render.as_csv import csv_text
from onnxcost.render.as_json import dumps
from onnxcost.schema import SCHEMA
from onnxcost.version import __version__


def comparison_json(comparison: Comparison, differences: Sequence[Differences]) -> str:
    """A document with the keys ``models``, ``broken`` and ``differences``; what a model lacks is not among its metrics."""
    return dumps(
        {
            "schema": SCHEMA,
            "version": __version__,
            "convention": comparison.convention,
            "baseline": comparison.baseline.label,
            "models": _models(comparison),
            "broken": [broken._asdict() for broken in comparison.broken],
            "differences": [_differences(each) for each in differences],
        }
    )


def _models(comparison: Comparison) -> list[dict[str, Any]]:
    best = {name: comparison.best(name) for name in comparison.metrics}
    front = comparison.front()
    checked = any(model.agreement for model in comparison.candidates)
    return [
        {
            "label": model.label,
            "bound": model.bound,
            "metrics": dict(model.values),
            "relative": {name: comparison.relative(model, name) for name in model.values},
            "best": [name for name, labels in best.items() if model.label in labels],
            **({"pareto": model.label in front} if comparison.pareto else {}),
            "latency_ratio": model.ratio and model.ratio.value,
            "latency_ratio_ci95": list(model.ratio.ci95) if model.ratio and model.ratio.ci95 else None,
            "not_measured": model.unmeasured or None,
            **({"outputs": _outputs(model.agreement)} if checked else {}),
            "conditions": list(model.conditions),
            "warnings": list(model.notes),
        }
        for model in comparison.candidates
    ]


def _outputs(agreement: Agreement | None) -> dict[str, Any] | None:
    if agreement is None:
        return None
    return {
        "reference": agreement.reference,
        "reason": agreement.reason or None,
        "inputs": [fed._asdict() for fed in agreement.inputs],
        "outputs": [
            asdict(each) | {"absolute": _finite(each.absolute), "relative": _finite(each.relative)}
            for each in agreement.outputs
        ],
        "alone": list(agreement.alone),
    }


def _finite(value: float | None) -> float | None:
    """JSON has no infinity."""
    return value if value is not None and isfinite(value) else None


def _differences(differences: Differences) -> dict[str, Any]:
    alignment = differences.alignment
    return {
        "model": differences.right.label,
        "count": differences.count,
        "parameters": differences.parameters,
        "traffic_bytes": differences.traffic,
        "operators": [
            {
                "op_type": each.operator,
                "nodes": [each.left.nodes, each.right.nodes],
                "count": [each.left.count, each.right.count],
            }
            | {
                "parameters": [each.left.parameters, each.right.parameters],
                "traffic_bytes": [each.left.traffic, each.right.traffic],
            }
            for each in differences.operators
        ],
        "layers": {"alike": alignment.alike, "of": list(alignment.layers), "correspond": alignment.is_close},
        "changes": [asdict(change) for change in differences.changes],
        "different_layers": [
            {"nodes": [_node(pair.left), _node(pair.right)], "count": more(pair)} for pair in differences.layers
        ],
    }


def _node(node: CostedNode | None) -> dict[str, Any] | None:
    if node is None:
        return None
    return {
        "name": node.name,
        "op_type": node.operator,
        "output": list(node.output),
        "macs": node.macs,
        "count": node.count,
    }


def comparison_csv(comparison: Comparison) -> str:
    """One line a model, in base units; one that could not be compared has its reason and no numbers."""
    names = [name for name in METRICS if any(name in candidate.values for candidate in comparison.candidates)]
    front = comparison.front()
    optional: dict[str, Callable[[Candidate], object]] = {
        "latency_ratio": lambda each: each.ratio and each.ratio.value,
        "latency_ratio_low": lambda each: each.ratio and each.ratio.ci95 and each.ratio.ci95[0],
        "latency_ratio_high": lambda each: each.ratio and each.ratio.ci95 and each.ratio.ci95[1],
        "pareto": lambda each: int(each.label in front) if comparison.pareto else None,
        "output_difference": lambda each: _farthest(each, "absolute"),
        "output_relative_difference": lambda each: _farthest(each, "relative"),
        "not_measured": lambda each: each.unmeasured or None,
    }
    columns = {name: of for name, of in optional.items() if any(of(each) is not None for each in comparison.candidates)}
    rows: list[list[object]] = [
        [each.label, *(each.values.get(name) for name in names), each.bound, *(of(each) for of in columns.values()), None]
        for each in comparison.candidates
    ]
    rows += [[label, *(None for _ in names), None, *(None for _ in columns), reason] for label, reason in comparison.broken]
    return csv_text(["model", *names, "bound", *columns, "not_compared"], rows)


def _farthest(model: Candidate, what: str) -> float | None:
    """Of all outputs that could be compared."""
    values = [getattr(each, what) for each in model.agreement.outputs] if model.agreement else []
    return max((value for value in values if value is not None), default=None)
