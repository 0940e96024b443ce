"""``onnxcost devices`` as people use it."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from onnxcost.cli.app import cli
from onnxcost.hardware.catalogue import catalogue

MINE = """
name = "my-board"
kind = "board"
source = "sheet"
memory = "4 GiB"
bandwidth = { value = "10 GB/s", how = "5 GT/s × 2 B" }
price = { value = "1500 USD", basis = "unverified" }
cpu.title = "4 × Mine"
cpu.clock = "1 GHz"
cpu.clock_basis = "base"
cpu.peak.float32 = "50 GFLOP/s"
cpu.peak.int8 = "0.2 TOP/s"
[sources]
sheet = { title = "My datasheet", url = "https://example.com/sheet", date = 2026-01-02 }
"""


def invoke(*arguments: str, width: int = 100) -> Result:
    return CliRunner(env={"COLUMNS": str(width)}).invoke(cli, ["devices", *arguments])


def printed(*arguments: str, width: int = 100) -> str:
    result = invoke(*arguments, width=width)
    assert (result.exit_code, result.stderr) == (0, "")
    return result.stdout


def refused(*arguments: str) -> str:
    result = invoke(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.count("\n") == 1
    return result.stderr.removeprefix("onnxcost: error: ").rstrip()


@pytest.fixture
def mine(tmp_path: Path) -> str:
    path = tmp_path / "mine.toml"
    path.write_text(MINE, encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("width", [60, 80, 100, 200])
def test_the_list_has_every_device_by_its_whole_name_and_fits(width: int) -> None:
    text = printed(width=width)
    first = [line.split()[0] for line in text.splitlines() if line.strip()]
    assert set(catalogue()) <= set(first)
    assert max(map(len, text.splitlines())) <= width


def test_a_row_of_the_list(mine: str) -> None:
    text = printed("board", "--kind", "board", "--device-file", mine)
    row = next(line.split() for line in text.splitlines() if "my-board" in line)
    assert row == ["my-board", "50", "G", "–", "200", "G", "10", "GB/s*", "4", "GiB", "–", "$1,500?"]
    assert "* derived, ~ reported by a third party, ? not verified." in " ".join(text.split())


FILTERS = {
    "a word of the name": (["hailo"], {"hailo-8", "hailo-8l", "hailo-10h", "hailo-15h"}),
    "words of anywhere": (["amd", "gpu"], {"mi210", "mi250", "mi250x", "mi300x"}),
    "any case": (["GEFORCE", "4090"], {"rtx-4090"}),
    "a kind": (
        ["--kind", "accelerator"],
        {"axelera-metis", "coral-edge-tpu", "hailo-8", "hailo-8l", "hailo-10h", "hailo-15h"},
    ),
    "kinds": (
        ["--kind", "phone", "--kind", "laptop", "apple"],
        {"apple-m1", "apple-m2", "apple-m3", "apple-m4", "iphone-15-pro"},
    ),
}


@pytest.mark.parametrize(("arguments", "names"), FILTERS.values(), ids=FILTERS.keys())
def test_words_and_kinds_choose_devices(arguments: list[str], names: set[str]) -> None:
    found = json.loads(printed(*arguments, "--format", "json"))["devices"]
    assert {device["name"] for device in found} == names


SHEET = """\
my-board  my-board · board
  Memory             4 GiB  published   [1]
  Bandwidth        10 GB/s  derived     [1]  5 GT/s × 2 B
  Launch price      $1,500  unverified  [1]

  CPU: 4 × Mine
  clock              1 GHz  published   [1]  base
  float32       50 GFLOP/s  published   [1]
  int8           200 GOP/s  published   [1]  sums in int32

  [1] My datasheet, 2026-01-02
      https://example.com/sheet
