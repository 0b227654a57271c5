"""Trains epic-mini's codec: a small EnCodec.

The quantiser is trained here (moving averages, k-means start, restart of dead codes) and written
into the model's own codebooks at the end.
Losses: L1 of log-mel spectra and spectral convergence at several scales, waveform L1, commitment
(the non-adversarial part of EnCodec, arXiv 2210.13438).
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fanfare.epic.corpus import Corpus
from fanfare.epic.render import SAMPLE_RATE_HZ
from fanfare.nn.encodec import Convolution, Encodec, EncodecConfig, Layers

HOP = 640
MEL_BANDS = {2048: 128, 512: 64, 256: 40}
"""Window length in samples → mel bands, for the spectral loss."""
CODEBOOK_SIZE, N_CODEBOOKS, LATENT = 1024, 4, 128


@dataclass(frozen=True)
class CodecRecipe:
    """How the codec is trained.

    Attributes:
        minutes: wall-clock length of the run; the learning rate follows the clock.
        batch, crop_frames: excerpts a step, and their length.
        warmup_steps: steps before quantising starts (with k-means on recent latents).
    """

    minutes: float = 22.0
    n_filters: int = 16
    batch: int = 10
    crop_frames: int = 32
    peak_lr: float = 6e-4
    warmup_steps: int = 700
    spectral_share: float = 1.0
    commitment: float = 0.5
    max_norm: float = 1.0
    polish_minutes: float = 5.0
    polish_excerpts: int = 1200
    polish_lr: float = 4e-4
    checkpoint_minutes: float = 3.0
    seed: int = 0


def codec_config(n_filters: int) -> EncodecConfig:
    """32 kHz mono, 50 frames a second, 4 × 1024 codes (2 kbit/s)."""
    return EncodecConfig(
        sample_rate_hz=SAMPLE_RATE_HZ, ratios=(8, 5, 4, 4), n_codebooks=N_CODEBOOKS,
        card=CODEBOOK_SIZE, latent_dim=LATENT, n_filters=n_filters, n_lstm_layers=1,
        is_causal=False, pad_mode="constant", has_conv_shortcut=False,
    )  # fmt: skip


class TrainingQuantizer(nn.Module):
    """Residual vector quantiser whose codebooks are moving averages of what they encode."""

    def __init__(self, decay: float = 0.98) -> None:
        super().__init__()
        self.decay = decay
        self.books: Tensor
        self.counts: Tensor
        self.sums: Tensor
        self.register_buffer("books", torch.randn(N_CODEBOOKS, CODEBOOK_SIZE, LATENT) * 0.01)
        self.register_buffer("counts", torch.ones(N_CODEBOOKS, CODEBOOK_SIZE))
        self.register_buffer("sums", self.books.clone())

    @torch.no_grad()
    def start(self, latents: Tensor, rounds: int = 12) -> None:
        """K-means over latents [M, D], book by book on the residual."""
        residual = latents
        for k in range(N_CODEBOOKS):
            enough = len(residual) >= CODEBOOK_SIZE
            first = (
                torch.randperm(len(residual))
                if enough
                else torch.randint(len(residual), (CODEBOOK_SIZE,))
            )
            book = residual[first[:CODEBOOK_SIZE]].clone()
            for _ in range(rounds):
                index = nearest_code(residual, book)
                count = torch.bincount(index, minlength=CODEBOOK_SIZE).unsqueeze(1)
                total = torch.zeros_like(book).index_add_(0, index, residual)
                book = torch.where(count > 0, total / count.clamp(min=1), book)
                empty = (count == 0).squeeze(1).nonzero().squeeze(1)
                book[empty] = residual[torch.randint(len(residual), (len(empty),))]
            self.books[k], self.counts[k] = book, 0.3
            self.sums[k] = book * 0.3
            residual = residual - book[nearest_code(residual, book)]

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Quantises latents [B, D, T]: straight-through result, and the error left, both alike."""
        B, D, T = z.shape
        flat = z.transpose(1, 2).reshape(-1, D)
        residual = flat.detach()
        total = torch.zeros_like(residual)
        for k in range(N_CODEBOOKS):
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
        dead = (self.counts[k] < 0.04).nonzero().squeeze(1)
        if len(dead):
            self.sums[k][dead] = residual[torch.randint(len(residual), (len(dead),))] * 0.3
            self.counts[k][dead] = 0.3
        self.books[k] = self.sums[k] / self.counts[k].unsqueeze(1)


