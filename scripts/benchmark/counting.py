"""How long onnxcost takes: CPU time as ratios of whole processes in one run. Absolute times depend more on the machine than on
the tool, and wall-clock time on its other load.

    python -m scripts.benchmark.counting [--rounds 15]

Set-up: ``pip install . onnx-tool==1.0.1`` (onnx-tool is compared if it is installed); the installed package is timed. Every
round runs every command once, so that a drift of the machine affects all of them; the ratio is the median over the rounds, the
memory is the peak of the process.
"""

from __future__ import annotations

import argparse
import importlib.util
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
RESNET = ROOT / "models" / "resnet50_pytorch.onnx"
MIB = 2**20
GRAPH_SIZES = (25_000, 50_000, 100_000)

Command = Sequence[str]


@dataclass
class Timing:
    """CPU seconds of each round, the largest resident set in bytes, and the bytes that were read, of files and pipes."""

    seconds: list[float] = field(default_factory=list)
    peak_bytes: int = 0
    read_bytes: int = 0

    def over(self, base: Timing) -> float:
        return statistics.median(own / other for own, other in zip(self.seconds, base.seconds, strict=True))


def python(code: str, *arguments: object) -> Command:
    return [sys.executable, "-c", code, *map(str, arguments)]


def onnxcost(*arguments: object) -> Command:
    return [sys.executable, "-m", "onnxcost", *map(str, arguments)]


def run(command: Command) -> tuple[float, int, int]:
    """CPU seconds, peak bytes and read bytes of one process; its output is discarded. The read bytes are 0 if the system does
    not count them.
    """
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd=tempfile.gettempdir())
    assert process.stderr
    message = process.stderr.read().decode()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    counts = Path(f"/proc/{process.pid}/io")
    read = int(counts.read_text().split()[1]) if counts.exists() else 0
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed: {message.strip().splitlines()[-1]}")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024, read


def alternate(commands: Mapping[str, Command], rounds: int) -> Mapping[str, Timing]:
    timings = {name: Timing() for name in commands}
    for command in commands.values():
        run(command)
    for _ in range(rounds):
        for name, command in commands.items():
            seconds, peak, timings[name].read_bytes = run(command)
            timings[name].seconds.append(seconds)
            timings[name].peak_bytes = max(timings[name].peak_bytes, peak)
    return timings


def show(title: str, timings: Mapping[str, Timing], base: str) -> None:
    print(f"\n{title}\n  {'ratio':>6}  {'median':>8}  {'memory':>9}  {'read':>8}")
    for name, timing in timings.items():
        ratio, median = timing.over(timings[base]), statistics.median(timing.seconds)
        memory, read = timing.peak_bytes / MIB, timing.read_bytes / 1e6
        print(f"  {ratio:6.2f}  {1e3 * median:5.0f} ms  {memory:5.0f} MiB  {read:5.1f} MB  {name}")


def in_process_of_its_own(write: Callable[..., None], *arguments: object) -> None:
    """Otherwise, the memory of this process would be part of the peak of the commands that it starts."""
    writer = multiprocessing.get_context("spawn").Process(target=write, args=arguments)
    writer.start()
    writer.join()


def write_models(folder: Path) -> None:
    """The models that are timed."""
    write_vgg(folder)
    write_filled(RESNET, folder)
    for length in GRAPH_SIZES:
        write_chain(folder, length)


def write_vgg(folder: Path) -> None:
    """VGG-16 (138 M parameters) with its weights inline, and its skeleton."""
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    widths = (64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512, "M")
    nodes, weights, last, channels = [], {}, "image", 3
    for index, width in enumerate(widths):
        if width == "M":
            nodes.append(helper.make_node("MaxPool", [last], [f"p{index}"], kernel_shape=[2, 2], strides=[2, 2]))
            last = f"p{index}"
            continue
        weights |= {f"w{index}": (width, channels, 3, 3), f"b{index}": (width,)}
        nodes.append(helper.make_node("Conv", [last, f"w{index}", f"b{index}"], [f"c{index}"], pads=[1] * 4))
        nodes.append(helper.make_node("Relu", [f"c{index}"], [f"r{index}"]))
        last, channels = f"r{index}", width
    nodes.append(helper.make_node("Flatten", [last], ["flat"]))
    last = "flat"
    for index, (rows, columns) in enumerate(((25088, 4096), (4096, 4096), (4096, 1000))):
        weights |= {f"fw{index}": (rows, columns), f"fb{index}": (columns,)}
        nodes.append(helper.make_node("Gemm", [last, f"fw{index}", f"fb{index}"], [f"f{index}"]))
        last = f"f{index}"
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 224, 224])
    logits = helper.make_tensor_value_info(last, TensorProto.FLOAT, [1, 1000])
    tensors = [numpy_helper.from_array(np.full(dims, 0.01, np.float32), name) for name, dims in weights.items()]
    model = helper.make_model(
        helper.make_graph(nodes, "vgg16", [image], [logits], tensors), opset_imports=[helper.make_opsetid("", 17)], ir_version=8
    )
    inline, skeleton = folder / "vgg16.onnx", folder / "vgg16_skeleton.onnx"
    onnx.save(model, inline)
    for tensor in model.graph.initializer:
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="absent")
    onnx.save(model, skeleton)


def write_chain(folder: Path, length: int) -> None:
    """A residual chain: every node reads the two values before it."""
    import onnx
    from onnx import TensorProto, helper

    names = ["a", "b", *(f"v{index}" for index in range(length))]
    nodes = [
        helper.make_node("Add", [names[i], names[i + 1]], [names[i + 2]], name=f"/m{i // 100}/n{i}") for i in range(length)
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 64]) for name in (*names[:2], names[-1])]
    graph = helper.make_graph(nodes, "chain", ends[:2], ends[2:])
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), folder / f"chain_{length}.onnx"
    )


