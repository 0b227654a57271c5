"""LanguageModel: a transformer over delayed audio tokens; weights only.

B batch, K codebooks, S delayed steps, D width, L text length, P prefix length, N = cache slots.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from fanfare.nn.conditioning import PlanEncoder
from fanfare.nn.config import LmConfig
from fanfare.nn.transformer import (
    Layer,
    Rotation,
    Visibility,
    causal_mask,
    rope_rotation,
    sin_embedding,
)


class LanguageModel(nn.Module):
    """Predicts each next column of the delayed sequence (MusicGen, arXiv 2306.05284)."""

    def __init__(self, config: LmConfig) -> None:
        super().__init__()
        self.config = config
        D = config.dim
        self.emb = nn.ModuleList(
            nn.Embedding(config.card + 1, D) for _ in range(config.n_codebooks)
        )
        self.layers = nn.ModuleList(
            Layer(D, config.n_heads, config.ffn_dim, has_cross=config.text_fusion == "cross")
            for _ in range(config.n_layers)
        )
        self.out_norm = nn.LayerNorm(D)
        self.heads = nn.ModuleList(
            nn.Linear(D, config.card, bias=False) for _ in range(config.n_codebooks)
        )
        self.text_proj = nn.Linear(config.text_dim, D) if config.text_dim else None
        self.chroma_proj = nn.Linear(config.n_chroma, D) if config.n_chroma else None
        self.plan = (
            PlanEncoder(config.plan_features, config.plan_context, D)
            if config.plan_features
            else None
        )

    def initialise(self) -> None:
        """Random weights to train from: variance-preserving, residual branches scaled by depth."""
        for name, parameter in self.named_parameters():
            if parameter.dim() < 2:
                continue  # norms start as identity; biases and the null plan as zero or default
            std = 1 / math.sqrt(parameter.shape[1])
            if name.startswith("layers.") and name.endswith(("out_proj.weight", "linear2.weight")):
                std /= math.sqrt(2 * self.config.n_layers)
            elif name.startswith("heads."):
                std = 0.02  # logits start near uniform
            nn.init.trunc_normal_(parameter, std=std, a=-3 * std, b=3 * std)

    def forward(
        self,
        tokens: Tensor,
        cross: Tensor | None = None,
        cross_mask: Tensor | None = None,
        prefix: Tensor | None = None,
        frames: Tensor | None = None,
        position_offset: int | Tensor = 0,
    ) -> Tensor:
        """Logits for the column after each one given, without a cache.

        Args:
            tokens: delayed tokens [B, K, S], holes filled with the special token.
            cross: text for cross-attention [B, L, D], already projected.
            cross_mask: bool [B, L], True where `cross` counts; at least once per row.
            prefix: vectors put before the first step [B, P, D].
            frames: vectors added to the input of each step [B, S, D].
            position_offset: position of the first element, prefix included; an int64 [B] or an int.

        Returns:
            Float32 logits [B, K, S, card].
        """
        config = self.config
        x = self.embed(tokens, prefix, frames)  # [B, P+S, D]
        n_all = x.shape[1]
        positions = torch.arange(n_all, device=x.device)
        if isinstance(position_offset, Tensor):
            positions = positions + position_offset[:, None]  # [B, P+S]
        elif position_offset:
            positions = positions + position_offset
        rotation: Rotation | None = None
        if config.positions == "sin":
            x = x + sin_embedding(positions, config.dim, config.max_period).to(x.dtype)
        else:
            cos, sin = rope_rotation(positions, config.head_dim, config.max_period)
            rotation = (cos[:, None], sin[:, None]) if cos.dim() == 3 else (cos, sin)
        if config.past_context is None or n_all <= config.past_context:
            seen = Visibility(is_causal=True)
        else:
            seen = Visibility(causal_mask(n_all, n_all, config.past_context, device=x.device))
        attend = None if cross_mask is None else cross_mask[:, None, None]  # [B, 1, 1, L]
        for layer in self.layers:
            assert isinstance(layer, Layer)
            kv = None if cross is None else layer.project(cross)
            x = layer(x, seen, rotation, kv, attend)
        return self.read_out(x[:, n_all - tokens.shape[2] :])

    def embed(self, tokens: Tensor, prefix: Tensor | None, frames: Tensor | None) -> Tensor:
        """Input vectors [B, P+S, D], before positions."""
        K = tokens.shape[1]
        assert self.config.n_codebooks == K, (self.config.n_codebooks, tokens.shape)
        x = self.emb[0](tokens[:, 0])  # [B, S, D]
        for k in range(1, K):
            x = x + self.emb[k](tokens[:, k])
        if frames is not None:
            assert frames.shape == x.shape, (frames.shape, x.shape)
            x = x + frames
        if prefix is not None:
            x = torch.cat([prefix.to(x.dtype), x], dim=1)
        return x

    def read_out(self, x: Tensor) -> Tensor:
        """Residual stream [B, S, D] to float32 logits [B, K, S, card]."""
        x = self.out_norm(x)
        return torch.stack([head(x) for head in self.heads], dim=1).float()