def nearest_code(x: Tensor, book: Tensor) -> Tensor:
    """Index of the nearest row of `book` [n, D] for every row of `x` [M, D]."""
    return (book.pow(2).sum(1) - 2 * (x @ book.T)).argmin(dim=1)


class SpectralLoss(nn.Module):
    """Multi-scale spectral distance; returns it with its log-mel part at the first scale."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes = tuple(MEL_BANDS)
        for n_fft, n_mels in MEL_BANDS.items():
            self.register_buffer(f"mel{n_fft}", mel_bands(n_fft // 2 + 1, n_mels, SAMPLE_RATE_HZ))
            self.register_buffer(f"window{n_fft}", torch.hann_window(n_fft))

    def forward(self, y: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """Distance of `y` from `x`, both [B, N]."""
        total, first = y.new_zeros(()), y.new_zeros(())
        for n_fft in self.sizes:
            window = getattr(self, f"window{n_fft}")
            mel = getattr(self, f"mel{n_fft}")
            a, b = (
                torch.stft(s, n_fft, n_fft // 4, window=window, return_complex=True).abs()
                for s in (y, x)
            )
            log_a, log_b = (
                (s.transpose(1, 2) @ mel).clamp(min=1e-3 * n_fft**0.5 / 32).log() for s in (a, b)
            )
            log_l1 = (log_a - log_b).abs().mean()
            convergence = (a - b).norm() / b.norm().clamp(min=1e-3)
            total = total + log_l1 + 0.7 * convergence
            first = first if n_fft != self.sizes[0] else log_l1
        return total / len(self.sizes), first.detach()


def mel_bands(n_bins: int, n_mels: int, sample_rate_hz: int) -> Tensor:
    """Weights [bins, mels] that sum a spectrum's bins to bands, triangles alike in mel.

    The mel scale is 2595 log10(1 + f / 700 Hz). Low bands that fall between bins are empty.
    """
    top = 2595 * math.log10(1 + sample_rate_hz / 2 / 700)
    mels = torch.linspace(0, top, n_mels + 2, dtype=torch.float64)
    corners = 700 * (10 ** (mels / 2595) - 1)  # Hz
    bins = torch.linspace(0, sample_rate_hz // 2, n_bins, dtype=torch.float64)[:, None]
    left, middle, right = corners[:-2], corners[1:-1], corners[2:]
    rising = (bins - left) / (middle - left)
    falling = (right - bins) / (right - middle)
    return torch.minimum(rising, falling).clamp(min=0).float()


def plain_convolution(layers: Layers, index: int) -> nn.Conv1d:
    """That of a layer that is one."""
    layer = layers.layers[index]
    assert isinstance(layer, Convolution), layer
    return layer.conv


@torch.no_grad()
def calibrate(model: Encodec, x: Tensor) -> None:
    """Scales every convolution to unit variance over time on a batch of audio [B, N].

    With the default start the signal fades, layer by layer, below the biases, and thousands of
    steps pass before the codec hears its input. Layer-sequential (LSUV, arXiv 1511.06422).
    """
    targets: dict[nn.Module, float] = {}
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv1d | nn.ConvTranspose1d):
            targets[module] = 0.4 if name.endswith("block.3.conv") else 1.0
    targets[plain_convolution(model.decoder, -1)] = float(x.std())

    def rescale(module: Any, inputs: tuple[Tensor], output: Tensor) -> Tensor:
        factor = targets[module] / output.std(dim=-1).mean().clamp(min=1e-6)
        module.weight.mul_(factor)
        return output * factor

    hooks = []
    for module in targets:
        nn.init.zeros_(module.bias)  # type: ignore[arg-type]
        hooks.append(module.register_forward_hook(rescale))
    model.decoder(model.encoder(x.unsqueeze(1)))
    for hook in hooks:
        hook.remove()


class CodecTrainer:
    """One codec in training: model, quantiser, optimiser, moving average of the weights."""

    def __init__(self, recipe: CodecRecipe) -> None:
        torch.manual_seed(recipe.seed)
        self.recipe = recipe
        # Without EnCodec's weight norm it trains half again as fast.
        self.model = Encodec(codec_config(recipe.n_filters))
        self.quantizer = TrainingQuantizer()
        self.loss = SpectralLoss()
        self.parameters: list[Tensor] = [
            *self.model.encoder.parameters(), *self.model.decoder.parameters()
        ]  # fmt: skip
        self.optimizer = torch.optim.AdamW(
            self.parameters, recipe.peak_lr, betas=(0.8, 0.99), weight_decay=1e-2
        )
        self.average = [p.detach().clone() for p in self.parameters]
        self.step, self.spent_s, self.polished = 0, 0.0, False
        self.recent: list[Tensor] = []

    def train(self, corpus: Corpus, checkpoint: Path) -> Iterator[dict[str, float]]:
        """Trains by the clock, yielding figures every 50 steps; resumes from `checkpoint`."""
        if checkpoint.exists():
            self._restore(checkpoint)
        else:
            calibrate(self.model, crops(corpus, np.random.default_rng(1), self.recipe))
        rng = np.random.default_rng(self.recipe.seed + self.step)
        last = saved = time.monotonic()
        while self.spent_s < self.recipe.minutes * 60:
            figures = self._step(crops(corpus, rng, self.recipe))
            now = time.monotonic()
            self.spent_s += now - last
            last = now
            if self.step % 50 == 0:
                yield {"step": self.step, "minutes": self.spent_s / 60, **figures}
            if now - saved > self.recipe.checkpoint_minutes * 60:
                self._save(checkpoint)
                saved = now
        self._save(checkpoint)

    def _step(self, x: Tensor) -> dict[str, float]:
        done = self.spent_s / (self.recipe.minutes * 60)
        warm = min(1.0, (self.step + 1) / 100)
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.peak_lr * warm * (0.03 + 0.97 * cosine(done))
        with torch.autocast("cpu", torch.bfloat16):
            z = self.model.encoder(x.unsqueeze(1)).float()
        if self.step == self.recipe.warmup_steps:
            self.quantizer.start(torch.cat(self.recent))
            self.recent.clear()
        latents = z.detach().requires_grad_()
        if self.step < self.recipe.warmup_steps:
            self.recent.append(latents.detach().transpose(1, 2).reshape(-1, LATENT))
            self.recent = self.recent[-120:]
            z0 = latents.detach()
            quantised, pull = latents, z0 * (z0.std() - 1.0)  # keeps them at unit scale
        else:
            quantised, pull = self.quantizer(latents)
            # Some excerpts pass unquantised at first, which keeps the encoder learning detail.
            free = torch.rand(len(x), 1, 1) < 0.3 * max(0.0, 1.0 - 2.0 * done)
            quantised = torch.where(free, latents, quantised)
        with torch.autocast("cpu", torch.bfloat16):
            y = self.model.decoder(quantised).squeeze(1)
        y = y.float()
        self.optimizer.zero_grad()
        figures = self._reconstruct(y, x, self.recipe.spectral_share * self._spectra_heard())
        assert latents.grad is not None
        z.backward(latents.grad + self._pull(latents.grad, pull))
        norm = nn.utils.clip_grad_norm_(self.parameters, self.recipe.max_norm)
        self.optimizer.step()
        self.step += 1
        decay = min(0.999, (self.step + 1) / (self.step + 10))
        with torch.no_grad():
            torch._foreach_lerp_(self.average, self.parameters, 1 - decay)
        spread = latents.std()
        return {**figures, "grad": norm.item(), "left": (pull.std() / spread).item()}

    def polish(self, corpus: Corpus, checkpoint: Path) -> Iterator[dict[str, float]]:
        """Second stage: encoder fixed, codebooks fitted anew, decoder trained on what they give.

        While both ends move, codebooks lag behind latents whose scale drifts.
        """
        if self.polished:
            return
        self.finished()
        rng = np.random.default_rng(self.recipe.seed + 2)
        wide = replace(self.recipe, batch=16, crop_frames=50)
        with torch.inference_mode():
            latents = [
                self.model.encoder(crops(corpus, rng, wide).unsqueeze(1))
                for _ in range(-(-self.recipe.polish_excerpts // wide.batch))
            ]
        flat = torch.cat([z.transpose(1, 2).reshape(-1, LATENT) for z in latents])
        scale = float(flat.std())
        with torch.no_grad():  # unit latents: the same function, in half precision's range
            for parameter in plain_convolution(self.model.encoder, -1).parameters():
                parameter.div_(scale)
            plain_convolution(self.model.decoder, 0).weight.mul_(scale)
        self.quantizer.start(flat.clone() / scale, rounds=15)
        self.quantizer.eval()
        yield from self._train_decoder(corpus, rng)
        self.polished = True
        self._save(checkpoint)

    def _train_decoder(
        self, corpus: Corpus, rng: np.random.Generator
    ) -> Iterator[dict[str, float]]:
        parameters: list[Tensor] = list(self.model.decoder.parameters())
        optimizer = torch.optim.AdamW(parameters, betas=(0.8, 0.99), weight_decay=1e-2)
        average = [p.detach().clone() for p in parameters]
        started, step, done = time.monotonic(), 0, 0.0
        while done < 1:
            done = (time.monotonic() - started) / (self.recipe.polish_minutes * 60)
            optimizer.param_groups[0]["lr"] = self.recipe.polish_lr * cosine(done)
            x = crops(corpus, rng, self.recipe)
            with torch.no_grad():
                z, _ = self.quantizer(self.model.encoder(x.unsqueeze(1)))
            with torch.autocast("cpu", torch.bfloat16):
                y = self.model.decoder(z).squeeze(1)
            y = y.float()
            optimizer.zero_grad()
            figures = self._reconstruct(y, x, self.recipe.spectral_share)
            nn.utils.clip_grad_norm_(parameters, self.recipe.max_norm)
            optimizer.step()
            step += 1
            with torch.no_grad():
                torch._foreach_lerp_(average, parameters, 1 - min(0.995, step / (step + 10)))
            if step % 50 == 0:
                yield {"polish": step, "minutes": done * self.recipe.polish_minutes, **figures}
        n_encoder = len(list(self.model.encoder.parameters()))
        self.average = [p.detach().clone() for p in self.parameters[:n_encoder]] + average

    def _reconstruct(self, y: Tensor, x: Tensor, spectral_share: float) -> dict[str, float]:
        """Sends the balanced gradient of the losses back from `y`; returns their values."""
        spectral, log_mel = self.loss(y, x)
        level = x.abs().mean(dim=1).clamp(min=1e-3)
        wave = ((y - x).abs().mean(dim=1) / level).mean()
        y.backward(balanced(y, {spectral: spectral_share, wave: 1.0}))
        return {
            "spectral": spectral.item(), "wave": wave.item(), "log_mel": log_mel.item(),
            "si_sdr": si_sdr(y.detach(), x).item(),
        }  # fmt: skip

    def _pull(self, gradient: Tensor, pull: Tensor) -> Tensor:
        """The commitment's gradient: a share of the reconstruction's, whatever its scale."""
        if self.step < self.recipe.warmup_steps:
            return pull * gradient.norm() / pull.shape[0] ** 0.5 / 100
        return pull * (self.recipe.commitment * norm_ratio(gradient, pull))

    def _spectra_heard(self) -> float:
        """0 at first: the waveform alone teaches the phase; then, step by step, 1."""
        start = self.recipe.warmup_steps // 2
        return min(max((self.step - start) / (2 * start), 0.0), 1.0)

    def finished(self) -> Encodec:
        """The model with averaged weights and trained codebooks."""
        with torch.no_grad():
            for parameter, average in zip(self.parameters, self.average, strict=True):
                parameter.copy_(average)
            for k, codebook in enumerate(self.model.quantizer.codebooks()):
                codebook.embed.copy_(self.quantizer.books[k])
        return self.model.eval()

    def _state(self) -> dict[str, Any]:
        return {
            "model": self.model.state_dict(), "quantizer": self.quantizer.state_dict(),
            "optimizer": self.optimizer.state_dict(), "average": self.average,
            "step": self.step, "spent_s": self.spent_s,
            "polished": self.polished,
        }  # fmt: skip

    def _save(self, path: Path) -> None:
        partial = path.with_suffix(".partial")
        torch.save(self._state(), partial)
        partial.replace(path)

    def _restore(self, path: Path) -> None:
        state = torch.load(path, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.quantizer.load_state_dict(state["quantizer"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.average = [a.detach() for a in state["average"]]
        self.step, self.spent_s = state["step"], state["spent_s"]
        self.polished = state.get("polished", False)


def balanced(y: Tensor, losses: dict[Tensor, float]) -> Tensor:
    """Gradient at `y` of several losses, each brought to the norm of its share.

    Left alone, the log-spectral loss drowns the waveform's, and the codec never finds the phase
    (EnCodec's balancer, arXiv 2210.13438 §3.4, without its moving average).
    """
    total = torch.zeros_like(y)
    for loss, share in losses.items():
        if not share:
            continue
        (gradient,) = torch.autograd.grad(loss, y, retain_graph=True)
        total += share * gradient / gradient.norm().clamp(min=1e-12)
    return total / sum(losses.values())


def norm_ratio(a: Tensor, b: Tensor) -> Tensor:
    """How much longer `a` is than `b`."""
    return a.norm() / b.norm().clamp(min=1e-12)


def crops(corpus: Corpus, rng: np.random.Generator, recipe: CodecRecipe) -> Tensor:
    """Random excerpts [B, N], avoiding silent ones, polarity flipped at random."""
    n = recipe.crop_frames * HOP
    out: list[np.ndarray] = []
    while len(out) < recipe.batch:
        wav = corpus.wavs[rng.integers(len(corpus.wavs))]
        start = int(rng.integers(len(wav) - n))
        crop = wav[start : start + n].astype(np.float32) / 32767
        if np.abs(crop).max() > 0.01 or rng.random() < 0.1:
            out.append(crop * rng.choice((-1.0, 1.0)) * 10 ** rng.uniform(-0.2, 0.05))
    return torch.from_numpy(np.stack(out).astype(np.float32))


def cosine(done: float) -> float:
    """1 at the start, 0 at the end."""
    return 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))


def si_sdr(y: Tensor, x: Tensor) -> Tensor:
    """Scale-invariant signal-to-distortion ratio in dB, mean over rows [B, N]."""
    scale = (y * x).sum(-1, keepdim=True) / x.pow(2).sum(-1, keepdim=True).clamp(min=1e-8)
    target = scale * x
    ratio = target.pow(2).sum(-1) / (y - target).pow(2).sum(-1).clamp(min=1e-8)
    decibels: Tensor = 10 * ratio.clamp(min=1e-8).log10()
    return decibels.mean()
