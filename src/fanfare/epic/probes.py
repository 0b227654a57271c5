"""Small classifiers that say what a piece sounds like, trained on the composer's own renders.

They judge epic-mini by ear, as it were: tempo, mode, intensity, mood and instruments from audio
alone. Their own accuracy on unseen renders is the ceiling and is reported beside every figure.
N samples of mono audio at 32 kHz, D features.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from fanfare.epic import listen
from fanfare.epic.attributes import INSTRUMENTS, MODES, MOODS
from fanfare.epic.brief import MAX_FRAMES_PER_BEAT, MIN_FRAMES_PER_BEAT
from fanfare.epic.score import Brief

FloatArray = NDArray[np.float32]
N_LAGS, N_BANDS = 220, 48
LAST_FRAMES = 75
"""The end of a piece, which tells its tonic."""
N_TEMPI = MAX_FRAMES_PER_BEAT - MIN_FRAMES_PER_BEAT + 1
OUTPUTS = {
    "tempo": N_TEMPI, "mode": 24, "intensity": 4, "mood": len(MOODS),
    "instruments": len(INSTRUMENTS),
}  # fmt: skip
"""Probe → outputs; "mode" tells 24 keys, of which mode and tonic are read."""


@dataclass(frozen=True)
class Features:
    """What the probes hear: rhythm [220], pitch classes [36], colour [3 × 48]."""

    rhythm: FloatArray
    tonality: FloatArray
    colour: FloatArray


@dataclass(frozen=True)
class Truth:
    """What a piece is: class indices, and which of INSTRUMENTS play (0/1)."""

    tempo: int
    key: int
    intensity: int
    mood: int
    instruments: tuple[int, ...]


def features(wav: FloatArray) -> Features:
    """Features of audio [N], independent of its overall level."""
    wav = wav / max(float(np.sqrt((wav**2).mean())), 1e-5) * 0.1
    onsets = listen.onset_strength(wav)
    centred = onsets - onsets.mean()
    power = np.abs(np.fft.rfft(centred, 2 * len(centred))) ** 2
    correlation = np.fft.irfft(power)[:N_LAGS]
    rhythm = correlation / max(float(correlation[0]), 1e-9)
    energy = np.sqrt(listen.pitches(wav)).reshape(len(onsets), -1, 12)
    classes = [energy.sum(axis=1), energy[:, 0], energy[-LAST_FRAMES:].sum(axis=1)]
    tonality = np.concatenate([c.mean(axis=0) / max(float(c.mean()), 1e-9) for c in classes])
    magnitude = listen.spectrum(wav, listen.SHORT_WINDOW)
    edges = np.unique(np.geomspace(1, magnitude.shape[1], N_BANDS + 12).astype(int))[-N_BANDS - 1 :]
    bands = np.log(np.add.reduceat(magnitude, edges[:-1], axis=1) + 1e-2)
    rise = np.maximum(np.diff(bands, axis=0), 0)
    colour = np.concatenate([bands.mean(axis=0), bands.std(axis=0), rise.mean(axis=0) * 10])
    return Features(
        rhythm.astype(np.float32), tonality.astype(np.float32), colour.astype(np.float32)
    )


def truth(brief: Brief, played: set[str]) -> Truth:
    """What the brief and the instruments that really play say."""
    kit = {"taiko_low": "taiko", "taiko_high": "taiko"}
    names = {kit.get(name, name) for name in played}
    return Truth(
        tempo=brief.frames_per_beat - MIN_FRAMES_PER_BEAT,
        key=brief.key + 12 * MODES.index(brief.mode),
        intensity=brief.intensity,
        mood=MOODS.index(brief.mood),
        instruments=tuple(int(name in names) for name in INSTRUMENTS),
    )


class Probes:
    """One small network per question."""

    def __init__(self, seed: int = 0) -> None:
        torch.manual_seed(seed)
        sizes = {"tempo": N_LAGS, "mode": 36}
        self.nets = {
            name: nn.Sequential(
                nn.Linear(sizes.get(name, 3 * N_BANDS + 20), 128), nn.GELU(), nn.Dropout(0.2),
                nn.Linear(128, n_outputs),
            )
            for name, n_outputs in OUTPUTS.items()
        }  # fmt: skip
        self.scale: dict[str, tuple[Tensor, Tensor]] = {}

    def inputs(self, name: str, heard: list[Features]) -> Tensor:
        """Rows [n, D] that probe `name` looks at."""
        if name == "tempo":
            rows = [f.rhythm for f in heard]
        elif name == "mode":
            rows = [f.tonality for f in heard]
        else:
            rows = [np.concatenate([f.colour, f.rhythm[2:42:2]]) for f in heard]
        return torch.from_numpy(np.stack(rows))

    def fit(self, heard: list[Features], truths: list[Truth], steps: int = 1200) -> None:
        """Trains all probes on renders and what they are."""
        targets = {
            "tempo": torch.tensor([t.tempo for t in truths]),
            "mode": torch.tensor([t.key for t in truths]),
            "intensity": torch.tensor([t.intensity for t in truths]),
            "mood": torch.tensor([t.mood for t in truths]),
            "instruments": torch.tensor([t.instruments for t in truths], dtype=torch.float32),
        }
        for name, net in self.nets.items():
            x, y = self.inputs(name, heard), targets[name]
            mean, std = x.mean(dim=0), x.std(dim=0).clamp(min=1e-4)
            if name == "mode":  # one scale for all, so that pitch classes can be rolled
                mean, std = x.mean(), x.std()
            self.scale[name] = (mean, std)
            x = (x - mean) / std
            optimizer = torch.optim.AdamW(net.parameters(), 2e-3, weight_decay=0.05)
            net.train()
            for _ in range(steps):
                rows = torch.randint(len(x), (128,))
                a, b = x[rows], y[rows]
                if name == "mode":
                    a, b = transposed(a, b)
                out = net(a + 0.1 * torch.randn_like(a))
                loss = (
                    F.binary_cross_entropy_with_logits(out, b)
                    if name == "instruments"
                    else F.cross_entropy(out, b)
                )
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            net.eval()

    @torch.inference_mode()
    def hear(self, heard: list[Features]) -> list[Truth]:
        """What the probes take pieces to be."""
        out = {}
        for name, net in self.nets.items():
            mean, std = self.scale[name]
            out[name] = net((self.inputs(name, heard) - mean) / std)
        return [
            Truth(
                tempo=int(out["tempo"][i].argmax()), key=int(out["mode"][i].argmax()),
                intensity=int(out["intensity"][i].argmax()), mood=int(out["mood"][i].argmax()),
                instruments=tuple((out["instruments"][i] > 0).int().tolist()),
            )
            for i in range(len(heard))
        ]  # fmt: skip


def transposed(rows: Tensor, keys: Tensor) -> tuple[Tensor, Tensor]:
    """The same pieces in random other keys: pitch classes rolled, labels moved along."""
    shift = torch.randint(12, (len(rows), 1))
    index = (torch.arange(12)[None] - shift) % 12
    rolled = torch.cat([part.gather(1, index) for part in rows.split(12, dim=1)], dim=1)
    return rolled, (keys % 12 + shift.squeeze(1)) % 12 + 12 * (keys // 12)


def tempo_agrees(a: int, b: int, slack: float = 0.04) -> bool:
    """Whether two tempo classes lie within `slack` of each other."""
    x, y = a + MIN_FRAMES_PER_BEAT, b + MIN_FRAMES_PER_BEAT
    return abs(x / y - 1) <= slack
