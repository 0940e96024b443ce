"""Hold onnxcost's conventions against other packages, on every model of torchvision.

    python -m venv .venv-compare && . .venv-compare/bin/activate
    pip install -r scripts/requirements-compare.txt && pip install --no-deps torchvision==0.28.0 && pip install .
    python scripts/compare_conventions.py measure    # torch.utils.flop_counter, fvcore, thop    -> build/compare/*.json
    python scripts/compare_conventions.py export     # skeletons without weights                 -> build/compare/onnx/*.onnx
    python scripts/compare_conventions.py publish    # tests/data/torchvision.tar.xz and tests/published.toml
    python scripts/compare_conventions.py table      # onnxcost against the figures of tests/published.toml

``measure`` and ``export`` take model names (all by default), start a process for each model, and skip what is already there.
Weights are random: no count depends on them. The convention ``torch`` of a model is torch's count with the attention kernels
decomposed into the matrix products that they are; where the count of a plain CPU run differs, both are kept.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import lzma
import multiprocessing
import tarfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "build" / "compare"
ARCHIVE = ROOT / "tests" / "data" / "torchvision.tar.xz"
PUBLISHED = ROOT / "tests" / "published.toml"
PACKAGES = ("torch", "torchvision", "fvcore", "thop", "onnx", "onnxscript")
LARGEST_PAYLOAD = 1024  # bytes: what is smaller may steer shapes and stays
WITHOUT_AUXILIARY = ("googlenet", "inception_v3", "quantized_googlenet", "quantized_inception_v3")
"""Their auxiliary classifiers run in training alone, so that a graph for inference has not got them."""
NEWER_EXPORTER = (
    "alexnet", "convnext_tiny", "deeplabv3_mobilenet_v3_large", "densenet121", "efficientnet_b0", "googlenet", "lraspp_mobilenet_v3_large",
    "maxvit_t", "mnasnet0_5", "mobilenet_v2", "mobilenet_v3_small", "mvit_v2_s", "r2plus1d_18", "raft_small", "regnet_y_400mf", "resnet18",
    "resnet50", "shufflenet_v2_x1_0", "squeezenet1_1", "swin3d_t", "swin_t", "swin_v2_t", "vgg11_bn", "vit_b_32",
)  # fmt: skip
"""Models exported with torch.export as well, so that both kinds of graphs are in the archive."""


# ---------------------------------------------------------------------------------------------- models


def load_torchvision() -> Any:
    """torchvision, whose compiled part is a CUDA build: nms and roi_align, which it then lacks, are defined in Python."""
    import torch

    register_fake = torch.library.register_fake
    torch.library.register_fake = lambda op, *args, **kwargs: (  # type: ignore[assignment]
        (lambda function: function) if str(op).startswith("torchvision::") else register_fake(op, *args, **kwargs)
    )
    import torchvision

    define_box_operators(torch, torchvision)
    return torchvision


def has_operators() -> bool:
    """Says to torchvision that nms and roi_align are there. torch.jit compiles it: it must be a plain function."""
    return True


def define_box_operators(torch: Any, torchvision: Any) -> None:
    """What the detectors call between their contractions. A contraction is in none of them."""
    import numpy as np

    library = torch.library.Library("torchvision", "FRAGMENT")
    library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.define(
        "roi_align(Tensor input, Tensor rois, float spatial_scale, int pooled_height, int pooled_width,"
        " int sampling_ratio, bool aligned) -> Tensor"
    )

    # In numpy, so that a tracer sees one operator and not what it is made of.
    def nms(boxes: Any, scores: Any, threshold: float) -> Any:
        corners, left, kept = boxes.detach().numpy(), np.argsort(-scores.detach().numpy(), kind="stable"), []
        areas = (corners[:, 2] - corners[:, 0]) * (corners[:, 3] - corners[:, 1])
        while left.size:
            best, left = left[0], left[1:]
            kept.append(best)
            sides = np.minimum(corners[best, 2:], corners[left, 2:]) - np.maximum(corners[best, :2], corners[left, :2])
            shared = np.prod(np.maximum(sides, 0), axis=1)
            left = left[shared <= threshold * (areas[best] + areas[left] - shared)]
        return torch.from_numpy(np.array(kept, dtype=np.int64))

    def roi_align(x: Any, rois: Any, _scale: float, height: int, width: int, _ratio: int, _aligned: bool) -> Any:
        return torch.from_numpy(np.zeros((rois.shape[0], x.shape[1], height, width), dtype=np.float32))

    library.impl("nms", nms, "CPU")
    library.impl("roi_align", roi_align, "CPU")
    torchvision.extension._has_ops = torchvision.ops.roi_align.__globals__["_has_ops"] = has_operators
    load_torchvision.library = library  # type: ignore[attr-defined]  # an operator lives as long as its library


def family(name: str) -> str:
    """The part of torchvision.models that a model comes from."""
    from torchvision.models import get_model_builder

    module = get_model_builder(name).__module__.split(".")
    return (
        module[2] if module[2] in ("detection", "optical_flow", "quantization", "segmentation", "video") else "classification"
    )


def published_weights(name: str) -> Any:
    """The weights whose evaluation is the cheapest: those that the model without weights is built for."""
    from torchvision.models import get_model_weights

    return min(get_model_weights(name), key=lambda weights: weights.meta["_ops"])


def input_shapes(name: str) -> list[tuple[int, ...]]:
    """The inputs for which torchvision publishes the model's operations."""
    transforms = published_weights(name).transforms
    options = getattr(transforms, "keywords", {})
    match family(name):
        case "video":
            return [(1, 3, 16, *options["crop_size"])]
        case "optical_flow":
            return [(1, 3, 512, 512)] * 2
        case "segmentation":
            return [(1, 3, options["resize_size"], options["resize_size"])]
        case "detection":
            return [(3, 512, 512)]
    return [(1, 3, options["crop_size"], options["crop_size"])]


