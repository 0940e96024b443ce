"""Conv and ConvTranspose against the oracle."""

import pytest

from onnxcost.formulas.convolution import reached
from onnxcost.work import Work
from tests.oracle import Case, by_hand, case, check

DILATED = "the evaluator multiplies with the zeros between the elements of a dilated kernel"
ZERO = "the evaluator adds the first product of each output reached to 0"

CASES = [
    case("Conv", (1, 2, 7), (4, 2, 3)),
    case("Conv", (2, 4, 5, 5), (6, 4, 3, 3)),
    case("Conv", (2, 4, 5, 5), (6, 4, 1, 1), (6,)),
    case("Conv", (2, 4, 5, 5), (6, 2, 3, 3), (6,), group=2, pads=[1, 1, 1, 1], strides=[2, 2]),
    case("Conv", (1, 4, 5), (4, 1, 3), (4,), group=4),
    case("Conv", (1, 4, 5, 5), (8, 1, 3, 3), (8,), group=4, pads=[0, 1, 2, 1]),
    case("Conv", (1, 2, 4, 4, 4), (3, 2, 2, 2, 2), (3,), auto_pad="SAME_UPPER"),
    case("Conv", (1, 2, 5, 5), (3, 2, 3, 3), auto_pad="SAME_LOWER", strides=[2, 2]),
    case("Conv", (1, 2, 5, 5), (3, 2, 3, 3), auto_pad="VALID"),
    # 3·3 kernels reach over 5·5: 3·3·3 outputs of 2·(25 − 9) products with zeros
    case("Conv", (1, 2, 7, 7), (3, 2, 3, 3), artefact=27 * 32 * Work(muls=1, adds=1), why=DILATED, dilations=[2, 2]),
    # N·C_out·(positions reached): 2·2·6, 2·7·7, 2·(3·2)·(3·2) because the stride exceeds the kernel
    case("ConvTranspose", (2, 3, 4), (3, 2, 3), (2,), artefact=Work(adds=2 * 2 * 6), why=ZERO),
    case("ConvTranspose", (1, 3, 3, 3), (3, 2, 3, 3), artefact=Work(adds=2 * 7 * 7), why=ZERO, strides=[2, 2]),
    case("ConvTranspose", (1, 3, 3, 3), (3, 2, 2, 2), artefact=Work(adds=2 * 6 * 6), why=ZERO, strides=[3, 3],
         output_padding=[1, 1]),
    # 5 rows and 7 columns reached; of 9·9 products with the kernel, 7·7 are not cropped
    case("ConvTranspose", (1, 3, 3, 3), (3, 2, 3, 3), artefact=Work(adds=2 * 5 * 7 - 2 * (81 - 49)), strides=[2, 2],
         pads=[1, 1, 1, 1], dilations=[2, 1], why=ZERO + ", and does not add what is cropped"),
    case("ConvTranspose", (1, 2, 2, 2, 2), (2, 1, 2, 2, 2), (1,), artefact=Work(adds=3 * 3 * 3), why=ZERO),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=str)
def test_oracle(case: Case) -> None:
    check(case)


BY_HAND = [
    # ResNet-50's first layer, 118 013 952 MACs; MobileNet's depthwise 3×3 on 112×112×32
    ("Conv", [(1, 3, 224, 224), (64, 3, 7, 7)], [(1, 64, 112, 112)], {}, Work(macs=118_013_952, accumulators=802_816)),
    ("Conv", [(1, 32, 112, 112), (32, 1, 3, 3)], [(1, 32, 112, 112)], {"group": 32},
     Work(macs=3_612_672, accumulators=401_408)),
    ("Conv", [(0, 3, 8, 8), (4, 3, 3, 3)], [(0, 4, 6, 6)], {}, Work()),
    # U-Net's up-convolution of 2×2 with stride 2: every output is reached by one position of 8 channels
    ("ConvTranspose", [(1, 8, 4, 4), (8, 4, 2, 2), (4,)], [(1, 4, 8, 8)], {"strides": [2, 2]},
     Work(macs=4 * 8 * 8 * 8, accumulators=256, bias_adds=256)),
    # two groups of 2 → 3 channels; the evaluator fails on more than one output channel a group
    ("ConvTranspose", [(1, 4, 3), (4, 3, 2)], [(1, 6, 4)], {"group": 2}, Work(macs=12 * 3 * 2, accumulators=24)),
    ("ConvTranspose", [(1, 0, 3), (0, 3, 2)], [(1, 3, 4)], {}, Work()),
]  # fmt: skip


@pytest.mark.parametrize(("op_type", "inputs", "outputs", "attributes", "work"), BY_HAND)
def test_by_hand(op_type, inputs, outputs, attributes, work) -> None:
    assert by_hand(op_type, inputs, outputs, **attributes) == work


@pytest.mark.parametrize("length", [0, 1, 2, 5])
@pytest.mark.parametrize("kernel", [1, 2, 3, 5])
@pytest.mark.parametrize("stride", [1, 2, 3, 7])
@pytest.mark.parametrize("dilation", [1, 2, 3])
def test_the_positions_that_a_transposed_kernel_reaches(length, kernel, stride, dilation) -> None:
    positions = {i * stride + j * dilation for i in range(length) for j in range(kernel)}
    assert reached(length, kernel, stride, dilation) == len(positions)
