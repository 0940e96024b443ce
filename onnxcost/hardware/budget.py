"""Budgets: limits and the files that hold them, the verdict on each device, and the changes that would make a model fit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from onnxcost.analysis.batch import batch_dim, batch_of
from onnxcost.documents import UNITS, is_figure, parse_quantity, read_document, read_toml
from onnxcost.errors import InputError, OnnxCostError, did_you_mean
from onnxcost.graph import BoundDim, Graph
from onnxcost.hardware.memory_fit import cache_of, fits_of
from onnxcost.hardware.prediction import (
    FITS,
    LEVELS,
    MARGINAL,
    NO,
    UNKNOWN,
    Check,
    Fit,
    Interval,
    NodeTime,
    Predictor,
    Remedy,
    Verdict,
)
from onnxcost.hardware.retype import retype_report
from onnxcost.hardware.workload import demand_of
from onnxcost.report import CostReport
from onnxcost.results import SCHEMA, Result
from onnxcost.version import __version__

TYPES: Mapping[str, Mapping[str, str]] = {
    "float16": dict.fromkeys(("float64", "float32"), "float16"),
    "int8": dict.fromkeys(("float64", "float32", "float16", "bfloat16"), "int8"),
}
"""The changes of type, and what is stored and multiplied as what then: all of it, as far as it is floating."""
FRACTIONS = (0.75, 0.5, 0.25)
"""How much smaller an input is tried."""
LEAST, STEP = 32, 32
"""Dims below the least are left as they are; what is a multiple of the step stays one, as convolutional models ask for."""


class Again(Protocol):
    """Counts the model once more with other sizes, as ``onnxcost.estimate`` takes them; raises OnnxCostError."""

    def __call__(self, *, shapes: Mapping[str, Sequence[int]], dims: Mapping[str, int]) -> CostReport:
        """The report."""
        ...


class Variant(NamedTuple):
    """A change in words, and the report of the changed model; None where it does not allow the change."""

    change: str
    report: Callable[[], CostReport | None]


def try_variants(report: CostReport, again: Again | None) -> list[Variant]:
    """The changes to try, the mildest first. Each is counted when it is asked for, and only once."""
    typed = [_variant(change, _retype_report, report, types) for change, types in TYPES.items() if _has_any(report, types)]
    sized = list(_smaller_variants(report, again)) if again else []
    both = [_variant(f"{typed[-1].change} and {size.change}", _both, size, TYPES[typed[-1].change]) for size in sized if typed]
    return [*typed, *sized, *both]


def _variant(change: str, make: Callable[..., CostReport | None], *arguments: Any) -> Variant:
    return Variant(change, cache(partial(make, *arguments)))


def _has_any(report: CostReport, types: Mapping[str, str]) -> bool:
    return any(dtype in types for dtype in demand_of(report).macs)


def _retype_report(report: CostReport, types: Mapping[str, str]) -> CostReport:
    return retype_report(report, types)


def _both(size: Variant, types: Mapping[str, str]) -> CostReport | None:
    smaller = size.report()
    return smaller and retype_report(smaller, types)


def _smaller_variants(report: CostReport, again: Again) -> Iterator[Variant]:
    """A batch of one, and smaller inputs."""
    graph, batch = report.graph, batch_dim(report.graph)
    given = {dim.name: dim.value for dim in graph.dims if not _is_unnamed(dim)}
    if batch is not None and batch_of(graph) > 1:
        yield _variant("batch 1", _try_count, again, batch.at(1, {}, given))
    batched = {dim.name for dim in batch.dims} if batch else set()
    sizes = [dim for dim in graph.dims if dim.places and dim.name not in batched and dim.value >= LEAST]
    for fraction in FRACTIONS if sizes else ():
        smaller = {dim.name: _scale_size(dim.value, fraction) for dim in sizes}
        yield _variant(_sizes_text(smaller), _try_count, again, _with(graph, given, smaller))


def _try_count(again: Again, sizes: Mapping[str, Any]) -> CostReport | None:
    try:
        return again(shapes=sizes["shapes"], dims=sizes["dims"])
    except OnnxCostError:
        return None


def _with(graph: Graph, given: Mapping[str, int], sizes: Mapping[str, int]) -> dict[str, Any]:
    """The arguments that set the dims: a symbol by its name, one without a name in its input's shape."""
    shapes: dict[str, list[int]] = {}
    for dim in graph.dims:
        for name, axis in dim.places if _is_unnamed(dim) and dim.name in sizes else ():
            tensor = next(tensor for tensor in graph.inputs if tensor.name == name)
            shapes.setdefault(name, list(tensor.shape))[axis] = sizes[dim.name]
    named = {dim.name for dim in graph.dims if not _is_unnamed(dim)}
    return {"shapes": shapes, "dims": {**given, **{name: size for name, size in sizes.items() if name in named}}}


