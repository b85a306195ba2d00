"""The program as a process."""
import os
import re
import signal
import socket
import subprocess
import tempfile
import threading
import time


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Server:
    """`pelton serve` on a free port of loopback; a context manager that ends it with SIGTERM.

    `exit_code` of the end is checked to be 0 unless the test has ended the process itself.
    """

    def __init__(self, model="sim:?rate=1000&length=20", *options, env=None, ready_s=60,
                 preexec_fn=None):
        self.binary = os.environ["PELTON_BIN"]
        self.log = tempfile.TemporaryFile(mode="w+")
        self.state = tempfile.TemporaryDirectory()
        models = [model] if isinstance(model, str) else model
        words = [self.binary, "serve", "--port", "0", "--state-dir", self.state.name]
        for m in models:
            words += ["--model", m]
        full_env = {k: v for k, v in os.environ.items() if not k.startswith("PELTON_")}
        full_env["PELTON_PACKED_CACHE"] = "off"  # tests leave nothing in the user's folders
        full_env.update(env or {})
        self.started = time.monotonic()
        self.process = subprocess.Popen(words + list(options), stdout=subprocess.PIPE,
                                        stderr=self.log, text=True, env=full_env,
                                        preexec_fn=preexec_fn)
        self.output = ""
        self.port = self._wait_ready(ready_s)
        self.ready_s = time.monotonic() - self.started

    def _wait_ready(self, ready_s):
        watchdog = threading.Timer(ready_s, self.process.kill)
        watchdog.start()
        try:
            for line in self.process.stdout:
                self.output += line
                if "try: curl" in line:
                    return int(re.search(r"ready in .* on http://\S+:(\d+)", self.output).group(1))
        finally:
            watchdog.cancel()
        code = self.process.wait()
        raise AssertionError(f"not ready (exit {code}): {self.output}{self.errors()}")

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def errors(self):
        self.log.seek(0)
        return self.log.read()

    def terminate(self, wait_s=60):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(wait_s)

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        already = self.process.poll() is not None
        try:
            code = self.terminate()
        finally:
            self.kill()
            self.process.stdout.close()
            errors = self.last_errors = self.errors()
            self.log.close()
            self.state.cleanup()
        if kind is None and not already:
            assert code == 0, f"exit code {code}: {errors}"

    # What the process holds, from outside.
    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def threads(self):
        return len(os.listdir(f"/proc/{self.process.pid}/task"))

    def resident_bytes(self):
        return self._memory("VmRSS")

    def peak_bytes(self):
        return self._memory("VmHWM")

    def _memory(self, row):
        with open(f"/proc/{self.process.pid}/status") as status:
            return int(re.search(rf"{row}:\s+(\d+) kB", status.read()).group(1)) * 1024
