"""What the walk over a model finds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from onnxcost.frontend.inference import Inference
from onnxcost.frontend.normal_form import Reads
from onnxcost.frontend.values import Step, Value
from onnxcost.graph import BoundDim, Caveat

if TYPE_CHECKING:
    from onnx import ModelProto


@dataclass(slots=True)
class ShapedModel:
    """The steps in execution order, the values at the model's edges, and what there is to say of them.

    ``trips`` are the user's, by the names of the ``loops``; ``unrolled`` is how many steps unrolling has made so far,
    ``walked`` how many nodes, constants and declared values of bodies were looked at, ``held`` how many tensors sequences hold.
    """

    model: ModelProto
    opsets: Mapping[str, int]
    inference: Inference
    trips: Mapping[str, int]
    inputs: list[Value] = field(default_factory=list)
    outputs: list[Value] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    constants: dict[str, Value] = field(default_factory=dict)
    dims: tuple[BoundDim, ...] = ()
    caveats: list[Caveat] = field(default_factory=list)
    loops: list[str] = field(default_factory=list)
    unrolled: int = 0
    walked: int = 0
    held: int = 0
    reads: Reads = field(default_factory=dict)
