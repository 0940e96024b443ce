"""The published measurements in the package, as Markdown: bands with their coverage, and figures by device and runtime.

    python -m scripts.evidence.tables bands
    python -m scripts.evidence.tables figures

Set-up: ``pip install .`` The data are in onnxcost/hardware/evidence.json, which scripts/evidence/fit.py writes.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from math import exp

from onnxcost.hardware.evidence import Band, evidence

ORDER = ("published", "sister", "anchored", "nearest", "single", "known", "fitted")


def main() -> int:
    lines = {"bands": bands, "figures": figures}[sys.argv[1]]
    print("\n".join(lines()))
    return 0


def bands() -> Iterator[str]:
    """A line per fit and kind of evidence: how far measured times are from the estimate, and how many are inside the band."""
    yield "| runtime | type | CPU | figures | devices | evidence | measured / estimated | width | by device | by family |"
    yield "| --- | --- | --- | ---: | ---: | --- | ---: | ---: | ---: | ---: |"
    known = evidence()
    published = next(iter(known.fits.values())).bands["published"]
    yield f"| all | | | | | published | {_cells(published)} |"
    for (runtime, dtype, isa), fit in sorted(known.fits.items()):
        for kind in ORDER[1:]:
            if kind in fit.bands:
                counts = f"{fit.points} | {fit.devices}"
                yield f"| {runtime} | {dtype} | {isa or '–'} | {counts} | {kind} | {_cells(fit.bands[kind])} |"


def _cells(band: Band) -> str:
    low, high = exp(band.low), exp(band.high)
    inside = ("–" if share is None else f"{100 * share:.0f} %" for share in (band.by_device, band.by_family))
    return f"{low:.2f} – {high:.2f} | {high / low:.1f} | {' | '.join(inside)}"


def figures() -> Iterator[str]:
    """A line for each device and runtime: how many figures there are, and where they were published."""
    yield "| device | runtime | figures by type | source |"
    yield "| --- | --- | --- | --- |"
    for device, by_key in sorted(evidence().figures.items()):
        for runtime, source in sorted(evidence().sources[device].items()):
            types = {key.split()[1]: len(found) for key, found in by_key.items() if key.split()[0] == runtime}
            listed = ", ".join(f"{count} {dtype}" for dtype, count in sorted(types.items()))
            yield f"| {device} | {runtime} | {listed} | {source} |"


if __name__ == "__main__":
    sys.exit(main())
