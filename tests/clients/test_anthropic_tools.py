"""Tools through Anthropic's official Python client, against the running binary with the real SmolLM2."""
import os

import anthropic
import pytest
from harness import Server

MODEL = os.environ["PELTON_MODEL_SMOLLM2"]
SYSTEM = 'A call: {"name": "get_weather", "arguments": {"city": "Berlin"}}'
ASK = [{"role": "user", "content": "What is the weather in Paris?"}]
WEATHER = {"name": "get_weather", "description": "The weather of a city.", "input_schema": {"city": "a city"}}
ADD = {"name": "add", "input_schema": {"type": "object"}}
NAMED = {"type": "tool", "name": "get_weather", "disable_parallel_tool_use": True}


@pytest.fixture(scope="module")
def client():
    with Server(f"smollm2={MODEL}", "--ctx", "2048", "--batch-invariant", "on", ready_s=120) as server:
        yield anthropic.Anthropic(base_url=server.url, api_key="none", max_retries=0, timeout=300)


def fields_of(fields):
    return {"model": "smollm2", "max_tokens": 64, "system": SYSTEM, "messages": ASK, **fields,
            "extra_body": {"temperature": 0}}


def create(client, **fields):
    return client.messages.create(**fields_of(fields))


def test_a_named_tool_is_used(client):
    message = create(client, tools=[WEATHER, ADD], tool_choice=NAMED)
    assert message.stop_reason == "tool_use"
    block = message.content[-1]
    assert block.type == "tool_use" and block.name == "get_weather" and block.id.startswith("toolu_")
    assert block.input == {"city": "Paris"}


def test_any_tool_when_there_is_one(client):
    message = create(client, tools=[WEATHER], tool_choice={"type": "any", "disable_parallel_tool_use": True})
    assert [block.name for block in message.content if block.type == "tool_use"] == ["get_weather"]


def test_a_streamed_call_is_the_whole_one(client):
    whole = create(client, tools=[WEATHER], tool_choice=NAMED)
    pieces = 0
    with client.messages.stream(**fields_of({"tools": [WEATHER], "tool_choice": NAMED})) as stream:
        for event in stream:
            pieces += event.type == "input_json"
        final = stream.get_final_message()
    assert pieces > 2 and final.stop_reason == "tool_use"
    assert final.content[-1].input == whole.content[-1].input == {"city": "Paris"}


def test_the_result_comes_back(client):
    call = create(client, tools=[WEATHER], tool_choice=NAMED)
    turns = ASK + [{"role": "assistant", "content": [block.model_dump() for block in call.content]},
                   {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call.content[-1].id,
                                                 "content": "Sunny, 31 degrees."}]}]
    answer = create(client, messages=turns, tools=[WEATHER])
    assert answer.content and answer.stop_reason in ("end_turn", "max_tokens", "tool_use")
    def count(messages):
        return client.messages.count_tokens(model="smollm2", system=SYSTEM, messages=messages, tools=[WEATHER]).input_tokens
    longer = [dict(turns[2], content=[dict(turns[2]["content"][0], content="Sunny, 31 degrees. " * 10)])]
    assert count(ASK) < count(turns) < count(turns[:2] + longer)  # call and result reach the model


def test_tools_count_and_none_shows_none(client):
    def count(**fields):
        return client.messages.count_tokens(model="smollm2", messages=ASK, **fields).input_tokens
    assert count(tools=[WEATHER]) > count() == count(tools=[WEATHER], tool_choice={"type": "none"})


def test_thinking_may_be_asked_for(client):
    assert create(client, thinking={"type": "enabled", "budget_tokens": 1024}).content[0].type == "text"


@pytest.mark.parametrize("fields", [
    {"tools": [{"name": "w"}]}, {"tools": [{"type": "bash_20250124", "name": "bash"}]},
    {"tools": [WEATHER, WEATHER]}, {"tools": [WEATHER] * 129},
    {"tools": [WEATHER], "tool_choice": {"type": "tool", "name": "x"}}, {"tool_choice": {"type": "any"}}])
def test_what_cannot_be_is_refused(client, fields):
    with pytest.raises(anthropic.BadRequestError):
        create(client, **fields)
