"""From logits to tokens: guidance, top-k, top-p, temperature, and reproducible draws.

J jobs, K codebooks; `draw` and `mix_guidance` work on any number of leading axes.

A draw is `argmax(p / q)` with q ~ Exp(1), which is how `torch.multinomial` draws one sample; with
the same generator it picks the same token. Kept apart from the noise, it needs no check of `p` on
the host, and requests with generators of their own can be drawn together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class SamplingSettings:
    """How tokens are drawn.

    Attributes:
        top_k: draw from the k likeliest tokens; 0 = all. More than there are means all.
        top_p: draw from the likeliest tokens that together have this probability; 0 = off.
            Takes precedence over `top_k`.
        temperature: above 1 flatter, below 1 sharper; 0 = always the likeliest token.
        guidance: weight of the condition (classifier-free guidance); 1 = none.
    """

    top_k: int = 250
    top_p: float = 0.0
    temperature: float = 1.0
    guidance: float = 3.0

    @property
    def is_greedy(self) -> bool:
        """Whether nothing is drawn at random."""
        return self.temperature <= 0


def mix_guidance(cond: Tensor, null: Tensor, guidance: float | Tensor) -> Tensor:
    """Logits pushed from `null` towards `cond` and, above 1, beyond (arXiv 2207.12598)."""
    return null + (cond - null) * guidance


def exponential_noise(out: Tensor, generator: torch.Generator) -> Tensor:
    """Fill `out`, contiguous float32, as `torch.multinomial` fills its own noise."""
    assert out.is_contiguous(), out.stride()
    return out.exponential_(generator=generator)


def draw(logits: Tensor, settings: SamplingSettings, noise: Tensor | None) -> Tensor:
    """Tokens int64 [...] from logits [..., card]; `noise` is of the same shape.

    Guidance is mixed beforehand. Top-p draws along the axis sorted by probability, as audiocraft
    does, so that equal seeds give equal tokens.
    """
    if settings.is_greedy:
        return logits.argmax(dim=-1)
    assert noise is not None, settings
    if settings.temperature != 1:
        logits = logits / settings.temperature
    p = torch.softmax(logits, dim=-1)
    if settings.top_p > 0:
        p, token = torch.sort(p, dim=-1, descending=True)
        p.masked_fill_(p.cumsum(dim=-1) - p > settings.top_p, 0)
        index = p.div_(p.sum(dim=-1, keepdim=True)).div_(noise).argmax(dim=-1)
        return token.gather(-1, index[..., None])[..., 0]
    if 0 < settings.top_k < p.shape[-1]:
        p.masked_fill_(p < _kth_largest(p, settings.top_k), 0)
        p.div_(p.sum(dim=-1, keepdim=True))
    return p.div_(noise).argmax(dim=-1)


def _kth_largest(p: Tensor, k: int) -> Tensor:
    """[..., 1] of [..., card]."""
    if p.device.type == "cpu":  # numpy finds it in a third of the time
        at = p.shape[-1] - k
        return torch.from_numpy(np.partition(p.numpy(), at, axis=-1)[..., at, None])
    return torch.topk(p, k, dim=-1).values[..., -1:]


class BatchSettings(NamedTuple):
    """`SamplingSettings` of J jobs as tensors [J], so that a CUDA graph serves any of them."""

    guidance: Tensor  # float32
    temperature: Tensor  # float32; any positive one where greedy
    top_k: Tensor  # int64, 1 to card; card = all
    top_p: Tensor  # float32; 0 = off
    is_greedy: Tensor  # bool

    @classmethod
    def of(cls, settings: Sequence[SamplingSettings], card: int) -> BatchSettings:
        """Those of `settings`, on the CPU."""
        kept = [min(s.top_k, card) if s.top_k > 0 else card for s in settings]
        return cls(
            torch.tensor([s.guidance for s in settings], dtype=torch.float32),
            torch.tensor([1.0 if s.is_greedy else s.temperature for s in settings]),
            torch.tensor(kept, dtype=torch.int64),
            torch.tensor([s.top_p for s in settings], dtype=torch.float32),
            torch.tensor([s.is_greedy for s in settings]),
        )

    def first(self, n: int) -> BatchSettings:
        """Views of those of the first `n` jobs."""
        return BatchSettings(*(values[:n] for values in self))


def draw_each(logits: Tensor, settings: BatchSettings, noise: Tensor) -> Tensor:
    """Tokens int64 [J, K] from logits and noise [J, K, card], every job by its own settings.

    For each job they are those of `draw`. Nothing here depends on a value on the host.
    """
    _, temperature, top_k, top_p, is_greedy = (values[:, None, None] for values in settings)
    p = torch.softmax(logits / temperature, dim=-1)
    ranked, token = torch.sort(p, dim=-1, descending=True)
    least = ranked.gather(-1, (top_k - 1).expand(*p.shape[:-1], 1))  # [J, K, 1]
    kept = p.masked_fill(p < least, 0)
    total = kept.sum(dim=-1, keepdim=True)
    kept = kept / torch.where(top_k < p.shape[-1], total, torch.ones_like(total))
    likely = ranked.masked_fill(ranked.cumsum(dim=-1) - ranked > top_p, 0)
    likely = likely / likely.sum(dim=-1, keepdim=True)
    is_ranked = (top_p > 0)[..., 0]  # [J, 1]
    index = (torch.where(is_ranked[..., None], likely, kept) / noise).argmax(dim=-1)  # [J, K]
    drawn = torch.where(is_ranked, token.gather(-1, index[..., None])[..., 0], index)
    return torch.where(is_greedy[..., 0], logits.argmax(dim=-1), drawn)
