"""Where a model's bytes come from: every kind of source reads the same, few bytes are read, and what changes is an error."""

from __future__ import annotations

import gzip
import io
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import TensorProto, helper

from onnxcost import files
from onnxcost.errors import InputError, ModelError, OnnxCostError
from onnxcost.frontend import byte_source, reader
from onnxcost.frontend.byte_source import read_stream
from onnxcost.frontend.reader import read_skeleton
from tests.frontend.test_reader import WHERE_PAYLOADS_SIT, model_with

MODEL = WHERE_PAYLOADS_SIT["subgraph"]
CONTENT = MODEL.SerializeToString()
SKELETON = read_skeleton(CONTENT).model


def many_tensors(count: int, size: int) -> bytes:
    raw = bytes(size)
    tensors = (TensorProto(name=f"w{i}", data_type=TensorProto.INT8, dims=[size], raw_data=raw) for i in range(count))
    return model_with(helper.make_node("Identity", ["w0"], ["y"]), initializers=tuple(tensors)).SerializeToString()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "model.onnx"
    path.write_bytes(CONTENT)
    return path


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    path = tmp_path / "pipe.onnx"
    os.mkfifo(path)
    return path


class Forward(io.BytesIO):
    """As a network gives it: no seeking, and a few bytes at a time."""

    def seekable(self) -> bool:
        return False

    def seek(self, *_: Any) -> int:
        raise io.UnsupportedOperation("seek")

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(min(size, 100) if size and size > 0 else size)


class Counting(io.BytesIO):
    """Counts the bytes that are read."""

    count = 0

    def read(self, size: int | None = -1, /) -> bytes:
        content = super().read(size)
        self.count += len(content)
        return content