def _is_unnamed(dim: BoundDim) -> bool:
    return dim.name in {f"{name}[{axis}]" for name, axis in dim.places}


def _scale_size(size: int, fraction: float) -> int:
    if size % STEP == 0:
        return max(round(size * fraction / STEP), 1) * STEP
    return max(int(size * fraction), 1)


def _sizes_text(sizes: Mapping[str, int]) -> str:
    """``height 160, width 160``."""
    return ", ".join(f"{name} {size}" for name, size in sizes.items())


LEAST_HEADROOM = 0.2
"""A memory of which less than this share is left is marginal: the system and everything else want some of it."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What is asked of a model, in base units; None is not asked.

    ``fps`` items per second; ``latency`` seconds of one inference; ``memory`` and ``flash`` bytes that it may need at the most;
    ``macs`` of one inference and ``params``.
    """

    fps: float | None = None
    latency: float | None = None
    memory: float | None = None
    flash: float | None = None
    macs: float | None = None
    params: float | None = None

    @property
    def given(self) -> Mapping[str, float]:
        """Those that are asked, by name."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return {name: value for name, value in values.items() if value is not None}


EXAMPLES: Mapping[str, str] = {
    "fps": "30", "latency": "33ms", "memory": "512MiB", "flash": "2MiB", "macs": "500M", "params": "5M",
}  # fmt: skip
_UNITS = {"fps": "", "latency": "seconds", "memory": "bytes", "flash": "bytes", "macs": "count", "params": "count"}


def parse_budget_limit(name: str, given: object) -> float:
    """A limit in base units; raises InputError for what is no positive quantity of its kind."""
    units = UNITS[_UNITS[name]]
    if _UNITS[name] == "seconds":
        units = {unit: size for unit, size in units.items() if unit}
    value = parse_quantity(given, units) if isinstance(given, str) else given if "" in units and is_figure(given) else None
    if not isinstance(value, int | float) or not value:
        raise InputError(f"{name} wants a quantity as in {EXAMPLES[name]}, not '{given}'")
    return value


def limits_of(given: Mapping[str, object]) -> Limits:
    """The limits among ``given``; None is not asked."""
    return Limits(
        **{name: parse_budget_limit(name, value) for name, value in given.items() if name in EXAMPLES and value is not None}
    )


@dataclass(frozen=True, repr=False)
class Assessment(Result):
    """A model held against its budget: the limits of its own, and the verdicts on devices.

    ``are_named`` says that the user asked for these devices: then one that does not keep the budget is a failure.
    """

    label: str
    report: CostReport
    limits: Limits
    checks: tuple[Check, ...]
    verdicts: tuple[Verdict, ...]
    are_named: bool = False

    @property
    def missed(self) -> tuple[Verdict, ...]:
        """The devices that were asked for and do not keep the budget, or of which that cannot be told."""
        return tuple(verdict for verdict in self.verdicts if self.are_named and verdict.level in (NO, UNKNOWN))

    @property
    def failed(self) -> tuple[Check, ...]:
        """The limits of the model's own that it does not keep."""
        return tuple(check for check in self.checks if check.level in (NO, UNKNOWN))

    def to_dict(self, *, nodes: bool = False) -> dict[str, Any]:
        """A document of the schema ``onnxcost/1``; with ``nodes`` the predicted steps of each device, too."""
        return {"schema": SCHEMA, "version": __version__, **self.document(nodes=nodes)}

    def document(self, *, nodes: bool = False) -> dict[str, Any]:
        """An entry of the key ``budgets``."""
        report = self.report
        return {
            "model": {"path": report.graph.path, "macs": report.macs, "parameters": report.parameters, "bound": report.bound},
            "limits": dict(self.limits.given),
            "checks": [check._asdict() for check in self.checks],
            "devices": [_verdict(verdict, nodes=nodes) for verdict in self.verdicts],
        }

    def to_records(self) -> list[dict[str, Any]]:
        """One row a device, in base units."""
        rows = []
        for verdict in self.verdicts:
            latency, fps = verdict.prediction.latency or (None, None, None), verdict.prediction.fps or (None, None, None)
            row = {"device": verdict.name, "kind": verdict.kind, "level": verdict.level, "price": verdict.price}
            row |= {"latency_low": latency[0], "latency_high": latency[1], "fps_low": fps[0], "fps_high": fps[1]}
            rows.append(row | {f"{fit.what}_needed": fit.needed for fit in verdict.fits})
        return rows

    def summary(self) -> str:
        """The model, and how many devices are at each level."""
        levels = Counter(verdict.level for verdict in self.verdicts)
        return f"{self.label}: " + ", ".join(f"{levels[level]} {level}" for level in LEVELS if level in levels)


