"""Inputs from files: what they hold is fed, one after the other; what does not fit is refused in one line."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from onnxcost.errors import InputError
from onnxcost.estimator import estimate_spec
from onnxcost.runtime.inputs.feeds import arrays, describe_inputs, feeds_of
from onnxcost.spec import ModelSpec, parse_input_files
from tests.modeltext import model

MODEL = "(float[N,3] x, int64[N] ids) => (float[N,3] y, int64[N] z) { y = Neg(x) z = Neg(ids) }"
Array = np.ndarray[Any, Any]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def save(**named: Array | dict[str, Array]) -> None:
    """Each as NAME.npy, or NAME.npz where it is several."""
    for name, held in named.items():
        if isinstance(held, dict):
            np.savez(f"{name}.npz", **held)
        else:
            np.save(f"{name}.npy", held)


def filled(number: float, dims: tuple[int, ...] = (2, 3), dtype: str = "float32") -> Array:
    return np.full(dims, number, dtype)


def fed(arguments: list[str], graph: str = MODEL) -> tuple[list[dict[str, Any]], list[str]]:
    """All sets of arrays for ``--input`` arguments, and where they come from."""
    files = parse_input_files(arguments)
    found = estimate_spec(ModelSpec(model(graph), inputs=files)).graph
    feeds = feeds_of(found, {}, files)
    return arrays(feeds, 0), [each.source for each in describe_inputs(feeds)]


def test_files_are_cycled(folder: Path) -> None:
    save(a=filled(1), b=filled(2), c=filled(3), i=filled(7, (2,), "int64"), j=filled(8, (2,), "int64"))
    sets, sources = fed(["x=a.npy", "x=b.npy", "x=c.npy", "ids=i.npy", "ids=j.npy"])
    assert [(made["x"].ravel()[0], made["ids"][0]) for made in sets] == [(1, 7), (2, 8), (3, 7)]
    assert sources == ["a.npy and 2 more, one after the other", "i.npy and 1 more, one after the other"]


def test_inputs_without_a_file_are_synthetic_and_fit_it(folder: Path) -> None:
    save(a=filled(1, (5, 3)))
    (made,), sources = fed(["x=a.npy"])
    assert made["ids"].shape == (5,)
    assert sources[0] == "a.npy"
    assert sources[1].startswith("synthesised: ")


ARCHIVES: dict[str, tuple[dict[str, Array], list[str], float]] = {
    "arrays by the names of the inputs": ({"x": filled(1), "ids": filled(7, (2,), "int64")}, ["all.npz"], 1),
    "the array of its name": ({"x": filled(1), "other": filled(2)}, ["x=all.npz"], 1),
    "the only array, whatever its name": ({"arr_0": filled(3)}, ["x=all.npz"], 3),
}


@pytest.mark.parametrize("name", ARCHIVES)
def test_archives_hold_arrays_for_inputs(name: str, folder: Path) -> None:
    held, arguments, number = ARCHIVES[name]
    save(all=held)
    (made,), _ = fed(arguments)
    assert np.array_equal(made["x"], filled(number))
    assert ("ids" not in held) or np.array_equal(made["ids"], held["ids"])


def test_a_compressed_archive_is_read(folder: Path) -> None:
    np.savez_compressed("all.npz", x=filled(4))
    assert fed(["all.npz"])[0][0]["x"].tolist() == [[4] * 3] * 2


CONVERTED: dict[str, tuple[Array, str, str]] = {
    "narrower floats": (filled(0.5, dtype="float16"), "float32", "a.npy, float16 as float32"),
    "small integers as floats": (filled(255, dtype="uint8"), "float32", "a.npy, uint8 as float32"),
    "the other byte order": (filled(0.5, dtype=">f4"), "float32", "a.npy, >f4 as float32"),
    "columns first": (np.asfortranarray(filled(1)), "float32", "a.npy"),
}


@pytest.mark.parametrize("name", CONVERTED)
def test_types_are_converted_where_no_value_can_change(name: str, folder: Path) -> None:
    array, dtype, source = CONVERTED[name]
    save(a=array)
    (made,), sources = fed(["x=a.npy"])
    assert made["x"].dtype == np.dtype(dtype)
    assert made["x"].flags.c_contiguous
    assert np.array_equal(made["x"], array)
    assert sources[0] == source


def test_strings_are_read(folder: Path) -> None:
    save(a=np.array(["one", "three"]))
    (made,), _ = fed(["x=a.npy"], "(string[2] x) => (string[2] y) { y = Identity(x) }")
    assert (made["x"].dtype.kind, made["x"].tolist()) == ("O", ["one", "three"])


def test_types_that_numpy_lacks_are_read_by_their_bits(folder: Path) -> None:
    import ml_dtypes

    save(a=np.array([1.5, 2], ml_dtypes.bfloat16))
    (made,), _ = fed(["x=a.npy"], "(bfloat16[2] x) => (bfloat16[2] y) { y = Identity(x) }")
    assert made["x"].data_type() == "tensor(bfloat16)"


VALUES: dict[str, tuple[list[Array], list[int] | None]] = {
    "small integers": ([filled(7, (2,), "int64")], [7, 7]),
    "alike in all files": ([filled(7, (2,), "int64")] * 2, [7, 7]),
    "not alike": ([filled(7, (2,), "int64"), filled(8, (2,), "int64")], None),
    "truth": ([np.array(True)], True),
    "floats": ([filled(7)], None),
    "many": ([filled(7, (1025,), "int64")], None),
}  # type: ignore[dict-item]


@pytest.mark.parametrize("name", VALUES)
def test_values_that_may_decide_shapes_are_read(name: str, folder: Path) -> None:
    held, expected = VALUES[name]
    save(**{f"f{index}": array for index, array in enumerate(held)})
    values = ModelSpec(None, inputs={"x": [f"f{index}.npy" for index in range(len(held))]}).read_inputs().values
    assert {name: array.tolist() for name, array in values.items()} == ({} if expected is None else {"x": expected})


REFUSED: dict[str, tuple[list[str], str]] = {
    "no name": (["a.npy"], r"--input needs the name of the input for 'a\.npy': --input NAME=a\.npy"),
    "no file": (["x="], r"--input expects NAME=FILE\.npy or FILE\.npz, not 'x='"),
    "an empty name": (["=a.npy"], r"--input expects NAME=FILE\.npy or FILE\.npz, not '=a\.npy'"),
    "a missing file": (["x=none.npy"], r"cannot read 'none\.npy': No such file or directory"),
    "a missing archive": (["none.npz"], r"cannot read 'none\.npz': No such file or directory"),
    "a folder": (["x=."], r"cannot read '\.': Is a directory"),
    "no such input": (["u=a.npy"], "the model has no input 'u'"),
    "an archive for no input": (["odd.npz"], "the model has no input 'u'"),
    "an archive without the array": (["x=two.npz"], r"'two\.npz' has no array for input 'x': it has 'u', 'v'"),
    "not an array": (["x=text.npy"], r"cannot read 'text\.npy': it is not a \.npy or \.npz file of plain elements"),
    "half an array": (["x=half.npy"], r"cannot read 'half\.npy'.*or it is truncated"),
    "half an archive": (["x=half.npz"], r"cannot read 'half\.npz'"),
    "objects": (["x=objects.npy"], r"'objects\.npy' has Python objects or records"),
    "records": (["x=records.npy"], r"'records\.npy' has Python objects or records"),
    "different shapes": (["x=a.npy", "x=long.npy"], r"differ in shape: 'a\.npy' has \[2, 3\], 'long\.npy' \[4, 3\]"),
    "another rank": (["x=flat.npy"], "input 'x' has 2 dims, but the given shape has 1"),
    "a dim that is fixed otherwise": (["x=wide.npy"], "dim 1 of input 'x' is fixed at 3 in the model, but 4 was given"),
    "dims of one name": (["x=a.npy", "ids=i.npy"], "dim 'N' was given as 2 and, through 'ids', as 4"),
    "a wider type": (["x=double.npy"], r"'x' is of type float32, 'double\.npy' of float64: .* astype\('float32'\)"),
    "floats for integers": (["ids=flat.npy"], r"'ids' is of type int64, 'flat\.npy' of float32: .* astype\('int64'\)"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_fit_is_refused_in_one_line(name: str, folder: Path) -> None:
    records = np.zeros((2, 3), [("a", "f4"), ("b", "f4")])
    save(a=filled(1), long=filled(1, (4, 3)), wide=filled(1, (2, 4)), flat=filled(1, (6,)), double=filled(1, dtype="float64"))
    save(i=filled(1, (4,), "int64"), objects=np.array([[{}, None]]), records=records)
    save(odd={"u": filled(1)}, two={"u": filled(1), "v": filled(1)})
    (folder / "text.npy").write_text("1 2 3")
    for half in ("half.npy", "half.npz"):
        whole = (folder / f"{'a' if half.endswith('npy') else 'two'}{half[4:]}").read_bytes()
        (folder / half).write_bytes(whole[: len(whole) - 8])
    arguments, message = REFUSED[name]
    with pytest.raises(InputError, match=message) as caught:
        fed(arguments)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


def test_a_value_wins_over_a_file(folder: Path) -> None:
    save(a=filled(1))
    feeds = feeds_of(estimate_spec(ModelSpec(model(MODEL), {"x": (2, 3)})).graph, {"x": filled(9)}, {"x": ["a.npy"]})
    assert arrays(feeds, 0)[0]["x"].tolist() == [[9] * 3] * 2


def test_an_array_is_not_read_from_a_pipe(folder: Path) -> None:
    os.mkfifo("pipe.npy")
    with pytest.raises(InputError, match="it is a pipe, but arrays are read more than once"):
        fed(["x=pipe.npy"])
