"""Runs every command with the n-th call of open, write, fork, … failing, n upwards until the command makes fewer calls.

    python scripts/inject_faults.py --layer python --jobs 2            calls fail inside Python, also in the child processes
    python scripts/inject_faults.py --layer system --jobs 2            the kernel refuses system calls (strace, Linux)
    python scripts/inject_faults.py --layer python --command measure --kind open --number 3 --verbose

Like the tests of SQLite: whatever fails, a command ends with a documented exit code and one line of error, without a traceback
and without "this is a bug"; the file of ``-o`` has its old content or all of the new; nothing else is left in its folder, in
the home or in the temporary folder, and no process either. Each run has folders of its own and is forked from a process that
has imported what it needs. Exit code 1 if there are findings.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import io
import json
import multiprocessing
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
import tomllib
import traceback
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import faults
from faults import Fault

SCRIPTS = Path(__file__).parent
ROOT = SCRIPTS.parent
KILLED_AFTER = 60
FIRST = 10
"""The first calls of a kind are all tried; of later ones, possibly only samples."""
CODES = (0, 1, 2, 3)
OLD = b"what was there before\n"
QUICK = ("--runs", "1", "--warmup", "0", "--threads", "1")


class Command(NamedTuple):
    """A command line in the folder of a run. One that is ``timed`` runs a model: it takes longer, and its output varies."""

    arguments: tuple[str, ...]
    timed: bool = False

    @property
    def error_lines(self) -> int:
        """How many lines of error are allowed: if two models fail in two ways, or one fails and another cannot be run, each way
        has a line.
        """
        return 3 if self.arguments[0] in ("compare", "scan") else 1


COMMANDS: Mapping[str, Command] = {
    "estimate": Command(("tiny.onnx", "--no-run")),
    "estimate -o": Command(("estimate", "tiny.onnx", "--no-run", "-o", "out.json")),
    "estimate csv": Command(("estimate", "tiny.onnx", "--format", "csv")),
    "estimate -": Command(("estimate", "-", "--no-run", "--format", "markdown")),
    "strip": Command(("strip", "tiny.onnx", "-o", "out.onnx", "--anonymize")),
    "budget": Command(("budget", "tiny.onnx", "--fps", "30", "--device", "raspberry-pi-5-8gb", "-o", "out.json")),
    "budget --check": Command(("budget", "--check", "onnxcost.toml")),
    "devices": Command(("devices", "--kind", "board", "-o", "out.csv")),
    "formulas": Command(("formulas", "Conv", "-o", "out.md")),
    "compare": Command(("compare", "tiny.onnx", "other.onnx", "saved.json", "--no-run", "-o", "out.json")),
    "scan": Command(("scan", "models", "--jobs", "1", "-o", "out.csv")),
    "scan --resume": Command(("scan", "models", "--jobs", "1", "--resume", "resume.jsonl", "-o", "out.json")),
    "page": Command(("estimate", "tiny.onnx", "--no-run", "-o", "out.html")),
    "node data": Command(("estimate", "tiny.onnx", "--no-run", "-o", "out.nodedata.json")),
    "pipeline": Command(("estimate", "--pipeline", "tiny.onnx,other.onnx*3", "--no-run", "-o", "out.json")),
    "view": Command(("view", "tiny.onnx", "--no-browser")),
    "plot": Command(("plot", "tiny.onnx", "-o", "out.svg")),
    "scale": Command(("scale", "tiny.onnx", "-o", "out.csv")),
    "annotate": Command(("annotate", "tiny.onnx", "-o", "out.onnx")),
    "llm": Command(("llm", "decoder.onnx", "--device", "rtx-4090", "-o", "out.json")),
    "budget --anchor": Command(
        ("budget", "tiny.onnx", "--device", "jetson-nano", "--runtime", "ncnn", "--anchor", "resnet18=30ms", "-o", "out.html")
    ),
    "llm --run": Command(
        ("llm", "decoder.onnx", "--run", "--prompt", "2", "--tokens", "2", *QUICK, "-o", "out.json"), timed=True
    ),
    "pipeline timed": Command(("measure", "--pipeline", "tiny.onnx,other.onnx*3", *QUICK, "-o", "out.json"), timed=True),
    "profile trace": Command(("profile", "tiny.onnx", *QUICK, "-o", "out.trace.json"), timed=True),
    "annotate --profile": Command(("annotate", "tiny.onnx", "--profile", *QUICK, "-o", "out.onnx"), timed=True),
    "estimate and run": Command(("tiny.onnx", *QUICK, "-o", "out.json"), timed=True),
    "measure": Command(("measure", "absent.onnx", *QUICK, "-o", "out.json"), timed=True),
    "measure batches": Command(("measure", "tiny.onnx", *QUICK, "--batches", "1,2"), timed=True),
    "profile": Command(("profile", "tiny.onnx", *QUICK, "-o", "out.json"), timed=True),
    "trace": Command(("estimate", "tiny.onnx", "--trace", "--no-run", "-o", "out.json"), timed=True),
    "compare timed": Command(("compare", "tiny.onnx", "other.onnx", *QUICK, "-o", "out.json"), timed=True),
    "compare --check-outputs": Command(
        ("compare", "tiny.onnx", "absent.onnx", "--no-run", "--check-outputs", "-o", "out.json"), timed=True
    ),
    "scan --run": Command(("scan", "models", "--run", *QUICK, "--resume", "resume.jsonl", "-o", "out.json"), timed=True),
    "calibrate": Command(("devices", "calibrate", "--threads", "1", "-o", "out.toml"), timed=True),
}

CALLS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "open": ("openat", ("EMFILE", "EACCES", "EIO", "ENFILE")),
    "write": ("write,pwrite64,writev", ("ENOSPC", "EIO")),
    "process": ("clone,clone3,vfork,fork,execve", ("EAGAIN", "ENOMEM")),
    "mkdir": ("mkdir,mkdirat", ("ENOSPC", "EACCES")),
    "remove": ("unlink,unlinkat,rmdir", ("EACCES", "EIO")),
    "rename": ("rename,renameat,renameat2,link,linkat", ("ENOSPC", "EACCES")),
    "memory": ("mmap,brk,mremap", ("ENOMEM",)),
    "read": ("read,pread64", ("EIO",)),
    "pipe": ("pipe2,dup,dup2,fcntl", ("EMFILE",)),
    "list": ("getdents64", ("EIO",)),
    "stat": ("newfstatat,fstat,statx", ("EACCES", "EIO")),
    "lock": ("flock,fsync,ftruncate,fallocate", ("ENOLCK", "EIO")),
}
"""The system calls of each kind, and the errors that they end with, one after the other."""


class Series(NamedTuple):
    """The same command with the same kind of call failing, the n-th of one run after the other."""

    layer: str
    command: str
    kind: str
    in_child: bool
    numbers: tuple[int, ...]
    imported: bool


class Finding(NamedTuple):
    series: Series
    number: int
    what: str
    where: str

    @property
    def summary(self) -> str:
        """The common part of findings with one cause."""
        what = self.what
        if bug := re.search(r"bug in onnxcost: (\w+).*?(?: at (\S+):\d+)?(?:\. Run it again|$)", what):
            where = bug[2] or ""
            what = f"this is a bug: {bug[1]}" + (f" at {where}" if where and not re.search("frozen|faults", where) else "")
        return f"{self.series.layer} {self.series.kind}: {re.sub('[0-9]+', '#', what)[:150]}"


class Ended(NamedTuple):
    """How a run ended. ``seen`` says which call failed, "" if there were fewer calls."""

    code: int
    out: str
    err: str
    target: bytes | None
    left: tuple[str, ...]
    seen: str
    has_process: bool


def write_models(folder: Path) -> None:
    """The files that the commands are run on: tiny models, one without its weights, a folder of two, a decoder, a report, a
    budget.
    """
    from onnx import TensorProto, helper, parser

    text = """<ir_version: 9, opset_import: ["" : 18]> g (float[batch,8] x) => (float[batch,4] y)
    { a = Relu(x) y = MatMul(a, w) }"""
    stored = helper.make_tensor("w", TensorProto.FLOAT, [8, 4], [0.5] * 32)
    absent = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[8, 4], data_location=TensorProto.EXTERNAL)
    absent.external_data.add(key="location", value="weights-not-stored")
    (folder / "models").mkdir()
    for name, weight, more in (("tiny", stored, ""), ("absent", absent, ""), ("other", stored, "z = Neg(y)")):
        model = parser.parse_model(text.replace("}", f"{more} }}"))
        model.graph.initializer.append(weight)
        (folder / f"{name}.onnx").write_bytes(model.SerializeToString())
    for name in ("tiny", "other"):
        shutil.copy(folder / f"{name}.onnx", folder / "models")
    with tarfile.open(ROOT / "tests" / "data" / "decoders.tar.xz") as archive:
        (folder / "decoder.onnx").write_bytes(archive.extractfile("genai_llama_fp32.onnx").read())
    (folder / "onnxcost.toml").write_text(
        '[budget]\ndevices = ["raspberry-pi-5-8gb"]\n[budget.models."tiny.onnx"]\nfps = 30\n', encoding="utf-8"
    )
    import onnxcost

    saved = onnxcost.estimate(folder / "tiny.onnx").to_dict()
    (folder / "saved.json").write_text(json.dumps(saved), encoding="utf-8")


def import_all(models: Path) -> None:
    """What the commands import when they are first used, so that a run does not."""
    from onnxcost.cli.app import run

    here = Path.cwd()
    with tempfile.TemporaryDirectory() as folder, Path(os.devnull).open("w", encoding="ascii") as nowhere:
        shutil.copytree(models, folder, dirs_exist_ok=True)
        os.chdir(folder)
        with contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
            for name, command in COMMANDS.items():
                if not command.timed and name != "estimate -":
                    run(command.arguments)
            run(("tiny.onnx", *QUICK))
        os.chdir(here)


def target_of(command: Command) -> str | None:
    return command.arguments[command.arguments.index("-o") + 1] if "-o" in command.arguments else None


def _become(command: Command, folder: Path, fault: Fault | None, stops: bool) -> None:
    """In a process that was just forked: the command, as ``python -m onnxcost`` runs it."""
    import onnxcost.__main__

    os.setsid()
    os.chdir(folder / "work")
    files = [("../stdin", os.O_RDONLY), ("../stdout", os.O_WRONLY | os.O_CREAT), ("../stderr", os.O_WRONLY | os.O_CREAT)]
    for number, (name, flags) in enumerate(files):
        os.dup2(os.open(name, flags), number)
    os.environ |= {"HOME": str(folder / "home"), "TMPDIR": str(folder / "tmp")}
    for name in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "TEMP", "TMP"):
        os.environ.pop(name, None)
    tempfile.tempdir = None
    sys.argv = ["onnxcost", *command.arguments]
    sys.stdin, sys.stdout, sys.stderr = (os.fdopen(number, mode, closefd=False) for number, mode in enumerate("rww"))
    sys.stderr.reconfigure(line_buffering=True)
    if "calibrate" in command.arguments:
        _calibrate_little()
    if stops:
        os.kill(os.getpid(), signal.SIGSTOP)
    if fault is not None and fault.in_child:
        os.environ[faults.VARIABLE] = fault.text()
        sys.path.insert(0, str(folder / "site"))
    elif fault is not None:
        faults.arm(fault)
    onnxcost.__main__.command()


def _calibrate_little() -> None:
    """Every fortieth probe: the same calls can fail."""
    from onnxcost.hardware.calibration import probes
    from onnxcost.runtime import calibrate

    few = probes.probes()[::40]
    calibrate.probes = lambda: few


def _run_forked(command: Command, folder: Path, fault: Fault | None, stops: bool = False) -> int:
    sys.stdout.flush()
    child = os.fork()
    if child:
        return child
    code = 70
    try:
        _become(command, folder, fault, stops)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        os.write(2, traceback.format_exc().encode(errors="replace"))
        code = 1
    os._exit(code)


def run(command: Command, models: Path, fault: tuple[str, str, int, bool] | None) -> Ended:
    """One run in folders of its own; ``fault`` is layer, kind, number and whether the child processes are meant."""
    with tempfile.TemporaryDirectory(prefix="faults-") as name:
        folder = Path(name)
        for each in ("home", "tmp", "site"):
            (folder / each).mkdir()
        shutil.copytree(models, folder / "work")
        shutil.copy(models / "tiny.onnx", folder / "stdin")
        (folder / "site" / "sitecustomize.py").write_text(
            f"import sys\nsys.path.append({str(SCRIPTS)!r})\nimport faults\nfaults.arm_child()\n", encoding="utf-8"
        )
        target = target_of(command)
        if target:
            (folder / "work" / target).write_bytes(OLD)
        before = _files(folder)
        seen = folder / "seen"
        if fault is None:
            code = _wait(_run_forked(command, folder, None))
        elif fault[0] == "python":
            code = _wait(_run_forked(command, folder, Fault(fault[1], fault[2], fault[3], str(seen))))
        else:
            code = _wait_traced(_run_forked(command, folder, None, stops=True), fault[1], fault[2], seen)
        has_process = _end_group(code.pid)
        kept = folder / "work" / target if target else None
        return Ended(
            code.code,
            re.sub("onnxcost-view-[a-z0-9_]+", "*", _read(folder / "stdout").replace(name, "")),
            _read(folder / "stderr"),
            kept.read_bytes() if kept and kept.exists() else None,
            tuple(sorted(_files(folder) - before - {"stdout", "stderr", "seen", "work/resume.jsonl"})),
            _injected(_read(seen)) if fault and fault[0] == "system" else _read(seen).strip(),
            has_process,
        )


class _End(NamedTuple):
    pid: int
    code: int


def _wait(pid: int) -> _End:
    end = time.monotonic() + KILLED_AFTER
    while time.monotonic() < end:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return _End(pid, os.waitstatus_to_exitcode(status))
        time.sleep(0.003)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return _End(pid, -signal.SIGKILL)


def _wait_traced(pid: int, kind: str, number: int, log: Path) -> _End:
    os.waitpid(pid, os.WUNTRACED)
    calls, errors = CALLS[kind]
    rule = f"inject={calls}:error={errors[number % len(errors)]}:when={number}"
    options = ("-f", "-qq", "-s", "80", "-p", str(pid), "-o", str(log), "-e", f"trace={calls}", "-e", rule)
    with log.with_name("strace").open("wb") as said:
        tracer = subprocess.Popen(("strace", *options), stderr=said)
    for _ in range(2000):
        if "TracerPid:\t0\n" not in Path(f"/proc/{pid}/status").read_text():
            break
        time.sleep(0.002)
    os.kill(pid, signal.SIGCONT)
    end = _wait(pid)
    try:
        tracer.wait(5)
    except subprocess.TimeoutExpired:
        tracer.kill()
        tracer.wait()
    log.with_name("strace").unlink()
    return end


def _end_group(pid: int) -> bool:
    """Ends the remaining processes of the run; returns whether there were any after ten seconds: one whose start failed halfway
    ends after its imports, when it finds no parent.
    """
    for _ in range(200):
        try:
            os.killpg(pid, 0)
        except (ProcessLookupError, PermissionError):
            return False
        time.sleep(0.05)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    return True


def _files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""


def _injected(log: str) -> str:
    return "; ".join(line.split(None, 1)[1] for line in log.splitlines() if "(INJECTED)" in line)


CLEANING = re.compile(r"rmtree|_cleanup|cleanup \(|unlink|rmdir|AT_REMOVEDIR|O_DIRECTORY|getdents")
"""Calls that remove what is temporary: if these are refused, something stays."""
CANNOT_REMOVE = ("remove", "list", "stat")
SAID_INSTEAD = re.compile(
    r"not PosixPath|incompatible function arguments|PicklingError \(Can't pickle <class|bytes-like object|KeyError \(b'"
)
"""Errors that functions written in C raise instead of MemoryError, which a caller cannot distinguish from a bug. Protobuf
returns bytes for a string for which it got no memory.
"""
LOGGED_BY_HASHLIB = re.compile(
    r"(ERROR:root:code for hash \w+ was not found\.\n)?Traceback (?s:(?!Traceback).)*?unsupported hash type \w+\n"
)
"""The output of Python's hashlib if it cannot load one of its modules and continues without it."""
MEASURED = re.compile(rb'("seconds": )[0-9.e-]+|"file": null|"file": \{[^}]*\}')
"""Keys that differ from run to run in a document of counts, and keys that are null if they cannot be determined."""
ON_STDERR = re.compile(r"write to 2\b|write to <stderr>|write\(2,|writev\(2,")


