#!/usr/bin/env python3
"""Pelton beside its peers on this machine, in turns, and the table of docs/performance.md.

    bench/peers/run.py                        every row, OpenVINO and llama.cpp beside it
    bench/peers/run.py --quick                the main rows, three rounds, nothing written
    bench/peers/run.py --only 'smollm2/decode'  rows whose id matches; --list shows the ids
    bench/peers/run.py --minutes 20           starts no further row when that time is over
    bench/peers/run.py --with-vllm PYTHON --vllm-model smollm2=FOLDER

Speed on a shared machine drifts, so engines never run in blocks: A B, B A, A B, … The figure that
counts is the median over rounds of Pelton's speed over the peer's in that round; its quartiles say how
far to trust it. Rows that Pelton loses stay. Every row but the one on self-repeating text runs with
speculation off, on every engine; all engines get the same number of threads.
"""
import argparse
import datetime
import json
import os
import re
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import curves
import machine
import models
import report
from engine import NotRun
from llama_engine import LlamaCpp
from machine import ROOT, say
from openvino_engine import OpenVino
from pelton_engine import Pelton
from rows import JOBS, chosen
from stats import turns
from vllm_engine import Vllm

PAGE = ROOT / "docs" / "performance.md"
HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results.json"
BUSY = 0.1  # of the machine taken by others: said, because such figures are not to be trusted


@dataclass
class Context:
    env: dict
    threads: int
    pelton: Path
    load: Path
    llama: Path = None
    peers_python: Path = None
    vllm_python: str = None
    vllm_models: dict = field(default_factory=dict)
    seed: int = 0
    load_share: float = 0.0  # the most that pelton-load took of a CPU

    token_range = staticmethod(models.token_range)

    @staticmethod
    def build_llama(isa: str) -> Path:
        """The folder of llama.cpp's programs, built when they are not there."""
        return Path(machine.output_of([HERE / "build.sh", isa], env=os.environ).strip())

    def next_seed(self) -> int:
        self.seed += 1
        return self.seed

    def note_load_share(self, share: float) -> None:
        self.load_share = max(self.load_share, share)


def engines_of(job) -> list:
    known = {"llama.cpp": LlamaCpp, "openvino": lambda: OpenVino("openvino"),
             "openvino-f32": lambda: OpenVino("openvino-f32"), "vllm": Vllm,
             "pelton, speculation off": lambda: Pelton("pelton, speculation off", "off")}
    return [Pelton()] + [known[name]() for name in job.peers]


def open_sessions(context: Context, job, model, not_run: dict, wanted) -> dict:
    sessions = {}
    for engine in engines_of(job):
        if engine.name != "pelton" and wanted and not wanted.search(engine.name):
            continue
        try:
            sessions[engine.name] = engine.open(context, model, job)
        except (NotRun, RuntimeError, OSError) as error:
            not_run[engine.name] = str(error)
            say(f"  {engine.name}: not run: {report.clean(str(error))}")
    return sessions


def measure_job(context: Context, job, rounds: int, wanted) -> dict:
    """Row id → the entry that results.json keeps."""
    not_run, samples = {}, {row.id: {} for row in job.rows}
    context.load_share = 0.0
    commands = []
    try:
        model = models.model_file(job.model, context.env)
        sessions = open_sessions(context, job, model, not_run, wanted)
    except RuntimeError as error:
        sessions, not_run = {}, {"pelton": str(error)}
        say(f"  not run: {error}")
    try:
        for number, order in enumerate(turns(list(sessions), rounds)):
            for name in order:
                if name in not_run:
                    continue
                try:
                    figures = sessions[name].measure()
                except (NotRun, RuntimeError, OSError, KeyError, ValueError) as error:
                    not_run[name] = str(error)
                    say(f"  {name}: {report.clean(str(error))}")
                    continue
                for row in job.rows:
                    samples[row.id].setdefault(name, []).append(figures.get(row.id))
            show_round(job, samples, number, rounds)
        for session in sessions.values():
            commands += [machine.short(words, context.env) for words in session.commands]
    finally:
        for session in sessions.values():
            session.close()
    stamp = {"date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
             "commit": machine.commit(), "threads": context.threads, "rounds": rounds,
             "commands": commands, "load_share": context.load_share}
    peers = [name for name in job.peers if not wanted or wanted.search(name)]
    return {row.id: {**stamp, "peers": peers, "samples": samples[row.id], "not_run": not_run}
            for row in job.rows}


