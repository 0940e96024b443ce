"""The stages of a pipeline as specified: models, how often each runs, and the dims that they share."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path, PurePath
from typing import Any, NamedTuple

from onnxcost.documents import MOST_WHOLE, is_whole, read_toml
from onnxcost.errors import InputError, did_you_mean
from onnxcost.files import is_pipe
from onnxcost.frontend.dims import fed_inputs, select_known
from onnxcost.frontend.reader import read_skeleton
from onnxcost.frontend.role_sizes import DIM_WORDS
from onnxcost.remote.urls import locate, redact
from onnxcost.report import CostReport
from onnxcost.spec import ModelSpec

HOW = "encoder.onnx,decoder.onnx×200"
MOST_RUNS = 10**6
MOST_STAGES = 100


@dataclass(frozen=True, slots=True)
class StageSpec:
    """A model of a pipeline and its number of runs; ``shapes``, ``dims`` and ``values`` apply only to this stage.

    ``grows`` maps the dims that grow from run to run to the amount added per run; None means the dims of its KV
    cache, if it has one, by one token per run.
    """

    path: str
    runs: int = 1
    name: str = ""
    shapes: Mapping[str, Sequence[int]] = field(default_factory=dict)
    dims: Mapping[str, int] = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict)
    grows: Mapping[str, int] | None = None

    def model_spec(self, common: ModelSpec) -> ModelSpec:
        """The spec of the model: its own settings, and those of ``common`` whose names it has."""
        known = select_known(replace(common, source=self.path))
        return replace(
            known,
            shapes={**known.shapes, **self.shapes},
            dims={**known.dims, **self.dims},
            values={**known.values, **self.values},
        )


def parse_stages(text: str) -> list[StageSpec]:
    """The stages in ``encoder.onnx,decoder.onnx×200`` (or ``*200``, ``x200``), or in the TOML file of that name.

    Raises InputError for a file that does not exist, and for an invalid number of runs.
    """
    if text.lower().endswith(".toml"):
        return load_stages(text)
    found = [parse_stage(part.strip()) for part in text.split(",")]
    return name_stages(found)


def parse_stage(text: str) -> StageSpec:
    """The stage in ``decoder.onnx×200``."""
    path, runs = text, "1"
    repeated = re.fullmatch(r"(.+?)\s*[×*]\s*(.*)", text) or re.fullmatch(r"(.+)\s*[xX]\s*(\d\w*)", text)
    # A file may be called model_x4: only if it does not exist is the name split into a file and its runs.
    if repeated and not Path(text).exists() and (Path(repeated[1]).exists() or not text.lower().endswith(".onnx")):
        path, runs = repeated.groups()
    if not path:
        raise InputError(f"a pipeline is a comma-separated list of models, such as {HOW}: a model is missing")
    if not is_whole(runs) or not 1 <= int(runs) <= MOST_RUNS:
        raise InputError(f"'{text}': the number of runs must be a whole number from 1 to {MOST_RUNS:,}, not '{runs}'")
    return StageSpec(path, int(runs))


def name_stages(stages: Sequence[StageSpec]) -> list[StageSpec]:
    """The stages with distinct names: as few last parts of the path as needed, and a number.

    Raises InputError for too many stages, for two of one name, and for a model that can be read only once.
    """
    if not 0 < len(stages) <= MOST_STAGES:
        raise InputError(f"a pipeline has 1 to {MOST_STAGES} stages, not {len(stages)}")
    paths = [PurePath(path).parts for path in {redact(stage.path) for stage in stages}]
    found: list[StageSpec] = []
    taken = {stage.name for stage in stages}
    if twice := [name for name in taken if name and [stage.name for stage in stages].count(name) > 1]:
        raise InputError(f"two stages are called '{twice[0]}'")
    for stage in stages:
        if stage.path == "-" or is_pipe(stage.path):
            raise InputError(f"'{stage.path}' can be read only once: write the model to a file first")
        parts = PurePath(redact(stage.path)).parts
        ends = (parts[-depth:] for depth in range(1, len(parts) + 1))
        telling = (str(PurePath(*end)) for end in ends if sum(path[-len(end) :] == end for path in paths) == 1)
        base = next(telling, redact(stage.path))
        candidates = (base if number == 1 else f"{base} ({number})" for number in count(1))
        name = stage.name or next(name for name in candidates if name not in taken)
        taken.add(name)
        found.append(replace(stage, name=name))
    return found


_STAGE_KEYS: Mapping[str, str] = {
    "model": "the path of a file",
    "name": "a text",
    "runs": "a whole number of 1 or more",
    "dims": "a table of whole numbers, as in dims = { batch = 8 }",
    "shapes": "a table of lists, as in shapes = { image = [1, 3, 224, 224] }",
    "values": "a table of numbers or lists of numbers, as in values = { use_cache_branch = true }",
    "grows": "a table of whole numbers, as in grows = { past_sequence_length = 1 }",
}


def load_stages(path: str) -> list[StageSpec]:
    """The stages of a TOML file, a table ``[[stages]]`` for each; the table ``dims`` is for all that have a dim with the name.

    Paths of models are relative to the file. Raises InputError for unknown keys and invalid values.
    """
    document = read_toml(path)
    if unknown := document.keys() - {"stages", "dims"}:
        raise InputError(f"{path}: unknown key '{min(unknown)}': a pipeline has [[stages]] and [dims]")
    tables, dims = document.get("stages"), document.get("dims", {})
    if not isinstance(tables, list) or not tables or not all(isinstance(table, dict) for table in tables):
        raise InputError(f"'{path}' has no stages: write [[stages]] with model = \"model.onnx\" for each")
    if not _is_valid("dims", dims):
        raise InputError(f"{path}: dims expects {_STAGE_KEYS['dims']}, not {dims!r}")
    found = []
    for number, table in enumerate(tables, 1):
        for key, value in table.items():
            if key not in _STAGE_KEYS:
                raise InputError(f"{path}: stage {number}: unknown key '{key}'{did_you_mean(key, _STAGE_KEYS)}")
            if not _is_valid(key, value):
                raise InputError(f"{path}: stage {number}: {key} expects {_STAGE_KEYS[key]}, not {value!r}")
        if "model" not in table:
            raise InputError(f"{path}: stage {number} has no model")
        model = locate(table["model"], path)
        own = {key: value for key, value in table.items() if key != "model"}
        general = select_known(ModelSpec(model, dims=dims)).dims
        found.append(StageSpec(model, **{**own, "dims": {**general, **table.get("dims", {})}}))
    return name_stages(found)


def _is_valid(key: str, value: Any) -> bool:
    if key in ("model", "name"):
        return isinstance(value, str) and bool(value)
    if key == "runs":
        return _is_size(value, 1) and value <= MOST_RUNS
    if not isinstance(value, dict):
        return False
    if key == "values":
        given = (each if isinstance(each, list) else [each] for each in value.values())
        return all(isinstance(number, int | float) for numbers in given for number in numbers)
    if key == "shapes":
        return all(isinstance(shape, list) and all(map(_is_size, shape)) for shape in value.values())
    return all(map(_is_size, value.values()))


def _is_size(value: Any, least: int = 0) -> bool:
    return type(value) is int and least <= value <= MOST_WHOLE


class SharedDim(NamedTuple):
    """A dim of a stage that has the size that it, or a tensor of the same name, has in an earlier stage, the ``origin``."""

    name: str
    value: int
    stage: str
    origin: str
    tensor: str = ""


SAME_TENSORS: Mapping[str, str] = {"encoder_hidden_states": "last_hidden_state", "latent_sample": "out_sample"}
"""Names of inputs and of the outputs that they receive, in Hugging Face's exporters: an encoder's, a UNet's."""


