"""Requests to URLs that strangers name: nothing inner is reached, nothing lasts for ever."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
import trustme

from fanfare.server.addresses import RefusedUrlError
from fanfare.server.netguard import FetchError, fetch, post
from web import Answer, Names, Web, serving


@pytest.fixture
def web() -> Iterator[Web]:
    with serving() as web:
        yield web


def got(url: str, names: Names | None = None, **changes: object) -> bytes:
    values = {
        "max_bytes": 1000,
        "timeout_s": 5.0,
        "allow_private": True,
        "resolver": names or Names(),
    }
    return b"".join(fetch(url, **{**values, **changes}))  # type: ignore[arg-type]


def port(web: Web) -> int:
    return int(web.url.rpartition(":")[2])


def test_a_file_is_fetched(web: Web) -> None:
    web.answers["/a.wav"] = Answer(b"sound")
    assert got(f"http://hooks.example:{port(web)}/a.wav?x=1") == b"sound"


@pytest.mark.parametrize("says_length", [True, False])
def test_no_more_bytes_than_allowed(web: Web, says_length: bool) -> None:
    web.answers["/a"] = Answer(b"x" * 1001, says_length=says_length)
    web.answers["/b"] = Answer(b"x" * 1000, says_length=says_length)
    with pytest.raises(FetchError, match="larger"):
        got(f"{web.url}/a")
    assert len(got(f"{web.url}/b")) == 1000


@pytest.mark.parametrize("status", [404, 500, 204, 304])
def test_other_answers_are_no_files(web: Web, status: int) -> None:
    web.answers["/a"] = Answer(status=status)
    with pytest.raises(FetchError, match=str(status)):
        got(f"{web.url}/a")


def test_a_file_that_is_cut_off_is_no_file(web: Web) -> None:
    web.answers["/a"] = Answer(b"x" * 100, cuts=[50])
    with pytest.raises(FetchError):
        got(f"{web.url}/a")


def test_compressed_answers_are_refused(web: Web) -> None:
    web.answers["/a"] = Answer(b"x", headers={"Content-Encoding": "gzip"})
    with pytest.raises(FetchError, match="compressed"):
        got(f"{web.url}/a")


def test_redirects_are_followed_a_little(web: Web) -> None:
    web.answers["/end"] = Answer(b"sound")
    web.answers["/start"] = Answer(status=302, location="/end")
    web.answers["/round"] = Answer(status=307, location="/round")
    assert got(f"{web.url}/start") == b"sound"
    with pytest.raises(FetchError, match="redirects"):
        got(f"{web.url}/round")


def test_private_addresses_are_refused_by_name(web: Web) -> None:
    web.answers["/a"] = Answer(b"secret")
    for address in ("127.0.0.1", "::ffff:127.0.0.1", "10.0.0.1", "169.254.169.254"):
        names = Names({"inner.example": [[address]]})
        with pytest.raises(RefusedUrlError):
            got(f"http://inner.example:{port(web)}/a", names, allow_private=False)
    assert web.asked == []


def test_one_private_address_among_public_ones_is_enough(web: Web) -> None:
    names = Names({"mixed.example": [["1.1.1.1", "127.0.0.1"]]})
    with pytest.raises(RefusedUrlError):
        got(f"http://mixed.example:{port(web)}/a", names, allow_private=False)
    assert web.asked == []


def test_a_name_that_changes_its_mind_is_asked_once(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DNS rebinding: the address that was checked is the one that is connected to."""
    called: list[object] = []

    def connect(address: tuple[str, int], *_: object, **__: object) -> socket.socket:
        called.append(address[0])
        raise ConnectionRefusedError

    monkeypatch.setattr(socket, "create_connection", connect)
    names = Names({"two.example": [["1.1.1.1"], ["127.0.0.1"], ["127.0.0.1"]]})
    with pytest.raises(FetchError):
        got(f"http://two.example:{port(web)}/a", names, allow_private=False)
    assert called == ["1.1.1.1"]
    assert names.asked == ["two.example"]


@pytest.mark.parametrize(
    "location",
    [
        "http://inner.example:{port}/a",
        "http://169.254.169.254/",
        "http://[::1]:{port}/a",
        "//169.254.1.1/a",
        "file:///etc/passwd",
        "gopher://hooks.example/a",
        "http://hooks.example:22/",
        "http://user@hooks.example/",
    ],
)
def test_redirects_are_checked_like_requests(web: Web, location: str) -> None:
    """The first request is let in; where it leads to isn't."""
    names = Names({"inner.example": [["169.254.7.7"]], "hooks.example": [["127.0.0.1"]] * 9})
    at = location.format(port=port(web))
    allowed = at.startswith("http://[::1]")
    web.answers["/start"] = Answer(status=302, location=at)
    with pytest.raises(FetchError if allowed else RefusedUrlError):
        got(f"http://hooks.example:{port(web)}/start", names)
    assert [path for _, path, _ in web.asked] == ["/start"]


