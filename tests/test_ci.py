"""The action, the hooks and the jobs in the documents do in a repository of a user's what they say."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from onnxcost.cli.app import run
from scripts.run_action import ACTION, Ran, run_action

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "ci.md").read_text("utf-8")
BLOCKS = {
    block.splitlines()[0].removeprefix("# "): yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.S)
}
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
BUDGET = "[budget]\nmacs = '{macs}'\n[budget.models.'model.onnx']\ndevices = ['raspberry-pi-5-8gb']\n"

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the steps are for bash")


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's repository with a model and its baseline, in which programs named onnxcost and python are ours."""
    folder = tmp_path / "repository"
    folder.mkdir()
    shutil.copy(ROOT / "models" / "mobilenetv2_pytorch.onnx", folder / "model.onnx")
    assert run([str(folder / "model.onnx"), "--no-run", "-o", str(folder / "baseline.json"), "--quiet"]) == 0
    (folder / "onnxcost.toml").write_text(BUDGET.format(macs="400M"))
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "onnxcost").write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m onnxcost "$@"\n')
    (programs / "onnxcost").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return folder


def act(repository: Path, **inputs: str) -> Ran:
    """The action in the repository, with this checkout in place of what it installs."""
    runner = repository.parent / "runner"
    runner.mkdir()
    (runner / "onnxcost").symlink_to(ROOT)
    return run_action(repository, {"model": "model.onnx", **inputs}, runner, skip=("Install",))


def test_the_action_passes_and_reports(repository: Path) -> None:
    ran = act(repository, baseline="baseline.json", limits="flops=1%\nparameters=0\n", budget="onnxcost.toml")
    assert ran.code == 0, ran.printed
    assert '"macs": 300774272' in Path(ran.outputs["report"]).read_text()
    assert Path(ran.outputs["summary"]).read_text() == ran.summary
    for line in ("## Compared with the baseline", "| MACs | 300.8 M | 300.8 M (=) |", "## Budgets", "## model.onnx"):
        assert line in ran.summary.splitlines()


def test_the_action_fails_where_the_model_grew(repository: Path) -> None:
    shutil.copy(ROOT / "models" / "mobilenetv2_keras.onnx", repository / "model.onnx")
    ran = act(repository, baseline="baseline.json", limits="flops=0.1%", arguments="--dim batch=1")
    assert ran.code == 1
    assert "FLOPs grew from 614.0 M to 616.3 M" in ran.printed
    assert "    onnxcost: error: --max-increase: model: FLOPs grew from 614.0 M to 616.3 M" in ran.summary
    assert "| FLOPs | 614.0 M\\* | 616.3 M (+0.4 %) |" in ran.summary


def test_the_action_fails_where_a_budget_is_missed(repository: Path) -> None:
    (repository / "onnxcost.toml").write_text(BUDGET.format(macs="100M"))
    ran = act(repository, budget="onnxcost.toml")
    assert ran.code == 1
    assert "model.onnx" in ran.summary
    assert "MACs 300.8 M of 100 M" in ran.printed


@pytest.mark.parametrize(
    "inputs", [{"model": "absent.onnx"}, {"baseline": "absent.json"}, {"limits": "x", "baseline": "baseline.json"}]
)
def test_the_action_fails_for_what_cannot_be_read(repository: Path, inputs: dict[str, str]) -> None:
    ran = act(repository, **inputs)
    assert ran.code == 2
    assert "onnxcost: error: " in ran.printed


def test_inputs_are_not_run_as_commands(repository: Path) -> None:
    """They come as variables: a workflow may pass on what a stranger named."""
    shutil.copy(repository / "model.onnx", repository / "$(touch gone).onnx")
    ran = act(repository, model="$(touch gone).onnx", arguments="$(touch gone)")
    assert not (repository / "gone").exists()
    assert ran.code == 2
    scripts = [step["run"] for step in yaml.safe_load(ACTION.read_text())["runs"]["steps"] if "run" in step]
    assert scripts
    assert not any("${{" in script for script in scripts)


def test_the_documents_name_the_inputs() -> None:
    action = yaml.safe_load(ACTION.read_text())
    table = re.findall(r"^\| `(\w+)` \|", PAGE, re.M)
    used = [step for job in BLOCKS[".github/workflows/cost.yml"]["jobs"].values() for step in job["steps"] if "with" in step]
    assert table == list(action["inputs"])
    assert used[0]["with"].keys() <= action["inputs"].keys()


def lines_of(job: Any) -> list[str]:
    return job.get("script") or [step["run"] for step in job["steps"] if "run" in step]


@pytest.mark.parametrize("name", [".gitlab-ci.yml", ".github/workflows/latency.yml"])
def test_the_lines_of_a_job_run(repository: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    block = BLOCKS[name]
    (repository / "before").mkdir()
    shutil.copy(ROOT / "models" / "mnist_cnn_pytorch.onnx", repository / "before" / "model.onnx")
    if "latency" in name:
        shutil.copy(ROOT / "models" / "mnist_cnn_pytorch.onnx", repository / "model.onnx")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", "summary.md")
    for line in lines_of(block.get("cost") or block["jobs"]["latency"]):
        if line.startswith("pip install "):
            continue
        done = subprocess.run(["bash", "-eo", "pipefail", "-c", line], cwd=repository, capture_output=True, text=True)
        # How fast they are is chance.
        assert done.returncode == 0 or ("latency" in line and "grew" in done.stderr), (line, done.stderr)
    assert (repository / "cost.md").exists() or (repository / "summary.md").exists()


def test_the_gitlab_job_stops_where_the_model_grew(repository: Path) -> None:
    shutil.copy(ROOT / "models" / "resnet18_int8_qdq.onnx", repository / "model.onnx")
    compare = next(line for line in BLOCKS[".gitlab-ci.yml"]["cost"]["script"] if " compare " in line)
    assert subprocess.run(["bash", "-c", compare], cwd=repository, capture_output=True).returncode == 1


HOOKS = {hook["id"]: hook for hook in yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())}


@pytest.mark.parametrize(
    ("name", "file", "passes"), [("onnxcost-count", "model.onnx", True), ("onnxcost-count", "no.onnx", False)]
)
def test_the_hook_that_counts(repository: Path, name: str, file: str, passes: bool) -> None:
    (repository / "no.onnx").write_bytes(b"\x08")
    assert re.search(HOOKS[name]["files"], file)
    done = subprocess.run([*shlex.split(HOOKS[name]["entry"]), file], cwd=repository, capture_output=True, text=True)
    assert (done.returncode == 0) is passes, done.stderr


@pytest.mark.parametrize(("macs", "code"), [("400M", 0), ("100M", 1)])
def test_the_hook_that_checks_budgets(repository: Path, macs: str, code: int) -> None:
    hook = HOOKS["onnxcost-budget"]
    (repository / "onnxcost.toml").write_text(BUDGET.format(macs=macs))
    assert hook["pass_filenames"] is False
    assert subprocess.run(shlex.split(hook["entry"]), cwd=repository, capture_output=True).returncode == code


def test_the_documents_name_the_hooks() -> None:
    assert [hook["id"] for hook in BLOCKS[".pre-commit-config.yaml"]["repos"][0]["hooks"]] == list(HOOKS)


@pytest.mark.parametrize("path", [*WORKFLOWS, ACTION], ids=lambda path: path.name)
def test_each_action_that_we_use_is_pinned(path: Path) -> None:
    used = re.findall(r"uses: (\S+)(.*)", path.read_text())
    assert all(name.startswith("./") or (re.fullmatch(r".+@[0-9a-f]{40}", name) and "# v" in rest) for name, rest in used)
