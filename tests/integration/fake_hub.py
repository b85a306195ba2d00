"""A fake model hub for tests: it speaks the part of the hub's HTTP protocol that `pelton pull` uses
(listing, resolve with a redirect to another path, Range) from files in memory, and can misbehave on
demand. It is not a hub."""
import hashlib
import http.server
import json
import threading


class FakeHub:
    def __init__(self, files, token=None):
        self.files = dict(files)          # path -> bytes
        self.token = token
        self.cut_after = None             # bytes of a reply after which the line is cut, once a request
        self.ignore_range = False
        self.corrupt = False
        self.extra_entries = []           # raw listing entries
        self.requests = []                # (path, Range header)
        hub = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args):
                pass

            def do_GET(self):
                hub.answer(self)

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def listing(self):
        entries = [{"type": "directory", "path": "sub", "size": 0}]
        for path, data in self.files.items():
            entry = {"type": "file", "path": path, "size": len(data)}
            if path.endswith((".gguf", ".safetensors")):
                entry["lfs"] = {"oid": hashlib.sha256(data).hexdigest(), "size": len(data)}
            entries.append(entry)
        return entries + self.extra_entries

    def answer(self, request):
        path = request.path.split("?")[0]
        self.requests.append((path, request.headers.get("Range")))
        if self.token and request.headers.get("Authorization") != f"Bearer {self.token}":
            return self.send(request, 401, b"{}")
        if path == "/api/models/org/name/tree/main":
            return self.send(request, 200, json.dumps(self.listing()).encode())
        if path.startswith("/org/name/resolve/main/"):
            request.send_response(302)
            request.send_header("Location", "/cdn/" + path.removeprefix("/org/name/resolve/main/"))
            request.send_header("Content-Length", "0")
            request.end_headers()
            return None
        if path.startswith("/cdn/") and path.removeprefix("/cdn/") in self.files:
            return self.send_file(request, self.files[path.removeprefix("/cdn/")])
        return self.send(request, 404, b"{}")

    def send(self, request, status, body, headers=()):
        request.send_response(status)
        for name, value in headers:
            request.send_header(name, value)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    def send_file(self, request, data):
        start = 0
        wanted = request.headers.get("Range")
        if wanted and not self.ignore_range:
            start = int(wanted.removeprefix("bytes=").split("-")[0])
        if self.corrupt:
            data = bytes(data[:-1]) + bytes([data[-1] ^ 1])
        request.send_response(206 if start else 200)
        if start:
            request.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        body = data[start:]
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        if self.cut_after is not None:
            body = body[:self.cut_after]
        request.wfile.write(body)
        if self.cut_after is not None:
            request.wfile.flush()
            request.close_connection = True
            request.rfile.close()
            request.connection.close()
