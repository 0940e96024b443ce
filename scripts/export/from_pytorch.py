"""Exports PyTorch models to ONNX, checks each in onnxruntime and stores it in models/ without its weights.

Set up (Python 3.11 or newer, a CPU is enough):

    python -m venv .venv-pytorch
    .venv-pytorch/bin/pip install torchvision==0.28.0 --no-deps
    .venv-pytorch/bin/pip install -r scripts/export/requirements-pytorch.txt
    .venv-pytorch/bin/python -m scripts.export.from_pytorch [NAME ...]

Weights are random, from a fixed seed. The complete exports stay in build/exports (--exports). llama_1b_pytorch needs 16 GB
of memory and 6 GB of disk; the others are modest. Opsets are the exporters' defaults.
"""

from __future__ import annotations

import inspect
import itertools
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # looked at when onnxruntime is imported

import numpy as np
import onnxruntime
import torch
import transformers
from onnxruntime import quantization
from onnxruntime.quantization.shape_inference import quant_pre_process
from torch import nn

from scripts.export.model_store import Origin, check, run

register_fake = torch.library.register_fake
# A torchvision without its compiled operators (no CPU build is on PyPI) imports only if nothing registers a fake for them.
torch.library.register_fake = lambda op, *args, **kwargs: (
    (lambda function: function) if str(op).startswith("torchvision::") else register_fake(op, *args, **kwargs)
)
import torchvision  # noqa: E402

EXAMPLE = {"batch": 2, "sequence": 5, "past_sequence": 4, "total_sequence": 9}
Dims = tuple[int | str, ...]


class MnistCnn(nn.Sequential):
    """Two convolutions and two linear layers for 28 x 28 grey images, after LeNet-5 (LeCun et al., 1998)."""

    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(1, 8, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 16, 5), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(256, 64), nn.ReLU(), nn.Linear(64, 10), nn.LogSoftmax(dim=1),
        )  # fmt: skip


class TextTransformer(nn.Module):
    """A text classifier: embedding, two pre-norm encoder blocks, mean over the sequence, linear head."""

    def __init__(self, vocabulary: int = 512, width: int = 32, classes: int = 4) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)
        self.position = nn.Embedding(256, width)
        options = {"activation": "gelu", "batch_first": True, "norm_first": True}
        self.encoder = nn.Sequential(*(nn.TransformerEncoderLayer(width, 4, 4 * width, **options) for _ in range(2)))
        self.head = nn.Linear(width, classes)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        positions = torch.arange(tokens.shape[1])
        return self.head(self.encoder(self.embedding(tokens) + self.position(positions)).mean(dim=1))


class TextLstm(nn.Module):
    """A text classifier: embedding, two bidirectional LSTM layers, linear head on the last step."""

    def __init__(self, vocabulary: int = 20000, width: int = 128, hidden: int = 256, classes: int = 2) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)
        self.lstm = nn.LSTM(width, hidden, num_layers=2, bidirectional=True, batch_first=True)
        self.head = nn.Linear(2 * hidden, classes)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.head(self.lstm(self.embedding(tokens))[0][:, -1])


class UNet(nn.Module):
    """U-Net (Ronneberger et al., 2015) with padded convolutions and batch normalization, widths 64 to 1024."""

    def __init__(self, channels: int = 3, classes: int = 2, widths: tuple[int, ...] = (64, 128, 256, 512, 1024)) -> None:
        super().__init__()
        pairs = list(itertools.pairwise(widths))
        self.stem = self.block(channels, widths[0])
        self.down = nn.ModuleList(nn.Sequential(nn.MaxPool2d(2), self.block(a, b)) for a, b in pairs)
        self.up = nn.ModuleList(nn.ConvTranspose2d(b, a, 2, stride=2) for a, b in reversed(pairs))
        self.merge = nn.ModuleList(self.block(b, a) for a, b in reversed(pairs))
        self.head = nn.Conv2d(widths[0], classes, 1)

    @staticmethod
    def block(a: int, b: int) -> nn.Sequential:
        half = [nn.Conv2d(b, b, 3, padding=1, bias=False), nn.BatchNorm2d(b), nn.ReLU()]
        return nn.Sequential(nn.Conv2d(a, b, 3, padding=1, bias=False), nn.BatchNorm2d(b), nn.ReLU(), *half)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        levels = [self.stem(image)]
        for down in self.down:
            levels.append(down(levels[-1]))
        x = levels.pop()
        for up, merge in zip(self.up, self.merge, strict=True):
            x = merge(torch.cat([levels.pop(), up(x)], dim=1))
        return self.head(x)


class DetectorHeads(nn.Module):
    """A torchvision detector up to its raw outputs: backbone and heads, without anchors and non-maximum suppression."""

    def __init__(self, detector: nn.Module) -> None:
        super().__init__()
        self.backbone, self.head = detector.backbone, detector.head

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        outputs = self.head(list(self.backbone(image).values()))
        return outputs["bbox_regression"], outputs["cls_logits"]


