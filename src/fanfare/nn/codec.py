"""Codec: audio to codes and back, through EnCodec.

B batch, C channels, N samples, K codebooks (of all channels), T frames.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from transformers import EncodecModel
from transformers.models.encodec.modeling_encodec import EncodecLSTM

CHUNK_FRAMES = 1500
"""Longest audio that is decoded at once."""
MARGIN_FRAMES = 16
"""Frames on either side of a piece that may change its samples; two or so would do."""


class Codec(nn.Module):
    """An EnCodec model as the language model sees it.

    A stereo codec encodes its channels on their own: books 2q and 2q+1 are book q of left and
    right.
    """

    def __init__(self, model: EncodecModel, channels: int = 1, books: int | None = None) -> None:
        """Wrap `model`, mono; of its codebooks the first `books` are used."""
        super().__init__()
        assert channels in (1, 2), channels
        self.model = model
        self.channels = channels
        self.books_per_channel = books or len(model.quantizer.layers)
        assert self.books_per_channel <= len(model.quantizer.layers), books

    @property
    def sample_rate_hz(self) -> int:
        """Samples per second and channel."""
        return int(self.model.config.sampling_rate)

    @property
    def device(self) -> torch.device:
        """Where the weights are; inputs may be anywhere."""
        return self.model.quantizer.layers[0].codebook.embed.device

    @property
    def hop(self) -> int:
        """Samples per frame."""
        return int(self.model.config.hop_length)

    @property
    def n_codebooks(self) -> int:
        """K, of all channels together."""
        return self.books_per_channel * self.channels

    @property
    def card(self) -> int:
        """Codes per codebook."""
        return int(self.model.config.codebook_size)

    @torch.inference_mode()
    def encode(self, wav: Tensor) -> Tensor:
        """Audio [B, C, N] to codes [B, K, T], T = ceil(N / hop)."""
        B, C, N = wav.shape
        assert self.channels == C, (wav.shape, self.channels)
        assert N > 0, wav.shape
        wav = wav.to(self.device)
        latent = self.model.encoder(wav.reshape(B * C, 1, N))  # [BC, latent, T]
        bandwidth = self.model.config.target_bandwidths[-1]
        codes = self.model.quantizer.encode(latent, bandwidth)  # [all books, BC, T]
        codes = codes[: self.books_per_channel]
        T = codes.shape[-1]
        return codes.view(-1, B, C, T).permute(1, 0, 2, 3).reshape(B, self.n_codebooks, T)

    @torch.inference_mode()
    def latent(self, codes: Tensor) -> Tensor:
        """Codes [B, K, T] to what the decoder reads [B * C, latent, T]."""
        B, K, T = codes.shape
        assert self.n_codebooks == K, (codes.shape, self.n_codebooks)
        books = (
            codes.to(self.device)
            .view(B, self.books_per_channel, self.channels, T)
            .permute(1, 0, 2, 3)
        )
        latent: Tensor = self.model.quantizer.decode(
            books.reshape(self.books_per_channel, B * self.channels, T)
        )
        return latent

    def decoder_parts(self) -> tuple[nn.Module, EncodecLSTM, list[nn.Module]]:
        """The decoder's first convolution, its recurrent layer, and what follows.

        What follows the recurrent layer hears a few frames to either side only.
        """
        first, recurrent, *local = self.model.decoder.layers
        assert isinstance(recurrent, EncodecLSTM), recurrent
        return first, recurrent, local

    @torch.inference_mode()
    def decode(self, codes: Tensor) -> Tensor:
        """Codes [B, K, T] to audio [B, C, hop * T].

        Memory is that of half a minute at most: long audio is put together from pieces that
        overlap.
        """
        B, _, T = codes.shape
        latent = self.latent(codes)  # [BC, latent, T]
        if T <= CHUNK_FRAMES:
            wav: Tensor = self.model.decoder(latent)  # [BC, 1, N]
            return wav.reshape(B, self.channels, -1)
        first, recurrent, local = self.decoder_parts()
        latent = recurrent(first(latent))  # [BC, D, T]
        pieces = [
            self._decode_part(latent, local, start, min(start + CHUNK_FRAMES, T))
            for start in range(0, T, CHUNK_FRAMES)
        ]
        return torch.cat(pieces, dim=-1).reshape(B, self.channels, -1)

    def _decode_part(
        self, latent: Tensor, layers: Sequence[nn.Module], start: int, stop: int
    ) -> Tensor:
        """Frames `start` to `stop` of [BC, D, T] through convolutions: [BC, 1, hop * frames]."""
        left = max(0, start - MARGIN_FRAMES)
        x = latent[:, :, left : stop + MARGIN_FRAMES]
        for layer in layers:
            x = layer(x)
        return x[:, :, (start - left) * self.hop : (stop - left) * self.hop]