def _verdict(verdict: Verdict, *, nodes: bool) -> dict[str, Any]:
    prediction = verdict.prediction
    return {
        "device": verdict.name,
        "title": verdict.title,
        "kind": verdict.kind,
        "level": verdict.level,
        "checks": [check._asdict() for check in verdict.checks],
        "batch": prediction.batch,
        "bound": None if prediction.bound is None else {"seconds": prediction.bound, "basis": "bound"},
        "latency": _interval(prediction.latency),
        "fps": _interval(prediction.fps),
        "limit": prediction.limit or None,
        "compute_bound_nodes": prediction.nodes_by_limit.get("compute", 0),
        "memory_bound_nodes": prediction.nodes_by_limit.get("memory", 0),
        "runs_as": dict(prediction.runs_as),
        "unsupported": list(prediction.unsupported),
        "not_known": list(prediction.missing),
        "notes": list(prediction.notes),
        "memory": [_fit(fit) for fit in verdict.fits],
        "cache": None if verdict.cache is None else {**verdict.cache._asdict(), "sequence_bytes": verdict.cache.sequence_bytes},
        "price": verdict.price,
        "power": verdict.power,
        "energy": None
        if verdict.energy is None
        else {"joules_at_most": verdict.energy, "basis": "power × the longest latency"},
        "remedies": [
            {"change": remedy.change, "level": remedy.verdict.level, "fps": _interval(remedy.verdict.prediction.fps)}
            for remedy in verdict.remedies
        ],
        **({"nodes": [_node(node) for node in prediction.nodes]} if nodes else {}),
    }


def _interval(span: Interval | None) -> dict[str, Any] | None:
    return None if span is None else span._asdict()


def _fit(fit: Fit) -> dict[str, Any]:
    return {
        "what": fit.what, "needed_bytes": fit.needed, "parts": dict(fit.parts), "available_bytes": fit.available,
        "headroom_bytes": fit.headroom, "basis": fit.basis,
    }  # fmt: skip


def _node(node: NodeTime) -> dict[str, Any]:
    return {**node._asdict(), "span": node.span._asdict(), "limit": node.limit}


def model_checks(report: CostReport, limits: Limits) -> tuple[Check, ...]:
    """The limits that do not depend on a device."""
    found = {"macs": report.macs, "params": report.parameters}
    is_short = report.bound in ("lower", "mixed")
    checks = []
    for name, value in found.items():
        if (limit := limits.given.get(name)) is not None:
            level = NO if value > limit else UNKNOWN if is_short and name == "macs" else FITS
            checks.append(Check(name, level, limit, value, value, "counted", "not all nodes are counted" if is_short else ""))
    return tuple(checks)