def build(name: str) -> tuple[Any, tuple[Any, ...]]:
    """The model in eval mode with random weights, no two alike (exporters merge equal ones), and its inputs."""
    import torch
    from torchvision.models import get_model

    torch.manual_seed(0)
    kind = family(name)
    options: dict[str, Any] = {"aux_logits": False, "init_weights": False} if name in WITHOUT_AUXILIARY else {}
    if kind in ("segmentation", "detection"):
        options["weights_backbone"] = None
    if name.startswith(("fcn", "deeplab")):  # published with the auxiliary head, which evaluation runs
        options["aux_loss"] = True
    model = get_model(name, weights=None, **options).eval()
    inputs: tuple[Any, ...] = tuple(torch.rand(shape) for shape in input_shapes(name))
    for tensor in (*model.parameters(), *model.buffers()):
        if tensor.is_floating_point() and tensor.numel() > 1 and tensor.min() == tensor.max():
            tensor.data.uniform_(0.5, 1.5)
    if kind == "segmentation":
        model.register_forward_hook(lambda _module, _inputs, outputs: tuple(outputs.values()))
    return model, (list(inputs),) if kind == "detection" else inputs


# ---------------------------------------------------------------------------------------------- measure


def flop_counter(model: Any, inputs: tuple[Any, ...], *, decomposed: bool) -> dict[str, int]:
    """torch.utils.flop_counter's FLOPs / 2 by aten operator. Decomposed: attention as matrix products, no fused fast path."""
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    torch.backends.mha.set_fastpath_enabled(not decomposed)
    counter = FlopCounterMode(display=False)
    kernel = sdpa_kernel(SDPBackend.MATH) if decomposed else contextlib.nullcontext()
    with torch.no_grad(), kernel, counter:
        model(*inputs)
    return {str(operator): flops // 2 for operator, flops in counter.get_flop_counts()["Global"].items()}


def missed_by_flop_counter(model: Any, inputs: tuple[Any, ...]) -> list[str]:
    """The attention operators of a plain run that torch.utils.flop_counter has no formula for."""
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils.flop_counter import flop_registry

    missed: set[str] = set()

    class Listen(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if "attention" in str(func) and func._overloadpacket not in flop_registry:
                missed.add(str(func._overloadpacket))
            return func(*args, **(kwargs or {}))

    torch.backends.mha.set_fastpath_enabled(True)
    with torch.no_grad(), Listen():
        model(*inputs)
    return sorted(missed)


def fvcore_counts(model: Any, inputs: tuple[Any, ...]) -> dict[str, Any]:
    """fvcore's FlopCountAnalysis: total, by operator, and how often it met operators that it has no rule for."""
    import torch
    from fvcore.nn import FlopCountAnalysis

    torch.backends.mha.set_fastpath_enabled(False)  # as with gradients, which fvcore leaves on, and in less memory
    analysis = FlopCountAnalysis(model, inputs).unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    with torch.no_grad():
        by_operator = {name: int(count) for name, count in analysis.by_operator().items()}
    return {"total": sum(by_operator.values()), "by_operator": by_operator, "unsupported": dict(analysis.unsupported_ops())}


def thop_counts(model: Any, inputs: tuple[Any, ...]) -> dict[str, Any]:
    """thop.profile: total and by the type of the modules that it has a rule for."""
    from thop import profile

    total, _parameters, layers = profile(model, inputs, verbose=False, ret_layer_info=True)
    by_module: Counter[str] = Counter()

    def add(children: dict[str, Any], parent: Any) -> None:
        for name, (count, _, below) in children.items():
            module = parent.get_submodule(name)
            if below:
                add(below, module)
            elif count:
                by_module[type(module).__name__] += int(count)

    add(layers, model)
    return {"total": int(total), "by_module": dict(by_module)}


def attempt(count: Callable[[], Any]) -> Any:
    """The count, or why the package could not make it."""
    try:
        return count()
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}".splitlines()[0][:200]}


def measure(name: str) -> dict[str, Any]:
    """All of the other packages' figures of a model. Shapes alone decide the last ones, so that no data is needed."""
    weights = published_weights(name)
    model, inputs = build(name)
    figures: dict[str, Any] = {
        "family": family(name),
        "inputs": input_shapes(name),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "buffers": sum(buffer.numel() for buffer in model.buffers()),
        "published": {"gflops": weights.meta["_ops"], "parameters": weights.meta["num_params"], "weights": str(weights)},
        "fvcore": attempt(lambda: fvcore_counts(model, inputs)),
    }
    if any("attention" in operator for operator in figures["fvcore"].get("unsupported", {})):
        figures["torch_plain"] = flop_counter(model, inputs, decomposed=False)
        figures["torch_missed"] = missed_by_flop_counter(model, inputs)
    if family(name) != "detection":
        model, inputs = model.to("meta"), tuple(value.to("meta") for value in inputs)
    figures["torch"] = flop_counter(model, inputs, decomposed=True)
    figures["thop"] = attempt(lambda: thop_counts(model, inputs))
    return figures


# ---------------------------------------------------------------------------------------------- export


def export(name: str, *, newer: bool) -> bytes:
    """The model as ONNX without its weights. The older exporter keeps BatchNormalization, the newer one optimizes as it likes."""
    import tempfile

    import onnx
    import torch

    torch.backends.mha.set_fastpath_enabled(False)
    model, inputs = build(name)
    older = {"opset_version": 17, "training": torch.onnx.TrainingMode.PRESERVE, "do_constant_folding": False}
    with tempfile.TemporaryDirectory(dir=BUILD) as folder:
        path = Path(folder) / "model.onnx"
        torch.onnx.export(model, inputs, str(path), dynamo=newer, **({"external_data": True} if newer else older))
        return bytes(skeleton(onnx.load(path, load_external_data=False)).SerializeToString(deterministic=True))


def skeleton(model: Any) -> Any:
    """The model without the payload of its larger tensors, stored shapes, documentation and stack traces."""
    for tensor in tensors(model.graph):
        if payload_bytes(tensor) > LARGEST_PAYLOAD:
            for field in ("raw_data", "float_data", "int32_data", "int64_data", "double_data", "uint64_data", "external_data"):
                tensor.ClearField(field)
            tensor.data_location = tensor.EXTERNAL
            tensor.external_data.add(key="location", value="weights-not-stored")
        tensor.ClearField("doc_string")
    for graph in graphs(model.graph):
        graph.ClearField("value_info")
        for item in (graph, *graph.node, *graph.input, *graph.output):
            item.ClearField("doc_string")
        for node in graph.node:
            kept = [entry for entry in node.metadata_props if entry.key == "pkg.torch.onnx.name_scopes"]
            node.ClearField("metadata_props")
            node.metadata_props.extend(kept)
        for tensor in graph.initializer:
            tensor.ClearField("metadata_props")
    model.graph.ClearField("metadata_props")
    return model


def graphs(graph: Any) -> Iterator[Any]:
    """The graph and all graphs inside its nodes."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs) if attribute.HasField("g") or attribute.graphs else ():
                yield from graphs(inner)


def tensors(graph: Any) -> Iterator[Any]:
    """The tensors stored anywhere in the graph."""
    for inner in graphs(graph):
        yield from inner.initializer
        for node in inner.node:
            for attribute in node.attribute:
                yield from (attribute.t, *attribute.tensors) if attribute.HasField("t") else attribute.tensors


def payload_bytes(tensor: Any) -> int:
    """Bytes of a tensor's data, wherever they are kept."""
    import math

    import onnx

    return math.prod(tensor.dims) * onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize


# ---------------------------------------------------------------------------------------------- one process a model


def run_one(task: str, name: str, failed: Path) -> None:
    """Measure or export one model, and keep why where that fails."""
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
    import thop  # noqa: F401

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
        print(
            f"{task} {name}: {time.monotonic() - started:.0f} s {failed.read_text() if failed.exists() else 'ok'}", flush=True
        )


# ---------------------------------------------------------------------------------------------- publish

GROUPS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "convolution": (("Conv", "ConvTranspose"), ("conv", "Conv2d", "Conv3d", "ConvTranspose2d")),
    "contraction": (("Gemm", "MatMul", "Einsum"), ("linear", "addmm", "matmul", "mm", "bmm", "einsum", "Linear")),
    "batch norm": (("BatchNormalization",), ("batch_norm", "BatchNorm2d", "BatchNorm3d")),
    "layer norm": (("LayerNormalization",), ("layer_norm", "LayerNorm")),
    "instance norm": (("InstanceNormalization", "GroupNormalization"), ("instance_norm", "group_norm", "InstanceNorm2d")),
    "pooling": (
        ("GlobalAveragePool", "AveragePool", "ReduceMean"),
        ("adaptive_avg_pool2d", "AvgPool2d", "AvgPool3d", "AdaptiveAvgPool2d", "AdaptiveAvgPool3d"),
    ),
    "resampling": (("Resize", "Upsample"), ("upsample_nearest2d", "upsample_bilinear2d", "Upsample")),
    "grid sampling": (("GridSample",), ("grid_sampler",)),
    "softmax": (("Softmax",), ("Softmax",)),
}
"""ONNX operators, and what fvcore (operators) and thop (module types) call the same."""
BY = {"fvcore": "by_operator", "thop": "by_module"}