def share_dims(spec: ModelSpec, name: str, earlier: Mapping[str, CostReport], own: Sequence[str] = ()) -> list[SharedDim]:
    """The dims of a stage that earlier stages determine, by their names; ``earlier`` are these stages.

    A dim is the same if its name is meaningful, and if it is of an input that an earlier stage has as an output. Dims
    that are given for this stage are not shared, nor are the ``own`` ones, which differ in each run.
    """
    inputs = fed_inputs(read_skeleton(spec.source).model.graph)
    found: dict[str, SharedDim] = {}
    given = {*spec.dims, *own}
    for value in inputs:
        dims = value.type.tensor_type.shape.dim
        if value.name in spec.shapes:
            continue
        names = (value.name, SAME_TENSORS.get(value.name, ""))
        sources = (
            (origin, tensor) for origin, report in earlier.items() for tensor in report.graph.outputs if tensor.name in names
        )
        for origin, tensor in sources:
            if not tensor.is_shaped or len(tensor.shape) != len(dims):
                continue
            for dim, size in zip(dims, tensor.shape, strict=True):
                if dim.dim_param and dim.dim_param not in given:
                    found[dim.dim_param] = SharedDim(dim.dim_param, size, name, origin, tensor.name)
    symbols = {dim.dim_param for value in inputs for dim in value.type.tensor_type.shape.dim}
    for origin, report in earlier.items():
        for known in report.graph.dims:
            says = re.search(DIM_WORDS, known.name.lower()) and not known.is_unnamed
            if says and known.name in symbols and known.name not in given:
                found.setdefault(known.name, SharedDim(known.name, known.value, name, origin))
    return list(found.values())
