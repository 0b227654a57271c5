"""Small classifiers that say what a piece sounds like, trained on the composer's own renders.

They judge epic-mini by ear, as it were: tempo, mode, intensity, mood and instruments from audio
alone. Their own accuracy on unseen renders is the ceiling and is reported beside every figure.
N samples of mono audio at 32 kHz, D features, P tempi.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from fanfare.epic import listen, rhythm
from fanfare.epic.attributes import INSTRUMENTS, MODES, MOODS
from fanfare.epic.brief import MIN_FRAMES_PER_BEAT
from fanfare.epic.losses import mel_bands
from fanfare.epic.score import Brief

FloatArray = NDArray[np.float32]
N_MELS = 64
LAST_FRAMES = 75
"""The end of a piece, which tells its tonic."""
EXCERPT_FRAMES = 300
"""What the ear is trained on, of longer pieces."""
EAR = {"intensity": 4, "mood": len(MOODS), "instruments": len(INSTRUMENTS)}
"""Questions that one network answers together → outputs."""
N_KEYS = 24
"""Of which mode and tonic are read."""


@dataclass(frozen=True)
class Features:
    """What the probes hear: rhythm [P, D], pitch classes [36], log mel bands [T, N_MELS]."""

    rhythm: FloatArray
    tonality: FloatArray
    mel: NDArray[np.float16]


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
    energy = np.sqrt(listen.pitches(wav)).reshape(-1, listen.N_PITCHES // 12, 12)
    classes = [energy.sum(axis=1), energy[:, 0], energy[-LAST_FRAMES:].sum(axis=1)]
    tonality = np.concatenate([c.mean(axis=0) / max(float(c.mean()), 1e-9) for c in classes])
    magnitude = listen.spectrum(wav, listen.SHORT_WINDOW)
    mel = np.log(magnitude @ _bands() + 1e-2)
    return Features(rhythm.comb(wav), tonality.astype(np.float32), mel.astype(np.float16))


@lru_cache(maxsize=1)
def _bands() -> FloatArray:
    weights = mel_bands(listen.SHORT_WINDOW // 2 + 1, N_MELS, listen.SAMPLE_RATE_HZ)
    return np.asarray(weights.numpy())


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


class Ear(nn.Module):
    """Convolutions over time on mel bands; what they find anywhere, and on average."""

    def __init__(self, width: int = 128) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv1d(N_MELS, width, 5), nn.GELU(), nn.Conv1d(width, width, 5, 2), nn.GELU(),
            nn.Conv1d(width, width, 5, 2), nn.GELU(),
        )  # fmt: skip
        self.last = nn.Sequential(nn.Dropout(0.3), nn.Linear(2 * width, sum(EAR.values())))

    def forward(self, x: Tensor) -> Tensor:
        """Answers [B, outputs] from bands [B, T, N_MELS]."""
        heard = self.layers(x.transpose(1, 2))
        answers: Tensor = self.last(torch.cat([heard.mean(dim=2), heard.amax(dim=2)], dim=1))
        return answers


class Probes:
    """One network for tempo, one for the key, and one, the ear, for everything else."""

    def __init__(self, seed: int = 0) -> None:
        torch.manual_seed(seed)
        key = nn.Sequential(nn.Linear(36, 128), nn.GELU(), nn.Dropout(0.2), nn.Linear(128, N_KEYS))
        tempo = TempoNet(rhythm.N_FEATURES, len(rhythm.PERIODS))
        self.nets: dict[str, nn.Module] = {"tempo": tempo, "key": key, "ear": Ear()}
        self.scale: dict[str, tuple[Tensor, Tensor]] = {}

    def inputs(self, name: str, heard: list[Features]) -> Tensor:
        """What probe `name` looks at: rows [n, P, D], [n, 36] or [n, T, N_MELS]."""
        if name == "tempo":
            rows = [f.rhythm for f in heard]
        elif name == "key":
            rows = [f.tonality for f in heard]
        else:
            shortest = min(len(f.mel) for f in heard)
            rows = [f.mel[:shortest].astype(np.float32) for f in heard]
        return torch.from_numpy(np.stack(rows))

    def fit(self, heard: list[Features], truths: list[Truth], steps: int = 1200) -> None:
        """Trains all probes on renders and what they are."""
        instruments = torch.tensor([t.instruments for t in truths], dtype=torch.float32)
        targets = {
            "tempo": torch.tensor([t.tempo for t in truths]),
            "key": torch.tensor([t.key for t in truths]),
            "ear": torch.cat(
                [torch.tensor([[t.intensity, t.mood] for t in truths]), instruments], dim=1
            ),
        }
        for name, net in self.nets.items():
            x, y = self.inputs(name, heard), targets[name]
            over = tuple(range(x.dim() - 1))
            mean, std = x.mean(dim=over), x.std(dim=over).clamp(min=1e-4)
            if name == "key":  # one scale for all, so that pitch classes can be rolled
                mean, std = x.mean(), x.std()
            self.scale[name] = (mean, std)
            x = (x - mean) / std
            lesson = LESSONS[name]
            optimizer = torch.optim.AdamW(net.parameters(), lesson.rate, weight_decay=0.05)
            net.train()
            for _ in range(steps):
                rows = torch.randint(len(x), (lesson.n_rows,))
                a, b = lesson.vary(x[rows], y[rows])
                loss = lesson.loss(net(a + 0.1 * torch.randn_like(a)), b)
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
        intensity, mood, instruments = out["ear"].split(list(EAR.values()), dim=1)
        return [
            Truth(
                tempo=int(out["tempo"][i].argmax()), key=int(out["key"][i].argmax()),
                intensity=int(intensity[i].argmax()), mood=int(mood[i].argmax()),
                instruments=tuple((instruments[i] > 0).int().tolist()),
            )
            for i in range(len(heard))
        ]  # fmt: skip


def ear_loss(answers: Tensor, targets: Tensor) -> Tensor:
    """Of the ear's answers [B, outputs]; targets [B, 2 + instruments] begin with two classes."""
    intensity, mood, instruments = answers.split(list(EAR.values()), dim=1)
    classes = targets[:, :2].long()
    total: Tensor = (
        F.cross_entropy(intensity, classes[:, 0])
        + F.cross_entropy(mood, classes[:, 1])
        + 4 * F.binary_cross_entropy_with_logits(instruments, targets[:, 2:])
    )
    return total


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


def excerpted(rows: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """The same stretch of all pieces [B, T, N_MELS], wherever it begins."""
    start = int(torch.randint(max(rows.shape[1] - EXCERPT_FRAMES, 0) + 1, ()))
    return rows[:, start : start + EXCERPT_FRAMES], targets


def unvaried(rows: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """What it is given."""
    return rows, targets


@dataclass(frozen=True)
class Lesson:
    """How a probe is trained: learning rate, rows a step, how these are varied, and its loss."""

    rate: float = 2e-3
    n_rows: int = 128
    vary: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] = unvaried
    loss: Callable[[Tensor, Tensor], Tensor] = F.cross_entropy


LESSONS = {
    "tempo": Lesson(),
    "key": Lesson(vary=transposed),
    "ear": Lesson(1e-3, 32, excerpted, ear_loss),
}
