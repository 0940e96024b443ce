"""The bytes that onnxruntime's CPU kernels allocate in addition to their outputs, measured and estimated for each case of the
tests.

    python -m scripts.benchmark.workspaces [WORD]

Set-up: ``pip install .`` With a word, only the cases that contain it. The arena allocates exactly the requested bytes, and each
case has its own process, because the arena's peak is not reset.
"""

from __future__ import annotations

import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from onnx import helper

from onnxcost.measurement import Settings
from onnxcost.runtime.ort_profile import read_events
from onnxcost.runtime.session import open_session
from tests.ort_optimizer.test_workspaces import CASES, Case

VALUES = {"s": 127, "t": 128}
"""The values of the lengths that GroupQueryAttention reads; other inputs are random."""


def main() -> int:
    cases = [case for case in CASES if all(word in case.call for word in sys.argv[1:])]
    with ProcessPoolExecutor(1, get_context("spawn"), max_tasks_per_child=1) as pool:
        for case, measured in zip(cases, pool.map(measure, cases), strict=True):
            other = "" if measured == case.measured else f"(the tests have {case.measured:,}) "
            print(f"{measured:10,d} {other}{case.call} {case.inputs}")
    return 0


def measure(case: Case) -> int:
    """The bytes that the kernel of the case allocates in addition to its outputs."""
    model = case.model()
    random = np.random.default_rng(0)
    feeds = {}
    for value in model.graph.input:
        dims = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        dtype = helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
        scale = VALUES.get(value.name, 1) if "GroupQuery" in case.call else 1
        feeds[value.name] = np.asarray(np.ones(dims) * scale if dtype.kind == "i" else random.random(dims), dtype)
        if "Resize" in case.call and value.name == "c":
            feeds["c"] = np.array([1, 1, 0.5, 0.5], dtype)
    with TemporaryDirectory() as folder:
        session = open_session(model.SerializeToString(), Settings(threads=2), profile_prefix=str(Path(folder, "profile")))
        session.run(None, feeds)
        events = read_events(session.end_profiling())
    nodes = [event["args"] for event in events if "mem_in_use_peak" in event["args"]]
    after = max(int(node["mem_bytes_requested_in_use"]) for node in nodes)
    return max(max(int(node["mem_in_use_peak"]) for node in nodes) - after, 0)


if __name__ == "__main__":
    sys.exit(main())
