"""What the server costs: time until it answers, memory beside the weights, and a clean end."""
import json
import os
import pathlib
import re
import signal
import subprocess
import time
import unittest
import urllib.request

PELTON = os.environ["PELTON_BIN"]
MODEL = os.environ["PELTON_MODEL_SMOLLM2"]
KV_BYTES = 64 << 20
BESIDE_BYTES_MAX = 150_000_000  # over file and KV
READY_S_MAX = 1.0               # best of five; on a quiet machine it is below 0.5


class Server:
    def __init__(self, *options):
        self.began = time.monotonic()
        self.process = subprocess.Popen(
            [PELTON, "serve", "--model", f"m={MODEL}", "--port", "0", *options],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        lines = []
        for line in self.process.stdout:
            lines.append(line)
            if match := re.search(r"on (http://\S+)", line):
                self.url = match.group(1)
                break
        else:
            raise AssertionError("never ready:\n" + "".join(lines))
        with urllib.request.urlopen(self.url + "/readyz", timeout=10) as answer:
            assert answer.status == 200
        self.ready_s = time.monotonic() - self.began

    def post(self, path, body):
        request = urllib.request.Request(self.url + path, json.dumps(body).encode(),
                                         {"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=300) as answer:
            return json.load(answer)

    def peak_bytes(self):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+) kB", status).group(1)) * 1024

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.stdout.read()
        self.process.stdout.close()
        return self.process.wait(timeout=60)


class Resources(unittest.TestCase):
    def test_ready_soon_after_exec_and_ends_cleanly(self):
        times = []
        for _ in range(5):
            server = Server()
            times.append(server.ready_s)
            self.assertEqual(server.end(), 0)
        print("ready after", ", ".join(f"{t:.2f} s" for t in times))
        self.assertLess(min(times), READY_S_MAX)

    def test_memory_is_at_most_file_kv_and_150_mb(self):
        server = Server("--ctx", "1024", "--kv-bytes-max", str(KV_BYTES))
        try:
            for n in (1, 8):
                answer = server.post("/v1/completions", {
                    "model": "m", "prompt": "word " * 900, "n": n, "max_tokens": 8,
                    "temperature": 1.0, "ignore_eos": True})
                self.assertEqual(answer["usage"]["completion_tokens"], 8 * n)
            peak = server.peak_bytes()
        finally:
            self.assertEqual(server.end(), 0)
        bound = os.path.getsize(MODEL) + KV_BYTES + BESIDE_BYTES_MAX
        print(f"peak {peak / 1e6:.0f} MB, bound {bound / 1e6:.0f} MB")
        self.assertLess(peak, bound)


if __name__ == "__main__":
    unittest.main()
