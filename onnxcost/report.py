"""The result of an estimate: the cost of each node, totals, groups, and the report as a dict or data frame."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from onnxcost.analysis.memory import Memory
from onnxcost.conventions import CONVENTIONS, FLOPS, MACS, Convention, find_convention
from onnxcost.costs import Counted, Group, NodeCost, Uncounted, group_costs
from onnxcost.graph import Caveat, Graph, Node, Tensor
from onnxcost.results import Result, import_pandas, make_document

if TYPE_CHECKING:
    import pandas

    from onnxcost.measurement import MeasurementResult


@dataclass(frozen=True, repr=False)
class CostReport(Result):
    """The cost of each node of a model, and the totals. ``caveats`` say why the totals are not exact."""

    graph: Graph
    costs: tuple[NodeCost, ...]
    memory: Memory
    caveats: tuple[Caveat, ...] = ()

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences on how the model was counted."""
        return tuple(dict.fromkeys(caveat.text for caveat in self.caveats))

    @property
    def bound(self) -> str:
        """Whether the totals are exact (""), "lower" or "upper" bounds, or "mixed" if there are bounds on both sides."""
        return self._bound({caveat.kind for caveat in self.caveats})

    def bound_of(self, convention: Convention) -> str:
        """The same for a convention's total; if it counts only MACs, it is exact if the nodes in question have none."""
        is_of_macs = convention.weights.keys() == {"macs"} and not convention.overrides
        return self._bound({caveat.kind for caveat in self.caveats if caveat.of_macs or not is_of_macs})

    def _bound(self, kinds: set[str]) -> str:
        kinds = kinds & {"lower", "upper"} | (set() if self.whole.complete else {"lower"})
        return "mixed" if len(kinds) > 1 else next(iter(kinds), "")

    @cached_property
    def whole(self) -> Group:
        """All nodes as one group: ``whole.work``, ``whole.traffic``."""
        return Group((), self.costs)

    @property
    def counted(self) -> tuple[Counted, ...]:
        """The nodes that were counted."""
        return self.whole.counted

    @property
    def uncounted(self) -> tuple[Uncounted, ...]:
        """The nodes that were not counted, each with the reason."""
        return tuple([cost for cost in self.costs if isinstance(cost, Uncounted)]) if not self.whole.complete else ()

    @property
    def complete(self) -> bool:
        """Whether all nodes and all of their executions were counted; otherwise the totals are lower bounds."""
        return self.whole.complete and all(caveat.kind != "lower" for caveat in self.caveats)

    @property
    def has_all_weights(self) -> bool:
        """Whether parameters and bytes of weights are exact: all bodies were analyzed, including those not executed."""
        return not any(cost.node.open_reason for cost in self.uncounted)

    @property
    def assumed(self) -> tuple[str, ...]:
        """The options that replace the assumptions."""
        return tuple(dict.fromkeys(dim.option for dim in self.graph.dims if dim.source == "assumed"))

    @property
    def parameters(self) -> int:
        """Elements of the distinct constants used as weights."""
        return self.memory.parameters

    @property
    def macs(self) -> int:
        """The total in the convention ``macs``."""
        return self.total(MACS)

    @property
    def flops(self) -> int:
        """The total in the convention ``flops``."""
        return self.total(FLOPS)

    @property
    def intensity(self) -> float | None:
        """FLOPs per byte read or written; None for a model that reads and writes nothing."""
        moved = self.whole.traffic.total
        return self.flops / moved if moved else None

    def total(self, convention: Convention | str) -> int:
        """The model's number under a convention; raises KeyError for an unknown name."""
        chosen = CONVENTIONS[convention] if isinstance(convention, str) else convention
        return sum(group.total(chosen) for group in self.by_operator())

    def by_operator(self) -> tuple[Group, ...]:
        """Groups keyed (domain, op_type)."""
        return self._operators

    @cached_property
    def _operators(self) -> tuple[Group, ...]:
        return group_costs(self.costs, lambda cost: (cost.node.domain, cost.node.op_type))

    def by_scope(self, depth: int) -> tuple[Group, ...]:
        """Groups keyed by the first ``depth`` parts of the module scope; the empty key is for nodes without a scope."""
        return group_costs(self.costs, lambda cost: cost.node.scope[:depth])

    def by_dtype(self) -> tuple[Group, ...]:
        """Counted nodes, keyed (dtype,)."""
        return group_costs(self.counted, lambda cost: (cost.dtype,) if isinstance(cost, Counted) else ("",))

    def top(self, count: int | None, convention: Convention = FLOPS) -> tuple[Counted, ...]:
        """The ``count`` most expensive nodes, most expensive first; all nodes for None."""
        return tuple(sorted(self.counted, key=lambda cost: -cost.count(convention))[:count])

    def to_dict(
        self,
        convention: Convention | str = FLOPS,
        measurement: MeasurementResult | None = None,
        batches: Sequence[MeasurementResult] = (),
        *,
        nodes: bool = True,
    ) -> dict[str, Any]:
        """The report as plain data, schema ``onnxcost/1``: what ``--format json`` prints.

        ``batches`` are measurements at several batch sizes. ``nodes`` and the curve of ``memory``, most of the
        document, can be omitted. Totals exclude the nodes in ``uncounted``; ``complete`` says whether there are none.

        Raises InputError for a convention that does not exist.
        """
        chosen = find_convention(convention) if isinstance(convention, str) else convention
        return {
            **_model_fields(self.graph),
            "complete": self.complete,
            "bound": self.bound,
            "macs_bound": self.bound_of(MACS),
            "convention": chosen.name,
            "totals": _totals(self, chosen),
            "memory": _memory(self, has_curve=nodes),
            "conventions": {name: self.total(each) for name, each in CONVENTIONS.items()},
            "by_dtype": [
                {"dtype": group.key[0], **_counts(group, chosen), "nodes": len(group.costs)} for group in self.by_dtype()
            ],
            "by_operator": [_operator(group, chosen) for group in self.by_operator()],
            **({"nodes": [_node(cost, chosen) for cost in self.counted]} if nodes else {}),
            "uncounted": [{**_node_identity(cost.node), "reason": cost.reason} for cost in self.uncounted],
            "warnings": list(self.warnings),
            **_measurement_fields(measurement, batches),
        }

    def to_pandas(self) -> pandas.DataFrame:
        """One row per node, in execution order; nodes that are not counted have a reason, and ``pandas.NA`` for the numbers.

        Raises OnnxCostError if pandas is not installed.
        """
        pandas = import_pandas()
        frame = pandas.DataFrame(self.to_records(), columns=COLUMNS, dtype=object)
        for column in NUMBERS:
            # A column with numbers of more than 64 bits keeps Python's integers.
            with suppress(OverflowError):
                frame[column] = pandas.array(frame[column].array, dtype="Int64")
        return frame

    def to_records(self) -> list[dict[str, Any]]:
        """One row per node, in order of execution, under the names in COLUMNS."""
        return [record_of(cost) for cost in self.costs]

    def summary(self) -> str:
        """The model and its totals."""
        of_macs, sign = (_SIGNS.get(bound, "~ ") for bound in (self.bound_of(MACS), self.bound))
        counts = f"{of_macs}{self.macs} MACs, {sign}{self.flops} FLOPs, {self.parameters} parameters"
        return f"{self.graph.path or self.graph.name}: {counts}, {len(self.costs)} nodes"


