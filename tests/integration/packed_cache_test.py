"""Packed weights kept on disk: the second start reads them, and no trouble with them reaches a client."""
import os
import pathlib
import subprocess
import tempfile
import time
import unittest

from harness import Server, request

MODEL = os.environ["PELTON_MODEL_SMOLLM2"]
ASK = {"model": "m", "prompt": "The capital of France is", "max_tokens": 24, "temperature": 0, "logprobs": 3}


def answer(server):
    reply = request(server, "POST", "/v1/completions", ASK, timeout=120)
    assert reply.status == 200, reply.body
    choice = reply.json()["choices"][0]
    return choice["text"], choice["logprobs"]


class PackedCache(unittest.TestCase):
    def setUp(self):
        self.temp = tempfile.TemporaryDirectory()
        self.folder = pathlib.Path(self.temp.name, "cache")

    def tearDown(self):
        self.temp.cleanup()

    def server(self, model=MODEL):
        return Server(f"m={model}", "--packed-cache", str(self.folder), "--ctx", "512")

    def files(self, pattern="*.packed"):
        return sorted(self.folder.glob(pattern))

    def wait_for_file(self, server):
        end = time.monotonic() + 60
        while not self.files() or self.files("*.partial"):
            assert time.monotonic() < end, server.errors()
            time.sleep(0.1)
        return self.files()[0]

    def first_start(self):
        with self.server() as server:
            want = answer(server)
            path = self.wait_for_file(server)
        self.assertIn("packed weights are kept", server_errors(server))
        return want, path

    def test_the_second_start_gives_the_same_bits_and_a_damaged_file_is_replaced(self):
        want, path = self.first_start()
        self.assertEqual(path.stat().st_mode & 0o777, 0o600)
        written = path.stat().st_ino
        with self.server() as server:
            self.assertEqual(answer(server), want)
            self.assertEqual(self.files()[0].stat().st_ino, written)
        self.assertEqual(server_errors(server), "")
        with open(path, "r+b") as file:
            file.seek(50_000_000)
            byte = file.read(1)[0]
            file.seek(50_000_000)
            file.write(bytes([byte ^ 1]))
        with self.server() as server:
            self.assertEqual(answer(server), want)
            self.assertNotEqual(self.wait_for_file(server).stat().st_ino, written)
        self.assertEqual(server_errors(server).count("is dropped and the model packed anew"), 1)
        listed = subprocess.run([os.environ["PELTON_BIN"], "cache", "--packed-cache", str(self.folder)],
                                capture_output=True, text=True, timeout=20)
        self.assertIn(MODEL, listed.stdout)
        wiped = subprocess.run([os.environ["PELTON_BIN"], "cache", "wipe", "--packed-cache",
                                str(self.folder)], capture_output=True, text=True, timeout=20)
        self.assertIn("MB freed", wiped.stdout)
        self.assertEqual(self.files(), [])

    def test_two_servers_at_once_make_one_file(self):
        with self.server() as first, self.server() as second:
            self.assertEqual(answer(first), answer(second))
            self.wait_for_file(first)
        self.assertEqual(len(self.files()), 1)
        self.assertEqual(self.files("*.partial"), [])

    def test_a_folder_that_cannot_be_made_costs_one_warning(self):
        self.folder = pathlib.Path(self.temp.name, "file", "cache")
        self.folder.parent.write_text("in the way")
        with self.server() as server:
            answer(server)
            end = time.monotonic() + 30
            while "cannot be kept" not in server.errors() and time.monotonic() < end:
                time.sleep(0.1)
        self.assertEqual(server_errors(server).count("cannot be kept"), 1)

    def test_ended_while_writing_it_leaves_nothing(self):
        with self.server():
            end = time.monotonic() + 30
            while not self.files("*.partial") and not self.files() and time.monotonic() < end:
                time.sleep(0.001)
        self.assertEqual(self.files("*.partial"), [])


def server_errors(server):
    return "".join(line for line in server.last_errors.splitlines(True) if " cache: " in line)


if __name__ == "__main__":
    unittest.main()
