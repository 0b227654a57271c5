"""What may stand in the middle of a diffusion network: a BiLSTM or a transformer.

B batch, C channels (the network's widest), T frames of the bottleneck, L frames of the condition.

Both see the whole piece; their results don't depend on the pieces in which they are computed.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fanfare.nn.transformer import CrossAttention, attention_to, sin_embedding

N_HEADS = 8
N_LAYERS = 6
FFN_DIM = 2048
MAX_PERIOD = 10_000.0


class BiLstm(nn.Module):
    """Two recurrent layers that run both ways, and a projection.

    Each way is a module of its own, so that it can be run in pieces with its state carried on.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.forwards = nn.ModuleList(nn.LSTM(n * dim, dim, batch_first=True) for n in (1, 2))
        self.backwards = nn.ModuleList(nn.LSTM(n * dim, dim, batch_first=True) for n in (1, 2))
        self.linear = nn.Linear(2 * dim, dim)

    def forward(self, x: Tensor, frames: int) -> Tensor:
        """[B, C, T] to [B, C, T], at most `frames` at a time."""
        B, C, T = x.shape
        for ahead, back in zip(self.forwards, self.backwards, strict=True):
            assert isinstance(ahead, nn.LSTM)
            assert isinstance(back, nn.LSTM)
            both = x.new_empty(B, 2 * C, T)
            _run(ahead, x, both[:, :C], frames, reverse=False)
            _run(back, x, both[:, C:], frames, reverse=True)
            x = both
        out = x.new_empty(B, C, T)
        for start in range(0, T, frames):
            stop = min(start + frames, T)
            out[:, :, start:stop] = self.linear(x[:, :, start:stop].mT).mT
        return out


def _run(lstm: nn.LSTM, x: Tensor, out: Tensor, frames: int, *, reverse: bool) -> None:
    """One way of one layer over `x` [B, C, T], written into `out` [B, D, T]."""
    T = x.shape[2]
    state = None
    for done in range(0, T, frames):
        n = min(frames, T - done)
        start = T - done - n if reverse else done
        piece = x[:, :, start : start + n].mT  # [B, n, C]
        made, state = lstm(piece.flip(1) if reverse else piece, state)
        out[:, :, start : start + n] = (made.flip(1) if reverse else made).mT


class BottleneckTransformer(nn.Module):
    """Post-norm layers with sinusoidal positions; every frame sees every other."""

    def __init__(self, dim: int, *, has_cross: bool) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            PostNormLayer(dim, has_cross=has_cross) for _ in range(N_LAYERS)
        )

    def forward(self, x: Tensor, condition: Tensor | None, frames: int) -> Tensor:
        """[B, C, T] to [B, C, T], `frames` queries at a time.

        Args:
            condition: [B, C, L], for the layers that attend to one.
        """
        x = x.mT + _positions(x)  # [B, T, C]
        if condition is not None:
            condition = condition.mT + _positions(condition)  # [B, L, C]
        for layer in self.layers:
            assert isinstance(layer, PostNormLayer)
            layer(x, condition, frames)
        return x.mT.contiguous()


def _positions(x: Tensor) -> Tensor:
    """The embedding [T, C] of the frames of `x` [B, C, T]."""
    return sin_embedding(torch.arange(x.shape[2], device=x.device), x.shape[1], MAX_PERIOD)


class PostNormLayer(nn.Module):
    """Self-attention, cross-attention where there is a condition, feed-forward; each post-norm."""

    def __init__(self, dim: int, *, has_cross: bool) -> None:
        super().__init__()
        # Attention from some frames to all of them is attention to a condition.
        self.self_attn = CrossAttention(dim, N_HEADS)
        self.norm1 = nn.LayerNorm(dim)
        self.cross_attn = CrossAttention(dim, N_HEADS) if has_cross else None
        self.norm_cross = nn.LayerNorm(dim) if has_cross else None
        self.linear1 = nn.Linear(dim, FFN_DIM, bias=False)
        self.linear2 = nn.Linear(FFN_DIM, dim, bias=False)
        self.norm2 = nn.LayerNorm(dim)

    def forward(self, x: Tensor, condition: Tensor | None, frames: int) -> None:
        """Change `x` [B, T, C] in place; `condition` is [B, L, C]."""
        every = attention_to(self.self_attn.project(x))
        cross = None
        if self.cross_attn is not None:
            assert condition is not None
            cross = attention_to(self.cross_attn.project(condition))
        for start in range(0, x.shape[1], frames):
            piece = x[:, start : start + frames]
            y = self.norm1(piece + self.self_attn(piece, every))
            if cross is not None:
                assert self.cross_attn is not None
                assert self.norm_cross is not None
                # Asked by the layer's input, not by `y`: so the published code does.
                y = self.norm_cross(y + self.cross_attn(piece, cross))
            piece.copy_(self.norm2(y + self.linear2(F.relu(self.linear1(y)))))
