"""``onnxcost.compare``: models run beside each other, timed by turns, and their outputs compared."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from onnxcost.comparing import Given, Read, Source, Timing, comparison_of, read
from onnxcost.comparison.candidates import Broken, Comparison
from onnxcost.comparison.labels import labels
from onnxcost.comparison.metrics import directed, metric_named
from onnxcost.conventions import convention_named
from onnxcost.errors import InputError
from onnxcost.measurement import Settings, Unmeasured

if TYPE_CHECKING:
    from onnxcost.comparison.agreement import Agreement
    from onnxcost.measuring.supervisor import OnProgress
    from onnxcost.report import CostReport


def compare(
    models: Sequence[str | os.PathLike[str]],
    settings: Settings = Settings(),  # noqa: B008  # frozen
    *,
    shapes: Mapping[str, Sequence[int]] | None = None,
    dims: Mapping[str, int] | None = None,
    values: Mapping[str, Any] | None = None,
    inputs: Mapping[str, str | Sequence[str]] | None = None,
    convention: str = "flops",
    sort: str | None = None,
    pareto: Sequence[str] = (),
    run: bool = True,
    check_outputs: bool = False,
    on_progress: OnProgress | None = None,
    **changes: Any,
) -> Comparison:
    """Models, or reports saved as JSON, side by side: what each costs, how fast it is, which is the best.

    The models are timed by turns unless ``run`` is false; with ``check_outputs`` the outputs of all are held against those of
    the first. The other arguments are those of ``onnxcost.measure``; each model takes what it has a name for. ``sort`` and
    ``pareto`` are names of metrics.

    What cannot be read is in the result as broken, what cannot be run as a candidate without a latency. Raises InputError
    where not a single one can be read, and for an argument that fits none of them.
    """
    from onnxcost.measuring.measuring import settings_with

    paths = [os.fspath(model) for model in models]
    sources = [Source(label, path) for label, path in zip(labels(paths), paths, strict=True)]
    refuse_too_few(sources, check_outputs)
    convention_named(convention)
    front = directed(pareto, "pareto")
    if sort is not None:
        metric_named(sort)
    changed = settings_with(settings, changes)
    results = read(sources, Given(shapes or {}, dims or {}, values or {}, inputs or {}))
    timings = timed(results, changed, on_progress).by_label if run else {}
    agreements = checked(results, changed, on_progress) if check_outputs else {}
    return comparison_of(results, convention, sort, front, timings, agreements)


def refuse_too_few(sources: Sequence[Source], check_outputs: bool) -> None:
    """Raises InputError for fewer models than can be compared."""
    if len(sources) < 2:
        single = f": 'onnxcost {sources[0].path}' shows a single one" if sources else ""
        raise InputError(f"compare wants two models or more{single}")
    if check_outputs and sum(not source.is_saved for source in sources) < 2:
        raise InputError("comparing outputs wants two models that can be run: a saved report has none")


class Timings(NamedTuple):
    """What came of measuring the models that are no saved reports, by label, and what there is to say of how it was done."""

    by_label: Mapping[str, Timing] = {}
    notes: tuple[str, ...] = ()


def timed(results: Sequence[Read | Broken], settings: Settings, on_progress: OnProgress | None = None) -> Timings:
    """The models that are no saved reports, timed by turns. Raises InputError for settings that no turns can be made of."""
    from onnxcost.measuring.alternating import measure_alternately

    models, reports = _runnable(results)
    if not models:
        return Timings()
    found = measure_alternately([model.question for model in models], settings, reports=reports, on_progress=on_progress)
    # A ratio to a model that is not the baseline would be read as one to the baseline.
    is_first = next(result for result in results if isinstance(result, Read)) is models[0]
    ratios = found.ratios if is_first else [None] * len(models)
    names = [model.source.label for model in models]
    return Timings(dict(zip(names, map(Timing, found.results, ratios), strict=True)), tuple(_notes(found.groups, names)))


def untimed(results: Sequence[Read | Broken], reason: str) -> Timings:
    """What came of measuring them where nothing did."""
    models, _ = _runnable(results)
    return Timings({model.source.label: Timing(Unmeasured("failed", reason)) for model in models})


def _notes(groups: Sequence[Sequence[int]], names: Sequence[str]) -> list[str]:
    together = [group for group in groups if group[0] == 0]
    alone = [names[group[0]] for group in groups if group[0] != 0]
    notes = []
    if len(together) > 1:
        notes.append(f"timed in {len(together)} groups, in each by turns with {names[0]}: they are too many for one")
    if alone:
        notes.append(f"{', '.join(alone)}: timed alone, as memory is too small for it and {names[0]} at the same time")
    return notes


def checked(
    results: Sequence[Read | Broken], settings: Settings, on_progress: OnProgress | None = None
) -> Mapping[str, Agreement]:
    """How the outputs of the models agree with those of the first that is no saved report: by label, without that one."""
    from onnxcost.measuring.checking import check_outputs

    models, reports = _runnable(results)
    if len(models) < 2:
        return {}
    found = check_outputs([model.question for model in models], settings, reports=reports, on_progress=on_progress)
    reference = models[0].source.label
    return {
        model.source.label: replace(agreement, reference=reference) for model, agreement in zip(models[1:], found, strict=True)
    }


def _runnable(results: Sequence[Read | Broken]) -> tuple[list[Read], list[CostReport]]:
    """The models that are no saved reports, and their estimates."""
    models = [result for result in results if isinstance(result, Read) and not isinstance(result.found, Mapping)]
    return models, [model.found for model in models if not isinstance(model.found, Mapping)]
