"""From start to end: what keeps it from starting, readiness, drain, signals."""
import json
import os
import signal
import socket
import subprocess
import threading
import time

import pytest
from harness import Server, StreamReader, free_port, request

CHAT = "/v1/chat/completions"
HELLO = [{"role": "user", "content": "Hello"}]
PELTON = os.environ["PELTON_BIN"]


def start(*options, env=None):
    """The exit code and standard error of a start that must fail."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("PELTON_")}
    done = subprocess.run([PELTON, "serve", *options], capture_output=True, text=True, timeout=60,
                          env={**clean, **(env or {})})
    return done.returncode, done.stderr


def fails_with(words, *options):
    code, errors = start(*options)
    assert code not in (0, None) and code > 0, errors
    assert errors.count("\n") == 1, errors
    for word in words:
        assert word in errors, errors


def test_a_busy_port_is_one_line():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        fails_with(["127.0.0.1", str(port)], "--model", "sim:", "--port", str(port))


def test_a_missing_or_damaged_model_is_one_line(tmp_path):
    fails_with(["nowhere.gguf"], "--model", str(tmp_path / "nowhere.gguf"), "--port", "0")
    damaged = tmp_path / "damaged.gguf"
    damaged.write_bytes(b"GGUF\x03\x00\x00\x00" + b"\xff" * 64)
    fails_with(["damaged.gguf"], "--model", str(damaged), "--port", "0")
    damaged.write_bytes(b"not a model at all")
    fails_with(["damaged.gguf"], "--model", str(damaged), "--port", "0")
    os.mkfifo(tmp_path / "pipe.gguf")
    fails_with(["pipe.gguf"], "--model", str(tmp_path / "pipe.gguf"), "--port", "0")


def test_bad_options_are_one_line(tmp_path):
    fails_with(["sim", "speed"], "--model", "sim:?speed=1", "--port", "0")
    fails_with(["two models"], "--model", "a=sim:", "--model", "a=sim:", "--port", "0")
    code, errors = start("--model", "sim:", "--prot", "1")
    assert code == 2 and "did you mean '--port'" in errors
    fails_with(["loopback", "--api-key-file"], "--model", "sim:", "--host", "0.0.0.0", "--port", "0")
    fails_with(["key file"], "--model", "sim:", "--port", "0", "--api-key-file", str(tmp_path / "none"))


def test_a_key_file_that_others_can_read_is_refused(tmp_path):
    keys = tmp_path / "keys"
    keys.write_text("operator-key-0001\n")
    for mode in (0o644, 0o640, 0o602):
        keys.chmod(mode)
        fails_with(["chmod 600"], "--model", "sim:", "--port", "0", "--api-key-file", str(keys))
    keys.chmod(0o600)
    with Server("sim:", "--api-key-file", str(keys), "--host", "0.0.0.0") as s:
        assert request(s, "GET", "/v1/models").status == 401
        key = {"authorization": "Bearer operator-key-0001"}
        assert request(s, "GET", "/metrics", headers=key).status == 200


def test_open_to_all_makes_everyone_a_user():
    with Server("sim:", "--host", "0.0.0.0", "--allow-unauthenticated") as s:
        assert request(s, "GET", "/v1/models").status == 200
        assert request(s, "GET", "/metrics").status == 403


def test_it_starts_fast_and_says_where_it_listens():
    with Server("sim:") as s:
        assert f"ready in" in s.output and f"http://127.0.0.1:{s.port}" in s.output
        assert "curl" in s.output
        assert request(s, "GET", "/version").json()["name"] == "pelton"
        for path in ("/healthz", "/readyz", "/health", "/ping"):
            assert request(s, "GET", path).status == 200


def test_probes_notice_a_loop_that_stands_still():
    with Server("sim:?rate=1000&stall_after=3", "--stall-s", "1") as s:
        assert request(s, "GET", "/healthz").status == 200
        stream = StreamReader(s, CHAT, {"messages": HELLO, "stream": True})
        time.sleep(1.5)
        assert request(s, "GET", "/healthz").status == 503
        assert request(s, "GET", "/ping").status == 503
        assert request(s, "GET", "/readyz").status == 503
        stream.close()
        s.kill()


def test_sigterm_finishes_what_runs_and_refuses_what_comes():
    with Server("sim:?rate=20&length=30") as s:  # answers of 1.5 s
        stream = StreamReader(s, CHAT, {"messages": HELLO, "stream": True})
        assert next(stream.events())
        s.process.send_signal(signal.SIGTERM)
        time.sleep(0.2)
        assert request(s, "GET", "/readyz").status == 503
        assert request(s, "GET", "/healthz").status == 200
        refused = request(s, "POST", CHAT, {"messages": HELLO})
        assert refused.status == 503 and "retry-after" in refused.headers
        rest = list(stream.events())
        assert stream.done and rest[-1]["choices"][0]["finish_reason"] == "stop"
        assert s.process.wait(10) == 0


def test_an_idle_server_ends_at_once():
    s = Server("sim:")
    begun = time.monotonic()
    assert s.terminate() == 0
    assert time.monotonic() - begun < 2
    s.kill()


def test_what_does_not_end_in_time_is_told_so():
    with Server("sim:?rate=10&length=100000&context=1000000", "--drain-s", "1") as s:
        stream = StreamReader(s, CHAT, {"messages": HELLO, "stream": True})
        events = stream.events()
        next(events)
        begun = time.monotonic()
        s.process.send_signal(signal.SIGTERM)
        rest = list(events)
        assert not stream.done and rest[-1]["error"]["type"] == "service_unavailable_error"
        assert s.process.wait(10) == 0
        assert time.monotonic() - begun < 6


def test_work_that_cannot_be_ended_does_not_keep_it():
    with Server("sim:?rate=1000&stall_after=3", "--drain-s", "1") as s:
        stream = StreamReader(s, CHAT, {"messages": HELLO, "stream": True})
        next(stream.events())
        begun = time.monotonic()
        assert s.terminate(20) == 0
        assert time.monotonic() - begun < 10
        stream.close()


def test_a_client_that_goes_just_before_the_end():
    for _ in range(5):
        with Server("sim:?rate=3&length=100") as s:
            stream = StreamReader(s, CHAT, {"messages": HELLO, "stream": True})
            next(stream.events())
            stream.close()
            begun = time.monotonic()
            assert s.terminate(20) == 0
            assert time.monotonic() - begun < 3


def test_a_second_signal_ends_it_at_once():
    s = Server("sim:?rate=1&length=100000")
    stream = StreamReader(s, CHAT, {"messages": HELLO, "stream": True})
    time.sleep(0.3)
    s.process.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    s.process.send_signal(signal.SIGTERM)
    assert s.process.wait(5) == 128 + signal.SIGTERM
    stream.close()
    s.kill()


def test_restarts_under_streams_break_none():
    for _ in range(3):
        with Server("sim:?rate=100&length=40") as s:
            ended = []

            def run():
                with StreamReader(s, CHAT, {"messages": HELLO, "stream": True}) as stream:
                    count = sum(1 for _ in stream.events())
                    ended.append((count, stream.done))

            threads = [threading.Thread(target=run) for _ in range(16)]
            [t.start() for t in threads]
            time.sleep(0.25)
            s.process.send_signal(signal.SIGTERM)
            [t.join() for t in threads]
            assert ended == [(42, True)] * 16
            assert s.process.wait(10) == 0


def test_options_come_from_environment_too():
    with Server("sim:", env={"PELTON_STRICT_API": "true"}) as s:
        assert request(s, "POST", CHAT, {"messages": HELLO, "foo": 1}).status == 400


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_it_listens_where_it_is_told(host):
    s = Server("sim:", "--host", host)
    try:
        with socket.create_connection((host, s.port), timeout=5):
            pass
    finally:
        assert s.terminate() == 0
        s.kill()
    assert free_port()


def test_the_access_log_has_one_line_a_request_and_nothing_said(tmp_path):
    log = tmp_path / "access.log"
    with Server("sim:?rate=1000&length=4", "--access-log", str(log)) as s:
        body = {"messages": [{"role": "user", "content": "a-secret-word"}], "n": 2}
        request(s, "POST", CHAT + "?key=secret-query", body, {"x-request-id": "mine"})
        request(s, "POST", CHAT, {"messages": []})
        request(s, "GET", "/none", headers={"x-api-key": "secret-key-0001"})
        gone = StreamReader(s, CHAT, {"messages": HELLO, "stream": True, "max_tokens": 4000,
                                      "ignore_eos": True})
        next(gone.events())
        gone.close()
    text = log.read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    lines.sort(key=lambda line: line["status"])  # a line may be written after the next request came
    assert [line["status"] for line in lines] == [200, 400, 404, 499]
    first = lines[0]
    assert (first["id"], first["model"], first["finish"]) == ("mine", "sim", "stop")
    assert first["completion_tokens"] == 8 and first["first_token_seconds"] > 0
    assert lines[3]["finish"] == "disconnect"
    assert "secret" not in text
