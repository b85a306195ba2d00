"""Ollama's official Python client against the running binary with the real SmolLM2."""
import asyncio
import datetime
import hashlib
import json
import os
import threading

import ollama
import pytest
from harness import Server, request, wait_for

MODEL = os.environ["PELTON_MODEL_SMOLLM2"]
USER, OPERATOR = "client-test-key-05", "client-test-oper-05"
SYSTEM = {"role": "system", "content": "You answer in one short sentence."}
CAPITAL = [SYSTEM, {"role": "user", "content": "What is the capital of France?"}]
RAW = "<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n"


def digest(key):
    return hashlib.sha256(key.encode()).hexdigest()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    config = tmp_path_factory.mktemp("config") / "pelton.yaml"
    config.write_text(f"""
models: [{{name: smollm2, path: "{MODEL}"}}]
keys:
  - {{tenant: acme, role: user, sha256: {digest(USER)}}}
  - {{tenant: ops, role: operator, sha256: {digest(OPERATOR)}}}
""")
    with Server([], "--config", str(config), "--ctx", "1024", "--batch-invariant", "on", ready_s=120) as s:
        yield s


def client_with(server, key):
    return ollama.Client(host=server.url, headers={"authorization": f"Bearer {key}"}, timeout=300)


@pytest.fixture(scope="module")
def client(server):
    return client_with(server, USER)


@pytest.fixture(scope="module")
def operator(server):
    return client_with(server, OPERATOR)


def options(**more):
    return {"temperature": 0, "num_predict": 32, **more}


def chat(client, messages=CAPITAL, more=None, **fields):
    return client.chat(model="smollm2", messages=messages, options=options(**(more or {})), **fields)


def moment(text):
    return datetime.datetime.fromisoformat(text[:26] + "+00:00")


def test_a_chat_and_its_figures(client):
    answer = chat(client)
    assert answer.model == "smollm2" and answer.message.role == "assistant" and "Paris" in answer.message.content
    assert answer.done and answer.done_reason == "stop"
    assert answer.prompt_eval_count > 20 and 1 < answer.eval_count < 32
    assert 0 < answer.prompt_eval_duration < answer.total_duration and 0 < answer.eval_duration < answer.total_duration
    assert 0 < answer.load_duration < answer.total_duration
    age = datetime.datetime.now(datetime.timezone.utc) - moment(answer.created_at)
    assert answer.created_at.endswith("Z") and abs(age.total_seconds()) < 60


def test_a_streamed_chat_is_the_whole_one_in_pieces(client):
    pieces = list(chat(client, stream=True))
    assert "".join(p.message.content for p in pieces) == chat(client).message.content
    assert len(pieces) > 3 and all(not p.done and p.done_reason is None for p in pieces[:-1])
    last = pieces[-1]
    assert last.done and last.done_reason == "stop" and last.message.content == "" and last.eval_count > 1


def test_a_prompt_is_a_chat_of_one_turn(client):
    answer = client.generate(model="smollm2", prompt=CAPITAL[1]["content"], system=SYSTEM["content"], options=options())
    assert answer.response == chat(client).message.content
    assert answer.done and answer.done_reason == "stop" and answer.eval_count > 1


def test_a_streamed_prompt(client):
    fields = {"model": "smollm2", "prompt": "Count to ten.", "options": options(num_predict=8)}
    pieces = list(client.generate(**fields, stream=True))
    assert "".join(p.response for p in pieces) == client.generate(**fields).response
    assert pieces[-1].done_reason == "length" and pieces[-1].eval_count == 8


def test_a_raw_prompt_has_the_control_tokens_that_it_writes(client):
    fields = {"model": "smollm2", "options": options()}
    raw = client.generate(**fields, prompt=RAW, raw=True)
    assert "Paris" in raw.response and raw.done_reason == "stop"
    # As text in a conversation they are text.
    assert client.generate(**fields, prompt=RAW).prompt_eval_count > raw.prompt_eval_count + 20


def test_the_end_has_its_reason(client):
    assert chat(client, more={"num_predict": 2}).done_reason == "length"
    stopped = chat(client, more={"stop": ["never", "Paris"]})
    assert stopped.done_reason == "stop" and "Paris" not in stopped.message.content


