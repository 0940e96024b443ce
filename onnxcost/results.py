"""The methods of all results: plain data, a data frame, a table in a notebook, and a ``repr`` of one line."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from onnxcost.errors import OnnxCostError
from onnxcost.version import __version__

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure

T = TypeVar("T")
K = TypeVar("K")
SCHEMA = "onnxcost/1"
"""The name of the schema of all documents."""
HTML: list[Callable[[Result], str]] = []
"""The functions that show a result in a notebook. The package registers them, so that results do not depend on them."""
PLOT: list[Callable[[Result, str], Figure]] = []
"""The functions that draw a result, likewise."""


def group_by(items: Iterable[T], key: Callable[[T], K]) -> dict[K, list[T]]:
    """The items by their keys, in the order in which the keys first appear."""
    groups: defaultdict[K, list[T]] = defaultdict(list)
    for item in items:
        groups[key(item)].append(item)
    return dict(groups)


def make_document(**content: Any) -> dict[str, Any]:
    """A document of the schema ``onnxcost/1``."""
    return {"schema": SCHEMA, "version": __version__, **content}


class Result:
    """The base of all results."""

    __slots__ = ()

    def to_dict(self) -> dict[str, Any]:
        """The result as plain data, under the keys of the schema ``onnxcost/1``."""
        raise NotImplementedError

    def to_records(self) -> Iterable[Mapping[str, Any]]:
        """The rows of ``to_pandas``."""
        return [self.to_dict()]

    def to_pandas(self) -> pandas.DataFrame:
        """The result as a data frame. Raises OnnxCostError if pandas is not installed."""
        return import_pandas().DataFrame(list(self.to_records()))

    def plot(self, kind: str = "") -> Figure:
        """A chart of the result as a figure of matplotlib, which notebooks show and ``figure.savefig("chart.svg")`` writes.

        ``kind`` is "share", "memory" or "roofline" for a report, "share" or "roofline" for a profile, "latency" for a
        measurement, "latency" or "memory" for a sweep, "scaling" for formulas; by default the first. Raises InputError for
        another kind, OnnxCostError if matplotlib is missing.
        """
        return PLOT[0](self, kind)

    def summary(self) -> str:
        """The result in a few words."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {' '.join(repr(self.summary())[1:-1].split())}>"

    def _repr_html_(self) -> str:
        return "".join(show(self) for show in HTML)


def import_pandas() -> Any:
    """The module pandas; raises OnnxCostError if it is not installed."""
    try:
        import pandas
    except ImportError:
        raise OnnxCostError("to_pandas() needs pandas, which is not installed: pip install pandas") from None
    return pandas
