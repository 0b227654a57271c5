"""From logits to tokens: guidance, top-k, top-p, temperature, and reproducible draws.

K codebooks; every function works on any number of leading axes.

A draw is `argmax(p / q)` with q ~ Exp(1), which is how `torch.multinomial` draws one sample; with
the same generator it picks the same token. Kept apart from the noise, it needs no check of `p` on
the host, and requests with generators of their own can be drawn together.
"""

from __future__ import annotations

from dataclasses import dataclass

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
    p = torch.softmax(logits / settings.temperature, dim=-1)
    if settings.top_p > 0:
        p, token = torch.sort(p, dim=-1, descending=True)
        p = p.masked_fill(p.cumsum(dim=-1) - p > settings.top_p, 0)
        index = _pick(p / p.sum(dim=-1, keepdim=True), noise)
        return token.gather(-1, index[..., None])[..., 0]
    if 0 < settings.top_k < p.shape[-1]:
        least = torch.topk(p, settings.top_k, dim=-1).values[..., -1:]
        p = p.masked_fill(p < least, 0)
        p = p / p.sum(dim=-1, keepdim=True)
    return _pick(p, noise)


def _pick(p: Tensor, noise: Tensor) -> Tensor:
    return (p / noise).argmax(dim=-1)
