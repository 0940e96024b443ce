"""The costs of well-known models by family: docs/models.md.

    python -m venv .venv && .venv/bin/pip install torchvision==0.28.0 timm==1.0.31 ultralytics==8.4.190 --no-deps
    .venv/bin/pip install -r scripts/published/requirements-ultralytics.txt transformers==5.24.0 .
    .venv/bin/python -m scripts.published.reference export [NAME ...]    # build/reference
    .venv/bin/python -m scripts.published.reference publish              # tests/data/reference.tar.xz and reference.csv
    python -m scripts.published.reference                                # prints the tables

Models have random weights, in the sizes that their packages give them. torch.utils.flop_counter counts the MACs during the
export, without fused attention; these and torch's number of parameters are in reference.csv, and tests/test_reference.py
compares onnxcost with them. Torchvision's models are those of scripts/published/conventions.py.
"""

from __future__ import annotations

import csv
import sys
import tarfile
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "tests" / "data"
ARCHIVE, FIGURES = DATA / "reference.tar.xz", DATA / "reference.csv"
BUILD = ROOT / "build" / "reference"
FIELDS = ("name", "package", "family", "macs", "parameters")
TIMEOUT = 600

# fmt: off
TIMM: Mapping[str, str] = {
    "ResNet and its kin": (
        "resnet50d resnet101d resnetv2_50 seresnet50 ecaresnet50t resnest50d res2net50_26w_4s skresnet34 gernet_m "
        "nf_resnet50 eca_nfnet_l0 dm_nfnet_f0 repvgg_a0 repvgg_b0 repvgg_b2 regnetz_b16 cspresnet50 cspdarknet53 "
        "darknet53 dla34 dla60 hrnet_w18 hrnet_w32 dpn68 dpn92 ese_vovnet39b selecsls42b xception41 inception_v4 "
        "inception_resnet_v2"
    ),
    "Mobile": (
        "mobilenetv1_100 mobilenetv2_050 mobilenetv2_140 mobilenetv3_small_050 mobilenetv4_conv_small "
        "mobilenetv4_conv_medium mobilenetv4_conv_large mobilenetv4_hybrid_medium ghostnet_100 ghostnetv2_100 lcnet_050 "
        "lcnet_100 tinynet_a tinynet_e mixnet_s mixnet_l fbnetc_100 fbnetv3_b hardcorenas_a hardcorenas_f rexnet_100 "
        "semnasnet_100 spnasnet_100 tf_efficientnet_lite0 tf_efficientnet_lite4 efficientnet_es tf_efficientnetv2_b0 "
        "tf_efficientnetv2_b3 mobileone_s0 mobileone_s4 repvit_m1_0 starnet_s1 starnet_s4 efficientvit_b0 efficientvit_b2 "
        "efficientvit_m0 efficientvit_m5 fastvit_t8 fastvit_sa12 mobilevit_xxs mobilevit_s mobilevitv2_100 "
        "edgenext_xx_small edgenext_base efficientformer_l1 efficientformerv2_s0 levit_128s levit_256"
    ),
    "Vision transformers": (
        "vit_tiny_patch16_224 vit_small_patch16_224 vit_small_patch32_224 deit_tiny_patch16_224 deit3_small_patch16_224 "
        "deit3_base_patch16_224 beit_base_patch16_224 eva02_tiny_patch14_224 eva02_small_patch14_224 "
        "vit_small_patch14_dinov2 vit_base_patch14_dinov2 vit_base_patch16_siglip_224 vit_base_patch16_clip_224 "
        "cait_xxs24_224 crossvit_small_240 pit_s_224 pvt_v2_b0 pvt_v2_b2 twins_svt_small twins_pcpvt_small "
        "tnt_s_patch16_224 xcit_nano_12_p16_224 xcit_small_12_p16_224 coat_lite_small tiny_vit_5m_224 tiny_vit_21m_224 "
        "davit_tiny nest_tiny visformer_small maxvit_tiny_tf_224 coatnet_0_rw_224 hiera_tiny_224 hiera_base_224 "
        "focalnet_small_srf swinv2_tiny_window8_256"
    ),
    "Newer convolutions and mixers": (
        "convnext_atto convnext_femto convnext_pico convnext_nano convnextv2_atto convnextv2_nano convnextv2_tiny "
        "convnextv2_base inception_next_tiny poolformer_s12 poolformer_s36 caformer_s18 convformer_s18 mambaout_tiny "
        "convmixer_768_32 mixer_s16_224 mixer_b16_224 gmlp_s16_224 resmlp_12_224 resmlp_24_224"
    ),
}
YOLO: Mapping[str, str] = {
    "YOLO": (
        "yolov3 yolov5s yolov5m yolov5l yolov5x yolov6s yolov8s yolov8m yolov8l yolov8x yolov8s-seg yolov8n-pose "
        "yolov8s-pose yolov8s-cls yolov9s yolov9c yolov10s yolov10m yolov10x yolo11s yolo11m yolo11l yolo11x yolo11s-seg "
        "yolo11n-pose yolo11n-cls yolo11n-obb yolo12s yolo12m yolo26s yolo26m yolo26l"
    ),
}
# fmt: on


