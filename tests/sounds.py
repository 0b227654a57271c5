"""Small sounds for the tests, and bytes that only pretend to be sounds."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

from fanfare.audio.io import FileFormat, encode

RATE_HZ = 32000


def chord(
    duration_s: float = 1.0, channels: int = 1, rate_hz: int = RATE_HZ
) -> npt.NDArray[np.float32]:
    """A minor chord with a beat and a little noise, float32 [C, N]; channels differ."""
    time_s = np.arange(int(duration_s * rate_hz)) / rate_hz
    tones = sum(np.sin(2 * np.pi * hz * time_s) for hz in (146.83, 220.0, 349.23))
    beat = 0.6 + 0.4 * np.cos(2 * np.pi * 2 * time_s)
    noise = np.random.default_rng(5).standard_normal(time_s.size)
    mono = 0.1 * tones * beat + 0.005 * noise
    return np.stack([mono * (1 - 0.3 * c) for c in range(channels)]).astype(np.float32)


def sound_file(file_format: FileFormat = "wav", duration_s: float = 1.0) -> bytes:
    """A good file's bytes."""
    return encode(chord(duration_s), RATE_HZ, file_format)


def wav_bytes(
    payload: bytes,
    *,
    code: int = 1,
    channels: int = 1,
    rate_hz: int = RATE_HZ,
    bits: int = 16,
    claim: int | None = None,
) -> bytes:
    """A wav file whose header says what it is told to."""
    align = max(1, channels * bits // 8)
    form = struct.pack(
        "<HHIIHH", code, channels, rate_hz, rate_hz * align & 0xFFFFFFFF, align & 0xFFFF, bits
    )
    size = len(payload) if claim is None else claim
    body = b"WAVEfmt " + struct.pack("<I", len(form)) + form
    body += b"data" + struct.pack("<I", size) + payload
    return b"RIFF" + struct.pack("<I", min(len(body), 2**32 - 1)) + body


def silent_film() -> bytes:
    """A video without a sound track."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="avi") as container:
        stream = container.add_stream("mjpeg", rate=5)
        stream.width = stream.height = 16
        stream.pix_fmt = "yuvj420p"
        for _ in range(3):
            picture = np.zeros((16, 16, 3), np.uint8)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuvj420p")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return buffer.getvalue()


def broken_files(folder: Path) -> dict[str, Path]:
    """Forty files (or what stands in a file's place) that hold no usable sound."""
    rng = np.random.default_rng(1)
    good = {name: sound_file(name) for name in ("wav", "mp3", "flac", "ogg")}
    nan = np.full(RATE_HZ, np.nan, "<f4").tobytes()
    inf = np.full(RATE_HZ, np.inf, "<f4").tobytes()
    nested = folder / "nested.wav"
    nested.write_bytes(good["wav"])
    contents = {
        "empty.wav": b"",
        "empty.mp3": b"",
        "empty.flac": b"",
        "empty.ogg": b"",
        "one-byte.wav": b"R",
        "zeros.wav": bytes(5000),
        "zeros.mp3": bytes(5000),
        "ones.ogg": b"\xff" * 3000,
        "text.wav": b"This is a letter and not a recording.\n" * 40,
        "text.mp3": "Тишина\n".encode() * 200,
        "json.flac": b'{"prompt": "brass"}',
        "html.mp3": b"<!doctype html><html><body>404 not found</body></html>",
        "python.wav": Path(__file__).read_bytes(),
        "zip.wav": b"PK\x03\x04" + rng.bytes(400),
        "elf.ogg": b"\x7fELF" + bytes(300),
        "pdf.wav": b"%PDF-1.7\n%%EOF\n",
        "random-1.wav": rng.bytes(10),
        "random-2.wav": rng.bytes(1000),
        "random-3.flac": rng.bytes(20000),
        "random-4.ogg": rng.bytes(20000),
        "header-only.wav": good["wav"][:44],
        "half-header.wav": good["wav"][:20],
        "riff-only.wav": good["wav"][:12],
        "no-data.wav": good["wav"][:36],
        "cut.mp3": good["mp3"][:40],
        "cut.flac": good["flac"][:42],
        "cut.ogg": good["ogg"][:100],
        "magic-only.flac": b"fLaC",
        "magic-only.ogg": b"OggS",
        "zero-length.wav": wav_bytes(b""),
        "huge-claim.wav": wav_bytes(b"", claim=2**32 - 1),
        "no-channels.wav": wav_bytes(bytes(4000), channels=0),
        "no-rate.wav": wav_bytes(bytes(4000), rate_hz=0),
        "slow-rate.wav": wav_bytes(bytes(4000), rate_hz=3),
        "fast-rate.wav": wav_bytes(bytes(4000), rate_hz=2**31 - 1),
        "unknown-code.wav": wav_bytes(bytes(4000), code=0x7ABC),
        "nan.wav": wav_bytes(nan, code=3, bits=32),
        "inf.wav": wav_bytes(inf, code=3, bits=32),
        "silent-film.avi": silent_film(),
        "playlist.m3u8": b"#EXTM3U\n#EXTINF:1,\nnested.wav\n#EXT-X-ENDLIST\n",
        "list.ffconcat": f"ffconcat version 1.0\nfile '{nested}'\n".encode(),
        "dash.mpd": b"<?xml version='1.0'?><MPD><Period/></MPD>",
    }
    files = {}
    for name, data in contents.items():
        files[name] = folder / name
        files[name].write_bytes(data)
    files["folder.wav"] = folder / "folder.wav"
    files["folder.wav"].mkdir()
    files["missing.wav"] = folder / "missing.wav"
    files["null.wav"] = Path(f"{folder}/null\0.wav")
    files["long-name"] = folder / ("a" * 400 + ".wav")
    return files
