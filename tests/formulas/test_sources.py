"""Where formulas come from: common families first, then all, then installed packages; a user's file."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

import pytest

from onnxcost import formulas
from onnxcost.errors import InputError
from onnxcost.formulas import FORMULAS, per_output

MINE = {"my.Op": per_output("Y = 2·X", muls=1)}


class Point:
    """An entry point of an installed package."""

    name, value = "mine", "package:table"

    def __init__(self, table: object) -> None:
        self.table = table

    def load(self) -> object:
        if isinstance(self.table, Exception):
            raise self.table
        return self.table


@pytest.fixture
def register(monkeypatch: pytest.MonkeyPatch):
    def register(table: object) -> None:
        formulas.load_installed.cache_clear()
        monkeypatch.setattr(metadata, "entry_points", lambda group: [Point(table)] if group == "onnxcost.formulas" else [])

    yield register
    formulas.load_installed.cache_clear()


def test_the_common_families_are_enough_for_most_models() -> None:
    common = formulas.select_formulas({"Conv", "Relu", "Gemm"})
    assert common.keys() < FORMULAS.keys()
    assert all(common[name].maths == FORMULAS[name].maths for name in common)


def test_a_rarer_operator_asks_for_the_catalogue() -> None:
    assert formulas.select_formulas({"Conv", "ai.onnx.ml.Scaler"}) is FORMULAS


def test_an_unknown_operator_asks_the_installed_packages(register) -> None:
    register(MINE)
    assert formulas.select_formulas({"Conv", "my.Op"})["my.Op"] is MINE["my.Op"]


def test_our_own_formulas_come_before_those_of_packages(register) -> None:
    register(MINE | {"Conv": MINE["my.Op"]})
    assert formulas.select_formulas({"my.Op"})["Conv"] is FORMULAS["Conv"]


def test_an_entry_point_that_is_no_table_is_refused(register) -> None:
    register("no table")
    with pytest.raises(InputError, match=r"'mine' of onnxcost\.formulas is no table"):
        formulas.select_formulas({"my.Op"})


@pytest.mark.parametrize("error", [ImportError("no module 'package'"), AttributeError("no table"), ZeroDivisionError("1 / 0")])
def test_an_entry_point_that_does_not_load_is_refused(register, error: Exception) -> None:
    register(error)
    says = rf"'mine' of onnxcost\.formulas cannot be loaded: {type(error).__name__}: .*the package of 'package:table'$"
    with pytest.raises(InputError, match=says):
        formulas.select_formulas({"my.Op"})


BAD = {
    "missing": (None, "there is no file of formulas"),
    "a syntax error": ("FORMULAS = {", "does not run: SyntaxError"),
    "an exception": ("raise ValueError('no')", "does not run: ValueError: no"),
    "an end of the process": ("import sys; sys.exit(0)", "does not run: SystemExit: 0"),
    "no table": ("OTHER = {}", "defines no table FORMULAS"),
    "no callables": ("FORMULAS = {'my.Op': 3}", "defines no table FORMULAS"),
}


@pytest.mark.parametrize(("code", "says"), BAD.values(), ids=BAD.keys())
def test_a_file_that_is_no_table_is_refused_in_one_line(tmp_path: Path, code: str | None, says: str) -> None:
    path = tmp_path / "mine.py"
    if code is not None:
        path.write_text(code)
    with pytest.raises(InputError, match=says) as refusal:
        formulas.load_file(str(path))
    assert "\n" not in str(refusal.value)
