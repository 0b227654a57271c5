"""Trains epic-mini's Multi-Band Diffusion: four small networks, all at once (arXiv 2308.02560).

Each makes one band of the spectrum from noise, given the codec's quantised latent. Bands are
brought to unit deviation for training; the model's own processor brings them back, and takes away
whatever a network puts outside its band.
B batch, N samples, D width of the latent, T frames, b bands.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fanfare.epic.clock import Deadline
from fanfare.epic.excerpts import Wavs, crops
from fanfare.epic.listen import HOP, SAMPLE_RATE_HZ
from fanfare.epic.losses import averages, cosine
from fanfare.epic.train_quantizer import LATENT
from fanfare.nn.bands import ProcessorConfig, lowpass_filters
from fanfare.nn.diffusion import Band, BandConfig, DiffusionConfig, MultiBandDiffusion
from fanfare.nn.diffusion_schedule import N_STEPS, ScheduleConfig, betas
from fanfare.nn.diffusion_unet import (
    DecoderLayer,
    DiffusionUnet,
    EncoderLayer,
    ResBlock,
    UnetConfig,
)
from fanfare.nn.lapped import LappedCodec

N_BANDS = 4
SCHEDULE = ScheduleConfig(beta_first=1e-5, beta_last=2.9e-2, exponent=7.5, clip=None)


@dataclass(frozen=True)
class DiffusionRecipe:
    """How the band models are trained.

    Attributes:
        minutes: wall-clock length; the learning rate follows the clock.
        crop_frames: a multiple of 2, so that networks and codec see whole frames.
    """

    minutes: float = 10.0
    hidden: int = 16
    depth: int = 4
    max_channels: int = 128
    batch: int = 4
    crop_frames: int = 64
    peak_lr: float = 6e-4
    refresh_steps: int = 8
    checkpoint_minutes: float = 3.0
    figures_steps: int = 50
    seed: int = 0


def diffusion_config(recipe: DiffusionRecipe) -> DiffusionConfig:
    """Four bands of equal width in mel, alike in everything else."""
    unet = UnetConfig(
        latent_dim=LATENT, hidden=recipe.hidden, depth=recipe.depth, growth=2.0,
        max_channels=recipe.max_channels, kernel=8, stride=4, res_blocks=1, norm_groups=4,
        emb_all_layers=False,
    )  # fmt: skip
    band = BandConfig(unet, SCHEDULE, ProcessorConfig(N_BANDS, 1.0))
    return DiffusionConfig(SAMPLE_RATE_HZ, (band,) * N_BANDS)


class DiffusionTrainer:
    """All bands in training, and the finished codec that they listen to."""

    def __init__(
        self, recipe: DiffusionRecipe, codec: LappedCodec, device: torch.device | str = "cpu"
    ) -> None:
        torch.manual_seed(recipe.seed)
        self.recipe, self.device = recipe, torch.device(device)
        self.codec = codec.to(self.device).eval()
        self.model = MultiBandDiffusion(diffusion_config(recipe)).to(self.device)
        self.filters = lowpass_filters(N_BANDS, SAMPLE_RATE_HZ).to(self.device)
        self.kept = (1 - betas(SCHEDULE)).cumprod(0).to(self.device)  # alpha bar by step
        self.parameters: list[Tensor] = list(self.model.parameters())
        self.optimizer = torch.optim.AdamW(self.parameters, recipe.peak_lr, weight_decay=1e-3)
        self.average = [p.detach().clone() for p in self.parameters]
        self.step, self.spent_s = 0, 0.0

    @property
    def bands(self) -> list[Band]:
        """The models, lowest band first."""
        return [band for band in self.model.bands if isinstance(band, Band)]

    @property
    def is_done(self) -> bool:
        """Whether its minutes are over."""
        return self.spent_s >= self.recipe.minutes * 60

    def train(
        self, pieces: Wavs, checkpoint: Path, deadline: Deadline | None = None
    ) -> Iterator[dict[str, float]]:
        """Trains by the clock, yielding every band's loss; resumes from `checkpoint`."""
        if checkpoint.exists():
            self.restore(checkpoint)
        elif not self.step:
            self._learn_levels(pieces)
        deadline = deadline or Deadline()
        torch.manual_seed(self.recipe.seed + self.step)
        last = saved = time.monotonic()
        while not self.is_done and not deadline.has_come:
            if self.step % self.recipe.refresh_steps == 0:
                pieces.refresh()
            losses = self._step(self._crops(pieces))
            if self.step % self.recipe.figures_steps == 0:
                names = {f"band{i}": float(v) for i, v in enumerate(losses)}
                yield {"step": self.step, "minutes": self.spent_s / 60, **names}
            now = time.monotonic()
            self.spent_s += now - last
            last = now
            if now - saved > self.recipe.checkpoint_minutes * 60:
                self.save(checkpoint)
                saved = now
        self.save(checkpoint)

    def _crops(self, pieces: Wavs) -> Tensor:
        return crops(pieces, self.recipe.batch, self.recipe.crop_frames * HOP, self.device)

    @torch.no_grad()
    def _learn_levels(self, pieces: Wavs, n: int = 24) -> None:
        """Each band's deviation over the corpus, into its processor: its own band's alone."""
        power = sum(
            split(self._crops(pieces), self.filters).pow(2).mean(dim=(0, 2)) for _ in range(n)
        )
        assert isinstance(power, Tensor)
        for i, band in enumerate(self.bands):
            processor = band.processor
            assert processor is not None
            processor.filters.copy_(self.filters[:, None])
            processor.sum_x2.zero_()
            processor.sum_x2[i] = power[i] / n

    def _step(self, x: Tensor) -> list[Tensor]:
        warm = min(1.0, (self.step + 1) / 200)
        done = self.spent_s / max(self.recipe.minutes * 60, 1e-9)
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.peak_lr * warm * (0.03 + 0.97 * cosine(done))
        with torch.no_grad():
            latents = self.codec.encoder(x[:, None])
            latents = self.codec.quantizer.decode(self.codec.quantizer.encode(latents))
            parts = split(x, self.filters)  # [B, b, N]
        losses = []
        self.optimizer.zero_grad()
        for i, band in enumerate(self.bands):
            loss = self._loss(band, parts[:, i : i + 1], latents)
            torch.autograd.backward(loss)
            losses.append(loss.detach())
        nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()
        self.step += 1
        decay = min(0.999, (self.step + 1) / (self.step + 10))
        with torch.no_grad():
            torch._foreach_lerp_(self.average, self.parameters, 1 - decay)
        return losses

    def _loss(self, band: Band, sound: Tensor, latents: Tensor) -> Tensor:
        """How far off the noise in a band [B, 1, N] is estimated, at a random step for each row."""
        assert band.processor is not None
        clean = sound / band.processor.gain.amax().clamp(min=1e-6)
        steps = torch.randint(N_STEPS, (len(sound),), device=self.device)
        kept = self.kept[steps][:, None, None]
        noise = torch.randn_like(clean)
        mixed = kept.sqrt() * clean + (1 - kept).sqrt() * noise
        with torch.autocast(self.device.type, torch.bfloat16):
            estimate = estimated_noise(band.unet, mixed, steps, latents)
        return F.mse_loss(estimate.float(), noise)

    def finished(self) -> MultiBandDiffusion:
        """The model with averaged weights."""
        with torch.no_grad():
            for parameter, average in zip(self.parameters, self.average, strict=True):
                parameter.copy_(average)
        return self.model.eval()

    def save(self, path: Path) -> None:
        """Writes a checkpoint."""
        state = {
            "model": self.model.state_dict(), "average": self.average,
            "names": [name for name, _ in self.model.named_parameters()],
            "optimizer": self.optimizer.state_dict(), "step": self.step, "spent_s": self.spent_s,
        }  # fmt: skip
        partial = path.with_suffix(".partial")
        torch.save(state, partial)
        partial.replace(path)

    def restore(self, path: Path) -> None:
        """Goes on from a checkpoint."""
        state = torch.load(path, weights_only=True, map_location=self.device)
        self.model.load_state_dict(state["model"])
        if "optimizer" in state:
            self.optimizer.load_state_dict(state["optimizer"])
        self.average = averages(state, self.parameters)
        self.step, self.spent_s = state["step"], state["spent_s"]


