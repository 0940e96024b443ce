"""Where packages count differently from the ONNX graph of the same model, and why."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

# fmt: off
Groups = dict[str, tuple[tuple[str, ...], str]]
GROUPS: Groups = {
    "convolution": (
        ("Conv", "ConvTranspose"),
        "conv Conv2d Conv3d ConvTranspose2d conv2d conv3d conv_transpose2d Conv3DSimple Conv3DNoTemporal",
    ),
    "contraction": (
        ("Gemm", "MatMul", "Einsum", "Add"),
        "linear addmm matmul mm bmm einsum Linear MultiheadAttention multi_head_attention_forward scaled_dot_product_attention",
    ),
    "batch norm": (("BatchNormalization",), "batch_norm BatchNorm1d BatchNorm2d BatchNorm3d"),
    "layer norm": (("LayerNormalization",), "layer_norm LayerNorm LayerNorm2d"),
    "instance norm": (("InstanceNormalization", "GroupNormalization"), "instance_norm group_norm InstanceNorm2d"),
    "pooling": (
        ("GlobalAveragePool", "AveragePool", "ReduceMean"),
        "adaptive_avg_pool2d adaptive_avg_pool3d avg_pool2d avg_pool3d AvgPool2d AvgPool3d AdaptiveAvgPool2d AdaptiveAvgPool3d",
    ),
    "max pooling": (("MaxPool",), "max_pool2d max_pool3d MaxPool2d MaxPool3d"),
    "activation": (("Relu", "Erf", "Gelu", "Clip", "PRelu", "LeakyRelu"), "relu gelu silu ReLU GELU ReLU6 LeakyReLU"),
    "resampling": (("Resize", "Upsample"), "upsample_nearest2d upsample_bilinear2d Upsample interpolate"),
    "grid sampling": (("GridSample",), "grid_sampler"),
    "softmax": (("Softmax",), "Softmax softmax"),
    "arithmetic": (("Mul",), "add mul"),
    "embedding": (("Gather",), "Embedding"),
}
# fmt: on
"""ONNX operators, and the corresponding functions, operators and types of modules of the packages."""
PACKAGES = ("fvcore", "thop", "ptflops", "torchinfo", "calflops", "deepspeed", "ultralytics", "onnx-tool")
REPRODUCED = tuple(package for package in PACKAGES if package != "deepspeed")
"""The packages that a convention is named after."""
# fmt: off
REASONS: tuple[tuple[str, str, tuple[str, ...], str], ...] = (
    ("parameters", "parameters", ("raft",),
     "the exporter gives norms without affine a scale of ones and a bias of zeros"),
    ("parameters", "parameters", ("yolov10", "yolo26"),
     "the heads that assign many boxes to an object run in training alone"),
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
    ("ptflops", "convolution", ("mc3_18", "r3d_18"),
     "ptflops wants the exact type: a convolution of the subclass Conv3DSimple is missed"),
    ("ptflops", "contraction", ("vit_",),
     "nn.MultiheadAttention is one figure, softmax and a scaling of the queries included"),
    ("ptflops", "contraction", ("swin",),
     "attention's qkv and output projections call the function linear, swin_v2's products @: ptflops replaces neither"),
    ("ptflops", "contraction", ("mvit",),
     "products written @ and einsum, which ptflops does not replace"),
    ("ptflops", "contraction", ("raft",),
     "vectors that are added to coordinates are no biases"),
    ("ptflops", "layer norm", ("convnext",),
     "ptflops wants the exact type: a norm of the subclass LayerNorm2d is missed"),
    ("ptflops", "instance norm", ("raft",),
     "affine=False is 1 an element rather than 2; the ONNX operator always has a scale"),
    ("ptflops", "activation", ("efficientnet", "maxvit"),
     "nn.SiLU is exported as Sigmoid and Mul, and a Sigmoid of its own is 0 in ptflops"),
    ("ptflops", "activation", ("swin_v2", "ssdlite", "swin3d"),
     "torch.clamp is exported as Clip, and so is nn.ReLU6"),
    ("ptflops", "activation", ("",),
     "a call of the function relu is 1 an element, the module nn.ReLU 2: it counts, and so does the function that it calls"),
    ("ptflops", "pooling", ("",),
     "a call of a function is 1 an element, a module 2: it counts, and so does the function that it calls"),
    ("ptflops", "max pooling", ("",),
     "a call of a function is 1 an element, a module 2: it counts, and so does the function that it calls"),
    ("ptflops", "softmax", ("vit_",),
     "counted within nn.MultiheadAttention"),
    ("ptflops", "softmax", ("mvit",),
     "a call of the method softmax of a tensor, which ptflops does not replace"),
    ("ptflops", "arithmetic", ("quantized",),
     "FloatFunctional calls torch.add and torch.mul, 1 an element; an operator + or * is 0"),
    ("torchinfo", "contraction", ("swin", "mvit"),
     "attention's projections call the function linear, and their parameters belong to a module that is no leaf"),
    ("torchinfo", "contraction", ("vit_",),
     "nn.MultiheadAttention is no leaf: the parameters of its projections are missed"),
    ("torchinfo", "contraction", ("raft",),
     "vectors that are added to coordinates are no biases"),
    ("torchinfo", "instance norm", ("raft",),
     "affine=False has no parameters; the ONNX operator always has a scale"),
    ("calflops", "contraction", ("vit_",),
     "calflops has no rule for scaled_dot_product_attention (DeepSpeed has): its two products are missed"),
    ("calflops", "contraction", ("swin_v2", "mvit"),
     "calflops does not replace the operator @ (DeepSpeed does)"),
    ("calflops", "softmax", ("vit_",),
     "part of scaled_dot_product_attention, which calflops does not see"),
    ("calflops", "softmax", ("mvit",),
     "a call of the method softmax of a tensor, which calflops does not replace"),
    ("calflops", "activation", ("efficientnet", "maxvit"),
     "nn.SiLU is exported as Sigmoid and Mul, and a Sigmoid of its own is 0 in calflops"),
    ("calflops", "arithmetic", ("quantized",),
     "FloatFunctional calls torch.add and torch.mul, 1 an element; an operator + or * is 0"),
    ("calflops", "instance norm", ("raft",),
     "affine=False is 4 an element rather than 5; the ONNX operator always has a scale"),
    ("ultralytics", "contraction", ("vit_",),
     "nn.MultiheadAttention is one figure, with its softmax"),
    ("ultralytics", "instance norm", ("raft",),
     "affine=False is 4 an element rather than 8; the ONNX operator always has a scale"),
    ("ultralytics", "pooling", ("densenet", "inception", "mobilenet_v2", "quantized", "raft", "yolov9"),
     "a function's pooling; ultralytics-thop counts modules, and of functions only products"),
    ("ultralytics", "resampling", ("",),
     "the model calls the function interpolate; ultralytics-thop counts the module nn.Upsample"),
)
# fmt: on
"""Convention, group, prefixes of models, reason. The first that fits applies."""


def by_operator(report: Any, convention: str) -> dict[str, int]:
    """onnxcost's count of each ONNX operator that has one."""
    from onnxcost.conventions import find_convention

    counts: Counter[str] = Counter()
    for group in report.by_operator():
        counts[group.key[1]] += group.total(find_convention(convention))
    return dict(+counts)


