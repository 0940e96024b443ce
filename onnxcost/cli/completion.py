"""Completion of the command line by bash, zsh and fish: files, devices, operators, and the dims of the model on the line."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ZshComplete,
    add_completion_class,
    split_arg_string,
)

from onnxcost.errors import REFUSALS, OnnxCostError

MOST_NAMES = 200
Completer = Callable[[click.Context, str], "Iterable[CompletionItem[str]]"]  # click 8.2 has no public name for its type

# A word that ends with "/" or "=" is incomplete, so no space follows it. Bash handles folders itself.
BASH = """\
%(complete_func)s() {
    local IFS=$'\\n' type value
    while IFS=',' read -r type value; do
        [[ -n $value ]] && COMPREPLY+=("$value")
        [[ $value == *= ]] && compopt -o nospace || compopt -o filenames
    done < <(env COMP_WORDS="${COMP_WORDS[*]}" COMP_CWORD=$COMP_CWORD %(complete_var)s=bash_complete "$1")
}
complete -o nosort -F %(complete_func)s %(prog_name)s
"""
ZSH = """\
#compdef %(prog_name)s
%(complete_func)s() {
    local type value about
    local -a found texts going_on
    (( ! $+commands[%(prog_name)s] )) && return 1
    while IFS= read -r type && IFS= read -r value && IFS= read -r about; do
        if [[ $value == *[=/] ]]; then
            going_on+=("$value")
        else
            found+=("$value")
            [[ $about == _ ]] && texts+=("$value") || texts+=("$value  -- $about")
        fi
    done < <(env COMP_WORDS="${words[*]}" COMP_CWORD=$((CURRENT-1)) %(complete_var)s=zsh_complete %(prog_name)s)
    (( $#found )) && compadd -U -l -V found -d texts -a found
    (( $#going_on )) && compadd -U -S '' -V going_on -a going_on
}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    %(complete_func)s "$@"
else
    compdef %(complete_func)s %(prog_name)s
fi
"""
FISH = """\
function %(complete_func)s
    env %(complete_var)s=fish_complete COMP_WORDS=(commandline -cp) COMP_CWORD=(commandline -t) %(prog_name)s \\
        | string replace --regex '^plain,' ''
end
complete --no-files --command %(prog_name)s --arguments "(%(complete_func)s)"
"""


class BashWords(BashComplete):
    """Bash splits words at each ``=``: here they are joined, and only the part after the last one is returned."""

    source_template = BASH
    before = ""

    def get_completion_args(self) -> tuple[list[str], str]:
        """The words before the cursor, and the word at the cursor."""
        # each on its own line, as the script passes them
        words = os.environ["COMP_WORDS"].split("\n")[: int(os.environ["COMP_CWORD"]) + 1]
        joined: list[str] = []
        for at, word in enumerate(words):
            if at and word and "=" in (word, words[at - 1]):
                joined[-1] += word
            else:
                joined.append(word)
        *args, incomplete = [next(iter(split_arg_string(word)), "") for word in joined]
        value = incomplete.partition("=")[2] if incomplete.startswith("-") else incomplete
        self.before = value[: value.rfind("=") + 1]
        return args[1:], incomplete

    def format_completion(self, item: CompletionItem[Any]) -> str:
        """The replacement for the word that bash sees."""
        return f"{item.type},{item.value.removeprefix(self.before).rstrip('/')}"


class ZshWords(ZshComplete):
    """Items as three lines."""

    source_template = ZSH

    def format_completion(self, item: CompletionItem[str]) -> str:
        """Type, value, what it is."""
        return f"{item.type}\n{item.value}\n{item.help or '_'}"


class FishWords(FishComplete):
    """Items as lines, which fish splits only at the tab."""

    source_template = FISH


def register() -> None:
    """Let click complete with these instead of its own classes, which show either files or other words."""
    for shell in (BashWords, ZshWords, FishWords):
        add_completion_class(shell)


def equip(command: click.Command) -> None:
    """Give each parameter of a command its completer, if COMPLETERS has one; a choice completes itself."""
    for param in command.params:
        if isinstance(param.type, click.Choice):
            continue
        for name in (*param.opts, param.name):
            if completer := COMPLETERS.get(name or ""):
                # Click's own method, only for this parameter.
                setattr(param, "shell_complete", partial(_complete, completer))  # noqa: B010


def _complete(completer: Completer, ctx: click.Context, incomplete: str) -> list[CompletionItem[str]]:
    """The completions of the word; none if that fails: a message would appear in the command line."""
    found: list[CompletionItem[str]] = []
    with suppress(OnnxCostError, *REFUSALS):
        found += (item for item in completer(ctx, incomplete) if item.value.isprintable() and item.value.startswith(incomplete))
    return found[:MOST_NAMES]


def complete_files(*suffixes: str) -> Completer:
    """Paths of files with one of the suffixes, and of folders."""

    def complete(ctx: click.Context, incomplete: str) -> Iterator[CompletionItem[str]]:
        folder, slash, name = incomplete.rpartition("/")
        place = Path(os.path.expanduser(folder + slash) or ".")  # noqa: PTH111  # "" is here
        for entry in sorted(place.iterdir()):
            if entry.name.startswith(".") and not name.startswith("."):
                continue
            if entry.is_dir():
                yield CompletionItem(f"{folder}{slash}{entry.name}/")
            elif entry.suffix.lower() in suffixes:
                yield CompletionItem(f"{folder}{slash}{entry.name}")

    return complete


def complete_names(name: str) -> Completer:
    """Names in the model on the command line (``inputs``, ``dims``, ``loops``), each followed by ``=``."""

    def complete(ctx: click.Context, incomplete: str) -> Iterator[CompletionItem[str]]:
        path = ctx.params.get("model") or ctx.params.get("models") or ctx.params.get("paths") or ctx.args
        for model in [path] if isinstance(path, str) else path or ():
            if Path(model).is_file() and "=" not in incomplete:
                yield from (CompletionItem(f"{each}=") for each in _names_in(model, name))

    return complete


def _names_in(model: str, kind: str) -> list[str]:
    from onnxcost.frontend.dims import fed_inputs, input_names
    from onnxcost.frontend.reader import read_skeleton

    graph = read_skeleton(model).model.graph
    if kind == "loops":
        return [node.name for node in graph.node if node.op_type == "Loop" and node.name]
    return sorted(getattr(input_names(fed_inputs(graph)), kind))


def complete_input_file(ctx: click.Context, incomplete: str) -> Iterator[CompletionItem[str]]:
    """An input of the model, and after its ``=`` a file; or an .npz file of all inputs."""
    name, equals, path = incomplete.rpartition("=")
    if not equals:
        yield from complete_names("inputs")(ctx, incomplete)
    for item in complete_files(".npy", ".npz")(ctx, path):
        yield CompletionItem(f"{name}{equals}{item.value}")


def complete_from(module: str, table: str, about: str = "") -> Completer:
    """The names in a table of a module, or in the result of a function there, each with an attribute of its value as help."""

    def complete(ctx: click.Context, incomplete: str) -> Iterator[CompletionItem[str]]:
        found = getattr(import_module(f"onnxcost.{module}"), table)
        for name, value in sorted((found() if callable(found) else found).items()):
            yield CompletionItem(name, help=getattr(value, about, None))

    return complete


def complete_words(ctx: click.Context, incomplete: str) -> Iterator[CompletionItem[str]]:
    """The words of ``onnxcost devices``: its other command, and devices."""
    if not ctx.params.get("words"):
        yield CompletionItem("calibrate", help="Measure this machine")
    yield from complete_devices(ctx, incomplete)


complete_model = complete_files(".onnx")
complete_devices = complete_from("hardware.catalogue", "catalogue", "title")
complete_metrics = complete_from("comparison.candidates", "METRICS", "title")
COMPLETERS: Mapping[str, Completer] = {
    "model": complete_model,
    "models": complete_files(".onnx", ".json"),
    "paths": complete_model,
    "operators": complete_from("formulas", "FORMULAS"),
    "words": complete_words,
    "--dim": complete_names("dims"),
    "--shape": complete_names("inputs"),
    "--value": complete_names("inputs"),
    "--trips": complete_names("loops"),
    "--input": complete_input_file,
    "--formulas": complete_files(".py"),
    "--device": complete_devices,
    "--explain": complete_devices,
    "--price": complete_devices,
    "--device-file": complete_files(".toml"),
    "--check": complete_files(".toml"),
    "--hosts": complete_files(".toml"),
    "--files-from": complete_files(".txt"),
    "--resume": complete_files(".jsonl"),
    "--output": complete_files(".json", ".csv", ".md", ".txt", ".jsonl", ".onnx", ".toml"),
    "--provider": complete_from("runtime.providers", "PROVIDERS"),
    "--runtime": complete_from("hardware.backends", "BACKENDS"),
    "--sort": complete_metrics,
    "--pareto": complete_metrics,
}
"""The completers by the names of arguments and options."""
