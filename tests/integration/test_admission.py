"""Deadlines, priorities, refusals under overload, and what the server says about slow answers."""
import hashlib
import json
import threading
import time

import pytest
from harness import Server, StreamReader, request, wait_for

CHAT = "/v1/chat/completions"
HELLO = [{"role": "user", "content": "Hello"}]
OPERATOR, ACME, OTHER = "operator-key-0001", "acme-key-00000001", "other-key-0000001"


def digest(key):
    return hashlib.sha256(key.encode()).hexdigest()


def ask(server, key=None, headers=None, **fields):
    sent = dict(headers or {})
    if key:
        sent["x-api-key"] = key
    return request(server, "POST", CHAT, {"messages": HELLO, **fields}, headers=sent)


@pytest.fixture()
def one_slot():
    """One sequence at a time, 2 s each."""
    with Server("sim:?rate=10&length=20&slots=1&queue=8") as s:
        with StreamReader(s, CHAT, {"messages": HELLO, "stream": True}) as first:
            next(first.events())
            yield s


def test_queued_work_past_its_time_is_dropped_with_504(one_slot):
    for how in ({"headers": {"x-request-timeout-ms": "300"}}, {"timeout": 0.3},
                {"timeout": 60, "headers": {"x-request-timeout-ms": "300"}}):
        began = time.monotonic()
        reply = ask(one_slot, **how)
        assert reply.status == 504, how
        assert reply.error["type"] == "timeout_error" and reply.error["code"] == "deadline_exceeded"
        assert 0.25 < time.monotonic() - began < 1.5
    with StreamReader(one_slot, CHAT, {"messages": HELLO, "stream": True, "timeout": 0.2}) as stream:
        assert stream.status == 504


def test_what_has_begun_outlives_its_timeout():
    with Server("sim:?rate=20&length=10") as server:
        assert ask(server, timeout=0.2).status == 200


def test_bad_timeouts_are_refused_by_name(one_slot):
    for value in ("0", "-1", "1.5", "", "soon", "86400001", "9" * 30):
        reply = ask(one_slot, headers={"x-request-timeout-ms": value})
        assert reply.status == 400 and reply.error["param"] == "x-request-timeout-ms", value
    for value in (0, -1, 86401, "1"):
        reply = ask(one_slot, timeout=value)
        assert reply.status == 400 and reply.error["param"] == "timeout", value


def test_lower_priority_values_go_first(one_slot):
    done = []

    def run(priority):
        assert ask(one_slot, priority=priority, max_tokens=1).status == 200
        done.append(priority)

    threads = []
    for priority in (5, 0, -5):
        threads.append(threading.Thread(target=run, args=(priority,)))
        threads[-1].start()
        assert wait_for(lambda n=len(threads): engine(one_slot)["waiting"] == n)
    for thread in threads:
        thread.join(30)
    assert done == [-5, 0, 5]


def engine(server, key=None):
    reply = request(server, "GET", "/v1/engine", headers={"x-api-key": key} if key else {})
    assert reply.status == 200
    return reply.json()["models"][0]


@pytest.fixture(scope="module")
def tenants(tmp_path_factory):
    config = tmp_path_factory.mktemp("config") / "pelton.yaml"
    config.write_text(f"""
models: [{{name: chat, path: "sim:?rate=1000&length=5"}}]
keys:
  - {{tenant: acme, role: user, sha256: {digest(ACME)}, weight: 2}}
  - {{tenant: other, role: user, sha256: {digest(OTHER)}}}
  - {{tenant: ops, role: operator, sha256: {digest(OPERATOR)}}}
""")
    with Server([], "--config", str(config)) as s:
        yield s


def test_only_operators_go_before_normal(tenants):
    assert ask(tenants, ACME, priority=-1).status == 403
    assert ask(tenants, ACME, priority=-1).error["param"] == "priority"
    assert ask(tenants, ACME, priority=1).status == 200
    assert ask(tenants, OPERATOR, priority=-1).status == 200


