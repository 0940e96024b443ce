"""The errors and logs of onnxruntime in one line: what is wrong, where, and what to do about it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from onnxcost.errors import OnnxCostError

MOST_CHARACTERS = 300


class Known(NamedTuple):
    """A known failure: ``pattern`` is searched, and its groups fill ``sentence``. ``node`` is quoted."""

    pattern: str
    sentence: str | Callable[[re.Match[str]], str]

    def translate(self, match: re.Match[str]) -> str:
        """The sentence for a match of the pattern."""
        if not isinstance(self.sentence, str):
            return self.sentence(match)
        groups = match.groupdict()
        return self.sentence.format(**groups | {"node": f" '{groups['node']}'" if groups.get("node") else ""})


_COUNT = "use --no-run to only count it"
_FEED = "provide real inputs with --input NAME=FILE.npy"
_RUNNING = r".*while running (?P<op>\S+) node\. Name:'(?P<node>.*?)' Status Message: "


def _memory(match: re.Match[str]) -> str:
    size = f" for a buffer of {int(match['bytes']) / 2**30:,.1f} GiB" if match["bytes"] else ""
    return f"there is not enough memory{size}: try a smaller batch or shape (--dim, --shape)"


def _dims(match: re.Match[str]) -> str:
    wrong = re.findall(r"index: (\d+) Got: (-?\d+) Expected: (-?\d+)", match["dims"])
    which = ", ".join(f"dim {index} is {got} instead of {expected}" for index, got, expected in wrong)
    return f"the input '{match['name']}' does not fit, {which}: set it with --shape, or {_FEED}"


MACHINE: Sequence[Known] = (
    Known(
        r"(?i)allocate memory for requested buffer of size (?P<bytes>\d+)|bad_alloc|out of memory|unable to allocate"
        r"|MemoryError|CUDA failure 2:|_ALLOC_FAILED",
        _memory,
    ),
    Known(
        r"failed to map segment|Memory allocation still failed|pthread_create failed|can't start new thread"
        r"|[Cc]annot allocate memory|Resource temporarily unavailable",
        "the system refused memory or threads (ulimit -a shows the limits)",
    ),
    Known(r"(?P<file>libcuda\.so\.1|nvcuda\.dll): cannot open", "the NVIDIA driver is missing ({file})"),
    Known(r"(?P<file>[^\s:]+): cannot open shared object file", "the shared library {file} is missing"),
    Known(r"Failed to load library (?P<file>\S+) with error:? 126", "the library {file}, or one that it needs, is missing"),
    Known(r"Please install TensorRT libraries", "TensorRT's libraries are missing (pip install tensorrt)"),
    Known(r"(?P<what>\w+ failure \d+: [^;]+?) ;", "{what}"),
    Known(r"(?P<what>(?:Invalid|Unknown)[\w ]*? option: \S+)", "{what} (--provider-option)"),
)
WEIGHTS: Sequence[Known] = (
    Known(r"weights-not-stored", f"the model was saved without its weights and cannot run; {_COUNT}"),
    Known(
        r"External data path does not exist: \"(?P<file>.*?)\"|cannot get file size: No such file.*? \[(?P<path>.*?)\]",
        lambda match: f"the file with the model's weights is missing: {match['file'] or match['path']}; {_COUNT}",
    ),
    Known(
        r"External initializer: (?P<name>\S+) offset: .*? out of bounds",
        "the file with the model's weights is too short (for '{name}'): download it again",
    ),
    Known(
        r"External data path escapes model directory\. External data path: \"(?P<file>.*?)\"",
        "the file with the model's weights is outside the model's folder, where onnxruntime does not read it: {file}",
    ),
)
OPERATORS: Sequence[Known] = (
    Known(
        r"No Op registered for (?P<op>\S+) with domain_version of (?P<version>\d+)",
        f"this onnxruntime does not support {{op}} in opset {{version}}; {_COUNT}",
    ),
    Known(
        r"Fatal error: (?P<domain>\S*):(?P<op>[^\s:(]+)\(-?\d+\) is not a registered function/op",
        f"onnxruntime has no operator {{domain}}.{{op}}: it comes from a library of custom operators; {_COUNT}",
    ),
    # These were redefined in opset 6 or 7, the first that onnxruntime has kernels for.
    Known(
        r"Could not find an implementation for (?:(?:Add|Sub|Mul|Div|Pow|And|Or|Xor|Equal|Greater|Less|Gemm|PRelu"
        r"|BatchNormalization|Dropout|Upsample)\([1-6]\)|(?:Abs|Cast|Ceil|Clip|Elu|Exp|Floor|HardSigmoid|InstanceNormalization"
        r"|LeakyRelu|Log|Max|Mean|Min|Neg|Reciprocal|Relu|Selu|Sigmoid|Sqrt|Sum|Tanh|Tile)\([1-5]\)"
        r"|(?:Concat|GlobalLpPool|LpPool|Pad|Reshape|Split)\(1\)) node",
        f"the model's opset is too old: onnxruntime supports 7 and later; convert it with onnx.version_converter; {_COUNT}",
    ),
    Known(
        r"Could not find an implementation for (?P<op>[^\s(]+)\((?P<version>\d+)\) node with name '(?P<node>.*?)'",
        f"onnxruntime has no kernel for the types of {{op}}{{node}} (opset {{version}}): try another --provider; {_COUNT}",
    ),
    Known(
        r"Opset (?P<version>\d+) is under development.* support for domain (?P<domain>\S+) is till opset (?P<most>\d+)",
        "the model's opset {version} of {domain} is newer than this onnxruntime supports (up to {most}): update onnxruntime",
    ),
    Known(
        r"Unsupported model IR version: (?P<version>\d+), max supported IR version: (?P<most>\d+)",
        "the model's IR version {version} is newer than this onnxruntime supports (up to {most}): update onnxruntime",
    ),
)
MODELS: Sequence[Known] = (
    Known(r"(?i)protobuf parsing failed", "the file is not a complete ONNX model"),
    Known(
        r"(?i)exceed\w* maximum protobuf size",
        "the model is larger than protobuf's limit of 2 GB: store its weights as external data",
    ),
    Known(r"No graph was found in the protobuf|ModelProto does not have a graph", "the file has no graph"),
    Known(r"failed:Load model (?P<file>.+?) failed\. File doesn't exist", "there is no file '{file}'"),
    Known(r"Node \((?P<node>.*?)\) Op \((?P<op>\w+)\) \[\w+Error\] (?P<what>.*)", "the model is invalid at {op}{node}: {what}"),
    Known(r"This is an invalid model\. In Node, .*, Error (?P<what>.*)", "the model is invalid: {what}"),
    Known(r"Type Error: (?P<what>.*)", "the model is invalid: {what}"),
    Known(r"(?:This is an invalid|Invalid) model\. (?P<what>.*)", "the model is invalid: {what}"),
)
INPUTS: Sequence[Known] = (
    Known(
        r"Invalid rank for input: (?P<name>.+?) Got: (?P<got>\d+) Expected: (?P<expected>\d+)",
        f"the input '{{name}}' has {{got}} dims instead of {{expected}}: set them with --shape, or {_FEED}",
    ),
    Known(r"Got invalid dimensions for input: (?P<name>.+?) for the following indices(?P<dims>.*)", _dims),
    Known(
        r"Unexpected input data type\. Actual: \(tensor\((?P<got>\w+)\)\) , expected: \(tensor\((?P<expected>\w+)\)\)",
        f"an input is {{got}} instead of {{expected}}: {_FEED}",
    ),
    Known(r"Required inputs \(\[(?P<names>.*?)\]\) are missing", f"inputs have no data: {{names}}; {_FEED}"),
    Known(r"Invalid input name: (?P<name>.+)", "the model has no input '{name}'"),
    Known(
        _RUNNING + r"(?P<what>.*?(?:\bind(?:ex|ices)\b|out of (?:data )?bounds|out of range).*)",
        f"{{op}}{{node}} received an index that is out of range: {{what}}; {_FEED}",
    ),
    Known(_RUNNING + r"(?P<what>.*)", f"{{op}}{{node}} failed: {{what}}; if the synthetic inputs do not fit, {_FEED}"),
)
FAILURES: Sequence[Known] = (*MACHINE, *WEIGHTS, *OPERATORS, *MODELS, *INPUTS)
"""In the order in which they are searched: the first match counts."""

_NOISE = re.compile(
    r"\x1b\[[\d;]*m"  # colors
    r"|\d{4}-\d\d-\d\d [\d:.]+ (?=\[)|\[[VIWEF]:onnxruntime:[^\]]*\] "  # where a log line comes from
    r"|\[ONNXRuntimeError\] : \d+ : \w+ : "
    # a position in the source, and the function
    r"|(?:/|[A-Z]:\\)\S+\.(?:cc|cpp|cu|h|hpp|cuh):\d+ (?:[^()]*?\S\(.*?\)(?: const)?(?: \[with .*?\])? |\S+ )"
    r"|\b\w+\.(?:cc|cpp|cu|h|hpp|cuh):\d+ \w+ "
    r"|Error in execution: |Exception during initialization: |Failed to load model with error: "
)
_CONDITION = re.compile(r"(?:^(?!.*Status Message: )|(?<=Status Message: )).*? was false\. (?=\S)")
"""The source of a check in onnxruntime, if it is followed by a message in words."""


def reason(error: BaseException | str) -> str:
    """Why something failed, in one line: a known failure of onnxruntime in onnxcost's words, others in onnxruntime's without
    their prefixes.

    ``error`` may also be a library's log, whose first error counts.
    """
    if isinstance(error, OnnxCostError):
        return str(error)
    text = _CONDITION.sub("", " ".join(_NOISE.sub("", " ".join(_words(error).split())).split()))
    said = next((known.translate(match) for known in FAILURES if (match := re.search(known.pattern, text))), text)
    return said if len(said) <= MOST_CHARACTERS else f"{said[: MOST_CHARACTERS - 1].rstrip()}…"


def last_words(lines: Sequence[str]) -> str:
    """Why a process died, from its last lines: a line on a refusal by the machine, else an error, else the last line."""
    last = list(reversed(lines))
    refused = (line for line in last if any(re.search(known.pattern, line) for known in MACHINE))
    return reason(next(refused, next((line for line in last if "error" in line.lower()), "".join(last[:1]))))


def _words(error: BaseException | str) -> str:
    """The text of an error, with its type if the text alone is not clear."""
    while isinstance(error, ImportError) and isinstance(error.__context__, (ImportError, MemoryError)):
        error = error.__context__  # the others only pass the first one on
    text = str(error)
    if isinstance(error, str):
        return next((line for line in text.splitlines() if "[E:onnxruntime" in line), text)
    if text and (isinstance(error, (RuntimeError, ValueError, OSError)) or type(error).__module__.startswith("onnxruntime")):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