def test_num_predict_below_one_is_the_rest_of_the_context(client):
    assert chat(client, more={"num_predict": -1}).done_reason == "stop"
    # More than what is left of the context ends there.
    answer = client.generate(model="smollm2", prompt="word " * 1000, raw=True, options=options(num_predict=-1, temperature=1))
    assert answer.prompt_eval_count + answer.eval_count <= 1024


def test_one_seed_is_one_text(client):
    def text(seed):
        return chat(client, more={"temperature": 1.5, "seed": seed, "num_predict": 16}).message.content
    assert text(7) == text(7) and len({text(seed) for seed in range(6)}) > 1


def test_sampling_options_are_taken(client):
    answer = chat(client, more={"temperature": 1.0, "top_p": 0.9, "top_k": 20, "min_p": 0.05, "typical_p": 0.9,
                                "repeat_penalty": 1.1, "presence_penalty": 0.1, "frequency_penalty": 0.1, "num_predict": 4})
    assert answer.eval_count <= 4
    greedy = chat(client).message.content
    assert chat(client, more={"temperature": 1, "top_k": 1}).message.content == greedy


def test_several_turns_and_a_begun_answer(client):
    turns = [{"role": "user", "content": "My name is Ada."}, {"role": "assistant", "content": "Hello Ada."},
             {"role": "user", "content": "What is my name?"}]
    assert chat(client, turns, {"num_predict": 8}).prompt_eval_count > 40
    begun = CAPITAL + [{"role": "assistant", "content": "The capital of France is"}]
    assert chat(client, begun, {"num_predict": 4}).message.content.startswith(" Paris")


def test_log_probabilities(client):
    answer = chat(client, more={"num_predict": 3}, logprobs=True, top_logprobs=2)
    assert len(answer.logprobs) == 3 and all(p.logprob <= 0 and len(p.top_logprobs) == 2 for p in answer.logprobs)
    assert "".join(p.token for p in answer.logprobs) == answer.message.content
    streamed = [p for piece in chat(client, more={"num_predict": 3}, logprobs=True, stream=True) for p in piece.logprobs or []]
    assert [p.token for p in streamed] == [p.token for p in answer.logprobs]


def test_a_model_is_called_with_or_without_its_tag(client):
    for name in ("smollm2", "smollm2:latest"):
        answer = client.chat(model=name, messages=CAPITAL, options=options(num_predict=1))
        assert answer.model == name
    assert client.list().models[0].model == "smollm2:latest"


def test_the_models_there_are(client):
    model, = client.list().models
    assert model.size == os.path.getsize(MODEL) and len(model.digest) == 64
    assert model.modified_at.timestamp() == pytest.approx(os.path.getmtime(MODEL), abs=1)
    assert model.details.format == "gguf" and model.details.family == "llama" and model.details.families == ["llama"]
    assert model.details.parameter_size == "134.52M" and model.details.quantization_level
    assert client.list().models[0].digest == model.digest


def test_the_models_in_memory(client):
    model, = client.ps().models
    assert model.model == model.name == "smollm2:latest" and model.context_length == 1024 and model.size_vram == 0
    assert model.expires_at.year > 2300  # it stays


def test_one_model(client):
    shown = client.show("smollm2:latest")
    assert shown.details.family == shown.modelinfo["general.architecture"] == "llama"
    assert shown.modelinfo["llama.context_length"] == 1024 and shown.modelinfo["general.parameter_count"] == 134515008
    assert shown.capabilities == ["completion", "tools"]
    with pytest.raises(ollama.ResponseError) as missing:
        client.show("nobody")
    assert missing.value.status_code == 404


def test_the_version(server):
    answer = request(server, "GET", "/api/version", headers={"x-api-key": USER}).json()
    assert len(answer["version"].split(".")) == 3 and answer["pelton"]


