"""Hold onnxcost's conventions against other packages, on every model of torchvision.

    python -m venv .venv-compare && . .venv-compare/bin/activate
    pip install -r scripts/published/requirements.txt && pip install --no-deps torchvision==0.28.0 && pip install .
    python -m scripts.published.conventions measure    # torch.utils.flop_counter, fvcore, thop    -> build/compare/*.json
    python -m scripts.published.conventions export     # skeletons without weights                 -> build/compare/onnx/*.onnx
    python -m scripts.published.conventions publish    # tests/data/torchvision.tar.xz and tests/published.toml
    python -m scripts.published.conventions table      # onnxcost against the figures of tests/published.toml

``measure`` and ``export`` take model names (all by default), start a process for each model, and skip what is already there.
Weights are random: no count depends on them. The convention ``torch`` of a model is torch's count with the attention kernels
decomposed into the matrix products that they are; where the count of a plain CPU run differs, both are kept.
"""

from __future__ import annotations

import argparse
import importlib
import json
import multiprocessing
import tarfile
import time
import tomllib
import warnings
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from scripts.published.differences import BY, explanations

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build" / "compare"
ARCHIVE = ROOT / "tests" / "data" / "torchvision.tar.xz"
PUBLISHED = ROOT / "tests" / "published.toml"
HEADER = """\
# Written by scripts/published/conventions.py publish: what other packages count in torchvision's models (batch 1, eval mode).
# Counts are of one inference with inputs of the shapes in `inputs`; the skeletons in `files` are in data/torchvision.tar.xz.
# Models called quantized_ are torchvision's quantizable ones as it builds them by default: in float32.
#   macs        torch.utils.flop_counter / 2 by aten operator, attention decomposed into the matrix products that it is
#   macs_plain  the same of a plain CPU run without gradients, where that misses operators
#   fvcore      FlopCountAnalysis by operator; thop: thop.profile by module type
#   published   torchvision's own figures of the weights with that input
#   explained   where the first file's report and a package's figure differ, and why: onnxcost's total of the convention,
#               less each row's `onnxcost`, plus each row's `theirs`, is the package's total
"""
PACKAGES = ("torch", "torchvision", "fvcore", "thop", "onnx", "onnxscript")


def run_one(task: str, name: str, failed: Path) -> None:
    """Measure or export one model, and keep why where that fails."""
    from scripts.export.skeletons import export
    from scripts.export.torchvision_models import measure

    warnings.simplefilter("ignore")
    try:
        if task == "measure":
            content = json.dumps(measure(name), indent=1).encode()
        else:
            content = export(name, newer=task == "export-newer")
        result(task, name).write_bytes(content)
    except Exception as error:
        failed.write_text(f"{type(error).__name__}: {error}".strip()[:500])


def onnx_name(name: str, *, newer: bool) -> str:
    return f"{name}.dynamo.onnx" if newer else f"{name}.onnx"


def result(task: str, name: str) -> Path:
    """The file that a task leaves."""
    return BUILD / f"{name}.json" if task == "measure" else BUILD / "onnx" / onnx_name(name, newer=task == "export-newer")


def run_each(task: str, names: Iterable[str], timeout: float) -> None:
    """Do a task for each model whose result is not there, each in a process forked after the slow imports."""
    from scripts.export.torchvision_models import load_torchvision

    load_torchvision()
    for module in ("fvcore.nn", "onnxscript", "thop"):
        importlib.import_module(module)
    (BUILD / "onnx").mkdir(parents=True, exist_ok=True)
    for name in names:
        if result(task, name).exists():
            continue
        failed = BUILD / f"{name}.{task}.failed"
        failed.unlink(missing_ok=True)
        child = multiprocessing.get_context("fork").Process(target=run_one, args=(task, name, failed))
        started = time.monotonic()
        child.start()
        child.join(timeout)
        if child.is_alive():
            child.kill()
        child.join()
        if child.exitcode and not failed.exists():
            failed.write_text(f"exit code {child.exitcode} after {time.monotonic() - started:.0f} s")
        outcome = failed.read_text() if failed.exists() else "ok"
        print(f"{task} {name}: {time.monotonic() - started:.0f} s {outcome}", flush=True)


def files_of(name: str) -> list[Path]:
    """The model's skeletons, the older exporter's first."""
    paths = (BUILD / "onnx" / onnx_name(name, newer=newer) for newer in (False, True))
    return [path for path in paths if path.exists()]


def toml(value: Any) -> str:
    """A value in TOML's inline notation."""
    match value:
        case dict():
            pairs = ((key if key.isidentifier() else json.dumps(key), toml(item)) for key, item in value.items())
            return "{" + ", ".join(f"{key} = {item}" for key, item in pairs) + "}"
        case list() | tuple():
            return "[" + ", ".join(map(toml, value)) + "]"
        case float() | int():
            return repr(value)
    return json.dumps(value, ensure_ascii=False)


