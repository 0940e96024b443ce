"""Mutates real models and builds hostile ones; everything must end in a report or in one clear error, in time and in memory.

    python scripts/fuzz.py --cases 20000 --seed 1 --jobs 2 [--out build/fuzz] [--case 17 --case 4711]
    python scripts/fuzz.py --kind graphs --cases 10000 --seed 1 --jobs 2

``--kind bytes``: the bytes and messages of a file are mutated, or it is hostile. ``--kind graphs``: the parsed model is mutated
(``graph_cases.py``), and each one that can be counted is checked (``graph_checks.py``): its totals are not affected by changes
without a cost, CSV and JSON are equal when read back, outputs have no control characters, and pages no elements from a model;
scaling, language models and charts are tried, too.

Every case goes through ``onnxcost.estimate`` and the renderers, every tenth also through the command line, in a child process
that is reused and, when it dies, replaced. A finding is an exception other than OnnxCostError, more than 10 s of the
processor, more than 1 GB, a crash, an exit code that is not documented, an opened file that belongs to neither Python nor
onnxcost, a Python warning, anything that native code writes to stderr, or a check that fails. The first of each kind are
written to ``--out``: the model, and what happened. Cases depend only on the seed and the models. Exit code 1 if there
are findings.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import os
import random
import re
import resource
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, NamedTuple

import fuzz_cases
import graph_cases
import graph_checks
from graph_checks import Broken

SECONDS = 10
"""CPU seconds, so that other load is not mistaken for a hang; a case in native code is killed later."""
KILLED_AFTER = 60
MORE_MEMORY = 10**9
KEPT = 3
"""The number of cases that are written for each kind of finding."""
THROUGH_THE_COMMAND = 10
"""One in this many cases is also run on the command line."""


Step = Callable[[], None]


class Finding(NamedTuple):
    kind: str
    what: str

    @property
    def summary(self) -> str:
        """The common part of findings with one cause: the kind and the last line, without numbers."""
        if self.kind.startswith("check failed"):
            return re.sub("[0-9]+", "#", self.kind)
        last = (self.what.strip().splitlines() or [""])[-1]
        return f"{self.kind}: {re.sub('[0-9]+', '#', last)[:110]}"


class Plan(NamedTuple):
    """Everything that determines a case, except for its number."""

    kind: str
    seed: int
    seeds: fuzz_cases.Seeds


class TooLong(BaseException):
    """Not an Exception, so that no handler in between catches it."""


class Watch:
    """The forbidden actions of a case, recorded while it runs."""

    def __init__(self) -> None:
        self.active = False
        self.notes: list[Finding] = []
        here = (sys.prefix, sys.base_prefix, str(fuzz_cases.ROOT), tempfile.gettempdir(), os.devnull, "/usr/share/zoneinfo")
        here += ("onnxcost-view-", str(Path.home() / ".cache" / "matplotlib"))
        here += tuple(entry for entry in sys.path if entry.startswith("__editable__"))
        self.allowed = tuple(os.path.realpath(path) for path in here) + here
        self.errors = os.memfd_create("stderr") if hasattr(os, "memfd_create") else tempfile.mkstemp()[0]
        os.dup2(self.errors, 2)
        sys.addaudithook(self._audit)
        signal.signal(signal.SIGPROF, self._too_long)

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.active and event == "open" and isinstance(arguments[0], (str, bytes)):
            path = os.fsdecode(arguments[0])
            if not path.startswith((*self.allowed, "<")):
                self.notes.append(Finding("opened", path))

    def _too_long(self, *_: object) -> None:
        raise TooLong

    def printed(self) -> str:
        """What native code has written to stderr since the last call."""
        size = os.fstat(self.errors).st_size
        text = os.pread(self.errors, size, 0).decode("utf-8", "replace")
        os.ftruncate(self.errors, 0)
        os.lseek(self.errors, 0, os.SEEK_SET)
        return text

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """The block may take SECONDS of CPU time; its violations are added to the notes."""
        self.active = True
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        try:
            with warnings.catch_warnings(record=True) as warned:
                warnings.simplefilter("always")
                yield
        except TooLong as error:
            self.notes.append(Finding("too long", _where(error)))
        except Broken as error:
            self.notes.append(Finding(f"check failed: {error.check}", error.seen))
        except Exception as error:
            self.notes.append(Finding(f"exception {type(error).__name__}{_line(error)}", _where(error)))
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            self.active = False
        self.notes += [Finding("warning", f"{w.category.__name__}: {w.message} ({w.filename}:{w.lineno})") for w in warned]
        if text := self.printed():
            self.notes.append(Finding("stderr", text))


def _where(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))[-3000:]


def _line(error: BaseException) -> str:
    """The last line of onnxcost in its traceback."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "onnxcost" in frame.filename]
    return f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""