def differences(ours: dict[str, int], theirs: dict[str, int], groups: Groups) -> list[tuple[str, int, int]]:
    """The groups in which the two differ: group, theirs, onnxcost's. An operator without a group is its own group."""
    groups = groups | {key: ((key,), "") for key in ours if not any(key in group[0] for group in groups.values())}
    groups |= {
        key: (groups.get(key, ((), ""))[0], key) for key in theirs if not any(key in g[1].split() for g in groups.values())
    }
    rows = [
        (group, sum(theirs.get(key, 0) for key in names.split()), sum(ours.get(key, 0) for key in operators))
        for group, (operators, names) in groups.items()
    ]
    return [row for row in rows if row[1] != row[2]]


def explanations(name: str, skeleton: Path, figures: dict[str, Any]) -> list[dict[str, Any]]:
    """The differences between the report of a skeleton and a package's figure, by operator, and why."""
    import onnxcost

    report = onnxcost.estimate(skeleton)
    present = {group.key[1] for group in report.by_operator()}
    rows: list[dict[str, Any]] = []
    for convention in REPRODUCED:
        counts = figures.get(convention, {}).get("by_operator", {})
        groups = {} if convention == "onnx-tool" else GROUPS
        for group, theirs, ours in differences(by_operator(report, convention), counts, groups) if counts else ():
            operators = [key for key in GROUPS.get(group, ((group,), ""))[0] if key in present]
            row = {"convention": convention, "operators": operators}
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
