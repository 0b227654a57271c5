"""Chunks: stretches of sound of a piece that is still being made.

K codebooks, C channels, n frames, m samples.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fanfare.audio.io import Samples
from fanfare.audio.levelling import RunningLevel
from fanfare.engine.stream import StreamDecoder
from fanfare.errors import InputError
from fanfare.inputs import NormalizationStrategy
from fanfare.nn.codec import Codec

CHUNK_S = 0.5
MIN_CHUNK_S, MAX_CHUNK_S = 0.02, 30.0


@dataclass(frozen=True, eq=False)
class Chunk:
    """A stretch of a piece.

    Attributes:
        index: which request of a batch it belongs to.
        samples: float32 [C, m], within ±1, levelled as the piece goes (see `audio.levelling`).
        sample_rate_hz: samples per second and channel.
        start_s: where in the piece it begins; each begins where the one before it ended.
        is_last: whether the piece ends with it.
        seed: of the piece.
    """

    index: int
    samples: Samples
    sample_rate_hz: int
    start_s: float
    is_last: bool
    seed: int

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return int(self.samples.shape[1]) / self.sample_rate_hz


def frames_per_chunk(chunk_s: float, frame_rate_hz: float) -> int:
    """Frames to wait for before there is a chunk; InputError for lengths that make no sense."""
    if not MIN_CHUNK_S <= chunk_s <= MAX_CHUNK_S:
        raise InputError("chunk_s", chunk_s, f"must be {MIN_CHUNK_S} to {MAX_CHUNK_S:g} seconds")
    return max(1, round(chunk_s * frame_rate_hz))


class ChunkMaker:
    """Frames of one piece in, chunks out. The sound lags behind the frames by some 0.2 s."""

    def __init__(
        self,
        index: int,
        codec: Codec,
        n_frames: int,
        seed: int,
        strategy: NormalizationStrategy,
    ) -> None:
        self._index, self._codec, self._seed = index, codec, seed
        self._n_to_come = n_frames
        self._n_given = 0  # samples
        self._decoder = StreamDecoder(codec)
        self._level = RunningLevel(codec.channels, codec.sample_rate_hz, strategy)

    def take(self, codes: Tensor) -> Chunk | None:
        """Take in the next frames [K, n]; None if nothing can be heard yet."""
        self._n_to_come -= codes.shape[1]
        assert self._n_to_come >= 0, "more frames than the piece has"
        is_last = self._n_to_come == 0
        wav = self._decoder.push(codes)  # [C, m]
        if is_last:
            wav = torch.cat([wav, self._decoder.finish()], dim=1)
        raw: Samples = wav.float().cpu().numpy()
        samples = self._level.push(raw, is_last=is_last)
        if not samples.shape[1]:
            return None
        rate_hz = self._codec.sample_rate_hz
        start_s = self._n_given / rate_hz
        self._n_given += samples.shape[1]
        return Chunk(self._index, samples, rate_hz, start_s, is_last, self._seed)
