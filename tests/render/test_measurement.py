"""Measurements in every format. The figures are worked out in tests/measurements.py."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest

from onnxcost.measurement import (
    Copies,
    Environment,
    InputUsed,
    MeasuredDevice,
    Measurement,
    MemoryUse,
    Placement,
    Settings,
    Unmeasured,
)
from onnxcost.render.formats import dumps
from onnxcost.render.layout import ASCII, Screen, text_of
from onnxcost.render.measurement import (
    batch_lines,
    batches_csv,
    batches_markdown,
    measurement_lines,
    measurement_markdown,
    not_measured_lines,
    samples_csv,
)
from onnxcost.report import CostReport, measurements_to_dict
from tests.measurements import MEASUREMENT, MIB, at_batch, measurement

AT_80 = """\
Measured  cpu · A Processor · onnxruntime 1.30.0
  Threads      4 intra-op, 1 inter-op
  Runs         20, after 3 warm-up runs, batch 1
  Inputs       x (synthetic: numbers between 0 and 1)

  Latency      19.50 ms       median, 95 % confidence 15.00 to 24.00
  Mean         19.50 ms       ± 5.92 ms (σ)
  Min          10.00 ms       max 29.00 ms
  p90          27.10 ms       p95 28.05 ms, p99 28.81 ms
  FPS          51.28          items per second, 1 / median
  Achieved     984.6 kFLOP/s  19.20 k FLOPs per run
  Session      123.4 ms       to create it
  First run    39.00 ms       2.000 × the median
  Memory       64.00 MiB      peak of the process, 40.00 MiB before the session
  Arena        3.000 MiB      peak of onnxruntime's arena
  Activations  1.000 MiB      at peak, estimated 2.000 KiB
"""

ON_A_GPU = measurement(
    settings=Settings(provider="cuda", provider_options={"device_id": "1"}, concurrency=4, optimization="basic"),
    samples=np.array([0.00025, 0.00075, 0.5]),
    wall_seconds=0.75,
    batch=8,
    device=MeasuredDevice("NVIDIA H200", "580.1", 141 << 30),
    environment=Environment(8, 2.5, None, None, None, "1.30.0", "Linux"),
    memory=MemoryUse(None, None),
    bound="lower",
    placement=Placement({"CUDAExecutionProvider": 117, "CPUExecutionProvider": 11}, tuple(f"/node_{at}" for at in range(11))),
    copies=Copies(0.0012, 0.00034),
)

GPU_AT_80 = """\
Measured
  cuda · NVIDIA H200 · 141.0 GiB memory · driver 580.1 · onnxruntime 1.30.0
  Threads      4 intra-op, 1 inter-op, 2.5 of 8 cores usable
  Runs         3, in 4 streams, after 3 warm-up runs, batch 8
  Inputs       x (synthetic: numbers between 0 and 1)
  Optimization basic
  Options      device_id=1
  Placement    117 CUDAExecutionProvider, 11 CPUExecutionProvider
  CPU fallback 11 nodes, /node_0, /node_1, /node_2, /node_3, /node_4, /node_5,
               /node_6, /node_7, and 3 more

  Latency        750.0 µs       median, no confidence interval
  Mean           167.0 ms       ± 288.4 ms (σ)
  Min            250.0 µs       max 500.0 ms
  p90            400.1 ms       p95 450.1 ms, p99 490.0 ms
  FPS            32.00          24 items in 750.0 ms
  Achieved     ≥ 76.80 kFLOP/s  ≥ 19.20 k FLOPs per run
  Session        123.4 ms       to create it
  First run      39.00 ms       52.00 × the median
  Copies         1.200 ms       to the device, 340.0 µs back, not in the latency
  Memory       unknown          peak of the process
  Arena        unknown          peak of onnxruntime's arena
