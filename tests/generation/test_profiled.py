"""Decoders as onnxruntime's profile of a run without optimizations has them: each node's shapes and bytes, and the MACs."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from math import prod
from pathlib import Path
from typing import Any

import onnxruntime
import pytest

from onnxcost.generation.decoder import StepSizes, read_decoder
from onnxcost.generation.phases import DECODE, PREFILL, count_phase
from onnxcost.runtime.inputs.feeds import arrays_of, to_ort_value
from onnxcost.runtime.prepare import prepare
from onnxcost.spec import ModelSpec
from tests.generation.exports import read_archive

SIZES = {PREFILL: StepSizes(2, 12, 0), DECODE: StepSizes(2, 1, 30)}
WHOLE = (
    "genai_llama_fp32",
    "genai_llama_int4_cpu",
    "genai_qwen3_int4",
    "genai_lfm2_fp32",
    "opt_llama",
    "opt_gemma3",
    "opt_gpt2",
    "opt_bloom",
    "torch_llama_script",
    "torch_llama_dynamo",
    "tf_decoder",
)
"""That take any number of tokens; the others take one."""
SINGLE = ("torch_qwen3_next_script", "torch_granite_hybrid_dynamo", "torch_jamba_dynamo", "torch_falcon_h1_dynamo")

Shapes = list[list[int]]
MACS: Mapping[str, Callable[[Shapes, Shapes], int]] = {
    **dict.fromkeys(("MatMul", "Gemm", "MatMulNBits"), lambda read, made: prod(made[0]) * read[0][-1]),
    **dict.fromkeys(("Conv", "CausalConvWithState"), lambda read, made: prod(made[0]) * prod(read[1][1:])),
    # Scores and sums over as many positions as the new cache has.
    "GroupQueryAttention": lambda read, made: 2 * prod(made[0]) * made[1][2],
}
"""By the shapes that were read and made."""


def profile(path: str, feeds: Mapping[str, Any], folder: Path) -> list[dict[str, Any]]:
    """What onnxruntime says of each node of a run as the file has it."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.enable_profiling, options.profile_file_prefix = True, str(folder / "profile")
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    session.run(None, dict(feeds))
    events = json.loads(Path(session.end_profiling()).read_text())
    return [event for event in events if event["cat"] == "Node" and event["name"].endswith("_kernel_time")]


def shapes(listed: list[dict[str, list[int]]]) -> Shapes:
    return [shape for each in listed for shape in each.values()]


@pytest.mark.parametrize(
    ("name", "phase"), [*((name, phase) for name in WHOLE for phase in SIZES), *((name, DECODE) for name in SINGLE)]
)
def test_each_node_is_as_it_ran(name: str, phase: str, tmp_path: Path) -> None:
    spec = ModelSpec(read_archive()[name])
    decoder = read_decoder(spec)
    report = count_phase(decoder, spec, phase, SIZES[phase]).report
    with prepare(decoder.spec_at(spec, SIZES[phase]), report) as ready:
        feeds = {feed.name: to_ort_value(arrays_of(feed, 0)[0], feed.dtype) for feed in ready.feeds}
        ran = profile(ready.path, feeds, tmp_path)
    counted = {node.name: node for node in report.graph.nodes}
    macs = 0
    for event in ran:
        read, made = (shapes(event["args"][f"{side}_type_shape"]) for side in ("input", "output"))
        node = counted[event["name"].removesuffix("_kernel_time")]
        outputs = [tensor for tensor in node.outputs if tensor is not None]
        assert [list(tensor.shape) for tensor in outputs] == made, node
        assert sum(tensor.nbytes for tensor in outputs) == int(event["args"]["output_size"]), node
        macs += MACS.get(node.op_type, lambda read, made: 0)(read, made)
    assert len(ran) > 0.5 * len(counted)
    assert macs == report.macs
