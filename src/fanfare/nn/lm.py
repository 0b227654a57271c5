"""LanguageModel: a transformer over delayed audio tokens; weights only.

B batch, K codebooks, S delayed steps, D width, L text length, P prefix length, N = cache slots.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from fanfare.nn.cache import KvCache
from fanfare.nn.conditioning import Conditions, PlanEncoder
from fanfare.nn.config import LmConfig
from fanfare.nn.melody import fit_length, silent_chroma
from fanfare.nn.transformer import (
    Layer,
    Norm,
    Rotation,
    Visibility,
    causal_mask,
    rope_rotation,
    sin_embedding,
)


class LanguageModel(nn.Module):
    """Predicts each next column of the delayed sequence (MusicGen, arXiv 2306.05284).

    Its weights may be of lower precision than float32. What `LOW_PRECISION` doesn't match should
    stay float32 then, as loading sees to: it is 2 % of the weights, and logits that are rounded to
    bfloat16 are coarser than the differences that guidance multiplies.
    """

    LOW_PRECISION: ClassVar[str] = (
        r"layers\.\d+\.((self|cross)_attn\.(in|out)_proj|linear[12])\.weight"
    )
    """Regular expression for the names of the matrices inside the layers."""

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
        self.out_norm = Norm(D)
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

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.out_norm.weight.device

    @property
    def dtype(self) -> torch.dtype:
        """What the matrices inside the layers are, and so keys and values."""
        layer = self.layers[0]
        assert isinstance(layer, Layer)
        return layer.self_attn.in_proj.weight.dtype

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
        x = self.embed(tokens, prefix, frames)  # [B, P+S, D]
        n_all = x.shape[1]
        positions = torch.arange(n_all, device=x.device)
        if isinstance(position_offset, Tensor):
            positions = positions + position_offset[:, None]  # [B, P+S]
        elif position_offset:
            positions = positions + position_offset
        x, rotation = self._place(x, positions)
        window = self.config.past_context
        if window is None or n_all <= window:
            seen = Visibility(is_causal=True)
        else:
            seen = Visibility(causal_mask(n_all, n_all, window, device=x.device))
        attend = None if cross_mask is None else cross_mask[:, None, None]  # [B, 1, 1, L]
        for layer in self.layers:
            assert isinstance(layer, Layer)
            kv = None if cross is None else layer.project(cross)
            x = layer(x, seen, rotation, kv, attend)
        return self.read_out(x[:, n_all - tokens.shape[2] :])

    def new_cache(
        self,
        n_steps: int,
        n_prefill: int,
        pads: Sequence[int],
        cross: Tensor | None = None,
        cross_mask: Tensor | None = None,
    ) -> KvCache:
        """A cache for `extend`, with one row per entry of `pads`.

        Args:
            n_steps: steps that it will take in, prefix and pads included.
            n_prefill: how many of them the first call brings.
            pads: padding steps at the start of each row.
            cross: text for cross-attention [R, L, D], already projected.
            cross_mask: bool [R, L], True where `cross` counts; at least once per row.
        """
        cache = KvCache.allocate(
            self.config, n_steps, n_prefill, pads, dtype=self.dtype, device=self.device
        )
        if cross is not None:
            for layer, memory in zip(self.layers, cache.layers, strict=True):
                assert isinstance(layer, Layer)
                memory.cross = layer.project(cross)
            cache.cross_mask = None if cross_mask is None else cross_mask[:, None, None]
        return cache

    def extend(self, x: Tensor, cache: KvCache) -> Tensor:
        """Run embedded steps [R, S, D] on top of what `cache` holds.

        Returns:
            The residual stream, float32 [R, S, D].
        """
        span, positions = cache.advance(x.shape[1])
        seen = cache.visibility(span)
        x, rotation = self._place(x, positions)
        for layer, memory in zip(self.layers, cache.layers, strict=True):
            x = layer(x, seen, rotation, memory.cross, cache.cross_mask, memory, span)
        return x

    def _place(self, x: Tensor, positions: Tensor) -> tuple[Tensor, Rotation | None]:
        """Tell [B, S, D] its positions, [S] or [B, S]: in the input, or as a rotation for later."""
        config = self.config
        if config.positions == "sin":
            return x + sin_embedding(positions, config.dim, config.max_period), None
        cos, sin = rope_rotation(positions, config.head_dim, config.max_period)
        return x, (cos[:, None], sin[:, None]) if cos.dim() == 3 else (cos, sin)

    def embed(self, tokens: Tensor, prefix: Tensor | None, frames: Tensor | None) -> Tensor:
        """Input vectors, float32 [B, P+S, D], before positions."""
        K = tokens.shape[1]
        assert self.config.n_codebooks == K, (self.config.n_codebooks, tokens.shape)
        x = self.emb[0](tokens[:, 0]).float()  # [B, S, D]
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
        x = self.out_norm(x).to(self.heads[0].weight.dtype)
        return torch.stack([head(x) for head in self.heads], dim=1).float()

    @torch.inference_mode()
    def conditions(
        self,
        text: Tensor | None = None,
        chroma: Tensor | None = None,
        plan: Tensor | None = None,
    ) -> Conditions:
        """Text states [L, text_dim], chroma [M, n_chroma] and a plan [T, F] as the model's vectors.

        What the model takes but isn't given is replaced by what it was taught to take for "none";
        no text is a single zero vector.
        """
        config = self.config
        text = self._project_text(text)
        frames = None
        if self.plan is not None and plan is not None:
            dtype = self.plan.linear1.weight.dtype
            frames = self.plan(plan[None].to(self.device, dtype))[0]  # [T, D]
        elif self.plan is not None:
            frames = self.plan.null(1, 1)[0]
        if config.text_fusion != "prefix":
            return Conditions(cross=text, frames=frames)
        parts = [self._project_chroma(chroma), text]
        return Conditions(prefix=torch.cat([part for part in parts if part is not None]))

    @torch.inference_mode()
    def null_conditions(self, conditions: Conditions) -> Conditions:
        """The conditions of nothing, as long as `conditions`: what guidance departs from."""
        frames = None
        if conditions.frames is not None:
            assert self.plan is not None
            frames = self.plan.null(1, 1)[0]
        if conditions.prefix is None:
            cross = None if conditions.cross is None else torch.zeros_like(conditions.cross[:1])
            return Conditions(cross=cross, frames=frames)
        prefix = torch.zeros_like(conditions.prefix)  # text that is masked is zero
        chroma = self._project_chroma(None)
        if chroma is not None:
            prefix[: chroma.shape[0]] = chroma
        return Conditions(prefix=prefix)

    def _project_text(self, text: Tensor | None) -> Tensor | None:
        """Text states [L, text_dim] to [L, D]; None to [1, D] of zeros."""
        if self.text_proj is None:
            return None
        if text is None:
            dtype = self.text_proj.weight.dtype
            return torch.zeros(1, self.config.dim, device=self.device, dtype=dtype)
        projected: Tensor = self.text_proj(text.to(self.device, self.text_proj.weight.dtype))
        return projected

    def _project_chroma(self, chroma: Tensor | None) -> Tensor | None:
        """One-hot chroma [M, n_chroma] to [chroma_length, D]; None to that of silence."""
        if self.chroma_proj is None:
            return None
        length, n_chroma = self.config.chroma_length, self.config.n_chroma
        assert length is not None
        assert n_chroma is not None
        fitted = silent_chroma(length, n_chroma) if chroma is None else fit_length(chroma, length)
        fitted = fitted.to(self.device, self.chroma_proj.weight.dtype)
        projected: Tensor = self.chroma_proj(fitted)
        return projected
