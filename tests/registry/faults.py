"""A server before a registry that does what networks, thieves and old registries do."""

import http.client
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

# What is not passed on: it belongs to one connection.
HOP = {"connection", "keep-alive", "transfer-encoding", "host", "proxy-connection"}


class Faults:
    """What goes wrong, and what was seen."""

    def __init__(self, registry_port):
        self.registry_port = registry_port
        self.bytes_per_second = None  # of blobs, both ways
        self.cut_after = None  # bytes of a blob, after which the connection ends
        self.corrupt = False  # changes a byte of large blobs
        self.refuse_artifacts = False  # as registries that know images alone
        self.ranges = []  # that were asked for
        self.blob_bytes = 0  # that were sent of blobs
        server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Handler,), {"faults": self}))
        server.daemon_threads = True
        # Clients that are killed are a part of the tests.
        server.handle_error = lambda *_: None
        self.port = server.server_address[1]
        threading.Thread(target=server.serve_forever, daemon=True).start()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    faults = None

    def log_message(self, *_):
        pass

    def respond(self):
        faults = self.faults
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        is_blob = "/blobs/" in self.path
        if is_blob and body and faults.bytes_per_second:
            time.sleep(len(body) / faults.bytes_per_second)
        if self.command == "PUT" and "/manifests/" in self.path:
            if faults.refuse_artifacts and b"artifactType" in body:
                error = b'{"errors":[{"code":"MANIFEST_INVALID","message":"unknown media type"}]}'
                self.send_response(400)
                self.send_header("Content-Length", str(len(error)))
                self.end_headers()
                self.wfile.write(error)
                return
        if is_blob and "Range" in self.headers:
            faults.ranges.append(self.headers["Range"])
        connection = http.client.HTTPConnection("127.0.0.1", faults.registry_port)
        headers = {name: value for name, value in self.headers.items() if name.lower() not in HOP}
        headers["Host"] = self.headers["Host"]
        connection.request(self.command, self.path, body, headers)
        response = connection.getresponse()
        content = response.read()
        self.send_response(response.status)
        for name, value in response.getheaders():
            if name.lower() not in HOP and name.lower() != "content-length":
                self.send_header(name, value)
        length = response.getheader("Content-Length") if self.command == "HEAD" else len(content)
        self.send_header("Content-Length", str(length or 0))
        self.end_headers()
        if is_blob and self.command == "GET":
            self.send_blob(content)
        elif self.command != "HEAD":
            self.wfile.write(content)

    def send_blob(self, content):
        faults = self.faults
        if faults.corrupt and len(content) > 10_000:
            content = content[:5_000] + bytes([content[5_000] ^ 1]) + content[5_001:]
        sent = 0
        for start in range(0, len(content), 1 << 16):
            part = content[start : start + (1 << 16)]
            if faults.cut_after is not None and sent + len(part) > faults.cut_after:
                self.close_connection = True
                self.connection.close()
                return
            if faults.bytes_per_second:
                time.sleep(len(part) / faults.bytes_per_second)
            try:
                self.wfile.write(part)
            except OSError:
                return
            sent += len(part)
            faults.blob_bytes += len(part)

    do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = do_DELETE = respond