@pytest.mark.parametrize("step", [1, 7, 19, 20, 21, 300])
@pytest.mark.parametrize("model", WHERE_PAYLOADS_SIT.values(), ids=WHERE_PAYLOADS_SIT.keys())
def test_a_model_reads_the_same_through_every_window(
    model: onnx.ModelProto, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = model.SerializeToString()
    monkeypatch.setattr(byte_source._FileSource, "step", step)
    monkeypatch.setattr(byte_source._StreamSource, "step", step)
    monkeypatch.setattr(reader, "_LARGEST_STEP", 4 * step)
    whole = read_skeleton(content)[:3]
    assert read_skeleton(io.BytesIO(content))[:3] == whole
    assert read_skeleton(Forward(content))[:3] == whole


@pytest.mark.parametrize("kind", [io.BytesIO, Forward])
def test_a_cut_model_is_refused_wherever_it_is_cut(kind: type[io.BytesIO]) -> None:
    for cut in range(1, len(CONTENT), 53):
        with pytest.raises(ModelError, match=r"not a readable ONNX model: it (ends in the middle|has no graph)"):
            read_skeleton(kind(CONTENT[:cut]))


@pytest.mark.parametrize(("count", "size"), [(200, 100_000), (2000, 5000), (2, 10_000_000)])
def test_payloads_are_not_read(count: int, size: int) -> None:
    file = Counting(many_tensors(count, size))
    assert len(read_skeleton(file).model.graph.initializer) == count
    assert file.count < 1500 * count + 5000


def test_an_open_file_is_read_from_its_position_and_has_it_again(path: Path) -> None:
    path.write_bytes(b"something else" + CONTENT)
    with path.open("rb") as file:
        file.seek(14)
        assert [read_skeleton(file).file_bytes for _ in range(2)] == [len(CONTENT)] * 2
        assert file.tell() == 14


def test_a_compressed_file_that_is_opened_as_such_is_read(path: Path) -> None:
    path.write_bytes(gzip.compress(CONTENT))
    with gzip.open(path) as file:
        assert read_skeleton(file).model == SKELETON


def test_a_file_in_text_mode_is_refused(path: Path) -> None:
    with path.open(encoding="latin-1") as file, pytest.raises(InputError, match="open it with 'rb'"):
        read_skeleton(file)


def test_a_closed_file_is_refused(path: Path) -> None:
    file = path.open("rb")
    file.close()
    with pytest.raises(InputError, match="closed file"):
        read_skeleton(file)


CHANGES: dict[str, Callable[[Path], object]] = {
    "shrinks": lambda path: os.truncate(path, 100),
    "is emptied": lambda path: os.truncate(path, 0),
    "grows": lambda path: path.write_bytes(CONTENT * 2),
    "is written again": lambda path: (path.write_bytes(CONTENT), os.utime(path, (1, 1))),
    "is replaced": lambda path: (Path(f"{path}.new").write_bytes(CONTENT), Path(f"{path}.new").replace(path)),
}


@pytest.mark.parametrize("is_open", [False, True])
@pytest.mark.parametrize("call", [1, 2, 3])
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_a_file_that_changes_while_it_is_read_is_an_error(
    change: Callable[[Path], object], call: int, is_open: bool, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = byte_source.read_up_to, [0]

    def changed(file: Any, count: int) -> bytes:
        calls[0] += 1
        if calls[0] == call + 1:
            change(path)
        return real(file, count)

    monkeypatch.setattr(byte_source, "read_up_to", changed)
    with path.open("rb", buffering=0) as file:
        if is_open and change is CHANGES["is replaced"]:
            assert read_skeleton(file).model == SKELETON  # the file is still the one that was opened
        else:
            with pytest.raises(InputError, match="changed while it was read"):
                read_skeleton(file if is_open else path)
    assert calls[0] > call


@pytest.mark.parametrize("name", ["/dev/zero", "/dev/random", "/dev/null"])
@pytest.mark.skipif(os.name != "posix", reason="there are no such files")
def test_a_device_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="a character device, not a file"):
        read_skeleton(name)


def test_a_socket_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with closing(socket.socket(socket.AF_UNIX)) as listener:
        listener.bind("socket.onnx")
        with pytest.raises(InputError, match="a socket, not a file"):
            read_skeleton("socket.onnx")


def test_a_pipe_without_a_writer_is_refused(pipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "WRITER_TIMEOUT", 0.1)
    with pytest.raises(InputError, match=r"it is a pipe, and nothing was written to it"):
        read_skeleton(pipe)


@pytest.fixture
def writer(pipe: Path) -> Iterator[threading.Thread]:
    thread = threading.Thread(target=pipe.write_bytes, args=(CONTENT,))
    thread.start()
    yield thread
    thread.join()


@pytest.mark.usefixtures("writer")
def test_a_pipe_is_read(pipe: Path) -> None:
    found = read_skeleton(pipe)
    assert (found.model, found.path, found.file_bytes) == (SKELETON, str(pipe), len(CONTENT))


@pytest.mark.usefixtures("writer")
def test_a_pipe_is_read_whole(pipe: Path) -> None:
    assert read_stream(str(pipe)) == CONTENT


def test_a_stream_is_read_up_to_the_most_that_protobuf_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(byte_source, "LARGEST", len(CONTENT))
    assert read_stream(Forward(CONTENT)) == CONTENT
    with pytest.raises(InputError, match="a stream of more than 2 GiB"):
        read_stream(Forward(CONTENT + b"x"))


def test_a_graph_that_protobuf_cannot_read_is_refused_before_it_is_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "LARGEST", SKELETON.ByteSize() - 1)
    with pytest.raises(ModelError, match="larger than 2 GiB without its weights"):
        read_skeleton(CONTENT)


HUGE = b"\xff" * 8 + b"\x7f"  # 2**63 - 1
HOSTILE = {
    "a field longer than the file": b"\x3a" + HUGE,
    "a graph longer than the file": b"\x3a" + HUGE + b"\x0a\x02\x22\x00",
    "a tensor longer than its graph": b"\x3a\xff\x0f\x2a" + HUGE + bytes(2047),
    "a length of 11 bytes": b"\x3a" + b"\x80" * 11 + b"\x01",
    "a group": b"\x3b\x3c",
    "field 0": b"\x02\x00",
    "an end in a tag": b"\x08\x08\x80",
    "an end in a fixed number": b"\x09\x00\x00",
}


@pytest.mark.parametrize("kind", [bytes, io.BytesIO, Forward])
@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE.keys())
def test_damaged_lengths_are_refused(content: bytes, kind: Callable[[bytes], Any]) -> None:
    with pytest.raises(OnnxCostError, match="not a readable ONNX model"):
        read_skeleton(kind(content))
