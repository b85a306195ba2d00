"""Anthropic's official Python client against the running binary with the real SmolLM2."""
import os
import threading

import anthropic
import pytest
from harness import Server, request, wait_for

MODEL = os.environ["PELTON_MODEL_SMOLLM2"]
KEY = "client-test-key-03"
SYSTEM = "You answer in one short sentence."
CAPITAL = [{"role": "user", "content": "What is the capital of France?"}]
EVENTS = ["message_start", "content_block_start", "ping", "content_block_delta", "content_block_stop",
          "message_delta", "message_stop"]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    keys = tmp_path_factory.mktemp("keys") / "keys"
    keys.write_text(KEY + "\n")
    keys.chmod(0o600)
    with Server(f"smollm2={MODEL}", "--api-key-file", str(keys), "--ctx", "1024",
                "--batch-invariant", "on", ready_s=120) as s:
        yield s


@pytest.fixture(scope="module")
def client(server):
    return anthropic.Anthropic(base_url=server.url, api_key=KEY, max_retries=0, timeout=300)


def fields_of(fields):
    """The client has no argument for the temperature any more; the API has the field."""
    sampling = {name: fields.pop(name) for name in ("temperature", "top_p", "top_k") if name in fields}
    return {"model": "smollm2", "max_tokens": 32, "system": SYSTEM, "messages": CAPITAL, **fields,
            "extra_body": {"temperature": 0, **sampling}}


def create(client, **fields):
    return client.messages.create(**fields_of(fields))


def test_a_message(client):
    message = create(client)
    assert message.id.startswith("msg_") and message.type == "message" and message.role == "assistant"
    assert message.model == "smollm2" and message._request_id
    assert [block.type for block in message.content] == ["text"] and "Paris" in message.content[0].text
    assert message.stop_reason == "end_turn" and message.stop_sequence is None
    assert message.usage.input_tokens + message.usage.cache_read_input_tokens > 20
    assert 1 < message.usage.output_tokens < 32


def test_a_second_time_the_prompt_comes_from_the_cache_and_the_counts_add_up(client):
    first, second = create(client, max_tokens=4), create(client, max_tokens=4)
    def prompt(message):
        return message.usage.input_tokens + message.usage.cache_read_input_tokens
    assert prompt(first) == prompt(second) and second.usage.cache_read_input_tokens > 0
    assert second.usage.input_tokens >= 1 and first.content[0].text == second.content[0].text


def test_tokens_are_counted_as_they_are_used(client):
    counted = client.messages.count_tokens(model="smollm2", system=SYSTEM, messages=CAPITAL).input_tokens
    usage = create(client, max_tokens=1).usage
    assert counted == usage.input_tokens + usage.cache_read_input_tokens


def test_the_end_has_its_reason(client):
    message = create(client, max_tokens=2)
    assert message.stop_reason == "max_tokens" and message.usage.output_tokens == 2
    message = create(client, stop_sequences=["never", "Paris"])
    assert message.stop_reason == "stop_sequence" and message.stop_sequence == "Paris"
    assert "Paris" not in message.content[0].text


def test_raw_events_come_in_order(client):
    events = list(create(client, max_tokens=4, stream=True))
    names = [event.type for event in events]
    assert list(dict.fromkeys(names)) == [name for name in EVENTS if name in names]
    assert names[0] == "message_start" and names[-1] == "message_stop"
    start, delta = events[0].message, next(e for e in events if e.type == "message_delta")
    assert start.content == [] and start.stop_reason is None
    assert start.usage.input_tokens + start.usage.cache_read_input_tokens > 20
    assert delta.delta.stop_reason == "max_tokens" and delta.usage.output_tokens == 4


def test_a_streamed_message_is_the_whole_one_in_pieces(client):
    whole = create(client, max_tokens=16)
    with client.messages.stream(**fields_of({"max_tokens": 16})) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert text == whole.content[0].text == final.content[0].text
    assert final.stop_reason == whole.stop_reason and final.usage.output_tokens == whole.usage.output_tokens


def test_a_stop_sequence_in_a_stream(client):
    with client.messages.stream(**fields_of({"stop_sequences": ["Paris"]})) as stream:
        final = stream.get_final_message()
    assert final.stop_reason == "stop_sequence" and final.stop_sequence == "Paris"


