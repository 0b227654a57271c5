"""The noise of a diffusion model by step, and the few steps on which it is taken away."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

N_STEPS = 1000
VISITED = (*range(N_STEPS - 1, -1, -50), 0)
"""Steps of the reverse process, noisiest first; the last is arrived at, not computed from."""


@dataclass(frozen=True)
class ScheduleConfig:
    """A power schedule: the root of beta grows linearly.

    Attributes:
        beta_first: variance that the first step adds.
        beta_last: variance that the last step adds.
        exponent: which root it is.
        clip: samples are held within plus and minus this after each step; None = they aren't.
        noise_scale: standard deviation of the noise.
    """

    beta_first: float
    beta_last: float
    exponent: float
    clip: float | None = 5.0
    noise_scale: float = 1.0

    def __post_init__(self) -> None:
        """Refuse schedules that lead nowhere; raises ValueError."""
        if not 0 < self.beta_first <= self.beta_last < 1:
            raise ValueError(f"betas must rise from above 0 to below 1: {self}")
        if not self.exponent > 0 or not self.noise_scale > 0:
            raise ValueError(f"exponent and noise_scale must be positive: {self}")
        if self.clip is not None and not self.clip > 0:
            raise ValueError(f"clip must be positive: {self}")


@dataclass(frozen=True)
class ReverseStep:
    """x becomes (x - estimate_weight * estimate) / divisor + noise_weight * fresh noise.

    Attributes:
        step: what the network is told.
        noise_weight: 0 = no noise is drawn.
    """

    step: int
    estimate_weight: float
    divisor: float
    noise_weight: float


def betas(config: ScheduleConfig) -> Tensor:
    """Variance that each step adds: float32 [N_STEPS], on the CPU."""
    root = 1 / config.exponent
    roots = torch.linspace(
        config.beta_first**root, config.beta_last**root, N_STEPS, dtype=torch.float32, device="cpu"
    )
    variances: Tensor = roots**config.exponent
    return variances


def alpha_bar(betas: Tensor, step: int) -> Tensor:
    """The share of the signal's power that is left after `step`: a scalar."""
    return (1 - betas[: step + 1]).prod()


def reverse_steps(config: ScheduleConfig) -> list[ReverseStep]:
    """The reverse process that visits few steps (DDPM, arXiv 2006.11239, with longer strides).

    Every intermediate value is rounded to float32 as in the published code, which takes the ratio
    of two alpha bars from a running product but each alpha bar itself from a product of its own.
    """
    variances = betas(config)
    running = (1 - variances).cumprod(dim=0)
    steps = []
    here = alpha_bar(variances, VISITED[0])
    for step, target in pairwise(VISITED):
        removed = 1 - running[step] / running[target]
        alpha = 1 - removed
        there = alpha_bar(variances, target)
        is_last = target == VISITED[-1]
        variance = (1 - there) / (1 - here) * (1 - alpha)
        steps.append(
            ReverseStep(
                step=step,
                estimate_weight=float((1 - alpha) / (1 - here).sqrt()),
                divisor=float(alpha.sqrt()),
                noise_weight=0.0 if is_last else float(variance**0.5),
            )
        )
        here = there
    return steps
