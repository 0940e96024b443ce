"""The counts of other tools that read ONNX for torchvision's models, compared with torch's own, and how long they take.

    python -m venv .venv-tools && .venv-tools/bin/pip install . onnx-tool==1.0.1 onnxsim==0.8.1 haoline==1.3.0
    .venv-tools/bin/python -m scripts.published.tools [--every N]

Every N-th of torchvision's models in tests/published.toml gets synthetic weights, which some of these tools need, and is
counted by each tool in a process of its own, one tool after the other. The multiply-accumulates of convolutions and matrix
products are compared with those of ``torch.utils.flop_counter``. onnx-tool and HaoLine also count biases: a ratio slightly
above 1 is their convention.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tarfile
import time
import tomllib
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from onnxcost.frontend.synthetic_weights.fill import fill_weights

ROOT = Path(__file__).resolve().parents[2]
ARCHIVE = ROOT / "tests" / "data" / "torchvision.tar.xz"
CONTRACTIONS = ("Conv", "ConvTranspose", "Gemm", "MatMul", "Einsum", "Attention")
TIMEOUT = 300.0
CODE: Mapping[str, str] = {
    "onnxcost": "import onnxcost; macs = onnxcost.estimate(path).macs",
    "onnx-tool": """
import onnx_tool
graph = onnx_tool.Model(path, {"verbose": False}).graph
graph.shape_infer({})
graph.profile()
macs = sum(node.macs[0] for node in graph.nodemap.values() if node.op_type in kinds)""",
    "onnxsim": """
import onnx
from onnxsim.model_info import ModelInfo
macs = ModelInfo(onnx.load(path, load_external_data=False)).macs""",
    "haoline": """
from haoline import ModelInspector
counts = ModelInspector().inspect(path).flop_counts
macs = sum(counts.by_op_type.get(kind, 0) for kind in kinds) / 2""",
}
"""By package: code that computes ``macs`` of the model in ``path``; ``kinds`` are CONTRACTIONS."""


class Count(NamedTuple):
    """Theirs to torch's, None for a tool that failed, and the seconds of the whole process."""

    ratio: float | None
    seconds: float


def models(every: int) -> Iterator[tuple[bytes, int]]:
    """Every n-th model and torch's multiply-accumulates."""
    listed = tomllib.loads((ROOT / "tests" / "published.toml").read_text())["model"]
    entries = [entry for entry in listed if entry["family"] != "ultralytics"][::every]
    with tarfile.open(ARCHIVE) as archive:
        for entry in entries:
            yield archive.extractfile(entry["files"][0]).read(), entry["macs"]["total"]  # type: ignore[union-attr]


def count(tool: str, path: str, torch: int) -> Count:
    code = f"import sys; path = sys.argv[1]; kinds = {CONTRACTIONS}\n{CODE[tool]}\nprint('macs', float(macs))"
    begin = time.perf_counter()
    try:
        done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, timeout=TIMEOUT, check=False)
    except subprocess.TimeoutExpired:
        return Count(None, TIMEOUT)
    seconds = time.perf_counter() - begin
    last = done.stdout.split()[-2:]
    return Count(float(last[1]) / torch if done.returncode == 0 and last[:1] == ["macs"] else None, seconds)


def row(tool: str, counts: list[Count], own: list[Count]) -> str:
    ratios = [each.ratio for each in counts if each.ratio is not None]
    within = [sum(abs(ratio - 1) <= limit for ratio in ratios) for limit in (0, 0.01)]
    slower = statistics.median(theirs.seconds / ours.seconds for theirs, ours in zip(counts, own, strict=True))
    spread = f"{min(ratios):.3f} to {max(ratios):.3f}" if ratios else "–"
    return f"| {tool} {version(tool)} | {len(ratios)} of {len(counts)} | {within[0]} | {within[1]} | {spread} | {slower:.2f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--every", type=int, default=5, help="every how many-th model is counted (default 5)")
    counts: dict[str, list[Count]] = {tool: [] for tool in CODE}
    for skeleton, torch in models(parser.parse_args().every):
        with TemporaryDirectory() as folder:
            path = Path(folder, "model.onnx")
            path.write_bytes(skeleton)
            complete = fill_weights(str(path), folder, 0)
            for tool, found in counts.items():
                found.append(count(tool, complete, torch))
    print("| tool | counted | equal to torch | within 1 % | theirs / torch | time / onnxcost |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for tool, found in counts.items():
        print(row(tool, found, counts["onnxcost"]))


if __name__ == "__main__":
    main()
