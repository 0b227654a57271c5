"""Codec: audio to codes and back, through EnCodec or through the codec of our own.

B batch, C channels, N samples, K codebooks (of all channels), T frames.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fanfare.nn.encodec import Encodec, Recurrent, State
from fanfare.nn.lapped import LappedCodec
from fanfare.nn.overlap import Overlap

PART_FRAMES = 100
"""How much is decoded at once on a CPU, whose caches hold the layers of no more."""
MEMORY_FRAMES = 1500
"""The same elsewhere, and of the recurrent layer, where it bounds memory."""


class Codec(nn.Module):
    """A codec's model as the language model sees it.

    A stereo codec encodes its channels on their own: books 2q and 2q+1 are book q of left and
    right.
    """

    def __init__(
        self, model: Encodec | LappedCodec, channels: int = 1, books: int | None = None
    ) -> None:
        """Wrap `model`, mono; of its codebooks the first `books` are used."""
        super().__init__()
        assert channels in (1, 2), channels
        self.model = model
        self.channels = channels
        self.books_per_channel = books or model.config.n_codebooks
        assert self.books_per_channel <= model.config.n_codebooks, books

    @property
    def sample_rate_hz(self) -> int:
        """Samples per second and channel."""
        return self.model.config.sample_rate_hz

    @property
    def device(self) -> torch.device:
        """Where the weights are; inputs may be anywhere."""
        return self.model.quantizer.codebooks()[0].embed.device

    @property
    def hop(self) -> int:
        """Samples per frame."""
        return self.model.config.hop

    @property
    def n_codebooks(self) -> int:
        """K, of all channels together."""
        return self.books_per_channel * self.channels

    @property
    def card(self) -> int:
        """Codes per codebook."""
        return self.model.config.card

    @torch.inference_mode()
    def encode(self, wav: Tensor) -> Tensor:
        """Audio [B, C, N] to codes [B, K, T], T = ceil(N / hop)."""
        B, C, N = wav.shape
        assert self.channels == C, (wav.shape, self.channels)
        assert N > 0, wav.shape
        wav = wav.to(self.device)
        latent = self.model.encoder(wav.reshape(B * C, 1, N))  # [BC, latent, T]
        codes = self.model.quantizer.encode(latent, self.books_per_channel)  # [books, BC, T]
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

    def decoder_parts(self) -> tuple[nn.Module, Recurrent | None, list[nn.Module]]:
        """The decoder's first layer, its recurrent layer if it has one, and what follows.

        What follows hears a few frames to either side only.
        """
        first, *local = self.model.decoder.layers
        if isinstance(local[0], Recurrent):
            return first, local[0], local[1:]
        return first, None, local

    @torch.inference_mode()
    def decode(self, codes: Tensor) -> Tensor:
        """Codes [B, K, T] to audio [B, C, hop * T].

        Convolutions run over parts that overlap as far as they hear.
        """
        B, _, T = codes.shape
        n = PART_FRAMES if self.device.type == "cpu" else MEMORY_FRAMES
        first, recurrent, local = self.decoder_parts()
        x = first(self.latent(codes))  # [BC, D, T]
        overlap = Overlap(local, self.hop)
        wav = x.new_empty(x.shape[0], self.hop * T)
        n_made = 0
        state: State | None = None
        for start in range(0, T, MEMORY_FRAMES):
            heard = x[:, :, start : start + MEMORY_FRAMES]
            if recurrent is not None:
                heard, state = recurrent.carry_on(heard, state)
            for i in range(0, heard.shape[2], n):
                is_last = start + i + n >= T
                part = overlap.run(heard[:, :, i : i + n], is_last=is_last)[:, 0]
                wav[:, n_made : n_made + part.shape[1]] = part
                n_made += part.shape[1]
        assert n_made == wav.shape[1], (n_made, wav.shape)
        return wav.reshape(B, self.channels, -1)