class Decoder(nn.Module):
    """A causal language model whose key-value cache is passed as plain tensors: key and value, layer by layer."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor, *past: torch.Tensor) -> tuple[torch.Tensor, ...]:
        cache = transformers.DynamicCache(list(zip(past[::2], past[1::2], strict=True)))
        out = self.model(input_ids, attention_mask=attention_mask, past_key_values=cache, use_cache=True)
        present = [(layer.keys, layer.values) for layer in out.past_key_values.layers]
        return out.logits, *(tensor for pair in present for tensor in pair)


LLAMA = transformers.LlamaConfig(
    vocab_size=128256, hidden_size=2048, intermediate_size=8192, num_hidden_layers=16, num_attention_heads=32,
    num_key_value_heads=8, head_dim=64, max_position_embeddings=131072, rms_norm_eps=1e-5, tie_word_embeddings=True,
    rope_parameters={"rope_type": "llama3", "rope_theta": 500000.0, "factor": 32.0, "high_freq_factor": 4.0,
                     "low_freq_factor": 1.0, "original_max_position_embeddings": 8192},
)  # fmt: skip
CACHE = [f"{layer}.{part}" for layer in range(LLAMA.num_hidden_layers) for part in ("key", "value")]
CACHE_DIMS = LLAMA.num_key_value_heads, LLAMA.head_dim


class RandomImages(quantization.CalibrationDataReader):
    """Eight random images for the quantizer to calibrate on."""

    def __init__(self, name: str, shape: tuple[int, ...]) -> None:
        random = np.random.default_rng(0)
        self.images: Iterator[dict[str, np.ndarray]] = iter(
            [{name: random.standard_normal(shape, dtype=np.float32)} for _ in range(8)]
        )

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self.images, None)


def quantize(path: Path) -> None:
    """Quantizes a model of one 224 x 224 image in place, to int8 in QDQ format, as onnxruntime's guide says."""
    folded = path.with_suffix(".folded.onnx")
    quant_pre_process(path, folded)
    images = RandomImages("image", (1, 3, 224, 224))
    quantization.quantize_static(folded, path, images, quant_format=quantization.QuantFormat.QDQ)
    folded.unlink()


@dataclass(frozen=True)
class Export:
    """A row of the table. A string in dims is a dynamic dim; ``high`` bounds integer inputs, which are int64.

    The older exporter needs the dynamic dims of outputs too; the newer one derives them.
    """

    architecture: str
    build: Callable[[], nn.Module]
    inputs: Mapping[str, Dims]
    outputs: Mapping[str, Dims]
    dynamo: bool
    high: int = 2
    source: str = "torchvision, BSD-3-Clause"
    keep_weights: bool = False
    finish: Callable[[Path], None] | None = None
    integers: frozenset[str] = field(default=frozenset({"tokens", "input_ids", "attention_mask", "token_type_ids"}))


IMAGE: Mapping[str, Dims] = {"image": (1, 3, 224, 224)}
TOKENS: Mapping[str, Dims] = {"tokens": ("batch", "sequence")}
OWN = "defined in the script, Apache-2.0"
FACE = "transformers, Apache-2.0"
vision = torchvision.models
EXPORTS: Mapping[str, Export] = {
    "resnet50_pytorch": Export("ResNet-50", vision.resnet50, IMAGE, {"logits": ()}, dynamo=True),
    "mnist_cnn_pytorch": Export(
        "LeNet-like CNN", MnistCnn, {"image": ("batch", 1, 28, 28)}, {"log_probabilities": ("batch", 10)},
        dynamo=False, source=OWN, keep_weights=True,
    ),
    "text_transformer_pytorch": Export(
        "transformer text classifier", TextTransformer, TOKENS, {"logits": ()},
        dynamo=True, high=512, source=OWN, keep_weights=True,
    ),
    "mobilenetv2_pytorch": Export("MobileNetV2", vision.mobilenet_v2, IMAGE, {"logits": ()}, dynamo=False),
    "vit_b_16_pytorch": Export("ViT-B/16", vision.vit_b_16, IMAGE, {"logits": ()}, dynamo=True),
    "swin_t_pytorch": Export("Swin-T", vision.swin_t, {"image": ("batch", 3, 224, 224)}, {"logits": ()}, dynamo=True),
    "lstm_text_pytorch": Export(
        "bidirectional LSTM text classifier", TextLstm, TOKENS, {"logits": ("batch", 2)}, dynamo=False, high=20000, source=OWN,
    ),
    "unet_pytorch": Export("U-Net", UNet, {"image": (1, 3, 256, 256)}, {"logits": ()}, dynamo=False, source=OWN),
    "ssdlite320_pytorch": Export(
        "SSDLite320 MobileNetV3-Large, raw heads",
        lambda: DetectorHeads(vision.detection.ssdlite320_mobilenet_v3_large(weights_backbone=None)),
        {"image": (1, 3, 320, 320)}, {"boxes": (), "scores": ()}, dynamo=False,
    ),
    "resnet18_int8_qdq": Export("ResNet-18, int8 QDQ", vision.resnet18, IMAGE, {"logits": ()}, dynamo=False, finish=quantize),
    "bert_base_pytorch": Export(
        "BERT-base encoder", lambda: transformers.BertModel(transformers.BertConfig()),
        dict.fromkeys(("input_ids", "attention_mask", "token_type_ids"), ("batch", "sequence")),
        {"last_hidden_state": (), "pooled": ()}, dynamo=True, source=FACE,
    ),
    "llama_1b_pytorch": Export(
        "Llama-3.2-1B-like decoder with grouped-query attention and KV cache",
        lambda: Decoder(transformers.LlamaForCausalLM(LLAMA)),
        {"input_ids": ("batch", "sequence"), "attention_mask": ("batch", "total_sequence")}
        | {f"past_key_values.{name}": ("batch", CACHE_DIMS[0], "past_sequence", CACHE_DIMS[1]) for name in CACHE},
        {"logits": ()} | {f"present.{name}": () for name in CACHE}, dynamo=True, source=FACE,
    ),
}  # fmt: skip


