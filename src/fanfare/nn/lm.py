"""LanguageModel: a transformer over delayed audio tokens; weights only.

B batch, K codebooks, S delayed steps, D width, L text length, P prefix length, N = cache slots.
"""

from __future__ import annotations

import math
from functools import partial
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fanfare.nn.cache import QUAD, KvCache, Memory
from fanfare.nn.conditioning import Conditions, PlanEncoder
from fanfare.nn.config import LmConfig
from fanfare.nn.melody import fit_length, silent_chroma
from fanfare.nn.transformer import (
    Layer,
    Norm,
    Rotation,
    attention_to,
    can_pack,
    causal_attention,
    rope_rotation,
    sin_embedding,
)

LAYERS = r"(layers|out_norm|heads)\..*"
"""Regular expression for the names of the weights that every step multiplies by."""


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
        self.packed_as: torch.dtype | None = None  # the type of matrices that are packed
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
        return self.emb[0].get_parameter("weight").device

    @property
    def dtype(self) -> torch.dtype:
        """What the matrices inside the layers are, and so keys and values."""
        layer = self.layers[0]
        assert isinstance(layer, Layer)
        return self.packed_as or layer.self_attn.in_proj.weight.dtype

    def pack(self) -> None:
        """Pack the layers' matrices, where they are of 16 bits and that is faster."""
        if self.dtype in (torch.float16, torch.bfloat16) and can_pack(self.device):
            self.packed_as = self.dtype
            for layer in self.layers:
                assert isinstance(layer, Layer)
                layer.pack()

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
        attend = partial(causal_attention, past_context=self.config.past_context)
        counts = None if cross_mask is None else cross_mask[:, None, None]  # [B, 1, 1, L]
        for layer in self.layers:
            assert isinstance(layer, Layer)
            look = None
            if cross is not None:
                look = attention_to(layer.project(cross), counts)
            x = layer(x, attend, rotation, look)
        return self.read_out(x[:, n_all - tokens.shape[2] :])

    def new_cache(self, n_rows: int) -> KvCache:
        """An empty cache of `n_rows` rows for `extend`."""
        # Only products of float32 matrices are promised to be bitwise independent of other rows.
        is_exact = self.device.type == "cpu" and self.dtype == torch.float32
        return KvCache(
            self.config, n_rows, dtype=self.dtype, device=self.device,
            rows_at_once=QUAD if is_exact else 1,
        )  # fmt: skip

    def project_text(self, cross: Tensor) -> list[tuple[Tensor, Tensor]]:
        """A text [L, D] as every layer's keys and values, each [H, L, D/H]."""
        projected = []
        for layer in self.layers:
            assert isinstance(layer, Layer)
            k, v = layer.project(cross[None])
            projected.append((k[0], v[0]))
        return projected

    def extend(self, x: Tensor, memory: Memory) -> Tensor:
        """Run embedded steps [R, S, D] on top of what `memory` holds.

        Returns:
            The residual stream, float32 [R, S, D], with the memory's idle rows after those given:
            what is read out of it together is independent of how many they are.
        """
        if memory.n_idle:
            x = F.pad(x, (0, 0, 0, 0, 0, memory.n_idle))
        x, rotation = self._place(x, memory.positions)
        for i, layer in enumerate(self.layers):
            look = partial(memory.look, i) if memory.has_text else None
            x = layer(x, partial(memory.attend, i), rotation, look)
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
        # Not by calling modules, which takes as long again where a step is short.
        first, *others = (
            F.embedding(book, emb.get_parameter("weight"))
            for book, emb in zip(tokens.unbind(1), self.emb, strict=True)
        )
        x = first.float()  # [B, S, D]
        for vectors in others:
            x = x + vectors
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
