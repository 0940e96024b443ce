"""Skeletons of models to test predictions on: from timm, transformers, Keras and torchvision, some of them quantized.

    python -m venv .venv-pytorch && .venv-pytorch/bin/pip install torchvision==0.28.0 timm==1.0.31 --no-deps
    .venv-pytorch/bin/pip install -r scripts/export/requirements-pytorch.txt && .venv-pytorch/bin/pip install .
    python -m venv .venv-keras
    .venv-keras/bin/pip install -r scripts/export/requirements-keras.txt && .venv-keras/bin/pip install .
    .venv-pytorch/bin/python -m scripts.unseen.export_models timm transformers torchvision
    .venv-keras/bin/python -m scripts.unseen.export_models keras
    .venv-pytorch/bin/python -m scripts.unseen.export_models quantized pack

There are three sets. The parity of a name's SHA-256 says which of a and b a model goes to; both were inspected while the rules
of the prediction were developed. Set c, which the modules call held out, was chosen afterwards, and must not be inspected
before the rules are finished: of each family of timm the second variant, where a and b have the first; of torchvision what a
hash says; of the others further sizes, and further ways to quantize.

A model that cannot be exported in two minutes, or that onnxruntime does not run, is left out and listed. ``pack`` writes
unseen_a.tar.xz, unseen_b.tar.xz and unseen_c.tar.xz (--output), of which the repository holds the last in tests/data. Complete
exports and skeletons stay in build/unseen (--build), and are not made again.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import importlib
import multiprocessing
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import onnx

import onnxcost
from scripts.export import skeletons

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT = 120.0
SETS = "abc"
FIELDS = ("set", "name", "gmacs", "nodes", "origin", "seconds")
SOURCES: Mapping[str, tuple[str, str, str]] = {
    "timm": ("scripts.unseen.from_timm", "names", "held_out"),
    "transformers": ("scripts.unseen.from_transformers", "CASES", "HELD_OUT"),
    "torchvision": ("scripts.unseen.from_torchvision", "", "held_out"),
    "keras": ("scripts.unseen.from_keras", "MODELS", "HELD_OUT"),
    "quantized": ("scripts.unseen.quantized", "NAMES", "HELD_OUT"),
}
"""The module of each kind, whose ``export`` writes a complete model, and what names a and b's in it, and c's."""


def names_of(kind: str) -> Iterator[tuple[str, str]]:
    """The models of a kind, each after the letter of its set."""
    module, unseen, held_out = SOURCES[kind]
    yield from ((set_of(name), name) for name in listed(module, unseen))
    yield from (("c", name) for name in listed(module, held_out))


def set_of(name: str) -> str:
    return "ab"[int(hashlib.sha256(name.encode()).hexdigest(), 16) % 2]


def listed(module: str, attribute: str) -> Iterable[str]:
    names = getattr(importlib.import_module(module), attribute) if attribute else ()
    return names() if callable(names) else names


def make(kind: str, letter: str, name: str, folder: Path) -> str:
    """Exports, strips and runs a model, unless that was done; returns the outcome."""
    target = folder / letter / f"{name}.onnx"
    if target.exists():
        return "was there"
    for path in (folder / "exports", target.parent):
        path.mkdir(parents=True, exist_ok=True)
    complete, trial = folder / "exports" / f"{name}.onnx", folder / "exports" / f"{name}.skeleton.onnx"
    try:
        if not complete.exists():
            in_child(export, kind, name, complete)
        strip(complete, trial)
        report = onnxcost.estimate(trial)
        seconds = onnxcost.measure(trial, report=report, runs=3, threads=1).latency.median
    except (onnxcost.OnnxCostError, RuntimeError) as error:
        complete.unlink(missing_ok=True)
        note(folder / "left_out.csv", ("name", "reason"), (name, str(error)[:300]))
        return f"left out: {error}"
    row = (letter, name, f"{report.macs / 1e9:.4f}", len(report.costs), kind, f"{seconds:.6f}")
    note(folder / "index.csv", FIELDS, row)
    trial.rename(target)
    return f"{row[2]} GMACs, {row[3]} nodes, {row[5]} s, {target.stat().st_size:,} bytes"


def in_child(task: Callable[..., None], *arguments: Any) -> None:
    """Does a task in a process forked after the slow imports; RuntimeError for one that fails or takes too long."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=reported, args=(sender, task, *arguments))
    child.start()
    try:
        failure = receiver.recv() if receiver.poll(TIMEOUT) else f"not done in {TIMEOUT:.0f} s"
    except EOFError:
        failure = "its process died"
    child.kill()
    child.join()
    if failure:
        raise RuntimeError(failure)


def reported(sender: Any, task: Callable[..., None], *arguments: Any) -> None:
    """Does the task and sends why it failed, or nothing."""
    warnings.simplefilter("ignore")
    try:
        task(*arguments)
        sender.send("")
    except BaseException as error:
        sender.send(f"{type(error).__name__}: {error}".strip())


def export(kind: str, name: str, path: Path) -> None:
    importlib.import_module(SOURCES[kind][0]).export(name, path)


def strip(complete: Path, path: Path) -> None:
    """Writes the model without its weights, nor the biases that ``onnxcost.strip`` keeps: random numbers do not compress."""
    onnxcost.strip(complete, path)
    path.write_bytes(skeletons.skeleton(onnx.load(path, load_external_data=False)).SerializeToString(deterministic=True))


def note(path: Path, fields: Iterable[str], row: Iterable[object]) -> None:
    """Appends a row to a table, below its head."""
    is_new = not path.exists()
    with path.open("a", newline="") as file:
        csv.writer(file).writerows([fields, row] if is_new else [row])


def pack(folder: Path, output: Path) -> None:
    """An archive for each set."""
    for letter in SETS:
        skeletons.pack(output / f"unseen_{letter}.tar.xz", sorted((folder / letter).glob("*.onnx")))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tasks", nargs="+", choices=[*SOURCES, "pack"])
    parser.add_argument("--build", type=Path, default=ROOT / "build" / "unseen", help="folder of what is made")
    parser.add_argument("--output", type=Path, default=ROOT / "tests" / "data", help="folder of the archives")
    options = parser.parse_args()
    for task in options.tasks:
        if task == "pack":
            pack(options.build, options.output)
        else:
            for letter, name in names_of(task):
                print(f"{name}: {make(task, letter, name, options.build)}", flush=True)


if __name__ == "__main__":
    main()