def judge(command: Command, kind: str, end: Ended, usual: Ended) -> Iterator[str]:
    """What is wrong with an end."""
    end = end._replace(err=LOGGED_BY_HASHLIB.sub("", end.err))
    lines = end.err.splitlines()
    if kind == "memory" and (end.code < 0 or "SystemError" in end.err or SAID_INSTEAD.search(end.err)):
        return  # Python itself, or a library, continues without it
    if end.code == -signal.SIGKILL:
        yield f"not done after {KILLED_AFTER} s"
        return
    if end.code not in CODES:
        yield f"exit code {end.code}: {lines[-1][:200] if lines else ''}"
    for word in ("Traceback", "this is a bug"):
        if word in end.err + end.out:
            yield next(f"{word}: {line[:200]}" for line in reversed(lines) if line.strip())
            return
    if not ON_STDERR.search(end.seen):
        errors = [line for line in lines if line.startswith("onnxcost: error: ")]
        # The kernel refuses the n-th call of every process: if two of them fail, there are two messages.
        most = max(command.error_lines, end.seen.count("(INJECTED)"))
        if end.code and end.code != usual.code and not 1 <= len(set(errors)) == len(errors) <= most:
            yield f"exit code {end.code} with {len(errors)} lines of error: {' / '.join(lines)[:200]}"
        if strange := [line for line in lines if line and not line.startswith("onnxcost: ")]:
            yield f"no message: {strange[0][:200]}"
        if not end.code and errors:
            yield f"exit code 0 with an error: {errors[0][:200]}"
    left = [name for name in end.left if end.code or not name.startswith("tmp/onnxcost-view-")]  # the page stays there
    if left and kind not in CANNOT_REMOVE and not CLEANING.search(end.seen):
        yield f"left: {', '.join(re.sub('onnxcost-[a-z0-9_]+|tmp[a-z0-9_]{8}', '*', name) for name in left)[:200]}"
    if end.has_process:
        yield "a process is left"
    yield from _judge_output(command, end, usual)


