"""Limits of control groups, read from trees of files as Linux has them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from onnxcost.runtime.machine import cpu_limit, free_memory

GiB = 2**30
Tree = Mapping[str, str]


def planted(root: Path, cgroup: str, tree: Tree) -> Path:
    """A root of a file system where the process is in ``cgroup`` and the groups hold the files of ``tree``."""
    files = {"proc/self/cgroup": cgroup} | {f"sys/fs/cgroup/{name}": text for name, text in tree.items()}
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


NESTED_V1 = "5:memory:/a/b\n2:cpu,cpuacct:/a/b\n1:name=systemd:/init.scope\n"


@pytest.mark.parametrize(
    ("cgroup", "tree", "limit"),
    [
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 1.5),
        ("0::/\n", {"cpu.max": "max 100000\n"}, None),
        ("0::/\n", {}, None),
        ("", {}, None),
        # A container of version 2 in its own namespace, and a process of systemd's on the host.
        ("0::/a/b\n", {"a/b/cpu.max": "max 100000\n", "a/cpu.max": "400000 100000\n"}, 4),
        ("0::/a/b\n", {"a/b/cpu.max": "50000 100000\n", "a/cpu.max": "400000 100000\n"}, 0.5),
        # The path on the host is not mounted in the container.
        ("0::/docker/4f1c\n", {"cpu.max": "200000 100000\n"}, 2),
        ("0::/../../elsewhere\n", {"cpu.max": "200000 100000\n"}, 2),
        (NESTED_V1, {"cpu/a/b/cpu.cfs_quota_us": "300000\n", "cpu/a/b/cpu.cfs_period_us": "100000\n"}, 3),
        (NESTED_V1, {"cpu/a/b/cpu.cfs_quota_us": "-1\n", "cpu/a/b/cpu.cfs_period_us": "100000\n"}, None),
        (NESTED_V1, {"cpu/cpu.cfs_quota_us": "25000\n", "cpu/cpu.cfs_period_us": "50000\n"}, 0.5),
        (NESTED_V1, {"memory/a/b/cpu.cfs_quota_us": "25000\n", "memory/a/b/cpu.cfs_period_us": "50000\n"}, None),
        # Both versions at once: the controllers are in the older one's trees.
        (
            "2:cpu:/x\n0::/x\n",
            {"cpu/x/cpu.cfs_quota_us": "100000", "cpu/x/cpu.cfs_period_us": "100000", "unified/x/cpu.stat": ""},
            1,
        ),
    ],
)
def test_cpu_limit_is_the_lowest_on_the_way_to_the_root(tmp_path: Path, cgroup: str, tree: Tree, limit: float | None) -> None:
    assert cpu_limit(planted(tmp_path, cgroup, tree)) == limit


@pytest.mark.parametrize(
    ("cgroup", "tree", "free"),
    [
        ("0::/\n", {"memory.max": f"{4 * GiB}\n", "memory.current": f"{GiB}\n"}, 3 * GiB),
        ("0::/\n", {"memory.max": "max\n", "memory.current": f"{GiB}\n"}, None),
        ("0::/\n", {"memory.max": f"{4 * GiB}\n"}, None),
        (
            "0::/\n",
            {"memory.max": f"{4 * GiB}\n", "memory.current": f"{4 * GiB}\n", "memory.stat": f"anon 7\ninactive_file {GiB}\n"},
            GiB,
        ),
        ("0::/\n", {"memory.max": f"{GiB}\n", "memory.current": f"{2 * GiB}\n"}, 0),
        # The parent's limit leaves less than its own.
        (
            "0::/a/b\n",
            {
                "a/b/memory.max": f"{4 * GiB}\n",
                "a/b/memory.current": "0\n",
                "a/memory.max": f"{8 * GiB}\n",
                "a/memory.current": f"{7 * GiB}\n",
            },
            GiB,
        ),
        (
            NESTED_V1,
            {
                "memory/a/b/memory.limit_in_bytes": f"{2 * GiB}\n",
                "memory/a/b/memory.usage_in_bytes": f"{GiB}\n",
                "memory/a/b/memory.stat": f"inactive_file 0\ntotal_inactive_file {GiB // 2}\n",
                "memory/memory.limit_in_bytes": "9223372036854771712\n",
                "memory/memory.usage_in_bytes": f"{GiB}\n",
            },
            GiB + GiB // 2,
        ),
    ],
)
def test_free_memory_is_the_least_on_the_way_to_the_root(tmp_path: Path, cgroup: str, tree: Tree, free: int | None) -> None:
    assert free_memory(planted(tmp_path, cgroup, tree)) == free


def test_where_there_are_no_control_groups_there_is_no_limit(tmp_path: Path) -> None:
    assert (cpu_limit(tmp_path), free_memory(tmp_path)) == (None, None)
