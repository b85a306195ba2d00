"""Pelton: `pelton bench` in process, `pelton serve` over HTTP."""
import json
import tempfile
import time
from functools import lru_cache
from pathlib import Path

from engine import REPEATS, NotRun, ServerSession, Session, StartSession, free_port
from machine import clean_environment, cpu_flags, output_of

FORCED = ("avx2", "avx512")  # ways that hold both sides to less than the CPU has


@lru_cache(maxsize=None)
def serve_options(binary: str) -> str:
    return output_of([binary, "serve", "--help"])


def speculation(context, mode: str) -> list:
    """Every row but one runs without speculation, on every engine."""
    return ["--speculation", mode] if "--speculation" in serve_options(context.pelton) else []


def bench_command(context, model, job) -> list:
    prefill = next((r for r in job.rows if r.kind == "prefill"), None)
    decode = [r for r in job.rows if r.kind == "decode"]
    words = [context.pelton, "bench", "--model", model, "--threads", context.threads,
             "--repeats", 1 if job.way == "depth" else REPEATS,
             "--prompt", prefill.prompt if prefill else 0,
             "--generate", decode[0].output if decode else 0, "--json"]
    if job.way == "depth":
        words += ["--depth", decode[0].depth]
    return words + (["--streams", ",".join(str(r.streams) for r in decode)] if decode else [])


def need_isa(isa: str) -> None:
    """NotRun where the row would show nothing that others do not, or cannot be shown."""
    flags = cpu_flags()
    if isa == "avx2" and "avx512f" not in flags:
        raise NotRun("this CPU has AVX2 and no more: the model's other rows are this one")
    if isa == "avx512" and "avx512f" not in flags:
        raise NotRun("this CPU has no AVX-512")
    if isa == "avx512" and "amx_tile" not in flags:
        raise NotRun("this CPU has AVX-512 and no more: the model's other rows are this one")


def forced_table(isa: str) -> str:
    """The name of Pelton's table for it."""
    return "avx512_vnni" if isa == "avx512" and "avx512_vnni" in cpu_flags() else isa


class BenchSession(Session):
    def __init__(self, context, model, job, variables: dict = None):
        self.job, self.variables = job, variables or {}
        self.argv = bench_command(context, model, job)
        self.commands = [[f"{k}={v}" for k, v in self.variables.items()] + self.argv]

    def measure(self) -> dict:
        got = json.loads(output_of(self.argv, env={**clean_environment(), **self.variables}))["results"]
        out = {}
        for row in self.job.rows:
            for one in got:
                same = one["name"].startswith(row.kind) and one["streams"] == row.streams
                if same:
                    out[row.id] = one["tokens_per_s"]
        return out


def packed_folder(context, job) -> str:
    """Packed weights are kept for the row about starts alone: writing them would disturb the others."""
    return str(Path(context.env["PELTON_CACHE"]) / "bench" / "packed") if job.way == "start" else "off"


def wait_settled(folder: Path, limit_s: float = 120, still_s: float = 2) -> None:
    """Until nothing in the folder has changed for a while; it may stay empty only until the limit."""
    def look():
        return {p.name: p.stat().st_size for p in folder.glob("*")} if folder.is_dir() else {}
    began = changed = time.monotonic()
    last = look()
    while time.monotonic() - began < limit_s:
        time.sleep(min(0.2, still_s / 4))
        if (now := look()) != last:
            last, changed = now, time.monotonic()
        if last and time.monotonic() - changed > still_s:
            return


def serve_command(context, model, job, port, mode: str) -> list:
    streams = max(r.streams for r in job.rows)
    words = [context.pelton, "serve", "--model", model, "--port", port, "--threads", context.threads,
             "--max-running", max(64, streams), "--ctx", 2048, "--state-dir",
             tempfile.gettempdir() + "/pelton-bench-state", *speculation(context, mode)]
    if "--packed-cache" in serve_options(context.pelton):
        words += ["--packed-cache", packed_folder(context, job)]
    return words


def start_session(context, model, job) -> Session:
    folder = packed_folder(context, job)
    keeps = "--packed-cache" in serve_options(context.pelton)
    return StartSession(job, lambda port: serve_command(context, model, job, port, "off"),
                        (lambda: wait_settled(Path(folder))) if keeps else None)


class Pelton:
    """`mode`: of the row on self-repeating text; every other row runs with speculation off."""

    def __init__(self, name: str = "pelton", mode: str = "auto"):
        self.name, self.mode = name, mode

    def open(self, context, model, job) -> Session:
        if job.way in ("process", "depth"):
            return BenchSession(context, model, job)
        if job.way in FORCED:
            need_isa(job.way)
            return BenchSession(context, model, job, {"PELTON_FORCE_ISA": forced_table(job.way)})
        if job.way == "start":
            return start_session(context, model, job)
        if job.way == "repeat" and not speculation(context, self.mode):
            raise NotRun("this pelton has no --speculation")
        port = free_port()
        mode = self.mode if job.way == "repeat" else "off"
        return ServerSession(context, job, serve_command(context, model, job, port, mode), port)