def by_operator(report: Any, convention: str) -> dict[str, int]:
    """onnxcost's count of each ONNX operator that has one."""
    from onnxcost.conventions import convention_named

    counts: Counter[str] = Counter()
    for group in report.by_operator():
        counts[group.key[1]] += group.total(convention_named(convention))
    return dict(+counts)


def differences(ours: dict[str, int], theirs: dict[str, int]) -> list[tuple[str, int, int]]:
    """The groups in which the two are not equal: group, theirs, onnxcost's. What belongs to no group is one of its own."""
    groups = GROUPS | {key: ((key,), ()) for key in ours if not any(key in group[0] for group in GROUPS.values())}
    groups |= {key: ((), (key,)) for key in theirs if not any(key in group[1] for group in GROUPS.values())}
    rows = [
        (group, sum(theirs.get(key, 0) for key in names), sum(ours.get(key, 0) for key in operators))
        for group, (operators, names) in groups.items()
    ]
    return [row for row in rows if row[1] != row[2]]


def files_of(name: str) -> list[Path]:
    """The model's skeletons, the older exporter's first."""
    paths = (BUILD / "onnx" / onnx_name(name, newer=newer) for newer in (False, True))
    return [path for path in paths if path.exists()]


def write_archive(names: Iterable[str]) -> None:
    """All skeletons in one archive, the same bytes for the same skeletons; those of a family side by side compress best."""
    ARCHIVE.parent.mkdir(parents=True, exist_ok=True)
    memory = io.BytesIO()
    with tarfile.open(fileobj=memory, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for path in sorted((path for name in names for path in files_of(name)), key=lambda path: path.name.split(".")[::-1]):
            entry = tarfile.TarInfo(path.name)
            entry.size = path.stat().st_size
            archive.addfile(entry, io.BytesIO(path.read_bytes()))
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "dict_size": 1 << 26}]
    ARCHIVE.write_bytes(lzma.compress(memory.getvalue(), format=lzma.FORMAT_XZ, filters=filters))


