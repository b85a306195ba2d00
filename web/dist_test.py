#!/usr/bin/env python3
"""web/dist is what web/ makes: the sums of both are in dist.sha256.

    dist_test.py             fails when sources or dist changed without a build
    dist_test.py --rebuild   builds again and compares byte for byte
    dist_test.py --write     writes the sums (build.sh does)
"""
import hashlib
import subprocess
import sys
import tempfile
from pathlib import Path

WEB = Path(__file__).resolve().parent
SUMS = WEB / "dist.sha256"
INPUTS = ["index.html", "package.json", "package-lock.json", "tsconfig.json", "vite.config.ts"]
MEND = "this mends it: web/build.sh"


def files(folder):
    return sorted(p for p in folder.rglob("*") if p.is_file())


def sums():
    paths = [WEB / name for name in INPUTS] + files(WEB / "src") + files(WEB / "dist")
    return "".join(f"{hashlib.sha256(p.read_bytes()).hexdigest()}  {p.relative_to(WEB)}\n" for p in paths)


def main():
    now = sums()
    if "--write" in sys.argv:
        SUMS.write_text(now)
        return
    said = SUMS.read_text()
    if now != said:
        changed = {line.split("  ")[1] for line in set(now.splitlines()) ^ set(said.splitlines())}
        sys.exit(f"web/dist was not built from these sources ({', '.join(sorted(changed))}); {MEND}")
    if "--rebuild" not in sys.argv:
        return
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([WEB / "build.sh", folder], check=True)
        made = {p.relative_to(folder): p.read_bytes() for p in files(Path(folder))}
        kept = {p.relative_to(WEB / "dist"): p.read_bytes() for p in files(WEB / "dist")}
        if made != kept:
            sys.exit(f"a build gives other bytes: {sorted(map(str, made))}, kept {sorted(map(str, kept))}; {MEND}")


main()
