"""Requests with nothing between the test and the bytes."""
import http.client
import json
import socket


class Reply:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        return json.loads(self.body)

    @property
    def error(self):
        return self.json()["error"]


def request(server, method, path, body=None, headers=None, timeout=30):
    """One request on a connection of its own. A dict or list as body is sent as JSON."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=timeout)
    sent = dict(headers or {})
    if isinstance(body, (dict, list)):
        body = json.dumps(body)
    if body is not None:
        sent.setdefault("content-type", "application/json")
    try:
        connection.request(method, path, body=body, headers=sent)
        reply = connection.getresponse()
        return Reply(reply.status, {k.lower(): v for k, v in reply.getheaders()}, reply.read())
    finally:
        connection.close()


def raw(server, data, timeout=10):
    """Sends bytes, reads until the server closes or `timeout`; gives what came."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=timeout) as s:
        s.sendall(data)
        out = b""
        try:
            while piece := s.recv(65536):
                out += piece
        except TimeoutError:
            pass
        return out


class StreamReader:
    """A streamed answer read event by event; `read_slowly` leaves it in the kernel."""

    def __init__(self, server, path, body, headers=None, receive_buffer=None, timeout=30):
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(timeout)
        self.socket.connect(("127.0.0.1", server.port))
        text = json.dumps(body).encode()
        head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        for name, value in (headers or {}).items():
            head += f"{name}: {value}\r\n"
        self.socket.sendall(f"{head}content-length: {len(text)}\r\n\r\n".encode() + text)
        self.reply = None

    def _open(self):
        if self.reply is None:
            self.reply = http.client.HTTPResponse(self.socket)
            self.reply.begin()
        return self.reply

    @property
    def status(self):
        return self._open().status

    def header(self, name):
        return self._open().getheader(name)

    def lines(self):
        """Non-empty lines of the stream, comments too."""
        while line := self._open().readline():
            if line := line.decode().rstrip("\r\n"):
                yield line

    def events(self):
        """The decoded data of each event, without [DONE]; `done` says whether that came."""
        self.done = False
        for line in self.lines():
            if not line.startswith("data: "):
                continue
            if line == "data: [DONE]":
                self.done = True
            else:
                yield json.loads(line[6:])

    def close(self):
        self.socket.close()
        if self.reply is not None:
            self.reply.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
