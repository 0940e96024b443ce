"""Checks of models that can be counted: totals are not affected by changes without a cost, and outputs can be read back."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import re
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from fuzz_cases import is_repeated
from graph_cases import graphs, rename
from hostile_models import encoded
from onnx import FunctionProto, GraphProto, ModelProto, NodeProto, helper

CONTROL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2064\u2066-\u2069\ufeff]")
"""C0 without the line end, DEL, C1; marks of direction, of no width, and the other line ends."""
FORMULA = re.compile(r"[=+@\t\r]|-(?!\d+(\.\d+)?$)")
"""Starts of cells that a spreadsheet executes."""


class Broken(Exception):
    """A check that failed: ``check`` is the common part of all findings with one cause, ``seen`` the specific one."""

    def __init__(self, check: str, seen: str = "") -> None:
        super().__init__(f"{check}: {seen}")
        self.check, self.seen = check, seen


class Report(NamedTuple):
    """The values that the checks compare: the totals of ``to_dict``, and others that must not change."""

    totals: dict[str, Any]
    rest: dict[str, Any]


def estimated(data: bytes) -> Report:
    import onnxcost

    made = onnxcost.estimate(data).to_dict()
    return Report(
        made["totals"] | {"conventions": made["conventions"]},
        {
            "complete": made["complete"],
            "bound": made["bound"],
            "uncounted": len(made["uncounted"]),
            "file": made["model"]["file_bytes"],
            "dims": sorted(dim["value"] for dim in made["dims"]),
            "outputs": [each and (each["dtype"], each["shape"]) for each in made["outputs"]],
        },
    )


def compare(name: str, before: Report, data: bytes, without: tuple[str, ...] = ()) -> None:
    """Raises Broken if the counts of the model ``data`` differ."""
    import onnxcost

    try:
        after = estimated(data)
    except onnxcost.OnnxCostError as error:
        raise Broken(f"{name}: refused", str(error)) from None
    first, second = ({**each.totals, **each.rest} for each in (before, after))
    differ = {key: (first[key], second[key]) for key in first if key not in without and first[key] != second[key]}
    if differ:
        raise Broken(f"{name}: {', '.join(differ)} differ", str(differ)[:500])


def strip_keeps(data: bytes, before: Report, rng: Random) -> None:
    """A skeleton has the same cost as the model, also without its names."""
    from onnxcost.frontend.strip import strip

    for anonymize in (False, True):
        name = "anonymize" if anonymize else "strip"
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "skeleton.onnx")
            try:
                strip(data, path, anonymize=anonymize)
            except Exception as error:
                raise Broken(f"{name}: {type(error).__name__}", str(error)) from error
            compare(name, before, path.read_bytes(), ("outputs",) if anonymize else ())


def fields_in_another_order(data: bytes, before: Report, rng: Random) -> None:
    """Protobuf lets fields come in any order, and a message in pieces."""
    compare("fields in another order", before, reordered(ModelProto.FromString(data), rng), ("file",))


def nodes_in_another_order(data: bytes, before: Report, rng: Random) -> None:
    """A file with its nodes in another order that is topological, too, and its tensors in any."""
    model = ModelProto.FromString(data)
    if shuffle(model, rng):
        compare("nodes in another order", before, model.SerializeToString(), ("file", "peak_activation_bytes"))


def values_renamed(data: bytes, before: Report, rng: Random) -> None:
    """Names of values have no meaning, except for inputs."""
    model = ModelProto.FromString(data)
    if any(reads - made for reads, made in map(_names_in, model.functions)):
        return
    kept = {info.name for info in model.graph.input} | {""}
    values = [name for graph in graphs(model.graph) for node in graph.node for name in (*node.input, *node.output)]
    stored = [tensor.name for graph in graphs(model.graph) for tensor in graph.initializer]
    inner = [info.name for graph in graphs(model.graph) for info in (*graph.input, *graph.output, *graph.value_info)]
    every = [name for name in dict.fromkeys([*values, *stored, *inner]) if name not in kept]
    rename(model, {name: f"renamed_{index}" for index, name in enumerate(every)})
    compare("values renamed", before, model.SerializeToString(), ("file",))


def _names_in(function: FunctionProto) -> tuple[set[str], set[str]]:
    """The names that the nodes of a function read, and those defined in it. Others may be the caller's values."""
    inner = [graph for node in function.node for each in node.attribute if each.HasField("g") for graph in graphs(each.g)]
    made = {name for scope in (function, *inner) for node in scope.node for name in node.output}
    given = {item.name for graph in inner for item in (*graph.input, *graph.initializer)}
    return {name for node in function.node for name in _reads(node)}, made | given | {*function.input, ""}


