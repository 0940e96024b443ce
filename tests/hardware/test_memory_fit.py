from __future__ import annotations

import pytest

from onnxcost.hardware.memory_fit import KI, MI, RUNTIMES, cache_of, fits_of, memory_on_cpu
from onnxcost.hardware.roofline import Roofline
from onnxcost.hardware.variants import retype_report
from onnxcost.ort_optimizer.memory_plan import least_activation_bytes
from onnxcost.report import CostReport
from tests.hardware.machines import MATMUL, machine, part, report

CPU = {"cpu": part("cpu", float32=1e9)}
DECODER = """(float[2,1,64] x, float[2,8,10,16] past_key_values.0.key, float[2,8,10,16] past_key_values.0.value)
 => (float[2,8,11,16] present.0.key, float[2,8,11,16] present.0.value) {
    s = Constant<value_ints = [2, 8, 1, 16]>()
    k = MatMul(x, wk) kh = Reshape(k, s) present.0.key = Concat<axis = 2>(past_key_values.0.key, kh)
    v = MatMul(x, wv) vh = Reshape(v, s) present.0.value = Concat<axis = 2>(past_key_values.0.value, vh)
}"""


def decoder() -> CostReport:
    return report(
        DECODER.replace("present.0.", "present_0_").replace("past_key_values.0.", "past_key_values_0_"),
        wk=(64, 128),
        wv=(64, 128),
    )


@pytest.mark.parametrize(
    ("device", "expected"),
    [
        (machine(CPU, "board", memory=1e9), {"memory": (7_008_000 + RUNTIMES["cpu"].memory, 10**9)}),
        (machine(CPU, "cpu"), {"memory": (7_008_000 + RUNTIMES["cpu"].memory, None)}),
        (machine(memory=1e9), {"memory": (4_008_000 + 350 * MI, 10**9)}),
        (machine(kind="board", memory=4e9), {"memory": (4_008_000 + 1536 * MI, 4 * 10**9)}),
        (machine({"npu": part("npu", int8=1e12)}, "accelerator"), {"memory": (4_008_000, None)}),
        (
            machine(CPU, "microcontroller", memory=1e6, flash=2e6),
            {"flash": (4_000_000 + 10 * KI + 610, 2 * 10**6), "memory": (8_000 + 560, 10**6)},
        ),
        (
            machine(CPU, "microcontroller", flash_bandwidth=1e6),
            {"flash": (4_000_000 + 10 * KI + 610, None), "memory": (8_000 + 560, None)},
        ),
        (machine(CPU, "microcontroller", memory=1e6), {"memory": (4_008_000 + 560, 10**6)}),
        (machine({"npu": part("npu", float16=1e12)}, "phone", memory=1e9), {"memory": (2_004_000 + 72 * MI, 10**9)}),
    ],
)
def test_what_a_model_needs_where(device: object, expected: dict[str, tuple[int, int | None]]) -> None:
    fits = fits_of(Roofline(device), MATMUL)  # type: ignore[arg-type]
    assert {fit.what: (fit.needed, fit.available) for fit in fits} == expected
    assert {fit.basis for fit in fits} == {"estimate"}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("microcontroller", "{flash} KiB of code, 610 bytes a step and 5 a channel"),
        ("microcontroller", "560 bytes of RAM a step"),
        ("microcontroller float32", "{flash} KiB of code and 610 bytes a step"),
        ("cpu", "a Python process that has run a small model"),
    ],
)
def test_what_a_runtime_needs_is_as_its_sources_say(name: str, said: str) -> None:
    memory, flash, reasoning = RUNTIMES[name]
    assert said.format(flash=flash // KI) in reasoning
    assert memory % (8 * MI) == flash % KI == 0


RESIDUAL = """(float[1,4,8,8] x) => (float[1,4,8,8] y) {
    a = Relu(x) b = Conv<pads = [1, 1, 1, 1]>(a, w, k) c = Conv<pads = [1, 1, 1, 1]>(b, v, l)
    s = Add(c, a) t = Relu(s) y = Neg(t)
}"""


def test_what_a_microcontroller_needs_for_integers() -> None:
    """3 steps. Each of the two convolutions has 4 · 4 · 9 weights of a byte, 4 biases of 4 and, as code, 4 scales of 5. With
    the sum there are the input, what is convolved and what is added: 4 times 256 bytes; onnxruntime would write over the last.
    """
    made = retype_report(report(RESIDUAL, w=(4, 4, 3, 3), k=(4,), v=(4, 4, 3, 3), l=(4,)), {"float32": "int8"})
    chip = machine({"cpu": part("cpu", int8=1e9)}, "microcontroller", flash=1e6)
    flash, memory = fits_of(Roofline(chip), made)
    assert flash.parts == {"weights": 2 * (144 + 4 * 4), "code": 37 * KI + 3 * 610 + 2 * 4 * 5}
    assert memory.parts == {"activations": 4 * 256, "runtime": 3 * 560}
    assert least_activation_bytes(made.graph) == 3 * 256


def test_what_is_needed_on_a_cpu() -> None:
    """Three quarters of the weights as they were before they were packed. The file has them."""
    parts = {"weights": 4_000_000, "activations": 8_000, "copies": 3_000_000, "runtime": RUNTIMES["cpu"].memory}
    assert memory_on_cpu(MATMUL) == parts


def test_without_its_shapes_a_process_has_no_copies() -> None:
    open_shape = report("(float[1,1000] x, int64[2] s) => (float[?,?] y) { r = Reshape(x, s) y = Relu(r) }")
    assert memory_on_cpu(open_shape)["copies"] == 0


def test_how_far_a_cache_goes() -> None:
    """Keys and values: 2 · 8 · 16 · 4 bytes = 1,024 a token and sequence. 2 sequences of 11 tokens; of the activations, past
    and present are 2 · 2 · 8 · (10 + 11) · 16 · 4 bytes, counted once by their tokens instead.
    """
    made = decoder()
    needed = memory_on_cpu(made)
    cached = 2 * 2 * 8 * (10 + 11) * 16 * 4
    rest = needed["activations"] - cached
    device = machine(CPU, "board", memory=sum(needed.values()) - cached + 100 * 1024)
    cache = cache_of(Roofline(device), made)
    assert cache is not None
    assert (cache.token_bytes, cache.batch, cache.context) == (1024, 2, 11)
    assert cache.most_context == 50
    assert cache.most_batch == (100 * 1024 + rest) // (1024 * 11 + rest // 2)


def test_without_a_memory_only_the_size_of_the_cache_is_known() -> None:
    cache = cache_of(Roofline(machine(CPU, "cpu")), decoder())
    assert cache is not None
    assert (cache.token_bytes, cache.most_context, cache.most_batch) == (1024, None, None)
    assert cache_of(Roofline(machine()), MATMUL) is None
