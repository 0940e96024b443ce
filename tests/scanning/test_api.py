"""``onnxcost.scan`` with real processes: its figures are those of ``onnxcost.estimate``, and nothing is done twice or lost."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import onnxcost
from onnxcost.errors import InputError, MeasurementError
from onnxcost.measurement import Measurement, Settings
from onnxcost.runtime import api
from onnxcost.scanning import pool
from onnxcost.scanning.api import scan
from onnxcost.scanning.results import Scanned
from onnxcost.spec import ModelSpec
from tests.measurements import MEASUREMENT
from tests.modeltext import model

BROKEN = {
    "empty": (b"", "is empty"),
    "text": (b"no model", "is not a readable ONNX model"),
    "contradicting": (model("(float[2,3] x, float[4,5] w) => (float y) { y = MatMul(x, w) }"), "is invalid"),
    "missing": (None, "No such file"),
}


@pytest.fixture
def zoo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Twelve models in two folders, four that are broken among them."""
    monkeypatch.chdir(tmp_path)
    for number in range(8):
        size = number + 1
        path = Path("zoo", f"m{number}.onnx")
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(model(f"(float[batch,{size}] x) => (float y) {{ y = MatMul(x, w) }}", w=(size, 4)).SerializeToString())
    for name, (content, _) in BROKEN.items():
        path = Path("zoo", "bad", f"{name}.onnx")
        path.parent.mkdir(exist_ok=True)
        if content is None:
            path.symlink_to("nowhere")
        else:
            path.write_bytes(content if isinstance(content, bytes) else content.SerializeToString())
    return tmp_path


def by_name(results: Sequence[Scanned]) -> dict[str, Scanned]:
    found = {Path(result.path).stem: result for result in results}
    assert len(found) == len(results)
    return found


def test_the_figures_are_those_of_an_estimate(zoo: Path) -> None:
    results = by_name([*scan(["zoo"], jobs=2)])
    assert len(results) == 12
    for number in range(8):
        whole = onnxcost.estimate(f"zoo/m{number}.onnx").to_dict()
        whole.pop("nodes"), whole["memory"].pop("curve")
        assert json.loads(json.dumps(results[f"m{number}"].report)) == json.loads(json.dumps(whole))
    for name, (_, reason) in BROKEN.items():
        assert results[name].status == "failed"
        assert reason in results[name].reason
        assert results[name].report is None


def test_a_folder_without_models() -> None:
    with pytest.raises(InputError, match=r"there is no \.onnx file in the folder"):
        scan([Path(__file__).parent])


def test_a_model_given_twice_is_counted_once(zoo: Path) -> None:
    assert len([*scan(["zoo/m1.onnx", "zoo/../zoo/m1.onnx", Path("zoo")], jobs=2)]) == 12


def test_each_model_takes_what_it_has_a_name_for(zoo: Path) -> None:
    Path("other.onnx").write_bytes(model("(float[n,2] z) => (float y) { y = Relu(z) }").SerializeToString())
    given = {"dims": {"batch": 5, "n": 7}, "values": {"nowhere": np.zeros(3)}}
    results = by_name([*scan(["zoo/m1.onnx", "other.onnx"], jobs=1, **given)])  # type: ignore[arg-type]
    assert results["m1"].report is not None
    assert results["other"].report is not None
    assert results["m1"].report["totals"]["macs"] == 5 * 2 * 4
    assert results["other"].report["totals"]["flops"] == 7 * 2
    assert results["m1"].options["values"]["nowhere"]["shape"] == [3]


def test_an_interrupted_scan_resumes(zoo: Path) -> None:
    found = scan(["zoo"], jobs=2, resume="scan.jsonl")
    first = [*islice(found, 5)]
    found.close()
    before = Path("scan.jsonl").read_bytes()
    assert before.count(b"\n") >= 5
    resumed = [*scan(["zoo"], jobs=2, resume="scan.jsonl")]
    after = Path("scan.jsonl").read_bytes()
    assert after.startswith(before)
    assert after.count(b"\n") == 12
    assert all(by_name(resumed)[name] == result for name, result in by_name(first).items())
    assert by_name(resumed) == by_name([Scanned.from_dict(json.loads(line)) for line in after.splitlines()])


@pytest.mark.parametrize("value", [float("nan"), float("inf"), np.float32("nan"), np.array([1, np.inf]), "\x7f", [[2]]])
def test_a_scan_resumes_with_any_values(zoo: Path, value: Any) -> None:
    for _ in range(2):
        (result,) = scan(["zoo/m1.onnx"], jobs=1, values={"nowhere": value}, resume="scan.jsonl")
        assert result.status == "ok"
    assert Path("scan.jsonl").read_text().count("\n") == 1


def test_finished_models_need_no_process(zoo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = [*scan(["zoo"], jobs=2, resume="scan.jsonl")]
    monkeypatch.setattr(pool, "COMMAND", ("no-such-program",))
    assert by_name([*scan(["zoo"], jobs=2, resume="scan.jsonl")]) == by_name(done)


def test_a_model_that_ends_its_process_is_tried_again(zoo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(pool, "COMMAND", (*pool.COMMAND[:1], "-c", "raise MemoryError('none left')"))
        (result,) = scan(["zoo/m1.onnx"], resume="scan.jsonl")
    assert (result.status, result.reason) == (
        "unfinished",
        "the process that counted it ended with code 1: MemoryError: none left",
    )
    (result,) = scan(["zoo/m1.onnx"], resume="scan.jsonl")
    assert result.status == "ok"
    assert Path("scan.jsonl").read_text().count("\n") == 1


class Stand:
    """In the place of ``measure_spec``."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def measure(self, spec: ModelSpec, settings: Settings, **others: Any) -> Measurement:
        path = str(spec.source)
        self.asked.append((Path(path).stem, dict(spec.dims)))
        others["on_progress"]("step")
        if "m2" in path:
            raise MeasurementError("there is not enough memory")
        if "m3" in path:
            raise ZeroDivisionError("nobody foresaw it")
        return MEASUREMENT


def test_models_are_run_one_after_the_other(zoo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand, heard = Stand(), []
    monkeypatch.setattr(api, "measure_spec", stand.measure)
    found = scan(
        ["zoo"],
        dims={"batch": 2, "n": 1},
        settings=Settings(),
        on_progress=lambda path, step: heard.append((Path(path).stem, step)),
    )
    next(result for result in found if result.path.endswith("m0.onnx"))
    assert stand.asked == [("m0", {"batch": 2})]
    results = by_name([*found])
    assert [name for name, _ in stand.asked] == [f"m{number}" for number in range(8)]
    assert heard == [(f"m{number}", "step") for number in range(8)]
    assert {name: result.status for name, result in results.items()} == {
        f"m{number}": "unmeasured" if number in (2, 3) else "ok" for number in range(1, 8)
    }
    assert results["m1"].report is not None
    assert results["m1"].report["measurement"]["latency"]["median"] == MEASUREMENT.latency.median
    assert "samples" not in results["m1"].report["measurement"]
    assert results["m2"].reason == "there is not enough memory"
    assert results["m3"].reason == "this is a bug in onnxcost: ZeroDivisionError (nobody foresaw it)"
    assert results["m3"].report is not None
    assert results["m3"].report["measurement"]["status"] == "failed"


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"jobs": 0}, "jobs must be 1 or more"),
        ({"jobs": 2, "settings": Settings()}, "one at a time"),
        ({"resume": "zoo/m1.onnx"}, "was not written by"),
    ],
)
def test_an_invalid_argument_is_reported_before_the_first_result(zoo: Path, given: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        scan(["zoo"], **given)
