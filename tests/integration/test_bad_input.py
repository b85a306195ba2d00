"""What bad input gets: the right 4xx in OpenAI's shape that names the field, and a server that goes on."""
import json

import pytest
from harness import Server, raw, request

CHAT = "/v1/chat/completions"
HELLO = [{"role": "user", "content": "Hello"}]


@pytest.fixture(scope="module")
def server():
    with Server("sim:?rate=10000&length=5&context=256") as s:
        yield s
        assert request(s, "GET", "/healthz").status == 200


def chat(server, **fields):
    return request(server, "POST", CHAT, {"messages": HELLO, **fields})


@pytest.mark.parametrize("body", [
    b"", b"{", b"[]", b"null", b'"x"', b"\xff\xfe{}", b"{'a':1}", b'{"messages":[}',
    b'{"messages":[{"role":"user","content":"\\ud800"}]}', b"[" * 10_000, b'{"a":' * 10_000,
    b'{"temperature":NaN,"messages":[]}', b'{"temperature":1e999,"messages":[]}',
    b'{"model":"a","model":"b"}', b"\x00" * 100,
])
def test_what_is_no_json(server, body):
    for path in (CHAT, "/v1/completions", "/tokenize", "/detokenize"):
        reply = request(server, "POST", path, body, {"content-type": "application/json"})
        assert reply.status == 400
        assert reply.error["type"] == "invalid_request_error"


@pytest.mark.parametrize("field,value", [
    ("temperature", -0.1), ("temperature", 2.1), ("temperature", "1"), ("top_p", 1.1),
    ("n", 0), ("n", 9), ("n", 2**31), ("n", 1.5), ("max_tokens", 0), ("max_tokens", -1),
    ("max_tokens", 2**20 + 1), ("max_completion_tokens", 2**63), ("seed", 2**63),
    ("presence_penalty", 3), ("frequency_penalty", -2.5), ("top_k", -2), ("min_p", 1.5),
    ("logit_bias", {"x": 1}), ("logit_bias", {"1": 1000}), ("logit_bias", {"999999": 1}),
    ("stop", ["x"] * 17), ("stop", "x" * 257), ("stop", ""), ("stop", 5),
    ("top_logprobs", 5), ("top_logprobs", 21), ("logprobs", 1), ("stream", "yes"),
    ("stream_options", {"include_usage": True}), ("messages", []), ("messages", "x"),
    ("messages", None), ("tool_choice", "required"), ("response_format", {"type": "json_schema"}),
    ("audio", {"voice": "x"}), ("modalities", ["audio"]), ("store", True),
    ("chat_template", "{{ 1 }}"), ("chat_template_kwargs", {"tokenize": True}),
])
def test_the_field_at_fault_is_named(server, field, value):
    reply = chat(server, **{field: value})
    assert reply.status == 400, reply.body
    assert reply.error["param"] == field
    assert field in reply.error["message"]


@pytest.mark.parametrize("path", ["/api/chat", "/api/generate", "/api/show", "/api/pull"])
def test_ollamas_errors_are_one_text(server, path):
    for body, status in ((b"", 400), (b"{", 400), (b"[]", 400), (b"null", 400), (b"\xff\xfe{}", 400), (b"[" * 10_000, 400),
                         (b"{}", 400), (b'{"model":""}', 400), (b'{"model":5}', 400), (b'{"model":"a","model":"b"}', 400),
                         (b'{"model":"nobody"}', 501 if path == "/api/pull" else 404),
                         (json.dumps({"model": "x" * 100_000}).encode(), 501 if path == "/api/pull" else 404)):
        reply = request(server, "POST", path, body)
        assert reply.status == status, (body[:40], reply.body)
        assert list(reply.json()) == ["error"] and isinstance(reply.error, str) and len(reply.error) < 500
    assert request(server, "POST", path, b"x", {"content-type": "text/plain"}).status == 415
    assert request(server, "DELETE", path).status == 405


@pytest.mark.parametrize("member", [
    {"options": {"temperature": -1}}, {"options": {"top_p": 2}}, {"options": {"top_k": "many"}},
    {"options": {"num_predict": 2**63}}, {"options": {"seed": 2**63}}, {"options": {"stop": ["x"] * 17}},
    {"options": {"repeat_penalty": 11}}, {"options": []}, {"format": "json"}, {"tools": [{}]}, {"think": "very"},
    {"keep_alive": "1 fortnight"}, {"top_logprobs": 3}, {"stream": 1}, {"messages": [{"role": "wizard"}]},
    {"messages": [{"role": "user", "content": "x", "images": ["AAAA"]}]}, {"messages": [5]},
])
def test_ollamas_field_at_fault_is_named(server, member):
    reply = request(server, "POST", "/api/chat", {"model": "sim", "messages": HELLO, **member})
    assert reply.status == 400, reply.body
    name, value = next(iter(member.items()))
    assert (next(iter(value)) if isinstance(value, dict) else name) in reply.error


def test_places_inside_messages_are_named(server):
    reply = chat(server, messages=HELLO + [{"role": "wizard", "content": "x"}])
    assert (reply.status, reply.error["param"]) == (400, "messages[1].role")
    reply = chat(server, messages=[{"role": "user", "content": [{"type": "image_url"}]}])
    assert (reply.status, reply.error["param"]) == (400, "messages[0].content[0].type")


def test_unknown_model_and_url(server):
    reply = chat(server, model="nope")
    assert (reply.status, reply.error["code"], reply.error["param"]) == (404, "model_not_found", "model")
    assert request(server, "GET", "/v1/models/nope").status == 404
    assert request(server, "GET", "/v1/nothing").error["code"] == "unknown_url"


