"""Mutation testing: which share of random one-token changes do the tests notice?

    pip install '.[test]' cosmic-ray pytest-cov
    python -m scripts.mutation --mutants 300 --seed 1 --jobs 2 -o survivors.diff

Cosmic Ray (https://cosmic-ray.readthedocs.io) lists and applies the mutations: + for -, < for <=, == for !=, and for or,
n + 1 for n. A quarter of each kind is drawn from all such
places of the packages that decide an answer. Coverage by test (pytest-cov) says
which tests run a line; these are run for its mutant, those of the mirrored folder first. A mutant that no test fails on,
or that no test runs, has survived: its diff is written out, to be read. A test that does not end counts as one that fails.
"""

import argparse
import ast
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from cosmic_ray.ast import ast_nodes, get_ast_from_path
from cosmic_ray.mutating import mutate_and_test
from cosmic_ray.plugins import get_operator
from cosmic_ray.work_item import MutationSpec, TestOutcome

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
# Tests that run the command in a process of its own, or take long, and see no line of the mutated packages by coverage.
LEFT_OUT = ("tests/cli", "tests/runtime", "tests/test_readme.py", "tests/test_fuzz.py", "tests/test_house.py")
# So many tests of a line are run at first; if all pass, the others follow.
FIRST_TESTS = 150
SECONDS = 240.0

TestsOfLine = dict[str, dict[int, list[str]]]


def find_mutations(root: Path, kind: str) -> Iterator[MutationSpec]:
    """Every place of the packages that a mutation of this kind can change."""
    for package in PACKAGES:
        for path in sorted((root / "onnxcost" / package).rglob("*.py")):
            if "probe" in path.stem:
                continue  # Which sizes a calibration measures is a choice: no test could say that one is wrong.
            nodes = list(ast_nodes(get_ast_from_path(path)))
            for name in KINDS[kind]:
                operator = get_operator(f"core/{name}")()
                places = (place for node in nodes for place in operator.mutation_positions(node))
                for occurrence, (start, end) in enumerate(places):
                    yield MutationSpec(path.relative_to(root), f"core/{name}", occurrence, start, end)


def record_coverage(root: Path, file: Path, jobs: int) -> None:
    """Run the tests once and keep, for each line of the package, the tests that run it."""
    leave = [f"--ignore={path}" for path in LEFT_OUT]
    options = ("-q", "-n", str(jobs), "-p", "no:cacheprovider", "--cov=onnxcost", "--cov-context=test", "--cov-report=")
    # Under coverage a warning of its own must not fail a test.
    subprocess.run(
        (sys.executable, "-m", "pytest", *options, *leave, "-W", "default", "tests"),
        cwd=root,
        env=_environment(root) | {"COVERAGE_FILE": str(file)},
        check=False,
    )


def read_coverage(file: Path) -> TestsOfLine:
    """File of the package -> line -> ids of the tests that run it."""
    from coverage.numbits import numbits_to_nums

    found: TestsOfLine = {}
    rows = sqlite3.connect(file).execute(
        "select file.path, context.context, line_bits.numbits from line_bits"
        " join file on file.id = line_bits.file_id join context on context.id = line_bits.context_id"
    )
    for path, context, numbits in rows:
        test = context.rpartition("|")[0]
        if test:
            lines = found.setdefault(path[path.rindex("onnxcost/") :], {})
            for line in numbits_to_nums(numbits):
                lines.setdefault(line, []).append(test)
    return found


