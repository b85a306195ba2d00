"""`pelton pull` against a fake hub on loopback."""
import os
import pathlib
import random
import subprocess
import tempfile
import unittest

from fake_hub import FakeHub

PELTON = os.environ["PELTON_BIN"]
MODEL = random.Random(1).randbytes(3_000_000)


class Pull(unittest.TestCase):
    def setUp(self):
        self.hub = FakeHub({"m-Q4_0.gguf": MODEL, "m-Q8_0.gguf": b"other", "README.md": b"hi"})
        self.folder = tempfile.TemporaryDirectory()
        self.target = pathlib.Path(self.folder.name, "models/org/name/m-Q4_0.gguf")

    def tearDown(self):
        self.hub.close()
        self.folder.cleanup()

    def pull(self, *words, token=None):
        env = {k: v for k, v in os.environ.items()
               if k != "HF_TOKEN" and not k.endswith("_proxy") and not k.startswith("PELTON_")}
        if token:
            env["HF_TOKEN"] = token
        return subprocess.run([PELTON, "pull", *words, "--hub", self.hub.url, "--state-dir",
                               self.folder.name], capture_output=True, text=True, timeout=120, env=env)

    def test_fetches_the_chosen_file_and_says_how_to_serve_it(self):
        done = self.pull("org/name:Q4_0")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.target.read_bytes(), MODEL)
        self.assertIn("pelton serve --model", done.stdout)
        self.assertFalse(self.target.with_name("m-Q4_0.gguf.part").exists())

    def test_a_second_pull_fetches_nothing(self):
        self.pull("org/name:Q4_0")
        self.hub.requests.clear()
        self.assertEqual(self.pull("org/name:Q4_0").returncode, 0)
        self.assertEqual([p for p, _ in self.hub.requests if p.startswith("/cdn/")], [])

    def test_resumes_a_cut_line_by_itself(self):
        self.hub.cut_after = 700_000
        done = self.pull("org/name:Q4_0")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.target.read_bytes(), MODEL)
        ranges = [r for p, r in self.hub.requests if p.startswith("/cdn/")]
        self.assertIsNone(ranges[0])
        self.assertTrue(all(r and r.startswith("bytes=") for r in ranges[1:]), ranges)

    def test_resumes_the_part_of_an_earlier_run(self):
        self.target.parent.mkdir(parents=True)
        self.target.with_name("m-Q4_0.gguf.part").write_bytes(MODEL[:1_000_000])
        self.assertEqual(self.pull("org/name:Q4_0").returncode, 0)
        self.assertEqual(self.target.read_bytes(), MODEL)
        self.assertIn(("/cdn/m-Q4_0.gguf", "bytes=1000000-"), self.hub.requests)

    def test_starts_again_when_the_hub_ignores_ranges(self):
        self.hub.ignore_range = True
        self.target.parent.mkdir(parents=True)
        self.target.with_name("m-Q4_0.gguf.part").write_bytes(b"x" * 1_000_000)
        self.assertEqual(self.pull("org/name:Q4_0").returncode, 0)
        self.assertEqual(self.target.read_bytes(), MODEL)

    def test_a_wrong_checksum_leaves_nothing_behind(self):
        self.hub.corrupt = True
        done = self.pull("org/name:Q4_0")
        self.assertEqual(done.returncode, 1)
        self.assertIn("checksum", done.stderr)
        self.assertEqual([p for p in self.target.parent.iterdir()], [])

    def test_lists_what_there_is_when_several_fit(self):
        done = self.pull("org/name")
        self.assertEqual(done.returncode, 1)
        self.assertIn("m-Q8_0.gguf", done.stderr)

    def test_private_models_need_the_token(self):
        self.hub.token = "secret-token"
        refused = self.pull("org/name:Q4_0")
        self.assertEqual(refused.returncode, 1)
        self.assertIn("HF_TOKEN", refused.stderr)
        done = self.pull("org/name:Q4_0", token="secret-token")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertNotIn("secret-token", done.stdout + done.stderr)

    def test_an_unsafe_path_in_the_listing_is_refused(self):
        for path in ("../evil.gguf", "/etc/evil.gguf", "a/../../evil.gguf", "a\\evil.gguf"):
            self.hub.extra_entries = [{"type": "file", "path": path, "size": 1}]
            done = self.pull("org/name:Q4_0")
            self.assertEqual(done.returncode, 1, path)
            self.assertIn("unsafe", done.stderr)
        self.assertFalse(self.target.exists())

    def test_an_absurd_size_is_refused_before_the_first_byte(self):
        self.hub.files = {}
        self.hub.extra_entries = [{"type": "file", "path": "big.gguf", "size": 1 << 62,
                                   "lfs": {"oid": "0" * 64, "size": 1 << 62}}]
        done = self.pull("org/name")
        self.assertEqual(done.returncode, 1)
        self.assertIn("disk", done.stderr)
        self.assertEqual([p for p, _ in self.hub.requests if p.startswith("/cdn/")], [])

    def test_a_hub_that_is_not_there(self):
        self.hub.close()
        done = self.pull("org/name:Q4_0")
        self.assertEqual(done.returncode, 1)
        self.assertEqual(len(done.stderr.strip().splitlines()), 1)
        self.hub = FakeHub({})


if __name__ == "__main__":
    unittest.main()
