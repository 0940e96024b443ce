"""If, Loop, Scan, SequenceMap: which bodies run, how often, and what is said where the graph does not tell."""

from __future__ import annotations

from typing import Any

import pytest

import onnxcost
from onnxcost.errors import InputError
from onnxcost.report import CostReport
from tests.modeltext import graph_of, model

CARRIED = """body = b (int64 i, bool c, float[4] s) => (bool co, float[4] so, float[4] scanned) {
    co = Identity(c) so = Relu(s) scanned = Neg(so) }"""
GROWING = "body = b (int64 i, bool c, float s) => (bool co, float so) { co = Identity(c) so = Concat <axis = 0> (s, x) }"
WHILE = "body = b (int64 i, bool c, float[4] s) => (bool co, float so) { co = Less(i, five) so = Relu(s) }"
UNTIL = """body = b (int64 i, bool c, float[4] s) => (bool co, float so) {
    so = Relu(s) m = ReduceMax <keepdims = 0> (so) co = Greater(m, zero) }"""
NESTED = f"""body = b (int64 i, bool c, float[4] s) => (bool co, float so) {{
    co = Identity(c) so, unused = Loop(three, , s) <{CARRIED}> }}"""
SLICED = """body = b (int64 i, bool c, float s) => (bool co, float so) { co = Identity(c) one = Constant <value_ints = [1]> ()
    j = Add(i, one) f = Cast <to = 7> (j) z = Constant <value_ints = [0]> () so = Slice(x, z, f) }"""
BRANCHES = """then_branch = t () => (float a) { a = Relu(x) },
    else_branch = e () => (float b) { k = Neg(x) b = Relu(k) }"""
UNEQUAL = """then_branch = t () => (float a) { a = Relu(x) },
    else_branch = e () => (float b) { b = Concat <axis = 0> (x, x) }"""
SCAN = "num_scan_inputs = 1, body = b (float[2] si, float[3] xi) => (float[2] so, float[3] yo) { so = Relu(si) yo = Neg(xi) }"

