#!/usr/bin/env python3
"""Runs every test in stages, cheapest first, and ends with ctest's summary over all of them.

    run.py            what `make test` runs
    run.py --long     what `make test-long` runs: also TSan, long fuzzing and tests labelled `long`;
                      leaves a dated report in docs/test-long/

One ctest run covers several build trees: build/test/CTestTestfile.cmake names them in order, and
a tree that is not built yet is built by a test of its own, which the tree's tests require.
The run has its own deadline (TEST_DEADLINE_MINUTES, 75; long: 600). When it passes, the
stage and test that ran are named and the result is a failure.
"""
import argparse
import datetime
import os
import platform
import re
import selectors
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build"
HEARTBEAT_S = 30
# Tree (a CMake preset), its target, the fixture that its tests require, in the order they run.
TREES = [("asan", "unit_tests", "built_asan"), ("fuzz", "fuzzers", "built_fuzz")]
LONG_TREES = TREES + [("tsan", "unit_tests", "built_tsan")]
START = re.compile(r"^\s*Start\s+\d+: (\S+)")


class Deadline(Exception):
    pass


def environment() -> dict:
    """The environment that tools/setup/paths.sh defines, as every test sees it."""
    text = subprocess.run(["bash", "-c", "source tools/setup/paths.sh && env -0"], cwd=ROOT,
                          check=True, capture_output=True).stdout
    found = dict(item.split("=", 1) for item in text.decode().split("\0") if "=" in item)
    for only_for_scripts in ("PELTON_ROOT", "PELTON_VENV"):
        found.pop(only_for_scripts, None)  # the program warns of PELTON_* that it does not know
    return found


def say(text: str) -> None:
    print(text, flush=True)


def last_line_of_build(tree: str) -> str:
    try:
        with (BUILD / tree / "build.log").open("rb") as log:
            log.seek(max(0, os.fstat(log.fileno()).st_size - 400))
            lines = log.read().decode(errors="replace").splitlines()
            return lines[-1][:90] if lines else ""
    except OSError:
        return ""


class Run:
    def __init__(self, env: dict, minutes: float):
        self.env = env
        self.started = time.monotonic()
        self.deadline = self.started + 60 * minutes
        self.minutes = minutes
        self.stage = "start"
        self.stage_seconds = []

    def command(self, stage: str, argv: list) -> int:
        """Runs argv, passing its output on; a line every HEARTBEAT_S when it is silent."""
        self.stage = stage
        began = time.monotonic()
        process = subprocess.Popen(argv, cwd=ROOT, env=self.env, stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT, text=True, errors="replace",
                                   bufsize=1, start_new_session=True)
        try:
            self.follow(process)
            return process.wait()
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise
        finally:
            self.stage_seconds.append((stage, time.monotonic() - began))

    def follow(self, process) -> None:
        os.set_blocking(process.stdout.fileno(), False)
        test, test_began, spoke = "", time.monotonic(), time.monotonic()
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            while True:
                now = time.monotonic()
                if now > self.deadline:
                    raise Deadline(f"stage {self.stage}" + (f", test {test}" if test else ""))
                if selector.select(timeout=min(5, self.deadline - now)):
                    chunk = os.read(process.stdout.fileno(), 1 << 16)
                    if not chunk:
                        return
                    text = chunk.decode(errors="replace")
                    sys.stdout.write(text)
                    sys.stdout.flush()
                    spoke = now
                    for line in text.splitlines():
                        if match := START.match(line):
                            test, test_began = match.group(1), now
                elif now - spoke > HEARTBEAT_S and test:
                    detail = last_line_of_build(test[6:]) if test.startswith("build/") else ""
                    say(f"      … {test}: {now - test_began:.0f} s {detail}")
                    spoke = now


def write_union(trees: list) -> Path:
    """The test list that spans the trees. A tree's tests are known once it is configured."""
    union = BUILD / "test"
    union.mkdir(parents=True, exist_ok=True)
    lines = ["# Written by tools/test/run.py.", f'subdirs("{BUILD}/release")']
    for tree, target, fixture in trees:
        lines += [f'add_test(build/{tree} "{ROOT}/tools/test/build_tree.sh" {tree} {target})',
                  f"set_tests_properties(build/{tree} PROPERTIES FIXTURES_SETUP {fixture} "
                  "LABELS build TIMEOUT 7200)",
                  f'subdirs("{BUILD}/{tree}")']
    (union / "CTestTestfile.cmake").write_text("\n".join(lines) + "\n")
    return union


def report(run: Run, code: int, union: Path) -> Path:
    day = datetime.datetime.now(datetime.timezone.utc).date().isoformat()
    out = ROOT / "docs" / "test-long" / f"{day}.md"
    out.parent.mkdir(parents=True, exist_ok=True)
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, text=True,
                            capture_output=True).stdout.strip() or "unknown"
    cpu = next((line.split(":", 1)[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
                if line.startswith("model name")), platform.processor())
    log = union / "Testing" / "Temporary" / "LastTest.log"
    rows = re.findall(r'^"(\S+)" start time.*?^Test time = +([0-9.]+) sec.*?^Test (\w[\w ]*)\.',
                      log.read_text(errors="replace") if log.exists() else "", re.M | re.S)
    lines = [f"# Long tests, {day}", "",
             f"Commit {commit}; {cpu}, {os.cpu_count()} CPUs; `make test-long`: "
             + ("passed" if code == 0 else f"**failed** (exit code {code})") + ".", "",
             "| stage | seconds |", "|---|---:|"]
    lines += [f"| {stage} | {seconds:.0f} |" for stage, seconds in run.stage_seconds]
    lines += ["", "| test | seconds | result |", "|---|---:|---|"]
    lines += [f"| {name} | {float(seconds):.1f} | {result} |" for name, seconds, result in rows]
    executions = BUILD / "fuzz" / "executions.tsv"
    if executions.exists():
        total = sum(int(line.split("\t")[1]) for line in executions.read_text().splitlines())
        lines += ["", f"Fuzz executions of this clone so far: {total:,}."]
    out.write_text("\n".join(lines) + "\n")
    return out


def stages(run: Run, long: bool) -> int:
    trees = LONG_TREES if long else TREES
    say("== stage 1: release build")
    if code := run.command("release build", ["tools/setup/build.sh", "release"]):
        return code
    for tree, _, _ in trees:
        if code := run.command(f"configure {tree}", ["tools/setup/configure.sh", tree]):
            return code
    union = write_union(trees)
    say("== stage 2: tests (unit, then golden, integration and clients, then asan, then fuzz)")
    argv = ["ctest", "--test-dir", str(union), "--output-on-failure", "--no-tests=error"]
    argv += [] if long else ["-LE", "^long$"]
    code = run.command("tests", argv)
    if long:
        say(f"report: {report(run, code, union).relative_to(ROOT)}")
    return code


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--long", action="store_true")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))  # and end what was started
    env = environment()
    env.setdefault("FUZZ_SECONDS", "300" if args.long else "10")
    if args.long:
        env["FUZZ_KEEP"] = "1"
    run = Run(env, float(env.get("TEST_DEADLINE_MINUTES", "600" if args.long else "75")))
    try:
        return stages(run, args.long)
    except Deadline as passed:
        say(f"\nFAILED: the deadline of {run.minutes:g} minutes passed during {passed}.")
        for stage, seconds in run.stage_seconds:
            say(f"  {stage}: {seconds:.0f} s")
        return 1


if __name__ == "__main__":
    sys.exit(main())
