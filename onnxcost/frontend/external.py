"""The tensors that a model stores, and external data: the files next to it that hold some of them, and which are refused.

The rules for files are those of onnx's docs/security.md that onnxruntime keeps: a file must be in the model's folder, even
after following all symbolic links, and be a regular one. Unlike onnx, a file with several names (hard links) is read: conda and
uv install packages that way.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from onnxcost.errors import MeasurementError
from onnxcost.frontend.file_kinds import NOT_STORED

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto, SparseTensorProto, TensorProto


class Stored(NamedTuple):
    """A tensor and its place: the name of the ``value`` that it is in the graph or the function of ``scope`` (as ``scope_of``
    gives it), or of the ``attribute`` that holds it. Of a ``sparse`` tensor it is the elements or the positions.
    """

    tensor: TensorProto
    scope: str
    value: str = ""
    attribute: str = ""
    sparse: SparseTensorProto | None = None

    @property
    def name(self) -> str:
        """A name for messages: that of the value, the tensor or the attribute."""
        return self.value or self.tensor.name or self.attribute

    @property
    def is_external(self) -> bool:
        """Whether its payload is in another file."""
        return bool(self.tensor.data_location == self.tensor.EXTERNAL)

    @property
    def location(self) -> str:
        """The file that should hold its payload, as the model says."""
        return self.external_data.get("location", "")

    @property
    def external_data(self) -> dict[str, str]:
        """The file, and the offset and the length in it."""
        return {str(entry.key): str(entry.value) for entry in self.tensor.external_data}


def stored_tensors(model: ModelProto) -> Iterator[Stored]:
    """The tensors of the graph, its bodies and the model's functions: initializers, constants and attributes."""
    yield from _in_graph(model.graph, "")
    for function in model.functions:
        yield from _in_nodes(function.node, scope_of(function.domain, function.name, function.overload))


def scope_of(domain: str, name: str, overload: str) -> str:
    """The prefix of a function's names; the graph's is ""."""
    return f"{domain}.{name}:{overload}/"


def _in_graph(graph: GraphProto, scope: str) -> Iterator[Stored]:
    for tensor in graph.initializer:
        yield Stored(tensor, scope, tensor.name)
    for sparse in graph.sparse_initializer:
        yield from _in_sparse(sparse, scope, sparse.values.name)
    yield from _in_nodes(graph.node, scope)


def _in_sparse(sparse: SparseTensorProto, scope: str, value: str) -> Iterator[Stored]:
    yield Stored(sparse.values, scope, value)
    yield Stored(sparse.indices, scope, sparse=sparse, attribute="indices")


def _in_nodes(nodes: Iterable[NodeProto], scope: str) -> Iterator[Stored]:
    for node in nodes:
        value = node.output[0] if node.op_type == "Constant" and node.output else ""
        for graph in bodies(node):
            yield from _in_graph(graph, scope)
        for attribute in node.attribute:
            for tensor in [attribute.t] if attribute.HasField("t") else attribute.tensors:
                yield Stored(tensor, scope, value, attribute.name)
            for sparse in [attribute.sparse_tensor] if attribute.HasField("sparse_tensor") else attribute.sparse_tensors:
                yield from _in_sparse(sparse, scope, value)


def bodies(node: NodeProto) -> Iterator[GraphProto]:
    """The graphs in a node's attributes."""
    for attribute in node.attribute:
        yield from [attribute.g] if attribute.HasField("g") else attribute.graphs


MOST_CHARACTERS = 100
"""Characters of a model's text in a message."""


def leaves_folder(location: str) -> bool:
    """Whether the text of a location leads out of the model's folder; no file is accessed."""
    is_absolute = Path(location).is_absolute() or os.path.splitdrive(location)[0]
    return bool(is_absolute) or os.pardir in Path(os.path.normpath(location)).parts


def data_file(model: str | os.PathLike[str], stored: Stored) -> Path | None:
    """The file with the data of a tensor of the model in the file ``model``, links followed; None if it does not exist.
    Nothing is opened.

    Raises MeasurementError for a location outside the model's folder and for a file that is not a regular one.
    """
    location = stored.location
    if not location or location == NOT_STORED:
        return None
    path = Path(model)
    if leaves_folder(location) or "\0" in location:
        raise _refusal(stored, "outside the model's folder")
    named = path.parent / location
    file = Path(os.path.realpath(named))
    homes = (os.path.realpath(path.parent), Path(os.path.realpath(path)).parent)
    if not any(file.is_relative_to(home) for home in homes):
        raise _refusal(stored, "outside the model's folder, where a symbolic link leads")
    try:
        found = named.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise _unreadable(stored, error) from None
    if not stat.S_ISREG(found.st_mode):
        raise _refusal(stored, "in a file that is not a regular file")
    return file


def open_data(file: Path, stored: Stored) -> BinaryIO:
    """Opens the file that ``data_file`` returned, for reading. Raises MeasurementError if another file has replaced it."""
    try:
        # Does not wait, as opening a pipe would.
        opened = os.open(
            file, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        )
    except OSError as error:
        raise _unreadable(stored, error) from None
    found = os.fstat(opened)
    if not stat.S_ISREG(found.st_mode):
        os.close(opened)
        raise _refusal(stored, "in a file that was replaced while in use")
    return os.fdopen(opened, "rb")


def _refusal(stored: Stored, where: str) -> MeasurementError:
    what = f"the weight '{shorten(stored.name)}' lies {where} ('{shorten(stored.location)}'), and is not read"
    return MeasurementError(f"{what}; copy the file to the model's folder, or count with --no-run")


def _unreadable(stored: Stored, error: OSError) -> MeasurementError:
    where = shorten(stored.location)
    return MeasurementError(f"the weight '{shorten(stored.name)}' cannot be read ('{where}'): {error.strerror}")


def shorten(text: str) -> str:
    """A text from a model, short enough for an error of one line."""
    return text if len(text) <= MOST_CHARACTERS else f"{text[: MOST_CHARACTERS - 1]}…"