def show_round(job, samples: dict, number: int, rounds: int) -> None:
    for row in job.rows:
        last = ", ".join(f"{name} {report.number(values[-1])}" for name, values in samples[row.id].items()
                         if values and values[-1])
        say(f"  {number + 1}/{rounds} {row.what}: {last or 'nothing'}")


def skipped(job, args) -> dict:
    return {row.id: {"date": "", "commit": "", "threads": args.threads, "rounds": 0, "commands": [],
                     "peers": list(job.peers), "samples": {},
                     "not_run": {"pelton": f"the {args.minutes:g} minutes given were over"}}
            for row in job.rows}


def pattern(text: str):
    try:
        return re.compile(text)
    except re.error as error:
        raise argparse.ArgumentTypeError(f"no regular expression: {error}") from None


def parse(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", type=pattern, metavar="REGEX", help="of row ids")
    parser.add_argument("--peers", type=pattern, metavar="REGEX", help="of peers' names; writes nothing")
    parser.add_argument("--list", action="store_true", help="print the row ids")
    parser.add_argument("--rounds", type=int, help="default 5; --quick 3")
    parser.add_argument("--minutes", type=float, help="time for the rows")
    parser.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--no-curves", action="store_true", help="no plots, no shares of the limits")
    parser.add_argument("--no-write", action="store_true", help="leave docs/performance.md as it is")
    parser.add_argument("--with-vllm", metavar="PYTHON", help="a Python that can import vllm")
    parser.add_argument("--vllm-model", action="append", default=[], metavar="NAME=FOLDER")
    args = parser.parse_args(argv)
    args.rounds = args.rounds or (3 if args.quick else 5)
    if args.rounds < 1:
        parser.error("--rounds must be at least 1")
    if any("=" not in pair for pair in args.vllm_model):
        parser.error("--vllm-model is NAME=FOLDER")
    args.no_write = args.no_write or args.quick or args.peers is not None  # a row is written whole
    return args


def make_context(args, jobs: list) -> Context:
    env = machine.paths()
    binary = Path(env["PELTON_BIN"])
    context = Context(env, args.threads, binary, binary.with_name("pelton-load"),
                      vllm_python=args.with_vllm,
                      vllm_models=dict(pair.split("=", 1) for pair in args.vllm_model))
    names = {name for job in jobs for name in job.peers if not args.peers or args.peers.search(name)}
    if "llama.cpp" in names:
        context.llama = context.build_llama("native")
    if names & {"openvino", "openvino-f32"}:
        try:
            context.peers_python = Path(machine.output_of([HERE / "venv.sh"], env=os.environ).strip()) / "bin/python"
        except RuntimeError as error:
            say(f"  OpenVINO: {error}")
    return context


def main() -> int:
    args = parse()
    if args.list:
        print("\n".join(row.id for job in JOBS for row in job.rows))
        return 0
    jobs = chosen(args.only, args.quick)
    began = time.monotonic()
    context = make_context(args, jobs)
    if (busy := machine.busy_share()) > BUSY:
        say(f"WARNING: others take {100 * busy:.0f} % of this machine: the figures are not to be trusted")
    limits = None if args.only else machine.limits(context.pelton, args.threads)
    rows = {}
    for number, job in enumerate(jobs):
        if args.minutes and time.monotonic() - began > 60 * args.minutes:
            rows.update(skipped(job, args))
            continue
        say(f"[{number + 1}/{len(jobs)}, {time.monotonic() - began:.0f} s] {job.name}: "
            f"{', '.join(row.what for row in job.rows)}")
        rows.update(measure_job(context, job, args.rounds, args.peers))
    more = {} if args.no_curves or args.only else curves.measure(context, args.quick)
    results = report.load(RESULTS) if not args.no_write else {"machines": {}}
    report.merge(results, machine.cpu_name(), limits, rows, more)
    print(report.markdown(results, []))
    if not args.no_write:
        write(results)
    say(f"{time.monotonic() - began:.0f} s in all")
    return 0


def write(results: dict) -> None:
    pictures = curves.draw(results, PAGE.parent)
    RESULTS.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n")
    PAGE.write_text(report.insert(PAGE.read_text(), report.markdown(results, pictures)))
    say(f"written: {PAGE.relative_to(ROOT)}")


if __name__ == "__main__":
    sys.exit(main())