_SIGNS = {"": "", "lower": "≥ ", "upper": "≤ "}

IDENTITY = ("name", "op_type", "domain", "scope", "dtype", "output_shape", "not_counted")
NUMBERS = ("repeat", "macs", "flops", "parameters", "read_bytes", "write_bytes")
COLUMNS = (*IDENTITY, *NUMBERS)
STORED = ("parameters", "running_statistics", "buffers", "buffer_bytes", "weight_bytes")


def record_of(cost: NodeCost) -> dict[str, Any]:
    """The row of a node, under the names in COLUMNS: unknown numbers, and the reason for a counted node, are None."""
    node, output = cost.node, cost.node.first_output
    row = dict.fromkeys(COLUMNS) | {
        "name": node.name or (output.name if output else ""),
        "op_type": node.op_type,
        "domain": node.domain,
        "scope": "/".join(node.scope),
        "output_shape": output.dims if output else None,
        "repeat": node.repeat,
        "parameters": cost.parameters,
    }
    if isinstance(cost, Uncounted):
        return row | {"not_counted": cost.reason}
    moved = {"read_bytes": cost.traffic.read_bytes, "write_bytes": cost.traffic.write_bytes}
    return row | {"dtype": cost.dtype, "macs": cost.count(MACS), "flops": cost.count(FLOPS), **moved}


