"""Malformed audio, made by a seed: cut off, lying, damaged, nested, endless, or no audio at all.

What holds no sound must be refused. What is only damaged may turn out to be playable after all.
"""

from __future__ import annotations

import io
import random
import struct
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import av
import numpy as np

RATE_HZ = 32000
TEN_HOURS_S = 36_000
CONTAINERS = {
    "wav": "pcm_s16le",
    "mp3": "libmp3lame",
    "flac": "flac",
    "ogg": "libopus",
    "webm": "libopus",
    "mp4": "aac",
    "aiff": "pcm_s16be",
    "avi": "mp2",
}


@dataclass(frozen=True)
class Malformed:
    """One input.

    Attributes:
        kind: what is wrong with it.
        value: the bytes of a file, or what stands for `input_audio` in the request as it is.
        may_play: whether there may be sound in it.
        carried_on: whether it is to be carried on, or is a melody; None = either.
    """

    kind: str
    value: object
    may_play: bool = False
    carried_on: bool | None = None


def malformed(n: int, seed: int) -> list[Malformed]:
    """`n` of them, the kinds in turn; equal arguments give equal bytes."""
    rng = random.Random(seed)
    good = {name: good_file(name) for name in CONTAINERS}
    makers = _makers(good)
    turns = [(kind, turn) for turn in range(n) for kind in makers]
    return [makers[kind](rng, turn) for kind, turn in turns[:n]]


def good_file(container: str, duration_s: float = 2.0, rate_hz: int = 48000) -> bytes:
    """A sound that nothing is wrong with."""
    time_s = np.arange(int(duration_s * rate_hz)) / rate_hz
    wave = 0.3 * np.sin(2 * np.pi * 220 * time_s) * (0.6 + 0.4 * np.cos(12 * time_s))
    return encoded(container, wave[None].astype(np.float32), rate_hz)


def encoded(container: str, samples: np.ndarray, rate_hz: int) -> bytes:
    """Samples [1, N] as a file."""
    buffer = io.BytesIO()
    exact = {"fflags": "+bitexact"}  # no random ids
    with av.open(buffer, "w", format=container, options=exact) as file:
        stream = file.add_stream(CONTAINERS[container], rate=rate_hz, layout="mono")
        context = stream.codec_context
        resampler = av.AudioResampler(
            context.format.name, "mono", rate_hz, frame_size=context.frame_size or None
        )
        for start in range(0, samples.shape[1], rate_hz):
            part = np.ascontiguousarray(samples[:, start : start + rate_hz])
            frame = av.AudioFrame.from_ndarray(part, format="fltp", layout="mono")
            frame.sample_rate = rate_hz
            for ready in resampler.resample(frame):
                file.mux(stream.encode(ready))
        for ready in resampler.resample(None):
            file.mux(stream.encode(ready))
        file.mux(stream.encode())
    return buffer.getvalue()


Maker = Callable[[random.Random, int], Malformed]


