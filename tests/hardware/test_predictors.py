from __future__ import annotations

from pathlib import Path

import pytest

from onnxcost.errors import InputError
from onnxcost.hardware.catalogue import catalogue
from onnxcost.hardware.prediction import Predictor
from onnxcost.hardware.predictors import predictors

MINE = 'name = "mine"\nkind = "board"\nmemory = "1 GiB"\nbandwidth = "1 GB/s"\ncpu.peak.float32 = "1 GFLOP/s"\n'


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "mine.toml"
    path.write_text(MINE)
    return str(path)


def test_without_names_and_files_it_is_the_whole_catalogue() -> None:
    assert [each.name for each in predictors()] == list(catalogue())


def test_names_are_those_of_the_catalogue_and_of_files(file: str) -> None:
    found = predictors(["mine", "t4", "t4,memory=4GiB"], [file])
    assert [(each.name, each.figure("memory")) for each in found] == [("mine", 2**30), ("t4", 2**34), ("t4", 2**32)]


def test_a_file_without_names_is_all_of_its_devices(file: str) -> None:
    (found,) = predictors([], [file])
    protocol: Predictor = found
    assert (protocol.name, protocol.title, protocol.kind, protocol.part_of("float32")) == ("mine", "mine", "board", "cpu")
    assert protocol.part_of("complex64") == ""


def test_a_name_that_is_none(file: str) -> None:
    with pytest.raises(InputError, match="there is no device 'mime'; did you mean 'mine'"):
        predictors(["mime"], [file])
