"""Decoders with published sizes, in the layout of onnxruntime-genai's builder, without weights, so that any size is built
quickly.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from onnx import ModelProto

BLOCK = 32
"""Weights that share a scale, if they have few bits."""


@dataclass(frozen=True)
class Layout:
    """The sizes of a Llama: ``kv_heads`` of keys and values, ``size`` elements in each head."""

    layers: int
    width: int
    heads: int
    kv_heads: int
    inner: int
    vocabulary: int
    size: int = 128


LAYOUTS = {
    "Llama 2 7B": Layout(32, 4096, 32, 32, 11008, 32000),
    "Llama 2 13B": Layout(40, 5120, 40, 40, 13824, 32000),
    "Llama 2 70B": Layout(80, 8192, 64, 8, 28672, 32000),
    "Llama 3 8B": Layout(32, 4096, 32, 8, 14336, 128256),
    "Llama 3.2 3B": Layout(28, 3072, 24, 8, 8192, 128256),
    "Llama 3.1 70B": Layout(80, 8192, 64, 8, 28672, 128256),
    "TinyLlama 1.1B": Layout(22, 2048, 32, 4, 5632, 32000, 64),
}


@dataclass
class Writer:
    """The nodes and stored tensors of a graph, as they are added."""

    bits: int
    nodes: list[Any] = field(default_factory=list)
    stored: list[Any] = field(default_factory=list)

    def add(self, op: str, inputs: list[str], outputs: list[str], **attributes: Any) -> str:
        """Add a node; the name of its first output."""
        from onnx import helper

        is_contrib = op in ("MatMulNBits", "GroupQueryAttention", "SkipSimplifiedLayerNormalization")
        domain = "com.microsoft" if is_contrib else ""
        self.nodes.append(helper.make_node(op, inputs, outputs, f"/{outputs[0]}", domain=domain, **attributes))
        return outputs[0]

    def store(self, name: str, dtype: int, *dims: int) -> str:
        """A tensor without its elements."""
        from onnx import TensorProto

        tensor = TensorProto(name=name, data_type=dtype, dims=dims, data_location=TensorProto.EXTERNAL)
        tensor.external_data.add(key="location", value="weights-not-stored")
        self.stored.append(tensor)
        return name

    def matrix(self, read: str, name: str, rows: int, columns: int) -> str:
        """A product with a weight of rows × columns, in 16 bits or packed."""
        from onnx import TensorProto

        if self.bits == 16:
            return self.add("MatMul", [read, self.store(f"{name}.weight", TensorProto.FLOAT16, rows, columns)], [name])
        blocks = rows // BLOCK
        weight = self.store(f"{name}.weight_Q", TensorProto.UINT8, columns, blocks, BLOCK * self.bits // 8)
        scales = self.store(f"{name}.scales", TensorProto.FLOAT16, columns, blocks)
        sizes = {"K": rows, "N": columns, "bits": self.bits, "block_size": BLOCK}
        return self.add("MatMulNBits", [read, weight, scales], [name], **sizes)


def build(layout: Layout, bits: int = 16) -> ModelProto:
    """The model in float16, its matrices in ``bits``."""
    from onnx import TensorProto, helper

    half, whole = TensorProto.FLOAT16, TensorProto.INT64
    w, made = layout, Writer(bits)
    made.stored.append(helper.make_tensor("one", whole, [1], [1]))
    total = made.add("ReduceSum", ["attention_mask", "one"], ["mask_sum"], keepdims=0)
    last = made.add("Cast", [made.add("Sub", [total, "one"], ["mask_last"])], ["seqlens_k"], to=TensorProto.INT32)
    shape = made.add("Shape", ["attention_mask"], ["mask_shape"])
    length = made.add("Cast", [made.add("Gather", [shape, "one"], ["length"])], ["total_length"], to=TensorProto.INT32)
    hidden = made.add("Gather", [made.store("embed.weight", half, w.vocabulary, w.width), "input_ids"], ["embedded"])
    skip, caches = "", []
    for layer in range(w.layers):
        norm = made.store(f"{layer}.norm1", half, w.width)
        if not skip:
            normed, residual = made.add("SimplifiedLayerNormalization", [hidden, norm], [f"{layer}.normed1"]), hidden
        else:
            outputs = [f"{layer}.normed1", "", "", f"{layer}.residual1"]
            normed = made.add("SkipSimplifiedLayerNormalization", [hidden, skip, norm], outputs)
            residual = outputs[3]
        packed = made.matrix(normed, f"{layer}.qkv", w.width, (w.heads + 2 * w.kv_heads) * w.size)
        names = [f"past_key_values.{layer}.key", f"past_key_values.{layer}.value"]
        caches += names
        attended = made.add(
            "GroupQueryAttention",
            [packed, "", "", *names, last, length],
            [f"{layer}.attended", f"present.{layer}.key", f"present.{layer}.value"],
            num_heads=w.heads, kv_num_heads=w.kv_heads,
        )  # fmt: skip
        out = made.matrix(attended, f"{layer}.out", w.heads * w.size, w.width)
        outputs = [f"{layer}.normed2", "", "", f"{layer}.residual2"]
        inside = [out, residual, made.store(f"{layer}.norm2", half, w.width)]
        normed = made.add("SkipSimplifiedLayerNormalization", inside, outputs)
        gate, up = (made.matrix(normed, f"{layer}.{name}", w.width, w.inner) for name in ("gate", "up"))
        active = made.add("Mul", [gate, made.add("Sigmoid", [gate], [f"{layer}.sigmoid"])], [f"{layer}.active"])
        hidden = made.matrix(made.add("Mul", [active, up], [f"{layer}.product"]), f"{layer}.down", w.inner, w.width)
        skip = outputs[3]
    normed = made.add("SkipSimplifiedLayerNormalization", [hidden, skip, made.store("norm", half, w.width)], ["normed"])
    made.matrix(normed, "logits", w.width, w.vocabulary)

    def value(name: str, dtype: int, *dims: int | str) -> Any:
        return helper.make_tensor_value_info(name, dtype, dims)

    past = [value(name, half, "batch", w.kv_heads, "past", w.size) for name in caches]
    outputs_ = [
        value(name.replace("past_key_values", "present"), half, "batch", w.kv_heads, "total", w.size) for name in caches
    ]
    inputs = [value("input_ids", whole, "batch", "sequence"), value("attention_mask", whole, "batch", "total_sequence")]
    logits = value("logits", half, "batch", "sequence", w.vocabulary)
    graph = helper.make_graph(made.nodes, "decoder", [*inputs, *past], [logits, *outputs_], made.stored)
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets)