def _judge_output(command: Command, end: Ended, usual: Ended) -> Iterator[str]:
    target = target_of(command)
    if target and end.target != OLD:
        if end.target is None:
            yield f"{target} is gone"
        elif end.target != usual.target and (problem := _unreadable(target, end.target)):
            yield f"{target} is not whole: {problem}"
        elif not command.timed and not end.code and not usual.code and _unmeasured(end.target) != _unmeasured(usual.target):
            yield f"exit code 0 and {target} is another than without a fault"
    if not end.code and not usual.code:
        if target and end.target == OLD:
            yield f"exit code 0 and {target} is the old one"
        if not command.timed and end.out != usual.out:
            yield f"exit code 0 and another output: {end.out[-100:]!r}"


def _unmeasured(content: bytes | None) -> bytes:
    return MEASURED.sub(rb"\1", content or b"")


def _unreadable(name: str, content: bytes) -> str:
    """Why a file of this name cannot be read, "" if it can be."""
    try:
        if name.endswith((".html", ".svg")):
            return "" if content.rstrip().endswith(b"</" + name.rpartition(".")[2].encode() + b">") else "its end is missing"
        if name.endswith(".csv"):
            lengths = {len(row) for row in csv.reader(io.StringIO(content.decode()), strict=True)}
            return "" if len(lengths) == 1 and content.endswith(b"\n") else f"rows of {lengths}"
        if name.endswith(".onnx"):
            import onnx

            onnx.load_model_from_string(content)
        else:
            {"toml": tomllib.loads, "json": json.loads}.get(name.rpartition(".")[2], str)(content.decode())
    except Exception as error:
        return str(error)
    return ""


