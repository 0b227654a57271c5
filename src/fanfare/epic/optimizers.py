"""Optimizers: Muon for the matrices inside layers, AdamW for everything else, as one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn


class Optimizers:
    """Both train one module; their learning rates rise and fall together."""

    def __init__(
        self,
        module: nn.Module,
        is_hidden: Callable[[str, Tensor], bool],
        *,
        muon_lr: float,
        adam_lr: float,
        betas: tuple[float, float],
    ) -> None:
        """`is_hidden`: whether Muon trains the parameter of that name."""
        hidden = [p for name, p in module.named_parameters() if is_hidden(name, p)]
        others = [p for name, p in module.named_parameters() if not is_hidden(name, p)]
        self._pairs: list[tuple[torch.optim.Optimizer, float]] = [
            (torch.optim.Muon(hidden, lr=muon_lr, weight_decay=0.02), muon_lr),
            (torch.optim.AdamW(others, adam_lr, betas=betas, weight_decay=0.01), adam_lr),
        ]

    @property
    def parameters(self) -> list[Tensor]:
        """All that are trained."""
        groups = [group for one, _ in self._pairs for group in one.param_groups]
        return [p for group in groups for p in group["params"]]

    def begin(self, share: float) -> None:
        """Forget gradients; the next step is at this share of the highest rates."""
        for one, peak in self._pairs:
            for group in one.param_groups:
                group["lr"] = peak * share
            one.zero_grad()

    def step(self) -> None:
        """Follow the gradients."""
        for one, _ in self._pairs:
            one.step()

    def state(self) -> list[dict[str, Any]]:
        """For a checkpoint."""
        return [one.state_dict() for one, _ in self._pairs]

    def restore(self, state: Sequence[dict[str, Any]]) -> None:
        """What `state` gave."""
        for (one, _), kept in zip(self._pairs, state, strict=True):
            one.load_state_dict(kept)