def test_blocks_say_what_strings_say(client):
    blocks = [{"role": "user", "content": [{"type": "text", "text": CAPITAL[0]["content"]}]}]
    system = [{"type": "text", "text": SYSTEM, "cache_control": {"type": "ephemeral"}}]
    assert create(client, messages=blocks, system=system).content[0].text == create(client).content[0].text


def test_several_turns(client):
    turns = [{"role": "user", "content": "My name is Ada."}, {"role": "assistant", "content": "Hello Ada."},
             {"role": "user", "content": "What is my name?"}]
    message = create(client, messages=turns, max_tokens=8)
    assert message.content[0].text and message.usage.input_tokens + message.usage.cache_read_input_tokens > 40


def test_a_begun_answer_is_continued(client):
    begun = CAPITAL + [{"role": "assistant", "content": "The capital of France is"}]
    assert create(client, messages=begun, max_tokens=4).content[0].text.startswith(" Paris")


def test_sampling_fields_are_taken(client):
    message = create(client, temperature=1.0, top_p=0.9, top_k=20, max_tokens=4, metadata={"user_id": "u"})
    assert message.usage.output_tokens <= 4


def test_what_was_ignored_is_named(client):
    raw = client.messages.with_raw_response.create(model="smollm2", max_tokens=1, messages=CAPITAL,
                                                   metadata={"user_id": "u"}, extra_body={"new_thing": 1})
    assert raw.headers["x-pelton-ignored"] == "metadata, new_thing"
    assert raw.headers["request-id"] == raw.headers["x-request-id"]


def test_what_cannot_be_done_is_refused_by_name(client):
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}
    for fields, name in (({"tools": [{"name": "w"}]}, "tools.0.input_schema"), ({"thinking": {"type": "adaptive"}}, "thinking"),
                         ({"messages": [{"role": "user", "content": [image]}]}, "messages.0.content.0"),
                         ({"temperature": 1.5}, "temperature"), ({"messages": []}, "messages"),
                         ({"max_tokens": 0}, "max_tokens")):
        with pytest.raises(anthropic.BadRequestError) as refused:
            create(client, **fields)
        body = refused.value.body
        assert body["type"] == "error" and body["error"]["type"] == "invalid_request_error"
        assert name in body["error"]["message"] and body["request_id"]


def test_errors_have_their_classes(server, client):
    with pytest.raises(anthropic.NotFoundError) as missing:
        create(client, model="nobody")
    assert missing.value.body["error"]["type"] == "not_found_error"
    stranger = anthropic.Anthropic(base_url=server.url, api_key="wrong-key-00000000", max_retries=0)
    with pytest.raises(anthropic.AuthenticationError) as refused:
        create(stranger)
    assert refused.value.body["error"]["type"] == "authentication_error"
    with pytest.raises(anthropic.BadRequestError) as long:
        create(client, messages=[{"role": "user", "content": "word " * 4000}])
    assert "1024" in long.value.body["error"]["message"]


def test_errors_before_the_handler_have_the_shape_too(server):
    for method, key, body, status, kind in (("GET", KEY, None, 405, "invalid_request_error"),
                                            ("POST", KEY, b"{", 400, "invalid_request_error"),
                                            ("POST", "", b"{}", 401, "authentication_error"),
                                            ("POST", "wrong-key-00000000", b"{}", 401, "authentication_error")):
        reply = request(server, method, "/v1/messages", body, headers={"x-api-key": key} if key else {})
        answer = reply.json()
        assert reply.status == status and answer["type"] == "error" and answer["error"]["type"] == kind
        assert answer["request_id"] == reply.headers["request-id"] == reply.headers["x-request-id"]


def test_a_client_that_goes_away_stops_its_generation(server, client):
    with client.messages.stream(**fields_of({"max_tokens": 900, "temperature": 1})) as stream:
        next(iter(stream.text_stream))
    figures = lambda: request(server, "GET", "/v1/engine", headers={"x-api-key": KEY}).json()["models"][0]  # noqa: E731
    assert wait_for(lambda: figures()["running"] == 0)


def test_many_at_once(client):
    wanted, answers = create(client).content[0].text, []

    def ask():
        answers.append(create(client).content[0].text)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert answers == [wanted] * 8
