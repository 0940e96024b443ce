"""External data: read inside the model's folder alone, and never under a name that is written to."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper

from onnxcost.errors import MeasurementError
from onnxcost.estimator import estimate
from onnxcost.frontend.file_kinds import NOT_STORED
from onnxcost.frontend.synthetic_weights.fill import DATA, MODEL, fill_weights, find_absent_weights
from tests.modeltext import model

DATA_OF_W = np.arange(300, dtype=np.float32)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder with data and with all kinds of what is none."""
    home, outside = tmp_path / "home", tmp_path / "outside"
    (home / "sub").mkdir(parents=True)
    outside.mkdir()
    for path in (home / "w.bin", home / "sub" / "w.bin", outside / "w.bin", outside / "linked"):
        path.write_bytes(DATA_OF_W.tobytes())
    for name, target in {
        "inside": "w.bin", "folder-inside": "sub", "out": outside / "w.bin", "folder-out": outside, "zero": "/dev/zero",
        "loop": "loop", "nowhere": outside / "none",
    }.items():  # fmt: skip
        (home / name).symlink_to(target)
    os.mkfifo(home / "pipe")
    (home / "hard").hardlink_to(outside / "linked")
    return home


def external(name: str, *dims: int, **where: str) -> TensorProto:
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=dims or (300,), data_location=TensorProto.EXTERNAL)
    for key, value in where.items():
        tensor.external_data.add(key=key, value=value)
    return tensor


def written(home: Path, *tensors: TensorProto) -> Path:
    """A model that adds the tensors up."""
    names = ", ".join(tensor.name for tensor in tensors)
    made = model(f"() => (float[n] y) {{ y = Sum({names}) }}")
    made.graph.initializer.extend(tensors)
    (home / "model.onnx").write_bytes(made.SerializeToString())
    return home / "model.onnx"


OUTSIDE: dict[str, Callable[[Path], str]] = {
    "parent": lambda home: "../outside/w.bin",
    "parent, and back": lambda home: "../home/w.bin",
    "parent of a folder": lambda home: "sub/../../outside/w.bin",
    "absolute": lambda home: "/etc/passwd",
    "absolute, twice": lambda home: "//etc/passwd",
    "absolute, inside": lambda home: str(home / "w.bin"),
    "symbolic link": lambda home: "out",
    "through a symbolic link": lambda home: "folder-out/w.bin",
    "symbolic link to nothing": lambda home: "nowhere",
    "device": lambda home: "zero",
    "pipe": lambda home: "pipe",
    "folder": lambda home: "sub",
    "model's folder": lambda home: ".",
    "loop": lambda home: "loop",
    "zero byte": lambda home: "w.bin\0",
    "long": lambda home: "x" * 100_000,
}


@pytest.mark.skipif(os.name != "posix", reason="links and pipes")
@pytest.mark.parametrize("has_absent", [False, True])
@pytest.mark.parametrize("kind", OUTSIDE)
def test_what_is_outside_is_refused(kind: str, has_absent: bool, home: Path, tmp_path: Path) -> None:
    tensors = [external("w", location=OUTSIDE[kind](home)), *([external("v")] if has_absent else [])]
    with pytest.raises(MeasurementError, match=r"the weight 'w' (lies|cannot be read)") as caught:
        fill_weights(written(home, *tensors), tmp_path)
    assert len(str(caught.value)) < 300
    assert {path.name for path in tmp_path.iterdir()} == {"home", "outside"}


@pytest.mark.skipif(os.name != "posix", reason="links")
@pytest.mark.parametrize(
    "location", ["w.bin", "./w.bin", "sub/../w.bin", "sub//w.bin", "inside", "folder-inside/w.bin", "hard"]
)
def test_what_is_inside_is_copied(location: str, home: Path, tmp_path: Path) -> None:
    room = tmp_path / "room"
    room.mkdir()
    path = written(home, external("w", location=location), external("v"), external("u", 100, location="w.bin", offset="400"))
    assert [tensor.name for tensor in find_absent_weights(path)] == ["v"]
    filled = onnx.load(fill_weights(path, room))
    arrays = {tensor.name: numpy_helper.to_array(tensor) for tensor in filled.graph.initializer}
    assert (arrays["w"] == DATA_OF_W).all()
    assert (arrays["u"] == DATA_OF_W[100:200]).all()
    assert arrays["v"].std() > 0
    assert {file.name for file in room.iterdir()} == {MODEL, DATA}
    assert all(file.stat().st_mode & 0o077 == 0 and file.stat().st_nlink == 1 for file in room.iterdir())


