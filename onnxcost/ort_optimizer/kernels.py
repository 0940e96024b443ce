"""The kernels that run for a node, by families whose times depend on the same quantities."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from math import prod
from typing import NamedTuple

from onnxcost.graph import BITS, Node, Tensor
from onnxcost.operators.traits import ATTENTIONS, GATHERS, POOLS, RECURRENT, VIEWS
from onnxcost.ort_optimizer import quantities as by
from onnxcost.ort_optimizer.einsum import einsum_nodes
from onnxcost.ort_optimizer.fused_node import FusedNode, axes_of, constants_of
from onnxcost.ort_optimizer.layout import BLOCK
from onnxcost.ort_optimizer.quantities import Quantities, elements, weight_of


class Family(NamedTuple):
    """The quantities that the times of a family's kernels depend on: their names, and how to compute them for a node.

    ``in_blocks``: it also takes the number of elements in a block.
    """

    names: tuple[str, ...]
    measure: Callable[..., Quantities]
    in_blocks: bool = False

    def quantities(self, node: Node, block: int = BLOCK) -> Quantities:
        """The quantities of the node."""
        return self.measure(node, block) if self.in_blocks else self.measure(node)


_PRODUCTS = ("MACs", "inputs", "weights", "outputs")
_GEMM = Family(_PRODUCTS, by.gemm, in_blocks=True)
_CONV = Family(("MACs", "copies", "copied rows", "strided copies", "weights", "outputs", "products"), by.conv, in_blocks=True)
_BLOCKS = Family((*_PRODUCTS, "MACs by blocks"), by.blocked_conv, in_blocks=True)
_INTEGER_CONV = Family(_PRODUCTS, by.integer_conv, in_blocks=True)
_LOW_BITS = Family((*_PRODUCTS, "partial sums"), by.low_bit_gemm)
_ATTENTION = Family(("MACs", "keys and values", "scores", "copied"), by.attention)
_RECURRENT = Family(("input MACs", "state MACs", "steps", "weights"), by.recurrent)
_DEPTHWISE = Family(("MACs", "inputs", "outputs"), by.depthwise)
_WINDOWS = Family(("window elements", "outputs", "rows"), by.window_elements)
_REDUCED, _ELEMENTS = Family(("elements", "outputs"), by.reduced), Family(("elements",), elements)
_ROWS, _SPANS = Family(("elements", "rows"), by.rows), Family(("elements", "spans"), by.spans)
_RUNS = Family(("bytes written", "pieces"), by.pieces)
_WRITTEN = Family(("bytes written",), by.movement)

FAMILIES: Mapping[str, Family] = {
    **dict.fromkeys(("conv-blocked", "conv-blocked-pointwise", "conv-blocked-first", "conv-blocked-grouped"), _BLOCKS),
    **dict.fromkeys(("conv-blocked-depthwise", "conv-int8-depthwise"), _DEPTHWISE),
    **dict.fromkeys(("conv-int8-ragged", "conv-int8-signed-depthwise", "conv-int8-signed-ragged"), _DEPTHWISE),
    **dict.fromkeys(("conv-plain", "conv-plain-grouped", "conv-plain-pointwise"), _CONV),
    "conv-plain-depthwise": Family(
        ("MACs", "copies", "copied rows", "strided copies", "outputs", "products"), by.plain_depthwise, in_blocks=True
    ),
    **dict.fromkeys(("conv-int8", "conv-int8-grouped", "conv-int8-signed", "conv-int8-signed-grouped"), _INTEGER_CONV),
    "conv-integer": _INTEGER_CONV,
    "conv-transposed": Family(("MACs", "inputs", "weights", "products"), by.transposed_conv),
    **dict.fromkeys(("gemm", "gemm-int8", "gemm-int8-unsigned", "matmul-integer", "matmul-integer-unsigned"), _GEMM),
    **dict.fromkeys(("matmul", "matmul-int8"), Family((*_PRODUCTS, "products"), by.batched_gemm, in_blocks=True)),
    **dict.fromkeys(("gemm-nbits", "gemm-nbits-int8", "gemm-nbits-int8-wide", "gemm-nbits-expanded"), _LOW_BITS),
    **dict.fromkeys(("attention", "attention-grouped"), _ATTENTION),
    **dict.fromkeys(("recurrent", "recurrent-gru", "recurrent-rnn", "recurrent-int8"), _RECURRENT),
    **dict.fromkeys(("pool", "pool-blocked", "pool-int8"), _WINDOWS),
    **dict.fromkeys(("global-pool", "global-pool-blocked", "global-pool-int8"), _REDUCED),
    **dict.fromkeys(("reduce", "reduce-slow"), _REDUCED),
    "reduce-before": Family((*_REDUCED.names, "elements at conflicting addresses"), by.reduced_across),
    **dict.fromkeys(("softmax", "softmax-across", "softmax-int8", "layernorm", "skip-layernorm", "skip-rmsnorm"), _ROWS),
    **dict.fromkeys(("cheap", "binary", "where", "pow", "cast", "sqrt", "hard", "sigmoid", "tanh", "exp", "erf"), _ELEMENTS),
    **dict.fromkeys(("leaky-relu", "sign", "elu", "softplus", "gelu", "bias-gelu", "quick-gelu"), _ELEMENTS),
    **dict.fromkeys(
        (
            "cast-to-half",
            "cast-from-half",
            "quick-gelu-scaled",
            "batchnorm",
            "lrn",
            "quantize",
            "dequantize",
            "dynamic-quantize",
        ),
        _ELEMENTS,
    ),
    **dict.fromkeys(("lookup-int8", "fused-clip", "fused-sigmoid", "fused-hard", "residual", "gemm-bias"), _ELEMENTS),
    **dict.fromkeys(("reorder", "reorder-last"), _ELEMENTS),
    **dict.fromkeys(("broadcast", "prelu", "binary-int8", "mul-int8"), _SPANS),
    "instancenorm": Family(("elements", "channels"), by.channels),
    "fourier": Family(("butterflies",), by.butterflies),
    "nonzero": _ELEMENTS,
    "topk": Family(("elements", "insertions", "comparisons"), by.selected),
    "cumsum": Family(("elements", "runs"), by.runs),
    **dict.fromkeys(("grid-sample", "grid-sample-slow"), Family(("outputs", "positions", "neighbors"), by.sampled)),
    "roi-align": Family(("outputs", "samples"), by.region_samples),
    "trees": Family(("learned steps", "steps by size", "votes"), by.tree_steps),
    **dict.fromkeys(("svm", "svm-rbf"), Family(("MACs", "sums", "results"), by.support_vectors)),
    "linear-model": Family(("MACs", "scores"), by.linear_scores),
    "one-hot": Family((*_WRITTEN.names, "inputs read"), by.resized),
    **dict.fromkeys(("scaler", "imputer", "zipmap"), Family(("elements read",), by.inputs)),
    **dict.fromkeys(("transpose", "transpose-rows", "transpose-scattered"), _RUNS),
    **dict.fromkeys(("concat", "concat-int8", "split"), Family((*_RUNS.names, "tensors"), by.joined_pieces)),
    **dict.fromkeys(("gather", "slice", "pad", "expand"), _RUNS),
    **dict.fromkeys(("resize", "resize-nearest", "other"), _WRITTEN),
    "resize-linear": Family((*_WRITTEN.names, "inputs read"), by.resized),
    **dict.fromkeys(("gather-slices", "scatter-slices"), Family((*_WRITTEN.names, "slices"), by.slices)),
    **dict.fromkeys(("scatter", "scatter-reduced"), Family(("indices",), by.indices)),
    **dict.fromkeys(("resize-cubic", "resize-antialias"), Family(("outputs", "inputs read"), by.interpolated)),
    **dict.fromkeys(("view", "call"), Family((), lambda node: ())),
}
"""The quantities of each family, in addition to the number of calls."""

CONTRACTIONS = frozenset(name for name in FAMILIES if name.startswith(("conv", "gemm", "matmul", "recurrent")))
"""The families whose kernels read all of their weights."""
ELEMENTWISE = frozenset(name for name, family in FAMILIES.items() if family in (_ELEMENTS, _SPANS))
"""The families whose kernels may overwrite their inputs."""


class KernelRun(NamedTuple):
    """The runs of a kernel: its family, the family's quantities, and how often it runs in one inference."""

    family: str
    quantities: Quantities
    times: int = 1


