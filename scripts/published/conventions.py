"""Compare onnxcost's conventions with other packages, on models of torchvision and of ultralytics.

    python -m venv .venv-compare && . .venv-compare/bin/activate
    pip install -r scripts/published/requirements.txt && pip install --no-deps torchvision==0.28.0 && pip install .
    python -m scripts.published.conventions export     # skeletons without weights         -> build/compare/onnx/*.onnx
    python -m scripts.published.conventions measure    # what each package counts          -> build/compare/*.json
    python -m scripts.published.conventions publish    # tests/data/*.tar.xz and tests/published.toml
    python -m scripts.published.conventions table      # onnxcost against the figures of tests/published.toml

``measure`` and ``export`` take model names (all by default), start a process for each model, and skip what is already there:
``measure`` the packages whose figures there are. ultralytics has its own thop, so its models and figures need another
environment (requirements-ultralytics.txt), and ``--packages ultralytics``. Weights are random: no count depends on them. The
convention ``torch`` of a model is torch's count with the attention kernels decomposed into the matrix products that they are;
where the count of a plain CPU run differs, both are kept. BatchNormalization stays a separate node: the exporter folds nothing
(training=PRESERVE, do_constant_folding=False), because the packages count the model before any folding.
"""

from __future__ import annotations

import argparse
import contextlib
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

from scripts.published import counters
from scripts.published.differences import PACKAGES, REPRODUCED, explanations

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build" / "compare"
DATA = ROOT / "tests" / "data"
FILES = BUILD / "files"
"""onnx-tool's figures of the files in models/."""
PUBLISHED = ROOT / "tests" / "published.toml"
HEADER = """\
# Written by scripts/published/conventions.py publish: what other packages count in the models of torchvision and of ultralytics
# (batch 1, eval mode). Counts are of one inference with inputs of the shapes in `inputs`; the skeletons in `files` are in
# data/torchvision.tar.xz and data/ultralytics.tar.xz. Models called quantized_ are torchvision's quantizable ones as it builds
# them by default: in float32. -fused is an ultralytics model without BatchNormalization, as its export writes it.
#   macs        torch.utils.flop_counter / 2 by aten operator, attention decomposed into the matrix products that it is
#   macs_plain  the same of a plain CPU run without gradients, where that misses operators
#   fvcore      FlopCountAnalysis by operator; thop: thop.profile by module type
#   ptflops     get_model_complexity_info by module type and function (both count where a module calls the function)
#   torchinfo   summary's total mult-adds by module type; calflops, deepspeed: calculate_flops and get_model_profile by function
#   ultralytics 2 x ultralytics-thop's profile by module type and function; get_flops: what the package prints, where it differs
#   onnx-tool   model_profile of the first file by operator
#   published   torchvision's own figures of the weights with that input
#   explained   where the first file's report and a package's figure differ, and why: onnxcost's total of the convention,
#               less each row's `onnxcost`, plus each row's `theirs`, is the package's total
# A [[file]] is one of models/ with inputs of these shapes.
"""
ARCHIVES = ("torchvision", "ultralytics")
HERE = [*(package for package in counters.COUNTERS if package != "ultralytics"), "onnx-tool"]
"""The packages that one environment can hold."""
MODULES = (
    "calflops",
    "deepspeed.profiling.flops_profiler",
    "fvcore.nn",
    "onnx_tool",
    "onnxscript",
    "ptflops",
    "thop",
    "torchinfo",
)
"""Slow to import."""
VERSIONS = (
    "torch", "torchvision", "fvcore", "thop", "ptflops", "torchinfo", "calflops", "deepspeed", "ultralytics",
    "ultralytics-thop", "onnx-tool", "onnx", "onnxscript",
)  # fmt: skip


