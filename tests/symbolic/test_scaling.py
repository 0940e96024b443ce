"""How cost grows: formulas against counts at sizes that they were not made from, domains, and honest refusals."""

from __future__ import annotations

import csv
import io
import json
import random
from pathlib import Path

import pytest
from click.testing import CliRunner
from onnx import ModelProto, TensorProto, helper

import onnxcost
from onnxcost.cli.app import cli
from onnxcost.errors import InputError, OnnxCostError
from onnxcost.symbolic.keys import PEAK
from onnxcost.symbolic.lines import Domain
from onnxcost.symbolic.scaling import MOST_DIMS, Scaling, scaling
from scripts.benchmark.scaling import ROWS, TOOLS, page, read_rows, read_tools
from tests.modeltext import model

MODELS = Path(__file__).parents[2] / "models"
BERT = MODELS / "bert_base_pytorch.onnx"
SMALL = {
    "text_transformer": MODELS / "text_transformer_pytorch.onnx",
    "lstm_text": MODELS / "lstm_text_pytorch.onnx",
    "mnist_cnn": MODELS / "mnist_cnn_pytorch.onnx",
}
CONV = "(float[n,3,h,w] x) => (float[n,8,i,j] y) { y = Conv<kernel_shape=[3,3], strides=[2,2], pads=[1,1,1,1]>(x, w0) }"
HOURGLASS = """(float[1,3,h,8] x) => (float[1,8,i,j] y) {
    a = Conv<kernel_shape=[3,3], strides=[1,1], pads=[1,1,1,1]>(x, w0) b = MaxPool<kernel_shape=[2,2], strides=[2,2]>(a)
    s = Constant<value=float[4]{1.0,1.0,2.0,2.0}>() c = Resize(b, , s) y = Add(a, c)
}"""
BRANCH = """(float[n,4] x) => (float[a,b] y) {
    s = Shape<start=0, end=1>(x) k = Constant<value=int64[1]{100}>() more = Greater(s, k) z = Squeeze(more)
    y = If(z) <then_branch = t () => (float[n,8] u) { u = MatMul(x, w1) },
               else_branch = e () => (float[n,16] v) { v = MatMul(x, w2) }>
}"""


def equals(found: Scaling, source: Path | ModelProto, sizes: dict[str, int]) -> None:
    report = onnxcost.estimate(source, dims=sizes)
    traffic = report.whole.traffic
    expected = {
        "macs": report.macs, "flops": report.flops, "parameters": report.parameters,
        "read_bytes": traffic.read_bytes, "write_bytes": traffic.write_bytes,
    }  # fmt: skip
    if found.pieces:
        expected[PEAK] = report.memory.peak_activation_bytes or 0
    assert found.at(**sizes) == expected, sizes


def points(found: Scaling, number: int) -> list[dict[str, int]]:
    """Sizes all over the domain, its ends among them."""
    draw = random.Random(7)

    def size(domain: Domain) -> int:
        ends = domain.least // domain.step, domain.most // domain.step
        return domain.step * draw.choice([*ends, draw.randint(*ends), draw.randint(ends[0], min(ends[1], ends[0] + 20))])

    return [{name: size(found.domain[name]) for name in found.dims} for _ in range(number)]


def test_bert_is_the_formula_that_can_be_worked_out_by_hand() -> None:
    """12 layers of 12 · 768² weights a token, scores and sums of 2 · 768 a pair of tokens, and the pooler's 768²."""
    found = scaling(BERT)
    assert str(found.formula("macs")) == "589,824·batch + 84,934,656·batch·sequence + 18,432·batch·sequence²"
    assert (12 * 12 * 768**2, 12 * 2 * 768, 768**2) == (84_934_656, 18_432, 589_824)
    assert found.domain["sequence"].most == 512
    assert "above 512: node 'node_add_18' (Add) is invalid" in found.domain["sequence"].reasons[0]
    assert found.growth("macs", "sequence") == "quadratic in sequence, dominated by sequence² from 4,608 on"
    assert found.growth("macs", "batch") == "linear in batch"
    assert found.verified >= 40
    for sizes in points(found, 12):
        equals(found, BERT, sizes)


@pytest.mark.parametrize("path", SMALL.values(), ids=SMALL)
def test_formulas_are_the_counts_all_over_their_domain(path: Path) -> None:
    found = scaling(path)
    for sizes in points(found, 40):
        equals(found, path, sizes)


