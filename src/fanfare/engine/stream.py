"""StreamDecoder: codes to sound while they are being made, joined without a seam.

C channels, K codebooks (of all channels), T frames, D width, N samples.

The decoder of an EnCodec is a convolution, a recurrent layer and convolutions that spread each
frame over its samples; our own codec's has no recurrent layer. A recurrent layer remembers all
that was before, so its state is carried on from chunk to chunk. Convolutions hear a few frames to
either side: those at a chunk's left are kept for the next one, and the last few frames are held
back until what follows is known. Only edges that are the piece's own are padded, so that what comes
out is what decoding all at once gives, but for rounding.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fanfare.nn.codec import Codec
from fanfare.nn.encodec import State
from fanfare.nn.overlap import Overlap


class StreamDecoder:
    """Decodes one piece, chunk by chunk."""

    def __init__(self, codec: Codec) -> None:
        self.codec = codec
        first, self._recurrent, local = codec.decoder_parts()
        self._first = Overlap([first], hop=1)
        self._local = Overlap(local, hop=codec.hop)
        self._state: State | None = None
        self._is_finished = False

    @property
    def n_held_frames(self) -> int:
        """How many frames the sound lags behind the codes."""
        return self._first.lookahead + self._local.lookahead

    def push(self, codes: Tensor) -> Tensor:
        """Take in codes [K, n]; gives sound [C, m] that is final, m being 0 at first."""
        assert codes.ndim == 2, codes.shape
        return self._run(self.codec.latent(codes[None]), is_last=False)  # [C, latent, n]

    def finish(self) -> Tensor:
        """What was held back, sound [C, m]; all frames together give hop samples each."""
        nothing = torch.zeros(self.codec.n_codebooks, 0, dtype=torch.int64)
        wav = self._run(self.codec.latent(nothing[None]), is_last=True)
        self._is_finished = True
        return wav

    @torch.inference_mode()
    def _run(self, latent: Tensor, *, is_last: bool) -> Tensor:
        assert not self._is_finished, "finished"
        x = self._first.run(latent, is_last=is_last)  # [C, D, n]
        if x.shape[2] and self._recurrent is not None:
            x, self._state = self._recurrent.carry_on(x, self._state)
        return self._local.run(x, is_last=is_last)[:, 0]  # [C, N]
