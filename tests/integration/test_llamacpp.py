"""What llama.cpp's server has beside OpenAI's API, with the real SmolLM2."""
import os

import pytest
from harness import Server, StreamReader, request

MODEL = os.environ["PELTON_MODEL_SMOLLM2"]
CAPITAL = [{"role": "user", "content": "What is the capital of France?"}]


@pytest.fixture(scope="module")
def server():
    with Server(f"smollm2={MODEL}", "--ctx", "1024", "--batch-invariant", "on", ready_s=120) as s:
        yield s


@pytest.fixture(scope="module")
def prompt(server):
    return request(server, "POST", "/apply-template", {"messages": CAPITAL}).json()["prompt"]


def complete(server, **fields):
    return request(server, "POST", "/completion", {"temperature": 0, "n_predict": 32, **fields})


def test_a_template_applied_and_completed_is_a_chat(server, prompt):
    assert prompt.startswith("<|im_start|>") and prompt.endswith("<|im_start|>assistant\n")
    answer = complete(server, prompt=prompt).json()
    chat = request(server, "POST", "/v1/chat/completions", {"messages": CAPITAL, "temperature": 0, "max_tokens": 32}).json()
    assert answer["content"] == chat["choices"][0]["message"]["content"] and "Paris" in answer["content"]
    assert answer["tokens_evaluated"] == chat["usage"]["prompt_tokens"]
    assert answer["stop"] and answer["stop_type"] == "eos" and answer["model"] == "smollm2"
    assert answer["timings"]["predicted_n"] == answer["tokens_predicted"] and answer["timings"]["predicted_per_second"] > 0


def test_token_ids_are_a_prompt(server, prompt):
    ids = request(server, "POST", "/tokenize", {"content": prompt, "parse_special": True}).json()["tokens"]
    assert complete(server, prompt=ids).json()["content"] == complete(server, prompt=prompt).json()["content"]


def test_a_stream_is_the_whole_answer_in_pieces(server, prompt):
    with StreamReader(server, "/completion", {"prompt": prompt, "stream": True, "temperature": 0, "n_predict": 32}) as stream:
        events = list(stream.events())
    assert "".join(event["content"] for event in events) == complete(server, prompt=prompt).json()["content"]
    assert [event["stop"] for event in events] == [False] * (len(events) - 1) + [True]


def test_the_end_has_its_reason(server, prompt):
    assert complete(server, prompt=prompt, n_predict=2).json()["stop_type"] == "limit"
    word = complete(server, prompt=prompt, stop=["Paris"]).json()
    assert (word["stop_type"], word["stopping_word"]) == ("word", "Paris") and "Paris" not in word["content"]


def test_what_the_server_is(server):
    props = request(server, "GET", "/props").json()
    assert props["default_generation_settings"]["n_ctx"] == 1024 and props["model_alias"] == "smollm2"
    assert request(server, "GET", "/slots").status == 501


def test_what_is_wrong_is_named(server):
    for fields, name in (({}, "prompt"), ({"prompt": ["a", "b"]}, "prompt"), ({"prompt": "a", "grammar": "x"}, "grammar"),
                         ({"prompt": "a", "temperature": 3}, "temperature"), ({"prompt": "a", "n_probs": 1}, "n_probs")):
        reply = complete(server, **fields)
        assert (reply.status, reply.error["param"]) == (400, name)
    assert request(server, "POST", "/apply-template", {"content": "a"}).error["param"] == "messages"
    reply = complete(server, prompt="a", n_predict=1, cache_prompt=True)
    assert reply.headers["x-pelton-ignored"] == "cache_prompt"