def example(name: str, dims: Dims, row: Export) -> torch.Tensor:
    shape = [EXAMPLE[dim] if isinstance(dim, str) else dim for dim in dims]
    if name == "attention_mask":
        return torch.ones(shape, dtype=torch.int64)
    return torch.randint(row.high, shape) if name in row.integers else torch.randn(shape)


def roughen(model: nn.Module) -> None:
    """Adds noise to all tensors whose elements are equal: zero biases, norms' scales, running statistics.

    Trained weights are not equal; exporters merge equal tensors, and with a head of zeros, comparing outputs would show
    nothing.
    """
    for tensor in [*model.parameters(), *model.buffers()]:
        if tensor.is_floating_point() and tensor.numel() > 1 and tensor.min() == tensor.max():
            tensor.data += 0.02 * torch.randn(tensor.shape)


def dynamic_axes(values: Mapping[str, Dims]) -> dict[str, dict[int, str]]:
    return {name: {axis: dim for axis, dim in enumerate(dims) if isinstance(dim, str)} for name, dims in values.items()}


def exporter_options(row: Export, model: nn.Module) -> dict[str, Any]:
    if not row.dynamo:
        return {"dynamic_axes": dynamic_axes({**row.inputs, **row.outputs})}
    axes = dynamic_axes(row.inputs).values()
    return {"dynamic_shapes": dict(inspect.signature(model.forward).bind(*axes).arguments)} if any(axes) else {}


def export(name: str, folder: Path) -> tuple[Path, Origin, bool]:
    row, path = EXPORTS[name], folder / f"{name}.onnx"
    torch.manual_seed(0)
    model = row.build().eval()
    roughen(model)
    arguments = {key: example(key, dims, row) for key, dims in row.inputs.items()}
    names = {"input_names": list(row.inputs), "output_names": list(row.outputs)}
    values = tuple(arguments.values())
    torch.onnx.export(model, values, path, dynamo=row.dynamo, **names, **exporter_options(row, model))
    if row.finish:
        row.finish(path)
    with torch.no_grad():
        outputs = model(*values)
    outputs = list(outputs.values()) if isinstance(outputs, dict) else [outputs] if torch.is_tensor(outputs) else outputs
    parameters = sum(parameter.numel() for parameter in model.parameters())
    del model
    feeds = {key: value.numpy() for key, value in arguments.items()}
    check(path, feeds, [output.numpy() for output in outputs], tolerance=None if row.finish else 1e-3)
    return path, origin(row, parameters), row.keep_weights


def origin(row: Export, parameters: int) -> Origin:
    versions = f"PyTorch {torch.__version__.split('+')[0]}"
    library = {FACE: f", transformers {transformers.__version__}", OWN: ""}
    exporter = f"torch.onnx.export(dynamo={row.dynamo})"
    return Origin(
        architecture=row.architecture,
        framework=versions + library.get(row.source, f", torchvision {torchvision.__version__.split('+')[0]}"),
        exporter=exporter + (f", onnxruntime {onnxruntime.__version__} quantize_static(QDQ)" if row.finish else ""),
        module="scripts.export.from_pytorch",
        parameters=parameters,
        provenance=f"architecture: {row.source}; random weights",
    )


if __name__ == "__main__":
    run(EXPORTS, __doc__, export)
