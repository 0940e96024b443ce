"""Exports of many families by four exporters: caches and states, MACs and bytes against figures made by hand."""

from __future__ import annotations

from itertools import pairwise
from math import prod

import onnx
import pytest

from onnxcost.generation.decoder import StepSizes, read_decoder
from onnxcost.generation.phases import DECODE, PREFILL, KvBytes, count_phase
from onnxcost.spec import ModelSpec
from tests.generation.exports import EXPORTS, read_archive

SIZES = {PREFILL: StepSizes(2, 100, 0, 50), DECODE: StepSizes(2, 1, 255, 50)}


def spec_of(name: str) -> ModelSpec:
    return ModelSpec(read_archive()[name])


@pytest.mark.parametrize("name", EXPORTS)
def test_bytes_of_a_token_and_of_states(name: str) -> None:
    expected, own = EXPORTS[name], KvBytes.of(read_decoder(spec_of(name)))
    assert own.token == expected.token
    assert own.state == expected.state
    assert own.source == (expected.token if expected.source else 0)


@pytest.mark.parametrize("name", [name for name, export in EXPORTS.items() if export.macs])
def test_macs_are_those_of_the_flop_counter(name: str) -> None:
    decoder = read_decoder(spec_of(name))
    asked = SIZES if decoder.is_open else {DECODE: SIZES[DECODE]}
    found = [count_phase(decoder, spec_of(name), phase, sizes).report for phase, sizes in asked.items()]
    assert tuple(report.macs for report in found) == EXPORTS[name].macs
    assert not any(report.uncounted for report in found)


def stored_bytes(name: str) -> int:
    """What is stored of the matrices that every token is multiplied with, those with two dims or more, and of vectors."""
    model = onnx.load_from_string(read_archive()[name])
    used = {read for node in model.graph.node if not node.op_type.startswith(("Gather", "Slice")) for read in node.input}
    bits = {onnx.TensorProto.FLOAT: 32, onnx.TensorProto.FLOAT16: 16, onnx.TensorProto.UINT8: 8, onnx.TensorProto.INT8: 8}
    tables = {"cos_cache", "sin_cache"}
    return sum(
        prod(tensor.dims) * bits.get(tensor.data_type, 0) // 8
        for tensor in model.graph.initializer
        if tensor.name in used - tables
    )


@pytest.mark.parametrize(
    "name", [n for n in EXPORTS if n.startswith("genai_") and not {*n.split("_")} & {"oss", "moe", "tied"}]
)
def test_a_decode_step_reads_weights_cache_and_states(name: str) -> None:
    """Within 2 % of the hand rule: all that is stored but the embedding and the angles, of which rows are read, each token of
    the cache once, and the states twice; sliding windows hold 64.
    """
    expected, decoder, sizes = EXPORTS[name], read_decoder(spec_of(name)), SIZES[DECODE]
    phase = count_phase(decoder, spec_of(name), DECODE, sizes)
    windows = sum(cache.window is not None for cache in decoder.caches) / max(len(decoder.caches), 1)
    read = expected.token * (256 * (1 - windows) + 64 * windows) + (expected.token * 50 if expected.source else 0)
    cache = sizes.batch * (read + expected.token + 2 * expected.state)
    assert phase.bytes_moved == pytest.approx(stored_bytes(name) + cache, rel=0.02)


@pytest.mark.parametrize("name", ["opt_llama", "genai_llama_int4_cpu", "opt_t5_model_merged", "torch_mamba_script"])
def test_a_larger_batch_reads_the_weights_once(name: str) -> None:
    decoder = read_decoder(spec_of(name))
    steps = [count_phase(decoder, spec_of(name), DECODE, StepSizes(batch, 1, 255, 50)) for batch in (1, 2, 4)]
    for one, other in pairwise(steps):
        assert other.kv_bytes_read == 2 * one.kv_bytes_read
        assert other.state_bytes == 2 * one.state_bytes
        assert one.weight_bytes_read < other.weight_bytes_read < 1.02 * one.weight_bytes_read + 4096


