"""Runs the steps of the composite action as GitHub's runner does, in a folder of yours:

    python -m scripts.run_action FOLDER model=model.onnx baseline=cost.json limits=flops=1%

A step that ``uses`` another action is not run: actions/setup-python gives this Python. PyYAML is needed. The exit code is that
of the step that failed.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

ACTION = Path(__file__).parents[1] / "action.yml"
SHELLS: Mapping[str, tuple[str, ...]] = {"bash": ("bash", "--noprofile", "--norc", "-eo", "pipefail")}
"""The command of the runner for the key ``shell``, before the file with the lines."""
EXPRESSION = re.compile(r"\$\{\{\s*(\S+)\s*\}\}")


class Ran(NamedTuple):
    """The exit code, the outputs of the action, the summary of the job, and what the steps printed."""

    code: int
    outputs: Mapping[str, str]
    summary: str
    printed: str


def run_action(folder: Path, inputs: Mapping[str, str], runner: Path, skip: Collection[str] = ()) -> Ran:
    """Run the action in ``folder``, with ``runner`` as the runner's temporary folder; steps named in ``skip`` are left out.

    Raises KeyError for an input that is missing, or that the action does not have.
    """
    action = yaml.safe_load(ACTION.read_text("utf-8"))
    values = {f"inputs.{name}": inputs[name] if each.get("required") else inputs.get(name, each["default"]) for name, each in
              action["inputs"].items()}  # fmt: skip
    if unknown := inputs.keys() - action["inputs"].keys():
        raise KeyError(*unknown)
    values["steps.python.outputs.python-path"] = sys.executable
    code, printed = 0, ""
    for step in action["runs"]["steps"]:
        if "run" not in step or step["name"] in skip:
            continue
        code, outputs, text = _run_step(step, folder, values, runner)
        values |= {f"steps.{step.get('id')}.outputs.{name}": value for name, value in outputs.items()}
        printed += text
        if code:
            break
    summary = runner / "summary"
    outputs = {name: _fill(each["value"], {**values}) for name, each in action["outputs"].items()}
    return Ran(code, outputs, summary.read_text("utf-8") if summary.exists() else "", printed)


def _run_step(
    step: Mapping[str, Any], folder: Path, values: Mapping[str, str], runner: Path
) -> tuple[int, dict[str, str], str]:
    script, found = runner / "step", runner / "output"
    script.write_text(_fill(step["run"], values), "utf-8")
    found.write_text("", "utf-8")
    environment = {
        **os.environ,
        **{name: _fill(value, values) for name, value in step.get("env", {}).items()},
        "RUNNER_TEMP": str(runner), "GITHUB_ACTION_PATH": str(ACTION.parent), "GITHUB_OUTPUT": str(found),
        "GITHUB_STEP_SUMMARY": str(runner / "summary"),
    }  # fmt: skip
    done = subprocess.run(
        [*SHELLS[step["shell"]], script], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    lines = (line.partition("=") for line in found.read_text("utf-8").splitlines())
    return done.returncode, {name: value for name, _, value in lines}, done.stdout + done.stderr


def _fill(text: str, values: Mapping[str, str]) -> str:
    """The text with the values of its expressions; an output of a step that did not run is empty."""
    return EXPRESSION.sub(lambda match: values.get(match[1], ""), text)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        given = dict(argument.split("=", 1) for argument in sys.argv[2:])
        ran = run_action(Path(sys.argv[1]), given, Path(name))
        print(ran.printed, ran.summary, sep="\n")
    sys.exit(ran.code)
