"""A folder of many models to scan: those of models/ with varied dims, and a few that are broken in different ways.

    python -m scripts.benchmark.many_models FOLDER [--count 1000]

Set-up: ``pip install .`` It writes the same models every time. The names of broken ones contain the names in BROKEN.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random

import onnx

MODELS = Path(__file__).parents[2] / "models"
ONE_IN = 50
"""One of this many models is broken."""

BATCH, SIZES, LENGTHS = range(1, 9), range(128, 513, 32), range(8, 513, 8)
FREE: Mapping[str, tuple[int, ...]] = {
    "mobilenetv2_keras": (1, 2),
    "mobilenetv2_pytorch": (0, 2, 3),
    "mobilenetv2_tensorflow": (0, 1, 2),
    "resnet18_int8_qdq": (0, 2, 3),
    "resnet50_keras": (1, 2),
    "resnet50_pytorch": (2, 3),
    "resnet50_tensorflow": (0, 1, 2),
    "ssdlite320_pytorch": (0,),
    "unet_pytorch": (0, 2, 3),
}
"""The dims of the image that can be changed although the export fixed them: nothing in these models depends on them."""


def varied(name: str, model: onnx.ModelProto, rng: Random) -> bytes:
    """The model with other dims: open ones are fixed, in every fourth model left open; those of FREE are changed."""
    stored = {tensor.name for tensor in model.graph.initializer}
    inputs = [value.type.tensor_type.shape.dim for value in model.graph.input if value.name not in stored]
    symbols = sorted({dim.dim_param for dims in inputs for dim in dims if dim.dim_param})
    sizes = {symbol: rng.choice(BATCH if symbol == "batch" else LENGTHS) for symbol in symbols}
    if "total_sequence" in sizes:
        sizes["total_sequence"] = sizes["sequence"] + sizes["past_sequence"]
    size, keeps_open = rng.choice(SIZES), not rng.randrange(4)
    for dims in inputs:
        for dim in dims:
            if dim.dim_param and not keeps_open:
                dim.dim_value = sizes[dim.dim_param]
        for axis in FREE.get(name, ()):
            dims[axis].dim_value = size if axis else rng.choice(BATCH)
    # The exported shapes of other values are no longer valid.
    model.graph.ClearField("value_info")
    for output in model.graph.output:
        output.type.tensor_type.ClearField("shape")
    model.graph.name = f"{name} {sizes or size}"
    return model.SerializeToString(deterministic=True)


def contradicting(model: onnx.ModelProto) -> bytes:
    """The weight of a product does not fit its other operand."""
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    product = next(node for node in model.graph.node if node.op_type == "Gemm")
    weights[product.input[1]].dims[1] += 1
    return model.SerializeToString()


def cyclic(model: onnx.ModelProto) -> bytes:
    """The first node depends on the last."""
    first, last = model.graph.node[0], model.graph.node[-1]
    first.input[0] = last.output[0]
    return model.SerializeToString()


def beheaded(model: onnx.ModelProto) -> bytes:
    """No node computes the output of the first node."""
    del model.graph.node[0]
    return model.SerializeToString()


def without_graph(model: onnx.ModelProto) -> bytes:
    model.ClearField("graph")
    return model.SerializeToString()


BROKEN: Mapping[str, Callable[[onnx.ModelProto], bytes | None]] = {
    "truncated": lambda model: model.SerializeToString()[: model.ByteSize() // 2],
    "empty": lambda model: b"",
    "text": lambda model: b"<!DOCTYPE html>\n<title>404 Not Found</title>\n",
    "pointer": lambda model: b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 102583340\n",
    "zeros": lambda model: bytes(4096),
    "contradicting": contradicting,
    "cyclic": cyclic,
    "beheaded": beheaded,
    "without-graph": without_graph,
    "missing": lambda model: None,
}


def write_broken(path: Path, kind: str) -> None:
    content = BROKEN[kind](onnx.load(MODELS / "mobilenetv2_pytorch.onnx", load_external_data=False))
    if content is not None:
        path.write_bytes(content)
    elif not path.is_symlink():
        path.symlink_to("nowhere.onnx")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=1000)
    options = parser.parse_args()
    bases = {path.stem: path.read_bytes() for path in sorted(MODELS.glob("*.onnx"))}
    names, kinds = list(bases), list(BROKEN)
    for number in range(options.count):
        name = names[number % len(names)]
        folder = options.folder / name
        folder.mkdir(parents=True, exist_ok=True)
        broken, rest = divmod(number, ONE_IN)
        if rest == ONE_IN - 1:
            kind = kinds[broken % len(kinds)]
            write_broken(folder / f"{name}_{number:04}_{kind}.onnx", kind)
        else:
            model = onnx.load_model_from_string(bases[name])
            (folder / f"{name}_{number:04}.onnx").write_bytes(varied(name, model, Random(number)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