# graph, arguments, FLOPs, bound, shapes of the outputs. Relu, Neg and Add are 1 FLOP an element.
RUNS = {
    "a trip count that is stored": (
        f"(float[4] x) => (float y, float z) <int64 n = {{5}}, bool t = {{1}}> {{ y, z = Loop(n, t, x) <{CARRIED}> }}",
        {}, 40, "", {"y": (4,), "z": (5, 4)},
    ),
    "a trip count that a shape gives": (
        f"(float[4] x) => (float y, float z) {{ n = Size(x) y, z = Loop(n, , x) <{CARRIED}> }}",
        {}, 32, "", {"y": (4,), "z": (4, 4)},
    ),
    "a trip count that a value gives": (
        f"(float[4] x, int64 n) => (float y, float z) {{ y, z = Loop(n, , x) <{CARRIED}> }}",
        {"values": {"n": 7}}, 56, "", {"y": (4,), "z": (7, 4)},
    ),
    "a trip count that is not known": (
        f"(float[4] x, int64 n) => (float y, float z) {{ y, z = Loop(n, , x) <{CARRIED}> }}",
        {}, 8, "lower", {"y": (4,), "z": (1, 4)},
    ),
    "a trip count that the user gives": (
        f"(float[4] x, int64 n) => (float y, float z) {{ y, z = Loop(n, , x) <{CARRIED}> }}",
        {"trips": {"Loop_0": 7}}, 56, "", {"y": (4,), "z": (7, 4)},
    ),
    **{
        f"a limit of {limit} is none": (
            f"(float[4] x) => (float y, float z) <int64 n = {{{limit}}}> {{ y, z = Loop(n, , x) <{CARRIED}> }}",
            {}, 8, "lower", {"y": (4,), "z": (1, 4)},
        )
        for limit in (2**31 - 1, 2**31, 2**63 - 1)
    },
    "a limit that is none, and a condition that ends": (
        f"(float[4] x) => (float y) <int64 n = {{{2**63 - 1}}}, int64 five = {{5}}> {{ y = Loop(n, , x) <{WHILE}> }}",
        {}, 30, "", {"y": (4,)},
    ),
    "a limit that is none, and the user's": (
        f"(float[4] x) => (float y, float z) <int64 n = {{{2**63 - 1}}}> {{ y, z = Loop(n, , x) <{CARRIED}> }}",
        {"trips": {"Loop_0": 7}}, 56, "", {"y": (4,), "z": (7, 4)},
    ),
    "no trips": (
        f"(float[4] x) => (float y, float z) <int64 n = {{0}}> {{ y, z = Loop(n, , x) <{CARRIED}> }}",
        {}, 0, "", {"y": (4,), "z": (0, 4)},
    ),
    **{
        f"a trip count of {count}": (
            f"(float[4] x) => (float y, float z) <int64 n = {{{count}}}> {{ y, z = Loop(n, , x) <{CARRIED}> }}",
            {}, 0, "", {"y": (4,), "z": (0, 4)},
        )
        for count in (-1, -2)
    },
    "a condition that is false at once": (
        f"(float[4] x) => (float y, float z) <int64 n = {{5}}, bool t = {{0}}> {{ y, z = Loop(n, t, x) <{CARRIED}> }}",
        {}, 0, "", {"y": (4,), "z": (0, 4)},
    ),
    "a value that grows is unrolled": (
        f"(float[4] x) => (float y) <int64 n = {{3}}> {{ g = Loop(n, , x) <{GROWING}> y = Relu(g) }}",
        {}, 16, "", {"y": (16,)},
    ),
    "a shape that depends on the iteration is unrolled": (
        f"(float[9] x) => (float y) <int64 n = {{3}}> {{ y = Loop(n, , x) <{SLICED}> }}",
        {}, 3, "", {"y": (3,)},
    ),
    "a loop that counts up to its end": (  # i = 0 … 5: six Relus of 4 and six comparisons
        f"(float[4] x) => (float y) <int64 five = {{5}}> {{ y = Loop(, , x) <{WHILE}> }}",
        {}, 30, "", {"y": (4,)},
    ),
    "a loop that data may end is counted to its limit": (  # Relu 4, ReduceMax 3, Greater 1
        f"(float[4] x) => (float y) <int64 n = {{9}}, float zero = {{0}}> {{ y = Loop(n, , x) <{UNTIL}> }}",
        {}, 72, "upper", {"y": (4,)},
    ),
    "a loop in a loop": (
        f"(float[4] x) => (float y) <int64 n = {{5}}, int64 three = {{3}}> {{ y = Loop(n, , x) <{NESTED}> }}",
        {}, 5 * 3 * 8, "", {"y": (4,)},
    ),
    "what is not known of a loop in an unrolled one is said": (
        f"""(float[4] x, int64 k) => (float y) <int64 n = {{3}}> {{ y = Loop(n, , x) <
            body = b (int64 i, bool c, float s) => (bool co, float so) {{
                co = Identity(c) so = Concat <axis = 0> (s, x) z, w = Loop(k, , x) <{CARRIED}> }}> }}""",
        {}, 3 * 8, "lower", {"y": (16,)},
    ),
    "what is not known of a loop in one that never runs is of no account": (
        f"""(float[4] x, int64 k) => (float y) <int64 n = {{0}}> {{ y = Loop(n, , x) <
            body = b (int64 i, bool c, float[4] s) => (bool co, float so) {{
                co = Identity(c) so, w = Loop(k, , s) <{CARRIED}> }}> }}""",
        {}, 0, "", {"y": (4,)},
    ),
    "an inner trip count that the outer iteration gives": (  # 0, 1, 2 and 3 times
        f"""(float[4] x) => (float y) <int64 n = {{4}}> {{ y = Loop(n, , x) <
            body = b (int64 i, bool c, float[4] s) => (bool co, float so) {{
                co = Identity(c) so, w = Loop(i, , s) <{CARRIED}> }}> }}""",
        {}, (0 + 1 + 2 + 3) * 8, "", {"y": (4,)},
    ),
    "branches with fewer outputs than the node": (
        f"(float[4] x, bool c) => (float y) {{ y, lost = If (c) <{BRANCHES}> }}", {}, 8, "upper", {"y": (4,)},
    ),
    "a branch that the iteration decides": (  # Mod and Equal 5 times, of which 0, 2 and 4 are even
        """(float[4] x) => (float y) <int64 n = {5}, int64 two = {2}, int64 zero = {0}> { y = Loop(n, , x) <
            body = b (int64 i, bool c, float[4] s) => (bool co, float so) {
                co = Identity(c) m = Mod(i, two) k = Equal(m, zero) so = If (k) <
                then_branch = t () => (float a) { a = Relu(s) }, else_branch = e () => (float b) { b = Identity(s) }> }> }""",
        {}, 3 * 4 + 5 * 2, "", {"y": (4,)},
    ),
    "a branch that data decides in each iteration": (
        """(float[4] x, bool k) => (float y) <int64 n = {5}> { y = Loop(n, , x) <
            body = b (int64 i, bool c, float[4] s) => (bool co, float so) { co = Identity(c) so = If (k) <
                then_branch = t () => (float a) { a = Relu(s) }, else_branch = e () => (float b) { b = Identity(s) }> }> }""",
        {}, 5 * 4, "upper", {"y": (4,)},
    ),
    "a condition that a value makes false at once, without a limit": (
        f"""(float[4] x, int64 n) => (float y) <int64 five = {{5}}> {{ k = Less(five, n) y = Loop(, k, x) <{WHILE}> }}""",
        {"values": {"n": 3}}, 1, "", {"y": (4,)},
    ),
    "a condition on a shape that shrinks, without a limit": (  # 6, 5, … 2 numbers: Relu each time, Greater
        f"""(float[6] x) => (float y) <int64[1] one = {{1}}, int64[1] end = {{{2**63 - 1}}}, int64 least = {{1}}> {{
            y = Loop(, , x) <body = b (int64 i, bool c, float[n] s) => (bool co, float so) {{
                r = Relu(s) so = Slice(r, one, end) n = Size(so) co = Greater(n, least) }}> }}""",
        {}, 6 + 5 + 4 + 3 + 2 + 5, "", {"y": (1,)},
    ),
    # The counter starts from what a node makes of a constant, as tf2onnx writes it.
    "a counter that starts from a computed constant": (
        """(float[4] x) => (float y) <int32 zero = {0}, int32 one = {1}, int32 five = {5}> { i0 = Identity(zero)
            k0 = Less(i0, five) k, y = Loop(, k0, i0, x) <
            body = b (int64 i, bool c, int32 n, float[4] s) => (bool co, int32 no, float so) {
                no = Add(n, one) co = Less(no, five) so = Relu(s) }> }""",
        {}, 1 + 5 * (1 + 1 + 4), "", {"y": (4,)},
    ),
    "the more expensive branch of an If": (
        f"(float[4] x, bool c) => (float y) {{ y = If (c) <{BRANCHES}> }}", {}, 8, "upper", {"y": (4,)},
    ),
    "the branch that a value takes": (
        f"(float[4] x, bool c) => (float y) {{ y = If (c) <{BRANCHES}> }}", {"values": {"c": True}}, 4, "", {"y": (4,)},
    ),
    "branches of two shapes give a bound": (
        f"(float[4] x, bool c) => (float y) {{ h = If (c) <{UNEQUAL}> y = Relu(h) }}", {}, 4 + 8, "upper", {"y": (8,)},
    ),
    "an If in a loop": (
        f"""(float[4] x, bool k) => (float y) <int64 n = {{5}}> {{ y = Loop(n, , x) <
            body = b (int64 i, bool c, float[4] s) => (bool co, float[4] so) {{
                co = Identity(c) so = If (k) <{BRANCHES}> }}> }}""",
        {}, 40, "upper", {"y": (4,)},
    ),
    "Scan": (
        f"(float[2] s0, float[6,3] x) => (float s, float ys) {{ s, ys = Scan <{SCAN}> (s0, x) }}",
        {}, 6 * 5, "", {"s": (2,), "ys": (6, 3)},
    ),
    "Scan over another axis": (
        f"""(float[2] s0, float[3,6] x) => (float s, float ys) {{
            s, ys = Scan <scan_input_axes = [1], scan_output_axes = [1], {SCAN}> (s0, x) }}""",
        {}, 6 * 5, "", {"s": (2,), "ys": (3, 6)},
    ),
    "Scan over the last axis": (
        f"""(float[2] s0, float[3,6] x) => (float s, float ys) {{
            s, ys = Scan <scan_input_axes = [-1], scan_output_axes = [-1], {SCAN}> (s0, x) }}""",
        {}, 6 * 5, "", {"s": (2,), "ys": (3, 6)},
    ),
    "Scan of two sequences": (  # Relu of 2, Add and Neg of 3
        """(float[2] s0, float[6,3] x, float[3,6] z) => (float s, float a, float b) {
            s, a, b = Scan <num_scan_inputs = 2, scan_input_axes = [0, 1], scan_output_axes = [0, 1],
            body = b (float[2] si, float[3] xi, float[3] zi) => (float[2] so, float[3] ao, float[3] bo) {
                so = Relu(si) ao = Add(xi, zi) bo = Neg(ao) }> (s0, x, z) }""",
        {}, 6 * 8, "", {"s": (2,), "a": (6, 3), "b": (3, 6)},
    ),
    "Scan of a sequence alone": (
        """(float[6,3] x) => (float y) { y = Scan <num_scan_inputs = 1,
            body = b (float[3] xi) => (float[3] yo) { yo = Neg(xi) }> (x) }""",
        {}, 18, "", {"y": (6, 3)},
    ),
    "Scan of a batch, opset 8": (
        f"(float[7,2] s0, float[7,6,3] x) => (float s, float ys) {{ s, ys = Scan <{SCAN}> (, s0, x) }}",
        {"opset": 8}, 7 * 6 * 5, "", {"s": (7, 2), "ys": (7, 6, 3)},
    ),
    "Scan of a length that is none": (
        f"(float[2] s0, float[{2**63 - 1},3] x) => (float s, float ys) {{ s, ys = Scan <{SCAN}> (s0, x) }}",
        {}, 5, "lower", {"s": (2,), "ys": (1, 3)},
    ),
    "Scan of a length that the user gives": (
        f"(float[2] s0, float[{2**31 - 1},3] x) => (float s, float ys) {{ s, ys = Scan <{SCAN}> (s0, x) }}",
        {"trips": {"Scan_0": 9}}, 45, "", {"s": (2,), "ys": (9, 3)},
    ),
    "SequenceMap": (
        """(float[6,4] x) => (float y) { s = SplitToSequence(x) m = SequenceMap <
            body = b (float[1,4] e) => (float[1,4] r) { r = Relu(e) }> (s) y = ConcatFromSequence <axis = 0> (m) }""",
        {}, 24, "", {"y": (6, 4)},
    ),
    "SequenceMap of two sequences and a tensor": (  # 3 times: Add of 2 × 4 twice
        """(float[6,4] x, float[6,4] z, float[4] k) => (float y) <int64 two = {2}> { s = SplitToSequence(x, two)
            t = SplitToSequence(z, two) m = SequenceMap <
            body = b (float[2,4] e, float[2,4] f, float[4] g) => (float[2,4] r) { a = Add(e, f) r = Add(a, g) }> (s, t, k)
            y = ConcatFromSequence <axis = 0> (m) }""",
        {}, 3 * 16, "", {"y": (6, 4)},
    ),
}  # fmt: skip


