"""Keeps the output in README.md and docs/ current: each block below a ``<!-- run: … -->`` line is the output of that command.

    python scripts/readme.py               refresh all pages
    python scripts/readme.py --check       exit 1 if a block is not the output of its command
    python scripts/readme.py --measured    refresh the blocks below ``<!-- measured: … -->``, too

Set-up: ``pip install .`` Markdown output is inserted as it is, other output is fenced. Blocks with measured times differ
from run to run and from machine to machine: refresh them on an idle machine.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
WIDTH = "96"
BLOCK = re.compile(
    r"(?P<head><!-- (?P<kind>run|measured): (?P<command>[^\n]*?) -->\n)(?P<body>.*?)(?P<tail><!-- end -->)", re.S
)
MARKDOWN = ("|", "#")
"""The starts of tables and pages in Markdown."""


def output(command: str) -> str:
    """What the command prints on a terminal of fixed width, without color."""
    program, *arguments = shlex.split(command)
    module = {"onnxcost": ["-m", "onnxcost"], "python": []}[program]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": WIDTH, "NO_COLOR": "1", "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run(
        [sys.executable, *module, *arguments], capture_output=True, text=True, check=False, cwd=ROOT, env=environment
    )
    if done.returncode not in (0, 1) or not done.stdout:
        raise SystemExit(f"{command}: {done.stderr}")
    return "\n".join(line.rstrip() for line in done.stdout.strip("\n").splitlines())


def block(match: re.Match[str]) -> str:
    text = output(match["command"])
    body = text if text.startswith(MARKDOWN) else f"```console\n$ {match['command']}\n{text}\n```"
    return f"{match['head']}{body}\n{match['tail']}"


def refreshed(text: str, *, measured: bool) -> str:
    """The page with refreshed blocks, those with measured times only if ``measured``."""
    return BLOCK.sub(lambda match: block(match) if measured or match["kind"] == "run" else match[0], text)


def main() -> int:
    stale = []
    for page in PAGES:
        before = page.read_text()
        after = refreshed(before, measured="--measured" in sys.argv)
        if before == after:
            continue
        stale.append(page.name)
        if "--check" not in sys.argv:
            page.write_text(after)
    if "--check" in sys.argv and stale:
        print(f"{', '.join(stale)}: not what the commands print: run python scripts/readme.py", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
