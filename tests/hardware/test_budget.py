from __future__ import annotations

from dataclasses import replace

import pytest

import onnxcost
from onnxcost.errors import InputError
from onnxcost.hardware.budget import Assessment, assess, judge, model_checks, sort_verdicts
from onnxcost.hardware.limits import Limits, limits_of, parse_budget_limit
from onnxcost.hardware.memory_fit import RUNTIMES
from onnxcost.hardware.prediction import FITS, MARGINAL, NO, UNKNOWN
from onnxcost.hardware.roofline import Roofline
from tests.hardware.machines import MATMUL, machine, part
from tests.hardware.test_prediction import verdict
from tests.modeltext import model

BOX = machine(memory=1e10, bandwidth=1e10, sram=0, price=100)
"""MATMUL there: 400.8 µs at the very least, 403 µs to 864 µs expected, 355 MiB needed."""
CHIP = {"cpu": part("cpu", float32=1e9)}


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("fps", "30", 30), ("fps", 29.97, 29.97), ("latency", "33ms", 0.033), ("latency", ".5s", 0.5),
        ("latency", "250 us", 250e-6),
        ("memory", "512MiB", 2**29), ("memory", "1GB", 1e9), ("memory", 1000, 1000), ("flash", "2MiB", 2**21),
        ("macs", "500M", 5e8), ("params", "5M", 5e6), ("params", 25000, 25000),
    ],
)  # fmt: skip
def test_amounts(name: str, text: object, value: float) -> None:
    assert parse_budget_limit(name, text) == pytest.approx(value)


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("latency", "33", "latency expects a quantity such as 33ms, not '33'"),
        ("fps", "fast", "fps expects a quantity such as 30, not 'fast'"),
        ("fps", "0", "fps expects"),
        ("fps", "-3", "fps expects"),
        ("memory", "512MB/s", "memory expects a quantity such as 512MiB"),
        ("macs", "500MiB", "macs expects a quantity such as 500M"),
    ],
)
def test_what_is_no_amount(name: str, text: str, says: str) -> None:
    with pytest.raises(InputError) as refused:
        parse_budget_limit(name, text)
    assert says in str(refused.value)


@pytest.mark.parametrize(
    ("limits", "levels"),
    [
        ({}, {"memory": FITS}),
        ({"latency": "1ms"}, {"latency": FITS, "memory": FITS}),
        ({"latency": "500us"}, {"latency": MARGINAL, "memory": FITS}),
        ({"latency": "402us"}, {"latency": NO, "memory": FITS}),
        ({"latency": "400us"}, {"latency": NO, "memory": FITS}),
        ({"fps": 1000}, {"fps": FITS, "memory": FITS}),
        ({"fps": 2000}, {"fps": MARGINAL, "memory": FITS}),
        ({"fps": 2490, "latency": "1ms"}, {"latency": FITS, "fps": NO, "memory": FITS}),
        ({"memory": "1MiB"}, {"memory": NO}),
        ({"memory": "1GiB"}, {"memory": FITS}),
    ],
)
def test_levels(limits: dict[str, object], levels: dict[str, str]) -> None:
    found = judge(Roofline(BOX), MATMUL, limits_of(limits))
    worst = {check.what: check.level for check in found.checks if check.level == found.level or check.what not in levels}
    assert {check.what for check in found.checks} == set(levels)
    assert found.level == max(levels.values(), key=[FITS, MARGINAL, UNKNOWN, NO].index)
    assert worst.items() <= levels.items()


def test_a_limit_beyond_the_bound_is_missed_whatever_the_estimate() -> None:
    (check,) = (
        check for check in judge(Roofline(BOX), MATMUL, limits_of({"latency": "400us"})).checks if check.what == "latency"
    )
    assert (check.basis, check.low) == ("bound", pytest.approx(400.8e-6))
    (check,) = (
        check for check in judge(Roofline(BOX), MATMUL, limits_of({"latency": "402us"})).checks if check.what == "latency"
    )
    assert check.basis == "estimate"


@pytest.mark.parametrize(("memory", "level"), [(3e8, NO), (3.8e8, MARGINAL), (4.6e8, MARGINAL), (4.8e8, FITS), (None, FITS)])
def test_a_memory_of_which_little_is_left_is_marginal(memory: float | None, level: str) -> None:
    """371.1 MB are needed: less than a fifth is left of 463.9 MB."""
    given = {"memory": memory} if memory else {}
    assert judge(Roofline(machine(bandwidth=1e12, **given)), MATMUL, Limits()).level == level