"""

SERIES = (at_batch(1, 0.002), at_batch(4, 0.004), at_batch(16, 0.032))

BATCHES_AT_100 = """\
  Batch   Latency  95 % confidence    FPS  Relative       Achieved     Memory
      1  2.000 ms   2.000 to 2.000  500.0    1.00 ×  500.0 kFLOP/s  64.00 MiB  ██████████▌
      4  4.000 ms   4.000 to 4.000  1,000    2.00 ×  1.000 MFLOP/s  64.00 MiB  █████████████████████
     16  32.00 ms   32.00 to 32.00  500.0    1.00 ×  500.0 kFLOP/s  64.00 MiB  ██████████▌
  Most items per second at batch 4: 2.000 × those at batch 1
"""


def test_the_block_at_80_columns(report: CostReport) -> None:
    assert text_of(measurement_lines(MEASUREMENT, report, Screen(80))) == AT_80


def test_what_is_unusual_is_shown() -> None:
    assert text_of(measurement_lines(ON_A_GPU, None, Screen(80))) == GPU_AT_80


def test_a_series_of_batches() -> None:
    header, table = text_of(batch_lines(SERIES, Screen(100))).split("\n\n")
    assert header.startswith("Measured  cpu")
    assert "Runs" not in header
    assert table == BATCHES_AT_100


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("screen", [Screen(), Screen(glyphs=ASCII)], ids=["unicode", "ascii"])
def test_nothing_is_wider_than_the_screen(report: CostReport, width: int, screen: Screen) -> None:
    screen = screen._replace(width=width)
    long_names = measurement(placement=Placement({"CUDAExecutionProvider": 1}, ("/a" * 100,)))
    blocks = [measurement_lines(each, report, screen) for each in (MEASUREMENT, ON_A_GPU, long_names)]
    blocks += [batch_lines(SERIES, screen), not_measured_lines("a reason of many words " * 10, screen)]
    text = "".join(map(text_of, blocks))
    assert max(map(len, text.splitlines())) <= width
    assert text.isascii() == (screen.glyphs is ASCII)


def test_a_series_whose_first_is_the_best_claims_no_gain() -> None:
    assert text_of(batch_lines([at_batch(2, 0.001), at_batch(4, 0.01)], Screen())).endswith(
        "Most items per second at batch 2\n"
    )


def test_unknown_flops_are_no_zero() -> None:
    text = text_of(measurement_lines(measurement(flops=None), None, Screen()))
    assert "Achieved     unknown" in text
    assert "  ?  " in text_of(batch_lines([measurement(flops=None)], Screen(120)))


def test_a_model_without_arithmetic_achieves_nothing() -> None:
    assert "0 FLOP/s" in text_of(measurement_lines(measurement(flops=0), None, Screen()))


def test_names_cannot_steer_the_terminal() -> None:
    steering = measurement(inputs=(InputUsed("a\x1b[31m", "float32", (1,), "given"),))
    assert "\x1b" not in text_of(measurement_lines(steering, None, Screen()))


def test_markdown(report: CostReport) -> None:
    text = measurement_markdown(MEASUREMENT, report)
    assert text.startswith("### Measured\n\ncpu · A Processor · onnxruntime 1.30.0\n\n- Threads: 4 intra-op, 1 inter-op\n")
    assert "| Latency | 19.50 ms | median, 95 % confidence 15.00 to 24.00 |" in text
    assert text.endswith("\n\n- some runs are \\<slow\\> \\| so\n")


def test_markdown_of_batches() -> None:
    text = batches_markdown(SERIES)
    assert "| 4 | 4.000 ms | 4.000 to 4.000 | 1,000 | 2.00 × | 1.000 MFLOP/s | 64.00 MiB |" in text
    assert text.count("some runs") == 1


def test_csv_has_a_line_for_each_run() -> None:
    rows = list(csv.DictReader(io.StringIO(samples_csv(MEASUREMENT))))
    assert [(int(row["run"]), float(row["seconds"])) for row in rows] == [(at + 1, (10 + at) / 1000) for at in range(20)]


def test_csv_of_batches_is_in_base_units() -> None:
    rows = list(csv.DictReader(io.StringIO(batches_csv([*SERIES, ON_A_GPU]))))
    assert [float(row["median"]) for row in rows] == [0.002, 0.004, 0.032, 0.00075]
    assert float(rows[1]["fps"]) == float(rows[1]["flops_per_second"]) / 1000 == 1000
    assert (rows[0]["peak_rss_bytes"], rows[3]["peak_rss_bytes"]) == (str(64 * MIB), "")
    assert rows[3]["median_ci95_low"] == ""


def test_json(report: CostReport) -> None:
    document = json.loads(dumps(report.to_dict(measurement=MEASUREMENT)))["measurement"]
    assert document["latency"] == {
        "min": 0.01, "mean": pytest.approx(0.0195), "median": 0.0195, "std": pytest.approx(0.001 * 35**0.5),
        "p90": pytest.approx(0.0271), "p95": pytest.approx(0.02805), "p99": pytest.approx(0.02881), "max": 0.029,
        "median_ci95": [0.015, 0.024],
    }  # fmt: skip
    assert document.pop("samples") == [(10 + at) / 1000 for at in range(20)]
    assert document.pop("flops_per_second") == pytest.approx(19_200 / 0.0195)
    assert document.pop("fps") == pytest.approx(1 / 0.0195)
    del document["latency"]
    assert document == {
        "status": "ok", "reason": None, "interrupted": False,
            "provider": "cpu", "provider_options": {}, "device": "A Processor", "driver": None,
        "device_memory_bytes": None, "onnxruntime": "1.30.0", "optimization": "all", "threads": {"intra": 4, "inter": 1},
        "concurrency": 1, "seed": 0, "batch": 1,
        "inputs": [
            {"name": "x", "dtype": "float32", "shape": [1, 3, 8, 8], "source": "synthesised: numbers between 0 and 1"}
        ],
        "warmup_runs": 3, "runs": 20, "nodes_by_provider": None, "fallen_back": [],
        "environment": {
            "cores": 4, "usable_cores": 4.0, "load": 0.1, "frequency": 3e9, "max_frequency": 4e9, "platform": "Linux",
            "governor": None, "date": None,
        },
        "wall_seconds": 0.4, "flops": 19_200, "bound": "", "session_seconds": 0.1234, "first_run_seconds": 0.039,
        "peak_rss_bytes": 64 * MIB, "baseline_rss_bytes": 40 * MIB, "arena_peak_bytes": 3 * MIB,
        "arena_activation_bytes": MIB, "weights": "stored", "copies": None,
        "advice": ["some runs are <slow> | so"],
    }  # fmt: skip


def test_json_of_a_gpu() -> None:
    document = ON_A_GPU.to_dict()
    assert document["nodes_by_provider"] == {"CUDAExecutionProvider": 117, "CPUExecutionProvider": 11}
    assert len(document["fallen_back"]) == 11
    assert document["copies"] == {"host_to_device": 0.0012, "device_to_host": 0.00034}
    assert (document["driver"], document["device_memory_bytes"], document["fps"]) == ("580.1", 141 << 30, 32.0)


@pytest.mark.parametrize("status", ["skipped", "failed"])
def test_json_says_why_there_is_no_measurement(report: CostReport, status: str) -> None:
    document = json.loads(dumps(report.to_dict(measurement=Unmeasured(status, "why"))))
    assert document["measurement"] == {"status": status, "reason": "why"}
    assert "batches" not in document


def test_json_of_only_measurements_has_the_keys_of_the_report(report: CostReport) -> None:
    alone, whole = (
        json.loads(dumps(measurements_to_dict(report.graph, MEASUREMENT))),
        json.loads(dumps(report.to_dict(measurement=MEASUREMENT))),
    )
    assert list(alone) == ["schema", "version", "model", "inputs", "outputs", "dims", "measurement"]
    assert alone == {key: whole[key] for key in alone}


def test_json_of_batches(report: CostReport) -> None:
    results: list[Measurement | Unmeasured] = [*SERIES, Unmeasured("failed", "too big")]
    document = json.loads(dumps(measurements_to_dict(report.graph, None, results)))
    assert document["measurement"] is None
    assert [each.get("batch") for each in document["batches"]] == [1, 4, 16, None]
    assert document["batches"][3]["status"] == "failed"
