"""Saves one document of each kind, tests/data/documents_VERSION.tar.xz: what later versions must be able to read.

Run it once before each release, from the root of the repository: ``python -m scripts.save_documents``. tests/test_schema.py
reads all archives. Models are run, so it takes half a minute.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import onnxcost
from onnxcost.hardware.calibration.model import dumps
from tests.cli.test_llm_run import RUN
from tests.fleet.test_results import FLEET
from tests.hardware.calibration.test_predictor import HERE

CNN, LLAMA = "models/mnist_cnn_pytorch.onnx", "models/llama_1b_pytorch.onnx"
TWO = f"{CNN}×3,models/unet_pytorch.onnx"
COMMANDS = {
    "report": f"{CNN} --runs 3",
    "measurement": f"measure {CNN} --runs 3 --batches 1,2",
    "profile": f"profile {CNN} --runs 3",
    "comparison": f"compare {CNN} models/resnet50_pytorch.onnx models/resnet50_keras.onnx --no-run --pareto macs,parameters",
    "scan": f"scan {CNN} models/models.toml",
    "scaling": f"scale {CNN} --at batch=8",
    "sweep": f"estimate {CNN} --no-run --dim batch=1,8",
    "pipeline": f"estimate --pipeline {TWO} --no-run",
    "llm": f"llm {LLAMA} --device rtx-4090",
    "budget": f"budget {CNN} --fps 30 --memory 64MiB --device raspberry-pi-5-8gb",
    "budgets": "budget --check {folder}/budget-file.toml",
    "pipeline-budget": f"budget --pipeline {TWO} --fps 30 --device raspberry-pi-5-8gb",
    "devices": "devices raspberry-pi-5-8gb coral-edge-tpu",
    "formulas": "formulas Conv Softmax",
}
BUDGETS = f"""\
[budget]
devices = ["raspberry-pi-5-8gb"]
latency = "33ms"

[budget.models."{Path(CNN).absolute()}"]
batch = 1
fps = 30
memory = "64MiB"
"""


def save(folder: Path) -> None:
    """Write the documents to the folder, each under the name of its schema."""
    (folder / "budget-file.toml").write_text(BUDGETS, "utf-8")
    (folder / "device-file.toml").write_bytes(Path("onnxcost/hardware/catalogue/coral.toml").read_bytes())
    (folder / "calibration-file.toml").write_text(dumps(HERE), "utf-8")
    for name, command in COMMANDS.items():
        arguments = command.format(folder=folder).split()
        path = folder / f"{name}.json"
        program = [sys.executable, "-m", "onnxcost"]
        done = subprocess.run([*program, *arguments, "-o", path], capture_output=True, text=True, check=False)
        if not path.exists():
            raise SystemExit(f"{command}: {done.stderr}")
    rows = json.loads((folder / "scan.json").read_text("utf-8"))["models"]
    (folder / "scan.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    results = {
        "scan-row": rows[0],
        "scan-row-failed": rows[1],
        "calibration": HERE.to_dict(),
        "prediction": onnxcost.predict(CNN, HERE).to_dict(),
        "generation": RUN.to_dict(),
        "fleet": FLEET.to_dict(),
    }
    for name, document in results.items():
        (folder / f"{name}.json").write_text(json.dumps(document), "utf-8")


def pack(folder: Path, archive: Path) -> None:
    """Write the folder's files to an archive that depends only on their content."""
    with tarfile.open(archive, "w:xz") as file:
        for path in sorted(folder.iterdir()):
            content = path.read_bytes().replace(os.fsencode(Path.cwd()), b"/home/user/project")
            member = tarfile.TarInfo(path.name)
            member.size = len(content)
            file.addfile(member, io.BytesIO(content))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        save(Path(name))
        pack(Path(name), Path(f"tests/data/documents_{onnxcost.__version__}.tar.xz"))
