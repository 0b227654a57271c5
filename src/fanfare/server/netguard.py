"""Requests to URLs that strangers name: audio to fetch, webhooks to send.

A host is resolved once, all its addresses are checked, and the connection goes to one of those
checked: no name can mean something else a moment later. Redirects are new requests, checked alike.
Proxies, cookies and credentials play no part.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from urllib.parse import urljoin

import httpcore2
import httpx2

from fanfare.errors import FanfareError
from fanfare.server.addresses import (
    RefusedUrlError,
    Resolver,
    Target,
    check_address,
    parse_url,
    resolve,
)
from fanfare.version import fanfare_version

MAX_REDIRECTS = 5
MAX_ADDRESSES = 4
"""So many of a host's addresses are tried."""
CONNECT_S = 10.0
REDIRECTS = {301, 302, 303, 307, 308}
USER_AGENT = f"fanfare/{fanfare_version()}"

Headers = Mapping[str, str]


class FetchError(FanfareError):
    """A URL can't be fetched: nobody there, too slow, too large, or not found."""


def check_url(url: str, *, allow_private: bool) -> None:
    """RefusedUrlError when a URL's own text says that it won't be fetched. Resolves nothing."""
    parse_url(url, allow_private=allow_private)


def fetch(
    url: str,
    *,
    max_bytes: int,
    timeout_s: float,
    allow_private: bool,
    resolver: Resolver = resolve,
    tls: ssl.SSLContext | None = None,
) -> Iterator[bytes]:
    """The bytes of a URL, as they come; RefusedUrlError, FetchError.

    `timeout_s` is for all of it, redirects included; nothing may take longer in sum.
    """
    end = time.monotonic() + timeout_s
    for _ in range(MAX_REDIRECTS + 1):
        target = parse_url(url, allow_private=allow_private)
        headers = {"Accept": "*/*", "Accept-Encoding": "identity"}
        guard = _Guard(resolver, allow_private, end)
        with _request(guard, "GET", target, headers, None, tls) as response:
            found = _headers(response)
            if response.status in REDIRECTS and "location" in found:
                url = urljoin(url, found["location"])
                continue
            if response.status != 200:
                raise FetchError(f"{target.host} answered with status {response.status}")
            if found.get("content-encoding", "identity") != "identity":
                raise FetchError(f"{target.host} sent the file compressed, unasked")
            yield from _body(response, found.get("content-length"), max_bytes)
            return
    raise FetchError(f"more than {MAX_REDIRECTS} redirects")


def post(
    url: str,
    body: bytes,
    headers: Headers,
    *,
    timeout_s: float,
    allow_private: bool,
    resolver: Resolver = resolve,
    tls: ssl.SSLContext | None = None,
) -> int:
    """Send a body, and return the status of the answer; follows no redirects.

    RefusedUrlError, FetchError. Of the answer nothing else is read.
    """
    target = parse_url(url, allow_private=allow_private)
    guard = _Guard(resolver, allow_private, time.monotonic() + timeout_s)
    with _request(guard, "POST", target, headers, body, tls) as response:
        return int(response.status)


class _Guard(httpcore2.NetworkBackend):
    """Opens connections to checked addresses only, and ends them when their time is over."""

    def __init__(self, resolver: Resolver, allow_private: bool, end: float) -> None:
        self._resolver = resolver
        self._allow_private = allow_private
        self._end = end
        self._network = httpcore2.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.NetworkStream:
        """A connection to one of the host's addresses, if all of them are allowed."""
        try:
            addresses = self._resolver(host, port)
        except OSError as error:
            raise httpcore2.ConnectError(f"no address is known of {host}") from error
        for address in addresses:
            try:
                check_address(address, allow_private=self._allow_private)
            except ValueError:
                raise RefusedUrlError("the URL's host resolves to no address") from None
        failure: Exception = httpcore2.ConnectError(f"no address is known of {host}")
        for address in addresses[:MAX_ADDRESSES]:
            try:
                left_s = min(CONNECT_S, _left(self._end))
                stream = self._network.connect_tcp(
                    address, port, left_s, local_address, socket_options
                )
                return _Timed(stream, self._end)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failure = error
        raise failure


class _Timed(httpcore2.NetworkStream):
    """A connection that must be done by a time, however little and often it sends."""

    def __init__(self, stream: httpcore2.NetworkStream, end: float) -> None:
        self._stream = stream
        self._end = end

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Bytes, before the end."""
        return self._stream.read(max_bytes, _left(self._end))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Bytes, before the end."""
        self._stream.write(buffer, _left(self._end))

    def close(self) -> None:
        """Let go."""
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore2.NetworkStream:
        """The same over TLS; the certificate is for the host's name, not its address."""
        inner = self._stream.start_tls(ssl_context, server_hostname, _left(self._end))
        return _Timed(inner, self._end)

    def get_extra_info(self, info: str) -> object:
        """What the connection knows of itself."""
        return self._stream.get_extra_info(info)


def _left(end: float) -> float:
    left_s = end - time.monotonic()
    if left_s <= 0:
        raise httpcore2.ReadTimeout("the time is over")
    return left_s


@contextmanager
def _request(
    guard: _Guard,
    method: str,
    target: Target,
    headers: Headers,
    body: bytes | None,
    tls: ssl.SSLContext | None,
) -> Iterator[httpcore2.Response]:
    """One request over a connection of its own; every failure as FetchError."""
    url = httpcore2.URL(
        scheme=target.scheme.encode(),
        host=target.host.encode(),
        port=target.port,
        target=target.path.encode(),
    )
    sent = {"Host": target.origin, "User-Agent": USER_AGENT, "Connection": "close", **headers}
    if body is not None:
        sent["Content-Length"] = str(len(body))
    lines = [(name.encode(), value.encode()) for name, value in sent.items()]
    context = (tls or _tls()) if target.scheme == "https" else None
    with (
        _as_fetch_errors(target.host),
        httpcore2.ConnectionPool(ssl_context=context, network_backend=guard) as pool,
        pool.stream(method, url, headers=lines, content=body) as response,
    ):
        yield response


@contextmanager
def _as_fetch_errors(host: str) -> Iterator[None]:
    try:
        yield
    except httpcore2.TimeoutException as error:
        raise FetchError(f"{host} took too long to answer") from error
    except (httpcore2.NetworkError, httpcore2.ProtocolError) as error:
        raise FetchError(f"{host} can't be reached, or speaks no HTTP") from error


def _headers(response: httpcore2.Response) -> dict[str, str]:
    return {name.decode("latin-1").lower(): v.decode("latin-1") for name, v in response.headers}


def _body(response: httpcore2.Response, declared: str | None, max_bytes: int) -> Iterator[bytes]:
    too_large = f"the file is larger than {max_bytes:,} bytes, the most that is fetched"
    if declared is not None and declared.isdecimal() and int(declared) > max_bytes:
        raise FetchError(too_large)
    n_bytes = 0
    for chunk in response.iter_stream():
        n_bytes += len(chunk)
        if n_bytes > max_bytes:
            raise FetchError(too_large)
        yield chunk


@lru_cache(maxsize=1)
def _tls() -> ssl.SSLContext:
    return httpx2.create_ssl_context()
