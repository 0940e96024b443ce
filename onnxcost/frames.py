"""Results as pandas data frames, where pandas is installed."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from onnxcost.conventions import FLOPS, MACS
from onnxcost.errors import OnnxCostError
from onnxcost.report import CostReport, Counted, NodeCost

if TYPE_CHECKING:
    import pandas

    from onnxcost.measurement import Measurement


IDENTITY = ("name", "op_type", "domain", "scope", "dtype", "output_shape", "not_counted")
NUMBERS = ("repeat", "macs", "flops", "parameters", "read_bytes", "write_bytes")
COLUMNS = (*IDENTITY, *NUMBERS)


def report_frame(report: CostReport) -> pandas.DataFrame:
    """One row a node, in order of execution; one that is not counted has its reason, and ``pandas.NA`` for the numbers."""
    pandas = _pandas()
    frame = pandas.DataFrame([_record(cost) for cost in report.costs], columns=COLUMNS, dtype=object)
    for column in NUMBERS:
        # Of numbers beyond 64 bits the column stays one of Python's integers.
        with suppress(OverflowError):
            frame[column] = pandas.array(frame[column].array, dtype="Int64")
    return frame


def measurement_frame(measurement: Measurement) -> pandas.DataFrame:
    """One row a run, the seconds it took; the index counts the runs from 1."""
    pandas = _pandas()
    runs = pandas.RangeIndex(1, measurement.runs + 1, name="run")
    return pandas.DataFrame({"seconds": measurement.samples}, index=runs)


def _pandas() -> Any:
    try:
        import pandas
    except ImportError:
        raise OnnxCostError("to_pandas() needs pandas, which is not installed: pip install pandas") from None
    return pandas


def _record(cost: NodeCost) -> tuple[Any, ...]:
    """The values of COLUMNS."""
    node = cost.node
    output = next((tensor for tensor in node.outputs if tensor is not None), None)
    name = node.name or (output.name if output else "")
    identity = (name, node.op_type, node.domain, "/".join(node.scope))
    shape = output.dims if output else None
    if not isinstance(cost, Counted):
        return (*identity, None, shape, cost.reason, node.repeat, None, None, cost.parameters, None, None)
    moved = cost.traffic
    numbers = (node.repeat, cost.count(MACS), cost.count(FLOPS), cost.parameters, moved.read_bytes, moved.write_bytes)
    return (*identity, cost.dtype, shape, None, *numbers)