def judge(predictor: Predictor, report: CostReport, limits: Limits) -> Verdict:
    """Whether the model keeps the limits on the device."""
    prediction = predictor.predict(report)
    fits = fits_of(predictor, report)
    verdict = Verdict(
        predictor.name, predictor.title, predictor.kind, prediction, fits, (),
        predictor.figure("price"), predictor.figure("power"), cache_of(predictor, report),
    )  # fmt: skip
    types = [Check("dtype", NO, detail=", ".join(prediction.unsupported))] if prediction.unsupported else []
    room = [check for fit in fits for check in _room(predictor, fit, limits, report)]
    return replace(verdict, checks=(*types, *([] if types else _times(verdict, limits)), *room))


def _times(verdict: Verdict, limits: Limits) -> Iterator[Check]:
    """Latency and FPS against their limits. A bound that is over one decides, whatever the estimate."""
    prediction = verdict.prediction
    asked = {"latency": limits.latency, "fps": limits.fps and prediction.batch / limits.fps}
    for name, longest in asked.items():
        if longest is None:
            continue
        limit, latency, bound = limits.given[name], prediction.latency, prediction.bound
        if bound is not None and bound > longest:
            best = prediction.batch / bound if name == "fps" else bound
            yield Check(name, NO, limit, best, best, "bound", prediction.limit)
        elif latency is None:
            yield Check(name, UNKNOWN, limit, detail=", ".join(prediction.missing))
        else:
            span = prediction.fps if name == "fps" else latency
            if span is None:
                yield Check(name, FITS, limit, detail="there is nothing to compute")
                continue
            level = NO if latency.low > longest else MARGINAL if latency.high > longest else FITS
            yield Check(name, level, limit, span.low, span.high, span.basis, prediction.limit)


def _room(predictor: Predictor, fit: Fit, limits: Limits, report: CostReport) -> Iterator[Check]:
    """A memory against what there is, and against what the user allows."""
    is_open = report.memory.peak_activation_bytes is None and fit.what == "memory"
    unknown = [UNKNOWN] if is_open else []
    detail = "the activations' shapes are not known" if is_open else ""
    if (limit := limits.given.get(fit.what)) is not None:
        level = NO if fit.needed > limit else max([FITS, *unknown], key=LEVELS.index)
        yield Check(fit.what, level, limit, fit.needed, fit.needed, fit.basis, detail or "allowed")
    if fit.available is not None:
        headroom = fit.available - fit.needed
        level = NO if headroom < 0 else MARGINAL if headroom < LEAST_HEADROOM * fit.available else FITS
        level = max([level, *unknown], key=LEVELS.index)
        yield Check(fit.what, level, fit.available, fit.needed, fit.needed, fit.basis, detail)
    elif predictor.kind == "microcontroller":
        yield Check(fit.what, UNKNOWN, None, fit.needed, fit.needed, fit.basis, f"its {fit.what} is not known")


def assess(
    label: str, report: CostReport, asked: Iterable[Predictor], limits: Limits, *, are_named: bool, again: Again | None = None
) -> Assessment:
    """The devices, the cheapest that fits first, and for what does not fit what would."""
    changes = try_variants(report, again)
    found = sort_verdicts([_with_remedies(predictor, judge(predictor, report, limits), changes, limits) for predictor in asked])
    return Assessment(label, report, limits, model_checks(report, limits), tuple(found), are_named)


def _with_remedies(predictor: Predictor, verdict: Verdict, changes: Sequence[Variant], limits: Limits) -> Verdict:
    """The mildest change that makes the model fit; where none does, the mildest that makes it marginal."""
    if verdict.level in (FITS, UNKNOWN):
        return verdict
    best: Remedy | None = None
    for variant in changes:
        changed = variant.report()
        if changed is None:
            continue
        remedy = Remedy(variant.change, judge(predictor, changed, limits))
        if remedy.verdict.level == FITS:
            return replace(verdict, remedies=(remedy,))
        if remedy.verdict.level == MARGINAL and verdict.level == NO:
            best = best or remedy
    return replace(verdict, remedies=(best,) if best else ())


