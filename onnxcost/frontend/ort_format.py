"""Models in onnxruntime's own format, a flatbuffer, as ModelProto.

The schema is the one that onnxruntime's package brings for its tools: modules that the flatbuffers compiler wrote. They are
loaded without onnxruntime itself.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onnxcost.errors import InputError, ModelError
from onnxcost.frontend.file_kinds import FILE_BYTES, NOT_STORED

if TYPE_CHECKING:
    from onnx import AttributeProto, GraphProto, NodeProto, TensorProto, TypeProto, ValueInfoProto

KEPT_PAYLOAD = 1024
"""The bytes of the largest tensor that is kept without weights: it may determine shapes."""
_VALUE, _PARAM = 1, 2
"""What a dim has: DimensionValueType in the schema."""
_TENSOR, _SEQUENCE, _MAP = 1, 2, 3
"""The kinds of values: TypeInfoValue in the schema."""


def convert(content: bytes, has_weights: bool) -> bytes:
    """The serialized ModelProto of a model in this format; without ``has_weights``, larger tensors have no payload.

    Raises InputError without the schema, ModelError for a flatbuffer without a model; struct.error, IndexError and the like
    for one that is broken.
    """
    from onnx import ModelProto

    stored = _schema("InferenceSession").GetRootAs(content, 0).Model()
    if stored is None or stored.Graph() is None:
        raise ModelError("the file in onnxruntime's ORT format has no model")
    model = ModelProto(ir_version=stored.IrVersion(), model_version=stored.ModelVersion())
    model.producer_name, model.producer_version = _text(stored.ProducerName()), _text(stored.ProducerVersion())
    model.domain = _text(stored.Domain())
    for opset in _each(stored, "OpsetImport"):
        model.opset_import.add(domain=_text(opset.Domain()), version=opset.Version())
    for entry in _each(stored, "MetadataProps"):
        model.metadata_props.add(key=_text(entry.Key()), value=_text(entry.Value()))
    if not has_weights:
        model.metadata_props.add(key=FILE_BYTES, value=str(len(content)))
    conversion = _Conversion(len(content), has_weights)
    conversion.graph(stored.Graph(), model.graph)
    # It stores the opsets of all domains that onnxruntime knows.
    used = [each for each in model.opset_import if each.domain in conversion.domains]
    del model.opset_import[:]
    model.opset_import.extend(used)
    return bytes(model.SerializeToString())


def _schema(name: str) -> Any:
    """The class of a table."""
    found = find_spec("onnxruntime")
    folder = Path(next(iter((found and found.submodule_search_locations) or ("",))), "tools", "ort_format_model")
    if not (folder / "ort_flatbuffers_py").is_dir():
        raise InputError("a model in ORT format needs onnxruntime's tools, which this onnxruntime does not have")
    if str(folder) not in sys.path:
        sys.path.append(str(folder))  # as onnxruntime's tools do it
    return getattr(import_module(f"ort_flatbuffers_py.fbs.{name}"), name)


def _text(stored: bytes | None) -> str:
    return (stored or b"").decode("utf-8", "replace")


def _each(table: Any, field: str) -> Iterator[Any]:
    item = getattr(table, field)
    return (item(index) for index in range(getattr(table, f"{field}Length")()))


class _Conversion:
    """A graph's tables as messages. Tables may refer to each other in cycles, or to one many times: more tables or bytes of
    text than fit in the file are refused.
    """

    def __init__(self, size: int, has_weights: bool) -> None:
        self._tables, self._bytes, self._has_weights = size // 4, 4 * size, has_weights
        self.domains = {""}

    def _name(self, stored: bytes | None) -> str:
        self._tables -= 1
        self._bytes -= len(stored or b"")
        if self._tables < 0 or self._bytes < 0:
            raise ValueError("its tables refer to each other in a cycle")
        return _text(stored)

    def graph(self, stored: Any, graph: GraphProto) -> None:
        graph.name = "main_graph"
        for each in _each(stored, "Initializers"):
            self.tensor(each, graph.initializer.add())
        for each in _each(stored, "SparseInitializers"):
            sparse = graph.sparse_initializer.add()
            self.tensor(each.Values(), sparse.values)
            self.tensor(each.Indices(), sparse.indices)
            sparse.dims.extend(map(int, _each(each, "Dims")))
        values = {self._name(each.Name()): each for each in _each(stored, "NodeArgs")}
        known = {tensor.name for tensor in graph.initializer} | {each.values.name for each in graph.sparse_initializer}
        for field, place in (("Inputs", graph.input), ("Outputs", graph.output)):
            for name in map(self._name, _each(stored, field)):
                known.add(name)
                self.value(name, values.get(name), place.add())
        for name, each in values.items():
            if name and name not in known and each.Type() is not None:
                self.value(name, each, graph.value_info.add())
        for each in _each(stored, "Nodes"):
            self.node(each, graph.node.add())

    def value(self, name: str, stored: Any, value: ValueInfoProto) -> None:
        value.name = name
        if stored is not None and stored.Type() is not None:
            self.type(stored.Type(), value.type)

    def type(self, stored: Any, found: TypeProto) -> None:
        self._name(None)
        kind, held = stored.ValueType(), stored.Value()
        if held is None:
            return
        name = {_TENSOR: "TensorTypeAndShape", _SEQUENCE: "SequenceType", _MAP: "MapType"}[kind]
        table = _schema(name)()
        table.Init(held.Bytes, held.Pos)
        if kind == _SEQUENCE:
            self.type(table.ElemType(), found.sequence_type.elem_type)
        elif kind == _MAP:
            found.map_type.key_type = table.KeyType()
            self.type(table.ValueType(), found.map_type.value_type)
        else:
            found.tensor_type.elem_type = table.ElemType()
            shape = table.Shape()
            if shape is not None:
                found.tensor_type.shape.SetInParent()
                for each in _each(shape, "Dim"):
                    dim, value = found.tensor_type.shape.dim.add(), each.Value()
                    if value is not None and value.DimType() == _VALUE:
                        dim.dim_value = value.DimValue()
                    elif value is not None and value.DimType() == _PARAM:
                        dim.dim_param = self._name(value.DimParam())

    def node(self, stored: Any, node: NodeProto) -> None:
        node.name, node.op_type, node.domain = map(self._name, (stored.Name(), stored.OpType(), stored.Domain()))
        self.domains.add(node.domain)
        node.input.extend(map(self._name, _each(stored, "Inputs")))
        node.output.extend(map(self._name, _each(stored, "Outputs")))
        for each in _each(stored, "Attributes"):
            self.attribute(each, node.attribute.add())

    def attribute(self, stored: Any, attribute: AttributeProto) -> None:
        attribute.name, attribute.type = self._name(stored.Name()), stored.Type()
        kind = type(attribute)
        match attribute.type:
            case kind.FLOAT:
                attribute.f = stored.F()
            case kind.INT:
                attribute.i = stored.I()
            case kind.STRING:
                attribute.s = self._name(stored.S()).encode()
            case kind.TENSOR:
                self.tensor(stored.T(), attribute.t)
            case kind.GRAPH:
                self.graph(stored.G(), attribute.g)
            case kind.FLOATS:
                attribute.floats.extend(_each(stored, "Floats"))
            case kind.INTS:
                attribute.ints.extend(_each(stored, "Ints"))
            case kind.STRINGS:
                attribute.strings.extend(self._name(each).encode() for each in _each(stored, "Strings"))
            case kind.TENSORS:
                for each in _each(stored, "Tensors"):
                    self.tensor(each, attribute.tensors.add())
            case kind.GRAPHS:
                for each in _each(stored, "Graphs"):
                    self.graph(each, attribute.graphs.add())
            case _:
                raise ValueError(f"an attribute is of the unknown type {attribute.type}")

    def tensor(self, stored: Any, tensor: TensorProto) -> None:
        tensor.name, tensor.data_type = self._name(stored.Name()), stored.DataType()
        tensor.dims.extend(map(int, _each(stored, "Dims")))
        size = stored.RawDataLength()
        if self._has_weights or size <= KEPT_PAYLOAD:
            if size:
                tensor.raw_data = stored.RawDataAsNumpy().tobytes()
                self._bytes -= size
            tensor.string_data.extend(self._name(each).encode() for each in _each(stored, "StringData"))
        else:
            tensor.data_location = type(tensor).EXTERNAL
            tensor.external_data.add(key="location", value=NOT_STORED)
