"""Ear: who plays when, and how intense it is, by convolutions on a spectrogram in semitones.

It is taught moment by moment who plays, which a score says exactly; that a piece has an instrument
somewhere is what it says most surely of a few moments.
B batch, N samples of mono audio at 32 kHz, T frames (25/s), M moments (6.25/s), I instruments.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from fanfare.epic import listen
from fanfare.epic.attributes import INSTRUMENTS, MAX_INTENSITY
from fanfare.epic.score import Score

FloatArray = NDArray[np.float32]
WINDOWS = (listen.LONG_WINDOW, listen.SHORT_WINDOW)
"""One tells tones apart, the other attacks."""
N_BANDS = 96
"""Semitones from MIDI 36 up, to 15.8 kHz."""
PER_FRAME = 2
"""Frames of the score in one of the ear's."""
PER_MOMENT = 4
EXCERPT_FRAMES = 200
"""Taught at once, of longer pieces."""
RING_FRAMES = 5
"""For which a stroke is heard at least, in frames of the score."""
N_ROWS, RATE = 16, 2e-3
SURE_SHARE = 8
"""The surest eighth of all moments tells of a piece."""
HELD_SHARE, HELD_FROM = 10, 200
"""Of so many examples, a tenth is kept apart: it says from where on an instrument is heard."""
SAME = {"cymbal_swell": "cymbals"}


