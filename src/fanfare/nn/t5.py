"""T5: the encoder of a T5 (arXiv 1910.10683), which makes vectors of a prompt's tokens.

B batch, L text length, D width, H heads, P width of a head.

Weights bear the names of transformers' `T5EncoderModel`, and the numbers are the same to the bit.
Positions are known by a bias on attention alone, one for all layers, which the first one holds;
attention isn't scaled, nor has any layer biases of the usual kind.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

FLOAT16_MAX = 65504.0


@dataclass(frozen=True)
class T5Config:
    """What fixes the tensors of a `T5Encoder`.

    Attributes:
        vocab_size: tokens that are known.
        dim: D.
        head_dim: P.
        ffn_dim: inner width of the feed-forward parts.
        n_layers: layers.
        n_heads: H; `n_heads * head_dim` need not be `dim`.
        n_buckets: how many biases there are for distances, both directions together.
        max_distance: tokens apart from which on all distances share a bias.
        norm_eps: added to variances.
        is_gated: whether feed-forward parts are gated by a GELU (v1.1), instead of through a ReLU.
        eos_token: the token that ends a text.
    """

    vocab_size: int = 32128
    dim: int = 512
    head_dim: int = 64
    ffn_dim: int = 2048
    n_layers: int = 6
    n_heads: int = 8
    n_buckets: int = 32
    max_distance: int = 128
    norm_eps: float = 1e-6
    is_gated: bool = False
    eos_token: int = 1


class T5Encoder(nn.Module):
    """Tokens to vectors; computes in float32, whatever its matrices are kept in."""

    def __init__(self, config: T5Config) -> None:
        super().__init__()
        self.config = config
        self.shared = Table(config.vocab_size, config.dim)
        self.encoder = Stack(config)

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens [B, L] to the last layer's vectors [B, L, D]; none of them is padding."""
        assert tokens.ndim == 2, tokens.shape
        return self.encoder(self.shared(tokens))

    def narrow(self) -> None:
        """Keep matrices in float16, half as large; those that it can't hold stay as they are."""
        for module in self.modules():
            if isinstance(module, Matrix | Table):
                weight = module.weight
                if weight.dtype == torch.float32 and float(weight.abs().max()) <= FLOAT16_MAX:
                    module.weight = nn.Parameter(weight.half(), requires_grad=False)


class Matrix(nn.Linear):
    """A linear map without a bias, kept in any type and applied in float32."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__(n_in, n_out, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """[..., n_in] to [..., n_out]."""
        return F.linear(x, self.weight.float())


class Table(nn.Embedding):
    """Vectors by number, kept in any type and given in float32."""

    def forward(self, numbers: Tensor) -> Tensor:
        """Any shape to [..., width]."""
        return super().forward(numbers).float()


class RmsNorm(nn.Module):
    """Scales vectors to a root mean square of one, then each number by a weight of its own."""

    def __init__(self, dim: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """[..., D] to the same."""
        return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps))


class Stack(nn.Module):
    """All layers."""

    def __init__(self, config: T5Config) -> None:
        super().__init__()
        self.block = nn.ModuleList(Block(config, is_first=i == 0) for i in range(config.n_layers))
        self.final_layer_norm = RmsNorm(config.dim, config.norm_eps)

    def forward(self, x: Tensor) -> Tensor:
        """[B, L, D] to the same."""
        first = next(module for module in self.modules() if isinstance(module, Attention))
        bias = first.bias(x.shape[1])
        for block in self.block:
            x = block(x, bias)
        return self.final_layer_norm(x)


class Block(nn.Module):
    """A layer: attention, then the feed-forward part."""

    def __init__(self, config: T5Config, *, is_first: bool) -> None:
        super().__init__()
        self.layer = nn.ModuleList([SelfAttention(config, is_first), FeedForward(config)])

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """Vectors [B, L, D] to the same, with a bias [1, H, L, L] of positions."""
        attention, feed_forward = self.layer
        return feed_forward(attention(x, bias))


class SelfAttention(nn.Module):
    """Attention with its norm, added to what it hears."""

    def __init__(self, config: T5Config, has_positions: bool) -> None:
        super().__init__()
        self.SelfAttention = Attention(config, has_positions)
        self.layer_norm = RmsNorm(config.dim, config.norm_eps)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """Vectors [B, L, D] to the same, with a bias [1, H, L, L]."""
        return x + self.SelfAttention(self.layer_norm(x), bias)


class Attention(nn.Module):
    """Every token hears every other; the first layer's also holds the bias of positions."""

    def __init__(self, config: T5Config, has_positions: bool) -> None:
        super().__init__()
        inner = config.n_heads * config.head_dim
        self.head_dim = config.head_dim
        self.max_distance = config.max_distance
        self.q = Matrix(config.dim, inner)
        self.k = Matrix(config.dim, inner)
        self.v = Matrix(config.dim, inner)
        self.o = Matrix(inner, config.dim)
        if has_positions:
            self.relative_attention_bias = Table(config.n_buckets, config.n_heads)

    def bias(self, length: int) -> Tensor:
        """What distances add to attention [1, H, L, L], from each token to each other."""
        table = self.relative_attention_bias
        place = torch.arange(length, device=table.weight.device)
        bucket = buckets(place[None, :] - place[:, None], table.num_embeddings, self.max_distance)
        return table(bucket).permute(2, 0, 1).unsqueeze(0).contiguous()

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """Vectors [B, L, D] to the same, with a bias [1, H, L, L]."""
        B, L, _ = x.shape
        q, k, v = (
            matrix(x).view(B, L, -1, self.head_dim).transpose(1, 2)  # [B, H, L, P]
            for matrix in (self.q, self.k, self.v)
        )
        heard = F.scaled_dot_product_attention(q, k, v, attn_mask=bias, scale=1.0)
        return self.o(heard.transpose(1, 2).reshape(B, L, -1))


