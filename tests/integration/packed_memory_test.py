"""Resident memory of a model of the Llama-3.2-1B shape: at most 1.15 times its packed weights, and the KV
cache; packed at this start, and read from the packed file."""
import os
import pathlib
import subprocess
import tempfile
import time
import unittest

from harness import Server, request

GENERATE = pathlib.Path(os.environ["PELTON_BIN"]).with_name("pelton-generate")
KV_BYTES = 64 << 20


class PackedMemory(unittest.TestCase):
    def test_no_second_copy_of_the_weights_stays_resident(self):
        with tempfile.TemporaryDirectory() as temp:
            model, cache = pathlib.Path(temp, "1b.gguf"), pathlib.Path(temp, "cache")
            subprocess.run([GENERATE, "--shape", "llama-3.2-1b", "--type", "Q4_0", model], check=True,
                           capture_output=True, timeout=300)
            options = ["--packed-cache", str(cache), "--ctx", "1024", "--kv-bytes-max", str(KV_BYTES)]
            resident = []
            for _ in range(2):
                with Server(f"m={model}", *options, ready_s=300) as server:
                    reply = request(server, "POST", "/v1/completions", {
                        "model": "m", "prompt": "a " * 130, "max_tokens": 2, "ignore_eos": True}, timeout=300)
                    self.assertEqual(reply.status, 200)
                    end = time.monotonic() + 120
                    while not list(cache.glob("*.packed")) or list(cache.glob("*.partial")):
                        self.assertLess(time.monotonic(), end, server.errors())
                        time.sleep(0.1)
                    resident.append(server.resident_bytes())
            weights = next(cache.glob("*.packed")).stat().st_size
            bound = 1.15 * weights + KV_BYTES
            print(f"weights {weights / 1e6:.0f} MB, resident {[round(r / 1e6) for r in resident]} MB, "
                  f"bound {bound / 1e6:.0f} MB")
            self.assertLess(max(resident), bound)


if __name__ == "__main__":
    unittest.main() if GENERATE.exists() else exit(77)
