"""Numbers and documents from outside: what is taken, and that what is not says where it is."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from math import inf, nan
from pathlib import Path

import pytest

from onnxcost import files
from onnxcost.documents import UNITS, is_figure, is_whole, parse_json, parse_number, parse_quantity, parse_toml, read_toml
from onnxcost.errors import InputError


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("0", True),
        ("007", True),
        ("9223372036854775807", True),
        ("9223372036854775808", False),
        ("9" * 400, False),
        ("9" * 5000, False),
        *((text, False) for text in ("", " 1", "-1", "+1", "1.0", "1e3", "1_000", "0x10", "²", "١٢", "１２", "१", "nan")),
    ],
)
def test_what_is_a_whole_number(text: str, is_one: bool) -> None:
    assert is_whole(text) is is_one


@pytest.mark.parametrize(
    ("text", "value"), [("1", 1), ("-1.5", -1.5), ("+.5", 0.5), ("2.", 2), ("1e3", 1000), (" 1E-3 ", 0.001), ("1e-999", 0)]
)
def test_numbers(text: str, value: float) -> None:
    assert parse_number(text) == value


@pytest.mark.parametrize(
    "text", ["", "nan", "-inf", "Infinity", "1_000", "1e", "e3", "1 2", "²", "١", "0x1p3", "1e999", "9" * 400]
)
def test_bad_numbers_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a number|is too large"):
        parse_number(text)


@pytest.mark.parametrize(
    ("text", "unit", "value"),
    [
        ("1.5 KiB", "bytes", 1536),
        ("2ms", "seconds", 0.002),
        ("5", "count", 5),
        ("5 KB", "seconds", None),
        ("-1", "count", None),
        ("nan", "count", None),
        ("inf", "count", None),
        ("1e3", "count", None),
        ("١", "count", None),
        ("9" * 400, "count", None),
        ("9" * 300 + "T", "count", None),
    ],
)
def test_quantities(text: str, unit: str, value: float | None) -> None:
    found = parse_quantity(text, UNITS[unit])
    assert found == (None if value is None else pytest.approx(value))


@pytest.mark.parametrize(
    ("value", "is_one"),
    [
        (0, True),
        (10**2000, True),
        (0.5, True),
        *((value, False) for value in (-1, -0.1, nan, inf, True, False, None, "1", [1], {})),
    ],
)
def test_what_is_a_figure_of_a_document(value: object, is_one: bool) -> None:
    assert is_figure(value) is is_one


TOML = {
    "NaN": ("a.b = nan", "'a.b' is nan: a finite number is expected"),
    "infinity in a list": ("a = [1, [2, -inf]]", "'a.1.1' is -inf: a finite number is expected"),
    "an integer of 20 digits": ("a = 10_000_000_000_000_000_000", "'a' is an integer of 64 bits: that is too large"),
    "an integer of 5,000 digits": ("b = 1\nmemory = " + "9" * 5000, "line 2 (memory = 9"),
    "an integer of 5,000 hexadecimal digits": ("a = 0x" + "f" * 5000, "'a' is an integer of 20000 bits"),
    "lists 5,000 deep": ("a = " + "[" * 5000 + "]" * 5000, "nested more than 64 levels deep"),
    "tables 5,000 deep": ("a = " + "{a = " * 5000 + "1" + "}" * 5000, "nested more than 64 levels deep"),
    "keys 2,000 deep": (".".join("a" * 2000) + " = 1", "nested more than 64 levels deep"),
    "no TOML": ("a = ", "Invalid value"),
}


@pytest.mark.parametrize(("text", "says"), TOML.values(), ids=TOML)
def test_toml_that_is_refused(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(InputError) as refused:
        read_toml(path)
    assert str(refused.value).startswith(f"cannot read '{path}': ")
    assert says in str(refused.value)


def test_toml_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_bytes(b"a = '\xff'")
    for path, says in ((tmp_path / "mine.toml", "utf-8"), (tmp_path / "no.toml", "No such file"), (tmp_path, "directory")):
        with pytest.raises(InputError, match=says):
            read_toml(path)


def test_toml_that_is_taken() -> None:
    document = parse_toml("a = 9223372036854775807\nb = [-0.0, 1e300]\nc.d = true", "x")
    assert document == {"a": 2**63 - 1, "b": [0.0, 1e300], "c": {"d": True}}


JSON = {
    "NaN": ('{"a": {"b": NaN}}', "'a.b' is nan: a finite number is expected"),
    "infinity": ('{"a": [0, -Infinity]}', "'a.1' is -inf: a finite number is expected"),
    "more than a float": ('{"a": 1e999}', "'a' is inf: a finite number is expected"),
    "5,000 digits": ('{"a": ' + "9" * 5000 + "}", "'a' is inf: a finite number is expected"),
    "a key twice": ('{"a": {"b": 1, "b": 1}}', "the key 'b' appears twice"),
    "100,000 deep": ("[" * 100_000 + "]" * 100_000, "nested more than 64 levels deep"),
    "100 deep": ("[" * 100 + "]" * 100, "nested more than 64 levels deep"),
    "no JSON": ("{", "Expecting"),
}


@pytest.mark.parametrize(("text", "says"), JSON.values(), ids=JSON)
def test_json_that_is_refused(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says.partition(":")[0]) as refused:
        parse_json(text)
    assert says in str(refused.value)


def test_json_that_is_taken() -> None:
    assert parse_json(b'{"a": [1, -0.5, null, true, "b"], "c": ' + b"9" * 1300 + b"}") == {
        "a": [1, -0.5, None, True, "b"],
        "c": int("9" * 1300),
    }


def test_a_pipe_without_a_writer_does_not_hold_the_reader_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "WRITER_TIMEOUT", 0.1)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="it is a pipe, and nothing was written to it"):
        read_toml(tmp_path / "pipe")


def test_a_document_is_read_from_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit((tmp_path / "pipe").write_text, "fps = 30\n" + "# long\n" * 100_000)
        assert read_toml(tmp_path / "pipe") == {"fps": 30}
        writing.result()
