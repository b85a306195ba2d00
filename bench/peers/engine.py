"""What every engine of the table gives: sessions, which measure a job's rows once each time they are
asked. A session stays open over all rounds, so that no round pays for a start."""
import http.client
import json
import shlex
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from machine import clean_environment, output_of

START_S = 300
STOP_S = 20
REPEATS = 3  # of what one process measures in a round; its median counts, for every engine


class NotRun(Exception):
    """A row that cannot be measured here; the text says why."""


class Session:
    """Measures the rows of one job. `commands` are what a reader would type."""

    commands: list = []

    def measure(self) -> dict:
        """Row id → figure (tokens/s, or seconds for a start)."""
        raise NotImplementedError

    def close(self) -> None:
        pass


class Process:
    """A server on a free port of loopback, ended by its own id."""

    def __init__(self, argv: list, port: int, env: dict = None):
        self.argv = [str(word) for word in argv]
        self.port = port
        self.log = tempfile.TemporaryFile(mode="w+")
        self.started = time.monotonic()
        self.process = subprocess.Popen(self.argv, stdout=self.log, stderr=subprocess.STDOUT,
                                        env={**clean_environment(), **(env or {})})

    def last_words(self) -> str:
        self.log.seek(0)
        return self.log.read()[-1500:]

    def wait_accepting(self, body: dict) -> float:
        """Seconds from exec until a completion was answered with 200."""
        text = json.dumps(body)
        while time.monotonic() - self.started < START_S:
            if self.process.poll() is not None:
                raise NotRun(f"{Path(self.argv[0]).name} ended with {self.process.returncode}: "
                             f"{self.last_words()}")
            try:
                connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=START_S)
                connection.request("POST", "/v1/completions", text, {"content-type": "application/json"})
                reply = connection.getresponse()
                reply.read()
                connection.close()
                if reply.status == 200:
                    return time.monotonic() - self.started
            except OSError:
                pass
            time.sleep(0.005)
        raise NotRun(f"{Path(self.argv[0]).name} was not ready after {START_S} s: {self.last_words()}")

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.log.close()


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


FIRST_REQUEST = {"prompt": [40, 41, 42, 43], "max_tokens": 1, "temperature": 0}


class ServerSession(Session):
    """Rows of several streams, asked over HTTP with pelton-load."""

    def __init__(self, context, job, serve: list, port: int, extra: dict = None, env: dict = None):
        self.context, self.job, self.port, self.extra = context, job, port, extra or {}
        self.commands = [serve] + [self.load_command(row) for row in job.rows]
        self.server = Process(serve, port, env)
        try:
            self.server.wait_accepting(FIRST_REQUEST)
            for row in job.rows:  # warm-up
                output_of(self.load_command(row, self.context.next_seed(), output=2))
        except BaseException:
            self.server.close()
            raise

    def load_command(self, row, seed="$RANDOM", output: int = 0) -> list:
        words = [self.context.load, "--url", f"http://127.0.0.1:{self.port}", "--json", "--together",
                 "--streams", row.streams, "--seed", seed,
                 "--output-tokens", output or (1 if row.kind == "prefill" else row.output)]
        if self.job.way == "repeat":
            words += ["--prompt-file", Path(__file__).with_name("repeating.txt")]
        else:
            low, high = self.context.token_range(self.job.model)
            words += ["--prompt-tokens", row.prompt or 4, "--token-range", f"{low}-{high}"]
        if self.extra:
            words += ["--extra", json.dumps(self.extra)]
        return words

    def measure(self) -> dict:
        out = {}
        for row in self.job.rows:
            words = self.load_command(row, self.context.next_seed())
            got = json.loads(output_of(words))
            rate = got[f"{row.kind}_tokens_per_s"]
            if not rate:
                raise RuntimeError(f"{shlex.join(map(str, words))}: {got}")
            self.context.note_load_share(got["cpu_share"])
            out[row.id] = rate
        return out

    def close(self) -> None:
        self.server.close()


class StartSession(Session):
    """Seconds from exec to the first accepted request. One start before the first counts for none; in
    it the engine may leave on disk what later starts use, for which `settle` waits."""

    def __init__(self, job, command_at, settle=None):
        self.job, self.command_at = job, command_at
        self.commands = [command_at("PORT")]
        self.measure(settle)

    def measure(self, settle=None) -> dict:
        port = free_port()
        server = Process(self.command_at(port), port)
        try:
            seconds = server.wait_accepting(FIRST_REQUEST)
            if settle:
                settle()
            return {row.id: seconds for row in self.job.rows}
        finally:
            server.close()