def kernel_runs(step: FusedNode, block: int = BLOCK) -> Iterator[KernelRun]:
    """The kernels that a step runs: its own, and those that convert tensors to its layout and back.

    ``block`` is the number of channels in a block, and of floats in a vector.
    """
    repeat = step.node.repeat
    for tensor in step.reordered:
        yield _reordering(tensor, step.channels_last, repeat)
    family = ""
    for node in einsum_nodes(step.node) if step.node.key == "Einsum" else (step.node,):
        family = family_of(step if node is step.node else FusedNode(node), block)
        yield KernelRun(family, FAMILIES[family].quantities(node, block), repeat)
    yield KernelRun("call", (), repeat)
    if step.node.op_type == "DynamicQuantizeMatMul":
        yield KernelRun("dynamic-quantize", (float(step.node.x.size),), repeat)
    if step.node.op_type == "HardSwish" and not step.kind:
        # onnxruntime has no kernel for HardSwish: it runs a HardSigmoid and a Mul.
        yield KernelRun("binary", elements(step.node), repeat)
    cold = sum(tensor.nbytes for tensor in constants_of(step.node))
    if cold and family in CONTRACTIONS and (weights := _cold_family(family, step.node)):
        yield KernelRun(weights, (float(cold),), repeat)
    for tensor in step.residuals:
        yield KernelRun("residual", (float(tensor.size),), repeat)
    biased = family == "gemm" and any(node.op_type == "Add" for node in step.absorbed)
    if biased and step.node.x.rank > 2:
        # onnxruntime reshapes it to a matrix before the product, and back after it.
        yield KernelRun("view", (), 2 * repeat)
    if biased or (family == "gemm" and step.node.input(2) is not None):
        # onnxruntime writes the bias to the result first, and adds the product to that.
        yield KernelRun("gemm-bias", (float(step.node.out.size),), repeat)
    # A probe of the kernel reads and writes these bytes again in each run.
    tensors = (tensor for tensor in (*step.node.inputs, *step.node.outputs) if tensor is not None and tensor.is_shaped)
    own = float(sum(tensor.nbytes for tensor in tensors))
    for reuse in step.reuses:
        amount = reuse.nbytes * (WRITTEN if reuse.is_written else 1.0)
        yield KernelRun("cold-values", (amount, reuse.distance, own), repeat)
    if step.is_blocked and step.node.op_type == "Conv":
        activations = (_ACTIVATIONS.get(node.op_type) for node in step.absorbed)
        yield from (KernelRun(kind, elements(step.node), repeat) for kind in activations if kind)


