"""Player: voices → audio, on any device, many pieces at once.

A sampler in a few tensor operations: cubic interpolation of the bank, an envelope, buses by role
with expression, a hall by convolution with a synthetic response, a master bus that glues and
limits. On a CPU a voice at a time, whose arrays stay in its caches; elsewhere thousands together.
P pieces, N samples of a piece at 32 kHz, V voices, L samples of the longest of some voices.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from fanfare.epic import bank as bank_file
from fanfare.epic.bank import Bank
from fanfare.epic.effects import effects
from fanfare.epic.listen import HOP, SAMPLE_RATE_HZ
from fanfare.epic.percussion import strokes
from fanfare.epic.score import Score
from fanfare.epic.voices import BUSES, FLOATS, ONE, SUSTAINED, WHOLES, Voices, voices

DRY = {"pad": 0.8, "bass": 0.95, "struck": 1.0, "drums": 1.35, "effects": 0.9}
"""Level of a bus; 1 where nothing is said."""
WET = {"pad": 0.38, "bass": 0.18, "drums": 0.32, "effects": 0.4}
"""What a bus sends into the hall; 0.3 where nothing is said."""
DARK_HZ = 1100.0
"""Above this, the part of the sound that isn't bright is lost."""
HALL_S, PREDELAY_S = 2.6, 0.022
HALL_BANDS = ((60, 300, 2.3), (300, 1200, 2.1), (1200, 4000, 1.5), (4000, 12000, 0.8))
"""Of the hall's response: from, to (Hz), and seconds in which the band falls by 60 dB."""
LEVELS_DBFS = (-25.0, -22.0, -19.0, -16.0)
"""RMS of a piece's loudest second, by intensity."""
CEILING = 0.95
DB = math.log(10) / 20
VALUES_AT_ONCE = 1 << 25
"""Samples of voices that a device other than a CPU computes together."""


def open_bank(path: Path) -> Bank:
    """The bank in a file, and what is synthesised."""
    bank = bank_file.load(path)
    return bank.with_sounds({**strokes(bank), **effects(bank)})


