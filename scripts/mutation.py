"""Mutation testing: which share of random one-token changes do the tests detect?

    pip install '.[test]' cosmic-ray pytest-cov
    python -m scripts.mutation --mutants 300 --seed 1 --jobs 2 -o survivors.diff

Cosmic Ray (https://cosmic-ray.readthedocs.io) lists and applies the mutations: + for -, < for <=, == for !=, and for or,
n + 1 or n - 1 for n. A quarter of each kind is drawn from all such places of the packages that decide an answer; no docstring,
annotation or import holds one. The sizes of caches are left out, because no answer depends on them. Coverage by test
(pytest-cov) says which tests run the mutated statement, or read the mutated table, and how long each takes. For a mutant the
tests of its mirrored file run first, then the fastest of each test function, up to a limit of seconds, then the others up to a
larger one. A mutant that makes none of them fail, or that no test runs, has survived: its diff is written to the output. Tests
that exceed their CPU time count as failed.

Recording the coverage takes longer than the tests. A record of an earlier commit can be used: its lines are found again, and
its tests that are gone are left out. Tests that are new since run only for their mirrored files, or with a second record:

    python -m scripts.mutation --coverage RECORD --coverage NEW --record tests/test_new.py
"""

import argparse
import ast
import os
import random
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence, Set
from compileall import compile_dir
from concurrent.futures import ProcessPoolExecutor
from difflib import SequenceMatcher
from functools import cache
from pathlib import Path
from typing import NamedTuple

from cosmic_ray.ast import ast_nodes, get_ast_from_path
from cosmic_ray.mutating import mutate_and_test
from cosmic_ray.plugins import get_operator
from cosmic_ray.work_item import MutationSpec, TestOutcome
from coverage.numbits import numbits_to_nums

ROOT = Path(__file__).parent.parent
PACKAGES = ("formulas", "operators", "analysis", "frontend", "ort_optimizer", "hardware")
KINDS = {
    "number": ("NumberReplacer",),
    "boolean": ("ReplaceAndWithOr", "ReplaceOrWithAnd"),
    "arithmetic": (
        "ReplaceBinaryOperator_Add_Sub",
        "ReplaceBinaryOperator_Sub_Add",
        "ReplaceBinaryOperator_Mul_Add",
        "ReplaceBinaryOperator_FloorDiv_Mul",
    ),
    "comparison": (
        "ReplaceComparisonOperator_Lt_LtE",
        "ReplaceComparisonOperator_LtE_Lt",
        "ReplaceComparisonOperator_Gt_GtE",
        "ReplaceComparisonOperator_GtE_Gt",
        "ReplaceComparisonOperator_Eq_NotEq",
        "ReplaceComparisonOperator_NotEq_Eq",
    ),
}
# Tests that run the command in a process of its own, that take long, or that time something: a mutant that they alone notice
# counts as a survivor.
LEFT_OUT = (
    "tests/runtime",
    "tests/cli/test_interrupts.py",
    *(
        f"tests/test_{name}.py"
        for name in ("fuzz", "heavy_models", "hostile_strings", "house", "layers", "published", "readme")
    ),
    *(f"tests/test_{name}.py" for name in ("processes", "refusals", "vocabulary")),
)
# Seconds of a mutant's tests beside those of its mirrored files, and of the others after them, as they took under coverage; the
# processor time that each part may take, and the time that it may wait.
TEST_SECONDS, REST_SECONDS, CPU_SECONDS, WAIT_SECONDS = 25.0, 180.0, 240, 1800.0


class Coverage(NamedTuple):
    """File of the package -> line -> the tests that run it; the seconds of each test."""

    lines: dict[str, dict[int, list[str]]]
    seconds: dict[str, float]


def find_mutations(root: Path, kind: str, left_out: Counter[str]) -> Iterator[MutationSpec]:
    """Every place of the packages that a mutation of this kind can change; how many are ``left_out``, by reason."""
    for package in PACKAGES:
        for path in sorted((root / "onnxcost" / package).rglob("*.py")):
            nodes = list(ast_nodes(get_ast_from_path(path)))
            caches = _cache_lines(path)
            for name in KINDS[kind]:
                operator = get_operator(f"core/{name}")()
                places = (place for node in nodes for place in operator.mutation_positions(node))
                for occurrence, (start, end) in enumerate(places):
                    if "probe" in path.stem:  # No test could show that one is wrong.
                        left_out["the sizes that a calibration measures are a choice"] += 1
                        continue
                    if start[0] in caches:
                        left_out["no answer depends on the size of a cache"] += 1
                        continue
                    yield MutationSpec(path.relative_to(root), f"core/{name}", occurrence, start, end)


