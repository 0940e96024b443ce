"""``--on``: the command runs on other machines over SSH instead of on this one."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial, wraps
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, NamedTuple

import click
from click.core import ParameterSource

from onnxcost.cli.app import Notice, say
from onnxcost.cli.options import Command, with_options
from onnxcost.cli.output import FORMATS, Document, Output, check_folder
from onnxcost.errors import InputError
from onnxcost.files import replace_file
from onnxcost.render.layout import progress_on
from onnxcost.results import group_by

if TYPE_CHECKING:
    from onnxcost.fleet.hosts import Host
    from onnxcost.fleet.jobs import BoardJob, JobFile
    from onnxcost.fleet.results import FleetRun
    from onnxcost.report import CostReport
    from onnxcost.spec import ModelSource, ModelSpec

HOSTS_FILE = "hosts.toml"
STAYS = (
    "boards_text", "hosts", "sends_weights", "model", "models", "others", "format_", "output", "quiet", "all_warnings",
)  # fmt: skip
"""Parameters that are not sent to the boards: where the command runs, its model, and how the result is shown."""
VIEWS = ("by", "top", "sort", "pareto", "explain")
"""Parameters for how the result of one machine is shown."""
PATHS = {"formulas": "", "inputs": "", "values": ".npy", "files": ""}
"""Parameters whose values are or end with the path of a file, and the suffix that such a path must have."""


class Boards(NamedTuple):
    """Where the command runs: the hosts, whether weights are sent, and the folder for the document of each board."""

    hosts: tuple[Host, ...]
    sends_weights: bool
    folder: Path | None = None

    def job(self, words: Sequence[str], models: Sequence[tuple[ModelSource, str]], **how: Any) -> BoardJob:
        """The command ``words`` with the options of this command line; ``models`` are sources and their names."""
        from onnxcost.fleet.jobs import MODEL, BoardJob, pack_model

        files: list[JobFile] = []
        names: dict[str, str] = {}
        arguments = [*words]
        for at, (source, label) in enumerate(models):
            packed = pack_model(source, at, has_weights=self.sends_weights)
            files += packed
            arguments.append(packed[0].name)
            names |= {packed[0].name: source if isinstance(source, str) else "-", f"{MODEL}{at}": label}
        arguments += _forward(files)
        return BoardJob(tuple(arguments), tuple(files), names, **how)

    def run(self, command: str, job: BoardJob | None) -> FleetRun:
        """Run the job on all boards with a progress bar on stderr."""
        from onnxcost.fleet.jobs import run_job
        from onnxcost.runtime.protocol import Progress

        waiting = {host.name: None for host in self.hosts}
        with progress_on(sys.stderr) as shown:

            def show_progress(name: str = "") -> None:
                waiting.pop(name, None)
                shown(Progress(f"waiting for {', '.join(waiting) or 'nothing'}", 1 - len(waiting) / len(self.hosts)))

            show_progress()
            return run_job(command, self.hosts, job, lambda result: show_progress(result.name))

    def run_model(self, command: str, spec: ModelSpec, report: CostReport, out: Output) -> int:
        """Run a command with one model on all boards, and deliver the results; returns the exit code."""
        assert spec.source is not None  # the command line has a model
        name = spec.source if isinstance(spec.source, str) else "model"
        return self.run_command(command, self.job([command, "--warnings"], [(spec.source, name)]), out, report)

    def run_command(self, command: str, job: BoardJob | None, out: Output, report: CostReport | None = None) -> int:
        """Run a job on all boards, and deliver the results below the header of a report; returns the exit code."""
        if out.format not in FORMATS:
            raise InputError(f"results from boards cannot be written as {out.format}: use {', '.join(FORMATS)}")
        return self.deliver(self.run(command, job), out, report)

    def deliver(self, run: FleetRun, out: Output, report: CostReport | None = None) -> int:
        """Write the result, below the header of the model's report, and the document of each board; returns the exit code."""
        from onnxcost.render import fleet as formats
        from onnxcost.render.formats import dumps, header_lines, header_markdown

        out.deliver(
            Document(
                table=lambda screen: [
                    *([*header_lines(report, screen), ()] if report else []),
                    *formats.fleet_lines(run, screen),
                ],
                json=run.to_dict,
                csv=partial(formats.fleet_csv, run),
                markdown=lambda: (f"{header_markdown(report)}\n" if report else "") + formats.fleet_markdown(run),
            )
        )
        for board in run.boards:
            if self.folder is not None and board.document is not None:
                replace_file(self.folder / f"{board.host.file_name}.json", dumps(board.document).encode())
        return self.end(run, out)

    def end(self, run: FleetRun, out: Output) -> int:
        """Print the messages of the boards, and which have no result; returns the exit code."""
        said = group_by(((each, board.name) for board in run.boards for each in board.messages), lambda pair: pair[0])
        texts = [(each.kind, f"{', '.join(name for _, name in pairs)}: {each.text}") for each, pairs in said.items()]
        for kind, text in texts:
            if kind == "error":
                say(kind, text)
        if failed := [f"{board.name} ({board.failure})" for board in run.failed]:
            say("error", f"{len(failed)} of {len(run.boards)} boards returned no result: {', '.join(failed)}")
        out.say_first(Notice(kind, text) for kind, text in texts if kind != "error")
        return run.exit_code