def counted(text: str, arguments: dict[str, Any]) -> CostReport:
    arguments = dict(arguments)
    return onnxcost.estimate(model(text, opset=arguments.pop("opset", 17)), **arguments)


@pytest.mark.parametrize(("text", "arguments", "flops", "bound", "shapes"), RUNS.values(), ids=RUNS.keys())
def test_control_flow(text: str, arguments: dict[str, Any], flops: int, bound: str, shapes: dict[str, tuple]) -> None:
    report = counted(text, arguments)
    assert [cost.reason for cost in report.uncounted] == []
    assert {tensor.name: tensor.dims for tensor in report.graph.outputs} == shapes
    assert (report.flops, report.bound) == (flops, bound)
    assert report.complete == (bound != "lower")
    assert bool(bound) == any(caveat.kind != "note" for caveat in report.caveats)


@pytest.mark.parametrize(("trips", "flops"), [({}, 24), ({"SequenceMap_1": 7}, 7 * 24)], ids=["not given", "given"])
def test_a_sequence_of_unknown_length(trips: dict[str, int], flops: int) -> None:
    text = """(float[6,4] x, int64 n) => (float y) { s = SplitToSequence(x, n) m = SequenceMap <
        body = b (float e) => (float[6,4] r) { r = Relu(x) }> (s) y = ConcatFromSequence <axis = 0> (m) }"""
    report = counted(text, {"trips": trips})
    assert (report.flops, report.bound, report.complete) == (flops, "lower", False)
    assert any("--trips SequenceMap_1=N" in caveat.text for caveat in report.caveats) == (not trips)


