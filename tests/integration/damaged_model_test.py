"""The program given damaged model files: numbers of the header replaced by extreme ones, bytes
changed, the file cut. It must answer with one line that names the file, or serve; never a signal, a
hang or much memory. One seed, so that a failure repeats; the failing file is kept and named."""
import os
import pathlib
import random
import resource
import struct
import subprocess
import tempfile
import unittest

PELTON = os.environ["PELTON_BIN"]
GOLDEN = pathlib.Path(__file__).resolve().parents[1] / "golden"
EXTREMES = {4: [0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF],
            8: [0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 1 << 63, (1 << 64) - 1]}
SCALARS = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
RUNS_PER_MODEL = 150
MEMORY_MAX_KIB = 256 << 10  # 20 MiB is usual for these models


def numbers_of(data):
    """(offset, width) of every number of the header, of the first elements only in arrays; and the
    offset of the tensor data."""
    found, at = [], 4

    def number(width):
        nonlocal at
        value = int.from_bytes(data[at:at + width], "little")
        found.append((at, width))
        at += width
        return value

    def text():
        nonlocal at
        length = number(8)  # which moves `at` itself
        at += length

    number(4)
    tensors, keys = number(8), number(8)
    for _ in range(keys):
        text()
        kind = number(4)
        if kind == 8:
            text()
        elif kind == 9:
            kind, count = number(4), number(8)
            for i in range(count):
                kept = len(found)
                if kind == 8:
                    text()
                else:
                    number(SCALARS[kind])
                if i >= 2:
                    del found[kept:]
        else:
            number(SCALARS[kind])
    for _ in range(tensors):
        text()
        for _ in range(number(4)):
            number(8)
        number(4)
        number(8)
    return [f for f in found if f[1] in EXTREMES], (at + 31) // 32 * 32


class DamagedModel(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.model = pathlib.Path(self.folder.name, "damaged.gguf")
        self.text = pathlib.Path(self.folder.name, "text.txt")
        self.text.write_text("Some words to predict, and a few more of them.")

    def tearDown(self):
        self.folder.cleanup()

    def check(self, data, what):
        self.model.write_bytes(data)
        env = {k: v for k, v in os.environ.items() if not k.startswith("PELTON_")}
        done = subprocess.run([PELTON, "perplexity", "--model", str(self.model), "--file",
                               str(self.text)], capture_output=True, timeout=60, env=env)
        memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
        errors = done.stderr.decode(errors="replace")
        good = memory <= MEMORY_MAX_KIB and done.returncode >= 0
        if done.returncode > 0:
            good = good and errors.count("\n") == 1 and errors.count("damaged.gguf") == 1
        if not good:
            kept = pathlib.Path(tempfile.gettempdir(), "pelton-damaged.gguf")
            kept.write_bytes(data)
            self.fail(f"{what}: exit {done.returncode}, {memory >> 10} MiB, kept as {kept}:\n{errors}")
        return done.returncode

    def sweep(self, name):
        rng = random.Random(name)
        original = (GOLDEN / name).read_bytes()
        self.assertEqual(self.check(original, "undamaged"), 0)
        numbers, header = numbers_of(original)
        refused = 0
        for run in range(RUNS_PER_MODEL):
            data, changes = bytearray(original), []
            if run % 3 == 2:
                for _ in range(rng.randint(1, 4)):
                    at = rng.randrange(header)
                    data[at] = rng.randrange(256)
                    changes.append(f"byte {at} = {data[at]}")
            else:
                for _ in range(rng.randint(1, 2)):
                    at, width = rng.choice(numbers)
                    value = rng.choice(EXTREMES[width])
                    data[at:at + width] = value.to_bytes(width, "little")
                    changes.append(f"u{8 * width} at {at} = {value}")
            refused += self.check(bytes(data), f"{name} {changes}") != 0
        self.assertGreater(refused, RUNS_PER_MODEL // 2)

    def test_llama(self):
        self.sweep("tiny.llama.gguf")

    def test_gemma3(self):
        self.sweep("tiny.gemma3.gguf")

    def test_cut_anywhere(self):
        original = (GOLDEN / "tiny.llama.gguf").read_bytes()
        rng = random.Random(5)
        for length in [0, 3, 4, 8, 23, 24] + [rng.randrange(len(original)) for _ in range(30)]:
            self.assertNotEqual(self.check(original[:length], f"cut to {length}"), 0)

    def test_weights_that_are_not_numbers(self):
        data = bytearray((GOLDEN / "tiny.llama.gguf").read_bytes())
        _, header = numbers_of(data)
        for filling in (b"\xff", b"\x00", struct.pack("<f", float("inf")), b"\x7c"):
            data[header:] = (filling * len(data))[:len(data) - header]
            self.check(bytes(data), f"weights of {filling}")


if __name__ == "__main__":
    unittest.main()
