"""WAV as it is written into a pipe: 16 bits a sample, its length not known yet.

C channels, N samples.
"""

from __future__ import annotations

import struct

from fanfare.audio.io import Samples, quantised

UNKNOWN_BYTES = 0xFFFFFFFF
"""The length that stands for "until the end", as FFmpeg writes and players read it."""
SAMPLE_BYTES = 2


def stream_header(channels: int, sample_rate_hz: int) -> bytes:
    """What comes before the samples."""
    frame_bytes = channels * SAMPLE_BYTES
    about = struct.pack(
        "<HHIIHH", 1, channels, sample_rate_hz, sample_rate_hz * frame_bytes, frame_bytes, 16
    )
    return b"".join([
        b"RIFF", struct.pack("<I", UNKNOWN_BYTES), b"WAVE",
        b"fmt ", struct.pack("<I", len(about)), about,
        b"data", struct.pack("<I", UNKNOWN_BYTES),
    ])  # fmt: skip


def stream_bytes(samples: Samples) -> bytes:
    """Samples [C, N] as little-endian integers, channels interleaved."""
    return quantised(samples, 16).T.astype("<i2").tobytes()
