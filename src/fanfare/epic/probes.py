"""Small classifiers that say what a piece sounds like, trained on the composer's own renders.

They judge epic-mini by ear, as it were: tempo, key, intensity, mood and instruments from audio
alone. Their own accuracy on unseen renders is the ceiling and is reported beside every figure.
N samples of mono audio at 32 kHz, D features, P tempi, I instruments.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from fanfare.epic import ear, listen, rhythm
from fanfare.epic.attributes import INSTRUMENTS, MODES, MOODS
from fanfare.epic.brief import MIN_FRAMES_PER_BEAT
from fanfare.epic.score import Brief

FloatArray = NDArray[np.float32]
LAST_FRAMES = 75
"""The end of a piece, which tells its tonic."""
SCALE = "scale"
N_KEYS = 24
"""Of which mode and tonic are read."""
STEPS, EAR_STEPS = 3000, 12_000


@dataclass(frozen=True)
class Features:
    """What the probes hear: rhythm [P, D], pitch classes [36], the ear's spectrogram."""

    rhythm: FloatArray
    tonality: FloatArray
    spectrogram: NDArray[np.float16]


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
    return Features(rhythm.comb(wav), tonality.astype(np.float32), ear.spectrogram(wav))


def truth(brief: Brief, played: set[str]) -> Truth:
    """What the brief and the instruments that really play say."""
    names = {ear.sounding(name) for name in played}
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
    """Networks for tempo and key, the ear, and one for the mood, which goes by what these hear."""

    def __init__(self, seed: int = 0) -> None:
        torch.manual_seed(seed)
        self.nets: dict[str, nn.Module] = {
            "tempo": TempoNet(rhythm.N_FEATURES, len(rhythm.PERIODS)),
            "key": _layers(36, 128, N_KEYS, 0.2),
            "mood": _layers(len(INSTRUMENTS) + 36 + 2, 96, len(MOODS), 0.5),
        }
        self.ear = ear.Ear()
        self.scale: dict[str, tuple[Tensor, Tensor]] = {}

    def fit(
        self,
        heard: list[Features],
        truths: list[Truth],
        playing: list[NDArray[np.bool_]],
        steps: int = STEPS,
        ear_steps: int = EAR_STEPS,
    ) -> None:
        """Trains all probes on renders, what they are, and who plays in them when."""
        for name in ("tempo", "key"):
            rows = np.stack([f.rhythm if name == "tempo" else f.tonality for f in heard])
            right = torch.tensor([t.tempo if name == "tempo" else t.key for t in truths])
            self._fit(name, torch.from_numpy(rows), right, steps)
        self.ear.teach(
            [f.spectrogram for f in heard], playing,
            torch.tensor([t.intensity for t in truths]), ear_steps,
        )  # fmt: skip
        moods = torch.tensor([t.mood for t in truths])
        self._fit("mood", self._impressions(heard, *self._listen(heard)[:3]), moods, steps)

    def save(self, path: Path) -> None:
        """Writes them as safetensors: weights as float16, scales and thresholds as float32."""
        state = {
            f"{name}.{key}": value.half() if key in dict(net.named_parameters()) else value
            for name, net in (*self.nets.items(), ("ear", self.ear))
            for key, value in net.state_dict().items()
        }
        for name, pair in self.scale.items():
            state |= {f"{SCALE}.{name}.{i}": part for i, part in enumerate(pair)}
        partial = path.with_suffix(".partial")
        save_file({key: value.contiguous() for key, value in state.items()}, partial)
        partial.replace(path)

    @classmethod
    def load(cls, path: Path) -> Probes:
        """Those that `save` wrote."""
        state = {key: value.float() for key, value in load_file(path).items()}
        made = cls()
        for name, net in (*made.nets.items(), ("ear", made.ear)):
            own = {key: state[f"{name}.{key}"] for key in net.state_dict()}
            net.load_state_dict(own)
            net.eval()
            if name in made.nets:
                made.scale[name] = state[f"{SCALE}.{name}.0"], state[f"{SCALE}.{name}.1"]
        return made

    def _fit(self, name: str, x: Tensor, y: Tensor, steps: int) -> None:
        over = tuple(range(x.dim() - 1))
        mean, std = x.mean(dim=over), x.std(dim=over).clamp(min=1e-4)
        if name == "key":  # one scale for all, so that pitch classes can be rolled
            mean, std = x.mean(), x.std()
        self.scale[name] = (mean, std)
        x = (x - mean) / std
        net, vary = self.nets[name], VARIED.get(name, unvaried)
        optimizer = torch.optim.AdamW(net.parameters(), 2e-3, weight_decay=0.05)
        net.train()
        for _ in range(steps):
            rows = torch.randint(len(x), (128,))
            a, b = vary(x[rows], y[rows])
            loss = F.cross_entropy(net(a + 0.1 * torch.randn_like(a)), b)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        net.eval()

    def _ask(self, name: str, x: Tensor) -> Tensor:
        """The classes [n] that a network finds likeliest."""
        mean, std = self.scale[name]
        likeliest: Tensor = self.nets[name]((x - mean) / std).argmax(dim=1)
        return likeliest

    @torch.inference_mode()
    def _listen(self, heard: list[Features]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Tempi [n], keys [n], scores of instruments [n, I] and of intensities [n, 4]."""
        tempi = self._ask("tempo", torch.from_numpy(np.stack([f.rhythm for f in heard])))
        keys = self._ask("key", torch.from_numpy(np.stack([f.tonality for f in heard])))
        parts = [self.ear.hear(torch.from_numpy(f.spectrogram)[None]) for f in heard]
        players, force = (torch.cat(part) for part in zip(*parts, strict=True))
        return tempi, keys, players, force

    def _impressions(
        self, heard: list[Features], tempi: Tensor, keys: Tensor, players: Tensor
    ) -> Tensor:
        """What a mood is told by: instruments, pitch classes from the tonic up, tempo, mode."""
        tones = torch.from_numpy(np.stack([f.tonality for f in heard]))
        rest = torch.stack([tempi / len(rhythm.PERIODS), (keys // 12).float()], dim=1)
        return torch.cat([players, rolled(tones, -(keys % 12)), rest], dim=1)

    @torch.inference_mode()
    def hear(self, heard: list[Features]) -> list[Truth]:
        """What the probes take pieces to be."""
        tempi, keys, players, force = self._listen(heard)
        moods = self._ask("mood", self._impressions(heard, tempi, keys, players))
        present = (players > self.ear.thresholds).int()
        return [
            Truth(
                tempo=int(tempi[i]), key=int(keys[i]), intensity=int(force[i].argmax()),
                mood=int(moods[i]), instruments=tuple(present[i].tolist()),
            )
            for i in range(len(heard))
        ]  # fmt: skip


def _layers(n_in: int, hidden: int, n_out: int, dropout: float) -> nn.Module:
    return nn.Sequential(
        nn.Linear(n_in, hidden), nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden, n_out)
    )


def rolled(rows: Tensor, shift: Tensor) -> Tensor:
    """Pitch classes [n, 12 k], each row moved up by its `shift` [n]."""
    index = (torch.arange(12)[None] - shift[:, None]) % 12
    return torch.cat([part.gather(1, index) for part in rows.split(12, dim=1)], dim=1)


def transposed(rows: Tensor, keys: Tensor) -> tuple[Tensor, Tensor]:
    """The same pieces in random other keys: pitch classes rolled, labels moved along."""
    shift = torch.randint(12, (len(rows),))
    return rolled(rows, shift), (keys % 12 + shift) % 12 + 12 * (keys // 12)


def tempo_agrees(a: int, b: int, slack: float = 0.04) -> bool:
    """Whether two tempo classes lie within `slack` of each other."""
    x, y = a + MIN_FRAMES_PER_BEAT, b + MIN_FRAMES_PER_BEAT
    return abs(x / y - 1) <= slack


def unvaried(rows: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """What it is given."""
    return rows, targets


VARIED: dict[str, Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]] = {"key": transposed}
"""How rows are varied while a probe is trained."""