@pytest.mark.parametrize(("less", "level"), [(0, MARGINAL), (1, NO)])
def test_a_memory_that_is_just_full_is_marginal(less: int, level: str) -> None:
    needed = 4_008_000 + RUNTIMES["gpu"].memory
    assert judge(Roofline(machine(bandwidth=1e12, memory=needed - less)), MATMUL, Limits()).level == level


@pytest.mark.parametrize(("less", "level"), [(0, FITS), (1, NO)])
def test_a_limit_that_is_just_kept(less: int, level: str) -> None:
    limits = limits_of({"memory": 4_008_000 + RUNTIMES["gpu"].memory - less})
    assert judge(Roofline(machine(bandwidth=1e12)), MATMUL, limits).level == level


@pytest.mark.parametrize(
    ("figures", "level", "detail"),
    [
        ({"memory": 1e6, "flash": 8e6}, FITS, ""),
        ({"memory": 1e6, "flash": 2e6}, NO, ""),
        ({"memory": 8e3, "flash": 8e6}, NO, ""),
        ({"memory": 1e6, "flash_bandwidth": 1e6}, UNKNOWN, "its flash is not known"),
        ({"flash": 8e6}, UNKNOWN, "its memory is not known"),
    ],
)
def test_on_a_microcontroller_both_memories_count(figures: dict[str, float], level: str, detail: str) -> None:
    found = judge(Roofline(machine(CHIP, "microcontroller", **figures)), MATMUL, Limits())
    assert found.level == level
    assert detail in (found.cause.detail if found.cause else "")


def test_a_type_that_a_device_does_not_have_is_the_cause() -> None:
    found = judge(Roofline(machine({"npu": part("npu", int8=1e12)}, "accelerator")), MATMUL, limits_of({"fps": 1}))
    assert (found.level, found.cause and (found.cause.what, found.cause.detail)) == (NO, ("dtype", "float32"))


def test_a_time_that_cannot_be_told_is_unknown_unless_the_bound_forbids_it() -> None:
    board = Roofline(machine(kind="board"))
    assert judge(board, MATMUL, limits_of({"latency": "1ms"})).level == UNKNOWN
    assert judge(board, MATMUL, limits_of({"latency": "1us"})).level == NO


@pytest.mark.parametrize(
    ("given", "levels"),
    [
        ({"macs": "1M", "params": "1M"}, [FITS, FITS]),
        ({"macs": "999k"}, [NO]),
        ({"params": "999k"}, [NO]),
        ({"fps": 3}, []),
    ],
)
def test_limits_of_the_model_itself(given: dict[str, object], levels: list[str]) -> None:
    assert [check.level for check in model_checks(MATMUL, limits_of(given))] == levels


def test_what_is_not_counted_leaves_the_macs_open() -> None:
    made = onnxcost.estimate(model("(float[4] x) => (float[4] y) { y = acme.Mine(x) }", domains=', "acme" : 1'))
    assert [check.level for check in model_checks(made, limits_of({"macs": "1M", "params": "1M"}))] == [UNKNOWN, FITS]


def test_the_cheapest_that_fits_comes_first() -> None:
    rows = [
        ("no price, much power", None, 300, (FITS,)), ("no price", None, 30, (FITS,)),
        ("dear", 100, 5, (FITS,)), ("cheap", 10, 5, (FITS,)),
        ("no", 1, 1, (NO,)), ("perhaps", 2, 1, (MARGINAL,)), ("who knows", 1, 1, (UNKNOWN,)),
    ]  # fmt: skip
    found = sort_verdicts(replace(verdict(*levels), name=name, price=price, power=power) for name, price, power, levels in rows)
    assert [each.name for each in found] == ["cheap", "dear", "no price", "no price, much power", "perhaps", "who knows", "no"]