WRITTEN = 0.5
"""The time of a byte that is written to memory far away, relative to one that is read: no kernel waits for it. Measured on
products whose outputs are larger than any cache.
"""


def _cold_family(family: str, node: Node) -> str:
    """The family of the extra time that weights take which are in no cache; none where the products take longer anyway, which
    read the weights in their stored order: those of convolutions that are not run on blocks, with several positions.
    """
    if family.startswith("conv"):
        is_single = prod(node.out.shape[2:]) == 1
        return "cold-vector" if is_single else "" if family.startswith("conv-plain") else "cold-conv"
    is_vector = family.startswith("gemm") and node.x.size == node.x.shape[-1]
    return "cold" if not is_vector else "cold-nbits" if "nbits" in family else "cold-vector"


def _reordering(tensor: Tensor, channels_last: bool, repeat: int) -> KernelRun:
    """Floats are reordered by a special kernel, integers by a Transpose."""
    size = float(tensor.size)
    if tensor.dtype == "float32":
        return KernelRun("reorder-last" if channels_last else "reorder", (size,), repeat)
    return KernelRun("transpose", (float(tensor.nbytes), size), repeat)


_ACTIVATIONS: Mapping[str, str] = {
    **dict.fromkeys(("Clip", "LeakyRelu"), "fused-clip"), **dict.fromkeys(("HardSigmoid", "HardSwish"), "fused-hard"),
    **dict.fromkeys(("Sigmoid", "Tanh"), "fused-sigmoid"),
}  # fmt: skip
"""Activations that take extra time even when they are fused into a convolution; Relu takes none."""

WHOLE = 16
"""The fast kernel for depthwise convolutions of integers needs a multiple of this many channels."""