OLD_TYPES = ("float32", "float64", "float16", "int64", "int32", "bool", "uint8", "int8")
"""The types of Identity in every version."""


def more_that_costs_nothing(data: bytes, before: Report, rng: Random) -> None:
    """An initializer that nothing reads, and an Identity behind an output."""
    model = ModelProto.FromString(data)
    model.graph.initializer.append(helper.make_tensor("unused_by_all", 1, [2, 3], [0.0] * 6))
    names = {name for node in model.graph.node for name in node.output}
    types = [output and output[0] for output in before.rest["outputs"]]
    outputs = zip(model.graph.output, types, strict=False)
    made = next((info.name for info, dtype in outputs if info.name in names and dtype in OLD_TYPES), None)
    if made and all(opset.domain not in ("", "ai.onnx") or opset.version > 0 for opset in model.opset_import):
        model.graph.node.append(NodeProto(op_type="Identity", input=[made], output=["identity_behind"]))
        model.graph.output.add(name="identity_behind")
    compare(
        "an unused tensor and an Identity", before, model.SerializeToString(), tuple({*before.totals, *before.rest} - {"macs"})
    )


def notes_cost_nothing(data: bytes, before: Report, rng: Random) -> None:
    """Notes in the metadata of a model do not change its cost, even when they are added twice."""
    from onnxcost.frontend.annotate import annotate

    name = next((name for node in ModelProto.FromString(data).graph.node for name in node.output[:1]), "")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.onnx")
        path.write_bytes(data)
        for _ in range(2):
            try:
                annotate(path, path, {name: {"macs": "1"}}, {"macs": "1"})
            except Exception as error:
                if "in other files" in str(error):
                    return
                raise Broken(f"annotate: {type(error).__name__}", str(error)) from error
            compare("annotate", before, path.read_bytes(), ("file",))


CHECKS: tuple[Callable[[bytes, Report, Random], None], ...] = (
    strip_keeps,
    notes_cost_nothing,
    fields_in_another_order,
    nodes_in_another_order,
    values_renamed,
    more_that_costs_nothing,
)


def reordered(message: Any, rng: Random) -> bytes:
    """The message with its fields in another order, those of one number in their own, and some messages in two pieces."""
    return b"".join(_pieces(message, rng))


def _pieces(message: Any, rng: Random) -> list[bytes]:
    queues = []
    for field, value in message.ListFields():
        if field.message_type is None:
            single = type(message)()
            if is_repeated(field):
                getattr(single, field.name).extend(value)
            else:
                setattr(single, field.name, value)
            queues.append([single.SerializeToString()])
        elif is_repeated(field):
            queues.append([encoded(field.number, reordered(child, rng)) for child in value])
        else:
            inner = _pieces(value, rng)
            cut = rng.randrange(len(inner) + 1) if rng.random() < 0.1 else 0
            halves = [inner[:cut], inner[cut:]] if cut else [inner]
            queues.append([encoded(field.number, b"".join(half)) for half in halves])
    order = [index for index, queue in enumerate(queues) for _ in queue]
    rng.shuffle(order)
    turns = [iter(queue) for queue in queues]
    return [next(turns[index]) for index in order]


