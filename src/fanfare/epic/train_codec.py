"""Trains epic-mini's codec: a small EnCodec (arXiv 2210.13438), on a CPU or a GPU.

Losses: waveform L1 alone at first, which teaches the phase; then log-mel L1 and spectral
convergence at several scales beside it; late, an adversary. Second stage ("polish"): the encoder is
fixed, codebooks are fitted anew by k-means, and the decoder is trained on what they give.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from fanfare.epic.adversary import Adversary
from fanfare.epic.clock import Deadline
from fanfare.epic.listen import HOP, SAMPLE_RATE_HZ
from fanfare.epic.losses import SpectralLoss, averages, balanced, cosine, norm_ratio, si_sdr
from fanfare.epic.train_quantizer import CODEBOOK_SIZE, LATENT, TrainingQuantizer
from fanfare.nn.encodec import Convolution, Encodec, EncodecConfig, Layers

Figures = dict[str, Tensor]


class Wavs(Protocol):
    """Where excerpts come from: int16 audio [S, N], of which the first `n_filled` rows count."""

    @property
    def wavs(self) -> Tensor:
        """[S, N], on the device that trains."""

    @property
    def n_filled(self) -> int:
        """Rows that hold pieces."""

    def refresh(self, at_most: int = 1) -> None:
        """Brings new pieces, if there are some."""


@dataclass(frozen=True)
class CodecRecipe:
    """How the codec is trained.

    Attributes:
        minutes: wall-clock length of the first stage; the learning rate follows the clock.
        batch, crop_frames: excerpts a step, and their length.
        warmup_steps: steps before quantising starts (with k-means on recent latents).
        adversary_width: channels of the judges; 0 = there are none.
        adversary_from: share of the first stage after which they have a say.
        polish_minutes: of the second stage.
    """

    minutes: float = 22.0
    n_filters: int = 16
    n_codebooks: int = 4
    batch: int = 10
    crop_frames: int = 32
    peak_lr: float = 6e-4
    warmup_steps: int = 700
    commitment: float = 0.5
    max_norm: float = 1.0
    adversary_width: int = 0
    adversary_from: float = 0.5
    adversary_share: float = 0.5
    feature_share: float = 0.7
    polish_minutes: float = 5.0
    polish_excerpts: int = 1200
    polish_lr: float = 4e-4
    refresh_steps: int = 4
    checkpoint_minutes: float = 3.0
    figures_steps: int = 50
    seed: int = 0


def codec_config(n_filters: int, n_codebooks: int = 4) -> EncodecConfig:
    """32 kHz mono, 50 frames a second, K × 1024 codes (0.5 kbit/s each)."""
    return EncodecConfig(
        sample_rate_hz=SAMPLE_RATE_HZ, ratios=(8, 5, 4, 4), n_codebooks=n_codebooks,
        card=CODEBOOK_SIZE, latent_dim=LATENT, n_filters=n_filters, n_lstm_layers=1,
        is_causal=False, pad_mode="constant", has_conv_shortcut=False,
    )  # fmt: skip


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
    """One codec in training: model, quantiser, adversary, optimisers, moving average of weights."""

    def __init__(self, recipe: CodecRecipe, device: torch.device | str = "cpu") -> None:
        torch.manual_seed(recipe.seed)
        self.recipe, self.device = recipe, torch.device(device)
        # Without EnCodec's weight norm it trains half again as fast.
        self.model = Encodec(codec_config(recipe.n_filters, recipe.n_codebooks)).to(self.device)
        self.quantizer = TrainingQuantizer(recipe.n_codebooks).to(self.device)
        self.loss = SpectralLoss().to(self.device)
        self.encoding: list[Tensor] = list(self.model.encoder.parameters())
        self.decoding: list[Tensor] = list(self.model.decoder.parameters())
        self.average = [p.detach().clone() for p in self.parameters]
        self.optimizer = self._adam(self.parameters, recipe.peak_lr)
        self.adversary = Adversary(recipe.adversary_width).to(self.device)
        self.judging = (
            torch.optim.AdamW(self.adversary.parameters(), 3e-4, betas=(0.5, 0.9))
            if recipe.adversary_width
            else None
        )
        self.step, self.spent_s, self.polish_s = 0, 0.0, -1.0
        self.recent: list[Tensor] = []

    @property
    def parameters(self) -> list[Tensor]:
        """The encoder's, then the decoder's."""
        return self.encoding + self.decoding

    @property
    def is_done(self) -> bool:
        """Whether both stages are over."""
        return self.polish_s >= self.recipe.polish_minutes * 60

    def _adam(self, parameters: list[Tensor], lr: float) -> torch.optim.AdamW:
        return torch.optim.AdamW(parameters, lr, betas=(0.8, 0.99), weight_decay=1e-2)

    def train(
        self, pieces: Wavs, checkpoint: Path, deadline: Deadline | None = None
    ) -> Iterator[dict[str, float]]:
        """Trains both stages by the clock, yielding figures; resumes from `checkpoint`."""
        if checkpoint.exists():
            self.restore(checkpoint)
        elif not self.step:
            calibrate(self.model, crops(pieces, self.recipe, self.device))
        deadline = deadline or Deadline()
        if self.polish_s < 0:
            yield from self._stage(pieces, checkpoint, deadline, self.recipe.minutes * 60)
            if self.spent_s >= self.recipe.minutes * 60:
                self._refit(pieces)
        if self.polish_s >= 0:
            yield from self._stage(pieces, checkpoint, deadline, self.recipe.polish_minutes * 60)

    def _stage(
        self, pieces: Wavs, checkpoint: Path, deadline: Deadline, length_s: float
    ) -> Iterator[dict[str, float]]:
        polishes = self.polish_s >= 0
        torch.manual_seed(self.recipe.seed + self.step)
        last = saved = time.monotonic()
        while (self.polish_s if polishes else self.spent_s) < length_s and not deadline.has_come:
            if self.step % self.recipe.refresh_steps == 0:
                pieces.refresh()
            x = crops(pieces, self.recipe, self.device)
            figures = self._polish(x) if polishes else self._step(x)
            now = time.monotonic()
            if polishes:
                self.polish_s += now - last
            else:
                self.spent_s += now - last
            last = now
            if self.step % self.recipe.figures_steps == 0:
                minutes = (self.polish_s if polishes else self.spent_s) / 60
                yield {
                    "polish" if polishes else "step": self.step, "minutes": minutes,
                    **{name: float(value) for name, value in figures.items()},
                }  # fmt: skip
            if now - saved > self.recipe.checkpoint_minutes * 60:
                self.save(checkpoint)
                saved = now
        self.save(checkpoint)

    def _bf16(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16)

    def _step(self, x: Tensor) -> Figures:
        done = self.spent_s / max(self.recipe.minutes * 60, 1e-9)
        warm = min(1.0, (self.step + 1) / 100)
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.peak_lr * warm * (0.03 + 0.97 * cosine(done))
        with self._bf16():
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
            share = 0.3 * max(0.0, 1.0 - 2.0 * done)
            free = torch.rand(len(x), 1, 1, device=x.device) < share
            quantised = torch.where(free, latents, quantised)
        with self._bf16():
            y = self.model.decoder(quantised).squeeze(1)
        self.optimizer.zero_grad()
        judged = bool(self.judging) and done >= self.recipe.adversary_from
        figures = self._reconstruct(y.float(), x, self._spectra_heard(), judged=judged)
        assert latents.grad is not None
        z.backward(latents.grad + self._pull(latents.grad, pull))
        norm = nn.utils.clip_grad_norm_(self.parameters, self.recipe.max_norm)
        self.optimizer.step()
        self._follow(0.999)
        return {**figures, "grad": norm, "left": pull.std() / z.detach().std()}

    def _polish(self, x: Tensor) -> Figures:
        done = self.polish_s / max(self.recipe.polish_minutes * 60, 1e-9)
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.polish_lr * (0.02 + 0.98 * cosine(done))
        with torch.no_grad(), self._bf16():
            latents = self.model.encoder(x.unsqueeze(1)).float()
            z, _ = self.quantizer(latents)
        with self._bf16():
            y = self.model.decoder(z).squeeze(1)
        self.optimizer.zero_grad()
        figures = self._reconstruct(y.float(), x, 1.0, judged=bool(self.judging))
        nn.utils.clip_grad_norm_(self.decoding, self.recipe.max_norm)
        self.optimizer.step()
        self._follow(0.998)
        return figures

    def _follow(self, slowest: float) -> None:
        self.step += 1
        decay = min(slowest, (self.step + 1) / (self.step + 10))
        with torch.no_grad():
            torch._foreach_lerp_(self.average, self.parameters, 1 - decay)

    @torch.no_grad()
    def _refit(self, pieces: Wavs) -> None:
        """Fits the codebooks anew to a fixed encoder, whose latents are brought to unit scale.

        While both ends move, codebooks lag behind latents whose scale drifts.
        """
        self.finished()
        n = -(-self.recipe.polish_excerpts // self.recipe.batch)
        latents = [
            self.model.encoder(crops(pieces, self.recipe, self.device).unsqueeze(1))
            for _ in range(n)
        ]
        flat = torch.cat([z.transpose(1, 2).reshape(-1, LATENT) for z in latents])
        scale = flat.std()
        # Unit latents: the same function, in half precision's range.
        for parameter in plain_convolution(self.model.encoder, -1).parameters():
            parameter.div_(scale)
        plain_convolution(self.model.decoder, 0).weight.mul_(scale)
        for average, trained in zip(self.average, self.parameters, strict=True):
            average.copy_(trained)
        self.quantizer.start(flat / scale, rounds=15)
        self.polish_s = 0.0
        self._fix_encoder()

    def _fix_encoder(self) -> None:
        self.quantizer.eval()
        self.optimizer = self._adam(self.decoding, self.recipe.polish_lr)

    def _reconstruct(self, y: Tensor, x: Tensor, spectra: float, *, judged: bool) -> Figures:
        """Sends the balanced gradient of the losses back from `y`; returns their values."""
        spectral, log_mel = self.loss(y, x)
        level = x.abs().mean(dim=1).clamp(min=1e-3)
        wave = ((y - x).abs().mean(dim=1) / level).mean()
        shares = {spectral: spectra, wave: 1.0}
        figures = {
            "spectral": spectral.detach(), "wave": wave.detach(), "log_mel": log_mel,
            "si_sdr": si_sdr(y.detach(), x),
        }  # fmt: skip
        if judged:
            assert self.judging is not None
            with self._bf16():
                lesson = self.adversary.lesson(y, x)
            self.judging.zero_grad()
            lesson.backward()
            self.judging.step()
            with self._bf16():
                plain, far = self.adversary.verdict(y, x)
            shares |= {plain: self.recipe.adversary_share, far: self.recipe.feature_share}
            figures |= {"judges": lesson.detach(), "features": far.detach()}
        y.backward(balanced(y, shares))
        return figures

    def _pull(self, gradient: Tensor, pull: Tensor) -> Tensor:
        """The commitment's gradient: a share of the reconstruction's, whatever its scale."""
        if self.step < self.recipe.warmup_steps:
            return pull * gradient.norm() / pull.shape[0] ** 0.5 / 100
        return pull * (self.recipe.commitment * norm_ratio(gradient, pull))

    def _spectra_heard(self) -> float:
        """0 at first: the waveform alone teaches the phase; then, step by step, 1."""
        start = max(self.recipe.warmup_steps // 2, 1)
        return min(max((self.step - start) / (2 * start), 0.0), 1.0)

    def finished(self) -> Encodec:
        """The model with averaged weights and trained codebooks."""
        with torch.no_grad():
            for parameter, average in zip(self.parameters, self.average, strict=True):
                parameter.copy_(average)
            for k, codebook in enumerate(self.model.quantizer.codebooks()):
                codebook.embed.copy_(self.quantizer.books[k])
        return self.model.eval()

    def save(self, path: Path) -> None:
        """Writes a checkpoint."""
        state = {
            "model": self.model.state_dict(), "quantizer": self.quantizer.state_dict(),
            "optimizer": self.optimizer.state_dict(), "average": self.average,
            "names": [name for name, _ in self.model.named_parameters()], "step": self.step,
            "adversary": self.adversary.state_dict(),
            "judging": self.judging.state_dict() if self.judging else None,
            "spent_s": self.spent_s, "polish_s": self.polish_s,
        }  # fmt: skip
        partial = path.with_suffix(".partial")
        torch.save(state, partial)
        partial.replace(path)

    def restore(self, path: Path) -> None:
        """Goes on from a checkpoint."""
        state = torch.load(path, weights_only=True, map_location=self.device)
        self.model.load_state_dict(state["model"])
        self.quantizer.load_state_dict(state["quantizer"])
        self.average = averages(state, self.parameters)
        self.step, self.spent_s = state["step"], state["spent_s"]
        self.polish_s = state["polish_s"]
        if self.polish_s >= 0:
            self._fix_encoder()
        if "optimizer" not in state:
            return
        self.optimizer.load_state_dict(state["optimizer"])
        self.adversary.load_state_dict(state["adversary"])
        if self.judging is not None and state["judging"] is not None:
            self.judging.load_state_dict(state["judging"])


def crops(pieces: Wavs, recipe: CodecRecipe, device: torch.device) -> Tensor:
    """Random excerpts [B, N], avoiding silent ones, polarity flipped at random."""
    n, B = recipe.crop_frames * HOP, recipe.batch
    drawn = B + max(2, B // 4)  # more than needed: the quietest are left out
    where = pieces.wavs.device
    rows = torch.randint(pieces.n_filled, (drawn, 1), device=where)
    starts = torch.randint(pieces.wavs.shape[1] - n, (drawn, 1), device=where)
    if where.type == "cpu":  # gathering by index would be slower by far
        pairs = zip(rows.flatten().tolist(), starts.flatten().tolist(), strict=True)
        x = torch.stack([pieces.wavs[row, start : start + n] for row, start in pairs])
    else:
        x = pieces.wavs[rows, starts + torch.arange(n, device=where)]
    x = x.to(device).float() / 32767
    is_silent = x.abs().amax(dim=1) < 0.01
    x = x[torch.argsort(is_silent.int(), stable=True)[:B]]
    signs = torch.randint(2, (B, 1), device=device) * 2.0 - 1.0
    return x * signs * 10 ** (torch.rand(B, 1, device=device) * 0.25 - 0.2)
