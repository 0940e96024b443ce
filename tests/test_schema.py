"""The JSON Schema of the documents is that of their types, and what earlier versions wrote is still read.

That each document of the suite fits is checked in conftest.
"""

from __future__ import annotations

import copy
import json
import re
import tarfile
import tomllib
from collections.abc import Callable
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, is_typeddict

import jsonschema
import pytest

import onnxcost
from onnxcost.cli.app import run
from onnxcost.comparison.candidates import METRICS
from onnxcost.errors import InputError
from onnxcost.hardware.calibration import model as calibration
from onnxcost.hardware.catalogue import load_devices
from onnxcost.hardware.device import ACCUMULATES, BASES, FIGURES, KINDS
from onnxcost.hardware.limits import Limits, load_budgets
from onnxcost.hardware.prediction import LEVELS
from onnxcost.measurement import OPTIMIZATIONS
from onnxcost.scanning.results import STATUSES, Scanned
from onnxcost.schema import DOCUMENTS, FILES, RESOURCE
from scripts.json_schema import MODULES, build_schema
from tests.conftest import check_document, has_keys, validator
from tests.modeltext import model

ROOT = Path(__file__).parents[1]
ARCHIVES = sorted((ROOT / "tests" / "data").glob("documents_*.tar.xz"))
PUBLISHED = Path(onnxcost.__file__).parent / "schema" / RESOURCE
DEFINITIONS = json.loads(PUBLISHED.read_text())["$defs"]
CNN = str(ROOT / "models" / "mnist_cnn_pytorch.onnx")
RELU = model("(float[2,3] x) => (float[2,3] y) { y = Relu(x) }")


@cache
def saved(archive: Path) -> dict[str, bytes]:
    with tarfile.open(archive) as file:
        return {name: content.read() for name in file.getnames() if (content := file.extractfile(name))}


SAVED = [pytest.param(archive, name, id=f"{archive.stem}: {name}") for archive in ARCHIVES for name in saved(archive)]


def test_the_published_schema_is_that_of_the_types() -> None:
    assert json.loads(PUBLISHED.read_text()) == build_schema(), "run python -m scripts.json_schema"
    jsonschema.Draft202012Validator.check_schema(onnxcost.json_schema())


def test_each_type_is_in_the_schema() -> None:
    modules = [import_module(f"onnxcost.schema.{name}") for name in MODULES]
    types = {name: each for module in modules for name, each in vars(module).items() if is_typeddict(each)}
    keys = {name: each.__annotations__.keys() for name, each in types.items()}
    bases = {name for name in types if any(keys[name] < other for other in keys.values())}
    assert types.keys() - DEFINITIONS.keys() <= bases
    assert {*DOCUMENTS.values(), *FILES.values()} <= DEFINITIONS.keys() <= types.keys()


@pytest.mark.parametrize(
    ("of", "key", "words"),
    [
        ("DeviceDict", "kind", KINDS),
        ("FigureDict", "basis", BASES),
        ("VerdictDict", "level", LEVELS),
        ("MeasurementDict", "optimization", OPTIMIZATIONS),
        ("NotScannedDocument", "status", STATUSES),
        ("LimitsDict", "", Limits.__slots__),
        ("PeaksTable", "", ACCUMULATES),
    ],
)
def test_words_are_those_of_the_package(of: str, key: str, words: Any) -> None:
    found = DEFINITIONS[of]["properties"]
    assert set(found[key]["enum"] if key else found) == set(words)


def test_figures_of_devices_are_those_of_the_package() -> None:
    for of in ("DeviceDict", "DeviceTable"):
        assert FIGURES.keys() <= DEFINITIONS[of]["properties"].keys()


@pytest.mark.parametrize("name", ["", *DOCUMENTS, *FILES])
def test_the_command_prints_it(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["schema", *([name] if name else [])]) == 0
    assert json.loads(capsys.readouterr().out) == onnxcost.json_schema(name)


def test_another_name_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError, match="there is no document 'reports'; did you mean 'report'"):
        onnxcost.json_schema("reports")
    assert run(["schema", "nothing-like-it"]) == 2
    assert "choose from report, measurement" in capsys.readouterr().err


def _remove(document: Any) -> None:
    del document["totals"]["macs"]


def _add(document: Any) -> None:
    document["nodes"][0]["more"] = 1


def _text(document: Any) -> None:
    document["totals"]["macs"] = "6"


def _word(document: Any) -> None:
    document["bound"] = "≥"


@pytest.mark.parametrize("change", [_remove, _add, _text, _word])
def test_what_does_not_fit_is_noticed(change: Callable[[Any], None]) -> None:
    document = copy.deepcopy(onnxcost.estimate(RELU).to_dict())
    check_document(document)
    change(document)
    with pytest.raises(AssertionError, match="report: "):
        check_document(document)


def test_a_document_of_other_keys_is_noticed() -> None:
    with pytest.raises(AssertionError, match="exactly these keys: schema, version, page"):
        check_document({"schema": "onnxcost/1", "version": "1", "page": 1})


def test_an_archive_of_each_release_has_each_document() -> None:
    released = re.findall(r"^## \[\d", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert len(ARCHIVES) >= max(len(released), 1), "run python -m scripts.save_documents"
    assert {Path(name).stem for name in saved(ARCHIVES[0])} == {*DOCUMENTS, *FILES}


@pytest.mark.parametrize(("archive", "name"), SAVED)
def test_what_was_saved_fits_the_schema(archive: Path, name: str) -> None:
    text, kind = saved(archive)[name].decode(), Path(name).stem
    match Path(name).suffix:
        case ".json":
            document = json.loads(text)
            check_document(document, kind)
            assert has_keys(kind, document)
        case ".toml":
            plain = json.loads(json.dumps(tomllib.loads(text), default=str))
            validator(kind).validate(plain)


@pytest.mark.parametrize("archive", ARCHIVES, ids=lambda archive: archive.stem)
def test_what_was_saved_is_read(archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, content in saved(archive).items():
        (tmp_path / name).write_bytes(content)
    report = json.loads((tmp_path / "report.json").read_text())
    candidate = onnxcost.compare([tmp_path / "report.json", CNN], run=False).candidates[0]
    assert candidate.values["macs"] == report["totals"]["macs"]
    assert candidate.values["latency"] == report["measurement"]["latency"]["median"]
    assert candidate.values.keys() <= METRICS.keys()
    assert len(candidate.nodes) == len(report["nodes"])
    for row in json.loads((tmp_path / "scan.json").read_text())["models"]:
        assert Scanned.from_dict(row).to_dict() == row
    found = calibration.load(tmp_path / "calibration-file.toml")
    assert found.machine.device
    assert found.speeds
    assert [device.name for device in load_devices(tmp_path / "device-file.toml")] == ["coral-edge-tpu"]
    assert [budget.limits.fps for budget in load_budgets(tmp_path / "budget-file.toml")] == [30]
    assert run(["budget", CNN, "--device-file", str(tmp_path / "device-file.toml")]) == 1
    assert "coral-edge-tpu does not fit: has no float32" in capsys.readouterr().err


DEVICE_FILES = sorted((Path(onnxcost.__file__).parent / "hardware" / "catalogue").glob("*.toml"))


@pytest.mark.parametrize("path", DEVICE_FILES, ids=lambda path: path.stem)
def test_the_catalog_fits_the_schema_of_device_files(path: Path) -> None:
    plain = json.loads(json.dumps(tomllib.loads(path.read_text()), default=str))
    validator("device-file").validate(plain)
