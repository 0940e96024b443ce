"""The inputs of the fuzzer: real models, mutations of them, and hostile models."""

from __future__ import annotations

import pickle
import random
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import onnx
from google.protobuf.descriptor import FieldDescriptor
from hostile_models import HOSTILE
from onnx import ModelProto

ROOT = Path(__file__).parent.parent
ONNX_DATA = Path(onnx.__file__).parent / "backend" / "test" / "data"

SIZES = (-1, 0, 1, 2, 3, 7, 255, 2**31 - 1, 2**31, 10**9, 10**12, 2**62, 2**63 - 1, -(2**31), -(2**63))
FLOATS = (0.0, -1.0, 1e-45, 1e38, float("inf"), float("-inf"), float("nan"))
# fmt: off
TEXTS = (
    "", "x", "../../etc/passwd", "/etc/passwd", "\x1b[31mred", "a\nb", "名前", "1()", "a" * 70_000,
    "((((", "ai.onnx", "9" * 5000,
)
# fmt: on
FIXED_CASES = frozenset({"if", "loop", "scan", "sequence", "optional"})

Rng = random.Random


class Case(NamedTuple):
    """``how`` says where it comes from and what was done to it."""

    how: str
    data: bytes


Seeds = Mapping[str, bytes]


def real_models(largest: int) -> dict[str, bytes]:
    """Those of ``models/`` and those that the onnx package carries as files, up to ``largest`` bytes: a larger one would take
    longer for the same result.
    """
    paths = [*(ROOT / "models").glob("*.onnx"), *ONNX_DATA.glob("light/*.onnx"), *ONNX_DATA.glob("*/*/model.onnx")]
    named = {path.stem if path.stem != "model" else path.parent.name: path for path in sorted(paths)}
    return {name: path.read_bytes() for name, path in named.items() if path.stat().st_size <= largest}


def node_models(count: int, memory: Path) -> dict[str, bytes]:
    """``count`` of onnx's single-node test models and all with a subgraph, a sequence or an optional; making them takes long,
    so they are kept in the file ``memory``.
    """
    if not memory.exists():
        from onnx.backend.test.case.node import collect_testcases

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            cases = {case.name: case.model.SerializeToString() for case in collect_testcases(None)}
        memory.parent.mkdir(parents=True, exist_ok=True)
        memory.write_bytes(pickle.dumps(cases))
    cases = pickle.loads(memory.read_bytes())
    always = [name for name in cases if FIXED_CASES & set(name.split("_")) or name.startswith("test_loop")]
    others = sorted(set(cases) - set(always))
    return {name: cases[name] for name in (*always, *Rng(count).sample(others, min(count, len(others))))}


def case(number: int, seed: int, seeds: Seeds) -> Case:
    """The case of this number, the same on every machine with the same seed and the same models."""
    rng = Rng(f"{seed}:{number}")
    kind = rng.choices(("bytes", "messages", "hostile"), (4, 7, 2))[0]
    if kind == "hostile":
        name = rng.choice(sorted(HOSTILE))
        data = HOSTILE[name](rng)
        if rng.random() < 0.8 or name == "deep branches":  # too deep for protobuf to read it here
            return Case(f"hostile {name}", data)
    else:
        name = rng.choice(sorted(seeds))
        data = seeds[name]
    if kind == "bytes" or rng.random() < 0.1:
        done, data = _mutate_bytes(data, seeds, rng)
        return Case(f"{name}: {done}", data)
    done, data = _mutate_messages(data, seeds, rng)
    return Case(f"{name}: {done}", data)


def _flip_bits(data: bytearray, other: bytes, rng: Rng) -> None:
    for _ in range(rng.choice((1, 1, 2, 8, 64))):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def _overwrite(data: bytearray, other: bytes, rng: Rng) -> None:
    for _ in range(rng.choice((1, 2, 16))):
        data[rng.randrange(len(data))] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))


def _cut(data: bytearray, other: bytes, rng: Rng) -> None:
    start = rng.randrange(len(data))
    del data[start : rng.choice((len(data), start + 1, start + rng.randrange(1, 300)))]


def _splice(data: bytearray, other: bytes, rng: Rng) -> None:
    start, at = rng.randrange(len(other)), rng.randrange(len(data))
    data[at : at + rng.choice((0, 8, 100))] = other[start : start + rng.choice((1, 16, 500, len(other)))]


def _repeat(data: bytearray, other: bytes, rng: Rng) -> None:
    start = rng.randrange(len(data))
    data[start:start] = bytes(data[start : start + rng.choice((1, 10, 200))]) * rng.choice((2, 50, 1000))


def _huge_varint(data: bytearray, other: bytes, rng: Rng) -> None:
    at = rng.randrange(len(data))
    data[at : at + 1] = b"\xff" * rng.randrange(1, 12) + bytes([rng.randrange(128)])


BYTE_MUTATIONS: Mapping[str, Callable[[bytearray, bytes, Rng], None]] = {
    "bit flips": _flip_bits,
    "overwritten bytes": _overwrite,
    "cut": _cut,
    "spliced": _splice,
    "repeated": _repeat,
    "huge varint": _huge_varint,
}


def _mutate_bytes(data: bytes, seeds: Seeds, rng: Rng) -> tuple[str, bytes]:
    changed, done = bytearray(data), []
    for _ in range(rng.choice((1, 1, 2))):
        if changed:
            name = rng.choice(sorted(BYTE_MUTATIONS))
            BYTE_MUTATIONS[name](changed, seeds[rng.choice(sorted(seeds))], rng)
            done.append(name)
    return ", ".join(done), bytes(changed)