def published_entry(name: str) -> str:
    """The model's lines in tests/published.toml."""
    figures = json.loads((BUILD / f"{name}.json").read_text())
    entry: dict[str, Any] = {"name": name, "family": figures["family"], "files": [path.name for path in files_of(name)]}
    entry |= {key: figures[key] for key in ("inputs", "parameters", "buffers", "published")}
    entry["macs"] = {"total": sum(figures["torch"].values())} | figures["torch"]
    if (plain := figures.get("torch_plain", figures["torch"])) != figures["torch"]:
        entry["macs_plain"] = {"total": sum(plain.values())} | plain | {"missed": figures["torch_missed"]}
    for package, by in BY.items():
        counts = figures[package]
        entry[package] = {"total": counts["total"]} | counts[by] if by in counts else counts
    lines = ["[[model]]", *(f"{key} = {toml(value)}" for key, value in entry.items())]
    for row in explanations(name, files_of(name)[0], figures):
        lines += ["[[model.explained]]", *(f"{key} = {toml(value)}" for key, value in row.items())]
    return "\n".join(lines) + "\n"


def publish() -> None:
    """Write the archive, those of a family side by side, and tests/published.toml from what measure and export left."""
    from scripts.export.skeletons import pack

    names = sorted(path.stem for path in BUILD.glob("*.json") if files_of(path.stem))
    pack(ARCHIVE, sorted((path for name in names for path in files_of(name)), key=lambda path: path.name.split(".")[::-1]))
    packages = "\n".join(f"{package} = {toml(version(package).split('+')[0])}" for package in PACKAGES)
    entries = "\n".join(map(published_entry, names))
    PUBLISHED.write_text(f"{HEADER}\n[packages]\n{packages}\n\n{entries}")
    print(f"{len(names)} models")


def table() -> None:
    """Print onnxcost's figure and theirs, per model and convention: equal, or the difference and where it lies."""
    import onnxcost

    skeletons = read_archive()
    print("| model | convention | onnxcost | theirs | |\n| --- | --- | ---: | ---: | --- |")
    for entry in tomllib.loads(PUBLISHED.read_text())["model"]:
        for file in entry["files"]:
            report = onnxcost.estimate(skeletons[file])
            wanted = {"macs": entry["macs"]["total"], "torch": 2 * entry["macs"]["total"]}
            if file == entry["files"][0]:
                wanted |= {package: entry[package]["total"] for package in BY if "total" in entry[package]}
            for convention, theirs in wanted.items():
                ours = report.total(convention)
                print(f"| {file} | {convention} | {ours} | {theirs} | {verdict(entry, convention, ours - theirs)} |")


def verdict(entry: dict[str, Any], convention: str, difference: int) -> str:
    """Equal, or the explained difference, or the one that is not."""
    rows = [row for row in entry.get("explained", ()) if row["convention"] == convention]
    explained = sum(row["onnxcost"] - row["theirs"] for row in rows)
    if difference != explained:
        return f"**{difference - explained:+d} unexplained**"
    return (
        "; ".join(f"{row['onnxcost'] - row['theirs']:+d} {'/'.join(row['operators'])}: {row['reason']}" for row in rows)
        or "equal"
    )


def read_archive() -> dict[str, bytes]:
    """The skeletons by file name."""
    with tarfile.open(ARCHIVE) as archive:
        return {entry.name: archive.extractfile(entry).read() for entry in archive}  # type: ignore[union-attr]


def measure_or_export(task: str, names: list[str], timeout: float) -> None:
    """The named models, or all of them; to be exported with the exporter, or the two, that the model is meant for."""
    from scripts.export.skeletons import NEWER_EXPORTER, NEWER_EXPORTER_ALONE
    from scripts.export.torchvision_models import all_models

    names = names or all_models()
    if task == "measure":
        run_each("measure", names, timeout)
        return
    run_each("export", [name for name in names if name not in NEWER_EXPORTER_ALONE], timeout)
    run_each("export-newer", [name for name in names if name in NEWER_EXPORTER + NEWER_EXPORTER_ALONE], timeout)


def main() -> None:
    """Parse, then do the tasks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=("measure", "export", "publish", "table"))
    parser.add_argument("names", nargs="*", help="models; all of torchvision's by default")
    parser.add_argument("--timeout", type=float, default=600.0, help="seconds for one model")
    options = parser.parse_args()
    if options.task in ("measure", "export"):
        measure_or_export(options.task, options.names, options.timeout)
    elif options.task == "publish":
        publish()
    else:
        table()


if __name__ == "__main__":
    main()
