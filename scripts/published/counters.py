"""What packages that count operations find in a PyTorch model: the total, and by operator or type of module.

Each is called as in its documentation, and the terms that it adds up are recorded. Packages that only hook modules can be given
a model and inputs on the device "meta", without data; those that replace functions of torch would also count the functions that
"meta" uses. ``thop`` and ``ultralytics-thop`` install a module of the same name: their figures need two environments.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import inspect
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest import mock

Model = Any
Inputs = tuple[Any, ...]
Handler = Callable[..., Any]


def counted(by_operator: Counter[str], total: float | None = None) -> dict[str, Any]:
    """A package's figures; the recorded terms have to add up to the total that it returned."""
    counts = {name: int(count) for name, count in by_operator.items() if count}
    if total is not None and int(total) != sum(counts.values()):
        raise ValueError(f"the parts add up to {sum(counts.values())}, the total is {total}")
    return {"total": sum(counts.values()), "by_operator": counts}


def flop_counter(model: Model, inputs: Inputs, *, decomposed: bool) -> dict[str, int]:
    """torch.utils.flop_counter's FLOPs / 2 by aten operator. Decomposed: attention as matrix products, no fused fast path."""
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    torch.backends.mha.set_fastpath_enabled(not decomposed)
    counter = FlopCounterMode(display=False)
    kernel = sdpa_kernel(SDPBackend.MATH) if decomposed else contextlib.nullcontext()
    with torch.no_grad(), kernel, counter:
        model(*inputs)
    return {str(operator): flops // 2 for operator, flops in counter.get_flop_counts()["Global"].items()}


def missed_by_flop_counter(model: Model, inputs: Inputs) -> list[str]:
    """The attention operators of a plain run that torch.utils.flop_counter has no formula for."""
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils.flop_counter import flop_registry

    missed: set[str] = set()

    class Listen(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if "attention" in str(func) and func._overloadpacket not in flop_registry:
                missed.add(str(func._overloadpacket))
            return func(*args, **(kwargs or {}))

    torch.backends.mha.set_fastpath_enabled(True)
    with torch.no_grad(), Listen():
        model(*inputs)
    return sorted(missed)


def fvcore(model: Model, inputs: Inputs) -> dict[str, Any]:
    """fvcore's FlopCountAnalysis: total, by operator, and how many operators it has no rule for."""
    import torch
    from fvcore.nn import FlopCountAnalysis

    torch.backends.mha.set_fastpath_enabled(False)  # as with gradients, which fvcore leaves on, and in less memory
    analysis = FlopCountAnalysis(model, inputs).unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    with torch.no_grad():
        counts = counted(Counter(analysis.by_operator()))
    return counts | {"unsupported": dict(analysis.unsupported_ops())}


def thop(model: Model, inputs: Inputs) -> dict[str, Any]:
    """thop.profile: total and by the type of the modules that it has a rule for."""
    from thop import profile

    total, _parameters, layers = profile(model, inputs, verbose=False, ret_layer_info=True)
    by_module: Counter[str] = Counter()

    def add(children: dict[str, Any], parent: Any) -> None:
        for name, (count, _, below) in children.items():
            module = parent.get_submodule(name)
            if below:
                add(below, module)
            elif count:
                by_module[type(module).__name__] += int(count)

    add(layers, model)
    return {"total": int(total), "by_operator": dict(by_module)}


def ptflops(model: Model, inputs: Inputs) -> dict[str, Any]:
    """get_model_complexity_info with its default backend: MACs by type of module, and by function if it has replaced one."""
    import torch
    from ptflops import get_model_complexity_info, pytorch_ops

    torch.backends.mha.set_fastpath_enabled(False)
    counts: Counter[str] = Counter()

    def of_module(hook: Handler, module: Any, *values: Any) -> None:
        before = module.__flops__
        hook(module, *values)
        counts[type(module).__name__] += module.__flops__ - before

    def of_function(name: str, handler: Handler, *args: Any, **kwargs: Any) -> Any:
        counts[name] += (count := handler(*args, **kwargs))
        return count

    with contextlib.ExitStack() as patches:
        modules = {kind: _around(of_module, hook) for kind, hook in pytorch_ops.MODULES_MAPPING.items()}
        patches.enter_context(mock.patch.dict(pytorch_ops.MODULES_MAPPING, modules))
        for table in (pytorch_ops.FUNCTIONAL_MAPPING, pytorch_ops.TENSOR_OPS_MAPPING):
            heard = {key: _around(of_function, key.__name__, handler) for key, handler in table.items()}
            patches.enter_context(mock.patch.dict(table, heard))
        patches.enter_context(torch.no_grad())
        total, _parameters = get_model_complexity_info(
            model, (1,), as_strings=False, print_per_layer_stat=False, input_constructor=lambda _: _named(model, inputs)
        )
    return counted(counts, total)


def _around(function: Handler, *first: Any) -> Handler:
    """A plain function, which these packages can hook into, unlike functools.partial."""
    return lambda *args, **kwargs: function(*first, *args, **kwargs)


def _named(model: Model, inputs: Inputs) -> Any:
    """As keywords if there are several, in the order of ``forward``; ptflops passes a single value as it is."""
    return dict(zip(inspect.signature(model.forward).parameters, inputs, strict=False)) if len(inputs) > 1 else inputs[0]


def torchinfo(model: Model, inputs: Inputs) -> dict[str, Any]:
    """The mult-adds of torchinfo.summary by type of module."""
    import torch
    from torchinfo import summary

    torch.backends.mha.set_fastpath_enabled(False)
    table = summary(model, input_data=list(inputs), verbose=0)
    counts: Counter[str] = Counter()
    for layer in table.summary_list:
        counts[layer.class_name] += layer.macs if layer.is_leaf_layer else 0
    return counted(counts, table.total_mult_adds)


def calflops(model: Model, inputs: Inputs) -> dict[str, Any]:
    """The FLOPs of calculate_flops by function."""
    from calflops import calculate_flops, pytorch_ops

    with _heard(pytorch_ops) as counts:
        total, _macs, _parameters = calculate_flops(model, args=list(inputs), output_as_string=False, print_results=False)
    return counted(counts, total)


def deepspeed(model: Model, inputs: Inputs) -> dict[str, Any]:
    """The FLOPs of DeepSpeed's get_model_profile by function."""
    profiler = importlib.import_module("deepspeed.profiling.flops_profiler.profiler")

    with _heard(profiler) as counts:
        total, _macs, _parameters = profiler.get_model_profile(
            model, args=list(inputs), as_string=False, print_profile=False, warm_up=0
        )
    return counted(counts, total)


@contextlib.contextmanager
def _heard(package: Any) -> Iterator[Counter[str]]:
    """The terms that the wrappers and hooks of calflops and DeepSpeed add up while a module runs."""
    import torch

    torch.backends.mha.set_fastpath_enabled(False)
    counts: Counter[str] = Counter()
    wrap, hooks = package.wrapFunc, package.MODULE_HOOK_MAPPING

    def listen(function: Any, compute: Handler, *lists: Any) -> Any:
        def count(*args: Any, **kwargs: Any) -> Any:
            flops, macs = compute(*args, **kwargs)
            counts[function.__name__] += flops
            return flops, macs

        return wrap(function, count, *lists)

    def of_module(hook: Handler, module: Any, *values: Any) -> None:
        before = module.__flops__
        hook(module, *values)
        counts[type(module).__name__] += module.__flops__ - before

    heard = {kind: _around(of_module, hook) for kind, hook in hooks.items()}
    with mock.patch.object(package, "wrapFunc", listen), mock.patch.dict(hooks, heard), torch.no_grad():
        yield counts


def ultralytics(model: Model, inputs: Inputs) -> dict[str, Any]:
    """ultralytics' get_flops: 2 x the MACs of ultralytics-thop, which are also given by module and function."""
    import torch
    from ultralytics.utils.torch_utils import get_flops

    torch.backends.mha.set_fastpath_enabled(False)
    profiler = importlib.import_module("thop.profile")
    counts: Counter[str] = Counter()
    hooks, functions = profiler.register_hooks, profiler.functional_hooks

    def of_module(rule: Handler, module: Any, *values: Any) -> None:
        before = module.total_ops
        rule(module, *values)
        counts[type(module).__name__] += 2 * (module.total_ops - before)

    def of_function(name: str, rule: Handler, *values: Any) -> Any:
        counts[name] += 2 * (count := rule(*values))
        return count

    heard = {kind: rule if rule is profiler.zero_ops else _around(of_module, rule) for kind, rule in hooks.items()}
    called = {function: _around(of_function, function.__name__, rule) for function, rule in functions.items()}
    with mock.patch.dict(hooks, heard), mock.patch.dict(functions, called):
        total, _parameters = profiler.profile(model, inputs=inputs, verbose=False)
    found = counted(counts, 2 * total)
    if len(inputs) == 1 and inputs[0].ndim == 4:
        # It extrapolates from smaller images; 0 for a model that takes images of only one size.
        gigaflops = get_flops(model, imgsz=list(inputs[0].shape[2:]))
        if gigaflops and round(gigaflops * 1e9) != found["total"]:
            found["get_flops"] = round(gigaflops * 1e9)
    return found


def onnx_tool(path: Path, shapes: dict[str, tuple[int, ...]]) -> dict[str, Any]:
    """The forward MACs of onnx-tool's profile of a complete ONNX file, by operator; ``shapes`` of the inputs that are open."""
    import numpy as np
    from onnx_tool import Model

    graph = Model(str(path), {"verbose": False}).graph
    graph.graph_reorder_nodes()
    graph.shape_infer({name: np.zeros(shape, dtype=np.float32) for name, shape in shapes.items()})
    graph.profile()
    counts: Counter[str] = Counter()
    for node in graph.nodemap.values():
        counts[node.op_type] += node.macs[0]
    return counted(counts, graph.macs[0])


OF_MODULES = ("torch", "thop", "torchinfo", "ultralytics")
"""Packages that count modules or aten operators, for which a model on the device "meta" suffices."""
COUNTERS: dict[str, Callable[[Model, Inputs], dict[str, Any]]] = {
    **{counter.__name__: counter for counter in (fvcore, ptflops, calflops, deepspeed, thop, torchinfo, ultralytics)},
    "torch": functools.partial(flop_counter, decomposed=True),
}


def measure(package: str, model: Model, inputs: Inputs) -> dict[str, Any]:
    """The package's figures under its name, or why it has none. The operators that torch misses in a plain run are found along
    with fvcore's.
    """
    try:
        figures = {package: COUNTERS[package](model, inputs)}
    except Exception as error:
        return {package: {"error": f"{type(error).__name__}: {error}".splitlines()[0][:200]}}
    if any("attention" in operator for operator in figures[package].get("unsupported", {})):
        plain: Any = {"torch_plain": flop_counter(model, inputs, decomposed=False)}
        figures |= plain | {"torch_missed": missed_by_flop_counter(model, inputs)}
    return figures


def measure_file(path: Path, shapes: dict[str, tuple[int, ...]]) -> dict[str, Any]:
    """onnx-tool's figures of a file that may lack its weights, or why it has none."""
    from onnxcost.frontend.synthetic_weights.fill import fill_weights

    with TemporaryDirectory() as folder:
        try:
            return onnx_tool(Path(fill_weights(path, folder)), shapes)
        except Exception as error:
            return {"error": f"{type(error).__name__}: {error}".splitlines()[0][:200]}
