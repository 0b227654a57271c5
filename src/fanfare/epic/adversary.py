"""Adversary: networks that tell a codec's output from originals, and what it learns from them.

Complex spectra at several scales go through small two-dimensional convolutions, as in EnCodec
(arXiv 2210.13438 §3.4); hinge losses, and the distance of their features.
B batch, N samples, bins × frames of a spectrum.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

WINDOWS = (2048, 1024, 512)
SLOPE = 0.2
Maps = list[Tensor]


class SpectrumJudge(nn.Module):
    """Judges one scale: a score for every place of the spectrum, and the features before it."""

    window: Tensor

    def __init__(self, n_fft: int, width: int) -> None:
        super().__init__()
        self.n_fft = n_fft
        self.register_buffer("window", torch.hann_window(n_fft))
        layers = [nn.Conv2d(2, width, (9, 3), padding=(4, 1))]
        layers += [
            nn.Conv2d(width, width, (9, 3), (2, 1), padding=(4, d), dilation=(1, d))
            for d in (1, 2, 4)
        ]
        layers += [nn.Conv2d(width, width, 3, padding=1)]
        self.layers = nn.ModuleList(weight_norm(layer) for layer in layers)
        self.last = weight_norm(nn.Conv2d(width, 1, 3, padding=1))

    def forward(self, wav: Tensor) -> tuple[Tensor, Maps]:
        """Scores and features of audio [B, N]."""
        spectrum = torch.stft(
            wav, self.n_fft, self.n_fft // 4, window=self.window, normalized=True,
            return_complex=True,
        )  # fmt: skip
        x = torch.view_as_real(spectrum).permute(0, 3, 1, 2)  # [B, 2, bins, frames]
        # Music spans 60 dB; roots bring quiet partials into the judges' sight.
        x = x * (x.pow(2).sum(1, keepdim=True) + 1e-8) ** -0.25
        features = []
        for layer in self.layers:
            x = F.leaky_relu(layer(x), SLOPE)
            features.append(x)
        return self.last(x), features


class Adversary(nn.Module):
    """Judges at all scales; none of width 0."""

    def __init__(self, width: int) -> None:
        super().__init__()
        scales = WINDOWS if width else ()
        self.judges = nn.ModuleList(SpectrumJudge(n_fft, width) for n_fft in scales)

    def forward(self, wav: Tensor) -> list[tuple[Tensor, Maps]]:
        """Every scale's scores and features of audio [B, N]."""
        return [judge(wav) for judge in self.judges]

    def lesson(self, made: Tensor, real: Tensor) -> Tensor:
        """What the judges are to lower: hinge losses of taking one for the other."""
        total = made.new_zeros(())
        for (bad, _), (good, _) in zip(self(made.detach()), self(real), strict=True):
            total = total + F.relu(1 + bad.float()).mean() + F.relu(1 - good.float()).mean()
        return total / len(WINDOWS)

    def verdict(self, made: Tensor, real: Tensor) -> tuple[Tensor, Tensor]:
        """What the codec is to lower: how plainly `made` is made, how far off its features are."""
        plain, far = made.new_zeros(()), made.new_zeros(())
        with torch.no_grad():
            wanted = self(real)
        for (score, features), (_, others) in zip(self(made), wanted, strict=True):
            plain = plain + F.relu(1 - score.float()).mean()
            for a, b in zip(features, others, strict=True):
                far = far + (a - b).abs().float().mean() / b.abs().float().mean().clamp(min=1e-6)
        return plain / len(WINDOWS), far / len(WINDOWS)
