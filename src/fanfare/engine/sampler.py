"""Sampler: one column of tokens for every job, each by its own settings and noise.

J jobs, G guided ones, R rows, K codebooks.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from fanfare.engine.track import Track
from fanfare.nn.config import LmConfig
from fanfare.nn.sampling import SamplingSettings, draw, mix_guidance


class Sampler:
    """Draws for the same jobs, in the same rows, step after step."""

    def __init__(self, tracks: Sequence[Track], rows: Sequence[int], config: LmConfig) -> None:
        """The jobs of `tracks`, whose logits come in the order of `rows`."""
        device = tracks[0].device
        at = {row: i for i, row in enumerate(rows)}
        guided = [j for j, track in enumerate(tracks) if track.job.is_guided]
        noise = torch.ones(len(tracks), config.n_codebooks, config.card, device=device)
        self.noise = noise
        self.sources = [(t.noise, out) for t, out in zip(tracks, noise, strict=True) if t.noise]
        self.cond = _index([at[track.rows[0]] for track in tracks], device)  # [J]
        self.null: Tensor | slice | None = None
        self.guided: Tensor | None = None  # which jobs; None = all
        if guided:
            self.null = _index([at[tracks[j].rows[1]] for j in guided], device)  # [G]
            if len(guided) < len(tracks):
                self.guided = torch.tensor(guided, device=device)
        weights = [tracks[j].job.settings.guidance for j in guided]
        self.weights: float | Tensor = 1.0
        if len(set(weights)) == 1:
            self.weights = weights[0]
        elif weights:
            self.weights = torch.tensor(weights, device=device)[:, None, None]  # [G, 1, 1]
        by_settings: dict[SamplingSettings, list[int]] = {}
        for j, track in enumerate(tracks):
            by_settings.setdefault(track.job.settings, []).append(j)
        self.groups = [
            (settings, torch.tensor(members, device=device))
            for settings, members in by_settings.items()
        ]

    def __call__(self, logits: Tensor) -> Tensor:
        """Tokens [J, K] from logits [R, K, card]."""
        cond = logits[self.cond]  # [J, K, card]
        if self.null is not None:
            null = logits[self.null]  # [G, K, card]
            if self.guided is None:
                cond = mix_guidance(cond, null, self.weights)
            else:
                mixed = mix_guidance(cond[self.guided], null, self.weights)
                cond = cond.index_copy(0, self.guided, mixed)
        for noise, out in self.sources:
            noise.read(out)
        if len(self.groups) == 1:
            return draw(cond, self.groups[0][0], self.noise)
        tokens = torch.empty(cond.shape[:2], dtype=torch.int64, device=cond.device)
        for settings, members in self.groups:
            tokens[members] = draw(cond[members], settings, self.noise[members])
        return tokens


def _index(places: Sequence[int], device: torch.device) -> Tensor | slice:
    """What picks `places`, one or more: a view, where that's possible."""
    step = places[1] - places[0] if len(places) > 1 else 1
    stop = places[0] + step * len(places)
    if step > 0 and list(places) == list(range(places[0], stop, step)):
        return slice(places[0], stop, step)
    return torch.tensor(places, device=device)
