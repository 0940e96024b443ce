"""Conv and ConvTranspose against the oracle."""

import numpy as np
import pytest

from onnxcost.formulas.convolution import count_positions
from onnxcost.graph import Work
from tests.oracle import Case, by_hand, case, check

DILATED = "the evaluator multiplies with the zeros between the elements of a dilated kernel"
ZEROS = "the evaluator adds to an image of zeros"
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
    case("CausalConvWithState", (2, 3, 5), (3, 1, 4), outputs=2),
    case("CausalConvWithState", (2, 3, 5), (3, 1, 4), (3,), (2, 3, 3), outputs=2),
    case("CausalConvWithState", (2, 3, 5), (3, 1, 4), (3,), activation="silu", outputs=2),
    # 2 channels of 5×5
    case("Col2Im", (1, 8, 16), np.array([5, 5]), np.array([2, 2]), artefact=Work(adds=50), why=ZEROS),
    case("Col2Im", (1, 8, 4), np.array([5, 5]), np.array([2, 2]), artefact=Work(adds=2 * 16), why=ZEROS, strides=[2, 2],
         dilations=[1, 1]),
    case("Col2Im", (1, 4, 16), np.array([6, 6]), np.array([2, 2]), artefact=Work(adds=36), why=ZEROS, dilations=[2, 2]),
    # a border of 1 around 3×3: of 5·5 positions reached 9 are not cropped, of 16 blocks of 4 elements 9·4
    case("Col2Im", (1, 4, 16), np.array([3, 3]), np.array([2, 2]), artefact=Work(adds=9 * 4 - (64 - 25)), pads=[1] * 4,
         why=ZEROS + ", and does not add what is cropped"),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=str)
def test_oracle(case: Case) -> None:
    check(case)


# the evaluator samples anew for each output channel, from coordinates between −1 and 1. 4·4 positions of 3·3 samples of 2
# channels; ⌊·⌋, a fraction and 1 − it for each of 2 coordinates, and 4 weights
SAMPLED = 144 * 2 * Work(muls=4, adds=3)
PLACED = 144 * (Work(adds=2) + Work(compares=2, adds=4, muls=4))
DEFORMED = Work(macs=6 * 16 * 18, accumulators=6 * 16)

BY_HAND = [
    ("DeformConv", [(1, 2, 6, 6), (6, 2, 3, 3), (1, 18, 4, 4)], [(1, 6, 4, 4)], {}, DEFORMED + SAMPLED + PLACED),
    ("DeformConv", [(1, 2, 6, 6), (6, 2, 3, 3), (1, 36, 4, 4), (6,), (1, 18, 4, 4)], [(1, 6, 4, 4)], {"offset_group": 2},
     DEFORMED + Work(bias_adds=96, muls=288) + SAMPLED + 2 * PLACED),
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
    assert count_positions(length, kernel, stride, dilation) == len(positions)
