"""The symbolic MACs of onnxsim for the models of ``scripts/benchmark/scaling.py``, and whether they equal the counts.

    python -m scripts.benchmark.scaling_tools [--points 20] [SET ...]

Set-up: an environment of its own with ``pip install . onnxsim sympy``. onnxsim computes the MACs of each model with formulas in
scaling.csv with all dims open, in a separate process; they are compared with counts at random sizes of the domain. The results
are kept in scaling_tools.csv, from which the page is written: "equal at 20 of 20", or what was printed instead.
"""

from __future__ import annotations

import argparse
import csv
import multiprocessing
import random
import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import onnxcost
from onnxcost.errors import OnnxCostError
from scripts.benchmark.peak_memory import DATA, SETS, models_of, set_name
from scripts.benchmark.scaling import PACKAGES, ROWS, SEED, TOOLS, draw_size, read_rows, read_tools

SECONDS = 120
"""That a model may take."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="*", type=Path, default=[*SETS, DATA / "decoders.tar.xz"], metavar="SET")
    parser.add_argument("--points", type=int, default=20, help="Random sizes of each model.")
    arguments = parser.parse_args()
    rows, known = read_rows(ROWS), read_tools(TOOLS)
    for each in arguments.sets:
        of = set_name(each) if each.is_dir() or each.suffix == ".xz" else PACKAGES
        for name, path in models_of(each):
            if (of, name) in rows and rows[of, name].points and (name, "onnxsim") not in known:
                with multiprocessing.get_context("spawn").Pool(1) as pool:
                    try:
                        said = pool.apply_async(compare, (path, arguments.points)).get(SECONDS)
                    except multiprocessing.TimeoutError:
                        said = f"not done in {SECONDS} s"
                known[name, "onnxsim"] = {"model": name, "tool": "onnxsim", "version": version("onnxsim"), "result": said}
                print(name, said, sep=" | ", flush=True)
                with TOOLS.open("w", encoding="utf-8", newline="") as file:
                    writer = csv.DictWriter(file, ("model", "tool", "version", "result"), lineterminator="\n")
                    writer.writeheader()
                    writer.writerows(known[key] for key in sorted(known))
    return 0


def compare(path: Path, points: int) -> str:
    """The number of sizes at which onnxsim's MACs equal the counts, or why it has none for all dims."""
    import onnx
    from onnxsim.model_info import ModelInfo

    source = path.read_bytes()
    found = onnxcost.scaling(source)
    try:
        macs = ModelInfo(onnx.load_from_string(source)).macs
    except Exception as error:
        return f"{type(error).__name__}: {' '.join(str(error).split())[:80]}"
    draw, equal = random.Random(SEED), 0
    for _ in range(points):
        sizes = {dim: draw_size(draw, found.domain[dim]) for dim in found.dims}
        try:
            equal += value_of(macs, sizes) == found.at(**sizes)["macs"]
        except (OnnxCostError, TypeError, ValueError, KeyError) as error:
            return str(error)[:80]
    return f"equal at {equal} of {points}" + ("" if equal else f": {str(macs)[:60]}")


def value_of(macs: object, sizes: Mapping[str, int]) -> int:
    """The value of a number or an expression of sympy; raises ValueError for one with other symbols."""
    import sympy

    expression = sympy.sympify(macs)
    # Symbols are named like dims, or like expressions of them: "16*batch".
    dims = {dim: sympy.Symbol(dim) for dim in sizes}
    named = {symbol: sympy.sympify(symbol.name, locals=dims) for symbol in expression.free_symbols}
    value = expression.subs(named).subs({dims[dim]: size for dim, size in sizes.items()})
    if not value.is_number:
        raise ValueError(f"has symbols of its own: {', '.join(sorted(map(str, value.free_symbols))[:3])}")
    return int(value)


if __name__ == "__main__":
    sys.exit(main())
