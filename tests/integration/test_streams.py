"""Streams: their form, vanished clients, slow readers, signs of life."""
import json
import random
import socket
import threading
import time

import pytest
from harness import Server, StreamReader, disconnect_at_random, metric, request, wait_for

CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
HELLO = [{"role": "user", "content": "Hello"}]


@pytest.fixture(scope="module")
def server():
    with Server("sim:?rate=500&length=10") as s:
        yield s


def chat_body(**fields):
    return {"messages": HELLO, "stream": True, **fields}


def test_a_chat_stream_has_role_text_reason_usage_done(server):
    with StreamReader(server, CHAT, chat_body(stream_options={"include_usage": True})) as stream:
        events = list(stream.events())
        assert stream.done and stream.header("content-type") == "text/event-stream"
    assert len({e["id"] for e in events}) == 1
    assert events[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert events[-2]["choices"][0]["finish_reason"] == "stop"
    assert events[-1]["choices"] == [] and events[-1]["usage"]["completion_tokens"] == 10
    assert all(e["usage"] is None for e in events[:-1])


def test_streamed_and_whole_answers_are_the_same(server):
    for fields in ({"seed": 3}, {"temperature": 0}, {"seed": 3, "n": 3}):
        whole = request(server, "POST", CHAT, {"messages": HELLO, **fields}).json()
        texts = {}
        with StreamReader(server, CHAT, chat_body(**fields)) as stream:
            for event in stream.events():
                choice = event["choices"][0]
                texts[choice["index"]] = texts.get(choice["index"], "") + choice["delta"].get("content", "")
        assert [texts[i] for i in sorted(texts)] == [c["message"]["content"] for c in whole["choices"]]
    assert len(set(texts.values())) == 3


def test_logprobs_in_both_shapes(server):
    whole = request(server, "POST", CHAT, {"messages": HELLO, "logprobs": True, "top_logprobs": 2}).json()
    content = whole["choices"][0]["logprobs"]["content"]
    assert len(content) == 10 and all(len(t["top_logprobs"]) == 2 for t in content)
    assert "".join(t["token"] for t in content) == whole["choices"][0]["message"]["content"]
    assert bytes(content[0]["bytes"]).decode() == content[0]["token"]
    whole = request(server, "POST", COMPLETIONS, {"prompt": "a", "logprobs": 2, "max_tokens": 4}).json()
    logprobs = whole["choices"][0]["logprobs"]
    assert "".join(logprobs["tokens"]) == whole["choices"][0]["text"]
    assert logprobs["text_offset"][0] == 0 and len(logprobs["token_logprobs"]) == 4


def test_several_prompts_and_choices(server):
    whole = request(server, "POST", COMPLETIONS,
                    {"prompt": ["a", "bb", [97, 98]], "n": 2, "max_tokens": 2, "seed": 1}).json()
    assert [c["index"] for c in whole["choices"]] == list(range(6))
    assert whole["usage"]["completion_tokens"] == 12
    assert whole["usage"]["prompt_tokens"] == 2 + 3 + 2


def test_stop_strings_are_exact(server):
    text = request(server, "POST", CHAT, {"messages": HELLO, "seed": 1}).json()["choices"][0]["message"]["content"]
    stop = text[8:15]
    reply = request(server, "POST", CHAT, {"messages": HELLO, "seed": 1, "stop": stop}).json()
    assert reply["choices"][0]["message"]["content"] == text[:text.index(stop)]
    assert reply["choices"][0]["finish_reason"] == "stop"


def test_tokenize_and_detokenize_in_both_shapes(server):
    vllm = request(server, "POST", "/tokenize", {"prompt": "ab<s>", "return_token_strs": True}).json()
    assert vllm["count"] == 6 and vllm["tokens"][1:3] == [97, 98] and vllm["max_model_len"] == 4096
    assert vllm["token_strs"][1] == "a"
    llama = request(server, "POST", "/tokenize", {"content": "ab", "with_pieces": True}).json()
    assert llama == {"tokens": [{"id": 97, "piece": "a"}, {"id": 98, "piece": "b"}]}
    assert request(server, "POST", "/tokenize", {"content": "<s>"}).json()["tokens"] == [60, 115, 62]
    assert request(server, "POST", "/tokenize", {"content": "<s>", "parse_special": True}).json()["tokens"] == [256]
    chat = request(server, "POST", "/tokenize", {"messages": HELLO}).json()
    whole = request(server, "POST", CHAT, {"messages": HELLO, "max_tokens": 1}).json()
    assert chat["count"] == whole["usage"]["prompt_tokens"]
    assert request(server, "POST", "/detokenize", {"tokens": [97, 98]}).json() == {"prompt": "ab", "content": "ab"}
    assert request(server, "POST", "/detokenize", {"tokens": [99999]}).error["param"] == "tokens"


def test_a_long_prefill_shows_signs_of_life():
    with Server("sim:?rate=100&prefill=10&length=1") as slow:  # about 5 s for the prompt
        body = {"prompt": "x" * 50, "stream": True}
        with StreamReader(slow, COMPLETIONS, body) as stream:
            begun = time.monotonic()
            first = next(stream.lines())
            assert first.startswith(":") and 2 <= time.monotonic() - begun <= 4
            assert any("text_completion" in line for line in stream.lines())


def test_a_vanished_client_ends_its_generation_within_two_steps():
    with Server("sim:?rate=20&length=100000&context=65536") as s:
        for streamed in (True, False):
            stream = StreamReader(s, CHAT, chat_body(stream=streamed))
            assert wait_for(lambda: metric(s, "pelton_sequences_running") == 1)
            before = metric(s, "pelton_generated_tokens_total")
            stream.close()
            assert wait_for(lambda: metric(s, "pelton_sequences_running") == 0, 2)
            # 20 tokens a second: more than a few means that nobody had told the loop.
            assert metric(s, "pelton_generated_tokens_total") - before <= 6
        assert wait_for(lambda: metric(s, 'pelton_sequences_finished_total{model="sim",reason="cancelled"}') == 2)


def test_a_thousand_disconnects_leave_nothing_behind():
    with Server("sim:?rate=200&length=200&slots=32&queue=64") as s:
        request(s, "POST", CHAT, {"messages": HELLO})
        wait_for(lambda: metric(s, "pelton_connections") <= 1)
        before = (s.descriptors(), s.threads())
        memory = s.resident_bytes()

        def storm(seed):
            rng = random.Random(seed)
            for _ in range(125):
                disconnect_at_random(s, rng)

        threads = [threading.Thread(target=storm, args=(seed,)) for seed in range(8)]
        [t.start() for t in threads]
        [t.join() for t in threads]
        assert wait_for(lambda: metric(s, "pelton_admitted_sequences") == 0)
        for gauge in ("pelton_sequences_running", "pelton_sequences_waiting", "pelton_kv_blocks_used",
                      "pelton_prep_queued"):
            assert metric(s, gauge) == 0, gauge
        # The one more that `before` may have is the connection of the request before it.
        assert wait_for(lambda: s.descriptors() <= before[0] and s.threads() == before[1]), \
            (s.descriptors(), s.threads(), before)
        assert s.resident_bytes() - memory < 32 << 20
        assert request(s, "POST", CHAT, {"messages": HELLO}).status == 200


def test_a_slow_reader_pauses_only_itself():
    with Server("sim:?rate=20000&length=1000000&context=1048576", "--write-buffer-max", "16384") as s:
        slow = StreamReader(s, CHAT, chat_body(), receive_buffer=65536)
        assert wait_for(lambda: metric(s, "pelton_generated_tokens_total") > 0)

        def stands():
            before = metric(s, "pelton_generated_tokens_total")
            time.sleep(0.3)
            return metric(s, "pelton_generated_tokens_total") == before

        assert wait_for(stands, 20), "generation goes on although nobody reads"
        assert metric(s, "pelton_sequences_running") == 1
        # Others are not held up.
        begun = time.monotonic()
        assert request(s, "POST", CHAT, {"messages": HELLO, "max_tokens": 20}).status == 200
        assert time.monotonic() - begun < 2
        # And it goes on when its reader does.
        before = metric(s, "pelton_generated_tokens_total")
        events = slow.events()
        for _ in range(200):  # what the kernel holds for the reader comes first
            for _ in range(500):
                next(events)
            if metric(s, "pelton_generated_tokens_total") > before:
                break
        else:
            raise AssertionError("generation does not go on although its reader does")
        slow.close()
        assert wait_for(lambda: metric(s, "pelton_sequences_running") == 0)


def test_a_full_server_says_when_to_come_back():
    with Server("sim:?rate=1&length=1000&slots=1&queue=1") as s:
        streams = [StreamReader(s, CHAT, chat_body()) for _ in range(2)]
        assert wait_for(lambda: metric(s, "pelton_admitted_sequences") == 2)
        begun = time.monotonic()
        reply = request(s, "POST", CHAT, {"messages": HELLO})
        assert time.monotonic() - begun < 1
        assert reply.status == 429 and int(reply.headers["retry-after"]) >= 1
        assert reply.error["type"] == "rate_limit_error"
        [stream.close() for stream in streams]


def test_metrics_have_vllms_names_and_count():
    with Server("sim:?rate=1000&length=5") as s:
        request(s, "POST", CHAT, {"messages": HELLO, "n": 2})
        request(s, "POST", CHAT, {"messages": HELLO, "n": 0})
        for name in ("vllm:num_requests_running", "vllm:num_requests_waiting", "vllm:kv_cache_usage_perc"):
            assert metric(s, name) == 0
        assert metric(s, "pelton_generated_tokens_total") == 10
        assert metric(s, "pelton_time_to_first_token_seconds_count") == 2
        assert metric(s, "pelton_inter_token_seconds_count") == 8
        route = 'pelton_http_requests_total{method="POST",route="/v1/chat/completions",status='
        assert metric(s, route + '"200"}') == 1 and metric(s, route + '"400"}') == 1


def test_what_waits_too_long_is_dropped_unstarted():
    with Server("sim:?rate=1&length=1000&slots=1", "--request-timeout-s", "1") as s:
        first = StreamReader(s, CHAT, chat_body())
        assert wait_for(lambda: metric(s, "pelton_sequences_running") == 1)
        reply = request(s, "POST", CHAT, {"messages": HELLO})
        assert (reply.status, reply.error["code"]) == (504, "deadline_exceeded")
        first.close()


def test_expect_continue_is_answered_before_the_body():
    with Server("sim:?rate=1000") as s:
        body = json.dumps({"prompt": "x" * 2000, "max_tokens": 1}).encode()
        with socket.create_connection(("127.0.0.1", s.port), timeout=5) as c:
            c.sendall(b"POST /v1/completions HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\n"
                      b"content-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body))
            assert c.recv(100).startswith(b"HTTP/1.1 100 ")
            c.sendall(body)
            assert c.recv(100).startswith(b"HTTP/1.1 200 ")
