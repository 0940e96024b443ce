"""``onnxcost.strip``: a model without its weights and, on request, without names chosen by people."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from google.protobuf.message import Message

from onnxcost.errors import InputError
from onnxcost.files import replace_file
from onnxcost.frontend.dim_roles import INPUT_WORDS
from onnxcost.frontend.expressions import operands
from onnxcost.frontend.external import leaves_folder, scope_of, stored_tensors
from onnxcost.frontend.file_kinds import FILE_BYTES, NOT_STORED
from onnxcost.frontend.hints import SIDE_KEYS
from onnxcost.frontend.image_sizes import DEPTH_WORDS, OUTPUT_WORDS
from onnxcost.frontend.long_lists import holds_list, restore_list
from onnxcost.frontend.nodes import NAME_SCOPES
from onnxcost.frontend.normalize import nodes_in
from onnxcost.frontend.reader import LARGE, read_skeleton
from onnxcost.frontend.role_sizes import DIM_WORDS
from onnxcost.spec import ModelSource

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto


EXPORTERS = "pkg."
"""The prefix of the metadata keys of PyTorch's exporter."""


class Stripped(NamedTuple):
    """The bytes of a model, including data in other files, and of its skeleton."""

    before: int
    after: int


def strip(model: ModelSource, path: str | os.PathLike[str], *, anonymize: bool = False) -> Stripped:
    """Write the skeleton of ``model`` to ``path``: the model without the data of large tensors (more than 1 KiB) and of
    tensors in other files, and without doc strings and the source locations added by exporters. Names of modules are kept.
    ``estimate`` returns the same report for both.

    With ``anonymize``, names, doc strings and metadata are also replaced; totals and assumed dims stay the same. Raises
    ModelError for a source that is not a model, and InputError for a file that cannot be read or written.
    """
    skeleton = read_skeleton(model)
    small, files = skeleton.model, _files(skeleton.model, skeleton.path)
    for part in (small.graph, *small.functions):
        for attribute in (each for node in nodes_in(part.node) for each in node.attribute if holds_list(each)):
            restore_list(attribute)
    target = Path(path)
    if target.exists() and any(target.samefile(file) for file in files):
        raise InputError(f"'{target}' is the model itself: writing the skeleton there would destroy its weights")
    _forget_data(small)
    _forget_notes(small)
    if all(entry.key != FILE_BYTES for entry in small.metadata_props):
        small.metadata_props.add(key=FILE_BYTES, value=str(skeleton.file_bytes))
    if anonymize:
        # A longer name may make a message so long that it loses its payload.
        small = read_skeleton(anonymize_model(small)).model
    content = small.SerializeToString(deterministic=True)
    before = sum(file.stat().st_size for file in files) or skeleton.file_bytes
    replace_file(target, content)
    return Stripped(before, len(content))


def _files(model: ModelProto, path: str) -> list[Path]:
    """The files of the model that exist: its own, and those with external data."""
    locations = dict.fromkeys(stored.location for stored in stored_tensors(model) if stored.is_external)
    own = Path(str(path))
    beside = (own.parent / name for name in locations if not leaves_folder(name))
    return [file for file in (own, *beside) if path and file.is_file()]


def _forget_data(model: ModelProto) -> None:
    """Removes the locations of external data, and large constants that are lists."""
    for part in (model.graph, *model.functions):
        _forget_lists(part.node)
    for stored in stored_tensors(model):
        stored.tensor.ClearField("external_data")
        if stored.is_external:
            stored.tensor.external_data.add(key="location", value=NOT_STORED)


def _forget_notes(model: ModelProto) -> None:
    """Removes unknown fields, doc strings, and the metadata of nodes and graphs except for names of modules."""
    model.DiscardUnknownFields()
    _set_metadata(model.metadata_props, [(e.key, e.value) for e in model.metadata_props if not e.key.startswith(EXPORTERS)])
    for part in (model.graph, *model.functions):
        _forget_notes_in(part)


