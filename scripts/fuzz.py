"""Mutates real models and builds hostile ones; everything must end in a report or in one clear error, in time and in memory.

    python scripts/fuzz.py --cases 20000 --seed 1 --jobs 2 [--out build/fuzz] [--only 17 --only 4711]

Every case goes through ``onnxcost.estimate`` and the renderers, every tenth also through the command line, in a child process
that is reused and, when it dies, replaced. A finding is an exception other than OnnxCostError, more than 10 s of the
processor, more than 1 GB, a crash, an exit code that is not documented, a file opened that is none of Python's or onnxcost's
own, a Python warning, or anything that native code writes to stderr. Each is written to ``--out``: the model, and what
happened. A case is the same wherever the models are the same. Exit code 1 if there are findings.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import multiprocessing
import os
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, NamedTuple

import fuzz_cases

SECONDS = 10
"""Of the processor, so that other work on the machine is not taken for a hang; a case in native code is killed later."""
KILLED_AFTER = 60
MORE_MEMORY = 10**9
EXIT_CODES = (0, 1, 2, 3, 130)
THROUGH_THE_COMMAND = 10
"""Every how manyth case also goes through the command line."""


class Finding(NamedTuple):
    kind: str
    what: str


class TooLong(BaseException):
    """Not an Exception, so that nothing in between takes it for one."""


class Watch:
    """What a case must not do, noted while it runs."""

    def __init__(self) -> None:
        self.active = False
        self.notes: list[Finding] = []
        here = (sys.prefix, sys.base_prefix, str(fuzz_cases.ROOT), tempfile.gettempdir(), os.devnull, "/usr/share/zoneinfo")
        self.allowed = tuple(os.path.realpath(path) for path in here) + here
        self.errors = os.memfd_create("stderr") if hasattr(os, "memfd_create") else tempfile.mkstemp()[0]
        os.dup2(self.errors, 2)
        sys.addaudithook(self._audit)
        signal.signal(signal.SIGPROF, self._too_long)
        self._watch_the_evaluator()

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.active and event == "open" and isinstance(arguments[0], (str, bytes)):
            path = os.fsdecode(arguments[0])
            if not path.startswith((*self.allowed, "<")):
                self.notes.append(Finding("opened", path))

    def _too_long(self, *_: object) -> None:
        raise TooLong

    def _watch_the_evaluator(self) -> None:
        """onnxcost takes any failure of the evaluator for "not known"; memory that ran out must be seen all the same."""
        from onnx.reference import ReferenceEvaluator

        run = ReferenceEvaluator.run

        def watched(evaluator: ReferenceEvaluator, *arguments: Any, **options: Any) -> Any:
            try:
                return run(evaluator, *arguments, **options)
            except MemoryError as error:
                self.notes.append(Finding("memory while folding", f"{evaluator.proto_.op_type}: {error}"))
                raise

        ReferenceEvaluator.run = watched

    def printed(self) -> str:
        """What native code has written to stderr since the last call."""
        size = os.fstat(self.errors).st_size
        text = os.pread(self.errors, size, 0).decode("utf-8", "replace")
        os.ftruncate(self.errors, 0)
        os.lseek(self.errors, 0, os.SEEK_SET)
        return text

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        self.notes, self.active = [], True
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        try:
            with warnings.catch_warnings(record=True) as warned:
                warnings.simplefilter("always")
                yield
        except TooLong as error:
            self.notes.append(Finding("too long", _where(error)))
        except Exception as error:
            self.notes.append(Finding(f"exception {type(error).__name__}", _where(error)))
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            self.active = False
        self.notes += [Finding("warning", f"{w.category.__name__}: {w.message} ({w.filename}:{w.lineno})") for w in warned]
        if text := self.printed():
            self.notes.append(Finding("stderr", text))


def _where(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))[-3000:]


def count_and_render(data: bytes, rng: random.Random) -> None:
    """Everything that the library does with a model."""
    import onnxcost
    from onnxcost.conventions import CONVENTIONS
    from onnxcost.render.as_csv import report_csv
    from onnxcost.render.as_json import report_json
    from onnxcost.render.as_markdown import report_markdown
    from onnxcost.render.screen import Screen, text_of
    from onnxcost.render.terminal import report_lines
    from onnxcost.render.view import SORTS, View

    try:
        report = onnxcost.estimate(data)
    except onnxcost.OnnxCostError:
        return
    convention = CONVENTIONS[rng.choice(list(CONVENTIONS))]
    view = View(convention, rng.choice((None, 10)), rng.choice((None, 2)), rng.choice((None, *SORTS)))
    text_of(report_lines(report, view, Screen(rng.choice((60, 80, 200)))))
    json.loads(report_json(report, convention), parse_constant=_refused)
    report_csv(report, view)
    report_markdown(report, view)


def _refused(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def run_the_command(data: bytes, rng: random.Random) -> None:
    """The command on a file: its exit code and that it says one line where it fails."""
    from onnxcost.cli.app import run

    options = rng.choice(([], ["--format", "json"], ["--depth", "2"], ["--strict"], ["--nodes", "--convention", "classic"]))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        path.write_bytes(data)
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = run([str(path), "--no-run", "--quiet", *options])
    said = err.getvalue()
    is_one_line = said.startswith("onnxcost: error: ") and said.count("\n") == 1 and "bug in onnxcost" not in said
    if code not in EXIT_CODES or (code and not is_one_line) or (code == 2 and out.getvalue()):
        raise ValueError(f"exit code {code}, stderr {said[:2000]!r}")


def work(numbers: Sequence[int], seed: int, seeds: fuzz_cases.Seeds, results: Connection) -> None:
    """The child: runs the cases, sending a number before each and what was found after it."""
    import onnxcost.estimator  # noqa: F401

    watch = Watch()
    with contextlib.suppress(Exception):
        count_and_render(seeds[min(seeds)], random.Random(0))
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MORE_MEMORY, used + MORE_MEMORY))
    for number in numbers:
        results.send((number, None, 0.0))
        case = fuzz_cases.case(number, seed, seeds)
        rng, start = random.Random(number), time.process_time()
        with watch.watching():
            count_and_render(case.data, rng)
            if number % THROUGH_THE_COMMAND == 0:
                run_the_command(case.data, rng)
        results.send((number, watch.notes, time.process_time() - start))
    results.send(None)


class Worker:
    """One child and the cases that it still has to do."""

    def __init__(self, numbers: list[int], seed: int, seeds: fuzz_cases.Seeds) -> None:
        self.numbers, self.seed, self.seeds = numbers, seed, seeds
        self.current: int | None = None
        self.start()

    def start(self) -> None:
        context = multiprocessing.get_context("fork")
        self.results, child = context.Pipe(duplex=False)
        self.process = context.Process(target=work, args=(self.numbers, self.seed, self.seeds, child), daemon=True)
        self.process.start()
        child.close()
        self.since = time.monotonic()

    def replace(self) -> Finding:
        """Ends the child and starts another behind the case that it was at; says how it ended."""
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

    def __init__(self, out: Path, seed: int, seeds: fuzz_cases.Seeds) -> None:
        self.out, self.seed, self.seeds = out, seed, seeds
        self.kinds: Counter[str] = Counter()
        self.done, self.slowest = 0, (0.0, -1)
        out.mkdir(parents=True, exist_ok=True)

    def add(self, number: int, findings: Sequence[Finding]) -> None:
        case = fuzz_cases.case(number, self.seed, self.seeds)
        stem = self.out / f"seed{self.seed}-{number}"
        stem.with_suffix(".onnx").write_bytes(case.data)
        lines = [f"case {number} of seed {self.seed}: {case.how}", *(f"{f.kind}: {f.what}" for f in findings)]
        stem.with_suffix(".txt").write_text("\n".join(lines) + "\n", encoding="utf-8", errors="replace")
        for finding in findings:
            last = finding.what.strip().splitlines()[-1:] or [""]
            self.kinds[f"{finding.kind}: {last[0][:110]}"] += 1
            print(f"{number}: {case.how[:80]}: {finding.kind}: {last[0][:160]}", flush=True)


def run_all(numbers: Sequence[int], seed: int, jobs: int, seeds: fuzz_cases.Seeds, record: Record) -> None:
    """All cases, shared out to the workers."""
    workers = [Worker(list(numbers[job::jobs]), seed, seeds) for job in range(jobs) if numbers[job::jobs]]
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
                    _note(message, worker, record)
            if ended or time.monotonic() - worker.since > KILLED_AFTER:
                finding = worker.replace()
                record.add(worker.current, [finding])
                if not worker.numbers:
                    workers.remove(worker)


def _note(message: tuple[int, list[Finding] | None, float], worker: Worker, record: Record) -> None:
    number, findings, seconds = message
    worker.current, worker.since = number, time.monotonic()
    if findings is None:
        return
    record.done += 1
    record.slowest = max(record.slowest, (seconds, number))
    if findings:
        record.add(number, findings)
    if record.done % 1000 == 0:
        print(f"{record.done} cases, {record.kinds.total()} findings", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=20_000)
    parser.add_argument("--first", type=int, default=0, help="the number of the first case")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--node-models", type=int, default=300, help="how many of onnx's node test models to start from")
    parser.add_argument("--largest", type=int, default=150_000, help="bytes of the largest model to start from")
    parser.add_argument("--only", type=int, action="append", help="run this case alone; repeatable")
    parser.add_argument("--out", type=Path, default=fuzz_cases.ROOT / "build" / "fuzz")
    options = parser.parse_args()
    seeds = fuzz_cases.real_models(options.largest)
    if options.node_models:
        seeds |= fuzz_cases.node_models(options.node_models, options.out / "node_models.pickle")
    numbers = options.only or range(options.first, options.first + options.cases)
    record, start = Record(options.out, options.seed, seeds), time.monotonic()
    run_all(list(numbers), options.seed, options.jobs, seeds, record)
    for kind, times in record.kinds.most_common():
        print(f"{times:6} × {kind}")
    slowest, number = record.slowest
    seconds = time.monotonic() - start
    print(f"{record.done} cases in {seconds:.0f} s, {record.kinds.total()} findings; slowest {slowest:.2f} s (case {number})")
    return 1 if record.kinds else 0


if __name__ == "__main__":
    sys.exit(main())
