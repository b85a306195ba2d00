#!/usr/bin/env python3
"""Streams decode, a long prompt arrives: how long do the streams stand still?

    bench/load/stall.py [--model FILE.gguf] [--streams 8] [--prompt 5500] [--peer] [--check]

Starts `pelton serve` on the model (default: a Llama-3.2-1B shape with random weights, generated once)
and, with --peer, llama-server on the same file. Each stream's tokens are forced (logit_bias), so that
every step shows as text. --check ends with an error unless the largest gap is within
max(2.5 × the usual gap, 1.25 × the target) and the mix reaches 1.5 × the peer's tokens a second.
"""
import argparse
import http.client
import json
import os
import pathlib
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
READY_S = 300
CALM_S = 6


def paths():
    text = subprocess.run(["bash", "-c", "source tools/setup/paths.sh && env -0"], cwd=ROOT,
                          check=True, capture_output=True).stdout.decode()
    return dict(item.split("=", 1) for item in text.split("\0") if "=" in item)


def shape(env):
    """The 1B shape, generated once."""
    model = pathlib.Path(env["PELTON_CACHE"]) / "generated" / "llama-3.2-1b.Q4_0.gguf"
    if not model.exists():
        model.parent.mkdir(exist_ok=True)
        part = model.with_suffix(".part")
        generate = pathlib.Path(env["PELTON_BIN"]).parent / "pelton-generate"
        subprocess.run([generate, "--shape", "llama-3.2-1b", "--type", "Q4_0", part], check=True)
        part.rename(model)
    return str(model)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Engine:
    """A server process; ended with the block."""

    def __init__(self, name, words, port):
        self.name, self.words, self.port = name, words, port

    def __enter__(self):
        self.process = subprocess.Popen(self.words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + READY_S
        while time.monotonic() < end and self.process.poll() is None:
            try:
                if self.call("GET", "/health")[0] == 200:
                    return self
            except OSError:
                pass
            time.sleep(0.2)
        self.__exit__()
        sys.exit(f"{self.name} did not start: {' '.join(map(str, self.words))}")

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()

    def call(self, method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=600)
        try:
            connection.request(method, path, body=body and json.dumps(body),
                               headers={"content-type": "application/json"})
            reply = connection.getresponse()
            return reply.status, reply.read()
        finally:
            connection.close()

    def json(self, method, path, body=None):
        return json.loads(self.call(method, path, body)[1])


class Stream(threading.Thread):
    """One decoding stream; keeps the moment of every token."""

    def __init__(self, engine, salt, token, tokens):
        super().__init__(daemon=True)
        self.engine, self.times = engine, []
        self.body = {"prompt": [salt + 3, 5, 7], "max_tokens": tokens, "stream": True, "temperature": 0,
                     "ignore_eos": True, "logit_bias": {str(token): 100}}

    def run(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.engine.port, timeout=600)
        connection.request("POST", "/v1/completions", body=json.dumps(self.body),
                           headers={"content-type": "application/json"})
        reply = connection.getresponse()
        while line := reply.readline():
            if line.startswith(b"data: {") and b'"text":""' not in line:
                self.times.append(time.monotonic())

    def gaps(self, begin, end):
        inside = [t for t in self.times if begin <= t <= end]
        return [b - a for a, b in zip(inside, inside[1:])]


def measure(engine, args):
    token = engine.json("POST", "/tokenize", {"content": "a"})["tokens"][-1]
    streams = [Stream(engine, i, token, args.tokens) for i in range(args.streams)]
    for stream in streams:
        stream.start()
    end = time.monotonic() + READY_S
    while min(len(s.times) for s in streams) < 5 and time.monotonic() < end:
        time.sleep(0.05)
    calm = time.monotonic()
    time.sleep(CALM_S)
    arrival = time.monotonic()
    status, _ = engine.call("POST", "/v1/completions",
                            {"prompt": [7 + i % 200 for i in range(args.prompt)], "max_tokens": 1})
    done = time.monotonic()
    if status != 200:
        sys.exit(f"{engine.name}: the long prompt was answered with {status}")
    target_s = 0
    if engine.name == "pelton":
        target_s = engine.json("GET", "/v1/engine")["models"][0]["pace"]["target_ms"] / 1000
    usual = [g for s in streams for g in s.gaps(calm, arrival)]
    beside = [g for s in streams for g in s.gaps(arrival - 0.5, done + 0.5)]
    between = sum(1 for s in streams for t in s.times if arrival <= t <= done)
    return {"usual": statistics.median(usual), "usual_worst": max(usual), "worst": max(beside),
            "median": statistics.median(beside), "target": target_s, "first_token": done - arrival,
            "rate": (between + args.prompt) / (done - arrival)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model")
    parser.add_argument("--streams", type=int, default=8)
    parser.add_argument("--prompt", type=int, default=5500)
    parser.add_argument("--tokens", type=int, default=1500, help="of each stream")
    parser.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--peer", action="store_true", help="llama-server too (bench/peers/build.sh)")
    parser.add_argument("--check", action="store_true")
    args = parser.parse_args()
    env = paths()
    model = args.model or shape(env)
    context = args.prompt + 64
    port = free_port()
    engines = [Engine("pelton", [env["PELTON_BIN"], "serve", "--model", f"m={model}", "--port", str(port),
                                 "--ctx", str(max(context, args.tokens + 64)), "--threads",
                                 str(args.threads)], port)]
    if args.peer:
        folder = subprocess.run([ROOT / "bench/peers/build.sh"], check=True, capture_output=True,
                                text=True).stdout.strip()
        port = free_port()
        slots = args.streams + 1
        engines.append(Engine("llama.cpp", [f"{folder}/llama-server", "-m", model, "--port", str(port),
                                            "-t", str(args.threads), "-np", str(slots), "-fa", "on",
                                            "-c", str(slots * context), "--no-webui"], port))
    results = {}
    print("| engine | usual gap | median beside the prompt | worst gap | target | prompt's first token | "
          "tokens/s in the mix |\n|---|---:|---:|---:|---:|---:|---:|")
    for engine in engines:
        with engine:
            r = results[engine.name] = measure(engine, args)
        print(f"| {engine.name} | {r['usual'] * 1e3:.0f} ms | {r['median'] * 1e3:.0f} ms | "
              f"{r['worst'] * 1e3:.0f} ms | {r['target'] * 1e3:.0f} ms | {r['first_token']:.1f} s | "
              f"{r['rate']:.0f} |", flush=True)
    ours = results["pelton"]
    bound = max(2.5 * ours["usual"], 1.25 * ours["target"])
    good = ours["worst"] <= bound
    print(f"\nworst gap {ours['worst'] * 1e3:.0f} ms, bound {bound * 1e3:.0f} ms: "
          f"{'held' if good else 'BROKEN'}")
    if "llama.cpp" in results:
        ratio = ours["rate"] / results["llama.cpp"]["rate"]
        good = good and ratio >= 1.5
        print(f"tokens/s in the mix: {ratio:.2f} times llama.cpp's")
    return 1 if args.check and not good else 0


if __name__ == "__main__":
    sys.exit(main())
