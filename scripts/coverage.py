"""How many operators of onnx and onnxruntime have a decision on their count, by domain, as a Markdown table.

    python scripts/coverage.py

Set-up: ``pip install .`` An operator is decided if it has a formula, if it is counted through the nodes of its bodies, or if it
is on the list of operators whose work cannot be known from a graph, with a reason. tests/test_decisions.py fails for any other.
"""

from __future__ import annotations

import os
from collections import defaultdict

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # looked at when onnxruntime is imported

import onnx
import onnxruntime
from onnxruntime.capi.onnxruntime_pybind11_state import get_all_operator_schema

from onnxcost.formulas import CONTROL_FLOW, FORMULAS, UNCOUNTABLE

RUNTIME = ("com.microsoft", "com.microsoft.nchwc", "com.ms.internal.nhwc")


def operators() -> dict[str, set[str]]:
    """Every operator by domain, of all opsets, as formula tables name them."""
    found: dict[str, set[str]] = defaultdict(set)
    for schema in onnx.defs.get_all_schemas_with_history():
        found[schema.domain].add(f"{schema.domain}.{schema.name}" if schema.domain else schema.name)
    for schema in get_all_operator_schema():
        if schema.domain in RUNTIME:
            found[schema.domain].add(f"{schema.domain}.{schema.name}")
    return found


def main() -> None:
    print("| domain | operators | decided | formulas | bodies | uncountable |\n| --- | ---: | ---: | ---: | ---: | ---: |")
    for domain, names in sorted(operators().items()):
        counts = [len(names & table) for table in (FORMULAS.keys(), CONTROL_FLOW, UNCOUNTABLE.keys())]
        row = [f"`{domain or 'ai.onnx'}`", len(names), sum(counts), *counts]
        print("| " + " | ".join(map(str, row)) + " |")
    print(f"\nOf onnx {onnx.__version__}, all opsets, and onnxruntime {onnxruntime.__version__}.")


if __name__ == "__main__":
    main()
