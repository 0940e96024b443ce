"""The distribution of measured times: order statistics that need no assumption about its form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Latency:
    """Times of single inferences. ``samples`` are float64 seconds, in the order of the runs; at least one."""

    samples: NDArray[np.float64]