MEASURED: Mapping[str, tuple[str, str]] = {
    "classification": ("torchvision", "Torchvision, classification"),
    "segmentation": ("torchvision", "Torchvision, segmentation and detection"),
    "detection": ("torchvision", "Torchvision, segmentation and detection"),
    "video": ("torchvision", "Torchvision, video"),
    "optical_flow": ("torchvision", "Torchvision, optical flow"),
    "ultralytics": ("ultralytics", "YOLO"),
}
"""The package and the family here of each family in tests/published.toml."""


class Known(NamedTuple):
    """A model: its name in its package, and the family under which it is listed."""

    name: str
    package: str
    family: str


def known_models() -> Iterator[Known]:
    """All models to export."""
    for package, families in (("ultralytics", YOLO), ("transformers", TRANSFORMERS), ("timm", TIMM)):
        for family, names in families.items():
            yield from (Known(name, package, family) for name in (names.split() if isinstance(names, str) else names))


def _bert(layers: int, hidden: int, heads: int, **more: Any) -> dict[str, Any]:
    own = {"num_hidden_layers": layers, "hidden_size": hidden, "num_attention_heads": heads, "intermediate_size": 4 * hidden}
    return own | more


def _llama(layers: int, hidden: int, inner: int, heads: int, kv: int, vocabulary: int, **more: Any) -> dict[str, Any]:
    own = {"num_hidden_layers": layers, "hidden_size": hidden, "intermediate_size": inner, "num_attention_heads": heads}
    return own | {"num_key_value_heads": kv, "vocab_size": vocabulary, "use_cache": False, "tie_word_embeddings": True, **more}


def _gpt2(layers: int, hidden: int, heads: int) -> dict[str, Any]:
    return {"n_layer": layers, "n_embd": hidden, "n_head": heads, "use_cache": False}


def _whisper(layers: int, hidden: int, heads: int, mels: int = 80) -> dict[str, Any]:
    sizes = {"d_model": hidden, "encoder_layers": layers, "encoder_attention_heads": heads, "encoder_ffn_dim": 4 * hidden}
    return sizes | {"num_mel_bins": mels}


def _vision(layers: int, hidden: int, heads: int, **more: Any) -> dict[str, Any]:
    return _bert(layers, hidden, heads, image_size=224, **more)


class Case(NamedTuple):
    """A model of transformers: its class, the class of its config, changes from the config's defaults, and the input."""

    model: str
    config: str
    sizes: Mapping[str, Any]
    inputs: tuple[str, tuple[int, ...]]


