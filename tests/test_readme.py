"""The output in README.md and docs/ is what the commands print, links lead somewhere, and set-up commands are those of CI."""

from __future__ import annotations

import ast
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import onnx
import onnxruntime
import pytest

import onnxcost
from onnxcost.cli.app import COMMANDS, run
from onnxcost.hardware.calibration.probes import probes
from onnxcost.hardware.catalogue import catalogue
from onnxcost.results import Result
from scripts import readme
from tests.modeltext import model

ROOT = Path(__file__).parent.parent
TEXTS = {str(page.relative_to(ROOT)): page.read_text() for page in readme.PAGES}
README = TEXTS["README.md"]
LARGEST_README = 16 * 1024
INSTALLED = f"Of onnx {onnx.__version__}, all opsets, and onnxruntime {onnxruntime.__version__}."
BLOCKS = [(name, match) for name, text in TEXTS.items() for match in readme.BLOCK.finditer(text)]
PAGE = pytest.mark.parametrize("name", TEXTS)


@pytest.mark.parametrize(
    "match", [pytest.param(match, id=f"{name}: {match['command']}") for name, match in BLOCKS if match["kind"] == "run"]
)
def test_a_block_is_what_its_command_prints(match: re.Match[str]) -> None:
    if match["command"] == "python scripts/coverage.py" and not match["body"].rstrip().endswith(INSTALLED):
        pytest.skip(f"the block is of another version than {INSTALLED}")
    assert readme.block(match) == match[0]


@PAGE
def test_every_block_is_one_and_is_filled(name: str) -> None:
    text = TEXTS[name]
    blocks = list(readme.BLOCK.finditer(text))
    assert len(blocks) == text.count("<!-- run:") + text.count("<!-- measured:") == text.count("<!-- end -->")
    assert all(block["body"].strip() and "<!--" not in block["body"] for block in blocks)


