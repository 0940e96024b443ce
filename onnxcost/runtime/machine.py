"""The machine that runs the model: processor, GPU, memory, the limits of control groups, and other load."""

from __future__ import annotations

import datetime
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from onnxcost.measurement import Environment, MeasuredDevice, Settings
from onnxcost.runtime.providers import find_provider

ROOT = Path("/")


def cpu_limit(root: Path = ROOT) -> float | None:
    """The CPU time per second that the process may use, in cores; None without a limit. ``root`` is that of the file system."""
    limits = []
    for folder in _list_groups(root, "cpu"):
        # ``cpu.max`` holds both numbers.
        words = _read_texts(folder / "cpu.max", folder / "cpu.cfs_quota_us", folder / "cpu.cfs_period_us").split()
        if len(words) == 2 and words[0].isdecimal():
            limits.append(int(words[0]) / int(words[1]))
    return min(limits, default=None)


def free_memory(root: Path = ROOT) -> int | None:
    """The bytes that the process may still allocate; None without a limit."""
    return min((free for folder in _list_groups(root, "memory") if (free := _free_memory(folder)) is not None), default=None)


def _list_groups(root: Path, controller: str) -> Iterator[Path]:
    """The control groups of the process that the controller may limit, innermost first.

    In a container they may not exist: /proc can name a path of the host, while the container's own group is mounted at the
    top.
    """
    for line in _read_texts(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        # Version 2 has one tree for all controllers and names none.
        if controllers and controller not in controllers.split(","):
            continue
        group = PurePosixPath(path)
        for parent in (group, *group.parents):
            yield root / "sys/fs/cgroup" / (controller if controllers else "") / parent.relative_to("/")


def _free_memory(folder: Path) -> int | None:
    """The limit less what is used; cached files that were not read recently count as free, as in Kubernetes."""
    limit = _read_texts(folder / "memory.max", folder / "memory.limit_in_bytes").strip()
    usage = _read_texts(folder / "memory.current", folder / "memory.usage_in_bytes").strip()
    if not limit.isdecimal() or not usage.isdecimal():
        return None
    statistics = dict(line.split() for line in _read_texts(folder / "memory.stat").splitlines())
    cached = int(statistics.get("total_inactive_file") or statistics.get("inactive_file") or 0)
    return max(int(limit) - int(usage) + cached, 0)


def _read_texts(*paths: Path) -> str:
    """The texts of the files, concatenated; files that cannot be read are left out."""
    texts = []
    for path in paths:
        try:
            texts.append(path.read_text(errors="replace"))
        except OSError:
            continue
    return "\n".join(texts)


LEAST_WATCHED = 0.1


def environment(other_work: float | None) -> Environment:
    """The machine as it is now; ``other_work`` is the other load during the runs.

    Call it right after the runs, while the cores still have the frequency that they ran at.
    """
    from onnxcost.runtime.session import onnxruntime

    frequency, max_frequency = _frequencies()
    return Environment(
        cores=_count_cores(),
        usable_cores=usable_cores(),
        load=other_work,
        frequency=frequency,
        max_frequency=max_frequency,
        onnxruntime=onnxruntime().__version__,
        platform=platform.platform(),
        governor=governor(),
        date=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    )


def governor(root: Path = ROOT) -> str | None:
    """What sets the frequency of the usable cores, ``performance``; several if they differ, None if unknown."""
    places = (root / f"sys/devices/system/cpu/cpu{core}/cpufreq/scaling_governor" for core in _usable_core_numbers())
    return ", ".join(sorted(set(_read_texts(*places).split()))) or None


def usable_cores(root: Path = ROOT) -> float:
    """The cores that the process may run on, or less if a control group limits its share of their time."""
    allowed = len(_usable_core_numbers())
    limit = cpu_limit(root)
    return float(allowed if limit is None else min(allowed, limit))


def watch_load() -> Callable[[], float | None]:
    """Watch other load from now on: the returned function gives it in cores since then. Only the cores that the process may use
    count, including the time that a hypervisor took for others. None if it is not visible, or not in so short a time: systems
    count in hundredths of a second.
    """
    import psutil

    psutil.cpu_percent(percpu=True)
    own, start = time.process_time(), time.perf_counter()

    def load() -> float | None:
        busy, seconds = psutil.cpu_percent(percpu=True), time.perf_counter() - start
        allowed: list[float] = [busy[core] / 100 for core in _usable_core_numbers() if core < len(busy)]
        # A sandbox may show a machine that has done no work at all.
        if seconds < LEAST_WATCHED or not allowed or not sum(psutil.cpu_times()):
            return None
        return max(sum(allowed) - (time.process_time() - own) / seconds, 0.0)

    return load


def available_memory() -> int:
    """The bytes that the process can allocate before the machine, a control group or the address space limit refuses."""
    import psutil

    limits = (psutil.virtual_memory().available, free_memory(), _free_addresses())
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
    """The largest resident set of this process so far, bytes; None if the system does not say."""
    if sys.platform == "linux":
        # Not getrusage: its figure starts from the peak of the process that started this one.
        return next(
            (
                int(line.split()[1]) * 1024
                for line in _read_texts(root / "proc/self/status").splitlines()
                if line.startswith("VmHWM:")
            ),
            None,
        )
    if sys.platform == "win32":
        import psutil

        return int(psutil.Process().memory_info().peak_wset)
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def cpu_name(root: Path = ROOT) -> str:
    """The maker's name for the processor; the architecture if that cannot be found."""
    ask = CPU_NAMES.get(sys.platform)
    return (ask(root) if ask else "") or platform.processor() or platform.machine()


def _find_model_name(text: str) -> str:
    fields = (line.partition(":") for line in text.splitlines())
    names = (value.strip() for key, _, value in fields if key.strip().lower() == "model name")
    return next((name for name in names if name not in ("", "-")), "")


def _windows_cpu(root: Path) -> str:
    if sys.platform != "win32":
        return ""
    import winreg

    with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, r"HARDWARE\DESCRIPTION\System\CentralProcessor\0") as key:
        return str(winreg.QueryValueEx(key, "ProcessorNameString")[0]).strip()


