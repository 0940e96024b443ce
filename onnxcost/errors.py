"""The errors, each with the exit code of the command, and refusals by the system."""

from __future__ import annotations

from collections.abc import Iterable
from errno import EBADF, ENOENT

MOST_MEANT = 6
"""The most names that a message suggests for an unknown one."""
NEARLY = 0.1
"""Names that are less similar than the nearest one by up to this much (1 is equal) are suggested as well."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """``; did you mean 'x' or 'y'?``: the names that start with this one and a hyphen, else the nearest; "" if none is near."""
    from difflib import SequenceMatcher, get_close_matches

    by_lower = {other.lower(): other for other in sorted(known)}
    lower = name.lower()
    near = [other for other in by_lower if lower and other.startswith(f"{lower}-")] or get_close_matches(lower, by_lower, 3)
    likeness = {other: SequenceMatcher(None, other, lower).ratio() for other in near}
    near = [other for other in near if other.startswith(lower) or likeness[other] > likeness[near[0]] - NEARLY]
    quoted = [f"'{by_lower[other]}'" for other in near[:MOST_MEANT]]
    return f"; did you mean {', '.join(quoted[:-1])}{' or ' if quoted[1:] else ''}{quoted[-1]}?" if quoted else ""


class OnnxCostError(Exception):
    """Base class of all errors. The message is one line that says what is wrong, where, and what to do about it."""

    exit_code = 2


class ModelError(OnnxCostError):
    """The file is not a usable ONNX model, or the model contradicts itself."""


class InputError(OnnxCostError):
    """An argument is invalid, such as a shape, a dim, a value, or the name of a convention or format."""


class UnreadableFile(InputError):
    """A file that cannot be read, or that changes while it is read: its content is unknown."""


class MissingFile(UnreadableFile, FileNotFoundError):
    """A requested file does not exist."""


class UnknownShape(OnnxCostError):
    """A shape is unknown. Nodes that need it are not counted."""


MISFITS = (UnknownShape, ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""The exceptions that a rule or a formula raises for a node that does not fit its operator: its result stays unknown."""


class CheckFailed(OnnxCostError):
    """A check that the user requested failed (``--strict``, a budget)."""

    exit_code = 1


class MeasurementError(OnnxCostError):
    """The model could not be run or timed. The counts remain valid."""

    exit_code = 3


NO_MEMORY = "the system refused: there is not enough memory"
REFUSALS = (OSError, MemoryError, RecursionError, OverflowError, ImportError, AttributeError, RuntimeError)
"""The kinds of exceptions that the system may cause."""


def refusal(error: BaseException) -> str | None:
    """What the system or a limit of the interpreter did not allow, in one line; None for any other exception."""
    if isinstance(error, MemoryError):
        return NO_MEMORY
    if isinstance(error, RecursionError):
        return "the input is nested too deeply"
    if isinstance(error, OverflowError):
        return f"the input results in a number that is too large: {error}"
    if isinstance(error, OSError):
        hints = {EBADF: " (a standard stream is closed)", ENOENT: " (is the working directory still there?)"}
        where = hints.get(error.errno or 0, "") if error.filename is None else f": '{error.filename}'"
        return f"the system refused: {error.strerror or error}{where}"
    if isinstance(error, ImportError):
        return _unimportable(error)
    if isinstance(error, AttributeError):
        import re  # start-up time is a feature

        # If the system refuses a file of a package, it is imported as an empty one.
        found = re.match(r"module '(?!onnxcost)[\w.]+' has no attribute", str(error))
        return f"a library cannot be loaded: {error}" if found else None
    if "can't allocate" in str(error):
        return NO_MEMORY
    return "the system refused: no more threads can be started" if "can't start new thread" in str(error) else None


def _unimportable(error: ImportError) -> str | None:
    """For a library, the innermost reason: numpy's own explanation has thirty lines. None for a name that a module of this
    package lacks.
    """
    if (error.name or "").partition(".")[0] == "onnxcost":
        missing = _missing_module(error)
        return (
            missing
            and f"its own module '{missing}' cannot be read: check that its folder is readable and the installation is complete"
        )
    inner: BaseException = error
    while cause := inner.__cause__ or inner.__context__:
        inner = cause
    reason = next(iter(str(inner).splitlines()), type(inner).__name__)
    return refusal(inner) if isinstance(inner, OSError | MemoryError) else f"a library cannot be loaded: {reason}"


def _missing_module(error: ImportError) -> str | None:
    """The module of this package that is not found: Python reports that for one in a folder that it may not list. None for a
    name that a module lacks.
    """
    if isinstance(error, ModuleNotFoundError):
        return error.name
    import os
    import re

    folder, file = os.path.split(error.path or "")
    found = re.match(r"cannot import name '(\w+)' from", str(error))
    is_module = found and file == "__init__.py" and os.path.exists(os.path.join(folder, f"{found[1]}.py"))  # noqa: PTH110, PTH118
    return f"{error.name}.{found[1]}" if found and is_module else None
