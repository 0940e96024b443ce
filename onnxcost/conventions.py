"""How work becomes one number: weights over Work, and overrides for the operators that a convention counts its own way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from onnxcost.errors import InputError
from onnxcost.graph import Node
from onnxcost.work import KINDS, Work

Override = Callable[[Node, Work], int]


@dataclass(frozen=True, slots=True)
class Convention:
    """A view on the work of a node: a dot product with ``weights``, except for the operators in ``overrides``.

    ``overrides`` are keyed by ``Node.key``; ``source`` says what the convention reproduces.
    """

    name: str
    summary: str
    source: str
    weights: Mapping[str, int] = field(default_factory=dict)
    overrides: Mapping[str, Override] = field(default_factory=dict)

    def count(self, node: Node, work: Work) -> int:
        """The node's number under this convention, for one execution of it."""
        override = self.overrides.get(node.key)
        return override(node, work) if override else work.dot(self.weights)


FLOPS = Convention(
    "flops",
    "every floating addition, subtraction, multiplication and division; a comparison or a transcendental is 1",
    "a dot product of n terms is 2n - 1, its bias 1 more",
    dict.fromkeys(KINDS, 1) | {"macs": 2, "accumulators": -1},
)
MACS = Convention("macs", "the multiply-accumulates of contractions alone", "papers, torchvision's GFLOPS column", {"macs": 1})

CONVENTIONS: Mapping[str, Convention] = {convention.name: convention for convention in (FLOPS, MACS)}


def convention_named(name: str) -> Convention:
    """The convention of that name; raises InputError with the names there are."""
    if name not in CONVENTIONS:
        raise InputError(f"no convention is called '{name}': there are {', '.join(CONVENTIONS)}")
    return CONVENTIONS[name]
