"""A stand-in for what runs models, and a folder with a model to run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

import onnxcost
from onnxcost.errors import MeasurementError
from onnxcost.measurement import Measurement, Settings
from onnxcost.report import CostReport
from onnxcost.runtime import api
from onnxcost.runtime.profile import Profile
from onnxcost.spec import ModelSpec
from tests.measurements import MEASUREMENT, at_batch
from tests.modeltext import model
from tests.render.test_profile import PROFILE

RUNNABLE = model("(float[2,16] x) => (float[2,8] y) { h = MatMul(x, w) y = Relu(h) }", w=(16, 8)).SerializeToString()


class Stand:
    """In the place of ``onnxcost.runtime.api``: answers with a measurement or raises, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[object, Settings, dict[str, Any]]] = []
        self.error: BaseException | None = None
        self.profile_error: BaseException | None = None

    def measure(self, spec: ModelSpec, settings: Settings, **others: Any) -> Measurement:
        given = {field.name: getattr(spec, field.name) for field in fields(spec)}
        source = given.pop("source")
        self.asked.append((source.read() if hasattr(source, "read") else source, settings, given | others))
        if self.error is not None:
            raise self.error
        return MEASUREMENT

    def profile(self, spec: ModelSpec, settings: Settings, formulas: Any, on_progress: Any, on_measured: Any = bool) -> Profile:
        on_measured(self.measure(spec, settings, formulas=formulas, on_progress=on_progress))
        if self.profile_error is not None:
            raise self.profile_error
        return PROFILE

    def trace(self, spec: ModelSpec, settings: Settings, **others: Any) -> CostReport:
        self.measure(spec, settings, **others)
        return onnxcost.estimate(model("(float[7,3] x) => (float[7,3] y) { y = Relu(x) }"))

    def measure_batches(
        self, spec: ModelSpec, batches: Sequence[int], settings: Settings, **others: Any
    ) -> Iterator[Measurement]:
        for batch in batches:
            if batch > 4:
                raise MeasurementError("batch 8 is too big")
            yield at_batch(batch, 0.001)


@pytest.fixture
def stand(monkeypatch: pytest.MonkeyPatch) -> Stand:
    made = Stand()
    monkeypatch.setattr(api, "measure_spec", made.measure)
    monkeypatch.setattr(api, "measure_spec_batches", made.measure_batches)
    monkeypatch.setattr(api, "profile_spec", made.profile)
    monkeypatch.setattr(api, "trace_spec", made.trace)
    monkeypatch.setattr("onnxcost.runtime.supervisor.start_early", nullcontext)
    return made


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with a model that can be run."""
    (tmp_path / "model.onnx").write_bytes(RUNNABLE)
    monkeypatch.chdir(tmp_path)
    return tmp_path
