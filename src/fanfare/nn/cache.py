"""KvCache: what a batch of sequences has been through so far, in static buffers.

R rows, S new steps, N slots, H heads, D width, L text length.

Rows of different length start with padding slots ("pads") on the left, so that all rows
generate in step; a pad sees itself only and is seen by nobody.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fanfare.nn.config import LmConfig
from fanfare.nn.transformer import LayerCache, Span, Visibility, causal_mask

WINDOWS_HELD = 4
"""Slots kept for a model with a window, in windows: old ones are dropped every third window."""


@dataclass
class KvCache:
    """Keys and values of every layer, and where the next step goes.

    Attributes:
        layers: one entry per layer.
        n_slots: N, slots per buffer.
        past_context: the model's window, in steps.
        pads: padding slots of each row, int64 [R]; None = no row has any.
        max_pad: the largest of `pads`.
        cross_mask: bool [R, 1, 1, L], which parts of the text count; None = all of it.
        n_seen: steps so far, pads included; the next step's position.
        n_held: slots in use; fewer than `n_seen` once the window has dropped old steps.
    """

    layers: list[LayerCache]
    n_slots: int
    past_context: int | None
    pads: Tensor | None
    max_pad: int
    cross_mask: Tensor | None = None
    n_seen: int = 0
    n_held: int = 0

    @classmethod
    def allocate(
        cls,
        config: LmConfig,
        n_steps: int,
        n_prefill: int,
        pads: Sequence[int],
        *,
        dtype: torch.dtype,
        device: torch.device,
    ) -> KvCache:
        """Room for `n_steps` steps per row, the first `n_prefill` of which come at once."""
        n_slots = n_steps
        if config.past_context is not None:
            n_slots = min(n_steps, n_prefill + WINDOWS_HELD * config.past_context)
        shape = (len(pads), config.n_heads, n_slots, config.head_dim)
        layers = [
            LayerCache(
                torch.zeros(shape, dtype=dtype, device=device),
                torch.zeros(shape, dtype=dtype, device=device),
            )
            for _ in range(config.n_layers)
        ]
        max_pad = max(pads)
        lengths = torch.tensor(pads, device=device) if max_pad else None
        return cls(layers, n_slots, config.past_context, lengths, max_pad)

    def advance(self, n_new: int) -> tuple[Span, Tensor]:
        """Take in `n_new` steps: their slots, and their positions [S], or [R, S] with pads."""
        if self.n_held + n_new > self.n_slots:
            self._drop_old()
        start, stop = self.n_held, self.n_held + n_new
        assert stop <= self.n_slots, (stop, self.n_slots)
        first_seen = 0 if self.past_context is None else max(0, start - self.past_context + 1)
        device = self.layers[0].keys.device
        positions = torch.arange(self.n_seen, self.n_seen + n_new, device=device)
        if self.pads is not None:
            positions = positions - self.pads[:, None]
        self.n_held, self.n_seen = stop, self.n_seen + n_new
        return Span(start, stop, first_seen), positions

    def visibility(self, span: Span) -> Visibility:
        """Who sees whom among the slots of `span`, just taken in."""
        n_new, n_visible = span.stop - span.start, span.stop - span.first_seen
        first_step = self.n_seen - n_visible  # the step that the first visible slot holds
        has_pads = self.max_pad > first_step
        device = self.layers[0].keys.device
        if n_new == 1:
            if not has_pads:
                return Visibility()
            mask = torch.ones(1, n_visible, dtype=torch.bool, device=device)
        elif not has_pads and n_visible == n_new and n_new <= (self.past_context or n_new):
            return Visibility(is_causal=True)
        else:
            mask = causal_mask(n_new, n_visible, self.past_context, device=device)  # [S, N seen]
        if has_pads:
            assert self.pads is not None
            step = torch.arange(first_step, self.n_seen, device=device)
            itself = step == step[-n_new:, None]  # a row without any visible key would be NaN
            mask = (mask & (step >= self.pads[:, None])[:, None, None]) | itself
        return Visibility(mask)

    def _drop_old(self) -> None:
        """Move the last window to the front; what lies before it is never seen again."""
        assert self.past_context is not None, (self.n_held, self.n_slots)
        kept = min(self.past_context - 1, self.n_held)
        for layer in self.layers:
            for buffer in (layer.keys, layer.values):
                buffer[:, :, :kept] = buffer[:, :, self.n_held - kept : self.n_held].clone()
        self.n_held = kept