def _mutate_messages(data: bytes, seeds: Seeds, rng: Rng) -> tuple[str, bytes]:
    model, other = ModelProto.FromString(data), ModelProto.FromString(seeds[rng.choice(sorted(seeds))])
    done = []
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        parent, field = _somewhere(model, rng)
        if field.message_type is not None:
            done.append(_change_message(parent, field, model, other, rng))
        else:
            done.append(_change_scalar(parent, field, model, rng))
    return ", ".join(done), model.SerializeToString()


def is_repeated(field: FieldDescriptor) -> bool:
    return bool(field.is_repeated if hasattr(field, "is_repeated") else field.label == FieldDescriptor.LABEL_REPEATED)


def _somewhere(message: Any, rng: Rng) -> tuple[Any, FieldDescriptor]:
    """A nested message and one of its fields, chosen by random steps downwards that prefer depth."""
    while True:
        present = [field for field, _ in message.ListFields()]
        if not present or rng.random() < 0.1:
            return message, rng.choice(message.DESCRIPTOR.fields)
        field = rng.choice(present)
        if field.message_type is None or rng.random() < 0.2:
            return message, field
        value = getattr(message, field.name)
        message = rng.choice(value) if is_repeated(field) else value


def _of_type(message: Any, name: str, rng: Rng) -> Any | None:
    """Some message of the type inside ``message``, if a few tries find one."""
    for _ in range(30):
        parent, field = _somewhere(message, rng)
        if field.message_type is not None and field.message_type.name == name:
            value = getattr(parent, field.name)
            if not is_repeated(field):
                return value
            if len(value):
                return rng.choice(value)
    return None


def _change_message(parent: Any, field: FieldDescriptor, model: ModelProto, other: ModelProto, rng: Rng) -> str:
    source = model if rng.random() < 0.5 else other
    found = _of_type(source, field.message_type.name, rng)
    value = getattr(parent, field.name)
    where = f"{parent.DESCRIPTOR.name}.{field.name}"
    if not is_repeated(field):
        if found is None or rng.random() < 0.3:
            parent.ClearField(field.name)
            return f"without {where}"
        copy = type(found)()
        copy.CopyFrom(found)
        value.CopyFrom(copy)
        return f"another {where}"
    action = rng.choice(("drop", "drop all", "copy", "foreign", "reverse", "swap", "many"))
    if action == "drop all" or not len(value):
        parent.ClearField(field.name)
    elif action == "drop":
        del value[rng.randrange(len(value))]
    elif action == "reverse":
        items = [item.SerializeToString() for item in value]
        parent.ClearField(field.name)
        for item in reversed(items):
            getattr(parent, field.name).add().ParseFromString(item)
    elif action == "swap" and len(value) > 1:
        first, second = rng.sample(range(len(value)), 2)
        kept = value[first].SerializeToString()
        value[first].CopyFrom(value[second])
        value[second].ParseFromString(kept)
    else:
        item = found if action == "foreign" and found is not None else rng.choice(value)
        text = item.SerializeToString()
        for _ in range(rng.choice((100, 2000)) if action == "many" and len(text) < 500 else 1):
            value.add().ParseFromString(text)
    return f"{action} {where}"


def _change_scalar(parent: Any, field: FieldDescriptor, model: ModelProto, rng: Rng) -> str:
    where = f"{parent.DESCRIPTOR.name}.{field.name}"
    if rng.random() < 0.1:
        parent.ClearField(field.name)
        return f"without {where}"
    value = _scalar(parent, field, model, rng)
    try:
        if not is_repeated(field):
            setattr(parent, field.name, value)
        else:
            items = getattr(parent, field.name)
            if len(items) and rng.random() < 0.6:
                items[rng.randrange(len(items))] = value
            else:
                most = 3 if isinstance(value, (str, bytes)) else 5000
                items.extend([value] * rng.choice((1, 1, 3, most)))
    except ValueError:
        return f"{where} unchanged"
    return f"{where} = {value!r:.40}"


def _scalar(parent: Any, field: FieldDescriptor, model: ModelProto, rng: Rng) -> Any:
    kind = field.cpp_type
    if kind == FieldDescriptor.CPPTYPE_STRING:
        if rng.random() < 0.5 and len(model.graph.node):
            node = rng.choice(model.graph.node)
            texts: tuple[str, ...] = (node.op_type, node.name, *node.input, *node.output)
        else:
            texts = TEXTS
        text = rng.choice(texts)
        return text.encode() if field.type == FieldDescriptor.TYPE_BYTES else text
    if kind in (FieldDescriptor.CPPTYPE_FLOAT, FieldDescriptor.CPPTYPE_DOUBLE):
        return rng.choice(FLOATS)
    if kind == FieldDescriptor.CPPTYPE_ENUM:
        return rng.choice(field.enum_type.values).number
    bits = 31 if kind in (FieldDescriptor.CPPTYPE_INT32, FieldDescriptor.CPPTYPE_UINT32) else 63
    low = 0 if kind in (FieldDescriptor.CPPTYPE_UINT32, FieldDescriptor.CPPTYPE_UINT64) else -(2**bits)
    return min(max(rng.choice((*SIZES, rng.randrange(40))), low), 2**bits - 1)