def count_and_render(data: bytes, rng: random.Random) -> None:
    """Everything that the library does with a model."""
    import onnxcost
    from onnxcost.conventions import CONVENTIONS
    from onnxcost.render.formats import dumps
    from onnxcost.render.layout import Screen, text_of
    from onnxcost.render.report import report_csv, report_lines, report_markdown
    from onnxcost.render.tables import SORTS, View

    try:
        report = onnxcost.estimate(data)
    except onnxcost.OnnxCostError:
        return
    convention = CONVENTIONS[rng.choice(list(CONVENTIONS))]
    view = View(convention, rng.choice((None, 10)), rng.choice((None, 2)), rng.choice((None, *SORTS)))
    text_of(report_lines(report, view, Screen(rng.choice((60, 80, 200)))))
    json.loads(dumps(report.to_dict(convention)), parse_constant=_refused)
    report_csv(report, view)
    report_markdown(report, view)


def _refused(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def steps_of_bytes(number: int, case: fuzz_cases.Case, seeds: fuzz_cases.Seeds) -> Iterator[Step]:
    """Everything that the library does with a file, and now and then the command."""
    rng = random.Random(number)

    def both() -> None:
        count_and_render(case.data, rng)
        if number % THROUGH_THE_COMMAND == 0:
            graph_checks.check_command(case.data, seeds[min(seeds)], rng)

    yield both


def steps_of_graphs(number: int, case: fuzz_cases.Case, seeds: fuzz_cases.Seeds) -> Iterator[Step]:
    """Count it; if that succeeds, run all checks, else a command, which must fail with one line."""
    import onnxcost

    rng, before = random.Random(number), list[graph_checks.Report]()

    def count() -> None:
        with contextlib.suppress(onnxcost.OnnxCostError):
            before.append(graph_checks.estimated(case.data))

    yield count
    if before:
        for outputs in graph_checks.OUTPUTS:
            yield lambda outputs=outputs: outputs(case.data, rng)
        for check in graph_checks.CHECKS:
            yield lambda check=check: check(case.data, before[0], rng)
    yield lambda: graph_checks.check_command(case.data, seeds[rng.choice(sorted(seeds))], rng)


class Kind(NamedTuple):
    """The source of cases, and the steps for each, which have their own time limits."""

    case: Callable[[int, int, fuzz_cases.Seeds], fuzz_cases.Case]
    steps: Callable[[int, fuzz_cases.Case, fuzz_cases.Seeds], Iterator[Step]]


KINDS = {"bytes": Kind(fuzz_cases.case, steps_of_bytes), "graphs": Kind(graph_cases.case, steps_of_graphs)}


class Done(NamedTuple):
    """A message of a child: before a case only its number, after it the findings and the resources."""

    number: int
    findings: list[Finding] | None = None
    seconds: float = 0.0
    bytes: int = 0
    steps: int = 0


def work(numbers: Sequence[int], plan: Plan, results: Connection) -> None:
    """The child: runs the cases, sending a number before each and what was found after it."""
    import onnxcost.estimator  # noqa: F401

    watch = Watch()
    with contextlib.suppress(Exception):
        count_and_render(plan.seeds[min(plan.seeds)], random.Random(0))
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MORE_MEMORY, used + MORE_MEMORY))
    for number in numbers:
        results.send(Done(number))
        case = KINDS[plan.kind].case(number, plan.seed, plan.seeds)
        start, before, count = time.process_time(), _peak(reset=True), 0
        watch.notes = []
        for step in KINDS[plan.kind].steps(number, case, plan.seeds):
            count += 1
            with watch.watching():
                step()
        results.send(Done(number, watch.notes, time.process_time() - start, _peak() - before, count))
    results.send(None)


def _peak(*, reset: bool = False) -> int:
    """The peak of the resident bytes since the last reset."""
    with contextlib.suppress(OSError):
        if reset:
            Path("/proc/self/clear_refs").write_text("5")
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM"))
    return 0


class Worker:
    """One child and its remaining cases."""

    def __init__(self, numbers: list[int], plan: Plan) -> None:
        self.numbers, self.plan = numbers, plan
        self.current: int | None = None
        self.start()

    def start(self) -> None:
        context = multiprocessing.get_context("fork")
        self.results, child = context.Pipe(duplex=False)
        self.process = context.Process(target=work, args=(self.numbers, self.plan, child), daemon=True)
        self.process.start()
        child.close()
        self.since = time.monotonic()

    def replace(self) -> Finding:
        """Ends the child and starts another one after its current case; returns how it ended."""
        if self.process.is_alive():
            self.process.kill()
        self.process.join()
        code = self.process.exitcode or 0
        kind = f"killed after {KILLED_AFTER} s" if code == -signal.SIGKILL else f"crash with {code}"
        if self.current is None:
            raise RuntimeError("a child died before its first case")
        self.numbers = self.numbers[self.numbers.index(self.current) + 1 :]
        self.results.close()
        if self.numbers:
            self.start()
        return Finding(kind, "")