def test_an_answer_says_where_its_time_went_when_asked(tenants):
    assert "timings" not in ask(tenants, ACME).json()
    whole = ask(tenants, ACME, timings=True).json()["timings"]
    assert whole["completion_tokens"] == 5 and whole["decode_steps"] == 4
    assert whole["total_ms"] >= whole["first_token_ms"] >= whole["queue_ms"] >= 0
    assert whole["total_ms"] == pytest.approx(
        whole["prepare_ms"] + whole["queue_ms"] + whole["prefill_ms"] + whole["decode_ms"], abs=0.1)
    assert set(whole["waited_for"]) == {"places_ms", "kv_blocks_ms", "other_prompts_ms", "reader_ms"}
    body = {"messages": HELLO, "stream": True, "timings": True}
    with StreamReader(tenants, CHAT, body, headers={"x-api-key": ACME}) as stream:
        events = list(stream.events())
    assert events[-1]["choices"] == [] and events[-1]["timings"]["completion_tokens"] == 5
    assert all("timings" not in e for e in events[:-1])


def test_each_tenant_sees_its_own_requests_and_operators_all(tenants):
    ask(tenants, ACME, headers={"x-request-id": "of-acme"})
    ask(tenants, OTHER, headers={"x-request-id": "of-other"})

    def requests(key, query=""):
        reply = request(tenants, "GET", f"/v1/requests{query}", headers={"x-api-key": key})
        assert reply.status == 200
        return reply.json()["data"]

    assert requests(OTHER)[0]["id"] == "of-other"
    assert {r["tenant"] for r in requests(OTHER)} == {"other"}
    assert {r["tenant"] for r in requests(ACME)} == {"acme"}
    assert {"acme", "other"} <= {r["tenant"] for r in requests(OPERATOR)}
    assert len(requests(OPERATOR, "?limit=1")) == 1
    newest = requests(ACME)[0]
    assert newest["id"] == "of-acme" and newest["finish"] == "stop" and newest["timings"]["total_ms"] > 0
    for query in ("?limit=0", "?limit=1001", "?limit=x", "?tenant=acme", "?limit=1&x=2"):
        reply = request(tenants, "GET", f"/v1/requests{query}", headers={"x-api-key": OTHER})
        assert reply.status == 400 and "acme" not in reply.body.decode()


def test_the_engines_figures_are_the_operators(tenants):
    assert request(tenants, "GET", "/v1/engine", headers={"x-api-key": ACME}).status == 403
    figures = engine(tenants, OPERATOR)
    assert figures["model"] == "chat" and figures["running"] == 0 and figures["waiting"] == 0
    assert figures["kv"]["blocks"] > 0 and figures["generated_tokens"] > 0
    assert {"pace", "step_ms", "batch", "rows"} <= set(figures)


def refusals(path):
    with open(path) as log:
        return [json.loads(line) for line in log if '"status":429' in line or '"status":503' in line]


def test_ten_times_the_load_is_refused_fast_and_leaves_no_trace(tmp_path):
    # Serves 8 at once, 0.2 s each: 40 a second. Asked for ten times as many, for 8 s.
    log = tmp_path / "access"
    with Server("sim:?rate=100&length=20&slots=8&queue=16", "--access-log", str(log)) as server:
        calm = [ask(server, timings=True).json()["timings"]["first_token_ms"] for _ in range(5)]
        before = server.resident_bytes()
        stop = time.monotonic() + 8
        counts = {200: 0, 429: 0, 503: 0}
        lock = threading.Lock()

        def flood():
            while time.monotonic() < stop:
                reply = ask(server)
                assert reply.status == 200 or int(reply.headers["retry-after"]) >= 1
                with lock:
                    counts[reply.status] += 1

        threads = [threading.Thread(target=flood) for _ in range(64)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        ended = time.monotonic()
        assert counts[429] + counts[503] > 2 * counts[200]
        assert counts[200] > 8 * 40 * 0.7  # what it can serve it has served
        slow = sorted(line["seconds"] for line in refusals(log))
        assert slow[int(0.99 * (len(slow) - 1))] < 0.05
        assert server.resident_bytes() - before < 64 << 20
        assert wait_for(lambda: ask(server, timings=True).json()["timings"]["first_token_ms"]
                 < 2 * max(calm) + 20)
        assert time.monotonic() - ended < 5
        assert engine(server)["running"] == 0 and engine(server)["waiting"] == 0


def test_tools_count_before_they_are_read():
    def tools(size):
        return [{"type": "function", "function": {"name": "f", "description": "x" * size}}]

    with Server("sim:?rate=10&length=20", "--max-prompt-tokens", "5000") as server:
        with StreamReader(server, CHAT, {"messages": HELLO, "stream": True}) as first:
            next(first.events())
            assert ask(server, tools=tools(190_000)).status == 429
            assert ask(server, tools=tools(1_000), max_tokens=1).status == 200
