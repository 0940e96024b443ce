"""A node data provider for Google's Model Explorer that counts the open model.

model-explorer model.onnx --extensions=onnxcost.cli.model_explorer
"""

from __future__ import annotations

from typing import Any

from model_explorer import (
    GetConfigEditorsResult,
    NodeDataProvider,
    NodeDataProviderFilter,
    NodeDataProviderMetadata,
    NodeDataProviderResult,
)
from model_explorer.node_data_builder import GradientItem, GraphNodeData, NodeDataResult

from onnxcost.conventions import FLOPS, MACS
from onnxcost.errors import OnnxCostError
from onnxcost.estimator import estimate
from onnxcost.frontend.annotate import function_calls
from onnxcost.render.node_data import WHITE_TO_RED, count_by_output


class CostProvider(NodeDataProvider):  # type: ignore[misc]
    """MACs and FLOPs of each node, as ``onnxcost MODEL`` counts them."""

    metadata = NodeDataProviderMetadata(
        id="onnxcost",
        name="onnxcost",
        description="MACs and FLOPs of each node, counted from the graph",
        icon="speed",
        filter=NodeDataProviderFilter(modelFileExts=["onnx"]),
    )

    def get_config_editors(self, provider_id: str) -> Any:
        """There are no settings."""
        return GetConfigEditorsResult(configEditors=[])

    def run(self, provider_id: str, model_path: str, graph_id: str, config_values: dict[str, Any], graph: Any = None) -> Any:
        """Node data for MACs and for FLOPs; an error of one line for a model that cannot be counted."""
        try:
            report, calls = estimate(model_path), function_calls(model_path)
        except OnnxCostError as error:
            return NodeDataProviderResult(error=str(error))
        data = [
            GraphNodeData(
                name=title,
                results={
                    name: NodeDataResult(value=value) for name, value in count_by_output(report, convention, calls).items()
                },
                gradient=[GradientItem(**stop) for stop in WHITE_TO_RED],
            )
            for title, convention in (("MACs", MACS), ("FLOPs", FLOPS))
        ]
        return NodeDataProviderResult(result=data)
