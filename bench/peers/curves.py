"""What only Pelton is asked: its shares of the machine's limits, and how a step's cost grows."""
import json
from pathlib import Path

import models
import plots
from machine import output_of, say

BATCHES = (1, 2, 4, 8, 16, 24, 32, 48, 64)
DEPTHS = (0, 1024, 2048, 4096, 6144, 8128)
SHARES = ("smollm2", "llama-1b-q4_0")


def bench(context, model: str, *options) -> dict:
    path = models.model_file(model, context.env)
    return json.loads(output_of([context.pelton, "bench", "--model", path, "--threads", context.threads,
                                 "--json", *options]))


def measure(context, quick: bool) -> dict:
    out = {"shares": {}}
    for model in SHARES[:1] if quick else SHARES:
        say(f"shares of the machine's limits: {model}")
        out["shares"][model] = bench(context, model, "--shares", "--streams", "1,8,32", "--generate", 24)
    if quick:
        return out
    say("cost of a step against the batch and the context")
    batch = bench(context, "smollm2", "--prompt", 0, "--generate", 24,
                  "--streams", ",".join(map(str, BATCHES)))
    out["batch"] = [[one["streams"], one["ms_per_step"]] for one in batch["results"]]
    depth = bench(context, "smollm2", "--prompt", 64, "--generate", 24, "--repeats", 3,
                  "--depth", ",".join(map(str, DEPTHS)))
    out["context"] = [[one["depth"], one["ms_per_step"]] for one in depth["results"]
                      if one["kind"] == "decode"]
    out["prefill"] = long_prefill(context)
    return out


def long_prefill(context) -> list:
    """Prefill of whole prompts of 512 and of 8,192 tokens."""
    return [[prompt, bench(context, "smollm2", "--prompt", prompt, "--generate", 0, "--repeats", repeats)
             ["results"][0]["tokens_per_s"]] for prompt, repeats in ((512, 5), (8192, 2))]


CHARTS = (
    ("batch", "step-by-batch.svg", "SmolLM2-135M Q4_1: a decoding step against the batch", "streams"),
    ("context", "step-by-context.svg", "SmolLM2-135M Q4_1: a step of one stream against its context",
     "tokens of context"),
)


def series_of(results: dict, curve: str) -> dict:
    return {cpu: [tuple(p) for p in machine["curves"][curve]]
            for cpu, machine in results["machines"].items() if machine["curves"].get(curve)}


def pictures(results: dict) -> list:
    """(title, file name) of the charts that the results can fill."""
    return [(title, name) for curve, name, title, _ in CHARTS if series_of(results, curve)]


def draw(results: dict, folder: Path) -> list:
    for curve, name, title, x_name in CHARTS:
        if series := series_of(results, curve):
            (folder / name).write_text(plots.chart(title, x_name, "ms a step", series))
    return pictures(results)