def shuffle(model: ModelProto, rng: Random) -> bool:
    """Equivalent orders; False if the order matters: a duplicate name, or a cycle."""
    defined = [name for graph in graphs(model.graph) for name in _defined(graph)]
    functions = [(function.domain, function.name, function.overload) for function in model.functions]
    if len({*defined}) < len(defined) or len({*functions}) < len(functions):
        return False
    for graph in list(graphs(model.graph)):
        infos = [info.name for info in (*graph.value_info, *graph.output)]
        order = _topological(graph, rng)
        if order is None or len({*infos}) < len(infos):
            return False
        for items, numbers in (
            (graph.node, order),
            *((items, rng.sample(range(len(items)), len(items))) for items in (graph.initializer, graph.value_info)),
        ):
            texts = [items[number].SerializeToString() for number in numbers]
            for item, text in zip(items, texts, strict=True):
                item.ParseFromString(text)
    return True


def _defined(graph: GraphProto) -> Iterator[str]:
    stored = {tensor.name for tensor in graph.initializer}
    yield from (tensor.name for tensor in graph.initializer)
    yield from (info.name for info in graph.input if info.name not in stored)
    yield from (name for node in graph.node for name in node.output if name)
    yield from (sparse.values.name for sparse in graph.sparse_initializer)


def _reads(node: NodeProto) -> set[str]:
    inner = [a.g for a in node.attribute if a.HasField("g")] + [graph for a in node.attribute for graph in a.graphs]
    inside = {name for graph in inner for each in graph.node for name in _reads(each)}
    return {*node.input} | inside | {info.name for graph in inner for info in graph.output}


def _topological(graph: GraphProto, rng: Random) -> list[int] | None:
    makers = {name: index for index, node in enumerate(graph.node) for name in node.output if name}
    waits = [{makers[name] for name in _reads(node) if name in makers} for node in graph.node]
    readers: dict[int, list[int]] = {}
    for index, needed in enumerate(waits):
        for each in needed:
            readers.setdefault(each, []).append(index)
    left, order = [len(needed) for needed in waits], []
    ready = [index for index, count in enumerate(left) if not count]
    while ready:
        pick = rng.randrange(len(ready))
        ready[pick], ready[-1] = ready[-1], ready[pick]
        chosen = ready.pop()
        order.append(chosen)
        for reader in readers.get(chosen, ()):
            left[reader] -= 1
            if not left[reader]:
                ready.append(reader)
    return order if len(order) == len(left) else None


def no_control_characters(name: str, text: str) -> None:
    if found := CONTROL.search(text):
        start = max(0, found.start() - 40)
        raise Broken(f"control character in {name}", f"U+{ord(found[0]):04X} in {text[start : found.start() + 40]!r}")


def check_csv(name: str, text: str) -> list[dict[str, str]]:
    """The rows; raises Broken for rows of unequal length and for cells that a spreadsheet executes."""
    no_control_characters(name, text)
    rows = list(csv.reader(io.StringIO(text), strict=True))
    if len({len(row) for row in rows}) != 1:
        raise Broken(f"{name}: rows of unequal length", str(sorted({len(row) for row in rows})))
    if cell := next((cell for row in rows for cell in row if FORMULA.match(cell)), None):
        raise Broken(f"{name}: a cell that a spreadsheet runs", repr(cell[:60]))
    return [dict(zip(rows[0], row, strict=True)) for row in rows[1:]]


def _refused(constant: str) -> None:
    raise Broken(f"JSON: {constant} is no number of JSON")