def run_series(series: Series) -> tuple[Series, int, list[Finding]]:
    """The runs of a series until the command makes fewer calls; how many there were, and what was found."""
    command, models, count = COMMANDS[series.command], Path(_models), 0
    usual = run(command, models, None)
    found = [Finding(series, 0, f"without a fault: {what}", "") for what in judge(command, series.kind, usual, usual)]
    for number in series.numbers:
        end = run(command, models, (series.layer, series.kind, number, series.in_child))
        if not end.seen or (series.kind == "space" and end.code == usual.code):
            break
        count += 1
        found += [Finding(series, number, what, end.seen[:1500]) for what in judge(command, series.kind, end, usual)]
        if _verbose:
            print(f"{series.command}, {series.kind} {number}: {end}", flush=True)
    return series, count, found


_models, _verbose = "", False


def _start(models: str, imported: bool, verbose: bool) -> None:
    """In a process of the pool: creates the files, and imports the modules for its forks."""
    global _models, _verbose
    _models, _verbose = models, verbose
    os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"  # else the checked folder would have byte code of sitecustomize
    import onnxcost.cli.app  # noqa: F401

    if imported:
        import_all(Path(models))


def series_of(options: Any) -> Iterator[Series]:
    """All series, the slow ones first."""
    for name, command in sorted(COMMANDS.items(), key=lambda item: not item[1].timed):
        if options.command and name not in options.command:
            continue
        for kind in CALLS if options.layer == "system" else faults.KINDS:
            if options.kind and kind not in options.kind:
                continue
            is_sampled = command.timed and (options.layer == "system" or kind in ("memory", "space"))
            step = max(1, options.calls // options.samples) if is_sampled else 1
            numbers = tuple(options.number or sorted({*range(1, FIRST + 1), *range(1, options.calls + 1, step)}))
            if options.layer == "system":
                yield Series("system", name, kind, False, numbers, imported=True)
                if not command.timed and kind in ("open", "read", "memory"):
                    yield Series("system", name, kind, False, numbers, imported=False)
                continue
            yield Series("python", name, kind, False, numbers, imported=True)
            if command.timed or name.startswith("scan"):
                yield Series("python", name, kind, True, numbers, imported=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layer", choices=("python", "system"), default="python")
    parser.add_argument("--command", action="append", choices=COMMANDS, help="this command alone; repeatable")
    parser.add_argument("--kind", action="append", choices=sorted({*CALLS, *faults.KINDS}), help="this kind alone; repeatable")
    parser.add_argument("--number", type=int, action="append", help="only the call of this number; repeatable")
    parser.add_argument("--calls", type=int, default=200, help="how many calls of each kind fail at most")
    parser.add_argument("--samples", type=int, default=20, help="how many of them, beside the first ten, where a model is run")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--verbose", action="store_true", help="print how each run ended")
    options = parser.parse_args()
    if options.layer == "system" and shutil.which("strace") is None:
        parser.error("strace is not installed")
    start, runs, kinds, first = time.monotonic(), 0, Counter[str](), dict[str, Finding]()
    every = list(series_of(options))
    with tempfile.TemporaryDirectory(prefix="faults-models-") as models, tempfile.TemporaryDirectory() as fonts:
        os.environ["MPLCONFIGDIR"] = fonts  # matplotlib lists all fonts once
        context = multiprocessing.get_context("spawn")
        with context.Pool(1, _start, (models, False, False)) as pool:
            pool.apply(write_models, (Path(models),))
        for imported in (True, False):
            chosen = [series for series in every if series.imported == imported]
            if not chosen:
                continue
            with context.Pool(options.jobs, _start, (models, imported, options.verbose)) as pool:
                for series, count, found in pool.imap_unordered(run_series, chosen):
                    runs += count
                    where = f"{series.command}, {series.kind}{' in a child' * series.in_child}"
                    print(f"{where}: {count} runs, {len(found)} findings", flush=True)
                    for finding in found:
                        kinds[finding.summary] += 1
                        if first.setdefault(finding.summary, finding) is finding:
                            print(f"  {finding.number}: {finding.what[:200]}", flush=True)
    for summary, times in kinds.most_common():
        at = first[summary]
        where = f"{at.series.command!r}, {at.series.kind} {at.number}{', in a child' * at.series.in_child}"
        print(f"{times:5} × {summary}\n        first: {where}: {at.where[:300]}")
    commands = len({series.command for series in every})
    print(
        f"{runs} faults ({options.layer}) in {commands} commands in {time.monotonic() - start:.0f} s: "
        f"{kinds.total()} findings of {len(kinds)} kinds"
    )
    return 1 if kinds else 0


if __name__ == "__main__":
    sys.exit(main())