def test_nodes_of_a_body_carry_their_repeat_and_the_loops_name() -> None:
    report = counted(*RUNS["a loop in a loop"][:2])
    assert {cost.node.name: cost.node.repeat for cost in report.costs} == {
        "Loop_0": 1, "Loop_0/Identity_0": 5, "Loop_0/Loop_1": 5,
        "Loop_0/Loop_1/Identity_0": 15, "Loop_0/Loop_1/Relu_1": 15, "Loop_0/Loop_1/Neg_2": 15,
    }  # fmt: skip


def test_the_message_says_how_to_give_a_trip_count() -> None:
    (caveat,) = counted(*RUNS["a trip count that is not known"][:2]).caveats
    assert "--trips Loop_0=N" in caveat.text


def test_what_is_said_of_a_loop_in_an_unrolled_one_is_said_of_each_iteration() -> None:
    report = counted(*RUNS["what is not known of a loop in an unrolled one is said"][:2])
    assert [caveat.text.split("'")[1] for caveat in report.caveats] == [f"Loop_0/{trip}/Loop_2" for trip in range(3)]


def test_a_loop_that_does_not_exist_is_refused() -> None:
    with pytest.raises(InputError, match="no Loop 'other': it has 'Loop_0'"):
        counted(RUNS["a trip count that is not known"][0], {"trips": {"other": 3}})