_FAMILIES_OF: Mapping[str, tuple[str, ...]] = {
    "view": (*sorted(VIEWS), "Shape", "Size", "Constant", "ConstantOfShape", "Range"),
    "cheap": ("Relu", "Neg", "Abs", "Clip", "Not", "ThresholdedRelu"),
    "leaky-relu": ("LeakyRelu", "Floor", "Ceil", "Round", "Softsign", "Reciprocal"), "prelu": ("PRelu",),
    "binary": ("Add", "Sub", "Mul", "Div", "Max", "Min", "Sum", "Mean", "Mod", "And", "Or",
               "Equal", "Less", "Greater", "LessOrEqual", "GreaterOrEqual"),
    "exp": ("Exp",), "elu": ("Elu", "Selu", "Celu", "Log", "Sin", "Cos"), "softplus": ("Softplus", "Mish", "Tan"),
    "sign": ("Sign", "Atan"), "sqrt": ("Sqrt",), "hard": ("HardSigmoid", "HardSwish"), "sigmoid": ("Sigmoid",),
    "tanh": ("Tanh",),
    "erf": ("Erf",), "gelu": ("Gelu", "FastGelu"), "bias-gelu": ("BiasGelu",), "quick-gelu": ("QuickGelu",), "pow": ("Pow",),
    "where": ("Where",), "cast": ("Cast",), "softmax": ("Softmax", "LogSoftmax"), "softmax-int8": ("QLinearSoftmax",),
    "layernorm": ("LayerNormalization", "SimplifiedLayerNormalization", "RMSNormalization"),
    "skip-layernorm": ("SkipLayerNormalization",), "skip-rmsnorm": ("SkipSimplifiedLayerNormalization",),
    "batchnorm": ("BatchNormalization",),
    "instancenorm": ("InstanceNormalization", "GroupNormalization"), "lrn": ("LRN",),
    "reduce": ("ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceL2", "ReduceL1", "ReduceProd", "ReduceSumSquare",
               "ArgMax", "ArgMin"),
    "pool": tuple(POOLS), "pool-int8": ("QLinearAveragePool",),
    "global-pool": ("GlobalAveragePool", "GlobalMaxPool"), "global-pool-int8": ("QLinearGlobalAveragePool",),
    "reorder": ("ReorderInput", "ReorderOutput"), "fourier": ("DFT", "STFT"),
    "nonzero": ("NonZero",), "topk": ("TopK",), "cumsum": ("CumSum",), "roi-align": ("RoiAlign",),
    "grid-sample": ("GridSample",),
    "trees": ("TreeEnsemble", "TreeEnsembleRegressor", "TreeEnsembleClassifier"), "svm": ("SVMClassifier", "SVMRegressor"),
    "linear-model": ("LinearClassifier", "LinearRegressor"), "one-hot": ("OneHotEncoder",), "zipmap": ("ZipMap",),
    "scaler": ("Scaler", "LabelEncoder", "CategoryMapper"), "imputer": ("Imputer", "Binarizer", "Normalizer"),
    "transpose": ("Transpose",),
    "transpose-scattered": ("DepthToSpace",),
    "concat": ("Concat", "FeatureVectorizer"),
    "concat-int8": ("QLinearConcat",), "split": ("Split",), "slice": ("Slice",), "pad": ("Pad",),
    "gather": (*GATHERS, "ArrayFeatureExtractor"), "resize": ("Resize", "Upsample"), "expand": ("Expand", "Tile"),
    "recurrent": tuple(RECURRENT - {"GRU", "RNN"}), "recurrent-gru": ("GRU",), "recurrent-rnn": ("RNN",),
    "recurrent-int8": ("DynamicQuantizeLSTM",), "scatter": ("ScatterElements", "GatherElements"),
    "gather-slices": ("GatherND",), "scatter-slices": ("ScatterND",),
    "conv-transposed": ("ConvTranspose",),
    "quantize": ("QuantizeLinear",), "dequantize": ("DequantizeLinear",), "dynamic-quantize": ("DynamicQuantizeLinear",),
    "matmul-integer": ("MatMulInteger",), "conv-integer": ("ConvInteger",),
    "gemm-int8": ("QLinearMatMul", "QLinearGemm", "QGemm", "DynamicQuantizeMatMul", "MatMulIntegerToFloat"),
    "gemm-nbits": ("MatMulNBits",), "attention-grouped": ("GroupQueryAttention",),
    "attention": tuple(sorted({key.rpartition(".")[2] for key in ATTENTIONS} - {"GroupQueryAttention"})),
    "binary-int8": ("QLinearAdd",), "mul-int8": ("QLinearMul",), "lookup-int8": ("QLinearSigmoid", "QLinearLeakyRelu"),
}  # fmt: skip
_BY_OPERATOR = {operator: family for family, operators in _FAMILIES_OF.items() for operator in operators}


