"""What Linux control groups (cgroups, versions 1 and 2) leave a process of the machine's processor time and memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

ROOT = Path("/")


def cpu_limit(root: Path = ROOT) -> float | None:
    """How many cores' worth of time the process may use; None without a limit. ``root`` is that of the file system."""
    return min((limit for folder in _folders(root, "cpu") if (limit := _cpu_limit(folder)) is not None), default=None)


def free_memory(root: Path = ROOT) -> int | None:
    """How many bytes the process may still take; None without a limit."""
    return min((free for folder in _folders(root, "memory") if (free := _free_memory(folder)) is not None), default=None)


def _folders(root: Path, controller: str) -> Iterator[Path]:
    """The process's groups that the controller may limit, and those around them.

    In a container they may not be there: /proc can name a path of the host, while the container's own group is mounted as
    the topmost.
    """
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        # Version 2 has one tree for all controllers and names none.
        if controllers and controller not in controllers.split(","):
            continue
        group = PurePosixPath(path)
        for parent in (group, *group.parents):
            yield root / "sys/fs/cgroup" / (controller if controllers else "") / parent.relative_to("/")


def _cpu_limit(folder: Path) -> float | None:
    """Quota / period: ``cpu.max`` holds both."""
    words = _text(folder / "cpu.max", folder / "cpu.cfs_quota_us", folder / "cpu.cfs_period_us").split()
    quota, period = words if len(words) == 2 else ("max", "")
    return int(quota) / int(period) if quota.isdecimal() else None


def _free_memory(folder: Path) -> int | None:
    """The limit less what is used; cached files that nobody has read lately count as free, as in Kubernetes."""
    limit = _text(folder / "memory.max", folder / "memory.limit_in_bytes").strip()
    usage = _text(folder / "memory.current", folder / "memory.usage_in_bytes").strip()
    if not limit.isdecimal() or not usage.isdecimal():
        return None
    statistics = dict(line.split() for line in _text(folder / "memory.stat").splitlines())
    cached = int(statistics.get("total_inactive_file") or statistics.get("inactive_file") or 0)
    return max(int(limit) - int(usage) + cached, 0)


def _text(*paths: Path) -> str:
    """The files' texts, one after the other; those that cannot be read are left out."""
    texts = []
    for path in paths:
        try:
            texts.append(path.read_text())
        except OSError:
            continue
    return "\n".join(texts)
