"""Pelton: `pelton bench` in process, `pelton serve` over HTTP."""
import json
import tempfile
from functools import lru_cache

from engine import NotRun, ServerSession, Session, StartSession, free_port
from machine import output_of


@lru_cache(maxsize=None)
def serve_options(binary: str) -> str:
    return output_of([binary, "serve", "--help"])


def speculation(context, mode: str) -> list:
    """Every row but one runs without speculation, on every engine."""
    return ["--speculation", mode] if "--speculation" in serve_options(context.pelton) else []


def bench_command(context, model, job) -> list:
    prefill = next((r for r in job.rows if r.kind == "prefill"), None)
    decode = [r for r in job.rows if r.kind == "decode"]
    words = [context.pelton, "bench", "--model", model, "--threads", context.threads, "--repeats", 1,
             "--prompt", prefill.prompt if prefill else 0, "--generate", decode[0].output if decode else 0,
             "--json"]
    if job.way == "depth":
        words += ["--depth", decode[0].depth]
    return words + (["--streams", ",".join(str(r.streams) for r in decode)] if decode else [])


class BenchSession(Session):
    def __init__(self, context, model, job):
        self.job = job
        self.commands = [bench_command(context, model, job)]

    def measure(self) -> dict:
        got = json.loads(output_of(self.commands[0]))["results"]
        out = {}
        for row in self.job.rows:
            for one in got:
                same = one["name"].startswith(row.kind) and one["streams"] == row.streams
                if same:
                    out[row.id] = one["tokens_per_s"]
        return out


def serve_command(context, model, job, port, mode: str) -> list:
    streams = max(r.streams for r in job.rows)
    return [context.pelton, "serve", "--model", model, "--port", port, "--threads", context.threads,
            "--max-running", max(64, streams), "--ctx", 2048, "--state-dir",
            tempfile.gettempdir() + "/pelton-bench-state", *speculation(context, mode)]


class Pelton:
    """`mode`: of the row on self-repeating text; every other row runs with speculation off."""

    def __init__(self, name: str = "pelton", mode: str = "auto"):
        self.name, self.mode = name, mode

    def open(self, context, model, job) -> Session:
        if job.way in ("process", "depth"):
            return BenchSession(context, model, job)
        if job.way == "start":
            return StartSession(job, lambda port: serve_command(context, model, job, port, "off"))
        if job.way == "repeat" and not speculation(context, self.mode):
            raise NotRun("this pelton has no --speculation")
        port = free_port()
        mode = self.mode if job.way == "repeat" else "off"
        return ServerSession(context, job, serve_command(context, model, job, port, mode), port)
