"""The file that a scan goes on from: what is read from it, whatever state it was left in."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import onnxcost
from onnxcost.errors import InputError
from onnxcost.scanning.checkpoint import Checkpoint, merge_checkpoints, open_checkpoint
from onnxcost.scanning.results import Scanned, Stamp, key_of, stamp_of
from tests.modeltext import model

OPTIONS: dict[str, Any] = {"shapes": {}, "dims": {"batch": 4}, "values": {}, "run": None}
REPORT = {
    **onnxcost.estimate(model("(float[2,3] x) => (float[2,3] y) { y = Relu(x) }")).to_dict(nodes=False),
    "warnings": ["ä"],
}


@pytest.fixture(autouse=True)
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b", "c"):
        Path(f"{name}.onnx").write_text(name)


def result(name: str, status: str = "ok", **others: Any) -> Scanned:
    path = f"{name}.onnx"
    made: dict[str, Any] = {"reason": "" if status == "ok" else "why", "report": REPORT, **others}
    return Scanned(path, status, seconds=0.25, file=stamp_of(path), options=OPTIONS, **made)


def checkpoint(options: dict[str, Any] = OPTIONS, models: tuple[str, ...] = ("a.onnx", "b.onnx", "c.onnx")) -> Checkpoint:
    return open_checkpoint("scan.jsonl", options, {key_of(path): stamp_of(path) for path in models})


def written(*results: Scanned) -> bytes:
    made = checkpoint()
    for each in results:
        made.add(each)
    return Path("scan.jsonl").read_bytes()


def lines() -> list[str]:
    return [json.loads(line)["path"] for line in Path("scan.jsonl").read_text().splitlines()]


def test_written_results_are_read_back() -> None:
    results = [result("a"), result("b", "failed")]
    content = written(*results)
    assert checkpoint().done == {key_of(each.path): each for each in results}
    assert Path("scan.jsonl").read_bytes() == content


def test_a_line_is_plain_data_under_the_keys_of_the_schema() -> None:
    line = json.loads(written(result("a")))
    assert line["schema"] == "onnxcost/1"
    assert (line["path"], line["status"], line["reason"], line["seconds"]) == ("a.onnx", "ok", None, 0.25)
    assert line["file"]["bytes"] == 1
    assert line["options"] == OPTIONS
    assert line["totals"] == REPORT["totals"]


def test_a_line_that_was_not_written_to_its_end_is_left_out() -> None:
    first, content = written(result("a")), written(result("b"))
    assert content.startswith(first)
    for end in (*range(len(first), len(content) - 8, 7), *range(len(content) - 8, len(content) + 1)):
        Path("scan.jsonl").write_bytes(content[:end])
        is_whole = end >= len(content) - 1
        assert sorted(checkpoint().done) == [key_of(f"{name}.onnx") for name in ("ab" if is_whole else "a")]
        checkpoint().add(result("c"))
        assert lines() == ["a.onnx", *(["b.onnx"] if is_whole else []), "c.onnx"]


@pytest.mark.parametrize(
    "made_by",
    [{"status": "unfinished"}, {"version": "0.0.1", "report": None}],
    ids=["was not finished", "another version made it"],
)
def test_outdated_results_are_removed(made_by: dict[str, Any]) -> None:
    written(result("a"), result("b", **made_by), result("c"))
    assert sorted(checkpoint().done) == [key_of("a.onnx"), key_of("c.onnx")]
    assert lines() == ["a.onnx", "c.onnx"]


@pytest.mark.parametrize("change", ["longer", "later", "gone"])
def test_a_changed_file_is_done_again(change: str) -> None:
    written(result("a"), result("b"))
    path = Path("a.onnx")
    stamp = path.stat()
    path.unlink()
    if change == "longer":
        path.write_text("aa")
    elif change == "later":
        path.write_text("a")
        os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns + 1000))
    assert list(checkpoint().done) == [key_of("b.onnx")]
    assert lines() == ["b.onnx"]


def test_other_models_keep_their_lines_and_are_no_results_of_this_scan() -> None:
    written(result("a"), result("b"))
    Path("a.onnx").unlink()
    assert list(checkpoint(models=("b.onnx",)).done) == [key_of("b.onnx")]
    assert lines() == ["a.onnx", "b.onnx"]


def test_of_two_lines_on_a_model_the_last_is_kept() -> None:
    written(result("a", "failed"), result("b"), result("a"))
    assert checkpoint().done[key_of("a.onnx")].status == "ok"
    assert sorted(lines()) == ["a.onnx", "b.onnx"]


@pytest.mark.parametrize("path", ["./a.onnx", "../{folder}/a.onnx", "{absolute}/a.onnx"])
def test_a_path_can_be_written_in_many_ways(path: str, tmp_path: Path) -> None:
    written(result("a"))
    given = path.format(folder=tmp_path.name, absolute=tmp_path)
    assert len(checkpoint(models=(given,)).done) == 1


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"dims": {"batch": 8}}, "a different --dim:"),
        ({"dims": {}, "shapes": {"x": [1, 3]}}, "a different --shape and --dim:"),
        ({"run": {"provider": "cpu"}}, "a different --run:"),
    ],
)
def test_results_of_other_options_are_refused(options: dict[str, Any], says: str) -> None:
    content = written(result("a"))
    with pytest.raises(InputError, match=f"'scan.jsonl' has results of a scan with {says} repeat its options"):
        checkpoint(OPTIONS | options)
    assert Path("scan.jsonl").read_bytes() == content


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"any text", 1),
        (b'{"schema": "onnxcost/1", "totals": {}}\n', 1),
        (b"\x08\x07\x12\x00", 1),
        (b"[1, 2]\n", 1),
        (b'{"schema": "onnxcost/2"', 1),
        (b'{"schema": "onnxcost/1", "path": "a\n{"schema": "onnxcost/1"', 1),
    ],
)
def test_another_kind_of_file_is_refused_and_not_changed(content: bytes, line: int) -> None:
    Path("scan.jsonl").write_bytes(content)
    with pytest.raises(InputError, match=f"'scan.jsonl' was not written by 'onnxcost scan --resume': line {line} is"):
        checkpoint()
    assert Path("scan.jsonl").read_bytes() == content


@pytest.mark.parametrize(("path", "says"), [(".", "cannot read '.'"), ("no/scan.jsonl", "cannot write 'no/scan.jsonl'")])
def test_a_file_that_cannot_be_opened(path: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        open_checkpoint(path, OPTIONS, {})


@pytest.mark.skipif(os.name != "posix", reason="Windows has no such locks")
def test_a_file_is_one_scans_at_a_time() -> None:
    written(result("a"), result("b", "unfinished"))
    first = checkpoint()  # which takes out the unfinished one, and so replaces the file
    first.add(result("c"))
    content = Path("scan.jsonl").read_bytes()
    with pytest.raises(InputError, match=r"'scan\.jsonl' is in use by another 'onnxcost scan': wait until it is done"):
        checkpoint()
    assert Path("scan.jsonl").read_bytes() == content
    first.close()
    assert sorted(checkpoint().done) == [key_of("a.onnx"), key_of("c.onnx")]


@pytest.mark.skipif(os.name != "posix", reason="Windows has no such locks")
def test_an_unusable_file_is_unlocked() -> None:
    written(result("a"))
    with pytest.raises(InputError, match="a different --dim"):
        checkpoint(OPTIONS | {"dims": {"batch": 8}})
    assert len(checkpoint().done) == 1


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/full", "/dev/null"])
def test_devices_are_not_read(device: str) -> None:
    if not Path(device).exists():
        pytest.skip("the system has no such device")
    with pytest.raises(InputError, match=f"cannot read '{device}': it is not a regular file"):
        open_checkpoint(device, OPTIONS, {})


@pytest.mark.parametrize(
    "change",
    [
        {"path": 7}, {"status": "perhaps"}, {"status": None}, {"seconds": "1"}, {"seconds": -1}, {"seconds": True},
        {"file": 7}, {"file": {"bytes": 1}}, {"file": {"bytes": "1", "modified_ns": 1}}, {"options": []}, {"version": None},
        {"totals": 7}, {"totals": {"macs": -1}}, {"totals": {"macs": True}}, {"bound": 7}, {"inputs": 7}, {"dims": [7]},
        {"warnings": 7}, {"by_operator": [7]},
    ],
    ids=str,
)  # fmt: skip
def test_a_line_with_something_else_in_it_is_refused(change: dict[str, Any]) -> None:
    Path("scan.jsonl").write_text(json.dumps(result("a").to_dict() | change) + "\n")
    with pytest.raises(InputError, match="line 1 is not the result of a model"):
        checkpoint()


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999", "9" * 5000, "[" * 5000 + "]" * 5000], ids=lambda text: text[:9])
def test_a_line_with_an_invalid_number_is_refused(number: str) -> None:
    line = json.dumps(result("a").to_dict() | {"totals": {**REPORT["totals"], "macs": "HERE"}})
    Path("scan.jsonl").write_text(line.replace('"HERE"', number) + "\n")
    with pytest.raises(InputError, match="line 1 is not the result of a model"):
        checkpoint()


def write_lines(path: str, *results: Scanned) -> str:
    Path(path).write_text("".join(each.to_line() for each in results))
    return path


def test_merged_files_have_a_row_for_each_model() -> None:
    one = write_lines("1.jsonl", result("c"), result("a", "failed"))
    two = write_lines("2.jsonl", result("b"), replace(result("a", "failed"), seconds=9.0, file=None))
    assert [(each.path, each.status) for each in merge_checkpoints([one, two, one])] == [
        ("a.onnx", "failed"),
        ("b.onnx", "ok"),
        ("c.onnx", "ok"),
    ]
    assert merge_checkpoints([write_lines("none.jsonl")]) == []


@pytest.mark.parametrize("order", [("1.jsonl", "2.jsonl"), ("2.jsonl", "1.jsonl")])
def test_an_unfinished_row_is_replaced(order: tuple[str, str]) -> None:
    write_lines("1.jsonl", result("a"), result("b", "unfinished"))
    write_lines("2.jsonl", result("a", "unfinished"), result("b", "unfinished"))
    assert [each.status for each in merge_checkpoints(order)] == ["ok", "unfinished"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"status": "failed", "reason": "why", "report": None}, "different results"),
        ({"report": {**REPORT, "totals": {**REPORT["totals"], "macs": 7}}}, "different results"),
        ({"status": "failed", "report": None, "version": "0.1"}, "different versions of onnxcost"),
        ({"report": {**REPORT, "warnings": []}, "file": Stamp(99, 1)}, "different file sizes"),
    ],
)
def test_rows_that_differ_are_named(change: dict[str, Any], says: str) -> None:
    write_lines("1.jsonl", result("a"), result("b"))
    write_lines("2.jsonl", replace(result("a"), **change), result("c"))
    with pytest.raises(InputError) as refused:
        merge_checkpoints(["1.jsonl", "2.jsonl"])
    named = f"'a.onnx' in '1.jsonl' and '2.jsonl' ({says})"
    assert str(refused.value) == f"the files differ on 1 of their models: {named}; omit outdated files"


def test_many_rows_that_differ_are_counted() -> None:
    names = [f"m{number}" for number in range(8)]
    write_lines("1.jsonl", *map(result, names))
    write_lines("2.jsonl", *(result(name, "failed") for name in names))
    with pytest.raises(InputError, match=r"^the files differ on 8 of their models: 'm0.onnx' .* 'm4.onnx' .* and 3 more; omit"):
        merge_checkpoints(["1.jsonl", "2.jsonl"])


def test_files_of_other_options_are_not_merged() -> None:
    write_lines("1.jsonl", result("a"))
    write_lines("2.jsonl", replace(result("b"), options=OPTIONS | {"dims": {}}))
    with pytest.raises(InputError, match=r"'2\.jsonl' has results of a scan with a different --dim: the files to merge need"):
        merge_checkpoints(["1.jsonl", "2.jsonl"])


@pytest.mark.parametrize(("path", "says"), [("nowhere.jsonl", "cannot read 'nowhere.jsonl'"), ("a.onnx", "line 1 is not")])
def test_what_cannot_be_merged_is_named(path: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        merge_checkpoints([path])
