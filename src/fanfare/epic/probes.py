"""Small classifiers that say what a piece sounds like, trained on the composer's own renders.

They judge epic-mini by ear, as it were: tempo, mode, intensity, mood and instruments from audio
alone. Their own accuracy on unseen renders is the ceiling and is reported beside every figure.
N samples of mono audio at 32 kHz, D features, P tempi.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from fanfare.epic import listen, rhythm
from fanfare.epic.attributes import INSTRUMENTS, MODES, MOODS
from fanfare.epic.brief import MIN_FRAMES_PER_BEAT
from fanfare.epic.score import Brief

FloatArray = NDArray[np.float32]
N_BANDS = 48
PULSE_LAGS = slice(2, 42, 2)
LAST_FRAMES = 75
"""The end of a piece, which tells its tonic."""
OUTPUTS = {
    "tempo": len(rhythm.PERIODS), "mode": 24, "intensity": 4, "mood": len(MOODS),
    "instruments": len(INSTRUMENTS),
}  # fmt: skip
"""Probe → outputs; "mode" tells 24 keys, of which mode and tonic are read."""


@dataclass(frozen=True)
class Features:
    """What the probes hear: rhythm [P, D], pitch classes [36], colour [3 × 48 + 20]."""

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
    energy = np.sqrt(listen.pitches(wav)).reshape(len(onsets), -1, 12)
    classes = [energy.sum(axis=1), energy[:, 0], energy[-LAST_FRAMES:].sum(axis=1)]
    tonality = np.concatenate([c.mean(axis=0) / max(float(c.mean()), 1e-9) for c in classes])
    magnitude = listen.spectrum(wav, listen.SHORT_WINDOW)
    edges = np.unique(np.geomspace(1, magnitude.shape[1], N_BANDS + 12).astype(int))[-N_BANDS - 1 :]
    bands = np.log(np.add.reduceat(magnitude, edges[:-1], axis=1) + 1e-2)
    rise = np.maximum(np.diff(bands, axis=0), 0)
    pulse = rhythm.autocorrelation(onsets)[PULSE_LAGS]
    colour = np.concatenate([bands.mean(axis=0), bands.std(axis=0), rise.mean(axis=0) * 10, pulse])
    return Features(rhythm.comb(wav), tonality.astype(np.float32), colour.astype(np.float32))


def truth(brief: Brief, played: set[str]) -> Truth:
    """What the brief and the instruments that really play say."""
    kit = {name: "taiko" for name in played if name.startswith("taiko_")}
    kit["cymbal_swell"] = "cymbals"
    names = {kit.get(name, name) for name in played}
    return Truth(
        tempo=brief.frames_per_beat - MIN_FRAMES_PER_BEAT,
        key=brief.key + 12 * MODES.index(brief.mode),
        intensity=brief.intensity,
        mood=MOODS.index(brief.mood),
        instruments=tuple(int(name in names) for name in INSTRUMENTS),
    )


class TempoNet(nn.Module):
    """Judges every tempo by the same measure, so that what it learns of one holds for all."""

    def __init__(self, n_features: int, n_tempi: int) -> None:
        super().__init__()
        self.judge = nn.Sequential(
            nn.Linear(n_features, 64), nn.GELU(), nn.Dropout(0.3),
            nn.Linear(64, 32), nn.GELU(), nn.Linear(32, 1),
        )  # fmt: skip
        self.prior = nn.Parameter(torch.zeros(n_tempi))

    def forward(self, x: Tensor) -> Tensor:
        """Scores [B, P] of the tempi from their features [B, P, D]."""
        scores: Tensor = self.judge(x).squeeze(2) + self.prior
        return scores


class Probes:
    """One small network per question."""

    def __init__(self, seed: int = 0) -> None:
        torch.manual_seed(seed)
        sizes = {"mode": 36}
        self.nets: dict[str, nn.Module] = {
            name: nn.Sequential(
                nn.Linear(sizes.get(name, 3 * N_BANDS + 20), 128), nn.GELU(), nn.Dropout(0.2),
                nn.Linear(128, n_outputs),
            )
            for name, n_outputs in OUTPUTS.items()
        }  # fmt: skip
        self.nets["tempo"] = TempoNet(rhythm.N_FEATURES, OUTPUTS["tempo"])
        self.scale: dict[str, tuple[Tensor, Tensor]] = {}

    def inputs(self, name: str, heard: list[Features]) -> Tensor:
        """Rows [n, D] that probe `name` looks at; [n, P, D] for the tempo."""
        if name == "tempo":
            rows = [f.rhythm for f in heard]
        elif name == "mode":
            rows = [f.tonality for f in heard]
        else:
            rows = [f.colour for f in heard]
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
            over = tuple(range(x.dim() - 1))
            mean, std = x.mean(dim=over), x.std(dim=over).clamp(min=1e-4)
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