"""


def test_a_name_shows_one_with_the_origin_of_each_figure(mine: str) -> None:
    assert printed("my-board", "--device-file", mine) == SHEET


def test_changes_by_the_user_are_marked() -> None:
    text = printed("jetson-orin-nano-8gb,memory=4GiB,int8=10TOPS")
    assert "  Memory                4 GiB  given       [1]\n" in text
    assert "  [1] the command line\n" in text


@pytest.mark.parametrize("name", catalogue())
def test_every_device_can_be_shown(name: str) -> None:
    text = printed(name, width=80)
    assert text.startswith(name)
    assert all(len(line) <= 80 for line in text.splitlines() if "://" not in line)


def test_json_has_each_figure_in_base_units_with_its_origin(mine: str) -> None:
    (device,) = json.loads(printed("my-board", "--device-file", mine, "--format", "json"))["devices"]
    origin = {"source": "My datasheet", "url": "https://example.com/sheet", "date": "2026-01-02"}
    assert device["memory"] == {"value": 2**32, "basis": "published", **origin, "how": ""}
    assert device["bandwidth"] == {"value": 10**10, "basis": "derived", **origin, "how": "5 GT/s × 2 B"}
    assert device["power"] is None
    (part,) = device["parts"]
    assert (part["kind"], part["clock"]["value"], part["clock_basis"], part["boost"]) == ("cpu", 10**9, "base", None)
    assert [(peak["dtype"], peak["value"], peak["accumulate"]) for peak in part["peaks"]] == [
        ("float32", 50 * 10**9, "float32"),
        ("int8", 2 * 10**11, "int32"),
    ]


def test_csv_of_the_list_has_a_line_a_device() -> None:
    rows = {row["name"]: row for row in csv.DictReader(io.StringIO(printed("--format", "csv")))}
    assert rows.keys() == catalogue().keys()
    row = rows["h100-pcie"]
    assert (row["float16"], row["int8"], row["bandwidth"], row["memory"]) == (
        "756000000000000", "1513000000000000", "2000000000000", str(80 * 2**30),
    )  # fmt: skip
    assert row["price"] == ""


def test_csv_of_one_has_a_line_a_figure(mine: str) -> None:
    rows = list(csv.DictReader(io.StringIO(printed("my-board", "--device-file", mine, "--format", "csv"))))
    assert [(row["part"], row["figure"], row["value"], row["basis"]) for row in rows] == [
        ("", "memory", str(2**32), "published"),
        ("", "bandwidth", "10000000000", "derived"),
        ("", "price", "1500", "unverified"),
        ("cpu", "clock", "1000000000", "published"),
        ("cpu", "float32", "50000000000", "published"),
        ("cpu", "int8", "200000000000", "published"),
    ]


def test_markdown(mine: str) -> None:
    listed = printed("my-board", "--kind", "board", "--format", "markdown", "--device-file", mine)
    assert "| CPU | int8 | 200 GOP/s | published | 1 | sums in int32 |" in listed
    assert "1. My datasheet, 2026-01-02 https://example.com/sheet\n" in listed
    table = printed("hailo", "--format", "markdown")
    assert "| hailo-8l | accelerator | – | – | 13 T | – | – | 1.5 W? | $70? |" in table


def test_a_file_gets_the_format_of_its_suffix(tmp_path: Path) -> None:
    assert printed("-o", str(tmp_path / "devices.csv")) == ""
    assert (tmp_path / "devices.csv").read_text(encoding="utf-8").count("\n") == len(catalogue()) + 1


WRONG = {
    "a slip": (["jetsn-nano"], "there is no device with 'jetsn-nano'; did you mean 'jetson-nano'"),
    "a slip in a change": (["t4,memroy=4GiB"], "--device cannot change 'memroy'; did you mean 'memory'?"),
    "nothing near": (["toaster"], "there is no device with 'toaster': onnxcost devices lists all"),
    "not of the kind": (["t4", "h100", "--kind", "cpu"], "there is no device of the kind cpu with 't4 h100'"),
    "no file": (["--device-file", "none.toml"], "cannot read 'none.toml': No such file or directory"),
}


@pytest.mark.parametrize(("arguments", "message"), WRONG.values(), ids=WRONG.keys())
def test_unknown_devices_are_refused_in_one_line(arguments: list[str], message: str) -> None:
    assert refused(*arguments).startswith(message)


def test_the_file_in_the_help_is_one(tmp_path: Path) -> None:
    path = tmp_path / "example.toml"
    lines = [line.strip() for line in printed("--help").splitlines() if " = " in line]
    path.write_text("\n".join(lines), encoding="utf-8")
    assert "  float32    50 GFLOP/s  given  " in printed("my-board", "--device-file", str(path))


def test_ascii(mine: str) -> None:
    result = CliRunner(env={"COLUMNS": "80"}, charset="ascii").invoke(cli, ["devices", "my-board", "--device-file", mine])
    assert result.exit_code == 0
    assert "CPU: 4 x Mine" in result.stdout