def _forget_notes_in(message: Message) -> None:
    for field, value in message.ListFields():
        if field.name == "doc_string":
            message.ClearField(field.name)
        elif field.name == "metadata_props":
            _set_metadata(value, [(entry.key, entry.value) for entry in value if entry.key == NAME_SCOPES])
        elif field.message_type is not None:
            for child in [value] if isinstance(value, Message) else value:
                _forget_notes_in(child)


def _set_metadata(entries: Any, pairs: Iterable[tuple[str, str]]) -> None:
    """Replaces all entries of a message's ``metadata_props``."""
    del entries[:]
    for key, value in pairs:
        entries.add(key=key, value=value)


def _forget_lists(nodes: Iterable[NodeProto]) -> None:
    """Constants that are written as lists become tensors without data. Other lists determine counts: those of trees."""
    for node in nodes_in(nodes):
        for attribute in node.attribute if node.op_type == "Constant" else ():
            field, data_type, size = _LISTS.get(attribute.name, ("ints", 0, 0))
            elements = getattr(attribute, field)
            if (count := len(elements)) * size > LARGE or (field == "strings" and sum(map(len, elements)) > LARGE):
                attribute.Clear()
                attribute.name, attribute.type = "value", attribute.TENSOR
                attribute.t.data_type, attribute.t.data_location = data_type, attribute.t.EXTERNAL
                attribute.t.dims.append(count)


_LISTS: Mapping[str, tuple[str, int, int]] = {
    "value_floats": ("floats", 1, 4),
    "value_ints": ("ints", 7, 8),
    "value_strings": ("strings", 8, 0),
}
"""The attributes of a Constant that are lists: their fields, TensorProto's numbers of their types, and bytes an element."""

_WORD = re.compile(r"\w+")
_NOBODYS_WORD = re.compile(r"\d+|_empty_nn_module_stack\w*")
"""Words in the path of a module that are kept: numbers in lists, and the mark of an empty path."""

_DIM = re.compile(r"[^\W\d]\w*")
_NO_WORD = re.compile(r"^(?=\d)|\W")
_NOBODYS_DIM = re.compile(r"[A-Za-z]|bs|None|floor|ceil|min|max")
_DIM_ROLES = re.compile(DIM_WORDS)
"""Parts of a dim's name that are kept: see ``role_sizes``."""

_NOBODYS_INPUT = re.compile(r"(?i)[hc](_?(\d+|n|in))?|sr")
_INPUT_ROLES = re.compile(
    rf"{INPUT_WORDS}|state|hidden|cell|mask|position|(?<![a-z])pos(?![a-z])|sampl\w*_?rate|len(?:gth)?s?(?![a-z])|size|ima?ge?_?shape"
    r"|(?<![a-z])scale(?:s|_?factor)?(?![a-z])|zero_?point"
)
"""Parts of an input's name that are kept: see ``dim_roles`` and ``runtime.inputs.input_roles``."""

_LABELS = frozenset(
    {"classlabels_strings", "classes_strings", "cats_strings", "keys_strings", "values_strings", "default_string"}
    | {"string_vocabulary", "pool_strings", "stopwords", "value_string", "value_strings"}
)
"""Attributes with words chosen by people, even if ONNX uses the same words."""

_WORDS_OF_ONNX = """
    NOTSET SAME_UPPER SAME_LOWER VALID constant reflect edge wrap zeros border reflection DCR CRD RGB BGR Grayscale LEFT RIGHT
    nearest linear cubic bilinear bicubic half_pixel half_pixel_symmetric align_corners asymmetric pytorch_half_pixel
    tf_half_pixel_for_nn tf_crop_and_resize output_half_pixel round_prefer_floor round_prefer_ceil floor ceil up down
    stretch not_larger not_smaller avg max min sum mean mul add none tanh gated delta gated_delta TF IDF TFIDF LOWER UPPER NONE
    forward reverse bidirectional Relu Tanh Sigmoid Affine LeakyRelu ThresholdedRelu ScaledTanh HardSigmoid HardSwish Elu
    Softsign Softplus Clip Gelu FastGelu QuickGelu relu gelu silu swish swiglu sigmoid identity
    SOFTMAX LOGISTIC SOFTMAX_ZERO PROBIT LINEAR POLY RBF SIGMOID MAX MIN SUM AVERAGE L1 L2 DENSE SPARSE
    BRANCH_LEQ BRANCH_LT BRANCH_GTE BRANCH_GT BRANCH_EQ BRANCH_NEQ LEAF TO_FLOAT TO_INT64 TO_STRING
    FLOAT DOUBLE FLOAT16 BFLOAT16 INT8 INT16 INT32 INT64 UINT8 UINT16 UINT32 UINT64 BOOL STRING
    euclidean sqeuclidean NCHW NHWC int nf4 fp4 PER_TENSOR PER_CHANNEL nesterov standard qwen
"""
_SPECIFIED = frozenset(_WORDS_OF_ONNX.split())
"""The values of attributes that the specifications of operators name."""

