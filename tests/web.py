"""A web server on this machine, with the ways in which servers fail."""

from __future__ import annotations

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
    """The server's answers by path, and what it was asked: method, path and Range."""

    url: str
    answers: dict[str, Answer] = field(default_factory=dict)
    asked: list[tuple[str, str, str | None]] = field(default_factory=list)
    default: Answer = field(default_factory=lambda: Answer(status=404))


@contextmanager
def serving() -> Iterator[Web]:
    """A server that stops when the block is left."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            """Not on the screen."""

        def do_HEAD(self) -> None:
            self.reply()

        def do_GET(self) -> None:
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
    web = Web(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield web
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