TEXT, IMAGE = ("input_ids", (1, 128)), ("pixel_values", (1, 3, 224, 224))
PROMPT = ("input_ids", (1, 512))
_ROBERTA = {"vocab_size": 50265, "max_position_embeddings": 514, "type_vocab_size": 1}
_DEBERTA = {
    "vocab_size": 128100, "type_vocab_size": 0, "relative_attention": True, "position_buckets": 256,
    "norm_rel_ebd": "layer_norm", "share_att_key": True, "pos_att_type": ["p2c", "c2p"], "position_biased_input": False,
}  # fmt: skip
_MIX = {"num_labels": 150}
_DEEP = {"num_attention_heads": [1, 2, 5, 8], "hidden_sizes": [64, 128, 320, 512], "decoder_hidden_size": 768}
_B5 = _MIX | _DEEP | {"depths": [3, 6, 40, 3]}
_CLIP_L = _vision(24, 1024, 16, patch_size=14)
_ENCODER = "models.whisper.modeling_whisper.WhisperEncoder"
_SMALL_T5 = {"d_ff": 1024, "num_layers": 8, "num_heads": 6, "feed_forward_proj": "gated-gelu"}
_BASE_T5 = {"d_model": 768, "d_kv": 64, "d_ff": 3072, "num_layers": 12, "num_heads": 12}
_WAV_L = _bert(24, 1024, 16, feat_extract_norm="layer", conv_bias=True, do_stable_layer_norm=True)
_PYTHIA = {"vocab_size": 50304, "use_cache": False}
CASES: Mapping[str, Mapping[str, Case]] = {
    "Text encoders, 128 tokens": {
        "bert-tiny": Case("BertModel", "BertConfig", _bert(2, 128, 2), TEXT),
        "bert-small": Case("BertModel", "BertConfig", _bert(4, 512, 8), TEXT),
        "bert-base-uncased": Case("BertModel", "BertConfig", {}, TEXT),
        "bert-large-uncased": Case("BertModel", "BertConfig", _bert(24, 1024, 16), TEXT),
        "distilbert-base-uncased": Case("DistilBertModel", "DistilBertConfig", {}, TEXT),
        "roberta-base": Case("RobertaModel", "RobertaConfig", _ROBERTA, TEXT),
        "xlm-roberta-base": Case("XLMRobertaModel", "XLMRobertaConfig", _ROBERTA | {"vocab_size": 250002}, TEXT),
        "albert-base-v2": Case("AlbertModel", "AlbertConfig", _bert(12, 768, 12), TEXT),
        "electra-small": Case("ElectraModel", "ElectraConfig", {}, TEXT),
        "deberta-v3-base": Case("DebertaV2Model", "DebertaV2Config", _bert(12, 768, 12, **_DEBERTA), TEXT),
        "mpnet-base": Case("MPNetModel", "MPNetConfig", {"max_position_embeddings": 514}, TEXT),
        "all-MiniLM-L6-v2": Case("BertModel", "BertConfig", _bert(6, 384, 12), TEXT),
        "bge-small-en": Case("BertModel", "BertConfig", _bert(12, 384, 12), TEXT),
        "mobilebert": Case("MobileBertModel", "MobileBertConfig", {}, TEXT),
        "t5-small, encoder": Case("T5EncoderModel", "T5Config", {}, TEXT),
        "t5-base, encoder": Case("T5EncoderModel", "T5Config", _BASE_T5, TEXT),
        "flan-t5-small, encoder": Case("T5EncoderModel", "T5Config", _SMALL_T5, TEXT),
    },
    "Decoders, 512 tokens at once": {
        "distilgpt2": Case("GPT2LMHeadModel", "GPT2Config", _gpt2(6, 768, 12), PROMPT),
        "gpt2": Case("GPT2LMHeadModel", "GPT2Config", _gpt2(12, 768, 12), PROMPT),
        "gpt2-medium": Case("GPT2LMHeadModel", "GPT2Config", _gpt2(24, 1024, 16), PROMPT),
        "opt-125m": Case("OPTForCausalLM", "OPTConfig", {"use_cache": False}, PROMPT),
        "pythia-70m": Case("GPTNeoXForCausalLM", "GPTNeoXConfig", _bert(6, 512, 8, **_PYTHIA), PROMPT),
        "pythia-160m": Case("GPTNeoXForCausalLM", "GPTNeoXConfig", _bert(12, 768, 12, **_PYTHIA), PROMPT),
        "SmolLM2-135M": Case("LlamaForCausalLM", "LlamaConfig", _llama(30, 576, 1536, 9, 3, 49152, head_dim=64), PROMPT),
        "SmolLM2-360M": Case("LlamaForCausalLM", "LlamaConfig", _llama(32, 960, 2560, 15, 5, 49152, head_dim=64), PROMPT),
        "Qwen2.5-0.5B": Case("Qwen2ForCausalLM", "Qwen2Config", _llama(24, 896, 4864, 14, 2, 151936), PROMPT),
    },
    "Vision and language": {
        "clip-vit-base-patch32, image": Case("CLIPVisionModel", "CLIPVisionConfig", {}, IMAGE),
        "clip-vit-large-patch14, image": Case("CLIPVisionModel", "CLIPVisionConfig", _CLIP_L, IMAGE),
        "clip-vit-base-patch32, text": Case("CLIPTextModel", "CLIPTextConfig", {}, ("input_ids", (1, 77))),
        "segformer-b0": Case("SegformerForSemanticSegmentation", "SegformerConfig", _MIX, ("pixel_values", (1, 3, 512, 512))),
        "segformer-b5": Case("SegformerForSemanticSegmentation", "SegformerConfig", _B5, ("pixel_values", (1, 3, 640, 640))),
    },
    "Speech, 30 seconds (Whisper) or 1 second": {
        "whisper-tiny, encoder": Case(_ENCODER, "WhisperConfig", _whisper(4, 384, 6), ("input_features", (1, 80, 3000))),
        "whisper-base, encoder": Case(_ENCODER, "WhisperConfig", _whisper(6, 512, 8), ("input_features", (1, 80, 3000))),
        "whisper-small, encoder": Case(_ENCODER, "WhisperConfig", _whisper(12, 768, 12), ("input_features", (1, 80, 3000))),
        "whisper-medium, encoder": Case(_ENCODER, "WhisperConfig", _whisper(24, 1024, 16), ("input_features", (1, 80, 3000))),
        "wav2vec2-base": Case("Wav2Vec2Model", "Wav2Vec2Config", {}, ("input_values", (1, 16000))),
        "wav2vec2-large-robust": Case("Wav2Vec2Model", "Wav2Vec2Config", _WAV_L, ("input_values", (1, 16000))),
        "hubert-base": Case("HubertModel", "HubertConfig", {}, ("input_values", (1, 16000))),
        "wavlm-base": Case("WavLMModel", "WavLMConfig", {}, ("input_values", (1, 16000))),
    },
}  # fmt: skip
TRANSFORMERS: Mapping[str, tuple[str, ...]] = {family: tuple(cases) for family, cases in CASES.items()}