def split(wavs: Tensor, filters: Tensor) -> Tensor:
    """Audio [B, N] in bands [B, b, N] that add up to it: `nn.bands.split_bands` of many rows."""
    N, half = wavs.shape[1], filters.shape[1] // 2
    padded = F.pad(wavs[:, None], (half, half), mode="replicate")
    n_fft = N + 4 * half
    n_fft += -n_fft % 1024
    spectrum = torch.fft.rfft(padded, n_fft) * torch.fft.rfft(filters, n_fft)  # [B, b-1, bins]
    below = torch.fft.irfft(spectrum, n_fft)[..., 2 * half : 2 * half + N]
    edges = torch.cat([torch.zeros_like(below[:, :1]), below, wavs[:, None]], dim=1)
    return edges.diff(dim=1)


def estimated_noise(unet: DiffusionUnet, x: Tensor, steps: Tensor, latent: Tensor) -> Tensor:
    """What `DiffusionUnet` computes, for a step per row [B], whole, and with gradients.

    N must be a multiple of the network's hop.
    """
    assert x.shape[2] % unet.config.hop == 0, (x.shape, unet.config.hop)
    assert unet.config.bottleneck == "nothing", unet.config
    z, skips = x, []
    for encoder, embedding in zip_longest(unet.encoders, (unet.embedding, *unet.embeddings)):
        assert isinstance(encoder, EncoderLayer)
        z = F.relu(encoder.norm(encoder.conv(z)))
        for block in encoder.res_blocks:
            z = _residual(block, z)
        if embedding is not None:
            z = z + embedding(steps)[:, :, None]
        skips.append(z)
    skips[-1] = z + F.interpolate(unet.conv_codec(latent), z.shape[2])
    rising: Tensor | None = None
    for decoder in unet.decoders:
        assert isinstance(decoder, DecoderLayer)
        z = skips.pop()
        z = z if rising is None else z + rising
        for block in decoder.res_blocks:
            z = _residual(block, z)
        rising = decoder.convtr(F.relu(decoder.norm(z)))
    assert rising is not None
    return rising


def _residual(block: nn.Module, x: Tensor) -> Tensor:
    assert isinstance(block, ResBlock)
    added: Tensor = block.conv2(F.relu(block.norm2(block.conv1(F.relu(block.norm1(x))))))
    return x + added
