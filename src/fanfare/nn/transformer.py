"""Pre-norm transformer layers that run whole sequences or one step over a cache.

B batch, S new steps, N steps in all (cached ones included), D width, H heads, L text length.

The residual stream is float32 whatever the weights are. It is the sum of what all layers add, and
grows beyond what float16 can hold (65,504) and finer than bfloat16 can tell; what each layer adds
does fit, for so the published models were trained. Matrices and attention are of the weights' type.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Rotation = tuple[Tensor, Tensor]
"""Cosines and sines, each [S, D/H/2], or [B, 1, S, D/H/2] where rows differ in position."""


Attend = Callable[[Tensor, Tensor, Tensor], Tensor]
"""What self-attention's queries find: [B, H, S, D/H] from those, keys and values of that shape."""

Look = Callable[[Tensor], Tensor]
"""What cross-attention's queries [B, H, S, D/H] find in the condition, of the same shape."""


def attention_to(kv: tuple[Tensor, Tensor], counts: Tensor | None = None) -> Look:
    """Attention to keys and values [B, H, L, D/H]; `counts` is bool [B, 1, 1, L], None = all."""
    return partial(F.scaled_dot_product_attention, key=kv[0], value=kv[1], attn_mask=counts)


def causal_attention(q: Tensor, k: Tensor, v: Tensor, past_context: int | None) -> Tensor:
    """Whole sequences [B, H, S, D/H] attend to themselves and what came before."""
    n_steps = q.shape[2]
    if past_context is None or n_steps <= past_context:
        return F.scaled_dot_product_attention(q, k, v, is_causal=True)
    mask = causal_mask(n_steps, n_steps, past_context, device=q.device)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)


def _scalar(value: float, like: Tensor) -> Tensor:
    """A number on the device without a copy from the host, which CUDA graphs can't hold."""
    return torch.full((), value, device=like.device, dtype=torch.float32)


def sin_embedding(positions: Tensor, dim: int, max_period: float) -> Tensor:
    """Sinusoidal embedding of integer positions [...] as float32 [..., dim], cosines first.

    The exponent's denominator is dim/2 - 1, as in the published models.
    """
    half = dim // 2
    exponent = torch.arange(half, device=positions.device, dtype=torch.float32) / (half - 1)
    phase = positions[..., None].float() / torch.pow(_scalar(max_period, positions), exponent)
    return torch.cat([torch.cos(phase), torch.sin(phase)], dim=-1)


def rope_rotation(positions: Tensor, head_dim: int, max_period: float) -> Rotation:
    """Cosines and sines, each float32 [..., head_dim/2], for integer positions [...].

    Rotary positions (arXiv 2104.09864); channel i is paired with channel i + head_dim/2.
    """
    half = head_dim // 2
    exponent = torch.arange(half, device=positions.device, dtype=torch.float32) / half
    phase = positions[..., None].float() * torch.pow(_scalar(max_period, positions), -exponent)
    return torch.cos(phase), torch.sin(phase)


def rotate(x: Tensor, rotation: Rotation) -> Tensor:
    """Turn the channel pairs of `x` [..., S, D/H] by the angles of its positions."""
    cos, sin = rotation
    a, b = x.chunk(2, dim=-1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], dim=-1).to(x.dtype)


def causal_mask(
    n_new: int, n_all: int, past_context: int | None, *, device: torch.device
) -> Tensor:
    """Bool [n_new, n_all]: the last `n_new` of `n_all` steps see themselves and what came before.

    With `past_context` a step sees that many latest steps only, itself included.
    """
    query = torch.arange(n_all - n_new, n_all, device=device)[:, None]
    key = torch.arange(n_all, device=device)[None]
    seen = key <= query
    if past_context is not None:
        seen = seen & (key > query - past_context)
    return seen


NORM_EPS = 1e-5
"""Of the published models."""


class Norm(nn.LayerNorm):
    """Layer normalisation in float32, of weights of any type."""

    def __init__(self, dim: int) -> None:
        super().__init__(dim, eps=NORM_EPS)

    def forward(self, x: Tensor) -> Tensor:
        """[..., D] to float32 [..., D]."""
        return F.layer_norm(
            x.float(), self.normalized_shape, self.weight.float(), self.bias.float(), self.eps
        )


FLOAT16_MAX = 65504.0