def _cache_lines(path: Path) -> set[int]:
    """Where functools.lru_cache gets its size."""
    calls = (node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Call))
    return {call.lineno for call in calls if _name(call.func) == "lru_cache"}


def record_coverage(root: Path, file: Path, jobs: int, tests: Sequence[str] = ("tests",)) -> None:
    """Run the tests once and keep, for each line of the package, the tests that run it; beside it, a log with their times and
    the commit.
    """
    leave = [f"--ignore={path}" for path in LEFT_OUT]
    options = ("-vv", "-n", str(jobs), "-p", "no:cacheprovider", "--cov=onnxcost", "--cov-context=test", "--cov-report=")
    with file.with_name(f"{file.name}-log").open("w", encoding="utf-8") as log:
        # Under coverage a warning of its own must not fail a test.
        subprocess.run(
            (sys.executable, "-m", "pytest", *options, *leave, "-W", "default", "--durations=0", *tests),
            cwd=root,
            env=_environment(root) | {"COVERAGE_FILE": str(file)},
            stdout=log,
            check=False,
        )
    commit = subprocess.run(("git", "rev-parse", "HEAD"), cwd=root, capture_output=True, text=True, check=True).stdout
    file.with_name(f"{file.name}-commit").write_text(commit, encoding="utf-8")