def _makers(good: dict[str, bytes]) -> dict[str, Maker]:
    """How each kind is made, of a source of chance and the number of its turn."""
    names = list(good)

    def in_turn(kind: str, values: list[object]) -> Maker:
        return lambda rng, turn: Malformed(kind, values[turn % len(values)])

    def cut_head(rng: random.Random, turn: int) -> Malformed:
        return Malformed("cut within the head", good[names[turn % len(names)]][: rng.randrange(40)])

    def cut(rng: random.Random, turn: int) -> Malformed:
        data = good[names[turn % len(names)]]
        return Malformed("cut", data[: rng.randrange(40, len(data))], may_play=True)

    def flipped(rng: random.Random, turn: int) -> Malformed:
        data = bytearray(good[names[turn % len(names)]])
        for _ in range(rng.choice([1, 8, 200])):
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        return Malformed("bits flipped", bytes(data), may_play=True)

    def flipped_head(rng: random.Random, turn: int) -> Malformed:
        data = bytearray(good[names[turn % len(names)]])
        for _ in range(rng.choice([1, 4, 16])):
            data[rng.randrange(64)] ^= 1 << rng.randrange(8)
        return Malformed("bits of the head flipped", bytes(data), may_play=True)

    def shuffled(rng: random.Random, turn: int) -> Malformed:
        data = good[names[turn % len(names)]]
        blocks = [data[i : i + 512] for i in range(0, len(data), 512)]
        rng.shuffle(blocks)
        return Malformed("blocks shuffled", b"".join(blocks), may_play=True)

    too_long, longest = list(_endless()), list(_long())

    def endless(rng: random.Random, turn: int) -> Malformed:
        # Of a melody only the beginning is heard, whatever follows.
        return Malformed("endless", too_long[turn % len(too_long)], carried_on=True)

    def long(rng: random.Random, turn: int) -> Malformed:
        # Carried on, each would be minutes of music, as it should.
        sound = longest[turn % len(longest)]
        return Malformed("as long as allowed", sound, may_play=True, carried_on=False)

    def noise(rng: random.Random, turn: int) -> Malformed:
        magic = [b"", b"RIFF\0\0\1\0WAVEfmt ", b"fLaC\0\0\0\x22", b"OggS\0\2", b"\x1aE\xdf\xa3"]
        start = magic[turn % len(magic)]
        return Malformed("noise", start + rng.randbytes(rng.choice([1, 100, 5000])), may_play=True)

    return {
        "cut within the head": cut_head,
        "cut": cut,
        "empty": in_turn("empty", [b"", b"\0", bytes(4096), b"\xff" * 4096]),
        "lying head": in_turn("lying head", list(_lying_heads())),
        "bits flipped": flipped,
        "bits of the head flipped": flipped_head,
        "blocks shuffled": shuffled,
        "noise": noise,
        "text": in_turn("text", list(_texts())),
        "other files": in_turn("other files", list(_other_files(good["wav"]))),
        "nested": in_turn("nested", list(_nested())),
        "endless": endless,
        "as long as allowed": long,
        "wrong type": in_turn("wrong type", list(_wrong_types())),
    }


def wav(
    payload: bytes,
    *,
    rate_hz: int = RATE_HZ,
    channels: int = 1,
    bits: int = 16,
    code: int = 1,
    claim: int | None = None,
) -> bytes:
    """A wav file whose head says what it is told to."""
    align = channels * bits // 8 & 0xFFFF
    head = struct.pack(
        "<HHIIHH", code, channels, rate_hz, rate_hz * align & 0xFFFFFFFF, align, bits
    )
    size = len(payload) if claim is None else claim
    body = b"WAVEfmt " + struct.pack("<I", len(head)) + head
    body += b"data" + struct.pack("<I", size & 0xFFFFFFFF) + payload
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _lying_heads() -> Iterator[object]:
    """Rates, channels and lengths that cannot be, or not with what follows."""
    ten_hours = TEN_HOURS_S * RATE_HZ * 2
    for rate_hz in (0, 1, 3, 2**31 - 1, 2**32 - 1):
        yield wav(bytes(6400), rate_hz=rate_hz)
    for channels in (0, 4096, 65535):
        yield wav(bytes(6400), channels=channels)
    for bits in (0, 1, 7, 65535):
        yield wav(bytes(6400), bits=bits)
    for code in (0, 0x7ABC, 0xFFFF):
        yield wav(bytes(6400), code=code)
    for claim in (ten_hours, 2**32 - 1):
        yield wav(b"", claim=claim)
        yield wav(bytes(100), claim=claim)
    # FLAC: 2^36 - 1 samples of a rate of 0, then nothing.
    info = struct.pack(">HH", 4096, 4096) + bytes(6) + (2**36 - 1).to_bytes(8, "big") + bytes(16)
    yield b"fLaC\x80\0\0\x22" + info
    # An ID3 tag that claims 256 MB.
    yield b"ID3\4\0\0\x7f\x7f\x7f\x7f" + bytes(4000)
    # AIFF with an 80-bit rate of infinity.
    common = struct.pack(">hIh", 1, 2**31 - 1, 16) + b"\x7f\xff" + bytes(8)
    yield b"FORM\0\0\xff\xffAIFFCOMM" + struct.pack(">I", len(common)) + common


def _texts() -> Iterator[bytes]:
    """What is read, not heard; some of it would have a player open other files and addresses."""
    yield b"This is a letter, and no recording.\n" * 50
    yield "Тишина\n".encode() * 500
    yield b'{"prompt": "brass"}'
    yield b"<!doctype html><html><body>404 not found</body></html>"
    yield b"#EXTM3U\n#EXTINF:1,\n/etc/hostname\n#EXT-X-ENDLIST\n"
    yield b"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:1/secret.wav\n#EXT-X-ENDLIST\n"
    yield b"ffconcat version 1.0\nfile '/etc/hostname'\n"
    yield b"v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nm=audio 5004 RTP/AVP 0\n"
    yield b"<?xml version='1.0'?><MPD><Period><BaseURL>file:///etc/</BaseURL></Period></MPD>"
    yield b"%PDF-1.7\n%%EOF\n"


