"""From samples to the generated part of docs/performance.md.

Everything measured is kept in results.json: for each CPU its limits and each row's samples, with date,
commit and commands. A new run replaces the rows that it measured; the others stay, with their date."""
import json
from pathlib import Path

from models import TITLES
from rows import JOBS
from stats import Spread, ratios

BEGIN, END = "<!-- bench-peers: begin -->", "<!-- bench-peers: end -->"
ROUNDS_MIN = 5  # before a goal is said to be met or not
FOOT = ("Speed in tokens/s (starts: seconds), medians. Ratio: the median over rounds of Pelton's speed "
        "over the peer's in the same round, with its quartiles; *wide* marks quartiles more than 15 % "
        "of the median apart, which says little. Goal: what issue B asks for.")


def load(path: Path) -> dict:
    return json.loads(path.read_text()) if path.exists() else {"machines": {}}


def merge(results: dict, cpu: str, limits, rows: dict, curves: dict) -> dict:
    machine = results["machines"].setdefault(cpu, {"limits": None, "rows": {}, "curves": {}})
    if limits:
        machine["limits"] = limits
    for name, entry in rows.items():
        if entry["samples"] or name not in machine["rows"]:  # a row not reached keeps its last figures
            machine["rows"][name] = entry
    machine["curves"].update(curves)
    return results


