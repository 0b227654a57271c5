"""Sampler: one column of tokens for every job, each by its own settings and generator.

J jobs, G guided ones, R rows, K codebooks.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from fanfare.engine.track import Track
from fanfare.nn.config import LmConfig
from fanfare.nn.sampling import SamplingSettings, draw, exponential_noise, mix_guidance


class Sampler:
    """Draws for the same jobs, in the same rows, step after step."""

    def __init__(self, tracks: Sequence[Track], rows: Sequence[int], config: LmConfig) -> None:
        """The jobs of `tracks`, whose logits come in the order of `rows`."""
        device = tracks[0].device
        at = {row: i for i, row in enumerate(rows)}
        guided = [j for j, track in enumerate(tracks) if track.job.is_guided]
        self.generators = [track.generator for track in tracks]
        self.noise = torch.ones(len(tracks), config.n_codebooks, config.card, device=device)
        self.cond = torch.tensor([at[track.rows[0]] for track in tracks], device=device)  # [J]
        self.null: Tensor | None = None
        self.guided: Tensor | None = None  # which jobs; None = all
        if guided:
            self.null = torch.tensor([at[tracks[j].rows[1]] for j in guided], device=device)  # [G]
            if len(guided) < len(tracks):
                self.guided = torch.tensor(guided, device=device)
        self.weights = torch.tensor(
            [tracks[j].job.settings.guidance for j in guided], device=device
        )[:, None, None]  # [G, 1, 1]
        by_settings: dict[SamplingSettings, list[int]] = {}
        for j, track in enumerate(tracks):
            by_settings.setdefault(track.job.settings, []).append(j)
        self.groups = [
            (settings, torch.tensor(members, device=device))
            for settings, members in by_settings.items()
        ]

    def __call__(self, logits: Tensor) -> Tensor:
        """Tokens [J, K] from logits [R, K, card]."""
        cond = logits.index_select(0, self.cond)  # [J, K, card]
        if self.null is not None:
            null = logits.index_select(0, self.null)  # [G, K, card]
            if self.guided is None:
                cond = mix_guidance(cond, null, self.weights)
            else:
                mixed = mix_guidance(cond[self.guided], null, self.weights)
                cond = cond.index_copy(0, self.guided, mixed)
        for j, generator in enumerate(self.generators):
            if generator is not None:
                exponential_noise(self.noise[j], generator)
        if len(self.groups) == 1:
            return draw(cond, self.groups[0][0], self.noise)
        tokens = torch.empty(cond.shape[:2], dtype=torch.int64, device=cond.device)
        for settings, members in self.groups:
            tokens[members] = draw(cond[members], settings, self.noise[members])
        return tokens
