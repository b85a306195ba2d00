#!/usr/bin/env python3
"""Many times more is asked than can be served: how many requests still finish in good time?

    bench/load/overload.py [--model FILE.gguf] [--seconds 30] [--times 10] [--check]

Requests arrive whether or not earlier ones are done (Poisson). A request is good when its first token
came within 2 × what an unloaded server needs, and the rest at --tbt-ms a token or faster. The rate of
good ones is measured at growing rates of arrival, whose best is the peak, then at --times the rate of
that peak for --seconds; then a single request, within 5 s of the end. --check ends with an error unless
90 % of the peak is kept, refusals have a p99 below 50 ms, the server is back to normal within 5 s, and
its memory grew by no more than its KV cache and 64 MiB.

The client shares the machine's cores with the server; its share is printed.
"""
import argparse
import asyncio
import json
import os
import random
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import time

from stall import ROOT, free_port, paths

STEP_S, GROWTH = 8, 1.35
UNLOADED = 12
SLO_FIRST = 2.0
KV_BYTES = 256 << 20


class Asked:
    """What came of one request. Seconds; `status` 0: the connection failed."""

    def __init__(self):
        self.status, self.first, self.last, self.tokens, self.total = 0, None, None, 0, 0.0


async def ask(port, prompt, output):
    got, began = Asked(), time.monotonic()
    body = json.dumps({"prompt": prompt, "max_tokens": output, "ignore_eos": True, "temperature": 0,
                       "stream": True}).encode()
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return got
    try:
        writer.write(b"POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
                     b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        got.status = int((await reader.readline()).split()[1])
        while line := await reader.readline():
            if got.status != 200 or not line.startswith(b"data: {"):
                continue
            now = time.monotonic() - began
            got.first = got.first or now
            got.last, got.tokens = now, got.tokens + 1
    except (OSError, IndexError, ValueError):
        got.status = 0
    finally:
        writer.close()
    got.total = time.monotonic() - began
    return got


class Load:
    def __init__(self, port, args):
        self.port, self.args, self.random = port, args, random.Random(args.seed)

    def prompt(self):  # no two alike: the prefix cache must not help
        return [self.random.randint(1000, 40000) for _ in range(self.args.prompt)]

    async def one(self):
        return await ask(self.port, self.prompt(), self.args.output)

    async def at(self, rate, seconds):
        """All that arrived in `seconds`, once they are answered."""
        running, end = [], time.monotonic() + seconds
        due = time.monotonic()
        while (due := due + self.random.expovariate(rate)) < end:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            running.append(asyncio.create_task(self.one()))
        return await asyncio.gather(*running)


def good(asked, first_max, gap_max):
    done = [a for a in asked if a.status == 200 and a.first is not None and a.tokens > 1]
    return sum(a.first <= first_max and (a.last - a.first) / (a.tokens - 1) <= gap_max for a in done)


def quantile(values, q):
    values = sorted(values)
    return values[int(q * (len(values) - 1))] if values else float("nan")


def resident(pid):
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmRSS"))


async def peak_of(load, args, first_max):
    best = (0.0, 0.0)
    rate, falling = args.start_rate, 0
    while falling < 2:
        asked = await load.at(rate, STEP_S)
        kept = good(asked, first_max, args.tbt_ms * 1e-3) / STEP_S
        print(f"  {rate:6.1f} a second arrive: {kept:5.1f} good, "
              f"{sum(a.status != 200 for a in asked) / STEP_S:5.1f} refused", flush=True)
        falling = 0 if kept > best[0] else falling + 1
        best = max(best, (kept, rate))
        rate *= GROWTH
    return best


async def measure(port, pid, args):
    load = Load(port, args)
    await load.one()
    first_max = SLO_FIRST * statistics.median([(await load.one()).first for _ in range(UNLOADED)])
    print(f"unloaded: first token after {first_max / SLO_FIRST * 1e3:.0f} ms; good: within "
          f"{first_max * 1e3:.0f} ms, then at most {args.tbt_ms:.0f} ms a token", flush=True)
    peak, rate = await peak_of(load, args, first_max)
    before, used = resident(pid), resource.getrusage(resource.RUSAGE_SELF).ru_utime
    asked = await load.at(args.times * rate, args.seconds)
    ended = time.monotonic()
    used = resource.getrusage(resource.RUSAGE_SELF).ru_utime - used
    kept = good(asked, first_max, args.tbt_ms * 1e-3) / args.seconds
    refused = [a.total for a in asked if a.status in (429, 503)]
    back_s = None
    while back_s is None and time.monotonic() - ended < 30:
        if ((await load.one()).first or 9) <= first_max:
            back_s = time.monotonic() - ended
    return {"peak_per_s": peak, "at_rate": rate, "offered_per_s": args.times * rate, "good_per_s": kept,
            "kept": kept / peak if peak else 0.0, "asked": len(asked), "answered": sum(a.status == 200 for a in asked),
            "failed": sum(a.status not in (200, 429, 503) for a in asked),
            "refusal_p99_ms": quantile(refused, 0.99) * 1e3, "first_p95_ms":
            quantile([a.first for a in asked if a.first], 0.95) * 1e3, "back_s": back_s,
            "grown_mib": (resident(pid) - before) / 2**20, "client_cpu": used / args.seconds}


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model")
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--times", type=float, default=10)
    parser.add_argument("--prompt", type=int, default=512, help="tokens")
    parser.add_argument("--output", type=int, default=48, help="tokens")
    parser.add_argument("--tbt-ms", type=float, default=60)
    parser.add_argument("--serve", default="--max-queue-s 0.1", metavar="OPTIONS",
                        help="of pelton serve; default: %(default)s")
    parser.add_argument("--start-rate", type=float, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--check", action="store_true")
    return parser.parse_args()


def main():
    args = parse()
    env = paths()
    port = free_port()
    with tempfile.TemporaryDirectory() as state, open(os.path.join(state, "log"), "w") as log:
        server = subprocess.Popen([env["PELTON_BIN"], "serve", "--model", args.model or env["PELTON_MODEL_SMOLLM2"],
                                   "--port", str(port), "--ctx", "2048", "--state-dir", state,
                                   "--tbt-target-ms", str(args.tbt_ms), "--kv-bytes-max", str(KV_BYTES),
                                   *args.serve.split()], cwd=ROOT, stdout=log, stderr=log)
        try:
            for _ in range(300):
                with socket.socket() as s:
                    if s.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.1)
            out = asyncio.run(measure(port, server.pid, args))
        finally:
            server.terminate()
            server.wait(60)
    print(json.dumps(out, indent=1))
    held = (out["kept"] >= 0.9 and out["refusal_p99_ms"] < 50 and (out["back_s"] or 99) <= 5
            and out["grown_mib"] < KV_BYTES / 2**20 + 64 and out["failed"] == 0)
    print("holds" if held else "DOES NOT HOLD")
    return 1 if args.check and not held else 0


if __name__ == "__main__":
    sys.exit(main())
