"""The stages of a pipeline as people write them, and the dims that stages share."""

from __future__ import annotations

from pathlib import Path

import pytest

import onnxcost
from onnxcost.errors import InputError
from onnxcost.generation.stages import SharedDim, StageSpec, load_stages, name_stages, parse_stages, share_dims
from onnxcost.spec import ModelSpec
from tests.generation.small import DECODER, ENCODER
from tests.modeltext import model


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, proto in (("encoder.onnx", ENCODER), ("decoder.onnx", DECODER), ("unet_x4", ENCODER)):
        (tmp_path / name).write_bytes(proto.SerializeToString())
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("text", "stages"),
    [
        ("encoder.onnx", [("encoder.onnx", 1)]),
        ("encoder.onnx,decoder.onnx×200", [("encoder.onnx", 1), ("decoder.onnx", 200)]),
        ("encoder.onnx , decoder.onnx * 200", [("encoder.onnx", 1), ("decoder.onnx", 200)]),
        ("decoder.onnxx200", [("decoder.onnx", 200)]),
        ("unet_x4", [("unet_x4", 1)]),
        ("unet_x4x50", [("unet_x4", 50)]),
    ],
)
def test_stages_in_a_text(text: str, stages: list[tuple[str, int]]) -> None:
    assert [(stage.path, stage.runs) for stage in parse_stages(text)] == stages


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "a model is missing"),
        ("encoder.onnx,", "a model is missing"),
        ("decoder.onnx×0", "the number of runs must be a whole number"),
        ("decoder.onnx×two", "not 'two'"),
        ("decoder.onnx×-3", "not '-3'"),
        ("decoder.onnx×1_000", "not '1_000'"),
        ("decoder.onnx×1000001", "from 1 to 1,000,000"),
        ("decoder.onnx×", "the number of runs must be a whole number"),
        ("-,decoder.onnx", "can be read only once"),
        (",".join(["encoder.onnx"] * 101), "1 to 100 stages"),
    ],
)
def test_texts_that_are_no_stages(text: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        parse_stages(text)


def test_names_are_different() -> None:
    paths = ("x/a/m.onnx", "x/b/m.onnx", "m.onnx", "y/c[1].onnx", "y/c[1].onnx")
    stages = name_stages([*map(StageSpec, paths), StageSpec("c.onnx", name="d")])
    assert [stage.name for stage in stages] == ["a/m.onnx", "b/m.onnx", "m.onnx", "c[1].onnx", "c[1].onnx (2)", "d"]


GOOD = """
[dims]
batch = 2
[[stages]]
model = "encoder.onnx"
[[stages]]
model = "decoder.onnx"
name = "decoder"
runs = 20
dims = { past_sequence = 4 }
grows = { past_sequence = 2 }
values = { input_ids = [1, 2] }
"""


def test_stages_in_a_file(folder: Path) -> None:
    (folder / "sub").mkdir()
    (folder / "sub" / "whisper.toml").write_text(GOOD.replace('model = "', 'model = "../'))
    encoder, decoder = parse_stages("sub/whisper.toml")
    assert (encoder.name, encoder.runs, encoder.dims) == ("encoder.onnx", 1, {"batch": 2})
    assert (decoder.name, decoder.runs, decoder.grows) == ("decoder", 20, {"past_sequence": 2})
    assert decoder.values == {"input_ids": [1, 2]}
    assert decoder.dims == {"batch": 2, "past_sequence": 4}
    assert Path(decoder.path).samefile(folder / "decoder.onnx")


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (GOOD, "", "has no stages"),
        ("[dims]\nbatch = 2", "[dim]\nbatch = 2", "unknown key 'dim'"),
        ("batch = 2", "batch = -2", "dims expects"),
        ('name = "decoder"', 'name = ""', "name expects a text"),
        ("runs = 20", "runs = true", "runs expects a whole number"),
        ("runs = 20", "run = 20", "unknown key 'run'; did you mean 'runs'"),
        ("past_sequence = 4", 'past_sequence = "4"', "stage 2: dims expects"),
        ("past_sequence = 2", "past_sequence = 2.5", "stage 2: grows expects"),
        ("[1, 2]", '"one"', "stage 2: values expects"),
        ("values = { input_ids = [1, 2] }", "values = 3", "stage 2: values expects"),
        ('name = "decoder"', "shapes = { input_ids = 3 }", "stage 2: shapes expects"),
        ('model = "encoder.onnx"', "runs = 1", "stage 1 has no model"),
        ('model = "encoder.onnx"', 'model = "encoder.onnx"\nname = "decoder"', "two stages are called 'decoder'"),
        ('model = "encoder.onnx"', 'model = "none.onnx"', "cannot read 'none.onnx'"),
        ("[dims]", "dims]", "cannot read"),
    ],
)
def test_files_that_are_refused(folder: Path, old: str, new: str, says: str) -> None:
    (folder / "p.toml").write_text(GOOD.replace(old, new))
    with pytest.raises(InputError, match=says):
        load_stages("p.toml")


def test_dims_of_the_same_name_are_shared() -> None:
    earlier = {"encoder": onnxcost.estimate(ENCODER, dims={"batch": 3})}
    assert share_dims(ModelSpec(DECODER), "decoder", earlier) == [SharedDim("batch", 3, "decoder", "encoder")]
    assert share_dims(ModelSpec(DECODER, dims={"batch": 1}), "decoder", earlier) == []
    assert share_dims(ModelSpec(DECODER), "decoder", earlier, own=["batch"]) == []


@pytest.mark.parametrize(("symbol", "is_shared"), [("sequence_length", True), ("s77", False), ("unk__12", False), ("n", False)])
def test_a_dim_is_shared_where_its_name_says_what_it_is(symbol: str, is_shared: bool) -> None:
    made = model(f"(float[{symbol}, 4] x) => (float[{symbol}, 4] y) {{ y = Relu(x) }}")
    found = share_dims(ModelSpec(made), "second", {"first": onnxcost.estimate(made)})
    assert bool(found) == is_shared


@pytest.mark.parametrize(("name", "is_it"), [("encoder_hidden_states", True), ("last_hidden_state", True), ("states", False)])
def test_an_output_of_the_same_name_gives_the_shape(name: str, is_it: bool) -> None:
    reader = model(f"(float[b, source, 8] {name}) => (float[b, source, 8] y) {{ y = Relu({name}) }}")
    found = share_dims(ModelSpec(reader), "decoder", {"encoder": onnxcost.estimate(ENCODER, dims={"frames": 750})})
    expected = [SharedDim(dim, size, "decoder", "encoder", "last_hidden_state") for dim, size in (("b", 1), ("source", 750))]
    assert found == (expected if is_it else [])
