"""``--run`` of ``onnxcost llm``: the decoder's prompt and tokens, measured and compared with the counts and predictions."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from onnxcost.cli.app import catch_failure
from onnxcost.cli.options import Command, Whole, with_options
from onnxcost.cli.run_options import Measuring, MeasuringOption, measuring_options
from onnxcost.errors import InputError
from onnxcost.render.layout import progress_on

if TYPE_CHECKING:
    from onnxcost.formulas.table import FormulaTable
    from onnxcost.generation.language import LanguageCost
    from onnxcost.generation.run import GenerationRun
    from onnxcost.generation.speeds import Speed
    from onnxcost.hardware.prediction import Predictor
    from onnxcost.render.layout import Line, Screen
    from onnxcost.spec import ModelSpec

MOST_TOKENS = 10**6


class RunAsked(NamedTuple):
    """How to run the decoder: the options of measuring, and how many tokens to decode."""

    measuring: Measuring
    tokens: int | None


def run_options(command: Command) -> Command:
    """Add ``--run`` and its options; the command gets them as ``asked``, None without ``--run``."""

    def with_run(*, is_run: bool, tokens: int | None, measuring: Measuring, **given: Any) -> Any:
        if tokens is not None and not is_run:
            raise InputError("--tokens needs --run")
        return command(asked=RunAsked(measuring, tokens) if is_run else None, **given)

    options = (
        click.option("--run", "is_run", is_flag=True, help="Run the model: time to first token, time per token."),
        click.option(
            "--tokens",
            cls=MeasuringOption,
            type=Whole(1, MOST_TOKENS),
            metavar="N",
            help="Decode up to N tokens at each context.  [default: 64]",
        ),
    )
    return with_options(options, measuring_options("arena", "batches", "concurrency", "inputs")(wraps(command)(with_run)))


class RunOutcome(NamedTuple):
    """The measurement, and ``speeds``, the predictions for each of its contexts.

    ``reason`` says why it is incomplete; ``code`` is the exit code of the command.
    """

    run: GenerationRun | None = None
    speeds: Sequence[Speed] = ()
    reason: str = ""
    code: int = 0

    def for_json(self) -> Mapping[str, Any]:
        """The key ``generation`` of the schema."""
        from onnxcost.measurement import Unmeasured

        if self.run is None:
            return {"generation": Unmeasured("failed", self.reason).to_dict()}
        document = self.run.document()
        for context, speed in zip(document["contexts"], self.speeds, strict=False):
            context["predicted"] = speed.to_dict()
        return {"generation": document}

    def lines(self, screen: Screen) -> list[Line]:
        """The block for a terminal, with the reason if it is incomplete."""
        from onnxcost.render.formats import space_blocks
        from onnxcost.render.generation import run_lines
        from onnxcost.render.measurement import not_measured_lines

        blocks = [] if self.run is None else [run_lines(self.run, screen, self.speeds)]
        return space_blocks([*blocks, not_measured_lines(self.reason, screen) if self.reason else []])

    def markdown(self) -> str:
        """The section of a Markdown document, with the reason if it is incomplete."""
        from onnxcost.render.generation import run_markdown
        from onnxcost.render.measurement import not_measured_markdown

        sections = [] if self.run is None else [run_markdown(self.run, self.speeds)]
        return "\n" + "\n".join([*sections, *([not_measured_markdown(self.reason)] if self.reason else [])])


def run_model(
    found: LanguageCost, spec: ModelSpec, asked: RunAsked, predictors: Sequence[Predictor], formulas: FormulaTable | None
) -> RunOutcome:
    """Run the decoder with a progress bar on stderr: the prompt, and tokens after it and at the context that was counted.

    The reason for a failure is one line there; what was measured before it is kept.
    """
    from onnxcost.cli.app import say
    from onnxcost.errors import MeasurementError
    from onnxcost.generation.run import DEFAULT_TOKENS, predict_turns, run_decoder

    tokens = asked.tokens or DEFAULT_TOKENS
    prompt = 1 if found.prefill is None else found.prefill.sizes.new
    later = found.decode.sizes.total - tokens
    run: GenerationRun | None = None
    with catch_failure("not measured") as end, progress_on(sys.stderr) as shown:
        run = run_decoder(
            spec,
            asked.measuring.settings(),
            prompt,
            (later,) if later > prompt else (),
            tokens,
            found.decode.sizes.batch,
            formulas,
            shown,
            found.decoder,
        )
        end.stop_if(run.interrupted)
    if run is None:
        return RunOutcome(reason=end.reason, code=end.code)
    if run.failure:
        say("error", f"measured only in part: {run.failure}")
    speeds = predict_turns(run, found.decoder, spec, predictors[0], found.decode.sizes, formulas) if predictors else ()
    return RunOutcome(run, speeds, run.failure, end.code or (MeasurementError.exit_code if run.failure else 0))
