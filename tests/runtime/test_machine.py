"""What is found out about the machine, against psutil and the system, and against invented machines."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

import onnxruntime
import psutil
import pytest

from onnxcost.runtime import machine
from onnxcost.runtime import machine as environment_module
from onnxcost.runtime.machine import (
    available_memory,
    cpu_name,
    environment,
    peak_rss,
    physical_memory,
    usable_cores,
    watch_load,
)

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="reads what Linux alone has")


def planted(root: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def allowed_to(monkeypatch: pytest.MonkeyPatch, cores: list[int]) -> None:
    monkeypatch.setattr(psutil.Process, "cpu_affinity", lambda self: cores, raising=False)


@pytest.mark.parametrize(
    ("governors", "found"),
    [
        ({1: "performance", 3: "performance"}, "performance"),
        ({1: "ondemand", 3: "userspace"}, "ondemand, userspace"),
        ({}, None),
    ],
)
def test_the_governor_of_the_usable_cores(
    governors: dict[int, str], found: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    allowed_to(monkeypatch, [1, 3])
    names = {core: f"sys/devices/system/cpu/cpu{core}/cpufreq/scaling_governor" for core in range(4)}
    root = planted(tmp_path, {names[core]: f"{text}\n" for core, text in {0: "powersave", **governors}.items()})
    assert machine.governor(root) == found


def test_environment_is_this_machine() -> None:
    found = environment(0.5)
    assert found.load == 0.5
    assert found.cores == os.cpu_count()
    assert 0 < found.usable_cores <= found.cores
    assert found.onnxruntime == onnxruntime.__version__
    assert found.platform == platform.platform()


def frequency(current: float, most: float) -> SimpleNamespace:
    return SimpleNamespace(current=current, min=0.0, max=most)


@pytest.mark.parametrize(
    ("cores", "found"),
    [
        ([frequency(2400.0, 3600.0)], (2.4e9, 3.6e9)),
        # An idle core tells nothing of the one that works.
        ([frequency(800.0, 3600.0), frequency(3500.0, 3600.0)], (3.5e9, 3.6e9)),
        ([frequency(2596.0, 0.0)], (2.596e9, None)),
        ([], (None, None)),
        (None, (None, None)),
        (FileNotFoundError("hw.cpufrequency"), (None, None)),
        (NotImplementedError("can't find current frequency file"), (None, None)),
    ],
)
def test_frequency_is_the_fastest_cores(
    monkeypatch: pytest.MonkeyPatch, cores: object, found: tuple[float | None, float | None]
) -> None:
    def cpu_freq(percpu: bool) -> object:
        if isinstance(cores, Exception):
            raise cores
        return cores

    monkeypatch.setattr(psutil, "cpu_freq", cpu_freq)
    machine = environment(None)
    assert (machine.frequency, machine.max_frequency) == found


@pytest.mark.parametrize(
    ("affinity", "cpu_max", "usable"),
    [([0, 1, 2, 3], "max 100000", 4), ([0, 1, 2, 3], "250000 100000", 2.5), ([3], "250000 100000", 1), ([0, 1], "", 2)],
)
def test_usable_cores_are_what_affinity_and_quota_leave(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, affinity: list[int], cpu_max: str, usable: float
) -> None:
    allowed_to(monkeypatch, affinity)
    assert usable_cores(planted(tmp_path, {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": cpu_max})) == usable


def test_without_affinity_all_cores_are_usable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(psutil.Process, "cpu_affinity", raising=False)
    assert usable_cores(tmp_path) == os.cpu_count()


def clocks(*readings: tuple[float, float]) -> SimpleNamespace:
    """Stands in for the module ``time``: seconds on the wall, and the process's own."""
    wall, own = (iter(column) for column in zip(*readings, strict=True))
    return SimpleNamespace(perf_counter=lambda: next(wall), process_time=lambda: next(own))


@pytest.mark.parametrize(
    ("affinity", "busy", "seconds", "own_seconds", "found"),
    [
        ([0, 1], [50.0, 25.0], 2.0, 0.0, 0.75),
        ([1], [100.0, 25.0], 2.0, 0.0, 0.25),
        ([0, 1], [100.0, 50.0], 2.0, 2.0, 0.5),
        ([0, 1], [100.0, 100.0], 2.0, 3.0, 0.5),
        ([0, 1], [95.0, 0.0], 2.0, 2.0, 0.0),
        # Too short a time to tell.
        ([0, 1], [50.0, 25.0], 0.05, 0.0, None),
        # A sandbox that numbers its cores in its own way.
        ([6, 7], [50.0, 25.0], 2.0, 0.0, None),
    ],
)
def test_load_is_the_others_work_on_the_cores_of_this_process(
    monkeypatch: pytest.MonkeyPatch,
    affinity: list[int],
    busy: list[float],
    seconds: float,
    own_seconds: float,
    found: float | None,
) -> None:
    monkeypatch.setattr(environment_module, "time", clocks((5.0, 1.0), (5.0 + seconds, 1.0 + own_seconds)))
    monkeypatch.setattr(psutil, "cpu_percent", lambda percpu: busy)
    allowed_to(monkeypatch, affinity)
    assert watch_load()() == (None if found is None else pytest.approx(found))


