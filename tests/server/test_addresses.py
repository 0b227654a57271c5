"""Which URLs a stranger may name: public ones, in every spelling."""

from __future__ import annotations

import pytest

from fanfare.server.addresses import RefusedUrlError, Target, check_address, parse_url

REFUSED = [
    # This machine, in the spellings that resolvers understand.
    "http://127.0.0.1/",
    "http://127.1/",
    "http://2130706433/",
    "http://0x7f000001/",
    "http://0x7f.1/",
    "http://0177.0.0.1/",
    "http://017700000001/",
    "http://127.0.0.1./",
    "http://0/",
    "http://0.0.0.0/",
    "http://[::1]/",
    "http://[::]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:7f00:1]/",
    "http://[0:0:0:0:0:ffff:7f00:0001]/",
    "http://[::127.0.0.1]/",
    "http://[64:ff9b::7f00:1]/",
    "http://[2002:7f00:1::]/",
    "http://[2001:0:7f00:1::]/",
    # Private networks, and where clouds keep their credentials.
    "http://10.0.0.1/",
    "http://172.16.0.1/",
    "http://192.168.1.1/",
    "http://100.64.0.1/",
    "http://169.254.169.254/latest/meta-data/",
    "http://[fd00:ec2::254]/",
    "http://[fe80::1]/",
    "http://[fe80::1%25eth0]/",
    "http://[fec0::1]/",
    "http://224.0.0.1/",
    "http://255.255.255.255/",
    "http://[ff02::1]/",
    # No URLs of the web.
    "file:///etc/passwd",
    "FILE:///etc/passwd",
    "ftp://a.example/x",
    "gopher://a.example/x",
    "data:audio/wav;base64,AAAA",
    "javascript:alert(1)",
    "/etc/passwd",
    "//a.example/x",
    "a.example/x",
    "http:a.example",
    "http:///x",
    "http://",
    "",
    # What two parsers would read in two ways.
    "http://a.example\\@127.0.0.1/",
    "http://user@a.example/",
    "http://user:secret@a.example/",
    "http://a.example:80@127.0.0.1/",
    "http://127.0.0.1#@a.example/",
    "http://a.example /",
    "http://a.example/\r\nX-Evil:1",
    "http://a.example/\tx",
    "http://a.example/ü",
    "http://ⓛocalhost/",
    "http://127。0。0。1/",
    "http://[::1",
    "http://a.example:99999/",
    "http://a.example:-1/",
    "http://a.example:x/",
    "http://a..%2f/",
    "http://1.2.3.4.5/",
    "http://1.2.3.256/",
    "http://a.example/" + "x" * 4096,
    # Other languages than HTTP.
    "http://a.example:22/",
    "http://a.example:25/",
    "http://a.example:0/",
]


@pytest.mark.parametrize("url", REFUSED)
def test_refused(url: str) -> None:
    with pytest.raises(RefusedUrlError):
        parse_url(url, allow_private=False)


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("https://a.example/x?y=1#z", Target("https", "a.example", 443, "/x?y=1")),
        ("HTTP://A.Example.", Target("http", "a.example", 80, "/")),
        ("http://a.example:8080/x", Target("http", "a.example", 8080, "/x")),
        ("http://1.1.1.1/", Target("http", "1.1.1.1", 80, "/")),
        ("http://[2606:4700::1111]:443/", Target("http", "2606:4700::1111", 443, "/")),
        ("http://xn--hrner-jua.example/", Target("http", "xn--hrner-jua.example", 80, "/")),
    ],
)
def test_allowed(url: str, target: Target) -> None:
    assert parse_url(url, allow_private=False) == target


def test_hosts_as_headers_have_them() -> None:
    assert Target("http", "a.example", 80, "/").origin == "a.example"
    assert Target("http", "a.example", 443, "/").origin == "a.example:443"
    assert Target("https", "2606::1", 443, "/").origin == "[2606::1]"


@pytest.mark.parametrize("address", ["127.0.0.1", "10.1.2.3", "::1", "fd00::1", "::ffff:10.0.0.1"])
def test_private_addresses_when_they_are_allowed(address: str) -> None:
    check_address(address, allow_private=True)
    with pytest.raises(RefusedUrlError):
        check_address(address, allow_private=False)


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254",
        "::ffff:169.254.169.254",
        "fe80::1",
        "0.0.0.0",
        "::",
        "224.0.0.1",
        "255.255.255.255",
        "240.0.0.1",
    ],
)
def test_what_is_never_allowed(address: str) -> None:
    with pytest.raises(RefusedUrlError):
        check_address(address, allow_private=True)