def _other_files(sound: bytes) -> Iterator[object]:
    """Archives and programs, one with a recording inside."""
    for content in (sound, b"", bytes(10_000_000)):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            # A name alone would be dated by the clock.
            entry = zipfile.ZipInfo("recording.wav")
            archive.writestr(entry, content, zipfile.ZIP_DEFLATED)
        yield buffer.getvalue()
    yield b"\x7fELF\2\1\1" + bytes(5000)
    yield b"GIF89a" + bytes(500)
    yield b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\xff\xff\xff\xff\xff\xff\xff\xff\x08\2\0\0\0" + bytes(60)
    yield b"SQLite format 3\0" + bytes(4096)


def _nested() -> Iterator[object]:
    """Containers within containers, far deeper than anybody needs."""
    for depth in (10, 1000, 20_000):
        lists = b""
        for _ in range(min(depth, 2000)):
            lists = b"LIST" + struct.pack("<I", len(lists) + 4) + b"abcd" + lists
        yield b"RIFF" + struct.pack("<I", len(lists) + 4) + b"WAVE" + lists
        size = 8 * depth
        atoms = b"".join(struct.pack(">I", size - 8 * i) + b"moov" for i in range(depth))
        yield b"\0\0\0\x14ftypisom\0\0\2\0isom" + atoms
        yield b"\x1aE\xdf\xa3\x80" + b"\x18S\x80g\x01\xff\xff\xff\xff\xff\xff\xff" * depth


def _endless() -> Iterator[object]:
    """Small files that are hours long, or whose every second is enormous."""
    for duration_s, rate_hz in ((TEN_HOURS_S, 8000), (3600, 48_000), (599, 655_350)):
        yield silence(duration_s, rate_hz)
    yield wav(bytes(TEN_HOURS_S * 1000), rate_hz=1000, bits=8)
    yield b"\xff\xfb\x90\x00" + bytes(413) + (b"\xff\xfb\x10\x64" + bytes(100)) * 100_000


def _long() -> Iterator[object]:
    """As long as is allowed, at rates that nobody needs."""
    for duration_s, rate_hz in ((599, 48_000), (599, 192_000)):
        yield silence(duration_s, rate_hz)


def silence(duration_s: int, rate_hz: int) -> bytes:
    """Hours of nothing in a few kilobytes: stereo FLAC whose frames say "one value all along"."""
    block = 65535
    info = (rate_hz << 44 | 1 << 41 | 15 << 36 | duration_s * rate_hz).to_bytes(8, "big")
    head = struct.pack(">HH", block, block) + bytes(6) + info + bytes(16)
    frames = []
    for number in range(duration_s * rate_hz // block):
        frame = b"\xff\xf8\x70\x18" + chr(number).encode() + struct.pack(">H", block - 1)
        frame += bytes([_crc(frame, 8, 0x07)]) + 2 * b"\0\0\0"
        frames.append(frame + struct.pack(">H", _crc(frame, 16, 0x8005)))
    return b"fLaC\x80\0\0\x22" + head + b"".join(frames)


def _crc(data: bytes, bits: int, polynomial: int) -> int:
    """A checksum as FLAC's frames have it."""
    value, top = 0, 1 << (bits - 1)
    for byte in data:
        value ^= byte << (bits - 8)
        for _ in range(8):
            value = (value << 1 ^ polynomial if value & top else value << 1) & ((1 << bits) - 1)
    return value


def _wrong_types() -> Iterator[object]:
    """What is no recording by its type, or leads nowhere."""
    yield from (1, 0.5, True, [], {}, ["a.wav"], {"path": "/etc/hostname"}, "", " ", "a.wav")
    yield from ("/etc/hostname", "file:///etc/hostname", "http://127.0.0.1:1/x.wav", "data:")
    yield from ("data:audio/wav;base64,@@@@", "data:audio/wav;base64", "data:audio/wav;base64,UklG")
    yield from ("https://", "http://[::1", "gopher://x/", "concat:a.wav|b.wav", "\ud800")