class Player:
    """Plays scores with a bank. The same score gives the same sound."""

    def __init__(self, bank: Bank, device: torch.device | str = "cpu") -> None:
        self.bank = bank
        self.device = torch.device(device)
        self.together = self.device.type != "cpu"  # voices in large groups
        self._samples = torch.from_numpy(bank.samples).to(self.device)
        self._hall = torch.from_numpy(hall()).to(self.device)

    def render(self, score: Score) -> NDArray[np.float32]:
        """A score as mono float32 [N], N = frames × 640, peaks below 1."""
        return self.play([voices(score, self.bank)])[0].cpu().numpy()

    @torch.inference_mode()
    def play(self, pieces: Sequence[Voices]) -> Tensor:
        """Pieces of one length, [P, N] on the player's device."""
        N = pieces[0].n_frames * HOP
        bright, dark = self._buses(pieces, N)
        curves = torch.from_numpy(np.stack([piece.curves for piece in pieces])).to(self.device)
        gains = F.interpolate(curves, size=N, mode="linear")
        n_held = len(SUSTAINED)
        bright[:, :n_held] *= gains
        dark[:, :n_held] *= gains
        dry = self._weights(DRY, 1.0)
        wet = self._weights(WET, 0.3)
        sums = [torch.einsum("pbn,b->pn", bus, w) for bus in (bright, dark) for w in (dry, wet)]
        mixed = self._mix(sums, N)
        levels = torch.tensor([LEVELS_DBFS[piece.level] for piece in pieces], device=self.device)
        return master(mixed, levels)

    def _weights(self, table: dict[str, float], default: float) -> Tensor:
        return torch.tensor([table.get(bus, default) for bus in BUSES], device=self.device)

    def _buses(self, pieces: Sequence[Voices], N: int) -> tuple[Tensor, Tensor]:
        """Sums of all voices by bus, [P, B, N]: their bright share and their dark share."""
        shape = (len(pieces) * len(BUSES), N)
        bright = torch.zeros(shape, device=self.device)
        dark = torch.zeros(shape, device=self.device)
        floats = np.concatenate([piece.floats for piece in pieces])
        wholes = np.concatenate([piece.wholes for piece in pieces])
        rows = np.concatenate(
            [i * len(BUSES) + piece.wholes[:, 0] for i, piece in enumerate(pieces)]
        )
        for chosen in self._groups(wholes[:, WHOLES.index("count")]):
            a = torch.from_numpy(floats[chosen]).to(self.device)
            b = torch.from_numpy(wholes[chosen]).to(self.device)
            sound = self._sound(a, b)  # [g, L], 0 beyond each voice's end
            share = a[:, FLOATS.index("brightness"), None]
            self._add(bright, dark, sound, share, rows[chosen], b)
        return (part.view(len(pieces), len(BUSES), N) for part in (bright, dark))  # type: ignore[return-value]

    def _groups(self, counts: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
        """Indices of voices to be computed together, alike in length."""
        order = np.argsort(-counts, kind="stable")
        if not self.together:
            yield from order[:, None]
            return
        first = 0
        while first < len(order):
            n = max(1, VALUES_AT_ONCE // max(int(counts[order[first]]), 1))
            yield order[first : first + n]
            first += n

    def _sound(self, a: Tensor, b: Tensor) -> Tensor:
        """Voices with their envelopes, [g, L]."""
        columns = {name: b[:, i, None] for i, name in enumerate(WHOLES)}
        L = int(columns["count"].max())
        n = torch.arange(L, device=self.device)[None]
        place = columns["position"] + columns["step"] * n
        index = place >> 20
        share = (place & (ONE - 1)).float() / ONE
        loop, length = columns["loop"], columns["length"]
        is_looped, span = loop >= 0, (length - loop).clamp(min=1)
        if bool(is_looped.any()):
            turned = loop + (index - loop) % span
            index = torch.where(is_looped & (index >= length), turned, index)
        index = torch.minimum(index, length + 1) + columns["source"]
        last = len(self._samples) - 1
        p0, p1, p2, p3 = (self._samples[(index + k).clamp_(0, last)] for k in (-1, 0, 1, 2))
        # Catmull and Rom's cubic through four samples.
        sound = p1 + 0.5 * share * (
            p2 - p0 + share * (2 * p0 - 5 * p1 + 4 * p2 - p3 + share * (3 * (p1 - p2) + p3 - p0))
        )
        return sound * envelope(a, columns, n.float())

    def _add(
        self, bright: Tensor, dark: Tensor, sound: Tensor, share: Tensor,
        rows: NDArray[np.int64], b: Tensor,
    ) -> None:  # fmt: skip
        """Adds voices to their buses."""
        start, count = b[:, WHOLES.index("start")], b[:, WHOLES.index("count")]
        if not self.together:
            for i, row in enumerate(rows.tolist()):
                first, n, part = int(start[i]), int(count[i]), float(share[i])
                bright[row, first : first + n].add_(sound[i, :n], alpha=part)
                if part < 1:
                    dark[row, first : first + n].add_(sound[i, :n], alpha=1 - part)
            return
        place = torch.arange(sound.shape[1], device=self.device)[None]
        N = bright.shape[1]
        at = torch.from_numpy(rows).to(self.device)[:, None] * N + start[:, None] + place
        at = torch.where(place < count[:, None], at, 0).flatten()
        sound = torch.where(place < count[:, None], sound, 0.0)
        bright.view(-1).index_add_(0, at, (sound * share).flatten())
        dark.view(-1).index_add_(0, at, (sound * (1 - share)).flatten())

    def _mix(self, sums: list[Tensor], N: int) -> Tensor:
        """Dry and wet, the dark parts low-passed, [P, N].

        The sums, each [P, N]: bright and dry, bright and sent into the hall; the same of dark.
        """
        bright, bright_sent, dark, dark_sent = sums
        n_fft = fast_length(N + len(self._hall))
        hz = torch.fft.rfftfreq(n_fft, 1 / SAMPLE_RATE_HZ, device=self.device)
        low = 1 / (1 + (hz / DARK_HZ) ** 2) ** 0.75
        response = torch.fft.rfft(self._hall, n_fft)
        sent = torch.fft.rfft(bright_sent, n_fft) + low * torch.fft.rfft(dark_sent, n_fft)
        spectrum = low * torch.fft.rfft(dark, n_fft) + response * sent
        spectrum *= 1 - torch.exp(-((hz / 28) ** 2))  # nothing below hearing
        made: Tensor = bright + torch.fft.irfft(spectrum, n_fft)[:, :N]
        return made


def envelope(a: Tensor, columns: dict[str, Tensor], n: Tensor) -> Tensor:
    """Amplitude of voices over time, [g, L]: attack linear, decay and release linear in dB."""
    value = {name: a[:, i, None] for i, name in enumerate(FLOATS)}
    fallen = torch.minimum(
        (n - value["attack"] - value["hold"]).clamp_(min=0) * (100 / value["decay"]),
        value["sustain_db"],
    )
    fallen += (n - columns["off"]).clamp_(min=0) * (100 / value["release"])
    shape = fallen.mul_(-DB).exp_()
    shape *= (n / value["attack"]).clamp_(max=1)
    # A few milliseconds at the very end, lest what is cut off clicks.
    shape *= ((columns["count"] - n) / 160).clamp_(0, 1)
    return shape * value["gain"]


def hall(seed: int = 3) -> NDArray[np.float32]:
    """The response of a large hall, of unit energy: some early reflections, then decaying noise."""
    rng = np.random.default_rng(seed)
    n = int(HALL_S * SAMPLE_RATE_HZ)
    t = np.arange(n) / SAMPLE_RATE_HZ
    hz = np.fft.rfftfreq(n, 1 / SAMPLE_RATE_HZ)
    out = np.zeros(n)
    for low, high, seconds in HALL_BANDS:
        noise = np.fft.rfft(rng.standard_normal(n))
        edge = 1 / np.sqrt((1 + (low / np.maximum(hz, 1e-3)) ** 6) * (1 + (hz / high) ** 6))
        out += np.fft.irfft(noise * edge, n) * np.exp(-6.9 * t / seconds)
    out *= 1 - np.exp(-t / 0.03)  # reflections thicken
    for delay in np.sort(rng.uniform(0.004, 0.08, 14)):
        out[int(delay * SAMPLE_RATE_HZ)] += rng.choice((-1, 1)) * 6.0 * np.exp(-delay / 0.06)
    out = np.r_[np.zeros(int(PREDELAY_S * SAMPLE_RATE_HZ)), out]
    return np.asarray(out / np.sqrt((out**2).sum()), np.float32)


def master(wav: Tensor, levels_dbfs: Tensor, block: int = 320) -> Tensor:
    """Glues, levels and limits [P, N]: the loudest second is brought to a level in dBFS [P].

    Quiet pieces stay quieter than loud ones, but by 9 dB, not by what their velocities say: a
    codec hears noise where there is next to no signal.
    """
    wav = level(wav, torch.full_like(levels_dbfs, -18.0))
    rms = F.avg_pool1d(wav[:, None] ** 2, 20 * block, block, 10 * block)[:, 0].clamp(min=1e-9)
    over_db = (10 * rms.log10() + 18).clamp(min=0)
    wav = wav * _spread(torch.exp(-0.3 * over_db * DB), wav.shape[1])
    wav = level(wav, levels_dbfs)
    peaks = F.max_pool1d(wav[:, None].abs(), block, block, ceil_mode=True)
    around = F.max_pool1d(peaks, 9, 1, 4)
    gain = CEILING / around.clamp(min=CEILING)
    gain = F.avg_pool1d(gain, 5, 1, 2, count_include_pad=False)[:, 0]
    return (wav * _spread(gain, wav.shape[1])).clamp(-CEILING, CEILING)


def _spread(blocks: Tensor, N: int) -> Tensor:
    """Values of blocks [P, M] as those of samples [P, N]."""
    return F.interpolate(blocks[:, None], size=N, mode="linear")[:, 0]


def level(wav: Tensor, dbfs: Tensor) -> Tensor:
    """[P, N] with the RMS of the loudest second brought to `dbfs` [P]."""
    second = min(SAMPLE_RATE_HZ, wav.shape[1])
    power = F.avg_pool1d(wav[:, None] ** 2, second, max(second // 4, 1))[:, 0].amax(dim=1)
    return wav * (torch.exp(dbfs * DB) / power.sqrt().clamp(min=1e-5))[:, None]


def fast_length(n: int) -> int:
    """The next length with small prime factors only, for Fourier transforms."""
    grain = 1 << max(0, n.bit_length() - 4)
    return -(-n // grain) * grain