CPU_NAMES: Mapping[str, Callable[[Path], str]] = {
    # The kernel names only x86 processors. For others, it has numbers, which lscpu can translate.
    "linux": lambda root: _find_model_name(_read_texts(root / "proc/cpuinfo")) or _find_model_name(_run_command("lscpu")),
    "darwin": lambda root: _run_command("sysctl", "-n", "machdep.cpu.brand_string").strip(),
    "win32": _windows_cpu,
}


def _frequencies() -> tuple[float | None, float | None]:
    """The current and the highest frequency of the fastest core, in Hz."""
    import psutil

    try:
        cores = psutil.cpu_freq(percpu=True) or ()
    except Exception:  # If it is not supported, it raises errors of system calls, or does not exist.
        return None, None
    now, most = max((core.current for core in cores), default=0), max((core.max for core in cores), default=0)
    return now * 1e6 or None, most * 1e6 or None


def _count_cores() -> int:
    return os.cpu_count() or 1


def _usable_core_numbers() -> list[int]:
    """The numbers of the cores that the process may run on; all of them if the system has no affinity."""
    import psutil

    process = psutil.Process()
    return list(process.cpu_affinity()) if hasattr(process, "cpu_affinity") else list(range(_count_cores()))


def _run_command(*command: str) -> str:
    """The output of a command; empty if it is missing or does not answer."""
    in_english = {**os.environ, "LC_ALL": "C"}
    try:
        return subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=5, env=in_english, check=False
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""


UNKNOWN = MeasuredDevice("")
_NVIDIA, _ON_CPU = ("cuda", "tensorrt"), ("cpu", "xnnpack", "dnnl")


class Gpu(NamedTuple):
    """An NVIDIA GPU of this machine."""

    uuid: str
    name: str
    driver: str
    memory_bytes: int


def device_of(settings: Settings) -> MeasuredDevice:
    """The device that the settings run on; UNKNOWN if it cannot be found out."""
    name = find_provider(settings.provider).name
    if name in _ON_CPU or (name == "openvino" and settings.provider_options.get("device_type", "CPU").startswith("CPU")):
        return MeasuredDevice(cpu_name(), memory_bytes=physical_memory())
    if name in _NVIDIA:
        return _pick_gpu(_list_gpus(), settings.provider_options.get("device_id", "0"), os.environ)
    return UNKNOWN


def _pick_gpu(gpus: Sequence[Gpu], device_id: str, environ: Mapping[str, str]) -> MeasuredDevice:
    """The GPU that CUDA counts as ``device_id``: of those in CUDA_VISIBLE_DEVICES, which names them by number or UUID."""
    names = {gpu.name for gpu in gpus}
    if len(names) > 1 and environ.get("CUDA_DEVICE_ORDER") != "PCI_BUS_ID":
        # Here they are in the order of their PCI slots; CUDA puts the fastest first.
        return UNKNOWN
    visible = environ.get("CUDA_VISIBLE_DEVICES", ",".join(map(str, range(len(gpus))))).split(",")
    with suppress(ValueError, IndexError, StopIteration):
        chosen = visible[int(device_id)].strip()
        by_uuid = (gpu for gpu in gpus if chosen and gpu.uuid.startswith(chosen))
        gpu = gpus[int(chosen)] if chosen.isdecimal() else next(by_uuid)
        return MeasuredDevice(gpu.name, gpu.driver, gpu.memory_bytes)
    return UNKNOWN


def _list_gpus() -> Sequence[Gpu]:
    """The machine's NVIDIA GPUs in the order of their PCI slots; none without the library and the program."""
    for source in (_ask_nvml, _ask_nvidia_smi):
        # Only a name for the report: an error of the driver must not end a measurement.
        with suppress(Exception):
            return source()
    return ()


def _ask_nvml() -> Sequence[Gpu]:
    import pynvml

    pynvml.nvmlInit()
    try:
        driver = pynvml.nvmlSystemGetDriverVersion()
        handles = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())]
        return [
            Gpu(
                pynvml.nvmlDeviceGetUUID(handle),
                pynvml.nvmlDeviceGetName(handle),
                driver,
                pynvml.nvmlDeviceGetMemoryInfo(handle).total,
            )
            for handle in handles
        ]
    finally:
        pynvml.nvmlShutdown()


def _ask_nvidia_smi() -> Sequence[Gpu]:
    """Uses the program that comes with the driver, which prints memory in MiB."""
    query = ("--query-gpu=uuid,name,driver_version,memory.total", "--format=csv,noheader,nounits")
    done = subprocess.run(("nvidia-smi", *query), capture_output=True, text=True, timeout=10, check=True)
    rows = [line.split(", ") for line in done.stdout.splitlines()]
    return [Gpu(uuid, name, driver, int(memory) * 2**20) for uuid, name, driver, memory in rows]
