"""Signal processing. Page of X: https://onnx.ai/onnx/operators/onnx__X.html.

A Fourier transform is counted as a fast one, whatever its length n: n/2·⌈log₂ n⌉ butterflies of a complex product
(4 multiplications, 2 additions) and two complex sums (4 additions), which is 5·n·log₂ n; a transform of real numbers, or
to real numbers, is half of it. These are the nominal counts of FFT benchmarks: https://www.fftw.org/speed/method.html.
"""

from __future__ import annotations

from math import prod

from onnxcost.formulas.reduction import ADD, COMPARE, DIV, FUNCTION, MUL
from onnxcost.formulas.shapes import element
from onnxcost.formulas.table import FormulaTable, formula, per_output
from onnxcost.graph import NO_WORK, Node, Work


def ceil_log2(count: int) -> int:
    """⌈log₂ count⌉; 0 for a count of 0."""
    return max(0, count - 1).bit_length()


def fourier(lines: int, length: int, is_real: bool) -> Work:
    """``lines`` transforms of ``length`` points; half the butterflies, rounded up, where one side is real."""
    butterflies = -(-length * ceil_log2(length) // (4 if is_real else 2))
    return lines * butterflies * Work(muls=4, adds=6)


def transforms(node: Node) -> tuple[int, int]:
    """How many transforms a DFT or STFT makes, and their length: a ``onesided`` output shows half of it."""
    if node.op_type == "STFT":
        window = node.input(2)
        length = window.size if window is not None else _given(node, 3, "the length of a frame") or node.x.shape[1]
        return node.out.shape[0] * node.out.shape[1], length
    # The axis is input 2 since opset 20, by default the last one of the signal; before that an attribute.
    given = node.attributes.get("axis") if "axis" in node.attributes else _given(node, 2, "the axis")
    axis = (-2 if given is None else int(given)) % node.x.rank
    shown = length = node.out.shape[axis]
    if node.attributes.get("onesided") and not node.attributes.get("inverse"):
        length = _given(node, 1, "the length") or node.x.shape[axis]
    return node.out.size // (shown * node.out.shape[-1]) if node.out.size else 0, length


def _given(node: Node, place: int, what: str) -> int | None:
    """The integer in an optional input; raises UnknownShape if unknown."""
    return element(node, place, what) if node.input(place) else None


@formula(
    "Y = Fourier transform of X along the axis",
    flops="5·lines·n·⌈log₂ n⌉, half of it if X is real or Y onesided, + out if inverse",
)
def dft(node: Node) -> Work:
    """n is the length of the transform, of which a ``onesided`` output has n/2 + 1; the inverse is divided by n.

    https://onnx.ai/onnx/operators/onnx__DFT.html
    """
    onesided, inverse = node.attributes.get("onesided"), node.attributes.get("inverse")
    is_real = bool(onesided) or node.x.shape[-1] == 1
    return fourier(*transforms(node), is_real) + (node.out.size * DIV if inverse else NO_WORK)


@formula("Y = Fourier transforms of the frames of X, each times the window", flops="frames·(n for a window + DFT of n)")
def stft(node: Node) -> Work:
    """n is the length of a frame, from the window or input 3: https://onnx.ai/onnx/operators/onnx__STFT.html."""
    components = node.x.shape[2] if node.x.rank > 2 else 1
    frames, length = transforms(node)
    weighted = frames * length * components * MUL if node.input(2) is not None else NO_WORK
    return weighted + fourier(frames, length, is_real=components == 1)


@formula("Y = weights of triangular filters, spaced evenly in mel", flops="9·(mel bins + 2) + 4·spectrogram bins + 10")
def mel_weights(node: Node) -> Work:
    """Each edge f of the range as 2595·log₁₀(1 + f/700); mel bins + 2 frequencies f = 700·(10^(mel/2595) − 1), each as the
    position ⌊(dft_length + 1)·f/rate⌋; then a subtraction and a division on each slope of a triangle. A spectrogram bin
    lies on one rising and one falling slope at most. https://onnx.ai/onnx/operators/onnx__MelWeightMatrix.html
    """
    edges = 2 * (2 * DIV + ADD + FUNCTION + MUL)
    step = ADD + DIV
    frequency = (MUL + ADD) + (DIV + FUNCTION + ADD + MUL) + (MUL + DIV + COMPARE)
    bins, mels = node.out.shape
    slopes = 2 * bins * (ADD + DIV)
    return edges + step + (mels + 2) * frequency + slopes if prod((bins, mels)) else NO_WORK


# fmt: off
TABLE: FormulaTable = {
    "HannWindow":      per_output("Y_i = ½ − ½·cos(2πi/N)", muls=2, divs=1, transcendentals=1, adds=1),
    "HammingWindow":   per_output("Y_i = 25/46 − 21/46·cos(2πi/N)", muls=2, divs=1, transcendentals=1, adds=1),
    "BlackmanWindow":  per_output("Y_i = 0.42 − ½·cos(2πi/N) + 0.08·cos(4πi/N)", muls=4, divs=2, transcendentals=2, adds=2),
    "DFT":             dft,
    "STFT":            stft,
    "MelWeightMatrix": mel_weights,
}