def test_a_loop_that_never_runs_has_no_trip_count() -> None:
    """Also behind something else that was said."""
    text = f"""(float[4] x, bool c, bool d) => (float y) {{ h = If (c) <{BRANCHES}> y = If (d) <
        then_branch = t () => (float a) {{ a = Relu(h) }},
        else_branch = e () => (float b) {{ n = Constant <value_int = 3> () b, z = Loop(n, , h) <{CARRIED}> }}> }}"""
    assert counted(text, {"values": {"d": True}}).flops == 8 + 4
    with pytest.raises(InputError, match="no Loop") as refused:
        counted(text, {"values": {"d": True}, "trips": {"other": 3}})
    assert "idle" not in str(refused.value)


def test_a_scan_of_what_is_not_known_is_counted_once() -> None:
    text = f"(float[2] s0, float[6,3] x) => (float s, float ys) {{ u = local.Mystery(x) s, ys = Scan <{SCAN}> (s0, u) }}"
    report = onnxcost.estimate(model(text, domains=', "local" : 1'))
    assert any("counted for one iteration" in caveat.text for caveat in report.caveats)
    assert (report.graph.outputs[0].dims, report.bound) == ((2,), "lower")


def test_an_endless_loop_is_not_unrolled_for_ever() -> None:
    report = counted(f"(float[4] x) => (float y) <int64 n = {{4611686018427387904}}> {{ y = Loop(n, , x) <{GROWING}> }}", {})
    # No run gets there: it is a number that stands for "until the condition ends it".
    assert (report.bound, report.complete) == ("lower", False)


WEIGHED = """body = b (int64 i, bool c, float[4] s) => (bool co, float so) <float[4,4] w = {1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1}> {
    k = Constant <value = float[4] {1, 2, 3, 4}> () p = MatMul(s, w) so = Add(p, k) co = Less(i, five) }"""