def family_of(step: FusedNode, block: int = BLOCK) -> str:
    """The family of the kernel that a step runs; ``block`` is the number of channels in a block."""
    node = step.node
    kind = step.kind or node.op_type
    if kind in ("Conv", "QLinearConv"):
        return _conv_family(step, block)
    if kind in ("MatMul", "Gemm", "FusedMatMul"):
        return "gemm" if node.required(1).is_constant and node.required(1).rank == 2 else "matmul"
    family = _BY_OPERATOR.get(kind, "other")
    if family in ("gemm-int8", "matmul-integer"):
        return _integer_product_family(node, family)
    if family == "gemm-nbits":
        return _low_bit_family(node)
    if family == "softmax" and int(node.attributes.get("axis", -1)) % node.x.rank != node.x.rank - 1:
        return "softmax-across"
    if step.is_blocked and kind in ("BatchNormalization", "Mul") and any(t is not None and t.is_constant for t in node.inputs):
        # onnxruntime turns it into a depthwise convolution of one element.
        return "conv-blocked-depthwise"
    if family == "transpose":
        return _transpose_family(node)
    if family == "reduce":
        # In another layout than the plain one only if that has the channels last.
        return "reduce-before" if step.is_blocked else _reduce_family(node)
    if family == "reorder" and node.attributes.get("channels_last"):
        return "reorder-last"
    if step.is_blocked and f"{family}-blocked" in FAMILIES:
        return f"{family}-blocked"
    if family == "pow" and node.required(1).value in _QUICK_POWERS:
        return "cheap"
    if family == "scatter" and node.attributes.get("reduction", "none") != "none":
        return "scatter-reduced"
    if family == "svm" and node.attributes.get("kernel_type") == "RBF":
        return "svm-rbf"
    if kind == "Normalizer" and node.attributes.get("norm") == "L2":
        return "scaler"
    if family == "quick-gelu":
        return _quick_gelu_family(step)
    if family == "cast" and "float16" in (node.x.dtype, node.out.dtype):
        return "cast-to-half" if node.out.dtype == "float16" else "cast-from-half"
    if family == "cast":
        return family if {node.x.dtype, node.out.dtype} & _WHOLE_NUMBERS else "cheap"
    if family == "resize":
        return _resize_family(node)
    if family == "grid-sample":
        return _sampling_family(node)
    return "broadcast" if family == "binary" and by.spans(node)[1] > 1 else family


def _quick_gelu_family(step: FusedNode) -> str:
    """x · sigmoid(αx) is faster if α is 1: then one of the fused nodes multiplies, not two."""
    if step.node.op_type == "QuickGelu":
        return "quick-gelu" if step.node.attributes.get("alpha") == 1.0 else "quick-gelu-scaled"
    products = [node for node in (step.node, *step.absorbed) if node.op_type == "Mul"]
    return "quick-gelu" if len(products) < 2 else "quick-gelu-scaled"


def _integer_product_family(node: Node, family: str) -> str:
    """A product of integers, by its second operand: values or weights, of which signed ones are faster."""
    weight = node.required(weight_of(node))
    if not weight.is_constant:
        return "matmul-int8" if family == "gemm-int8" else family
    return f"{family}-unsigned" if weight.dtype == "uint8" else family


def _low_bit_family(node: Node) -> str:
    """According to matmul_nbits.cc and qnbitgemm.cpp: at accuracy level 4, integers are multiplied, else floats, for which
    weights of 4 bits are expanded block by block; if there is no kernel for that, all of them are, in each run.

    Products that onnxruntime itself creates from a DequantizeLinear have level 4.
    """
    weight, zero = node.required(1), node.input(3)
    if node.op_type == "MatMulNBits":
        bits, block = int(node.attributes.get("bits", 4)), int(node.attributes.get("block_size", 32))
        is_plain = block in _SCALED_BLOCKS and node.input(4) is None and (zero is None or zero.dtype == "uint8")
        level = int(node.attributes.get("accuracy_level", 0))
    else:
        bits, is_plain, level = BITS[weight.dtype], True, 4
    if not is_plain or bits not in (4, 8) or (bits == 8 and level != 4):
        return "gemm-nbits-expanded"
    return "gemm-nbits" if level != 4 else "gemm-nbits-int8-wide" if bits == 8 else "gemm-nbits-int8"