def buckets(distance: Tensor, n_buckets: int, max_distance: int) -> Tensor:
    """Which bias each distance has, in tokens, from the token that hears to the one heard.

    Half of the buckets are for either direction. Of these, half stand for one distance each; the
    others grow by a constant factor, and the last is for all from `max_distance` on.
    """
    n = n_buckets // 2
    n_exact = n // 2
    far = distance.abs()
    growth = torch.log(far.clamp(min=n_exact).float() / n_exact)
    growth = growth / math.log(max_distance / n_exact) * (n - n_exact)
    coarse = (n_exact + growth.long()).clamp(n_exact, n - 1)
    return torch.where(far < n_exact, far, coarse) + n * (distance > 0)


class FeedForward(nn.Module):
    """The feed-forward part with its norm, added to what it hears."""

    def __init__(self, config: T5Config) -> None:
        super().__init__()
        self.DenseReluDense = Gated(config) if config.is_gated else Plain(config)
        self.layer_norm = RmsNorm(config.dim, config.norm_eps)

    def forward(self, x: Tensor) -> Tensor:
        """[B, L, D] to the same."""
        return x + self.DenseReluDense(self.layer_norm(x))


class Plain(nn.Module):
    """Two matrices with a ReLU between them."""

    def __init__(self, config: T5Config) -> None:
        super().__init__()
        self.wi = Matrix(config.dim, config.ffn_dim)
        self.wo = Matrix(config.ffn_dim, config.dim)

    def forward(self, x: Tensor) -> Tensor:
        """[B, L, D] to the same."""
        return self.wo(self.wi(x).relu())


class Gated(nn.Module):
    """A matrix gated by the GELU of another (arXiv 2002.05202), then a third."""

    def __init__(self, config: T5Config) -> None:
        super().__init__()
        self.wi_0 = Matrix(config.dim, config.ffn_dim)
        self.wi_1 = Matrix(config.dim, config.ffn_dim)
        self.wo = Matrix(config.ffn_dim, config.dim)

    def forward(self, x: Tensor) -> Tensor:
        """[B, L, D] to the same."""
        return self.wo(gelu(self.wi_0(x)) * self.wi_1(x))


def gelu(x: Tensor) -> Tensor:
    """GELU by its tanh formula (arXiv 1606.08415 §2), rounded as the weights were trained with."""
    return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x.pow(3.0))))