def test_operators_and_modules_sum_up_to_the_total() -> None:
    found = scaling(SMALL["text_transformer"])
    for kind in ("operator", "module"):
        parts = [each for key, each in found.formulas.items() if key[0] == kind and key[2] == "macs"]
        assert sum(part.at([3, 50]) for part in parts) == found.at(batch=3, sequence=50)["macs"]


def test_strides_make_floors() -> None:
    """A stride of 2 makes ⌊(h + 1) / 2⌋ rows, at any height."""
    source = model(CONV, w0=(8, 3, 3, 3))
    found = scaling(source, ["n", "h", "w"])
    assert [domain.step for domain in found.domain.values()] == [1, 1, 1]
    assert str(found.formula("macs")) == "216·n·⌊(h + 1)/2⌋·⌊(w + 1)/2⌋"
    assert found.at(n=2, h=225, w=7)["macs"] == 216 * 2 * 113 * 4
    for sizes in points(found, 30):
        equals(found, source, sizes)


def test_multiples_are_named_where_only_these_fit() -> None:
    """Half the height, twice as large again, fits the height itself where that is even."""
    source = model(HOURGLASS, w0=(8, 3, 3, 3))
    found = scaling(source, ["h"])
    assert found.domain["h"].step == 2
    assert "between multiples of 2: node 'Add_4' (Add) is invalid" in found.domain["h"].reasons[-1]
    with pytest.raises(InputError, match=r"h = 225 is outside the domain: .* in multiples of 2; between multiples of 2: node"):
        found.at(h=225)
    for sizes in points(found, 30):
        equals(found, source, sizes)


def test_a_branch_that_a_dim_decides_ends_the_domain() -> None:
    """Twice the work for up to 100 rows: 64·n MACs there, and 32·n beyond."""
    source = model(BRANCH, w1=(4, 8), w2=(4, 16))
    assert [onnxcost.estimate(source, dims={"n": size}).macs for size in (1, 100, 101)] == [64, 6400, 3232]
    found = scaling(source)
    assert (found.domain["n"].least, found.domain["n"].most) in ((1, 100), (101, 4096))
    for sizes in points(found, 20):
        equals(found, source, sizes)


CLAMPED = """(float[n,4] x) => (float[m,8] y) {
    s = Shape(x) f = Constant<value=int64[2]{64,4}>() top = Min(s, f) zero = Constant<value=int64[2]{0,0}>()
    part = Slice(x, zero, top) y = MatMul(part, w1)
}"""


def test_a_clamp_is_cut_off_and_never_wrong() -> None:
    """At most 64 rows are multiplied: 32·n MACs up to there, and 2,048 beyond."""
    source = model(CLAMPED, w1=(4, 8))
    assert [onnxcost.estimate(source, dims={"n": size}).macs for size in (10, 64, 65, 500)] == [320, 2048, 2048, 2048]
    found = scaling(source)
    for sizes in points(found, 40):
        equals(found, source, sizes)
    assert found.domain["n"].most <= 64 or found.domain["n"].least >= 64


def test_a_range_is_kept_to() -> None:
    found = scaling(BERT, {"sequence": (1, 100)}, dims={"batch": 8})
    assert (found.dims, found.domain["sequence"].most) == (("sequence",), 100)
    assert str(found.formula("macs")) == "4,718,592 + 679,477,248·sequence + 147,456·sequence²"


def test_sizes_that_only_fit_once_are_named() -> None:
    source = model("(float[n,c] x) => (float[n,8] y) { y = MatMul(x, w) }", w=(4, 8))
    found = scaling(source)
    assert found.dims == ("n",)
    assert found.notes == () or found.notes[0].startswith("c stays 4: the cost is not a polynomial in c: node")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [(["sequnce"], "did you mean 'sequence'"), (["hight"], "'hight' is not a free dim of the model: batch, sequence are")],
)
def test_a_dim_that_there_is_not_is_refused(arguments: list[str], says: str) -> None:
    with pytest.raises(InputError, match=says.replace("(", r"\(")):
        scaling(BERT, arguments)


def test_a_model_without_open_dims_says_so() -> None:
    with pytest.raises(OnnxCostError, match="has no open dims"):
        scaling(MODELS / "mobilenetv2_pytorch.onnx")


def run(*arguments: str) -> str:
    done = CliRunner().invoke(cli, ["scale", *arguments])
    assert done.exit_code == 0, done.output
    return done.stdout


def test_the_command_shows_formulas_and_a_table() -> None:
    shown = run(str(SMALL["text_transformer"]), "--at", "sequence=10,20", "--at", "batch=2")
    assert "128·batch + 24,576·batch·sequence + 128·batch·sequence²" in shown
    assert "linear in batch; quadratic in sequence" in shown
    assert f"{128 * 2 + 24_576 * 2 * 20 + 128 * 2 * 400:,}" == "1,085,696"
    assert "1.086 M" in shown


