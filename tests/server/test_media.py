"""What files are by their first bytes, and what of a client's words goes into headers."""

from __future__ import annotations

import re

import pytest

from fanfare.server.media import UNKNOWN, clean_name, clean_type, disposition, served_type, sniff
from sounds import sound_file


@pytest.mark.parametrize(
    ("kind", "content_type"),
    [
        ("wav", "audio/wav"),
        ("mp3", "audio/mpeg"),
        ("flac", "audio/flac"),
        ("ogg", "audio/ogg"),
    ],
)
def test_audio_is_known_by_its_first_bytes(kind: str, content_type: str) -> None:
    assert sniff(sound_file(kind, 0.3)[:16]) == content_type


@pytest.mark.parametrize(
    ("head", "content_type"),
    [
        (b"FORM\0\0\0\0AIFC", "audio/aiff"),
        (b"\0\0\0\x20ftypM4A ", "audio/mp4"),
        (b"\xff\xf1\x50\x80", "audio/aac"),
        (b"\xff\xfb\x90\x64", "audio/mpeg"),
        (b"RIFF\0\0\0\0AVI ", None),
        (b"<html>", None),
        (b"PK\3\4", None),
        (b"\xff", None),
        (b"", None),
    ],
)
def test_first_bytes(head: bytes, content_type: str | None) -> None:
    assert sniff(head) == content_type


@pytest.mark.parametrize(
    ("declared", "kept"),
    [
        ("Text/Plain; charset=utf-8", "text/plain"),
        ("audio/x-wav", "audio/x-wav"),
        ("text/html\r\nX-Evil: 1", UNKNOWN),
        ("a/b/c", UNKNOWN),
        ("", UNKNOWN),
        (None, UNKNOWN),
    ],
)
def test_declared_types(declared: str | None, kept: str) -> None:
    assert clean_type(declared) == kept


def test_nothing_is_served_that_a_browser_would_run() -> None:
    assert served_type("audio/wav") == "audio/wav"
    for kind in ("text/html", "image/svg+xml", "application/xhtml+xml", "text/plain"):
        assert served_type(kind) == UNKNOWN


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("song.wav", "song.wav"),
        ("../../etc/passwd", "passwd"),
        ("C:\\music\\song.wav", "song.wav"),
        ("a\r\nSet-Cookie: x=1", "aSet-Cookie: x=1"),
        ("nul\0.wav", "nul.wav"),
        ("\u202egnp.exe", "gnp.exe"),
        ("\ud800x", "x"),
        ("..", "file"),
        ("", "file"),
        (None, "file"),
        ("ü" * 200, "ü" * 127),
    ],
)
def test_names(name: str | None, kept: str) -> None:
    assert clean_name(name) == kept


@pytest.mark.parametrize("name", ["a.wav", 'a"b\\c;d.wav', "hörner \U0001f3ba.mp3", "a\r\nb"])
def test_any_name_fits_a_header(name: str) -> None:
    header = disposition(name)
    assert re.fullmatch(
        r'attachment; filename="[^"\\\r\n]*"; filename\*=UTF-8\'\'[\w.%~-]*', header
    )
    assert header.isascii()
