"""HTML pages: what is in the file, and what a real browser, without a network, makes of it."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from onnx import TensorProto, helper

import onnxcost
from onnxcost.cli.app import cli
from onnxcost.render.page import MOST_STEPS, build_page
from onnxcost.render.report import summary_entries
from tests.modeltext import model
from tests.test_hostile_strings import HOSTILE, STRINGS, named

ROOT = Path(__file__).parents[2]
MODELS = sorted((ROOT / "models").glob("*.onnx"))
SMALL = ROOT / "models" / "mnist_cnn_pytorch.onnx"
MNIST, TEXT, LLAMA = SMALL, ROOT / "models" / "text_transformer_pytorch.onnx", ROOT / "models" / "llama_1b_pytorch.onnx"
RESNET = ROOT / "models" / "resnet50_pytorch.onnx"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
CHOSEN = [path for path in MODELS if "llama" not in path.name][:10]


def write(folder: Path, *arguments: object) -> Path:
    """The page that a command writes."""
    path = folder / "page.html"
    done = CliRunner().invoke(cli, [*map(str, arguments), "-o", str(path)])
    assert done.exit_code == 0, done.output
    return path


def data_of(page: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert found
    return dict(json.loads(found[1]))


@pytest.mark.parametrize("path", CHOSEN, ids=lambda path: path.stem)
def test_the_page_has_the_document_as_it_is(path: Path, tmp_path: Path) -> None:
    page = write(tmp_path, path, "--no-run").read_text()
    document = json.loads(CliRunner().invoke(cli, [str(path), "--no-run", "--format", "json", "--quiet"]).stdout)
    assert data_of(page)["document"] == document


def test_the_policy_lets_the_scripts_of_the_page_run_and_no_others(tmp_path: Path) -> None:
    page = write(tmp_path, SMALL, "--no-run").read_text()
    policy = re.search(r'content="(default-src[^"]*)"', page)
    scripts = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    hashes = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    assert policy
    assert len(scripts) == 5
    assert policy[1].split("script-src ")[1].split() == [f"'sha256-{each}'" for each in hashes]
    assert "default-src 'none'" in policy[1]


def test_nothing_is_loaded_and_no_file_is_large(tmp_path: Path) -> None:
    page = write(tmp_path, RESNET, "--no-run").read_text()
    markup = re.sub(r"<script[^>]*>.*?</script>", "<script>", page, flags=re.DOTALL)
    assert not re.findall(r"<(?:link|iframe|object|embed|img)\b|@import|url\((?!['\"]?data:)", markup)
    assert len(page.encode()) <= 1.5e6


@pytest.mark.parametrize("text", STRINGS.values(), ids=STRINGS)
def test_no_string_ends_the_element_that_holds_it(text: str) -> None:
    report = onnxcost.estimate(named(text))
    page = build_page(report.to_dict(), text, {})
    assert page.count("<script") == page.count("</script>") == 6
    assert data_of(page)["document"] == json.loads(json.dumps(report.to_dict()))
    assert "<script>alert" not in page


def test_a_roofline_has_the_figures_of_the_budget(tmp_path: Path) -> None:
    """Its times are those that ``budget --explain`` gives for the same device."""
    page = data_of(write(tmp_path, RESNET, "--no-run").read_text())
    arguments = ["budget", str(RESNET), "--explain", "raspberry-pi-5-8gb", "--format", "json"]
    budget = json.loads(CliRunner().invoke(cli, arguments).stdout)["devices"][0]
    chart = page["extra"]["roofline"]
    expected = [[node["compute"], node["transfer"], node["span"]["low"], node["span"]["high"]] for node in budget["nodes"]]
    assert chart["devices"][0]["times"] == expected
    assert [step["name"] for step in chart["steps"]] == [node["name"] for node in budget["nodes"]]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A headless Chromium; the tests that need one are skipped where it, or the package that drives it, is missing."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs the package playwright")
    if not (program := next(filter(None, map(shutil.which, BROWSERS)), None)):
        pytest.skip(f"needs a browser: none of {', '.join(BROWSERS)} is installed")
    with playwright.sync_playwright() as driver:
        shown = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield shown
        shown.close()


class Shown:
    """A page in the browser; its console and the requests that it makes are kept."""

    def __init__(self, browser: Any, path: Path, **context: Any) -> None:
        self.page = browser.new_page(**context)
        self.messages: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.messages.append(message.text))
        self.page.on("pageerror", lambda error: self.messages.append(str(error)))
        self.page.on("dialog", lambda dialog: (self.messages.append("dialog"), dialog.dismiss()))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(path.as_uri())
        self.page.wait_for_function("document.documentElement.dataset.ready === 'true'", timeout=30_000)

    def __enter__(self) -> Shown:
        return self

    def __exit__(self, *_: object) -> None:
        self.page.close()

    def rows(self, table: int = 0) -> list[list[str]]:
        """The cells of the rows in sight."""
        script = """([table]) => [...document.querySelectorAll('.tabulator')[table].querySelectorAll('.tabulator-row')]
            .map((row) => [...row.querySelectorAll('.tabulator-cell span')].map((cell) => cell.dataset.value))"""
        return list(self.page.evaluate(script, [table]))

    def drawn(self) -> int:
        """How many charts have marks of their own: paths in a drawing, or pixels on a canvas."""
        script = """() => [...document.querySelectorAll('.chart')].filter((box) => {
            const canvas = box.querySelector('canvas');
            if (!canvas) return box.querySelectorAll('svg path').length > 3;
            const {data} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
            return data.some((value) => value);
        }).length"""
        return int(self.page.evaluate(script))

    def is_clean(self, path: Path) -> None:
        assert self.messages == []
        assert self.requests == [path.as_uri()]


PAGES = {
    "estimate": ((RESNET, "--no-run"), 4),
    "measured": ((SMALL, "--runs", "12", "--warmup", "0"), 6),
    "measure": (("measure", SMALL, "--runs", "12", "--warmup", "0"), 2),
    "batches": (("measure", SMALL, "--runs", "3", "--warmup", "0", "--batches", "1,2"), 4),
    "profile": (("profile", SMALL, "--runs", "2", "--warmup", "0"), 3),
    "compare": (("compare", ROOT / "models" / "mobilenetv2_keras.onnx", SMALL, "--no-run"), 1),
    "budget": (("budget", SMALL, "--fps", "30"), 1),
    "scan": (("scan", SMALL, RESNET), 1),
    "devices": (("devices",), 1),
    "one device": (("devices", "jetson-nano"), 0),
    "sweep": ((MNIST, "--no-run", "--dim", "batch=1,2,4"), 1),
    "sweep on devices": (("budget", TEXT, "--dim", "batch=1,8", "--dim", "sequence=16,64,600"), 1),
    "language model": (("llm", LLAMA, "--device", "rtx-4090", "--device", "raspberry-pi-5-8gb"), 3),
    "language model alone": (("llm", LLAMA), 2),
    "formulas": (("formulas",), 0),
}


@pytest.mark.parametrize(("arguments", "charts"), PAGES.values(), ids=PAGES)
def test_every_chart_is_drawn_and_nothing_complains(
    browser: Any, arguments: tuple[object, ...], charts: int, tmp_path: Path
) -> None:
    path = write(tmp_path, *arguments)
    for scheme in ("light", "dark") if charts > 3 else ("light",):
        with Shown(browser, path, color_scheme=scheme) as shown:
            assert shown.page.evaluate("document.querySelectorAll('.chart').length") == charts
            assert shown.drawn() == charts
            assert shown.page.evaluate("document.documentElement.dataset.theme") == scheme
            shown.is_clean(path)


@pytest.mark.parametrize("path", CHOSEN, ids=lambda path: path.stem)
def test_the_figures_shown_are_those_of_the_json(browser: Any, path: Path, tmp_path: Path) -> None:
    document = json.loads(CliRunner().invoke(cli, [str(path), "--no-run", "--format", "json", "--quiet"]).stdout)
    totals = document["totals"]
    with Shown(browser, write(tmp_path, path, "--no-run")) as shown:
        script = """() => Object.fromEntries([...document.querySelectorAll('.cards div')].map((card) =>
            [card.querySelector('dt').textContent, card.querySelector('dd')])
            .map(([name, shown]) => [name, [Number(shown.dataset.value), shown.firstChild.textContent]]))"""
        cards = shown.page.evaluate(script)
        expected = {
            "MACs": totals["macs"], "FLOPs": totals["flops"], "Parameters": totals["parameters"],
            "Weights": totals["weight_bytes"], "Peak activation memory": totals["peak_activation_bytes"],
            "Memory traffic": totals["read_bytes"] + totals["write_bytes"], "Arithmetic intensity": totals["intensity"],
            "Nodes": len(document["nodes"]),
        }  # fmt: skip
        assert {name: value for name, (value, _) in cards.items()} == expected
        # The text has the digits of the terminal.
        report = onnxcost.estimate(path)
        from onnxcost.render.layout import UNICODE
        from onnxcost.render.tables import View

        texts = {entry.label: f"{entry.number} {entry.unit}".split() for entry in summary_entries(report, View(), UNICODE)}
        for name in ("MACs", "FLOPs", "Parameters", "Weights"):
            digits, *unit = cards[name][1].split()
            assert unit == texts[name][1:]
            assert float(digits) == float(texts[name][0])
        largest = max(document["nodes"], key=lambda node: node["flops"])
        assert shown.rows()[0][5] == str(largest["flops"])


def test_tables_sort_search_and_filter(browser: Any, tmp_path: Path) -> None:
    document = onnxcost.estimate(RESNET).to_dict()
    with Shown(browser, write(tmp_path, RESNET, "--no-run")) as shown:
        header = shown.page.locator(".tabulator-col", has_text="MACs").first
        header.focus()
        header.press("Enter")
        by_macs = sorted((node["macs"] for node in document["nodes"]), reverse=True)
        assert [int(row[4]) for row in shown.rows()][:5] == by_macs[:5]
        header.press("Enter")
        assert [int(row[4]) for row in shown.rows()][:5] == by_macs[::-1][:5]
        shown.page.get_by_label("Search nodes").fill("layer4/2")
        inside = [node for node in document["nodes"] if "/".join(node["scope"]).startswith("layer4/2")]
        assert shown.page.get_by_role("status").inner_text() == f"{len(inside)} of {len(document['nodes'])} rows"
        shown.page.get_by_label("Search nodes").fill("")
        shown.page.get_by_label("Operator", exact=False).and_(shown.page.locator("select")).select_option("Add")
        added = sum(node["op_type"] == "Add" for node in document["nodes"])
        assert shown.page.get_by_role("status").inner_text() == f"{added} of {len(document['nodes'])} rows"
        assert shown.messages == []


def test_the_treemap_zooms_and_the_roofline_changes_its_device(browser: Any, tmp_path: Path) -> None:
    with Shown(browser, write(tmp_path, RESNET, "--no-run")) as shown:
        texts = (
            "() => [...document.querySelectorAll('[aria-label=\"Share by module\"] svg text')].map((text) => text.textContent)"
        )
        assert any(text.startswith("layer1") for text in shown.page.evaluate(texts))
        shown.page.get_by_label("Zoom").select_option("layer3")
        assert not any(text.startswith("layer1") for text in shown.page.evaluate(texts))
        shown.page.locator("label", has_text="By").nth(1).locator("select").select_option(label="Parameters")
        shown.page.get_by_label("Zoom").select_option("")
        assert any(text.startswith("layer4") for text in shown.page.evaluate(texts))
        before = shown.page.locator('[aria-label="Roofline"]').inner_html()
        shown.page.get_by_label("Device").select_option(label="NVIDIA GeForce RTX 4090")
        assert shown.page.locator('[aria-label="Roofline"]').inner_html() != before
        assert "RTX 4090" in shown.page.locator("figure", has=shown.page.locator('[aria-label="Roofline"]')).inner_text()
        assert shown.messages == []


def test_the_theme_is_switched_by_the_keyboard(browser: Any, tmp_path: Path) -> None:
    with Shown(browser, write(tmp_path, SMALL, "--no-run"), color_scheme="light") as shown:
        color = "getComputedStyle(document.body).backgroundColor"
        light = shown.page.evaluate(color)
        shown.page.keyboard.press("Tab")
        shown.page.keyboard.press("Enter")
        assert shown.page.evaluate("document.documentElement.dataset.theme") == "dark"
        assert shown.page.evaluate(color) != light
        assert shown.messages == []


def test_a_chart_is_also_a_table(browser: Any, tmp_path: Path) -> None:
    groups = onnxcost.estimate(RESNET).by_operator()
    with Shown(browser, write(tmp_path, RESNET, "--no-run")) as shown:
        shown.page.locator("summary").first.click()
        rows = shown.page.locator("details[open] tbody tr")
        rows.first.wait_for()
        assert rows.count() == len(groups)


def test_paper_has_the_first_rows_of_a_table(browser: Any, tmp_path: Path) -> None:
    with Shown(browser, write(tmp_path, RESNET, "--no-run"), color_scheme="dark") as shown:
        shown.page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
        shown.page.emulate_media(media="print")
        assert shown.page.evaluate("document.documentElement.dataset.theme") == "light"
        assert shown.page.locator(".print-only tbody tr").count() == 50
        assert shown.page.locator(".print-only").first.is_visible()
        assert not shown.page.locator(".tabulator").first.is_visible()


@pytest.mark.parametrize("text", STRINGS.values(), ids=STRINGS)
def test_hostile_names_are_shown_as_text(browser: Any, text: str, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text(build_page(onnxcost.estimate(named(text)).to_dict(), "", {}), encoding="utf-8")
    with Shown(browser, path) as shown:
        for summary in shown.page.locator("summary").all():
            summary.click()
        for box in shown.page.locator(".chart").all():
            box.hover()
        shown.page.mouse.move(400, 400)
        visible = shown.page.inner_text("body")
        assert not re.search(r"[\u202a-\u202e\u2066-\u2069\u200b\x1b\x9b\ue000\u0378\U000e0041]|\u0301{4}", visible)
        assert shown.page.locator("script:not([src]):has-text('alert(1)')").count() <= 1  # the data itself
        shown.is_clean(path)


def test_ten_thousand_nodes_open_immediately(browser: Any, tmp_path: Path) -> None:
    nodes = [helper.make_node("Relu", [f"v{at}"], [f"v{at + 1}"], name=f"n{at}") for at in range(10_000)]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 8]) for name in ("v0", "v10000")]
    model = helper.make_model(helper.make_graph(nodes, "g", ends[:1], ends[1:]), opset_imports=[helper.make_opsetid("", 17)])
    report = onnxcost.estimate(model)
    assert len(report.costs) > MOST_STEPS
    path = tmp_path / "page.html"
    path.write_text(build_page(report.to_dict(), "", {}), encoding="utf-8")
    with Shown(browser, path) as shown:
        assert shown.page.locator(".tabulator-row").count() < 200
        assert "10,000 of 10,000 rows" in shown.page.inner_text("body")
        assert shown.drawn() == 3
        shown.is_clean(path)


def test_a_hostile_path_is_a_title(browser: Any, tmp_path: Path) -> None:
    name = HOSTILE.replace("/", "").replace("\x00", "")[:60]
    path = tmp_path / "page.html"
    path.write_text(build_page({"model": {"path": name}}, "", {}), encoding="utf-8")
    with Shown(browser, path) as shown:
        assert shown.page.locator("h1").inner_text()
        shown.is_clean(path)


def test_sliders_give_the_counts_of_their_sizes(browser: Any, tmp_path: Path) -> None:
    source = ROOT / "models" / "text_transformer_pytorch.onnx"
    with Shown(browser, write(tmp_path, "scale", source)) as shown:
        for name, size in (("batch", "7"), ("sequence", "200")):
            shown.page.get_by_label(f"{name}, as a number").fill(size)
            shown.page.get_by_label(f"{name}, as a number").press("Enter")
        script = """() => Object.fromEntries([...document.querySelectorAll('.cards div')].map((card) =>
            [card.querySelector('dt').textContent, Number(card.querySelector('dd').dataset.value)]))"""
        report = onnxcost.estimate(source, dims={"batch": 7, "sequence": 200})
        cards = shown.page.evaluate(script)
        assert (cards["macs"], cards["flops"]) == (report.macs, report.flops)
        assert cards["peak activation bytes"] == report.memory.peak_activation_bytes
        assert shown.messages == []


def test_sliders_work_out_floors(browser: Any, tmp_path: Path) -> None:
    source = tmp_path / "strided.onnx"
    graph = "(float[n,3,h,8] x) => (float[n,4,i,j] y) { y = Conv<strides=[2,2], pads=[1,1,1,1]>(x, w) }"
    source.write_bytes(model(graph, w=(4, 3, 3, 3)).SerializeToString())
    with Shown(browser, write(tmp_path, "scale", source)) as shown:
        shown.page.get_by_label("h, as a number").fill("225")
        shown.page.get_by_label("h, as a number").press("Enter")
        cards = shown.page.locator(".cards div").all_inner_texts()
        assert any(f"{108 * 113 * 4:,}" in text for text in cards), cards


def test_the_map_of_devices_is_filtered(browser: Any, tmp_path: Path) -> None:
    devices = json.loads(CliRunner().invoke(cli, ["devices", "--format", "json"]).stdout)["devices"]

    def matching(dtype: str, kind: str, most: float) -> int:
        return sum(
            device["bandwidth"] is not None
            and any(peak["dtype"] == dtype and peak["value"] for part in device["parts"] for peak in part["peaks"])
            and kind in ("", device["kind"])
            and (most == float("inf") or (device["price"] or {"value": most + 1})["value"] <= most)
            for device in devices
        )

    with Shown(browser, write(tmp_path, "devices")) as shown:
        caption = shown.page.locator("figcaption").first
        for label, option, expected in (
            ("Type", "int8", ("int8", "", float("inf"))),
            ("Kind", "board", ("int8", "board", float("inf"))),
            ("Price", "300", ("int8", "board", 300)),
        ):
            shown.page.locator("label", has_text=label).first.locator("select").select_option(option)
            assert caption.inner_text().startswith(f"{matching(*expected)} of {len(devices)} devices ")
        assert shown.messages == []


def test_a_sweep_is_drawn_by_metric_and_over_any_of_its_axes(browser: Any, tmp_path: Path) -> None:
    with Shown(browser, write(tmp_path, TEXT, "--no-run", "--dim", "batch=1,4", "--dim", "sequence=16,64,100")) as shown:
        texts = "() => [...document.querySelectorAll('.chart svg text')].map((text) => text.textContent)"
        assert {"sequence = 16", "sequence = 64", "sequence = 100"} <= set(shown.page.evaluate(texts))
        shown.page.locator("label", has_text="Over").locator("select").select_option(label="sequence")
        assert {"batch = 1", "batch = 4"} <= set(shown.page.evaluate(texts))
        shown.page.locator("label", has_text="By").locator("select").select_option(label="MACs")
        shown.page.locator("summary").first.click()
        cells = shown.page.locator("details[open] tbody tr")
        cells.first.wait_for()
        assert cells.count() == 6
        macs = [str(onnxcost.estimate(TEXT, dims={"batch": 4, "sequence": size}).macs) for size in (16, 64, 100)]
        assert [row[3] for row in shown.rows()][3:] == macs
        assert shown.messages == []


def test_the_figures_of_a_language_model_are_those_of_the_json(browser: Any, tmp_path: Path) -> None:
    llm = json.loads(CliRunner().invoke(cli, ["llm", str(LLAMA), "--memory", "8GiB", "--format", "json"]).stdout)["llm"]
    path = write(tmp_path, "llm", LLAMA, "--memory", "8GiB")
    at = next(each for each in data_of(path.read_text())["extra"]["contexts"] if each["context"] == llm["context"])
    assert at["memory"] == llm["memory"]
    with Shown(browser, path) as shown:
        script = """() => Object.fromEntries([...document.querySelectorAll('.cards div')].map((card) =>
            [card.querySelector('dt').textContent, Number(card.querySelector('dd').dataset.value)]))"""
        assert shown.page.evaluate(script) == {
            "Parameters": llm["parameters"], "Cache of a token": llm["kv_bytes_per_token"],
            "Cache of a sequence": llm["kv_bytes"], "Memory": llm["memory"]["total"],
            "Longest context that fits": llm["most_context"], "Largest batch that fits": llm["most_batch"],
        }  # fmt: skip
        assert shown.messages == []


@pytest.mark.parametrize("text", STRINGS.values(), ids=STRINGS)
def test_hostile_names_of_dims_are_shown_as_text(browser: Any, text: str, tmp_path: Path) -> None:
    swept = onnxcost.sweep(named(text), dims={f"{text}dim": [1, 2]}, devices=["jetson-nano"])
    path = tmp_path / "page.html"
    path.write_text(build_page(swept.to_dict(), "", {}), encoding="utf-8")
    with Shown(browser, path) as shown:
        shown.page.locator(".chart").hover()
        assert not re.search(r"[\u202a-\u202e\u2066-\u2069\u200b\x1b\x9b\ue000]|\u0301{4}", shown.page.inner_text("body"))
        shown.is_clean(path)
