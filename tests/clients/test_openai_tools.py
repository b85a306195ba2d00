"""Tools through the official Python client, against the running binary with the real SmolLM2.

Its template knows no tools, so the server tells it of them in the system message; what a small model then
does by itself is chance, so calls that must come are asked for by tool_choice.
"""
import json
import os

import openai
import pytest
from harness import Server

MODEL = os.environ["PELTON_MODEL_SMOLLM2"]
ASK = [{"role": "system", "content": 'A call: {"name": "get_weather", "arguments": {"city": "Berlin"}}'},
       {"role": "user", "content": "What is the weather in Paris?"}]
WEATHER = {"type": "function", "function": {
    "name": "get_weather", "description": "The weather of a city.",
    "parameters": {"city": "a city"}}}
ADD = {"type": "function", "function": {
    "name": "add", "parameters": {"type": "object", "properties": {"a": {"type": "number"}, "b": {"type": "number"}}}}}
NAMED = {"type": "function", "function": {"name": "get_weather"}}


@pytest.fixture(scope="module")
def server():
    with Server(f"smollm2={MODEL}", "--ctx", "2048", "--batch-invariant", "on", ready_s=120) as s:
        yield s


@pytest.fixture(scope="module")
def client(server):
    return openai.OpenAI(base_url=server.url + "/v1", api_key="none", max_retries=0, timeout=300)


def create(client, messages=ASK, **fields):
    return client.chat.completions.create(model="smollm2", messages=messages, temperature=0, max_tokens=96, **fields)


def test_a_named_tool_is_called(client):
    answer = create(client, tools=[WEATHER, ADD], tool_choice=NAMED, parallel_tool_calls=False)
    message = answer.choices[0].message
    assert [call.function.name for call in message.tool_calls] == ["get_weather"]
    assert json.loads(message.tool_calls[0].function.arguments)["city"] == "Paris"
    assert message.tool_calls[0].type == "function" and message.tool_calls[0].id.startswith("call_")
    assert answer.choices[0].finish_reason == "tool_calls" and message.content is None


def test_the_only_tool_is_called_when_one_is_required(client):
    answer = create(client, tools=[WEATHER], tool_choice="required", parallel_tool_calls=False)
    calls = answer.choices[0].message.tool_calls
    assert len(calls) == 1 and calls[0].function.name == "get_weather"


def test_a_streamed_call_is_the_whole_one_in_pieces(client):
    whole = create(client, tools=[WEATHER, ADD], tool_choice=NAMED, parallel_tool_calls=False)
    names, arguments, ids, reason, pieces = [], "", [], None, 0
    for chunk in create(client, tools=[WEATHER, ADD], tool_choice=NAMED, parallel_tool_calls=False, stream=True):
        choice = chunk.choices[0]
        reason = choice.finish_reason or reason
        for call in choice.delta.tool_calls or []:
            assert call.index == 0
            if call.function.name:
                names.append(call.function.name)
                ids.append(call.id)
            if call.function.arguments:
                arguments += call.function.arguments
                pieces += 1
    assert names == ["get_weather"] and ids[0].startswith("call_") and reason == "tool_calls"
    assert arguments == whole.choices[0].message.tool_calls[0].function.arguments
    assert pieces > 2  # as they form


def test_the_result_comes_back_and_is_used(client):
    call = create(client, tools=[WEATHER], tool_choice=NAMED, parallel_tool_calls=False).choices[0].message
    turns = ASK + [call.model_dump(exclude_none=True),
                   {"role": "tool", "tool_call_id": call.tool_calls[0].id, "content": "Sunny, 31 degrees."}]
    answer = create(client, turns, tools=[WEATHER])
    assert answer.choices[0].finish_reason in ("stop", "length", "tool_calls")
    said = answer.choices[0].message.content or ""
    assert answer.choices[0].message.tool_calls or "31" in said or "unny" in said, said


def test_none_shows_the_model_no_tools(client):
    plain = create(client)
    none = create(client, tools=[WEATHER], tool_choice="none")
    assert none.choices[0].message.content == plain.choices[0].message.content
    assert none.usage.prompt_tokens == plain.usage.prompt_tokens
    assert create(client, tools=[WEATHER]).usage.prompt_tokens > plain.usage.prompt_tokens


def test_several_choices_each_have_their_call(client):
    answer = create(client, tools=[WEATHER], tool_choice=NAMED, n=2)
    assert all(choice.message.tool_calls[0].function.name == "get_weather" for choice in answer.choices)
    ids = {choice.message.tool_calls[0].id for choice in answer.choices}
    assert len(ids) == 2


@pytest.mark.parametrize(("fields", "param"), [
    ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
    ({"tools": [WEATHER, WEATHER]}, "tools[1].function.name"),
    ({"tools": [WEATHER] * 129}, "tools"),
    ({"tools": [WEATHER], "tool_choice": {"type": "function", "function": {"name": "nobody"}}}, "tool_choice"),
    ({"tools": [WEATHER], "tool_choice": "sometimes"}, "tool_choice"),
    ({"tool_choice": "required"}, "tool_choice"),
    ({"tool_choice": NAMED}, "tool_choice"),
])
def test_what_cannot_be_is_refused_by_name(client, fields, param):
    with pytest.raises(openai.BadRequestError) as e:
        create(client, **fields)
    assert e.value.param == param
