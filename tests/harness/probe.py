"""Looking at a running server, and being rude to it."""
import json
import socket
import struct
import time

from .http import request

CHAT = "/v1/chat/completions"
HELLO = [{"role": "user", "content": "Hello"}]


def metric(server, name):
    for line in request(server, "GET", "/metrics").body.decode().splitlines():
        if line.startswith(name) and line[len(name)] in " {":
            return float(line.rsplit(" ", 1)[1])
    raise AssertionError(f"no metric {name}")


def wait_for(condition, seconds=10):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return False


def disconnect_at_random(server, rng):
    """A request whose client goes at a random moment, with FIN or RST."""
    body = json.dumps({"messages": HELLO, "stream": rng.random() < 0.7, "n": rng.choice([1, 1, 3]),
                       "max_tokens": 200}).encode()
    data = (b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n"
            % len(body)) + body
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as s:
        if rng.random() < 0.5:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        moment = rng.random()
        if moment < 0.2:
            s.sendall(data[:rng.randrange(len(data))])
            return
        s.sendall(data)
        if moment < 0.8:
            time.sleep(rng.random() * 0.03)
