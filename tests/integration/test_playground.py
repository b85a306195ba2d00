"""The page at / from outside: what it carries, what is not there, and who may post from it."""
import re

import pytest
from harness import Server, request

KEY = "playground-key-01"
CHAT = {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 2}


@pytest.fixture(scope="module")
def server():
    with Server() as s:
        yield s


@pytest.fixture(scope="module")
def page(server):
    return request(server, "GET", "/")


@pytest.fixture(scope="module")
def assets(page):
    found = ["/" + name for name in re.findall(r'"\./(assets/[^"]+)"', page.body.decode())]
    assert len(found) >= 3  # script, style, icon
    return found


def test_the_page_and_its_parts_have_their_types(server, page, assets):
    assert page.status == 200 and page.headers["content-type"] == "text/html; charset=utf-8"
    types = {"js": "text/javascript; charset=utf-8", "css": "text/css; charset=utf-8", "svg": "image/svg+xml"}
    for path in assets:
        reply = request(server, "GET", path)
        assert reply.status == 200, path
        assert reply.headers["content-type"] == types[path.rsplit(".", 1)[1]]
        assert reply.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert page.headers["cache-control"] == "no-cache"


def test_every_part_is_locked_up(server, assets):
    for path in ["/"] + assets:
        headers = request(server, "GET", path).headers
        policy = dict(rule.split(" ", 1) for rule in headers["content-security-policy"].split("; "))
        assert policy["default-src"] == "'none'" and policy["frame-ancestors"] == "'none'"
        assert {policy[name] for name in ("script-src", "style-src", "img-src", "connect-src")} == {"'self'"}
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["x-frame-options"] == "DENY"
        assert "set-cookie" not in headers and "access-control-allow-origin" not in headers


def test_nothing_in_it_names_another_host(server, page, assets):
    text = page.body.decode() + "".join(request(server, "GET", path).body.decode() for path in assets)
    hosts = set(re.findall(r"(?:https?:)?//([a-z0-9-]+\.[a-z][a-z0-9.-]+)", text))
    assert hosts <= {"www.w3.org"}  # names of XML, fetched by nobody


def test_head_has_the_headers_and_no_body(server, page, assets):
    for path in ["/", assets[0]]:
        get, head = request(server, "GET", path), request(server, "HEAD", path)
        assert head.status == 200 and head.body == b""
        for name in ("content-length", "content-type", "etag", "content-security-policy"):
            assert head.headers[name] == get.headers[name], (path, name)


def test_a_known_tag_is_304_without_body(server, assets):
    for path in ["/", assets[0]]:
        tag = request(server, "GET", path).headers["etag"]
        for method in ("GET", "HEAD"):
            reply = request(server, method, path, headers={"if-none-match": f'"other", W/{tag}'})
            assert reply.status == 304 and reply.body == b"" and reply.headers["etag"] == tag
        assert request(server, "GET", path, headers={"if-none-match": '"other"'}).status == 200


def test_only_its_own_files_are_there(server):
    for path in ("/index.html", "/assets", "/assets/", "/assets/nothing.js", "/assets/index.html",
                 "/assets/%2e%2e/index.html", "/favicon.ico", "/web/dist/index.html", "/assets/a/b"):
        assert request(server, "GET", path).status in (400, 404), path
    reply = request(server, "POST", "/", body={})
    assert reply.status == 405 and reply.headers["allow"] == "GET, HEAD, OPTIONS"


def test_it_is_no_part_of_the_description(server):
    assert not {"/", "/assets/{file}"} & set(request(server, "GET", "/openapi.json").json()["paths"])


def test_off_means_gone():
    with Server("sim:", "--playground", "off") as server:
        for path in ("/", "/assets/x.js"):
            for method in ("GET", "HEAD", "POST"):
                assert request(server, method, path, body="{}" if method == "POST" else None).status == 404
        assert request(server, "POST", "/v1/chat/completions", body=CHAT).status == 200


def test_the_page_needs_no_key_and_the_api_does(tmp_path):
    keys = tmp_path / "keys"
    keys.write_text(KEY + "\n")
    keys.chmod(0o600)
    with Server("sim:", "--api-key-file", str(keys)) as server:
        assert request(server, "GET", "/").status == 200
        assert request(server, "GET", "/v1/models").status == 401
        assert request(server, "POST", "/v1/chat/completions", body=CHAT).status == 401
        key = {"authorization": f"Bearer {KEY}"}
        assert request(server, "POST", "/v1/chat/completions", body=CHAT, headers=key).status == 200


def test_its_own_origin_may_post_and_others_may_not():
    with Server("sim:", "--allowed-host", "box.lan") as server:
        def post(host, origin):
            return request(server, "POST", "/v1/chat/completions", body=CHAT,
                           headers={"host": host, "origin": origin}).status
        loopback = f"127.0.0.1:{server.port}"
        assert post(loopback, "http://" + loopback) == 200
        assert post("box.lan:8080", "http://box.lan:8080") == 200
        assert post("box.lan", "https://box.lan") == 200  # behind a proxy that speaks TLS
        assert post("box.lan:8080", "http://box.lan:9090") == 403
        assert post("box.lan", "http://evil.example") == 403
        assert post(loopback, "http://evil.example") == 403
        assert post(loopback, "null") == 403
        assert post("evil.example", "http://evil.example") == 403  # rebinding
        assert request(server, "GET", "/", headers={"host": "evil.example"}).status == 403