def measurements_to_dict(
    graph: Graph, measurement: MeasurementResult | None, batches: Sequence[MeasurementResult] = ()
) -> dict[str, Any]:
    """A document of measurements without a report, under the same keys."""
    return {**_model_fields(graph), **_measurement_fields(measurement, batches)}


def _model_fields(graph: Graph) -> dict[str, Any]:
    named = {name: getattr(graph, name) for name in ("path", "name", "producer", "ir_version")}
    return make_document(
        model={**named, "opsets": dict(graph.opsets), "file_bytes": graph.file_bytes, "nodes": len(graph.nodes)},
        inputs=_tensors(graph.inputs),
        outputs=_tensors(graph.outputs),
        dims=[
            {"name": dim.name, "value": dim.value, "source": dim.source, "option": dim.option, "reason": dim.reason}
            for dim in graph.dims
        ],
    )


def _tensors(tensors: Iterable[Tensor | None]) -> list[dict[str, Any] | None]:
    return [
        None
        if tensor is None
        else {"name": tensor.name, "dtype": tensor.dtype, "shape": None if tensor.dims is None else list(tensor.dims)}
        for tensor in tensors
    ]


def _counts(counts: Group | Counted, convention: Convention) -> dict[str, int]:
    count = counts.total if isinstance(counts, Group) else counts.count
    own = {} if convention.name in (FLOPS.name, MACS.name) else {"count": count(convention)}
    return {"macs": count(MACS), "flops": count(FLOPS), **own}


def _totals(report: CostReport, convention: Convention) -> dict[str, Any]:
    memory, traffic = report.memory, report.whole.traffic
    return {
        **_counts(report.whole, convention),
        **{name: getattr(memory, name) for name in STORED},
        "weight_bytes_by_dtype": dict(memory.weight_bytes_by_dtype),
        "peak_activation_bytes": memory.peak_activation_bytes,
        "read_bytes": traffic.read_bytes,
        "write_bytes": traffic.write_bytes,
        "intensity": report.intensity,
        "dequantization_flops": report.whole.work.dequantizations,
        "work": report.whole.work.to_dict(),
    }


def _memory(report: CostReport, *, has_curve: bool) -> dict[str, Any] | None:
    """The memory of the activations at its peak and, with ``has_curve``, while each executed node runs."""
    peak, plan = report.memory.peak, report.memory.plan
    if peak is None:
        return None
    found = {
        "peak_bytes": peak.nbytes,
        "node": None if peak.node is None else _node_identity(peak.node),
        "workspace_bytes": peak.workspace,
        "tensors": [{"name": name, "bytes": nbytes} for name, nbytes in peak.tensors.items()],
    }
    if not has_curve or plan is None:
        return found
    steps = zip(plan.nodes, plan.curve, plan.workspaces, strict=True)
    curve = [{**_node_identity(node), "bytes": nbytes, "workspace_bytes": own} for node, nbytes, own in steps]
    return {**found, "curve": curve}


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


def _measurement_fields(measurement: MeasurementResult | None, batches: Sequence[MeasurementResult]) -> dict[str, Any]:
    """The key ``batches`` exists only if several were measured."""
    several = {"batches": [each.to_dict() for each in batches]} if batches else {}
    return {"measurement": None if measurement is None else measurement.to_dict(), **several}