def number(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def spread_text(spread: Spread) -> str:
    return f"{spread.low:.2f} … {spread.high:.2f}{', *wide*' if spread.wide else ''}"


def row_lines(row, title: str, entry: dict) -> list:
    ours = entry["samples"].get("pelton", [])
    lines = []
    for peer in entry["peers"]:
        goal = row.targets.get(peer)
        wanted = f"≥ {goal:g}" if goal else ""
        theirs = entry["samples"].get(peer, [])
        pairs = ratios(ours, theirs, row.lower_is_better)
        if not pairs:
            why = entry["not_run"].get(peer) or entry["not_run"].get("pelton") or "no sample"
            own = number(Spread.of(ours).median) if ours else "–"
            lines.append(f"| {title} | {row.what} | {own} | {peer} | not run: {clean(why)} | | | {wanted} |")
            continue
        spread = Spread.of(pairs)
        if goal and len(pairs) < ROUNDS_MIN:
            wanted += f", {len(pairs)} of {ROUNDS_MIN} rounds"
        elif goal:
            wanted += ", met" if spread.median >= goal else ", **not met**"
        lines.append(f"| {title} | {row.what} | {number(Spread.of(ours).median)} | {peer} | "
                     f"{number(Spread.of(theirs).median)} | **{spread.median:.2f}** | "
                     f"{spread_text(spread)} | {wanted} |")
    return lines


def clean(text: str) -> str:
    return " ".join(text.split()).replace("|", "/")[:160]


def limits_lines(limits: dict) -> list:
    read = [f"{entry['bytes'] >> 20} MiB {entry['pages']} pages {entry['bytes_per_s'] / 1e9:.1f}"
            for entry in limits["read"] if entry["threads"] == limits["threads"]]
    peaks = [f"{entry['what']} {entry['ops_per_s'] / 1e9:.0f}"
             for entry in limits["multiply"] if entry["threads"] == limits["threads"]]
    return [f"Limits by {limits['threads']} threads (`pelton bench --machine`): read, GB/s: "
            + "; ".join(read) + ". Multiply and add, Gop/s: " + "; ".join(peaks)
            + f". A parallel region in which all threads meet: {limits['parallel_region_us']:.2f} µs.", ""]


def share_lines(shares: dict) -> list:
    lines = ["| model | measure | tokens/s | of the machine's limits |", "|---|---|---:|---|"]
    for model, got in shares.items():
        for one in got["results"]:
            if one["kind"] == "prefill":
                text = ", ".join(f"{100 * share:.0f} % of {name}"
                                 for name, share in one.get("share_of_peak", {}).items())
            else:
                text = (f"{100 * one.get('share_of_read', 0):.0f} % of the read bandwidth; a step takes "
                        f"{one.get('weight_reads_per_step', 0):.2f} × reading the weights once")
            lines.append(f"| {TITLES.get(model, model)} | {one['name']} | {number(one['tokens_per_s'])} "
                         f"| {text} |")
        if got.get("resident_bytes"):
            lines.append(f"| {TITLES.get(model, model)} | resident, without KV | | "
                         f"{got['resident_bytes'] / got['weight_bytes']:.2f} × the packed weights |")
    return lines + [""]


def isa_note(limits) -> str:
    names = {entry["name"] for entry in (limits or {}).get("multiply", [])}
    missing = [text for key, text in (("amx_i8", "AMX"), ("avx512_vnni_i8", "AVX512-VNNI"),
                                      ("avx512_fma_f32", "AVX-512")) if key not in names]
    return (f"This CPU has no {', '.join(missing)}: rows that ask for it are not shown by it; both sides "
            "run with what it has.") if limits and missing else ""


def machine_section(cpu: str, machine: dict) -> list:
    lines = [f"### {cpu}", ""]
    if machine["limits"]:
        lines += limits_lines(machine["limits"])
    if note := isa_note(machine["limits"]):
        lines += [note, ""]
    known = [(row, job) for job in JOBS for row in job.rows if row.id in machine["rows"]]
    runs = {}
    if known:
        lines += ["| model | measure | Pelton | peer | its speed | ratio | quartiles | goal |",
                  "|---|---|---:|---|---:|---:|---|---|"]
    for row, job in known:
        entry = machine["rows"][row.id]
        lines += row_lines(row, TITLES[job.model], entry)
        key = (entry["date"], entry["commit"], entry["threads"], entry["rounds"])
        runs.setdefault(key, []).append(f"{TITLES[job.model]} {row.what}")
    lines.append("")
    if len(runs) == 1:
        date, commit, threads, rounds = next(iter(runs))
        lines += [f"{date}, commit {commit}, {threads} threads on every side, {rounds} rounds in turns.", ""]
    else:
        lines += [f"- {date}, commit {commit}, {threads} threads, {rounds} rounds in turns: "
                  + "; ".join(names) for (date, commit, threads, rounds), names in runs.items()] + [""]
    if share := max((entry.get("load_share", 0) for entry in machine["rows"].values()), default=0):
        lines += [f"`pelton-load` took at most {100 * share:.1f} % of a CPU.", ""]
    if machine["curves"].get("shares"):
        lines += share_lines(machine["curves"]["shares"])
    if machine["curves"].get("prefill"):
        (_, short), (tokens, long) = machine["curves"]["prefill"]
        lines += [f"{TITLES['smollm2']}: a prompt of {tokens:,} tokens is read at {number(long)} tokens/s, "
                  f"{100 * long / short:.0f} % of the speed at 512.", ""]
    lines += commands_of(known, machine)
    return lines


def commands_of(known: list, machine: dict) -> list:
    seen = []
    for row, _ in known:
        for command in machine["rows"][row.id]["commands"]:
            if command not in seen:
                seen.append(command)
    return ["<details><summary>Commands</summary>", "", "```", *seen, "```", "</details>", ""] if seen else []


def markdown(results: dict, pictures: list) -> str:
    lines = [BEGIN, FOOT, ""]
    for cpu, machine in results["machines"].items():
        lines += machine_section(cpu, machine)
    for title, name in pictures:
        lines += [f"![{title}]({name})", ""]
    return "\n".join(lines + [END])


def insert(page: str, part: str) -> str:
    """`page` with what stands between the markers replaced by `part` (which has them)."""
    before, found, rest = page.partition(BEGIN)
    _, ended, after = rest.partition(END)
    if not found or not ended:
        raise ValueError(f"the page has no {BEGIN} … {END}")
    return before + part + after