def test_an_empty_prompt_loads(client):
    answer = client.generate(model="smollm2", keep_alive="5m")
    assert answer.done and answer.done_reason == "load" and answer.response == ""
    answer = client.chat(model="smollm2", messages=[])
    assert answer.done_reason == "load" and answer.message.content == ""
    assert [piece.done_reason for piece in client.generate(model="smollm2", stream=True)] == ["load"]


def test_an_operator_unloads_and_the_next_request_loads_again(client, operator):
    with pytest.raises(ollama.ResponseError) as refused:
        client.generate(model="smollm2", keep_alive=0)
    assert refused.value.status_code == 403 and len(client.ps().models) == 1
    answer = operator.generate(model="smollm2:latest", keep_alive=0)
    assert answer.done_reason == "unload" and answer.model == "smollm2:latest"
    assert client.ps().models == [] and len(client.list().models) == 1
    assert client.show("smollm2").modelinfo == {}
    assert operator.chat(model="smollm2", messages=[], keep_alive="0s").done_reason == "unload"  # again is no error
    answer = chat(client)
    assert "Paris" in answer.message.content and len(client.ps().models) == 1
    assert operator.generate(model="smollm2", keep_alive=0).done_reason == "unload"
    pieces = list(chat(client, stream=True))  # perhaps with empty ones while it loads
    assert "Paris" in "".join(p.message.content for p in pieces) and pieces[-1].done


def test_an_operator_loads_what_was_taken_away(server, client, operator):
    reply = request(server, "POST", "/v1/admin/models/smollm2/unload", "{}", {"x-api-key": OPERATOR})
    assert reply.status == 200
    with pytest.raises(ollama.ResponseError) as refused:
        client.generate(model="smollm2")
    assert refused.value.status_code == 503
    assert operator.generate(model="smollm2").done_reason == "load"
    assert "Paris" in chat(client).message.content


def test_pull_says_what_is_there_and_how_to_get_what_is_not(client):
    assert client.pull("smollm2").status == "success"
    assert [step.status for step in client.pull("smollm2:latest", stream=True)] == ["success"]
    with pytest.raises(ollama.ResponseError) as missing:
        client.pull("nobody")
    assert missing.value.status_code == 501 and "pelton pull" in missing.value.error


def test_what_is_not_there_says_so(client):
    for call in (lambda: client.embed(model="smollm2", input="x"), lambda: client.embeddings(model="smollm2", prompt="x"),
                 lambda: client.create(model="x", from_="smollm2"), lambda: client.copy("smollm2", "x"),
                 lambda: client.push("smollm2"), lambda: list(client.push("smollm2", stream=True)),
                 lambda: client.delete("smollm2")):
        with pytest.raises(ollama.ResponseError) as refused:
            call()
        assert refused.value.status_code == 501 and ("embed" in refused.value.error or "operator" in refused.value.error)


def test_a_blob_is_refused_before_it_is_read(client, tmp_path):
    blob = tmp_path / "blob"
    blob.write_bytes(b"GGUF" * 1000)
    with pytest.raises(ollama.ResponseError) as refused:
        client.create_blob(blob)
    assert refused.value.status_code == 501


def test_what_was_ignored_is_named(server):
    body = {"model": "smollm2", "messages": CAPITAL, "stream": False, "keep_alive": "5m", "new_thing": 1,
            "options": {"num_predict": 1, "num_ctx": 4096}}
    reply = request(server, "POST", "/api/chat", body, {"x-api-key": USER})
    assert reply.status == 200 and reply.headers["x-pelton-ignored"] == "new_thing, options.num_ctx, keep_alive"
    reply = request(server, "POST", "/api/chat", {**body, "stream": True}, {"x-api-key": USER})
    assert reply.headers["content-type"] == "application/x-ndjson"
    assert reply.headers["x-pelton-ignored"] == "new_thing, options.num_ctx, keep_alive"
    assert [json.loads(line)["done"] for line in reply.body.splitlines()][-1]


