"""Models inside other files: compressed, in a zip archive, as text, and in onnxruntime's own format. Compressed models are read
as streams: parts that are left out of a model are not kept after decompression, either.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import BinaryIO, NamedTuple

from onnxcost.errors import InputError, ModelError, OnnxCostError
from onnxcost.files import MODEL_NAME, Readable, read_up_to

HEAD = 512
"""Bytes that tell what a file is."""
MOST_UNPACKED = 2**34
"""The most bytes that are read of a compressed model: a few megabytes can decompress to terabytes of zeros."""
MOST_TEXT = 2**28
"""Bytes of a text that are parsed."""


class Container(NamedTuple):
    """A kind of file that holds a model: its title, the pattern at its start, and the function that opens it.

    ``open`` returns a stream of the model, its bytes, or None for a file of this kind without a model.
    """

    name: str
    pattern: re.Pattern[bytes]
    open: Callable[[BinaryIO, bool], Readable | bytes | None]


def find_container(head: bytes) -> Container | None:
    """The kind of container that begins with ``head``; None for a plain model, or for anything else."""
    return next((each for each in CONTAINERS if each.pattern.match(head)), None)


@contextmanager
def explained(name: str) -> Iterator[None]:
    """Turns the exceptions of a decoder into a ModelError."""
    try:
        yield
    except OnnxCostError:
        raise
    except MemoryError:
        raise InputError(f"there is not enough memory to read {name}") from None
    # Decoders raise ValueErrors, OSErrors, EOFErrors, struct.errors, RuntimeErrors, and errors of their own.
    except Exception as error:
        said = " ".join(str(error).split())[:200] or type(error).__name__
        raise ModelError(f"it is {name}, which cannot be read ({said})") from None


class UnpackedStream(io.RawIOBase):
    """A decompressed stream, with an error after MOST_UNPACKED bytes; the exceptions of its decoder become a ModelError."""

    def __init__(self, stream: Readable, name: str) -> None:
        self._stream, self._name, self._left = stream, name, MOST_UNPACKED

    def read(self, size: int = -1, /) -> bytes:
        """Up to ``size`` bytes."""
        with explained(self._name):
            content = self._stream.read(size) or b""
        self._left -= len(content)
        if self._left < 0:
            raise ModelError(f"it is {self._name} and unpacks to more than 16 GiB: unpack it first")
        return content


def _open_with(module: str) -> Callable[[BinaryIO, bool], Readable]:
    """A function that opens a file with a module of the standard library, which it imports."""
    return lambda file, _: import_module(module).open(file)


def _open_zstd(file: BinaryIO, _: bool) -> Readable:
    try:
        from compression import zstd  # type: ignore[import-not-found]  # from Python 3.14 on
    except ImportError:
        try:
            from backports import zstd
        except ImportError:
            raise InputError("a model compressed with zstd needs: pip install 'onnxcost[zstd]'") from None
    return zstd.ZstdFile(file)  # type: ignore[no-any-return]


def _open_zip(file: BinaryIO, _: bool) -> Readable | None:
    import zipfile

    archive = zipfile.ZipFile(file)
    models = [entry for entry in archive.infolist() if MODEL_NAME.search(entry.filename) and not entry.is_dir()]
    if len(models) > 1:
        names = ", ".join(f"'{entry.filename}'" for entry in models[:3]) + (" and others" if len(models) > 3 else "")
        raise ModelError(f"the archive has {len(models)} models, {names}: unpack it and pass one of them")
    return archive.open(models[0]) if models else None


def _open_ort(file: BinaryIO, has_weights: bool) -> bytes:
    from onnxcost.frontend.ort_format import convert

    return convert(read_up_to(file, 2**31), has_weights)


def _open_text(form: str) -> Callable[[BinaryIO, bool], bytes]:
    def parse(file: BinaryIO, _: bool) -> bytes:
        import onnx

        content = read_up_to(file, MOST_TEXT + 1).removeprefix(b"\xef\xbb\xbf")
        if len(content) > MOST_TEXT:
            raise ModelError("a text model is larger than 256 MiB: save it in the binary format with onnx.save")
        if form == "onnxtxt":  # onnx's registry warns that this one is experimental
            return bytes(onnx.parser.parse_model(content.decode()).SerializeToString())
        return bytes(onnx.serialization.registry.get(form).deserialize_proto(content, onnx.ModelProto()).SerializeToString())

    return parse


def _kind(name: str, pattern: bytes, opens: Callable[[BinaryIO, bool], Readable | bytes | None]) -> Container:
    return Container(name, re.compile(pattern, re.DOTALL), opens)


_SPACE = rb"(?:\xef\xbb\xbf)?\s*"
_COMMENTS = _SPACE + rb"(?:#[^\n]*\n\s*)*"
_KEY = rb"(?:irVersion|ir_version|opset_?[iI]mport|producer_?[nN]ame|graph)"
_FIELD = rb"(?:ir_version|opset_import|producer_name|graph)"
CONTAINERS: tuple[Container, ...] = (
    _kind("compressed with gzip", rb"\x1f\x8b", _open_with("gzip")),
    _kind("compressed with bzip2", rb"BZh[1-9]", _open_with("bz2")),
    _kind("compressed with xz", rb"\xfd7zXZ\0", _open_with("lzma")),
    _kind("compressed with zstd", rb"\x28\xb5\x2f\xfd", _open_zstd),
    _kind("a zip archive", rb"PK\x03\x04", _open_zip),
    _kind("a model in onnxruntime's ORT format", rb"..\0\0ORTM", _open_ort),
    _kind("a model in ONNX's text syntax", _COMMENTS + rb"<\s*ir_version", _open_text("onnxtxt")),
    _kind("a model as protobuf text", _COMMENTS + _FIELD + rb"\s*[:{]", _open_text("textproto")),
    _kind("a model as JSON", _SPACE + rb'\{\s*"' + _KEY + rb'"', _open_text("json")),
)
"""The kinds that are read, by the bytes that they begin with."""
