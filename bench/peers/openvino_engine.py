"""OpenVINO GenAI, in process, from the same GGUF file. Two settings, because each is the better one
somewhere: its default (bf16 tiles where the CPU has them) favours prefill, f32 with dynamic
quantisation favours decoding."""
import json
import subprocess
import tempfile
from pathlib import Path
from statistics import median

from engine import REPEATS, NotRun, Session
from machine import clean_environment

DRIVER = Path(__file__).with_name("openvino_driver.py")
SETTINGS = {
    "openvino": (),
    "openvino-f32": ("INFERENCE_PRECISION_HINT=f32", "DYNAMIC_QUANTIZATION_GROUP_SIZE=64"),
}


class DriverSession(Session):
    def __init__(self, context, model, job, settings):
        self.context, self.job = context, job
        self.repeats = REPEATS if job.way == "process" else 1
        argv = [context.peers_python, DRIVER, model, context.threads, *settings]
        self.commands = [argv]
        self.log = tempfile.TemporaryFile(mode="w+")
        self.process = subprocess.Popen([str(word) for word in argv], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=self.log, text=True,
                                        env=clean_environment())
        try:
            self.read()
            for row in job.rows:  # it compiles what a shape needs when it first meets it
                self.ask({**self.question(row), "output": 1 if row.kind == "prefill" else 4})
        except BaseException:
            self.close()
            raise

    def read(self) -> dict:
        """The next line of JSON; the library itself may print others."""
        for line in self.process.stdout:
            if line.startswith("{"):
                return json.loads(line)
        self.process.wait()
        self.log.seek(0)
        words = self.log.read().strip().splitlines()
        raise NotRun(f"OpenVINO GenAI ended with {self.process.returncode}: "
                     f"{words[-1] if words else ''}"[:300])

    def ask(self, what: dict) -> dict:
        full = {**what, "ids": self.context.token_range(self.job.model), "seed": self.context.next_seed()}
        self.process.stdin.write(json.dumps(full) + "\n")
        self.process.stdin.flush()
        return self.read()

    @staticmethod
    def question(row) -> dict:
        if row.kind == "prefill":
            return {"streams": 1, "prompt": row.prompt, "output": 1}
        return {"streams": row.streams, "prompt": max(4, row.prompt), "output": row.output}

    def measure(self) -> dict:
        return {row.id: median(self.ask(self.question(row))[row.kind] for _ in range(self.repeats))
                for row in self.job.rows}

    def close(self) -> None:
        self.process.stdin.close()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self.log.close()


class OpenVino:
    def __init__(self, name: str):
        self.name = name

    def open(self, context, model, job) -> Session:
        if not context.peers_python:
            raise NotRun("no Python environment of the peers (bench/peers/venv.sh makes it)")
        return DriverSession(context, model, job, SETTINGS[self.name])