_SCALED_BLOCKS = (16, 32, 64, 128, 256)
"""The numbers of weights with a common scale for which there is a kernel."""


def _transpose_family(node: Node) -> str:
    """onnxruntime has a fast loop for a single dim that moves, and one for transposes that keep rows whole."""
    order = [int(axis) for axis in node.attributes.get("perm") or range(node.x.rank)[::-1]]
    moved = [axis for axis in order if node.x.shape[axis] > 1]
    if moved == sorted(moved):
        return "view"
    if order[-1] == node.x.rank - 1:
        return "transpose-rows"
    others = ([axis for axis in order if axis != left_out] for left_out in order)
    return "transpose" if any(rest == sorted(rest) for rest in others) else "transpose-scattered"


def _reduce_family(node: Node) -> str:
    if node.op_type not in ("ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin"):
        return "reduce-slow"
    dims = list(range(node.x.rank))
    reduced = sorted(axes_of(node)) or dims
    return "reduce" if reduced == dims[-len(reduced) :] else "reduce-before"


def _resize_family(node: Node) -> str:
    """onnxruntime has a loop for images of twice the size, each element repeated."""
    attributes = node.attributes
    if node.x.shape == node.out.shape:
        return "expand"  # onnxruntime copies it.
    mode = attributes.get("mode", "nearest")
    if mode in ("linear", "cubic"):
        return "resize-antialias" if attributes.get("antialias") else f"resize-{mode}"
    doubles = node.x.rank == 4 and node.out.shape[2:] == tuple(2 * length for length in node.x.shape[2:])
    repeats = (attributes.get("coordinate_transformation_mode"), attributes.get("nearest_mode")) == ("asymmetric", "floor")
    return "resize" if doubles and (repeats or node.op_type == "Upsample") else "resize-nearest"


def _sampling_family(node: Node) -> str:
    """grid_sample.cc: images with zeros around them, read by linear interpolation, have a loop of their own."""
    defaults = (("mode", "linear"), ("padding_mode", "zeros"), ("align_corners", 0))
    mode, padding, corners = (node.attributes.get(name, default) for name, default in defaults)
    is_quick = node.x.rank == 4 and mode in ("linear", "bilinear") and padding == "zeros" and not corners
    return "grid-sample" if is_quick else "grid-sample-slow"


_WHOLE_NUMBERS = frozenset({"int64", "int32", "int16", "uint64", "uint32", "uint16"})
"""Types that are converted from floats and to them element by element."""
_QUICK_POWERS = ((2.0,), (3.0,))
"""Exponents for which onnxruntime multiplies instead."""


def _conv_family(step: FusedNode, block: int) -> str:
    node = step.node
    weight, groups = node.required(weight_of(node)).shape, int(node.attributes.get("group", 1))
    depthwise = groups > 1 and weight[1] == 1
    if step.kind or node.op_type == "QLinearConv":
        # An input from a QuantizeLinear of its own becomes uint8; another int8 input stays int8, which some machines have
        # no instructions for.
        signed = "-signed" if node.op_type == "QLinearConv" and node.x.dtype == "int8" else ""
        grouped = "-grouped" if groups > 1 else ""
        return f"conv-int8{signed}{('-ragged' if weight[0] % WHOLE else '-depthwise') if depthwise else grouped}"
    if not step.is_blocked:
        if prod(weight[2:]) == 1:
            return "conv-plain-pointwise"
        return "conv-plain-depthwise" if depthwise else "conv-plain-grouped" if groups > 1 else "conv-plain"
    if depthwise:
        return "conv-blocked-depthwise"
    if groups > 1:
        return "conv-blocked-grouped"
    if weight[1] < block:
        return "conv-blocked-first"
    return "conv-blocked-pointwise" if prod(weight[2:]) == 1 else "conv-blocked"