ONES = ",".join(["1"] * 48)
# graph, arguments, parameters, bytes of weights (int64 constants included)
STORED = {
    "a body that is walked nine times is stored once": (
        f"(float[4] x) => (float y) <int64 five = {{8}}> {{ y = Loop(, , x) <{WEIGHED}> }}", {}, 20, 80 + 8,
    ),
    "weights of layers that a Scan goes through": (
        f"""(float[2,4] x) => (float y) <float[3,4,4] w = {{{ONES}}}> {{ y = Scan <num_scan_inputs = 1,
            body = b (float[2,4] s, float[4,4] k) => (float[2,4] so) {{ so = MatMul(s, k) }}> (x, w) }}""",
        {}, 48, 192,
    ),
    "a body for the elements of an empty sequence": (
        f"""() => (float y) <float[4,12] w = {{{ONES}}}> {{ e = SequenceEmpty() n = SequenceLength(t) y = Cast <to = 1> (n)
            t = SequenceMap <body = b (float[2,4] s) => (float[2,12] so) {{ so = MatMul(s, w) }}> (e) }}""",
        {}, 48, 192,
    ),
    "a body that never runs": (
        f"(float[4] x, bool t) => (float y) <int64 five = {{8}}> {{ y = Loop(, t, x) <{WEIGHED}> }}",
        {"values": {"t": False}}, 20, 80 + 8,
    ),
    "a body of a loop in a loop": (
        f"""(float[4] x) => (float y) <int64 five = {{3}}, int64 n = {{3}}> {{ y = Loop(n, , x) <
            body = b (int64 j, bool d, float[4] t) => (bool do, float to) {{
                do = Less(j, five) to = Loop(, , t) <{WEIGHED}> }}> }}""", {}, 20, 80 + 8,
    ),
    "what a loop starts from is no weight": (
        f"() => (float y) <int64 five = {{2}}, float[4] x = {{0,0,0,0}}> {{ y = Loop(, , x) <{WEIGHED}> }}", {}, 20, 96 + 8,
    ),
    **{
        f"branches of which {name}": (
            """(float[4] x, bool c) => (float y) <float[4,6] shared = {1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1},
                float[4,2] outer = {1,2,3,4,5,6,7,8}> { y = If (c) <
                then_branch = t () => (float a) <float[6] w = {1,2,3,4,5,6}> { m = MatMul(x, shared) a = Add(m, w) },
                else_branch = e () => (float b) { m = MatMul(x, shared) b = MatMul(x, outer) }> }""",
            arguments, 24 + 8 + 6, 4 * 38,
        )
        for name, arguments in {
            "one is decided": {"values": {"c": True}},
            "the other is decided": {"values": {"c": False}},
            "none is decided": {},
        }.items()
    },
}  # fmt: skip


@pytest.mark.parametrize(("text", "arguments", "parameters", "weight_bytes"), STORED.values(), ids=STORED.keys())
def test_constants_belong_to_the_file(text: str, arguments: dict[str, Any], parameters: int, weight_bytes: int) -> None:
    report = counted(text, arguments)
    assert (report.parameters, report.memory.weight_bytes) == (parameters, weight_bytes)
    assert sum(cost.parameters for cost in report.costs) == parameters


# condition, what is said to decide it
DECIDED = {
    "a bool": ("k = Identity(b)", "--value b=1 sets it"),
    "a comparison": ("k = Equal(n, rate)", "--value n=16000 sets it"),
    "a cast": ("k = Cast <to = 9> (n)", "--value n=1 sets it"),
    "two inputs": ("m = Cast <to = 9> (n) k = And(b, m)", "more expensive"),
    "data": ("s = ReduceSum <keepdims = 0> (x) k = Cast <to = 9> (s)", "more expensive"),
}