@pytest.mark.parametrize("location", ["", "none", "none/../w.bin", "w.bin/x", NOT_STORED, "*/_ORT_MEM_ADDR_/*"])
def test_what_is_nowhere_is_absent(location: str, home: Path) -> None:
    (home / NOT_STORED).write_bytes(DATA_OF_W.tobytes())
    assert [tensor.name for tensor in find_absent_weights(written(home, external("w", location=location)))] == ["w"]


@pytest.mark.parametrize("name", [DATA, MODEL, "stderr.txt", "optimized.onnx", "optimized.onnx.weights", "lock"])
def test_no_file_of_the_models_is_written_to(name: str, home: Path, tmp_path: Path) -> None:
    room = tmp_path / "room"
    room.mkdir()
    (home / name).write_bytes(DATA_OF_W.tobytes())
    path = written(home, external("w", location=name), external("v"))
    made = onnx.load(fill_weights(path, room))
    assert (numpy_helper.to_array(made.graph.initializer[0]) == DATA_OF_W).all()
    assert (home / name).read_bytes() == DATA_OF_W.tobytes()
    assert (home / name).stat().st_nlink == 1
    assert {file.name for file in room.iterdir()} == {MODEL, DATA}


def test_an_existing_file_is_not_replaced(home: Path, tmp_path: Path) -> None:
    (tmp_path / DATA).symlink_to(home / "w.bin")
    with pytest.raises(MeasurementError, match="File exists"):
        fill_weights(written(home, external("v")), tmp_path)
    assert (home / "w.bin").read_bytes() == DATA_OF_W.tobytes()


@pytest.mark.parametrize("key", ["offset", "length"])
@pytest.mark.parametrize("text", ["-4", "²", "٣", " 0", "+0", "1e3", "nan", "", "9" * 20, "9" * 5000])
def test_an_offset_that_is_no_number_is_refused(text: str, key: str, home: Path) -> None:
    with pytest.raises(MeasurementError, match=f"the weight 'w' has the {key} '") as caught:
        find_absent_weights(written(home, external("w", location="w.bin", **{key: text})))
    assert len(str(caught.value)) < 300


def test_a_length_that_is_not_the_tensors_is_refused(home: Path) -> None:
    with pytest.raises(MeasurementError, match="takes 1,200 bytes, but has 1,204 in its file"):
        find_absent_weights(written(home, external("w", location="w.bin", length="1204")))


def test_weights_that_no_disk_holds_are_refused_before_they_are_written(home: Path, tmp_path: Path) -> None:
    with pytest.raises(MeasurementError, match="MiB free: set TMPDIR"):
        fill_weights(written(home, external("w", 10**8, 10**8)), tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"home", "outside"}


@pytest.mark.skipif(os.name != "posix", reason="links")
def test_a_linked_model_has_its_data_next_to_its_target(home: Path, tmp_path: Path) -> None:
    """As in the caches of model hubs: both links lead into one folder."""
    (home / "blob").write_bytes(written(home, external("w", location="data.bin")).read_bytes())
    snapshot = tmp_path / "snapshot"
    snapshot.mkdir()
    (snapshot / "model.onnx").symlink_to(home / "blob")
    (snapshot / "data.bin").symlink_to(home / "w.bin")
    assert find_absent_weights(snapshot / "model.onnx") == ()


@pytest.mark.parametrize("where", ["attribute", "initializer"])
def test_counting_looks_for_no_data_in_the_working_directory(
    where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shape that a file decides stays open: nothing is read."""
    monkeypatch.chdir(tmp_path)
    Path("w.bin").write_bytes(np.array([3, 2]).tobytes())
    shape = TensorProto(name="s", data_type=TensorProto.INT64, dims=[2], data_location=TensorProto.EXTERNAL)
    shape.external_data.add(key="location", value="w.bin")
    made = model("(float[2,3] x) => (float[n,m] y) { s = Constant<value_ints = [1]>() y = Reshape(x, s) }")
    if where == "attribute":
        made.graph.node[0].attribute[0].CopyFrom(onnx.helper.make_attribute("value", shape))
    else:
        del made.graph.node[0]
        made.graph.initializer.append(shape)
    opened: list[object] = []
    sys.addaudithook(lambda event, arguments: opened.append(arguments[0]) if event == "open" else None)
    report = estimate(made)
    assert not [path for path in opened if "w.bin" in str(path)]
    assert report.graph.outputs[0].dims != (3, 2)