def test_a_merged_decoder_takes_the_branch_of_its_phase() -> None:
    """With a cache the encoder's keys and values are not made again: 50 positions, 3 layers, 2 products of 96 × 96."""
    decoder, spec = read_decoder(spec_of("opt_t5_model_merged")), spec_of("opt_t5_model_merged")
    assert decoder.switch == "use_cache_branch"
    first, later = (
        count_phase(decoder, spec, name, StepSizes(1, 1, past, 50)).report.macs for name, past in ((PREFILL, 0), (DECODE, 1))
    )
    assert first - later == 50 * 3 * 2 * 96 * 96 - 3 * 2 * 6 * 16  # one position more in the cache


def test_experts_are_read_where_tokens_go() -> None:
    """2 of 4 experts for a token: half of their weights, all for a prompt."""
    spec = spec_of("genai_lfm2_moe")
    decoder = read_decoder(spec)
    one = count_phase(decoder, spec, DECODE, StepSizes(1, 1, 10)).weight_bytes_read
    many = count_phase(decoder, spec, PREFILL, StepSizes(1, 100, 0)).weight_bytes_read
    model = onnx.load_from_string(read_archive()["genai_lfm2_moe"])
    experts = {name for node in model.graph.node if node.op_type == "QMoE" for name in node.input[2:] if name}
    size = sum(
        prod(t.dims) * {onnx.TensorProto.UINT8: 1, onnx.TensorProto.FLOAT: 4}[t.data_type]
        for t in model.graph.initializer
        if t.name in experts
    )
    rows = 99 * (96 // 2 + 3 * 4 + 2 * 8 * 4)  # of the embedding, with a scale for 32 weights, and of sines and cosines
    assert many - one == size // 2 + rows


def renamed(model: onnx.ModelProto) -> None:
    """Inputs and outputs under names that say nothing."""
    names = {value.name: f"x{place}" for place, value in enumerate(model.graph.input) if value.name != "use_cache_branch"}
    names |= {value.name: f"y{place}" for place, value in enumerate(model.graph.output)}

    def rename(graph: onnx.GraphProto) -> None:
        for node in graph.node:
            for values in (node.input, node.output):
                values[:] = [names.get(value, value) for value in values]
            for attribute in node.attribute:
                if attribute.HasField("g"):
                    rename(attribute.g)
        for value in (*graph.input, *graph.output):
            value.name = names.get(value.name, value.name)

    rename(model.graph)


def without_symbols(model: onnx.ModelProto) -> None:
    """Open dims without a name."""
    for value in (*model.graph.input, *model.graph.output):
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param:
                dim.Clear()


def with_other_symbols(model: onnx.ModelProto) -> None:
    """Each open dim under a symbol of its own, as tf2onnx names them."""
    dims = [dim for value in (*model.graph.input, *model.graph.output) for dim in value.type.tensor_type.shape.dim]
    for place, dim in enumerate(dims):
        if dim.dim_param:
            dim.dim_param = f"unk__{place}"


@pytest.mark.parametrize("name", EXPORTS)
def test_names_do_not_decide(name: str) -> None:
    """The same caches and the same MACs, whatever inputs, outputs and dims are called."""

    def figures(spec: ModelSpec) -> tuple[int, int, list[int]]:
        decoder = read_decoder(spec)
        own = KvBytes.of(decoder)
        return own.token, own.state, [count_phase(decoder, spec, *step).report.macs for step in SIZES.items()]

    expected = figures(spec_of(name))
    for changes in ((without_symbols,), (renamed, with_other_symbols)):
        changed = onnx.load_from_string(read_archive()[name])
        for change in changes:
            change(changed)
        assert figures(ModelSpec(changed.SerializeToString())) == expected