def choose_tests(mutation: MutationSpec, covered: TestsOfLine) -> tuple[list[str], list[str]]:
    """The tests that run the mutated statement: those to run first, and the others."""
    path = Path(mutation.module_path)
    lines = covered.get(path.as_posix(), {})
    statements = [node for node in ast.walk(ast.parse((ROOT / path).read_text("utf-8"))) if isinstance(node, ast.stmt)]
    line = mutation.start_pos[0]
    starts = [node.lineno for node in statements if node.lineno <= line <= (node.end_lineno or 0)]
    # What an import runs no test runs: a table, a default. Then it is for the tests that run anything of the file.
    tests = sorted(lines.get(max(starts, default=line), ())) or sorted({test for tests in lines.values() for test in tests})
    mirrored = f"tests/{path.parent.relative_to('onnxcost').parts[0]}/"
    random.Random(0).shuffle(tests)
    tests.sort(key=lambda test: not test.startswith(mirrored))
    # Not the first parameters of one test alone: half are drawn from all others.
    chosen = dict.fromkeys([*tests[: FIRST_TESTS // 2], *tests[-FIRST_TESTS // 2 :]])
    return list(chosen), [test for test in tests if test not in chosen]


def try_mutation(work: tuple[MutationSpec, tuple[list[str], list[str]]]) -> tuple[MutationSpec, bool, str]:
    """In a copy of the project: a mutation, whether a test notices it, and its diff."""
    mutation, tests = work
    diff = ""
    for ids in filter(None, tests):
        Path("ids.txt").write_text("\n".join(ids), encoding="utf-8")
        command = f"{sys.executable} -m pytest -x -q -p no:cacheprovider @ids.txt"
        result = mutate_and_test([mutation], command, SECONDS)
        diff = result.diff or ""
        # The first tests take seconds: if they do not end, it is the mutant's doing. The others may just be many.
        if result.test_outcome != TestOutcome.SURVIVED and (ids is tests[0] or result.output != "timeout"):
            return mutation, True, diff
    return (
        mutation,
        False,
        diff or f"{mutation.module_path}:{mutation.start_pos[0]} {mutation.operator_name}: no test runs this line\n",
    )


def _copy_tree(folder: str) -> None:
    """In a process of the pool: work in a copy of the project."""
    tree = Path(tempfile.mkdtemp(dir=folder))
    for name in ("onnxcost", "tests", "models", "scripts", "docs"):
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "CHANGELOG.md", "LICENSE"):
        shutil.copy(ROOT / name, tree)
    os.environ.update(_environment(tree))
    os.chdir(tree)


def _environment(tree: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1", "ORT_DISABLE_TELEMETRY": "1"}


def main() -> None:
    """Draw the mutants, run the tests of each, print the share that was noticed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mutants", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--path", action="append", help="only files whose path contains this; repeatable")
    parser.add_argument("--coverage", type=Path, help="file with the coverage by test; it is made if it does not exist")
    parser.add_argument("-o", "--output", type=Path, help="where the diffs of the survivors go")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mutation-") as folder:
        coverage = (options.coverage or Path(folder) / "coverage").absolute()
        if not coverage.exists():
            record_coverage(ROOT, coverage, options.jobs)
        covered = read_coverage(coverage)
        draw, drawn = random.Random(options.seed), []
        for kind in KINDS:
            places = [
                mutation
                for mutation in find_mutations(ROOT, kind)
                if not options.path or any(part in str(mutation.module_path) for part in options.path)
            ]
            drawn += draw.sample(places, min(options.mutants // len(KINDS), len(places)))
        work = [(mutation, choose_tests(mutation, covered)) for mutation in drawn]
        survivors, noticed = [], 0
        with ProcessPoolExecutor(options.jobs, initializer=_copy_tree, initargs=(folder,)) as pool:
            for number, (mutation, was_noticed, diff) in enumerate(pool.map(try_mutation, work), 1):
                noticed += was_noticed
                if not was_noticed:
                    survivors.append(diff)
                    if options.output:
                        options.output.write_text("\n".join(survivors), encoding="utf-8")
                place = f"{mutation.module_path}:{mutation.start_pos[0]}"
                print(f"{number:4} {'noticed' if was_noticed else 'SURVIVED'} {place} {mutation.operator_name}", flush=True)
        print(f"{noticed} of {len(drawn)} mutants noticed ({noticed / max(1, len(drawn)):.1%})")


if __name__ == "__main__":
    main()
