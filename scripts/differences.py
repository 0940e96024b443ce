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


def explanations(name: str, skeleton: Path, figures: dict[str, Any]) -> list[dict[str, Any]]:
    """Where the report of a skeleton and a package's figure differ: by how much in which operators, and why."""
    import onnxcost

    report = onnxcost.estimate(skeleton)
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