def toml(value: Any) -> str:
    """A value in TOML's inline notation."""
    match value:
        case dict():
            return (
                "{"
                + ", ".join(f"{key if key.isidentifier() else json.dumps(key)} = {toml(item)}" for key, item in value.items())
                + "}"
            )
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
        entry["macs_plain"] = {"total": sum(plain.values())} | plain | {"reason": MISSED_BY_TORCH}
    for package, by in BY.items():
        counts = figures[package]
        entry[package] = {"total": counts["total"]} | counts[by] if by in counts else counts
    lines = ["[[model]]", *(f"{key} = {toml(value)}" for key, value in entry.items())]
    for row in explanations(name, figures):
        lines += ["[[model.explained]]", *(f"{key} = {toml(value)}" for key, value in row.items())]
    return "\n".join(lines) + "\n"


def explanations(name: str, figures: dict[str, Any]) -> list[dict[str, Any]]:
    """Where the first file's report and a package's figure differ: by how much in which operators, and why."""
    import onnxcost

    report = onnxcost.estimate(files_of(name)[0])
    rows = []
    for convention, by in BY.items():
        if by not in figures[convention]:
            continue
        for group, theirs, ours in differences(by_operator(report, convention), figures[convention][by]):
            operators, names = GROUPS[group]
            reason = reason_for(name, convention, group, theirs, ours)
            rows.append(
                {"convention": convention, "operators": operators, "their_operators": names}
                | {"theirs": theirs, "onnxcost": ours, "reason": reason}
            )
    return rows