def run_one(task: str, name: str, failed: Path, packages: Iterable[str]) -> None:
    """Measure or export one model, and keep why if that fails."""
    from scripts.export.skeletons import export

    warnings.simplefilter("ignore")
    try:
        if task == "measure":
            content = json.dumps(measure(name, packages), indent=1).encode()
        else:
            content = export(name, newer=task == "export-newer")
        result(task, name).write_bytes(content)
    except Exception as error:
        failed.write_text(f"{type(error).__name__}: {error}".strip()[:500])


def measure(name: str, packages: Iterable[str]) -> dict[str, Any]:
    """Adds the missing figures of packages to the known facts about a model."""
    from scripts.export.skeletons import source_of

    figures = json.loads(path.read_text()) if (path := result("measure", name)).exists() else {}
    left = [package for package in packages if package not in figures]
    if "onnx-tool" in left:
        figures["onnx-tool"] = counters.measure_file(files_of(name)[0], {})
        if figures.keys() >= set(packages):
            return figures
    source = source_of(name)
    model, inputs = source.build(name)
    if not figures.keys() >= {"family", "parameters"}:
        figures |= source.describe(name)
        figures["parameters"] = sum(parameter.numel() for parameter in model.parameters())
        figures["buffers"] = sum(buffer.numel() for buffer in model.buffers())
    for package in left:
        if package in counters.COUNTERS and package not in counters.OF_MODULES:
            figures |= counters.measure(package, model, inputs)
    if figures["family"] not in ("detection", "ultralytics"):
        model, inputs = model.to("meta"), tuple(value.to("meta") for value in inputs)
    for package in left:
        if package in counters.OF_MODULES:
            figures |= counters.measure(package, model, inputs)
    return figures


def onnx_name(name: str, *, newer: bool) -> str:
    return f"{name}.dynamo.onnx" if newer else f"{name}.onnx"


def result(task: str, name: str) -> Path:
    """The output file of a task."""
    return BUILD / f"{name}.json" if task == "measure" else BUILD / "onnx" / onnx_name(name, newer=task == "export-newer")


def is_done(task: str, name: str, packages: Iterable[str]) -> bool:
    """Whether the task has left its result, a measurement that of each package."""
    path = result(task, name)
    return path.exists() and (task != "measure" or json.loads(path.read_text()).keys() >= set(packages))


def run_each(task: str, names: Iterable[str], timeout: float, packages: Iterable[str] = ()) -> None:
    """Do a task for each model without a result, each in a process forked after the slow imports."""
    from scripts.export.torchvision_models import load_torchvision

    load_torchvision()
    for module in MODULES:
        with contextlib.suppress(ImportError):
            importlib.import_module(module)
    (BUILD / "onnx").mkdir(parents=True, exist_ok=True)
    for name in names:
        if is_done(task, name, packages):
            continue
        failed = BUILD / f"{name}.{task}.failed"
        failed.unlink(missing_ok=True)
        child = multiprocessing.get_context("fork").Process(target=run_one, args=(task, name, failed, packages))
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
    for package in PACKAGES:
        if counts := figures.get(package):
            entry[package] = {key: counts[key] for key in counts if key != "by_operator"} | counts.get("by_operator", {})
    lines = ["[[model]]", *(f"{key} = {toml(value)}" for key, value in entry.items())]
    for row in explanations(name, files_of(name)[0], figures):
        lines += ["[[model.explained]]", *(f"{key} = {toml(value)}" for key, value in row.items())]
    return "\n".join(lines) + "\n"


def publish() -> None:
    """Write the archives, with the models of a family next to each other, and tests/published.toml from the results of measure
    and export.
    """
    from scripts.export.skeletons import pack
    from scripts.export.ultralytics_models import MODELS

    names = sorted(path.stem for path in BUILD.glob("*.json") if files_of(path.stem))
    for archive in ARCHIVES:
        those = (name for name in names if (name in MODELS) == (archive == "ultralytics"))
        order = sorted((path for name in those for path in files_of(name)), key=lambda path: path.name.split(".")[::-1])
        pack(DATA / f"{archive}.tar.xz", order)
    packages = "\n".join(f"{package} = {toml(version(package).split('+')[0])}" for package in VERSIONS)
    entries = "\n".join(map(published_entry, names))
    files = "\n".join(map(file_entry, sorted(FILES.glob("*.json"))))
    PUBLISHED.write_text(f"{HEADER}\n[packages]\n{packages}\n\n{entries}\n{files}")
    print(f"{len(names)} models")