_EQUATION = re.compile(r"[A-Za-z.,> -]*")
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

_QUANTITIES = ("SCALE_TENSOR", "ZERO_POINT_TENSOR")
_STANDARD = ("ai.onnx", "com.microsoft")
_DROPPED = frozenset(
    {"doc_string", "denotation", "ModelProto.producer_name", "ModelProto.producer_version", "ModelProto.domain"}
    | {"ModelProto.model_version", "ModelProto.configuration", "NodeProto.device_configurations"}
)

_KEPT_KEYS = (NAME_SCOPES, FILE_BYTES, *SIDE_KEYS)

Rename = Callable[[str], str]


class _Names(dict[str, str]):
    """New names for old ones: the stem that ``stem`` gives, numbered from the second on. An empty name stays empty."""

    def __init__(self, stem: Rename) -> None:
        super().__init__({"": ""})
        self._stem, self._used = stem, Counter[str]()

    def __missing__(self, name: str) -> str:
        stem = self._stem(name)
        self._used[stem] += 1
        self[name] = f"{stem}_{self._used[stem]}" if self._used[stem] > 1 else stem
        return self[name]


def anonymize_model(model: ModelProto) -> ModelProto:
    """The model, changed in place."""
    model.DiscardUnknownFields()
    _rename_functions(model)
    words = _make_rename(_WORD, _NOBODYS_WORD, "w", None)
    inputs = _Names(lambda name: "_".join(_INPUT_ROLES.findall(name.lower())) or "input")
    values = _Names(lambda name: "v")
    stored = {tensor.name for tensor in model.graph.initializer}
    for info in model.graph.input:
        if info.name not in stored:
            values[info.name] = info.name if _NOBODYS_INPUT.fullmatch(info.name) else inputs[info.name]
    outputs = _Names(lambda name: "_".join(re.findall(f"{OUTPUT_WORDS}|{DEPTH_WORDS}", name.lower())) or "output")
    for info in model.graph.output:
        values.setdefault(info.name, outputs[info.name])
    nodes = _Names(lambda name: f"{words(name.rpartition('/')[0])}{'/' * ('/' in name)}node")
    dims = _make_rename(_DIM, _NOBODYS_DIM, "dim", _DIM_ROLES)
    rules: Mapping[str, Rename] = {
        "GraphProto.name": lambda name: "graph",
        "NodeProto.name": nodes.__getitem__,
        **dict.fromkeys(("NodeProto.input", "NodeProto.output", "ValueInfoProto.name", "TensorProto.name"), values.__getitem__),
        **dict.fromkeys(("FunctionProto.input", "FunctionProto.output", "TensorAnnotation.tensor_name"), values.__getitem__),
        "TensorAnnotation.quant_parameter_tensor_names": values.__getitem__,
        # What is neither an expression of names nor without any is one name, whatever its characters.
        "Dimension.dim_param": lambda name: dims(name if operands(name) or not _DIM.search(name) else _NO_WORD.sub("_", name)),
        "TensorProto.string_data": _Names(lambda name: "text").__getitem__,
        "metadata_props": words,
    }
    _rename_message(model, rules)
    return model


