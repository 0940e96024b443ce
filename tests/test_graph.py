"""Who defines and who reads a value, on a graph small enough to see: x → a; a, a, w → b; b, c absent → c, d."""

from __future__ import annotations

from dataclasses import replace

import pytest

from onnxcost.graph import DefUse, Node, Tensor
from tests.graphs import node, tensor

X, W, A, B, C, D = (tensor(name, 2) for name in "xwabcd")
NODES = (
    node("Neg", [X], [A]),
    node("Where", [A, A, W], [B]),
    node("Split", [B, None], [C, D]),
    node("Add", [A, X], [tensor("unread", 2)]),
)
USES = DefUse(NODES, (C, tensor("absent", 2)))


@pytest.mark.parametrize(
    ("name", "defined", "read", "only"),
    [
        ("x", None, [("make_a", 0), ("make_unread", 1)], None),
        ("w", None, [("make_b", 2)], 1),
        ("a", "make_a", [("make_b", 0), ("make_b", 1), ("make_unread", 0)], None),
        ("b", "make_b", [("make_c", 0)], 2),
        ("c", "make_c", [], None),
        ("d", "make_c", [], None),
        ("unread", "make_unread", [], None),
        ("absent", None, [], None),
    ],
)
def test_who_defines_and_reads_a_value(name: str, defined: str | None, read: list[tuple[str, int]], only: int | None) -> None:
    definition, place = USES.definition(name), USES.defined_at(name)
    assert (definition and definition.name) == defined
    assert place is None if definition is None else NODES[place or 0] is definition
    assert [(use.node.name, use.place) for use in USES.reads(name)] == read
    assert [reader.name for reader in USES.readers(name)] == [NODES[at].name for at in USES.positions(name)]
    assert [reader.name for reader in USES.readers(name)] == [reader for reader, _ in read]
    assert USES.only_reader(name) == only
    assert USES.is_read(name) == bool(read or name in ("c", "absent"))


def test_what_is_read_once_as_two_inputs_of_one_node_has_one_reader() -> None:
    uses = DefUse([node("Mul", [A, A], [B])])
    assert uses.only_reader("a") == 0
    assert uses.positions("a") == [0, 0]


def test_what_the_caller_reads_too_has_no_only_reader() -> None:
    nodes = [node("Neg", [A], [B])]
    assert DefUse(nodes).only_reader("a") == 0
    assert DefUse(nodes, [A]).only_reader("a") is None


@pytest.mark.parametrize("changed", [{}, {"inputs": (W, None)}, {"outputs": (D,)}, {"inputs": (A,), "outputs": (C, None)}])
def test_a_node_with_other_inputs_or_outputs_keeps_all_else(changed: dict[str, tuple[Tensor | None, ...]]) -> None:
    whole = Node("n", "If", "d", (X,), (A,), {"axis": 1}, ("s",), 3, {"then": NODES}, "open", NODES[:1])
    assert whole.rewire(**changed) == replace(whole, **changed)