def sort_verdicts(found: Iterable[Verdict]) -> list[Verdict]:
    """The cheapest that fits first: by level, by launch price, and those without one by power.

    Of those that do not fit, the ones that a change would make fit come first.
    """

    def place(verdict: Verdict) -> tuple[float, ...]:
        unknown = float("inf")
        after = min((LEVELS.index(remedy.verdict.level) for remedy in verdict.remedies), default=len(LEVELS))
        return (
            LEVELS.index(verdict.level), after, verdict.price is None,
            unknown if verdict.price is None else verdict.price, unknown if verdict.power is None else verdict.power,
        )  # fmt: skip

    return sorted(found, key=place)


FILES, KEY = ("onnxcost.toml", "pyproject.toml"), "budget"


@dataclass(frozen=True, slots=True)
class Budget:
    """The limits of one model of a budget file, and the devices that are to keep them; without any, those of the model alone.

    ``model`` is the file's path, as from where the command runs.
    """

    model: str
    limits: Limits
    devices: tuple[str, ...] = ()
    batch: int | None = None
    dims: Mapping[str, int] = field(default_factory=dict)
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


def find_budget_file(folder: str | Path = ".") -> Path:
    """The folder's budget file; raises InputError where there is none."""
    for name in FILES:
        path = Path(folder) / name
        if path.is_file() and (name != FILES[-1] or f"tool.onnxcost.{KEY}".encode() in read_document(path)):
            return path
    raise InputError(f"there is no budget here: neither {FILES[0]} nor [tool.onnxcost.{KEY}] in {FILES[1]}")


def load_budgets(path: str | Path) -> tuple[Budget, ...]:
    """The budgets of a file: what stands in the table ``budget`` is asked of all models, in a model's own table of that one.

    Raises InputError for a file that cannot be read, and for what is misspelt in it.
    """
    document = read_toml(path)
    table: Any = document
    for key in (KEY,) if KEY in document else ("tool", "onnxcost", KEY):
        table = table.get(key) if isinstance(table, dict) else None
    if not isinstance(table, dict):
        where = f"[tool.onnxcost.{KEY}]" if Path(path).name == "pyproject.toml" else f"[{KEY}]"
        raise InputError(f"'{path}' has no table {where}")
    models = table.get("models", {})
    if not isinstance(models, dict) or not models:
        raise InputError(f"'{path}' names no model: write [{KEY}.models.\"model.onnx\"] for each")
    shared = {key: value for key, value in table.items() if key != "models"}
    found = []
    for name, own in models.items():
        try:
            if not isinstance(own, dict):
                raise InputError("this is no table")
            found.append(_budget(str(Path(path).parent / name), {**shared, **own}))
        except InputError as error:
            raise InputError(f"{path}: {name}: {error}") from None
    return tuple(found)


def _budget(model: str, table: Mapping[str, Any]) -> Budget:
    known = (*EXAMPLES, *_READERS)
    for key in table:
        if key not in known:
            raise InputError(f"there is no key '{key}'{did_you_mean(key, known)}")
    return Budget(model, limits=limits_of(table), **{key: read(table[key]) for key, read in _READERS.items() if key in table})


def _names(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value) or not value:
        raise InputError("devices wants a list of names, as in devices = ['raspberry-pi-5-8gb']")
    return tuple(value)


def _sizes(value: Any) -> Mapping[str, int]:
    if not isinstance(value, dict) or not all(type(size) is int and size >= 0 for size in value.values()):
        raise InputError("dims wants a table of whole numbers, as in dims = { batch = 8 }")
    return value


def _shapes(value: Any) -> Mapping[str, tuple[int, ...]]:
    if not isinstance(value, dict) or not all(
        isinstance(dims, list) and all(type(d) is int and d >= 0 for d in dims) for dims in value.values()
    ):
        raise InputError("shapes wants a table of lists, as in shapes = { image = [1, 3, 224, 224] }")
    return {name: tuple(dims) for name, dims in value.items()}


def _batch(value: Any) -> int:
    if type(value) is not int or value < 1:
        raise InputError(f"batch wants a whole number from 1 up, not {value!r}")
    return value


_READERS: Mapping[str, Callable[[Any], Any]] = {"devices": _names, "batch": _batch, "dims": _sizes, "shapes": _shapes}