def check_outputs(data: bytes, rng: Random) -> None:
    """Every format of the library, read back and compared."""
    import onnxcost
    from onnxcost.conventions import CONVENTIONS
    from onnxcost.render.formats import dumps
    from onnxcost.render.layout import Screen, text_of
    from onnxcost.render.report import report_csv, report_lines, report_markdown
    from onnxcost.render.tables import View

    report = onnxcost.estimate(data)
    convention = CONVENTIONS[rng.choice(sorted(CONVENTIONS))]
    for depth in (None, rng.choice((1, 2, 5))):
        view = View(convention, rng.choice((None, 3)), depth, None)
        no_control_characters("the table", text_of(report_lines(report, view, Screen(rng.choice((40, 80, 200))))))
        no_control_characters("Markdown", report_markdown(report, view))
    text = dumps(report.to_dict(convention))
    no_control_characters("JSON", text)
    document = json.loads(text, parse_constant=_refused)
    rows = check_csv("CSV", report_csv(report, View(convention, None, None, "order")))
    check_csv("CSV of modules", report_csv(report, View(convention, None, 2, None)))
    counted = [row for row in rows if not row["not_counted"]]
    for key in ("macs", "flops", "parameters", "read_bytes", "write_bytes"):
        if [int(row[key]) for row in counted] != [node[key] for node in document["nodes"]]:
            raise Broken(f"{key} differ between CSV and JSON")
    for key in ("macs", "flops"):
        if sum(node[key] for node in document["nodes"]) != document["totals"][key]:
            raise Broken(f"{key} of the nodes do not add up to the total")
    if len(rows) != len(document["nodes"]) + len(document["uncounted"]):
        raise Broken("rows of CSV and nodes of JSON", f"{len(rows)}, {len(document['nodes'])}")


class Page(HTMLParser):
    """What a browser finds in a page before its scripts run."""

    def __init__(self) -> None:
        super().__init__()
        self.tags, self.attributes, self.scripts = Counter[str](), set[str](), list[str]()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        if self.lasttag == "script":
            self.scripts.append(data)


def read_page(text: str) -> Page:
    """The content of a page other than its own scripts and styles."""
    from onnxcost.render.page import ASSETS, SCRIPTS, STYLES

    for name in (*SCRIPTS, *STYLES):
        text = text.replace((ASSETS / name).read_text(encoding="utf-8"), "")
    no_control_characters("a page", text)
    page = Page()
    page.feed(text)
    return page


def check_page(text: str) -> dict[str, Any]:
    """The data of a page; raises Broken where a string has become an element, an attribute or a control character."""
    from onnxcost.render.page import build_page

    page, empty = read_page(text), read_page(build_page({}, "", {}))
    if (page.tags, page.attributes) != (empty.tags, empty.attributes):
        raise Broken("a page has other elements", f"{page.tags - empty.tags} {page.attributes - empty.attributes}")
    return dict(json.loads("".join(page.scripts), parse_constant=_refused))


def check_pages(data: bytes, rng: Random) -> None:
    """The page of a report, and node data."""
    import onnxcost
    from onnxcost.render.formats import dumps
    from onnxcost.render.layout import Screen, text_of
    from onnxcost.render.node_data import report_node_data
    from onnxcost.render.page import build_page, roofline_data
    from onnxcost.render.report import report_lines
    from onnxcost.render.tables import View

    report = onnxcost.estimate(data)
    document = report.to_dict()
    text = text_of(report_lines(report, View(), Screen(100)))
    if check_page(build_page(document, text, roofline_data(report)))["document"] != json.loads(dumps(document)):
        raise Broken("a page has another document")
    nodes = report_node_data(report)
    no_control_characters("node data", nodes)
    json.loads(nodes, parse_constant=_refused)


def check_growth(data: bytes, rng: Random) -> None:
    """The scaling formulas in every format, and their values at the base."""
    import onnxcost
    from onnxcost.render.formats import dumps
    from onnxcost.render.layout import Screen, text_of
    from onnxcost.render.scaling import scaling_csv, scaling_lines, scaling_markdown

    try:
        found = onnxcost.scaling(data)
    except onnxcost.OnnxCostError:
        return
    points = [dict(found.base)]
    no_control_characters("scale", text_of(scaling_lines(found, points, Screen(rng.choice((40, 80, 200))))))
    no_control_characters("scale as Markdown", scaling_markdown(found, points))
    for some in (points, []):
        check_csv("scale as CSV", scaling_csv(found, some)) if found.formulas else None
    no_control_characters("scale as JSON", dumps(found.to_dict()))
    totals = onnxcost.estimate(data, dims=found.base).to_dict()["totals"]
    if differ := [key for key, value in found.at(**found.base).items() if key in totals and totals[key] != value]:
        raise Broken(f"scale: {', '.join(differ)} differ from the report's")


