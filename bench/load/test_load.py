"""pelton-load against the running server with a simulated model."""
import json
import os
import pathlib
import subprocess
import threading
import time

import pytest
from harness import Server

LOAD = pathlib.Path(os.environ["PELTON_BIN"]).with_name("pelton-load")


def load(server, *options, code=0):
    done = subprocess.run([LOAD, "--url", server.url, "--json", *map(str, options)],
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == code, done.stderr + done.stdout
    return json.loads(done.stdout) if done.stdout else done.stderr


@pytest.fixture(scope="module")
def server():
    with Server("sim:?rate=200&length=1000") as s:
        yield s


@pytest.mark.parametrize("api", ["completions", "chat"])
def test_tokens_are_counted_and_paced(server, api):
    got = load(server, "--api", api, "--streams", 8, "--requests", 2, "--warmup", 1, "--together",
               "--prompt-tokens", 20, "--output-tokens", 40)
    assert got["requests"] == 16 and got["failed"] == 0 and got["uncounted"] == 0
    assert got["completion_tokens"] == 16 * 40
    assert got["prompt_tokens"] >= 16 * 20 if api == "chat" else got["prompt_tokens"] == 16 * 20
    # Each stream makes 200 a second; a busy machine makes fewer, none makes more.
    assert 0 < got["tokens_per_s"] <= 8 * 200
    assert len(got["decode_tokens_per_s_runs"]) == 2 and got["decode_tokens_per_s"] > 0
    assert 0 < got["gap_ms"]["p50"] <= got["gap_ms"]["p95"] <= got["gap_ms"]["p99"] <= got["gap_ms"]["max"]
    assert 0 < got["ttft_ms"]["p50"] <= got["ttft_ms"]["max"]
    assert 0 < got["cpu_share"] <= 1


def test_streams_that_do_not_wait_overlap(server):
    got = load(server, "--streams", 4, "--requests", 3, "--prompt-tokens", 4, "--output-tokens", 20)
    assert got["completion_tokens"] == 12 * 20 and got["failed"] == 0


def test_a_refusal_is_a_failure_with_its_reason(server):
    got = load(server, "--prompt-tokens", 5000, "--output-tokens", 4, code=1)
    assert got["failed"] == 1 and "HTTP 400" in got["errors"][0], got


def test_a_server_that_dies_is_noticed():
    with Server("sim:?rate=20&length=1000") as s:
        killer = threading.Timer(1, s.kill)
        killer.start()
        got = load(s, "--streams", 4, "--output-tokens", 200, code=1)
        killer.join()
    assert got["failed"] == 4 and got["completion_tokens"] == 0


def test_a_client_that_leaves_frees_its_sequences(server):
    process = subprocess.Popen([LOAD, "--url", server.url, "--streams", "8", "--output-tokens", "900"],
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(0.5)
    process.kill()
    process.wait()
    got = load(server, "--streams", 8, "--output-tokens", 5)
    assert got["failed"] == 0


def test_only_this_machine():
    done = subprocess.run([LOAD, "--url", "http://192.0.2.1:80"], capture_output=True, text=True)
    assert done.returncode == 1 and "--allow-remote" in done.stderr


def test_bad_options_end_with_2():
    assert subprocess.run([LOAD, "--streams", "0"], capture_output=True).returncode == 2
    help_text = subprocess.run([LOAD, "--help"], capture_output=True, text=True, check=True).stdout
    assert "--prompt-tokens" in help_text