def _make_rename(word: re.Pattern[str], kept: re.Pattern[str], stem: str, roles: re.Pattern[str] | None) -> Rename:
    """A function that replaces the words of a text, except for ``kept`` ones; parts that match ``roles`` stay."""
    names = _Names(lambda name: "_".join(roles.findall(name.lower())) or stem if roles else stem)
    return lambda text: word.sub(lambda found: found[0] if kept.fullmatch(found[0]) else names[found[0]], text)


def _rename_message(message: Message, rules: Mapping[str, Rename]) -> None:
    kind = message.DESCRIPTOR.name
    for field, value in message.ListFields():
        key = f"{kind}.{field.name}"
        rule = rules.get(key) or rules.get(field.name)
        if kind == "AttributeProto" and field.name in ("s", "strings"):
            rule = _attribute_rule(message, rules["TensorProto.string_data"])
        if key in _DROPPED or field.name in _DROPPED:
            message.ClearField(field.name)
        elif rule is not None:
            _rename_field(rule, message, field.name, value)
        elif field.message_type is not None:
            for child in [value] if isinstance(value, Message) else value:
                _rename_message(child, rules)


def _attribute_rule(attribute: Message, texts: Rename) -> Rename:
    """The rule that keeps values which the operator's specification names, and the form of equations."""
    name = attribute.name

    def rule(text: str) -> str:
        if name == "equation" and _EQUATION.fullmatch(text):
            # In their order, which the order of the output's axes may follow from.
            letters = sorted({char for char in text if char.isalpha()})
            return text.translate({ord(old): new for old, new in zip(letters, _LETTERS, strict=False)})
        return text if text in _SPECIFIED and name not in _LABELS else texts(text)

    return rule


def _rename_field(rule: Rename, message: Message, name: str, value: Any) -> None:
    if isinstance(value, (str, bytes)):
        setattr(message, name, _rename_text(rule, value))
    elif name == "metadata_props":
        _set_metadata(value, [(entry.key, rule(entry.value)) for entry in value if entry.key in _KEPT_KEYS])
    elif name == "quant_parameter_tensor_names":
        for entry in value:
            entry.key = entry.key if entry.key in _QUANTITIES else "quantity"
            entry.value = rule(entry.value)
    else:
        value[:] = [_rename_text(rule, item) for item in value]


def _rename_text(rule: Rename, text: str | bytes) -> str | bytes:
    return rule(text.decode("utf-8", "replace")).encode() if isinstance(text, bytes) else rule(text)


def _rename_functions(model: ModelProto) -> None:
    """Functions, the domains that only they are in, and their attributes, where they are defined and where they are called."""
    attributes = {scope_of(f.domain, f.name, f.overload): _Names(lambda name: "attribute") for f in model.functions}
    nodes: list[tuple[NodeProto, _Names | None]] = [(node, None) for node in nodes_in(model.graph.node)]
    nodes += [(node, attributes[scope_of(f.domain, f.name, f.overload)]) for f in model.functions for node in nodes_in(f.node)]
    called = [attributes.get(scope_of(node.domain, node.op_type, node.overload)) for node, _ in nodes]
    kept = {node.domain for (node, _), own in zip(nodes, called, strict=True) if own is None}
    names, others = _Names(lambda name: "function"), _Names(lambda name: "domain")

    def domain(name: str) -> str:
        return name if name in kept or name.startswith(_STANDARD) else others[name]

    for function in model.functions:
        key = scope_of(function.domain, function.name, function.overload)
        formal = attributes[key]
        function.name, function.domain = names[key], domain(function.domain)
        function.ClearField("overload")
        function.attribute[:] = [formal[name] for name in function.attribute]
        for attribute in function.attribute_proto:
            attribute.name = formal[attribute.name]
    for (node, own), call in zip(nodes, called, strict=True):
        for attribute in node.attribute:
            attribute.name = attribute.name if call is None else call[attribute.name]
            if attribute.ref_attr_name:
                attribute.ref_attr_name = "attribute" if own is None else own[attribute.ref_attr_name]
        if call is not None:
            node.op_type, node.domain = names[scope_of(node.domain, node.op_type, node.overload)], domain(node.domain)
        node.ClearField("overload")
    for opset in (opset for part in (model, *model.functions) for opset in part.opset_import):
        opset.domain = domain(opset.domain)
