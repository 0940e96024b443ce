"""The schema ``onnxcost/1``: results as plain data. Counts are integers, times seconds, sizes bytes. Keys are stable."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from onnxcost.conventions import CONVENTIONS, FLOPS, MACS, Convention, convention_named
from onnxcost.graph import Graph, Node, Tensor
from onnxcost.report import CostReport, Counted, Group
from onnxcost.version import __version__

if TYPE_CHECKING:
    from onnxcost.measurement import Measurement, MeasurementResult

SCHEMA = "onnxcost/1"


def report_to_dict(
    report: CostReport,
    convention: Convention | str = FLOPS,
    measurement: MeasurementResult | None = None,
    batches: Sequence[MeasurementResult] = (),
    *,
    has_nodes: bool = True,
) -> dict[str, Any]:
    """The report as plain dicts, lists, strings and numbers; ``batches`` are the measurements at several batch sizes.

    ``nodes``, most of the document, can be left out. Sums leave out what ``uncounted`` lists; ``complete`` says whether that is
    nothing. Raises InputError for a convention that does not exist.
    """
    chosen = convention_named(convention) if isinstance(convention, str) else convention
    return {
        **_identified(report.graph),
        "complete": report.complete,
        "bound": report.bound,
        "convention": chosen.name,
        "totals": _totals(report, chosen),
        "conventions": {name: report.total(each) for name, each in CONVENTIONS.items()},
        "by_dtype": [
            {"dtype": group.key[0], **_counts(group, chosen), "nodes": len(group.costs)} for group in report.by_dtype()
        ],
        "by_operator": [_operator(group, chosen) for group in report.by_operator()],
        **({"nodes": [_node(cost, chosen) for cost in report.counted]} if has_nodes else {}),
        "uncounted": [{**_node_identity(cost.node), "reason": cost.reason} for cost in report.uncounted],
        "warnings": list(report.warnings),
        **_measured(measurement, batches),
    }


def measured_to_dict(
    graph: Graph, measurement: MeasurementResult | None, batches: Sequence[MeasurementResult] = ()
) -> dict[str, Any]:
    """A document of measurements alone, under the keys that they have in a report."""
    return {**_identified(graph), **_measured(measurement, batches)}


def _identified(graph: Graph) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "version": __version__,
        "model": _model(graph),
        "inputs": _tensors(graph.inputs),
        "outputs": _tensors(graph.outputs),
        "dims": [{"name": dim.name, "value": dim.value, "source": dim.source, "option": dim.option} for dim in graph.dims],
    }


def _model(graph: Graph) -> dict[str, Any]:
    return {
        "path": graph.path,
        "name": graph.name,
        "producer": graph.producer,
        "ir_version": graph.ir_version,
        "opsets": dict(graph.opsets),
        "file_bytes": graph.file_bytes,
        "nodes": len(graph.nodes),
    }


def _tensors(tensors: Iterable[Tensor | None]) -> list[dict[str, Any] | None]:
    return [
        None if tensor is None else {"name": tensor.name, "dtype": tensor.dtype, "shape": _shape(tensor)} for tensor in tensors
    ]


def _shape(tensor: Tensor) -> list[int | str | None] | None:
    return None if tensor.dims is None else list(tensor.dims)


def _counts(counts: Group | Counted, convention: Convention) -> dict[str, int]:
    count = counts.total if isinstance(counts, Group) else counts.count
    own = {} if convention.name in (FLOPS.name, MACS.name) else {"count": count(convention)}
    return {"macs": count(MACS), "flops": count(FLOPS), **own}


def _totals(report: CostReport, convention: Convention) -> dict[str, Any]:
    memory, traffic = report.memory, report.whole.traffic
    return {
        **_counts(report.whole, convention),
        "parameters": memory.parameters,
        "running_statistics": memory.running_statistics,
        "weight_bytes": memory.weight_bytes,
        "weight_bytes_by_dtype": dict(memory.weight_bytes_by_dtype),
        "peak_activation_bytes": memory.peak_activation_bytes,
        "read_bytes": traffic.read_bytes,
        "write_bytes": traffic.write_bytes,
        "intensity": report.intensity,
        "work": report.whole.work.to_dict(),
    }


def _operator(group: Group, convention: Convention) -> dict[str, Any]:
    domain, op_type = group.key
    traffic = group.traffic
    return {
        "op_type": op_type,
        "domain": domain,
        "nodes": len(group.costs),
        "uncounted": len(group.costs) - len(group.counted),
        **_counts(group, convention),
        "parameters": group.parameters,
        "read_bytes": traffic.read_bytes,
        "write_bytes": traffic.write_bytes,
    }


def _node_identity(node: Node) -> dict[str, Any]:
    return {"name": node.name, "op_type": node.op_type, "domain": node.domain}


def _node(cost: Counted, convention: Convention) -> dict[str, Any]:
    node, traffic = cost.node, cost.traffic
    return {
        **_node_identity(node),
        "scope": list(node.scope),
        "dtype": cost.dtype,
        "repeat": node.repeat,
        "inputs": _tensors(node.inputs),
        "outputs": _tensors(node.outputs),
        **_counts(cost, convention),
        "work": cost.work.to_dict(),
        "parameters": cost.parameters,
        "read_bytes": traffic.read_bytes,
        "write_bytes": traffic.write_bytes,
    }


def _measured(measurement: MeasurementResult | None, batches: Sequence[MeasurementResult]) -> dict[str, Any]:
    """The key ``batches`` is there where several were measured."""
    several = {"batches": [measurement_to_dict(each) for each in batches]} if batches else {}
    return {"measurement": None if measurement is None else measurement_to_dict(measurement), **several}


def measurement_to_dict(result: MeasurementResult) -> dict[str, Any]:
    """The key ``measurement`` of the schema: ``status`` "ok" and what was measured, or "skipped" or "failed" and why."""
    from onnxcost.measurement import Unmeasured

    if isinstance(result, Unmeasured):
        return {"status": result.status, "reason": result.reason}
    return {
        "status": "ok",
        "reason": None,
        **_conditions(result),
        "latency": result.latency.to_dict(),
        "samples": result.samples.tolist(),
        "wall_seconds": result.wall_seconds,
        "fps": result.fps,
        "flops": result.flops,
        "bound": result.bound,
        "flops_per_second": result.flops_per_second,
        "session_seconds": result.session_seconds,
        "first_run_seconds": result.first_run_seconds,
        **result.memory._asdict(),
        "copies": None if result.copies is None else result.copies._asdict(),
        "advice": [advice.text for advice in result.advice],
    }


def _conditions(measurement: Measurement) -> dict[str, Any]:
    """What was run how and where."""
    settings, device, placement = measurement.settings, measurement.device, measurement.placement
    intra, inter = measurement.threads
    environment = measurement.environment._asdict()
    return {
        "provider": settings.provider,
        "provider_options": dict(settings.provider_options),
        "device": device.name,
        "driver": device.driver or None,
        "device_memory_bytes": device.memory_bytes,
        "onnxruntime": environment.pop("onnxruntime"),
        "optimization": settings.optimization,
        "threads": {"intra": intra, "inter": inter},
        "concurrency": settings.concurrency,
        "seed": settings.seed,
        "batch": measurement.batch,
        "weights": measurement.weights,
        "inputs": [{**used._asdict(), "shape": list(used.shape)} for used in measurement.inputs],
        "warmup_runs": measurement.warmup_runs,
        "runs": measurement.runs,
        "nodes_by_provider": None if placement is None else dict(placement.nodes_by_provider),
        "fallen_back": [] if placement is None else list(placement.fallen_back),
        "environment": environment,
    }
