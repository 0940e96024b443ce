"""Whether a skeleton with synthetic weights takes as long as the original model: both are timed interleaved.

    python -m scripts.benchmark.skeletons [MODEL ...]

Set-up: ``pip install .`` Without models, it takes those of models/ with stored weights; the figures in the README are of
models that PyPI packages carry (rapidocr-onnxruntime, silero-vad, magika, ddddocr, nudenet) and of exports that
scripts/export/from_pytorch.py makes.
"""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import onnxcost
from onnxcost.measurement import Measurement
from onnxcost.runtime.interleaved import measure_interleaved
from onnxcost.spec import ModelSpec

MODELS = Path(__file__).parents[2] / "models"
STORED = (MODELS / "mnist_cnn_pytorch.onnx", MODELS / "text_transformer_pytorch.onnx")


def main() -> int:
    print("| model | file | skeleton | latency | skeleton / model | 95 % confidence |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for model in map(Path, sys.argv[1:] or STORED):
        print(row(model), flush=True)
    return 0


def row(model: Path) -> str:
    """One model's line of the table; if it cannot be measured, why."""
    with TemporaryDirectory() as folder:
        skeleton = Path(folder, model.name)
        stripped = onnxcost.strip(str(model), skeleton)
        timed = measure_interleaved([ModelSpec.of(str(model)), ModelSpec.of(str(skeleton))])
    first, ratio = timed.results[0], timed.ratios[1]
    if ratio is None or not isinstance(first, Measurement):
        return f"| {model.stem} | {[getattr(each, 'reason', '') for each in timed.results]} | | | | |"
    size = f"{stripped.before / 2**20:.2f} MiB | {stripped.after / 2**10:.1f} KiB"
    return (
        f"| {model.stem} | {size} | {1e3 * first.latency.median:.3f} ms "
        f"| {ratio.value:.3f} | {' to '.join(f'{end:.3f}' for end in ratio.ci95 or ())} |"
    )


if __name__ == "__main__":
    sys.exit(main())
