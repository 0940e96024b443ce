"""The inputs of a run: the feeds, chosen in the parent, and the arrays, created in the child."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zlib import crc32

from onnxcost.errors import InputError, MeasurementError, did_you_mean
from onnxcost.graph import Graph, Tensor, option_text
from onnxcost.measurement import InputUsed
from onnxcost.runtime.inputs.input_roles import (
    FEEDABLE,
    NUMBERED,
    Files,
    GivenValue,
    InputUse,
    choose_role,
    find_input_uses,
    fits,
    index_uses,
    numpy_type,
)
from onnxcost.runtime.protocol import Feed
from onnxcost.spec import read_header

if TYPE_CHECKING:
    from numpy.typing import NDArray


def feeds_of(graph: Graph, values: Mapping[str, Any], files: Mapping[str, Sequence[str]]) -> tuple[Feed, ...]:
    """A feed for each input of the graph: the value given for it, else the arrays in its files, else synthetic ones.

    Raises InputError for a file that does not fit its input, MeasurementError for one that cannot be synthesized.
    """
    names = [tensor.name for tensor in graph.inputs]
    for name in files:
        if name not in names:
            hint = did_you_mean(name, names) or f": it has {', '.join(map(repr, names)) or 'none'}"
            raise InputError(f"the model has no input '{name}'{hint}")
    uses = index_uses(graph)
    return tuple(
        _feed(tensor, values.get(tensor.name), files.get(tensor.name, ()), graph, list(find_input_uses(tensor.name, uses)))
        for tensor in graph.inputs
    )


def _feed(tensor: Tensor, value: Any, paths: Sequence[str], graph: Graph, uses: Sequence[InputUse]) -> Feed:
    """The feed of one input, of whatever type."""
    kind, _, inner = tensor.dtype.removesuffix(")").partition("(")
    if kind == "optional":
        content = _content(tensor, inner, uses)
        if content is None and value is None and not paths:
            return Feed(tensor.name, tensor.dtype, None, None, "left empty, because it is optional")
        return _feed(content or replace(tensor, dtype=inner), value, paths, graph, uses)
    if kind == "sequence":
        return _sequence(tensor, value, paths, graph, uses)
    if tensor.dtype not in FEEDABLE:
        raise MeasurementError(f"input '{tensor.name}' is of type {tensor.dtype}, for which onnxruntime accepts no arrays")
    if paths and value is None:
        return _from_files(tensor, paths)
    shape = _shape(tensor)
    if value is not None:
        import numpy as np

        return Feed(tensor.name, tensor.dtype, shape, GivenValue(np.asarray(value)), "given")
    fill, text = choose_role(tensor, shape, graph, uses)
    return Feed(tensor.name, tensor.dtype, shape, fill, f"synthesised: {text}")


def _content(tensor: Tensor, dtype: str, uses: Sequence[InputUse]) -> Tensor | None:
    """The content of an optional: the given one, or one that the model takes out, unless it asks whether there is any."""
    if tensor.elements:
        return replace(tensor.elements[0], name=tensor.name)
    if any(use.node.key == "OptionalHasElement" for use in uses):
        return None
    taken = next((use.node.out for use in uses if use.node.key == "OptionalGetElement"), None)
    return replace(taken, name=tensor.name, dtype=dtype) if taken is not None else None


def _sequence(tensor: Tensor, value: Any, paths: Sequence[str], graph: Graph, uses: Sequence[InputUse]) -> Feed:
    if paths:
        raise InputError(f"input '{tensor.name}' is a sequence: files can be used only for tensors")
    if tensor.elements is None or any(element.dims is None for element in tensor.elements):
        raise MeasurementError(f"the model does not declare what tensors the sequence '{tensor.name}' has: set it as a value")
    items = value if value is not None else [None] * len(tensor.elements)
    elements = tuple(_feed(element, item, (), graph, uses) for element, item in zip(tensor.elements, items, strict=True))
    source = elements[0].source if elements else "an empty sequence"
    return Feed(tensor.name, tensor.dtype, None, None, source, elements)


def _shape(tensor: Tensor) -> tuple[int, ...]:
    """The dims; open ones, which only the tensors of sequences and optionals have, are 1."""
    if tensor.dims is None:
        how = option_text("--input", tensor.name, "FILE.npy")
        raise MeasurementError(f"the model does not declare the shape of input '{tensor.name}': set it with {how}")
    return tuple(size if isinstance(size, int) else 1 for size in tensor.dims)


def _from_files(tensor: Tensor, paths: Sequence[str]) -> Feed:
    """Raises InputError for arrays of another shape, or of a type that does not fit into the input's."""
    wanted, notes = numpy_type(tensor.dtype), []
    for path in paths:
        shape, dtype = read_header(path, tensor.name)
        if tensor.is_shaped and shape != tensor.shape:
            raise InputError(f"input '{tensor.name}' has the shape {list(tensor.shape)}, but '{path}' has {list(shape)}")
        if not fits(dtype, wanted):
            raise InputError(
                f"input '{tensor.name}' is of type {tensor.dtype}, '{path}' of {dtype}: "
                f"convert the array first, with astype('{'str' if wanted.kind == 'O' else wanted}')"
            )
        notes += [f"{dtype} as {tensor.dtype}"] if dtype != wanted and dtype.kind not in "UV" else []
    source = Path(paths[0]).name + (f" and {len(paths) - 1} more, one after the other" if len(paths) > 1 else "")
    text = ", ".join((source, *dict.fromkeys(notes)))
    return Feed(tensor.name, tensor.dtype, read_header(paths[0], tensor.name).shape, Files(tuple(paths), tensor.name), text)


def arrays(feeds: Sequence[Feed], seed: int) -> list[dict[str, Any]]:
    """The arguments of ``InferenceSession.run``, by input: one dict for each set of files, a single one if there are none.

    Each input has random numbers of its own, which do not depend on the other inputs.
    """
    made = {feed.name: _sets(feed, seed) for feed in feeds if feed.fill is not None or feed.elements is not None}
    count = max(map(len, made.values()), default=1)
    return [{name: sets[index % len(sets)] for name, sets in made.items()} for index in range(count)]


def _sets(feed: Feed, seed: int) -> list[Any]:
    if feed.elements is not None:
        return [[_sets(element, seed)[0] for element in feed.elements]]
    return [to_ort_value(array, feed.dtype) for array in arrays_of(feed, seed)]


def to_ort_value(array: NDArray[Any], dtype: str) -> Any:
    """The value for ``InferenceSession.run``: the array itself or, for a type that numpy lacks, an OrtValue on its bits."""
    if dtype not in NUMBERED:
        return array
    from onnxcost.runtime.session import onnxruntime

    return onnxruntime().OrtValue.ortvalue_from_numpy_with_onnx_type(array.view(f"u{array.itemsize}"), NUMBERED[dtype][1])


def arrays_of(feed: Feed, seed: int) -> list[NDArray[Any]]:
    """The arrays of a tensor: one numpy array for each set."""
    import numpy as np

    assert feed.fill is not None
    assert feed.shape is not None
    random = np.random.default_rng((seed, crc32(feed.name.encode())))
    return feed.fill.arrays(feed.shape, numpy_type(feed.dtype), random)


def describe_inputs(feeds: Sequence[Feed]) -> tuple[InputUsed, ...]:
    """The feeds for the report."""
    return tuple(InputUsed(feed.name, feed.dtype, feed.shape or (), feed.source) for feed in feeds)
