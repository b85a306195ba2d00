"""Two tenants on a real model, one of them asking for many times its share."""
import hashlib
import os
import statistics
import threading
import time

import pytest
from harness import Server, StreamReader, request

POLITE, GREEDY = "polite-key-000001", "greedy-key-000001"
PROMPT = [1 + i % 4000 for i in range(300)]


def digest(key):
    return hashlib.sha256(key.encode()).hexdigest()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    config = tmp_path_factory.mktemp("config") / "pelton.yaml"
    config.write_text(f"""
models: [{{name: m, path: "{os.environ['PELTON_MODEL_SMOLLM2']}"}}]
max_running: 8
max_waiting: 16
ctx: 1024
keys:
  - {{tenant: polite, role: user, sha256: {digest(POLITE)}}}
  - {{tenant: greedy, role: operator, sha256: {digest(GREEDY)}}}
""")
    with Server([], "--config", str(config)) as s:
        yield s


def first_token_ms(server, key, salt, max_tokens=2):
    """Of a prompt nobody has sent before."""
    reply = request(server, "POST", "/v1/completions",
                    {"prompt": [salt % 4000 + 1] + PROMPT, "max_tokens": max_tokens, "timings": True,
                     "temperature": 0, "ignore_eos": True}, headers={"x-api-key": key}, timeout=120)
    assert reply.status == 200, reply.body
    return reply.json()["timings"]["first_token_ms"]


def longest_step_ms(server):
    figures = request(server, "GET", "/v1/engine", headers={"x-api-key": GREEDY}).json()["models"][0]
    used = [b["up_to"] or 6000 for b in figures["step_ms"] if b["count"]]
    return used[-1]


def test_a_flood_of_one_tenant_hardly_delays_another(server):
    alone = [first_token_ms(server, POLITE, i) for i in range(4)]
    stop = threading.Event()
    served = []

    def flood(salt):
        while not stop.is_set():
            salt += 100
            reply = request(server, "POST", "/v1/completions",
                            {"prompt": [salt % 4000 + 1] + PROMPT, "max_tokens": 64, "ignore_eos": True},
                            headers={"x-api-key": GREEDY}, timeout=120)
            served.append(reply.status)
            if reply.status != 200:
                time.sleep(0.2)

    threads = [threading.Thread(target=flood, args=(i,)) for i in range(40)]
    for thread in threads:
        thread.start()
    time.sleep(4)  # the queue is full
    beside = [first_token_ms(server, POLITE, 1000 + i) for i in range(6)]
    stop.set()
    for thread in threads:
        thread.join(120)
    assert 429 in served  # it was a flood, and its excess was told so
    # Half of the machine is the polite one's: twice as long, or a few steps more. Other programs on
    # this machine are given some room.
    bound = max(2 * statistics.median(alone), statistics.median(alone) + 3 * longest_step_ms(server))
    assert statistics.median(beside) <= 1.5 * bound, (alone, beside)


def test_a_long_prompt_beside_streams_leaves_their_pace(server):
    """The steps beside a long prompt keep to the target: what /v1/engine says, not a stop-watch."""
    body = {"prompt": [5] * 10, "max_tokens": 400, "ignore_eos": True, "stream": True, "temperature": 0}
    with StreamReader(server, "/v1/completions", body, headers={"x-api-key": POLITE}) as stream:
        events = stream.events()
        for _ in range(10):
            next(events)
        reply = request(server, "POST", "/v1/completions",
                        {"prompt": [7 + i % 3000 for i in range(900)], "max_tokens": 1, "timings": True},
                        headers={"x-api-key": GREEDY}, timeout=120)
        timings = reply.json()["timings"]
        figures = request(server, "GET", "/v1/engine", headers={"x-api-key": GREEDY}).json()["models"][0]
    assert figures["pace"]["target_ms"] >= 40
    assert timings["prompt_chunks"] > 4  # alone it takes 4
    assert figures["pace"]["prompt_rows"] >= 8
