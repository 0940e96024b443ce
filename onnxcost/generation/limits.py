"""Decoders and pipelines against their budget: of a decoder the time to the first token, tokens per second and the memory at a
batch and a context; of a pipeline the time of all runs of all stages, and the memory that all of its models need.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from onnxcost.generation.language import LanguageCost
from onnxcost.generation.pipeline import Pipeline, Stage
from onnxcost.generation.speeds import ARITHMETIC, STARTS, Speed, predict_speed
from onnxcost.hardware.budget import PRICE, Assessment, Verdicts, check_limits, check_time, model_checks, sort_verdicts
from onnxcost.hardware.limits import Limits
from onnxcost.hardware.memory_fit import cache_of, fits_of
from onnxcost.hardware.prediction import Check, Fit, Interval, Prediction, Predictor, Verdict
from onnxcost.results import make_document


@dataclass(frozen=True, repr=False, kw_only=True)
class DecoderAssessment(Assessment):
    """A decoder checked against its budget. The predictions of its verdicts are those of a decode step: an item is a token."""

    language: LanguageCost

    def to_dict(self, *, nodes: bool = False) -> dict[str, Any]:
        """A document of the schema ``onnxcost/1``: the keys of a budget and of ``llm``."""
        return make_document(**self.document(nodes=nodes), llm=self.language.document())


def assess_decoder(
    label: str,
    language: LanguageCost,
    predictors: Sequence[Predictor],
    limits: Limits,
    *,
    are_named: bool,
    order: str = PRICE,
) -> DecoderAssessment:
    """The verdicts on the devices, the cheapest that fits first: of a prefill for ``ttft``, of a decode step for the others."""
    report = language.decode.report
    pairs = [(each, predict_speed(each, language.prefill, language.decode)) for each in predictors]
    verdicts = [_judge(each, speed, language, limits) for each, speed in pairs]
    return DecoderAssessment(
        label=label,
        limits=limits,
        checks=model_checks(report, limits),
        verdicts=tuple(sort_verdicts(verdicts, order)),
        are_named=are_named,
        order=order,
        report=report,
        language=replace(language, speeds=tuple(speed for _, speed in pairs)),
    )


def _judge(predictor: Predictor, speed: Speed, language: LanguageCost, limits: Limits) -> Verdict:
    report = language.decode.report
    limit = {ARITHMETIC: "compute", STARTS: "overhead", "": ""}.get(speed.limit, "memory")
    step: Prediction = replace(predictor.predict(report), latency=speed.step, bound=speed.step_bound, limit=limit)
    fits = tuple(_with_cache(fit, language) for fit in fits_of(predictor, report))
    verdict = check_limits(predictor, step, fits, limits, is_open=report.memory.peak_activation_bytes is None)
    checks = () if step.unsupported else tuple(_token_checks(speed, limits))
    return replace(verdict, checks=(*verdict.checks, *checks), cache=cache_of(predictor, report))


def _token_checks(speed: Speed, limits: Limits) -> Iterator[Check]:
    if limits.ttft is not None:
        yield check_time("ttft", limits.ttft, speed.ttft, speed.ttft_bound, speed.missing)
    if limits.tokens_per_second is not None:
        rate = limits.tokens_per_second
        yield check_time("tokens_per_second", rate, speed.step, speed.step_bound, speed.missing, speed.limit, of=1)


def _with_cache(fit: Fit, language: LanguageCost) -> Fit:
    """The memory with the cache at the context, apart from the other activations."""
    if "activations" not in fit.parts:
        return fit
    need = language.memory
    return fit._replace(parts={**fit.parts, "activations": need.activations, "cache": need.cache + need.copied})


@dataclass(frozen=True, repr=False, kw_only=True)
class PipelineAssessment(Verdicts):
    """A pipeline checked against its budget: ``by_stage`` has the predictions of one run of each stage, by device."""

    pipeline: Pipeline
    by_stage: Mapping[str, tuple[Prediction, ...]]

    def to_dict(self) -> dict[str, Any]:
        """A document of the schema ``onnxcost/1``: the keys of a pipeline and of a budget."""
        stages = self.pipeline.stages
        return make_document(
            **self.pipeline.document(),
            limits=dict(self.limits.given),
            checks=[check._asdict() for check in self.checks],
            devices=[
                verdict.to_dict()
                | {
                    "stages": [
                        {"name": stage.name, "runs": stage.runs, **run.figures()}
                        for stage, run in zip(stages, self.by_stage[verdict.name], strict=True)
                    ]
                }
                for verdict in self.verdicts
            ],
        )


def assess_pipeline(
    label: str,
    pipeline: Pipeline,
    predictors: Sequence[Predictor],
    limits: Limits,
    *,
    are_named: bool,
    order: str = PRICE,
) -> PipelineAssessment:
    """The verdicts on the devices, the cheapest that fits first; a latency is that of all runs, one after the other."""
    by_stage = {each.name: tuple(each.predict(stage.middle) for stage in pipeline.stages) for each in predictors}
    verdicts = []
    for each in predictors:
        prediction, fits = add_predictions(pipeline.stages, by_stage[each.name]), add_fits(each, pipeline.stages)
        verdicts.append(check_limits(each, prediction, fits, limits, is_open=pipeline.largest is None))
    return PipelineAssessment(
        label=label,
        limits=limits,
        checks=model_checks(pipeline, limits),
        verdicts=tuple(sort_verdicts(verdicts, order)),
        are_named=are_named,
        order=order,
        pipeline=pipeline,
        by_stage=by_stage,
    )


def add_predictions(stages: Sequence[Stage], runs: Sequence[Prediction]) -> Prediction:
    """The prediction for all runs of all stages, from that of the middle run of each.

    The bound of a run is convex in the length of its cache, so that the middle one, as often as there are runs, is not above
    the sum.
    """
    many = [stage.runs for stage in stages]
    spans = [(stage.runs, run.latency) for stage, run in zip(stages, runs, strict=True) if run.latency is not None]
    bounds = [count * run.bound for count, run in zip(many, runs, strict=True) if run.bound is not None]
    latency = None
    if len(spans) == len(runs):
        low, high = sum(count * span.low for count, span in spans), sum(count * span.high for count, span in spans)
        latency = Interval(low, high, spans[0][1].basis)
    shares = [0.0 if run.latency is None else count * run.latency.high for count, run in zip(many, runs, strict=True)]
    batches = {run.batch for run in runs}
    return Prediction(
        runs[0].device,
        batches.pop() if len(batches) == 1 else 1,
        sum(bounds) if len(bounds) == len(runs) else None,
        latency,
        nodes=tuple(node for run in runs for node in run.nodes),
        runs_as={dtype: other for run in runs for dtype, other in run.runs_as.items()},
        missing=_distinct(run.missing for run in runs),
        unsupported=_distinct(run.unsupported for run in runs),
        notes=_distinct(run.notes for run in runs),
        limit=runs[shares.index(max(shares))].limit,
    )


def _distinct(texts: Iterable[Sequence[str]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(text for some in texts for text in some))


def add_fits(predictor: Predictor, stages: Sequence[Stage]) -> tuple[Fit, ...]:
    """The memory of all models: the weights of each file, which stay loaded, and the largest other need of a stage."""
    needs: dict[str, dict[str, list[Fit]]] = {}
    for stage in stages:
        for fit in fits_of(predictor, stage.last):
            needs.setdefault(fit.what, {}).setdefault(stage.file, []).append(fit)
    found = []
    for what, by_file in needs.items():
        fits = [fit for some in by_file.values() for fit in some]
        parts = {name: max(fit.parts.get(name, 0) for fit in fits) for fit in fits for name in fit.parts}
        if "weights" in parts:
            parts["weights"] = sum(some[0].parts.get("weights", 0) for some in by_file.values())
        found.append(Fit(what, parts, fits[0].available, fits[0].basis))
    return tuple(found)
