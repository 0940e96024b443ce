"""The open dims of a model's inputs: sizes that are given, derived from given ones, or assumed by role."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from numbers import Integral
from typing import TYPE_CHECKING, Any, NamedTuple

from onnxcost.documents import MOST_WHOLE
from onnxcost.errors import InputError, did_you_mean
from onnxcost.frontend.dim_roles import ModelRoles
from onnxcost.frontend.dims import describe_layout, turn_channels
from onnxcost.frontend.expressions import evaluate, is_hyphenated, operands, solve
from onnxcost.frontend.node_index import NodeIndex, sizes_of
from onnxcost.frontend.role_sizes import DimRole
from onnxcost.graph import BoundDim, option_text

if TYPE_CHECKING:
    from onnx import TypeProto, ValueInfoProto


_NO_NAMES = frozenset({"?", "*", "-", "None", "-1"})
"""Names that exporters write for any unknown dim: two dims of such a name may have different sizes."""
_SHARED = frozenset({"batch", "tokens", "frames", "height", "width", "samples", "nodes", "edges", "past", "channels"})
"""Roles whose dims usually have one size in the whole model."""
_MEASURED = frozenset({"height", "width", "depth", "samples"})
"""Roles of dims of images and sounds, whose sizes do not depend on the name of the dim."""
_NEAR = 64
PROMPT, CACHED = 128, 128
"""Tokens of a prefill, and those in the cache of a decode step."""


class Choice(NamedTuple):
    """The size of a dim: ``source`` is as in BoundDim, ``reason`` says why."""

    value: int
    source: str
    reason: str


_PREFILL = "prefill of "
_GIVEN, _EMPTY = Choice(0, "given", ""), Choice(0, "assumed", "prefill: empty cache")


@dataclass(slots=True)
class OpenDim:
    """A dim without a size: a symbol, in all its places, or ``input[axis]``.

    ``group`` is the same for dims of one size in all inputs of a family, as in ``past_key_values.0.key`` and ``….1.key``;
    ``part`` says whether it belongs to the encoder or the decoder.
    """

    name: str
    places: tuple[tuple[str, int], ...]
    role: DimRole
    group: str
    is_symbol: bool
    part: str = ""


class OpenDims:
    """The open dims of ``inputs``, and the sizes that are given: ``shapes`` by input, ``dims`` by symbol.

    Raises InputError for a name or a rank that the model does not have, for another size of a fixed dim and for two sizes of a
    symbol. The types of ``inputs`` are modified.
    """

    def __init__(
        self,
        inputs: Sequence[ValueInfoProto],
        shapes: Mapping[str, Sequence[int]],
        dims: Mapping[str, int],
        index: NodeIndex | None = None,
        path: str = "",
    ) -> None:
        self.inputs, self.by_name = inputs, {value.name: value for value in inputs}
        self.shapes = shapes
        _refuse_unknown(shapes, self.by_name, "input")
        for value in inputs:
            for dim in value.type.tensor_type.shape.dim:
                # Exporters write open dims as -1, or with a meaningless name.
                if (dim.HasField("dim_value") and dim.dim_value < 0) or dim.dim_param in _NO_NAMES:
                    dim.Clear()
        self._given = _bind_given(self.by_name, shapes, dims)
        self._extra = _give_ranks(inputs, shapes)
        self.roles = ModelRoles(index or NodeIndex(), inputs, path)
        for value in inputs:
            tensor = value.type.tensor_type
            if (
                value.type.HasField("tensor_type")
                and not tensor.HasField("shape")
                and (rank := self.roles.index.rank_read(value))
            ):
                for _ in range(rank):
                    tensor.shape.dim.add()
        self._slots = [
            (dim, dim.dim_param or f"{value.name}[{axis}]", (value.name, axis), bool(dim.dim_param))
            for value in inputs
            for axis, dim in enumerate(dims_of(value))
            if not dim.HasField("dim_value")
        ]
        symbols = [key for _, key, _, is_symbol in self._slots if is_symbol]
        self.expressions = {key: names for key in symbols if (names := self._operands(key, symbols))}
        self._virtual = [name for names in self.expressions.values() for name in names if name not in symbols]
        unnamed = (key for _, key, _, is_symbol in self._slots if not is_symbol)
        _refuse_unknown(dims, dict.fromkeys((*symbols, *self._virtual, *unnamed)), "dim")
        self._shaped = {f"{name}[{axis}]": size for name, shape in shapes.items() for axis, size in enumerate(shape)}
        self.open = self._open_dims() if self._slots else {}
        self._in_order = _in_order(self.expressions)
        self._cached = {dim.name for dim in self.open.values() if dim.role.kind == "past"}
        # An exporter's "past_sequence_length + 1" says that the step takes one token; so does a decoder that is given the keys
        # of an encoder and not its output, from which the first step makes them.
        self._takes_one = any(len(names) == 1 and names[0] in self._cached for names in self.expressions.values())
        self._takes_one |= self.roles.follows_first_step
        self._totals = {dim.name for dim in self.open.values() if self._is_total(dim)}
        self._parts = self._find_parts()
        self._links = self._given_roles() if self._slots else {}

    @staticmethod
    def _operands(symbol: str, symbols: Sequence[str]) -> tuple[str, ...]:
        names = operands(symbol)
        return names if not is_hyphenated(symbol) or all(name in symbols for name in names) else ()

    def _open_dims(self) -> dict[str, OpenDim]:
        found: dict[str, OpenDim] = {}
        for _, key, (name, axis), is_symbol in self._slots:
            if key in found:
                found[key].places += ((name, axis),)
                continue
            role = self.roles.role(self.by_name[name], axis, key if is_symbol else "")
            group = f"{_family(name)}|{axis}|{_family(key) if is_symbol else ''}"
            found[key] = OpenDim(key, ((name, axis),), role, group, is_symbol, _part(key if is_symbol else "", name))
        for name in self._virtual:
            found.setdefault(name, OpenDim(name, (), self.roles.role_of_symbol(name), name, True, _part(name, "")))
        for symbol, (first, *rest) in self.expressions.items():
            role = found[symbol].role
            if not rest and not found[first].places and role.kind in _MEASURED:  # of 8*h the side is usual, not h
                sizes = (_solve_near(symbol, size, first) for size in role.sizes)
                if wholes := tuple(size for size in sizes if size is not None):
                    found[first].role = role._replace(sizes=wholes)
        size, where = self.roles.hints.get("source", (0, ""))
        for symbol, (first, *rest) in self.expressions.items() if size else ():
            # A document states the value of "encoder_sequence_length / 2".
            if not rest and found[first].part == "encoder" and not found[first].places:
                whole = solve(symbol, size, {}, first)
                found[first].role = DimRole("tokens", (whole,), where) if whole else found[first].role
        return found

    def _given_roles(self) -> dict[tuple[str, str], tuple[int, str]]:
        """The given and the fixed sizes by role and part, and their sources."""
        links: dict[tuple[str, str], tuple[int, str]] = {}
        for dim in self.open.values():
            size = self._given_size(dim.name)
            if size is not None:
                links.setdefault((dim.role.kind, dim.part), (size, dim.name))
                links.setdefault((dim.group, ""), (size, dim.name))
        for value in self.inputs:
            sizes, is_integer = sizes_of(value), value.type.tensor_type.elem_type in (6, 7)
            for axis, size in enumerate(sizes[:2]):
                if size and ((len(sizes) == 2 and is_integer) or (len(sizes) == 4 and axis == 0)):
                    kind = self.roles.role(value, axis).kind
                    if kind in ("batch", "tokens"):
                        links.setdefault((kind, _part("", value.name)), (size, value.name))
        return links

    def _given_size(self, key: str) -> int | None:
        return self._given.get(key, self._shaped.get(key))

    def bind(self, moved: Mapping[str, tuple[int, str]] | None = None) -> tuple[BoundDim, ...]:
        """Writes a size into every open dim; returns the dims, with their sizes, that were open.

        ``moved`` are sizes, with their reasons, that groups of assumed dims take instead of the usual ones.
        """
        if not self._slots:
            return self._extra
        chosen = self.choose(moved or {})
        for dim, key, _, _ in self._slots:
            dim.dim_value = chosen[key].value
        named = [dim for dim in self.open.values() if dim.is_symbol]
        unnamed = [dim for dim in self.open.values() if not dim.is_symbol]
        assumed = {place for _, key, place, _ in self._slots if chosen[key].source == "assumed"}
        return (*(self._bound(dim, chosen[dim.name], assumed) for dim in (*named, *unnamed)), *self._extra)

    def _bound(self, dim: OpenDim, choice: Choice, assumed: Collection[tuple[str, int]]) -> BoundDim:
        value, source, reason = choice
        if dim.is_symbol:
            option = option_text("--dim", dim.name, *([value] if source == "given" else []))
        else:
            name = dim.places[0][0]
            sizes = ["N" if (name, axis) in assumed else size for axis, size in enumerate(sizes_of(self.by_name[name]))]
            option = option_text("--shape", name, "x".join(map(str, sizes)))
        return BoundDim(dim.name, value, source, option, dim.places, reason)

    def choose(self, moved: Mapping[str, tuple[int, str]]) -> dict[str, Choice]:
        """The size of each open dim."""
        chosen = {name: Choice(size, "given", "") for name in self.open if (size := self._given_size(name)) is not None}
        self._derive_operands(chosen)
        rest = [dim for dim in self.open.values() if dim.name not in chosen]
        rest = [dim for dim in rest if dim.name not in self.expressions and dim.name not in self._totals]
        is_decode = self._takes_one or any(chosen[name].value for name in self._cached if name in chosen)
        for dim in (dim for dim in rest if dim.role.kind != "past"):
            chosen[dim.name] = self._choose(dim, moved, is_decode)
        is_decode = self._takes_one_token(chosen)
        for dim in (dim for dim in rest if dim.role.kind == "past"):
            chosen[dim.name] = self._choose(dim, moved, is_decode)
        for symbol in self._in_order:
            names = self.expressions[symbol]
            if symbol not in chosen and all(name in chosen for name in names):
                value = evaluate(symbol, {name: chosen[name].value for name in names})
                chosen[symbol] = (
                    Choice(value, "derived", "") if value is not None else self._choose(self.open[symbol], moved, is_decode)
                )
        parts = self._sum_parts(chosen)
        for name in self._totals - chosen.keys():
            chosen[name] = self._total(self.open[name], moved, parts)
        for symbol in self.expressions:  # of each other
            if symbol not in chosen:
                chosen[symbol] = self._choose(self.open[symbol], moved, is_decode)
        return chosen

    def _derive_operands(self, chosen: dict[str, Choice]) -> None:
        """Sizes that follow from a given expression or total with one unknown part."""
        for symbol, names in self.expressions.items():
            missing = [name for name in names if name not in chosen]
            if symbol in chosen and len(missing) == 1:
                known = {name: chosen[name].value for name in names if name in chosen}
                size = solve(symbol, chosen[symbol].value, known, missing[0])
                if size is not None:
                    chosen[missing[0]] = Choice(size, "derived", f"from {symbol}")
        missing = [name for name in self._parts if name not in chosen]
        total = next((name for name in self.open if name in self._totals and name in chosen), "")
        if total and len(missing) == 1:
            left = chosen[total].value - sum(chosen[name].value for name in self._parts if name in chosen)
            chosen.update({missing[0]: Choice(left, "derived", f"from {total}")} if left >= 0 else {})

    def _find_parts(self) -> list[str]:
        """The dims that add up to a total length: new tokens, and those in the cache."""
        parts = [dim for dim in self.open.values() if dim.name not in self._totals and dim.name not in self.expressions]
        parts = [dim for dim in parts if "max" not in dim.name.lower() and dim.part != "encoder" and dim.places]
        # A sliding cache has its own length.
        parts.sort(key=lambda dim: bool(re.search("sliding|window", dim.name.lower())))
        first = {dim.role.kind: dim.name for dim in reversed(parts) if dim.role.kind in ("past", "tokens")}
        return list(first.values())

    def _is_total(self, dim: OpenDim) -> bool:
        """Whether the name is one like total_sequence_length, or the dim is that of a mask over the cache and new tokens."""
        _, total, rest = dim.name.lower().partition("total")
        is_mask = all("mask" in name.lower() for name, _ in dim.places) and dim.places
        return bool((total and "seq" in rest) or (is_mask and dim.role.kind in ("tokens", "past") and self._cached))

    def _sum_parts(self, chosen: Mapping[str, Choice]) -> Choice:
        """The size of a total; "given" if it has no parts."""
        parts = {name: chosen[name].value for name in self._parts if name in chosen}
        if not any(self.open[name].role.kind == "tokens" for name in parts) and ("tokens", "") in self._links:
            size, where = self._links["tokens", ""]
            parts[where] = size
        return Choice(sum(parts.values()), "derived", " + ".join(parts)) if parts else _GIVEN

    def _total(self, dim: OpenDim, moved: Mapping[str, tuple[int, str]], parts: Choice) -> Choice:
        if dim.group in moved:
            return Choice(moved[dim.group][0], "assumed", moved[dim.group][1])
        if parts is _GIVEN:
            return Choice(dim.role.sizes[0], "assumed", dim.role.reason)
        return parts if "total" in dim.name.lower() else parts._replace(source="assumed")

    def _choose(self, dim: OpenDim, moved: Mapping[str, tuple[int, str]], is_decode: bool) -> Choice:
        if dim.group in moved:
            return Choice(moved[dim.group][0], "assumed", moved[dim.group][1])
        kind, part = dim.role.kind, dim.part
        for link in ((dim.group, ""), (kind, part), *([(kind, "")] if not part or kind == "batch" else [])):
            if link in self._links and (link[0] in _SHARED or link[0] == dim.group):
                size, where = self._links[link]
                return Choice(size, "assumed", f"as {where}")
        if kind == "past":
            return Choice(CACHED, "assumed", f"decode: {CACHED} in the cache") if is_decode else _EMPTY
        if kind == "tokens" and part != "encoder" and self._cached:
            size = 1 if is_decode else dim.role.sizes[0]
            return Choice(size, "assumed", "decode: one new token" if is_decode else f"{_PREFILL}{size} tokens")
        return Choice(dim.role.sizes[0], "assumed", dim.role.reason)

    def _takes_one_token(self, chosen: Mapping[str, Choice]) -> bool:
        """Whether a step takes one new token, as in decoding: if its length is open or fixed, or nothing indicates more."""
        tokens = (dim.name for dim in self.open.values() if dim.role.kind == "tokens" and dim.part != "encoder")
        lengths = {chosen[name].value for name in tokens if name in chosen}
        fixed = self._links.get(("tokens", ""), self._links.get(("tokens", "decoder"), (None, "")))[0]
        return 1 in lengths or (not lengths and fixed in (1, None))

    @property
    def has_assumed(self) -> bool:
        """Whether anything is assumed."""
        return bool(self._slots) and any(choice.source == "assumed" for choice in self.choose({}).values())


def _in_order(expressions: Mapping[str, tuple[str, ...]]) -> list[str]:
    """The expressions, each after those that it refers to; circular ones are left out."""
    sorter = TopologicalSorter({key: [name for name in names if name in expressions] for key, names in expressions.items()})
    try:
        return list(sorter.static_order())
    except CycleError:
        return [key for key, names in expressions.items() if not any(name in expressions for name in names)]


def phase_notes(dims: Sequence[BoundDim]) -> list[str]:
    """Which phase of a language model (prefill or decode) was assumed and counted, and how to count the other one."""
    tokens = next((dim for dim in dims if dim.reason.startswith(_PREFILL)), None)
    past = next((dim for dim in dims if dim.reason == _EMPTY.reason), None)
    if tokens is None or past is None:
        return []
    options = f"{option_text('--dim', tokens.name, 1)} {option_text('--dim', past.name, CACHED)}"
    is_named = tokens.option.startswith("--dim") and past.option.startswith("--dim")
    how = f"; use {options} for a decode step" if is_named else ""
    return [f"a prefill of {tokens.value} tokens is counted{how}"]


def _solve_near(symbol: str, size: int, name: str) -> int | None:
    """The size of ``name`` that gives the expression this value, or the next larger one that it can have."""
    solved = (solve(symbol, size + more, {}, name) for more in range(_NEAR + 1))
    return next((found for found in solved if found), None)


def dims_of(value: ValueInfoProto) -> Sequence[TypeProto]:
    """The dims of an input."""
    return value.type.tensor_type.shape.dim  # type: ignore[no-any-return]


def _family(name: str) -> str:
    return re.sub(r"\d+", "#", name)


def _part(symbol: str, name: str) -> str:
    text = symbol.lower() if re.search("encoder|decoder", symbol.lower()) else name.lower()
    return "decoder" if text.startswith("decoder") else "encoder" if "encoder" in text else ""


def _give_ranks(inputs: Sequence[ValueInfoProto], shapes: Mapping[str, Sequence[int]]) -> tuple[BoundDim, ...]:
    """Gives inputs without a rank the given shapes."""
    found = []
    for value in inputs:
        tensor, shape = value.type.tensor_type, shapes.get(value.name)
        if shape is None or tensor.HasField("shape"):
            continue
        for axis, size in enumerate(shape):
            tensor.shape.dim.add().dim_value = size
            option = option_text("--shape", value.name, "…")
            found.append(BoundDim(f"{value.name}[{axis}]", size, "given", option, ((value.name, axis),)))
    return tuple(found)


def _refuse_unknown(given: Iterable[str], known: Iterable[str], what: str) -> None:
    for name in given:
        if name not in known:
            there = ", ".join(f"'{k}'" for k in known) or "none"
            raise InputError(f"the model has no {what} '{name}'{did_you_mean(name, known) or f': it has {there}'}")


def _hint_at_layout(name: str, declared: Sequence[Any], shape: Sequence[int]) -> str:
    """The shape with its channels in the axis that the model expects, if they were given in another one."""
    for where, turned in turn_channels(shape):
        if all(not dim.HasField("dim_value") or dim.dim_value == size for dim, size in zip(declared, turned, strict=True)):
            return describe_layout(where, name, turned)
    return ""


def _bind_given(
    inputs: Mapping[str, ValueInfoProto], shapes: Mapping[str, Sequence[int]], dims: Mapping[str, int]
) -> dict[str, int]:
    given = dict(dims)
    for name, shape in shapes.items():
        type_ = inputs[name].type
        if not type_.HasField("tensor_type"):
            raise InputError(f"input '{name}' is a sequence or an optional, which has no shape")
        if not type_.tensor_type.HasField("shape"):
            continue
        declared = dims_of(inputs[name])
        if len(declared) != len(shape):
            text = "x".join(map(str, shape)) or "scalar"
            raise InputError(f"input '{name}' has {len(declared)} dims, but the given shape has {len(shape)}: {text}")
        for index, (dim, size) in enumerate(zip(declared, shape, strict=True)):
            if dim.HasField("dim_value") and dim.dim_value != size:
                text = f"dim {index} of input '{name}' is fixed at {dim.dim_value} in the model, but {size} was given"
                raise InputError(text + _hint_at_layout(name, declared, shape))
            if dim.dim_param and given.setdefault(dim.dim_param, size) != size:
                raise InputError(f"dim '{dim.dim_param}' was given as {given[dim.dim_param]} and, through '{name}', as {size}")
    for name, size in [*given.items(), *((name, size) for name, shape in shapes.items() for size in shape)]:
        if isinstance(size, bool) or not isinstance(size, Integral) or not 0 <= size <= MOST_WHOLE:
            raise InputError(f"'{name}' was given the size {size}: a dim must be a whole number from 0 to 2^63 - 1")
    return given
