"""A result as a page for a browser: one self-contained file with its data, charts and tables.

The page has the JSON document of the result, and scripts that draw it. A policy in the page allows the browser to run only
these scripts, by their hashes, and no connections.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from hashlib import sha256
from importlib import resources
from math import log2
from pathlib import PurePath
from string import Template
from typing import TYPE_CHECKING, Any

from onnxcost.documents import to_json
from onnxcost.errors import InputError, OnnxCostError
from onnxcost.render.escaping import html

if TYPE_CHECKING:
    from onnxcost.formulas.table import FormulaTable
    from onnxcost.generation.language import LanguageCost
    from onnxcost.hardware.prediction import Predictor
    from onnxcost.report import CostReport
    from onnxcost.spec import ModelSpec

ASSETS = resources.files(__package__).joinpath("assets")
STYLES = ("vendor.css", "page.css")
SCRIPTS = ("vendor.js", "page.js", "views.js", "studies.js", "documents.js")
DEVICES = ("raspberry-pi-5-8gb", "jetson-orin-nano-8gb", "core-i5-12400", "rtx-4090", "h100-sxm")
"""The devices that the roofline can be drawn for: a board, a board with a GPU, a CPU, a graphics card and a data center's."""
SHORTEST, LONGEST, CONTEXTS = 256, 2**17, 6
"""How many contexts a language model's charts show, from the shortest to the longest, or the model's limit."""
MOST_STEPS = 2000
"""With more steps, the roofline is drawn only for the first device: each device takes four numbers per step."""


def build_page(document: Mapping[str, Any], text: str, extra: Mapping[str, Any]) -> str:
    """The page of a JSON document; ``text`` is its terminal output, ``extra`` are further data for charts."""
    title = _title(document)
    scripts = [_read_asset(name) for name in SCRIPTS]
    hashes = " ".join(f"'sha256-{b64encode(sha256(script.encode()).digest()).decode()}'" for script in scripts)
    data = to_json({"document": document, "text": text, "extra": extra})
    return Template(_read_asset("page.html")).substitute(
        title=html(title),
        style="\n".join(map(_read_asset, STYLES)),
        hashes=hashes,
        text="\n".join(map(html, text.splitlines())),
        # "</script>" or "<!--" in a name would end or change the element; in JSON, < has another spelling.
        data=data.replace("<", "\\u003c"),
        scripts="\n".join(f"<script>{script}</script>" for script in scripts),
    )


def _title(document: Mapping[str, Any]) -> str:
    """The model's file, or the subject of the document."""
    model = document.get("model") or document.get("llm") or {}
    name = PurePath(str(model.get("path") or "")).name or str(model.get("name") or "")
    if "models" in document:
        return f"{len(document['models'])} models"
    if "devices" in document:
        return f"{name}: devices" if name else "Devices"
    return name or "onnxcost"


def _read_asset(name: str) -> str:
    try:
        return ASSETS.joinpath(name).read_text("utf-8")
    except OSError as error:
        raise OnnxCostError(f"cannot read '{ASSETS.joinpath(name)}', a part of onnxcost: {error.strerror or error}") from error


def roofline_data(report: CostReport) -> dict[str, Any]:
    """The steps of a run with their work and traffic, and their times on some devices: at the roof, and as estimated."""
    from onnxcost.hardware.catalogue import catalogue
    from onnxcost.hardware.roofline import Roofline, products
    from onnxcost.hardware.workload import demand_of
    from onnxcost.render.units import shape

    demand = demand_of(report)
    steps = [
        {
            "name": step.node.name or step.node.out.name, "op_type": step.node.op_type, "dtype": step.dtype,
            "merged": step.merged, "shape": shape(step.node.first_output),
            "flops": step.times * (2 * step.macs + step.other), "bytes": step.times * (step.weights + step.activations),
        }
        for step in demand.steps
    ]  # fmt: skip
    devices = []
    for name in DEVICES[: 1 if len(steps) > MOST_STEPS else None]:
        device = catalogue()[name]
        found = Roofline(device).predict(report)
        if len(found.nodes) != len(steps):
            continue  # The device computes in narrower types, or cannot compute one of the model's.
        peaks = {peak.dtype: peak.rate for dtype in demand.macs if (peak := products(device, dtype))}
        times = [[node.compute, node.transfer or 0.0, node.span.low, node.span.high] for node in found.nodes]
        devices.append({"title": device.title, "bandwidth": device.bandwidth, "peaks": list(peaks.items()), "times": times})
    return {"roofline": {"steps": steps, "devices": devices}} if devices else {}


def context_data(
    found: LanguageCost, spec: ModelSpec, asked: Sequence[Predictor] = (), formulas: FormulaTable | None = None
) -> dict[str, Any]:
    """The memory of a language model, and its speed on devices, at several contexts that it can have."""
    from onnxcost.generation.language import count_language

    sizes, limit = found.decode.sizes, found.decoder.limit
    most = min(limit.value if limit is not None else LONGEST, LONGEST)
    ratio = max(most / SHORTEST, 1) ** (1 / (CONTEXTS - 1))
    contexts = {sizes.total, *(min(2 ** round(log2(SHORTEST * ratio**power)), most) for power in range(CONTEXTS))}
    steps = []
    for context in sorted(contexts):
        prompt = None if found.prefill is None or found.decoder.keeps_source else min(found.prefill.sizes.new, context)
        try:
            at = count_language(spec, prompt, context, sizes.batch, None, asked, formulas, found.decoder)
        except InputError:
            continue
        devices = [speed.to_dict() for speed in at.speeds]
        steps.append({"context": context, "memory": at.memory.to_dict(), "devices": devices})
    return {"contexts": steps}