def measure_files() -> None:
    """What onnx-tool counts in the files of models/."""
    import onnxcost

    FILES.mkdir(parents=True, exist_ok=True)
    for path in sorted((ROOT / "models").glob("*.onnx")):
        if (FILES / f"{path.stem}.json").exists():
            continue
        shapes = {value.name: value.shape for value in onnxcost.estimate(path).graph.inputs}
        figures = {"name": path.name, "inputs": shapes, "onnx-tool": counters.measure_file(path, shapes)}
        (FILES / f"{path.stem}.json").write_text(json.dumps(figures, indent=1))


def file_entry(path: Path) -> str:
    """The lines of a file of models/ in tests/published.toml."""
    figures = json.loads(path.read_text())
    counts = figures["onnx-tool"]
    figures["onnx-tool"] = {key: counts[key] for key in counts if key != "by_operator"} | counts.get("by_operator", {})
    return "\n".join(["[[file]]", *(f"{key} = {toml(value)}" for key, value in figures.items())]) + "\n"


def table() -> None:
    """Print onnxcost's figure and theirs, per model and convention: equal, or the difference and its location."""
    import onnxcost

    skeletons = read_archive()
    print("| model | convention | onnxcost | theirs | |\n| --- | --- | ---: | ---: | --- |")
    for entry in tomllib.loads(PUBLISHED.read_text())["model"]:
        for file in entry["files"]:
            report = onnxcost.estimate(skeletons[file])
            wanted = {"macs": entry["macs"]["total"], "torch": 2 * entry["macs"]["total"]}
            if file == entry["files"][0]:
                wanted |= {package: entry[package]["total"] for package in REPRODUCED if "total" in entry.get(package, {})}
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
    skeletons: dict[str, bytes] = {}
    for name in ARCHIVES:
        with tarfile.open(DATA / f"{name}.tar.xz") as archive:
            skeletons |= {entry.name: archive.extractfile(entry).read() for entry in archive}  # type: ignore[union-attr]
    return skeletons


def measure_or_export(task: str, names: list[str], timeout: float, packages: list[str]) -> None:
    """Run the task for the named models, or for all; models are exported with one or both exporters, as intended for them."""
    from scripts.export.skeletons import NEWER_EXPORTER, NEWER_EXPORTER_ALONE
    from scripts.export.torchvision_models import all_models
    from scripts.export.ultralytics_models import MODELS

    names = names or all_models() + (list(MODELS) if "ultralytics" in packages else [])
    if task == "measure":
        run_each("measure", names, timeout, packages)
        if "onnx-tool" in packages:
            measure_files()
        return
    run_each("export", [name for name in names if name not in NEWER_EXPORTER_ALONE], timeout)
    run_each("export-newer", [name for name in names if name in NEWER_EXPORTER + NEWER_EXPORTER_ALONE], timeout)


def main() -> None:
    """Parse, then do the tasks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=("export", "measure", "publish", "table"))
    parser.add_argument("names", nargs="*", help="models; all by default")
    parser.add_argument("--timeout", type=float, default=600.0, help="seconds for one model")
    parser.add_argument("--packages", default=",".join(HERE), help="what to measure with (default: all but ultralytics)")
    options = parser.parse_args()
    if options.task in ("measure", "export"):
        measure_or_export(options.task, options.names, options.timeout, options.packages.split(","))
    elif options.task == "publish":
        publish()
    else:
        table()


if __name__ == "__main__":
    main()
