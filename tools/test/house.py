#!/usr/bin/env python3
"""Checks of the house that no compiler makes: links in the documentation lead somewhere, every room
has a README of at most 40 lines, files stay short, nothing unfinished is left behind."""
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
README_LINES_MAX = 40
FILE_LINES_MAX = 600
UNFINISHED = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X)\b")
MACHINE_PATH = re.compile(r"(?<![\w.$}/])/(?:root|home/\w+|work)/")
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
SOURCES = (".h", ".cc", ".c", ".rs", ".py", ".sh", ".cmake", ".mjs")


def tracked() -> list:
    listed = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
                            cwd=ROOT, capture_output=True)
    if listed.returncode != 0:  # an exported tree
        return [p for p in ROOT.rglob("*") if p.is_file() and "build" not in p.relative_to(ROOT).parts[:1]]
    names = [name for name in listed.stdout.decode().split("\0") if name]
    return [ROOT / name for name in names if (ROOT / name).is_file()]


def documentation(path: Path, text: str):
    for target in LINK.findall(re.sub(r"```.*?```", "", text, flags=re.S)):
        if "://" not in target and not target.startswith("mailto:") and not (path.parent / target).exists():
            yield f"link to {target} leads nowhere"


def source(path: Path, lines: list):
    if len(lines) > FILE_LINES_MAX and "kernels" not in path.parts and not path.stem.endswith("_test"):
        yield f"{len(lines)} lines, at most {FILE_LINES_MAX}"
    for number, line in enumerate(lines, 1):
        if UNFINISHED.search(line):
            yield f"line {number}: unfinished: {line.strip()[:60]}"
    if path.suffix == ".h" and "rust" not in path.parts and "#pragma once" not in lines:
        yield "no #pragma once"


def rooms():
    for cmake in sorted(ROOT.glob("src/*/*/CMakeLists.txt")):
        readme = cmake.parent / "README.md"
        if not readme.exists():
            yield f"{cmake.parent.relative_to(ROOT)}: no README.md"
        elif (n := len(readme.read_text().splitlines())) > README_LINES_MAX:
            yield f"{readme.relative_to(ROOT)}: {n} lines, at most {README_LINES_MAX}"


def main() -> int:
    faults = list(rooms())
    for path in tracked():
        name = path.relative_to(ROOT)
        if path.suffix not in SOURCES + (".md", ".txt", ".json") or name.parts[:2] == ("tests", "golden"):
            continue
        text = path.read_text(errors="replace")
        found = []
        if path.suffix == ".md":
            found += documentation(path, text)
        if path.suffix in SOURCES:
            found += source(path, text.splitlines())
        if MACHINE_PATH.search(text):
            found.append("names a path of one machine")
        faults += [f"{name}: {fault}" for fault in found]
    print("\n".join(faults) or "in order")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