def test_a_prompt_that_does_not_fit_names_both_numbers(server):
    reply = request(server, "POST", "/v1/completions", {"prompt": [1] * 300})
    assert reply.status == 400
    assert reply.error["code"] == "context_length_exceeded"
    assert "256" in reply.error["message"] and "300" in reply.error["message"]
    assert request(server, "POST", "/v1/completions", {"prompt": [1] * 256}).status == 400
    fits = request(server, "POST", "/v1/completions", {"prompt": [1] * 255, "max_tokens": 100})
    assert fits.json()["choices"][0]["finish_reason"] == "length"
    assert fits.json()["usage"] == {"prompt_tokens": 255, "completion_tokens": 1, "total_tokens": 256,
                                    "prompt_tokens_details": {"cached_tokens": 0}}


def test_max_tokens_beyond_what_is_left_is_clamped(server):
    reply = request(server, "POST", "/v1/completions",
                    {"prompt": [1] * 200, "max_tokens": 2**20, "ignore_eos": True})
    assert reply.json()["choices"][0]["finish_reason"] == "length"
    assert reply.json()["usage"]["completion_tokens"] == 56


def test_unknown_fields_are_named_in_a_header(server):
    reply = chat(server, foo=1, user="u")
    assert reply.status == 200
    assert reply.headers["x-pelton-ignored"] == "foo, user"
    assert "x-pelton-ignored" not in chat(server, temperature=1).headers


def test_strict_api_refuses_them():
    with Server("sim:", "--strict-api") as strict:
        assert chat(strict, foo=1).error["param"] == "foo"
        for path, member in (("/api/chat", {"options": {"num_ctx": 1}}), ("/api/show", {"verbose": True}),
                             ("/api/generate", {"prompt": "x", "keep_alive": "5m"})):
            reply = request(strict, "POST", path, {"model": "sim", "messages": HELLO, **member})
            assert reply.status == 400 and isinstance(reply.error, str), path
        assert chat(strict, temperature=0, max_tokens=1).status == 200


def test_body_and_type_limits(server):
    head = f"POST {CHAT} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {(10 << 20) + 1}\r\n\r\n"
    assert raw(server, head.encode(), timeout=3)[9:12] == b"413"  # announced
    with Server("sim:", "--body-bytes-max", "1024") as small:
        body = {"messages": HELLO, "pad": ""}
        body["pad"] = "x" * (1024 - len(json.dumps(body)))
        assert request(small, "POST", CHAT, body).status == 200
        body["pad"] += "x"
        reply = request(small, "POST", CHAT, body)
        assert (reply.status, reply.error["code"]) == (413, "body_too_large")
        chunk = b"400\r\n" + b" " * 1024 + b"\r\n"
        head = f"POST {CHAT} HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n"
        assert raw(small, head.encode() + chunk * 2 + b"0\r\n\r\n", timeout=3)[9:12] == b"413"
    reply = request(server, "POST", CHAT, "a=b", {"content-type": "application/x-www-form-urlencoded"})
    assert reply.status == 415
    assert request(server, "POST", CHAT, "{}", {"content-type": "application/json",
                                                "content-encoding": "gzip"}).status == 415


def test_half_requests_and_conflicting_lengths(server):
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\n"
    for bad in (head + b"content-length: 5\r\ncontent-length: 6\r\n\r\nhello",
                head + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
                head + b"content-length: -1\r\n\r\n", head + b"content-length: 5x\r\n\r\nhello",
                b"GET / HTTP/9.9\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
                b"GET /v1/%00 HTTP/1.1\r\nhost: localhost\r\n\r\n"):
        answer = raw(server, bad, timeout=3)
        assert answer[9:12] in (b"400", b"505"), (bad, answer[:100])
    headers = b"".join(b"x-%d: y\r\n" % i for i in range(200))
    assert raw(server, b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n" + headers + b"\r\n",
               timeout=3)[9:12] == b"431"
    answer = raw(server, b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nx: " + b"y" * 40_000 +
                 b"\r\n\r\n", timeout=3)
    assert answer[9:12] == b"431"
    assert json.loads(answer.split(b"\r\n\r\n", 1)[1])["error"]["code"] == "headers_too_large"


def test_every_error_is_openais_shape(server):
    replies = [chat(server, n=0), chat(server, model="x"), request(server, "GET", "/none"),
               request(server, "DELETE", CHAT), request(server, "POST", CHAT, "{"),
               request(server, "POST", CHAT, "x", {"content-type": "text/plain"})]
    for reply in replies:
        assert reply.headers["content-type"] == "application/json"
        assert set(reply.error) == {"message", "type", "param", "code"}
        for leak in ("/work", "/src/", ".cc:", "0x", "std::"):
            assert leak not in reply.body.decode()


def test_foreign_hosts_and_pages_are_refused(server):
    for headers in ({"host": "evil.example"}, {"host": "localhost.evil.example:80"},
                    {"origin": "http://evil.example"}, {"origin": "null"}):
        for method, path in (("GET", "/healthz"), ("GET", "/v1/models"), ("POST", CHAT)):
            body = {"messages": HELLO} if method == "POST" else None
            assert request(server, method, path, body, headers).status == 403, headers
    assert "access-control-allow-origin" not in request(
        server, "GET", "/healthz", headers={"origin": "http://localhost:3000"}).headers


def test_cors_by_option():
    with Server("sim:", "--cors-origin", "https://app.example") as s:
        headers = {"origin": "https://app.example"}
        reply = request(s, "OPTIONS", CHAT, headers={**headers, "access-control-request-method": "POST"})
        assert reply.status == 204
        assert reply.headers["access-control-allow-origin"] == "https://app.example"
        assert "authorization" in reply.headers["access-control-allow-headers"]
        assert request(s, "GET", "/v1/models", headers=headers).headers[
            "access-control-allow-origin"] == "https://app.example"
