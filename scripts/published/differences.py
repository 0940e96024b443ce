"""Where fvcore and thop count something else than what the ONNX graph of the same model shows, and why."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

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
# fmt: off
REASONS: tuple[tuple[str, str, tuple[str, ...], str], ...] = (
    ("parameters", "parameters", ("raft",),
     "the exporter gives norms without affine a scale of ones and a bias of zeros"),
    ("fvcore", "contraction", ("vit_",),
     "aten::scaled_dot_product_attention has no rule in fvcore: its two products are missed"),
    ("fvcore", "contraction", ("maxvit", "mvit"),
     "fvcore reads an einsum's count in numpy's report, where it is rounded to four digits"),
    ("fvcore", "instance norm", ("raft",),
     "affine=False is 4 an element rather than 5; the ONNX operator always has a scale"),
    ("fvcore", "pooling", ("alexnet", "vgg"),
     "adaptive_avg_pool2d is exported as AveragePool, and so is avg_pool2d, which is 0 in fvcore"),
    ("thop", "convolution", ("mc3_18", "r3d_18"),
     "thop wants the exact type: a convolution of the subclass Conv3DSimple is missed"),
    ("thop", "contraction", ("swin",),
     "attention's qkv and output projections call the function linear; thop counts modules"),
    ("parameters", "parameters", ("mvit_v2",),
     "the exporter folds the Gathers of the relative position tables: 8 x 8 rows, say, of 15 that are parameters"),
    ("thop", "contraction", ("mvit_v2",),
     "the queries' products with the relative position tables are calls of the function einsum; thop counts modules"),
    ("thop", "contraction", ("vit_",),
     "nn.MultiheadAttention is no nn.Linear: its projections are missed"),
    ("thop", "layer norm", ("convnext",),
     "thop wants the exact type: a norm of the subclass LayerNorm2d is missed"),
    ("thop", "instance norm", ("raft",),
     "affine=False is 2 an element rather than 4; the ONNX operator always has a scale"),
    ("thop", "resampling", ("",),
     "the model calls the function interpolate; thop counts the module nn.Upsample"),
    ("thop", "softmax", ("",),
     "the model calls the function softmax; thop counts the module nn.Softmax"),
    ("thop", "pooling", ("alexnet", "vgg"),
     "nn.AdaptiveAvgPool2d is exported as AveragePool, and so is nn.AvgPool2d, which is 1 an element"),
    ("thop", "pooling", ("densenet", "inception", "mobilenet_v2", "quantized", "raft"),
     "a function's pooling; thop counts modules"),
)
# fmt: on
"""Convention, group, prefixes of models, reason. The first that fits is the one."""
BY = {"fvcore": "by_operator", "thop": "by_module"}


def by_operator(report: Any, convention: str) -> dict[str, int]:
    """onnxcost's count of each ONNX operator that has one."""
    from onnxcost.conventions import find_convention

    counts: Counter[str] = Counter()
    for group in report.by_operator():
        counts[group.key[1]] += group.total(find_convention(convention))
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


def explanations(name: str, skeleton: Path, figures: dict[str, Any]) -> list[dict[str, Any]]:
    """Where the report of a skeleton and a package's figure differ: by how much in which operators, and why."""
    import onnxcost

    report = onnxcost.estimate(skeleton)
    present = {group.key[1] for group in report.by_operator()}
    rows: list[dict[str, Any]] = []
    for convention, by in BY.items():
        counts = figures[convention].get(by, {})
        for group, theirs, ours in differences(by_operator(report, convention), counts) if counts else ():
            row = {"convention": convention, "operators": [key for key in GROUPS[group][0] if key in present]}
            row |= {"theirs": theirs, "onnxcost": ours, "reason": reason_for(name, convention, group, theirs, ours)}
            rows.append(row)
    if report.parameters != figures["parameters"]:
        reason = reason_for(name, "parameters", "parameters", figures["parameters"], report.parameters)
        rows.append(
            {"convention": "parameters", "theirs": figures["parameters"], "onnxcost": report.parameters, "reason": reason}
        )
    return rows


def reason_for(name: str, convention: str, group: str, theirs: int, ours: int) -> str:
    """The first reason in the table that fits; a difference without a reason is an error."""
    for *what, models, reason in REASONS:
        if what == [convention, group] and name.startswith(models):
            return reason
    raise SystemExit(f"{name}: {convention} counts {theirs} for {group}, onnxcost {ours}, and no reason is known")
