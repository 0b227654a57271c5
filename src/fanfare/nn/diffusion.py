"""Multi-Band Diffusion: the codec's latent to sound, by diffusion instead of the codec's decoder.

C channels of audio, N samples, D width of the latent, T frames of the latent.

San Roman et al., arXiv 2308.02560. Four networks or so each make one band of the spectrum from
noise; the bands' levels are then taken from what the codec's own decoder makes of the same latent.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

import torch
from torch import Tensor, nn

from fanfare.nn.bands import MultiBandProcessor, ProcessorConfig, match_bands
from fanfare.nn.diffusion_schedule import VISITED, ReverseStep, ScheduleConfig, reverse_steps
from fanfare.nn.diffusion_unet import CHUNK_VALUES, DiffusionUnet, UnetConfig

MAX_BANDS = 64


@dataclass(frozen=True)
class BandConfig:
    """One band: its network, its noise, and how its levels are restored (None = they are right)."""

    unet: UnetConfig
    schedule: ScheduleConfig
    processor: ProcessorConfig | None


@dataclass(frozen=True)
class DiffusionConfig:
    """What fixes a `MultiBandDiffusion`.

    Attributes:
        sample_rate_hz: of the audio it makes.
        bands: lowest first; their sounds are added up.
    """

    sample_rate_hz: int
    bands: tuple[BandConfig, ...]

    def __post_init__(self) -> None:
        """Refuse what can't be built; raises ValueError."""
        if not 1 <= len(self.bands) <= MAX_BANDS:
            raise ValueError(f"diffusion: 1 to {MAX_BANDS} bands, not {len(self.bands)}")
        if len({band.unet.latent_dim for band in self.bands}) > 1:
            raise ValueError("diffusion: the bands expect different latents")
        if not 1 <= self.sample_rate_hz <= 2**20:
            raise ValueError(f"diffusion: a sample rate of {self.sample_rate_hz} Hz")

    @property
    def latent_dim(self) -> int:
        """D, width of the latent that it is given."""
        return self.bands[0].unet.latent_dim

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`; raises ValueError or TypeError for anything else."""
        top = _known(cls, values)
        bands = []
        for entry in top["bands"]:
            band = _known(BandConfig, entry)
            processor = band["processor"]
            if processor is not None:
                processor = _known(ProcessorConfig, processor)
                if isinstance(processor["power_std"], list):
                    processor["power_std"] = tuple(processor["power_std"])
                processor = ProcessorConfig(**processor)
            unet = UnetConfig(**_known(UnetConfig, band["unet"]))
            schedule = ScheduleConfig(**_known(ScheduleConfig, band["schedule"]))
            bands.append(BandConfig(unet, schedule, processor))
        return cls(top["sample_rate_hz"], tuple(bands))


def _known(cls: Any, values: Mapping[str, Any]) -> dict[str, Any]:
    """`values` for the fields of a dataclass; all of them, and no others."""
    names = {field.name for field in fields(cls)}
    if set(values) != names:
        odd = ", ".join(sorted(set(values) ^ names))
        raise ValueError(f"{cls.__name__}: missing or unknown keys {odd}")
    return dict(values)


class Band(nn.Module):
    """One of the diffusion models."""

    def __init__(self, config: BandConfig, sample_rate_hz: int) -> None:
        super().__init__()
        self.config = config
        self.unet = DiffusionUnet(config.unet)
        self.processor = None
        if config.processor is not None:
            self.processor = MultiBandProcessor(config.processor, sample_rate_hz)

    @torch.inference_mode()
    def denoised(
        self,
        x: Tensor,
        step: ReverseStep,
        latent: Tensor,
        generator: torch.Generator,
        chunk: int = CHUNK_VALUES,
    ) -> Tensor:
        """One step of the reverse process: x [1, 1, N] with less noise."""
        schedule = self.config.schedule
        estimate = self.unet(x, step.step, latent, chunk) * schedule.noise_scale
        x = (x - step.estimate_weight * estimate) / step.divisor
        if step.noise_weight:
            fresh = gaussian(x.shape[2], generator, x.device)
            x = x + step.noise_weight * fresh * schedule.noise_scale
        if schedule.clip is not None:
            x = x.clamp(-schedule.clip, schedule.clip)
        return x

    @torch.inference_mode()
    def restored(self, x: Tensor) -> Tensor:
        """The diffused [1, 1, N] at the levels of sound: [N]."""
        return x[0, 0] if self.processor is None else self.processor(x[0, 0])


class MultiBandDiffusion(nn.Module):
    """All bands of a model. Weights only: the noise comes from the caller's generator."""

    def __init__(self, config: DiffusionConfig) -> None:
        super().__init__()
        self.config = config
        self.bands = nn.ModuleList(Band(band, config.sample_rate_hz) for band in config.bands)

    def n_steps(self, channels: int) -> int:
        """How often `decoding` runs a network for audio of so many channels."""
        return channels * len(self.bands) * (len(VISITED) - 1)

    def decode(
        self,
        latent: Tensor,
        reference: Tensor,
        generator: torch.Generator,
        *,
        chunk: int = CHUNK_VALUES,
    ) -> Tensor:
        """Audio [C, N] from the latent of each channel; see `decoding`."""
        *_, wav = self.decoding(latent, reference, generator, chunk=chunk)
        assert wav is not None
        return wav

    def decoding(
        self,
        latent: Tensor,
        reference: Tensor,
        generator: torch.Generator,
        *,
        chunk: int = CHUNK_VALUES,
    ) -> Iterator[Tensor | None]:
        """Decode in steps: yields None after each of `n_steps` and, last, the audio [C, N].

        The noise of one channel is drawn after that of the other, band by band.

        Args:
            latent: of each channel, [C, D, T].
            reference: what the codec's decoder makes of it, [C, N]; sets length and levels.
            generator: of the noise; on the CPU, where the same seed is the same noise everywhere.
            chunk: most values of an activation that are computed at once.
        """
        C, D, _ = latent.shape
        assert self.config.latent_dim == D, (latent.shape, self.config.latent_dim)
        assert reference.shape[0] == C, (latent.shape, reference.shape)
        wavs = []
        for channel in range(C):
            diffused = torch.zeros_like(reference[channel])  # [N]
            for band in self.bands:
                assert isinstance(band, Band)
                schedule = band.config.schedule
                x = gaussian(reference.shape[1], generator, reference.device)
                x = x * schedule.noise_scale  # [1, 1, N]
                for step in reverse_steps(schedule):
                    x = band.denoised(x, step, latent[channel][None], generator, chunk)
                    yield None
                diffused = diffused + band.restored(x)
            with torch.inference_mode():
                wavs.append(match_bands(diffused, reference[channel], self.config.sample_rate_hz))
        yield torch.stack(wavs)


def gaussian(n_samples: int, generator: torch.Generator, device: torch.device) -> Tensor:
    """Noise [1, 1, N] from the generator's own device."""
    noise = torch.randn(1, 1, n_samples, generator=generator, device=generator.device)
    return noise.to(device)
