"""The characters beyond ASCII that the output uses, and what stands for them where a stream has ASCII alone."""

from __future__ import annotations

from typing import NamedTuple


class Glyphs(NamedTuple):
    """The characters beyond ASCII that the output uses, or what stands for them."""

    full: str
    parts: str
    times: str
    dot: str
    ellipsis: str
    at_least: str
    at_most: str
    about: str
    none: str

    def bound(self, kind: str) -> str:
        """The sign before a total that is no exact number: ``CostReport.bound`` as a character."""
        return {"lower": self.at_least, "upper": self.at_most, "mixed": self.about}.get(kind, "")


UNICODE = Glyphs(
    full="█", parts=" ▏▎▍▌▋▊▉", times="×", dot="·", ellipsis="…", at_least="≥ ", at_most="≤ ", about="≈ ", none="–"
)
ASCII = Glyphs(full="#", parts=" .", times="x", dot="|", ellipsis="~", at_least=">= ", at_most="<= ", about="~ ", none="-")

_SPELLED = {
    "·": "*", "∗": "*", "∘": "*", "×": "x", "−": "-", "–": "-", "…": "...", "≥": ">=", "≤": "<=", "≈": "~", "≠": "!=",
    "²": "^2", "ᵀ": "^T", "½": "1/2", "√": "sqrt", "Σ": "sum ", "Π": "prod ", "∞": "inf", "¬": "not ", "∧": "and",
    "∨": "or", "⊻": "xor", "±": "+/-", "→": "->", "µ": "u",
    "σ": "sigma", "μ": "mean", "α": "alpha", "β": "beta", "γ": "gamma", "λ": "lambda", "ε": "eps", "₀": "0", "₁": "1", "₂": "2",
}  # fmt: skip
_TO_ASCII = str.maketrans(_SPELLED)


def spelled(text: str, glyphs: Glyphs) -> str:
    """The text with the signs of maths spelled out where the screen has ASCII alone."""
    return text.translate(_TO_ASCII) if glyphs is ASCII else text