@pytest.mark.parametrize("inner", ["127.0.0.1", "[::ffff:127.0.0.1]", "2130706433", "localhost"])
def test_a_public_server_can_t_send_us_home(
    web: Web, inner: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = socket.create_connection

    def connect(address: tuple[str, int], *others: object, **named: object) -> socket.socket:
        assert address[0] == "1.1.1.1", "only the public server is connected to"
        return real(("127.0.0.1", address[1]), *others, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "create_connection", connect)
    web.answers["/start"] = Answer(status=302, location=f"http://{inner}:{port(web)}/secret")
    names = Names({"public.example": [["1.1.1.1"]], "localhost": [["127.0.0.1"]]})
    with pytest.raises(RefusedUrlError):
        got(f"http://public.example:{port(web)}/start", names, allow_private=False)
    assert [path for _, path, _ in web.asked] == ["/start"]


def test_an_unknown_name() -> None:
    with pytest.raises(FetchError):
        got("http://nowhere.example/", Names({"nowhere.example": []}))


@dataclass
class Dripping:
    """A server that says its lines one by one, with a pause before each."""

    lines: list[bytes]
    port: int = 0
    closed: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def serving(self) -> Iterator[None]:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.port = listener.getsockname()[1]
            thread = threading.Thread(target=self._serve, args=(listener,))
            thread.start()
            try:
                yield
            finally:
                self.closed.set()
                thread.join()

    def _serve(self, listener: socket.socket) -> None:
        client, _ = listener.accept()
        with client:
            for line in self.lines:
                if self.closed.wait(0.05):
                    return
                try:
                    client.sendall(line)
                except OSError:
                    return


@pytest.mark.parametrize(
    "lines",
    [
        [b"HTTP/1.1 200 OK\r\n"] + [b"X: y\r\n"] * 200,
        [b"HTTP/1.1 200 OK\r\n\r\n"] + [b"x"] * 200,
        [b"H"] + [b""] * 200,
    ],
)
def test_slow_answers_end_in_time(lines: list[bytes]) -> None:
    drip = Dripping(lines)
    start = time.monotonic()
    with drip.serving(), pytest.raises(FetchError, match="too long"):
        got(f"http://127.0.0.1:{drip.port}/", timeout_s=0.4)
    assert time.monotonic() - start < 3


@pytest.mark.parametrize("answer", [b"SSH-2.0-OpenSSH\r\n", b"\0" * 100, b"HTTP/9 x\r\n\r\n"])
def test_what_speaks_no_http(answer: bytes) -> None:
    drip = Dripping([answer])
    with drip.serving(), pytest.raises(FetchError):
        got(f"http://127.0.0.1:{drip.port}/", timeout_s=2)


def test_posting(web: Web) -> None:
    web.answers["/hook"] = Answer(b"thanks")
    assert send(f"http://hooks.example:{port(web)}/hook") == 200
    headers, body = web.posted[0]
    assert body == b"{}"
    assert headers["host"] == f"hooks.example:{port(web)}"
    assert headers["x"] == "y"


def test_posts_follow_no_redirects(web: Web) -> None:
    web.answers["/hook"] = Answer(status=307, location="/other")
    assert send(f"{web.url}/hook") == 307
    assert [path for _, path, _ in web.asked] == ["/hook"]


def test_posts_go_to_no_private_address(web: Web) -> None:
    with pytest.raises(RefusedUrlError):
        send(f"{web.url}/hook", allow_private=False)
    with pytest.raises(RefusedUrlError):
        send("http://inner.example/", Names({"inner.example": [["10.0.0.1"]]}), allow_private=False)


def send(url: str, names: Names | None = None, **changes: object) -> int:
    values = {"timeout_s": 5.0, "allow_private": True, "resolver": names or Names()}
    return post(url, b"{}", {"X": "y"}, **{**values, **changes})  # type: ignore[arg-type]


def test_certificates_are_for_the_name(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The connection goes to the address that was checked; TLS is with the host that was named."""
    authority = trustme.CA()
    serves = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("right.example").configure_cert(serves)
    trusts = ssl.create_default_context()
    authority.configure_trust(trusts)
    names = Names({"right.example": [["127.0.0.1"]], "wrong.example": [["127.0.0.1"]]})
    with serving(tls=serves) as web:
        web.answers["/a"] = Answer(b"sound")
        at = port(web)
        assert got(f"https://right.example:{at}/a", names, tls=trusts) == b"sound"
        with pytest.raises(FetchError):
            got(f"https://wrong.example:{at}/a", names, tls=trusts)
        with pytest.raises(FetchError):
            got(f"https://right.example:{at}/a", Names({"right.example": [["127.0.0.1"]]}))
