"""What kind of file it is, by its first bytes; and names and types that are safe to send on."""

from __future__ import annotations

import re
import unicodedata
from urllib.parse import quote

HEAD_BYTES = 16
"""As many of a file's first bytes as `sniff` looks at."""
UNKNOWN = "application/octet-stream"
MAX_NAME_BYTES = 255

EXTENSIONS = {
    "audio/wav": "wav",
    "audio/mpeg": "mp3",
    "audio/flac": "flac",
    "audio/ogg": "ogg",
    "audio/aac": "aac",
    "audio/aiff": "aiff",
    "audio/mp4": "m4a",
    "audio/webm": "webm",
    "audio/basic": "au",
    "audio/x-ms-wma": "wma",
    "audio/x-caf": "caf",
}
"""The file extension of each type that `sniff` knows."""

_BEGINNINGS = (
    (b"ID3", "audio/mpeg"),
    (b"fLaC", "audio/flac"),
    (b"OggS", "audio/ogg"),
    (b"\x1aE\xdf\xa3", "audio/webm"),
    (b".snd", "audio/basic"),
    (b"0&\xb2u\x8ef\xcf\x11", "audio/x-ms-wma"),
    (b"caff", "audio/x-caf"),
)
_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,63}/[a-z0-9][a-z0-9!#$&^_.+-]{0,63}")


def sniff(head: bytes) -> str | None:
    """The audio type that a file begins like; None when it doesn't begin like audio."""
    if head[:4] in {b"RIFF", b"RF64", b"BW64"} and head[8:12] == b"WAVE":
        return "audio/wav"
    if head[:4] == b"FORM" and head[8:12] in {b"AIFF", b"AIFC"}:
        return "audio/aiff"
    if head[4:8] == b"ftyp":
        return "audio/mp4"
    for beginning, kind in _BEGINNINGS:
        if head.startswith(beginning):
            return kind
    if len(head) >= 2 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0:
        # Layer 0 is ADTS, which carries AAC; the others are MPEG audio's layers.
        return "audio/aac" if head[1] & 0x06 == 0 else "audio/mpeg"
    return None


def clean_type(declared: str | None) -> str:
    """A declared type without its parameters; what isn't one becomes `UNKNOWN`."""
    kind = (declared or "").partition(";")[0].strip().lower()
    return kind if _TYPE.fullmatch(kind) else UNKNOWN


def served_type(content_type: str) -> str:
    """What a file is served as: nothing that a browser would run in our name."""
    return content_type if content_type in EXTENSIONS else UNKNOWN


def clean_name(name: str | None, fallback: str = "file") -> str:
    """A client's file name as a name alone: no folders, no control characters, 255 bytes."""
    last = re.split(r"[/\\]", name or "")[-1]
    text = "".join(c for c in last if unicodedata.category(c)[0] != "C").strip()
    text = text.encode("utf-8", "ignore")[:MAX_NAME_BYTES].decode("utf-8", "ignore")
    return fallback if text in {"", ".", ".."} else text


def disposition(name: str, *, inline: bool = False) -> str:
    """A `Content-Disposition` header for any name (RFC 6266)."""
    kind = "inline" if inline else "attachment"
    plain = re.sub(r"[^ !#-\[\]-~]", "_", name.encode("ascii", "replace").decode())
    return f"{kind}; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
