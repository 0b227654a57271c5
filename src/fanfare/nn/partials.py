"""Partials: steady tones beside what a codec's transform makes (sines plus noise).

Where codes are too few to tell a tone's phase, a decoder of transform coefficients can only make
noise of the right colour. Here a layer says for each frame which of many fixed oscillators sound,
and how loud; their phases run on (Serra and Smith 1990, "Spectral modeling synthesis").

B batch, T frames, W width of what is heard, n oscillators, h samples per frame.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

FLOOR = 3e-5
"""Amplitude of loudness 0; the loudness is its logarithm above this."""
MAX_LOUDNESS = 11.0
TIE = 0.1
"""Share of a probability within which its neighbour is as likely."""
PHASE = 0.6180339887498949
"""Turns by which the phase of an oscillator differs from the one below it."""


@dataclass(frozen=True)
class PartialsConfig:
    """Which oscillators there are.

    Attributes:
        lowest_hz: frequency of the first.
        per_octave: how many an octave has; with 72 every harmonic of a tempered scale is near one.
        n: how many there are.
        hidden: width of the layer that tells which of them sound.
    """

    lowest_hz: float = 1396.9
    per_octave: int = 72
    n: int = 200
    hidden: int = 640

    @property
    def highest_hz(self) -> float:
        """Frequency of the last."""
        return float(self.lowest_hz * 2 ** ((self.n - 1) / self.per_octave))


class Partials(nn.Module):
    """Tells which oscillators sound, and plays them."""

    def __init__(
        self, config: PartialsConfig, *, width: int, hop: int, sample_rate_hz: int
    ) -> None:
        super().__init__()
        self.config, self.hop, self.sample_rate_hz = config, hop, sample_rate_hz
        self.up = nn.Linear(width, config.hidden)
        self.down = nn.Linear(config.hidden, 2 * config.n)
        nn.init.normal_(self.down.weight, std=0.01)
        with torch.no_grad():  # most are silent, and those that sound are so loud
            self.down.bias[: config.n], self.down.bias[config.n :] = -2.0, 3.0

    def says(self, heard: Tensor) -> tuple[Tensor, Tensor]:
        """Of frames [B, T, W]: log odds that each oscillator sounds, and its loudness if so."""
        logits, loudness = self.down(F.gelu(self.up(heard))).float().chunk(2, dim=-1)
        return logits, loudness

    @torch.no_grad()
    def amplify(self, gains: Sequence[tuple[float, float]]) -> None:
        """Makes oscillators louder: pairs of the Hz from which on, and the gain in dB."""
        hz, gain_db = frequencies(self.config), torch.zeros(self.config.n)
        for lowest_hz, db in gains:
            gain_db[hz >= lowest_hz] = db
        self.down.bias[self.config.n :] += gain_db.to(self.down.bias) * math.log(10) / 20

    def forward(self, heard: Tensor, first: int = 0) -> Tensor:
        """Audio [B, h * T] of frames [B, T, W], of which the first is frame `first` of the whole.

        It has no gradient: what sounds is learned from what was found in originals.
        """
        with torch.no_grad():
            return played(amplitudes(*self.says(heard)), self.config, self.hop,
                          self.sample_rate_hz, first)  # fmt: skip


def amplitudes(logits: Tensor, loudness: Tensor) -> Tensor:
    """How loud each oscillator is, [B, T, n]; of neighbours only the likelier sounds.

    What is doubtful is soft. A partial between two oscillators is either's with half the certainty;
    both at once would beat.
    """
    likely = logits.sigmoid()
    below, above = F.pad(likely, (1, 0))[..., :-1], F.pad(likely, (0, 1))[..., 1:]
    # Where two are as likely, a step would make much of the last bit, which parts don't share.
    rival = torch.maximum(below, above) / likely.clamp(min=1e-30)
    leads = ((1 + TIE / 2 - rival) / TIE).clamp(0, 1)
    together = leads * (likely + below + above).clamp(max=1)
    return FLOOR * loudness.clamp(max=MAX_LOUDNESS).exp() * together


def played(
    amplitude: Tensor, config: PartialsConfig, hop: int, sample_rate_hz: int, first: int = 0
) -> Tensor:
    """Audio [B, hop * T] of oscillators at amplitudes [B, T, n], faded from frame to frame."""
    B, T, _ = amplitude.shape
    cosine, sine = waves(config, hop, sample_rate_hz, amplitude.device)  # [n, 2h]
    start = (torch.arange(T, dtype=torch.float64) + first) * hop - hop // 2  # samples
    turns = start[:, None] * frequencies(config) / sample_rate_hz + torch.arange(config.n) * PHASE
    phase = 2 * math.pi * (turns % 1)  # [T, n]
    cos, sin = phase.cos().float(), phase.sin().float()
    cos, sin = cos.to(amplitude.device), sin.to(amplitude.device)
    parts = (amplitude * cos) @ cosine - (amplitude * sin) @ sine  # [B, T, 2h]
    rising, falling = parts[..., :hop].reshape(B, -1), parts[..., hop:].reshape(B, -1)
    whole = F.pad(rising, (0, hop)) + F.pad(falling, (hop, 0))
    return whole[:, hop // 2 : hop // 2 + hop * T]


def frequencies(config: PartialsConfig) -> Tensor:
    """Of all oscillators in Hz, [n]."""
    steps = torch.arange(config.n, dtype=torch.float64)
    return config.lowest_hz * 2 ** (steps / config.per_octave)


@lru_cache(maxsize=8)
def waves(
    config: PartialsConfig, hop: int, sample_rate_hz: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """A frame of every oscillator, cosine and sine [n, 2 * hop], under a window that adds to 1."""
    with torch.inference_mode(False):
        n = torch.arange(2 * hop, dtype=torch.float64)
        window = torch.sin(math.pi * (n + 0.5) / (2 * hop)) ** 2
        phase = 2 * math.pi / sample_rate_hz * frequencies(config)[:, None] * n
        cosine, sine = (window * phase.cos()).float(), (window * phase.sin()).float()
        return cosine.to(device), sine.to(device)