@pytest.mark.parametrize(("nodes", "hint"), DECIDED.values(), ids=DECIDED.keys())
def test_the_input_that_decides_an_if_is_named(nodes: str, hint: str) -> None:
    text = f"(float[4] x, bool b, int64 n) => (float y) <int64 rate = {{16000}}> {{ {nodes} y = If (k) <{BRANCHES}> }}"
    (caveat,) = counted(text, {}).caveats
    assert hint in caveat.text
    assert ("--value" in caveat.text) == ("--value" in hint)


FLATTENED = "then_branch = t () => (float a) { a = Reshape(x, all) }, else_branch = e () => (float b) { b = Relu(x) }"
BEHIND = {  # FLOPs behind the Relu of 12, and what is not counted
    "nothing": ("y = If (c) <{}>", 0, []),
    "an operator on each element": ("h = If (c) <{}> y = Relu(h)", 12, []),
    "a product": ("h = If (c) <{}> m = MatMul(h, w) y = Relu(m)", 0, ["MatMul", "Relu"]),
    "one rank again": ("h = If (c) <{}> r = Reshape(h, back) y = MatMul(r, w)", 6 * 3 * (2 + 1), []),
    "another branch": ("h = If (c) <{}> g = Relu(h) y = Neg(x)", 24, []),
    "another If": ("h = If (c) <{}> y = If (d) <then_branch = t () => (float u) {{ u = Neg(h) }}, "
                   "else_branch = e () => (float v) {{ v = Identity(x) }}>", 12, []),
    "a product that fits one shape": ("h = If (c) <{}> y = MatMul(h, v)", 3 * 5 * (4 + 3), []),
    "a product that fits the smaller rank": ("h = If (c) <{}> m = MatMul(h, long) y = Relu(m)", 5 * (12 + 11 + 1), []),
}  # fmt: skip


@pytest.mark.parametrize(("nodes", "flops", "uncounted"), BEHIND.values(), ids=BEHIND.keys())
def test_branches_of_different_ranks(nodes: str, flops: int, uncounted: list[str]) -> None:
    """What is behind is counted with the larger shape that fits it, as a bound; what fits neither is uncounted, with the
    reason.
    """
    constants = "int64[1] all = {-1}, int64[2] back = {6, 2}"
    inputs = "float[3,4] x, float[2,3] w, float[4,5] v, float[12,5] long, bool c, bool d"
    text = f"({inputs}) => (float y) <{constants}> {{ {nodes.format(FLATTENED)} }}"
    report = counted(text, {})
    assert report.flops == 12 + flops
    assert [cost.node.op_type for cost in report.uncounted] == uncounted
    assert all("shape" in cost.reason for cost in report.uncounted)
    assert any("are 1 in its then branch and 2 in its else branch" in caveat.text for caveat in report.caveats)
    assert report.bound == ("mixed" if uncounted else "upper")
    assert report.complete == (not uncounted)


def test_what_a_scan_reads_reaches_its_outputs() -> None:
    """The nodes that make its states and sequences are not called useless, and a model's inputs among them are in memory."""
    text = f"(float[2] s0, float[6,3] x) => (float s, float ys) {{ t = Exp(s0) u = Exp(x) s, ys = Scan <{SCAN}> (t, u) }}"
    assert counted(text, {}).caveats == ()
    report = counted(f"(float[2] s0, float[6,3] x) => (float s, float ys) {{ s, ys = Scan <{SCAN}> (s0, x) }}", {})
    assert report.memory.peak is not None
    assert report.memory.peak.tensors.keys() >= {"s0", "x"}


def test_constants_of_a_body_are_weights() -> None:
    text = """(float[4] x, bool c) => (float y) { y = If (c) <
        then_branch = t () => (float a) <float[4] w = {1,2,3,4}> { a = Add(x, w) },
        else_branch = e () => (float b) { b = Identity(x) }> }"""
    assert counted(text, {}).parameters == 4


def test_a_body_may_read_what_comes_later_around_it() -> None:
    """Nodes out of order are sorted by what their bodies capture, too."""
    text = """(float[4] x, bool c) => (float y) { y = If (c) <then_branch = t () => (float a) { a = Relu(late) },
        else_branch = e () => (float b) { b = Neg(late) }> late = Relu(x) }"""
    graph = graph_of(model(text))
    assert [node.op_type for node in graph.nodes] == ["Relu", "If"]


