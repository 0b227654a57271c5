"""Which URLs and addresses a server may go to when a stranger names them."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network
from urllib.parse import urlsplit

from fanfare.errors import FanfareError

Resolver = Callable[[str, int], list[str]]
"""(host, port) → its addresses; OSError when there are none."""

MAX_URL_CHARS = 4096
LOW_PORTS = {80, 443}
"""Below 1024 only these: mail servers and the like have their own languages."""
NAT64 = IPv6Network("64:ff9b::/96")
COMPATIBLE = IPv6Network("::/96")


class RefusedUrlError(FanfareError):
    """A URL leads where this server doesn't go."""


@dataclass(frozen=True)
class Target:
    """A URL in its parts, taken apart once: whoever connects uses these and no others."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def origin(self) -> str:
        """As the `Host` header has it; no default port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        is_default = self.port == {"http": 80, "https": 443}[self.scheme]
        return host if is_default else f"{host}:{self.port}"


def parse_url(url: str, *, allow_private: bool) -> Target:
    """A URL that may be fetched, as far as it says so itself; RefusedUrlError otherwise."""
    if len(url) > MAX_URL_CHARS or re.search(r"[^!-~]|[\\\"<>^`{|}]", url):
        raise RefusedUrlError("the URL is too long, or has characters that no URL has")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise RefusedUrlError("the URL is malformed") from None
    if parts.scheme not in {"http", "https"}:
        raise RefusedUrlError("only http:// and https:// URLs are fetched")
    if parts.username is not None or parts.password is not None:
        raise RefusedUrlError("the URL holds a user name; give it without")
    host = (parts.hostname or "").rstrip(".")
    if not re.fullmatch(r"[a-z0-9._-]{1,253}|[0-9a-f:.]{2,45}", host):
        raise RefusedUrlError("the URL has no proper host")
    port = {"http": 80, "https": 443}[parts.scheme] if port is None else port
    if port < 1024 and port not in LOW_PORTS:
        raise RefusedUrlError(f"port {port} isn't one that this server goes to")
    # 2130706433, 0x7f.1 and 0177.0.0.1 are names of 127.0.0.1 to a resolver.
    if re.fullmatch(r"[0-9]+|0x[0-9a-f]*", host.rsplit(".", 1)[-1]) or ":" in host:
        try:
            check_address(host, allow_private=allow_private)
        except ValueError:
            raise RefusedUrlError("the URL's host is a malformed address") from None
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(parts.scheme, host, port, path)


def check_address(text: str, *, allow_private: bool) -> None:
    """RefusedUrlError unless an address is a public one; ValueError when it is none at all.

    `allow_private` lets private ones and this machine in too, but never link-local ones, where
    clouds keep their credentials.
    """
    address = ipaddress.ip_address(text)
    if isinstance(address, IPv6Address):
        inner = _inner(address)
        if inner is not None:
            address = inner
    refused = address.is_link_local or address.is_multicast or address.is_unspecified
    if isinstance(address, IPv6Address):
        # Teredo and 6to4 are tunnels to addresses that somebody else chose.
        tunnel = address.teredo is not None or address.sixtofour is not None
        refused = refused or tunnel or address.is_site_local or address.scope_id is not None
    if allow_private and (address.is_private or address.is_loopback):
        is_special = address.is_reserved and not address.is_loopback
        refused = refused or is_special
    else:
        refused = refused or not address.is_global or address.is_reserved
    if refused:
        raise RefusedUrlError("the URL leads to an address that isn't public")


def resolve(host: str, port: int) -> list[str]:
    """The system's resolver."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError as error:  # labels that are too long
        raise OSError(str(error)) from error
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def _inner(address: IPv6Address) -> IPv4Address | None:
    """The IPv4 address that an IPv6 one stands for."""
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    is_compatible = address in COMPATIBLE and int(address) > 0xFFFF
    if address in NAT64 or is_compatible:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return None