class Matrix(nn.Linear):
    """A matrix [n, m] without bias, which converts what it multiplies to its own type.

    On a CPU one of 16 bits can be packed: it is read once, and multiplied in float32. That takes
    two thirds of the time of torch's own products of few rows, which convert as they go.
    """

    def __init__(self, n_inputs: int, n_outputs: int) -> None:
        super().__init__(n_inputs, n_outputs, bias=False)
        self.packed: dict[int, Any] = {}  # parts by their first row

    def forward(self, x: Tensor, start: int = 0, stop: int | None = None) -> Tensor:
        """[..., m] to [..., n], or to what rows `start` to `stop` make of it."""
        if self.packed:
            made: Tensor = torch.ops.quantized.linear_dynamic_fp16(x.float(), self.packed[start])
            return made
        weight = self.weight if stop is None and start == 0 else self.weight[start:stop]
        return F.linear(x.to(weight.dtype), weight)

    def pack(self, *cuts: int) -> None:
        """Keep it as float16, in parts that begin at rows 0 and `cuts`; there is no way back.

        Of bfloat16 this loses nothing but what is below 6e-8. One too large for it stays as it is.
        """
        if float(self.weight.abs().max()) > FLOAT16_MAX:
            return
        starts = (0, *cuts)
        for start, stop in zip(starts, (*cuts, self.out_features), strict=True):
            part = self.weight[start:stop].float().contiguous()
            self.packed[start] = torch.ops.quantized.linear_prepack_fp16(part, None)
        self.weight = nn.Parameter(torch.empty(0, self.in_features), requires_grad=False)


def can_pack(device: torch.device) -> bool:
    """Whether this build of torch has products with packed matrices for `device`."""
    return device.type == "cpu" and torch.backends.quantized.engine in ("fbgemm", "x86")


class SelfAttention(nn.Module):
    """Multi-head attention of a sequence to itself; rows of `in_proj` are q, k, v."""

    def __init__(self, dim: int, n_heads: int) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.in_proj = Matrix(dim, 3 * dim)
        self.out_proj = Matrix(dim, dim)

    def forward(
        self,
        x: Tensor,
        attend: Attend,
        rotation: Rotation | None = None,
    ) -> Tensor:
        """[B, S, D] to the same."""
        B, S, D = x.shape
        qkv = self.in_proj(x).view(B, S, 3, self.n_heads, D // self.n_heads)
        qkv = qkv.permute(2, 0, 3, 1, 4)  # [3, B, H, S, D/H]
        q, k, v = qkv.unbind(0)
        if rotation is not None:
            q, k = rotate(qkv[:2], rotation).unbind(0)
        mixed = attend(q, k, v)
        return self.out_proj(mixed.transpose(1, 2).reshape(B, S, D))


class CrossAttention(nn.Module):
    """Multi-head attention from a sequence to a condition; rows of `in_proj` are q, k, v."""

    def __init__(self, dim: int, n_heads: int) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.in_proj = Matrix(dim, 3 * dim)
        self.out_proj = Matrix(dim, dim)

    def project(self, condition: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of `condition` [B, L, D], each [B, H, L, D/H]."""
        B, L, D = condition.shape
        kv = self.in_proj(condition, D)  # [B, L, 2D]
        kv = kv.view(B, L, 2, self.n_heads, D // self.n_heads).permute(2, 0, 3, 1, 4)
        return kv[0], kv[1]

    def forward(self, x: Tensor, look: Look) -> Tensor:
        """[B, S, D] to the same."""
        B, S, D = x.shape
        q = self.in_proj(x, 0, D)
        q = q.view(B, S, self.n_heads, D // self.n_heads).transpose(1, 2)  # [B, H, S, D/H]
        mixed = look(q)
        return self.out_proj(mixed.transpose(1, 2).reshape(B, S, D))


class Layer(nn.Module):
    """Self-attention, cross-attention where the model has one, feed-forward; each pre-norm."""

    def __init__(self, dim: int, n_heads: int, ffn_dim: int, *, has_cross: bool) -> None:
        super().__init__()
        self.norm1 = Norm(dim)
        self.self_attn = SelfAttention(dim, n_heads)
        self.norm_cross = Norm(dim) if has_cross else None
        self.cross_attn = CrossAttention(dim, n_heads) if has_cross else None
        self.norm2 = Norm(dim)
        self.linear1 = Matrix(dim, ffn_dim)
        self.linear2 = Matrix(ffn_dim, dim)

    def project(self, condition: Tensor) -> tuple[Tensor, Tensor]:
        """Cross-attention keys and values of `condition` [B, L, D]."""
        assert self.cross_attn is not None, "this layer has no cross-attention"
        return self.cross_attn.project(condition)

    def pack(self) -> None:
        """Pack all matrices; see `Matrix`."""
        for matrix in (self.self_attn.in_proj, self.self_attn.out_proj, self.linear1, self.linear2):
            matrix.pack()
        if self.cross_attn is not None:
            self.cross_attn.in_proj.pack(self.cross_attn.in_proj.in_features)
            self.cross_attn.out_proj.pack()

    def forward(
        self,
        x: Tensor,
        attend: Attend,
        rotation: Rotation | None = None,
        look: Look | None = None,
    ) -> Tensor:
        """Residual stream [B, S, D] to the same, float32."""
        x = x + self.self_attn(self.norm1(x), attend, rotation)
        if look is not None:
            assert self.cross_attn is not None
            assert self.norm_cross is not None
            x = x + self.cross_attn(self.norm_cross(x), look)
        inner = self.linear1(self.norm2(x))  # [B, S, ffn]
        return x + self.linear2(F.gelu(inner))
