"""Why two models differ: by operator and, where their graphs correspond, by what was changed. The parts sum to the whole."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from onnxcost.comparison.alignment import Alignment, Pair, align
from onnxcost.comparison.candidates import Candidate, CostedNode, CostedOperator
from onnxcost.comparison.changes import Change, changes


@dataclass(frozen=True, slots=True)
class OperatorDifference:
    """An operator in both models; one that a model lacks has no nodes there."""

    left: CostedOperator
    right: CostedOperator

    @property
    def operator(self) -> str:
        """Its name."""
        return self.left.operator

    @property
    def count(self) -> int:
        """What the right one's count is more."""
        return self.right.count - self.left.count

    @property
    def parameters(self) -> int:
        """What the right one's parameters are more."""
        return self.right.parameters - self.left.parameters

    @property
    def traffic(self) -> int:
        """What the right one's traffic is more."""
        return self.right.traffic - self.left.traffic


@dataclass(frozen=True)
class Differences:
    """How ``right`` differs from ``left``. Sums are over what is counted."""

    left: Candidate
    right: Candidate

    @cached_property
    def operators(self) -> tuple[OperatorDifference, ...]:
        """Every operator of either, the largest difference first."""
        left, right = ({each.operator: each for each in model.operators} for model in (self.left, self.right))
        found = (
            OperatorDifference(left.get(name, CostedOperator(name)), right.get(name, CostedOperator(name)))
            for name in dict.fromkeys((*left, *right))
        )
        return tuple(sorted(found, key=lambda each: (-abs(each.count), -abs(each.traffic))))

    @property
    def count(self) -> int:
        """What the right one's count is more."""
        return sum(each.count for each in self.operators)

    @property
    def parameters(self) -> int:
        """What the right one's parameters are more."""
        return sum(each.parameters for each in self.operators)

    @property
    def traffic(self) -> int:
        """What the right one's traffic is more."""
        return sum(each.traffic for each in self.operators)

    @cached_property
    def alignment(self) -> Alignment:
        """The nodes of both, in pairs."""
        return align(self.left.nodes, self.right.nodes)

    @cached_property
    def changes(self) -> tuple[Change, ...]:
        """All that differs between the aligned graphs, the largest first; nothing where they do not correspond."""
        return changes(self.alignment) if self.alignment.is_close else ()

    @cached_property
    def layers(self) -> tuple[Pair, ...]:
        """The layers whose MACs differ or that one graph lacks, the largest difference first; nothing as for ``changes``."""
        pairs = (pair for place in self.alignment.places for pair in place.pairs if _macs(pair.left) != _macs(pair.right))
        return tuple(sorted(pairs, key=lambda pair: -abs(more(pair)))) if self.alignment.is_close else ()


def _macs(node: CostedNode | None) -> int:
    return node.macs if node else 0


def more(pair: Pair) -> int:
    """What the right node's count is more than the left one's."""
    return (pair.right.count if pair.right else 0) - (pair.left.count if pair.left else 0)
