"""The options of ``onnxcost budget``."""

from __future__ import annotations

import click

from onnxcost.cli.arguments import Whole
from onnxcost.cli.asked import OPTIONS as ASKED
from onnxcost.cli.asked import Command, Decorator, with_options

HELP = """Will MODEL run on that device, how fast, and what must change? Nothing is run: times are estimates from the device's
peak rates and bandwidth, never below a bound that no run undercuts.

Without --device the whole catalogue is gone through ('onnxcost devices' lists it), the cheapest that fits first. With it the
exit code is 1 if one of the devices misses the budget.

\b
Examples:
  onnxcost budget model.onnx --fps 30
  onnxcost budget model.onnx --latency 33ms --device raspberry-pi-5-8gb --device jetson-orin-nano-8gb
  onnxcost budget model.onnx --device 'jetson-orin-nano-8gb,memory=4GiB' --memory 512MiB
  onnxcost budget model.onnx --fps 30 --explain raspberry-pi-5-8gb
  onnxcost budget model.onnx --device-file here.toml --fps 30
  onnxcost budget --check

\b
A file for --check, onnxcost.toml (in pyproject.toml the tables are called tool.onnxcost.budget):
  [budget]
  devices = ["raspberry-pi-5-8gb"]
  [budget.models."model.onnx"]
  fps = 30
  memory = "512MiB"
"""


LIMITS = ("fps", "latency", "memory", "flash", "macs", "params")
OPTIONS: tuple[Decorator, ...] = (
    click.argument("model", required=False),
    *ASKED[2:],
    click.option("--fps", metavar="30", help="Items per second, at the least."),
    click.option("--latency", metavar="33ms", help="Time of one inference, at the most."),
    click.option("--memory", metavar="512MiB", help="Memory that the model may need."),
    click.option("--flash", metavar="2MiB", help="Flash that it may need on a microcontroller."),
    click.option("--macs", metavar="500M", help="Multiply-accumulates of one inference, at the most."),
    click.option("--params", metavar="5M", help="Parameters, at the most."),
    click.option("--batch", type=Whole(1), metavar="N", help="Items of one inference."),
    click.option("--device", "devices", multiple=True, metavar="NAME[,KEY=VALUE]", help="Only this device; repeatable."),
    click.option("--device-file", "files", multiple=True, metavar="FILE", help="A TOML file of devices; repeatable."),
    click.option("--all", "shows_all", is_flag=True, help="List all devices of the catalogue."),
    click.option("--explain", metavar="NAME", help="Show the sum behind one device's figures."),
    click.option("--check", "file", is_flag=False, flag_value="", metavar="[FILE]", help="Check the budgets of a file."),
)


def budget_options(command: Command) -> Command:
    """The options of OPTIONS."""
    return with_options(OPTIONS, command)