def check_decoder(data: bytes, rng: Random) -> None:
    """What a language model costs, in every format."""
    import onnxcost
    from onnxcost.render.formats import dumps
    from onnxcost.render.layout import Screen, text_of
    from onnxcost.render.llm import llm_csv, llm_lines, llm_markdown

    sizes: dict[str, Any] = {name: rng.choice((None, None, 1, 3, 100, 10**6, 2**62)) for name in ("prompt", "context", "batch")}
    try:
        found = onnxcost.llm(data, **sizes, memory=rng.choice((None, 1, "8GiB")), devices=rng.choice(((), ("rtx-4090",))))
    except onnxcost.OnnxCostError:
        return
    no_control_characters("llm", text_of(llm_lines(found, Screen(rng.choice((40, 80, 200))))))
    no_control_characters("llm as Markdown", llm_markdown(found))
    check_csv("llm as CSV", llm_csv(found))
    text = dumps(found.to_dict())
    no_control_characters("llm as JSON", text)
    json.loads(text, parse_constant=_refused)


OUTPUTS = (check_outputs, check_pages, check_growth, check_decoder)
COMMANDS: tuple[tuple[str, ...], ...] = (
    ("estimate", "MODEL", "--no-run", "--format", "table"),
    ("estimate", "MODEL", "--no-run", "--format", "csv"),
    ("estimate", "MODEL", "--no-run", "--format", "json"),
    ("estimate", "MODEL", "--no-run", "--format", "markdown"),
    ("estimate", "MODEL", "--no-run", "--depth", "3"),
    ("estimate", "MODEL", "--no-run", "--nodes", "--strict"),
    ("estimate", "MODEL", "--no-run", "--dim", "batch=3", "--format", "csv", "--depth", "2"),
    ("compare", "MODEL", "OTHER", "--no-run", "--format", "table"),
    ("compare", "MODEL", "OTHER", "--no-run", "--format", "csv"),
    ("compare", "MODEL", "OTHER", "--no-run", "--format", "json"),
    ("compare", "OTHER", "MODEL", "--no-run", "--format", "markdown", "--max-increase", "macs=1%"),
    ("budget", "MODEL", "--device", "raspberry-pi-5-8gb", "--fps", "30"),
    ("budget", "MODEL", "--device", "raspberry-pi-5-8gb", "--format", "csv"),
    ("budget", "MODEL", "--device", "raspberry-pi-5-8gb", "--format", "json"),
    ("budget", "MODEL", "--format", "markdown", "--explain", "raspberry-pi-5-8gb"),
    ("strip", "MODEL", "-o", "SKELETON"),
    ("strip", "MODEL", "-o", "SKELETON", "--anonymize"),
    ("budget", "MODEL", "--device", "rtx-4090", "--tokens-per-second", "20", "--context", "100"),
    ("budget", "MODEL", "--device", "jetson-nano", "--runtime", "ncnn", "--anchor", "resnet18=30ms"),
    ("estimate", "MODEL", "--no-run", "-o", "page.html"),
    ("estimate", "MODEL", "--no-run", "-o", "x.nodedata.json"),
    ("estimate", "--pipeline", "MODEL,OTHER*3", "--no-run", "--format", "json"),
    ("estimate", "--pipeline", "MODEL*2,OTHER", "--no-run", "--format", "csv"),
    ("estimate", "--pipeline", "OTHER,MODEL*1000", "--no-run", "--strict"),
    ("budget", "--pipeline", "MODEL,OTHER*2", "--device", "rtx-4090", "--fps", "3", "--format", "markdown"),
    ("scale", "MODEL"),
    ("scale", "MODEL", "--over", "batch=1..8", "--at", "batch=1,2", "--format", "csv"),
    ("scale", "MODEL", "--format", "markdown"),
    ("scale", "MODEL", "-o", "page.html"),
    ("llm", "MODEL"),
    ("llm", "MODEL", "--prompt", "7", "--device", "rtx-4090", "--format", "json"),
    ("llm", "MODEL", "--context", "100000", "--memory", "8GiB", "--format", "markdown"),
    ("llm", "MODEL", "-o", "page.html"),
    ("annotate", "MODEL", "-o", "SKELETON"),
    ("annotate", "MODEL", "-o", "MODEL"),
    ("plot", "MODEL", "--kind", "share", "-o", "chart.svg"),
    ("plot", "MODEL", "--kind", "memory", "-o", "chart.svg"),
    ("plot", "MODEL", "--kind", "roofline", "-o", "chart.svg"),
    ("view", "MODEL", "--no-browser"),
)
CODES = (0, 1, 2, 3)


