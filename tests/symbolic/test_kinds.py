"""What decides sizes and branches by a dim: each kind has formulas that are right all over their domain, or none."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import NamedTuple

import pytest
from onnx import ModelProto

import onnxcost
from onnxcost.errors import OnnxCostError
from onnxcost.symbolic.keys import PEAK
from onnxcost.symbolic.scaling import scaling
from tests.modeltext import model

N = "s = Shape<start=0, end=1>(x) zero = Constant<value=int64[1]{0}>() one = Constant<value=int64[1]{1}>()"
K = {key: f"{key} = Constant<value=int64[1]{{{key[1:]}}}>()" for key in ("k4", "k32", "k64", "k100")}
ROWS = "p = Slice(x, zero, k) y = MatMul(p, w)"
PADS = "pads = Concat<axis=0>(zero, zero, k, zero) p = Pad(x, pads) y = MatMul(p, w)"
LOOP = """y = Loop(t, go, x) <body = b (int64 i, bool c, float[n,4] a) => (bool d, float[n,4] e) {
    d = Identity(c) g = MatMul(a, w4) e = Relu(g) }>"""
IF = """z = Squeeze(more) y = If(z) <then_branch = t () => (float[n,8] u) { u = MatMul(x, w) },
    else_branch = e () => (float[n,16] v) { v = MatMul(x, w16) }>"""


class Kind(NamedTuple):
    """The nodes of a model of ``x`` with n rows, its MACs, and from which n to which they hold: "" where it has no formulas."""

    nodes: str
    macs: str
    least: int = 1
    most: int = 4096
    x: str = "float[n,4]"


KINDS: Mapping[str, Kind] = {
    "Clip of a shape": Kind(
        f"{N} {K['k64']} l = Squeeze(one) h = Squeeze(k64) k = Clip(s, l, h) {ROWS}",
        "32·n",
        1,
        64,
    ),
    "Min of shapes": Kind(
        f"{N} {K['k64']} k = Min(s, k64) {ROWS}",
        "32·n",
        1,
        64,
    ),
    "Max of shapes": Kind(
        f"{N} {K['k64']} m = Max(s, k64) k = Sub(m, s) {PADS}",
        "2,048",
        1,
        64,
    ),
    "Where on shapes": Kind(
        f"{N} {K['k64']} {K['k4']} c = Less(s, k64) k = Where(c, s, k4) {ROWS}",
        "32·n",
        1,
        63,
    ),
    "Range with a step": Kind(
        f"{N} {K['k4']} a = Squeeze(zero) b = Squeeze(s) d = Squeeze(k4) r = Range(a, b, d) p = Gather(x, r) y = MatMul(p, w)",
        "32·⌊(n + 3)/4⌋",
    ),
    "pooling that rounds up": Kind(
        "p = MaxPool<kernel_shape=[2,2], strides=[2,2], ceil_mode=1>(x) y = Conv(p, wc)",
        "864 − 864·⌊(n + 1)/2⌋ + 216·⌊(n + 1)/2⌋²",
        5,
        14656,
        x="float[1,3,n,n]",
    ),
    "padding as SAME": Kind(
        'y = Conv<kernel_shape=[3,3], strides=[3,3], auto_pad="SAME_UPPER">(x, wc)',
        "4,752·⌊(n + 2)/3⌋",
        1,
        14656,
        x="float[1,3,n,64]",
    ),
    "Resize by scales": Kind(
        "f = Constant<value=float[4]{1.0, 1.0, 0.75, 2.0}>() p = Resize(x, , f) y = Conv(p, wc)",
        "−6,048 + 3,024·n − 3,024·⌊(n + 3)/4⌋",
        4,
        33088,
        x="float[1,3,n,8]",
    ),
    "TopK of a shape": Kind(
        f"{N} {K['k4']} k = Div(s, k4) v, i = TopK<axis=0>(x, k) y = MatMul(v, w)",
        "",
    ),
    "NonZero": Kind(
        "i = NonZero(x) j = Transpose(i) p = GatherND(x, j) y = Relu(p)",
        "0",
    ),
    "If on a shape": Kind(
        f"{N} {K['k100']} more = Greater(s, k100) {IF}",
        "64·n",
        1,
        100,
    ),
    "If on a remainder": Kind(
        f"{N} {K['k4']} r = Mod(s, k4) more = Equal(r, zero) {IF}",
        "32·n",
        4,
    ),
    "Loop as often as a shape says": Kind(
        f"{N} t = Squeeze(s) go = Constant<value=bool {{1}}>() {LOOP}",
        "16·n²",
    ),
    "Mod": Kind(
        f"{N} {K['k4']} m = Mod(s, k4) k = Sub(s, m) {ROWS}",
        "128·⌊n/4⌋",
    ),
    "Div of integers": Kind(
        f"{N} {K['k4']} k = Div(s, k4) {ROWS}",
        "32·⌊n/4⌋",
    ),
    "Gather of a shape": Kind(
        f"t = Shape(x) z = Constant<value=int64[1]{{0}}>() k = Gather(t, z) zero = Identity(z) {ROWS}",
        "32·n",
    ),
    "Slice beyond its end": Kind(
        f"{N} {K['k100']} k = Identity(k100) {ROWS}",
        "32·n",
        1,
        100,
    ),
    "Slice with a step": Kind(
        f"{N} {K['k4']} p = Slice(x, zero, s, zero, k4) y = MatMul(p, w)",
        "32·⌊(n + 3)/4⌋",
    ),
    "Tile by a shape": Kind(
        f"{N} k = Concat<axis=0>(s, one) p = Tile(x, k) y = MatMul(p, w)",
        "32·n²",
    ),
    "Expand by a shape": Kind(
        f"{N} {K['k4']} k = Concat<axis=0>(s, s, k4) e = Unsqueeze(x, zero) p = Expand(e, k) y = MatMul(p, w)",
        "32·n²",
    ),
    "padding to a multiple": Kind(
        f"{N} {K['k32']} m = Mod(s, k32) d = Sub(k32, m) k = Mod(d, k32) {PADS}",
        "1,024·⌊(n + 31)/32⌋",
    ),
    "Split into chunks": Kind(
        f"{N} {K['k4']} h = Div(s, k4) r = Sub(s, h) q = Concat<axis=0>(h, r) a, b = Split<axis=0>(x, q) "
        "c = MatMul(a, w) d = MatMul(b, w) y = Concat<axis=0>(c, d)",
        "32·n",
    ),
    "windows that are attended to": Kind(
        f"{N} {K['k4']} {K['k32']} m = Mod(s, k32) d = Sub(k32, m) e = Mod(d, k32) pads = Concat<axis=0>(zero, zero, e, zero) "
        "p = Pad(x, pads) f = Constant<value=int64[3]{-1,32,4}>() q = Reshape(p, f) r = Transpose<perm=[0,2,1]>(q) "
        "y = MatMul(q, r)",
        "4,096·⌊(n + 31)/32⌋",
    ),
}


def source_of(kind: Kind) -> ModelProto:
    return model(f"({kind.x} x) => (float y) {{ {kind.nodes} }}", w=(4, 8), w4=(4, 4), w16=(4, 16), wc=(8, 3, 3, 3))


def counts(source: ModelProto, size: int) -> dict[str, int | None]:
    report = onnxcost.estimate(source, dims={"n": size})
    moved = report.whole.traffic
    return {
        "macs": report.macs, "flops": report.flops, "parameters": report.parameters, "read_bytes": moved.read_bytes,
        "write_bytes": moved.write_bytes, PEAK: report.memory.peak_activation_bytes,
    }  # fmt: skip


@pytest.mark.parametrize("kind", [kind for kind in KINDS.values() if kind.macs], ids=[key for key in KINDS if KINDS[key].macs])
def test_formulas_are_right_all_over_their_domain(kind: Kind) -> None:
    source = source_of(kind)
    found = scaling(source)
    domain = found.domain["n"]
    assert (str(found.formula("macs")), domain.least, domain.most) == (kind.macs, kind.least, kind.most)
    draw = random.Random(1)
    ends = [*range(domain.least, domain.least + 40), *range(domain.most - 5, domain.most + 1)]
    for size in {size for size in (*ends, *(draw.randint(domain.least, domain.most) for _ in range(25))) if size in domain}:
        counted = counts(source, size)
        assert found.at(n=size) == {key: counted[key] for key in counted if found.pieces or key != PEAK}, size


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if not kind.macs])
def test_what_no_polynomial_describes_has_no_formula(name: str) -> None:
    """The work of TopK has a logarithm of K."""
    with pytest.raises(OnnxCostError, match=r"not a polynomial in n: .*, and the flops of v are not a polynomial in n, ⌊n/4⌋"):
        scaling(source_of(KINDS[name]))


@pytest.mark.parametrize(("name", "macs"), [("Clip of a shape", "2,048"), ("If on a shape", "32·n")])
def test_the_piece_beyond_a_limit_has_formulas_of_its_own(name: str, macs: str) -> None:
    source = source_of(KINDS[name])
    found = scaling(source, {"n": (101, 4000)})
    assert (str(found.formula("macs")), found.domain["n"].least, found.domain["n"].most) == (macs, 101, 4000)
    for size in (101, 102, 1000, 4000):
        assert found.at(n=size)["macs"] == counts(source, size)["macs"]


def test_dims_without_a_symbol_go_by_their_place() -> None:
    source = model(
        "(float[?,4] x, float[2,?,4] state) => (float y) { z = MatMul(x, w) s = Add(x, state) y = MatMul(s, w) }", w=(4, 8)
    )
    found = scaling(source)
    assert found.dims == ("x[0]",)
    assert str(found.formula("macs")) == "96·x[0]"
    assert found.at(**{"x[0]": 10})["macs"] == onnxcost.estimate(source, shapes={"x": (10, 4)}).macs == 960


class Together(NamedTuple):
    """A model of several open dims: which its formulas are in, the sizes of the others, and what the notes say of those."""

    graph: str
    dims: tuple[str, ...]
    fixed: Mapping[str, int]
    macs: str
    says: str = ""
    most: int = 4096


TOGETHER: Mapping[str, Together] = {
    "places in a table that two dims add up to": Together(
        "(float[n,4] x, float[m,4] p) => (float y) { zero = Constant<value=int64[1]{0}>() c = Concat<axis=0>(p, x) "
        "s = Shape<start=0, end=1>(c) t = Slice(table, zero, s) a = Add(c, t) y = MatMul(a, w) }",
        ("n", "m"), {}, "32·n + 32·m", "n = 63, m = 63 do not fit together: node 'Add_4' (Add) is invalid", 31,
    ),
    "a condition that no dim decides": Together(
        "(bool c, float[n,4] x, float[m,4] z) => (float y) { y = If(c) "
        "<then_branch = t () => (float[n,8] u) { u = MatMul(x, w) }, "
        "else_branch = e () => (float[m,8] v) { v = MatMul(z, w) }> }",
        ("n",), {"m": 1}, "32·n", "m stays 1: no formula holds for all sizes: n = 1024, m = 1024: the cost follows another",
    ),
    "a dim that has to be equal to another": Together(
        "(float[batch,4] x, float[batch_1,4] z) => (float y) { c = Concat<axis=1>(x, z) y = MatMul(c, w8) }",
        ("batch",), {}, "64·batch",
    ),
    "a dim that follows from an attribute": Together(
        "(float[b,s,12] q, float[b,2,p,h] keys, float[b,2,p,h] values, int32[b] n, int32 t) => (float y, float k, float v) "
        "{ y, k, v = com.microsoft.GroupQueryAttention<num_heads=2, kv_num_heads=2>(q, , , keys, values, n, t) }",
        ("b", "s", "p"), {"h": 2}, "8·b·s² + 8·b·s·p", "h stays 2: the cost is not a polynomial in h: node 'GroupQueryAtt",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", TOGETHER.values(), ids=TOGETHER)
def test_dims_that_depend_on_each_other(case: Together) -> None:
    source = model(case.graph, domains=', "com.microsoft" : 1', w=(4, 8), w8=(8, 8), table=(64, 4))
    found = scaling(source)
    assert (found.dims, found.fixed, str(found.formula("macs"))) == (case.dims, case.fixed, case.macs)
    assert case.says in "; ".join(found.notes)
    assert found.domain[found.dims[0]].most == case.most
    draw = random.Random(2)
    for _ in range(10):
        sizes = {name: draw.randint(found.domain[name].least, found.domain[name].most) for name in found.dims}
        assert found.at(**sizes)["macs"] == onnxcost.estimate(source, dims={**found.fixed, **sizes}).macs, sizes


def test_the_dims_that_do_not_vary_keep_their_sizes() -> None:
    """Where one token is new, a cache is assumed to be full: not while a formula says that it is empty."""
    source = model(TOGETHER["a dim that follows from an attribute"].graph, domains=', "com.microsoft" : 1')
    found = scaling(source, ["s"], dims={"b": 3})
    assert found.fixed == {"b": 3, "p": 0, "h": 2}
    assert str(found.formula("macs")) == "24·s²"
    assert found.domain["s"].least == 1


def test_an_assumed_size_may_be_an_exception() -> None:
    """A table of places for 16 rows of patches is resized, but not from 224 to 237, where there are 16."""
    source = model(
        "(float[1,3,h,14] x) => (float y) { p = Conv<kernel_shape=[14,14], strides=[14,14]>(x, patches) s = Shape(p) "
        'r = Resize<mode="linear">(places, , , s) y = Add(p, r) }',
        patches=(8, 3, 14, 14),
        places=(1, 8, 16, 1),
    )
    found = scaling(source)
    assert (str(found.formula("macs")), found.domain["h"].least) == ("4,704·⌊h/14⌋", 238)
    assert found.domain["h"].reasons == ("below 238: the cost follows another formula there",)
    for size in (238, 251, 252, 1000, found.domain["h"].most):
        assert found.at(h=size)["flops"] == onnxcost.estimate(source, dims={"h": size}).flops
