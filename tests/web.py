"""A web server on this machine, with the ways in which servers fail."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Answer:
    """What a path gives.

    Attributes:
        cuts: before the whole body is sent, the connection is cut after so many bytes, once each.
        statuses: sent in place of the body, once each.
        knows_ranges: whether a part can be asked for.
        says_length: whether Content-Length is sent.
    """

    body: bytes = b""
    status: int = 200
    etag: str | None = '"1"'
    location: str | None = None
    content_type: str = "application/octet-stream"
    cuts: list[int] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    knows_ranges: bool = True
    says_length: bool = True
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Web:
    """The server's answers by path, and what it was asked: method, path and Range.

    Attributes:
        posted: of each POST its headers, their names in lower case, and its body.
    """

    url: str
    answers: dict[str, Answer] = field(default_factory=dict)
    asked: list[tuple[str, str, str | None]] = field(default_factory=list)
    posted: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    default: Answer = field(default_factory=lambda: Answer(status=404))


@dataclass
class Names:
    """A resolver: each name's addresses, those of the first question first; others fail."""

    known: dict[str, list[list[str]]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def __call__(self, host: str, port: int) -> list[str]:
        self.asked.append(host)
        if host in self.known:
            if not self.known[host]:
                raise OSError(f"no such name: {host}")
            return self.known[host].pop(0)
        return ["127.0.0.1"] if host.endswith(".example") else [host]


@contextmanager
def serving(tls: ssl.SSLContext | None = None) -> Iterator[Web]:
    """A server that stops when the block is left; it speaks https if it is given how."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            """Not on the screen."""

        def do_HEAD(self) -> None:
            self.reply()

        def do_GET(self) -> None:
            self.reply()

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            web.posted.append(({n.lower(): v for n, v in self.headers.items()}, body))
            self.reply()

        def reply(self) -> None:
            path = self.path.partition("?")[0]
            wanted = self.headers.get("Range")
            web.asked.append((self.command, path, wanted))
            answer = web.answers.get(path, web.default)
            status = answer.statuses.pop(0) if answer.statuses else answer.status
            body = answer.body if status == 200 else b""
            start = 0
            is_same = self.headers.get("If-Range") in (None, answer.etag)
            if wanted and status == 200 and answer.knows_ranges and is_same:
                start = int(wanted.removeprefix("bytes=").partition("-")[0])
                status = 206 if start < len(body) else 416
            self.send_response(status)
            if status == 206:
                self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
            body = b"" if status == 416 else body[start:]
            if answer.says_length or not body:
                self.send_header("Content-Length", str(len(body)))
            else:
                self.send_header("Connection", "close")
            if answer.etag:
                self.send_header("ETag", answer.etag)
            if answer.location:
                self.send_header("Location", answer.location)
            self.send_header("Content-Type", answer.content_type)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "HEAD":
                return
            cut = answer.cuts.pop(0) if answer.cuts else len(body)
            self.wfile.write(body[:cut])
            if cut < len(body) or not answer.says_length:
                self.wfile.flush()
                self.close_connection = True

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if tls is not None:
        # The handshake belongs to the thread that answers: one that fails stops no other.
        server.socket = tls.wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False
        )
    web = Web(f"{'http' if tls is None else 'https'}://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield web
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