def build(known: Known) -> tuple[Any, tuple[Any, ...]]:
    """The model in eval mode with random weights, and its inputs."""
    from scripts.export.torchvision_models import load_torchvision

    load_torchvision()
    import torch

    from scripts.export.from_pytorch import roughen

    torch.manual_seed(0)
    if known.package == "timm":
        import timm
        from timm.utils.model import reparameterize_model

        model = reparameterize_model(timm.create_model(known.name, exportable=True).eval())
        inputs = torch.randn(1, *model.pretrained_cfg["input_size"])
    elif known.package == "ultralytics":
        from ultralytics import YOLO as Yolo

        size = 224 if known.name.endswith("-cls") else 640
        model, inputs = Yolo(f"{known.name}.yaml", verbose=False).model.eval(), torch.rand(1, 3, size, size)
    else:
        model, inputs = build_transformer(CASES[known.family][known.name])
    roughen(model)
    return model.requires_grad_(False), (inputs,)


def build_transformer(case: Case) -> tuple[Any, Any]:
    from inspect import signature
    from operator import attrgetter

    import torch
    import transformers

    from scripts.unseen.from_transformers import Plain

    config = getattr(transformers, case.config)(**case.sizes)
    config._attn_implementation = "eager"
    kind = attrgetter(case.model)(transformers)
    pools = "add_pooling_layer" in signature(kind).parameters  # only what the first output needs is exported
    model = kind(config, **({"add_pooling_layer": False} if pools else {})).eval()
    name, shape = case.inputs
    inputs = torch.randint(1000, shape) if name == "input_ids" else torch.randn(shape)
    return Plain(model, [name]).eval(), inputs


