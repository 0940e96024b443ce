"""Takes the pictures of docs/pages.md from pages that the commands write, in a headless Chromium.

    pip install '.[test]' && python scripts/page/screenshots.py

Measured values differ from run to run: run it on an idle machine, and check the pictures.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "docs" / "images"
SHOTS = {
    "report-light": (("models/resnet50_pytorch.onnx", "--no-run"), "light", 0, 1560),
    "report-dark": (("models/resnet50_pytorch.onnx", "--no-run"), "dark", 1160, 1560),
    "profile": (("profile", "models/mobilenetv2_pytorch.onnx"), "light", 0, 1560),
    "budget": (("budget", "models/mobilenetv2_pytorch.onnx", "--fps", "30"), "dark", 0, 1100),
    "language": (("llm", "models/llama_1b_pytorch.onnx", "--device", "rtx-4090", "--device", "apple-m4"), "light", 0, 1440),
    "devices": (("devices",), "dark", 0, 1050),
}
"""By name: the command, the theme, and the part of the page from one pixel to another."""


def main() -> None:
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for name, (arguments, theme, top, height) in SHOTS.items():
            path = Path(folder) / "page.html"
            subprocess.run([sys.executable, "-m", "onnxcost", *arguments, "-o", str(path)], check=True, cwd=ROOT)
            page = browser.new_page(viewport={"width": 1100, "height": 900}, color_scheme=theme)
            page.goto(path.as_uri())
            page.wait_for_function("document.documentElement.dataset.ready === 'true'")
            clip = {"x": 0, "y": top, "width": 1100, "height": height}
            page.screenshot(path=str(IMAGES / f"{name}.png"), full_page=True, clip=clip)
            page.close()
        browser.close()


if __name__ == "__main__":
    main()
