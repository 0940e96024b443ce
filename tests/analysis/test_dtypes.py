"""The type that a node computes in: its own, or that of the integers between which it stands."""

from __future__ import annotations

import pytest

from onnxcost.analysis.dtypes import compute_dtype, compute_dtypes
from tests.graphs import node, tensor
from tests.modeltext import graph_of, model

STORED = "float s = {0.1}, uint8 z = {0}, int8 o = {0}, int8[4,4] k = {1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1}"
READ = "a = DequantizeLinear(q, s, z) w = DequantizeLinear(k, s, o)"
# nodes behind the two DequantizeLinear, the types that they are counted under (a conversion under the narrower one), and how
# many are said to run in integers
PATTERNS = {
    "a product between integers": ("t = MatMul(a, w) y = QuantizeLinear(t, s, z)", ["uint8", "uint8"], 1),
    "two in a row": ("t = MatMul(a, w) u = Relu(t) y = QuantizeLinear(u, s, z)", ["uint8", "float32", "uint8"], 1),
    "two products": (
        """t = MatMul(a, w) r = QuantizeLinear(t, s, z) b = DequantizeLinear(r, s, z) u = MatMul(b, w)
            y = QuantizeLinear(u, s, z)""", ["uint8"] * 5, 2,
    ),
    "a product that is returned": ("y = MatMul(a, w)", ["float32"], 0),
    "a product that a float reads, too": (
        "t = MatMul(a, w) r = QuantizeLinear(t, s, z) y = Erf(t)", ["float32", "uint8", "float32"], 0,
    ),
    "a Relu that a float reads": ("t = MatMul(a, w) u = Relu(t) y = Erf(u)", ["float32"] * 3, 0),
    "a Relu that is quantized and that a float reads": (
        "t = MatMul(a, w) u = Relu(t) r = QuantizeLinear(u, s, z) y = Erf(u)", ["float32", "float32", "uint8", "float32"], 0,
    ),
    "a product that is returned and quantized": ("y = MatMul(a, w) r = QuantizeLinear(y, s, z)", ["float32", "uint8"], 0),
    "a product with a float": (
        "f = Cast <to = 1> (q) t = MatMul(f, w) y = QuantizeLinear(t, s, z)", ["uint8", "float32", "uint8"], 0,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("nodes", "dtypes", "count"), PATTERNS.values(), ids=PATTERNS.keys())
def test_what_runs_in_integers_counts_under_their_type(nodes: str, dtypes: list[str], count: int) -> None:
    graph = graph_of(model(f"(uint8[2,4] q) => (y) <{STORED}> {{ {READ} {nodes} }}"))
    found, notes = compute_dtypes(graph)
    assert list(found[2:]) == dtypes
    said = f"{count} nodes between DequantizeLinear and QuantizeLinear are counted as uint8, the type that they run in"
    assert [note.text for note in notes] == ([said] if count else [])


# The types of the inputs and of the outputs (None: absent), and the type that the node counts under.
OF_ONE_NODE: list[tuple[list[str | None], list[str | None], str]] = [
    (["float32", "int8"], ["float16", "uint8"], "float16"),
    (["float16", "int8"], ["float32", "uint8"], "float16"),
    (["int32"], ["float32"], "float32"),
    (["int64"], ["string"], "int64"),
    (["bool"], ["float32"], "float32"),
    (["bool"], ["bool"], "bool"),
    ([], ["float32"], "float32"),
    (["float32"], [], "float32"),
    ([None, "int8"], ["float32"], "float32"),
    (["float32"], [None, "int8"], "float32"),
]


@pytest.mark.parametrize(("reads", "writes", "dtype"), OF_ONE_NODE)
def test_the_type_of_one_node(reads: list[str | None], writes: list[str | None], dtype: str) -> None:
    inputs, outputs = ([None if each is None else tensor("t", 2, dtype=each) for each in places] for places in (reads, writes))
    assert compute_dtype(node("Op", inputs, outputs)) == dtype
