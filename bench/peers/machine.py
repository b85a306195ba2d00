"""What a figure has to be read with: CPU, commit, paths, free disk, other work."""
import json
import os
import platform
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def paths() -> dict:
    """The variables of tools/setup/paths.sh."""
    text = subprocess.run(["bash", "-c", "source tools/setup/paths.sh && env -0"], cwd=ROOT,
                          check=True, capture_output=True).stdout.decode()
    return dict(item.split("=", 1) for item in text.split("\0") if "=" in item)


def clean_environment() -> dict:
    """Without what would change an engine behind the table's back."""
    dropped = ("PELTON_", "LLAMA_", "GGML_", "OMP_", "KMP_", "OV_", "VLLM_")
    return {k: v for k, v in os.environ.items() if not k.startswith(dropped)}


def output_of(argv: list, timeout_s: float = 3600, env=None) -> str:
    """What a program prints; its last words in the error when it fails. `env`: by default a clean one."""
    argv = [str(word) for word in argv]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=timeout_s,
                          env=env or clean_environment())
    if done.returncode != 0:
        raise RuntimeError(f"{shlex.join(argv)} ended with {done.returncode}: {done.stderr[-1500:]}")
    return done.stdout


def cpu_flags() -> set:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("flags"):
            return set(line.split(":", 1)[1].split())
    return set()


def cpu_name() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor() or "unknown CPU"


def commit() -> str:
    def git(*words):
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True).stdout.strip()
    dirty = "+changes" if git("status", "--porcelain", "--untracked-files=no") else ""
    return (git("rev-parse", "--short", "HEAD") or "unknown") + dirty


def busy_share(seconds: float = 1.0) -> float:
    """Part of the machine's CPU time that others take now."""
    import time

    def read():
        fields = [int(x) for x in Path("/proc/stat").read_text().splitlines()[0].split()[1:]]
        return sum(fields), fields[3] + fields[4]
    total, idle = read()
    time.sleep(seconds)
    total_after, idle_after = read()
    return 1 - (idle_after - idle) / max(1, total_after - total)


def need_disk(folder: Path, bytes_needed: int) -> None:
    """Refuses to write what would leave less than 2 GB on the disk."""
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if free < bytes_needed + 2_000_000_000:
        raise RuntimeError(f"{folder}: {free / 1e9:.1f} GB free, {bytes_needed / 1e9:.1f} GB needed")


def short(words: list, env: dict) -> str:
    """A command as a reader can use it."""
    text = shlex.join(str(w) for w in words)
    return text.replace(env["PELTON_CACHE"], "$PELTON_CACHE").replace(str(ROOT) + "/", "")


def limits(binary: str, threads: int) -> dict:
    return json.loads(output_of([binary, "bench", "--machine", "--threads", threads, "--json"]))


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
