"""GrowingSound: the file that a piece's chunks are written to while it is made."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fanfare.audio.io import Samples
from fanfare.audio.wav import stream_bytes, stream_header
from fanfare.chunks import Chunk

if TYPE_CHECKING:
    import av

MP3_BIT_RATE = 320_000


class GrowingSound:
    """Appends chunks to a .wav or .mp3 file, whole from its beginning at any time.

    What lies there already was written by a worker that died, from the same seed: as much
    is passed over, so that whoever listens hears no seam.
    """

    def __init__(self, path: Path, first: Chunk) -> None:
        """The format is the path's; channels and rate are those of the first chunk."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("ab", buffering=0)
        self._n_there = self._file.seek(0, 2)
        self._n_given = 0
        channels, rate_hz = int(first.samples.shape[0]), first.sample_rate_hz
        self._mp3 = _Mp3(channels, rate_hz) if path.suffix == ".mp3" else None
        if self._mp3 is None:
            self._append(stream_header(channels, rate_hz))

    def grow(self, chunk: Chunk) -> None:
        """Append a chunk; OSError when the disk is full."""
        if self._mp3 is None:
            self._append(stream_bytes(chunk.samples))
        else:
            self._append(self._mp3.push(chunk.samples, is_last=chunk.is_last))

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def _append(self, data: bytes) -> None:
        passed = min(len(data), max(0, self._n_there - self._n_given))
        self._n_given += len(data)
        rest = data[passed:]
        while rest:
            rest = rest[self._file.write(rest) or 0 :]


class _Mp3:
    """Samples in, MP3 frames out, with no header before them: they are played as they come."""

    def __init__(self, channels: int, sample_rate_hz: int) -> None:
        import av

        self._layout = "stereo" if channels == 2 else "mono"
        self._rate_hz = sample_rate_hz
        self._n_samples = 0
        codec = av.CodecContext.create("libmp3lame", "w")
        assert isinstance(codec, av.AudioCodecContext)
        codec.sample_rate, codec.layout, codec.format = sample_rate_hz, self._layout, "fltp"
        codec.bit_rate, codec.time_base = MP3_BIT_RATE, Fraction(1, sample_rate_hz)
        codec.open()
        self._codec = codec
        self._fifo = av.AudioFifo()

    def push(self, samples: Samples, *, is_last: bool) -> bytes:
        """The frames that samples [C, N] complete; in the end, what is left too."""
        self._fifo.write(self._frame(samples))
        frames = self._fifo.read_many(self._codec.frame_size)
        if is_last and (rest := self._fifo.read(0, partial=True)) is not None:
            frames.append(rest)
        packets = [packet for frame in frames for packet in self._codec.encode(frame)]
        if is_last:
            packets += self._codec.encode(None)
        return b"".join(bytes(packet) for packet in packets)

    def _frame(self, samples: Samples) -> av.AudioFrame:
        import av

        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(samples, np.float32), format="fltp", layout=self._layout
        )
        frame.sample_rate, frame.pts = self._rate_hz, self._n_samples
        frame.time_base = Fraction(1, self._rate_hz)
        self._n_samples += frame.samples
        return frame