class Record:
    """What was found, written as it comes."""

    def __init__(self, out: Path, plan: Plan) -> None:
        self.out, self.plan = out, plan
        self.kinds: Counter[str] = Counter()
        self.first: dict[str, int] = {}
        self.done = self.counted = 0
        self.slowest, self.largest = (0.0, -1), (0, -1)
        out.mkdir(parents=True, exist_ok=True)

    def take(self, done: Done) -> None:
        self.done += 1
        self.counted += done.steps > 2
        self.slowest = max(self.slowest, (done.seconds, done.number))
        self.largest = max(self.largest, (done.bytes, done.number))
        if done.findings:
            self.add(done.number, done.findings)
        if self.done % 1000 == 0:
            print(f"{self.done} cases, {self.kinds.total()} findings", flush=True)

    def add(self, number: int, findings: Sequence[Finding]) -> None:
        """Count them, and write the case if one of its findings is among the first of its kind."""
        new = [finding for finding in findings if self.kinds[finding.summary] < KEPT]
        self.kinds.update(finding.summary for finding in findings)
        case = KINDS[self.plan.kind].case(number, self.plan.seed, self.plan.seeds)
        for finding in new:
            self.first.setdefault(finding.summary, number)
            print(f"{number}: {case.how[:80]}: {finding.summary}", flush=True)
        if new:
            stem = self.out / f"{self.plan.kind}-seed{self.plan.seed}-{number}"
            stem.with_suffix(".onnx").write_bytes(case.data)
            lines = [f"case {number} of seed {self.plan.seed}: {case.how}", *(f"{f.kind}: {f.what}" for f in findings)]
            stem.with_suffix(".txt").write_text("\n".join(lines) + "\n", encoding="utf-8", errors="replace")

    def verdict(self, seconds: float) -> str:
        """One line."""
        counted = f", {self.counted} counted and checked" if self.plan.kind == "graphs" else ""
        (slow, slowest), (large, largest) = self.slowest, self.largest
        return (
            f"{self.done} cases in {seconds:.0f} s ({self.plan.kind}, seed {self.plan.seed}{counted}): "
            f"{self.kinds.total()} findings of {len(self.kinds)} kinds; slowest {slow:.2f} s (case {slowest}), "
            f"most memory {large / 1e6:.0f} MB (case {largest})"
        )


def run_all(numbers: Sequence[int], jobs: int, record: Record) -> None:
    """All cases, shared out to the workers."""
    workers = [Worker(list(numbers[job::jobs]), record.plan) for job in range(jobs) if numbers[job::jobs]]
    while workers:
        ready = wait([worker.results for worker in workers], timeout=1)
        for worker in list(workers):
            ended = False
            if worker.results in ready:
                try:
                    message = worker.results.recv()
                except (EOFError, OSError):
                    ended = True
                else:
                    if message is None:
                        worker.process.join()
                        workers.remove(worker)
                        continue
                    worker.current, worker.since = message.number, time.monotonic()
                    if message.findings is not None:
                        record.take(message)
            if ended or time.monotonic() - worker.since > KILLED_AFTER:
                finding = worker.replace()
                record.add(worker.current, [finding])
                if not worker.numbers:
                    workers.remove(worker)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kind", choices=KINDS, default="bytes")
    parser.add_argument("--cases", type=int, default=20_000)
    parser.add_argument("--first", type=int, default=0, help="the number of the first case")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--node-models", type=int, default=300, help="how many of onnx's node test models to start from")
    parser.add_argument("--largest", type=int, default=150_000, help="bytes of the largest model to start from")
    parser.add_argument("--case", "--only", type=int, action="append", dest="only", help="run this case alone; repeatable")
    parser.add_argument("--out", type=Path, default=fuzz_cases.ROOT / "build" / "fuzz")
    options = parser.parse_args()
    seeds = fuzz_cases.real_models(options.largest)
    if options.node_models:
        seeds |= fuzz_cases.node_models(options.node_models, options.out / "node_models.pickle")
    if options.kind == "graphs":
        seeds |= graph_cases.archived_models(min(options.largest, 60_000))
    numbers = options.only or range(options.first, options.first + options.cases)
    record, start = Record(options.out, Plan(options.kind, options.seed, seeds)), time.monotonic()
    run_all(list(numbers), options.jobs, record)
    for kind, times in record.kinds.most_common():
        print(f"{times:6} × {kind} (first: --kind {options.kind} --seed {options.seed} --case {record.first.get(kind)})")
    print(record.verdict(time.monotonic() - start))
    return 1 if record.kinds else 0


if __name__ == "__main__":
    sys.exit(main())
