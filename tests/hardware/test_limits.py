from __future__ import annotations

from pathlib import Path

import pytest

from onnxcost.errors import InputError
from onnxcost.hardware.limits import Budget, Limits, find_budget_file, load_budgets

FILE = """
[budget]
devices = ["raspberry-pi-5-8gb"]
fps = 30

[budget.models."a.onnx"]
memory = "512MiB"
dims = { batch = 2 }

[budget.models."sub/b.onnx"]
devices = ["stm32h743", "rp2040,clock=1"]
fps = 5
latency = "33ms"
batch = 4
shapes = { image = [1, 3, 8, 8] }
"""


def test_keys_above_are_shared_and_replaced_by_keys_below(tmp_path: Path) -> None:
    path = tmp_path / "onnxcost.toml"
    path.write_text(FILE)
    first, second = load_budgets(path)
    assert first == Budget(
        str(tmp_path / "a.onnx"), Limits(fps=30, memory=2**29), ("raspberry-pi-5-8gb",), None, {"batch": 2}, {}
    )
    assert second == Budget(
        str(tmp_path / "sub/b.onnx"),
        Limits(fps=5, latency=0.033),
        ("stm32h743", "rp2040,clock=1"),
        4,
        {},
        {"image": (1, 3, 8, 8)},
    )


def test_in_pyproject_the_table_is_a_tools(tmp_path: Path) -> None:
    path = tmp_path / "pyproject.toml"
    path.write_text(FILE.replace("[budget", "[tool.onnxcost.budget"))
    assert [Path(each.model).name for each in load_budgets(path)] == ["a.onnx", "b.onnx"]
    assert find_budget_file(tmp_path) == path
    (tmp_path / "onnxcost.toml").write_text(FILE)
    assert find_budget_file(tmp_path).name == "onnxcost.toml"


@pytest.mark.parametrize(("batch", "is_valid"), [("1", True), ("2", True), ("0", False), ("true", False), ("1.0", False)])
def test_a_batch_is_a_whole_number_of_1_or_more(tmp_path: Path, batch: str, is_valid: bool) -> None:
    path = tmp_path / "onnxcost.toml"
    path.write_text(FILE.replace("batch = 4", f"batch = {batch}"))
    if is_valid:
        assert load_budgets(path)[1].batch == int(batch)
    else:
        with pytest.raises(InputError, match="a whole number of 1 or more"):
            load_budgets(path)


@pytest.mark.parametrize(("size", "is_valid"), [("0", True), ("8", True), ("-1", False), ("true", False), ("8.5", False)])
def test_a_dim_is_a_whole_number(tmp_path: Path, size: str, is_valid: bool) -> None:
    path = tmp_path / "onnxcost.toml"
    path.write_text(FILE.replace("batch = 2", f"batch = {size}"))
    if is_valid:
        assert load_budgets(path)[0].dims == {"batch": int(size)}
    else:
        with pytest.raises(InputError, match="a table of whole numbers"):
            load_budgets(path)


@pytest.mark.parametrize("text", ["", "[tool.other]\nx = 1\n"])
def test_a_folder_without_a_budget(tmp_path: Path, text: str) -> None:
    (tmp_path / "pyproject.toml").write_text(text)
    with pytest.raises(InputError, match="no budget found"):
        find_budget_file(tmp_path)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[budget", "cannot read"),
        ("x = 1", "has no table [budget]"),
        ("[budget]\nfps = 30", 'has no models: write [budget.models."model.onnx"] for each'),
        ("[tool.onnxcost.budget]\nfps = 30", 'has no models: write [tool.onnxcost.budget.models."model.onnx"] for each'),
        ("[budget.models]\n'm' = 3", "m: this is not a table"),
        ("[budget.models.m]\nfsp = 3", "m: unknown key 'fsp'; did you mean 'fps'?"),
        ("[budget.models.m]\nfps = 'fast'", "m: fps expects a quantity such as 30, not 'fast'"),
        ("[budget.models.m]\ndevices = 'pi'", "devices expects a list of names"),
        ("[budget.models.m]\nbatch = 0", "batch expects a whole number of 1 or more, not 0"),
        ("[budget.models.m]\nbatch = true", "batch expects a whole number"),
        ("[budget.models.m]\ndims = [1]", "dims expects a table of whole numbers"),
        ("[budget.models.m]\nshapes = { x = 3 }", "shapes expects a table of lists"),
        ("[budget.models.m]\nshapes = 3", "shapes expects a table of lists"),
    ],
)
def test_what_does_not_fit_is_refused_in_a_line(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "onnxcost.toml"
    path.write_text(text)
    with pytest.raises(InputError) as refused:
        load_budgets(path)
    assert says in str(refused.value)