def test_the_json_has_exact_coefficients() -> None:
    document = json.loads(run(str(SMALL["text_transformer"]), "--at", "sequence=10", "--format", "json"))
    terms = document["scaling"]["totals"]["macs"]["terms"]
    assert {tuple(term["exponents"]): term["coefficient"] for term in terms} == {(1, 0): "128", (1, 1): "24576", (1, 2): "128"}
    assert document["at"][0]["macs"] == 128 + 245_760 + 12_800


@pytest.mark.parametrize("format_", ["csv", "markdown", "html"])
def test_other_formats(format_: str) -> None:
    assert "24" in run(str(SMALL["text_transformer"]), "--format", format_)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--over", "batch=5"], "--over expects DIM or DIM=A..B"),
        (["--over", "batch=9..2"], "--over expects"),
        (["--at", "batch"], "--at expects DIM=N,N,..."),
        (["--at", "batch=x"], "--at expects"),
        (["--at", "batch=0"], "outside the domain"),
        (["--at", "height=3"], "there is no free dim 'height'"),
    ],
)
def test_what_is_not_understood_is_one_line(arguments: list[str], says: str) -> None:
    done = CliRunner().invoke(cli, ["scale", str(SMALL["mnist_cnn"]), *arguments])
    assert done.exit_code == 2
    assert says in done.output
    assert done.output.count("\n") == 1


def relu_of(*names: str) -> ModelProto:
    """A Relu of an input whose dims have these names."""
    made = model("(float[2] x) => (float y) { y = Relu(x) }")
    made.graph.input[0].CopyFrom(helper.make_tensor_value_info("x", TensorProto.FLOAT, names))
    return made


@pytest.mark.parametrize(
    "name", ["self", "__class__", "macs", "of", "coefficient", "<b>x</b>", "=1+1", "9" * 400, "a b", "None_"]
)
def test_a_dim_may_have_any_name(name: str, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(relu_of(name, "other").SerializeToString())
    assert scaling(path).at(**{name: 5, "other": 3})["flops"] == 15
    for points in ([], ["--at", f"{name}=2,5"]):
        result = CliRunner().invoke(cli, ["scale", str(path), *points, "--format", "csv"])
        assert result.exit_code == 0, result.output
        rows = list(csv.reader(io.StringIO(result.stdout)))
        assert {len(row) for row in rows} == {4 if not points else 1 + 6}
        assert not points or [row[0] for row in rows[1:]] == ["2", "5"]


def test_a_cost_of_nothing_has_no_terms(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(model("(float[n,4] x) => (int64[2] y) { y = Shape(x) }").SerializeToString())
    result = CliRunner().invoke(cli, ["scale", str(path), "--format", "csv"])
    assert result.stdout.splitlines()[0] == "of,n,coefficient"


@pytest.mark.parametrize(("number", "notes"), [(MOST_DIMS, 0), (MOST_DIMS + 1, 1), (40, 1)])
def test_the_maximum_number_of_dims_that_vary(number: int, notes: int) -> None:
    """A grid doubles with each."""
    names = [f"d{index}" for index in range(number)]
    found = scaling(relu_of(*names))
    assert found.dims == tuple(names[:MOST_DIMS])
    assert len(found.notes) == notes
    assert scaling(relu_of(*names), names[-2:]).dims == tuple(names[-2:])
    if notes:
        with pytest.raises(InputError, match=f"{number} dims vary; the maximum is {MOST_DIMS}"):
            scaling(relu_of(*names), names)


def test_the_maximum_size_of_the_grid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onnxcost.symbolic.search.MOST_GRID", 4)
    made = relu_of("a", "b", "c")
    found = scaling(made)
    assert found.dims == ("a", "b")
    assert [note.partition(": ")[2] for note in found.notes] == ["with it, the formulas would need 8 counts, more than 4"]
    with pytest.raises(OnnxCostError, match="with it, the formulas would need 8 counts, more than 4"):
        scaling(made, ["a", "b", "c"])


def test_the_page_of_formulas_is_what_its_rows_give() -> None:
    rows = read_rows(ROWS).values()
    assert (MODELS.parent / "docs" / "accuracy-scaling.md").read_text("utf-8") == page(rows, read_tools(TOOLS))
    assert all(row.equal == row.points for row in rows)
    exact = sum(row.points > 0 for row in rows)
    assert f"| cost as polynomials, {exact} models | equal" in (MODELS.parent / "README.md").read_text("utf-8")
