"""How well the time to the first token and the time per token are predicted, compared with measurements by onnxcost and by
onnxruntime-genai.

    python -m scripts.benchmark.decoding [--calibration here.toml] [--genai PYTHON] [--rounds N] FOLDER ...

Each FOLDER has a decoder, model.onnx. Each round measures ``onnxcost.run_llm`` and then, for a folder with a genai_config.json,
the loop of onnxruntime-genai's benchmark (benchmark/python/benchmark_e2e.py: append_tokens for the prompt, then
generate_next_token), run by PYTHON, which has onnxruntime-genai installed. Its tokens include the choice of the next one. The
output has medians over the rounds and the predictions of the calibrated machine.

Set-up: ``pip install .``, in another environment ``pip install onnxruntime-genai``. Models of a realistic size:

    python -m scripts.export.decoders weights FOLDER      with a configuration of 20 M parameters or more
    python -m onnxruntime_genai.models.builder -i FOLDER/llama -o OUTPUT -p int4 -e cpu
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import onnxcost
from onnxcost.generation.decoder import StepSizes, read_decoder
from onnxcost.generation.run import predict_turns, run_llm
from onnxcost.hardware.calibration.model import Calibration, load
from onnxcost.hardware.calibration.predictor import Calibrated
from onnxcost.spec import ModelSpec

GENAI = """
import json, sys, time
import numpy as np
import onnxruntime_genai as og
folder, prompt, tokens, threads = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
config = og.Config(folder)
config.overlay(json.dumps({"model": {"decoder": {"session_options": {"intra_op_num_threads": threads}}}}))
model = og.Model(config)
ids = np.random.default_rng(0).integers(3, 300, (1, prompt)).astype(np.int32)
prompts, steps = [], []
for attempt in range(4):
    params = og.GeneratorParams(model)
    params.set_search_options(max_length=prompt + tokens + 1, min_length=prompt + tokens + 1)
    generator = og.Generator(model, params)
    start = time.perf_counter()
    generator.append_tokens(ids)
    prompts.append(time.perf_counter() - start)
    generator.generate_next_token()
    for _ in range(tokens):
        start = time.perf_counter()
        generator.generate_next_token()
        steps.append(time.perf_counter() - start)
print(json.dumps({"prompts": prompts[1:], "tokens": steps[tokens:]}))
"""


@dataclass
class Times:
    """Medians of the rounds, in seconds: of a prompt, and of a token."""

    prompts: list[float] = field(default_factory=list)
    tokens: list[float] = field(default_factory=list)

    def add(self, prompts: list[float], tokens: list[float]) -> None:
        self.prompts.append(median(prompts))
        self.tokens.append(median(tokens))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--calibration", help="what 'onnxcost devices calibrate' wrote; without it, it is made now")
    parser.add_argument("--genai", help="a Python with onnxruntime-genai")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--prompt", type=int, default=256)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    machine = load(options.calibration) if options.calibration else onnxcost.calibrate(threads=(options.threads,))
    print("| decoder | | measured | predicted | error | onnxruntime-genai | ours / genai |")
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: |")
    for folder in options.folders:
        for line in rows(folder, machine, options):
            print(line, flush=True)
    return 0


def rows(folder: Path, machine: Calibration, options: argparse.Namespace) -> list[str]:
    """The lines of one decoder: the prompt, and a token."""
    model = folder / "model.onnx"
    ours, theirs = Times(), Times()
    for _ in range(options.rounds):
        found = run_llm(model, prompt=options.prompt, tokens=options.tokens, threads=options.threads)
        ours.add(found.turns[0].prompts.tolist(), found.turns[0].tokens.tolist())
        if options.genai and (folder / "genai_config.json").exists():
            asked = [str(folder), str(options.prompt), str(options.tokens), str(options.threads)]
            done = subprocess.run([options.genai, "-c", GENAI, *asked], capture_output=True, text=True, check=False)
            if done.returncode:
                print(f"{folder.name}: onnxruntime-genai: {(done.stderr.splitlines() or ['no reason'])[-1]}", file=sys.stderr)
            else:
                times = json.loads(done.stdout.splitlines()[-1])
                theirs.add(times["prompts"], times["tokens"])
    spec = ModelSpec(str(model))
    (speed,) = predict_turns(found, read_decoder(spec), spec, Calibrated(machine, options.threads), StepSizes(1, 1, 0))
    lines = []
    for name, latency, mine, other in (
        (f"{found.turns[0].context} tokens", speed.ttft, ours.prompts, theirs.prompts),
        ("a token", speed.step, ours.tokens, theirs.tokens),
    ):
        if not mine or latency is None:
            continue
        measured, predicted = median(mine), (latency.low + latency.high) / 2
        beside = f"{1e3 * median(other):.3f} ms | {measured / median(other):.2f}" if other else "– | –"
        lines.append(
            f"| {folder.name} | {name} | {1e3 * measured:.3f} ms | {1e3 * predicted:.3f} ms | "
            f"{100 * (predicted / measured - 1):+.0f} % | {beside} |"
        )
    return lines


if __name__ == "__main__":
    sys.exit(main())