def test_what_a_million_items_cost_is_the_price_of_the_time_that_they_take() -> None:
    """At 3.6 dollars an hour a second is a tenth of a cent: a million items of 1 to 4 ms take 1,000 to 4,000 s."""
    rented = machine(memory=1e10, bandwidth=1e10, sram=0, hourly=3.6)
    found = judge(Roofline(rented), MATMUL, Limits())
    latency = found.prediction.latency
    assert latency is not None
    assert found.cost is not None
    assert (found.cost.low, found.cost.high) == (pytest.approx(1e3 * latency.low), pytest.approx(1e3 * latency.high))
    assert found.to_dict()["cost_per_million"]["high"] == pytest.approx(1e3 * latency.high)
    assert judge(Roofline(BOX), MATMUL, Limits()).cost is None


def test_by_cost_the_cheapest_to_run_comes_first_and_what_is_not_rented_last() -> None:
    rows = [("slow", 1e10, 1.0), ("fast", 4e10, 2.0), ("dear", 4e10, 9.0), ("bought", 9e10, None)]
    devices = [
        machine(name=name, memory=1e10, bandwidth=bandwidth, sram=0, price=100, **({"hourly": hourly} if hourly else {}))
        for name, bandwidth, hourly in rows
    ]
    found = assess("m", MATMUL, map(Roofline, devices), Limits(), are_named=True, order="cost").verdicts
    assert [each.name for each in found] == ["fast", "slow", "dear", "bought"]


def test_the_users_price_of_an_hour_counts() -> None:
    found = onnxcost.budget("models/mnist_cnn_pytorch.onnx", ["t4", "l4"], order="cost", prices={"l4": 0.5, "t4": 50})
    assert [(each.name, each.hourly) for each in found.verdicts] == [("l4", 0.5), ("t4", 50)]
    with pytest.raises(InputError, match="there is no device 'l5' to set a price for"):
        onnxcost.budget("models/mnist_cnn_pytorch.onnx", ["l4"], prices={"l5": 0.5})
    with pytest.raises(InputError, match="there is no order 'speed': choose from price, cost"):
        onnxcost.budget("models/mnist_cnn_pytorch.onnx", ["l4"], order="speed")


def assessed(*devices: object, named: bool = False, **limits: object) -> Assessment:
    return assess("m", MATMUL, [Roofline(device) for device in devices], limits_of(limits), are_named=named)  # type: ignore[arg-type]


def test_the_mildest_change_that_makes_it_fit() -> None:
    """400.8 µs at the least in float32, half of that in float16, a quarter in int8."""
    halves = assessed(BOX, latency="480us")
    assert [(remedy.change, remedy.verdict.level) for remedy in halves.verdicts[0].remedies] == [("float16", FITS)]
    eighths = assessed(BOX, latency="270us")
    assert [(remedy.change, remedy.verdict.level) for remedy in eighths.verdicts[0].remedies] == [("int8", FITS)]
    sixteenths = assessed(BOX, latency="110us")
    assert [(remedy.change, remedy.verdict.level) for remedy in sixteenths.verdicts[0].remedies] == [("int8", MARGINAL)]
    assert assessed(BOX, latency="10us").verdicts[0].remedies == ()
    assert assessed(BOX, latency="10ms").verdicts[0].remedies == ()


def test_only_devices_that_were_asked_for_fail() -> None:
    assert assessed(BOX, latency="1us").missed == ()
    assert [each.name for each in assessed(BOX, named=True, latency="1us").missed] == ["box"]
    assert assessed(BOX, named=True, latency="500us").missed == ()
    assert [check.what for check in assessed(params="10").failed] == ["params"]


def test_from_python_it_is_what_the_command_says() -> None:
    found = onnxcost.budget("models/mnist_cnn_pytorch.onnx", ["raspberry-pi-5-8gb"], fps=30, latency=0.033, batch=2)
    assert [(each.name, each.level, each.prediction.batch) for each in found.verdicts] == [("raspberry-pi-5-8gb", "fits", 2)]
    assert found.limits == Limits(fps=30, latency=0.033)
    assert repr(found) == "<Assessment: models/mnist_cnn_pytorch.onnx: 1 fits>"
    assert [row["device"] for row in found.to_records()] == ["raspberry-pi-5-8gb"]
    assert "raspberry-pi-5-8gb" in found._repr_html_()
    with pytest.raises(InputError, match="there is no limit 'speed'"):
        onnxcost.budget("models/mnist_cnn_pytorch.onnx", speed=3)