@pytest.mark.parametrize("path", sorted((ROOT / "docs" / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem)
def test_the_code_of_a_notebook_runs(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cell after cell, without Jupyter: scripts/release_check.py runs them there. No output is stored, which would age."""
    monkeypatch.chdir(path.parent)
    names: dict[str, object] = {}
    for cell in json.loads(path.read_text("utf-8"))["cells"]:
        assert not cell.get("outputs"), "clear the outputs of the notebook"
        if cell["cell_type"] != "code":
            continue
        tree = ast.parse("".join(cell["source"]))
        shown = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, path.name, "exec"), names)
        value = eval(compile(ast.Expression(shown.value), path.name, "eval"), names) if shown else None
        assert not isinstance(value, Result) or value._repr_html_()


def test_the_readme_is_short() -> None:
    assert len(README.encode()) <= LARGEST_README


def test_the_set_up_commands_are_those_of_ci() -> None:
    ci = (ROOT / ".ci" / "run").read_text().replace(" --quiet", "")
    for command in ("pip install . && onnxcost models/resnet50_pytorch.onnx", "pip install '.[test]' && pytest"):
        assert command in README.splitlines()
        assert command in ci.splitlines()


@PAGE
def test_every_file_that_is_named_exists(name: str) -> None:
    text = TEXTS[name]
    named = set(re.findall(r"(?<![\w/-])(?:scripts|tests|models|onnxcost)/[\w./-]+\.\w+", text))
    named |= {f"{module.replace('.', '/')}.py" for module in re.findall(r"python -m (scripts\.[\w.]+)", text)}
    assert {path for path in named if not (ROOT / path).exists()} == set()


def test_every_file_of_the_architecture_exists() -> None:
    named = re.findall(r"`([\w/]+(?:\.py|/))`", TEXTS["docs/architecture.md"])
    there = [
        f"/{path.relative_to(ROOT)}{'/' * path.is_dir()}"
        for folder in ("onnxcost", "tests")
        for path in (ROOT / folder).rglob("*")
    ]
    assert len(named) > 50
    assert [name for name in named if not any(path.endswith(f"/{name}") for path in there)] == []


def links(text: str) -> Iterator[tuple[str, str]]:
    """The relative links outside code, each as path and anchor."""
    prose = re.sub(r"```.*?```", "", text, flags=re.S)
    for target in re.findall(r"\]\(([^)\s]+)\)", prose):
        if "://" not in target:
            path, _, anchor = target.partition("#")
            yield path, anchor


def anchors(text: str) -> set[str]:
    """What GitHub makes of the headings."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", text, flags=re.S), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@PAGE
def test_every_link_leads_somewhere(name: str) -> None:
    for path, anchor in links(TEXTS[name]):
        target = (ROOT / name).parent / path if path else ROOT / name
        assert target.is_file(), path
        assert not anchor or anchor in anchors(target.read_text()), f"{path}#{anchor}"


def test_the_readme_links_to_every_page() -> None:
    linked = {path for path, _ in links(README)}
    assert TEXTS.keys() - {"README.md", "docs/index.md"} <= linked


def test_every_page_is_in_the_navigation() -> None:
    listed = re.findall(r"[\w-]+\.md", (ROOT / ".mkdocs.yml").read_text())
    assert sorted(listed) == sorted(path.name for path in (ROOT / "docs").glob("*.md"))


@pytest.mark.parametrize("name", ["README.md", "docs/budget.md"])
def test_the_number_of_devices_is_that_of_the_catalogue(name: str) -> None:
    assert set(re.findall(r"(\d+) devices", TEXTS[name])) == {str(len(catalogue()))}


def test_every_command_has_its_help_on_the_page_of_the_command_line() -> None:
    shown = {shlex.split(match["command"])[1] for name, match in BLOCKS if name == "docs/cli.md"}
    assert shown >= COMMANDS.keys()


def test_the_keys_of_a_report_are_on_the_page_of_json() -> None:
    graph = "(float[n,6] x) => (float[n,6] y) { h = Relu(x) y = my.domain.Unknown(h) }"
    report = onnxcost.estimate(model(graph, domains=', "my.domain" : 1').SerializeToString())
    named = set(re.findall(r"`(\w+)`", TEXTS["docs/json.md"]))

    def keys(value: object) -> Iterator[str]:
        if isinstance(value, dict):
            yield from (key for key in value if key)
        for child in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            yield from keys(child)

    document = {key: value for key, value in report.to_dict("fvcore").items() if key != "conventions"}
    document["model"] = {**document["model"], "opsets": {}}
    document["totals"] = {**document["totals"], "weight_bytes_by_dtype": {}}
    assert set(keys(document)) <= named


def test_the_example_of_own_formulas_works(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Gated: 6 elements of 5 operations; Scale: 6 of 2."""
    code = re.search(r"```python\n(# mine\.py\n.*?)```", TEXTS["docs/own-operators.md"], re.S)
    assert code
    (tmp_path / "mine.py").write_text(code[1])
    custom = model("(float[2,6] x) => (float y) { h = my.domain.Gated(x) y = my.domain.Scale(h) }", domains=', "my.domain" : 1')
    (tmp_path / "model.onnx").write_bytes(custom.SerializeToString())
    options = ["--no-run", "--formulas", str(tmp_path / "mine.py"), "--format", "json", "--strict"]
    assert run([str(tmp_path / "model.onnx"), *options]) == 0
    assert json.loads(capsys.readouterr().out)["totals"]["flops"] == 6 * 5 + 6 * 2


def test_the_example_in_python_works(monkeypatch: pytest.MonkeyPatch) -> None:
    code = re.search(r"```python\n(import onnxcost\n.*?)```", TEXTS["docs/python.md"], re.S)
    assert code
    monkeypatch.chdir(ROOT)
    # All kernels take minutes: the first ones, which the others need, and some of each kind do.
    every = probes()
    monkeypatch.setattr("onnxcost.runtime.calibrate.probes", lambda: (*every[:2], *every[2::16]))
    exec(code[1].replace("seconds=1.0", "runs=2").replace('onnxcost.profile("', 'onnxcost.profile(runs=2, model="'), {})