def write_tensors(place: str, path: Path) -> None:
    """A model that adds up 5,000 tensors of 114 KB, or what ``place`` says instead; and its skeleton."""
    import onnx
    from onnx import TensorProto, helper

    import onnxcost

    count, size = {"1,040 bytes each": (20_000, 260), "one tensor": (1, 142_750_000)}.get(place, (5000, 28_550))
    kind = TensorProto.INT8 if place == "int32_data" else TensorProto.FLOAT
    filled = TensorProto(data_type=kind, dims=[size])
    if place in ("float_data", "int32_data"):
        getattr(filled, place).extend([1] * size)
    else:
        filled.raw_data = bytes(4 * size)
    values = [f"v{index}" for index in range(count + 1)]
    ends = [helper.make_tensor_value_info(name, kind, [size]) for name in (values[0], values[-1])]
    graph = helper.make_graph([], "weights", ends[:1], ends[1:])
    for index in range(count):
        if place == "Constant nodes":
            graph.node.add(op_type="Constant", output=[f"w{index}"]).attribute.add(name="value", type=4).t.CopyFrom(filled)
        else:
            graph.initializer.add().CopyFrom(filled)
            graph.initializer[-1].name = f"w{index}"
        graph.node.add(op_type="Add", input=[values[index], f"w{index}"], output=[values[index + 1]])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    if place == "a branch":
        del graph.input[:]
        branches = (("then_branch", graph), ("else_branch", helper.make_graph([], "e", [], [ends[0]])))
        outer = helper.make_graph([], "outer", [ends[0], helper.make_tensor_value_info("c", TensorProto.BOOL, [])], [ends[1]])
        node = outer.node.add(op_type="If", input=["c"], output=[values[-1]])
        for name, body in branches:
            node.attribute.add(name=name, type=5).g.CopyFrom(body)
        model.graph.CopyFrom(outer)
    onnx.save(model, path)
    onnxcost.strip(str(path), path.with_suffix(".skeleton.onnx"))


def write_filled(skeleton: Path, folder: Path) -> None:
    """The model with numbers for its missing weights: the other tools read weights and fail without them."""
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    model = onnx.load(skeleton, load_external_data=False)
    for tensor in model.graph.initializer:
        if tensor.data_location == TensorProto.EXTERNAL:
            dtype = helper.tensor_dtype_to_np_dtype(tensor.data_type)
            tensor.CopyFrom(numpy_helper.from_array(np.full(tuple(tensor.dims), 0.01, dtype), tensor.name))
    onnx.save(model, folder / skeleton.name)


def resnet(rounds: int, folder: Path) -> None:
    path = folder / RESNET.name
    load = "import sys, onnx; onnx.load(sys.argv[1])"
    tool = "import sys, onnx_tool; onnx_tool.model_profile(sys.argv[1])"
    commands = {
        "python -c 'import onnx'": python("import onnx"),
        "onnxcost": onnxcost("--no-run", path),
        "onnx.load alone": python(load, path),
    }
    if importlib.util.find_spec("onnx_tool"):
        commands["onnx-tool"] = python(tool, path)
    title = "ResNet-50 with its weights, against the import of onnx alone (promised: at most 1.5)"
    show(title, alternate(commands, rounds), next(iter(commands)))


def vgg(rounds: int, folder: Path) -> None:
    inline, skeleton = folder / "vgg16.onnx", folder / "vgg16_skeleton.onnx"
    commands = {
        "onnxcost, skeleton": onnxcost("--no-run", skeleton),
        f"onnxcost, {inline.stat().st_size / 1e6:.0f} MB inline": onnxcost("--no-run", inline),
        "onnx.load alone": python("import sys, onnx; onnx.load(sys.argv[1])", inline),
    }
    show(
        "VGG-16, weights inline against its skeleton (promised: within 10 %, below 100 MB)",
        alternate(commands, rounds),
        next(iter(commands)),
    )


def tensors(rounds: int, folder: Path) -> None:
    """Weights in many places, against the skeletons of the same models."""
    path = folder / "weights.onnx"
    for place in ("raw_data", "float_data", "int32_data", "Constant nodes", "a branch", "1,040 bytes each", "one tensor"):
        in_process_of_its_own(write_tensors, place, path)
        commands = {
            "onnxcost, skeleton": onnxcost("--no-run", path.with_suffix(".skeleton.onnx")),
            f"onnxcost, {path.stat().st_size / 1e6:.0f} MB inline": onnxcost("--no-run", path),
        }
        title = f"Weights inline, {place}, against their skeleton (promised of 5,000 tensors: within 15 %, below 100 MB)"
        show(title, alternate(commands, rounds), next(iter(commands)))


def chains(rounds: int, folder: Path) -> None:
    commands = {f"{length:,} nodes": onnxcost("--no-run", folder / f"chain_{length}.onnx") for length in GRAPH_SIZES}
    largest = f"{GRAPH_SIZES[-1]:,} nodes, JSON"
    commands[largest] = onnxcost("--no-run", "--format", "json", folder / f"chain_{GRAPH_SIZES[-1]}.onnx")
    show("Growth with the nodes (promised: linear, 100,000 below 10 s)", alternate(commands, rounds), next(iter(commands)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15, help="rounds of the alternation (default 15)")
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as name:
        in_process_of_its_own(write_models, Path(name))
        resnet(rounds, Path(name))
        vgg(rounds, Path(name))
        tensors(max(3, rounds // 3), Path(name))
        chains(max(3, rounds // 5), Path(name))


if __name__ == "__main__":
    main()