def test_what_cannot_be_done_is_refused_by_name(client):
    weather = {"type": "function", "function": {"name": "no name", "parameters": {"type": "object", "properties": {}}}}
    image = [{"role": "user", "content": "What is this?", "images": [b"\x89PNG"]}]
    for fields, name in (({"format": "json"}, "format"), ({"format": {"type": "object"}}, "format"),
                         ({"tools": [weather]}, "tools"), ({"think": "low", "tools": [weather, weather]}, "tools"),
                         ({"messages": image}, "messages.0.images"), ({"more": {"temperature": 3}}, "temperature"),
                         ({"more": {"mirostat": 1}}, "mirostat"), ({"keep_alive": "soon"}, "keep_alive")):
        with pytest.raises(ollama.ResponseError) as refused:
            chat(client, **fields)
        assert refused.value.status_code == 400 and name in refused.value.error
    for fields, name in (({"suffix": "x"}, "suffix"), ({"template": "{{ .Prompt }}"}, "template"),
                         ({"images": [b"\x89PNG"]}, "images"), ({"context": [1, 2]}, "context")):
        with pytest.raises(ollama.ResponseError) as refused:
            client.generate(model="smollm2", prompt="Hi", **fields)
        assert refused.value.status_code == 400 and name in refused.value.error


def test_what_asks_for_nothing_is_taken(client):
    assert chat(client, tools=[], think=False, format="").done_reason == "stop"


def test_errors_have_their_status(server, client):
    with pytest.raises(ollama.ResponseError) as missing:
        client.chat(model="nobody", messages=CAPITAL)
    assert missing.value.status_code == 404 and "nobody" in missing.value.error
    with pytest.raises(ollama.ResponseError) as missing:
        list(client.chat(model="nobody", messages=CAPITAL, stream=True))
    assert missing.value.status_code == 404
    with pytest.raises(ollama.ResponseError) as refused:
        chat(client_with(server, "wrong-key-00000000"))
    assert refused.value.status_code == 401
    with pytest.raises(ollama.ResponseError) as long:
        chat(client, [{"role": "user", "content": "word " * 4000}])
    assert long.value.status_code == 400 and "1024" in long.value.error


def test_errors_before_the_handler_have_the_shape_too(server):
    for method, key, body, status in (("GET", USER, None, 405), ("POST", USER, b"{", 400), ("POST", "", b"{}", 401),
                                      ("POST", "wrong-key-00000000", b"{}", 401)):
        reply = request(server, method, "/api/chat", body, headers={"x-api-key": key} if key else {})
        assert reply.status == status and list(reply.json()) == ["error"] and isinstance(reply.error, str)


def test_a_client_that_goes_away_stops_its_generation(server, client):
    stream = chat(client, more={"num_predict": 900, "temperature": 1}, stream=True)
    next(stream)
    stream.close()
    figures = lambda: request(server, "GET", "/v1/engine", headers={"x-api-key": OPERATOR}).json()["models"][0]  # noqa: E731
    assert wait_for(lambda: figures()["running"] == 0)


def test_the_asynchronous_client(server):
    async def ask():
        client = ollama.AsyncClient(host=server.url, headers={"authorization": f"Bearer {USER}"}, timeout=300)
        whole = await client.chat(model="smollm2", messages=CAPITAL, options=options())
        text = ""
        async for piece in await client.chat(model="smollm2", messages=CAPITAL, options=options(), stream=True):
            text += piece.message.content
        return whole.message.content, text
    whole, text = asyncio.run(ask())
    assert whole == text and "Paris" in whole


def test_many_at_once(client):
    wanted, answers = chat(client).message.content, []

    def ask():
        answers.append(chat(client).message.content)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert answers == [wanted] * 8


def test_tools_are_shown_to_the_model_and_results_come_back(client):
    weather = {"type": "function", "function": {"name": "get_weather", "parameters": {"city": "a city"}}}
    told = chat(client, tools=[weather])
    assert told.prompt_eval_count > chat(client).prompt_eval_count
    turns = CAPITAL + [{"role": "assistant", "content": "", "tool_calls": [
        {"function": {"name": "get_weather", "arguments": {"city": "Paris"}}}]},
        {"role": "tool", "tool_name": "get_weather", "content": "Sunny."}]
    assert chat(client, turns, tools=[weather]).done
    assert "tools" in client.show("smollm2").capabilities
    assert chat(client, think=False).message.content