def read_coverage(file: Path, known: Set[str]) -> Coverage:
    """What `record_coverage` kept of the known tests that passed, by the lines that the files have now."""
    log = file.with_name(f"{file.name}-log").read_text("utf-8")
    commit = file.with_name(f"{file.name}-commit").read_text("utf-8").strip()
    passed = known & set(re.findall(r"^\[gw\d+\] \[ *\d+%\] PASSED (.*?) *$", log, re.MULTILINE))
    seconds: dict[str, float] = dict.fromkeys(passed, 0.0)
    of_files: dict[str, list[str]] = {}
    for test in sorted(passed):
        of_files.setdefault(test.partition("::")[0], []).append(test)
    shared = dict[str, list[str]]()
    for taken, phase, test in re.findall(r"^([\d.]+)s (setup|call|teardown) +(.*?) *$", log, re.MULTILINE):
        if test in passed:
            seconds[test] += float(taken)
            if phase == "setup" and float(taken) > 1:  # It may be a fixture of all tests of the file.
                shared[test] = of_files[test.partition("::")[0]]
    found: dict[str, dict[int, list[str]]] = {}
    rows = sqlite3.connect(file).execute(
        "select file.path, context.context, line_bits.numbits from line_bits"
        " join file on file.id = line_bits.file_id join context on context.id = line_bits.context_id"
    )
    for path, context, numbits in rows:
        test, _, phase = context.rpartition("|")
        if test in passed:
            lines = found.setdefault(path[path.rindex("onnxcost/") :], {})
            tests = shared.get(test, [test]) if phase == "setup" else [test]
            for line in numbits_to_nums(numbits):
                lines.setdefault(line, []).extend(tests)
    changed = subprocess.run(
        ("git", "diff", "--name-only", commit, "--", "onnxcost"), cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    for path in filter(found.__contains__, changed):
        found[path] = _move_lines(found[path], path, commit)
    return Coverage(found, seconds)


def _move_lines(lines: dict[int, list[str]], path: str, commit: str) -> dict[int, list[str]]:
    """The tests by the lines that a file has now; a changed line has those of the lines in its place and around."""
    old = subprocess.run(("git", "show", f"{commit}:{path}"), cwd=ROOT, capture_output=True, text=True, check=True).stdout
    new = (ROOT / path).read_text("utf-8") if (ROOT / path).exists() else ""
    found: dict[int, list[str]] = {}
    for tag, start, end, first, last in SequenceMatcher(None, old.splitlines(), new.splitlines(), False).get_opcodes():
        for line in range(first + 1, last + 1):
            before = [line - first + start] if tag == "equal" else range(start, end + 2)
            found[line] = list(dict.fromkeys(test for each in before for test in lines.get(each, ())))
    return found


def list_tests() -> set[str]:
    """The tests that there are."""
    command = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--collect-only", "tests")
    listed = subprocess.run(command, cwd=ROOT, env=_environment(ROOT), capture_output=True, text=True, check=True).stdout
    return {line for line in listed.splitlines() if "::" in line}


class Use(NamedTuple):
    """A place that reads a name: whether it runs in a call, or else the names that its statement defines on import."""

    name: str
    path: str
    line: int
    is_called: bool
    defines: frozenset[str]


@cache
def _parse(path: Path) -> tuple[list[ast.stmt], set[int]]:
    """Its statements, and the lines that a call runs, not the import."""
    statements = [node for node in ast.walk(ast.parse((ROOT / path).read_text("utf-8"))) if isinstance(node, ast.stmt)]
    functions = [each for each in statements if isinstance(each, ast.FunctionDef)]
    return statements, {line for each in functions for line in range(each.body[0].lineno, (each.end_lineno or 0) + 1)}


def _name(node: ast.AST) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def _define(statement: ast.stmt) -> frozenset[str]:
    targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", statement)]
    return frozenset(filter(None, (_name(node) for target in targets for node in ast.walk(target))))


def _first_line(statement: ast.stmt) -> int:
    """The first line, including decorators."""
    return min([each.lineno for each in getattr(statement, "decorator_list", ())] + [statement.lineno])


@cache
def _find_uses() -> list[Use]:
    uses = []
    for path in sorted((ROOT / "onnxcost").rglob("*.py")):
        relative = path.relative_to(ROOT)
        statements, called = _parse(relative)
        for each in statements:
            is_called = each.lineno in called
            is_assignment = isinstance(each, ast.Assign | ast.AnnAssign | ast.AugAssign)
            defines = _define(each) if is_assignment and not is_called else frozenset[str]()
            expressions = [child for child in ast.iter_child_nodes(each) if isinstance(child, ast.expr | ast.withitem)]
            names = {_name(node) for expression in expressions for node in ast.walk(expression)} - {""}
            uses += [Use(name, relative.as_posix(), each.lineno, is_called, defines) for name in names]
    return uses


def find_tests(path: Path, line: int, covered: Coverage) -> set[str]:
    """The tests that run the statement of a line or, where an import runs it, what reads the names that it defines."""
    statements, called = _parse(path)
    around = [each for each in statements if _first_line(each) <= line <= (each.end_lineno or 0)]
    statement = max(around, key=_first_line)
    lines = covered.lines.get(path.as_posix(), {})
    if line in called:
        return set(lines.get(statement.lineno, ()))
    if isinstance(statement, ast.FunctionDef):  # A default, or what a decorator is given
        return {test for each in range(line, (statement.end_lineno or 0) + 1) for test in lines.get(each, ())}
    tests = set(lines.get(line, ())).union(*(lines.get(each, ()) for each in called))
    names, reached = _define(statement) if isinstance(statement, ast.Assign | ast.AnnAssign) else frozenset[str](), set[str]()
    while names:  # A table may be a part of another one.
        reached |= names
        uses = [use for use in _find_uses() if use.name in names]
        tests = tests.union(*(covered.lines.get(use.path, {}).get(use.line, ()) for use in uses if use.is_called))
        names = frozenset(name for use in uses for name in use.defines) - reached
    return tests


def choose_tests(mutation: MutationSpec, covered: Coverage) -> tuple[list[str], ...]:
    """The tests to run for a mutant: those of its mirrored files; then of each test function the fastest, the next one, …, as
    far as TEST_SECONDS and then REST_SECONDS go. An operator's row in a table is for the tests with its name, too.
    """
    path, line = Path(mutation.module_path), mutation.start_pos[0]
    names = f"test_{path.stem}", f"test_{path.parent.name}"
    mirrored = [each for each in sorted((ROOT / "tests" / path.parts[1]).rglob("test_*.py")) if each.name.startswith(names)]
    words = re.findall(r'"([A-Z]\w+)"', (ROOT / path).read_text("utf-8").splitlines()[line - 1])
    tests = find_tests(path, line, covered)
    if line not in _parse(path)[1]:
        tests |= {test for test in covered.seconds if any(word in test for word in words)}
    ranked, of_function = [], Counter[str]()
    for test in sorted(tests, key=lambda test: (covered.seconds[test], test)):
        function = test.partition("[")[0]
        if ROOT / function.partition("::")[0] not in mirrored:
            ranked.append((not any(word in test for word in words), of_function[function], covered.seconds[test], test))
            of_function[function] += 1
    parts: list[list[str]] = []
    for left in (TEST_SECONDS, REST_SECONDS):
        parts.append([])
        for *_, seconds, test in sorted(ranked):
            if seconds + 0.005 <= left:
                parts[-1].append(test)
                left -= seconds + 0.005
        taken = set(parts[-1])
        ranked = [row for row in ranked if row[-1] not in taken]
    return [each.relative_to(ROOT).as_posix() for each in mirrored], *parts


def try_mutation(work: tuple[MutationSpec, tuple[list[str], ...]]) -> tuple[bool, str]:
    """In a copy of the project: whether a test notices a mutation, and its diff."""
    mutation, chosen = work
    diff = f"{mutation.module_path}:{mutation.start_pos[0]} {mutation.operator_name}: no test runs this line\n"
    for tests in filter(None, chosen):
        Path("ids.txt").write_text("\n".join(tests), encoding="utf-8")
        command = f"{sys.executable} -m pytest -x -q -p no:cacheprovider @ids.txt"
        result = mutate_and_test([mutation], f"sh -c 'ulimit -t {CPU_SECONDS}; exec {command}'", WAIT_SECONDS)
        diff = result.diff or f"{diff}{result.output}\n"
        if result.test_outcome == TestOutcome.KILLED and result.output != "timeout":
            return True, diff
    return False, diff


def _copy_tree(folder: str) -> None:
    """In a process of the pool: work in a copy of the project."""
    tree = Path(tempfile.mkdtemp(dir=folder))
    for name in ("onnxcost", "tests", "models", "scripts", "docs", ".github"):
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
    for path in ROOT.iterdir():
        if path.is_file() and path.name != ".git":  # that of a linked working tree
            shutil.copy(path, tree)
    os.environ.update(_environment(tree))
    os.chdir(tree)
    # Compiled once, not for each mutant.
    collect = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--collect-only", "tests")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    subprocess.run(collect, env=environment, stdout=subprocess.DEVNULL, check=True)
    compile_dir("onnxcost", quiet=1)


def _environment(tree: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1", "ORT_DISABLE_TELEMETRY": "1"}


def main() -> None:
    """Draw the mutants, run the tests of each, print the share that was noticed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mutants", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--path", action="append", help="only files whose path contains this; repeatable")
    parser.add_argument(
        "--coverage",
        type=Path,
        action="append",
        help="file with the coverage by test, which is made if there is none; repeatable",
    )
    parser.add_argument("--record", nargs="+", default=["tests"], help="the tests of the coverage that is made")
    parser.add_argument(
        "--noticed", type=Path, help="what a run with this seed printed: its noticed mutants are not tried again"
    )
    parser.add_argument("-o", "--output", type=Path, help="where the diffs of the survivors go")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mutation-") as folder:
        covered, known_tests = Coverage({}, {}), list_tests()
        for coverage in (file.absolute() for file in options.coverage or [Path(folder) / "coverage"]):
            if not coverage.exists():
                record_coverage(ROOT, coverage, options.jobs, options.record)
            lines, seconds = read_coverage(coverage, known_tests)
            covered.seconds.update(seconds)
            for path, tests_of in lines.items():
                for line, tests in tests_of.items():
                    covered.lines.setdefault(path, {}).setdefault(line, []).extend(tests)
        print(f"{len(covered.seconds)} of {len(known_tests)} tests are in the record; left out: {', '.join(LEFT_OUT)}")
        draw, drawn, left_out = random.Random(options.seed), [], Counter[str]()
        for kind in KINDS:
            places = [
                mutation
                for mutation in find_mutations(ROOT, kind, left_out)
                if not options.path or any(part in str(mutation.module_path) for part in options.path)
            ]
            drawn += draw.sample(places, min(options.mutants // len(KINDS), len(places)))
            print(f"{kind}: {len(places)} places, seed {options.seed}")
        for reason, count in left_out.items():
            print(f"{count} places are left out: {reason}")
        # Alternate the kinds, so that a run that ends early has some of each.
        draw.shuffle(drawn)
        known = options.noticed.read_text("utf-8") if options.noticed else ""
        known_numbers = set(map(int, re.findall(r"^ *(\d+) noticed", known, re.MULTILINE)))
        numbers = [number for number in range(len(drawn)) if number not in known_numbers]
        work = [(drawn[number], choose_tests(drawn[number], covered)) for number in numbers]
        survivors, kinds = [], Counter(drawn[number].operator_name for number in known_numbers)
        with ProcessPoolExecutor(options.jobs, initializer=_copy_tree, initargs=(folder,)) as pool:
            tried = pool.map(try_mutation, work)
            for number, (mutation, tests), (is_noticed, diff) in zip(numbers, work, tried, strict=True):
                kinds[mutation.operator_name] += is_noticed
                if not is_noticed:
                    survivors.append(diff)
                    if options.output:
                        options.output.write_text("\n".join(survivors), encoding="utf-8")
                place = f"{mutation.module_path}:{mutation.start_pos[0]} {mutation.operator_name}"
                outcome = "noticed" if is_noticed else "SURVIVED"
                print(f"{number:4} {outcome} {place} ({sum(map(len, tests))} tests)", flush=True)
        for kind, names in KINDS.items():
            count = sum(mutation.operator_name.removeprefix("core/") in names for mutation in drawn)
            print(f"{kind}: {sum(kinds[f'core/{name}'] for name in names)} of {count} noticed")
        print(f"{sum(kinds.values())} of {len(drawn)} mutants noticed ({sum(kinds.values()) / max(1, len(drawn)):.1%})")


if __name__ == "__main__":
    main()
