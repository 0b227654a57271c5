"""The quantiser of epic-mini's codec, in training.

Codebooks are moving averages of what they encode, start from k-means, and codes that die are
restarted. When training is done they are written into the model's own quantiser.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

CODEBOOK_SIZE, LATENT = 1024, 128


class TrainingQuantizer(nn.Module):
    """Residual vector quantiser whose codebooks are moving averages of what they encode."""

    def __init__(self, n_codebooks: int, decay: float = 0.98) -> None:
        super().__init__()
        self.decay, self.n_codebooks = decay, n_codebooks
        self.books: Tensor
        self.counts: Tensor
        self.sums: Tensor
        self.register_buffer("books", torch.randn(n_codebooks, CODEBOOK_SIZE, LATENT) * 0.01)
        self.register_buffer("counts", torch.ones(n_codebooks, CODEBOOK_SIZE))
        self.register_buffer("sums", self.books.clone())

    @torch.no_grad()
    def start(self, latents: Tensor, rounds: int = 12) -> None:
        """K-means over latents [M, D], book by book on the residual."""
        residual = latents
        for k in range(self.n_codebooks):
            book = rows_of(residual, CODEBOOK_SIZE)
            for _ in range(rounds):
                index = nearest_code(residual, book)
                count = torch.bincount(index, minlength=CODEBOOK_SIZE).unsqueeze(1)
                total = torch.zeros_like(book).index_add_(0, index, residual)
                book = torch.where(count > 0, total / count.clamp(min=1), book)
                book = torch.where(count > 0, book, rows_of(residual, CODEBOOK_SIZE))
            self.books[k], self.counts[k] = book, 0.3
            self.sums[k] = book * 0.3
            residual = residual - book[nearest_code(residual, book)]

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Quantises latents [B, D, T]: straight-through result, and the error left, both alike."""
        B, D, T = z.shape
        flat = z.transpose(1, 2).reshape(-1, D)
        residual = flat.detach()
        total = torch.zeros_like(residual)
        for k in range(self.n_codebooks):
            index = nearest_code(residual, self.books[k])
            chosen = self.books[k][index]
            if self.training:
                self._follow(k, residual, index)
            total = total + chosen
            residual = residual - chosen
        quantised = total.view(B, T, D).transpose(1, 2)
        return z + (quantised - z).detach(), (z - quantised).detach()

    @torch.no_grad()
    def _follow(self, k: int, residual: Tensor, index: Tensor) -> None:
        count = torch.bincount(index, minlength=CODEBOOK_SIZE).float()
        total = torch.zeros_like(self.books[k]).index_add_(0, index, residual)
        self.counts[k].mul_(self.decay).add_(count, alpha=1 - self.decay)
        self.sums[k].mul_(self.decay).add_(total, alpha=1 - self.decay)
        # Where codes die is decided on the device: asking would hold up its queue.
        dead = self.counts[k] < 0.04
        fresh = rows_of(residual, CODEBOOK_SIZE) * 0.3
        self.sums[k] = torch.where(dead[:, None], fresh, self.sums[k])
        self.counts[k] = torch.where(dead, 0.3, self.counts[k])
        self.books[k] = self.sums[k] / self.counts[k].unsqueeze(1)


def nearest_code(x: Tensor, book: Tensor) -> Tensor:
    """Index of the nearest row of `book` [n, D] for every row of `x` [M, D]."""
    return (book.pow(2).sum(1) - 2 * (x @ book.T)).argmin(dim=1)


def rows_of(x: Tensor, n: int) -> Tensor:
    """`n` random rows of `x` [M, D], each once if there are enough."""
    if len(x) < n:
        return x[torch.randint(len(x), (n,), device=x.device)]
    return x[torch.randperm(len(x), device=x.device)[:n]]
