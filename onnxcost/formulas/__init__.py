"""One formula per operator, one file per family; FORMULAS is the union of their tables.

Other formulas come from installed packages (entry-point group ``onnxcost.formulas``) and from a user's file.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onnxcost import registers
from onnxcost.errors import InputError
from onnxcost.files import did_you_mean_file
from onnxcost.formulas.shapes import with_rules
from onnxcost.formulas.table import Formula, FormulaTable, formula, no_arithmetic, per_input, per_output, union

if TYPE_CHECKING:
    from onnxcost.formulas.catalogue import FAMILIES as FAMILIES
    from onnxcost.formulas.catalogue import FORMULAS as FORMULAS
    from onnxcost.formulas.catalogue import UNCOUNTABLE as UNCOUNTABLE


CONTROL_FLOW: frozenset[str] = frozenset({"If", "Loop", "Scan", "SequenceMap"})
"""Operators that are counted through the nodes of their bodies."""

__all__ = [
    "CONTROL_FLOW",
    "FAMILIES",
    "FORMULAS",
    "UNCOUNTABLE",
    "Formula",
    "FormulaTable",
    "formula",
    "no_arithmetic",
    "per_input",
    "per_output",
    "union",
]


def __getattr__(name: str) -> Any:
    """The whole catalogue is imported only when it is used: most models need a few families of it."""
    if name not in ("FAMILIES", "FORMULAS", "UNCOUNTABLE"):
        raise AttributeError(f"module 'onnxcost.formulas' has no attribute '{name}'")
    from onnxcost.formulas import catalogue

    return getattr(catalogue, name)


_COMMON = (
    *("contraction", "convolution", "attention", "recurrent", "quantized", "normalization"),
    *("activation", "elementwise", "reduction", "resampling", "selection", "movement"),
)
"""The families that nearly every model is made of."""
NAME = "FORMULAS"
"""The group of entry points, and the name of the table in a user's file."""


def select_formulas(operators: Collection[str]) -> FormulaTable:
    """A table with formulas for ``operators``: of the common families if they are enough, else of all families, else with those
    that installed packages register. The fewer modules are imported, the sooner a count starts.
    """
    common = load_common()
    if all(operator in common for operator in operators):
        return common
    from onnxcost.formulas.catalogue import FORMULAS

    return FORMULAS if all(operator in FORMULAS for operator in operators) else {**load_installed(), **FORMULAS}


@cache
def load_common() -> FormulaTable:
    """The formulas of the common families."""
    families = (import_module(f"onnxcost.formulas.{name}") for name in _COMMON)
    return with_rules(union(*(family.TABLE for family in families)))


@cache
def load_installed() -> FormulaTable:
    """The tables that installed packages register; raises InputError for one that is no table."""
    found: dict[str, object] = {}
    for point, table in registers.load_registered(registers.FORMULAS):
        if not isinstance(table, Mapping):
            raise InputError(f"the entry point '{point.name}' of {registers.FORMULAS} is no table of formulas: {point.value}")
        found.update(table)
    return found  # type: ignore[return-value]  # a table holds callables, which is seen when one is called


def load_file(path: str) -> FormulaTable:
    """The table ``FORMULAS`` of a Python file; raises InputError if there is none, or the file does not run."""
    from importlib.util import module_from_spec, spec_from_file_location

    if not Path(path).is_file():
        raise InputError(f"there is no file of formulas '{path}'{did_you_mean_file(path)}")
    spec = spec_from_file_location("onnxcost_user_formulas", path)
    if spec is None or spec.loader is None:
        raise InputError(f"'{path}' is no Python file: it defines the table {NAME}, operator to formula")
    module = module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    # The user's file may raise anything.
    except (Exception, SystemExit) as error:
        raise InputError(f"'{path}' does not run: {type(error).__name__}: {error}") from None
    table = getattr(module, NAME, None)
    if not isinstance(table, Mapping) or not all(callable(formula) for formula in table.values()):
        raise InputError(f"'{path}' defines no table {NAME} of operators and their formulas")
    return table