def reason_for(name: str, convention: str, group: str, theirs: int, ours: int) -> str:
    """The first reason in the table that fits; a difference without a reason is an error."""
    for (a_convention, a_group, models), reason in REASONS.items():
        if (a_convention, a_group) == (convention, group) and name.startswith(models):
            return reason
    raise SystemExit(f"{name}: {convention} counts {theirs} for {group}, onnxcost {ours}, and no reason is known")


def publish() -> None:
    """Write the archive and tests/published.toml from what measure and export left."""
    names = [name for name in all_models() if (BUILD / f"{name}.json").exists() and files_of(name)]
    write_archive(names)
    packages = "\n".join(f"{package} = {toml(version(package).split('+')[0])}" for package in PACKAGES)
    entries = "\n".join(map(published_entry, names))
    PUBLISHED.write_text(f"{HEADER}\n[packages]\n{packages}\n\n{entries}")
    print(f"{len(names)} models, {ARCHIVE.stat().st_size:,} bytes of skeletons")


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
    return "; ".join(f"{row['onnxcost'] - row['theirs']:+d} {'/'.join(row['operators'])}: {row['reason']}" for row in rows) or "equal"


def read_archive() -> dict[str, bytes]:
    """The skeletons by file name."""
    with tarfile.open(ARCHIVE) as archive:
        return {entry.name: archive.extractfile(entry).read() for entry in archive}  # type: ignore[union-attr]


def main() -> None:
    """Parse, then do the tasks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=("measure", "export", "publish", "table"))
    parser.add_argument("names", nargs="*", help="models; all of torchvision's by default")
    parser.add_argument("--timeout", type=float, default=600.0, help="seconds for one model")
    options = parser.parse_args()
    if options.task in ("measure", "export"):
        names = options.names or all_models()
        run_each(options.task, names, options.timeout)
        if options.task == "export":
            newer = [name for name in names if name in NEWER_EXPORTER or (BUILD / f"{name}.export.failed").exists()]
            run_each("export-newer", newer, options.timeout)
    elif options.task == "publish":
        publish()
    else:
        table()


def all_models() -> list[str]:
    """torchvision's models, the ones with the largest weights last."""
    load_torchvision()
    from torchvision.models import list_models

    return sorted(list_models(), key=lambda name: published_weights(name).meta["num_params"])


if __name__ == "__main__":
    main()
