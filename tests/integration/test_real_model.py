"""The server on the real SmolLM2: what a simulation cannot show."""
import os
import random
import threading
import time

import pytest
from harness import Server, StreamReader, disconnect_at_random, metric, request, wait_for

CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
HELLO = [{"role": "user", "content": "Hello"}]
MODEL = os.environ["PELTON_MODEL_SMOLLM2"]


@pytest.fixture(scope="module")
def server():
    with Server(f"smollm2={MODEL}", "--ctx", "2048", "--max-running", "16",
                "--batch-invariant", "on", ready_s=120) as s:
        yield s


def nothing_runs(server):
    return all(metric(server, name) == 0 for name in (
        "pelton_sequences_running", "pelton_sequences_waiting", "pelton_kv_blocks_used",
        "pelton_admitted_sequences", "pelton_prep_queued"))


def test_a_thousand_disconnects_leave_no_block_thread_or_descriptor(server):
    request(server, "POST", CHAT, {"messages": HELLO, "max_tokens": 2}, timeout=120)
    assert wait_for(lambda: nothing_runs(server), 30)
    before = (server.descriptors(), server.threads())

    def storm(seed):
        rng = random.Random(seed)
        for _ in range(250):
            disconnect_at_random(server, rng)

    threads = [threading.Thread(target=storm, args=(seed,)) for seed in range(4)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert wait_for(lambda: nothing_runs(server), 60)
    assert wait_for(lambda: server.descriptors() <= before[0] and server.threads() == before[1])
    assert request(server, "POST", CHAT, {"messages": HELLO, "max_tokens": 2}, timeout=120).status == 200


def test_a_vanished_client_ends_its_generation_within_two_steps(server):
    stream = StreamReader(server, CHAT, {"messages": HELLO, "stream": True, "max_tokens": 1500,
                                         "ignore_eos": True}, timeout=120)
    events = stream.events()
    for _ in range(4):
        next(events)
    stream.close()
    gone = metric(server, "pelton_steps_total")
    assert wait_for(lambda: nothing_runs(server), 30)
    time.sleep(0.3)
    # Two steps after the loop heard of it; a few more may pass until this test has read the figure.
    assert metric(server, "pelton_steps_total") - gone <= 8


def test_a_seed_gives_the_same_text_alone_and_in_company(server):
    body = {"messages": HELLO, "seed": 11, "temperature": 1, "max_tokens": 12}

    def ask(out, fields):
        reply = request(server, "POST", CHAT, {**body, **fields}, timeout=300)
        out.append(reply.json()["choices"][0]["message"]["content"])

    alone, company, others = [], [], []
    ask(alone, {})
    threads = [threading.Thread(target=ask, args=(others, {"seed": i, "max_tokens": 20})) for i in range(6)]
    threads.append(threading.Thread(target=ask, args=(company, {})))
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert company == alone
    assert len(set(others)) > 3


def test_a_prompt_too_long_names_both_numbers(server):
    reply = request(server, "POST", COMPLETIONS, {"prompt": "word " * 3000}, timeout=120)
    assert reply.status == 400 and reply.error["code"] == "context_length_exceeded"
    assert "2048" in reply.error["message"] and "300" in reply.error["message"]


def test_tokens_come_back_as_the_text_they_were(server):
    text = "Grüße, 世界! \U0001f600 <|im_end|>\n\tcode();"
    ids = request(server, "POST", "/tokenize", {"content": text}).json()["tokens"]
    assert request(server, "POST", "/detokenize", {"tokens": ids}).json()["content"] == text
    special = request(server, "POST", "/tokenize", {"content": "<|im_end|>", "parse_special": True})
    plain = request(server, "POST", "/tokenize", {"content": "<|im_end|>"})
    assert len(special.json()["tokens"]) == 1 < len(plain.json()["tokens"])


def test_speculation_saves_steps_and_changes_no_character(server):
    repeating = "def f(a, b, c):\n    return a + b + c\n\n" * 3
    bodies = [{"prompt": repeating, "max_tokens": 60, "temperature": 0, "ignore_eos": True},
              {"prompt": repeating, "max_tokens": 40, "temperature": 0.7, "seed": 5, "logprobs": 3,
               "frequency_penalty": 0.2, "stop": ["c)c"]}]

    def answers(of):
        return [request(of, "POST", COMPLETIONS, body, timeout=300).json()["choices"] for body in bodies]

    assert wait_for(lambda: nothing_runs(server), 60)
    names = ["pelton_drafts_total", "pelton_draft_tokens_total", "pelton_accepted_draft_tokens_total"]
    before = [metric(server, name) for name in names]
    steps = metric(server, "pelton_steps_total")
    with_guesses = answers(server)
    assert wait_for(lambda: nothing_runs(server), 60)
    steps = metric(server, "pelton_steps_total") - steps
    drafts, drafted, accepted = [metric(server, n) - b for n, b in zip(names, before)]
    assert 0 < drafts <= drafted and 0 < accepted <= drafted
    assert steps < 100 - accepted / 2  # 100 tokens; a guess that is right saves a step
    for name, alias in zip(names, ("drafts", "draft_tokens", "accepted_tokens")):
        assert metric(server, f"vllm:spec_decode_num_{alias}_total") == metric(server, name)
    with Server(f"smollm2={MODEL}", "--ctx", "2048", "--speculation", "off",
                "--batch-invariant", "on", ready_s=120) as off:
        assert answers(off) == with_guesses
        assert all(metric(off, name) == 0 for name in names)
