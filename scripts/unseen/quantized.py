"""Models quantized with onnxruntime's own tools, calibrated on random data."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # looked at when onnxruntime is imported

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_dynamic, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

INT8, UINT8 = QuantType.QInt8, QuantType.QUInt8
QDQ, QOPERATOR = QuantFormat.QDQ, QuantFormat.QOperator


class RandomData(CalibrationDataReader):
    """Four random inputs of a model whose dims are fixed: normal numbers, and ones for integers."""

    def __init__(self, path: Path) -> None:
        random, graph = np.random.default_rng(0), onnx.load(path, load_external_data=False).graph
        stored = {tensor.name for tensor in graph.initializer}
        inputs = [(value.name, value.type.tensor_type) for value in graph.input if value.name not in stored]
        self.data: Iterator[dict[str, np.ndarray]] = iter(
            [{name: self.values(random, kind) for name, kind in inputs} for _ in range(4)]
        )

    @staticmethod
    def values(random: np.random.Generator, kind: onnx.TypeProto.Tensor) -> np.ndarray:
        shape = [dim.dim_value for dim in kind.shape.dim]
        dtype = onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type)
        return random.standard_normal(shape).astype(dtype) if dtype.kind == "f" else np.ones(shape, dtype)

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self.data, None)


def static(source: Path, path: Path, form: QuantFormat, activations: QuantType, *, per_channel: bool = False) -> None:
    with TemporaryDirectory() as folder:
        folded = Path(folder) / "folded.onnx"
        quant_pre_process(source, folded, skip_symbolic_shape=True)
        quantize_static(
            folded,
            path,
            RandomData(folded),
            quant_format=form,
            activation_type=activations,
            weight_type=INT8,
            per_channel=per_channel,
        )


def dynamic(source: Path, path: Path) -> None:
    quantize_dynamic(source, path, weight_type=INT8)


METHODS: Mapping[str, Callable[[Path, Path], None]] = {
    "qdq_u8s8": partial(static, form=QDQ, activations=UINT8),
    "qdq_u8s8_channel": partial(static, form=QDQ, activations=UINT8, per_channel=True),
    "qdq_s8s8": partial(static, form=QDQ, activations=INT8),
    "qdq_s8s8_channel": partial(static, form=QDQ, activations=INT8, per_channel=True),
    "qop": partial(static, form=QOPERATOR, activations=UINT8),
    "qop_channel": partial(static, form=QOPERATOR, activations=UINT8, per_channel=True),
    "dynamic": dynamic,
}
METHODS_OF: Mapping[str, tuple[str, ...]] = {
    "timm_hardcorenas_c": ("qdq_u8s8", "qdq_s8s8_channel", "qop"),
    "hf_bert_mini": ("dynamic", "qdq_u8s8"),
    "torchvision_squeezenet1_1": ("qdq_u8s8_channel", "qop"),
    "torchvision_googlenet": ("qdq_s8s8", "qop_channel"),
    "hf_minilm_l6": ("dynamic", "qdq_s8s8_channel"),
    "torchvision_regnet_y_800mf": ("qdq_u8s8", "qop"),
    "torchvision_shufflenet_v2_x0_5": ("qdq_s8s8_channel", "qop"),
    "torchvision_mnasnet1_0": ("qdq_u8s8_channel", "qdq_s8s8"),
    "torchvision_resnet34": ("qdq_s8s8", "qop"),
    "hf_distilbert_base": ("dynamic",),
    "hf_gpt2": ("dynamic",),
    "hf_deit_tiny": ("dynamic", "qdq_u8s8_channel"),
    "hf_electra_small": ("dynamic",),
    "keras_MobileNet": ("qdq_u8s8", "qop_channel"),
    "keras_EfficientNetB0": ("qdq_s8s8",),
}
"""The complete exports that are quantized, and how."""
HELD_OUT_OF: Mapping[str, tuple[str, ...]] = {
    "hf_bert_small": ("dynamic", "qdq_u8s8_channel"),
    "hf_distilroberta": ("dynamic",),
    "hf_flan_t5_small_encoder": ("dynamic",),
    "hf_squeezebert": ("qdq_u8s8",),
    "hf_clip_b32_vision": ("qdq_u8s8_channel",),
    "hf_poolformer_s12": ("qop",),
    "torchvision_regnet_x_800mf": ("qdq_u8s8_channel", "qop"),
    "torchvision_squeezenet1_0": ("qdq_u8s8",),
    "keras_MobileNetV2_035": ("qdq_u8s8_channel",),
    "keras_ResNet50V2": ("qop",),
    "timm_lcnet_100": ("qdq_u8s8",),
    "timm_ese_vovnet19b_dw": ("qop",),
}


def named(methods_of: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, str]]:
    return {f"{base}_{method}": (base, method) for base, methods in methods_of.items() for method in methods}


NAMES, HELD_OUT = named(METHODS_OF), named(HELD_OUT_OF)


def export(name: str, path: Path) -> None:
    base, method = (NAMES | HELD_OUT)[name]
    METHODS[method](complete(base, path.parent), path)


def complete(base: str, folder: Path) -> Path:
    """The base with its weights, from the same folder; torchvision's are exported here."""
    path = folder / f"{base}.onnx"
    if base.startswith("torchvision_") and not path.exists():
        from scripts.export.torchvision_models import build
        from scripts.unseen.from_timm import export_module

        export_module(*build(base.removeprefix("torchvision_")), path)
    return path