def check_command(data: bytes, other: bytes, rng: Random) -> None:
    """A command on the file: its exit code, one line if it fails, no control sequences in its output."""
    from onnxcost.cli.app import run

    arguments = rng.choice(COMMANDS)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = {name: str(folder / (name.lower() + ".onnx")) for name in ("MODEL", "OTHER", "SKELETON")}
        Path(paths["MODEL"]).write_bytes(data)
        Path(paths["OTHER"]).write_bytes(other)
        output = dict(pairwise(arguments)).get("-o", "")
        target = folder / paths.get(output, output) if output else None
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), _temporary_files_in(folder):
            code = run([_in_folder(argument, paths, folder) for argument in arguments])
        expected = {"model.onnx", "other.onnx"} | ({target.name} if target and code in (0, 1) else set())
        left = {path.name for path in folder.iterdir()} - expected
        pages = [*folder.glob("**/*.html")]
        written = [path.read_text() for path in (*pages, *folder.glob("*.svg"), *folder.glob("*.json"))]
    check_end(" ".join(arguments), code, out.getvalue(), err.getvalue())
    if left and not (arguments[0] == "view" and not code and len(left) == 1):
        raise Broken(f"{arguments[0]}: files are left", str(sorted(left)))
    if code in (0, 1) and "csv" in arguments:
        check_csv(f"{arguments[0]} as CSV", out.getvalue())
    if code in (0, 1) and "json" in arguments:
        json.loads(out.getvalue(), parse_constant=_refused)
    for text in written:
        check_page(text) if pages else no_control_characters(f"the file of {arguments[0]}", text)


def _in_folder(argument: str, paths: Mapping[str, str], folder: Path) -> str:
    """The argument with the paths of its models, or a file in the folder."""
    for name, path in paths.items():
        argument = argument.replace(name, path)
    return str(folder / argument) if argument.endswith((".html", ".svg", ".nodedata.json")) else argument


@contextlib.contextmanager
def _temporary_files_in(folder: Path) -> Iterator[None]:
    before, tempfile.tempdir = tempfile.tempdir, str(folder)
    try:
        yield
    finally:
        tempfile.tempdir = before


LONGEST_LINE = 4000
BUG = re.compile(r"bug in onnxcost: (.*?)\. Run it again|Traceback")


def check_end(command: str, code: int, out: str, err: str) -> None:
    """Raises Broken where a command did not end as it should."""
    name, lines = command.split()[0], err.splitlines()
    if bug := BUG.search(err):
        raise Broken(f"{name}: {(bug[1] or bug[0])[:120]}", f"{command}: {err[-1000:]}")
    if code not in CODES:
        raise Broken(f"{name}: exit code {code}", command)
    errors = [line for line in lines if line.startswith("onnxcost: error: ")]
    says_it_on_stdout = code == 1 and not errors and name in ("budget", "compare")
    if (code != 0) != (len(errors) == 1) and not says_it_on_stdout:
        raise Broken(f"{name}: exit code {code} with {len(errors)} lines of error", f"{command}: {err[-1000:]}")
    if strange := [line for line in lines if not line.startswith("onnxcost: ")]:
        raise Broken(f"{name}: a line on stderr that is no message", f"{command}: {strange[0][:200]!r}")
    if long := [line for line in errors if len(line) > LONGEST_LINE]:
        raise Broken(f"{name}: a line of error of more than {LONGEST_LINE} characters", f"{command}: {len(long[0])}")
    no_control_characters(f"stdout of {name}", out)
    no_control_characters(f"stderr of {name}", err)