SEQUENCES = {
    "construct, at": ("s = SequenceConstruct(x, z) y = SequenceAt(s, one)", (5,)),
    "insert at the end": ("e = SequenceConstruct(x) s = SequenceInsert(e, z) y = SequenceAt(s, one)", (5,)),
    "insert in front": ("e = SequenceConstruct(x) s = SequenceInsert(e, z, zero) y = SequenceAt(s, one)", (4,)),
    "insert into nothing": ("e = SequenceEmpty() s = SequenceInsert(e, z) y = SequenceAt(s, zero)", (5,)),
    "erase": ("e = SequenceConstruct(x, z) s = SequenceErase(e, zero) y = SequenceAt(s, zero)", (5,)),
    "length": ("s = SequenceConstruct(x, z, x) n = SequenceLength(s) y = Range(zero, n, one)", (3,)),
    "split evenly": ("s = SplitToSequence(z, two) y = SequenceAt(s, two)", (1,)),
    "split without keeping the axis": ("s = SplitToSequence <keepdims = 0> (z) y = SequenceAt(s, two)", ()),
    "concat": ("s = SequenceConstruct(x, z) y = ConcatFromSequence <axis = 0> (s)", (9,)),
    "stack": ("s = SequenceConstruct(x, x) y = ConcatFromSequence <axis = 1, new_axis = 1> (s)", (4, 2)),
    "optional": ("o = Optional(x) y = OptionalGetElement(o)", (4,)),
    "optional that is there": (f"o = Optional(x) c = OptionalHasElement(o) y = If (c) <{UNEQUAL}>", (4,)),
}


@pytest.mark.parametrize(("nodes", "shape"), SEQUENCES.values(), ids=SEQUENCES.keys())
def test_sequences_carry_their_shapes(nodes: str, shape: tuple[int, ...]) -> None:
    constants = "<int64 zero = {0}, int64 one = {1}, int64 two = {2}>"
    report = onnxcost.estimate(model(f"(float[4] x, float[5] z) => (float y) {constants} {{ {nodes} }}", opset=18))
    assert report.graph.outputs[0].shape == shape
    assert report.complete


def test_an_element_that_a_sequence_lacks_is_open() -> None:
    text = "(float[4] x) => (float y) <int64 one = {1}> { s = SequenceConstruct(x) y = SequenceAt(s, one) }"
    assert onnxcost.estimate(model(text)).graph.outputs[0].dims in (None, (4,))


def test_a_branch_that_cannot_be_is_left_out_and_the_other_has_its_own_name() -> None:
    text = """(float[4] x, float[3] z, bool c) => (float y) { y = If (c) <then_branch = t () => (float a) { a = Add(x, z) },
        else_branch = e () => (float b) { b = Relu(x) }> }"""
    left_out, counted_instead = sorted(caveat.text for caveat in counted(text, {}).caveats if "If_0" in caveat.text)[::-1]
    assert "its then branch is not counted" in left_out
    assert "its else branch is counted" in counted_instead


LENGTHS = {"as many": (6, 6, 3, ""), "more": (6, 8, 0, "different lengths"), "fewer": (8, 6, 0, "different lengths")}


@pytest.mark.parametrize(("first", "second", "runs", "reason"), LENGTHS.values(), ids=LENGTHS)
def test_sequences_of_different_lengths(first: int, second: int, runs: int, reason: str) -> None:
    text = f"""(float[{first},4] x, float[{second},4] z) => (float y) <int64 two = {{2}}> {{ s = SplitToSequence(x, two)
        t = SplitToSequence(z, two) m = SequenceMap <
        body = b (float[2,4] e, float[2,4] f) => (float[2,4] r) {{ r = Add(e, f) }}> (s, t) y = ConcatFromSequence(m) }}"""
    report = counted(text.replace("ConcatFromSequence", "ConcatFromSequence <axis = 0> "), {})
    assert report.flops == runs * 8
    assert all(reason in cost.reason for cost in report.uncounted if cost.node.op_type == "SequenceMap")
    assert report.complete == (not reason)