hosts_option = click.option(
    "--hosts", metavar="FILE", help=f"TOML file of hosts.  [default: {HOSTS_FILE} in the user's configuration folder]"
)
BOARD_OPTIONS = (
    click.option(
        "--on",
        "boards_text",
        metavar="BOARD,BOARD",
        help="Run on these boards over SSH: names in the hosts file, or user@address.",
    ),
    hosts_option,
    click.option(
        "--send-weights", "sends_weights", is_flag=True, help="Also send the weights. By default, boards use synthetic weights."
    ),
)


def board_options(command: Command) -> Command:
    """Add ``--on`` and its options; the command gets them as ``boards``, None if it runs here."""

    def with_boards(*, boards_text: str | None, hosts: str | None, sends_weights: bool, **given: Any) -> Any:
        if boards_text is None:
            if hosts is not None or sends_weights:
                option = "--send-weights" if sends_weights else "--hosts"
                raise InputError(f"{option} needs --on")
            return command(boards=None, **given)
        context = click.get_current_context()
        for param in context.command.params:
            if param.name in VIEWS and context.get_parameter_source(param.name) is ParameterSource.COMMANDLINE:
                raise InputError(f"{param.opts[0]} cannot be used with --on")
        found = find_hosts(boards_text, hosts)
        folder = _take_folder(given)
        if folder is not None and len({host.file_name for host in found}) < len(found):
            raise InputError(
                f"'{folder}' would have the same file for two boards: their names differ only in special characters"
            )
        return command(boards=Boards(tuple(found), sends_weights, folder), **given)

    return with_options(BOARD_OPTIONS, wraps(command)(with_boards))


def find_hosts(text: str, path: str | None) -> list[Host]:
    """The hosts that the text names, from the file, or from the user's own hosts file if there is one."""
    from onnxcost.fleet.hosts import load_hosts, select_hosts

    own = Path(click.get_app_dir("onnxcost"), HOSTS_FILE)
    known = load_hosts(path or own) if path or own.is_file() else {}
    return select_hosts(text, known)


def _take_folder(given: dict[str, Any]) -> Path | None:
    """The folder that ``-o`` names, which is created and removed from the options; None if it names a file."""
    output = given.get("output")
    if not output or not (output.endswith(("/", os.sep)) or Path(output).is_dir()):
        return None
    folder = Path(output)
    check_folder(str(folder))
    with suppress(FileExistsError):
        folder.mkdir()
    given["output"] = None
    return folder


def _forward(files: list[JobFile]) -> Iterator[str]:
    """The options of the command line for a board; the files that they name are added to ``files``."""
    context = click.get_current_context()
    for param in context.command.params:
        name = param.name or ""
        is_given = context.get_parameter_source(name) in (ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT)
        if not is_given or name in STAYS or not isinstance(param, click.Option):
            continue
        value = context.params[name]
        if param.is_flag:
            yield param.opts[0] if value else param.secondary_opts[0]
            continue
        for each in value if param.multiple else [value]:
            yield f"{param.opts[0]}={_send_file(str(each), PATHS[name], files) if name in PATHS else each}"


def _send_file(value: str, suffix: str, files: list[JobFile]) -> str:
    """The value of an option, with the file that it names sent: ``NAME=image.npy`` becomes ``NAME=file-0/image.npy``."""
    from onnxcost.fleet.jobs import JobFile

    name, equals, path = value.rpartition("=")
    if not path.lower().endswith(suffix) or not Path(path).is_file():
        return value
    inside = f"file-{len(files)}/{re.sub(r'[^A-Za-z0-9_.-]', '_', PurePath(path).name)}"
    files.append(JobFile(inside, Path(path)))
    return f"{name}{equals}{inside}"
