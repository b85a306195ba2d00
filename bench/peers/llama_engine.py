"""llama.cpp: llama-bench and llama-batched-bench in process, llama-server over HTTP."""
import json
from statistics import median

from engine import REPEATS, ServerSession, Session, StartSession, free_port
from machine import output_of
from pelton_engine import FORCED, need_isa

WARM_UP = 16  # tokens of a prompt before the one that counts; llama-bench's own warm-up takes twice as long


class BenchSession(Session):
    def __init__(self, context, model, job, folder):
        self.job = job
        prefill = next((r for r in job.rows if r.kind == "prefill"), None)
        decode = next((r for r in job.rows if r.kind == "decode"), None)
        self.commands = [[folder / "llama-bench", "-m", model, "-t", context.threads, "-fa", "1",
                          "-r", REPEATS, "--no-warmup", "-o", "json",
                          "-p", f"{WARM_UP},{prefill.prompt}" if prefill else WARM_UP,
                          "-n", decode.output if decode else 0]]

    def measure(self) -> dict:
        got = json.loads(output_of(self.commands[0]))
        out = {}
        for row in self.job.rows:
            for one in got:
                if row.kind == "prefill" and one["n_prompt"] == row.prompt:
                    out[row.id] = median(one["samples_ts"])
                if row.kind == "decode" and one["n_gen"] == row.output and one["n_prompt"] == 0:
                    out[row.id] = median(one["samples_ts"])
        return out


class DepthSession(Session):
    """The prompt is computed once and copied to each stream's own memory, as `pelton bench` does."""

    def __init__(self, context, model, job):
        self.job = job
        first = job.rows[0]
        streams = [r.streams for r in job.rows]
        self.commands = [[context.llama / "llama-batched-bench", "-m", model, "-t", context.threads,
                          "-fa", "1", "-b", 2048, "-ub", 512, "-pps", "--output-format", "jsonl",
                          "-npp", first.depth, "-ntg", first.output,
                          "-npl", ",".join(str(s) for s in streams),
                          "-c", max(streams) * (first.depth + first.output + 32)]]

    def measure(self) -> dict:
        lines = [json.loads(line) for line in output_of(self.commands[0]).splitlines()
                 if line.startswith("{")]
        return {row.id: line["speed_tg"] for row in self.job.rows for line in lines
                if line["pl"] == row.streams}


def serve_command(context, model, job, port) -> list:
    streams = max(r.streams for r in job.rows)
    words = [context.llama / "llama-server", "-m", model, "--host", "127.0.0.1", "--port", port,
             "-t", context.threads, "-tb", context.threads, "-fa", "on", "--parallel", streams,
             "-c", 512 * max(4, streams), "-b", 2048, "-ub", 512, "--cont-batching", "--no-webui",
             "--cache-ram", 0]
    if job.way == "repeat":
        words += ["--spec-type", "ngram-simple"]
    return words


class LlamaCpp:
    name = "llama.cpp"

    def open(self, context, model, job) -> Session:
        if job.way == "process":
            return BenchSession(context, model, job, context.llama)
        if job.way in FORCED:
            need_isa(job.way)
            return BenchSession(context, model, job, context.build_llama(job.way))
        if job.way == "depth":
            return DepthSession(context, model, job)
        if job.way == "start":
            return StartSession(job, lambda port: serve_command(context, model, job, port))
        port = free_port()
        return ServerSession(context, job, serve_command(context, model, job, port), port,
                             extra={"cache_prompt": False})