def spectrogram(wav: FloatArray) -> NDArray[np.float16]:
    """Log energies [2, N_BANDS, T] of audio [N] through both windows."""
    heard = [
        np.log(listen.spectrum(wav, window) @ _bands(window) + 1e-2) for window in WINDOWS
    ]  # each [frames, N_BANDS]
    both = np.stack(heard).swapaxes(1, 2)
    both = both[..., : both.shape[2] // PER_FRAME * PER_FRAME]
    return np.asarray(both.reshape(*both.shape[:2], -1, PER_FRAME).max(axis=3), np.float16)


@lru_cache(maxsize=2)
def _bands(window: int) -> FloatArray:
    """Means over semitones, triangles that overlap by half; the nearest bin where there is none."""
    hz = np.arange(window // 2 + 1) * listen.SAMPLE_RATE_HZ / window
    place = 69 + 12 * np.log2(np.maximum(hz, 1.0) / 440.0) - listen.LOWEST_PITCH
    far = np.abs(place[:, None] - np.arange(N_BANDS))
    weights = np.maximum(0.0, 1.0 - far)
    weights[far.argmin(axis=0), np.arange(N_BANDS)] += 1e-3
    gain = listen.SHORT_WINDOW / window
    return np.asarray(weights / weights.sum(axis=0) * gain, np.float32)


def sounding(name: str) -> str:
    """The instrument that a stroke or a player belongs to."""
    return "taiko" if name.startswith("taiko_") else SAME.get(name, name)


def playing(score: Score) -> NDArray[np.bool_]:
    """Who plays in each frame, [T, I]."""
    plays = np.zeros((score.n_frames, len(INSTRUMENTS)), bool)
    for note in score.notes:
        name = sounding(note.instrument)
        if name in INSTRUMENTS:
            end = note.start + max(note.length, RING_FRAMES)
            plays[note.start : end, INSTRUMENTS.index(name)] = True
    whole = plays[: len(plays) // PER_FRAME * PER_FRAME]
    return np.asarray(whole.reshape(-1, PER_FRAME, len(INSTRUMENTS)).any(axis=1), bool)


class Ear(nn.Module):
    """The network, and what it takes for "yes" of each instrument."""

    mean: Tensor
    std: Tensor
    thresholds: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.seen = nn.Sequential(
            nn.Conv2d(2, 32, 5, (1, 2), 2), nn.GELU(),
            nn.Conv2d(32, 64, (5, 3), (3, 1), (2, 1)), nn.GELU(),
            nn.Conv2d(64, 128, (5, 3), (4, 2), (2, 1)), nn.GELU(),
        )  # fmt: skip
        self.heard = nn.Sequential(
            nn.Dropout(0.2), nn.Conv1d(1024, 224, 3, padding=1), nn.GELU(), nn.Dropout(0.3)
        )
        self.players = nn.Conv1d(224, len(INSTRUMENTS), 1)
        self.force = nn.Linear(448, MAX_INTENSITY + 1)
        self.register_buffer("mean", torch.zeros(2, N_BANDS, 1))
        self.register_buffer("std", torch.ones(2, N_BANDS, 1))
        self.register_buffer("thresholds", torch.zeros(len(INSTRUMENTS)))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Scores of players [B, I, M] and of intensities [B, 4] from spectrograms."""
        h = self.heard(self.seen((x - self.mean) / self.std).flatten(1, 2))
        return self.players(h), self.force(torch.cat([h.mean(dim=2), h.amax(dim=2)], dim=1))

    def teach(
        self,
        spectrograms: Sequence[NDArray[np.float16]],
        plays: Sequence[NDArray[np.bool_]],
        intensities: Tensor,
        steps: int,
    ) -> None:
        """Learns from pieces, of each of which it is known who plays in every frame."""
        n = min(len(one) for one in plays)
        heard = torch.from_numpy(np.stack([one[..., :n] for one in spectrograms]))
        known = torch.from_numpy(np.stack([one[:n] for one in plays])).transpose(1, 2)
        some = heard[:200].float()
        self.mean.copy_(some.mean(dim=(0, 3))[..., None])
        self.std.copy_(some.std(dim=(0, 3)).clamp(min=1e-3)[..., None])
        held = len(heard) // HELD_SHARE if len(heard) >= HELD_FROM else 0
        taught = len(heard) - held
        share = known[:taught].float().mean(dim=(0, 2)).clamp(1e-3, 1)
        rare = ((1 - share) / share).clamp(max=30).sqrt()[:, None]
        optimizer = torch.optim.AdamW(self.parameters(), RATE, weight_decay=0.05)
        rates = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, RATE, total_steps=steps, pct_start=0.1
        )
        self.train()
        for _ in range(steps):
            rows = torch.randint(taught, (min(N_ROWS, taught),))
            first = int(torch.randint(max(n - EXCERPT_FRAMES, 0) + 1, ()))
            span = slice(first, first + EXCERPT_FRAMES)
            x = heard[rows][..., span].float()
            x = torch.roll(x, int(torch.randint(-2, 3, ())), dims=2)  # to other keys
            with torch.autocast("cpu", torch.bfloat16):
                players, force = self(x + 0.1 * torch.randn_like(x))
            moments = F.max_pool1d(known[rows][..., span].float(), PER_MOMENT, ceil_mode=True)
            m = min(moments.shape[2], players.shape[2])
            loss = 8 * F.binary_cross_entropy_with_logits(
                players[..., :m].float(), moments[..., :m], pos_weight=rare
            ) + F.cross_entropy(force.float(), intensities[rows])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            rates.step()
        self.eval()
        self._decide(heard[-held:], known[-held:].any(dim=2))  # all, where none is held

    @torch.no_grad()
    def _decide(self, heard: Tensor, present: Tensor) -> None:
        """Thresholds by which as many pieces are said to have an instrument as do have it."""
        scores = torch.cat([self.hear(part)[0] for part in torch.split(heard, 64)])
        for i in range(len(INSTRUMENTS)):
            count = int(present[:, i].sum())
            ordered = scores[:, i].sort(descending=True).values
            self.thresholds[i] = ordered[max(count - 1, 0)] - 1e-4 if count else float("inf")

    @torch.no_grad()
    def hear(self, spectrograms: Tensor) -> tuple[Tensor, Tensor]:
        """How surely each instrument plays somewhere [B, I], and scores of intensities [B, 4]."""
        players, force = self(spectrograms.float())
        surest = players.topk(max(players.shape[2] // SURE_SHARE, 1), dim=2).values
        return surest.mean(dim=2), force
