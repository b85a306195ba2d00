"""A Hugging Face folder served from disk and from a hub: whole, in shards, quantised, and broken."""
import json
import os
import pathlib
import subprocess
import tempfile
import unittest

import tiny_folder
from fake_hub import FakeHub
from harness import Server, request

PELTON = os.environ["PELTON_BIN"]
ASK = {"model": "m", "messages": [{"role": "user", "content": "the <|im_end|> end"}], "max_tokens": 8,
       "temperature": 0, "ignore_eos": True}


def answer(server):
    reply = request(server, "POST", "/v1/chat/completions", ASK, timeout=60)
    assert reply.status == 200, reply.body
    return reply.json()


class HfFolder(unittest.TestCase):
    def setUp(self):
        self.temp = tempfile.TemporaryDirectory()
        self.folder = pathlib.Path(self.temp.name, "model")

    def tearDown(self):
        self.temp.cleanup()

    def write(self, files):
        self.folder.mkdir(exist_ok=True)
        for path in self.folder.iterdir():
            path.unlink()
        for name, data in files.items():
            (self.folder / name).write_bytes(data)

    def test_is_served_whole_in_shards_and_quantised(self):
        self.write(tiny_folder.files())
        with Server(f"m={self.folder}") as server:
            want = answer(server)
            self.assertIn("llama BF16", server.output)
            tokens = request(server, "POST", "/tokenize", {"model": "m", "prompt": "the <|im_end|>"}).json()["tokens"]
            self.assertNotIn(261, tokens)  # a user's text never becomes a control token
            self.assertEqual(tokens[0], 259)  # BOS, as the post-processor says
        # <|begin|> is not in the template: 4 control tokens and the texts between.
        self.assertEqual(want["usage"]["completion_tokens"], 8)
        self.write(tiny_folder.files(shards=3))
        with Server(f"m={self.folder}") as server:
            self.assertEqual(answer(server)["choices"], want["choices"])
        for kind, shown in (("q8_0", "Q8_0"), ("q4_1", "Q4_1"), ("q4_0", "Q4_0")):
            with Server(f"m={self.folder}", "--quantize", kind) as server:
                answer(server)
                self.assertIn(f"llama {shown}", server.output)

    def test_what_is_wrong_is_one_line_that_names_the_file(self):
        good = tiny_folder.files(shards=2)
        index = "model.safetensors.index.json"
        part = "model-00001-of-00002.safetensors"
        config = json.loads(good["config.json"])
        broken = {
            "cut": {part: good[part][:-1]},
            "gone": {part: None},
            "no tokenizer.json": {"tokenizer.json": None},
            "config.json": {"config.json": b"{"},
            "QwenForCausalLM": {"config.json": json.dumps(config | {"architectures": ["QwenForCausalLM"]}).encode()},
            "yarn": {"config.json": json.dumps(config | {"rope_scaling": {"rope_type": "yarn", "factor": 4.0}}).encode()},
            "plain .safetensors name": {index: b'{"weight_map": {"a": "../x.safetensors"}}'},
        }
        for word, change in broken.items():
            files = {k: v for k, v in (good | change).items() if v is not None}
            self.write(files)
            done = subprocess.run([PELTON, "serve", "--model", f"m={self.folder}", "--port", "0"],
                                  capture_output=True, text=True, timeout=60)
            self.assertEqual(done.returncode, 1, word)
            lines = done.stderr.strip().splitlines()
            self.assertEqual(len(lines), 1, done.stderr)
            self.assertIn(str(self.folder), lines[0])
            if word not in ("cut", "gone"):
                self.assertIn(word, lines[0])

    def test_a_pulled_repository_is_served_by_its_name(self):
        hub = FakeHub(tiny_folder.files(shards=2) | {"README.md": b"hi"})
        env = {k: v for k, v in os.environ.items() if k != "HF_TOKEN" and not k.endswith("_proxy")
               and not k.startswith("PELTON_")}
        try:
            done = subprocess.run([PELTON, "pull", "org/name", "--hub", hub.url, "--state-dir", self.temp.name],
                                  capture_output=True, text=True, timeout=60, env=env)
        finally:
            hub.close()
        self.assertEqual(done.returncode, 0, done.stderr)
        folder = os.path.join(self.temp.name, "models", "org", "name")
        self.assertIn(f"pelton serve --model {folder}\n", done.stdout)
        ran = subprocess.run([PELTON, "run", "org/name", "the", "--max-tokens", "4", "--state-dir", self.temp.name,
                              "--packed-cache", "off"], capture_output=True, text=True, timeout=60, env=env)
        self.assertEqual(ran.returncode, 0, ran.stderr)
        with Server("m=org/name", "--state-dir", self.temp.name) as server:
            answer(server)


if __name__ == "__main__":
    unittest.main()
