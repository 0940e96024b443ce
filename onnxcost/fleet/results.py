"""The results of boards, and why a board has none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from onnxcost.errors import CheckFailed, MeasurementError
from onnxcost.fleet.hosts import Host
from onnxcost.results import Result, make_document

if TYPE_CHECKING:
    from onnxcost.fleet.figures import BoardFigure

Document = Mapping[str, Any]
INTERRUPTED = "interrupted"
KINDS: Mapping[str, str] = {
    "unreachable": "ssh cannot connect to it, or is refused",
    "no onnxcost": "onnxcost cannot be started on it",
    "another version": "its onnxcost version differs from this one",
    "busy": "another job is running on it",
    "died": "the connection was lost or onnxcost ended during the job",
    "timed out": "the job took longer than the board's limit",
    "no memory": "the board has too little memory for the model",
    "not measured": "the job failed on it for another reason",
    INTERRUPTED: "interrupted before the result arrived",
}
"""Why a board has no result."""


class Said(NamedTuple):
    """A message of a board: ``kind`` is "error", "warning", "advice" or "note"."""

    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class BoardResult:
    """The result of a board: ``document`` and the ``text`` that it was parsed from, None and "" if there is none.

    ``failure`` is a key of KINDS, "" if all went well, and ``reason`` says more. ``code`` is the exit code there.
    ``about`` is the description of the board.
    """

    host: Host
    document: Document | None = None
    text: str = ""
    failure: str = ""
    reason: str = ""
    code: int = 0
    messages: tuple[Said, ...] = ()
    about: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The host's name."""
        return self.host.name

    def to_dict(self) -> dict[str, Any]:
        """An entry of the key ``boards``."""
        return {
            "board": self.name,
            "address": self.host.address,
            "status": "failed" if self.failure else "ok",
            "failure": self.failure or None,
            "reason": self.reason or None,
            "about": dict(self.about),
            "messages": [said._asdict() for said in self.messages],
            "result": self.document,
        }


@dataclass(frozen=True, slots=True, repr=False)
class FleetRun(Result):
    """The results of one command on several boards, in the order in which these were named."""

    command: str
    boards: tuple[BoardResult, ...]

    @property
    def failed(self) -> tuple[BoardResult, ...]:
        """The boards without a complete result."""
        return tuple(board for board in self.boards if board.failure)

    def to_dict(self) -> dict[str, Any]:
        """A document of the schema ``onnxcost/1`` with the key ``boards``."""
        return make_document(command=self.command, boards=[board.to_dict() for board in self.boards])

    def figures(self) -> list[dict[str, BoardFigure]]:
        """The figures of each board by their keys."""
        from onnxcost.fleet.figures import read_figures

        is_check = self.command == "check"
        return [read_figures(self.command, board.about if is_check else board.document or {}) for board in self.boards]

    def to_records(self) -> list[dict[str, Any]]:
        """A row for each board: why it has no result, or its figures in base units."""
        figures = self.figures()
        keys = list(dict.fromkeys(key for each in figures for key in each))
        return [
            {"board": board.name, "failure": board.failure or None, "reason": board.reason or None}
            | {key: each[key].value if key in each else None for key in keys}
            for board, each in zip(self.boards, figures, strict=True)
        ]

    def summary(self) -> str:
        """The command, and which boards gave no result."""
        names = (f"{board.name}{f' ({board.failure})' if board.failure else ''}" for board in self.boards)
        return f"{self.command} on {', '.join(names)}"

    @property
    def exit_code(self) -> int:
        """130 if the command was interrupted, 1 if a check failed on a board, 3 if a board has no complete result."""
        if any(board.failure == INTERRUPTED for board in self.boards):
            return 130
        if any(board.code == CheckFailed.exit_code for board in self.boards):
            return CheckFailed.exit_code
        return MeasurementError.exit_code if self.failed else 0
