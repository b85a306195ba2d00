"""Makes every reference answer anew (tools/golden) and compares with the committed files.

Ids and strings must be the same bytes. Logits may differ as far as fp32 sums do between CPUs and
versions of torch (about 1e-5); greedy text must agree until the first near tie.
"""
import json
import os
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy

ROOT = Path(__file__).resolve().parents[2]
COMMITTED = ROOT / "tests" / "golden"
LOG_PROBABILITY_MAX = 2e-3  # nat, a record's first candidate and the token that followed
TINY_LOGIT_MAX = 1e-3
NEAR_TIE = 0.02  # nat


def same_bytes(old: bytes, new: bytes) -> str:
    return "" if old == new else "differs"


def tiny_logits(old: bytes, new: bytes) -> str:
    n, vocabulary = struct.unpack_from("<II", old, 8)
    start = 16 + 4 * n
    if old[:start] != new[:start] or len(old) != len(new):
        return "other ids or sizes"
    a, b = (numpy.frombuffer(data, "<f4", n * vocabulary, start) for data in (old, new))
    worst = float(numpy.abs(a - b).max())
    return "" if worst <= TINY_LOGIT_MAX else f"logits differ by {worst:g}"


def records(data: bytes):
    """Ids and, for each record, (log-probability of what followed, of the first candidate, tail mass)."""
    documents, _, head, tail, _, width = struct.unpack_from("<6I", data, 8)
    at, ids, rows = 32, [], []
    for _ in range(documents):
        n = struct.unpack_from("<I", data, at)[0]
        ids.append(data[at + 4:at + 4 + 4 * n])
        at += 4 + 4 * n
        size = 12 + (head + tail) * (width + 2)
        rows += [struct.unpack_from("<3f", data, at + i * size) for i in range(n - 1)]
        at += (n - 1) * size
    return ids, numpy.array(rows)


def real_logits(old: bytes, new: bytes) -> str:
    (old_ids, old_rows), (new_ids, new_rows) = records(old), records(new)
    if old_ids != new_ids:
        return "other ids"
    worst = float(numpy.abs(old_rows - new_rows).max())
    return "" if worst <= LOG_PROBABILITY_MAX else f"log-probabilities differ by {worst:g}"


def greedy(old: bytes, new: bytes) -> str:
    for before, after in zip(json.loads(old), json.loads(new), strict=True):
        if before["prompt_ids"] != after["prompt_ids"]:
            return "other prompt ids"
        for a, b, gap in zip(before["ids"], after["ids"], before["gaps"]):
            if a != b:
                if gap > NEAR_TIE:
                    return f"another token where the gap is {gap:g}"
                break
    return ""


def check_of(name: str):
    if name.startswith("tiny.") and name.endswith(".logits.bin"):
        return tiny_logits
    if name.startswith("logits."):
        return real_logits
    if name.startswith("greedy."):
        return greedy
    return same_bytes


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([str(ROOT / "tools/golden/make_all.sh"), os.environ["PELTON_MODEL_SMOLLM2"],
                        os.environ["PELTON_MODEL_GEMMA3"], folder], check=True)
        failures = 0
        for old in sorted(p for p in COMMITTED.iterdir() if p.suffix in (".bin", ".json", ".gguf")):
            new = Path(folder) / old.name
            fault = check_of(old.name)(old.read_bytes(), new.read_bytes()) if new.exists() else "not made"
            print(f"{old.name}: {fault or 'the same'}")
            failures += bool(fault)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
