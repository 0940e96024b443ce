"""The first screen: what the command prints without options fits on a pseudo-terminal of 24 lines and 80 columns."""

from __future__ import annotations

import os
import re
import struct
import subprocess
import sys
from pathlib import Path

import pytest

import onnxcost
from tests.modeltext import model

fcntl = pytest.importorskip("fcntl", reason="there are no pseudo-terminals")
pty, termios = pytest.importorskip("pty"), pytest.importorskip("termios")

ROOT = Path(onnxcost.__file__).parents[1]
MODELS = ROOT / "models"
ROWS, COLUMNS = 24, 80
MEASURED_ROWS = 8
"""What is below the counts: a blank line, four of the measurement, a note, the verdict, and the prompt."""
SEQUENCE = re.compile(r"\x1b\[(\??[\d;]*)([A-Za-z])")


def run_in_pane(*arguments: str, columns: int = COLUMNS, piped: bool = False, cwd: Path = MODELS) -> tuple[str, str]:
    """What the command writes to its terminal, and where stdout is a pipe what comes through that."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, columns, 0, 0))
    environment = {
        name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR")
    }
    environment |= {"TERM": "xterm-256color", "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"}
    command = [sys.executable, "-m", "onnxcost", *arguments]
    stdout = subprocess.PIPE if piped else theirs
    with subprocess.Popen(command, cwd=cwd, stdin=theirs, stdout=stdout, stderr=theirs, env=environment) as process:
        os.close(theirs)
        chunks = []
        while True:
            try:
                chunk = os.read(ours, 65536)
            except OSError:  # how Linux says that nobody has the terminal open any more
                break
            if not chunk:
                break
            chunks.append(chunk)
        through = process.stdout.read().decode() if process.stdout else ""
    os.close(ours)
    return b"".join(chunks).decode(), through


def shown(text: str, columns: int = COLUMNS) -> list[str]:
    """The lines that are there in the end, the prompt's (empty) the last: a terminal as simple as this output needs it."""
    rows, row, column = [""], 0, 0
    for piece in re.split(r"(\x1b\[\??[\d;]*[A-Za-z]|[\r\n])", text):
        if piece == "\r":
            column = 0
        elif piece == "\n":
            row, rows = row + 1, rows + [""] * (row + 1 == len(rows))
        elif found := SEQUENCE.fullmatch(piece):
            row -= int(found[1] or 1) if found[2] == "A" else 0
            rows[row] = "" if found.groups() == ("2", "K") else rows[row]
        else:
            for char in piece:
                if column == columns:
                    row, column, rows = row + 1, 0, rows + [""] * (row + 1 == len(rows))
                rows[row] = rows[row][:column].ljust(column) + char + rows[row][column + 1 :]
                column += 1
    return [line.rstrip() for line in rows]


LABELS = (
    "MACs",
    "FLOPs",
    "Parameters",
    "Weights",
    "Peak activation memory",
    "Memory traffic",
    "Arithmetic intensity",
    "of FLOPs",
)
MEASURED = ("Latency", "95 %:", "FPS", "Achieved", "Peak memory")
SIX = (
    "resnet50_pytorch",
    "mobilenetv2_keras",
    "bert_base_pytorch",
    "llama_1b_pytorch",
    "ssdlite320_pytorch",
    "resnet18_int8_qdq",
)


@pytest.mark.parametrize("name", SIX)
def test_the_counts_of_a_model_fit(name: str) -> None:
    lines = shown(run_in_pane(f"{name}.onnx", "--no-run")[0])
    text = "\n".join(lines)
    assert len(lines) <= ROWS
    counts = 1 + max(at for at, line in enumerate(lines) if line.endswith(" %"))
    assert counts + MEASURED_ROWS <= ROWS
    of_decoder = ("Prefill", "Decode", "KV cache", "'onnxcost llm'", "Top 2 of ")
    assert all(label in text for label in (*LABELS, *(of_decoder if name.startswith("llama") else ("Top 5 of ",))))
    assert re.fullmatch(r"[\d.]+ [MG]FLOPs, [\d.]+ [MG] parameters; \d+ % of the FLOPs in [\d,]+ of [\d,]+ nodes", lines[-2]), (
        text
    )


@pytest.mark.parametrize("name", ["mnist_cnn_pytorch", "lstm_text_pytorch"])
def test_a_measured_model_fits(name: str) -> None:
    """With whatever the machine's load makes it advise."""
    lines = shown(run_in_pane(f"{name}.onnx", "--runs", "8", "--warmup", "1")[0])
    text = "\n".join(lines)
    assert len(lines) <= ROWS
    assert all(label in text for label in (*LABELS, *MEASURED))
    assert re.match(r"[\d.]+ [mµn]?s, [\d.,]+ FPS on this CPU; \d+ % of the FLOPs in ", lines[-2])


@pytest.fixture
def crowded(tmp_path: Path) -> Path:
    """A folder with a model of which there is much to say: inputs, assumptions, nodes that are not counted, warnings."""
    inputs = ", ".join(f"float[batch_of_input_{at},side_{at}] input_with_a_long_name_{at}" for at in range(30))
    names = [f"input_with_a_long_name_{at}" for at in range(12)]
    for file, custom in (("crowded.onnx", "m{at} = com.acme.Mine{at}(k{at})"), ("runs.onnx", "")):
        nodes = " ".join(
            f"k{at} = NonZero({name}) {custom.format(at=at)} r{at} = Relu({name})" for at, name in enumerate(names)
        )
        text = f"({inputs}) => (float[batch_of_input_0,side_0] r0) {{ {nodes} }}"
        (tmp_path / file).write_bytes(model(text).SerializeToString())
    return tmp_path


@pytest.mark.parametrize(
    "command",
    ["crowded.onnx --no-run", "crowded.onnx", "crowded.onnx --no-run --convention torch", "runs.onnx --runs 2", "runs.onnx"],
)
def test_a_model_of_which_there_is_much_to_say_fits(crowded: Path, command: str) -> None:
    lines = shown(run_in_pane(*command.split(), cwd=crowded)[0])
    text = "\n".join(lines)
    assert len(lines) <= ROWS, text
    assert "more: -v" in text
    assert ("Not counted: 12 of 36 nodes" in text) == command.startswith("crowded")
    assert ("Latency" in text) == command.startswith("runs")


@pytest.mark.parametrize("columns", [30, 44, 59, 60, 100, 160])
def test_no_line_wraps_at_any_width(crowded: Path, columns: int) -> None:
    for name, folder in (("crowded.onnx", crowded), ("llama_1b_pytorch.onnx", MODELS)):
        text, _ = run_in_pane(name, "--no-run", columns=columns, cwd=folder)
        written = [SEQUENCE.sub("", line) for line in text.replace("\r", "").split("\n")]
        assert max(map(len, written)) <= columns


@pytest.mark.parametrize("columns", [72, 132])
def test_a_pipe_has_the_width_of_the_terminal(columns: int) -> None:
    messages, through = run_in_pane("llama_1b_pytorch.onnx", "--no-run", columns=columns, piped=True)
    assert columns - 12 < max(map(len, through.splitlines())) <= columns
    assert "\x1b" not in through
    assert "llama" not in messages