def test_the_load_is_unknown_if_the_machine_counts_no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment_module, "time", clocks((0.0, 0.0), (2.0, 1.0)))
    monkeypatch.setattr(psutil, "cpu_percent", lambda percpu: [0.0, 0.0])
    monkeypatch.setattr(psutil, "cpu_times", lambda: (0.0, 0.0, 0.0))
    allowed_to(monkeypatch, [0, 1])
    assert watch_load()() is None


def test_memory_of_this_machine() -> None:
    assert physical_memory() == psutil.virtual_memory().total
    assert 0 < available_memory() <= physical_memory()


def test_available_memory_heeds_the_control_group(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "free_memory", lambda: 12345)
    assert available_memory() == 12345


def printed(code: str) -> int:
    """What a Python process of its own prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    return int(done.stdout)


@on_linux
def test_available_memory_heeds_the_limit_of_address_space() -> None:
    code = (
        "import resource; from onnxcost.runtime.machine import available_memory;"
        "resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30)); print(available_memory())"
    )
    assert 2**29 < printed(code) < 2**30


@on_linux
def test_peak_memory_is_the_processes_own() -> None:
    """Not that of the process that starts it, which had much more; and a peak stays when the memory is given back."""
    asked = "from onnxcost.runtime.machine import peak_rss; "
    small = (
        "import subprocess, sys; ballast = bytearray(b'x') * 200_000_000;"
        f"print(subprocess.run([sys.executable, '-c', {asked + 'print(peak_rss())'!r}], capture_output=True, text=True).stdout)"
    )
    large = asked + "ballast = bytearray(b'x') * 200_000_000; del ballast; print(peak_rss())"
    assert printed(small) < 100_000_000 < 200_000_000 < printed(large) < 300_000_000


@on_linux
def test_peak_memory_is_read_in_kibibytes(tmp_path: Path) -> None:
    status = "Name:\tpython\nVmPeak:\t  99 kB\nVmHWM:\t    48920 kB\nVmRSS:\t   1 kB\n"
    assert peak_rss(planted(tmp_path, {"proc/self/status": status})) == 48920 * 1024
    assert peak_rss(planted(tmp_path, {"proc/self/status": "Name:\tpython\n"})) is None


X86 = "processor\t: 0\nvendor_id\t: GenuineIntel\nmodel\t\t: 85\nmodel name\t: Intel(R) Xeon(R) Gold 6226R CPU @ 2.90GHz\n"
ARM = "processor\t: 0\nBogoMIPS\t: 243.75\nCPU implementer\t: 0x41\nCPU part\t: 0xd0c\n"
LSCPU = "Architecture:        aarch64\nVendor ID:           ARM\nModel name:          Neoverse-N1\nModel:               1\n"


@on_linux
@pytest.mark.parametrize(
    ("cpuinfo", "lscpu", "name"),
    [
        (X86, "", "Intel(R) Xeon(R) Gold 6226R CPU @ 2.90GHz"),
        (ARM, LSCPU, "Neoverse-N1"),
        (ARM, "Model name:          -\n", "aarch64"),
        (ARM, "", "aarch64"),
    ],
    ids=["x86", "arm", "arm-unknown", "arm-without-lscpu"],
)
def test_name_of_the_processor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cpuinfo: str, lscpu: str, name: str) -> None:
    bin_ = tmp_path / "bin"
    bin_.mkdir()
    if lscpu:
        (bin_ / "lscpu").write_text(f"#!/bin/sh\nprintf '{lscpu}'\n")
        (bin_ / "lscpu").chmod(0o755)
    monkeypatch.setenv("PATH", str(bin_))
    monkeypatch.setattr(platform, "processor", lambda: "")
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    assert cpu_name(planted(tmp_path, {"proc/cpuinfo": cpuinfo})) == name


def test_an_unknown_system_reports_its_architecture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "plan9")
    monkeypatch.setattr(platform, "processor", lambda: "")
    assert cpu_name() == platform.machine()
