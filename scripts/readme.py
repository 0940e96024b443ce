"""Keeps the README's output true: every block below a ``<!-- run: … -->`` line is what that command prints.

    python scripts/readme.py               refresh README.md
    python scripts/readme.py --check       exit 1 if a block is not what its command prints
    python scripts/readme.py --measured    refresh the blocks below ``<!-- measured: … -->``, too

Set-up: ``pip install .`` What a script prints, or ``--format markdown``, is Markdown itself; the others are fenced text.
Blocks with measured times differ from run to run and from machine to machine: they are refreshed on a calm one, and by demand.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
WIDTH = "96"
BLOCK = re.compile(
    r"(?P<head><!-- (?P<kind>run|measured): (?P<command>[^\n]*?) -->\n)(?P<body>.*?)(?P<tail><!-- end -->)", re.S
)


def output(command: str) -> str:
    """What the command prints on a terminal of fixed width, without colour."""
    program, *arguments = shlex.split(command)
    module = {"onnxcost": ["-m", "onnxcost"], "python": []}[program]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": WIDTH, "NO_COLOR": "1", "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run(
        [sys.executable, *module, *arguments], capture_output=True, text=True, check=False, cwd=ROOT, env=environment
    )
    if done.returncode not in (0, 1):
        raise SystemExit(f"{command}: {done.stderr}")
    return "\n".join(line.rstrip() for line in done.stdout.strip("\n").splitlines())


def block(match: re.Match[str]) -> str:
    command = match["command"]
    text = output(command)
    is_markdown = command.startswith("python") or "--format markdown" in command
    body = text if is_markdown else f"```console\n$ {command}\n{text}\n```"
    return f"{match['head']}{body}\n{match['tail']}"


def refreshed(text: str, *, measured: bool) -> str:
    """The README with its blocks made anew, those with measured times only where that is asked for."""
    return BLOCK.sub(lambda match: block(match) if measured or match["kind"] == "run" else match[0], text)


def main() -> int:
    before = README.read_text()
    after = refreshed(before, measured="--measured" in sys.argv)
    if "--check" not in sys.argv:
        README.write_text(after)
    elif before != after:
        print("README.md is not what the commands print: run python scripts/readme.py", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
