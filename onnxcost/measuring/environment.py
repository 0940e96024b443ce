"""The machine that the model runs on: its processor, what of it is free, and what this process took of it."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from onnxcost.measurement import Environment
from onnxcost.measuring import cgroups
from onnxcost.measuring.cgroups import ROOT

LEAST_WATCHED = 0.1


def environment(other_work: float | None) -> Environment:
    """The machine as it is now; ``other_work`` is the load that there was during the runs.

    To be asked for right behind the runs, while the cores still have the frequency that they ran at.
    """
    from onnxcost.measuring.session import onnxruntime

    frequency, max_frequency = _frequencies()
    return Environment(
        cores=_cores(),
        usable_cores=usable_cores(),
        load=other_work,
        frequency=frequency,
        max_frequency=max_frequency,
        onnxruntime=onnxruntime().__version__,
        platform=platform.platform(),
    )


def usable_cores(root: Path = ROOT) -> float:
    """The cores that the process may run on, or less where a control group limits its share of their time."""
    allowed = len(_affinity())
    limit = cgroups.cpu_limit(root)
    return float(allowed if limit is None else min(allowed, limit))


def watched_load() -> Callable[[], float | None]:
    """Watches other work from now on. What it returns tells how many cores' worth of it there has been since.

    It is that on the cores which the process may use, and what a hypervisor took for others counts too. None where it cannot
    be seen, or in so short a time: systems count in hundredths of a second.
    """
    import psutil

    psutil.cpu_percent(percpu=True)
    own, start = time.process_time(), time.perf_counter()

    def load() -> float | None:
        busy, seconds = psutil.cpu_percent(percpu=True), time.perf_counter() - start
        allowed: list[float] = [busy[core] / 100 for core in _affinity() if core < len(busy)]
        # A sandbox may show a machine that has never worked.
        if seconds < LEAST_WATCHED or not allowed or not sum(psutil.cpu_times()):
            return None
        return max(sum(allowed) - (time.process_time() - own) / seconds, 0.0)

    return load


def available_memory() -> int:
    """How many bytes the process can take before the machine, its control group or its limit of address space refuses."""
    import psutil

    limits = (psutil.virtual_memory().available, cgroups.free_memory(), _free_addresses())
    return min(limit for limit in limits if limit is not None)


def physical_memory() -> int:
    """The bytes of memory that the machine has."""
    import psutil

    return int(psutil.virtual_memory().total)


def _free_addresses() -> int | None:
    if sys.platform == "win32":
        return None
    import resource

    import psutil

    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    return None if limit == resource.RLIM_INFINITY else max(limit - psutil.Process().memory_info().vms, 0)


def peak_rss(root: Path = ROOT) -> int | None:
    """The largest resident set of this process so far, bytes; None where the system does not tell it."""
    if sys.platform == "linux":
        # Not getrusage: what it tells starts from the peak of the process that started this one.
        return next(
            (int(line.split()[1]) * 1024 for line in _lines(root / "proc/self/status") if line.startswith("VmHWM:")), None
        )
    if sys.platform == "win32":
        import psutil

        return int(psutil.Process().memory_info().peak_wset)
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def cpu_name(root: Path = ROOT) -> str:
    """The processor as its maker calls it; where that cannot be found the name of its architecture."""
    ask = CPU_NAMES.get(sys.platform)
    return (ask(root) if ask else "") or platform.processor() or platform.machine()


def _linux_cpu(root: Path) -> str:
    # The kernel names x86 processors alone. Of others it tells numbers, and lscpu knows whose they are.
    return _model_name(_lines(root / "proc/cpuinfo")) or _model_name(_output("lscpu").splitlines())


def _model_name(lines: Sequence[str]) -> str:
    fields = (line.partition(":") for line in lines)
    names = (value.strip() for key, _, value in fields if key.strip().lower() == "model name")
    return next((name for name in names if name not in ("", "-")), "")


def _windows_cpu(root: Path) -> str:
    if sys.platform != "win32":
        return ""
    import winreg

    with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, r"HARDWARE\DESCRIPTION\System\CentralProcessor\0") as key:
        return str(winreg.QueryValueEx(key, "ProcessorNameString")[0]).strip()


CPU_NAMES: Mapping[str, Callable[[Path], str]] = {
    "linux": _linux_cpu,
    "darwin": lambda root: _output("sysctl", "-n", "machdep.cpu.brand_string").strip(),
    "win32": _windows_cpu,
}


def _frequencies() -> tuple[float | None, float | None]:
    """Of the fastest core, in Hz: what it runs at, and what it could."""
    import psutil

    try:
        cores = psutil.cpu_freq(percpu=True) or ()
    except Exception:  # Where it does not work it raises what its system calls raise, or is not there at all.
        return None, None
    now, most = max((core.current for core in cores), default=0), max((core.max for core in cores), default=0)
    return now * 1e6 or None, most * 1e6 or None


def _cores() -> int:
    return os.cpu_count() or 1


def _affinity() -> list[int]:
    """The numbers of the cores that the process may run on; all where the system knows no such choice."""
    import psutil

    process = psutil.Process()
    return list(process.cpu_affinity()) if hasattr(process, "cpu_affinity") else list(range(_cores()))


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(errors="replace").splitlines()
    except OSError:
        return []


def _output(*command: str) -> str:
    """What a command prints; nothing where it is not there or does not answer."""
    in_english = {**os.environ, "LC_ALL": "C"}
    try:
        return subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=5, env=in_english, check=False
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""
