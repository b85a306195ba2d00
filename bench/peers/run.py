#!/usr/bin/env python3
"""Pelton against llama.cpp on the same file, in pairs, and a Markdown table of the result.

    bench/peers/run.py [--model FILE.gguf …] [--pairs 7] [--threads 2] [--prompt 512] [--generate 128]
                       [--out docs/measurements/peers.md]

Speed on a shared machine drifts, so the two never run in blocks: A B, B A, A B, … The figure that
counts is the median over pairs of Pelton's tokens a second divided by llama.cpp's; its spread (the
quartiles) says how far to trust it. Each run is a fresh process of one warm-up and one measurement.
"""
import argparse
import datetime
import json
import os
import platform
import shlex
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WIDE = 0.15  # quartiles further apart than this part of the median: the pair says little


def paths() -> dict:
    text = subprocess.run(["bash", "-c", "source tools/setup/paths.sh && env -0"], cwd=ROOT,
                          check=True, capture_output=True).stdout.decode()
    return dict(item.split("=", 1) for item in text.split("\0") if "=" in item)


def output_of(argv: list) -> str:
    done = subprocess.run(argv, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{shlex.join(argv)}\nended with {done.returncode}:\n{done.stderr[-2000:]}")
    return done.stdout


def pelton_command(binary: str, model: str, args) -> list:
    return [binary, "bench", "--model", model, "--prompt", str(args.prompt), "--generate",
            str(args.generate), "--repeats", "1", "--threads", str(args.threads), "--json"]


def llama_command(folder: str, model: str, args) -> list:
    return [f"{folder}/llama-bench", "-m", model, "-t", str(args.threads), "-p", str(args.prompt),
            "-n", str(args.generate), "-r", "1", "-o", "json"]


def pelton_speeds(argv: list) -> dict:
    rows = json.loads(output_of(argv))["results"]
    return {"prefill" if row["name"].startswith("prefill") else "decode": row["tokens_per_s"]
            for row in rows}


def llama_speeds(argv: list) -> dict:
    return {"prefill" if row["n_prompt"] > 0 else "decode": row["avg_ts"]
            for row in json.loads(output_of(argv))}


def quartiles(values: list) -> tuple:
    cuts = statistics.quantiles(values, n=4, method="inclusive")
    return cuts[0], statistics.median(values), cuts[2]


def cpu_name() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor() or "unknown CPU"


def commit() -> str:
    def git(*words):
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True).stdout.strip()
    dirty = "+changes" if git("status", "--porcelain", "--untracked-files=no") else ""
    return (git("rev-parse", "--short", "HEAD") or "unknown") + dirty


def measure(model: str, ours: list, theirs: list, pairs: int) -> list:
    samples = {"prefill": [], "decode": []}
    for pair in range(pairs):
        if pair % 2 == 0:
            a, b = pelton_speeds(ours), llama_speeds(theirs)
        else:
            b, a = llama_speeds(theirs), pelton_speeds(ours)
        for what in samples:
            samples[what].append((a[what], b[what]))
        print(f"  {Path(model).name} pair {pair + 1}/{pairs}: prefill {a['prefill']:.0f} : "
              f"{b['prefill']:.0f}, decode {a['decode']:.1f} : {b['decode']:.1f} tokens/s",
              file=sys.stderr, flush=True)
    rows = []
    for what, pairs_of_speed in samples.items():
        low, ratio, high = quartiles([a / b for a, b in pairs_of_speed])
        rows.append({"what": what, "pelton": statistics.median(a for a, _ in pairs_of_speed),
                     "llama": statistics.median(b for _, b in pairs_of_speed),
                     "ratio": ratio, "low": low, "high": high})
    return rows


def short(word: str, env: dict) -> str:
    """A path as a reader can use it."""
    return word.replace(env["PELTON_CACHE"], "$PELTON_CACHE").replace(str(ROOT) + "/", "")


def table(results: list, args, env: dict, commands: list) -> str:
    day = datetime.datetime.now(datetime.timezone.utc).date().isoformat()
    lines = [f"{day}, commit {commit()}, {cpu_name()}, {os.cpu_count()} CPUs; {args.threads} threads, "
             f"{args.pairs} interleaved pairs, medians. One stream; prefill of {args.prompt} tokens, "
             f"decoding of {args.generate}.", "",
             "| model | measurement | pelton, tokens/s | llama.cpp, tokens/s | ratio | quartiles |",
             "|---|---|---:|---:|---:|---|"]
    for model, rows in results:
        for row in rows:
            wide = " (wide: not to be trusted)" if row["high"] - row["low"] > WIDE * row["ratio"] else ""
            lines.append(f"| {Path(model).stem} | {row['what']} | {row['pelton']:.1f} | "
                         f"{row['llama']:.1f} | **{row['ratio']:.2f}** | "
                         f"{row['low']:.2f} … {row['high']:.2f}{wide} |")
    lines += ["", "```"] + [short(shlex.join(argv), env) for argv in commands] + ["```", ""]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", action="append", help="repeatable; default: the default model")
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--prompt", type=int, default=512)
    parser.add_argument("--generate", type=int, default=128)
    parser.add_argument("--out", type=Path, help="also write the table there")
    args = parser.parse_args()
    if args.pairs < 2:
        parser.error("--pairs must be at least 2")
    env = paths()
    folder = output_of([str(ROOT / "bench/peers/build.sh")]).strip()
    results, commands = [], []
    for model in args.model or [env["PELTON_MODEL_SMOLLM2"]]:
        ours = pelton_command(env["PELTON_BIN"], model, args)
        theirs = llama_command(folder, model, args)
        commands += [ours, theirs]
        results.append((model, measure(model, ours, theirs, args.pairs)))
    text = table(results, args, env, commands)
    print(text)
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text("# Against llama.cpp, in pairs\n\n" + text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