def export(known: Known) -> None:
    """Writes the skeleton and torch's counts, unless they exist."""
    import onnx
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    from scripts.export.skeletons import skeleton
    from scripts.unseen.from_timm import to_onnx

    target = BUILD / f"{known.name}.onnx"
    model, inputs = build(known)
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH), torch.no_grad():
        model(*inputs)
    parameters = sum(tensor.numel() for tensor in model.parameters())
    complete = BUILD / f"{known.name}.complete.onnx"
    options = {"training": torch.onnx.TrainingMode.PRESERVE, "do_constant_folding": False, "opset_version": 17}
    try:
        to_onnx(model, inputs, complete, False, options)
    except Exception as error:
        print(f"{known.name}: the older exporter cannot: {str(error).splitlines()[:1]}", flush=True)
        to_onnx(model, inputs, complete, True, {})
    small = skeleton(onnx.load(complete, load_external_data=False)).SerializeToString(deterministic=True)
    complete.unlink()
    complete.with_name(f"{complete.name}.data").unlink(missing_ok=True)
    row = (*known, counter.get_total_flops() // 2, parameters)
    with target.with_suffix(".csv").open("w", newline="") as file:
        csv.writer(file).writerow(row)
    target.write_bytes(small)
    print(row, flush=True)


def export_all(names: list[str]) -> None:
    """Exports each in a separate process; failures are reported and left out."""
    import multiprocessing

    BUILD.mkdir(parents=True, exist_ok=True)
    for known in known_models():
        if (names and known.name not in names) or (BUILD / f"{known.name}.onnx").exists():
            continue
        child = multiprocessing.get_context("spawn").Process(target=export, args=(known,))
        child.start()
        child.join(TIMEOUT)
        if child.exitcode != 0:
            child.kill()
            print(f"{known.name}: left out (exit code {child.exitcode})", flush=True)


def publish() -> None:
    """Writes the archive and the figures of the exported models."""
    from scripts.export.skeletons import pack

    there = [known for known in known_models() if (BUILD / f"{known.name}.onnx").exists()]
    pack(ARCHIVE, [BUILD / f"{known.name}.onnx" for known in there])
    with FIGURES.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(FIELDS)
        for known in there:
            with (BUILD / f"{known.name}.csv").open(newline="") as one:
                writer.writerows(csv.reader(one))
    print(f"{len(there)} models")


def main() -> None:
    match sys.argv[1:]:
        case ["export", *names]:
            export_all(names)
        case ["publish"]:
            publish()
        case _:
            print_tables()


def print_tables() -> None:
    """Markdown: a table a family, the model with the fewest MACs first."""
    import onnxcost
    from onnxcost.render.units import binary

    with FIGURES.open(newline="") as file:
        families: dict[str, list[tuple[str, str, bytes]]] = {}
        skeletons = read(ARCHIVE)
        for row in csv.DictReader(file):
            families.setdefault(row["family"], []).append((row["name"], row["package"], skeletons[f"{row['name']}.onnx"]))
    skeletons = read(DATA / "torchvision.tar.xz") | read(DATA / "ultralytics.tar.xz")
    for entry in tomllib.loads((ROOT / "tests" / "published.toml").read_text())["model"]:
        if entry["family"] in MEASURED:
            package, family = MEASURED[entry["family"]]
            families.setdefault(family, []).append((entry["name"], package, skeletons[entry["files"][0]]))
    for family, models in sorted(families.items()):
        print(f"\n## {family}\n\n| model | package | input | parameters | MACs | FLOPs | peak activation memory |")
        print("| --- | --- | --- | ---: | ---: | ---: | ---: |")
        counted = [(onnxcost.estimate(skeleton), name, package) for name, package, skeleton in models]
        for report, name, package in sorted(counted, key=lambda each: each[0].macs):
            (first, *_) = report.graph.inputs
            peak = report.memory.peak_activation_bytes
            figures = f"{report.parameters:,} | {report.macs:,} | {report.flops:,} | {binary(peak) if peak else 'not known'}"
            print(f"| {name} | {package} | {'×'.join(map(str, first.shape))} | {figures} |")


def read(archive: Path) -> dict[str, bytes]:
    """The skeletons in an archive by file name."""
    with tarfile.open(archive) as opened:
        return {entry.name: opened.extractfile(entry).read() for entry in opened}  # type: ignore[union-attr]


if __name__ == "__main__":
    main()
