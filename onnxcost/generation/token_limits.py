"""A decoder against its budget: the time to the first token, tokens per second, and the memory at a batch and a context."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from onnxcost.generation.language import LanguageCost
from onnxcost.generation.speeds import ARITHMETIC, STARTS, Speed, predict_speed
from onnxcost.hardware.budget import PRICE, Assessment, Limits, check_limits, check_time, model_checks, sort_verdicts
from onnxcost.hardware.memory_fit import cache_of, fits_of
from onnxcost.hardware.prediction import Check, Fit, Prediction, Predictor, Verdict
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
